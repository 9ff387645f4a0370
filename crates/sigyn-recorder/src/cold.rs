//! Spans of traces that nobody sampled, kept for a while in case somebody wants them yet: a ring in which the newest take
//! the place of the oldest. It is never scraped. A trace that is asked for moves to the log, with whatever of it finishes
//! later; what was overwritten before was never kept, and is no loss.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use sigyn_model::TraceId;

use crate::clock::Clock;
use crate::draft::Finished;
use crate::layout::{Header, flag};
use crate::shards::{CHUNK_OVERHEAD, Chunk, seat};
use crate::view::{View, views, views_at};
use crate::whole::Origin;

const CHUNK_BYTES_MAX: usize = 64 * 1024;
const CHUNK_BYTES_MIN: usize = 4 * 1024;
/// Traces that are asked for and not looked for yet; of more the oldest are forgotten.
const ASKED_MAX: usize = 4_096;
/// Traces that are remembered, so that what finishes later of them is kept, too.
const REMEMBERED: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Cold {
    bytes_max: usize,
    clock: Clock,
    active: Box<[CachePadded<Mutex<Chunk>>]>,
    chunk_bytes_max: usize,
    full: Mutex<Full>,
    asked: Mutex<Asked>,
    is_asked: AtomicBool,
    /// Right halves of the ids of traces that are kept, each where it ends up.
    remembered: Box<[AtomicU64]>,
}

#[derive(Debug)]
struct Full {
    /// Oldest first.
    chunks: VecDeque<Kept>,
    max: usize,
    /// Everything that finished from then on is held.
    whole_since: Duration,
}

#[derive(Debug)]
struct Kept {
    chunk: Arc<Mutex<Chunk>>,
    /// No span of it finished later.
    until: Duration,
}

/// Traces to be looked for, by the right halves of their ids.
#[derive(Debug, Default)]
struct Asked {
    ids: HashMap<u64, TraceId>,
    order: VecDeque<u64>,
    forgotten: u64,
}

/// What is done with a span, and with the origins that it may name.
type Each<'a> = dyn FnMut(View<'_>, &[Origin]) + 'a;

/// How much there is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) spans: u64,
    pub(crate) bytes: usize,
}

impl Cold {
    /// `None` if there is to be none.
    pub(crate) fn new(bytes_max: usize, clock: &Clock) -> Option<Self> {
        if bytes_max < 4 * CHUNK_BYTES_MIN {
            return None;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = (bytes_max / (16 * CHUNK_BYTES_MIN)).clamp(1, cores.next_power_of_two());
        let shards = if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 };
        let chunk_bytes_max = (bytes_max / (8 * shards)).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        Some(Self {
            bytes_max,
            clock: clock.clone(),
            active: (0..shards).map(|_| CachePadded::default()).collect(),
            chunk_bytes_max,
            full: Mutex::new(Full {
                chunks: VecDeque::new(),
                max: (bytes_max / (chunk_bytes_max + CHUNK_OVERHEAD)).saturating_sub(shards).max(1),
                whole_since: clock.monotonic(),
            }),
            asked: Mutex::default(),
            is_asked: AtomicBool::new(false),
            remembered: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// Puts a finished span aside. `rescued` are those that were asked for and would be overwritten now. False: it is too
    /// large.
    pub(crate) fn push(
        &self,
        span: Finished<'_>,
        origin: Option<&Origin>,
        mut rescued: impl FnMut(Chunk),
    ) -> bool {
        if span.len() + origin.map_or(0, Origin::bytes) > self.chunk_bytes_max {
            return false;
        }
        let mut active = self.enter();
        while !active.has_room(span.len(), origin, self.chunk_bytes_max) {
            // It is in the other place before it is gone from this one: whoever searches finds it in either.
            let oldest = self.put_away(mem::take(&mut *active));
            drop(active);
            let spare = oldest.map(|oldest| self.overwrite(oldest, &mut rescued));
            active = self.enter();
            let bytes = active.bytes.heap();
            if bytes.capacity() == 0 {
                *bytes = spare.unwrap_or_default();
            }
        }
        let bytes = active.bytes.heap();
        if bytes.capacity() == 0 {
            bytes.reserve_exact(self.chunk_bytes_max);
        }
        active.push(span, origin);
        true
    }

    /// Returns what there is no room for any more.
    #[cold]
    fn put_away(&self, chunk: Chunk) -> Option<Arc<Mutex<Chunk>>> {
        let kept = Kept { chunk: Arc::new(Mutex::new(chunk)), until: self.clock.monotonic() };
        let mut full = lock(&self.full);
        full.chunks.push_back(kept);
        let oldest = if full.chunks.len() > full.max { full.chunks.pop_front() } else { None };
        if let Some(oldest) = &oldest {
            full.whole_since = full.whole_since.max(oldest.until);
        }
        oldest.map(|kept| kept.chunk)
    }

    /// Returns memory that is free again.
    fn overwrite(&self, oldest: Arc<Mutex<Chunk>>, rescued: &mut impl FnMut(Chunk)) -> Vec<u8> {
        if self.is_asked.load(Ordering::Acquire) {
            let asked = lock(&self.asked).ids.clone();
            let taken = take(&mut lock(&oldest), &asked);
            if taken.spans > 0 {
                rescued(taken);
            }
        }
        // Whoever looks at it just now has it to the end.
        let free = Arc::into_inner(oldest).map(|chunk| chunk.into_inner());
        let chunk = free.map(|chunk| chunk.unwrap_or_else(PoisonError::into_inner));
        let mut bytes = chunk.map(|mut chunk| mem::take(chunk.bytes.heap())).unwrap_or_default();
        bytes.clear();
        bytes
    }

    /// Asks for traces: what is held of them and what finishes later.
    pub(crate) fn ask(&self, ids: &[TraceId]) {
        let mut asked = lock(&self.asked);
        for id in ids {
            self.remembered[place(id.low())].store(id.low(), Ordering::Relaxed);
            if asked.ids.insert(id.low(), *id).is_none() {
                asked.order.push_back(id.low());
            }
            if asked.order.len() > ASKED_MAX
                && let Some(oldest) = asked.order.pop_front()
            {
                asked.ids.remove(&oldest);
                asked.forgotten += 1;
            }
        }
        self.is_asked.store(!asked.ids.is_empty(), Ordering::Release);
    }

    /// Whether a trace was asked for lately.
    #[inline]
    pub(crate) fn remembers(&self, id: TraceId) -> bool {
        self.remembered[place(id.low())].load(Ordering::Relaxed) == id.low()
    }

    /// Whether traces are asked for that nobody has looked for yet.
    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Acquire)
    }

    /// Looks for all traces that are asked for: each call of what it returns looks at a little of the ring and gives what
    /// it found there. `None` is the end; whoever stops before that leaves the rest to the next search.
    pub(crate) fn search(&self) -> impl FnMut() -> Option<Chunk> + use<'_> {
        let ids = lock(&self.asked).ids.clone();
        let mut active = 0..if ids.is_empty() { 0 } else { self.active.len() };
        let mut full = None;
        move || {
            if let Some(shard) = active.next() {
                return Some(take(&mut lock(&self.active[shard]), &ids));
            }
            // After the active ones, or what fills up meanwhile would be in neither. The newest first: the oldest may be
            // overwritten soon, but what is asked for in them is rescued then.
            let full = full.get_or_insert_with(|| match ids.is_empty() {
                true => Vec::new().into_iter(),
                false => {
                    let mut chunks = self.chunks();
                    chunks.reverse();
                    chunks.into_iter()
                }
            });
            match full.next() {
                Some(chunk) => Some(take(&mut lock(&chunk), &ids)),
                None => {
                    self.found(&ids);
                    None
                }
            }
        }
    }

    /// All that is held of these was found.
    fn found(&self, ids: &HashMap<u64, TraceId>) {
        let mut asked = lock(&self.asked);
        asked.ids.retain(|low, id| ids.get(low) != Some(id));
        let Asked { ids: left, order, .. } = &mut *asked;
        order.retain(|low| left.contains_key(low));
        self.is_asked.store(!left.is_empty(), Ordering::Release);
    }

    /// Shows all that is held, a little at a time.
    pub(crate) fn look(&self) -> impl FnMut(&mut Each<'_>) -> bool {
        let mut chunks = self.chunks().into_iter();
        let mut active = 0..self.active.len();
        move |each| {
            let show = |chunk: &Chunk, each: &mut Each<'_>| {
                let views = views(&chunk.bytes).filter(|view| !is_taken(&view.header));
                views.for_each(|view| each(view, &chunk.origins));
            };
            if let Some(chunk) = chunks.next() {
                show(&lock(&chunk), each);
                return true;
            }
            let Some(shard) = active.next() else { return false };
            show(&lock(&self.active[shard]), each);
            true
        }
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(crate) fn held(&self) -> Held {
        let mut held = Held::default();
        let mut add = |chunk: &Chunk| {
            held.spans += chunk.spans;
            held.bytes += chunk.weight();
        };
        self.active.iter().for_each(|chunk| add(&lock(chunk)));
        self.chunks().iter().for_each(|chunk| add(&lock(chunk)));
        held
    }

    /// Everything that finished in so much time until now is held, but for what was too large.
    pub(crate) fn back(&self) -> Duration {
        let whole_since = lock(&self.full).whole_since;
        self.clock.monotonic().saturating_sub(whole_since)
    }

    /// Oldest first.
    fn chunks(&self) -> Vec<Arc<Mutex<Chunk>>> {
        lock(&self.full).chunks.iter().map(|kept| Arc::clone(&kept.chunk)).collect()
    }

    /// Traces that were forgotten before anybody looked for them.
    pub(crate) fn forgotten(&self) -> u64 {
        lock(&self.asked).forgotten
    }

    fn enter(&self) -> MutexGuard<'_, Chunk> {
        let seat = seat() & (self.active.len() - 1);
        match self.active[seat].try_lock() {
            Ok(chunk) => chunk,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let beside = (seat + 1) & (self.active.len() - 1);
                match self.active[beside].try_lock() {
                    Ok(chunk) => chunk,
                    Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                    Err(TryLockError::WouldBlock) => lock(&self.active[seat]),
                }
            }
        }
    }
}

fn place(low: u64) -> usize {
    usize::try_from(low % REMEMBERED as u64).unwrap_or(0)
}

fn is_taken(header: &Header) -> bool {
    header.flags & flag::TAKEN != 0
}

/// Copies what is asked for out of a chunk, each span once.
fn take(chunk: &mut Chunk, asked: &HashMap<u64, TraceId>) -> Chunk {
    let mut taken = Chunk::default();
    let mut from = Vec::new();
    for (at, view) in views_at(&chunk.bytes) {
        let Some(id) = TraceId::new(view.header.trace_id) else { continue };
        let is_asked = asked.get(&id.low()).is_some_and(|asked| *asked == id || asked.high() == 0);
        if is_asked && !is_taken(&view.header) {
            let number = usize::from(view.header.origin);
            let origin = number.checked_sub(1).and_then(|at| chunk.origins.get(at));
            taken.push(view.finished(), origin);
            from.push(at);
        }
    }
    for at in from {
        Header::set_flag(&mut chunk.bytes.heap()[at..], flag::TAKEN);
        chunk.spans -= 1;
    }
    taken
}

/// A panic elsewhere must not become one here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

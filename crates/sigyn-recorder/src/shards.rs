//! Where spans land when they finish: a few buffers, so that threads seldom meet at one.
//!
//! There are a fixed number of them and not one a thread: a pool of blocking threads may have hundreds,
//! and what a thread that ended held would be stranded. A thread goes to the same shard each time, and to
//! its neighbour if somebody is there.

use std::cell::Cell;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{PoisonError, TryLockError};

use crossbeam_utils::CachePadded;

use crate::clock::Clock;
use crate::draft::Finished;
use crate::room::{Room, Rooms};
use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard};
use crate::whole::Origin;

/// A chunk's bound, unless a single span is larger.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
const CHUNK_BYTES_MIN: usize = 1024;
/// A log is worth a second shard for each so many bytes of it.
const LOG_BYTES_PER_SHARD: usize = 1024 * 1024;
/// What a chunk costs beside its spans.
pub(crate) const CHUNK_OVERHEAD: usize = 64;
/// Of the latest so many origins of a chunk, none is kept twice.
const ORIGINS_COMPARED: usize = 8;
/// Different origins of one chunk; the next one begins a new chunk.
const ORIGINS_MAX: usize = u16::MAX as usize - 1;

/// Finished spans of one shard.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) bytes: Room,
    pub(crate) spans: u64,
    pub(crate) origins: Vec<Origin>,
    origins_bytes: usize,
    /// Its bytes were those of several chunks.
    #[cfg(feature = "spool")]
    pub(crate) is_copy: bool,
}

impl Chunk {
    /// What its spans weigh.
    pub(crate) fn weight(&self) -> usize {
        if self.bytes.is_empty() {
            return 0;
        }
        self.bytes.len() + self.origins_bytes + CHUNK_OVERHEAD
    }

    /// Memory that it takes.
    pub(crate) fn takes(&self) -> usize {
        self.bytes.takes() + self.origins_bytes + CHUNK_OVERHEAD
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, mut span: Finished<'_>, origin: Option<&Origin>) {
        if let Some(origin) = origin {
            span.header.origin = self.number_of(origin);
        }
        self.bytes.put(&span);
        self.spans += 1;
    }

    /// Whether a span of so many bytes goes in.
    #[inline(always)]
    pub(crate) fn has_room(&self, len: usize, origin: Option<&Origin>, bytes_max: usize) -> bool {
        // What a new origin weighs counts as well; that there are too many is all but impossible.
        let origin = match origin {
            None => 0,
            Some(origin) if self.known(origin).is_some() => 0,
            Some(_) if self.origins.len() >= ORIGINS_MAX => return false,
            Some(origin) => origin.bytes(),
        };
        self.bytes.len() + self.origins_bytes + len + origin <= bytes_max
    }

    fn number_of(&mut self, origin: &Origin) -> u16 {
        let at = self.known(origin).unwrap_or_else(|| {
            self.origins_bytes += origin.bytes();
            let number = u16::try_from(self.origins.len() + 1).unwrap_or(0);
            self.bytes.describe(origin, number);
            self.origins.push(origin.clone());
            self.origins.len() - 1
        });
        // Bounded when it was decided that the span goes here.
        u16::try_from(at + 1).unwrap_or(0)
    }

    /// Where it is among the latest few, which the parts of a program take turns at.
    fn known(&self, origin: &Origin) -> Option<usize> {
        let first = self.origins.len().saturating_sub(ORIGINS_COMPARED);
        let at = self.origins[first..].iter().rposition(|known| known.is(origin))?;
        Some(first + at)
    }
}

#[cfg(feature = "spool")]
impl Chunk {
    /// What another process left.
    pub(crate) fn found(bytes: Vec<u8>, spans: u64, origins: Vec<Origin>) -> Self {
        let origins_bytes = origins.iter().map(Origin::bytes).sum();
        Self { bytes: Room::Heap(bytes), spans, origins, origins_bytes, is_copy: false }
    }

    pub(crate) fn copy_into(slot: crate::spool::Slot) -> Self {
        Self { bytes: Room::Slot(slot), is_copy: true, ..Self::default() }
    }

    /// Adds spans of another one, which has no origins, and for which there is room.
    pub(crate) fn add_all(&mut self, other: &Self) {
        self.bytes.put_all(&other.bytes);
        self.spans += other.spans;
    }
}

/// What a shard counted since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) oversize: u64,
    /// Finished after the last seal.
    pub(crate) late: u64,
}

#[derive(Debug, Default)]
struct Shard {
    active: Chunk,
    /// Waits to be taken into the log.
    full: Option<Chunk>,
    refused: Refused,
    /// Bytes that [`Shards::unsealed`] knows of, and those that it does not.
    told: usize,
    untold: usize,
    is_final: bool,
}

/// Where a span was put, and what is to be done about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// A chunk is full and wants to be taken into the log.
    pub(crate) full: bool,
    /// Who waits for spans should look.
    pub(crate) wake: bool,
}

#[derive(Debug)]
pub(crate) struct Shards {
    list: Box<[CachePadded<Mutex<Shard>>]>,
    chunk_bytes_max: usize,
    /// So many bytes wake who waits for spans.
    wake_bytes: usize,
    /// A shard tells of so many bytes at once.
    step: usize,
    rooms: Rooms,
    clock: Clock,
    /// Bytes that wait in shards, but for less than a step in each.
    unsealed: AtomicUsize,
    /// An urgent span waits in some shard.
    urgent: AtomicBool,
    /// Memory of chunks that are gone, one for each shard at most: fresh memory costs more than spans.
    spare: Mutex<Vec<Vec<u8>>>,
}

#[cfg(not(sigyn_loom))]
thread_local! {
    static SEAT: Cell<usize> = const { Cell::new(usize::MAX) };
}

#[cfg(sigyn_loom)]
loom::thread_local! {
    static SEAT: Cell<usize> = Cell::new(0);
}

/// How many shards there are, and how large chunks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// A power of two.
    pub(crate) shards: usize,
    pub(crate) chunk_bytes_max: usize,
}

impl Plan {
    /// For a log of this size.
    pub(crate) fn of(log_bytes_max: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards =
            (log_bytes_max / LOG_BYTES_PER_SHARD).clamp(1, (2 * cores).next_power_of_two());
        let chunk_bytes_max =
            (log_bytes_max / (8 * shards)).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        Self { shards, chunk_bytes_max }
    }
}

impl Shards {
    pub(crate) fn new(plan: Plan, wake_bytes: usize, rooms: Rooms, clock: Clock) -> Self {
        let Plan { shards, chunk_bytes_max } = plan;
        let chunk_bytes_max = rooms.chunk_bytes_max(chunk_bytes_max);
        Self {
            list: (0..shards).map(|_| CachePadded::default()).collect(),
            rooms,
            clock,
            chunk_bytes_max,
            wake_bytes,
            step: (wake_bytes / (8 * shards)).max(512),
            unsealed: AtomicUsize::new(0),
            urgent: AtomicBool::new(false),
            spare: Mutex::default(),
        }
    }

    /// What all shards take at most while the largest span takes so much.
    pub(crate) fn bytes_max(&self, span_bytes_max: usize) -> usize {
        self.list.len() * 3 * (self.chunk_bytes_max.max(span_bytes_max) + CHUNK_OVERHEAD)
    }

    /// Puts a finished span where it waits to be sealed. `take` is called, without any lock held, when
    /// the shard has a full chunk still and another one: it must take full chunks away. Told not to wait, it may say
    /// that it did not.
    #[inline(always)]
    pub(crate) fn push(
        &self,
        span: Finished<'_>,
        origin: Option<&Origin>,
        urgent: bool,
        take: impl Fn(bool) -> bool,
    ) -> Pushed {
        let mut pushed = Pushed::default();
        let mut shard = self.enter();
        let mut tried = 0;
        while shard.is_final || !shard.has_room(span.len(), origin, self.chunk_bytes_max) {
            if shard.is_final {
                shard.refused.late += 1;
                return pushed;
            }
            if shard.full.is_none() {
                pushed.full = true;
                shard.full = Some(mem::take(&mut shard.active));
                break;
            }
            drop(shard);
            // While somebody is at the log, there is room in another shard, unless all are full.
            tried += 1;
            shard = if take(tried >= self.list.len()) {
                self.enter()
            } else {
                self.enter_beside((self.seat() + tried - 1) & (self.list.len() - 1))
            };
        }
        if shard.active.spans == 0 {
            self.make_room(&mut shard.active.bytes, span.len());
        }
        shard.active.push(span, origin);
        shard.untold += span.len();
        if shard.untold >= self.step {
            let untold = mem::take(&mut shard.untold);
            shard.told += untold;
            let before = self.unsealed.fetch_add(untold, Ordering::Relaxed);
            // Each further measure wakes again, so that none who came between sleeps on.
            pushed.wake = before / self.wake_bytes != (before + untold) / self.wake_bytes;
        }
        drop(shard);
        if urgent && !self.urgent.swap(true, Ordering::Relaxed) {
            pushed.wake = true;
        }
        pushed
    }

    #[cold]
    fn make_room(&self, room: &mut Room, len: usize) {
        if let Some(elsewhere) = self.rooms.room(len, &self.clock) {
            *room = elsewhere;
            return;
        }
        #[cfg_attr(
            not(feature = "spool"),
            expect(irrefutable_let_patterns, reason = "rooms elsewhere are optional")
        )]
        let Room::Heap(bytes) = room else { return };
        // Fresh memory costs less than to wait for whoever was stopped there.
        if bytes.capacity() == 0
            && let Ok(mut spares) = self.spare.try_lock()
            && let Some(spare) = spares.pop()
        {
            *bytes = spare;
        }
        bytes.reserve_exact(self.chunk_bytes_max.max(len));
    }

    /// Takes back the memory of a chunk that nobody reads any more.
    pub(crate) fn reuse(&self, chunk: Chunk) {
        #[cfg_attr(
            not(feature = "spool"),
            expect(irrefutable_let_patterns, reason = "rooms elsewhere are optional")
        )]
        let Room::Heap(mut bytes) = chunk.bytes else { return };
        if bytes.capacity() == self.chunk_bytes_max {
            bytes.clear();
            if let Ok(mut spares) = self.spare.try_lock()
                && spares.len() < self.list.len()
            {
                spares.push(bytes);
            }
        }
    }

    /// Counts a finished span that breaks the cap.
    pub(crate) fn refuse(&self) {
        let mut shard = self.enter();
        let is_final = shard.is_final;
        let refused = &mut shard.refused;
        *(if is_final { &mut refused.late } else { &mut refused.oversize }) += 1;
    }

    /// Takes full chunks out of all shards, and half-full ones too if everything is asked for.
    /// `shut`: from now on spans are late.
    pub(crate) fn take(
        &self,
        everything: bool,
        shut: bool,
        mut each: impl FnMut(Chunk),
    ) -> Refused {
        if everything {
            // Before the shards are looked at: what is urgent from here on says so again.
            self.urgent.store(false, Ordering::Relaxed);
        }
        let mut all = Refused::default();
        for shard in &self.list {
            let mut shard = lock(shard);
            let full = shard.full.take();
            let active = if everything && shard.active.spans > 0 {
                Some(mem::take(&mut shard.active))
            } else {
                None
            };
            let gone = full.iter().chain(&active).map(|chunk| chunk.bytes.len()).sum::<usize>();
            let told = shard.told.min(gone);
            shard.told -= told;
            shard.untold = shard.untold.saturating_sub(gone - told);
            let refused = mem::take(&mut shard.refused);
            shard.is_final |= shut;
            drop(shard);
            self.unsealed.fetch_sub(told, Ordering::Relaxed);
            all.oversize += refused.oversize;
            all.late += refused.late;
            full.into_iter().chain(active).for_each(&mut each);
        }
        all
    }

    /// From now on what waits is worth waking somebody for.
    pub(crate) fn hurry(&self) {
        self.urgent.store(true, Ordering::Relaxed);
    }

    /// Whether what waits is worth waking somebody for.
    pub(crate) fn are_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed)
    }

    /// Bytes that wait, but for a little.
    pub(crate) fn unsealed(&self) -> usize {
        self.unsealed.load(Ordering::Relaxed)
    }

    /// What waits and what was counted, without taking it: spans, their weight, refusals.
    pub(crate) fn figures(&self) -> (u64, usize, Refused) {
        let (mut spans, mut bytes, mut refused) = (0, 0, Refused::default());
        for shard in &self.list {
            let shard = lock(shard);
            for chunk in shard.full.iter().chain([&shard.active]) {
                spans += chunk.spans;
                bytes += chunk.weight();
            }
            refused.oversize += shard.refused.oversize;
            refused.late += shard.refused.late;
        }
        (spans, bytes, refused)
    }

    /// This thread's shard, or its neighbour if somebody is there already.
    #[inline]
    fn enter(&self) -> MutexGuard<'_, Shard> {
        let seat = self.seat();
        match self.list[seat].try_lock() {
            Ok(shard) => shard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => self.enter_beside(seat),
        }
    }

    /// Whoever holds a shard may have been stopped by the kernel: all others are tried before one is waited for.
    #[cold]
    fn enter_beside(&self, seat: usize) -> MutexGuard<'_, Shard> {
        let others = self.list[seat..].iter().chain(&self.list[..seat]).skip(1);
        for shard in others {
            match shard.try_lock() {
                Ok(shard) => return shard,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        lock(&self.list[seat])
    }

    #[inline]
    fn seat(&self) -> usize {
        seat() & (self.list.len() - 1)
    }
}

/// A number of this thread's own, so that threads spread over whatever there are fewer of.
#[cfg(not(sigyn_loom))]
#[inline]
pub(crate) fn seat() -> usize {
    match SEAT.get() {
        usize::MAX => take_seat(),
        seat => seat,
    }
}

/// The one that it was told, so that each run of a model is like the others.
#[cfg(sigyn_loom)]
pub(crate) fn seat() -> usize {
    SEAT.with(Cell::get)
}

#[cfg(sigyn_loom)]
pub(crate) fn sit(at: usize) {
    SEAT.with(|seat| seat.set(at));
}

#[cfg(not(sigyn_loom))]
#[cold]
fn take_seat() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let seat = NEXT.fetch_add(1, Ordering::Relaxed) % usize::MAX;
    SEAT.set(seat);
    seat
}

impl Shard {
    #[inline(always)]
    fn has_room(&self, len: usize, origin: Option<&Origin>, chunk_bytes_max: usize) -> bool {
        self.active.spans == 0 || self.active.has_room(len, origin, chunk_bytes_max)
    }
}

/// A panic elsewhere must not become one here: what a shard counts is written before it is read.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

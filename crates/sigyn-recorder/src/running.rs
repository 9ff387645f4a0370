//! Spans that have not finished, where others can see them: what hangs now is in none of the finished ones.
//!
//! Each unfinished span has a place of its own, which its thread writes without locks and anybody may read. A place that
//! is written while it is read is read again.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crossbeam_utils::CachePadded;
use sigyn_model::{Kind, SpanId, TraceId};

use crate::ids;
use crate::intern::{Glossary, Id};
use crate::propagation::Context;
use crate::whole::{kind_bits, kind_of};

/// So much is seen of a name that is no literal.
const NAME_WORDS: usize = 8;
/// A place that is written again and again while it is read is left out.
const READS_MAX: usize = 8;

/// What others see of an unfinished span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) trace_id: TraceId,
    pub(crate) id: SpanId,
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) name: String,
    pub(crate) kind: Option<Kind>,
    /// Of the recorder's clock.
    pub(crate) started: u64,
    pub(crate) sampled: Option<bool>,
}

/// The same before its name is looked up: a number, or a name that is no literal.
#[derive(Debug)]
struct Seen {
    trace_id: TraceId,
    id: SpanId,
    parent_id: Option<SpanId>,
    name: Result<Id, String>,
    kind: Option<Kind>,
    started: u64,
    sampled: Option<bool>,
}

impl Seen {
    fn named(self, glossary: &Glossary) -> Running {
        let Self { trace_id, id, parent_id, name, kind, started, sampled } = self;
        let name = name.map_or_else(|own| own, |id| glossary.text(id).to_owned());
        Running { trace_id, id, parent_id, name, kind, started, sampled }
    }
}

/// One unfinished span after another. On cache lines of its own, as other threads write theirs beside it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Place {
    /// Odd while it is written.
    version: AtomicU64,
    trace_high: AtomicU64,
    trace_low: AtomicU64,
    id: AtomicU64,
    parent: AtomicU64,
    /// Zero: nothing runs here.
    started: AtomicU64,
    /// The number of its name, its kind, whether it is sampled.
    rest: AtomicU64,
    own_name: [AtomicU64; NAME_WORDS],
}

const NO_NAME: u64 = 1 << 16;
const KIND_SHIFT: u32 = 20;
const SAMPLED_SHIFT: u32 = 24;

impl Place {
    #[inline]
    pub(crate) fn start(&self, context: &Context, started: u64, rest: u64) {
        self.write(|place| {
            place.is(context);
            place.started.store(started, Ordering::Relaxed);
            place.rest.store(rest | sampled_bits(context), Ordering::Relaxed);
        });
    }

    /// What is written beside the context.
    #[inline]
    pub(crate) fn rest(name: Option<Id>, kind: Option<Kind>) -> u64 {
        let name = name.map_or(NO_NAME, |id| id.raw().into());
        name | u64::from(kind_bits(kind)) << KIND_SHIFT
    }

    /// It is known by now of which trace it is, or whether that is sampled.
    #[inline]
    pub(crate) fn set_context(&self, context: &Context) {
        self.write(|place| {
            place.is(context);
            let rest = place.rest.load(Ordering::Relaxed) & ((1 << SAMPLED_SHIFT) - 1);
            place.rest.store(rest | sampled_bits(context), Ordering::Relaxed);
        });
    }

    #[cold]
    pub(crate) fn set_rest(&self, rest: u64) {
        self.write(|place| {
            let sampled = place.rest.load(Ordering::Relaxed) >> SAMPLED_SHIFT << SAMPLED_SHIFT;
            place.rest.store(rest | sampled, Ordering::Relaxed);
        });
    }

    /// A name that is no literal.
    pub(crate) fn set_own_name(&self, name: &str) {
        let mut bytes = [0; 8 * NAME_WORDS];
        let name = &name[..name.floor_char_boundary(bytes.len())];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        self.write(|place| {
            for (word, bytes) in place.own_name.iter().zip(bytes.as_chunks().0) {
                word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
            }
        });
    }

    #[inline]
    pub(crate) fn finish(&self) {
        self.started.store(0, Ordering::Release);
    }

    #[inline]
    fn is(&self, context: &Context) {
        self.trace_high.store(context.trace_id.high(), Ordering::Relaxed);
        self.trace_low.store(context.trace_id.low(), Ordering::Relaxed);
        self.id.store(context.span_id.map_or(0, SpanId::as_u64), Ordering::Relaxed);
        self.parent.store(context.parent_id.map_or(0, SpanId::as_u64), Ordering::Relaxed);
    }

    /// Only the span's own thread writes.
    #[inline]
    fn write(&self, change: impl FnOnce(&Self)) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        change(self);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    fn read(&self) -> Option<Seen> {
        for _ in 0..READS_MAX {
            let before = self.version.load(Ordering::Acquire);
            let started = self.started.load(Ordering::Relaxed);
            if started == 0 {
                return None;
            }
            let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
            let trace_id =
                u128::from(load(&self.trace_high)) << 64 | u128::from(load(&self.trace_low));
            let (id, parent, rest) = (load(&self.id), load(&self.parent), load(&self.rest));
            let own_name = self.own_name.each_ref().map(|word| load(word).to_le_bytes());
            fence(Ordering::Acquire);
            if before % 2 == 1 || self.version.load(Ordering::Relaxed) != before {
                continue;
            }
            let name = match u16::try_from(rest & (2 * NO_NAME - 1)) {
                Ok(id) => Ok(Id::from_raw(id)),
                Err(_) => {
                    let bytes = own_name.as_flattened();
                    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                    Err(String::from_utf8_lossy(&bytes[..len]).into_owned())
                }
            };
            return Some(Seen {
                trace_id: TraceId::new(trace_id)?,
                id: SpanId::new(id)?,
                parent_id: SpanId::new(parent),
                name,
                kind: kind_of(u16::try_from(rest >> KIND_SHIFT & 0b111).unwrap_or(0)),
                started,
                sampled: match rest >> SAMPLED_SHIFT {
                    1 => Some(false),
                    2 => Some(true),
                    _ => None,
                },
            });
        }
        None
    }
}

#[inline]
fn sampled_bits(context: &Context) -> u64 {
    let bits = match context.sampled {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    };
    bits << SAMPLED_SHIFT
}

/// All places of a recorder, in parts: whoever looks at all of them holds up few of those who need another one.
#[derive(Debug, Default)]
pub(crate) struct Places {
    parts: [CachePadded<Mutex<Vec<Weak<Place>>>>; PARTS],
}

const PARTS: usize = 16;

impl Places {
    /// Another one, for as long as it is held.
    pub(crate) fn take(&self) -> Arc<Place> {
        let place = Arc::new(Place::default());
        let mut part = lock(&self.parts[ids::thread_of(PARTS)]);
        if part.len() == part.capacity() {
            part.retain(|place| place.strong_count() > 0);
            // At least half of it is free then, so that not each further place looks at all.
            let more = part.len().max(16);
            part.reserve(more);
        }
        part.push(Arc::downgrade(&place));
        place
    }

    /// All that runs at about this moment, longest first.
    pub(crate) fn running(&self) -> Vec<Running> {
        let mut seen = Vec::new();
        for part in &self.parts {
            let places = lock(part).clone();
            seen.extend(places.iter().filter_map(|place| place.upgrade()?.read()));
        }
        // A name that is seen has had its number before.
        let glossary = Glossary::now();
        let mut running: Vec<_> = seen.into_iter().map(|seen| seen.named(&glossary)).collect();
        running.sort_unstable_by_key(|running| running.started);
        running
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The spans that are open, each by the id that its subscriber gave it.
//!
//! A subscriber's own place for what layers know of a span costs a lookup, a lock and an allocation: more than the
//! recorder takes for the whole span.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;
use sigyn_recorder::Context;
use tracing::span::Id;

use crate::running::Running;

/// A power of two: threads seldom meet at one.
const SHARDS: usize = 64;

/// A shard with room for more gives it back when it is empty: there were once very many open spans.
const EMPTY_MAX: usize = 1024;

/// What is known of a span while it is open.
#[derive(Debug)]
pub(crate) enum Open {
    Running(Place),
    /// A span below one that is not sampled: its context is that of the one above.
    LeftOut(Option<Id>),
    /// The same, and its context is known elsewhere. A variant of its own, so that what is known of a span goes in two
    /// registers.
    LeftOutAndTold(Option<Id>),
}

impl Open {
    /// Its context is known elsewhere: to a child, or to another process.
    pub(crate) fn is_told(&self) -> bool {
        match self {
            Self::Running(place) => place.get().is_some_and(|running| running.told),
            Self::LeftOut(_) => false,
            Self::LeftOutAndTold(_) => true,
        }
    }

    /// `None`: it is left out.
    #[inline]
    pub(crate) fn running(&mut self) -> Option<&mut Running> {
        match self {
            Self::Running(place) => place.get_mut(),
            Self::LeftOut(_) | Self::LeftOutAndTold(_) => None,
        }
    }
}

/// Where a span lies while it runs. Its memory is for the next span of the thread that drops it.
#[derive(Debug)]
pub(crate) struct Place(Option<Box<Option<Running>>>);

/// So much of it a thread keeps.
const KEPT_MAX: usize = 16;

thread_local! {
    #[expect(clippy::vec_box, reason = "the box itself is what goes to a span and comes back")]
    static KEPT: RefCell<Vec<Box<Option<Running>>>> = const { RefCell::new(Vec::new()) };
}

impl Place {
    #[inline]
    pub(crate) fn of(running: Running) -> Self {
        // A thread that is ending keeps nothing any more.
        let kept = KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten();
        Self(Some(match kept {
            Some(mut memory) => {
                *memory = Some(running);
                memory
            }
            None => Box::new(Some(running)),
        }))
    }

    fn get(&self) -> Option<&Running> {
        self.0.as_deref()?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut Running> {
        self.0.as_deref_mut()?.as_mut()
    }
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        let Some(mut memory) = self.0.take() else { return };
        // It is recorded here.
        *memory = None;
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT_MAX {
                kept.push(memory);
            }
        });
    }
}

/// All open spans of one subscriber.
#[derive(Debug)]
pub(crate) struct OpenSpans {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
}

type Shard = HashMap<u64, Open, BuildHasherDefault<Mixed>>;

impl Default for OpenSpans {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| CachePadded::default()).collect() }
    }
}

impl OpenSpans {
    #[inline]
    pub(crate) fn put(&self, id: &Id, open: Open) {
        let before = self.shard(id).insert(id.into_u64(), open);
        // What is dropped here is recorded: not while others wait.
        drop(before);
    }

    #[inline]
    pub(crate) fn take(&self, id: &Id) -> Option<Open> {
        let mut shard = self.shard(id);
        let open = shard.remove(&id.into_u64());
        if shard.capacity() > EMPTY_MAX && shard.is_empty() {
            *shard = Shard::default();
        }
        open
    }

    /// Nothing that is done with it may come back here.
    #[inline]
    pub(crate) fn with<T>(&self, id: &Id, with: impl FnOnce(&mut Open) -> T) -> Option<T> {
        self.shard(id).get_mut(&id.into_u64()).map(with)
    }

    /// The same, with one that is not left out.
    #[inline]
    pub(crate) fn with_running<T>(
        &self,
        id: &Id,
        with: impl FnOnce(&mut Running) -> T,
    ) -> Option<T> {
        self.with(id, |open| open.running().map(with)).flatten()
    }

    /// Calls with the context that a child of this span continues: its own, or that of the nearest span above which has
    /// one. No two spans are locked at once.
    #[inline]
    pub(crate) fn with_context<T>(&self, id: &Id, with: impl FnOnce(&Context) -> T) -> Option<T> {
        let mut above;
        let mut id = id;
        loop {
            let mut shard = self.shard(id);
            let open = shard.get_mut(&id.into_u64())?;
            match open {
                Open::Running(place) => return place.get_mut().map(|it| with(it.tell())),
                Open::LeftOut(next) | Open::LeftOutAndTold(next) => {
                    above = next.clone()?;
                    *open = Open::LeftOutAndTold(Some(above.clone()));
                }
            }
            drop(shard);
            id = &above;
        }
    }

    /// Whether anything that is said of this span will be read. `None`: it is unknown.
    #[inline]
    pub(crate) fn is_recorded(&self, id: &Id) -> Option<bool> {
        self.with(id, |open| open.running().is_some_and(|running| running.span.is_sampled()))
    }

    #[inline]
    fn shard(&self, id: &Id) -> MutexGuard<'_, Shard> {
        let shard = mix(id.into_u64()) >> (u64::BITS - SHARDS.ilog2());
        self.shards[usize::try_from(shard).unwrap_or(0)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ids are small numbers beside each other.
#[inline]
fn mix(id: u64) -> u64 {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[derive(Debug, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    #[inline]
    fn write_u64(&mut self, id: u64) {
        // The upper bits are alike within a shard.
        self.0 = mix(id).rotate_left(u64::BITS / 2);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = mix(self.0 ^ u64::from(*byte));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

//! What was read of blocks and may be wanted again: one for all blocks of a store, bounded in bytes.
//!
//! Pages of rows are many and large, and most are wanted once. So they have a small part of it to
//! themselves, and come to what is kept for longer when they are wanted again.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;

/// By the number of the block, and the place in its file.
pub(super) type Key = (u64, u64);

/// Decoded pieces of blocks. What was not asked for since half of it was replaced is forgotten.
pub(crate) struct Cache {
    bytes_max: u64,
    generations: Mutex<Generations>,
    blocks: AtomicU64,
}

#[derive(Default)]
struct Generations {
    young: Shelf,
    old: Shelf,
    /// Asked for once.
    fresh: Shelf,
}

#[derive(Default)]
struct Shelf {
    held: HashMap<Key, Held, RandomState>,
    bytes: u64,
}

#[derive(Clone)]
struct Held {
    value: Arc<dyn Any + Send + Sync>,
    bytes: u64,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

impl Default for Cache {
    fn default() -> Self {
        /// Enough for the dictionaries of what is asked for again and again.
        const BYTES_MAX: u64 = 32 << 20;
        Self::new(BYTES_MAX)
    }
}

impl Cache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, generations: Mutex::default(), blocks: AtomicU64::new(0) }
    }

    /// What stands under this key, or what `load` reads and in how many bytes it is held. Two may
    /// load the same at once; both are right.
    pub(super) fn get<T: Any + Send + Sync, E>(
        &self,
        key: Key,
        load: impl FnOnce() -> Result<(T, usize), E>,
    ) -> Result<Arc<T>, E> {
        self.get_or(key, Generations::put, load)
    }

    /// The same for one of many, most of which are wanted once.
    pub(super) fn get_one_of_many<T: Any + Send + Sync, E>(
        &self,
        key: Key,
        load: impl FnOnce() -> Result<(T, usize), E>,
    ) -> Result<Arc<T>, E> {
        self.get_or(key, Generations::put_fresh, load)
    }

    fn get_or<T: Any + Send + Sync, E>(
        &self,
        key: Key,
        put: fn(&mut Generations, Key, Held, u64) -> Shelf,
        load: impl FnOnce() -> Result<(T, usize), E>,
    ) -> Result<Arc<T>, E> {
        let known = self.lock().get(key, self.bytes_max);
        if let Some(known) = known.and_then(|value| value.downcast().ok()) {
            return Ok(known);
        }
        let (value, bytes) = load()?;
        let value = Arc::new(value);
        /// A place in a table, and the counts of who holds it.
        const PLACE_BYTES: usize = 64;
        let held = Held { value: value.clone(), bytes: (bytes + PLACE_BYTES) as u64 };
        // What has to go does so when others need not wait for it.
        let _gone = put(&mut self.lock(), key, held, self.bytes_max);
        Ok(value)
    }

    /// A number for a block that no other one had.
    pub(super) fn next_block(&self) -> u64 {
        self.blocks.fetch_add(1, Ordering::Relaxed)
    }

    /// What it holds at present.
    pub(crate) fn bytes(&self) -> u64 {
        let generations = self.lock();
        [&generations.young, &generations.old, &generations.fresh]
            .map(|shelf| shelf.bytes)
            .iter()
            .sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of all bytes that each of the two generations may take, and what is fresh.
const PARTS: u64 = 16;
const GENERATION_PARTS: u64 = 7;
const FRESH_PARTS: u64 = 2;

impl Generations {
    fn get(&mut self, key: Key, bytes_max: u64) -> Option<Arc<dyn Any + Send + Sync>> {
        if let Some(held) = self.young.held.get(&key) {
            return Some(held.value.clone());
        }
        let held = self.old.take(key).or_else(|| self.fresh.take(key))?;
        let value = held.value.clone();
        self.put(key, held, bytes_max);
        Some(value)
    }

    /// Returns what had to go for it.
    fn put(&mut self, key: Key, held: Held, bytes_max: u64) -> Shelf {
        let most = bytes_max / PARTS * GENERATION_PARTS;
        let mut gone = Shelf::default();
        if held.bytes > most {
            return gone;
        }
        if self.young.bytes + held.bytes > most {
            gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        }
        self.young.put(key, held);
        gone
    }

    /// The same for what comes to the others when it is asked for again.
    fn put_fresh(&mut self, key: Key, held: Held, bytes_max: u64) -> Shelf {
        let most = bytes_max / PARTS * FRESH_PARTS;
        let mut gone = Shelf::default();
        if held.bytes > most {
            return gone;
        }
        if self.fresh.bytes + held.bytes > most {
            gone = std::mem::take(&mut self.fresh);
        }
        self.fresh.put(key, held);
        gone
    }
}

impl Shelf {
    fn put(&mut self, key: Key, held: Held) {
        self.bytes += held.bytes;
        if let Some(replaced) = self.held.insert(key, held) {
            self.bytes -= replaced.bytes;
        }
    }

    fn take(&mut self, key: Key) -> Option<Held> {
        let held = self.held.remove(&key)?;
        self.bytes -= held.bytes;
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(cache: &Cache, key: u64) -> bool {
        let mut is_new = false;
        let value: Result<Arc<u64>, ()> = cache.get((0, key), || {
            is_new = true;
            Ok((key, 36))
        });
        assert_eq!(value, Ok(Arc::new(key)));
        is_new
    }

    #[test]
    fn of_many_those_stay_that_are_asked_for_again() {
        let cache = Cache::new(1_600);
        let get_one = |key: u64| {
            let mut is_new = false;
            let value: Result<Arc<u64>, ()> = cache.get_one_of_many((0, key), || {
                is_new = true;
                Ok((key, 36))
            });
            assert_eq!(value, Ok(Arc::new(key)));
            is_new
        };
        assert!(get(&cache, 1_000) && get_one(0) && !get_one(0));
        for key in 1..100 {
            assert!(get_one(key) && cache.bytes() <= 1_600);
        }
        assert!(!get(&cache, 1_000) && !get_one(0) && get_one(1) && !get_one(1));
    }

    #[test]
    fn what_is_asked_for_stays_and_no_more_than_there_is_room_for() {
        let cache = Cache::new(1_000);
        for key in 0..100 {
            assert!(get(&cache, key));
            assert!(!get(&cache, key) && cache.bytes() <= 1_000);
            assert!(!get(&cache, 0), "{key}");
        }
        assert!(get(&cache, 1));
        let large: Result<Arc<u8>, ()> = cache.get((1, 0), || Ok((1, 10_000)));
        assert!(large.is_ok() && cache.bytes() <= 1_000);
        // Another type under the same key is no answer.
        let other: Result<Arc<u8>, ()> = cache.get((0, 0), || Ok((7, 1)));
        assert_eq!(other, Ok(Arc::new(7)));
        assert_eq!(cache.get((0, 5_000), || Err::<(u8, usize), _>("no")), Err("no"));
    }
}

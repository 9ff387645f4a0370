//! What was read of blocks and may be wanted again: one for all blocks of a store, bounded in bytes.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
    young: HashMap<Key, Held>,
    young_bytes: u64,
    old: HashMap<Key, Held>,
    old_bytes: u64,
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
        let known = self.lock().get(key, self.bytes_max);
        if let Some(known) = known.and_then(|value| value.downcast().ok()) {
            return Ok(known);
        }
        let (value, bytes) = load()?;
        let value = Arc::new(value);
        /// A place in a table, and the counts of who holds it.
        const PLACE_BYTES: usize = 64;
        let held = Held { value: value.clone(), bytes: (bytes + PLACE_BYTES) as u64 };
        self.lock().put(key, held, self.bytes_max);
        Ok(value)
    }

    /// A number for a block that no other one had.
    pub(super) fn next_block(&self) -> u64 {
        self.blocks.fetch_add(1, Ordering::Relaxed)
    }

    /// What it holds at present.
    pub(crate) fn bytes(&self) -> u64 {
        let generations = self.lock();
        generations.young_bytes + generations.old_bytes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn get(&mut self, key: Key, bytes_max: u64) -> Option<Arc<dyn Any + Send + Sync>> {
        if let Some(held) = self.young.get(&key) {
            return Some(held.value.clone());
        }
        let held = self.old.remove(&key)?;
        self.old_bytes -= held.bytes;
        let value = held.value.clone();
        self.put(key, held, bytes_max);
        Some(value)
    }

    fn put(&mut self, key: Key, held: Held, bytes_max: u64) {
        let half = bytes_max / 2;
        if held.bytes > half {
            return;
        }
        if self.young_bytes + held.bytes > half {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
        self.young_bytes += held.bytes;
        if let Some(replaced) = self.young.insert(key, held) {
            self.young_bytes -= replaced.bytes;
        }
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

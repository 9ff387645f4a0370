//! Memory for answers: each question takes what it needs of one pool, and gives it back when it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What all answers may take together.
#[derive(Debug)]
pub(crate) struct Rooms {
    bytes_max: u64,
    taken: AtomicU64,
    /// How many questions have a place.
    open: AtomicU64,
}

/// What one question has of it.
#[derive(Debug)]
pub(crate) struct Room {
    rooms: Arc<Rooms>,
    held: AtomicU64,
}

impl Rooms {
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max, taken: AtomicU64::new(0), open: AtomicU64::new(0) })
    }

    /// A place for a question that holds nothing yet.
    pub(crate) fn room(self: &Arc<Self>) -> Room {
        self.open.fetch_add(1, Ordering::Relaxed);
        Room { rooms: self.clone(), held: AtomicU64::new(0) }
    }

    /// Whether anything is being asked.
    pub(crate) fn are_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let all = |taken: u64| taken.checked_add(bytes).filter(|all| *all <= self.bytes_max);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, all).is_ok()
    }
}

impl Room {
    /// Makes sure that so much is held, and says whether it is. What was held once stays until the end:
    /// a question that needed much is likely to need it again.
    pub(crate) fn hold(&self, bytes: u64) -> bool {
        let held = self.held.load(Ordering::Relaxed);
        if bytes <= held {
            return true;
        }
        // In steps, so that most spans that are added ask nobody. If there is less than a step, that will do.
        const STEP: u64 = 1 << 20;
        let stepped = bytes.checked_next_multiple_of(STEP).unwrap_or(bytes);
        [stepped, bytes].into_iter().any(|all| {
            let is_held = self.rooms.take(all - held);
            if is_held {
                self.held.store(all, Ordering::Relaxed);
            }
            is_held
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.rooms.taken.fetch_sub(*self.held.get_mut(), Ordering::Relaxed);
        self.rooms.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_share_what_there_is_and_give_it_back() {
        const MB: u64 = 1 << 20;
        let rooms = Rooms::new(10 * MB);
        let (first, second) = (rooms.room(), rooms.room());
        assert!(first.hold(1) && rooms.taken() == MB);
        assert!(first.hold(6 * MB + 1) && rooms.taken() == 7 * MB);
        assert!(first.hold(5) && rooms.taken() == 7 * MB);
        assert!(!second.hold(3 * MB + 1) && rooms.taken() == 7 * MB);
        assert!(second.hold(3 * MB) && !second.hold(u64::MAX));
        drop(first);
        assert!(second.hold(9 * MB + 7) && !rooms.room().hold(MB));
        drop(second);
        assert!(rooms.taken() == 0 && !rooms.are_open());
    }
}

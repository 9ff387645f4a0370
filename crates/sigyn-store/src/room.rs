//! Memory for answers: each question takes what it needs of one pool, and gives it back when it is over.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

/// What all answers may take together.
#[derive(Debug)]
pub(crate) struct Rooms {
    bytes_max: u64,
    taken: AtomicU64,
    /// How many questions have a place.
    open: AtomicU64,
    /// How many threads beside theirs work for them.
    helping: AtomicU64,
}

/// Threads that may work for a question until this is dropped.
#[derive(Debug)]
pub(crate) struct Helpers {
    rooms: Arc<Rooms>,
    count: u64,
}

impl Helpers {
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.rooms.helping.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// What one question has of it.
#[derive(Debug)]
pub(crate) struct Room {
    rooms: Arc<Rooms>,
    held: AtomicU64,
    /// Beside that, for as long as something is open.
    opened: AtomicU64,
}

/// What a question has open, such as a page of a block: it counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Opened {
    room: Arc<Room>,
    bytes: u64,
}

/// Why something cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    #[error("a question alone takes more than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
    #[error("other questions take the memory that there is for them")]
    Taken,
}

impl Rooms {
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        let [taken, open, helping] = std::array::from_fn(|_| AtomicU64::new(0));
        Arc::new(Self { bytes_max, taken, open, helping })
    }

    /// A place for a question that holds nothing yet.
    pub(crate) fn room(self: &Arc<Self>) -> Room {
        self.open.fetch_add(1, Ordering::Relaxed);
        Room { rooms: self.clone(), held: AtomicU64::new(0), opened: AtomicU64::new(0) }
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

impl Room {
    /// Other threads that may work for this question, where cores are idle and there is much room.
    pub(crate) fn helpers(&self, most: u64) -> Helpers {
        /// What one of them may open beside what the question does.
        const BYTES: u64 = 32 << 20;
        static CORES: OnceLock<u64> = OnceLock::new();
        let cores = || thread::available_parallelism().map_or(1, NonZero::get) as u64;
        let (rooms, cores) = (self.rooms.clone(), *CORES.get_or_init(cores));
        let for_room = rooms.bytes_max.saturating_sub(rooms.taken()) / 2 / BYTES;
        let open = rooms.open.load(Ordering::Relaxed);
        let mut count = 0;
        let more = |helping: u64| {
            count = cores.saturating_sub(open + helping).min(most).min(for_room);
            (count > 0).then_some(helping + count)
        };
        // Nobody is asked if there is nobody.
        let _ = rooms.helping.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        Helpers { rooms, count }
    }

    /// Takes so much beside what is held, until what this returns is dropped.
    pub(crate) fn open(self: &Arc<Self>, bytes: u64) -> Result<Opened, NoRoom> {
        let mut opened = Opened { room: self.clone(), bytes: 0 };
        opened.resize(bytes)?;
        Ok(opened)
    }
}

impl Opened {
    /// It takes so much from now on.
    pub(crate) fn resize(&mut self, bytes: u64) -> Result<(), NoRoom> {
        let Room { rooms, held, opened } = &*self.room;
        if let Some(more) = bytes.checked_sub(self.bytes) {
            let own = held.load(Ordering::Relaxed) + opened.load(Ordering::Relaxed);
            let bytes_max = rooms.bytes_max;
            if own.checked_add(more).is_none_or(|own| own > bytes_max) {
                return Err(NoRoom::TooLarge { bytes_max });
            }
            if !rooms.take(more) {
                return Err(NoRoom::Taken);
            }
            opened.fetch_add(more, Ordering::Relaxed);
        } else {
            let less = self.bytes - bytes;
            rooms.taken.fetch_sub(less, Ordering::Relaxed);
            opened.fetch_sub(less, Ordering::Relaxed);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Less can always be had.
        let _ = self.resize(0);
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

    #[test]
    fn what_is_open_counts_until_it_is_dropped() {
        const MB: u64 = 1 << 20;
        let rooms = Rooms::new(10 * MB);
        let (first, second) = (Arc::new(rooms.room()), Arc::new(rooms.room()));
        assert!(first.hold(2 * MB));
        let mut page = first.open(5 * MB).unwrap();
        assert_eq!(rooms.taken(), 7 * MB);
        let too_large = NoRoom::TooLarge { bytes_max: 10 * MB };
        assert_eq!(first.open(3 * MB + 1).unwrap_err(), too_large);
        assert_eq!(second.open(3 * MB + 1).unwrap_err(), NoRoom::Taken);
        assert!(second.open(3 * MB).is_ok() && rooms.taken() == 7 * MB);
        page.resize(MB).unwrap();
        assert_eq!((rooms.taken(), page.resize(u64::MAX)), (3 * MB, Err(too_large)));
        let other = second.open(7 * MB).unwrap();
        assert!(page.resize(2 * MB) == Err(NoRoom::Taken) && !first.hold(2 * MB + 1));
        drop((page, other));
        assert_eq!(rooms.taken(), 2 * MB);
        drop((first, second));
        assert!(rooms.taken() == 0 && !rooms.are_open());
    }

    #[test]
    fn others_work_for_a_question_where_cores_are_idle_and_there_is_room() {
        let rooms = Rooms::new(1 << 30);
        let cores = thread::available_parallelism().map_or(1, NonZero::get) as u64;
        let room = rooms.room();
        let all = room.helpers(u64::MAX);
        assert!(all.count() < cores && all.count() == (cores - 1).min(16));
        // They are not there twice.
        assert!(all.count() == 16 || room.helpers(1).count() == 0);
        drop(all);
        assert_eq!(room.helpers(1).count(), 1.min(cores - 1));
        // Each other question has one.
        let others: Vec<Room> = (1..cores).map(|_| rooms.room()).collect();
        assert_eq!(room.helpers(1).count(), 0);
        drop(others);
        let small = Rooms::new(63 << 20);
        assert_eq!(small.room().helpers(1).count(), 0);
    }
}

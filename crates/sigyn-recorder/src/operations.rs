//! What is known of operations, which are spans where a trace begins or enters this process, by their names.
//!
//! It is a table of fixed size without locks: recording threads read and write it. When it is full, all further
//! operations are one.

use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::intern::Id;
use crate::share::Threshold;

/// Operations that are told apart.
pub(crate) const OPERATIONS_MAX: u64 = 2_000;
const PLACES: usize = 4_096;
/// Places that are looked at for one operation.
const PROBES: usize = 32;
/// Durations that are looked at before any is called slow.
const LEARNT: u64 = 100;
/// By which factor (its binary logarithm) one slow operation raises what is slow; ninety-nine others lower it again.
const STEP: f32 = 0.25;
const QUANTILE: f32 = 0.99;
/// Slow is more than that by at least what one quick operation lowers it: where all take the same time, none is.
const MARGIN: f32 = 2.0 * STEP * (1.0 - QUANTILE);

/// A threshold takes so many bits, and the rest says when it was looked up.
const THRESHOLD_BITS: u32 = 57;
const GENERATIONS: u64 = (1 << (64 - THRESHOLD_BITS)) - 1;
/// No generation.
const UNKNOWN: u64 = u64::MAX;

/// An operation's name, as little of it as tells it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Key {
    pub(crate) fn of(literal: Option<Id>, own_name: &str) -> Self {
        if let Some(id) = literal {
            return Self(u64::from(id.raw()) + 1);
        }
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(own_name.as_bytes());
        Self(hasher.finish() | 1 << 63)
    }
}

/// What is known of one.
#[derive(Debug)]
pub(crate) struct Operation {
    key: AtomicU64,
    /// What is wanted of it, or that nobody has looked yet.
    wanted: AtomicU64,
    /// When the next trace is due of it, in the clock's nanoseconds.
    due: AtomicU64,
    /// How many durations were looked at, and the logarithm of the one that is exceeded by one in a hundred.
    slow: AtomicU64,
}

impl Default for Operation {
    fn default() -> Self {
        Self {
            key: AtomicU64::new(0),
            wanted: AtomicU64::new(UNKNOWN),
            due: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Operations {
    places: Box<[Operation]>,
    others: Operation,
    known: AtomicU64,
    /// Which of the answers to what is wanted are of now.
    generation: AtomicU64,
}

impl Default for Operations {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| Operation::default()).collect(),
            others: Operation::default(),
            known: AtomicU64::new(0),
            generation: AtomicU64::new(1),
        }
    }
}

impl Operations {
    /// This one, or what all share that are not told apart.
    pub(crate) fn of(&self, key: Key) -> &Operation {
        self.own(key).unwrap_or(&self.others)
    }

    /// `None` if it is not told apart.
    pub(crate) fn own(&self, key: Key) -> Option<&Operation> {
        let start = usize::try_from(key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52).unwrap_or(0);
        for probe in 0..PROBES {
            let place = &self.places[(start + probe) % PLACES];
            match place.key.load(Ordering::Relaxed) {
                known if known == key.0 => return Some(place),
                0 => match self.claim(place, key) {
                    Some(true) => return Some(place),
                    Some(false) => {}
                    None => return None,
                },
                _ => {}
            }
        }
        None
    }

    /// Whether a free place is this operation's now; `None` if there is none for it.
    #[cold]
    fn claim(&self, place: &Operation, key: Key) -> Option<bool> {
        if self.known.load(Ordering::Relaxed) >= OPERATIONS_MAX {
            return None;
        }
        match place.key.compare_exchange(0, key.0, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                self.known.fetch_add(1, Ordering::Relaxed);
                Some(true)
            }
            Err(taken) => Some(taken == key.0),
        }
    }

    /// Operations told apart so far.
    pub(crate) fn known(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }

    /// What is wanted of operations has changed: it is looked up again. Answers of before that come late do not count.
    pub(crate) fn forget_wanted(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// To be asked for before anything is looked up.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire) % GENERATIONS
    }
}

impl Operation {
    /// Which traces are wanted of it, looked up when nobody has.
    pub(crate) fn wanted(&self, generation: u64, look_up: impl FnOnce() -> Threshold) -> Threshold {
        let known = self.wanted.load(Ordering::Relaxed);
        if known >> THRESHOLD_BITS == generation {
            return Threshold::from_raw(known & ((1 << THRESHOLD_BITS) - 1));
        }
        let wanted = look_up();
        self.wanted.store(generation << THRESHOLD_BITS | wanted.raw(), Ordering::Relaxed);
        wanted
    }

    /// Whether a trace is due of it at this time; if so, the next one is due so much later.
    pub(crate) fn is_due(&self, now: u64, every: u64) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(every);
        now >= due
            && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether it took longer than all but one in a hundred; and takes the duration into account.
    ///
    /// Two that end at the same moment may count as one, which does not matter.
    pub(crate) fn is_slow(&self, nanos: u64) -> bool {
        let known = self.slow.load(Ordering::Relaxed);
        let (count, bound) = (known >> 32, f32::from_bits(low_half(known)));
        let took = (nanos.max(1) as f32).log2();
        let is_slow = count >= LEARNT && took > bound + MARGIN;
        let bound = match count {
            0..LEARNT => bound.max(took),
            _ if took > bound => bound + STEP * QUANTILE,
            _ => bound - STEP * (1.0 - QUANTILE),
        };
        let count = (count + 1).min(u64::from(u32::MAX));
        self.slow.store(count << 32 | u64::from(bound.to_bits()), Ordering::Relaxed);
        is_slow
    }
}

fn low_half(both: u64) -> u32 {
    u32::try_from(both & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_have_places_until_there_are_too_many() {
        let operations = Operations::default();
        let key = |n: u64| Key::of(None, &format!("get /{n}"));
        let first = std::ptr::from_ref(operations.of(key(0)));
        assert_eq!(first, std::ptr::from_ref(operations.of(key(0))));
        for n in 0..3 * OPERATIONS_MAX {
            operations.of(key(n));
        }
        assert_eq!(operations.known(), OPERATIONS_MAX);
        assert_eq!(first, std::ptr::from_ref(operations.of(key(0))));
        let others = std::ptr::from_ref(&operations.others);
        assert_eq!(others, std::ptr::from_ref(operations.of(key(3 * OPERATIONS_MAX))));
    }

    #[test]
    fn literals_and_other_names_are_apart() {
        let id = Id::of("get /cart").unwrap();
        assert_eq!(Key::of(Some(id), "whatever"), Key::of(Some(id), ""));
        assert_ne!(Key::of(Some(id), ""), Key::of(None, ""));
        assert_ne!(Key::of(None, "a"), Key::of(None, "b"));
    }

    #[test]
    fn a_trace_is_due_once_in_a_while() {
        let operation = Operation::default();
        let due: Vec<_> = (0..10).filter(|now| operation.is_due(*now, 4)).collect();
        assert_eq!(due, [0, 4, 8]);
    }

    #[test]
    fn one_in_a_hundred_is_slow() {
        let operation = Operation::default();
        let mut random = fastrand::Rng::with_seed(7);
        // Between one and a hundred milliseconds, with a long tail.
        let mut took = || {
            Duration::from_secs_f64(1e-3 * 100f64.powf(random.f64())).as_nanos().try_into().unwrap()
        };
        assert!((0..LEARNT).all(|_| !operation.is_slow(took())), "nothing is known yet");
        let slow = (0..100_000).filter(|_| operation.is_slow(took())).count();
        assert!((800..1_200).contains(&slow), "{slow}");
        assert!(operation.is_slow(10_000_000_000));
        assert!(!operation.is_slow(1_000));
    }

    #[test]
    fn what_is_wanted_is_looked_up_once_and_when_it_changed() {
        let operations = Operations::default();
        let operation = operations.of(Key::of(None, "a"));
        let half = Threshold::of_share(0.5);
        let before = operations.generation();
        assert_eq!(operation.wanted(before, || half), half);
        assert_eq!(operation.wanted(before, || unreachable!()), half);
        operations.forget_wanted();
        let now = operations.generation();
        assert_eq!(operation.wanted(now, || Threshold::NOTHING), Threshold::NOTHING);
        // One that began to look before it changed.
        assert_eq!(operation.wanted(before, || half), half);
        assert_eq!(operation.wanted(now, || Threshold::NOTHING), Threshold::NOTHING);
        for _ in 0..3 * GENERATIONS {
            operations.forget_wanted();
            assert_ne!(operations.generation(), UNKNOWN >> THRESHOLD_BITS);
        }
    }
}

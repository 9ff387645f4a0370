//! Which traces there are: a table that is read while it grows, and what searches prune with.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use sigyn_model::Timestamp;

use super::column::Column;
use crate::facts::{Facts, TraceKey};

/// Traces by number, in the order of their first rows.
///
/// What is told of a trace beside its id and its first row may already be of rows that a reader does not
/// see yet. It is a hint: what it rules out need not be read, and what is read decides.
#[derive(Debug, Default)]
pub(super) struct Traces {
    count: AtomicU32,
    /// Eight numbers of each trace, which stand together: a row changes most of them.
    numbers: Column<AtomicU64>,
    table: Table,
}

/// Which of a trace's numbers.
#[derive(Clone, Copy, Debug)]
enum Number {
    Low,
    High,
    /// The first row in the upper half; how many there are in 30 bits; which times there are.
    Rows,
    RootStart,
    Start,
    Latest,
    LongestUs,
    /// A bit for each word that a row may say; see [`super::hint`].
    Words,
}

const NUMBERS: u32 = 8;
const HAS_ROOT_START: u64 = 1;
const HAS_START: u64 = 2;
const ONE_ROW: u64 = 4;

/// What a row says that traces are judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowFacts {
    pub(super) is_root: bool,
    pub(super) timestamp: Option<u64>,
    pub(super) duration_us: u64,
    pub(super) words: u64,
}

impl Traces {
    /// The trace with this id, if it is among those that begin before this row.
    pub(super) fn find(&self, key: TraceKey, rows: u32) -> Option<u32> {
        self.group(key.low, rows).find(|trace| self.get(*trace, Number::High) == key.high)
    }

    /// Traces whose ids end in these 64 bits, among those that begin before this row.
    pub(super) fn group(&self, low: u64, rows: u32) -> impl Iterator<Item = u32> {
        let is_it =
            move |trace: &u32| self.get(*trace, Number::Low) == low && self.is_in(*trace, rows);
        self.table.all_at(low).filter(is_it)
    }

    #[inline]
    fn get(&self, trace: u32, number: Number) -> u64 {
        self.numbers.get(trace * NUMBERS + number as u32)
    }

    #[inline]
    fn set(&self, trace: u32, number: Number, value: u64) {
        self.numbers.set(trace * NUMBERS + number as u32, value);
    }

    /// How many there are, some of which may begin after what a reader sees.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn is_in(&self, trace: u32, rows: u32) -> bool {
        self.first_row(trace) < rows
    }

    pub(super) fn key(&self, trace: u32) -> TraceKey {
        TraceKey { low: self.get(trace, Number::Low), high: self.get(trace, Number::High) }
    }

    pub(super) fn first_row(&self, trace: u32) -> u32 {
        (self.get(trace, Number::Rows) >> 32) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    pub(super) fn rows(&self, trace: u32) -> u32 {
        self.get(trace, Number::Rows) as u32 >> 2
    }

    pub(super) fn words(&self, trace: u32) -> u64 {
        self.get(trace, Number::Words)
    }

    pub(super) fn facts(&self, trace: u32) -> Facts {
        let has = self.get(trace, Number::Rows);
        let time = |bit: u64, number: Number| {
            (has & bit != 0).then(|| Timestamp::from_nanos(self.get(trace, number)))
        };
        Facts {
            root_start: time(HAS_ROOT_START, Number::RootStart),
            start: time(HAS_START, Number::Start),
            latest: time(HAS_START, Number::Latest),
            longest_us: self.get(trace, Number::LongestUs),
        }
    }

    /// The writer's: the number of a trace, made if it is new, and whether it is.
    pub(super) fn put(&self, key: TraceKey, row: u32) -> (u32, bool) {
        if let Some(trace) = self.find(key, u32::MAX) {
            return (trace, false);
        }
        let trace = self.count.load(Ordering::Relaxed);
        self.set(trace, Number::Low, key.low);
        self.set(trace, Number::High, key.high);
        self.set(trace, Number::Rows, u64::from(row) << 32);
        self.count.store(trace + 1, Ordering::Release);
        self.table.put(trace, |trace| self.get(trace, Number::Low));
        (trace, true)
    }

    /// The writer's: one more row of a trace.
    pub(super) fn add(&self, trace: u32, row: RowFacts) {
        let has = self.get(trace, Number::Rows);
        let mut now = has + ONE_ROW;
        if row.duration_us > self.get(trace, Number::LongestUs) {
            self.set(trace, Number::LongestUs, row.duration_us);
        }
        let words = self.get(trace, Number::Words);
        if words | row.words != words {
            self.set(trace, Number::Words, words | row.words);
        }
        if let Some(at) = row.timestamp {
            let earliest = |bit: u64, number: Number| {
                if has & bit == 0 || at < self.get(trace, number) {
                    self.set(trace, number, at);
                }
            };
            if row.is_root {
                earliest(HAS_ROOT_START, Number::RootStart);
                now |= HAS_ROOT_START;
            }
            earliest(HAS_START, Number::Start);
            if has & HAS_START == 0 || at > self.get(trace, Number::Latest) {
                self.set(trace, Number::Latest, at);
            }
            now |= HAS_START;
        }
        self.set(trace, Number::Rows, now);
    }

    pub(super) fn bytes(&self) -> usize {
        self.numbers.bytes() + self.table.bytes.load(Ordering::Relaxed)
    }
}

/// Numbers of traces by the low halves of their ids. Ids are mostly random, but nobody is bound to make
/// them so: they are mixed with a seed.
///
/// When it is full, a larger one is filled and takes its place; readers of the old one go on with that,
/// in which is all that they can see.
#[derive(Debug)]
struct Table {
    generations: [OnceLock<Box<[AtomicU32]>>; GENERATIONS],
    current: AtomicUsize,
    bytes: AtomicUsize,
    seed: u64,
}

/// Of the first generation; each has twice as many as the one before.
const SLOTS: usize = 64;
const GENERATIONS: usize = 28;

impl Default for Table {
    fn default() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self {
            generations: [const { OnceLock::new() }; GENERATIONS],
            current: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            seed: RandomState::new().hash_one(0) | 1,
        }
    }
}

impl Table {
    fn slot(&self, low: u64, slots: usize) -> usize {
        let mixed = (low ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(self.seed);
        // From the top, where every bit of the id counts.
        usize::try_from(mixed >> 32).unwrap_or(0) & (slots - 1)
    }

    /// Traces that stand where such an id would, and some others.
    fn all_at(&self, low: u64) -> impl Iterator<Item = u32> {
        let slots = self.generations[self.current.load(Ordering::Acquire)].get();
        let slots = slots.map_or(&[][..], |slots| slots);
        let mut at = if slots.is_empty() { 0 } else { self.slot(low, slots.len()) };
        std::iter::from_fn(move || {
            let number = slots.get(at)?.load(Ordering::Acquire);
            at = (at + 1) & (slots.len() - 1);
            number.checked_sub(1)
        })
    }

    /// The trace must be the next one, and known by its id already.
    fn put(&self, trace: u32, low_of: impl Fn(u32) -> u64) {
        let current = self.current.load(Ordering::Relaxed);
        let slots = self.generation(current);
        // Never full: a search ends at an empty slot.
        if (trace as usize + 1) * 4 <= slots.len() * 3 {
            self.put_into(slots, trace, low_of(trace));
            return;
        }
        let slots = self.generation(current + 1);
        (0..=trace).for_each(|trace| self.put_into(slots, trace, low_of(trace)));
        self.current.store(current + 1, Ordering::Release);
    }

    fn generation(&self, number: usize) -> &[AtomicU32] {
        // Memory ends before generations do.
        let number = number.min(GENERATIONS - 1);
        self.generations[number].get_or_init(|| {
            let slots = SLOTS << number;
            self.bytes.fetch_add(slots * size_of::<AtomicU32>(), Ordering::Relaxed);
            (0..slots).map(|_| AtomicU32::new(0)).collect()
        })
    }

    fn put_into(&self, slots: &[AtomicU32], trace: u32, low: u64) {
        let mut at = self.slot(low, slots.len());
        while slots[at].load(Ordering::Relaxed) != 0 {
            at = (at + 1) & (slots.len() - 1);
        }
        // Whoever finds it sees its id.
        slots[at].store(trace + 1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_found_by_their_ids_while_the_table_grows() {
        let traces = Traces::default();
        let key = |n: u32| TraceKey { low: u64::from(n / 2), high: u64::from(n % 2) };
        for n in 0..3_000 {
            assert_eq!(traces.find(key(n), u32::MAX), None);
            assert_eq!((traces.put(key(n), n), traces.put(key(n), n)), ((n, true), (n, false)));
        }
        for n in 0..3_000 {
            assert_eq!((traces.find(key(n), n + 1), traces.find(key(n), n)), (Some(n), None));
            assert_eq!(traces.key(n), key(n));
        }
        let group: Vec<u32> = traces.group(7, u32::MAX).collect();
        assert_eq!(group, [14, 15]);
        assert_eq!(traces.group(7, 15).count(), 1);
    }

    #[test]
    fn facts_are_those_of_all_rows() {
        let traces = Traces::default();
        let (trace, _) = traces.put(TraceKey { low: 1, high: 0 }, 0);
        assert_eq!(traces.facts(trace), Facts::default());
        let mut row = RowFacts { is_root: false, timestamp: Some(5), duration_us: 3, words: 1 };
        traces.add(trace, row);
        row = RowFacts { timestamp: None, duration_us: 9, words: 4, ..row };
        traces.add(trace, row);
        row = RowFacts { is_root: true, timestamp: Some(7), duration_us: 0, words: 0 };
        traces.add(trace, row);
        let at = |nanos| Some(Timestamp::from_nanos(nanos));
        let expected = Facts { root_start: at(7), start: at(5), latest: at(7), longest_us: 9 };
        assert_eq!(traces.facts(trace), expected);
        assert_eq!((traces.rows(trace), traces.words(trace)), (3, 5));
    }
}

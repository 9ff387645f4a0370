//! Which traces there are: a table that is read while it grows, and what searches prune with.

use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use foldhash::fast::RandomState;
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
    /// The trace before that has the same low half of its id, plus one.
    before: Column<AtomicU32>,
    /// By whole ids.
    by_id: Table,
    /// The last trace with each low half.
    by_low: Table,
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
        self.by_id.all_at(key).find(|trace| self.key(*trace) == key && self.is_in(*trace, rows))
    }

    /// Traces whose ids end in these 64 bits, among those that begin before this row, the last ones
    /// first.
    pub(super) fn group(&self, low: u64, rows: u32) -> impl Iterator<Item = u32> {
        let last = self.last_with(low);
        let all = std::iter::successors(last, |trace| self.before.get(*trace).checked_sub(1));
        all.filter(move |trace| self.is_in(*trace, rows))
    }

    fn last_with(&self, low: u64) -> Option<u32> {
        self.by_low.all_at(low_key(low)).find(|trace| self.get(*trace, Number::Low) == low)
    }

    #[inline]
    fn get(&self, trace: u32, number: Number) -> u64 {
        self.all(trace).map_or(0, |numbers| numbers[number as usize].load(Ordering::Relaxed))
    }

    /// All numbers of a trace, if there is one.
    #[inline]
    fn all(&self, trace: u32) -> Option<&[AtomicU64; NUMBERS as usize]> {
        self.numbers.together(trace * NUMBERS)
    }

    /// How many there are, some of which may begin after what a reader sees.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn is_in(&self, trace: u32, rows: u32) -> bool {
        self.first_row(trace) < rows
    }

    #[inline]
    pub(super) fn key(&self, trace: u32) -> TraceKey {
        let Some(numbers) = self.all(trace) else { return TraceKey { low: 0, high: 0 } };
        let get = |number: Number| numbers[number as usize].load(Ordering::Relaxed);
        TraceKey { low: get(Number::Low), high: get(Number::High) }
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
        if let Some(trace) = self.by_id.all_at(key).find(|trace| self.key(*trace) == key) {
            return (trace, false);
        }
        let trace = self.count.load(Ordering::Relaxed);
        let numbers = [key.low, key.high, u64::from(row) << 32];
        self.numbers.set_all(trace * NUMBERS, &numbers, |number| *number);
        let before = self.last_with(key.low);
        self.before.set(trace, before.map_or(0, |before| before + 1));
        self.count.store(trace + 1, Ordering::Release);
        self.by_id.put(trace, key);
        match before {
            Some(before) => self.by_low.replace(before, trace, low_key(key.low)),
            None => self.by_low.put(trace, low_key(key.low)),
        }
        (trace, true)
    }

    /// Reads where traces will be looked up; the sum means nothing. These places lie far apart, and the
    /// processor waits once for several of them if nothing else stands in between.
    pub(super) fn look_ahead(&self, keys: impl Iterator<Item = TraceKey>) -> u64 {
        let first = keys.filter_map(|key| self.by_id.all_at(key).next());
        let rows = first.map(|trace| self.get(trace, Number::Rows));
        rows.fold(0, u64::wrapping_add)
    }

    /// The writer's: one more row of a trace.
    pub(super) fn add(&self, trace: u32, row: RowFacts) {
        let Some(numbers) = self.all(trace) else { return };
        let get = |number: Number| numbers[number as usize].load(Ordering::Relaxed);
        let set = |number: Number, value: u64| {
            numbers[number as usize].store(value, Ordering::Relaxed);
        };
        let has = get(Number::Rows);
        let mut now = has + ONE_ROW;
        if row.duration_us > get(Number::LongestUs) {
            set(Number::LongestUs, row.duration_us);
        }
        let words = get(Number::Words);
        if words | row.words != words {
            set(Number::Words, words | row.words);
        }
        if let Some(at) = row.timestamp {
            let earliest = |bit: u64, number: Number| {
                if has & bit == 0 || at < get(number) {
                    set(number, at);
                }
            };
            if row.is_root {
                earliest(HAS_ROOT_START, Number::RootStart);
                now |= HAS_ROOT_START;
            }
            earliest(HAS_START, Number::Start);
            if has & HAS_START == 0 || at > get(Number::Latest) {
                set(Number::Latest, at);
            }
            now |= HAS_START;
        }
        set(Number::Rows, now);
    }

    pub(super) fn bytes(&self) -> usize {
        let tables = [&self.by_id, &self.by_low].map(|table| table.bytes.load(Ordering::Relaxed));
        self.numbers.bytes() + self.before.bytes() + tables.iter().sum::<usize>()
    }
}

fn low_key(low: u64) -> TraceKey {
    TraceKey { low, high: 0 }
}

/// Numbers of traces by their keys. Ids are mostly random, but nobody is bound to make them so: they are
/// mixed with a seed.
///
/// A slot has half of what an id is mixed to above the number: other traces that come to the same place, as some do,
/// need not be looked at, each of which would be somewhere else in memory.
///
/// When it is full, a larger one is filled and takes its place; readers of the old one go on with that,
/// in which is all that they can see.
#[derive(Debug)]
struct Table {
    generations: [OnceLock<Box<[AtomicU64]>>; GENERATIONS],
    current: AtomicUsize,
    /// How many it holds; the writer's.
    count: AtomicUsize,
    bytes: AtomicUsize,
    seed: RandomState,
}

/// Of the first generation; each has twice as many as the one before.
const SLOTS: usize = 64;
const GENERATIONS: usize = 28;
/// What a key is mixed to, in the upper half.
const MIXED: u64 = u64::MAX << 32;

impl Default for Table {
    fn default() -> Self {
        Self {
            generations: [const { OnceLock::new() }; GENERATIONS],
            current: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            seed: RandomState::default(),
        }
    }
}

impl Table {
    fn mixed(&self, key: TraceKey) -> u64 {
        self.seed.hash_one(key) & MIXED
    }

    /// Where one is looked for first. No more slots than 32 bits can tell.
    fn place(mixed: u64, slots: usize) -> usize {
        usize::try_from(mixed >> 32).unwrap_or(0) & (slots - 1)
    }

    /// Traces that have such an id, and hardly any others.
    fn all_at(&self, key: TraceKey) -> impl Iterator<Item = u32> {
        let slots = self.generations[self.current.load(Ordering::Acquire)].get();
        let slots = slots.map_or(&[][..], |slots| slots);
        let mixed = self.mixed(key);
        let mut at = if slots.is_empty() { 0 } else { Self::place(mixed, slots.len()) };
        std::iter::from_fn(move || {
            loop {
                let slot = slots.get(at)?.load(Ordering::Acquire);
                at = (at + 1) & (slots.len() - 1);
                let trace = number(slot)?;
                if slot & MIXED == mixed {
                    return Some(trace);
                }
            }
        })
    }

    /// What readers must know of the trace must be there already.
    fn put(&self, trace: u32, key: TraceKey) {
        let current = self.current.load(Ordering::Relaxed);
        let slots = self.generation(current);
        let count = self.count.load(Ordering::Relaxed) + 1;
        self.count.store(count, Ordering::Relaxed);
        let new = self.mixed(key) | u64::from(trace + 1);
        // Never full: a search ends at an empty slot.
        if count * 4 <= slots.len() * 3 {
            return put_into(slots, new);
        }
        let larger = self.generation(current + 1);
        let all = slots.iter().map(|slot| slot.load(Ordering::Relaxed));
        all.filter(|slot| *slot != 0).chain([new]).for_each(|slot| put_into(larger, slot));
        self.current.store(current + 1, Ordering::Release);
    }

    /// Puts a trace where another one of the same key is.
    fn replace(&self, old: u32, trace: u32, key: TraceKey) {
        let slots = self.generation(self.current.load(Ordering::Relaxed));
        let mixed = self.mixed(key);
        let mut at = Self::place(mixed, slots.len());
        loop {
            match number(slots[at].load(Ordering::Relaxed)) {
                None => return,
                Some(there) if there == old => break,
                Some(_) => at = (at + 1) & (slots.len() - 1),
            }
        }
        slots[at].store(mixed | u64::from(trace + 1), Ordering::Release);
    }

    fn generation(&self, number: usize) -> &[AtomicU64] {
        // Memory ends before generations do.
        let number = number.min(GENERATIONS - 1);
        self.generations[number].get_or_init(|| {
            let slots = SLOTS << number;
            self.bytes.fetch_add(slots * size_of::<AtomicU64>(), Ordering::Relaxed);
            (0..slots).map(|_| AtomicU64::new(0)).collect()
        })
    }
}

/// The trace in a slot, if one is.
#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn number(slot: u64) -> Option<u32> {
    (slot as u32).checked_sub(1)
}

fn put_into(slots: &[AtomicU64], new: u64) {
    let mut at = Table::place(new, slots.len());
    while slots[at].load(Ordering::Relaxed) != 0 {
        at = (at + 1) & (slots.len() - 1);
    }
    // Whoever finds it sees its id.
    slots[at].store(new, Ordering::Release);
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
        assert_eq!(group, [15, 14]);
        assert!(traces.group(7, 15).eq([14]));
    }

    #[test]
    fn a_trace_is_found_at_once_however_many_others_end_like_it() {
        let traces = Traces::default();
        let key = |n: u32| TraceKey { low: 7, high: u64::from(n) };
        let count = 40_000;
        (0..count).for_each(|n| assert_eq!(traces.put(key(n), n), (n, true)));
        assert!(traces.group(7, u32::MAX).eq((0..count).rev()));
        assert!(traces.group(7, 5).eq((0..5).rev()));
        assert_eq!(traces.by_low.count.load(Ordering::Relaxed), 1);
        let steps = |n: u32| {
            let mut all = traces.by_id.all_at(key(n));
            all.position(|trace| trace == n).expect("a trace that was put")
        };
        let others: usize = (0..count).map(steps).sum();
        // A quarter of them in 2^32, for each.
        assert!(others < 10, "{others} others were looked at for {count} traces");
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

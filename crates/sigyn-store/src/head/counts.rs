//! What was counted of a head for those who ask about rates: the next question goes on from there.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::atomic::Ordering;

use foldhash::fast::RandomState;

use super::HeadView;
use crate::block::rollup::RollupBuilder;
use crate::block::source::{Source, SourceRow};
use crate::facts::TraceKey;
use crate::query::Bounds;
use crate::stop::{Stop, Stopped};
use crate::turn::Held;

/// Rows that are counted together.
const ROWS_AT_ONCE: u32 = 512;
/// What a row's place takes among those that were seen.
const SEEN_BYTES: usize = 6;
const TRACE_BYTES: usize = 48;
const LOW_BYTES: usize = 9;
/// Counts take so little of what one answer may: a quarter of what a head may.
const ANSWER_SHARE: u64 = 8;

/// A head's spans, as far as they were counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) rollup: RollupBuilder,
    rows: u32,
    /// Of one row.
    tags: Vec<u32>,
    /// What tells most spans of a head apart, in 32 bits.
    seen: HashSet<u32, RandomState>,
    hasher: RandomState,
    /// Traces of which a span may stand here twice, or elsewhere as well, and how many rows they had when
    /// it turned out that none does; zero if that is not known.
    pub(crate) shared: HashMap<TraceKey, u32, RandomState>,
    /// Right halves of ids of traces that are in blocks or in heads before this one, too.
    pub(crate) elsewhere: HashSet<u64, RandomState>,
    /// Traces that were looked for elsewhere, and in which blocks.
    pub(crate) looked_for: u32,
    pub(crate) blocks: Vec<u64>,
}

impl Counts {
    /// Goes on to the end of what the view has.
    fn extend(&mut self, view: &HeadView, stop: &Stop) -> Result<(), Stopped> {
        let (mut numbers, mut rows): (Vec<u32>, Vec<SourceRow>) = (Vec::new(), Vec::new());
        let mut ends = Vec::new();
        while self.rows < view.rows {
            stop.check()?;
            let end = view.rows.min(self.rows.saturating_add(ROWS_AT_ONCE));
            numbers.clear();
            numbers.extend(self.rows..end);
            view.rows_into(&numbers, &mut rows);
            view.tags_into(&numbers, &mut self.tags, &mut ends);
            let mut tags_from = 0;
            for ((number, row), end) in numbers.iter().zip(&rows).zip(&ends) {
                self.rollup.add(view, row, &self.tags[tags_from..*end]);
                tags_from = *end;
                let place = (Source::trace(view, *number), row.id, row.timestamp, row.shared);
                #[expect(clippy::cast_possible_truncation, reason = "so many bits are kept")]
                let hash = self.hasher.hash_one(place) as u32;
                if !self.seen.insert(hash) {
                    self.shared.insert(row.trace_id.into(), 0);
                }
            }
            self.rows = end;
        }
        self.rollup.settle();
        let bytes = self.rollup.bytes()
            + self.seen.capacity() * SEEN_BYTES
            + self.shared.capacity() * TRACE_BYTES
            + self.elsewhere.capacity() * LOW_BYTES;
        view.head.counts_bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Counts {
    /// Traces that must be looked at as a whole: where nothing came since, what was found out still holds.
    pub(crate) fn unjudged(&self, view: &HeadView) -> impl Iterator<Item = TraceKey> {
        // No fewer than were there when it turned out: if the head has no more by now, nothing came.
        let is_same = |key: TraceKey, rows: u32| {
            rows > 0 && view.trace(key).is_some_and(|trace| trace.len() == rows)
        };
        let shared = self.shared.iter();
        let shared = shared
            .filter(move |(key, rows)| !is_same(**key, **rows) && **rows != rows_of(view, **key));
        shared.map(|(key, _)| *key)
    }
}

/// How many spans of a trace a head has.
pub(crate) fn rows_of(view: &HeadView, key: TraceKey) -> u32 {
    let rows = view.trace(key).map_or(0, |trace| trace.rows().count());
    u32::try_from(rows).unwrap_or(u32::MAX)
}

impl HeadView {
    /// What is counted of all that is in the head by now, and a view of just that. It does not change for as
    /// long as it is held.
    pub(crate) fn counts(
        &self,
        bounds: Bounds<'_>,
    ) -> Result<(Held<'_, Counts>, HeadView), Stopped> {
        let mut counts = self.head.counts.take(bounds.stop)?;
        let view = self.head.view();
        // Questions must not fill a head so that it is sealed for it, or refuses spans.
        let bytes_max = usize::try_from(bounds.bytes_max / ANSWER_SHARE).unwrap_or(usize::MAX);
        counts.rollup.bound(bytes_max);
        counts.extend(&view, bounds.stop)?;
        Ok((counts, view))
    }

    /// The same without going on: what is known of traces, and a view that is no older than that.
    pub(crate) fn known(&self, stop: &Stop) -> Result<(Held<'_, Counts>, HeadView), Stopped> {
        let counts = self.head.counts.take(stop)?;
        Ok((counts, self.head.view()))
    }

    /// Traces from this one on, in the order of their first spans, and one more than the last one's number.
    pub(crate) fn traces_from(&self, first: u32) -> (Vec<TraceKey>, u32) {
        let traces = &self.head.traces;
        let is_in = |trace: &u32| traces.is_in(*trace, self.rows);
        let keys: Vec<TraceKey> =
            (first..self.traces).take_while(is_in).map(|trace| traces.key(trace)).collect();
        let end = first.saturating_add(u32::try_from(keys.len()).unwrap_or(u32::MAX));
        (keys, end)
    }
}

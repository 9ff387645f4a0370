//! All that can be asked of a store, by somebody who may lose interest.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use sigyn_model::{
    DependencyLink, Differences, DifferencesQuery, Heat, HeatQuery, Red, RedQuery, Selection, Span,
    TraceId, TraceQuery, Unit, Words, WordsQuery, window_us,
};

use crate::block::{KEYS_MAX, QueryFailed, VALUES_MAX};
use crate::counted::Counting;
use crate::facts::Strictness;
use crate::outlined::Outlined;
use crate::query::Bounds;
use crate::room::Room;
use crate::scan::{Meant, Tally};
use crate::shared::Shared;
use crate::size::Weight;
use crate::stop::Stop;
use crate::sweep::{Answer, Stretch, Swept};
use crate::tallies::{ApartTally, HeatTally, RedTally, WordTally};
use crate::until::Until;
use crate::view::Parts;
use crate::wanted::Wanted;

/// Queries that end soon after they are told to, with [`QueryFailed::Stopped`].
#[derive(Clone)]
pub struct Queries {
    shared: Arc<Shared>,
    strictness: Strictness,
    stop: Stop,
    room: Arc<Room>,
    bytes_max: u64,
    until: Option<Instant>,
}

impl fmt::Debug for Queries {
    /// Without the spans.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queries")
            .field("strictness", &self.strictness)
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}

impl Queries {
    pub(crate) fn new(shared: Arc<Shared>, stop: Stop) -> Self {
        let (room, bytes_max) = (Arc::new(shared.rooms.room()), shared.options.memory.answer());
        let strictness = Strictness::default();
        let stop = stop.with_room(&room);
        Self { shared, strictness, stop, room, bytes_max, until: None }
    }

    /// The same, with another notion of which ids are one trace's. Dependencies are always lenient.
    #[must_use]
    pub fn with_strictness(self, strictness: Strictness) -> Self {
        Self { strictness, ..self }
    }

    /// The same, with a lower bound on the spans of an answer, by what they take in memory: a larger one
    /// is [`QueryFailed::TooLarge`].
    #[must_use]
    pub fn with_bytes_max(self, bytes_max: u64) -> Self {
        Self { bytes_max: bytes_max.min(self.bytes_max), ..self }
    }

    /// The same, but heat maps, keys, values and differences that take longer are answered as far as they came, and say
    /// so: [`Swept::is_partial`].
    #[must_use]
    pub fn with_until(self, until: Instant) -> Self {
        Self { until: Some(until), ..self }
    }

    /// What these queries end by.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    fn bounds(&self) -> Bounds<'_> {
        Bounds { stop: &self.stop, room: &self.room, bytes_max: self.bytes_max }
    }

    /// Every question is answered from one moment's view, which it does not keep for the next. A
    /// block that turns out to be damaged is set aside, as it would be at the next open, and the
    /// question is put again: what else is stored must stay within reach.
    fn ask<T>(
        &self,
        question: impl Fn(&Parts) -> Result<T, QueryFailed>,
    ) -> Result<T, QueryFailed> {
        loop {
            match question(&self.shared.view.parts()) {
                // The next view is without it, even if another question set it aside first.
                Err(QueryFailed::Block { block, source }) if source.is_damage() => {
                    self.shared.set_aside(&block, &source);
                }
                answer => return answer,
            }
        }
    }

    /// The spans of the trace with this id, each once, in order of time. Empty if there is none.
    pub fn trace(&self, id: TraceId) -> Result<Vec<Span>, QueryFailed> {
        self.ask(|parts| parts.trace(id, self.strictness, self.bounds()))
    }

    /// What `look` makes of outlines of the trace with this id, each of which will take `row_bytes` beside.
    /// Nothing if there is no such trace.
    pub fn outlined<T>(
        &self,
        id: TraceId,
        row_bytes: usize,
        look: impl Fn(&Outlined<'_>) -> Result<T, QueryFailed>,
    ) -> Result<Option<T>, QueryFailed> {
        self.ask(|parts| {
            let outlined = parts.outlined(id, self.strictness, row_bytes, self.bounds())?;
            (!outlined.outlines.is_empty()).then(|| look(&outlined)).transpose()
        })
    }

    /// The spans of traces with several ids, in their order, and some at a time; no two may be the same trace's.
    pub fn traces_by_id<'a>(
        &'a self,
        ids: &'a [TraceId],
    ) -> impl Iterator<Item = Result<Vec<Span>, QueryFailed>> + 'a {
        /// Traces that are read together, as long as they are small.
        const AT_ONCE: usize = 64;
        /// What is held of several.
        const BYTES_MAX: u64 = if cfg!(test) { 8_000 } else { 16 << 20 };
        type Traces<'a> = Box<dyn Iterator<Item = Result<Vec<Span>, QueryFailed>> + 'a>;
        let bounds = Bounds { bytes_max: self.bytes_max.min(BYTES_MAX), ..self.bounds() };
        ids.chunks(AT_ONCE).flat_map(move |ids| -> Traces<'a> {
            match self.ask(|parts| parts.traces_of(ids, self.strictness, bounds)) {
                Ok(traces) => Box::new(traces.into_iter().map(Ok)),
                Err(QueryFailed::TooLarge { .. }) => Box::new(ids.iter().map(|id| self.trace(*id))),
                Err(error) => Box::new(std::iter::once(Err(error))),
            }
        })
    }

    /// The ids that spans of the trace with this id came with, sorted: what is large is not held for it.
    pub fn ids_of(&self, id: TraceId) -> Result<Vec<TraceId>, QueryFailed> {
        self.ask(|parts| parts.ids_of(id, self.strictness).map(|ids| ids.into_iter().collect()))
    }

    /// What [`TraceQuery::run`] gives for all traces that are stored, each of them whole. Those that are
    /// alone larger than an answer may be are passed over.
    pub fn traces(&self, query: &TraceQuery) -> Result<Vec<Vec<Span>>, QueryFailed> {
        let found = self.traces_as(query, |trace| {
            let bytes = Weight::of(&trace);
            (trace, bytes)
        });
        found.map(|(traces, _)| traces)
    }

    /// The same, but with what `keep` keeps of each trace, and in about how many bytes: the traces
    /// themselves need not be held together then. Also how many were passed over.
    pub fn traces_as<T>(
        &self,
        query: &TraceQuery,
        keep: impl Fn(Vec<Span>) -> (T, u64),
    ) -> Result<(Vec<T>, u64), QueryFailed> {
        self.ask(|parts| parts.traces(query, self.strictness, self.bounds(), &keep))
    }

    /// All services, sorted.
    pub fn service_names(&self) -> Result<Vec<String>, QueryFailed> {
        self.ask(|parts| parts.service_names(&self.stop))
    }

    /// Names of a service's spans, sorted.
    pub fn span_names(&self, service: &str) -> Result<Vec<String>, QueryFailed> {
        self.ask(|parts| parts.names_of(service, |names| &names.spans, &self.stop))
    }

    /// Names of the services that a service names as its peers, sorted.
    pub fn remote_service_names(&self, service: &str) -> Result<Vec<String>, QueryFailed> {
        self.ask(|parts| parts.names_of(service, |names| &names.remotes, &self.stop))
    }

    /// Links of all traces with any span in [the window](window_us), whole, grouped by the low half
    /// of their ids.
    pub fn dependencies(
        &self,
        end_ms: u64,
        lookback_ms: u64,
    ) -> Result<Vec<DependencyLink>, QueryFailed> {
        Ok(self.links(end_ms, lookback_ms)?.0)
    }

    /// The same, and how many traces are too large to be counted whole: calls in them may be missing.
    pub fn links(
        &self,
        end_ms: u64,
        lookback_ms: u64,
    ) -> Result<(Vec<DependencyLink>, u64), QueryFailed> {
        let window_us = window_us(end_ms, lookback_ms);
        let twins = self.shared.view.twins();
        self.ask(|parts| parts.dependencies(window_us, twins, self.bounds()))
    }

    /// Of more keys of tags, and values of one, the first in order are listed.
    pub const TAG_KEYS_MAX: usize = KEYS_MAX;
    pub const TAG_VALUES_MAX: usize = VALUES_MAX;

    /// Keys of tags, for completion: sorted and bounded.
    pub fn tag_keys(&self) -> Result<Vec<String>, QueryFailed> {
        self.ask(|parts| parts.tag_keys(&self.stop))
    }

    /// Values of a tag, for completion: sorted and bounded.
    pub fn tag_values(&self, key: &str) -> Result<Vec<String>, QueryFailed> {
        self.ask(|parts| parts.tag_values(key, &self.stop))
    }

    /// Rate, errors and durations of the spans that are stored, and what was looked at for it. If there are too many
    /// groups it looks twice: first which have most spans.
    pub fn red(&self, query: &RedQuery) -> Result<(Red, Swept), QueryFailed> {
        let (first, swept) = self.red_from(&Red::new(query.clone()), query)?;
        match first.again() {
            None => Ok((first, swept)),
            Some(again) => self.red_from(&again, query),
        }
    }

    fn red_from(&self, empty: &Red, query: &RedQuery) -> Result<(Red, Swept), QueryFailed> {
        if let Some(counting) = Counting::of(query) {
            let twins = self.shared.view.twins();
            return self.ask(|parts| parts.red(&counting, empty.clone(), twins, self.bounds()));
        }
        let new = || RedTally::new(empty.clone());
        if let Some((tally, swept)) = self.scanned(query.selection(), Until::ALL, new)? {
            return Ok((tally.red, swept));
        }
        self.swept(query.selection(), || empty.clone(), Red::add, Red::bytes)
    }

    /// Durations over time.
    pub fn heat(&self, query: &HeatQuery) -> Result<(Heat, Swept), QueryFailed> {
        let new = || HeatTally::new(Heat::new(query.clone()));
        let until = Until { at: self.until, ..Until::ALL };
        let scanned = match query.of() {
            Unit::Spans => self.scanned(query.selection(), until, new)?,
            Unit::Traces => None,
        };
        let (tally, swept) = match scanned {
            Some(scanned) => scanned,
            None => self.swept_by(query.selection(), until, new)?,
        };
        Ok((tally.heat, swept))
    }

    /// Keys, or values of one.
    pub fn words(&self, query: &WordsQuery) -> Result<(Words, Swept), QueryFailed> {
        let (until, new) = (Until { at: self.until, ..Until::ALL }, || WordTally::new(query));
        let (tally, swept) = match self.scanned(&query.selection, until, new)? {
            Some(scanned) => scanned,
            None => self.swept_by(&query.selection, until, new)?,
        };
        Ok((tally.words, swept))
    }

    /// What sets some apart from others. Where values are too many to be counted at once it looks twice.
    pub fn differences(
        &self,
        query: &DifferencesQuery,
    ) -> Result<(Differences, Swept), QueryFailed> {
        self.differences_from(&Differences::new(query.clone()), query)
    }

    pub(crate) fn differences_from(
        &self,
        empty: &Differences,
        query: &DifferencesQuery,
    ) -> Result<(Differences, Swept), QueryFailed> {
        let look = |empty: &Differences, until: Until| -> Result<_, QueryFailed> {
            let new = || ApartTally { differences: empty.clone() };
            let (tally, swept) = self.swept_by(&query.from, until, new)?;
            Ok((tally.differences, swept))
        };
        // So that there is time for a second look at the same traces.
        let now = Instant::now();
        let at = self.until.map(|until| now + until.saturating_duration_since(now) / 5 * 2);
        let (first, swept) = look(empty, Until { at, ..Until::ALL })?;
        let Some(again) = first.again() else { return Ok((first, swept)) };
        drop(first);
        let traces = if swept.is_partial { swept.traces } else { u64::MAX };
        let (second, swept_again) = look(&again, Until { at: self.until, traces })?;
        let is_partial = swept.is_partial || swept_again.is_partial;
        Ok((second, Swept { is_partial, ..swept_again }))
    }

    /// Adds all spans that a selection means, one by one; `None` if it is better to look at traces.
    fn scanned<T: Tally>(
        &self,
        selection: &Selection,
        until: Until,
        new: impl Fn() -> T,
    ) -> Result<Option<(T, Swept)>, QueryFailed> {
        let Some(meant) = Meant::by(selection) else { return Ok(None) };
        let twins = self.shared.view.twins();
        self.ask(|parts| {
            let mut tally = new();
            let swept = parts.scan(&meant, twins, self.bounds(), until, &mut tally)?;
            Ok(swept.map(|swept| (tally, swept)))
        })
    }

    /// The same with functions that add a trace, and that tell how large the answer is.
    fn swept<T>(
        &self,
        selection: &Selection,
        new: impl Fn() -> T,
        add: impl Fn(&mut T, &[Span]),
        bytes: impl Fn(&T) -> u64,
    ) -> Result<(T, Swept), QueryFailed> {
        let new = || ByFunctions { answer: new(), add: &add, bytes: &bytes };
        let (answer, swept) = self.swept_by(selection, Until::ALL, new)?;
        Ok((answer.answer, swept))
    }

    /// Adds all traces that a selection may mean to what answers a question. An answer that becomes
    /// too large is none.
    fn swept_by<T: Answer>(
        &self,
        selection: &Selection,
        until: Until,
        new: impl Fn() -> T,
    ) -> Result<(T, Swept), QueryFailed> {
        let stretch = Stretch::of((selection.start_us, selection.end_us), self.strictness);
        let wanted = Wanted::of_filter(&selection.filter);
        self.ask(|parts| {
            let (mut answer, bounds) = (new(), self.bounds());
            let swept = parts.sweep(stretch, &wanted, bounds, until, &mut answer)?;
            Ok((answer, swept))
        })
    }
}

/// An answer that whole traces are added to.
struct ByFunctions<'a, T, A, B> {
    answer: T,
    add: &'a A,
    bytes: &'a B,
}

impl<T, A: Fn(&mut T, &[Span]), B: Fn(&T) -> u64> Answer for ByFunctions<'_, T, A, B> {
    fn add(&mut self, trace: &[Span]) {
        (self.add)(&mut self.answer, trace);
    }

    fn bytes(&self) -> u64 {
        (self.bytes)(&self.answer)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use sigyn_model::SpanBatch;

    use super::*;
    use crate::block::{BlockError, BlockFailed};
    use crate::crash_tests::{open, run};
    use crate::disk::faulty::FaultyDisk;
    use crate::testing;

    #[test]
    fn a_question_is_put_again_though_another_one_set_the_block_aside_first() {
        let store = open(&FaultyDisk::default());
        let span = testing::span(&mut fastrand::Rng::with_seed(1));
        run(store.append(SpanBatch::of(&[span], None))).unwrap();
        store.seal().unwrap();
        let queries = store.queries(Stop::default());
        let asked = Cell::new(0);
        let answer = queries.ask(|parts| {
            asked.set(asked.get() + 1);
            let Some(block) = parts.blocks.first() else { return Ok("the rest") };
            let (block, source) =
                (block.entry().name.clone(), BlockFailed::from(BlockError::Schema));
            queries.shared.set_aside(&block, &source);
            Err(QueryFailed::Block { block, source })
        });
        assert_eq!((answer.unwrap(), asked.get()), ("the rest", 2));
    }
}

//! Answers queries from heads and blocks: what an index rules out is not read.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::ops::Bound;
use std::sync::PoisonError;

use sigyn_model::{DependencyLink, Linker, Span, Timestamp, TraceId, TraceQuery, trace_start};

use crate::block::QueryFailed;
use crate::facts::{Facts, Strictness, TraceKey};
use crate::head::HeadTrace;
use crate::stop::Stop;
use crate::trace::assemble;
use crate::view::{Parts, SharedHead};
use crate::wanted::{Candidate, Met, Wanted};

/// Traces that are read at a time, at first; a search that finds little reads more at once.
const READ_TRACES_MIN: usize = if cfg!(test) { 1 } else { 32 };
const READ_TRACES_MAX: usize = 2_048;
/// Spans that are read at a time, except for a trace that has more: an answer may be small, and
/// what must be read for it large.
const READ_ROWS_MAX: u64 = if cfg!(test) { 20 } else { 64 * 1_024 };
/// Traces of a head that are looked at before its writer gets a turn.
const HEAD_TRACES: usize = 512;

/// Spans of traces by the key of their group.
type Spans = HashMap<TraceKey, Vec<Span>>;

/// A trace that matches. Of two, the one that an answer leaves out first is the greater.
struct Found {
    start: Reverse<Timestamp>,
    id: TraceId,
    trace: Vec<Span>,
}

impl Found {
    fn place(&self) -> (Reverse<Timestamp>, TraceId) {
        (self.start, self.id)
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Found {}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Found {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl Parts {
    pub(crate) fn trace(
        &self,
        id: TraceId,
        strictness: Strictness,
        stop: &Stop,
    ) -> Result<Vec<Span>, QueryFailed> {
        let group = strictness.group(id.into());
        Ok(self.read(&[group], strictness, stop)?.remove(&group).map_or_else(Vec::new, assemble))
    }

    /// What [`TraceQuery::run`] gives for all traces that are stored.
    pub(crate) fn traces(
        &self,
        query: &TraceQuery,
        strictness: Strictness,
        stop: &Stop,
    ) -> Result<Vec<Vec<Span>>, QueryFailed> {
        let mut candidates = self.candidates(query, strictness, stop)?;
        candidates.sort_unstable_by_key(|candidate| (Reverse(candidate.start_max), candidate.key));
        // No more than the limit, the worst of them on top.
        let mut found: BinaryHeap<Found> = BinaryHeap::new();
        let mut at_once = query.limit().clamp(READ_TRACES_MIN, READ_TRACES_MAX);
        let mut left = candidates.as_slice();
        while let Some(newest) = left.first() {
            stop.check()?;
            // Strictly later: of two that start together the ids decide, and both must be here.
            if found.len() == query.limit()
                && found.peek().is_some_and(|worst| worst.start.0 > newest.start_max)
            {
                break;
            }
            let rows = left.iter().map(|candidate| candidate.rows);
            let (now, later) = left.split_at(readable(rows, at_once));
            self.each_match(query, now, strictness, stop, |trace| {
                if let (Some(start), Some(first)) = (trace_start(&trace), trace.first()) {
                    found.push(Found { start: Reverse(start), id: first.trace_id, trace });
                    if found.len() > query.limit() {
                        found.pop();
                    }
                }
            })?;
            left = later;
            at_once = (at_once * 2).min(READ_TRACES_MAX);
        }
        Ok(found.into_sorted_vec().into_iter().map(|found| found.trace).collect())
    }

    /// Traces that may start in the window and meet what indexes can tell of, by key.
    fn candidates(
        &self,
        query: &TraceQuery,
        strictness: Strictness,
        stop: &Stop,
    ) -> Result<Vec<Candidate>, QueryFailed> {
        if query.service_name().is_some_and(|service| !self.may_have_service(service)) {
            return Ok(Vec::new());
        }
        let wanted = Wanted::of(query);
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut add = |candidate: Candidate| {
            candidates.push(Candidate { key: strictness.group(candidate.key), ..candidate });
        };
        let covers = |start| query.covers(start);
        for head in &self.heads {
            each_trace(head, stop, |key, trace| {
                if let Some(start_max) = trace.facts().start_within(covers) {
                    let (met, rows) = (wanted.met_by(trace), trace.len());
                    add(Candidate { key, start_max, met, rows });
                }
            })?;
        }
        for block in self.blocks.iter() {
            stop.check()?;
            block.index().look_up(&wanted).candidates(query, &mut add);
        }
        // What parts of a trace say, together.
        candidates.sort_unstable_by_key(|candidate| candidate.key);
        candidates.dedup_by(|next, first| {
            let is_same = next.key == first.key;
            if is_same {
                first.start_max = first.start_max.max(next.start_max);
                first.met.add(next.met);
                first.rows = first.rows.saturating_add(next.rows);
            }
            is_same
        });
        let all = wanted.all();
        self.meet_elsewhere(&wanted, all, &mut candidates, strictness, stop)?;
        candidates.retain(|candidate| candidate.met == all);
        Ok(candidates)
    }

    /// What is missing may be in a piece of the trace that does not decide its start.
    fn meet_elsewhere(
        &self,
        wanted: &Wanted,
        all: Met,
        candidates: &mut [Candidate],
        strictness: Strictness,
        stop: &Stop,
    ) -> Result<(), QueryFailed> {
        for candidates in candidates.chunks_mut(HEAD_TRACES) {
            stop.check()?;
            for head in &self.heads {
                let head = head.read().unwrap_or_else(PoisonError::into_inner);
                for candidate in candidates.iter_mut().filter(|candidate| candidate.met != all) {
                    for (_, trace) in head.group(candidate.key, strictness) {
                        candidate.met.add(wanted.met_by(trace));
                    }
                }
            }
        }
        for block in self.blocks.iter() {
            stop.check()?;
            let looked_up = block.index().look_up(wanted);
            for candidate in candidates.iter_mut().filter(|candidate| candidate.met != all) {
                candidate.met.add(looked_up.met_by(candidate.key, strictness));
            }
        }
        Ok(())
    }

    fn may_have_service(&self, service: &str) -> bool {
        let in_head = |head: &SharedHead| {
            head.read().unwrap_or_else(PoisonError::into_inner).names().may_have_service(service)
        };
        self.heads.iter().any(in_head)
            || self.blocks.iter().any(|block| block.index().names.may_have_service(service))
    }

    /// Calls `each` with those of the candidates that match.
    fn each_match(
        &self,
        query: &TraceQuery,
        candidates: &[Candidate],
        strictness: Strictness,
        stop: &Stop,
        each: impl FnMut(Vec<Span>),
    ) -> Result<(), QueryFailed> {
        let mut groups: Vec<TraceKey> = candidates.iter().map(|candidate| candidate.key).collect();
        groups.retain(|group| !self.surely_differs(*group, query, strictness));
        let traces = self.read(&groups, strictness, stop)?.into_values().map(assemble);
        traces.filter(|trace| query.matches(trace)).for_each(each);
        Ok(())
    }

    /// Whether a trace that is in one head alone fails to match: then it need not be copied.
    fn surely_differs(&self, group: TraceKey, query: &TraceQuery, strictness: Strictness) -> bool {
        if self.blocks.iter().any(|block| !block.index().group(group, strictness).is_empty()) {
            return false;
        }
        let mut holders = self.heads.iter().filter(|head| {
            let head = head.read().unwrap_or_else(PoisonError::into_inner);
            head.group(group, strictness).next().is_some()
        });
        let (Some(head), None) = (holders.next(), holders.next()) else { return false };
        let head = head.read().unwrap_or_else(PoisonError::into_inner);
        let mut parts = head.group(group, strictness);
        let (Some((_, trace)), None) = (parts.next(), parts.next()) else { return false };
        // Duplicates may still be in there. They make nothing match that would not match without.
        !query.matches(&trace.rows().collect::<Vec<_>>())
    }

    /// All spans of these groups of traces, from every part, in the order of the parts.
    fn read(
        &self,
        groups: &[TraceKey],
        strictness: Strictness,
        stop: &Stop,
    ) -> Result<Spans, QueryFailed> {
        let mut spans = Spans::new();
        for block in self.blocks.iter() {
            stop.check()?;
            block.read(groups, strictness, stop, &mut |span| {
                let group = strictness.group(span.trace_id.into());
                spans.entry(group).or_default().push(span);
            })?;
        }
        for head in &self.heads {
            for groups in groups.chunks(HEAD_TRACES) {
                stop.check()?;
                let head = head.read().unwrap_or_else(PoisonError::into_inner);
                for group in groups {
                    for (_, trace) in head.group(*group, strictness) {
                        spans.entry(*group).or_default().extend(trace.spans());
                    }
                }
            }
        }
        Ok(spans)
    }

    /// Links of all traces with any span in the window, traces grouped by the low half of their id.
    pub(crate) fn dependencies(
        &self,
        start_ms: u64,
        end_ms: u64,
        stop: &Stop,
    ) -> Result<Vec<DependencyLink>, QueryFailed> {
        // Where each is found first, so that what is read together stands together.
        let mut places: HashMap<TraceKey, Place> = HashMap::new();
        let mut add = |key: TraceKey, place: Place| {
            let group = Strictness::Lenient.group(key);
            let known = places.entry(group).or_insert(Place { rows: 0, ..place });
            known.rows = known.rows.saturating_add(place.rows);
        };
        for (number, block) in self.blocks.iter().enumerate() {
            stop.check()?;
            let traces = block.index().traces.iter();
            for entry in traces.filter(|entry| entry.may_touch(start_ms, end_ms)) {
                let (row, rows) = (entry.first_row, entry.rows);
                add(entry.key, Place { block: number, row, rows });
            }
        }
        for head in &self.heads {
            each_trace(head, stop, |key, trace| {
                let Facts { start, latest, .. } = *trace.facts();
                if start.is_some_and(|at| at.millis() <= end_ms)
                    && latest.is_some_and(|at| at.millis() >= start_ms)
                {
                    add(key, Place { block: self.blocks.len(), row: 0, rows: trace.len() });
                }
            })?;
        }
        let mut places: Vec<(Place, TraceKey)> =
            places.into_iter().map(|(group, place)| (place, group)).collect();
        places.sort_unstable();
        let mut linker = Linker::default();
        let mut left = places.as_slice();
        while !left.is_empty() {
            let rows = left.iter().map(|(place, _)| place.rows);
            let (now, later) = left.split_at(readable(rows, READ_TRACES_MAX));
            left = later;
            let groups: Vec<TraceKey> = now.iter().map(|(_, group)| *group).collect();
            let mut traces = self.read(&groups, Strictness::Lenient, stop)?;
            for group in groups {
                stop.check()?;
                let trace = traces.remove(&group).map_or_else(Vec::new, assemble);
                let is_in_window = |span: &Span| {
                    span.timestamp.is_some_and(|at| (start_ms..=end_ms).contains(&at.millis()))
                };
                if trace.iter().any(is_in_window) {
                    linker.put_trace(&trace);
                }
            }
        }
        Ok(linker.links())
    }
}

/// Where a trace is found first, and about how many spans it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    block: usize,
    row: u32,
    rows: u32,
}

/// How many of the traces with so many rows to read at a time: one at least.
fn readable(rows: impl Iterator<Item = u32>, traces_max: usize) -> usize {
    let mut sum = 0;
    let fits = rows.take(traces_max).take_while(|rows| {
        sum += u64::from(*rows);
        sum <= READ_ROWS_MAX
    });
    fits.count().max(1)
}

/// Calls `each` with every trace, and lets the head's writer in between.
pub(crate) fn each_trace(
    head: &SharedHead,
    stop: &Stop,
    mut each: impl FnMut(TraceKey, HeadTrace<'_>),
) -> Result<(), QueryFailed> {
    let mut from = Bound::Unbounded;
    loop {
        stop.check()?;
        let head = head.read().unwrap_or_else(PoisonError::into_inner);
        let mut last = None;
        for (key, trace) in head.traces_from(from).take(HEAD_TRACES) {
            each(key, trace);
            last = Some(key);
        }
        match last {
            Some(key) => from = Bound::Excluded(key),
            None => return Ok(()),
        }
    }
}

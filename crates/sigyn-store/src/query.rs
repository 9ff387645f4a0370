//! Answers queries from heads and blocks: what an index rules out is not read.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError};

use sigyn_model::{DependencyLink, Linker, Span, Timestamp, TraceId, TraceQuery, trace_start};

use crate::block::BlockError;
use crate::facts::TraceKey;
use crate::head::HeadTrace;
use crate::names::{Names, ServiceNames};
use crate::trace::assemble;
use crate::view::{Parts, SharedHead};
use crate::wanted::{Met, Wanted};

/// A block that should answer, and cannot.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot read block {block}")]
pub struct QueryFailed {
    pub(crate) block: String,
    pub(crate) source: Arc<BlockError>,
}

/// Traces that are read at a time, at first; a search that finds little reads more at once.
const READ_TRACES_MIN: usize = if cfg!(test) { 1 } else { 32 };
const READ_TRACES_MAX: usize = 2_048;
/// Traces of a head that are looked at before its writer gets a turn.
const HEAD_TRACES: usize = 512;
/// Keys, and values per key, that are suggested for completion.
const TAG_KEYS_MAX: usize = 10_000;
const TAG_VALUES_MAX: usize = 20_000;

/// Spans of traces by the trace's key.
type Spans = HashMap<TraceKey, Vec<Span>>;

/// A trace that may match.
#[derive(Clone, Copy)]
struct Candidate {
    /// The trace starts no later, if it starts in the window at all.
    start_max: Timestamp,
    /// Conditions that one of its parts meets.
    met: Met,
}

impl Parts {
    pub(crate) fn trace(&self, id: TraceId) -> Result<Vec<Span>, QueryFailed> {
        let key = id.into();
        Ok(self.read(&[key])?.remove(&key).map_or_else(Vec::new, assemble))
    }

    /// What [`TraceQuery::run`] gives for all traces that are stored.
    pub(crate) fn traces(&self, query: &TraceQuery) -> Result<Vec<Vec<Span>>, QueryFailed> {
        let mut candidates = self.candidates(query);
        candidates.sort_unstable_by_key(|(key, candidate)| (Reverse(candidate.start_max), *key));
        let mut found: Vec<(Reverse<Timestamp>, TraceId, Vec<Span>)> = Vec::new();
        let mut at_once = query.limit().clamp(READ_TRACES_MIN, READ_TRACES_MAX);
        let mut left = candidates.as_slice();
        while let Some((_, newest)) = left.first() {
            found.sort_by_key(|(start, id, _)| (*start, *id));
            found.truncate(query.limit());
            // Strictly later: of two that start together the ids decide, and both must be here.
            if found.len() == query.limit()
                && found.last().is_some_and(|(start, ..)| start.0 > newest.start_max)
            {
                break;
            }
            let (now, later) = left.split_at(at_once.min(left.len()));
            for trace in self.matching(query, now)? {
                if let (Some(start), Some(first)) = (trace_start(&trace), trace.first()) {
                    found.push((Reverse(start), first.trace_id, trace));
                }
            }
            left = later;
            at_once = (at_once * 2).min(READ_TRACES_MAX);
        }
        found.sort_by_key(|(start, id, _)| (*start, *id));
        found.truncate(query.limit());
        Ok(found.into_iter().map(|(.., trace)| trace).collect())
    }

    /// Traces that may start in the window and meet what indexes can tell of.
    fn candidates(&self, query: &TraceQuery) -> Vec<(TraceKey, Candidate)> {
        if query.service_name().is_some_and(|service| !self.knows_service(service)) {
            return Vec::new();
        }
        let wanted = Wanted::of(query);
        let mut candidates: HashMap<TraceKey, Candidate> = HashMap::new();
        let mut add = |key: TraceKey, start_max: Timestamp, met: Met| {
            let candidate = candidates.entry(key).or_insert(Candidate { start_max, met });
            candidate.start_max = candidate.start_max.max(start_max);
            candidate.met.add(met);
        };
        let covers = |start| query.covers(start);
        for head in &self.heads {
            each_trace(head, |key, trace| {
                if let Some(start_max) = trace.facts.start_within(covers) {
                    add(key, start_max, wanted.met_by(&trace.spans));
                }
            });
        }
        for block in self.blocks.iter() {
            block.index().look_up(&wanted).candidates(query, &mut add);
        }
        let all = wanted.all();
        let (mut found, mut lacking): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|(_, candidate)| candidate.met == all);
        self.meet_elsewhere(&wanted, &mut lacking);
        found.extend(lacking.into_iter().filter(|(_, candidate)| candidate.met == all));
        found
    }

    /// What is missing may be in a piece of the trace that does not decide its start.
    fn meet_elsewhere(&self, wanted: &Wanted, lacking: &mut [(TraceKey, Candidate)]) {
        for head in &self.heads {
            for lacking in lacking.chunks_mut(HEAD_TRACES) {
                let head = head.read().unwrap_or_else(PoisonError::into_inner);
                for (key, candidate) in lacking {
                    if let Some(trace) = head.trace(*key) {
                        candidate.met.add(wanted.met_by(&trace.spans));
                    }
                }
            }
        }
        for block in self.blocks.iter() {
            let looked_up = block.index().look_up(wanted);
            for (key, candidate) in lacking.iter_mut() {
                candidate.met.add(looked_up.met_by(*key));
            }
        }
    }

    fn knows_service(&self, service: &str) -> bool {
        let in_head = |head: &SharedHead| {
            head.read().unwrap_or_else(PoisonError::into_inner).names().has_service(service)
        };
        self.heads.iter().any(in_head)
            || self.blocks.iter().any(|block| block.index().names.has_service(service))
    }

    fn matching(
        &self,
        query: &TraceQuery,
        candidates: &[(TraceKey, Candidate)],
    ) -> Result<Vec<Vec<Span>>, QueryFailed> {
        let mut keys: Vec<TraceKey> = candidates.iter().map(|(key, _)| *key).collect();
        keys.retain(|key| !self.surely_differs(*key, query));
        let traces = self.read(&keys)?;
        let traces = traces.into_values().map(assemble);
        Ok(traces.filter(|trace| query.matches(trace)).collect())
    }

    /// Whether a trace that is in one head alone fails to match: then it need not be copied.
    fn surely_differs(&self, key: TraceKey, query: &TraceQuery) -> bool {
        if self.blocks.iter().any(|block| block.index().contains(key)) {
            return false;
        }
        let mut holders = self.heads.iter().filter(|head| {
            head.read().unwrap_or_else(PoisonError::into_inner).trace(key).is_some()
        });
        let (Some(head), None) = (holders.next(), holders.next()) else { return false };
        let head = head.read().unwrap_or_else(PoisonError::into_inner);
        // Duplicates may still be in there. They make nothing match that would not match without.
        head.trace(key).is_some_and(|trace| !query.matches(&trace.spans))
    }

    /// All spans of these traces, from every part, in the order of the parts.
    fn read(&self, keys: &[TraceKey]) -> Result<Spans, QueryFailed> {
        let mut spans = Spans::new();
        for block in self.blocks.iter() {
            block.read(keys, &mut |key, span| spans.entry(key).or_default().push(span))?;
        }
        for head in &self.heads {
            for keys in keys.chunks(HEAD_TRACES) {
                let head = head.read().unwrap_or_else(PoisonError::into_inner);
                for key in keys {
                    if let Some(trace) = head.trace(*key) {
                        spans.entry(*key).or_default().extend_from_slice(&trace.spans);
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
    ) -> Result<Vec<DependencyLink>, QueryFailed> {
        let mut ids: BTreeSet<u64> = BTreeSet::new();
        let may_touch = |start: Option<Timestamp>, latest: Option<Timestamp>| {
            start.is_some_and(|at| at.millis() <= end_ms)
                && latest.is_some_and(|at| at.millis() >= start_ms)
        };
        for head in &self.heads {
            each_trace(head, |key, trace| {
                if may_touch(trace.facts.start, trace.facts.latest) {
                    ids.insert(key.low);
                }
            });
        }
        for block in self.blocks.iter() {
            let traces = block.index().traces.iter();
            let touching = traces.filter(|entry| may_touch(entry.facts.start, entry.facts.latest));
            ids.extend(touching.map(|entry| entry.key.low));
        }
        let mut linker = Linker::default();
        let ids: Vec<u64> = ids.into_iter().collect();
        for ids in ids.chunks(READ_TRACES_MAX) {
            let keys: Vec<TraceKey> = self.keys_of(ids).into_iter().collect();
            let mut groups: HashMap<u64, Vec<Span>> = HashMap::new();
            for (key, spans) in self.read(&keys)? {
                groups.entry(key.low).or_default().extend(spans);
            }
            for id in ids {
                let trace = groups.remove(id).map_or_else(Vec::new, assemble);
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

    /// All spellings of these trace ids that any part has.
    fn keys_of(&self, ids: &[u64]) -> BTreeSet<TraceKey> {
        let mut keys = BTreeSet::new();
        for block in self.blocks.iter() {
            for id in ids {
                keys.extend(block.index().traces_of(*id).iter().map(|entry| entry.key));
            }
        }
        for head in &self.heads {
            let head = head.read().unwrap_or_else(PoisonError::into_inner);
            for id in ids {
                let from = Bound::Included(TraceKey { low: *id, high: 0 });
                let traces = head.traces_from(from).take_while(|(key, _)| key.low == *id);
                keys.extend(traces.map(|(key, _)| key));
            }
        }
        keys
    }

    /// Names of services, sorted.
    pub(crate) fn service_names(&self) -> Vec<String> {
        let mut services = BTreeSet::new();
        self.each_names(|names| {
            services.extend(names.services().map(|(service, _)| service.to_owned()));
        });
        services.into_iter().collect()
    }

    /// Names that one service used, sorted.
    pub(crate) fn names_of(
        &self,
        service: &str,
        which: fn(&ServiceNames) -> &BTreeSet<String>,
    ) -> Vec<String> {
        let mut found = BTreeSet::new();
        self.each_names(|names| {
            if let Some(names) = names.service(service) {
                found.extend(which(names).iter().cloned());
            }
        });
        found.into_iter().collect()
    }

    fn each_names(&self, mut each: impl FnMut(&Names)) {
        for block in self.blocks.iter() {
            each(&block.index().names);
        }
        for head in &self.heads {
            each(head.read().unwrap_or_else(PoisonError::into_inner).names());
        }
    }

    /// Keys of tags, sorted, as Zipkin shows them.
    pub(crate) fn tag_keys(&self) -> Result<Vec<String>, QueryFailed> {
        let mut keys: HashSet<String> = HashSet::new();
        let mut add = |key: &str| {
            if keys.len() < TAG_KEYS_MAX && !keys.contains(key) {
                keys.insert(key.to_owned());
            }
        };
        for block in self.blocks.iter() {
            block.tags()?.keys().for_each(&mut add);
        }
        self.each_head_span(|span| span.zipkin_tags().keys().for_each(|key| add(key)));
        Ok(sorted(keys))
    }

    /// Values of one tag, sorted, as Zipkin shows them.
    pub(crate) fn tag_values(&self, key: &str) -> Result<Vec<String>, QueryFailed> {
        let mut values: HashSet<String> = HashSet::new();
        let mut add = |value: &str| {
            if values.len() < TAG_VALUES_MAX && !values.contains(value) {
                values.insert(value.to_owned());
            }
        };
        for block in self.blocks.iter() {
            block.tags()?.values(key).for_each(&mut add);
        }
        self.each_head_span(|span| {
            if let Some(value) = span.zipkin_tag(key) {
                add(&value);
            }
        });
        Ok(sorted(values))
    }

    fn each_head_span(&self, mut each: impl FnMut(&Span)) {
        for head in &self.heads {
            each_trace(head, |_, trace| trace.spans.iter().for_each(&mut each));
        }
    }
}

fn sorted(set: HashSet<String>) -> Vec<String> {
    let mut list: Vec<String> = set.into_iter().collect();
    list.sort_unstable();
    list
}

/// Calls `each` with every trace, and lets the head's writer in between.
fn each_trace(head: &SharedHead, mut each: impl FnMut(TraceKey, &HeadTrace)) {
    let mut from = Bound::Unbounded;
    loop {
        let head = head.read().unwrap_or_else(PoisonError::into_inner);
        let mut last = None;
        for (key, trace) in head.traces_from(from).take(HEAD_TRACES) {
            each(key, trace);
            last = Some(key);
        }
        match last {
            Some(key) => from = Bound::Excluded(key),
            None => return,
        }
    }
}

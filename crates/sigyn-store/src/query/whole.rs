//! Whole traces, read from every part that has some of them.

use std::collections::{BTreeSet, HashMap};

use sigyn_model::{Span, TraceId};

use super::{Bounds, HEAD_TRACES};
use crate::block::{BlockFailed, QueryFailed};
use crate::facts::{Strictness, TraceKey};
use crate::size::Weight;
use crate::stop::Stop;
use crate::trace::assemble;
use crate::view::Parts;

/// How many spans are handed on together where all are.
const SPANS_AT_ONCE: usize = 1_000;

/// Spans of traces by the key of their group.
type Spans = HashMap<TraceKey, Vec<Span>>;

impl Parts {
    /// Calls `each` with all spans, some at a time, in the order of the parts. What is left of a damaged
    /// block is left out, and `damaged` is called with it.
    pub(crate) fn each_spans(
        &self,
        stop: &Stop,
        each: &mut impl FnMut(Vec<Span>),
        damaged: impl Fn(&str, &BlockFailed),
    ) -> Result<(), QueryFailed> {
        let mut spans = Vec::new();
        for block in self.blocks.iter() {
            let last_seq = block.entry().last_seq;
            let read = block.read_all(stop, &mut |span: Span| {
                if !self.buried.hides(last_seq, span.trace_id) {
                    spans.push(span);
                }
                if spans.len() == SPANS_AT_ONCE {
                    each(std::mem::take(&mut spans));
                }
            });
            match read {
                Err(QueryFailed::Block { block, source }) if source.is_damage() => {
                    damaged(&block, &source);
                }
                read => read?,
            }
        }
        for (number, head) in self.heads.iter().enumerate() {
            // A block of the head before it has none of these.
            let again_rows = if number > 0 { head.again().0 } else { 0 };
            for (_, trace) in head.traces() {
                stop.check()?;
                spans.extend(trace.spans_after(again_rows));
                if spans.len() >= SPANS_AT_ONCE {
                    each(std::mem::take(&mut spans));
                }
            }
        }
        if !spans.is_empty() {
            each(spans);
        }
        Ok(())
    }

    pub(crate) fn trace(
        &self,
        id: TraceId,
        strictness: Strictness,
        bounds: Bounds<'_>,
    ) -> Result<Vec<Span>, QueryFailed> {
        let group = strictness.group(id.into());
        match self.read(&[group], strictness, bounds) {
            Ok(mut read) => Ok(read.remove(&group).map_or_else(Vec::new, assemble)),
            Err(QueryFailed::TooLarge { bytes_max }) => {
                let bytes = self.weigh(group, strictness, bounds.stop)?.max(bytes_max + 1);
                Err(QueryFailed::TraceTooLarge { bytes, bytes_max })
            }
            Err(error) => Err(error),
        }
    }

    /// What the spans of a group of traces take together, about: each part as much as its first ones.
    fn weigh(
        &self,
        group: TraceKey,
        strictness: Strictness,
        stop: &Stop,
    ) -> Result<u64, QueryFailed> {
        const LOOKED_AT: u32 = 256;
        let mut bytes = 0u64;
        let mut add = |weight: Weight, looked_at: u32, all: u32| {
            let of_each = weight.bytes.div_ceil(u64::from(looked_at.max(1)));
            bytes = bytes.saturating_add(of_each.saturating_mul(u64::from(all)));
        };
        for (number, entry) in self.entries_of(group, strictness)? {
            let (looked_at, mut weight) = (entry.rows.min(LOOKED_AT), Weight::default());
            let first = u64::from(entry.first_row);
            let rows = [(first..first + u64::from(looked_at), entry.key.trace_id())];
            self.blocks[number].read_rows(&rows, stop, &mut |span| weight.add(&span))?;
            add(weight, looked_at, entry.rows);
        }
        for (_, trace) in self.heads.iter().flat_map(|head| head.group(group, strictness)) {
            stop.check()?;
            let (looked_at, mut weight) = (trace.len().min(LOOKED_AT), Weight::default());
            trace.spans().take(looked_at as usize).for_each(|span| weight.add(&span));
            add(weight, looked_at, trace.len());
        }
        // Others may be larger than those.
        Ok(bytes.saturating_add(bytes / 16))
    }

    /// The same for several, in their order.
    pub(crate) fn traces_of(
        &self,
        ids: &[TraceId],
        strictness: Strictness,
        bounds: Bounds<'_>,
    ) -> Result<Vec<Vec<Span>>, QueryFailed> {
        let groups: Vec<TraceKey> = ids.iter().map(|id| strictness.group((*id).into())).collect();
        let mut read = self.read(&groups, strictness, bounds)?;
        let trace = |group: &TraceKey| read.remove(group).map_or_else(Vec::new, assemble);
        Ok(groups.iter().map(trace).collect())
    }

    /// The ids of all spans of the trace with this id: it may have several where strictness says so.
    pub(crate) fn ids_of(
        &self,
        id: TraceId,
        strictness: Strictness,
    ) -> Result<BTreeSet<TraceId>, QueryFailed> {
        let group = strictness.group(id.into());
        let mut ids = BTreeSet::new();
        for block in self.blocks.iter() {
            let last_seq = block.entry().last_seq;
            let found = block.group(group, strictness)?.into_iter();
            let found = found.filter_map(|entry| entry.key.trace_id());
            ids.extend(found.filter(|id| !self.buried.hides(last_seq, *id)));
        }
        for head in &self.heads {
            ids.extend(head.group(group, strictness).filter_map(|(key, _)| key.trace_id()));
        }
        Ok(ids)
    }

    /// How many rows of these groups of traces somebody may see.
    pub(crate) fn count_rows(
        &self,
        groups: &[TraceKey],
        strictness: Strictness,
        stop: &Stop,
    ) -> Result<u64, QueryFailed> {
        let mut rows = 0;
        for groups in groups.chunks(HEAD_TRACES) {
            stop.check()?;
            for group in groups {
                let entries = self.entries_of(*group, strictness)?;
                rows += entries.iter().map(|(_, entry)| u64::from(entry.rows)).sum::<u64>();
                let in_heads = self.heads.iter().flat_map(|head| head.group(*group, strictness));
                rows += in_heads.map(|(_, trace)| u64::from(trace.len())).sum::<u64>();
            }
        }
        Ok(rows)
    }

    /// All spans of these groups of traces, from every part, in the order of the parts. Nothing is read if
    /// they are too many to be held, whatever they say.
    pub(crate) fn read(
        &self,
        groups: &[TraceKey],
        strictness: Strictness,
        bounds: Bounds<'_>,
    ) -> Result<Spans, QueryFailed> {
        let stop = bounds.stop;
        if !bounds.may_hold(self.count_rows(groups, strictness, stop)?) {
            return Err(QueryFailed::TooLarge { bytes_max: bounds.bytes_max });
        }
        let mut spans = Spans::new();
        let mut weight = Weight::default();
        for block in self.blocks.iter() {
            stop.check()?;
            let last_seq = block.entry().last_seq;
            block.read(groups, strictness, stop, &mut |span| {
                if self.buried.hides(last_seq, span.trace_id) {
                    return;
                }
                weight.add(&span);
                if bounds.check(weight.bytes).is_ok() {
                    let group = strictness.group(span.trace_id.into());
                    spans.entry(group).or_default().push(span);
                }
            })?;
            bounds.check(weight.bytes)?;
        }
        for head in &self.heads {
            for groups in groups.chunks(HEAD_TRACES) {
                stop.check()?;
                for group in groups {
                    for (_, trace) in head.group(*group, strictness) {
                        let spans = spans.entry(*group).or_default();
                        for span in trace.spans() {
                            weight.add(&span);
                            bounds.check(weight.bytes)?;
                            spans.push(span);
                        }
                    }
                }
            }
        }
        Ok(spans)
    }
}

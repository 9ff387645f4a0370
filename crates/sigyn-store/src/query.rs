//! Answers queries from heads and blocks: what an index rules out is not read.

use std::cell::Cell;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};

use sigyn_model::{Span, TraceId, TracePlace, TraceQuery, trace_start};

use crate::ahead::{self, Later};
use crate::block::across::Across;
use crate::block::entry::Entry;
use crate::block::page_row::PageRow;
use crate::block::{BlockFailed, QueryFailed};
use crate::candidates::Candidates;
use crate::facts::{Strictness, TraceKey};
use crate::head::{HeadTrace, HeadView};
use crate::room::Room;
use crate::size::Weight;
use crate::stop::Stop;
use crate::trace::assemble;
use crate::view::Parts;
use crate::wanted::{Candidate, Wanted};

/// How many spans are handed on together where all are.
const SPANS_AT_ONCE: usize = 1_000;
/// Traces that are read at a time, at least; a search that finds little reads more at once.
const READ_TRACES_MIN: usize = if cfg!(test) { 1 } else { 8 };
pub(crate) const READ_TRACES_MAX: usize = 2_048;
/// Spans that are read at a time, except for a trace that has more: an answer may be small, and
/// what must be read for it large.
pub(crate) const READ_ROWS_MAX: u64 = if cfg!(test) { 20 } else { 64 * 1_024 };
/// Traces of a head that are looked at between two questions whether to go on.
pub(crate) const HEAD_TRACES: usize = 512;

/// Spans of traces by the key of their group.
type Spans = HashMap<TraceKey, Vec<Span>>;

/// Groups of traces that are passed over: each of them is larger than an answer may be.
type TooLarge = HashSet<TraceKey>;

/// Where the parts of a group of traces are that somebody may see.
enum Holder<'a> {
    None,
    /// In this block alone, and there in one place.
    Block(usize, Entry),
    /// In several blocks, or places of one, and in no head.
    Blocks(Vec<(usize, Entry)>),
    /// In one head alone.
    Head(HeadTrace<'a>),
    Several,
}

/// A trace that matches.
enum Match {
    /// All of it.
    Whole(Vec<Span>),
    /// It is in blocks alone, says nothing twice, and is read if it is among those that an answer has.
    Later(Later),
}

/// What is kept of a trace that matches. Of two, the one that an answer leaves out first is the greater.
struct Found<T> {
    place: TracePlace,
    kept: Kept<T>,
}

enum Kept<T> {
    /// And in how many bytes.
    Now(T, u64),
    Later(usize, Entry),
    /// Its parts are looked for again.
    Parted,
}

impl Match {
    fn place(&self) -> Option<TracePlace> {
        match self {
            Self::Whole(trace) => TracePlace::of(trace),
            Self::Later(later) => Some(later.place),
        }
    }
}

impl<T> Found<T> {
    /// What it takes in memory, about, whether it is read or will be.
    fn bytes(&self) -> u64 {
        let kept = if let Kept::Now(_, bytes) = self.kept { bytes } else { 0 };
        kept.saturating_add(size_of::<Self>() as u64)
    }
}

impl<T> PartialEq for Found<T> {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl<T> Eq for Found<T> {}

impl<T> PartialOrd for Found<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Found<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place)
    }
}

/// How far a query may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds<'a> {
    pub(crate) stop: &'a Stop,
    pub(crate) room: &'a Room,
    /// Of spans, or what is kept of them, that are held at a time.
    pub(crate) bytes_max: u64,
}

impl Bounds<'_> {
    pub(crate) fn check(self, bytes: u64) -> Result<(), QueryFailed> {
        let Self { bytes_max, .. } = self;
        if bytes > bytes_max {
            return Err(QueryFailed::TooLarge { bytes_max });
        }
        if self.room.hold(bytes) { Ok(()) } else { Err(QueryFailed::NoRoom) }
    }

    /// Whether so many spans can be held, whatever they say.
    fn may_hold(self, rows: u32) -> bool {
        u64::from(rows).saturating_mul(size_of::<Span>() as u64) <= self.bytes_max
    }
}

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

    /// What `keep` keeps of the traces that [`TraceQuery::run`] gives for all that are stored, and in
    /// about how many bytes. Traces that are each larger than an answer may be are passed over; there
    /// were so many of them.
    pub(crate) fn traces<T>(
        &self,
        query: &TraceQuery,
        strictness: Strictness,
        bounds: Bounds<'_>,
        keep: impl Fn(Vec<Span>) -> (T, u64),
    ) -> Result<(Vec<T>, u64), QueryFailed> {
        if let Some(service) = query.service_name()
            && !self.may_have_service(service)?
        {
            return Ok((Vec::new(), 0));
        }
        let mut too_large = TooLarge::new();
        loop {
            let (found, bytes) = self.found(query, strictness, bounds, &keep, &mut too_large)?;
            let known = too_large.len();
            let kept = self.kept(found, bytes, strictness, bounds, &keep, &mut too_large)?;
            // Others come in place of those that turned out to be too large when they were read.
            if too_large.len() == known {
                return Ok((kept, known as u64));
            }
        }
    }

    /// Those traces that an answer has, in its order, and in how many bytes.
    fn found<T>(
        &self,
        query: &TraceQuery,
        strictness: Strictness,
        bounds: Bounds<'_>,
        keep: &impl Fn(Vec<Span>) -> (T, u64),
        too_large: &mut TooLarge,
    ) -> Result<(Vec<Found<T>>, u64), QueryFailed> {
        let stop = bounds.stop;
        let wanted = Wanted::of(query);
        let mut candidates = Candidates::new(self, query, &wanted, strictness, stop)?;
        // No more than the limit, the worst of them on top.
        let mut found: BinaryHeap<Found<T>> = BinaryHeap::new();
        let mut bytes = 0u64;
        let mut at_once = query.limit().clamp(READ_TRACES_MIN, READ_TRACES_MAX);
        let mut ready: Vec<Candidate> = Vec::new();
        let mut left = ready.as_slice();
        loop {
            stop.check()?;
            let newest = left.first().map(|candidate| candidate.start_max);
            let Some(newest) = newest.or_else(|| candidates.newest()) else { break };
            // Strictly later: of two that start together the ids decide, and both must be here.
            if found.len() == query.limit()
                && found.peek().is_some_and(|worst| worst.place.start.0 > newest)
            {
                break;
            }
            if left.is_empty() {
                ready = candidates.next()?;
                left = ready.as_slice();
                continue;
            }
            let rows = left.iter().map(|candidate| candidate.rows);
            let (now, later) = left.split_at(readable(rows, at_once));
            let mut matching = 0;
            self.each_match(query, now, strictness, bounds, too_large, &mut |one| {
                matching += 1;
                let Some(place) = one.place().filter(|place| query.is_ahead(*place)) else {
                    return Ok(());
                };
                let is_full = found.len() == query.limit();
                if is_full && found.peek().is_none_or(|worst| worst.place <= place) {
                    return Ok(());
                }
                let kept = match one {
                    Match::Later(later) => match later.parts[..] {
                        [(block, entry)] => Kept::Later(block, entry),
                        _ => Kept::Parted,
                    },
                    Match::Whole(trace) => {
                        let (kept, size) = keep(trace);
                        Kept::Now(kept, size)
                    }
                };
                let one = Found { place, kept };
                bytes = bytes.saturating_add(one.bytes());
                found.push(one);
                if is_full && let Some(worst) = found.pop() {
                    bytes -= worst.bytes();
                }
                bounds.check(bytes)
            })?;
            left = later;
            at_once = next_at_once(at_once, now.len(), matching, query.limit() - found.len());
        }
        Ok((found.into_sorted_vec(), bytes))
    }

    /// What is kept of all these traces, in their order; some of them are still to be read.
    fn kept<T>(
        &self,
        found: Vec<Found<T>>,
        mut bytes: u64,
        strictness: Strictness,
        bounds: Bounds<'_>,
        keep: &impl Fn(Vec<Span>) -> (T, u64),
        too_large: &mut TooLarge,
    ) -> Result<Vec<T>, QueryFailed> {
        let mut kept: Vec<(TracePlace, T)> = Vec::with_capacity(found.len());
        let mut later: Vec<Later> = Vec::new();
        for Found { place, kept: one } in found {
            match one {
                Kept::Now(one, _) => kept.push((place, one)),
                Kept::Later(block, entry) => {
                    later.push(Later { place, parts: vec![(block, entry)] });
                }
                Kept::Parted => {
                    let parts = self.entries_of(strictness.group(place.id.into()), strictness)?;
                    later.push(Later { place, parts });
                }
            }
        }
        ahead::each_read(&self.blocks, later, bounds, &mut |place, spans| {
            let Some(spans) = spans else {
                too_large.insert(strictness.group(place.id.into()));
                return Ok(());
            };
            let weight = Weight::of(&spans);
            // How much is kept of it is known afterwards.
            bounds.check(bytes.saturating_add(weight).min(bounds.bytes_max))?;
            let (one, size) = keep(assemble(spans));
            bytes = bytes.saturating_add(size);
            kept.push((place, one));
            bounds.check(bytes)
        })?;
        kept.sort_by_key(|(place, _)| *place);
        Ok(kept.into_iter().map(|(_, one)| one).collect())
    }

    fn may_have_service(&self, service: &str) -> Result<bool, QueryFailed> {
        let in_head = |head: &HeadView| head.with_names(|names| names.may_have_service(service));
        if self.heads.iter().any(in_head) {
            return Ok(true);
        }
        // Most often the newest has it.
        for block in self.blocks.iter().rev() {
            if block.names()?.may_have_service(service) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Calls `each` with those of the candidates that match and can be held.
    fn each_match(
        &self,
        query: &TraceQuery,
        candidates: &[Candidate],
        strictness: Strictness,
        bounds: Bounds<'_>,
        too_large: &mut TooLarge,
        each: &mut impl FnMut(Match) -> Result<(), QueryFailed>,
    ) -> Result<(), QueryFailed> {
        let mut traces = match self.matching(query, candidates, strictness, bounds, too_large) {
            // What matches may be little, though what must be read for it is not.
            Err(QueryFailed::TooLarge { .. } | QueryFailed::NoRoom) if candidates.len() > 1 => {
                let (first, second) = candidates.split_at(candidates.len() / 2);
                self.each_match(query, first, strictness, bounds, too_large, each)?;
                return self.each_match(query, second, strictness, bounds, too_large, each);
            }
            Err(QueryFailed::TooLarge { .. }) => {
                too_large.extend(candidates.iter().map(|candidate| candidate.key));
                return Ok(());
            }
            matching => matching?,
        };
        // Newest first, so that nothing is held meanwhile that the answer then leaves out.
        traces.sort_by_cached_key(Match::place);
        traces.into_iter().try_for_each(each)
    }

    /// Those of the candidates that match, in no order; without those that cannot be held.
    fn matching(
        &self,
        query: &TraceQuery,
        candidates: &[Candidate],
        strictness: Strictness,
        bounds: Bounds<'_>,
        too_large: &mut TooLarge,
    ) -> Result<Vec<Match>, QueryFailed> {
        let mut groups: Vec<TraceKey> = Vec::new();
        // What one part alone has is judged there, and what several blocks have in all of them.
        let mut lone: BTreeMap<usize, Vec<Entry>> = BTreeMap::new();
        let mut parted: Vec<(Vec<(usize, Entry)>, &Candidate)> = Vec::new();
        for candidate in candidates {
            if too_large.contains(&candidate.key) {
                continue;
            }
            let mut read = || match bounds.may_hold(candidate.rows) {
                true => groups.push(candidate.key),
                false => _ = too_large.insert(candidate.key),
            };
            match self.holder(candidate.key, strictness)? {
                Holder::Block(number, entry) if query.bears_duplicates() => {
                    let start = entry.start_alone().is_some_and(|start| query.covers(start));
                    if start && u64::from(entry.rows) <= READ_ROWS_MAX {
                        lone.entry(number).or_default().push(entry);
                    } else if start {
                        read();
                    }
                }
                Holder::Blocks(parts) if query.bears_duplicates() && are_few(&parts) => {
                    parted.push((parts, candidate));
                }
                // Duplicates may still be in there. They make nothing match that would not match without.
                Holder::Head(trace)
                    if query.bears_duplicates()
                        && !query.matches(&trace.rows().collect::<Vec<_>>()) => {}
                Holder::None => {}
                Holder::Block(..) | Holder::Blocks(_) | Holder::Head(_) | Holder::Several => read(),
            }
        }
        // What is near is looked at together.
        parted.sort_unstable_by_key(|(parts, _)| {
            parts.first().map(|(number, entry)| (*number, entry.first_row))
        });
        let mut across = Across::new(&self.blocks, bounds.stop);
        let mut matching = Vec::new();
        for (parts, candidate) in parted {
            let place = Cell::new(None);
            let matches = across.passes(&parts, &|rows: &[PageRow<'_, '_>]| {
                let matches = query.matches(rows);
                place.set(place_of(rows).filter(|_| matches));
                matches
            })?;
            if matches && !bounds.may_hold(candidate.rows) {
                too_large.insert(candidate.key);
            } else if let Some(place) = place.get() {
                matching.push(Match::Later(Later { place, parts }));
            } else if matches {
                groups.push(candidate.key);
            }
        }
        for (number, mut entries) in lone {
            entries.sort_unstable_by_key(|entry| entry.first_row);
            let Some(block) = self.blocks.get(number) else { continue };
            let passing = block
                .passing(&entries, bounds.stop, &|rows: &[PageRow<'_, '_>]| query.says(rows))?;
            for entry in passing {
                if !bounds.may_hold(entry.rows) {
                    too_large.insert(strictness.group(entry.key));
                } else if let (Some(start), Some(id)) = (entry.start_alone(), entry.key.trace_id())
                {
                    let place = TracePlace { start: Reverse(start), id };
                    matching.push(Match::Later(Later { place, parts: vec![(number, entry)] }));
                }
            }
        }
        let read = self.read(&groups, strictness, bounds)?.into_values().map(assemble);
        matching.extend(read.filter(|trace| query.matches(trace)).map(Match::Whole));
        Ok(matching)
    }

    /// Where the parts of a group of traces are.
    fn holder(&self, group: TraceKey, strictness: Strictness) -> Result<Holder<'_>, QueryFailed> {
        let parts = self.entries_of(group, strictness)?;
        let mut of_heads = self.heads.iter().flat_map(|head| head.group(group, strictness));
        Ok(match (of_heads.next(), &parts[..]) {
            (None, []) => Holder::None,
            (None, [(number, entry)]) => Holder::Block(*number, *entry),
            (None, _) => Holder::Blocks(parts),
            (Some((_, trace)), []) if of_heads.next().is_none() => Holder::Head(trace),
            (Some(_), _) => Holder::Several,
        })
    }

    /// All spans of these groups of traces, from every part, in the order of the parts.
    pub(crate) fn read(
        &self,
        groups: &[TraceKey],
        strictness: Strictness,
        bounds: Bounds<'_>,
    ) -> Result<Spans, QueryFailed> {
        let stop = bounds.stop;
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

/// Where the trace with these rows stands, if they have one id and no two of them are of one span: then it is
/// what all of them say.
fn place_of(rows: &[PageRow<'_, '_>]) -> Option<TracePlace> {
    let mut ids = HashSet::with_capacity(rows.len());
    let trace_id = rows.first()?.id_of_trace()?;
    let is_plain = |row: &PageRow<'_, '_>| {
        row.id_of_trace() == Some(trace_id) && row.id().is_some_and(|id| ids.insert(id))
    };
    if !rows.iter().all(is_plain) {
        return None;
    }
    Some(TracePlace { start: Reverse(trace_start(rows)?), id: trace_id })
}

/// Whether parts of a trace are so few rows that these may be read at a time.
fn are_few(parts: &[(usize, Entry)]) -> bool {
    parts.iter().map(|(_, entry)| u64::from(entry.rows)).sum::<u64>() <= READ_ROWS_MAX
}

/// How many candidates to look at next, where `matching` of the last ones did match and so many are missing:
/// as many as may have them, and no more than twice as many as before.
fn next_at_once(before: usize, looked_at: usize, matching: usize, missing: usize) -> usize {
    let most = (before * 2).min(READ_TRACES_MAX);
    let likely = missing.saturating_mul(looked_at).checked_div(matching);
    likely.map_or(most, |likely| likely.clamp(READ_TRACES_MIN.min(most), most))
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

/// Calls `each` with every trace, and asks now and then whether to go on.
pub(crate) fn each_trace<'a>(
    head: &'a HeadView,
    stop: &Stop,
    mut each: impl FnMut(TraceKey, HeadTrace<'a>),
) -> Result<(), QueryFailed> {
    for (n, (key, trace)) in head.traces().enumerate() {
        if n % HEAD_TRACES == 0 {
            stop.check()?;
        }
        each(key, trace);
    }
    Ok(stop.check()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_looked_at_as_may_have_what_is_missing() {
        // How many at once before, how many there were, how many of them matched, how many are missing.
        let check = |input: [usize; 4], expected: usize| {
            let [before, looked_at, matching, missing] = input;
            let next = next_at_once(before, looked_at, matching, missing);
            assert_eq!(next, expected.max(READ_TRACES_MIN), "{input:?}");
        };
        check([20, 20, 10, 10], 20);
        check([20, 20, 19, 1], 1);
        check([20, 20, 2, 18], 40);
        check([20, 20, 0, 20], 40);
        check([20, 20, 20, 0], 0);
        check([READ_TRACES_MAX, 1_000, 0, 20], READ_TRACES_MAX);
    }
}

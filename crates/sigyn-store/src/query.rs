//! Answers queries from heads and blocks: what an index rules out is not read.

mod matching;
mod whole;

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashSet};

use sigyn_model::{Span, TracePlace, TraceQuery};

use crate::ahead::{self, Later};
use crate::block::QueryFailed;
use crate::block::entry::Entry;
use crate::candidates::Candidates;
use crate::facts::{Strictness, TraceKey};
use crate::head::{HeadTrace, HeadView};
use crate::room::Room;
use crate::size::Weight;
use crate::stop::Stop;
use crate::trace::assemble;
use crate::view::Parts;
use crate::wanted::{Candidate, Wanted};
use matching::Match;

/// Traces that are read at a time, at least; a search that finds little reads more at once.
const READ_TRACES_MIN: usize = if cfg!(test) { 1 } else { 8 };
pub(crate) const READ_TRACES_MAX: usize = 2_048;
/// Spans that are read at a time, except for a trace that has more: an answer may be small, and
/// what must be read for it large.
pub(crate) const READ_ROWS_MAX: u64 = if cfg!(test) { 20 } else { 64 * 1_024 };
/// Traces of a head that are looked at between two questions whether to go on.
pub(crate) const HEAD_TRACES: usize = 512;

#[cfg(test)]
thread_local! {
    /// How often a search began.
    pub(crate) static BEGUN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Groups of traces that are passed over: each of them is larger than an answer may be.
type TooLarge = HashSet<TraceKey>;

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
    fn may_hold(self, rows: u64) -> bool {
        rows.saturating_mul(size_of::<Span>() as u64) <= self.bytes_max
    }
}

impl Parts {
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
        // Others come in place of those that turn out to be too large when they are read: the more there
        // were of these, the more others are found with what the answer has.
        let (mut others, mut others_max) = (0, usize::MAX);
        loop {
            let limit = query.limit().saturating_add(others);
            let found = match self.found(query, limit, strictness, bounds, &keep, &mut too_large) {
                Err(QueryFailed::TooLarge { .. } | QueryFailed::NoRoom) if others > 0 => {
                    (others, others_max) = (0, 0);
                    continue;
                }
                found => found?,
            };
            let is_all = found.0.len() < limit;
            let kept = self.kept(query, found, strictness, bounds, &keep, &mut too_large)?;
            if is_all || kept.len() == query.limit() {
                return Ok((kept, too_large.len() as u64));
            }
            others = too_large.len().saturating_mul(2).min(others_max);
        }
    }

    /// The first traces that match, in the order of an answer, and in how many bytes.
    fn found<T>(
        &self,
        query: &TraceQuery,
        limit: usize,
        strictness: Strictness,
        bounds: Bounds<'_>,
        keep: &impl Fn(Vec<Span>) -> (T, u64),
        too_large: &mut TooLarge,
    ) -> Result<(Vec<Found<T>>, u64), QueryFailed> {
        #[cfg(test)]
        BEGUN.set(BEGUN.get() + 1);
        let stop = bounds.stop;
        let wanted = Wanted::of(query);
        let mut candidates = Candidates::new(self, query, &wanted, strictness, stop)?;
        // No more than the limit, the worst of them on top.
        let mut found: BinaryHeap<Found<T>> = BinaryHeap::new();
        let mut bytes = 0u64;
        let mut at_once = limit.clamp(READ_TRACES_MIN, READ_TRACES_MAX);
        let mut ready: Vec<Candidate> = Vec::new();
        let mut left = ready.as_slice();
        loop {
            stop.check()?;
            let newest = left.first().map(|candidate| candidate.start_max);
            let Some(newest) = newest.or_else(|| candidates.newest()) else { break };
            // Strictly later: of two that start together the ids decide, and both must be here.
            if found.len() == limit
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
                let is_full = found.len() == limit;
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
            at_once = next_at_once(at_once, now.len(), matching, limit - found.len());
        }
        Ok((found.into_sorted_vec(), bytes))
    }

    /// What is kept of the first of these traces, in their order, as many as an answer has; some of them are
    /// still to be read.
    fn kept<T>(
        &self,
        query: &TraceQuery,
        (found, mut bytes): (Vec<Found<T>>, u64),
        strictness: Strictness,
        bounds: Bounds<'_>,
        keep: &impl Fn(Vec<Span>) -> (T, u64),
        too_large: &mut TooLarge,
    ) -> Result<Vec<T>, QueryFailed> {
        let mut kept: Vec<(TracePlace, T)> = Vec::new();
        let mut found = found.into_iter();
        loop {
            let missing = query.limit().saturating_sub(kept.len());
            let mut later: Vec<Later> = Vec::new();
            for Found { place, kept: one } in found.by_ref().take(missing) {
                match one {
                    Kept::Now(one, _) => kept.push((place, one)),
                    Kept::Later(block, entry) => {
                        later.push(Later { place, parts: vec![(block, entry)] });
                    }
                    Kept::Parted => {
                        let group = strictness.group(place.id.into());
                        later.push(Later { place, parts: self.entries_of(group, strictness)? });
                    }
                }
            }
            if later.is_empty() {
                break;
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
        }
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

//! Which of the candidates match: what one block alone has is judged by the columns asked for, and what is in
//! memory where it is; all else is read.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use sigyn_model::{Span, TracePlace, TraceQuery, trace_start};

use super::{Bounds, READ_ROWS_MAX, TooLarge};
use crate::ahead::Later;
use crate::block::QueryFailed;
use crate::block::across::Across;
use crate::block::entry::Entry;
use crate::block::page_row::PageRow;
use crate::facts::{Strictness, TraceKey};
use crate::head::HeadTrace;
use crate::trace::assemble;
use crate::view::Parts;
use crate::wanted::Candidate;

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
pub(super) enum Match {
    /// All of it.
    Whole(Vec<Span>),
    /// It is in blocks alone, says nothing twice, and is read if it is among those that an answer has.
    Later(Later),
}

impl Match {
    pub(super) fn place(&self) -> Option<TracePlace> {
        match self {
            Self::Whole(trace) => TracePlace::of(trace),
            Self::Later(later) => Some(later.place),
        }
    }
}

impl Parts {
    /// Calls `each` with those of the candidates that match and can be held.
    pub(super) fn each_match(
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
        let mut parted: Vec<(Vec<(usize, Entry)>, TraceKey)> = Vec::new();
        for candidate in candidates {
            if too_large.contains(&candidate.key) {
                continue;
            }
            let (rows, holder) = self.holder(candidate.key, strictness)?;
            let mut read = || match bounds.may_hold(rows) {
                true => groups.push(candidate.key),
                false => _ = too_large.insert(candidate.key),
            };
            match holder {
                Holder::Block(number, entry) if query.bears_duplicates() => {
                    let start = entry.start_alone().is_some_and(|start| query.covers(start));
                    if start && u64::from(entry.rows) <= READ_ROWS_MAX {
                        lone.entry(number).or_default().push(entry);
                    } else if start {
                        read();
                    }
                }
                Holder::Blocks(parts) if query.bears_duplicates() && rows <= READ_ROWS_MAX => {
                    parted.push((parts, candidate.key));
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
        for (parts, group) in parted {
            let rows = rows_of(&parts);
            let place = Cell::new(None);
            let matches = across.passes(&parts, &|rows: &[PageRow<'_, '_>]| {
                let matches = query.matches(rows);
                place.set(place_of(rows).filter(|_| matches));
                matches
            })?;
            if matches && !bounds.may_hold(rows) {
                too_large.insert(group);
            } else if let Some(place) = place.get() {
                matching.push(Match::Later(Later { place, parts }));
            } else if matches {
                groups.push(group);
            }
        }
        for (number, mut entries) in lone {
            entries.sort_unstable_by_key(|entry| entry.first_row);
            let Some(block) = self.blocks.get(number) else { continue };
            let passing = block
                .passing(&entries, bounds.stop, &|rows: &[PageRow<'_, '_>]| query.says(rows))?;
            for entry in passing {
                if !bounds.may_hold(entry.rows.into()) {
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

    /// Where the parts of a group of traces are, and how many rows they have.
    fn holder(
        &self,
        group: TraceKey,
        strictness: Strictness,
    ) -> Result<(u64, Holder<'_>), QueryFailed> {
        let parts = self.entries_of(group, strictness)?;
        let of_heads = self.heads.iter().flat_map(|head| head.group(group, strictness));
        let of_heads: Vec<HeadTrace<'_>> = of_heads.map(|(_, trace)| trace).collect();
        let in_blocks = rows_of(&parts);
        let in_heads: u64 = of_heads.iter().map(|trace| u64::from(trace.len())).sum();
        let holder = match (&of_heads[..], &parts[..]) {
            ([], []) => Holder::None,
            ([], [(number, entry)]) => Holder::Block(*number, *entry),
            ([], _) => Holder::Blocks(parts),
            ([trace], []) => Holder::Head(*trace),
            _ => Holder::Several,
        };
        Ok((in_blocks + in_heads, holder))
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

fn rows_of(parts: &[(usize, Entry)]) -> u64 {
    parts.iter().map(|(_, entry)| u64::from(entry.rows)).sum()
}

//! Traces that may answer a search, the newest first: of what blocks tell no more is looked at than is
//! asked for; and if something that is asked for is rare, only what has it.

use std::collections::HashSet;

use sigyn_model::{Timestamp, TraceQuery};

use crate::block::QueryFailed;
use crate::block::index::LookedUp;
use crate::facts::{Facts, Strictness, TraceKey};
use crate::query::{HEAD_TRACES, each_trace};
use crate::stop::Stop;
use crate::view::Parts;
use crate::wanted::{Candidate, Met, Wanted};

/// Pages of blocks that are looked at together, at first; a search that finds little looks at more.
const PAGES_MIN: usize = if cfg!(test) { 1 } else { 4 };
const PAGES_MAX: usize = if cfg!(test) { 3 } else { 256 };

/// Traces that are told of at a time. What a part does not meet is looked for in all others, so whoever has found
/// enough should not have done that for many more.
const TOLD_AT_ONCE: usize = if cfg!(test) { 2 } else { 256 };

/// What a search may still find.
pub(crate) struct Candidates<'a> {
    parts: &'a Parts,
    query: &'a TraceQuery,
    wanted: &'a Wanted,
    strictness: Strictness,
    stop: &'a Stop,
    looked_up: Vec<LookedUp<'a>>,
    /// The next one last: before which time its traces start, the block, and which page of it.
    pages: Vec<(Timestamp, usize, usize)>,
    pages_at_once: usize,
    /// Looked at, but others may start later.
    held: Vec<Candidate>,
    /// None of the others starts later; the newest of them last.
    ready: Vec<Candidate>,
    /// Parts of a trace may be found one after the other.
    done: HashSet<TraceKey>,
}

impl<'a> Candidates<'a> {
    pub(crate) fn new(
        parts: &'a Parts,
        query: &'a TraceQuery,
        wanted: &'a Wanted,
        strictness: Strictness,
        stop: &'a Stop,
    ) -> Result<Self, QueryFailed> {
        let mut looked_up = Vec::new();
        for block in parts.blocks.iter() {
            stop.check()?;
            looked_up.push(block.look_up(wanted)?);
        }
        let mut candidates = Self {
            parts,
            query,
            wanted,
            strictness,
            stop,
            looked_up,
            pages: Vec::new(),
            pages_at_once: PAGES_MIN,
            held: Vec::new(),
            ready: Vec::new(),
            done: HashSet::new(),
        };
        match parts.with_rarest(wanted, &candidates.looked_up, strictness, stop)? {
            Some(groups) => candidates.hold(groups)?,
            None => candidates.hold_all()?,
        }
        Ok(candidates)
    }

    /// Those of these traces that may match.
    fn hold(&mut self, groups: HashSet<TraceKey>) -> Result<(), QueryFailed> {
        let all = self.wanted.all();
        for key in groups {
            self.stop.check()?;
            let mut start_max: Option<Timestamp> = None;
            let (mut met, mut rows) = (Met::default(), 0u32);
            let mut add = |facts: Facts, of_part: Met, of_rows: u32| {
                start_max = start_max.max(facts.start_within(|start| self.query.covers(start)));
                met.add(of_part);
                rows = rows.saturating_add(of_rows);
            };
            for looked_up in &self.looked_up {
                looked_up.each_part(key, self.strictness, &mut add)?;
            }
            for head in &self.parts.heads {
                for (_, trace) in head.group(key, self.strictness) {
                    add(trace.facts(), self.wanted.met_by(trace), trace.len());
                }
            }
            if let (Some(start_max), true) = (start_max, met == all) {
                self.held.push(Candidate { key, start_max, met, rows, block: None });
            }
        }
        Ok(())
    }

    /// All traces of heads, and where those of blocks are told of.
    fn hold_all(&mut self) -> Result<(), QueryFailed> {
        let (query, wanted, strictness) = (self.query, self.wanted, self.strictness);
        for head in &self.parts.heads {
            each_trace(head, self.stop, |key, trace| {
                let start_max = trace.facts().start_within(|start| query.covers(start));
                if let Some(start_max) = start_max {
                    let (met, rows) = (wanted.met_by(trace), trace.len());
                    let key = strictness.group(key);
                    self.held.push(Candidate { key, start_max, met, rows, block: None });
                }
            })?;
        }
        for (number, known) in self.looked_up.iter().enumerate() {
            let pages = known.pages(query).map(|(newest, page)| (newest, number, page));
            self.pages.extend(pages);
        }
        self.pages.sort_unstable();
        Ok(())
    }

    /// The latest time at which any of those that are left may start.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        if let Some(newest) = self.ready.last() {
            return Some(newest.start_max);
        }
        let held = self.held.iter().map(|candidate| candidate.start_max).max();
        held.max(self.pages.last().map(|(newest, _, _)| *newest))
    }

    /// Some of them, the newest first; all others start no later. None of them may be among these.
    pub(crate) fn next(&mut self) -> Result<Vec<Candidate>, QueryFailed> {
        self.stop.check()?;
        if self.ready.is_empty() {
            self.make_ready()?;
        }
        let rest = self.ready.len().saturating_sub(TOLD_AT_ONCE);
        let mut told = self.ready.split_off(rest);
        told.reverse();
        let all = self.wanted.all();
        self.meet_elsewhere(all, &mut told)?;
        told.retain(|candidate| candidate.met == all);
        self.done.extend(told.iter().map(|candidate| candidate.key));
        Ok(told)
    }

    /// Looks at more pages, until some traces start later than all that the others may tell of.
    fn make_ready(&mut self) -> Result<(), QueryFailed> {
        let rest = self.pages.len().saturating_sub(self.pages_at_once);
        for (_, number, page) in self.pages.split_off(rest) {
            let (held, strictness) = (&mut self.held, self.strictness);
            self.looked_up[number].candidates(page, self.query, &mut |candidate| {
                let key = strictness.group(candidate.key);
                held.push(Candidate { key, block: Some(number), ..candidate });
            })?;
        }
        self.pages_at_once = (self.pages_at_once * 2).min(PAGES_MAX);
        let later = self.pages.last().map(|(newest, _, _)| *newest);
        let is_ready =
            |candidate: &mut Candidate| later.is_none_or(|later| candidate.start_max > later);
        let mut ready: Vec<Candidate> = self.held.extract_if(.., is_ready).collect();
        ready.retain(|candidate| !self.done.contains(&candidate.key));
        // What parts of a trace say, together.
        ready.sort_unstable_by_key(|candidate| candidate.key);
        ready.dedup_by(|next, first| {
            let is_same = next.key == first.key;
            if is_same {
                first.start_max = first.start_max.max(next.start_max);
                first.met.add(next.met);
                first.rows = first.rows.saturating_add(next.rows);
                first.block = None;
            }
            is_same
        });
        ready.sort_unstable_by_key(|candidate| {
            (candidate.start_max, std::cmp::Reverse(candidate.key))
        });
        self.ready = ready;
        Ok(())
    }

    /// What is missing may be in a piece of the trace that does not decide its start.
    fn meet_elsewhere(&self, all: Met, candidates: &mut [Candidate]) -> Result<(), QueryFailed> {
        for candidates in candidates.chunks_mut(HEAD_TRACES) {
            self.stop.check()?;
            for head in &self.parts.heads {
                for candidate in candidates.iter_mut().filter(|candidate| candidate.met != all) {
                    for (_, trace) in head.group(candidate.key, self.strictness) {
                        candidate.met.add(self.wanted.met_by(trace));
                    }
                }
            }
            for (number, looked_up) in self.looked_up.iter().enumerate() {
                // Where ids are told apart, a block has no more of a trace than what was found there.
                let is_known = |candidate: &Candidate| {
                    self.strictness == Strictness::Strict && candidate.block == Some(number)
                };
                let is_open =
                    |candidate: &&mut Candidate| candidate.met != all && !is_known(candidate);
                for candidate in candidates.iter_mut().filter(is_open) {
                    candidate.met.add(looked_up.met_by(candidate.key, self.strictness)?);
                }
            }
        }
        Ok(())
    }
}

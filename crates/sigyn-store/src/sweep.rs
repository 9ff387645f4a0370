//! Every trace that has a span in a stretch of time: whole, once, and a few at a time.
//!
//! What cannot be looked up is answered so. A trace is read where the first of its parts is that has
//! such a span, together with all its other parts; and not at all if indexes tell that it cannot match.

use std::collections::HashSet;

use sigyn_model::Span;

use crate::block::QueryFailed;
use crate::block::index::LookedUp;
use crate::facts::{Facts, Strictness, TraceKey};
use crate::head::HeadTrace;
use crate::query::{Bounds, HEAD_TRACES, READ_ROWS_MAX, READ_TRACES_MAX};
use crate::trace::assemble;
use crate::view::Parts;
use crate::wanted::{Met, Wanted};

/// What an answer was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Traces that were looked at.
    pub traces: u64,
    /// Their spans.
    pub spans: u64,
    /// Spans that had been counted before, and were not looked at.
    pub counted: u64,
    /// Of the spans, those of which only a few columns were read.
    pub scanned: u64,
    /// Traces that were left out, each alone larger than one answer may hold.
    pub too_large: u64,
}

/// Which traces: those with a span that starts in these milliseconds, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
    pub(crate) strictness: Strictness,
}

impl Stretch {
    pub(crate) fn touches(self, facts: &Facts) -> bool {
        facts.start.is_some_and(|at| at.millis() <= self.end_ms)
            && facts.latest.is_some_and(|at| at.millis() >= self.start_ms)
    }
}

impl Parts {
    /// Calls `each` with every trace that has a span in the stretch and meets what is wanted; there
    /// may be others among them.
    pub(crate) fn sweep(
        &self,
        stretch: Stretch,
        wanted: &Wanted,
        bounds: Bounds<'_>,
        each: &mut impl FnMut(&[Span]) -> Result<(), QueryFailed>,
    ) -> Result<Swept, QueryFailed> {
        let looked_up = self.blocks.iter().map(|block| block.look_up(wanted));
        let looked_up: Vec<LookedUp<'_>> = looked_up.collect::<Result<_, _>>()?;
        let rare = self.with_rarest(wanted, &looked_up, stretch.strictness, bounds.stop)?;
        let swept = Swept::default();
        let mut sweep = Sweep { parts: self, stretch, wanted, looked_up, bounds, swept, each };
        if let Some(groups) = rare {
            sweep.groups(groups)?;
            return Ok(sweep.swept);
        }
        for number in 0..self.blocks.len() {
            sweep.block(number)?;
        }
        for number in 0..self.heads.len() {
            sweep.head(number)?;
        }
        Ok(sweep.swept)
    }
}

struct Sweep<'a, F> {
    parts: &'a Parts,
    stretch: Stretch,
    wanted: &'a Wanted,
    /// What is wanted, as each block knows it.
    looked_up: Vec<LookedUp<'a>>,
    bounds: Bounds<'a>,
    swept: Swept,
    each: &'a mut F,
}

impl<F: FnMut(&[Span]) -> Result<(), QueryFailed>> Sweep<'_, F> {
    /// No others than these.
    fn groups(&mut self, groups: HashSet<TraceKey>) -> Result<(), QueryFailed> {
        let all = self.parts.blocks.len() + self.parts.heads.len();
        let mut batch = Batch::default();
        for group in groups {
            self.bounds.stop.check()?;
            if self.touches_before(all, group)? && self.may_match(group, None)? {
                let rows = self.rows(group)?;
                self.put(&mut batch, rows, group)?;
            }
        }
        self.read(&batch.groups)
    }

    /// How many rows the parts of a group have together.
    fn rows(&self, group: TraceKey) -> Result<u32, QueryFailed> {
        let strictness = self.stretch.strictness;
        let mut rows = 0u32;
        for block in self.parts.blocks.iter() {
            let entries = block.group(group, strictness)?;
            rows = entries.iter().fold(rows, |rows, entry| rows.saturating_add(entry.rows));
        }
        for head in &self.parts.heads {
            let traces = head.group(group, strictness);
            rows = traces.fold(rows, |rows, (_, trace)| rows.saturating_add(trace.len()));
        }
        Ok(rows)
    }

    fn block(&mut self, number: usize) -> Result<(), QueryFailed> {
        self.bounds.stop.check()?;
        let Stretch { start_ms, end_ms, strictness } = self.stretch;
        let mut found: Vec<(TraceKey, u32, u32)> = Vec::new();
        self.parts.blocks[number].touching(start_ms, end_ms, &mut |entry| {
            found.push((strictness.group(entry.key), entry.first_row, entry.rows));
        })?;
        found.sort_unstable();
        found.dedup_by_key(|(group, _, _)| *group);
        let mut places: Vec<(u32, u32, TraceKey)> =
            found.into_iter().map(|(group, row, rows)| (row, rows, group)).collect();
        // What is read together should stand together.
        places.sort_unstable();
        let mut batch = Batch::default();
        for (n, (_, rows, group)) in places.into_iter().enumerate() {
            if n % HEAD_TRACES == 0 {
                self.bounds.stop.check()?;
            }
            if !self.touches_before(number, group)? && self.may_match(group, Some(number))? {
                self.put(&mut batch, rows, group)?;
            }
        }
        self.read(&batch.groups)
    }

    fn head(&mut self, number: usize) -> Result<(), QueryFailed> {
        let before = self.parts.blocks.len() + number;
        let touching = |stretch: Stretch, trace: &HeadTrace<'_>| stretch.touches(&trace.facts());
        // Parts of a group may stand anywhere in a head.
        let mut seen: HashSet<TraceKey> = HashSet::new();
        let is_alone = self.stretch.strictness == Strictness::Strict;
        let mut batch = Batch::default();
        for (n, (key, trace)) in self.parts.heads[number].traces().enumerate() {
            if n % HEAD_TRACES == 0 {
                self.bounds.stop.check()?;
            }
            let group = self.stretch.strictness.group(key);
            if touching(self.stretch, &trace)
                && (is_alone || seen.insert(group))
                && !self.touches_before(before, group)?
                && self.may_match(group, None)?
            {
                self.put(&mut batch, trace.len(), group)?;
            }
        }
        self.read(&batch.groups)
    }

    /// Whether one of the first parts, blocks and then heads, has a span of this group in the stretch.
    fn touches_before(&self, parts: usize, group: TraceKey) -> Result<bool, QueryFailed> {
        let Stretch { start_ms, end_ms, strictness } = self.stretch;
        let Parts { blocks, heads, .. } = self.parts;
        let (first_blocks, first_heads) =
            (parts.min(blocks.len()), parts.saturating_sub(blocks.len()));
        for block in &blocks[..first_blocks] {
            let entries = block.group(group, strictness)?;
            if entries.iter().any(|entry| entry.may_touch(start_ms, end_ms)) {
                return Ok(true);
            }
        }
        Ok(heads[..first_heads].iter().any(|head| {
            let mut traces = head.group(group, strictness);
            traces.any(|(_, trace)| self.stretch.touches(&trace.facts()))
        }))
    }

    /// Whether the parts of a group together meet what is wanted, as far as indexes tell. Most often
    /// the block in which it was found tells already.
    fn may_match(&self, group: TraceKey, found_in: Option<usize>) -> Result<bool, QueryFailed> {
        let all = self.wanted.all();
        let mut met = Met::default();
        let found_in = found_in.and_then(|number| self.looked_up.get(number));
        for looked_up in found_in.into_iter().chain(&self.looked_up) {
            if met == all {
                return Ok(true);
            }
            met.add(looked_up.met_by(group, self.stretch.strictness)?);
        }
        for head in &self.parts.heads {
            for (_, trace) in head.group(group, self.stretch.strictness) {
                if met == all {
                    return Ok(true);
                }
                met.add(self.wanted.met_by(trace));
            }
        }
        Ok(met == all)
    }

    /// Adds a group to those that are read next.
    fn put(&mut self, batch: &mut Batch, rows: u32, group: TraceKey) -> Result<(), QueryFailed> {
        let is_full = batch.groups.len() >= READ_TRACES_MAX
            || batch.rows + u64::from(rows) > READ_ROWS_MAX && !batch.groups.is_empty();
        if is_full {
            self.read(&batch.groups)?;
            *batch = Batch::default();
        }
        batch.rows += u64::from(rows);
        batch.groups.push(group);
        Ok(())
    }

    fn read(&mut self, groups: &[TraceKey]) -> Result<(), QueryFailed> {
        let Self { parts, stretch, bounds, swept, each, .. } = self;
        parts.each_group(groups, stretch.strictness, *bounds, &mut |_, spans| {
            let Some(spans) = spans else {
                swept.too_large += 1;
                return Ok(());
            };
            let trace = assemble(spans);
            swept.traces += 1;
            swept.spans += trace.len() as u64;
            each(&trace)
        })
    }
}

/// Groups that are read together.
#[derive(Default)]
struct Batch {
    /// About how many they have.
    rows: u64,
    groups: Vec<TraceKey>,
}

//! Every trace that has a span in a stretch of time: whole, once, and a few at a time.
//!
//! What cannot be looked up is answered so. A trace is read where the last of its parts is that has
//! such a span, together with all its other parts; and not at all if indexes tell that it cannot match.

use std::collections::HashSet;

use sigyn_model::{Gathered, Searched, Span, TraceId};

use crate::alike::{Asked, Stored};
use crate::block::QueryFailed;
use crate::block::entry::{Place, Placed};
use crate::block::index::LookedUp;
use crate::block::page_row::PageRow;
use crate::facts::{Facts, Strictness, TraceKey};
use crate::head::HeadTrace;
use crate::query::{Bounds, HEAD_TRACES, READ_ROWS_MAX, READ_TRACES_MAX};
use crate::trace::assemble;
use crate::until::Until;
use crate::view::Parts;
use crate::wanted::{Met, Wanted};

/// Traces of a block that are looked at together.
const LOOK_AT: usize = if cfg!(test) { 3 } else { 16 << 10 };

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
    /// There was no time for all: these are the newest blocks, or part of one.
    pub is_partial: bool,
}

/// Which traces: those with a span that starts in these milliseconds, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
    pub(crate) strictness: Strictness,
}

impl Stretch {
    /// Those of a window in microseconds, both ends included.
    pub(crate) fn of((start_us, end_us): (u64, u64), strictness: Strictness) -> Self {
        Self { start_ms: start_us / 1_000, end_ms: end_us / 1_000, strictness }
    }

    pub(crate) fn touches(self, facts: &Facts) -> bool {
        facts.start.is_some_and(|at| at.millis() <= self.end_ms)
            && facts.latest.is_some_and(|at| at.millis() >= self.start_ms)
    }
}

/// An answer that traces are added to.
pub(crate) trait Answer {
    /// What is asked of spans, where rows of a trace will do.
    fn asked(&self) -> Option<Asked> {
        None
    }

    /// Of no larger traces: these are looked at whole.
    fn rows_max(&self) -> u64 {
        READ_ROWS_MAX
    }

    /// Whether a trace of which a span is there twice is looked at whole.
    fn wants_once(&self) -> bool {
        false
    }

    /// Adds a whole trace.
    fn add(&mut self, trace: &[Span]);

    /// Adds the rows of a whole trace, if it was asked for any. With `columns` they have numbers, which those
    /// of other traces have, too.
    fn add_rows<S: Stored>(&mut self, _rows: &[S], _id: TraceId, _columns: Option<&S::Columns>) {}

    /// What a trace of any size is gathered in, if its rows need not stand together.
    fn gathering(&self) -> Option<Gathered> {
        None
    }

    /// Gathers one row.
    fn show<S: Stored>(&mut self, _row: &S, _columns: &S::Columns, _out: &mut Gathered) {}

    /// Adds a trace of which all rows were shown.
    fn add_gathered(&mut self, _trace: &Gathered) {}

    /// Numbers mean something else from here on.
    fn forget_numbers(&mut self) {}

    /// What it takes in memory, about.
    fn bytes(&self) -> u64;
}

impl Parts {
    /// Adds every trace that has a span in the stretch and meets what is wanted; there
    /// may be others among them.
    pub(crate) fn sweep(
        &self,
        stretch: Stretch,
        wanted: &Wanted,
        bounds: Bounds<'_>,
        until: Until,
        answer: &mut impl Answer,
    ) -> Result<Swept, QueryFailed> {
        let looked_up = self.blocks.iter().map(|block| block.look_up(wanted));
        let looked_up: Vec<LookedUp<'_>> = looked_up.collect::<Result<_, _>>()?;
        let rare = self.with_rarest(wanted, &looked_up, stretch.strictness, bounds.stop)?;
        let swept = Swept::default();
        let mut sweep =
            Sweep { parts: self, stretch, wanted, looked_up, bounds, until, swept, answer };
        if let Some(groups) = rare {
            sweep.groups(groups)?;
            return Ok(sweep.swept);
        }
        // The newest first: of what there is no time for, nobody asks most.
        for number in (0..self.heads.len()).rev() {
            sweep.head(number)?;
        }
        for number in (0..self.blocks.len()).rev() {
            sweep.block(number)?;
        }
        Ok(sweep.swept)
    }
}

struct Sweep<'a, A> {
    parts: &'a Parts,
    stretch: Stretch,
    wanted: &'a Wanted,
    /// What is wanted, as each block knows it.
    looked_up: Vec<LookedUp<'a>>,
    bounds: Bounds<'a>,
    until: Until,
    swept: Swept,
    answer: &'a mut A,
}

impl<A: Answer> Sweep<'_, A> {
    /// No others than these.
    fn groups(&mut self, groups: HashSet<TraceKey>) -> Result<(), QueryFailed> {
        let Self { parts, bounds, stretch: Stretch { strictness, .. }, .. } = *self;
        let mut batch = Batch::default();
        for group in groups {
            bounds.stop.check()?;
            if self.touches_from(0, group)? && self.may_match(group, Met::default())? {
                let rows = parts.count_rows(&[group], strictness, bounds.stop)?;
                self.put(&mut batch, rows, group)?;
            }
        }
        self.read(&batch.groups)
    }

    /// Whether no more is looked at, though there is more.
    fn is_over(&mut self) -> bool {
        self.swept.is_partial |= self.until.is_over(&self.swept);
        self.swept.is_partial
    }

    fn block(&mut self, number: usize) -> Result<(), QueryFailed> {
        self.bounds.stop.check()?;
        let Stretch { start_ms, end_ms, strictness } = self.stretch;
        let mut found: Vec<(Place, Met)> = Vec::new();
        self.looked_up[number].touching(start_ms, end_ms, &mut |entry, met| {
            let Place { key, first_row, rows } = entry.place();
            found.push((Place { key: strictness.group(key), first_row, rows }, met));
        })?;
        if found.is_empty() || self.is_over() {
            return Ok(());
        }
        let _opened = self.bounds.stop.open(size_of_val(&found[..]))?;
        if strictness == Strictness::Lenient {
            found.sort_unstable_by_key(|(place, _)| place.key);
            found.dedup_by(|next, first| {
                first.1.add(next.1);
                next.0.key == first.0.key
            });
        }
        // What is read together should stand together.
        found.sort_unstable_by_key(|(place, _)| place.first_row);
        let (all, asked) = (self.wanted.all(), self.answer.asked());
        let rows_max = self.answer.rows_max();
        let last_seq = self.parts.blocks[number].entry().last_seq;
        let (mut batch, mut alone) = (Batch::default(), Vec::new());
        for (n, (place, met)) in found.into_iter().enumerate() {
            if n % HEAD_TRACES == 0 {
                self.bounds.stop.check()?;
            }
            let Place { key, rows, .. } = place;
            if strictness == Strictness::Strict && !self.is_elsewhere(number, key)? {
                let id = key.trace_id();
                if met != all || id.is_some_and(|id| self.parts.buried.hides(last_seq, id)) {
                    continue;
                }
                if asked.is_some() && u64::from(rows) <= rows_max {
                    alone.push(place);
                    if alone.len() >= LOOK_AT {
                        self.look_at(number, &std::mem::take(&mut alone))?;
                    }
                    continue;
                }
            } else if self.touches_from(number + 1, key)? || !self.may_match(key, met)? {
                continue;
            }
            self.put(&mut batch, rows.into(), key)?;
        }
        self.look_at(number, &alone)?;
        self.read(&batch.groups)
    }

    /// Whether a trace of a block, or a part of it, is in another one or in a head.
    fn is_elsewhere(&self, number: usize, key: TraceKey) -> Result<bool, QueryFailed> {
        if self.parts.heads.iter().any(|head| head.trace(key).is_some()) {
            return Ok(true);
        }
        let others = self.parts.blocks.iter().enumerate().filter(|(at, _)| *at != number);
        for (_, block) in others {
            if !block.group(key, Strictness::Strict)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds traces that this block alone has, given in the order of their rows.
    fn look_at(&mut self, number: usize, traces: &[Place]) -> Result<(), QueryFailed> {
        let Some(asked) = self.answer.asked().filter(|_| !traces.is_empty()) else {
            return Ok(());
        };
        if self.is_over() {
            return Ok(());
        }
        let Self { parts, bounds, answer, swept, until, .. } = self;
        let block = &parts.blocks[number];
        let columns = block.deciding(&asked);
        let mut numbers_of = None;
        let (wants_once, mut twice) = (answer.wants_once(), Vec::new());
        let looked = block.each_trace(traces, bounds.stop, &mut |trace, rows| {
            if until.is_over(swept) {
                swept.is_partial = true;
                return Err(QueryFailed::Stopped);
            }
            if wants_once && has_twins(rows) {
                twice.push(trace.key);
                return Ok(());
            }
            let groups = rows.first().map(PageRow::group).zip(rows.last().map(PageRow::group));
            let group = groups.filter(|(first, last)| first == last).map(|(first, _)| first);
            if group.is_some() && numbers_of != group {
                answer.forget_numbers();
                numbers_of = group;
            }
            swept.traces += 1;
            swept.spans += rows.len() as u64;
            swept.scanned += rows.len() as u64;
            if let Some(id) = trace.key.trace_id() {
                answer.add_rows(rows, id, group.map(|_| &columns));
            }
            bounds.check(answer.bytes())
        });
        answer.forget_numbers();
        match looked {
            Err(QueryFailed::Stopped) if swept.is_partial => Ok(()),
            looked => {
                looked?;
                self.read(&twice)
            }
        }
    }

    /// Adds a trace that this head alone has, if no two of its spans may be the same one.
    fn look_at_rows(&mut self, key: TraceKey, trace: HeadTrace<'_>) -> Result<bool, QueryFailed> {
        let (Some(asked), Some(id)) = (self.answer.asked(), key.trace_id()) else {
            return Ok(false);
        };
        if u64::from(trace.len()) > self.answer.rows_max() {
            return Ok(false);
        }
        let rows: Vec<_> = trace.rows().collect();
        let mut spans: Vec<_> =
            rows.iter().map(|row| (Searched::timestamp(row), row.id(), row.shared())).collect();
        spans.sort_unstable();
        if spans.windows(2).any(|pair| pair[0] == pair[1]) {
            return Ok(false);
        }
        self.swept.traces += 1;
        self.swept.spans += rows.len() as u64;
        self.answer.add_rows(&rows, id, Some(&asked));
        self.bounds.check(self.answer.bytes())?;
        Ok(true)
    }

    fn head(&mut self, number: usize) -> Result<(), QueryFailed> {
        if self.is_over() {
            return Ok(());
        }
        let after = self.parts.blocks.len() + number + 1;
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
            if is_alone && touching(self.stretch, &trace) && !self.is_in_others(number, key)? {
                let meets = self.wanted.met_by(trace) == self.wanted.all();
                if meets && !self.look_at_rows(key, trace)? {
                    self.put(&mut batch, trace.len().into(), group)?;
                }
                continue;
            }
            if touching(self.stretch, &trace)
                && (is_alone || seen.insert(group))
                && !self.touches_from(after, group)?
                && self.may_match(group, Met::default())?
            {
                self.put(&mut batch, trace.len().into(), group)?;
            }
        }
        self.answer.forget_numbers();
        self.read(&batch.groups)
    }

    /// Whether a trace of a head, or a part of it, is in another one or in a block.
    fn is_in_others(&self, number: usize, key: TraceKey) -> Result<bool, QueryFailed> {
        let heads = self.parts.heads.iter().enumerate().filter(|(at, _)| *at != number);
        if heads.into_iter().any(|(_, head)| head.trace(key).is_some()) {
            return Ok(true);
        }
        for block in self.parts.blocks.iter() {
            if !block.group(key, Strictness::Strict)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a part from this one on, blocks and then heads, has a span of this group in the stretch.
    fn touches_from(&self, part: usize, group: TraceKey) -> Result<bool, QueryFailed> {
        let Stretch { start_ms, end_ms, strictness } = self.stretch;
        let Parts { blocks, heads, .. } = self.parts;
        for block in blocks.iter().skip(part) {
            let entries = block.group(group, strictness)?;
            if entries.iter().any(|entry| entry.may_touch(start_ms, end_ms)) {
                return Ok(true);
            }
        }
        Ok(heads.iter().skip(part.saturating_sub(blocks.len())).any(|head| {
            let mut traces = head.group(group, strictness);
            traces.any(|(_, trace)| self.stretch.touches(&trace.facts()))
        }))
    }

    /// Whether the parts of a group together meet what is wanted, as far as indexes tell. Most often what
    /// one of them is known to have met tells already.
    fn may_match(&self, group: TraceKey, mut met: Met) -> Result<bool, QueryFailed> {
        let all = self.wanted.all();
        for looked_up in &self.looked_up {
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
    fn put(&mut self, batch: &mut Batch, rows: u64, group: TraceKey) -> Result<(), QueryFailed> {
        let is_full = batch.groups.len() >= READ_TRACES_MAX
            || batch.rows + rows > READ_ROWS_MAX && !batch.groups.is_empty();
        if is_full {
            self.read(&batch.groups)?;
            *batch = Batch::default();
        }
        batch.rows += rows;
        batch.groups.push(group);
        Ok(())
    }

    fn read(&mut self, groups: &[TraceKey]) -> Result<(), QueryFailed> {
        if groups.is_empty() || self.is_over() {
            return Ok(());
        }
        let Self { parts, stretch, bounds, until, swept, answer, .. } = self;
        let strictness = stretch.strictness;
        if answer.gathering().is_some() {
            return parts.gather(groups, strictness, *bounds, *until, swept, *answer);
        }
        let read = parts.each_group(groups, strictness, *bounds, &mut |_, spans| {
            if until.is_over(swept) {
                swept.is_partial = true;
                return Err(QueryFailed::Stopped);
            }
            let Some(spans) = spans else {
                swept.too_large += 1;
                return Ok(());
            };
            let trace = assemble(spans);
            swept.traces += 1;
            swept.spans += trace.len() as u64;
            answer.add(&trace);
            bounds.check(answer.bytes())
        });
        match read {
            Err(QueryFailed::Stopped) if swept.is_partial => Ok(()),
            read => read,
        }
    }
}

/// Whether two rows may be the same span.
fn has_twins(rows: &[PageRow<'_, '_>]) -> bool {
    let place = |row: &PageRow<'_, '_>| (Searched::timestamp(row), row.id(), row.shared());
    let mut spans: Vec<_> = rows.iter().map(place).collect();
    spans.sort_unstable();
    spans.windows(2).any(|pair| pair[0] == pair[1])
}

/// Groups that are read together.
#[derive(Default)]
struct Batch {
    /// About how many they have.
    rows: u64,
    groups: Vec<TraceKey>,
}

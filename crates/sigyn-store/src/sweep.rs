//! Every trace that has a span in a stretch of time: whole, once, and a few at a time.
//!
//! What cannot be looked up is answered so. A trace is read where the first of its parts is that has
//! such a span, together with all its other parts.

use std::collections::HashSet;

use sigyn_model::Span;

use crate::block::QueryFailed;
use crate::facts::{Facts, Strictness, TraceKey};
use crate::head::HeadTrace;
use crate::query::{Bounds, HEAD_TRACES, READ_TRACES_MAX, readable};
use crate::trace::assemble;
use crate::view::Parts;

/// What is held of many traces at a time; one that is larger is read alone.
const READ_BYTES_MAX: u64 = if cfg!(test) { 8_000 } else { 64 << 20 };

/// What an answer was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Traces that were looked at.
    pub traces: u64,
    /// Their spans.
    pub spans: u64,
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
    fn touches(self, facts: &Facts) -> bool {
        facts.start.is_some_and(|at| at.millis() <= self.end_ms)
            && facts.latest.is_some_and(|at| at.millis() >= self.start_ms)
    }
}

impl Parts {
    /// Calls `each` with every trace that has a span in the stretch; there may be others among them.
    pub(crate) fn sweep(
        &self,
        stretch: Stretch,
        bounds: Bounds<'_>,
        each: &mut impl FnMut(&[Span]),
    ) -> Result<Swept, QueryFailed> {
        let mut swept = Swept::default();
        for number in 0..self.blocks.len() {
            self.sweep_block(number, stretch, bounds, &mut swept, each)?;
        }
        for number in 0..self.heads.len() {
            self.sweep_head(number, stretch, bounds, &mut swept, each)?;
        }
        Ok(swept)
    }

    fn sweep_block(
        &self,
        number: usize,
        stretch: Stretch,
        bounds: Bounds<'_>,
        swept: &mut Swept,
        each: &mut impl FnMut(&[Span]),
    ) -> Result<(), QueryFailed> {
        bounds.stop.check()?;
        let Stretch { start_ms, end_ms, strictness } = stretch;
        let entries = self.blocks[number].index().traces.iter();
        let touching = entries.filter(|entry| entry.may_touch(start_ms, end_ms));
        let mut places: Vec<(u32, u32, TraceKey)> = touching
            .map(|entry| (entry.first_row, entry.rows, strictness.group(entry.key)))
            .collect();
        // Entries of a group stand together.
        places.dedup_by_key(|(_, _, group)| *group);
        places.retain(|(_, _, group)| !self.touches_before(number, *group, stretch));
        // What is read together should stand together.
        places.sort_unstable();
        let mut left = places.as_slice();
        while !left.is_empty() {
            let rows = left.iter().map(|(_, rows, _)| *rows);
            let (now, later) = left.split_at(readable(rows, READ_TRACES_MAX));
            left = later;
            let groups: Vec<TraceKey> = now.iter().map(|(_, _, group)| *group).collect();
            self.sweep_groups(&groups, stretch, bounds, swept, each)?;
        }
        Ok(())
    }

    fn sweep_head(
        &self,
        number: usize,
        stretch: Stretch,
        bounds: Bounds<'_>,
        swept: &mut Swept,
        each: &mut impl FnMut(&[Span]),
    ) -> Result<(), QueryFailed> {
        let head = &self.heads[number];
        let before = self.blocks.len() + number;
        let mut places: Vec<(u32, TraceKey)> = Vec::new();
        let touching = |trace: &HeadTrace<'_>| stretch.touches(&trace.facts());
        // Parts of a group may stand anywhere in a head.
        let mut seen: HashSet<TraceKey> = HashSet::new();
        let is_alone = stretch.strictness == Strictness::Strict;
        for (n, (key, trace)) in head.traces().enumerate() {
            if n % HEAD_TRACES == 0 {
                bounds.stop.check()?;
            }
            let group = stretch.strictness.group(key);
            if touching(&trace)
                && !self.touches_before(before, group, stretch)
                && (is_alone || seen.insert(group))
            {
                places.push((trace.len(), group));
            }
        }
        let mut left = places.as_slice();
        while !left.is_empty() {
            let rows = left.iter().map(|(rows, _)| *rows);
            let (now, later) = left.split_at(readable(rows, READ_TRACES_MAX));
            left = later;
            let groups: Vec<TraceKey> = now.iter().map(|(_, group)| *group).collect();
            self.sweep_groups(&groups, stretch, bounds, swept, each)?;
        }
        Ok(())
    }

    /// Whether one of the first parts, blocks and then heads, has a span of this group in the stretch.
    fn touches_before(&self, parts: usize, group: TraceKey, stretch: Stretch) -> bool {
        let Stretch { start_ms, end_ms, strictness } = stretch;
        let (blocks, heads) =
            (parts.min(self.blocks.len()), parts.saturating_sub(self.blocks.len()));
        self.blocks[..blocks].iter().any(|block| {
            let entries = block.index().group(group, strictness).iter();
            entries.into_iter().any(|entry| entry.may_touch(start_ms, end_ms))
        }) || self.heads[..heads].iter().any(|head| {
            head.group(group, strictness).any(|(_, trace)| stretch.touches(&trace.facts()))
        })
    }

    fn sweep_groups(
        &self,
        groups: &[TraceKey],
        stretch: Stretch,
        bounds: Bounds<'_>,
        swept: &mut Swept,
        each: &mut impl FnMut(&[Span]),
    ) -> Result<(), QueryFailed> {
        let together = Bounds { bytes_max: bounds.bytes_max.min(READ_BYTES_MAX), ..bounds };
        let mut read = self.read(groups, stretch.strictness, together);
        if let Err(QueryFailed::TooLarge { .. }) = read {
            if groups.len() > 1 {
                let (first, second) = groups.split_at(groups.len() / 2);
                self.sweep_groups(first, stretch, bounds, swept, each)?;
                return self.sweep_groups(second, stretch, bounds, swept, each);
            }
            read = self.read(groups, stretch.strictness, bounds);
        }
        let mut spans = match read {
            Err(QueryFailed::TooLarge { .. }) => {
                swept.too_large += 1;
                return Ok(());
            }
            read => read?,
        };
        for group in groups {
            bounds.stop.check()?;
            let trace = spans.remove(group).map_or_else(Vec::new, assemble);
            swept.traces += 1;
            swept.spans += trace.len() as u64;
            each(&trace);
        }
        Ok(())
    }
}

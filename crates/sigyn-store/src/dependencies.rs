//! Which service calls which: what blocks counted of traces that are in one block alone; of all others the
//! little of each span is read that decides.

mod group;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use group::Group;
use sigyn_model::{DependencyLink, Span, Timestamp};

use crate::block::entry::Entry;
use crate::block::links::{Links, MINUTE_MS, minute_of};
use crate::block::{Block, QueryFailed};
use crate::calls::Calls;
use crate::facts::{Strictness, TraceKey};
use crate::groups::READ_BYTES_MAX;
use crate::head::{HeadView, LinkedRows};
use crate::query::{Bounds, HEAD_TRACES, READ_ROWS_MAX, READ_TRACES_MAX, each_trace};
use crate::size::Weight;
use crate::spots::{Named, Spot, Timed};
use crate::sweep::Stretch;
use crate::trace::assemble;
use crate::twins::{Place, Twins};
use crate::view::Parts;

/// Ids whose right halves are equal are one trace's here.
const LENIENT: Strictness = Strictness::Lenient;
/// What numbers may mean in memory from one batch to the next.
const NAMED_BYTES_MAX: usize = if cfg!(test) { 1_000 } else { 1 << 20 };
/// Traces of a block that are linked one by one at a time, where memory would be enough for more.
const ALONE_MAX: usize = if cfg!(test) { 20 } else { 1 << 20 };
/// They take one part in so many of what an answer may.
const ALONE_SHARE: usize = 8;
/// In place of a part's number, of spans in heads.
const IN_HEADS: u32 = u32::MAX;

/// What is asked, of traces with any span in these milliseconds.
struct Asked<'a> {
    parts: &'a Parts,
    stretch: Stretch,
    bounds: Bounds<'a>,
    /// Of each block, what was counted.
    links: Vec<Option<Arc<Links>>>,
    calls: Calls,
    /// Groups that must be looked at, wherever their parts are.
    lows: HashSet<u64, RandomState>,
    /// Those of them that several blocks have, in an order in which they can be read, with all of their blocks.
    parted: Vec<Place>,
    /// Groups of which whole spans must be read.
    whole: Vec<Group>,
    /// How many groups were left as they were counted, for they cannot be held.
    too_large: u64,
}

/// A span of a group, and of which part of it, by their places.
struct Placed {
    group: usize,
    part: u32,
    timed: Timed,
}

impl Parts {
    /// Links of all traces with any span in the window, traces grouped by the low half of their id. One that
    /// is too large to be held counts as far as blocks counted it; how many these are is told beside.
    pub(crate) fn dependencies(
        &self,
        window_us: (u64, u64),
        twins: &Twins,
        bounds: Bounds<'_>,
    ) -> Result<(Vec<DependencyLink>, u64), QueryFailed> {
        let stretch = Stretch::of(window_us, LENIENT);
        let mut lows: HashSet<u64, RandomState> = HashSet::default();
        let mut heads = Vec::new();
        for (number, head) in self.heads.iter().enumerate() {
            let (mut counts, view) = head.known(bounds.stop)?;
            self.look_for_others(number, &view, &mut counts, bounds.stop)?;
            lows.extend(&counts.elsewhere);
            drop(counts);
            // Others may have looked when the head that these were left out of was gone already.
            lows.extend(view.left_out().map(|key| key.low));
            heads.push(view);
        }
        let parted = twins.parted(&self.blocks, (stretch.start_ms, stretch.end_ms), bounds.stop)?;
        lows.extend(parted.iter().map(|(low, _)| *low));
        let parts = Self { heads, ..self.clone() };
        let links = self.blocks.iter().map(|block| block.links()).collect::<Result<_, _>>()?;
        let mut asked = Asked {
            parts: &parts,
            stretch,
            bounds,
            links,
            calls: Calls::default(),
            lows,
            parted,
            whole: Vec::new(),
            too_large: 0,
        };
        asked.answer()?;
        Ok((asked.calls.into_links(), asked.too_large))
    }
}

impl Asked<'_> {
    fn answer(&mut self) -> Result<(), QueryFailed> {
        let parts = self.parts;
        let stop = self.bounds.stop;
        let mut counted = None;
        for (number, block) in parts.blocks.iter().enumerate() {
            self.add_counted(number, block)?;
            stop.keep(&mut counted, self.listed_bytes())?;
        }
        // Only now all are known that are not in one block alone.
        let alone_max = self.alone_max();
        for (number, block) in parts.blocks.iter().enumerate() {
            stop.keep(&mut counted, alone_max * size_of::<Entry>() + self.listed_bytes())?;
            self.add_alone(number, block, alone_max)?;
        }
        for head in &parts.heads {
            let alone = self.head(head)?;
            let listed = alone.capacity() * size_of::<Group>();
            stop.keep(&mut counted, listed + self.listed_bytes())?;
            self.link_all(alone.into_iter().map(|group| Ok(Some(group))))?;
        }
        let (mut others, parted) =
            (std::mem::take(&mut self.lows), std::mem::take(&mut self.parted));
        for (low, _) in &parted {
            others.remove(low);
        }
        let mut others: Vec<u64> = others.into_iter().collect();
        others.sort_unstable();
        let listed = others.capacity() * size_of::<u64>() + parted.capacity() * size_of::<Place>();
        stop.keep(&mut counted, listed + self.listed_bytes())?;
        let stretch = self.stretch;
        let parted = parted.chunk_by(|a, b| a.0 == b.0).map(|places| (places[0].0, Some(places)));
        let groups = parted.chain(others.into_iter().map(|low| (low, None)));
        let groups = groups.enumerate().map(|(n, (low, places))| {
            if n % READ_TRACES_MAX == 0 {
                stop.check()?;
            }
            Group::find(low, places, parts, stretch)
        });
        self.link_all(groups)?;
        let whole = std::mem::take(&mut self.whole);
        self.in_batches(whole.into_iter().map(|group| Ok(Some(group))), Self::read)
    }

    /// What lists of groups take, about.
    fn listed_bytes(&self) -> usize {
        // A byte of a table goes with each place.
        self.lows.capacity() * (size_of::<u64>() + 1)
            + self.parted.capacity() * size_of::<Place>()
            + self.whole.capacity() * size_of::<Group>()
    }

    /// How many traces of a block are linked one by one at a time.
    fn alone_max(&self) -> usize {
        let bytes_max = usize::try_from(self.bounds.bytes_max).unwrap_or(usize::MAX);
        (bytes_max / ALONE_SHARE / size_of::<Entry>()).clamp(1, ALONE_MAX)
    }

    fn is_in(&self, at: Option<Timestamp>) -> bool {
        let window = self.stretch.start_ms..=self.stretch.end_ms;
        at.is_some_and(|at| window.contains(&at.millis()))
    }

    /// Adds what a block counted, and notes what must be looked at of it for that.
    fn add_counted(&mut self, number: usize, block: &Block) -> Result<(), QueryFailed> {
        self.bounds.stop.check()?;
        let Some(links) = &self.links[number] else { return Ok(()) };
        let stretch = self.stretch;
        links.each(
            |minute| is_whole(block, minute, stretch),
            &mut |parent, child, count, errors| {
                self.calls.add(parent, child, count, errors);
            },
        );
        self.lows.extend(links.left_out().iter().map(|key| key.low));
        for key in self.parts.buried.of(block.entry().last_seq) {
            if !block.group(key, Strictness::Strict)?.is_empty() {
                self.lows.insert(key.low);
            }
        }
        Ok(())
    }

    /// Links what a block has in the window beside what it counted, and has alone.
    fn add_alone(
        &mut self,
        number: usize,
        block: &Block,
        alone_max: usize,
    ) -> Result<(), QueryFailed> {
        self.bounds.stop.check()?;
        let stretch = self.stretch;
        let Stretch { start_ms, end_ms, .. } = stretch;
        let has_counted = self.links[number].is_some();
        let mut alone = Vec::new();
        let mut each = |entry: &Entry| {
            if !self.lows.contains(&entry.key.low) {
                alone.push(*entry);
            }
            match alone.len() < alone_max {
                true => Ok(()),
                false => self.link_alone(number, &mut alone),
            }
        };
        if has_counted {
            let is_meant = |start: Timestamp| is_whole(block, minute_of(start), stretch);
            block.touching_from_elsewhere(start_ms, end_ms, is_meant, &mut each)?;
        } else {
            block.touching(start_ms, end_ms, &mut each)?;
        }
        self.link_alone(number, &mut alone)
    }

    fn link_alone(&mut self, number: usize, alone: &mut Vec<Entry>) -> Result<(), QueryFailed> {
        if alone.is_empty() {
            return Ok(());
        }
        alone.sort_unstable_by_key(|entry| entry.first_row);
        self.link_all(alone.drain(..).map(|entry| Ok(Some(Group::alone((number, entry))))))
    }

    /// Traces in the window that are in this head alone, and under one id.
    fn head(&mut self, head: &HeadView) -> Result<Vec<Group>, QueryFailed> {
        let mut alone = Vec::new();
        each_trace(head, self.bounds.stop, |key, trace| {
            if self.lows.contains(&key.low) {
                return;
            }
            if head.group(LENIENT.group(key), LENIENT).nth(1).is_some() {
                self.lows.insert(key.low);
            } else if self.stretch.touches(&trace.facts()) {
                let (low, parts, rows) = (key.low, Vec::new(), u64::from(trace.len()));
                alone.push(Group { low, parts, may_be_in_heads: true, rows });
            }
        })?;
        Ok(alone)
    }

    fn link_all(
        &mut self,
        groups: impl Iterator<Item = Result<Option<Group>, QueryFailed>>,
    ) -> Result<(), QueryFailed> {
        self.in_batches(groups, Self::link)
    }

    /// Does something to groups, as many at a time as there should be.
    fn in_batches(
        &mut self,
        groups: impl Iterator<Item = Result<Option<Group>, QueryFailed>>,
        each: impl Fn(&mut Self, &[Group]) -> Result<(), QueryFailed>,
    ) -> Result<(), QueryFailed> {
        let (mut batch, mut rows) = (Vec::new(), 0);
        for group in groups {
            let Some(group) = group? else { continue };
            if rows + group.rows > READ_ROWS_MAX && !batch.is_empty() {
                each(self, &batch)?;
                batch.clear();
                rows = 0;
            }
            rows += group.rows;
            batch.push(group);
        }
        each(self, &batch)
    }

    /// Puts groups in place of what blocks counted of them.
    fn link(&mut self, groups: &[Group]) -> Result<(), QueryFailed> {
        self.bounds.stop.check()?;
        let mut placed = match self.placed(groups) {
            Err(QueryFailed::TooLarge { .. } | QueryFailed::NoRoom) if groups.len() > 1 => {
                self.calls.forget_numbers();
                let (some, others) = groups.split_at(groups.len() / 2);
                self.link(some)?;
                return self.link(others);
            }
            // It is left as it was counted.
            Err(QueryFailed::TooLarge { .. }) => {
                self.calls.forget_numbers();
                self.too_large += groups.len() as u64;
                return Ok(());
            }
            placed => placed?,
        };
        placed.sort_unstable_by_key(|placed| (placed.group, placed.part));
        for spans in placed.chunk_by(|a, b| a.group == b.group) {
            let group = &groups[spans[0].group];
            let part_of = |spans: &[Placed]| group.parts.get(spans[0].part as usize);
            let is_seen = |spans: &&[Placed]| {
                part_of(spans).is_none_or(|(number, entry)| !self.hides(*number, entry.key))
            };
            let is_counted = |spans: &&[Placed]| {
                part_of(spans).is_some_and(|(number, entry)| self.is_counted(*number, entry))
            };
            let by_part = || spans.chunk_by(|a, b| a.part == b.part);
            let (mut seen, mut counted): (Vec<&[Placed]>, Vec<&[Placed]>) = Default::default();
            seen.extend(by_part().filter(is_seen));
            counted.extend(by_part().filter(is_counted));
            if !seen.iter().copied().flatten().any(|span| self.is_in(span.timed.at)) {
                seen.clear();
            }
            let of_seen = || seen.iter().copied().flatten().map(|span| span.timed.spot);
            let of_part = |part: &[Placed]| -> Vec<Spot> {
                part.iter().map(|span| span.timed.spot).collect()
            };
            let mut all = counted.iter().map(|part| of_part(part));
            if !self.calls.are_enough(of_seen())
                || !all.all(|part| self.calls.are_enough(part.into_iter()))
            {
                self.whole.push(group.clone());
                continue;
            }
            self.calls.add_spots(of_seen());
            for part in counted {
                self.calls.remove_spots(of_part(part).into_iter());
            }
        }
        if self.calls.named().bytes() > NAMED_BYTES_MAX {
            self.calls.forget_numbers();
        }
        Ok(())
    }

    /// What decides of all spans of these groups.
    fn placed(&mut self, groups: &[Group]) -> Result<Vec<Placed>, QueryFailed> {
        let Self { parts, calls, .. } = self;
        let bounds = self.bounds.for_groups(groups.len());
        let mut in_blocks: Vec<(usize, Entry, usize, u32)> = Vec::new();
        for (at, group) in groups.iter().enumerate() {
            let parts = group.parts.iter().zip(0..);
            in_blocks.extend(parts.map(|((number, entry), part)| (*number, *entry, at, part)));
        }
        in_blocks.sort_unstable_by_key(|(number, entry, ..)| (*number, entry.first_row));
        let mut placed: Vec<Placed> = Vec::new();
        let check = |placed: &Vec<Placed>, named: &Named| {
            bounds.check((placed.capacity() * size_of::<Placed>() + named.bytes()) as u64)
        };
        for of_block in in_blocks.chunk_by(|a, b| a.0 == b.0) {
            let block = &parts.blocks[of_block[0].0];
            let entries: Vec<Entry> = of_block.iter().map(|(_, entry, ..)| *entry).collect();
            block.spots(&entries, calls.named(), bounds.stop, &mut |n, timed, named| {
                let (_, _, group, part) = of_block[n];
                placed.push(Placed { group, part, timed });
                check(&placed, named)
            })?;
        }
        for head in &parts.heads {
            let mut known = LinkedRows::new();
            for (n, (at, group)) in groups.iter().enumerate().enumerate() {
                if n % HEAD_TRACES == 0 {
                    bounds.stop.check()?;
                }
                if !group.may_be_in_heads {
                    continue;
                }
                for (_, trace) in head.group(TraceKey { low: group.low, high: 0 }, LENIENT) {
                    for row in trace.rows() {
                        let timed = known.timed(&row, calls.named());
                        placed.push(Placed { group: at, part: IN_HEADS, timed });
                        check(&placed, calls.named())?;
                    }
                }
            }
        }
        Ok(placed)
    }

    /// Reads traces whole, and puts them in place of what blocks counted of them, each by itself.
    fn read(&mut self, groups: &[Group]) -> Result<(), QueryFailed> {
        let keys: Vec<TraceKey> =
            groups.iter().map(|group| TraceKey { low: group.low, high: 0 }).collect();
        for keys in keys.chunks(READ_TRACES_MAX) {
            self.read_whole(keys)?;
        }
        Ok(())
    }

    fn read_whole(&mut self, groups: &[TraceKey]) -> Result<(), QueryFailed> {
        let bounds = self.bounds.for_groups(groups.len());
        let mut has_room = Ok(());
        let mut weight = Weight::default();
        let mut whole: HashMap<u64, Vec<Span>> = HashMap::new();
        let mut counted: Vec<Vec<Span>> = Vec::new();
        for (number, block) in self.parts.blocks.iter().enumerate() {
            bounds.stop.check()?;
            let counted_here = self.counted(number, block, groups)?;
            let mut parts: HashMap<TraceKey, Vec<Span>> = HashMap::new();
            block.read(groups, LENIENT, bounds.stop, &mut |span| {
                if has_room.is_err() {
                    return;
                }
                weight.add(&span);
                // What was deleted was counted all the same.
                if counted_here.contains(&span.trace_id.into()) {
                    weight.add(&span);
                    parts.entry(span.trace_id.into()).or_default().push(span.clone());
                }
                if !self.hides(number, span.trace_id.into()) {
                    whole.entry(span.trace_id.low()).or_default().push(span);
                }
                has_room = bounds.check(weight.bytes);
            })?;
            counted.extend(parts.into_values());
        }
        for head in &self.parts.heads {
            for group in groups {
                for (_, trace) in head.group(*group, LENIENT) {
                    for span in trace.spans() {
                        if has_room.is_err() {
                            break;
                        }
                        weight.add(&span);
                        whole.entry(group.low).or_default().push(span);
                        has_room = bounds.check(weight.bytes);
                    }
                }
            }
        }
        match has_room {
            Err(QueryFailed::TooLarge { .. } | QueryFailed::NoRoom) if groups.len() > 1 => {
                drop((whole, counted));
                let (some, others) = groups.split_at(groups.len() / 2);
                self.read_whole(some)?;
                return self.read_whole(others);
            }
            // It is left as it was counted.
            Err(QueryFailed::TooLarge { .. }) => {
                self.too_large += groups.len() as u64;
                return Ok(());
            }
            has_room => has_room?,
        }
        for spans in whole.into_values() {
            let whole = assemble(spans);
            if whole.iter().any(|span| self.is_in(span.timestamp)) {
                self.calls.add_trace(&whole);
            }
        }
        counted.iter().for_each(|part| self.calls.remove_trace(part));
        Ok(())
    }

    /// Whether a block's part of a trace was deleted.
    fn hides(&self, number: usize, key: TraceKey) -> bool {
        let last_seq = self.parts.blocks[number].entry().last_seq;
        key.trace_id().is_some_and(|id| self.parts.buried.hides(last_seq, id))
    }

    /// Whether a block counted a part of a trace in a minute that was added.
    fn is_counted(&self, number: usize, entry: &Entry) -> bool {
        let block = &self.parts.blocks[number];
        let is_meant = |start: Timestamp| is_whole(block, minute_of(start), self.stretch);
        let links = self.links[number].as_ref();
        entry.start.is_some_and(is_meant) && links.is_some_and(|links| !links.leaves_out(entry.key))
    }

    /// Those of these traces that a block counted.
    fn counted(
        &self,
        number: usize,
        block: &Block,
        groups: &[TraceKey],
    ) -> Result<HashSet<TraceKey>, QueryFailed> {
        let mut counted = HashSet::new();
        if self.links[number].is_none() {
            return Ok(counted);
        }
        for group in groups {
            let entries = block.group(*group, LENIENT)?.into_iter();
            counted.extend(
                entries.filter(|entry| self.is_counted(number, entry)).map(|entry| entry.key),
            );
        }
        Ok(counted)
    }
}

/// Whether all traces of a block that begin in a minute are meant: of the minutes in which a block begins and
/// ends it has a part only.
fn is_whole(block: &Block, minute: u32, stretch: Stretch) -> bool {
    let Some((first_ms, last_ms)) = block.starts_ms() else { return false };
    let begin_ms = u64::from(minute) * MINUTE_MS;
    let (first_ms, last_ms) = (first_ms.max(begin_ms), last_ms.min(begin_ms + MINUTE_MS - 1));
    first_ms >= stretch.start_ms && last_ms <= stretch.end_ms
}

impl<'a> Bounds<'a> {
    /// How far it may go with so many groups of traces together.
    fn for_groups(self, groups: usize) -> Bounds<'a> {
        let bytes_max = match groups {
            0 | 1 => self.bytes_max,
            _ => self.bytes_max.min(READ_BYTES_MAX),
        };
        Bounds { bytes_max, ..self }
    }
}

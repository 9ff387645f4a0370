//! Which service calls which: what blocks counted of traces that are in one block alone, and all others read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sigyn_model::{DependencyLink, Span, Timestamp, each_link};

use crate::block::links::{Links, MINUTE_MS, minute_of};
use crate::block::{Block, QueryFailed};
use crate::facts::{Strictness, TraceKey};
use crate::groups::READ_BYTES_MAX;
use crate::head::HeadView;
use crate::query::{Bounds, READ_ROWS_MAX, READ_TRACES_MAX, each_trace};
use crate::size::Weight;
use crate::sweep::Stretch;
use crate::trace::assemble;
use crate::twins::Twins;
use crate::view::Parts;

/// Ids whose right halves are equal are one trace's here.
const LENIENT: Strictness = Strictness::Lenient;

/// Calls and errors, by parent, then child.
#[derive(Debug, Default)]
struct Sums(BTreeMap<String, BTreeMap<String, (u64, u64)>>);

impl Sums {
    fn of(&mut self, parent: &str, child: &str) -> &mut (u64, u64) {
        if !self.0.contains_key(parent) {
            self.0.insert(parent.to_owned(), BTreeMap::new());
        }
        let children = self.0.entry(parent.to_owned()).or_default();
        children.entry(child.to_owned()).or_default()
    }

    fn add(&mut self, parent: &str, child: &str, calls: u64, errors: u64) {
        let (all_calls, all_errors) = self.of(parent, child);
        *all_calls = all_calls.saturating_add(calls);
        *all_errors = all_errors.saturating_add(errors);
    }

    fn add_trace(&mut self, trace: &[Span]) {
        each_link(trace, &mut |parent, child, is_error| {
            self.add(parent, child, 1, u64::from(is_error));
        });
    }

    fn remove_trace(&mut self, trace: &[Span]) {
        each_link(trace, &mut |parent, child, is_error| {
            let (calls, errors) = self.of(parent, child);
            // Or it was not counted, and is missing from now on.
            debug_assert!(*calls > 0 && *errors >= u64::from(is_error), "{parent} to {child}");
            *calls = calls.saturating_sub(1);
            *errors = errors.saturating_sub(u64::from(is_error));
        });
    }

    fn into_links(self) -> Vec<DependencyLink> {
        let links = self.0.into_iter().flat_map(|(parent, children)| {
            children.into_iter().filter(|(_, (calls, _))| *calls > 0).map(
                move |(child, (call_count, error_count))| DependencyLink {
                    parent: parent.clone(),
                    child,
                    call_count,
                    error_count,
                },
            )
        });
        links.collect()
    }
}

/// What is asked, of traces with any span in these milliseconds.
struct Asked<'a> {
    parts: &'a Parts,
    stretch: Stretch,
    bounds: Bounds<'a>,
    /// Of each block, what was counted.
    links: Vec<Option<Arc<Links>>>,
    sums: Sums,
}

impl Parts {
    /// Links of all traces with any span in the window, traces grouped by the low half of their id. One that
    /// is too large to be held counts as far as blocks counted it.
    pub(crate) fn dependencies(
        &self,
        start_ms: u64,
        end_ms: u64,
        twins: &Twins,
        bounds: Bounds<'_>,
    ) -> Result<Vec<DependencyLink>, QueryFailed> {
        let links = self.blocks.iter().map(|block| block.links()).collect::<Result<_, _>>()?;
        let stretch = Stretch { start_ms, end_ms, strictness: LENIENT };
        let mut asked = Asked { parts: self, stretch, bounds, links, sums: Sums::default() };
        let mut groups: HashSet<u64> = HashSet::new();
        for (number, block) in self.blocks.iter().enumerate() {
            asked.block(number, block, &mut groups)?;
        }
        groups.extend(twins.parted(&self.blocks, (start_ms, end_ms), bounds.stop)?);
        asked.heads(&mut groups)?;
        let mut groups: Vec<TraceKey> =
            groups.into_iter().map(|low| TraceKey { low, high: 0 }).collect();
        groups.sort_unstable();
        asked.groups(&groups)?;
        Ok(asked.sums.into_links())
    }
}

impl Asked<'_> {
    /// Whether all traces that begin in a minute are meant.
    fn is_whole(&self, minute: u32) -> bool {
        let begin_ms = u64::from(minute) * MINUTE_MS;
        begin_ms >= self.stretch.start_ms && begin_ms + (MINUTE_MS - 1) <= self.stretch.end_ms
    }

    fn is_in(&self, trace: &[Span]) -> bool {
        let window = self.stretch.start_ms..=self.stretch.end_ms;
        trace.iter().any(|span| span.timestamp.is_some_and(|at| window.contains(&at.millis())))
    }

    /// Adds what a block counted; `groups` are those that must be looked at.
    fn block(
        &mut self,
        number: usize,
        block: &Block,
        groups: &mut HashSet<u64>,
    ) -> Result<(), QueryFailed> {
        self.bounds.stop.check()?;
        let Stretch { start_ms, end_ms, .. } = self.stretch;
        let Some(links) = self.links[number].clone() else {
            return block.touching(start_ms, end_ms, &mut |entry| _ = groups.insert(entry.key.low));
        };
        let mut sums = std::mem::take(&mut self.sums);
        links.each(|minute| self.is_whole(minute), &mut |parent, child, calls, errors| {
            sums.add(parent, child, calls, errors);
        });
        self.sums = sums;
        groups.extend(links.left_out().iter().map(|key| key.low));
        let is_meant = |start: Timestamp| self.is_whole(minute_of(start));
        block.touching_from_elsewhere(start_ms, end_ms, is_meant, &mut |entry| {
            groups.insert(entry.key.low);
        })?;
        for key in self.parts.buried.of(block.entry().last_seq) {
            if !block.group(key, Strictness::Strict)?.is_empty() {
                groups.insert(key.low);
            }
        }
        Ok(())
    }

    /// Adds traces that are in a head alone, and once in it.
    fn heads(&mut self, groups: &mut HashSet<u64>) -> Result<(), QueryFailed> {
        let parts = self.parts;
        for head in &parts.heads {
            let mut failed = None;
            each_trace(head, self.bounds.stop, |key, trace| {
                let group = LENIENT.group(key);
                if failed.is_some() || groups.contains(&group.low) {
                    return;
                }
                let of_group = |head: &HeadView| head.group(group, LENIENT).count();
                let mut places = parts.heads.iter().map(of_group).sum::<usize>();
                for block in parts.blocks.iter() {
                    match block.group(group, LENIENT) {
                        Ok(found) => places += found.len(),
                        Err(error) => failed = Some(error),
                    }
                }
                // Whatever is in the window, what blocks counted of it is not all. And one that is large is
                // bounded where it is read.
                if places > 1 || u64::from(trace.len()) > READ_ROWS_MAX {
                    groups.insert(group.low);
                    return;
                }
                if !self.stretch.touches(&trace.facts()) {
                    return;
                }
                let whole = assemble(trace.spans().collect());
                if self.is_in(&whole) {
                    self.sums.add_trace(&whole);
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads traces whole, those that may have a span in the window.
    fn groups(&mut self, groups: &[TraceKey]) -> Result<(), QueryFailed> {
        let (mut batch, mut batch_rows) = (Vec::new(), 0);
        for (n, group) in groups.iter().enumerate() {
            if n % READ_TRACES_MAX == 0 {
                self.bounds.stop.check()?;
            }
            let (mut touches, mut rows) = (false, 0);
            for block in self.parts.blocks.iter() {
                for entry in block.group(*group, LENIENT)? {
                    touches |= entry.may_touch(self.stretch.start_ms, self.stretch.end_ms);
                    rows += u64::from(entry.rows);
                }
            }
            for head in &self.parts.heads {
                for (_, trace) in head.group(*group, LENIENT) {
                    touches |= self.stretch.touches(&trace.facts());
                    rows += u64::from(trace.len());
                }
            }
            if !touches {
                continue;
            }
            let is_full = batch.len() >= READ_TRACES_MAX || batch_rows + rows > READ_ROWS_MAX;
            if is_full && !batch.is_empty() {
                self.read(&batch)?;
                batch.clear();
                batch_rows = 0;
            }
            batch.push(*group);
            batch_rows += rows;
        }
        self.read(&batch)
    }

    /// Reads traces, and puts them in place of what blocks counted of them, each by itself.
    fn read(&mut self, groups: &[TraceKey]) -> Result<(), QueryFailed> {
        let bounds = self.bounds;
        let bytes_max = match groups {
            [] => return Ok(()),
            [_] => bounds.bytes_max,
            _ => bounds.bytes_max.min(READ_BYTES_MAX),
        };
        let mut weight = Weight::default();
        let mut whole: HashMap<u64, Vec<Span>> = HashMap::new();
        let mut counted: Vec<Vec<Span>> = Vec::new();
        for (number, block) in self.parts.blocks.iter().enumerate() {
            bounds.stop.check()?;
            let last_seq = block.entry().last_seq;
            let counted_here = self.counted(number, block, groups)?;
            let mut parts: HashMap<TraceKey, Vec<Span>> = HashMap::new();
            block.read(groups, LENIENT, bounds.stop, &mut |span| {
                weight.add(&span);
                if weight.bytes > bytes_max {
                    return;
                }
                // What was deleted was counted all the same.
                if counted_here.contains(&span.trace_id.into()) {
                    weight.add(&span);
                    parts.entry(span.trace_id.into()).or_default().push(span.clone());
                }
                if !self.parts.buried.hides(last_seq, span.trace_id) {
                    whole.entry(span.trace_id.low()).or_default().push(span);
                }
            })?;
            counted.extend(parts.into_values());
        }
        for head in &self.parts.heads {
            for group in groups {
                for (_, trace) in head.group(*group, LENIENT) {
                    for span in trace.spans() {
                        weight.add(&span);
                        if weight.bytes > bytes_max {
                            break;
                        }
                        whole.entry(group.low).or_default().push(span);
                    }
                }
            }
        }
        if weight.bytes > bytes_max {
            // One alone is left as it was counted.
            if groups.len() == 1 {
                return Ok(());
            }
            let (some, others) = groups.split_at(groups.len() / 2);
            self.read(some)?;
            return self.read(others);
        }
        for spans in whole.into_values() {
            let whole = assemble(spans);
            if self.is_in(&whole) {
                self.sums.add_trace(&whole);
            }
        }
        counted.iter().for_each(|part| self.sums.remove_trace(part));
        Ok(())
    }

    /// Which of these traces a block counted, in a minute that was added.
    fn counted(
        &self,
        number: usize,
        block: &Block,
        groups: &[TraceKey],
    ) -> Result<HashSet<TraceKey>, QueryFailed> {
        let mut counted = HashSet::new();
        let Some(links) = &self.links[number] else { return Ok(counted) };
        let is_whole = |start: Timestamp| self.is_whole(minute_of(start));
        for group in groups {
            for entry in block.group(*group, LENIENT)? {
                if entry.start.is_some_and(is_whole) && !links.leaves_out(entry.key) {
                    counted.insert(entry.key);
                }
            }
        }
        Ok(counted)
    }
}

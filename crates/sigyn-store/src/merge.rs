//! Makes new blocks of old ones: what repeats or was deleted is left out, what is late goes elsewhere.
//!
//! The old ones are read side by side, in the order that all of them have, and what is read is written at
//! once: however large they are, a few thousand spans are in memory. It goes on step by step, so that
//! whoever does it has time for what is more urgent.

mod cursor;
mod output;
mod twice;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use sigyn_model::Span;

use crate::block::plan::Plan;
use crate::block::writer::{Origin, WriteError};
use crate::block::{Block, DIR, QueryFailed};
use crate::buried::Buried;
use crate::catalog::BlockEntry;
use crate::disk::Disk;
use crate::facts::TraceKey;
use crate::size::span_bytes;
use crate::stop::Stop;
use cursor::{Cursor, Key, place};
use output::Outputs;
use twice::Twice;

/// Spans that began so much before a block's first batch arrived would make its time range say little.
const LATE_NS: u64 = 60 * 60 * 1_000_000_000;
/// Rows of traces that are read together because they stand in several blocks.
const TWICE_ROWS: u64 = 8 * 1_024;

/// What is to be made.
#[derive(Debug)]
pub(crate) struct Merge<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) instance: u64,
    /// The next one that a commit will have: no other block has that in its name.
    pub(crate) number: u64,
    /// At least one, in the order of their frames.
    pub(crate) blocks: Vec<Arc<Block>>,
    pub(crate) buried: Arc<Buried>,
    pub(crate) parting: Parting,
    /// What is in memory meanwhile.
    pub(crate) bytes_max: u64,
}

/// Which spans get blocks of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// None: one block is made anew, and stays what it was.
    No,
    /// Those that came late.
    Late,
    /// Those that came late, and traces with errors.
    LateAndErrors,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    #[error(transparent)]
    Read(#[from] QueryFailed),
    #[error("cannot write the merged block")]
    Write(#[from] WriteError),
}

impl MergeError {
    /// Whether somebody wanted an end.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self, Self::Read(QueryFailed::Stopped) | Self::Write(WriteError::Stopped))
    }
}

/// Where a span goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    is_late: bool,
    errors: Option<bool>,
}

/// A merge under way. Dropped before its end it leaves nothing behind.
pub(crate) struct Merging<'a> {
    blocks: Vec<Arc<Block>>,
    buried: Arc<Buried>,
    parting: Parting,
    late_before_ns: u64,
    /// Traces in several blocks, and how many of them are done. They go first, together with what stands
    /// beside them, and are passed over where they stand.
    twice: Vec<Twice>,
    twice_done: usize,
    twice_keys: Vec<TraceKey>,
    /// Where each block is read, and what the next trace there is sorted by.
    cursors: Vec<(Cursor, Option<Key>)>,
    cursor_bytes: u64,
    /// What is read before it is written.
    batch_bytes: u64,
    outputs: Outputs<'a>,
}

/// Spans of one trace, each with the number of its block.
type Rows = Vec<(Span, usize)>;

impl<'a> Merge<'a> {
    /// Looks at what there is, and begins.
    pub(crate) fn begin(self) -> Result<Merging<'a>, MergeError> {
        let Self { disk, instance, number, blocks, buried, parting, bytes_max } = self;
        let entries = || blocks.iter().map(|block| block.entry());
        let first_arrival_ms = entries().map(|entry| entry.first_arrival_ms).min();
        let late_before_ns = first_arrival_ms.unwrap_or_default().saturating_mul(1_000_000);
        let origin = Origin {
            instance,
            first_seq: entries().map(|entry| entry.first_seq).min().unwrap_or_default(),
            last_seq: entries().map(|entry| entry.last_seq).max().unwrap_or_default(),
            merged: None,
            is_late: false,
            errors: None,
        };
        let twice = twice::find(&blocks)?;
        let mut twice_keys: Vec<TraceKey> = twice.iter().map(|one| one.key).collect();
        twice_keys.sort_unstable();
        let cursor_bytes = bytes_max / 4 / (blocks.len() as u64).max(1);
        let mut cursors = Vec::with_capacity(blocks.len());
        for (number, block) in blocks.iter().enumerate() {
            let mut cursor = Cursor::new(block, number, 0..block.rows(), cursor_bytes);
            let key = cursor.key(&buried)?;
            cursors.push((cursor, key));
        }
        let plan = Plan::of_blocks(blocks.iter().map(|block| &**block));
        Ok(Merging {
            outputs: Outputs::new(disk, origin, number, plan, bytes_max / 3),
            buried,
            parting,
            late_before_ns: late_before_ns.saturating_sub(LATE_NS),
            twice,
            twice_done: 0,
            twice_keys,
            cursors,
            cursor_bytes,
            batch_bytes: bytes_max / 8,
            blocks,
        })
    }
}

impl Merging<'_> {
    /// Of which blocks it is.
    pub(crate) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// Does some more; returns whether there is nothing left to do but to finish. What takes long between two
    /// answers of `stop` is bounded by one trace.
    pub(crate) fn step(&mut self, stop: &dyn Fn() -> bool) -> Result<bool, MergeError> {
        if self.twice_done < self.twice.len() {
            self.step_twice(stop)?;
            return Ok(false);
        }
        while self.outputs.bytes() < self.batch_bytes {
            let least = self.cursors.iter().enumerate();
            let least = least.filter_map(|(at, (_, key))| key.as_ref().map(|key| (key, at))).min();
            let Some(at) = least.map(|(_, at)| at) else {
                self.outputs.write(stop)?;
                return Ok(true);
            };
            self.take_trace(at, stop)?;
        }
        self.outputs.write(stop)?;
        Ok(false)
    }

    /// Makes the new blocks durable; none if nothing is left.
    pub(crate) fn finish(self, stop: &dyn Fn() -> bool) -> Result<Vec<BlockEntry>, MergeError> {
        self.outputs.finish(stop)
    }

    /// The next trace of one block.
    fn take_trace(&mut self, at: usize, stop: &dyn Fn() -> bool) -> Result<(), MergeError> {
        let Some(key) = self.cursors[at].1.take().map(|key| key.trace) else { return Ok(()) };
        let is_done = self.twice_keys.binary_search(&key).is_ok();
        let (mut rows, mut bytes) = (Rows::new(), 0);
        loop {
            let (cursor, _) = &mut self.cursors[at];
            let is_next = |span: &Span| TraceKey::from(span.trace_id) == key;
            if !cursor.peek(&self.buried)?.is_some_and(is_next) {
                break;
            }
            let Some(span) = cursor.next(&self.buried)? else { break };
            if is_done {
                continue;
            }
            bytes += span_bytes(&span);
            rows.push((span, cursor.number));
            if bytes > self.batch_bytes {
                let number = cursor.number;
                let entries = self.blocks[number].group(key, crate::facts::Strictness::Strict)?;
                let of =
                    |first: u32, rows: u32| u64::from(first)..u64::from(first) + u64::from(rows);
                let parts = entries.iter().map(|entry| (number, of(entry.first_row, entry.rows)));
                rows.clear();
                self.put_large(&Twice { key, parts: parts.collect() }, stop)?;
                self.skip(at, key)?;
                break;
            }
        }
        self.put_trace(&rows)?;
        let (cursor, next) = &mut self.cursors[at];
        *next = cursor.key(&self.buried)?;
        Ok(())
    }

    /// Passes over what is left of a trace.
    fn skip(&mut self, at: usize, key: TraceKey) -> Result<(), MergeError> {
        let (cursor, _) = &mut self.cursors[at];
        while cursor.peek(&self.buried)?.is_some_and(|span| TraceKey::from(span.trace_id) == key) {
            cursor.next(&self.buried)?;
        }
        Ok(())
    }

    /// The next few traces that stand in several blocks.
    fn step_twice(&mut self, stop: &dyn Fn() -> bool) -> Result<(), MergeError> {
        let mut sum = 0;
        let left = &self.twice[self.twice_done..];
        let few = left.iter().take_while(|one| {
            sum += one.rows();
            sum <= TWICE_ROWS
        });
        let mut count = few.count().max(1);
        loop {
            match self.read_twice(&self.twice[self.twice_done..self.twice_done + count])? {
                Some(traces) => {
                    for rows in traces {
                        self.put_trace(&rows)?;
                    }
                    break;
                }
                None if count > 1 => count /= 2,
                None => {
                    let parts = self.twice[self.twice_done].parts.clone();
                    let key = self.twice[self.twice_done].key;
                    self.put_large(&Twice { key, parts }, stop)?;
                    break;
                }
            }
        }
        self.twice_done += count;
        self.outputs.write(stop)
    }

    /// Spans of these traces; none if they are too many to be in memory.
    fn read_twice(&self, traces: &[Twice]) -> Result<Option<Vec<Rows>>, MergeError> {
        let numbers: HashMap<TraceKey, usize> =
            traces.iter().enumerate().map(|(at, one)| (one.key, at)).collect();
        let mut read: Vec<Rows> = traces.iter().map(|_| Rows::new()).collect();
        let mut bytes = 0;
        for (number, block) in self.blocks.iter().enumerate() {
            let parts = traces.iter().flat_map(|one| &one.parts);
            let of_block =
                parts.filter(|(other, _)| *other == number).map(|(_, rows)| rows.clone());
            let mut ranges: Vec<Range<u64>> = of_block.collect();
            ranges.sort_unstable_by_key(|rows| rows.start);
            let last_seq = block.entry().last_seq;
            block.each_row(&ranges, &Stop::default(), &mut |span| {
                bytes += span_bytes(&span);
                if bytes <= self.batch_bytes
                    && !self.buried.hides(last_seq, span.trace_id)
                    && let Some(at) = numbers.get(&span.trace_id.into())
                {
                    read[*at].push((span, number));
                }
            })?;
            if bytes > self.batch_bytes {
                return Ok(None);
            }
        }
        Ok(Some(read))
    }

    /// A trace that does not fit in memory. It stands alone in each source that it is written from.
    fn put_large(&mut self, trace: &Twice, stop: &dyn Fn() -> bool) -> Result<(), MergeError> {
        self.outputs.write(stop)?;
        let mut has_errors = false;
        if self.parting == Parting::LateAndErrors {
            for (number, rows) in &trace.parts {
                let block = &self.blocks[*number];
                let last_seq = block.entry().last_seq;
                block.each_row(std::slice::from_ref(rows), &Stop::default(), &mut |span| {
                    let is_there = !self.buried.hides(last_seq, span.trace_id);
                    has_errors |= is_there && has_error(&span);
                })?;
            }
        }
        let cursor = |(number, rows): &(usize, Range<u64>)| {
            Cursor::new(&self.blocks[*number], *number, rows.clone(), self.cursor_bytes)
        };
        let mut cursors: Vec<Cursor> = trace.parts.iter().map(cursor).collect();
        let mut last = None;
        loop {
            let mut next = None;
            for (at, cursor) in cursors.iter_mut().enumerate() {
                if let Some(place) = cursor.peek(&self.buried)?.map(place) {
                    next = Some((place, at)).into_iter().chain(next).min();
                }
            }
            let Some((place, at)) = next else { break };
            // What says the same goes to the same source, where all but one of it is left out.
            let is_over = self.outputs.bytes() > self.batch_bytes && last != Some(place);
            if is_over || self.outputs.bytes() > 2 * self.batch_bytes {
                self.outputs.write(stop)?;
            }
            last = Some(place);
            let number = cursors[at].number;
            if let Some(span) = cursors[at].next(&self.buried)? {
                self.put(&span, number, has_errors)?;
            }
        }
        self.outputs.write(stop)
    }

    /// A whole trace.
    fn put_trace(&mut self, rows: &Rows) -> Result<(), MergeError> {
        let has_errors =
            self.parting == Parting::LateAndErrors && rows.iter().any(|(span, _)| has_error(span));
        rows.iter().try_for_each(|(span, number)| self.put(span, *number, has_errors))
    }

    fn put(&mut self, span: &Span, number: usize, has_errors: bool) -> Result<(), MergeError> {
        let entry = self.blocks[number].entry();
        // What was parted once stays so: retention goes by it.
        let before = Part { is_late: entry.is_late, errors: entry.errors };
        let is_late = span.timestamp.is_some_and(|at| at.nanos() < self.late_before_ns);
        let part = match self.parting {
            Parting::No => before,
            Parting::Late => Part { is_late: is_late || before.is_late, ..before },
            Parting::LateAndErrors => Part {
                is_late: is_late || before.is_late,
                errors: before.errors.or(Some(has_errors)),
            },
        };
        self.outputs.put(part, span, (entry.first_arrival_ms, entry.last_arrival_ms))
    }
}

fn has_error(span: &Span) -> bool {
    span.zipkin_tag("error").is_some()
}

/// Removes what no commit will name.
pub(crate) fn discard(disk: &Disk, made: &[BlockEntry]) {
    for entry in made {
        let path = format!("{DIR}/{}", entry.name);
        if let Err(error) = disk.remove(&path) {
            tracing::warn!(path, %error, "cannot remove a merged block yet");
        }
    }
}

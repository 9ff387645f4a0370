//! Makes new blocks of old ones: what repeats or was deleted is left out, what is late goes elsewhere.
//!
//! The old ones are read side by side, in the order that all of them have, and what is read is written at
//! once: however large they are, some ten thousand rows are in memory. It goes on step by step, so that
//! whoever does it has time for what is more urgent.

mod cursor;
mod large;
mod lot;
mod output;
#[cfg(test)]
mod tests;
mod twice;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::block::piece::Piece;
use crate::block::piece_reader::PieceBuilder;
use crate::block::plan::Plan;
use crate::block::writer::{Origin, WriteError};
use crate::block::{Block, DIR, QueryFailed};
use crate::buried::Buried;
use crate::catalog::BlockEntry;
use crate::disk::Disk;
use crate::facts::{Strictness, TraceKey};
use cursor::{Cursor, Key, Reading};
use large::Large;
use lot::Run;
use output::Outputs;
use twice::Twice;

/// Spans that began so much before a block's first batch arrived would make its time range say little.
const LATE_NS: u64 = 60 * 60 * 1_000_000_000;
/// Rows of traces that are read together because they stand in several blocks: at first, for they may be
/// large, and at most.
const TWICE_ROWS_MIN: u64 = 16;
const TWICE_ROWS_MAX: u64 = 16 * 1_024;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Part {
    is_late: bool,
    errors: Option<bool>,
}

/// A merge under way. Dropped before its end it leaves nothing behind.
pub(crate) struct Merging<'a> {
    blocks: Vec<Arc<Block>>,
    /// Each of them, as it is read.
    readings: Vec<Reading>,
    parting: Parting,
    late_before_ns: u64,
    /// Traces in several blocks, and how many of them are done. They go first, together with what stands
    /// beside them.
    twice: Vec<Twice>,
    twice_done: usize,
    /// How many rows of them are read together.
    twice_rows: u64,
    /// Where each block is read besides, and what the next trace there is sorted by.
    cursors: Vec<(Cursor, Option<Key>)>,
    /// Whether the keys are known: nothing is read before the others are done.
    has_begun: bool,
    /// A trace that does not fit in memory, on its way.
    large: Option<Large>,
    cursor_bytes: u64,
    /// What is read before it is written.
    batch_bytes: u64,
    outputs: Outputs<'a>,
}

/// Spans of one trace.
type Rows = Vec<Run>;

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
        let gone = gone(&blocks, &buried)?;
        let mut twice = twice::find(&blocks)?;
        for one in &mut twice {
            one.parts.retain(|(number, rows)| !gone[*number].contains_key(&rows.start));
        }
        twice.retain(|one| !one.parts.is_empty());
        // Together they take no more than a quarter of what there is, and what they read ahead half of that.
        let kept_bytes = bytes_max / 4 / (blocks.len() as u64).max(1);
        let cursor_bytes = kept_bytes / 2;
        let mut apart = gone;
        for (number, rows) in twice.iter().flat_map(|one| &one.parts) {
            apart[*number].insert(rows.start, rows.end);
        }
        let cursors = blocks.iter().zip(&apart).enumerate().map(|(number, (block, apart))| {
            (Cursor::new(number, between(apart, block.rows()), cursor_bytes), None)
        });
        let plan = Plan::of_blocks(blocks.iter().map(|block| &**block));
        Ok(Merging {
            outputs: Outputs::new(disk, origin, number, plan, bytes_max),
            parting,
            late_before_ns: late_before_ns.saturating_sub(LATE_NS),
            twice,
            twice_done: 0,
            twice_rows: TWICE_ROWS_MIN,
            cursors: cursors.collect(),
            has_begun: false,
            large: None,
            cursor_bytes,
            batch_bytes: bytes_max / 8,
            readings: blocks.iter().map(|block| Reading::new(block.clone(), kept_bytes)).collect(),
            blocks,
        })
    }
}

/// Of each block the rows of traces that were deleted from it: where they begin, and end.
fn gone(blocks: &[Arc<Block>], buried: &Buried) -> Result<Vec<BTreeMap<u64, u64>>, QueryFailed> {
    let of_block = |block: &Arc<Block>| {
        let mut gone = BTreeMap::new();
        for key in buried.of(block.entry().last_seq) {
            for entry in block.group(key, Strictness::Strict)? {
                let rows = entry.range();
                gone.insert(rows.start, rows.end);
            }
        }
        Ok(gone)
    };
    blocks.iter().map(of_block).collect()
}

/// What is left of so many rows without these: nothing is read only to be passed over.
fn between(apart: &BTreeMap<u64, u64>, rows: u64) -> Vec<Range<u64>> {
    let mut between = Vec::new();
    let mut begin = 0;
    for (first, end) in apart.iter().map(|(first, end)| (*first, *end)).chain([(rows, rows)]) {
        if begin < first {
            between.push(begin..first);
        }
        begin = end;
    }
    between
}

impl Merging<'_> {
    /// Of which blocks it is.
    pub(crate) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// About what it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.outputs.bytes() + self.outputs.written_bytes()
    }

    /// Does some more; returns whether there is nothing left to do but to finish. It is bounded by what is
    /// read at once, or by a row group that is written.
    pub(crate) fn step(&mut self, stop: &dyn Fn() -> bool) -> Result<bool, MergeError> {
        if let Some(large) = self.large.take() {
            self.large = self.step_large(large, stop)?;
            return Ok(false);
        }
        if self.twice_done < self.twice.len() {
            self.step_twice(stop)?;
            return Ok(false);
        }
        self.begin_cursors(stop)?;
        while self.outputs.bytes() < self.batch_bytes && !self.outputs.are_many() {
            go_on(stop)?;
            let least = self.cursors.iter().enumerate();
            let least = least.filter_map(|(at, (_, key))| key.as_ref().map(|key| (key, at))).min();
            let Some(at) = least.map(|(_, at)| at) else {
                self.outputs.write(stop)?;
                return Ok(true);
            };
            self.take_trace(at)?;
            if self.large.is_some() {
                break;
            }
        }
        self.outputs.write(stop)?;
        Ok(false)
    }

    fn begin_cursors(&mut self, stop: &dyn Fn() -> bool) -> Result<(), MergeError> {
        if !self.has_begun {
            for (cursor, key) in &mut self.cursors {
                go_on(stop)?;
                *key = cursor.key(&mut self.readings[cursor.number])?;
            }
            self.has_begun = true;
        }
        Ok(())
    }

    /// Makes the new blocks durable; none if nothing is left.
    pub(crate) fn finish(self, stop: &dyn Fn() -> bool) -> Result<Vec<BlockEntry>, MergeError> {
        self.outputs.finish(stop)
    }

    /// The next trace of one block.
    fn take_trace(&mut self, at: usize) -> Result<(), MergeError> {
        let (cursor, next) = &mut self.cursors[at];
        let Some(key) = next.take().map(|key| key.trace) else { return Ok(()) };
        let reading = &mut self.readings[cursor.number];
        let (mut rows, mut bytes) = (Rows::new(), 0);
        while let Some(run) = cursor.take_run(reading, key)? {
            bytes += run.bytes();
            rows.push(run);
            if bytes > self.batch_bytes {
                rows.clear();
                let entries = reading.block.group(key, Strictness::Strict)?;
                let parts: Vec<(usize, Range<u64>)> =
                    entries.iter().map(|entry| (cursor.number, entry.range())).collect();
                parts.iter().for_each(|(_, rows)| cursor.pass(key, rows.end));
                self.large = Some(Large::new(parts, self.parting, self.cursor_bytes));
                break;
            }
        }
        *next = cursor.key(reading)?;
        self.put_trace(&rows)
    }

    /// The next few traces that stand in several blocks.
    fn step_twice(&mut self, stop: &dyn Fn() -> bool) -> Result<(), MergeError> {
        let mut sum = 0;
        let left = &self.twice[self.twice_done..];
        let few = left.iter().take_while(|one| {
            sum += one.rows();
            sum <= self.twice_rows
        });
        let count = few.count().max(1);
        let which = self.twice_done..self.twice_done + count;
        let rows: u64 = self.twice[which.clone()].iter().map(Twice::rows).sum();
        match self.read_twice(which, stop)? {
            Some((traces, bytes)) => {
                let fit = rows.saturating_mul(self.batch_bytes / 4 * 3) / bytes.max(1);
                self.twice_rows = fit.clamp(1, (8 * self.twice_rows).min(TWICE_ROWS_MAX));
                for rows in traces {
                    self.put_trace(&rows)?;
                }
            }
            None if count > 1 => {
                self.twice_rows = rows / 4;
                return Ok(());
            }
            None => {
                let parts = std::mem::take(&mut self.twice[self.twice_done].parts);
                self.large = Some(Large::new(parts, self.parting, self.cursor_bytes));
            }
        }
        self.twice_done += count;
        self.outputs.write(stop)
    }

    /// Spans of these traces, and what they take; none if they are too many to be in memory.
    fn read_twice(
        &mut self,
        which: Range<usize>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<(Vec<Rows>, u64)>, MergeError> {
        let traces = &self.twice[which];
        let numbers: HashMap<TraceKey, usize> =
            traces.iter().enumerate().map(|(at, one)| (one.key, at)).collect();
        let mut read: Vec<Rows> = traces.iter().map(|_| Rows::new()).collect();
        let mut bytes = 0;
        for (number, reading) in self.readings.iter_mut().enumerate() {
            let parts = traces.iter().flat_map(|one| &one.parts);
            let of_block =
                parts.filter(|(other, _)| *other == number).map(|(_, rows)| rows.clone());
            let mut ranges: Vec<Range<u64>> = of_block.collect();
            ranges.sort_unstable_by_key(|rows| rows.start);
            let mut ranges = ranges.as_slice();
            // A few at a time: they may be large.
            let (mut at_once, mut piece) = (1, PieceBuilder::default());
            while !ranges.is_empty() {
                go_on(stop)?;
                let (now, later) = ranges.split_at(at_once.min(ranges.len()));
                (ranges, at_once) = (later, 8 * at_once);
                let before = piece.piece().bytes();
                reading.read(now, &mut piece)?;
                bytes += piece.piece().bytes() - before;
                if bytes > self.batch_bytes {
                    return Ok(None);
                }
            }
            let piece = Arc::new(piece.finish());
            let mut first = 0;
            while first < piece.rows() {
                let trace = piece.trace(first);
                let of_trace = (first..piece.rows()).take_while(|row| piece.trace(*row) == trace);
                let end = of_trace.last().map_or(first, |last| last) + 1;
                if let Some(at) = numbers.get(&trace) {
                    read[*at].push(Run { piece: piece.clone(), rows: first..end, block: number });
                }
                first = end;
            }
        }
        Ok(Some((read, bytes)))
    }

    /// A whole trace.
    fn put_trace(&mut self, rows: &Rows) -> Result<(), MergeError> {
        let has_errors = self.parting == Parting::LateAndErrors && rows.iter().any(Run::has_error);
        for Run { piece, rows, block } in rows {
            rows.clone().try_for_each(|row| self.put(piece, row, *block, has_errors))?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        piece: &Arc<Piece>,
        row: u32,
        number: usize,
        has_errors: bool,
    ) -> Result<(), MergeError> {
        let part = self.part_of(piece, row, number, has_errors);
        let entry = self.blocks[number].entry();
        let arrivals_ms = (entry.first_arrival_ms, entry.last_arrival_ms);
        self.outputs.put(part, (piece, row), arrivals_ms)
    }

    fn part_of(&self, piece: &Piece, row: u32, number: usize, has_errors: bool) -> Part {
        let entry = self.blocks[number].entry();
        // What was parted once stays so: retention goes by it.
        let before = Part { is_late: entry.is_late, errors: entry.errors };
        let began = piece.row(row).timestamp;
        let is_late = began.is_some_and(|at| at.nanos() < self.late_before_ns);
        match self.parting {
            Parting::No => before,
            Parting::Late => Part { is_late: is_late || before.is_late, ..before },
            Parting::LateAndErrors => Part {
                is_late: is_late || before.is_late,
                errors: before.errors.or(Some(has_errors)),
            },
        }
    }
}

fn go_on(stop: &dyn Fn() -> bool) -> Result<(), MergeError> {
    if stop() { Err(WriteError::Stopped.into()) } else { Ok(()) }
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

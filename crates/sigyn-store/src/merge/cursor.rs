//! Rows of one block, one after the other, a few at a time in memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use sigyn_model::{SpanId, Timestamp};

use super::MergeError;
use super::lot::Run;
use crate::block::Block;
use crate::block::merging::Bookmark;
use crate::block::piece::Piece;
use crate::block::piece_reader::PieceBuilder;
use crate::facts::TraceKey;

/// Rows that are read at first, for they may be large, and at most: as many as stand in a page.
const ROWS_MIN: u64 = 1;
const ROWS_MAX: u64 = 8 * 1_024;

/// A block that is merged, and where it was read last.
pub(super) struct Reading {
    pub(super) block: Arc<Block>,
    bookmark: Bookmark,
    /// What is kept of its pages.
    kept_bytes: u64,
}

impl Reading {
    pub(super) fn new(block: Arc<Block>, kept_bytes: u64) -> Self {
        Self { block, bookmark: Bookmark::default(), kept_bytes }
    }

    /// Adds these rows to a piece.
    pub(super) fn read(
        &mut self,
        rows: &[Range<u64>],
        piece: &mut PieceBuilder,
    ) -> Result<(), MergeError> {
        Ok(self.block.read_on(&mut self.bookmark, rows, self.kept_bytes, piece)?)
    }
}

/// Rows of a block that are read one after the other.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Which of those that are merged.
    pub(super) number: usize,
    /// What is not read yet, in order.
    left: VecDeque<Range<u64>>,
    /// What was read last, and the next row of it.
    piece: Arc<Piece>,
    next: u32,
    rows_at_once: u64,
    bytes_max: u64,
}

impl Cursor {
    /// Over rows that are in order. What is read and not taken yet takes about `bytes_max`.
    pub(super) fn new(
        number: usize,
        rows: impl IntoIterator<Item = Range<u64>>,
        bytes_max: u64,
    ) -> Self {
        let left = rows.into_iter().filter(|rows| !rows.is_empty()).collect();
        let piece = Arc::new(PieceBuilder::default().finish());
        Self { number, left, piece, next: 0, rows_at_once: ROWS_MIN, bytes_max }
    }

    /// Where the next row stands; none at the end.
    pub(super) fn peek(
        &mut self,
        from: &mut Reading,
    ) -> Result<Option<(&Arc<Piece>, u32)>, MergeError> {
        if self.next == self.piece.rows() && !self.left.is_empty() {
            self.fill(from)?;
        }
        let is_there = self.next < self.piece.rows();
        Ok(is_there.then_some((&self.piece, self.next)))
    }

    pub(super) fn next(
        &mut self,
        from: &mut Reading,
    ) -> Result<Option<(Arc<Piece>, u32)>, MergeError> {
        let next = self.peek(from)?.map(|(piece, row)| (piece.clone(), row));
        self.next += u32::from(next.is_some());
        Ok(next)
    }

    /// Rows of this trace that come next, as far as they are read; none if it is another one's turn.
    pub(super) fn take_run(
        &mut self,
        from: &mut Reading,
        trace: TraceKey,
    ) -> Result<Option<Run>, MergeError> {
        let number = self.number;
        let Some((piece, first)) = self.peek(from)? else { return Ok(None) };
        let of_trace = (first..piece.rows()).take_while(|row| piece.trace(*row) == trace);
        let end = of_trace.last().map_or(first, |last| last + 1);
        let run = Run { piece: piece.clone(), rows: first..end, block: number };
        self.next = end;
        Ok((first < end).then_some(run))
    }

    fn fill(&mut self, from: &mut Reading) -> Result<(), MergeError> {
        let mut rows: Vec<Range<u64>> = Vec::new();
        let mut rows_left = self.rows_at_once;
        while let Some(next) = self.left.front_mut().filter(|_| rows_left > 0) {
            let end = next.end.min(next.start.saturating_add(rows_left));
            rows_left -= end - next.start;
            rows.push(next.start..end);
            next.start = end;
            if next.is_empty() {
                self.left.pop_front();
            }
        }
        let mut piece = PieceBuilder::default();
        from.read(&rows, &mut piece)?;
        self.piece = Arc::new(piece.finish());
        self.next = 0;
        let fit = self.rows_at_once.saturating_mul(self.bytes_max) / self.piece.bytes().max(1);
        self.rows_at_once = fit.clamp(1, (self.rows_at_once * 8).min(ROWS_MAX));
        Ok(())
    }

    /// Passes over what is left of a trace, whose rows end here.
    pub(super) fn pass(&mut self, trace: TraceKey, end: u64) {
        while self.next < self.piece.rows() && self.piece.trace(self.next) == trace {
            self.next += 1;
        }
        while self.next == self.piece.rows()
            && let Some(next) = self.left.front_mut().filter(|next| next.start < end)
        {
            next.start = end;
            if next.is_empty() {
                self.left.pop_front();
            }
        }
    }

    /// What the trace of the next row is sorted by, as far as its rows are read: a root comes first, nearly
    /// always.
    pub(super) fn key(&mut self, from: &mut Reading) -> Result<Option<Key>, MergeError> {
        let Some((piece, first)) = self.peek(from)? else { return Ok(None) };
        let trace = piece.trace(first);
        let mut of_trace = (first..piece.rows()).take_while(|row| piece.trace(*row) == trace);
        let root = of_trace.find(|row| piece.row(*row).parent_id.is_none());
        Ok(Some(Key::of(piece, root.unwrap_or(first))))
    }
}

/// What traces are sorted by in a block.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    service: String,
    name: String,
    start: Timestamp,
    pub(super) trace: TraceKey,
}

impl Key {
    fn of(piece: &Piece, number: u32) -> Self {
        let root = piece.row(number);
        let service = piece.endpoint(root.local_endpoint);
        Self {
            service: service.map(|endpoint| endpoint.service_name.to_owned()).unwrap_or_default(),
            name: piece.name(root.name).to_owned(),
            start: root.timestamp.unwrap_or(Timestamp::MAX),
            trace: root.trace_id.into(),
        }
    }
}

/// Where a span stands in its trace. Spans that say the same stand at one place.
pub(super) type Place = (Timestamp, SpanId, bool);

//! Rows of one block, one after the other, a few at a time in memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use sigyn_model::{Span, SpanId, Timestamp};

use super::MergeError;
use crate::block::Block;
use crate::block::merging::Bookmark;
use crate::facts::TraceKey;
use crate::size::Weight;

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

    pub(super) fn each_row(
        &mut self,
        rows: &[Range<u64>],
        each: &mut impl FnMut(Span),
    ) -> Result<(), MergeError> {
        Ok(self.block.read_on(&mut self.bookmark, rows, self.kept_bytes, each)?)
    }
}

/// Rows of a block that are read one after the other.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Which of those that are merged.
    pub(super) number: usize,
    /// What is not read yet, in order.
    left: VecDeque<Range<u64>>,
    read: VecDeque<Span>,
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
        Self { number, left, read: VecDeque::new(), rows_at_once: ROWS_MIN, bytes_max }
    }

    /// The next row; none at the end.
    pub(super) fn peek(&mut self, from: &mut Reading) -> Result<Option<&Span>, MergeError> {
        if self.read.is_empty() && !self.left.is_empty() {
            self.fill(from)?;
        }
        Ok(self.read.front())
    }

    pub(super) fn next(&mut self, from: &mut Reading) -> Result<Option<Span>, MergeError> {
        self.peek(from)?;
        Ok(self.read.pop_front())
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
        let mut weight = Weight::default();
        let read = &mut self.read;
        from.each_row(&rows, &mut |span| {
            weight.add(&span);
            read.push_back(span);
        })?;
        let fit = self.rows_at_once.saturating_mul(self.bytes_max) / weight.bytes.max(1);
        self.rows_at_once = fit.clamp(1, (self.rows_at_once * 8).min(ROWS_MAX));
        Ok(())
    }

    /// Passes over what is left of a trace, whose rows end here.
    pub(super) fn pass(&mut self, trace: TraceKey, end: u64) {
        while self.read.front().is_some_and(|span| TraceKey::from(span.trace_id) == trace) {
            self.read.pop_front();
        }
        while self.read.is_empty()
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
        let Some(first) = self.peek(from)? else { return Ok(None) };
        let trace = first.trace_id;
        let of_trace = self.read.iter().take_while(|span| span.trace_id == trace);
        let root = of_trace.clone().find(|span| span.parent_id.is_none());
        Ok(root.or(self.read.front()).map(Key::of))
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
    fn of(root: &Span) -> Self {
        let service = root.local_endpoint.as_ref().map(|endpoint| &endpoint.service_name);
        Self {
            service: service.cloned().unwrap_or_default(),
            name: root.name.clone(),
            start: root.timestamp.unwrap_or(Timestamp::MAX),
            trace: root.trace_id.into(),
        }
    }
}

/// Where a span stands in its trace.
pub(super) type Place = (Timestamp, SpanId, bool);

/// Spans that say the same stand at one place.
pub(super) fn place(span: &Span) -> Place {
    (span.timestamp.unwrap_or(Timestamp::MAX), span.id, span.shared)
}

//! Rows of one block, one after the other, a few at a time in memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use sigyn_model::{Span, SpanId, Timestamp};

use super::MergeError;
use crate::block::Block;
use crate::buried::Buried;
use crate::facts::TraceKey;
use crate::size::Weight;
use crate::stop::Stop;

/// Rows that are read at first, for they may be large, and at most: as many as stand in a page.
const ROWS_MIN: u64 = 1;
const ROWS_MAX: u64 = 8 * 1_024;

/// A place in a block.
#[derive(Debug)]
pub(super) struct Cursor {
    block: Arc<Block>,
    /// Which of those that are merged.
    pub(super) number: usize,
    /// What is not read yet.
    left: Range<u64>,
    read: VecDeque<Span>,
    rows_at_once: u64,
    bytes_max: u64,
}

impl Cursor {
    /// What is read and not taken yet takes about `bytes_max`.
    pub(super) fn new(block: &Arc<Block>, number: usize, rows: Range<u64>, bytes_max: u64) -> Self {
        let block = block.clone();
        Self { block, number, left: rows, read: VecDeque::new(), rows_at_once: ROWS_MIN, bytes_max }
    }

    /// The next row; none at the end. Of traces that are gone there is none.
    pub(super) fn peek(&mut self, buried: &Buried) -> Result<Option<&Span>, MergeError> {
        while self.read.is_empty() && !self.left.is_empty() {
            self.fill(buried)?;
        }
        Ok(self.read.front())
    }

    pub(super) fn next(&mut self, buried: &Buried) -> Result<Option<Span>, MergeError> {
        self.peek(buried)?;
        Ok(self.read.pop_front())
    }

    fn fill(&mut self, buried: &Buried) -> Result<(), MergeError> {
        let end = self.left.end.min(self.left.start.saturating_add(self.rows_at_once));
        let rows = self.left.start..end;
        let last_seq = self.block.entry().last_seq;
        let mut weight = Weight::default();
        let read = &mut self.read;
        self.block.each_row(std::slice::from_ref(&rows), &Stop::default(), &mut |span| {
            weight.add(&span);
            if !buried.hides(last_seq, span.trace_id) {
                read.push_back(span);
            }
        })?;
        let fit = self.rows_at_once.saturating_mul(self.bytes_max) / weight.bytes.max(1);
        self.rows_at_once = fit.clamp(1, (self.rows_at_once * 8).min(ROWS_MAX));
        self.left.start = end;
        Ok(())
    }

    /// What the trace of the next row is sorted by, as far as its rows are read: a root comes first, nearly
    /// always.
    pub(super) fn key(&mut self, buried: &Buried) -> Result<Option<Key>, MergeError> {
        let Some(first) = self.peek(buried)? else { return Ok(None) };
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

/// Where a span stands in its trace: spans that say the same stand at one place.
pub(super) fn place(span: &Span) -> (Timestamp, SpanId, bool) {
    (span.timestamp.unwrap_or(Timestamp::MAX), span.id, span.shared)
}

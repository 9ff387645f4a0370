//! Makes new blocks of old ones: what repeats or was deleted is left out, what is late goes elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use sigyn_model::Span;

use crate::block::writer::{self, Origin, WriteError};
use crate::block::{Block, DIR, QueryFailed};
use crate::buried::Buried;
use crate::catalog::BlockEntry;
use crate::disk::Disk;
use crate::facts::TraceKey;
use crate::head::HeadWriter;
use crate::stop::Stop;
use sigyn_model::columns::Columns;

/// Spans that began so much before a block's first batch arrived would make its time range say little.
const LATE_NS: u64 = 60 * 60 * 1_000_000_000;
/// Spans that are taken over at a time.
const AT_ONCE: usize = 1_024;

/// What is to be made.
#[derive(Debug)]
pub(crate) struct Merge<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) instance: u64,
    /// Of the commit that will name what is made.
    pub(crate) number: u64,
    /// At least one, in the order of their frames.
    pub(crate) blocks: &'a [Arc<Block>],
    pub(crate) buried: &'a Buried,
    pub(crate) parting: Parting,
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

impl Merge<'_> {
    /// Writes new blocks, durably; none if nothing is left. `stop` is asked often.
    pub(crate) fn run(&self, stop: &dyn Fn() -> bool) -> Result<Vec<BlockEntry>, MergeError> {
        let Some((first, last)) = self.blocks.first().zip(self.blocks.last()) else {
            return Ok(Vec::new());
        };
        let with_errors = self.with_errors(stop)?;
        let arrivals = self.blocks.iter().map(|block| block.entry().first_arrival_ms);
        let first_arrival_ms = arrivals.min().unwrap_or_default();
        let late_before_ns = first_arrival_ms.saturating_mul(1_000_000).saturating_sub(LATE_NS);
        // Its place is the number of its file.
        let mut parts: Vec<(Part, HeadWriter)> = Vec::new();
        for block in self.blocks {
            let entry = block.entry();
            let arrivals = (entry.first_arrival_ms, entry.last_arrival_ms);
            // What was parted once stays so: retention goes by it.
            let before = Part { is_late: entry.is_late, errors: entry.errors };
            let mut waiting: Vec<(Part, Vec<Span>)> = Vec::new();
            self.each_span(block, stop, &mut |span| {
                let is_late = span.timestamp.is_some_and(|at| at.nanos() < late_before_ns);
                let has_errors = || with_errors.contains(&span.trace_id.into());
                let part = match self.parting {
                    Parting::No => before,
                    Parting::Late => Part { is_late: is_late || before.is_late, ..before },
                    Parting::LateAndErrors => Part {
                        is_late: is_late || before.is_late,
                        errors: before.errors.or_else(|| Some(has_errors())),
                    },
                };
                let at = waiting.iter().position(|(other, _)| *other == part);
                let at = at.unwrap_or_else(|| {
                    waiting.push((part, Vec::new()));
                    waiting.len() - 1
                });
                let spans = &mut waiting[at].1;
                spans.push(span);
                if spans.len() == AT_ONCE {
                    put(&mut parts, part, spans, arrivals);
                }
            })?;
            for (part, mut spans) in waiting {
                put(&mut parts, part, &mut spans, arrivals);
            }
        }
        let mut made: Vec<BlockEntry> = Vec::new();
        for (number, (part, head)) in (0..).zip(parts) {
            let origin = Origin {
                instance: self.instance,
                first_seq: first.entry().first_seq,
                last_seq: last.entry().last_seq,
                merged: Some((self.number, number)),
                is_late: part.is_late,
                errors: part.errors,
            };
            match writer::write(self.disk, origin, &head.view(), stop) {
                Ok(entry) => made.push(entry),
                Err(error) => {
                    self.discard(&made);
                    return Err(error.into());
                }
            }
        }
        Ok(made)
    }

    /// Removes what no commit will name.
    pub(crate) fn discard(&self, made: &[BlockEntry]) {
        for entry in made {
            let path = format!("{DIR}/{}", entry.name);
            if let Err(error) = self.disk.remove(&path) {
                tracing::warn!(path, %error, "cannot remove a merged block yet");
            }
        }
    }

    /// Which traces have an error, if that matters.
    fn with_errors(&self, stop: &dyn Fn() -> bool) -> Result<HashSet<TraceKey>, MergeError> {
        let mut with_errors = HashSet::new();
        if self.parting == Parting::LateAndErrors {
            for block in self.blocks {
                self.each_span(block, stop, &mut |span| {
                    if span.zipkin_tag("error").is_some() {
                        with_errors.insert(span.trace_id.into());
                    }
                })?;
            }
        }
        Ok(with_errors)
    }

    fn each_span(
        &self,
        block: &Block,
        stop: &dyn Fn() -> bool,
        each: &mut dyn FnMut(Span),
    ) -> Result<(), QueryFailed> {
        let reading = Stop::default();
        let mut count = 0;
        block.read_all(&reading, &mut |span: Span| {
            count += 1;
            if count % AT_ONCE == 0 && stop() {
                reading.stop();
            }
            if !self.buried.hides(block.entry().last_seq, span.trace_id) {
                each(span);
            }
        })?;
        // The last row group may be the one in which somebody wanted an end.
        reading.check()?;
        Ok(())
    }
}

fn put(
    parts: &mut Vec<(Part, HeadWriter)>,
    part: Part,
    spans: &mut Vec<Span>,
    (first_ms, last_ms): (u64, u64),
) {
    let at = parts.iter().position(|(other, _)| *other == part).unwrap_or_else(|| {
        parts.push((part, HeadWriter::new()));
        parts.len() - 1
    });
    let mut batch = Columns::default();
    spans.iter().for_each(|span| _ = batch.push(span));
    parts[at].1.bring(&batch);
    parts[at].1.publish(first_ms, last_ms);
    spans.clear();
}

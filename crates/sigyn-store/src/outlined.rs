//! One trace of any size: outlines of all of its spans, and those spans whole that are looked at.

use std::ops::Range;

use sigyn_model::{Outlines, Span, TraceId, Waterfall};

use crate::block::entry::Entry;
use crate::block::{Block, QueryFailed};
use crate::facts::{Strictness, TraceKey};
use crate::head::OutlinedRows;
use crate::query::{Bounds, HEAD_TRACES};
use crate::size::Weight;
use crate::trace::assemble;
use crate::view::Parts;

/// More of what was noted in a trace nobody can tell apart.
pub(crate) const TICKS_MAX: usize = 100_000;

/// In which part a span is, and in which row there.
pub(crate) type SpanRow = (u32, u32);

/// What outlines of a trace were made of, to be read whole.
#[derive(Debug)]
pub struct Outlined<'a> {
    pub outlines: Outlines,
    parts: &'a Parts,
    bounds: Bounds<'a>,
    rows: Vec<SpanRow>,
}

/// What an outline and the place of its span take, and what it takes to lay it out.
const SPAN_BYTES: usize = Outlines::SPAN_BYTES + size_of::<SpanRow>() + Waterfall::SPAN_BYTES;

impl Parts {
    /// Outlines of the spans of the trace with this id, of each of which something in `row_bytes` will be made.
    pub(crate) fn outlined<'a>(
        &'a self,
        id: TraceId,
        strictness: Strictness,
        row_bytes: usize,
        bounds: Bounds<'a>,
    ) -> Result<Outlined<'a>, QueryFailed> {
        let group = strictness.group(id.into());
        let entries = self.entries_of(group, strictness)?;
        let heads = self.heads.iter().flat_map(|head| head.group(group, strictness));
        let in_heads: u64 = heads.map(|(_, trace)| u64::from(trace.len())).sum();
        let in_blocks: u64 = entries.iter().map(|(_, entry)| u64::from(entry.rows)).sum();
        let spans = in_blocks.saturating_add(in_heads);
        let bytes = spans.saturating_mul((SPAN_BYTES + row_bytes) as u64);
        let has_room = |table_bytes: usize| {
            let bytes = bytes.saturating_add(table_bytes as u64);
            bounds.check(bytes).map_err(|error| match error {
                QueryFailed::TooLarge { bytes_max } => {
                    QueryFailed::TraceTooLarge { bytes, bytes_max }
                }
                error => error,
            })
        };
        has_room(0)?;
        let spans = usize::try_from(spans).unwrap_or(0);
        let (mut outlines, mut rows) = (Outlines::with_capacity(spans), Vec::with_capacity(spans));
        for same in entries.chunk_by(|a, b| a.0 == b.0) {
            let number = same[0].0;
            let of_block: Vec<Entry> = same.iter().map(|(_, entry)| *entry).collect();
            let part = number_of(number);
            self.blocks[number].outline(
                &of_block,
                bounds.stop,
                &mut outlines,
                &mut |row, all| {
                    match row {
                        Some(row) => rows.push((part, row)),
                        None => has_room(all.table_bytes())?,
                    }
                    Ok(())
                },
            )?;
        }
        for (number, head) in self.heads.iter().enumerate() {
            let part = number_of(self.blocks.len() + number);
            let mut outlined = OutlinedRows::default();
            for (_, trace) in head.group(group, strictness) {
                for (n, row) in trace.rows().enumerate() {
                    if n % HEAD_TRACES == 0 {
                        bounds.stop.check()?;
                        has_room(outlines.table_bytes())?;
                    }
                    outlined.add(&row, &mut outlines);
                    rows.push((part, row.number()));
                }
            }
        }
        has_room(outlines.table_bytes())?;
        Ok(Outlined { outlines, parts: self, bounds, rows })
    }

    /// Where a block has traces of a group that somebody may see, in no order.
    pub(crate) fn entries_in(
        &self,
        block: &Block,
        group: TraceKey,
        strictness: Strictness,
    ) -> Result<Vec<Entry>, QueryFailed> {
        let last_seq = block.entry().last_seq;
        let mut entries = block.group(group, strictness)?;
        entries.retain(|entry| {
            let id = entry.key.trace_id();
            !id.is_some_and(|id| self.buried.hides(last_seq, id))
        });
        Ok(entries)
    }

    /// Where blocks have traces of a group that somebody may see, block by block in the order of rows.
    pub(crate) fn entries_of(
        &self,
        group: TraceKey,
        strictness: Strictness,
    ) -> Result<Vec<(usize, Entry)>, QueryFailed> {
        let mut entries: Vec<(usize, Entry)> = Vec::new();
        for (number, block) in self.blocks.iter().enumerate() {
            let found = self.entries_in(block, group, strictness)?;
            entries.extend(found.into_iter().map(|entry| (number, entry)));
        }
        entries.sort_unstable_by_key(|(number, entry)| (*number, entry.first_row));
        Ok(entries)
    }
}

impl Outlined<'_> {
    /// Spans by the places of their outlines, in lists as they are given. One that came twice is there once.
    pub fn spans(&self, lists: &[&[u32]]) -> Result<Vec<Vec<Span>>, QueryFailed> {
        let Self { parts, bounds, rows, .. } = self;
        let mut wanted: Vec<(SpanRow, usize)> = Vec::new();
        for (number, list) in lists.iter().enumerate() {
            wanted.extend(list.iter().map(|place| (rows[*place as usize], number)));
        }
        wanted.sort_unstable();
        let mut found: Vec<Vec<Span>> = vec![Vec::new(); lists.len()];
        let mut weight = Weight::default();
        let mut has_room = Ok(());
        for of_part in wanted.chunk_by(|a, b| a.0.0 == b.0.0) {
            bounds.stop.check()?;
            let part = of_part[0].0.0 as usize;
            let mut numbers = of_part.iter().map(|(_, number)| *number);
            let mut add = |span: Span| {
                let Some(list) = numbers.next().and_then(|number| found.get_mut(number)) else {
                    return;
                };
                weight.add(&span);
                // Outlines are held beside.
                if weight.bytes > bounds.bytes_max {
                    has_room = Err(QueryFailed::TooLarge { bytes_max: bounds.bytes_max });
                } else {
                    list.push(span);
                }
            };
            match parts.blocks.get(part) {
                Some(block) => {
                    let range = |row: u32| -> Range<u64> { u64::from(row)..u64::from(row) + 1 };
                    let rows: Vec<_> =
                        of_part.iter().map(|((_, row), _)| (range(*row), None)).collect();
                    block.read_rows(&rows, bounds.stop, &mut add)?;
                }
                None => {
                    let head = parts.heads.get(part - parts.blocks.len());
                    let spans = of_part.iter().filter_map(|((_, row), _)| Some(head?.span(*row)));
                    spans.for_each(add);
                }
            }
            has_room.clone()?;
        }
        Ok(found.into_iter().map(assemble).collect())
    }
}

fn number_of(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

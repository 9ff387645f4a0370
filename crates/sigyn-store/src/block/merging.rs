//! A block as what other blocks are made of: its ids in order, and rows by their place.

use std::ops::Range;

use sigyn_model::{Span, TraceId};

use super::entry::{Entry, PAGE_ENTRIES};
use super::plan::Plan;
use super::{Block, BlockError, QueryFailed};
use crate::stop::Stop;

impl Plan {
    /// For a block that is made of these.
    pub(crate) fn of_blocks<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> Self {
        let columns = |block: &'a Block| (&block.root.tag_columns[..], block.entry.spans);
        Self::of_columns(blocks.into_iter().map(columns))
    }
}

impl Block {
    /// How many spans it has.
    pub(crate) fn rows(&self) -> u64 {
        self.root.groups.iter().map(|group| u64::from(group.rows)).sum()
    }

    /// What the ids of its traces are mixed to, in order, each with the number of the trace's entry. Nothing
    /// is left of it in the cache, where others would have to go for it.
    pub(crate) fn mixed_ids(&self) -> Result<Vec<(u32, u32)>, QueryFailed> {
        let mut ids = Vec::with_capacity(usize::try_from(self.entry.traces).unwrap_or(0));
        for page in &self.root.places.ids {
            ids.extend(self.read_ids(page).map_err(|error| self.failed(error))?);
        }
        Ok(ids)
    }

    /// Calls `each` with the entries of these numbers, which are in order.
    pub(crate) fn each_numbered(
        &self,
        numbers: &[u32],
        each: &mut impl FnMut(Entry),
    ) -> Result<(), QueryFailed> {
        let page_of = |number: u32| number as usize / PAGE_ENTRIES;
        for numbers in numbers.chunk_by(|a, b| page_of(*a) == page_of(*b)) {
            let page = self.root.places.entries.get(page_of(numbers[0]));
            let page = page.ok_or(BlockError::Schema).and_then(|page| self.read_entries(page));
            let entries = page.map_err(|error| self.failed(error))?;
            for number in numbers {
                let entry = entries.get(*number as usize % PAGE_ENTRIES);
                each(*entry.ok_or_else(|| self.failed(BlockError::Schema))?);
            }
        }
        Ok(())
    }

    /// Calls `each` with the spans of these rows, which are in order and do not overlap.
    pub(crate) fn each_row(
        &self,
        rows: &[Range<u64>],
        stop: &Stop,
        each: &mut impl FnMut(Span),
    ) -> Result<(), QueryFailed> {
        let rows: Vec<(Range<u64>, Option<TraceId>)> =
            rows.iter().map(|rows| (rows.clone(), None)).collect();
        self.read_rows(&rows, stop, each)
    }
}

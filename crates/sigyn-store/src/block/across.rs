//! Traces of which several blocks have parts, looked at as one: of their rows no more is read than is looked at.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Range;
use std::sync::Arc;

use sigyn_model::TraceId;

use super::entry::Entry;
use super::group_reader::{PageSet, RowReader};
use super::page_reader::PageReader;
use super::page_row::PageRow;
use super::{Block, BlockError, QueryFailed};
use crate::stop::Stop;

/// Looks at one trace after another. What was read of a block for one is at hand for the next.
pub(crate) struct Across<'a> {
    blocks: &'a [Arc<Block>],
    stop: &'a Stop,
    readers: BTreeMap<usize, RowReader<'a>>,
}

/// Rows of a trace in one block, and why one of them could not be read.
struct Part<'a> {
    block: &'a Block,
    number: usize,
    trace_id: TraceId,
    pages: Vec<(PageSet, Range<usize>)>,
    failed: RefCell<Option<BlockError>>,
}

impl<'a> Across<'a> {
    pub(crate) fn new(blocks: &'a [Arc<Block>], stop: &'a Stop) -> Self {
        Self { blocks, stop, readers: BTreeMap::new() }
    }

    /// Whether all rows of a trace pass together; its parts are in blocks with these numbers.
    pub(crate) fn passes(
        &mut self,
        parts: &[(usize, Entry)],
        passes: &dyn Fn(&[PageRow<'_, '_>]) -> bool,
    ) -> Result<bool, QueryFailed> {
        self.stop.check()?;
        let parts: Vec<Part<'a>> = parts
            .iter()
            .filter_map(|part| self.part(part).transpose())
            .collect::<Result<_, _>>()?;
        let count = parts.iter().flat_map(|part| &part.pages).map(|(_, rows)| rows.len()).sum();
        let _opened = self.stop.open(count * size_of::<PageRow<'_, '_>>())?;
        let mut rows = Vec::with_capacity(count);
        for Part { number, trace_id, pages, failed, .. } in &parts {
            let Some(reader) = self.readers.get(number) else { continue };
            for (set, in_page) in pages {
                let row = |row| PageRow::new(reader, set, row, Some(*trace_id), failed);
                rows.extend(in_page.clone().map(row));
            }
        }
        let is_passing = passes(&rows);
        drop(rows);
        for Part { block, pages, failed, .. } in parts {
            if let Some(error) = failed.into_inner() {
                return Err(block.failed(error));
            }
            let are_right = pages.iter().try_for_each(|(set, _)| set.check());
            are_right.map_err(|error| block.failed(error.into()))?;
        }
        Ok(is_passing)
    }

    /// Where the rows of a part are.
    fn part(&mut self, (number, entry): &(usize, Entry)) -> Result<Option<Part<'a>>, QueryFailed> {
        let Some(block) = self.blocks.get(*number) else { return Ok(None) };
        let failed = |error: BlockError| block.failed(error);
        let trace_id = entry.key.trace_id().ok_or(BlockError::Row("a trace without id"));
        let trace_id = trace_id.map_err(failed)?;
        let reader = match self.readers.entry(*number) {
            btree_map::Entry::Occupied(reader) => reader.into_mut(),
            btree_map::Entry::Vacant(place) => {
                let pages = PageReader::keeping(block, self.stop).map_err(failed)?;
                place.insert(RowReader::new(pages, &block.root.tag_columns))
            }
        };
        let places = block.pages_of(entry.first_row, entry.rows).into_iter();
        let pages =
            places.map(|(group, count, page, rows)| (reader.page_set(group, count, page), rows));
        let (pages, failed) = (pages.collect(), RefCell::new(None));
        Ok(Some(Part { block, number: *number, trace_id, pages, failed }))
    }
}

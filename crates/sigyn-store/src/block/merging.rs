//! A block as what other blocks are made of: its ids in order, and rows by their place.

use std::ops::Range;

use super::entry::{Entry, PAGE_ENTRIES};
use super::group_reader::{PageSet, Paused, RowReader};
use super::page_reader::PageReader;
use super::piece_reader::PieceBuilder;
use super::plan::Plan;
use super::schema::PAGE_ROWS;
use super::{Block, BlockError, QueryFailed};
use crate::stop::Stop;

#[cfg(test)]
pub(crate) use super::page_reader::READ;

/// Where a block is being read: its file is open, and what was read of a page serves for the next rows.
#[derive(Default)]
pub(crate) struct Bookmark {
    reader: Option<Paused>,
    set: Option<PageSet>,
}

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
        let mut ids = Vec::new();
        for page in &self.root.places.ids {
            ids.extend(self.read_ids(page).map_err(|error| self.failed(error))?);
        }
        Ok(ids)
    }

    /// Calls `each` with those of them that are in this range, and the number of each one's entry.
    pub(crate) fn mixed_within(
        &self,
        ids: &Range<u64>,
        stop: &Stop,
        each: &mut impl FnMut(u32, u32),
    ) -> Result<(), QueryFailed> {
        let pages = &self.root.places.ids;
        let first = pages.partition_point(|page| u64::from(page.first) < ids.start);
        let pages = &pages[first.saturating_sub(1)..];
        for page in pages.iter().take_while(|page| u64::from(page.first) < ids.end) {
            stop.check()?;
            let all = self.read_ids(page).map_err(|error| self.failed(error))?;
            let is_in = |(mixed, _): &&(u32, u32)| ids.contains(&u64::from(*mixed));
            all.iter().filter(is_in).for_each(|(mixed, number)| each(*mixed, *number));
        }
        Ok(())
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

    /// Adds these rows, which are in order, none of them empty, to a piece. They come the cheaper the nearer they
    /// are to those that were read last; about so many bytes are kept for those that come next.
    pub(crate) fn read_on(
        &self,
        bookmark: &mut Bookmark,
        rows: &[Range<u64>],
        kept_bytes: u64,
        out: &mut PieceBuilder,
    ) -> Result<(), QueryFailed> {
        let mut read = || -> Result<(), BlockError> {
            let reader = match bookmark.reader.take() {
                Some(paused) => RowReader::resume(self, paused),
                // What merges read counts among what blocks are made with.
                None => {
                    let pages = PageReader::new(self, &Stop::default())?;
                    RowReader::new(pages, &self.root.tag_columns)
                }
            };
            let mut kept = bookmark.set.take();
            let mut left = rows.iter().cloned();
            let mut rows = left.next().unwrap_or_default();
            while !rows.is_empty() {
                let (group, count, page, first) = self.page_of(rows.start)?;
                let set = kept.take().filter(|set| set.is_at(group, page)).unwrap_or_else(|| {
                    reader.forget();
                    reader.page_set(group, count, page)
                });
                let end = rows.end.min(first + set.len() as u64);
                let in_page = |row: u64| usize::try_from(row - first).unwrap_or(usize::MAX);
                reader.rows_into(&set, in_page(rows.start)..in_page(end), out)?;
                set.check()?;
                kept = Some(set);
                rows.start = end;
                if rows.is_empty() {
                    rows = left.next().unwrap_or_default();
                }
            }
            if kept.as_mut().is_some_and(|set| set.shrink(kept_bytes)) {
                reader.forget();
            }
            *bookmark = Bookmark { reader: Some(reader.pause()), set: kept };
            Ok(())
        };
        read().map_err(|error| self.failed(error))
    }

    /// Where a row is: its group, how many rows that has, its page, and which is the first row of that.
    fn page_of(&self, row: u64) -> Result<(usize, usize, usize, u64), BlockError> {
        let mut first = 0;
        for (number, group) in self.root.groups.iter().enumerate() {
            let count = u64::from(group.rows);
            if row < first + count {
                let page = (row - first) / PAGE_ROWS as u64;
                let first = first + page * PAGE_ROWS as u64;
                let page = usize::try_from(page).unwrap_or(usize::MAX);
                return Ok((number, group.rows as usize, page, first));
            }
            first += count;
        }
        Err(BlockError::Row("a row past the last one"))
    }
}

//! What few rows have: nothing is kept for the others.

use std::ops::Range;

use super::interner::{grow, room};

/// Which elements of a list belong to which row.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Rows that have elements, in order.
    rows: Vec<u32>,
    /// Where the elements of each of them end. Those of the next begin there.
    ends: Vec<usize>,
}

impl Lists {
    /// The next row that has elements; they end there.
    pub(super) fn put(&mut self, row: u32, end: usize) {
        grow(&mut self.rows, 1);
        grow(&mut self.ends, 1);
        self.rows.push(row);
        self.ends.push(end);
    }

    pub(super) fn of(&self, row: u32) -> Range<usize> {
        let Ok(at) = self.rows.binary_search(&row) else { return 0..0 };
        at.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[at]
    }

    /// Where the elements of the last row end.
    pub(super) fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.rows.truncate(len);
        self.ends.truncate(len);
    }

    pub(super) fn bytes(&self) -> usize {
        room(&self.rows) + room(&self.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_finds_its_own() {
        let mut lists = Lists::default();
        lists.put(3, 2);
        lists.put(7, 5);
        let all: Vec<Range<usize>> = [2, 3, 7, 8].into_iter().map(|row| lists.of(row)).collect();
        assert_eq!(all, [0..0, 0..2, 2..5, 0..0]);
        lists.truncate(1);
        assert_eq!((lists.of(3), lists.of(7)), (0..2, 0..0));
    }
}

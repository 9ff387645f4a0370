//! Rows of a page that are looked at together: of columns that decide what is asked all values are read at once.

use std::cell::RefCell;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use sigyn_model::TraceId;

use super::BlockError;
use super::group_reader::{PageSet, RowReader};
use super::page_row::PageRow;
use super::scan::Deciding;
use super::schema::place;

/// Some rows of a page, in order.
pub(crate) struct PageRows<'r, 'a> {
    reader: &'r RowReader<'a>,
    set: &'r PageSet,
    rows: &'r [usize],
    failed: &'r RefCell<Option<BlockError>>,
}

/// Which rows are alike in some columns.
pub(crate) struct Kinds {
    /// Of each row; none for one that can only be looked at by itself.
    pub(crate) of_rows: Vec<Option<u32>>,
    /// A row of each kind, by its place among the rows.
    pub(crate) examples: Vec<usize>,
}

/// When a span starts, and how long it takes if that is known.
pub(crate) type Times = (u64, Option<u64>);

impl<'r, 'a> PageRows<'r, 'a> {
    pub(super) fn new(
        reader: &'r RowReader<'a>,
        set: &'r PageSet,
        rows: &'r [usize],
        failed: &'r RefCell<Option<BlockError>>,
    ) -> Self {
        Self { reader, set, rows, failed }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// One of the rows.
    pub(crate) fn row(&self, at: usize) -> PageRow<'r, 'a> {
        PageRow::new(self.reader, self.set, self.rows[at], None, self.failed)
    }

    pub(crate) fn trace_id(&self, at: usize) -> Option<TraceId> {
        self.row(at).id_of_trace()
    }

    /// Calls `each` with all rows, by their places among the rows, and their times in nanoseconds. Nothing is
    /// said of what cannot be read, which whoever reads the page tells.
    pub(crate) fn each_times(&self, each: &mut impl FnMut(usize, Times)) {
        let mut read = || -> Result<(), BlockError> {
            let Self { reader, set, rows, .. } = *self;
            let Some(starts) = reader.column(set, place::START)? else { return Ok(()) };
            let starts = starts.all_words64(set.len())?;
            let durations = reader.column(set, place::DURATION)?;
            let durations = durations.map(|page| page.all_words64(set.len())).transpose()?;
            for (at, row) in rows.iter().enumerate() {
                let Some(start) = starts.get(*row) else { continue };
                each(at, (start, durations.as_ref().and_then(|durations| durations.get(*row))));
            }
            Ok(())
        };
        self.or_fail(read());
    }

    /// Which of the rows are alike in these columns.
    pub(crate) fn kinds(&self, columns: &Deciding) -> Option<Kinds> {
        let len = self.rows.len();
        let mut kinds = Kinds { of_rows: vec![Some(0); len], examples: vec![0] };
        for column in columns.columns()? {
            let numbers = self.numbers(*column);
            kinds.split(&numbers);
        }
        if columns.has_order() && self.has_any(place::TAGS_REST) {
            let mut order = self.numbers(place::TAG_SHAPE);
            for (at, number) in order.iter_mut().enumerate() {
                if !self.row(at).has(place::TAGS_REST) {
                    *number = Some(0);
                }
            }
            kinds.split(&order);
        }
        Some(kinds)
    }

    fn has_any(&self, column: usize) -> bool {
        self.or_fail(self.reader.column(self.set, column)).is_some()
    }

    /// Nothing if no row has a value.
    fn numbers(&self, column: usize) -> Vec<Option<u32>> {
        let read = || -> Result<_, BlockError> {
            let page = self.reader.column(self.set, column)?;
            let numbers = page.map(|page| page.numbers(self.set.len(), self.rows));
            Ok(numbers.transpose()?.unwrap_or_default())
        };
        self.or_fail(read())
    }

    fn or_fail<T: Default>(&self, read: Result<T, BlockError>) -> T {
        read.unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            T::default()
        })
    }
}

impl Kinds {
    /// Tells rows apart by these numbers, too, if there are any.
    fn split(&mut self, numbers: &[Option<u32>]) {
        if numbers.windows(2).all(|pair| pair[0] == pair[1] && pair[0].is_some()) {
            return;
        }
        let mut places: HashMap<(u32, u32), u32, RandomState> = HashMap::default();
        let mut examples = Vec::new();
        let mut last = ((u32::MAX, u32::MAX), 0);
        for (at, (kind, number)) in self.of_rows.iter_mut().zip(numbers).enumerate() {
            let Some(pair) = kind.zip(*number) else {
                *kind = None;
                continue;
            };
            if last.0 != pair {
                let place = *places.entry(pair).or_insert_with(|| {
                    examples.push(at);
                    // No page has so many rows.
                    u32::try_from(examples.len() - 1).unwrap_or(u32::MAX)
                });
                last = (pair, place);
            }
            *kind = Some(last.1);
        }
        self.examples = examples;
    }
}

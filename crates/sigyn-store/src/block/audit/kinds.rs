//! Rows that say the same but for ids, times and the values of tags: one of them is read whole for all.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use sigyn_model::Span;

use super::values::Slot;
use crate::block::page_row::PageRow;
use crate::block::schema::place;

/// So many are told apart at a time.
const KINDS_MAX: usize = if cfg!(test) { 8 } else { 4 * 1_024 };

/// Whoever says the same in these is of the same kind, unless it has any of those that follow.
const COLUMNS: [usize; 15] = [
    place::KIND,
    place::NAME,
    place::LOCAL,
    place::LOCAL + 1,
    place::LOCAL + 2,
    place::REMOTE,
    place::STATUS,
    place::STATUS_MESSAGE,
    place::TRACE_STATE,
    place::RESOURCE,
    place::SCOPE,
    place::TARGET,
    place::TAG_SHAPE,
    place::DEBUG,
    place::FLAGS,
];
const RARE: [usize; 3] = [place::LINKS, place::TAGS_REST, place::EXT];

/// What is known of rows of one kind.
pub(super) struct Kind {
    /// What decides of calls, but for ids and times.
    pub(super) bare: Span,
    pub(super) words: Vec<u32>,
    /// Of spans that count; none where these are not counted.
    pub(super) sort: Option<usize>,
    pub(super) is_error: bool,
    /// Where the values are that are not those of its own tags.
    pub(super) slots: Vec<Slot>,
}

/// Kinds of rows of one group.
#[derive(Default)]
pub(super) struct Kinds {
    by_numbers: HashMap<Box<[u32]>, usize, RandomState>,
    all: Vec<Kind>,
    numbers: Vec<u32>,
}

impl Kinds {
    /// Numbers mean something else from here on.
    pub(super) fn forget(&mut self) {
        self.by_numbers.clear();
        self.all.clear();
    }

    /// Which kind a row is of, if one was known before; no number if there can be none.
    pub(super) fn find(&mut self, row: &PageRow<'_, '_>) -> Option<Option<usize>> {
        if RARE.iter().any(|column| row.has(*column)) || row.has_annotations() {
            return None;
        }
        self.numbers.clear();
        self.numbers.push(u32::from(row.has(place::START)));
        for column in COLUMNS {
            self.numbers.push(row.number(column)?);
        }
        Some(self.by_numbers.get(&self.numbers[..]).copied())
    }

    /// Adds the kind of the row that was looked for last.
    pub(super) fn add(&mut self, kind: Kind) {
        if self.all.len() >= KINDS_MAX {
            self.forget();
        }
        self.by_numbers.insert(self.numbers[..].into(), self.all.len());
        self.all.push(kind);
    }

    pub(super) fn get(&self, at: usize) -> &Kind {
        &self.all[at]
    }
}

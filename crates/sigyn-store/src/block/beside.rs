//! What is collected beside the columns while a block is written, row by row.

use super::errors::Errors;
use super::group_writer::Row;
use super::index::IndexBuilder;
use super::links::{self, LinkBuilder};
use super::rollup::{self, RollupBuilder};
use super::root::{Extra, Root};
use super::section::Section;
use super::tag_builder::TagSummaryBuilder;
use super::value_builder::ValueBuilder;
use super::values;
use crate::facts::TraceKey;

/// Everyone who collects something. Each has numbers of its own, and forgets with every source what that
/// one's numbers are: so many small sources make the same block as a large one.
#[derive(Default)]
pub(super) struct Beside {
    index: IndexBuilder,
    tags: TagSummaryBuilder,
    errors: Errors,
    rollup: RollupBuilder,
    values: ValueBuilder,
    links: LinkBuilder,
}

impl Beside {
    /// Rows are those of another source from here on. A trace may go on in it.
    pub(super) fn begin_source(&mut self) {
        self.index.begin_source();
        self.tags.begin_source();
        self.errors.begin_source();
        self.rollup.begin_source();
        self.values.begin_source();
        self.links.begin_source();
    }

    /// Reads what rows with these tags will need: see [`TagColumns::look_ahead`].
    ///
    /// [`TagColumns::look_ahead`]: super::tag_columns::TagColumns::look_ahead
    pub(super) fn look_ahead(&self, tags: &[u32]) -> u64 {
        self.values.look_ahead(tags)
    }

    /// The next row of the block.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        self.index.row(row);
        self.tags.row(row);
        self.values.row(row);
        // An index takes more for an error than is one.
        let is_error = row.says_error && self.errors.has(row.source, row.span, row.tags);
        self.rollup.row(row, is_error);
        self.links.row(row, is_error);
    }

    /// What is collected and could be less, about.
    pub(super) fn bytes(&self) -> usize {
        self.tags.bytes() + self.rollup.bytes() + self.values.bytes() + self.links.bytes()
    }

    /// Collects less of what takes most. Between two sources; returns whether that helps.
    pub(super) fn make_room(&mut self) -> bool {
        let [tags, rollup, values, links] =
            [self.tags.bytes(), self.rollup.bytes(), self.values.bytes(), self.links.bytes()];
        let most = tags.max(rollup).max(values).max(links);
        if (tags == most && self.tags.make_room()) || (values == most && self.values.make_room()) {
            return true;
        }
        match rollup.max(links) {
            0 => return self.values.make_room(),
            most if most == rollup => self.rollup.make_room(),
            _ => self.links.give_up(),
        }
        true
    }

    /// The next row is in another row group.
    pub(super) fn end_group(&mut self) {
        self.values.end_group();
    }

    /// All rows since the last trace ended were of this one.
    pub(super) fn end_trace(&mut self, key: TraceKey) {
        self.index.end_trace(key);
        self.values.end_trace();
        self.links.end_trace(key);
    }

    /// The earliest and the latest timestamp.
    pub(super) fn starts_ns(&self) -> Option<(u64, u64)> {
        self.index.starts_ns()
    }

    /// Hands all sections to `put`, one after the other, and tells the root where they are.
    pub(super) fn finish<E>(
        mut self,
        root: &mut Root,
        mut put: impl FnMut(&[u8]) -> Result<Section, E>,
    ) -> Result<(), E> {
        root.tags = put(&self.tags.finish())?;
        let (places, entries) = self.index.finish(&mut put)?;
        root.places = places;
        let extras = [(rollup::KIND, self.rollup.encode()), (links::KIND, self.links.encode())];
        for (kind, raw) in extras {
            if let Some(raw) = raw {
                root.extras.push(Extra { kind, section: put(&raw)? });
            }
        }
        let section = self.values.finish(&entries, put)?;
        root.extras.push(Extra { kind: values::KIND, section });
        Ok(())
    }
}

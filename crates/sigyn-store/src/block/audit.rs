//! Whether what a block tells beside its rows is what its rows say: times and words of traces, how they are found,
//! names, lists, rates, calls, and where values are.
//!
//! Rows are gone through once, by their columns; of those that are alike one is read as a whole span. Everything is
//! counted anew from these, naively: not by what collected it when the block was made, which would make the same
//! mistake again. Held meanwhile is what the block tells, and as much again.

mod calls;
mod index;
mod kinds;
mod lists;
mod rates;
#[cfg(test)]
mod tests;
mod traces;
mod values;

use std::cell::RefCell;
use std::sync::Arc;

use sigyn_model::{Span, TraceId};

use super::group_reader::RowReader;
use super::page_reader::PageReader;
use super::page_row::PageRow;
use super::schema::{PAGE_ROWS, place};
use super::{Block, BlockError, QueryFailed};
use crate::stop::Stop;
use calls::Calls;
use kinds::{Kind, Kinds};
use lists::Lists;
use rates::Rates;
use traces::Traces;
use values::{Slot, Values};

/// Where rows and what is told of them do not go together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    #[error(transparent)]
    Read(#[from] QueryFailed),
    #[error("{0}")]
    Wrong(String),
}

/// What is wrong, in a sentence that goes on from "it".
type Checked = Result<(), String>;

/// A row, and where it stands.
#[derive(Debug)]
struct Place {
    /// Of its trace.
    entry: u32,
    /// Of all pages of rows.
    page: usize,
}

/// All that is told, and what of it was met so far.
struct Audit<'a> {
    block: &'a Block,
    traces: Traces,
    rates: Option<Rates<'a>>,
    calls: Option<Calls>,
    values: Values,
    lists: Lists,
    kinds: Kinds,
    /// By column of tags, and number of its value, where that is told.
    tags: Vec<Vec<Option<Slot>>>,
}

impl Block {
    /// Compares all that is told of rows with these; errors with what is not so.
    pub(crate) fn audit(&self) -> Result<(), AuditError> {
        let failed = |error: BlockError| self.failed(error);
        let entries = Arc::new(self.audited_entries()?);
        let rollup = self.rollup().map_err(failed)?;
        let mut audit = Audit {
            block: self,
            traces: Traces::of(self, entries).map_err(failed)?,
            rates: rollup.as_ref().map(Rates::of),
            calls: self.links()?.map(Calls::of),
            values: Values::of(self).map_err(failed)?,
            lists: Lists::of(self)?,
            kinds: Kinds::default(),
            tags: vec![Vec::new(); self.root.tag_columns.len()],
        };
        let reader = PageReader::new(self, &Stop::default()).map_err(failed)?;
        let reader = RowReader::new(reader, &self.root.tag_columns);
        for (number, group) in self.root.groups.iter().enumerate() {
            audit.kinds.forget();
            audit.tags.iter_mut().for_each(Vec::clear);
            let count = group.rows as usize;
            for page in 0..count.div_ceil(PAGE_ROWS) {
                let set = reader.page_set(number, count, page);
                let error = RefCell::new(None);
                for row in 0..set.len() {
                    audit.row(&PageRow::new(&reader, &set, row, None, &error))?;
                    if let Some(error) = error.take() {
                        return Err(failed(error).into());
                    }
                }
                set.check().map_err(|error| failed(error.into()))?;
            }
        }
        audit.end().map_err(AuditError::Wrong)
    }
}

impl Audit<'_> {
    fn row(&mut self, row: &PageRow<'_, '_>) -> Result<(), AuditError> {
        // Else it could not be read, which is told.
        let Some(trace_id) = row.id_of_trace() else { return Ok(()) };
        let (place, is_first) = self.traces.next(trace_id.into()).map_err(AuditError::Wrong)?;
        if is_first {
            self.calls.iter_mut().for_each(Calls::end_trace);
        }
        let found = self.kinds.find(row);
        if let Some(Some(at)) = found
            && self.meet(at, row, &place).map_err(AuditError::Wrong)?
        {
            row.look_at_rest();
            self.count(trace_id, None, at, row);
            return Ok(());
        }
        let span = row.span().map_err(|error| self.block.failed(error))?;
        let kind = self.whole(&span, &place).map_err(AuditError::Wrong)?;
        self.count(trace_id, Some(&kind), 0, row);
        if found == Some(None) {
            self.kinds.add(kind);
        }
        Ok(())
    }

    /// Looks at a row by itself.
    fn whole(&mut self, span: &Span, place: &Place) -> Result<Kind, String> {
        self.values.row(span, place)?;
        self.lists.row(span)?;
        let counts = span.timestamp.and(self.rates.as_ref());
        Ok(Kind {
            bare: Calls::bare(span),
            words: self.traces.words_of(span)?,
            sort: counts.map(|rates| rates.sort_of(span)).transpose()?,
            is_error: span.is_error(),
            slots: self.values.shared_slots(span)?,
        })
    }

    /// Looks at the values of a row whose kind is known; whether all of them are where they should be.
    fn meet(&mut self, kind: usize, row: &PageRow<'_, '_>, place: &Place) -> Result<bool, String> {
        let kind = self.kinds.get(kind);
        let values = &mut self.values;
        if !kind.slots.iter().all(|slot| values.meet(*slot, place).is_ok()) {
            return Ok(false);
        }
        for (at, column) in self.block.root.tag_columns.iter().enumerate() {
            let number = row.number(place::TAGS + at);
            let known = number.and_then(|number| *self.tags[at].get(number as usize)?);
            let slot = match (number, known) {
                (Some(0), _) => continue,
                (_, Some(slot)) => slot,
                _ => {
                    let Some(value) = row.tag_at(at) else { continue };
                    self.lists.tag(&column.key, &value.text())?;
                    let slot = values.slot_of_tag(&column.key, &value)?;
                    if let Some(number) = number.map(|number| number as usize) {
                        let slots = &mut self.tags[at];
                        slots.resize(slots.len().max(number + 1), None);
                        slots[number] = Some(slot);
                    }
                    slot
                }
            };
            if values.meet(slot, place).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counts a row of this kind, or of the one with this number.
    fn count(&mut self, trace_id: TraceId, kind: Option<&Kind>, at: usize, row: &PageRow<'_, '_>) {
        let kind = kind.unwrap_or_else(|| self.kinds.get(at));
        self.traces.row(&kind.words, row);
        if let (Some(rates), Some(sort)) = (&mut self.rates, kind.sort) {
            rates.row(sort, kind, row);
        }
        if let Some(calls) = &mut self.calls {
            calls.row(trace_id, kind, row);
        }
    }

    fn end(self) -> Checked {
        self.traces.end(self.block)?;
        self.rates.map_or(Ok(()), Rates::end)?;
        self.values.end()?;
        self.lists.end()?;
        self.calls.map_or(Ok(()), Calls::end)
    }
}

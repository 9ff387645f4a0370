//! Whether what a block tells beside its rows is what its rows say: names, lists, rates, calls, and where values are.
//!
//! Rows are gone through once, as whole spans, and everything is counted anew from these, naively: not by what
//! collected it when the block was made, which would make the same mistake again. Held meanwhile is what the
//! block tells, and as much again.

mod calls;
mod lists;
mod rates;
#[cfg(test)]
mod tests;
mod values;

use sigyn_model::Span;

use super::schema::PAGE_ROWS;
use super::{Block, BlockError, QueryFailed};
use crate::stop::Stop;
use calls::Calls;
use lists::Lists;
use rates::Rates;
use values::Values;

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

impl Block {
    /// Calls `each` with every span, and compares all that is told of them.
    pub(crate) fn audit(&self, each: &mut impl FnMut(&Span)) -> Result<(), AuditError> {
        let rollup = self.rollup().map_err(|error| self.failed(error))?;
        let mut rates = rollup.as_ref().map(Rates::of);
        let mut calls = self.links()?.map(Calls::of);
        let mut values = Values::of(self).map_err(|error| self.failed(error))?;
        let mut lists = Lists::of(self)?;
        let mut rows = Traced::of(self).map_err(|error| self.failed(error))?;
        let mut checked: Checked = Ok(());
        self.read_all(&Stop::default(), &mut |span| {
            each(&span);
            if checked.is_err() {
                return;
            }
            checked = (|| {
                let (place, is_first) = rows.next(&span)?;
                if is_first {
                    calls.iter_mut().for_each(Calls::end_trace);
                }
                rates.iter_mut().try_for_each(|rates| rates.row(&span))?;
                values.row(&span, &place)?;
                lists.row(&span)?;
                calls.iter_mut().for_each(|calls| calls.row(&span));
                Ok(())
            })();
        })?;
        let end = || {
            checked?;
            rates.map_or(Ok(()), Rates::end)?;
            values.end()?;
            lists.end()?;
            calls.map_or(Ok(()), Calls::end)
        };
        end().map_err(AuditError::Wrong)
    }
}

/// Rows one after the other, each with its place.
struct Traced {
    /// First rows of traces, with their ids and the numbers of their entries, in order.
    traces: Vec<(u32, crate::facts::TraceKey, u32)>,
    /// How many of them have begun.
    begun: usize,
    /// Rows of each group.
    groups: Vec<u32>,
    group: usize,
    /// In the group, and before it.
    row_in_group: u32,
    pages_before: usize,
    row: u32,
}

impl Traced {
    fn of(block: &Block) -> Result<Self, BlockError> {
        let mut traces = Vec::new();
        for page in &block.root.places.entries {
            for entry in block.read_entries(page)? {
                let number = u32::try_from(traces.len()).unwrap_or(u32::MAX);
                traces.push((entry.first_row, entry.key, number));
            }
        }
        traces.sort_unstable_by_key(|(first_row, _, _)| *first_row);
        let groups = block.root.groups.iter().map(|group| group.rows).collect();
        let (begun, group, row_in_group, pages_before, row) = (0, 0, 0, 0, 0);
        Ok(Self { traces, begun, groups, group, row_in_group, pages_before, row })
    }

    /// Where the next row is, and whether it is the first one of its trace.
    fn next(&mut self, span: &Span) -> Result<(Place, bool), String> {
        let next = self.traces.get(self.begun);
        let is_first = next.is_some_and(|(first_row, _, _)| *first_row == self.row);
        self.begun += usize::from(is_first);
        let trace = self.begun.checked_sub(1).and_then(|at| self.traces.get(at));
        let of_span = trace.filter(|(_, key, _)| *key == span.trace_id.into());
        let Some((_, _, entry)) = of_span else {
            return Err(format!("row {} is of another trace than its index says", self.row));
        };
        while self.groups.get(self.group).is_some_and(|rows| self.row_in_group >= *rows) {
            self.pages_before += (self.groups[self.group] as usize).div_ceil(PAGE_ROWS);
            (self.group, self.row_in_group) = (self.group + 1, 0);
        }
        let page = self.pages_before + self.row_in_group as usize / PAGE_ROWS;
        (self.row, self.row_in_group) = (self.row + 1, self.row_in_group + 1);
        Ok((Place { entry: *entry, page }, is_first))
    }
}

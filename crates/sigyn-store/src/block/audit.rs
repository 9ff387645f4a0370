//! Whether what a block tells beside its rows is what its rows say: times and words of traces, how they are found,
//! names, lists, rates, calls, and where values are.
//!
//! Rows are gone through once, as whole spans, and everything is counted anew from these, naively: not by what
//! collected it when the block was made, which would make the same mistake again. Held meanwhile is what the
//! block tells, and as much again.

mod calls;
mod index;
mod lists;
mod rates;
#[cfg(test)]
mod tests;
mod traces;
mod values;

use std::sync::Arc;

use super::{Block, BlockError, QueryFailed};
use crate::stop::Stop;
use calls::Calls;
use lists::Lists;
use rates::Rates;
use traces::Traces;
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
    /// Compares all that is told of rows with these; errors with what is not so.
    pub(crate) fn audit(&self) -> Result<(), AuditError> {
        let failed = |error: BlockError| self.failed(error);
        let entries = Arc::new(self.audited_entries()?);
        let mut traces = Traces::of(self, entries).map_err(failed)?;
        let rollup = self.rollup().map_err(failed)?;
        let mut rates = rollup.as_ref().map(Rates::of);
        let mut calls = self.links()?.map(Calls::of);
        let mut values = Values::of(self).map_err(failed)?;
        let mut lists = Lists::of(self)?;
        let mut checked: Checked = Ok(());
        self.read_all(&Stop::default(), &mut |span| {
            if checked.is_err() {
                return;
            }
            checked = (|| {
                let (place, is_first) = traces.row(&span)?;
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
            traces.end(self)?;
            rates.map_or(Ok(()), Rates::end)?;
            values.end()?;
            lists.end()?;
            calls.map_or(Ok(()), Calls::end)
        };
        end().map_err(AuditError::Wrong)
    }
}

//! Rates, errors and durations.

use std::collections::{BTreeMap, HashMap};

use sigyn_model::{Measure, Searched, Span};

use super::{Checked, kinds::Kind};
use crate::block::rollup::{Cells, Rollup, Sort, Status, minute_of};

pub(super) struct Rates<'a> {
    rollup: &'a Rollup,
    sorts: BTreeMap<Sort<'a>, usize>,
    /// Of each sort, by minute.
    counted: Vec<HashMap<u32, Measure>>,
}

impl<'a> Rates<'a> {
    pub(super) fn of(rollup: &'a Rollup) -> Self {
        let sorts: BTreeMap<Sort<'a>, usize> =
            rollup.sorts().enumerate().map(|(number, sort)| (sort, number)).collect();
        let counted = rollup.sorts().map(|_| HashMap::new()).collect();
        Self { rollup, sorts, counted }
    }

    /// The sort of a span that counts, by its number.
    pub(super) fn sort_of(&self, span: &Span) -> Result<usize, String> {
        let sort = Sort {
            service: span.service_name().unwrap_or(""),
            name: if self.rollup.has_names { &span.name } else { "" },
            kind: span.kind,
            status: Status::of(span.status.code, span.is_error()),
        };
        number_of(&self.sorts, &sort)
            .ok_or_else(|| format!("its rates have no span like {sort:?}, and its rows have one"))
    }

    pub(super) fn row(&mut self, sort: usize, kind: &Kind, row: &impl Searched) {
        let Some(start) = row.timestamp() else { return };
        let nanos = row.duration().map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        let of_minute = self.counted[sort].entry(minute_of(start)).or_default();
        of_minute.add_one(kind.is_error, nanos);
    }

    pub(super) fn end(mut self) -> Checked {
        for (sort, number) in &self.sorts {
            let mut cells = Cells::default();
            let read = self.rollup.read(*number, &(0..=u32::MAX), &mut cells);
            read.map_err(|error| format!("its rates cannot be: {error}"))?;
            let counted = &mut self.counted[*number];
            for cell in &cells.cells {
                let expected = counted.remove(&cell.minute).unwrap_or_default();
                let durations = &expected.durations;
                let are_right = cell.spans == expected.spans
                    && cells.buckets[cell.buckets.clone()] == *durations.counts()
                    && cell.sum == durations.sum()
                    && cell.min == durations.min().unwrap_or(0)
                    && cell.max == durations.max().unwrap_or(0);
                if !are_right {
                    return Err(format!(
                        "its rates of spans like {sort:?} in minute {} since 1970 are not those of its rows",
                        cell.minute
                    ));
                }
            }
            if let Some(minute) = counted.keys().min() {
                return Err(format!(
                    "its rates have no span like {sort:?} in minute {minute} since 1970, and its rows have one"
                ));
            }
        }
        Ok(())
    }
}

/// A map may be asked with what lives shorter than its keys.
fn number_of<'a>(sorts: &BTreeMap<Sort<'a>, usize>, sort: &Sort<'a>) -> Option<usize> {
    sorts.get(sort).copied()
}

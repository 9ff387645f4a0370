//! Of the rows of a head no more than decides about links.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use sigyn_model::Searched;

use super::row::Row;
use crate::alike::{Asked, ByNumbers, Stored};
use crate::spots::{Named, Spot, Timed};

/// What is known of rows of a head by their numbers.
pub(crate) struct LinkedRows {
    /// Endpoint and service.
    endpoints: HashMap<u32, (u32, u32), RandomState>,
    are_errors: ByNumbers<bool>,
    errors_by: Asked,
    numbers: Vec<u32>,
}

impl LinkedRows {
    pub(crate) fn new() -> Self {
        let (endpoints, are_errors) = (HashMap::default(), ByNumbers::default());
        Self { endpoints, are_errors, errors_by: Asked::errors(), numbers: Vec::new() }
    }

    /// What decides about links, of a row of the head that all rows are of.
    pub(crate) fn timed(&mut self, row: &Row<'_>, named: &mut Named) -> Timed {
        let mut look = |number: u32| {
            *self.endpoints.entry(number).or_insert_with(|| {
                named.numbers(row.endpoint(number).map(|endpoint| endpoint.to_owned()))
            })
        };
        let [(endpoint, service), (_, remote)] = row.endpoint_numbers().map(&mut look);
        if self.are_errors.is_full() {
            self.are_errors.drain();
        }
        self.numbers.clear();
        let is_told = row.numbers(&self.errors_by, &mut self.numbers);
        let is_error = match is_told {
            true => *self.are_errors.get_or_insert_with(&self.numbers, || (row.is_error(), 0)),
            false => row.is_error(),
        };
        let spot = Spot {
            id: row.id().as_u64(),
            parent: row.parent_id().map(|id| id.as_u64()),
            kind: row.kind(),
            is_shared: row.shared(),
            is_error,
            endpoint,
            service,
            remote,
        };
        Timed { spot, at: row.timestamp() }
    }
}

//! Of the rows of traces no more than decides about links.

use std::cell::RefCell;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use sigyn_model::Searched;

use super::entry::Entry;
use super::group_reader::{PageSet, RowReader};
use super::page_reader::PageReader;
use super::page_row::PageRow;
use super::scan::Deciding;
use super::schema::place;
use super::{Block, BlockError, QueryFailed};
use crate::alike::{Asked, ByNumbers, Stored};
use crate::spots::{Named, Spot, Timed};
use crate::stop::Stop;

/// What is known of rows by the numbers of their columns, which hold within a row group.
struct Known {
    group: Option<usize>,
    /// Endpoint and service, by the numbers of the columns.
    locals: HashMap<[u32; 3], (u32, u32), RandomState>,
    services: HashMap<u32, u32, RandomState>,
    are_errors: ByNumbers<bool>,
    errors_by: Deciding,
    numbers: Vec<u32>,
}

impl Block {
    /// Calls `each` with the numbers of these traces, given in the order of their rows, and what decides of
    /// each of their spans.
    pub(crate) fn spots(
        &self,
        traces: &[Entry],
        named: &mut Named,
        stop: &Stop,
        each: &mut dyn FnMut(usize, Timed, &Named) -> Result<(), QueryFailed>,
    ) -> Result<(), QueryFailed> {
        let failed = |error: BlockError| self.failed(error);
        let reader = PageReader::new(self, stop).map_err(failed)?;
        let reader = RowReader::new(reader, &self.root.tag_columns);
        let mut known = Known {
            group: None,
            locals: HashMap::default(),
            services: HashMap::default(),
            are_errors: ByNumbers::default(),
            errors_by: self.deciding(&Asked::errors()),
            numbers: Vec::new(),
        };
        let mut last: Option<PageSet> = None;
        for (number, trace) in traces.iter().enumerate() {
            stop.check()?;
            for (group, count, page, rows) in self.pages_of(trace.first_row, trace.rows) {
                let set = match last.take().filter(|set| set.is_at(group, page)) {
                    Some(set) => set,
                    None => reader.page_set(group, count, page),
                };
                known.begin(group);
                let error = RefCell::new(None);
                for row in rows {
                    let row = PageRow::new(&reader, &set, row, trace.key.trace_id(), &error);
                    if let Some(spot) = known.spot(&row, named) {
                        each(number, Timed { spot, at: row.timestamp() }, named)?;
                    }
                }
                if let Some(error) = error.into_inner() {
                    return Err(failed(error));
                }
                set.check().map_err(|error| failed(error.into()))?;
                last = Some(set);
            }
        }
        Ok(())
    }
}

impl Known {
    fn begin(&mut self, group: usize) {
        if self.group != Some(group) {
            self.group = Some(group);
            self.locals.clear();
            self.services.clear();
            self.are_errors.drain();
        }
    }

    /// `None` if it cannot be read, which whoever reads then tells.
    fn spot(&mut self, row: &PageRow<'_, '_>, named: &mut Named) -> Option<Spot> {
        let (endpoint, service) = self.local(row, named);
        Some(Spot {
            id: row.id()?,
            parent: row.parent(),
            kind: row.kind(),
            is_shared: row.shared(),
            is_error: self.is_error(row),
            endpoint,
            service,
            remote: self.remote(row, named),
        })
    }

    fn local(&mut self, row: &PageRow<'_, '_>, named: &mut Named) -> (u32, u32) {
        let columns = [place::LOCAL, place::LOCAL + 1, place::LOCAL + 2];
        let numbers = columns.map(|column| row.number(column));
        let ([Some(service), Some(address), Some(port)], false) = (numbers, row.has_more()) else {
            return named.numbers(row.local_endpoint());
        };
        let known = self.locals.entry([service, address, port]);
        *known.or_insert_with(|| named.numbers(row.local_endpoint()))
    }

    fn remote(&mut self, row: &PageRow<'_, '_>, named: &mut Named) -> u32 {
        let mut look = || row.remote_service_name().map_or(0, |name| named.service(name));
        match row.number(place::REMOTE) {
            Some(number) => *self.services.entry(number).or_insert_with(look),
            None => look(),
        }
    }

    fn is_error(&mut self, row: &PageRow<'_, '_>) -> bool {
        if self.are_errors.is_full() {
            self.are_errors.drain();
        }
        self.numbers.clear();
        if !row.numbers(&self.errors_by, &mut self.numbers) {
            return row.is_error();
        }
        *self.are_errors.get_or_insert_with(&self.numbers, || (row.is_error(), 0))
    }
}

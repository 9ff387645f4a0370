//! Outlines of rows of a block: of their columns those are read that a line of a waterfall needs.

use std::cell::RefCell;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use sigyn_model::{Outline, Outlines, Searched, SpanId};

use super::entry::Entry;
use super::group_reader::RowReader;
use super::page_reader::PageReader;
use super::page_row::PageRow;
use super::scan::Deciding;
use super::schema::{PAGE_ROWS, place};
use super::{Block, BlockError, QueryFailed};
use crate::alike::{Asked, ByNumbers, Stored};
use crate::outlined::TICKS_MAX;
use crate::stop::Stop;

/// What is known of rows by the numbers of their columns, which hold within a row group.
struct Known {
    group: usize,
    names: HashMap<u32, u32, RandomState>,
    locals: HashMap<[u32; 3], u32, RandomState>,
    remotes: HashMap<u32, u32, RandomState>,
    targets: HashMap<u32, u32, RandomState>,
    are_errors: ByNumbers<bool>,
    numbers: Vec<u32>,
}

/// Is called with each row, and with nothing at the end of each page.
type EachRow<'e> = dyn FnMut(Option<u32>, &Outlines) -> Result<(), QueryFailed> + 'e;

impl Block {
    /// Adds outlines of these traces, given in the order of their rows.
    pub(crate) fn outline(
        &self,
        traces: &[Entry],
        stop: &Stop,
        out: &mut Outlines,
        each: &mut EachRow<'_>,
    ) -> Result<(), QueryFailed> {
        let failed = |error: BlockError| self.failed(error);
        let reader = PageReader::new(self, stop).map_err(failed)?;
        let reader = RowReader::new(reader, &self.root.tag_columns);
        let errors_by = self.deciding(&Asked::errors());
        let begins: Vec<usize> = self
            .root
            .groups
            .iter()
            .scan(0, |first, group| Some(std::mem::replace(first, *first + group.rows as usize)))
            .collect();
        let mut known = Known::new(0);
        for trace in traces {
            for (group, count, page, rows) in self.pages_of(trace.first_row, trace.rows) {
                stop.check()?;
                if known.group != group {
                    known = Known::new(group);
                }
                let set = reader.page_set(group, count, page);
                let begin = begins[group] + page * PAGE_ROWS;
                let error = RefCell::new(None);
                for row in rows {
                    let page_row = PageRow::new(&reader, &set, row, trace.key.trace_id(), &error);
                    known.add(&page_row, &errors_by, out);
                    each(Some(u32::try_from(begin + row).unwrap_or(u32::MAX)), out)?;
                }
                if let Some(error) = error.into_inner() {
                    return Err(failed(error));
                }
                set.check().map_err(|error| failed(error.into()))?;
                each(None, out)?;
            }
        }
        Ok(())
    }
}

impl Known {
    fn new(group: usize) -> Self {
        Self {
            group,
            names: HashMap::default(),
            locals: HashMap::default(),
            remotes: HashMap::default(),
            targets: HashMap::default(),
            are_errors: ByNumbers::default(),
            numbers: Vec::new(),
        }
    }

    /// What cannot be read whoever reads tells.
    fn add(&mut self, row: &PageRow<'_, '_>, errors_by: &Deciding, out: &mut Outlines) {
        let outline = Outline {
            id: SpanId::from_raw(row.id().unwrap_or(0)),
            parent_id: row.parent().map(SpanId::from_raw),
            timestamp: row.timestamp(),
            duration: row.duration(),
            kind: row.kind(),
            shared: row.shared(),
            debug: row.debug(),
            is_error: self.is_error(row, errors_by),
            trace: Stored::trace_id(row).map_or(0, |id| out.trace(id)),
            name: by_number(&mut self.names, row.number(place::NAME), || out.name(row.name())),
            local: self.local(row, out),
            remote: by_number(&mut self.remotes, row.number(place::REMOTE), || {
                out.name(row.remote_service_name().unwrap_or(""))
            }),
            target: by_number(&mut self.targets, row.number(place::TARGET), || {
                out.target(row.shared_target().as_ref())
            }),
        };
        row.each_annotation_time(&mut |at| {
            if out.ticks().len() < TICKS_MAX {
                out.tick(at);
            }
        });
        out.push(&outline);
    }

    fn local(&mut self, row: &PageRow<'_, '_>, out: &mut Outlines) -> u32 {
        let columns = [place::LOCAL, place::LOCAL + 1, place::LOCAL + 2];
        let numbers = columns.map(|column| row.number(column));
        let ([Some(service), Some(address), Some(port)], false) = (numbers, row.has_more()) else {
            return out.endpoint(row.local_endpoint());
        };
        let known = self.locals.entry([service, address, port]);
        *known.or_insert_with(|| out.endpoint(row.local_endpoint()))
    }

    fn is_error(&mut self, row: &PageRow<'_, '_>, errors_by: &Deciding) -> bool {
        let Self { are_errors, numbers, .. } = self;
        if are_errors.is_full() {
            are_errors.drain();
        }
        numbers.clear();
        match row.numbers(errors_by, numbers) {
            true => *are_errors.get_or_insert_with(numbers, || (row.is_error(), 0)),
            false => row.is_error(),
        }
    }
}

/// What is known of a number, if there is one.
fn by_number(
    known: &mut HashMap<u32, u32, RandomState>,
    number: Option<u32>,
    look: impl FnOnce() -> u32,
) -> u32 {
    match number {
        Some(number) => *known.entry(number).or_insert_with(look),
        None => look(),
    }
}

//! Spans counted ahead: how many there were, how many failed and how long they took, minute by minute,
//! those together that no question about rates tells apart.

mod coded;
mod sort;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use sigyn_model::{Field, Kind, Measure, Timestamp};

use super::errors::Errors;
use super::group_writer::Row;
use super::per_source::{PerSource, at};
use super::root::Extra;
use super::source::{Source, SourceRow};
use super::{Block, BlockError, QueryFailed};
use crate::codec::Malformed;
pub(crate) use coded::{Cells, Rollup, Sums};
pub(crate) use sort::{Sort, Status};

/// The kind of the section among a block's extras.
pub(super) const KIND: u8 = 2;
pub(crate) const MINUTE_US: u64 = 60_000_000;
/// What spans are counted by, and so all that may be asked of them.
pub(crate) const FIELDS: [Field; 4] = [Field::Service, Field::Name, Field::Kind, Field::Status];
/// What counting may take in memory, about. Who needs more has few spans of a sort in a minute, and
/// counting them gains little.
const BYTES_MAX: usize = if cfg!(test) { 20_000 } else { 48 << 20 };
/// So many sorts are found without a look-up.
const LAST_SORTS: u32 = 256;
/// So many spans are counted at once, those of a cell one after another: it is far from the others.
const PENDING_MAX: usize = if cfg!(test) { 4 } else { 4 << 10 };
/// A cell with its place, and each of its buckets.
const CELL_BYTES: usize = 128;
const BUCKET_BYTES: usize = 16;

/// Counts spans one by one.
#[derive(Debug, Default)]
pub(crate) struct RollupBuilder {
    /// Names of services and spans; the first is the empty one.
    texts: Vec<String>,
    text_numbers: HashMap<String, u32>,
    /// Numbers of texts.
    services: PerSource<u32>,
    names: PerSource<u32>,
    errors: Errors,
    sorts: Vec<Numbered>,
    sort_numbers: HashMap<Numbered, u32, RandomState>,
    /// By service and name, the sort that was met last.
    last_sorts: Vec<u32>,
    /// With number of a sort, and minute.
    cells: Vec<(u32, u32, Measure)>,
    cell_numbers: HashMap<(u32, u32), u32, RandomState>,
    /// Of each sort, the cell that was met last: spans of a sort that come together start together.
    last_cells: Vec<u32>,
    /// Not in their cells yet.
    pending: Vec<Pending>,
    bytes: usize,
    /// What may be taken; [`BYTES_MAX`] if nobody said less.
    bytes_max: Option<usize>,
    room: Room,
}

/// A span of a cell: whether it failed, and how long it took.
#[derive(Clone, Copy, Debug)]
struct Pending {
    cell: u32,
    is_error: bool,
    nanos: Option<u64>,
}

/// What is told apart, for there is only so much room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Room {
    #[default]
    ForAll,
    NotForNames,
    None,
}

/// A sort of spans, its texts by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Numbered {
    service: u32,
    name: u32,
    kind: Option<Kind>,
    status: Status,
}

/// The minute in which a span starts.
pub(crate) fn minute_of(at: Timestamp) -> u32 {
    u32::try_from(at.micros() / MINUTE_US).unwrap_or(u32::MAX)
}

impl RollupBuilder {
    /// Takes no more than this, or than was said before if that is more.
    pub(crate) fn bound(&mut self, bytes_max: usize) {
        let bytes_max = bytes_max.min(BYTES_MAX);
        self.bytes_max = Some(self.bytes_max.map_or(bytes_max, |before| before.max(bytes_max)));
    }

    fn is_too_large(&self) -> bool {
        self.bytes > self.bytes_max.unwrap_or(BYTES_MAX)
    }

    /// What follows is of another source, whose numbers mean something else.
    pub(super) fn begin_source(&mut self) {
        self.services.clear();
        self.names.clear();
        self.errors.begin_source();
    }

    /// Adds a row of a block.
    pub(super) fn row(&mut self, row: &Row<'_>, is_error: bool) {
        self.put(row.source, row.span, is_error);
    }

    /// Adds a span with these tags.
    pub(crate) fn add(&mut self, source: &dyn Source, row: &SourceRow, tags: &[u32]) {
        let is_error = self.errors.has(source, row, tags);
        self.put(source, row, is_error);
    }

    fn put(&mut self, source: &dyn Source, row: &SourceRow, is_error: bool) {
        let Some(start) = row.timestamp else { return };
        let (service, name) = match self.room {
            Room::ForAll => (self.service(source, row), self.name(source, row.name)),
            Room::NotForNames => (self.service(source, row), 0),
            Room::None => return,
        };
        let status = Status::of(row.status_code, is_error);
        let sort = self.sort(Numbered { service, name, kind: row.kind, status });
        let cell = self.cell(sort, minute_of(start));
        let nanos = row.duration.map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.pending.push(Pending { cell, is_error, nanos });
        if self.pending.len() >= PENDING_MAX || self.is_too_large() {
            self.settle();
        }
    }

    /// Counts what was added: to be called after the last span, and before anyone asks for cells.
    pub(crate) fn settle(&mut self) {
        self.count_pending();
        if self.is_too_large() {
            self.make_room();
        }
    }

    fn count_pending(&mut self) {
        self.pending.sort_unstable_by_key(|span| span.cell);
        for spans in self.pending.chunk_by(|a, b| a.cell == b.cell) {
            let measure = &mut self.cells[spans[0].cell as usize].2;
            let before = measure.durations.counts().len();
            spans.iter().for_each(|span| measure.add_one(span.is_error, span.nanos));
            self.bytes += (measure.durations.counts().len() - before) * BUCKET_BYTES;
        }
        self.pending.clear();
    }

    fn service(&mut self, source: &dyn Source, row: &SourceRow) -> u32 {
        let endpoint = row.local_endpoint;
        if let Some(known) = self.services.get(endpoint) {
            return known;
        }
        let name = source.endpoint(endpoint).map_or("", |known| known.service_name);
        let number = self.text(name);
        self.services.get_or_insert_with(endpoint, || number)
    }

    fn name(&mut self, source: &dyn Source, name: u32) -> u32 {
        if let Some(known) = self.names.get(name) {
            return known;
        }
        let number = self.text(source.name(name));
        self.names.get_or_insert_with(name, || number)
    }

    fn text(&mut self, text: &str) -> u32 {
        if self.texts.is_empty() {
            self.texts.push(String::new());
            self.text_numbers.insert(String::new(), 0);
        }
        if let Some(number) = self.text_numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.bytes += CELL_BYTES + 2 * text.len();
        self.texts.push(text.to_owned());
        self.text_numbers.insert(text.to_owned(), number);
        number
    }

    fn sort(&mut self, sort: Numbered) -> u32 {
        let place = (sort.service ^ sort.name.rotate_left(3)) % LAST_SORTS;
        let last = at(&mut self.last_sorts, place);
        if self.sorts.get(*last as usize) == Some(&sort) {
            return *last;
        }
        let number = *self.sort_numbers.entry(sort).or_insert_with(|| {
            self.bytes += CELL_BYTES;
            self.sorts.push(sort);
            u32::try_from(self.sorts.len() - 1).unwrap_or(u32::MAX)
        });
        *last = number;
        number
    }

    fn cell(&mut self, sort: u32, minute: u32) -> u32 {
        let last = self.last_cells.get(sort as usize);
        let is_it = |cell: &&u32| {
            self.cells
                .get(**cell as usize)
                .is_some_and(|known| (known.0, known.1) == (sort, minute))
        };
        if let Some(cell) = last.filter(is_it) {
            return *cell;
        }
        let cells = &mut self.cells;
        let cell = *self.cell_numbers.entry((sort, minute)).or_insert_with(|| {
            self.bytes += CELL_BYTES;
            cells.push((sort, minute, Measure::default()));
            u32::try_from(cells.len() - 1).unwrap_or(u32::MAX)
        });
        *at(&mut self.last_cells, sort) = cell;
        cell
    }

    /// Counts spans together that have different names; where that is not enough, none any more.
    #[cold]
    pub(super) fn make_room(&mut self) {
        self.count_pending();
        let before = std::mem::take(self);
        let bytes_max = before.bytes_max;
        if before.room != Room::ForAll {
            *self = Self { room: Room::None, bytes_max, ..Self::default() };
            return;
        }
        *self = Self { bytes_max, ..before.without_names() };
        if self.is_too_large() {
            *self = Self { room: Room::None, bytes_max, ..Self::default() };
        }
    }

    fn without_names(self) -> Self {
        let mut other = Self { room: Room::NotForNames, ..Self::default() };
        let mut services: Vec<u32> = Vec::new();
        for (sort, minute, theirs) in self.cells {
            let sort = self.sorts[sort as usize];
            let known = at(&mut services, sort.service);
            if *known == 0 {
                *known = other.text(&self.texts[sort.service as usize]) + 1;
            }
            let sort = other.sort(Numbered { service: *known - 1, name: 0, ..sort });
            let cell = other.cell(sort, minute);
            let ours = &mut other.cells[cell as usize].2;
            let before = ours.durations.counts().len();
            ours.merge(&theirs);
            other.bytes += (ours.durations.counts().len() - before) * BUCKET_BYTES;
        }
        // What they are in the source is as it was, but for their numbers here.
        other
    }

    /// What it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether names of spans are told apart; `None` if nothing is counted.
    pub(crate) fn has_names(&self) -> Option<bool> {
        match self.room {
            Room::ForAll => Some(true),
            Room::NotForNames => Some(false),
            Room::None => None,
        }
    }

    /// Calls `each` with every sort of spans, by number.
    pub(crate) fn sorts(&self) -> impl Iterator<Item = Sort<'_>> {
        self.sorts.iter().map(|sort| self.sort_of(*sort))
    }

    fn sort_of(&self, Numbered { service, name, kind, status }: Numbered) -> Sort<'_> {
        let text = |number: u32| self.texts.get(number as usize).map_or("", String::as_str);
        Sort { service: text(service), name: text(name), kind, status }
    }

    /// By number of a sort, and minute; in no order.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (u32, u32, &Measure)> {
        self.cells.iter().map(|(sort, minute, measure)| (*sort, *minute, measure))
    }
}

impl Block {
    /// What `work_out` makes of all that was counted, and in how many bytes; kept under `key` if there is
    /// one. `None` if nothing was counted.
    pub(crate) fn of_counts<T: Send + Sync + 'static>(
        &self,
        key: Option<u64>,
        work_out: impl FnOnce(&Rollup) -> Result<(T, usize), QueryFailed>,
    ) -> Result<Option<Arc<T>>, QueryFailed> {
        let place = self.root.extras.iter().find(|extra| extra.kind == KIND);
        let Some(Extra { section, .. }) = place else { return Ok(None) };
        let decode =
            || -> Result<Rollup, BlockError> { Ok(Rollup::decode(&self.section(section)?)?) };
        let read = || work_out(&decode().map_err(|error| self.failed(error))?);
        let made = match key {
            // No section stands so far back.
            Some(key) => self.cache.get((self.number, key | 1 << 63), read),
            None => read().map(|(made, _)| Arc::new(made)),
        };
        made.map(Some)
    }

    /// All that was counted, if anything was.
    pub(super) fn rollup(&self) -> Result<Option<Rollup>, BlockError> {
        let place = self.root.extras.iter().find(|extra| extra.kind == KIND);
        place.map(|extra| Ok(Rollup::decode(&self.section(&extra.section)?)?)).transpose()
    }

    /// That what was counted cannot be true.
    pub(crate) fn miscounted(&self, error: Malformed) -> QueryFailed {
        self.failed(error.into())
    }

    /// The first and the last minute in which a span starts.
    pub(crate) fn minutes(&self) -> Option<(u32, u32)> {
        let minute = |nanos: u64| minute_of(Timestamp::from_nanos(nanos));
        self.entry.starts_ns.map(|(first, last)| (minute(first), minute(last)))
    }
}

//! Goes through all rows of a block that start in a window, of whose columns those are read that are
//! asked for.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use sigyn_model::{Field, Tagged, Timestamp, TraceId};

use super::entry::Entry;
use super::group_reader::{PageSet, RowReader};
use super::page_reader::PageReader;
use super::page_row::PageRow;
use super::page_rows::PageRows;
use super::schema::{PAGE_ROWS, TagColumn, place};
use super::{Block, BlockError, QueryFailed};
use crate::alike::{Asked, Derived, Stored};
use crate::facts::{Strictness, TraceKey};
use crate::stop::Stop;

/// Columns of a block that decide what is asked.
#[derive(Debug)]
pub(crate) struct Deciding {
    /// `None` if all do.
    columns: Option<Vec<usize>>,
    /// Whether the order of a row's tags does, too, if some of them have no column.
    has_order: bool,
}

/// When a span starts, in nanoseconds, its id, and whether it is shared.
pub(crate) type SpanPlace = (u64, u64, bool);

/// What comes next.
pub(crate) enum Scanned<'r, 'a> {
    Rows(&'r PageRows<'r, 'a>),
    EndOfPage,
    /// Numbers mean something else from here on.
    EndOfGroup,
}

impl Deciding {
    /// `None` if all do.
    pub(super) fn columns(&self) -> Option<&[usize]> {
        self.columns.as_deref()
    }

    pub(super) fn has_order(&self) -> bool {
        self.has_order
    }

    fn of(asked: &Asked, tags: &[TagColumn]) -> Self {
        let (mut columns, mut has_order) = (Vec::new(), false);
        match asked {
            Asked::Keys => columns.extend([
                place::TAG_SHAPE,
                place::TAGS_REST,
                place::STATUS,
                place::SCOPE,
                place::RESOURCE,
                place::TARGET,
            ]),
            Asked::Fields(fields) => {
                for field in fields {
                    has_order |= add_field(field, tags, &mut columns);
                }
            }
            Asked::All => return Self { columns: None, has_order },
        }
        columns.sort_unstable();
        columns.dedup();
        has_order &= !columns.contains(&place::TAG_SHAPE);
        Self { columns: Some(columns), has_order }
    }
}

/// Returns whether the order of tags decides, where some have no column.
fn add_field(field: &Field, tags: &[TagColumn], columns: &mut Vec<usize>) -> bool {
    match field {
        Field::Service => columns.push(place::LOCAL),
        Field::Name => columns.push(place::NAME),
        Field::Remote => columns.push(place::REMOTE),
        Field::Kind => columns.push(place::KIND),
        Field::Status => return add_tag("error", tags, columns),
        Field::Annotation => columns.extend([place::ANNOTATION_VALUE]),
        Field::Tag(key) => return add_tag(key, tags, columns),
        Field::Resource(_) => columns.push(place::RESOURCE),
        Field::Label(_) => columns.push(place::TARGET),
    }
    false
}

fn add_tag(key: &str, tags: &[TagColumn], columns: &mut Vec<usize>) -> bool {
    let own = tags.iter().enumerate().filter(|(_, column)| column.key == key);
    let before = columns.len();
    columns.extend(own.map(|(at, _)| place::TAGS + at));
    // A key may stand twice in a span: the first one counts.
    let of_key = columns.len() - before;
    if of_key > 1 {
        columns.push(place::TAG_SHAPE);
    }
    columns.extend([place::TAGS_REST, place::RESOURCE]);
    let derived = Derived::of(key);
    if derived.from_status {
        columns.extend([place::STATUS, place::STATUS_MESSAGE]);
    }
    if derived.from_scope {
        columns.push(place::SCOPE);
    }
    of_key > 0
}

impl Stored for PageRow<'_, '_> {
    type Columns = Deciding;

    fn trace_id(&self) -> Option<TraceId> {
        self.id_of_trace()
    }

    fn span_id(&self) -> Option<u64> {
        self.id()
    }

    fn numbers(&self, columns: &Deciding, out: &mut Vec<u32>) -> bool {
        let Deciding { columns: Some(columns), has_order } = columns else { return false };
        let order = (*has_order && self.has(place::TAGS_REST)).then_some(&place::TAG_SHAPE);
        for column in columns.iter().chain(order) {
            match self.number(*column) {
                Some(number) => out.push(number),
                None => return false,
            }
        }
        true
    }
}

impl Block {
    /// Columns that decide what is asked.
    pub(crate) fn deciding(&self, asked: &Asked) -> Deciding {
        Deciding::of(asked, &self.root.tag_columns)
    }

    /// Whether some row may start in these microseconds.
    pub(crate) fn may_start_in(&self, window: &RangeInclusive<u64>) -> bool {
        let micros = |nanos: u64| Timestamp::from_nanos(nanos).micros();
        self.entry.starts_ns.is_some_and(|(first, last)| {
            micros(first) <= *window.end() && micros(last) >= *window.start()
        })
    }

    /// Whether all rows that start at all do so in these microseconds.
    pub(crate) fn starts_in(&self, window: &RangeInclusive<u64>) -> bool {
        let is_in = |nanos: u64| window.contains(&Timestamp::from_nanos(nanos).micros());
        self.entry.starts_ns.is_some_and(|(first, last)| is_in(first) && is_in(last))
    }

    /// What `make` makes of the block, and in how many bytes; not again for as long as it is asked for.
    pub(crate) fn kept<T: Send + Sync + 'static>(
        &self,
        key: u64,
        make: impl FnOnce() -> Result<(T, usize), QueryFailed>,
    ) -> Result<Arc<T>, QueryFailed> {
        // No section stands so far back.
        self.cache.get((self.number, key | 1 << 63), make)
    }

    /// Rows of these traces, in order.
    pub(crate) fn rows_of(&self, keys: &[TraceKey]) -> Result<Vec<Range<u64>>, QueryFailed> {
        let mut rows = Vec::new();
        for key in keys {
            for entry in self.group(*key, Strictness::Strict)? {
                let first = u64::from(entry.first_row);
                rows.push(first..first + u64::from(entry.rows));
            }
        }
        rows.sort_unstable_by_key(|range| range.start);
        Ok(rows)
    }

    /// Calls `each` with when each span of these traces starts, its id and whether it is shared; traces are
    /// given in the order of their rows.
    pub(crate) fn span_places(
        &self,
        traces: &[Entry],
        stop: &Stop,
        each: &mut dyn FnMut(&Entry, SpanPlace),
    ) -> Result<(), QueryFailed> {
        let failed = |error: BlockError| self.failed(error);
        let reader = PageReader::new(self, stop).map_err(failed)?;
        let reader = RowReader::new(reader, &self.root.tag_columns);
        let mut last: Option<PageSet> = None;
        for trace in traces {
            stop.check()?;
            for (group, count, page, rows) in self.pages_of(trace.first_row, trace.rows) {
                let set = match last.take().filter(|set| set.is_at(group, page)) {
                    Some(set) => set,
                    None => reader.page_set(group, count, page),
                };
                places_of_page(&reader, &set, rows, &mut |place| each(trace, place))
                    .map_err(failed)?;
                last = Some(set);
            }
        }
        Ok(())
    }

    /// Calls `each` with all rows that start in these microseconds, but for those `without` which are in
    /// order: those of a page together.
    pub(crate) fn scan(
        &self,
        window: &RangeInclusive<u64>,
        without: &[Range<u64>],
        stop: &Stop,
        each: &mut dyn FnMut(Scanned<'_, '_>) -> Result<(), QueryFailed>,
    ) -> Result<(), QueryFailed> {
        let failed = |error: BlockError| self.failed(error);
        let reader = PageReader::new(self, stop).map_err(failed)?;
        let reader = RowReader::new(reader, &self.root.tag_columns);
        let mut without = without.iter().peekable();
        let mut first = 0u64;
        for (number, group) in self.root.groups.iter().enumerate() {
            let count = group.rows as usize;
            for page in 0..count.div_ceil(PAGE_ROWS) {
                stop.check()?;
                let set = reader.page_set(number, count, page);
                let begin = first + (page * PAGE_ROWS) as u64;
                let mut is_left_out = |row: usize| {
                    let row = begin + row as u64;
                    while without.next_if(|range| range.end <= row).is_some() {}
                    without.peek().is_some_and(|range| range.contains(&row))
                };
                let rows = rows_in(&reader, &set, window, &mut is_left_out).map_err(failed)?;
                let error = RefCell::new(None);
                if !rows.is_empty() {
                    each(Scanned::Rows(&PageRows::new(&reader, &set, &rows, &error)))?;
                }
                match error.into_inner() {
                    Some(error) => return Err(failed(error)),
                    None => set.check().map_err(|error| failed(error.into()))?,
                }
                each(Scanned::EndOfPage)?;
            }
            each(Scanned::EndOfGroup)?;
            first += count as u64;
        }
        Ok(())
    }
}

fn places_of_page(
    reader: &RowReader<'_>,
    set: &PageSet,
    rows: Range<usize>,
    each: &mut dyn FnMut(SpanPlace),
) -> Result<(), BlockError> {
    let Some(starts) = reader.column(set, place::START)? else { return Ok(()) };
    let ids = reader.column(set, place::SPAN_ID)?;
    let ids = ids.ok_or(BlockError::Row("a span without ids"))?;
    let shared = reader.column(set, place::SHARED)?;
    for row in rows {
        if let Some(start) = starts.word64(row) {
            let id = ids.word64(row).ok_or(BlockError::Row("a span without ids"))?;
            let is_shared = shared.and_then(|shared| shared.is_true(row)).unwrap_or(false);
            each((start, id, is_shared));
        }
    }
    Ok(set.check()?)
}

/// Rows of a page that start in these microseconds, but for some.
fn rows_in(
    reader: &RowReader<'_>,
    set: &PageSet,
    window: &RangeInclusive<u64>,
    is_left_out: &mut impl FnMut(usize) -> bool,
) -> Result<Vec<usize>, BlockError> {
    let Some(starts) = reader.column(set, place::START)? else { return Ok(Vec::new()) };
    let starts = starts.all_words64(set.len())?;
    let is_in = |nanos: u64| window.contains(&Timestamp::from_nanos(nanos).micros());
    let mut is_meant = |row: &usize| starts.get(*row).is_some_and(is_in) && !is_left_out(*row);
    Ok((0..set.len()).filter(&mut is_meant).collect())
}

impl Tagged for PageRow<'_, '_> {
    fn each_tag_key(&self, each: &mut dyn FnMut(&str)) {
        self.each_key(each);
    }

    fn each_tag(&self, each: &mut dyn FnMut(&str, &str)) {
        self.each_key_and_text(each);
    }
}

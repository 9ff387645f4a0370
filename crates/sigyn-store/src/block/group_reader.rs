//! Rows of a block back to spans.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use sigyn_model::{
    Annotation, Endpoint, Kind, Labels, Resource, Scope, Span, SpanId, StatusCode, Tags, Timestamp,
    TraceId, Value,
};

use super::ext::Ext;
use super::hybrid::take_uint;
use super::json;
use super::page_reader::{self, Page, PageReader};
use super::schema::{PAGE_ROWS, TagColumn, TagSort, place};
use super::{Block, BlockError};
use crate::codec::Malformed;

/// Rows of one trace, or of any where it is not known of which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) rows: Range<usize>,
    pub(super) trace_id: Option<TraceId>,
}

/// Reads rows of one block: of pages those that are asked for.
pub(super) struct RowReader<'a> {
    pages: PageReader<'a>,
    tag_columns: &'a [TagColumn],
    known: RefCell<Known>,
}

/// Pages of the same rows, each read when it is asked for.
pub(super) struct PageSet {
    group: usize,
    page: usize,
    rows: Range<usize>,
    columns: Vec<OnceCell<Option<Page>>>,
}

impl PageSet {
    pub(super) fn is_at(&self, group: usize, page: usize) -> bool {
        (self.group, self.page) == (group, page)
    }

    /// Forgets the largest columns, so that the others take no more than this; whether there were any.
    pub(super) fn shrink(&mut self, bytes_max: u64) -> bool {
        let there = self.columns.iter().enumerate();
        let there = there.filter_map(|(at, column)| Some((column.get()?.as_ref()?.bytes(), at)));
        let mut there: Vec<(usize, usize)> = there.collect();
        there.sort_unstable();
        let mut bytes = 0;
        let fits = there.partition_point(|(more, _)| {
            bytes += *more as u64;
            bytes <= bytes_max
        });
        for (_, at) in &there[fits..] {
            self.columns[*at] = OnceCell::new();
        }
        fits < there.len()
    }

    pub(super) fn group(&self) -> usize {
        self.group
    }

    /// How many rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Errors if anything that was read was not as it should be.
    pub(super) fn check(&self) -> Result<(), Malformed> {
        self.columns.iter().filter_map(OnceCell::get).flatten().try_for_each(Page::check)
    }
}

/// A reader without its block.
pub(super) struct Paused {
    pages: page_reader::Paused,
    known: Known,
}

impl<'a> RowReader<'a> {
    pub(super) fn new(pages: PageReader<'a>, tag_columns: &'a [TagColumn]) -> Self {
        Self { pages, tag_columns, known: RefCell::default() }
    }

    /// Goes on with what [`RowReader::pause`] left.
    pub(super) fn resume(block: &'a Block, paused: Paused) -> Self {
        let Paused { pages, known } = paused;
        let pages = PageReader::resume(block, pages);
        Self { pages, tag_columns: &block.root.tag_columns, known: RefCell::new(known) }
    }

    pub(super) fn pause(self) -> Paused {
        Paused { pages: self.pages.pause(), known: self.known.into_inner() }
    }

    /// Forgets what rows share.
    pub(super) fn forget(&self) {
        self.known.take();
    }

    /// Reads rows of a group of `count` rows; ranges are in order and do not overlap.
    pub(super) fn read(
        &self,
        group: usize,
        count: usize,
        wanted: &[Rows],
        each: &mut impl FnMut(Span),
    ) -> Result<(), BlockError> {
        let pieces: Vec<Rows> = wanted.iter().flat_map(Rows::by_page).collect();
        for pieces in pieces.chunk_by(|a, b| a.page() == b.page()) {
            let set = self.page_set(group, count, pieces[0].page());
            for piece in pieces {
                for row in piece.rows.clone() {
                    each(self.span(&set, row - set.rows.start, piece.trace_id)?);
                }
            }
            set.check()?;
        }
        Ok(())
    }

    /// The rows of one page of a group of `count` rows.
    pub(super) fn page_set(&self, group: usize, count: usize, page: usize) -> PageSet {
        let begin = page * PAGE_ROWS;
        let columns = place::TAGS + self.tag_columns.len();
        let columns = (0..columns).map(|_| OnceCell::new()).collect();
        PageSet { group, page, rows: begin..count.min(begin + PAGE_ROWS), columns }
    }

    /// A column's page; `None` if no row of the group has a value.
    pub(super) fn column<'s>(
        &self,
        set: &'s PageSet,
        column: usize,
    ) -> Result<Option<&'s Page>, BlockError> {
        let cell = set.columns.get(column).ok_or(BlockError::Schema)?;
        if let Some(page) = cell.get() {
            return Ok(page.as_ref());
        }
        let page = self.pages.page(set.group, column, set.page, set.rows.clone())?;
        Ok(cell.get_or_init(|| page).as_ref())
    }

    /// What a row's resource is.
    pub(super) fn resource(
        &self,
        set: &PageSet,
        row: usize,
    ) -> Result<Option<Arc<Resource>>, BlockError> {
        let Some(page) = self.column(set, place::RESOURCE)? else { return Ok(None) };
        self.known.borrow_mut().resources.at(set.group, page, row, json::resource)
    }

    pub(super) fn scope(
        &self,
        set: &PageSet,
        row: usize,
    ) -> Result<Option<Arc<Scope>>, BlockError> {
        let Some(page) = self.column(set, place::SCOPE)? else { return Ok(None) };
        self.known.borrow_mut().scopes.at(set.group, page, row, json::scope)
    }

    pub(super) fn target(
        &self,
        set: &PageSet,
        row: usize,
    ) -> Result<Option<Arc<Labels>>, BlockError> {
        let Some(page) = self.column(set, place::TARGET)? else { return Ok(None) };
        self.known.borrow_mut().targets.at(set.group, page, row, json::labels)
    }

    /// A row of a page as a span, of this trace if that is known.
    pub(super) fn span(
        &self,
        set: &PageSet,
        row: usize,
        trace_id: Option<TraceId>,
    ) -> Result<Span, BlockError> {
        let text =
            |at: usize| Ok::<_, BlockError>(self.column(set, at)?.and_then(|page| page.text(row)));
        let word64 = |at: usize| {
            Ok::<_, BlockError>(self.column(set, at)?.and_then(|page| page.word64(row)))
        };
        let word32 = |at: usize| {
            Ok::<_, BlockError>(self.column(set, at)?.and_then(|page| page.word32(row)))
        };
        let is_true = |at: usize| -> Result<bool, BlockError> {
            Ok(self.column(set, at)?.and_then(|page| page.is_true(row)).unwrap_or(false))
        };
        let trace_id = match trace_id {
            Some(trace_id) => Some(trace_id),
            None => {
                let id = self.column(set, place::TRACE_ID)?.and_then(|page| page.id(row));
                id.and_then(|id| TraceId::new(u128::from_be_bytes(id)))
            }
        };
        let ids = trace_id.zip(word64(place::SPAN_ID)?);
        let (trace_id, id) = ids.ok_or(BlockError::Row("a span without ids"))?;
        let mut span = Span::new(trace_id, SpanId::from_raw(id));
        span.parent_id = self.parent(set, row)?.map(SpanId::from_raw);
        span.kind = text(place::KIND)?.map(parse_kind).transpose()?;
        span.name = own(text(place::NAME)?.unwrap_or_default())?;
        span.timestamp = word64(place::START)?.map(Timestamp::from_nanos);
        span.duration = word64(place::DURATION)?.map(Duration::from_nanos);
        span.local_endpoint = self.endpoint(set, row, place::LOCAL)?;
        span.remote_endpoint = self.endpoint(set, row, place::REMOTE)?;
        self.read_peer(set, row, &mut span)?;
        span.shared = is_true(place::SHARED)?;
        span.debug = is_true(place::DEBUG)?;
        span.status.code = text(place::STATUS)?.map_or(Ok(StatusCode::Unset), parse_status)?;
        span.status.message = own(text(place::STATUS_MESSAGE)?.unwrap_or_default())?;
        span.trace_state = own(text(place::TRACE_STATE)?.unwrap_or_default())?;
        span.flags = word32(place::FLAGS)?.unwrap_or(0);
        span.resource = self.resource(set, row)?;
        span.scope = self.scope(set, row)?;
        span.target = self.target(set, row)?;
        if let Some(links) = text(place::LINKS)? {
            span.links = json::links(str_of(links)?)?;
        }
        span.annotations = self.annotations(set, row)?;
        self.each_tag(set, row, &mut |key, value| {
            span.tags.push((key.to_owned(), value.own()?));
            Ok(true)
        })?;
        if let Some(ext) = text(place::EXT)? {
            Ext::apply(ext, &mut span)?;
        }
        Ok(span)
    }

    /// The id of a row's parent.
    pub(super) fn parent(&self, set: &PageSet, row: usize) -> Result<Option<u64>, BlockError> {
        let delta = self.column(set, place::PARENT_DELTA)?.and_then(|page| page.word32(row));
        let Some(delta) = delta else {
            return Ok(self.column(set, place::PARENT_ID)?.and_then(|page| page.word64(row)));
        };
        let rows = i64::try_from(row).unwrap_or(i64::MAX) - i64::from(delta.cast_signed());
        let parent = usize::try_from(rows).ok().filter(|row| *row < set.rows.len());
        let ids = self.column(set, place::SPAN_ID)?;
        let parent = parent.and_then(|row| ids?.word64(row));
        parent.ok_or(BlockError::Row("a parent outside its page")).map(Some)
    }

    /// What the three columns from this one on say of an endpoint.
    pub(super) fn endpoint(
        &self,
        set: &PageSet,
        row: usize,
        at: usize,
    ) -> Result<Option<Endpoint>, BlockError> {
        let text =
            |at: usize| Ok::<_, BlockError>(self.column(set, at)?.and_then(|page| page.text(row)));
        let port = self.column(set, at + 2)?.and_then(|page| page.word32(row));
        endpoint(text(at)?, text(at + 1)?, port).map(Endpoint::into_option)
    }

    pub(super) fn tag_columns(&self) -> &[TagColumn] {
        self.tag_columns
    }

    /// Completes the remote endpoint with what tags say of it.
    fn read_peer(&self, set: &PageSet, row: usize, span: &mut Span) -> Result<(), BlockError> {
        self.each_said_of_peer(set, row, &mut |address, port| {
            let peer = span.remote_endpoint.get_or_insert_default();
            match address {
                Some(IpAddr::V4(ip)) => peer.ipv4 = peer.ipv4.or(Some(ip)),
                Some(IpAddr::V6(ip)) => peer.ipv6 = peer.ipv6.or(Some(ip)),
                None => {}
            }
            peer.port = peer.port.max(port);
        })
    }

    /// Calls `each` with the addresses and the ports, zero for none, that tags say of the remote endpoint.
    pub(super) fn each_said_of_peer(
        &self,
        set: &PageSet,
        row: usize,
        each: &mut dyn FnMut(Option<IpAddr>, u16),
    ) -> Result<(), BlockError> {
        const MISSING: BlockError = BlockError::Row("a tag that is missing");
        let columns = self.tag_columns.len();
        let shape = self.column(set, place::TAG_SHAPE)?.and_then(|page| page.text(row));
        let mut shape = shape.unwrap_or_default();
        while !shape.is_empty() {
            let number = usize::try_from(take_uint(&mut shape)?).unwrap_or(usize::MAX);
            let Some(at) = number.checked_sub(columns + 1) else { continue };
            let page = self.column(set, place::TAGS + at % columns.max(1))?.ok_or(MISSING)?;
            match at / columns.max(1) {
                0 => each(Some(address(page.text(row).ok_or(MISSING)?)?), 0),
                1 => {
                    let said = page.word64(row).ok_or(MISSING)?;
                    each(None, port(u32::try_from(said).unwrap_or(u32::MAX))?);
                }
                _ => return Err(MISSING),
            }
        }
        Ok(())
    }

    /// Calls `each` with a row's own tags, in their order, for as long as it says so.
    pub(super) fn each_tag(
        &self,
        set: &PageSet,
        row: usize,
        each: &mut dyn FnMut(&str, Told<'_, '_>) -> Result<bool, BlockError>,
    ) -> Result<(), BlockError> {
        const MISSING: BlockError = BlockError::Row("a tag that is missing");
        let text = |at: usize| Ok::<_, BlockError>(self.column(set, at)?.and_then(|p| p.text(row)));
        let Some(mut shape) = text(place::TAG_SHAPE)? else { return Ok(()) };
        let mut rest: Option<std::vec::IntoIter<(String, Value)>> = None;
        while !shape.is_empty() {
            let number = usize::try_from(take_uint(&mut shape)?).unwrap_or(usize::MAX);
            let Some(at) = number.checked_sub(1) else {
                if rest.is_none() {
                    let tags = text(place::TAGS_REST)?.map_or(Ok(Tags::new()), read_tags)?;
                    rest = Some(tags.into_iter());
                }
                let next = rest.as_mut().and_then(Iterator::next);
                let (key, value) = next.ok_or(MISSING)?;
                if !each(&key, Told::Value(value))? {
                    return Ok(());
                }
                continue;
            };
            // What stands behind the tags is not of them.
            let Some(column) = self.tag_columns.get(at) else { return Ok(()) };
            let told = Told::Column { reader: self, set, row, at, sort: column.sort };
            if !each(&column.key, told)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The value in a column of tags, in a row that has one.
    pub(super) fn tag_at(&self, set: &PageSet, row: usize, at: usize) -> Result<Value, BlockError> {
        let sort = self.tag_columns.get(at).ok_or(BlockError::Schema)?.sort;
        Told::Column { reader: self, set, row, at, sort }.own()
    }

    /// Ids of the traces of rows with an own tag of this key that is taken.
    pub(super) fn ids_with(
        &self,
        set: &PageSet,
        key: &str,
        takes: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<TraceId>, BlockError> {
        let mut rows: Vec<usize> = Vec::new();
        for (at, column) in self.tag_columns.iter().enumerate() {
            if column.key != key {
                continue;
            }
            let Some(page) = self.column(set, place::TAGS + at)? else { continue };
            for row in (0..set.rows.len()).filter(|row| page.has(*row)) {
                let is_taken = match column.sort {
                    TagSort::Text => takes(page.text(row).map_or(Ok(""), str_of)?),
                    _ => {
                        let told = Told::Column { reader: self, set, row, at, sort: column.sort };
                        takes(&told.own()?.text())
                    }
                };
                if is_taken {
                    rows.push(row);
                }
            }
        }
        if let Some(page) = self.column(set, place::TAGS_REST)? {
            for row in (0..set.rows.len()).filter(|row| page.has(*row)) {
                let tags = read_tags(page.text(row).unwrap_or_default())?;
                if tags.iter().any(|(other, value)| other == key && takes(&value.text())) {
                    rows.push(row);
                }
            }
        }
        set.check()?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids = self.column(set, place::TRACE_ID)?;
        let id = |row: usize| TraceId::new(u128::from_be_bytes(ids?.id(row)?));
        let ids = rows.into_iter().map(|row| id(row).ok_or(BlockError::Row("a span without ids")));
        ids.collect()
    }

    pub(super) fn annotations(
        &self,
        set: &PageSet,
        row: usize,
    ) -> Result<Vec<Annotation>, BlockError> {
        let missing = || BlockError::Row("half of an annotation");
        let Some(values) = self.column(set, place::ANNOTATION_VALUE)? else {
            return Ok(Vec::new());
        };
        // Few have any, and what they say may be much.
        if values.elements(row).next().is_none() {
            return Ok(Vec::new());
        }
        let times = self.column(set, place::ANNOTATION_TIME)?.ok_or_else(missing)?;
        let tags = self.column(set, place::ANNOTATION_TAGS)?;
        let mut of_tags = tags.map(|tags| tags.elements(row));
        let mut annotations = Vec::new();
        for (time, value) in times.elements(row).zip(values.elements(row)) {
            let time = time.and_then(|at| times.word64_at(at)).ok_or_else(missing)?;
            let value = value.and_then(|at| values.text_at(at)).ok_or_else(missing)?;
            let at = of_tags.as_mut().and_then(|tags| tags.next()).flatten();
            let tags = at.zip(tags).and_then(|(at, tags)| tags.text_at(at));
            annotations.push(Annotation {
                timestamp: Timestamp::from_nanos(time),
                value: own(value)?,
                tags: tags.map_or(Ok(Tags::new()), read_tags)?,
                dropped_tags: 0,
            });
        }
        Ok(annotations)
    }
}

/// What a tag says, read when it is asked for.
pub(super) enum Told<'r, 'a> {
    Value(Value),
    Column { reader: &'r RowReader<'a>, set: &'r PageSet, row: usize, at: usize, sort: TagSort },
}

impl<'r> Told<'r, '_> {
    /// What Zipkin shows of it.
    pub(super) fn text(self) -> Result<Cow<'r, str>, BlockError> {
        if let Self::Column { reader, set, row, at, sort: TagSort::Text } = self {
            let page = reader.column(set, place::TAGS + at)?;
            let text = page.and_then(|page| page.text(row));
            let text = text.ok_or(BlockError::Row("a tag that is missing"))?;
            return str_of(text).map(Cow::Borrowed);
        }
        Ok(match self.own()? {
            Value::Str(text) => Cow::Owned(text),
            value => Cow::Owned(value.text().into_owned()),
        })
    }

    pub(super) fn own(self) -> Result<Value, BlockError> {
        let (reader, set, row, at, sort) = match self {
            Self::Value(value) => return Ok(value),
            Self::Column { reader, set, row, at, sort } => (reader, set, row, at, sort),
        };
        let page = reader.column(set, place::TAGS + at)?;
        let value = page.and_then(|page| match sort {
            TagSort::Text => page.text(row).map(|text| own(text).map(Value::Str)),
            TagSort::Int => page.word64(row).map(|word| Ok(Value::Int(word.cast_signed()))),
            TagSort::Double => page.word64(row).map(|bits| Ok(Value::Double(f64::from_bits(bits)))),
            TagSort::Bool => page.is_true(row).map(|bool| Ok(Value::Bool(bool))),
        });
        value.ok_or(BlockError::Row("a tag that is missing"))?
    }
}

impl Rows {
    fn page(&self) -> usize {
        self.rows.start / PAGE_ROWS
    }

    /// The same rows, those of each page by themselves.
    fn by_page(&self) -> impl Iterator<Item = Self> {
        let mut left = self.rows.clone();
        let trace_id = self.trace_id;
        std::iter::from_fn(move || {
            let end = left.end.min((left.start / PAGE_ROWS + 1) * PAGE_ROWS);
            let rows = left.start..end;
            left.start = end;
            (!rows.is_empty()).then_some(Self { rows, trace_id })
        })
    }
}

fn endpoint(
    service: Option<&[u8]>,
    said: Option<&[u8]>,
    number: Option<u32>,
) -> Result<Endpoint, BlockError> {
    let mut endpoint =
        Endpoint { service_name: own(service.unwrap_or_default())?, ..Endpoint::default() };
    match said.map(address).transpose()? {
        None => {}
        Some(IpAddr::V4(ip)) => endpoint.ipv4 = Some(ip),
        Some(IpAddr::V6(ip)) => endpoint.ipv6 = Some(ip),
    }
    endpoint.port = port(number.unwrap_or(0))?;
    Ok(endpoint)
}

pub(super) fn address(text: &[u8]) -> Result<IpAddr, BlockError> {
    str_of(text)?.parse().map_err(|_| BlockError::Row("an address that is none"))
}

pub(super) fn port(number: u32) -> Result<u16, BlockError> {
    u16::try_from(number).map_err(|_| BlockError::Row("a port out of range"))
}

/// What rows share, read once.
#[derive(Default)]
struct Known {
    targets: Shared<Labels>,
    resources: Shared<Resource>,
    scopes: Shared<Scope>,
}

/// Things that many rows say.
struct Shared<T> {
    /// By row group, and code in its dictionary.
    by_code: HashMap<(usize, u32), Arc<T>, RandomState>,
    by_text: HashMap<Vec<u8>, Arc<T>, RandomState>,
    /// What these take, about.
    bytes: usize,
}

/// Where rows have more to say they share little, and all is forgotten.
const SHARED_BYTES_MAX: usize = if cfg!(test) { 2_000 } else { 1 << 20 };
/// What is read of a text takes so many times as much, and what is kept beside it.
const TIMES_TEXT: usize = 4;
const SHARED_PLACE_BYTES: usize = 200;

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { by_code: HashMap::default(), by_text: HashMap::default(), bytes: 0 }
    }
}

impl<T> Shared<T> {
    fn at(
        &mut self,
        group: usize,
        page: &Page,
        row: usize,
        read: impl FnOnce(&str) -> Result<T, Malformed>,
    ) -> Result<Option<Arc<T>>, BlockError> {
        let code = page.code(row);
        if let Some(value) = code.and_then(|code| self.by_code.get(&(group, code))) {
            return Ok(Some(value.clone()));
        }
        let Some(text) = page.text(row) else { return Ok(None) };
        if self.bytes > SHARED_BYTES_MAX {
            *self = Self::default();
        }
        let value = match self.by_text.get(text) {
            Some(value) => value.clone(),
            None => {
                let value = Arc::new(read(str_of(text)?)?);
                self.bytes += text.len() * TIMES_TEXT + SHARED_PLACE_BYTES;
                self.by_text.insert(text.to_vec(), value.clone());
                value
            }
        };
        if let Some(code) = code {
            self.bytes += size_of::<(usize, u32, Arc<T>)>() * 2;
            self.by_code.insert((group, code), value.clone());
        }
        Ok(Some(value))
    }
}

pub(super) fn parse_kind(kind: &[u8]) -> Result<Kind, BlockError> {
    let kinds = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];
    let found = kinds.into_iter().find(|known| known.as_str().as_bytes() == kind);
    found.ok_or(BlockError::Row("an unknown kind"))
}

pub(super) fn parse_status(status: &[u8]) -> Result<StatusCode, BlockError> {
    let known = [StatusCode::Ok, StatusCode::Error];
    let found =
        known.into_iter().find(|code| code.as_tag().is_some_and(|tag| tag.as_bytes() == status));
    found.ok_or(BlockError::Row("an unknown status"))
}

pub(super) fn read_tags(bytes: &[u8]) -> Result<Tags, BlockError> {
    Ok(json::tags(str_of(bytes)?)?)
}

pub(super) fn str_of(bytes: &[u8]) -> Result<&str, BlockError> {
    std::str::from_utf8(bytes).map_err(|_| BlockError::Row("a text that is no UTF-8"))
}

fn own(bytes: &[u8]) -> Result<String, BlockError> {
    str_of(bytes).map(str::to_owned)
}

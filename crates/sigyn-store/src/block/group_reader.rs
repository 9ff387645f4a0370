//! Rows of a block back to spans.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use sigyn_model::{
    Annotation, Endpoint, Kind, Labels, Resource, Scope, Span, SpanId, StatusCode, Tags, Timestamp,
    TraceId, Value,
};

use super::BlockError;
use super::ext::Ext;
use super::hybrid::take_uint;
use super::json;
use super::page_reader::{Page, PageReader};
use super::schema::{PAGE_ROWS, TagColumn, TagSort, place};
use crate::codec::Malformed;

/// Reads rows of one block.
pub(super) struct RowReader<'a> {
    pages: PageReader<'a>,
    tag_columns: &'a [TagColumn],
    known: Known,
}

/// Pages of the same rows. Those of tags are read when a span has such a tag.
struct PageSet {
    group: usize,
    page: usize,
    rows: Range<usize>,
    columns: Vec<Option<Page>>,
    tags: HashMap<usize, Page>,
}

impl<'a> RowReader<'a> {
    pub(super) fn new(pages: PageReader<'a>, tag_columns: &'a [TagColumn]) -> Self {
        Self { pages, tag_columns, known: Known::default() }
    }

    /// Reads rows of a group of `count` rows; ranges are in order and do not overlap.
    pub(super) fn read(
        &mut self,
        group: usize,
        count: usize,
        ranges: &[Range<usize>],
        each: &mut impl FnMut(Span),
    ) -> Result<(), BlockError> {
        let mut pieces: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            let mut begin = range.start;
            while begin < range.end {
                let end = range.end.min((begin / PAGE_ROWS + 1) * PAGE_ROWS);
                pieces.push(begin..end);
                begin = end;
            }
        }
        for pieces in pieces.chunk_by(|a, b| a.start / PAGE_ROWS == b.start / PAGE_ROWS) {
            let page = pieces[0].start / PAGE_ROWS;
            let begin = page * PAGE_ROWS;
            let mut set = self.page_set(group, page, begin..count.min(begin + PAGE_ROWS))?;
            for row in pieces.iter().cloned().flatten() {
                each(self.span(&mut set, row - begin)?);
            }
        }
        Ok(())
    }

    fn page_set(
        &mut self,
        group: usize,
        page: usize,
        rows: Range<usize>,
    ) -> Result<PageSet, BlockError> {
        let columns = (0..place::TAGS)
            .map(|column| self.pages.page(group, column, page, rows.clone()))
            .collect::<Result<_, _>>()?;
        Ok(PageSet { group, page, rows, columns, tags: HashMap::new() })
    }

    fn span(&mut self, set: &mut PageSet, row: usize) -> Result<Span, BlockError> {
        let tags = self.tags(set, row)?;
        let known = &mut self.known;
        let column = |at: usize| set.columns[at].as_ref();
        let text = |at: usize| column(at).and_then(|page| page.text(row));
        let word64 = |at: usize| column(at).and_then(|page| page.word64(row));
        let word32 = |at: usize| column(at).and_then(|page| page.word32(row));
        let is_true = |at: usize| column(at).and_then(|page| page.is_true(row)).unwrap_or(false);
        let trace_id = column(place::TRACE_ID).and_then(|page| page.id(row));
        let trace_id = trace_id.and_then(|id| TraceId::new(u128::from_be_bytes(id)));
        let ids = trace_id.zip(word64(place::SPAN_ID));
        let (trace_id, id) = ids.ok_or(BlockError::Row("a span without ids"))?;
        let mut span = Span::new(trace_id, SpanId::from_raw(id));
        span.parent_id = match word32(place::PARENT_DELTA) {
            Some(delta) => {
                let rows = i64::try_from(row).unwrap_or(i64::MAX) - i64::from(delta.cast_signed());
                let parent = usize::try_from(rows).ok().filter(|row| *row < set.rows.len());
                let parent = parent.and_then(|row| column(place::SPAN_ID)?.word64(row));
                Some(parent.ok_or(BlockError::Row("a parent outside its page"))?)
            }
            None => word64(place::PARENT_ID),
        }
        .map(SpanId::from_raw);
        span.kind = text(place::KIND).map(parse_kind).transpose()?;
        span.name = own(text(place::NAME).unwrap_or_default())?;
        span.timestamp = word64(place::START).map(Timestamp::from_nanos);
        span.duration = word64(place::DURATION).map(Duration::from_nanos);
        let endpoint =
            |at: usize| endpoint(text(at), text(at + 1), word32(at + 2)).map(Endpoint::into_option);
        span.local_endpoint = endpoint(place::LOCAL)?;
        span.remote_endpoint = endpoint(place::REMOTE)?;
        span.shared = is_true(place::SHARED);
        span.debug = is_true(place::DEBUG);
        span.status.code = text(place::STATUS).map_or(Ok(StatusCode::Unset), parse_status)?;
        span.status.message = own(text(place::STATUS_MESSAGE).unwrap_or_default())?;
        span.trace_state = own(text(place::TRACE_STATE).unwrap_or_default())?;
        span.flags = word32(place::FLAGS).unwrap_or(0);
        span.resource = text(place::RESOURCE)
            .map(|bytes| shared(&mut known.resources, bytes, json::resource))
            .transpose()?;
        span.scope = text(place::SCOPE)
            .map(|bytes| shared(&mut known.scopes, bytes, json::scope))
            .transpose()?;
        span.target = text(place::TARGET)
            .map(|bytes| shared(&mut known.targets, bytes, json::labels))
            .transpose()?;
        if let Some(links) = text(place::LINKS) {
            span.links = json::links(str_of(links)?)?;
        }
        span.annotations = annotations(&set.columns, row)?;
        span.tags = tags;
        if let Some(ext) = text(place::EXT) {
            Ext::apply(ext, &mut span)?;
        }
        Ok(span)
    }

    /// The span's own tags, in their order.
    fn tags(&mut self, set: &mut PageSet, row: usize) -> Result<Tags, BlockError> {
        let columns = &set.columns;
        let shape = columns[place::TAG_SHAPE].as_ref().and_then(|page| page.text(row));
        let Some(mut shape) = shape else { return Ok(Tags::new()) };
        let rest = columns[place::TAGS_REST].as_ref().and_then(|page| page.text(row));
        let rest = rest.map_or(Ok(Tags::new()), read_tags);
        let mut rest = rest?.into_iter();
        let mut tags = Tags::new();
        while !shape.is_empty() {
            let number = usize::try_from(take_uint(&mut shape)?).unwrap_or(usize::MAX);
            let missing = BlockError::Row("a tag that is missing");
            let Some(at) = number.checked_sub(1) else {
                tags.push(rest.next().ok_or(missing)?);
                continue;
            };
            let Some(column) = self.tag_columns.get(at) else { return Err(missing) };
            if !set.tags.contains_key(&at) {
                let PageSet { group, page, ref rows, .. } = *set;
                let read = self.pages.page(group, place::TAGS + at, page, rows.clone())?;
                set.tags.insert(at, read.ok_or(missing)?);
            }
            let page = &set.tags[&at];
            let value = match column.sort {
                TagSort::Text => page.text(row).map(own).transpose()?.map(Value::Str),
                TagSort::Int => page.word64(row).map(|word| Value::Int(word.cast_signed())),
                TagSort::Double => page.word64(row).map(|bits| Value::Double(f64::from_bits(bits))),
                TagSort::Bool => page.is_true(row).map(Value::Bool),
            };
            let missing = BlockError::Row("a tag that is missing");
            tags.push((column.key.clone(), value.ok_or(missing)?));
        }
        Ok(tags)
    }
}

fn annotations(columns: &[Option<Page>], row: usize) -> Result<Vec<Annotation>, BlockError> {
    let [times, values, tags] =
        [place::ANNOTATION_TIME, place::ANNOTATION_VALUE, place::ANNOTATION_TAGS]
            .map(|at| columns[at].as_ref());
    let (Some(times), Some(values)) = (times, values) else { return Ok(Vec::new()) };
    let missing = || BlockError::Row("half of an annotation");
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

fn endpoint(
    service: Option<&[u8]>,
    address: Option<&[u8]>,
    port: Option<u32>,
) -> Result<Endpoint, BlockError> {
    let mut endpoint =
        Endpoint { service_name: own(service.unwrap_or_default())?, ..Endpoint::default() };
    match address.map(|address| str_of(address).map(str::parse)).transpose()? {
        None => {}
        Some(Ok(IpAddr::V4(ip))) => endpoint.ipv4 = Some(ip),
        Some(Ok(IpAddr::V6(ip))) => endpoint.ipv6 = Some(ip),
        Some(Err(_)) => return Err(BlockError::Row("an address that is none")),
    }
    let port = u16::try_from(port.unwrap_or(0));
    endpoint.port = port.map_err(|_| BlockError::Row("a port out of range"))?;
    Ok(endpoint)
}

/// What rows share, read once.
#[derive(Default)]
struct Known {
    targets: HashMap<Vec<u8>, Arc<Labels>>,
    resources: HashMap<Vec<u8>, Arc<Resource>>,
    scopes: HashMap<Vec<u8>, Arc<Scope>>,
}

fn shared<T>(
    known: &mut HashMap<Vec<u8>, Arc<T>>,
    bytes: &[u8],
    read: impl FnOnce(&str) -> Result<T, Malformed>,
) -> Result<Arc<T>, BlockError> {
    if let Some(value) = known.get(bytes) {
        return Ok(value.clone());
    }
    let value = Arc::new(read(str_of(bytes)?)?);
    known.insert(bytes.to_vec(), value.clone());
    Ok(value)
}

fn parse_kind(kind: &[u8]) -> Result<Kind, BlockError> {
    let kinds = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];
    let found = kinds.into_iter().find(|known| known.as_str().as_bytes() == kind);
    found.ok_or(BlockError::Row("an unknown kind"))
}

fn parse_status(status: &[u8]) -> Result<StatusCode, BlockError> {
    let known = [StatusCode::Ok, StatusCode::Error];
    let found =
        known.into_iter().find(|code| code.as_tag().is_some_and(|tag| tag.as_bytes() == status));
    found.ok_or(BlockError::Row("an unknown status"))
}

fn read_tags(bytes: &[u8]) -> Result<Tags, BlockError> {
    Ok(json::tags(str_of(bytes)?)?)
}

fn str_of(bytes: &[u8]) -> Result<&str, BlockError> {
    std::str::from_utf8(bytes).map_err(|_| BlockError::Row("a text that is no UTF-8"))
}

fn own(bytes: &[u8]) -> Result<String, BlockError> {
    str_of(bytes).map(str::to_owned)
}

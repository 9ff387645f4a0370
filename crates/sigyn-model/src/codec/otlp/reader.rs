//! Reading: known fields by number, all others skipped, and a bad span on its own.
//!
//! Fields may come in any order, so what spans share is read before them. Text that is no UTF-8 gets
//! U+FFFD where it is broken.

use std::sync::Arc;
use std::time::Duration;

use super::facts::{self, Facts};
use super::{SERVICE_NAME, kind, remote};
use crate::codec::proto::{Fields, ProtoError, Wire};
use crate::codec::{ANNOTATIONS_MAX, DecodeError, Decoded, LINKS_MAX, Limits, Meter};
use crate::value::{self, TAGS_MAX, push_tag};
use crate::{
    Annotation, Kind, Link, Resource, Scope, Span, SpanId, Status, StatusCode, Tags, Timestamp,
    TraceId, Value,
};

/// How deep lists and maps may nest in a value.
const VALUE_DEPTH_MAX: u32 = 64;

/// In bytes.
const SERVICE_NAME_MAX: usize = 1_024;

/// Attributes of a resource or a scope; further ones are dropped. All of its spans are searched by them.
const ORIGIN_TAGS_MAX: usize = 1_000;

/// A body with more bad spans than this is no list of spans.
const PROBLEMS_MAX: usize = 10_000;

/// Why a span cannot be kept.
#[derive(Debug, thiserror::Error)]
enum BadSpan {
    #[error("{field} has {length} bytes, not {expected}")]
    IdLength { field: &'static str, length: usize, expected: usize },
    #[error("{field} is all zeros")]
    ZeroId { field: &'static str },
    #[error(transparent)]
    Wire(#[from] ProtoError),
}

/// Reads an `ExportTraceServiceRequest`. A bad span is a problem and takes no other with it.
pub fn decode(body: &[u8]) -> Result<Decoded, DecodeError> {
    decode_within(body, Limits::default())
}

/// The same for a body that must not become more spans than a reader has room for.
pub fn decode_within(body: &[u8], limits: Limits) -> Result<Decoded, DecodeError> {
    let refused = |cause: ProtoError| DecodeError {
        over_limit: matches!(cause, ProtoError::OverLimit(_)),
        ..DecodeError::new(format!("{cause} reading ExportTraceServiceRequest from protobuf"))
    };
    let meter = Meter::new(limits, body.len()).map_err(|over| refused(over.into()))?;
    let mut reader = Reader { decoded: Decoded::default(), seen: 0, meter };
    reader.request(body).map_err(refused)?;
    let problems = reader.decoded.problems.len();
    if problems > PROBLEMS_MAX {
        let first = &reader.decoded.problems[0];
        return Err(DecodeError::new(format!("more than {PROBLEMS_MAX} bad spans, first {first}")));
    }
    Ok(reader.decoded)
}

struct Reader {
    decoded: Decoded,
    /// How many spans have been read, good or bad.
    seen: usize,
    meter: Meter,
}

/// What the spans of one resource share.
struct Origin {
    resource: Option<Arc<Resource>>,
    /// Lower case; empty means absent.
    service_name: String,
}

impl Reader {
    fn request(&mut self, body: &[u8]) -> Result<(), ProtoError> {
        for field in Fields::new(body) {
            if let (1, Wire::Bytes(message)) = field? {
                self.resource_spans(message)?;
            }
        }
        Ok(())
    }

    fn resource_spans(&mut self, message: &[u8]) -> Result<(), ProtoError> {
        let mut resource: Option<Tags> = None;
        for field in Fields::new(message) {
            if let (1, Wire::Bytes(message)) = field? {
                self.resource(message, resource.get_or_insert_default())?;
            }
        }
        let origin = Origin::new(resource);
        for field in Fields::new(message) {
            if let (2, Wire::Bytes(message)) = field? {
                self.scope_spans(message, &origin)?;
            }
        }
        Ok(())
    }

    fn resource(&mut self, message: &[u8], tags: &mut Tags) -> Result<(), ProtoError> {
        for field in Fields::new(message) {
            if let (1, Wire::Bytes(attribute)) = field? {
                push_tag(tags, read_tag(attribute, &mut self.meter)?, &mut 0);
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, message: &[u8], origin: &Origin) -> Result<(), ProtoError> {
        let mut scope: Option<Scope> = None;
        for field in Fields::new(message) {
            if let (1, Wire::Bytes(message)) = field? {
                read_scope(message, scope.get_or_insert_default(), &mut self.meter)?;
            }
        }
        let scope = scope.map(|mut scope| {
            value::bound(&mut scope.tags, ORIGIN_TAGS_MAX);
            Arc::new(scope)
        });
        for field in Fields::new(message) {
            if let (2, Wire::Bytes(message)) = field? {
                self.meter.add_span()?;
                match read_span(message, origin, &mut self.meter) {
                    Ok(span) => {
                        self.decoded.spans.push(Span {
                            scope: scope.clone(),
                            resource: origin.resource.clone(),
                            ..span
                        });
                    }
                    Err(BadSpan::Wire(over @ ProtoError::OverLimit(_))) => return Err(over),
                    Err(problem) if self.decoded.problems.len() <= PROBLEMS_MAX => {
                        self.decoded.problems.push(format!("span {}: {problem}", self.seen));
                    }
                    Err(_) => {}
                }
                self.seen += 1;
            }
        }
        Ok(())
    }
}

impl Origin {
    fn new(resource: Option<Tags>) -> Self {
        let Some(mut tags) = resource else {
            return Self { resource: None, service_name: String::new() };
        };
        value::bound(&mut tags, ORIGIN_TAGS_MAX);
        let service_name = service_name(&tags);
        let synthetic =
            |(key, value): &(String, Value)| key == facts::SYNTHETIC && *value == Value::Bool(true);
        if tags.iter().any(synthetic) {
            return Self { resource: None, service_name };
        }
        for (key, _) in &mut tags {
            *key = facts::unescaped(std::mem::take(key));
        }
        Self { resource: Some(Arc::new(Resource { tags, ..Resource::default() })), service_name }
    }
}

/// The name that a resource gives to its service, as a local endpoint has it.
pub(super) fn service_name(tags: &Tags) -> String {
    let value = tags.iter().find(|(key, _)| key == SERVICE_NAME).map(|(_, value)| value.text());
    value.map_or_else(String::new, |name| as_service_name(&name))
}

/// A service's name as a local endpoint has it. One text of megabytes would be copied into each of
/// its spans, so one that is too long to be a name is none.
pub(super) fn as_service_name(text: &str) -> String {
    if text.len() > SERVICE_NAME_MAX { String::new() } else { text.to_lowercase() }
}

fn read_scope(message: &[u8], scope: &mut Scope, meter: &mut Meter) -> Result<(), ProtoError> {
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(name)) => scope.name = text(name),
            (2, Wire::Bytes(version)) => scope.version = text(version),
            (3, Wire::Bytes(attribute)) => {
                push_tag(&mut scope.tags, read_tag(attribute, meter)?, &mut 0);
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_span(message: &[u8], origin: &Origin, meter: &mut Meter) -> Result<Span, BadSpan> {
    let mut span = read_ids(message)?;
    meter.add(origin.service_name.len()).map_err(ProtoError::from)?;
    // Dropped by the sender; what is dropped here is added.
    let (mut tags_before, mut annotations_before) = (0, 0);
    let mut facts = Facts::default();
    let (mut start, mut end) = (0, 0);
    for field in Fields::new(message) {
        match field? {
            (3, Wire::Bytes(state)) => span.trace_state = text(state),
            (5, Wire::Bytes(name)) => span.name = text(name).to_lowercase(),
            (6, Wire::Varint(number)) => span.kind = as_kind(number),
            (7, Wire::Fixed64(nanos)) => start = nanos,
            (8, Wire::Fixed64(nanos)) => end = nanos,
            (9, Wire::Bytes(attribute)) => {
                let (key, value) = read_tag(attribute, meter)?;
                if let Some(tag) = facts.take(key, value) {
                    push_tag(&mut span.tags, tag, &mut span.dropped_tags);
                }
            }
            (10, Wire::Varint(count)) => tags_before = as_count(count),
            (11, Wire::Bytes(event)) => {
                let event = read_event(event, meter)?;
                if span.annotations.len() < ANNOTATIONS_MAX {
                    span.annotations.push(event);
                } else {
                    span.dropped_annotations = span.dropped_annotations.saturating_add(1);
                }
            }
            (12, Wire::Varint(count)) => annotations_before = as_count(count),
            (13, Wire::Bytes(link)) => match read_link(link, meter) {
                Ok(link) if span.links.len() < LINKS_MAX => span.links.push(link),
                Err(BadSpan::Wire(error)) => return Err(error.into()),
                // A link to nowhere is no reason to lose the span.
                Ok(_) | Err(_) => span.dropped_links = span.dropped_links.saturating_add(1),
            },
            (14, Wire::Varint(count)) => {
                span.dropped_links = span.dropped_links.saturating_add(as_count(count));
            }
            (15, Wire::Bytes(status)) => read_status(status, &mut span.status)?,
            _ => {}
        }
    }
    if span.id.as_u64() == 0 && !facts.zero_id {
        return Err(zero("span_id"));
    }
    span.dropped_tags = span.dropped_tags.saturating_add(tags_before);
    span.dropped_annotations = span.dropped_annotations.saturating_add(annotations_before);
    span.timestamp = (start > 0).then(|| Timestamp::from_nanos(start));
    span.duration = facts.duration.or_else(|| duration(start, end));
    span.debug = facts.debug;
    span.shared = facts.shared;
    span.normalize();
    span.local_endpoint = facts.local_endpoint(&origin.service_name);
    span.remote_endpoint = facts.remote_endpoint(|| remote::endpoint(span.kind, &span.tags));
    Ok(span)
}

/// A span with its ids alone. Its own may be zero.
fn read_ids(message: &[u8]) -> Result<Span, BadSpan> {
    let (mut trace_id, mut id, mut parent_id): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(bytes)) => trace_id = bytes,
            (2, Wire::Bytes(bytes)) => id = bytes,
            (4, Wire::Bytes(bytes)) => parent_id = bytes,
            _ => {}
        }
    }
    let trace_id = as_trace_id(trace_id)?;
    let id = SpanId::from_raw(u64::from_be_bytes(id_bytes("span_id", id)?));
    let mut span = Span::new(trace_id, id);
    if !parent_id.is_empty() {
        // Some senders spell "no parent" as zeros.
        span.parent_id = SpanId::new(u64::from_be_bytes(id_bytes("parent_span_id", parent_id)?));
    }
    Ok(span)
}

/// A span that ended in the nanosecond in which it began did end; one that ended before it began, or
/// whose start or end is not known, has no duration.
fn duration(start: u64, end: u64) -> Option<Duration> {
    let known = start > 0 && end >= start;
    known.then(|| Duration::from_nanos((end - start).max(1)))
}

fn read_event(message: &[u8], meter: &mut Meter) -> Result<Annotation, ProtoError> {
    meter.add(size_of::<Annotation>())?;
    let mut dropped_before = 0;
    let mut event = Annotation {
        timestamp: Timestamp::from_nanos(0),
        value: String::new(),
        tags: Vec::new(),
        dropped_tags: 0,
    };
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Fixed64(nanos)) => event.timestamp = Timestamp::from_nanos(nanos),
            (2, Wire::Bytes(name)) => event.value = text(name),
            (3, Wire::Bytes(attribute)) => {
                push_tag(&mut event.tags, read_tag(attribute, meter)?, &mut event.dropped_tags);
            }
            (4, Wire::Varint(count)) => dropped_before = as_count(count),
            _ => {}
        }
    }
    let over = value::bound(&mut event.tags, TAGS_MAX).saturating_add(dropped_before);
    event.dropped_tags = event.dropped_tags.saturating_add(over);
    Ok(event)
}

fn read_link(message: &[u8], meter: &mut Meter) -> Result<Link, BadSpan> {
    meter.add(size_of::<Link>()).map_err(ProtoError::from)?;
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    let (mut trace_state, mut tags) = (String::new(), Vec::new());
    let (mut dropped_tags, mut dropped_before) = (0u32, 0);
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(bytes)) => trace_id = bytes,
            (2, Wire::Bytes(bytes)) => span_id = bytes,
            (3, Wire::Bytes(state)) => trace_state = text(state),
            (4, Wire::Bytes(attribute)) => {
                push_tag(&mut tags, read_tag(attribute, meter)?, &mut dropped_tags);
            }
            (5, Wire::Varint(count)) => dropped_before = as_count(count),
            _ => {}
        }
    }
    let over = value::bound(&mut tags, TAGS_MAX).saturating_add(dropped_before);
    let span_id = SpanId::new(u64::from_be_bytes(id_bytes("span_id", span_id)?));
    Ok(Link {
        trace_id: as_trace_id(trace_id)?,
        span_id: span_id.ok_or(zero("span_id"))?,
        trace_state,
        tags,
        dropped_tags: dropped_tags.saturating_add(over),
        flags: 0,
    })
}

fn read_status(message: &[u8], status: &mut Status) -> Result<(), ProtoError> {
    for field in Fields::new(message) {
        match field? {
            (2, Wire::Bytes(message)) => status.message = text(message),
            (3, Wire::Varint(code)) => {
                status.code = match code {
                    1 => StatusCode::Ok,
                    2 => StatusCode::Error,
                    _ => StatusCode::Unset,
                };
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_tag(message: &[u8], meter: &mut Meter) -> Result<(String, Value), ProtoError> {
    read_key_value(message, VALUE_DEPTH_MAX, meter)
}

fn read_key_value(
    message: &[u8],
    depth: u32,
    meter: &mut Meter,
) -> Result<(String, Value), ProtoError> {
    meter.add_tag()?;
    let (mut key, mut value) = (String::new(), Value::Empty);
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(bytes)) => key = text(bytes),
            (2, Wire::Bytes(message)) => value = read_value(message, depth, meter)?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn read_value(message: &[u8], depth: u32, meter: &mut Meter) -> Result<Value, ProtoError> {
    let depth = depth.checked_sub(1).ok_or(ProtoError::Depth)?;
    let mut value = Value::Empty;
    for field in Fields::new(message) {
        value = match field? {
            (1, Wire::Bytes(bytes)) => Value::Str(text(bytes)),
            (2, Wire::Varint(number)) => Value::Bool(number != 0),
            (3, Wire::Varint(number)) => Value::Int(number.cast_signed()),
            (4, Wire::Fixed64(bits)) => Value::Double(f64::from_bits(bits)),
            (5, Wire::Bytes(message)) => {
                let mut values = Vec::new();
                for field in Fields::new(message) {
                    if let (1, Wire::Bytes(message)) = field? {
                        meter.add(size_of::<Value>())?;
                        values.push(read_value(message, depth, meter)?);
                    }
                }
                Value::List(values)
            }
            (6, Wire::Bytes(message)) => {
                let mut entries = Vec::new();
                for field in Fields::new(message) {
                    if let (1, Wire::Bytes(message)) = field? {
                        entries.push(read_key_value(message, depth, meter)?);
                    }
                }
                Value::Map(entries)
            }
            (7, Wire::Bytes(bytes)) => Value::Bytes(bytes.to_vec()),
            _ => value,
        };
    }
    Ok(value)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn as_kind(number: u64) -> Option<Kind> {
    match number {
        kind::SERVER => Some(Kind::Server),
        kind::CLIENT => Some(Kind::Client),
        kind::PRODUCER => Some(Kind::Producer),
        kind::CONSUMER => Some(Kind::Consumer),
        _ => None,
    }
}

fn as_count(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn as_trace_id(bytes: &[u8]) -> Result<TraceId, BadSpan> {
    let id = u128::from_be_bytes(id_bytes("trace_id", bytes)?);
    TraceId::new(id).ok_or(zero("trace_id"))
}

fn id_bytes<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], BadSpan> {
    let length = bytes.len();
    bytes.try_into().map_err(|_| BadSpan::IdLength { field, length, expected: N })
}

fn zero(field: &'static str) -> BadSpan {
    BadSpan::ZeroId { field }
}

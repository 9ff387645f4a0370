//! `ExportTraceServiceRequest` by prost, mapped by OTLP's definitions.

use std::sync::Arc;
use std::time::Duration;

use sigyn_model::{
    Annotation, Endpoint, Kind, Link, Resource, Scope, Span, SpanId, Status, StatusCode, Timestamp,
    TraceId, Value,
};

use crate::proto::{self, field_numbers, stands_twice, text};
use crate::tags::last_of_each;
use crate::{Theirs, Trouble};

#[derive(prost::Message)]
pub(crate) struct Request {
    #[prost(message, repeated, tag = "1")]
    pub(crate) resource_spans: Vec<ResourceSpans>,
}

#[derive(prost::Message)]
struct RawRequest {
    #[prost(bytes = "vec", repeated, tag = "1")]
    resource_spans: Vec<Vec<u8>>,
}

#[derive(prost::Message)]
pub(crate) struct ResourceSpans {
    #[prost(message, tag = "1")]
    pub(crate) resource: Option<ProtoResource>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) scope_spans: Vec<ScopeSpans>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) schema_url: Vec<u8>,
}

#[derive(prost::Message)]
pub(crate) struct ProtoResource {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) attributes: Vec<Vec<u8>>,
    #[prost(uint64, tag = "2")]
    pub(crate) dropped: u64,
}

#[derive(prost::Message)]
pub(crate) struct ScopeSpans {
    #[prost(message, tag = "1")]
    pub(crate) scope: Option<ProtoScope>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(crate) spans: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) schema_url: Vec<u8>,
}

#[derive(prost::Message)]
pub(crate) struct ProtoScope {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) version: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(crate) attributes: Vec<Vec<u8>>,
    #[prost(uint64, tag = "4")]
    pub(crate) dropped: u64,
}

#[derive(prost::Message)]
pub(crate) struct ProtoSpan {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) trace_state: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) parent_span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) name: Vec<u8>,
    #[prost(uint64, tag = "6")]
    pub(crate) kind: u64,
    #[prost(fixed64, tag = "7")]
    pub(crate) start: u64,
    #[prost(fixed64, tag = "8")]
    pub(crate) end: u64,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub(crate) attributes: Vec<Vec<u8>>,
    #[prost(uint64, tag = "10")]
    pub(crate) dropped_attributes: u64,
    #[prost(message, repeated, tag = "11")]
    pub(crate) events: Vec<Event>,
    #[prost(uint64, tag = "12")]
    pub(crate) dropped_events: u64,
    #[prost(message, repeated, tag = "13")]
    pub(crate) links: Vec<ProtoLink>,
    #[prost(uint64, tag = "14")]
    pub(crate) dropped_links: u64,
    #[prost(message, tag = "15")]
    pub(crate) status: Option<ProtoStatus>,
    #[prost(fixed32, tag = "16")]
    pub(crate) flags: u32,
}

#[derive(prost::Message)]
pub(crate) struct Event {
    #[prost(fixed64, tag = "1")]
    pub(crate) time: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) name: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(crate) attributes: Vec<Vec<u8>>,
    #[prost(uint64, tag = "4")]
    pub(crate) dropped: u64,
}

#[derive(prost::Message)]
pub(crate) struct ProtoLink {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) trace_state: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub(crate) attributes: Vec<Vec<u8>>,
    #[prost(uint64, tag = "5")]
    pub(crate) dropped: u64,
    #[prost(fixed32, tag = "6")]
    pub(crate) flags: u32,
}

#[derive(prost::Message)]
pub(crate) struct ProtoStatus {
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) message: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub(crate) code: u64,
}

#[derive(prost::Message)]
pub(crate) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) value: Option<Vec<u8>>,
}

#[derive(prost::Message)]
pub(crate) struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(crate) value: Option<Any>,
}

#[derive(prost::Oneof)]
pub(crate) enum Any {
    #[prost(bytes = "vec", tag = "1")]
    Str(Vec<u8>),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(Messages),
    #[prost(message, tag = "6")]
    KvList(Messages),
    #[prost(bytes = "vec", tag = "7")]
    Bytes(Vec<u8>),
}

#[derive(prost::Message)]
pub(crate) struct Messages {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) messages: Vec<Vec<u8>>,
}

pub(crate) fn read(body: &[u8]) -> Result<Theirs, Trouble> {
    let request: RawRequest = proto::decode(body)?;
    let mut theirs = Theirs { spans: Vec::new(), problems: 0 };
    for resource_spans in request.resource_spans {
        // Parts of one message are put together before we look whether each is whole.
        if stands_twice(&resource_spans, 1) {
            return Err(Trouble::Unclear);
        }
        let resource_spans: ResourceSpans = proto::decode(&resource_spans)?;
        let url = text(&resource_spans.schema_url);
        let resource = resource_spans
            .resource
            .map(|resource| {
                Ok::<_, Trouble>(Resource {
                    tags: attributes(&resource.attributes)?,
                    dropped_tags: count(resource.dropped),
                    schema_url: url.clone(),
                })
            })
            .transpose()?;
        if resource.is_none() && !url.is_empty() {
            return Err(Trouble::Unclear);
        }
        let local = resource.as_ref().and_then(|resource| {
            let name = resource.tags.iter().find(|(key, _)| key == "service.name")?;
            Endpoint::named(&name.1.text()).into_option()
        });
        let resource = resource.map(Arc::new);
        for scope_spans in resource_spans.scope_spans {
            let url = text(&scope_spans.schema_url);
            if scope_spans.scope.is_none() && !url.is_empty() {
                return Err(Trouble::Unclear);
            }
            let scope = scope_spans
                .scope
                .map(|scope| {
                    Ok::<_, Trouble>(Arc::new(Scope {
                        name: text(&scope.name),
                        version: text(&scope.version),
                        tags: attributes(&scope.attributes)?,
                        dropped_tags: count(scope.dropped),
                        schema_url: url,
                    }))
                })
                .transpose()?;
            for span in scope_spans.spans {
                match read_span(&span) {
                    Ok(span) => theirs.spans.push(Span {
                        local_endpoint: local.clone(),
                        resource: resource.clone(),
                        scope: scope.clone(),
                        ..span
                    }),
                    Err(Trouble::Bad(_)) => theirs.problems += 1,
                    Err(Trouble::Unclear) => return Err(Trouble::Unclear),
                }
            }
        }
    }
    Ok(theirs)
}

fn read_span(bytes: &[u8]) -> Result<Span, Trouble> {
    let sent: ProtoSpan = proto::decode(bytes)?;
    let bad = |what: &str| Trouble::Bad(what.to_owned());
    let trace_id = trace_id(&sent.trace_id).ok_or(bad("trace id"))?;
    let id = span_id(&sent.span_id).ok_or(bad("span id"))?;
    let mut span = Span::new(trace_id, id.ok_or(bad("zero span id"))?);
    if !sent.parent_span_id.is_empty() {
        span.parent_id = span_id(&sent.parent_span_id).ok_or(bad("parent"))?;
    }
    span.trace_state = text(&sent.trace_state);
    span.name = text(&sent.name).to_lowercase();
    span.kind = match sent.kind {
        2 => Some(Kind::Server),
        3 => Some(Kind::Client),
        4 => Some(Kind::Producer),
        5 => Some(Kind::Consumer),
        _ => None,
    };
    span.timestamp = (sent.start > 0).then(|| Timestamp::from_nanos(sent.start));
    if sent.start > 0 && sent.end >= sent.start {
        span.duration = Some(Duration::from_nanos((sent.end - sent.start).max(1)));
    }
    span.tags = attributes(&sent.attributes)?;
    span.dropped_tags = count(sent.dropped_attributes);
    for event in sent.events {
        span.annotations.push(Annotation {
            timestamp: Timestamp::from_nanos(event.time),
            value: text(&event.name),
            tags: attributes(&event.attributes)?,
            dropped_tags: count(event.dropped),
        });
    }
    span.dropped_annotations = count(sent.dropped_events);
    span.dropped_links = count(sent.dropped_links);
    for link in sent.links {
        let tags = attributes(&link.attributes)?;
        match (self::trace_id(&link.trace_id), self::span_id(&link.span_id).flatten()) {
            (Some(trace_id), Some(span_id)) => span.links.push(Link {
                trace_id,
                span_id,
                trace_state: text(&link.trace_state),
                tags,
                dropped_tags: count(link.dropped),
                flags: link.flags,
            }),
            _ => span.dropped_links = span.dropped_links.saturating_add(1),
        }
    }
    if let Some(status) = sent.status {
        span.status = Status {
            code: match status.code {
                1 => StatusCode::Ok,
                2 => StatusCode::Error,
                _ => StatusCode::Unset,
            },
            message: text(&status.message),
        };
    }
    span.flags = sent.flags;
    span.normalize();
    Ok(span)
}

fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    TraceId::new(u128::from_be_bytes(bytes.try_into().ok()?))
}

/// `Some(None)` is an id of the right length that is zero.
fn span_id(bytes: &[u8]) -> Option<Option<SpanId>> {
    Some(SpanId::new(u64::from_be_bytes(bytes.try_into().ok()?)))
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn attributes(messages: &[Vec<u8>]) -> Result<Vec<(String, Value)>, Trouble> {
    let tags: Vec<_> = messages.iter().map(|m| key_value(m, 64)).collect::<Result<_, _>>()?;
    // What these mean is the reader's own; table tests have them.
    if tags.iter().any(|(key, _)| key.starts_with("zipkin.")) {
        return Err(Trouble::Unclear);
    }
    Ok(last_of_each(tags))
}

fn key_value(bytes: &[u8], depth: u32) -> Result<(String, Value), Trouble> {
    if stands_twice(bytes, 2) {
        return Err(Trouble::Unclear);
    }
    let pair: KeyValue = proto::decode(bytes)?;
    let value = match pair.value {
        Some(value) => any_value(&value, depth)?,
        None => Value::Empty,
    };
    Ok((text(&pair.key), value))
}

fn any_value(bytes: &[u8], depth: u32) -> Result<Value, Trouble> {
    // Deep values, and several in one, which prost merges.
    let depth = depth.checked_sub(1).ok_or(Trouble::Unclear)?;
    if field_numbers(bytes).len() > 1 {
        return Err(Trouble::Unclear);
    }
    let value: AnyValue = proto::decode(bytes)?;
    Ok(match value.value {
        None => Value::Empty,
        Some(Any::Str(bytes)) => Value::Str(text(&bytes)),
        Some(Any::Bool(value)) => Value::Bool(value),
        Some(Any::Int(value)) => Value::Int(value),
        Some(Any::Double(value)) => Value::Double(value),
        Some(Any::Bytes(bytes)) => Value::Bytes(bytes),
        Some(Any::Array(list)) => {
            let values = list.messages.iter().map(|value| any_value(value, depth));
            Value::List(values.collect::<Result<_, _>>()?)
        }
        Some(Any::KvList(list)) => {
            let pairs = list.messages.iter().map(|pair| key_value(pair, depth));
            Value::Map(last_of_each(pairs.collect::<Result<_, _>>()?))
        }
    })
}

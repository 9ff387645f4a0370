//! Writing: spans of one resource and scope together, in the order in which each first appeared.

use super::groups::Groups;
use super::{SERVICE_NAME, facts, kind, remote};
use crate::codec::proto::{
    put_bytes_field, put_fixed32_field, put_fixed64_field, put_message_field, put_text_field,
    put_varint_field, put_varint_field_always,
};
use crate::{Annotation, Kind, Link, Resource, Scope, Span, StatusCode, Tags, Value};

/// Writes an `ExportTraceServiceRequest`, spans grouped by resource and scope in order of appearance.
pub fn encode<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Vec<u8> {
    let mut groups: Groups<'_, Vec<u8>, Vec<u8>> = Groups::new(encoded_resource, encoded_scope);
    for span in spans {
        let (service_name, out) = groups.of(span);
        put_message_field(out, 2, |out| write_span(span, service_name, out));
    }
    let mut out = Vec::new();
    for group in &groups.groups {
        put_message_field(&mut out, 1, |out| {
            out.extend_from_slice(&group.resource);
            for scope in &group.scopes {
                put_message_field(out, 2, |out| {
                    out.extend_from_slice(&scope.scope);
                    out.extend_from_slice(&scope.spans);
                });
            }
        });
    }
    out
}

/// A span without resource but with a local service gets one made up, so that every reader of OTLP
/// knows the service.
fn encoded_resource(span: &Span) -> Vec<u8> {
    let mut out = Vec::new();
    match (span.resource.as_deref(), span.service_name()) {
        (Some(Resource { tags, dropped_tags, schema_url }), _) => {
            put_message_field(&mut out, 1, |out| {
                for (key, value) in tags {
                    write_key_value(out, 1, &facts::escaped(key), value);
                }
                put_varint_field(out, 2, u64::from(*dropped_tags));
            });
            put_text_field(&mut out, 3, schema_url);
        }
        (None, Some(name)) => put_message_field(&mut out, 1, |out| {
            write_key_value(out, 1, SERVICE_NAME, &Value::from(name));
            write_key_value(out, 1, facts::SYNTHETIC, &Value::Bool(true));
        }),
        (None, None) => {}
    }
    out
}

fn encoded_scope(scope: &Scope) -> Vec<u8> {
    let mut out = Vec::new();
    put_message_field(&mut out, 1, |out| {
        put_text_field(out, 1, &scope.name);
        put_text_field(out, 2, &scope.version);
        write_tags(out, 3, &scope.tags);
        put_varint_field(out, 4, u64::from(scope.dropped_tags));
    });
    put_text_field(&mut out, 3, &scope.schema_url);
    out
}

fn write_span(span: &Span, service_name: &str, out: &mut Vec<u8>) {
    put_bytes_field(out, 1, &span.trace_id.as_u128().to_be_bytes());
    put_bytes_field(out, 2, &span.id.as_u64().to_be_bytes());
    put_text_field(out, 3, &span.trace_state);
    if let Some(parent_id) = span.parent_id {
        put_bytes_field(out, 4, &parent_id.as_u64().to_be_bytes());
    }
    put_text_field(out, 5, &span.name);
    put_varint_field(out, 6, kind_number(span.kind));
    let start = span.timestamp.map_or(0, |timestamp| timestamp.nanos());
    let end = end_of(span);
    for (number, nanos) in [(7, start), (8, end.unwrap_or(0))] {
        if nanos > 0 {
            put_fixed64_field(out, number, nanos);
        }
    }
    for (key, value) in &span.tags {
        write_key_value(out, 9, &facts::escaped(key), value);
    }
    let remote = remote::endpoint(span.kind, &span.tags);
    facts::tell(span, service_name, remote.as_ref(), end.is_some(), |key, value| {
        write_key_value(out, 9, key, &value);
    });
    put_varint_field(out, 10, u64::from(span.dropped_tags));
    for annotation in &span.annotations {
        put_message_field(out, 11, |out| write_event(annotation, out));
    }
    put_varint_field(out, 12, u64::from(span.dropped_annotations));
    for link in &span.links {
        put_message_field(out, 13, |out| write_link(link, out));
    }
    put_varint_field(out, 14, u64::from(span.dropped_links));
    let code = match span.status.code {
        StatusCode::Unset => 0,
        StatusCode::Ok => 1,
        StatusCode::Error => 2,
    };
    if code != 0 || !span.status.message.is_empty() {
        put_message_field(out, 15, |out| {
            put_text_field(out, 2, &span.status.message);
            put_varint_field(out, 3, code);
        });
    }
    put_fixed32_field(out, 16, span.flags);
}

/// When a span ended, if that is in reach of OTLP's clock and therefore tells its duration.
pub(in crate::codec) fn end_of(span: &Span) -> Option<u64> {
    let start = span.timestamp?.nanos();
    let duration = u64::try_from(span.duration?.as_nanos()).ok()?;
    start.checked_add(duration).filter(|_| start > 0)
}

fn write_event(event: &Annotation, out: &mut Vec<u8>) {
    if event.timestamp.nanos() > 0 {
        put_fixed64_field(out, 1, event.timestamp.nanos());
    }
    put_text_field(out, 2, &event.value);
    write_tags(out, 3, &event.tags);
    put_varint_field(out, 4, u64::from(event.dropped_tags));
}

fn write_link(link: &Link, out: &mut Vec<u8>) {
    put_bytes_field(out, 1, &link.trace_id.as_u128().to_be_bytes());
    put_bytes_field(out, 2, &link.span_id.as_u64().to_be_bytes());
    put_text_field(out, 3, &link.trace_state);
    write_tags(out, 4, &link.tags);
    put_varint_field(out, 5, u64::from(link.dropped_tags));
    put_fixed32_field(out, 6, link.flags);
}

fn write_tags(out: &mut Vec<u8>, number: u32, tags: &Tags) {
    for (key, value) in tags {
        write_key_value(out, number, key, value);
    }
}

fn write_key_value(out: &mut Vec<u8>, number: u32, key: &str, value: &Value) {
    put_message_field(out, number, |out| {
        put_text_field(out, 1, key);
        put_message_field(out, 2, |out| write_value(out, value));
    });
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Str(text) => put_bytes_field(out, 1, text.as_bytes()),
        Value::Bool(value) => put_varint_field_always(out, 2, u64::from(*value)),
        Value::Int(value) => put_varint_field_always(out, 3, value.cast_unsigned()),
        Value::Double(value) => put_fixed64_field(out, 4, value.to_bits()),
        Value::List(values) => put_message_field(out, 5, |out| {
            for value in values {
                put_message_field(out, 1, |out| write_value(out, value));
            }
        }),
        Value::Map(entries) => put_message_field(out, 6, |out| write_tags(out, 1, entries)),
        Value::Bytes(bytes) => put_bytes_field(out, 7, bytes),
        Value::Empty => {}
    }
}

fn kind_number(kind: Option<Kind>) -> u64 {
    match kind {
        None => kind::INTERNAL,
        Some(Kind::Server) => kind::SERVER,
        Some(Kind::Client) => kind::CLIENT,
        Some(Kind::Producer) => kind::PRODUCER,
        Some(Kind::Consumer) => kind::CONSUMER,
    }
}

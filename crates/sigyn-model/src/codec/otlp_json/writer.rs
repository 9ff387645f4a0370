//! Writing: spans of one resource and scope together, in the order in which each first appeared.

use std::borrow::Cow;

use crate::codec::json_text::Json;
use crate::codec::otlp::groups::Groups;
use crate::codec::otlp::{self, facts, remote};
use crate::codec::{base64, write_json_str};
use crate::{Annotation, Kind, Link, Scope, Span, StatusCode, Value};

/// Writes an `ExportTraceServiceRequest`, spans grouped by resource and scope in order of appearance.
pub fn encode<'a>(spans: impl IntoIterator<Item = &'a Span>) -> String {
    let mut groups: Groups<'_, String, Json> = Groups::new(resource, scope);
    for span in spans {
        let (service_name, out) = groups.of(span);
        write_span(out, span, service_name);
    }
    let mut out = Json::default();
    out.object(|out| {
        out.list_always("resourceSpans", &groups.groups, |out, group| {
            out.raw(&group.resource);
            out.list("scopeSpans", &group.scopes, |out, scope| {
                out.raw(&scope.scope);
                out.raw("\"spans\":[");
                out.0.push_str(&scope.spans.0);
                out.0.push(']');
            });
        });
    });
    out.0
}

/// The fields that say the resource of a span. One without resource but with a local service gets
/// one made up, so that every reader of OTLP knows the service.
fn resource(span: &Span) -> String {
    let mut out = Json::default();
    match (span.resource.as_deref(), span.service_name()) {
        (Some(resource), _) => {
            out.field("resource");
            out.object(|out| {
                out.list("attributes", &resource.tags, |out, (key, value)| {
                    write_key_value(out, &facts::escaped(key), value);
                });
                out.count("droppedAttributesCount", resource.dropped_tags);
            });
            out.text("schemaUrl", &resource.schema_url);
        }
        (None, Some(name)) => {
            let made_up =
                [(otlp::SERVICE_NAME, Value::from(name)), (facts::SYNTHETIC, Value::Bool(true))];
            out.field("resource");
            out.object(|out| {
                out.list("attributes", &made_up, |out, (key, value)| {
                    write_key_value(out, key, value);
                });
            });
        }
        (None, None) => {}
    }
    out.0
}

/// The fields that say a scope.
fn scope(scope: &Scope) -> String {
    let mut out = Json::default();
    out.field("scope");
    out.object(|out| {
        out.text("name", &scope.name);
        out.text("version", &scope.version);
        write_tags(out, &scope.tags);
        out.count("droppedAttributesCount", scope.dropped_tags);
    });
    out.text("schemaUrl", &scope.schema_url);
    out.0
}

fn write_span(out: &mut Json, span: &Span, service_name: &str) {
    out.comma();
    out.object(|out| {
        out.quoted("traceId", format_args!("{:032x}", span.trace_id.as_u128()));
        out.quoted("spanId", format_args!("{}", span.id));
        if let Some(parent_id) = span.parent_id {
            out.quoted("parentSpanId", format_args!("{parent_id}"));
        }
        out.text("traceState", &span.trace_state);
        out.count("flags", span.flags);
        out.text("name", &span.name);
        out.count("kind", kind_number(span.kind));
        let start = span.timestamp.map_or(0, |timestamp| timestamp.nanos());
        let end = otlp::end_of(span);
        out.nanos("startTimeUnixNano", start);
        out.nanos("endTimeUnixNano", end.unwrap_or(0));
        let mut tags: Vec<(Cow<'_, str>, Cow<'_, Value>)> = Vec::new();
        for (key, value) in &span.tags {
            tags.push((facts::escaped(key), Cow::Borrowed(value)));
        }
        let remote = remote::endpoint(span.kind, &span.tags);
        facts::tell(span, service_name, remote.as_ref(), end.is_some(), |key, value| {
            tags.push((key.into(), Cow::Owned(value)));
        });
        out.list("attributes", &tags, |out, (key, value)| write_key_value(out, key, value));
        out.count("droppedAttributesCount", span.dropped_tags);
        out.list("events", &span.annotations, write_event);
        out.count("droppedEventsCount", span.dropped_annotations);
        out.list("links", &span.links, write_link);
        out.count("droppedLinksCount", span.dropped_links);
        let code = match span.status.code {
            StatusCode::Unset => 0,
            StatusCode::Ok => 1,
            StatusCode::Error => 2,
        };
        if code != 0 || !span.status.message.is_empty() {
            out.field("status");
            out.object(|out| {
                out.text("message", &span.status.message);
                out.count("code", code);
            });
        }
    });
}

fn write_event(out: &mut Json, event: &Annotation) {
    out.nanos("timeUnixNano", event.timestamp.nanos());
    out.text("name", &event.value);
    write_tags(out, &event.tags);
    out.count("droppedAttributesCount", event.dropped_tags);
}

fn write_link(out: &mut Json, link: &Link) {
    out.quoted("traceId", format_args!("{:032x}", link.trace_id.as_u128()));
    out.quoted("spanId", format_args!("{}", link.span_id));
    out.text("traceState", &link.trace_state);
    write_tags(out, &link.tags);
    out.count("droppedAttributesCount", link.dropped_tags);
    out.count("flags", link.flags);
}

fn write_tags(out: &mut Json, tags: &[(String, Value)]) {
    out.list("attributes", tags, |out, (key, value)| write_key_value(out, key, value));
}

fn write_key_value(out: &mut Json, key: &str, value: &Value) {
    out.field("key");
    write_json_str(&mut out.0, key);
    out.field("value");
    out.object(|out| write_value(out, value));
}

fn write_value(out: &mut Json, value: &Value) {
    match value {
        Value::Str(text) => {
            out.field("stringValue");
            write_json_str(&mut out.0, text);
        }
        Value::Bool(value) => {
            out.field("boolValue");
            out.display(format_args!("{value}"));
        }
        Value::Int(value) => out.quoted("intValue", format_args!("{value}")),
        Value::Double(value) if value.is_finite() => {
            out.field("doubleValue");
            out.display(format_args!("{value}"));
        }
        Value::Double(value) => {
            let word = match (value.is_nan(), *value > 0.0) {
                (true, _) => "NaN",
                (false, true) => "Infinity",
                (false, false) => "-Infinity",
            };
            out.quoted("doubleValue", format_args!("{word}"));
        }
        Value::Bytes(bytes) => {
            out.field("bytesValue");
            out.0.push('"');
            base64::encode(&mut out.0, bytes);
            out.0.push('"');
        }
        Value::List(values) => {
            out.field("arrayValue");
            out.object(|out| out.list_always("values", values, write_value));
        }
        Value::Map(entries) => {
            out.field("kvlistValue");
            out.object(|out| {
                out.list_always("values", entries, |out, (key, value)| {
                    write_key_value(out, key, value)
                });
            });
        }
        Value::Empty => {}
    }
}

fn kind_number(kind: Option<Kind>) -> u32 {
    match kind {
        None => 1,
        Some(Kind::Server) => 2,
        Some(Kind::Client) => 3,
        Some(Kind::Producer) => 4,
        Some(Kind::Consumer) => 5,
    }
}

//! OTLP/JSON, read by serde_json and said again in protobuf to our other reader: both encodings mean the same.

use prost::Message;
use sigyn_model::codec::{Format, Limits, decode};

use crate::json::{self, Json, list, object};
use crate::otlp::{
    Any, AnyValue, Event, KeyValue, Messages, ProtoLink, ProtoResource, ProtoScope, ProtoSpan,
    ProtoStatus, Request, ResourceSpans, ScopeSpans,
};
use crate::{Theirs, Trouble};

pub(crate) fn read(body: &[u8]) -> Result<Theirs, Trouble> {
    let value = json::only_value(body)?;
    // How much is refused for a value of a wrong type, a span or all, is each reader's own affair.
    let request = request(value).map_err(|_| Trouble::Unclear)?;
    let decoded = decode(Format::OtlpProto, &request.encode_to_vec(), Limits::default());
    match decoded {
        Ok(decoded) => Ok(Theirs { spans: decoded.spans, problems: decoded.problems.len() }),
        Err(error) => Err(Trouble::Bad(error.message)),
    }
}

/// The members of an object that is well formed in the strictest sense. Which lapses are forgiven
/// (a member twice, a number where a text belongs) is each reader's own affair.
fn members(value: Json) -> Result<Vec<(String, Json)>, Trouble> {
    let members = object(value)?;
    for (i, (key, _)) in members.iter().enumerate() {
        let known = key.replace('_', "").to_lowercase();
        let twice = members[..i].iter().any(|(k, _)| k.replace('_', "").to_lowercase() == known);
        if twice {
            return Err(Trouble::Unclear);
        }
        // Names as protobuf spells them are taken too, and are tested by tables.
        if key.contains('_') {
            return Err(Trouble::Unclear);
        }
    }
    Ok(members.into_iter().filter(|(_, value)| *value != Json::Null).collect())
}

fn text(value: Json) -> Result<Vec<u8>, Trouble> {
    match value {
        Json::Str(text) => Ok(text.into_bytes()),
        _ => Err(Trouble::Unclear),
    }
}

fn number<T: std::str::FromStr>(value: Json) -> Result<T, Trouble> {
    match value {
        Json::Str(text) | Json::Number(text) => text.parse().map_err(|_| Trouble::Unclear),
        _ => Err(Trouble::Unclear),
    }
}

fn id(value: Json) -> Result<Vec<u8>, Trouble> {
    let text = text(value)?;
    if text.len() % 2 != 0 || !text.iter().all(u8::is_ascii_hexdigit) {
        return Err(Trouble::Unclear);
    }
    let pairs = text.chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    Ok(pairs.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect())
}

fn all<T>(value: Json, read: impl FnMut(Json) -> Result<T, Trouble>) -> Result<Vec<T>, Trouble> {
    list(value)?.into_iter().map(read).collect()
}

fn request(value: Json) -> Result<Request, Trouble> {
    let mut out = Request::default();
    for (key, value) in members(value)? {
        if key == "resourceSpans" {
            out.resource_spans = all(value, resource_spans)?;
        }
    }
    Ok(out)
}

fn resource_spans(value: Json) -> Result<ResourceSpans, Trouble> {
    let mut out = ResourceSpans::default();
    for (key, value) in members(value)? {
        match key.as_str() {
            "resource" => {
                let mut resource = ProtoResource::default();
                for (key, value) in members(value)? {
                    match key.as_str() {
                        "attributes" => resource.attributes = all(value, key_value)?,
                        "droppedAttributesCount" => resource.dropped = number::<u32>(value)?.into(),
                        _ => {}
                    }
                }
                out.resource = Some(resource);
            }
            "scopeSpans" => out.scope_spans = all(value, scope_spans)?,
            "schemaUrl" => out.schema_url = text(value)?,
            _ => {}
        }
    }
    Ok(out)
}

fn scope_spans(value: Json) -> Result<ScopeSpans, Trouble> {
    let mut out = ScopeSpans::default();
    for (key, value) in members(value)? {
        match key.as_str() {
            "scope" => {
                let mut scope = ProtoScope::default();
                for (key, value) in members(value)? {
                    match key.as_str() {
                        "name" => scope.name = text(value)?,
                        "version" => scope.version = text(value)?,
                        "attributes" => scope.attributes = all(value, key_value)?,
                        "droppedAttributesCount" => scope.dropped = number::<u32>(value)?.into(),
                        _ => {}
                    }
                }
                out.scope = Some(scope);
            }
            "spans" => out.spans = all(value, |value| Ok(span(value)?.encode_to_vec()))?,
            "schemaUrl" => out.schema_url = text(value)?,
            _ => {}
        }
    }
    Ok(out)
}

fn span(value: Json) -> Result<ProtoSpan, Trouble> {
    let mut out = ProtoSpan::default();
    for (key, value) in members(value)? {
        match key.as_str() {
            "traceId" => out.trace_id = id(value)?,
            "spanId" => out.span_id = id(value)?,
            "parentSpanId" => out.parent_span_id = id(value)?,
            "traceState" => out.trace_state = text(value)?,
            "name" => out.name = text(value)?,
            "kind" => out.kind = number::<u32>(value)?.into(),
            "startTimeUnixNano" => out.start = number(value)?,
            "endTimeUnixNano" => out.end = number(value)?,
            "attributes" => out.attributes = all(value, key_value)?,
            "droppedAttributesCount" => out.dropped_attributes = number::<u32>(value)?.into(),
            "events" => out.events = all(value, event)?,
            "droppedEventsCount" => out.dropped_events = number::<u32>(value)?.into(),
            "links" => out.links = all(value, link)?,
            "droppedLinksCount" => out.dropped_links = number::<u32>(value)?.into(),
            "status" => {
                let mut status = ProtoStatus::default();
                for (key, value) in members(value)? {
                    match key.as_str() {
                        "message" => status.message = text(value)?,
                        "code" => status.code = number::<u32>(value)?.into(),
                        _ => {}
                    }
                }
                out.status = Some(status);
            }
            "flags" => out.flags = number(value)?,
            _ => {}
        }
    }
    Ok(out)
}

fn event(value: Json) -> Result<Event, Trouble> {
    let mut out = Event::default();
    for (key, value) in members(value)? {
        match key.as_str() {
            "timeUnixNano" => out.time = number(value)?,
            "name" => out.name = text(value)?,
            "attributes" => out.attributes = all(value, key_value)?,
            "droppedAttributesCount" => out.dropped = number::<u32>(value)?.into(),
            _ => {}
        }
    }
    Ok(out)
}

fn link(value: Json) -> Result<ProtoLink, Trouble> {
    let mut out = ProtoLink::default();
    for (key, value) in members(value)? {
        match key.as_str() {
            "traceId" => out.trace_id = id(value)?,
            "spanId" => out.span_id = id(value)?,
            "traceState" => out.trace_state = text(value)?,
            "attributes" => out.attributes = all(value, key_value)?,
            "droppedAttributesCount" => out.dropped = number::<u32>(value)?.into(),
            "flags" => out.flags = number(value)?,
            _ => {}
        }
    }
    Ok(out)
}

fn key_value(value: Json) -> Result<Vec<u8>, Trouble> {
    let mut out = KeyValue::default();
    for (key, value) in members(value)? {
        match key.as_str() {
            "key" => out.key = text(value)?,
            "value" => out.value = Some(any_value(value)?),
            _ => {}
        }
    }
    Ok(out.encode_to_vec())
}

fn any_value(value: Json) -> Result<Vec<u8>, Trouble> {
    let mut out = AnyValue::default();
    for (key, value) in members(value)? {
        let any = match key.as_str() {
            "stringValue" => Any::Str(text(value)?),
            "boolValue" => match value {
                Json::Bool(value) => Any::Bool(value),
                _ => return Err(Trouble::Unclear),
            },
            "intValue" => Any::Int(number(value)?),
            "doubleValue" => match value {
                Json::Number(text) => Any::Double(text.parse().map_err(|_| Trouble::Unclear)?),
                _ => return Err(Trouble::Unclear),
            },
            "arrayValue" => Any::Array(values(value, any_value)?),
            "kvlistValue" => Any::KvList(values(value, key_value)?),
            // Base64 comes in several alphabets; tables test them.
            "bytesValue" => return Err(Trouble::Unclear),
            _ => continue,
        };
        if out.value.replace(any).is_some() {
            return Err(Trouble::Unclear);
        }
    }
    Ok(out.encode_to_vec())
}

fn values(
    value: Json,
    read: impl FnMut(Json) -> Result<Vec<u8>, Trouble>,
) -> Result<Messages, Trouble> {
    for (key, value) in members(value)? {
        if key == "values" {
            return Ok(Messages { messages: all(value, read)? });
        }
    }
    Ok(Messages::default())
}

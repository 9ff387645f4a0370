//! JSON by serde_json, mapped by Zipkin's rules for its v2 format.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use sigyn_model::{Annotation, Endpoint, Kind, Span, SpanId, Timestamp, TraceId, Value};

use crate::tags::last_of_each;
use crate::{Theirs, Trouble};

/// A value with everything that stands in it: members that come twice, numbers as they are spelled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Str(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Str(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element()? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let value: Json = map.next_value()?;
            // How serde_json hands over a number with its spelling.
            if key == "$serde_json::private::Number" {
                match value {
                    Json::Str(text) => return Ok(Json::Number(text)),
                    _ => return Err(de::Error::custom("not a number")),
                }
            }
            members.push((key, value));
        }
        Ok(Json::Object(members))
    }
}

/// The first value of a text; what follows it is ignored.
pub(crate) fn first_value(body: &[u8]) -> Result<Json, Trouble> {
    value(body, true)
}

/// The one value of a text.
pub(crate) fn only_value(body: &[u8]) -> Result<Json, Trouble> {
    value(body, false)
}

fn value(body: &[u8], more: bool) -> Result<Json, Trouble> {
    let text = String::from_utf8_lossy(body);
    // The key under which numbers come is a key like any other to us.
    if text.contains("private") {
        return Err(Trouble::Unclear);
    }
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Json>();
    match values.next() {
        None => Err(Trouble::Bad("nothing".into())),
        Some(Ok(_)) if !more && !is_blank(&text[values.byte_offset()..]) => {
            bad("more than one value")
        }
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => {
            let text = error.to_string();
            // Read by us as Zipkin reads them, or up to another depth.
            let open = ["control character", "surrogate", "hex escape", "recursion limit"];
            let open = open.iter().any(|open| text.contains(open));
            Err(if open { Trouble::Unclear } else { Trouble::Bad(text) })
        }
    }
}

/// Whether nothing stands there but what JSON calls white space.
fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

pub(crate) fn bad<T>(what: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Bad(what.into()))
}

pub(crate) fn list(value: Json) -> Result<Vec<Json>, Trouble> {
    match value {
        Json::List(values) => Ok(values),
        other => bad(format!("{other:?} is no list")),
    }
}

pub(crate) fn object(value: Json) -> Result<Vec<(String, Json)>, Trouble> {
    match value {
        Json::Object(members) => Ok(members),
        other => bad(format!("{other:?} is no object")),
    }
}

/// Text, or a number in its own spelling.
pub(crate) fn string(value: Json) -> Result<String, Trouble> {
    match value {
        // How an exponent was spelled, serde_json does not keep.
        Json::Number(text) if text.contains(['e', 'E']) => Err(Trouble::Unclear),
        Json::Str(text) | Json::Number(text) => Ok(text),
        other => bad(format!("{other:?} is no string")),
    }
}

pub(crate) fn integer(value: Json) -> Result<i64, Trouble> {
    let text = match value {
        Json::Number(text) => text,
        other => string(other)?,
    };
    if let Ok(number) = text.parse::<i64>() {
        return Ok(number);
    }
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < 2f64.powi(63) => Ok(number as i64),
        _ => bad(format!("{text} is not whole")),
    }
}

pub(crate) fn boolean(value: Json) -> Result<bool, Trouble> {
    match value {
        Json::Bool(value) => Ok(value),
        other => bad(format!("{other:?} is neither true nor false")),
    }
}

pub(crate) fn micros(us: i64) -> Option<Timestamp> {
    u64::try_from(us).ok().filter(|us| *us > 0).and_then(Timestamp::from_micros)
}

pub(crate) fn duration(us: i64) -> Option<Duration> {
    let us = u64::try_from(us).ok().filter(|us| *us > 0)?;
    Some(Duration::from_micros(us.min(Timestamp::MAX.micros())))
}

pub(crate) fn endpoint(value: Json) -> Result<Option<Endpoint>, Trouble> {
    let mut endpoint = Endpoint::default();
    for (key, value) in object(value)? {
        match (key.as_str(), value) {
            (_, Json::Null) => {}
            ("serviceName", value) => endpoint.service_name = string(value)?.to_lowercase(),
            ("ipv4" | "ipv6", value) => endpoint.set_ip_text(&string(value)?),
            ("port", value) => {
                endpoint.port = u16::try_from(integer(value)?.max(0)).or(bad("port"))?;
            }
            _ => {}
        }
    }
    Ok(endpoint.into_option())
}

pub(crate) fn read_v2(body: &[u8]) -> Result<Theirs, Trouble> {
    if body.is_empty() {
        return Ok(Theirs { spans: Vec::new(), problems: 0 });
    }
    let spans = list(first_value(body)?)?.into_iter().map(read_span).collect::<Result<_, _>>()?;
    Ok(Theirs { spans, problems: 0 })
}

fn read_span(value: Json) -> Result<Span, Trouble> {
    let (mut trace_id, mut id) = (None, None);
    // Ids are set at the end.
    let mut span = Span::new(TraceId::new(1).expect("not zero"), SpanId::from_raw(1));
    let mut tags = Vec::new();
    for (key, value) in object(value)? {
        if value == Json::Null && key != "traceId" && key != "id" {
            continue;
        }
        let id_error = |error: sigyn_model::IdError| Trouble::Bad(error.to_string());
        match key.as_str() {
            "traceId" => trace_id = Some(TraceId::parse(&string(value)?).map_err(id_error)?),
            "id" => id = Some(SpanId::parse(&string(value)?).map_err(id_error)?),
            "parentId" => {
                span.parent_id = SpanId::parse_parent(&string(value)?).map_err(id_error)?;
            }
            "kind" => {
                span.kind = Some(match string(value)?.as_str() {
                    "CLIENT" => Kind::Client,
                    "SERVER" => Kind::Server,
                    "PRODUCER" => Kind::Producer,
                    "CONSUMER" => Kind::Consumer,
                    other => return bad(format!("kind {other}")),
                });
            }
            "name" => span.name = string(value)?.to_lowercase(),
            "timestamp" => span.timestamp = micros(integer(value)?),
            "duration" => span.duration = duration(integer(value)?),
            "localEndpoint" => span.local_endpoint = endpoint(value)?,
            "remoteEndpoint" => span.remote_endpoint = endpoint(value)?,
            "annotations" => {
                for value in list(value)? {
                    match annotation(value)? {
                        Some(annotation) => span.annotations.push(annotation),
                        None => span.dropped_annotations += 1,
                    }
                }
            }
            "tags" => {
                for (key, value) in object(value)? {
                    tags.push((key, Value::Str(string(value)?)));
                }
            }
            "debug" => span.debug = boolean(value)?,
            "shared" => span.shared = boolean(value)?,
            _ => {}
        }
    }
    let (Some(trace_id), Some(id)) = (trace_id, id) else { return bad("an id is missing") };
    (span.trace_id, span.id) = (trace_id, id);
    span.tags = last_of_each(tags);
    span.normalize();
    Ok(span)
}

fn annotation(value: Json) -> Result<Option<Annotation>, Trouble> {
    let (mut us, mut text) = (0, None);
    for (key, value) in object(value)? {
        match (key.as_str(), value) {
            ("timestamp" | "value", Json::Null) => {}
            ("timestamp", value) => us = integer(value)?,
            ("value", value) => text = Some(string(value)?),
            _ => {}
        }
    }
    let (Some(value), true) = (text, us > 0) else { return bad("incomplete annotation") };
    let timestamp = micros(us);
    Ok(timestamp.map(|timestamp| Annotation {
        timestamp,
        value,
        tags: Vec::new(),
        dropped_tags: 0,
    }))
}

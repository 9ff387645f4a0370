//! Reading: what a field may hold, how it is normalised, and in which words it is refused.

use std::borrow::Cow;
use std::time::Duration;

use crate::codec::json::{JsonError, Scalar, Scanner};
use crate::codec::{ANNOTATIONS_MAX, DecodeError, Limits, Meter, shortened};
use crate::value::push_tag;
use crate::{Annotation, Endpoint, IdError, Kind, Span, SpanId, Tags, Timestamp, TraceId, Value};

/// A message quotes no more of a key or a value, in characters.
const QUOTE_CHARS_MAX: usize = 150;

/// Whether a pushed body looks like a list of v2 spans: Zipkin's guard, which goes before decoding.
///
/// It looks at the first bytes and for a field that only v1 has. Bytes of other formats that could
/// begin a list pass, and fail when they are decoded. An empty body is a list of nothing.
pub fn check_list(body: &[u8]) -> Result<(), DecodeError> {
    let listlike = match body {
        [] | [b'[' | 11 | 12, ..] => true,
        // A line feed also opens a protobuf list.
        [b'\n', next, ..] => *next != 0,
        _ => false,
    };
    if !listlike {
        return Err(DecodeError::new("Expected a JSON_V2 encoded list\n"));
    }
    if contains(body, b"yAnnotations\"") {
        return Err(DecodeError::new("Expected a JSON_V2 encoded list, but received: JSON_V1\n"));
    }
    Ok(())
}

fn contains(mut body: &[u8], text: &[u8]) -> bool {
    while let Some(at) = body.iter().position(|byte| text.starts_with(&[*byte])) {
        body = &body[at..];
        if body.starts_with(text) {
            return true;
        }
        body = &body[1..];
    }
    false
}

/// Reads a list of spans. One bad span refuses the whole message: Zipkin's contract.
///
/// Whatever follows the list is ignored, and bytes that are no UTF-8 are replaced by U+FFFD.
pub fn decode_list(body: &[u8]) -> Result<Vec<Span>, DecodeError> {
    decode_list_within(body, Limits::default())
}

/// The same for a body that must not become more spans than a reader has room for.
pub fn decode_list_within(body: &[u8], limits: Limits) -> Result<Vec<Span>, DecodeError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    read_list(body, limits).map_err(|cause| DecodeError {
        over_limit: cause.over_limit,
        ..DecodeError::new(format!("{cause} reading List<Span> from json"))
    })
}

fn read_list(body: &[u8], limits: Limits) -> Result<Vec<Span>, JsonError> {
    let mut meter = Meter::new(limits, body.len())?;
    let text = String::from_utf8_lossy(body);
    let mut spans = Vec::new();
    Scanner::new(&text).list(|json, index| {
        meter.add_span()?;
        spans.push(read_span(json, index, &mut meter)?);
        Ok(())
    })?;
    Ok(spans)
}

/// A span while its fields come in, in any order and perhaps more than once.
#[derive(Default)]
struct Draft {
    trace_id: Option<TraceId>,
    parent_id: Option<SpanId>,
    id: Option<SpanId>,
    kind: Option<Kind>,
    name: String,
    timestamp: Option<Timestamp>,
    duration: Option<Duration>,
    local_endpoint: Option<Endpoint>,
    remote_endpoint: Option<Endpoint>,
    annotations: Vec<Annotation>,
    tags: Tags,
    debug: bool,
    shared: bool,
    dropped_annotations: u32,
    dropped_tags: u32,
}

fn read_span(json: &mut Scanner<'_>, index: usize, meter: &mut Meter) -> Result<Span, JsonError> {
    let mut draft = Draft::default();
    json.object(|json, key| draft.read_field(json, &key, index, meter))?;
    draft.finish()
}

impl Draft {
    fn read_field(
        &mut self,
        json: &mut Scanner<'_>,
        key: &str,
        index: usize,
        meter: &mut Meter,
    ) -> Result<(), JsonError> {
        let required = matches!(key, "traceId" | "id");
        if !required && json.null() {
            return Ok(());
        }
        match key {
            "traceId" => self.trace_id = Some(TraceId::parse(&string(json, key)?)?),
            "parentId" => self.parent_id = SpanId::parse_parent(&string(json, key)?)?,
            "id" => self.id = Some(SpanId::parse(&string(json, key)?)?),
            "kind" => self.kind = Some(kind(&string(json, key)?)?),
            "name" => self.name = string(json, key)?.to_lowercase(),
            "timestamp" => self.timestamp = timestamp(integer(json, key)?),
            "duration" => self.duration = duration(integer(json, key)?),
            "localEndpoint" => self.local_endpoint = endpoint(json)?,
            "remoteEndpoint" => self.remote_endpoint = endpoint(json)?,
            "annotations" => json.list(|json, i| {
                match annotation(json, index, i)? {
                    Some(annotation) if self.annotations.len() < ANNOTATIONS_MAX => {
                        meter.add(size_of::<Annotation>())?;
                        self.annotations.push(annotation);
                    }
                    _ => self.dropped_annotations = self.dropped_annotations.saturating_add(1),
                }
                Ok(())
            })?,
            "tags" => json.object(|json, key| {
                if json.null() {
                    let key = shortened(&key, QUOTE_CHARS_MAX);
                    return Err(JsonError::new(format!("No value at $[{index}].tags.{key}")));
                }
                let value = string(json, &key)?.into_owned();
                meter.add_tag()?;
                let tag = (key.into_owned(), Value::Str(value));
                push_tag(&mut self.tags, tag, &mut self.dropped_tags);
                Ok(())
            })?,
            "debug" => self.debug = boolean(json, key)?,
            "shared" => self.shared = boolean(json, key)?,
            _ => json.skip()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Span, JsonError> {
        let (trace_id, id) = match (self.trace_id, self.id) {
            (Some(trace_id), Some(id)) => (trace_id, id),
            (None, Some(_)) => return Err(JsonError::new("Missing : traceId")),
            (Some(_), None) => return Err(JsonError::new("Missing : id")),
            (None, None) => return Err(JsonError::new("Missing : traceId id")),
        };
        let mut span = Span {
            parent_id: self.parent_id,
            kind: self.kind,
            name: self.name,
            timestamp: self.timestamp,
            duration: self.duration,
            local_endpoint: self.local_endpoint,
            remote_endpoint: self.remote_endpoint,
            annotations: self.annotations,
            tags: self.tags,
            debug: self.debug,
            shared: self.shared,
            dropped_annotations: self.dropped_annotations,
            dropped_tags: self.dropped_tags,
            ..Span::new(trace_id, id)
        };
        span.normalize();
        Ok(span)
    }
}

impl From<IdError> for JsonError {
    fn from(error: IdError) -> Self {
        Self::new(error.to_string())
    }
}

fn endpoint(json: &mut Scanner<'_>) -> Result<Option<Endpoint>, JsonError> {
    let mut endpoint = Endpoint::default();
    json.object(|json, key| {
        if json.null() {
            return Ok(());
        }
        match &*key {
            "serviceName" => endpoint.service_name = string(json, &key)?.to_lowercase(),
            "ipv4" | "ipv6" => endpoint.set_ip_text(&string(json, &key)?),
            "port" => {
                let port = integer(json, &key)?.max(0);
                endpoint.port = u16::try_from(port)
                    .map_err(|_| JsonError::new(format!("invalid port {port}")))?;
            }
            _ => json.skip()?,
        }
        Ok(())
    })?;
    Ok(endpoint.into_option())
}

/// `None` for one whose time cannot be kept.
fn annotation(
    json: &mut Scanner<'_>,
    span_index: usize,
    index: usize,
) -> Result<Option<Annotation>, JsonError> {
    let (mut us, mut value) = (0, None);
    json.object(|json, key| {
        match &*key {
            "timestamp" | "value" if json.null() => {}
            "timestamp" => us = integer(json, &key)?,
            "value" => value = Some(string(json, &key)?.into_owned()),
            _ => json.skip()?,
        }
        Ok(())
    })?;
    match value {
        Some(value) if us > 0 => {
            let annotation =
                |timestamp| Annotation { timestamp, value, tags: Vec::new(), dropped_tags: 0 };
            Ok(timestamp(us).map(annotation))
        }
        _ => {
            let place = format!("$[{span_index}].annotations[{index}]");
            Err(JsonError::new(format!("Incomplete annotation at {place}")))
        }
    }
}

fn kind(text: &str) -> Result<Kind, JsonError> {
    [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| {
            let text = shortened(text, QUOTE_CHARS_MAX);
            JsonError::new(format!("kind {text:?} is not CLIENT, SERVER, PRODUCER or CONSUMER"))
        })
}

/// Microseconds since the epoch; zero and less mean that there are none. So do those past the year
/// 2554: a clock that is so far off tells nothing, and is no reason to lose a span and its neighbours.
fn timestamp(us: i64) -> Option<Timestamp> {
    positive(us).and_then(Timestamp::from_micros)
}

/// Microseconds; zero and less mean that there are none. The longest that can be kept in nanoseconds
/// stands for those that are longer.
fn duration(us: i64) -> Option<Duration> {
    positive(us).map(|us| Duration::from_micros(us.min(Timestamp::MAX.micros())))
}

fn positive(us: i64) -> Option<u64> {
    u64::try_from(us).ok().filter(|us| *us > 0)
}

/// Text, or a number in its own spelling.
fn string<'a>(json: &mut Scanner<'a>, key: &str) -> Result<Cow<'a, str>, JsonError> {
    match json.scalar()? {
        Scalar::Str(text) => Ok(text),
        Scalar::Number(number) => Ok(Cow::Borrowed(number)),
        Scalar::Bool(_) | Scalar::Null => {
            let key = shortened(key, QUOTE_CHARS_MAX);
            Err(JsonError::new(format!("{key} is not a string")))
        }
    }
}

/// A whole number, however it is spelled: `12`, `"12"`, `12.0`, `1.2e1`.
fn integer(json: &mut Scanner<'_>, key: &str) -> Result<i64, JsonError> {
    let text = string(json, key)?;
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    /// Two to the power of 63, which no `i64` reaches.
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    let whole = text.parse::<f64>().ok().filter(|n| n.fract() == 0.0 && n.abs() < BOUND);
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within the bound")]
    let whole = whole.map(|number| number as i64);
    whole.ok_or_else(|| {
        let text = shortened(&text, QUOTE_CHARS_MAX);
        JsonError::new(format!("{key} {text} is not a whole number"))
    })
}

fn boolean(json: &mut Scanner<'_>, key: &str) -> Result<bool, JsonError> {
    match json.scalar()? {
        Scalar::Bool(value) => Ok(value),
        _ => Err(JsonError::new(format!("{key} is not true or false"))),
    }
}

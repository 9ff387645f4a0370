//! Reading: what a field may hold, how it is normalised, and in which words it is refused.

use crate::codec::draft::{Draft, EndpointDraft};
use crate::codec::json::{JsonError, Scalar, Scanner};
use crate::codec::sink::{AnnotationRef, Dialect, SpanSink, TagRef, Text, ValueRef, body_text};
use crate::codec::zipkin::{duration, port, timestamp};
use crate::codec::{self, DecodeError, Format, Limits, shortened};
use crate::{IdError, Kind, Span, SpanId, TraceId};

/// A message quotes no more of a key or a value, in characters.
const QUOTE_CHARS_MAX: usize = 150;

/// Whether a pushed body looks like a list of v2 spans: see [`codec::check_list`].
pub fn check_list(body: &[u8]) -> Result<(), DecodeError> {
    codec::check_list(Format::ZipkinJsonV2, body)
}

/// Reads a list of spans. One bad span refuses the whole message: Zipkin's contract.
///
/// Whatever follows the list is ignored, and bytes that are no UTF-8 are replaced by U+FFFD.
pub fn decode_list(body: &[u8]) -> Result<Vec<Span>, DecodeError> {
    decode_list_within(body, Limits::default())
}

/// The same for a body that must not become more spans than a reader has room for.
pub fn decode_list_within(body: &[u8], limits: Limits) -> Result<Vec<Span>, DecodeError> {
    codec::decode(Format::ZipkinJsonV2, body, limits).map(|decoded| decoded.spans)
}

/// Reads a list of spans into a sink, by the rules of [`decode_list`].
pub fn read(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    if body.is_empty() {
        return Ok(());
    }
    let text =
        body_text(body, sink).map_err(|over| DecodeError::over(Format::ZipkinJsonV2, over))?;
    read_list(&text, sink).map_err(|cause| DecodeError {
        over_limit: cause.is_over_limit(),
        ..DecodeError::reading(Format::ZipkinJsonV2, &cause)
    })
}

fn read_list(text: &str, sink: &mut impl SpanSink) -> Result<(), JsonError> {
    let mut span = SpanReader::default();
    Scanner::new(text).list(|json, index| span.read(json, index, sink))
}

/// Reads the spans of one list, one after the other.
#[derive(Default)]
struct SpanReader<'a> {
    draft: Draft<'a>,
    trace_id: Option<TraceId>,
    id: Option<SpanId>,
    /// The last local endpoint, as it stands in the text and as it was read. Most often the next
    /// one is the same.
    last_local: Option<(&'a str, EndpointDraft<'a>)>,
}

impl<'a> SpanReader<'a> {
    #[inline]
    fn read(
        &mut self,
        json: &mut Scanner<'a>,
        index: usize,
        sink: &mut impl SpanSink,
    ) -> Result<(), JsonError> {
        self.draft.clear();
        (self.trace_id, self.id) = (None, None);
        let mut more = json.first_member()?;
        while more {
            let escaped;
            let key = match json.plain_key() {
                Some(key) => key,
                None => {
                    escaped = json.key()?.0;
                    &escaped.read()
                }
            };
            self.field(json, key, index)?;
            more = json.next_member()?;
        }
        match (self.trace_id, self.id) {
            (Some(trace_id), Some(id)) => Ok(self.draft.hand_over(trace_id, id, sink)?),
            (None, Some(_)) => Err(JsonError::new("Missing : traceId")),
            (Some(_), None) => Err(JsonError::new("Missing : id")),
            (None, None) => Err(JsonError::new("Missing : traceId id")),
        }
    }

    #[inline]
    fn field(&mut self, json: &mut Scanner<'a>, key: &str, index: usize) -> Result<(), JsonError> {
        let required = || matches!(key, "traceId" | "id");
        if json.peek() == Some(b'n') && !required() && json.null() {
            return Ok(());
        }
        let draft = &mut self.draft;
        match key {
            "traceId" => self.trace_id = Some(trace_id(json, key)?),
            "parentId" => draft.parent_id = parent_id(json, key)?,
            "id" => self.id = Some(span_id(json, key)?),
            "kind" => draft.kind = Some(kind(&string(json, key)?.read())?),
            "name" => draft.name = string(json, key)?,
            "timestamp" => draft.timestamp = timestamp(integer(json, key)?),
            "duration" => draft.duration = duration(integer(json, key)?),
            "localEndpoint" => self.local_endpoint(json)?,
            "remoteEndpoint" => draft.remote_endpoint = endpoint(json)?,
            "annotations" => json.list(|json, i| {
                match annotation(json, index, i)? {
                    Some(annotation) => draft.annotation(annotation),
                    None => draft.dropped_annotations = draft.dropped_annotations.saturating_add(1),
                }
                Ok(())
            })?,
            "tags" => tags(json, draft, index)?,
            "debug" => draft.debug = boolean(json, key)?,
            "shared" => draft.shared = boolean(json, key)?,
            _ => json.skip()?,
        }
        Ok(())
    }

    fn local_endpoint(&mut self, json: &mut Scanner<'a>) -> Result<(), JsonError> {
        self.draft.local_endpoint = match &self.last_local {
            Some((text, last)) if json.take_text(text) => last.clone(),
            _ => {
                let place = json.place();
                let endpoint = endpoint(json)?;
                self.last_local = Some((json.text_from(place), endpoint.clone()));
                endpoint
            }
        };
        Ok(())
    }
}

impl From<IdError> for JsonError {
    fn from(error: IdError) -> Self {
        Self::new(error.to_string())
    }
}

#[inline]
fn trace_id(json: &mut Scanner<'_>, key: &str) -> Result<TraceId, JsonError> {
    let place = json.here();
    if let Some(id) = json.hex32().and_then(TraceId::new) {
        return Ok(id);
    }
    json.back_to(place);
    Ok(TraceId::parse(&string(json, key)?.read())?)
}

#[inline]
fn span_id(json: &mut Scanner<'_>, key: &str) -> Result<SpanId, JsonError> {
    let place = json.here();
    if let Some(id) = json.hex16().and_then(SpanId::new) {
        return Ok(id);
    }
    json.back_to(place);
    Ok(SpanId::parse(&string(json, key)?.read())?)
}

#[inline]
fn parent_id(json: &mut Scanner<'_>, key: &str) -> Result<Option<SpanId>, JsonError> {
    match json.hex16() {
        Some(id) => Ok(SpanId::new(id)),
        None => Ok(SpanId::parse_parent(&string(json, key)?.read())?),
    }
}

#[inline]
fn tags<'a>(json: &mut Scanner<'a>, draft: &mut Draft<'a>, index: usize) -> Result<(), JsonError> {
    let mut more = json.first_member()?;
    while more {
        let place = json.here();
        // Most are plain, and made where they are kept: moving one costs as much as reading it.
        if let Some(key) = json.plain_key()
            && let Some(value) = json.plain_text()
        {
            let wire = json.bytes_from(place);
            let (key, value) = (Text::Str(key), ValueRef::Text(Text::Str(value)));
            draft.tag(TagRef { key, value, wire, dialect: Dialect::Json });
        } else {
            json.back_to(place);
            other_tag(json, draft, index)?;
        }
        more = json.next_member()?;
    }
    Ok(())
}

/// A tag that is not plain: with white space, escapes, a number, or what is no text at all.
#[inline(never)]
fn other_tag<'a>(
    json: &mut Scanner<'a>,
    draft: &mut Draft<'a>,
    index: usize,
) -> Result<(), JsonError> {
    let (key, place) = json.key()?;
    if json.null() {
        return Err(no_value(&key, index));
    }
    let Some(value) = json.text()? else { return Err(no_string(&key.read())) };
    let wire = json.bytes_from(place);
    draft.tag(TagRef { key, value: ValueRef::Text(value), wire, dialect: Dialect::Json });
    Ok(())
}

#[cold]
fn no_value(key: &Text<'_>, index: usize) -> JsonError {
    let key = key.read();
    let key = shortened(&key, QUOTE_CHARS_MAX);
    JsonError::new(format!("No value at $[{index}].tags.{key}"))
}

/// An endpoint, which may turn out to be empty.
pub(in crate::codec) fn endpoint<'a>(
    json: &mut Scanner<'a>,
) -> Result<EndpointDraft<'a>, JsonError> {
    let mut endpoint = EndpointDraft::default();
    json.members(|json, key, _| {
        if json.null() {
            return Ok(());
        }
        let key = key.read();
        match &*key {
            "serviceName" => endpoint.service_name = string(json, &key)?,
            "ipv4" | "ipv6" => endpoint.address.set_ip_text(&string(json, &key)?.read()),
            "port" => {
                endpoint.address.port =
                    port(integer(json, &key)?).map_err(|bad| JsonError::new(bad.to_string()))?;
            }
            _ => json.skip()?,
        }
        Ok(())
    })?;
    Ok(endpoint)
}

/// `None` for one whose time cannot be kept.
fn annotation<'a>(
    json: &mut Scanner<'a>,
    span_index: usize,
    index: usize,
) -> Result<Option<AnnotationRef<'a>>, JsonError> {
    let (mut us, mut value) = (0, None);
    json.members(|json, key, _| {
        let key = key.read();
        match &*key {
            "timestamp" | "value" if json.null() => {}
            "timestamp" => us = integer(json, &key)?,
            "value" => value = Some(string(json, &key)?),
            _ => json.skip()?,
        }
        Ok(())
    })?;
    match value {
        Some(value) if us > 0 => {
            let annotation =
                |timestamp| AnnotationRef { timestamp, value, tags: Vec::new(), dropped_tags: 0 };
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

/// Text, or a number in its own spelling.
#[inline]
pub(in crate::codec) fn string<'a>(
    json: &mut Scanner<'a>,
    key: &str,
) -> Result<Text<'a>, JsonError> {
    match json.text()? {
        Some(text) => Ok(text),
        None => Err(no_string(key)),
    }
}

#[cold]
fn no_string(key: &str) -> JsonError {
    let key = shortened(key, QUOTE_CHARS_MAX);
    JsonError::new(format!("{key} is not a string"))
}

/// A whole number, however it is spelled: `12`, `"12"`, `12.0`, `1.2e1`.
#[inline]
pub(in crate::codec) fn integer(json: &mut Scanner<'_>, key: &str) -> Result<i64, JsonError> {
    match json.whole_number().map(i64::try_from) {
        Some(Ok(number)) => Ok(number),
        _ => other_integer(json, key),
    }
}

#[inline(never)]
fn other_integer(json: &mut Scanner<'_>, key: &str) -> Result<i64, JsonError> {
    let text = string(json, key)?;
    let text = text.read();
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

pub(in crate::codec) fn boolean(json: &mut Scanner<'_>, key: &str) -> Result<bool, JsonError> {
    match json.scalar()? {
        Scalar::Bool(value) => Ok(value),
        _ => Err(JsonError::new(format!("{key} is not true or false"))),
    }
}

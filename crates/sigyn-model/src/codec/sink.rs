//! What a reader hands over: one span at a time, borrowed from the body that it stands in.
//!
//! Readers know a format, sinks know what becomes of spans; neither allocates for the other. What a
//! reader hands over is normalised already: names in lower case, keys once, annotations in order.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::OverLimit;
use super::json::unescaped;
use crate::{Endpoint, Kind, SpanId, StatusCode, Timestamp, TraceId, Value};

/// Takes spans as they are read. An error ends the reading: the message is more than may be held.
pub trait SpanSink {
    /// The process that made the spans which follow, once for all of them. They have no scope until
    /// it is told. Called only by formats that know processes.
    fn resource(&mut self, resource: Option<&ResourceRef<'_>>) -> Result<(), OverLimit>;

    /// The library of this process that made the spans which follow, once for all of them.
    fn scope(&mut self, scope: Option<&ScopeRef<'_>>) -> Result<(), OverLimit>;

    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), OverLimit>;

    /// A span that its format's contract refuses alone, and why.
    fn problem(&mut self, problem: BadSpan) -> Result<(), OverLimit>;

    /// The reader is about to take so many bytes of memory beside the body, as only few bodies want.
    fn hold(&mut self, bytes: usize) -> Result<(), OverLimit> {
        let _ = bytes;
        Ok(())
    }
}

/// A span that could not be kept, while its neighbours were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("span {index}: {reason}")]
pub struct BadSpan {
    /// How many spans stand before it in the message.
    pub index: usize,
    pub reason: String,
}

/// A span as it is read. The fields are those of [`crate::Span`].
#[derive(Clone, Debug)]
pub struct SpanRef<'a> {
    pub trace_id: TraceId,
    pub parent_id: Option<SpanId>,
    pub id: SpanId,
    pub kind: Option<Kind>,
    /// Lower case.
    pub name: &'a str,
    pub timestamp: Option<Timestamp>,
    pub duration: Option<Duration>,
    pub local_endpoint: Option<EndpointRef<'a>>,
    pub remote_endpoint: Option<EndpointRef<'a>>,
    pub annotations: &'a [AnnotationRef<'a>],
    pub tags: &'a [TagRef<'a>],
    pub debug: bool,
    pub shared: bool,
    pub status_code: StatusCode,
    pub status_message: Text<'a>,
    pub links: &'a [LinkRef<'a>],
    pub trace_state: Text<'a>,
    pub dropped_tags: u32,
    pub dropped_annotations: u32,
    pub dropped_links: u32,
    pub flags: u32,
}

/// See [`crate::Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointRef<'a> {
    /// Lower case.
    pub service_name: &'a str,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub port: u16,
}

/// See [`crate::Annotation`].
#[derive(Clone, Debug)]
pub struct AnnotationRef<'a> {
    pub timestamp: Timestamp,
    pub value: Text<'a>,
    pub tags: Vec<TagRef<'a>>,
    pub dropped_tags: u32,
}

/// See [`crate::Link`].
#[derive(Clone, Debug)]
pub struct LinkRef<'a> {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub trace_state: Text<'a>,
    pub tags: Vec<TagRef<'a>>,
    pub dropped_tags: u32,
    pub flags: u32,
}

/// See [`crate::Resource`].
#[derive(Clone, Debug)]
pub struct ResourceRef<'a> {
    /// The tags and how many were dropped, as they stand in the body; empty where there are none.
    /// Equal bytes of one format, with equal schemas, mean equal resources.
    pub wire: &'a [u8],
    pub tags: &'a [TagRef<'a>],
    pub dropped_tags: u32,
    pub schema_url: Text<'a>,
}

/// See [`crate::Scope`].
#[derive(Clone, Debug)]
pub struct ScopeRef<'a> {
    pub name: Text<'a>,
    pub version: Text<'a>,
    pub tags: &'a [TagRef<'a>],
    pub dropped_tags: u32,
    pub schema_url: Text<'a>,
}

/// One key with its value.
#[derive(Clone, Debug)]
pub struct TagRef<'a> {
    pub key: Text<'a>,
    pub value: ValueRef<'a>,
    /// Key and value as they stand in the body, so that what was seen before is known without
    /// looking inside; empty where they do not stand in one piece. Equal bytes of one [`Dialect`]
    /// mean equal tags.
    pub wire: &'a [u8],
    pub dialect: Dialect,
}

/// In which language the bytes of a tag are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OTLP's `KeyValue`, without its own key and length.
    #[default]
    Otlp,
    /// `"key":"value"`, with or without white space around the colon.
    Json,
}

/// Text that may still have to be looked into.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    Str(&'a str),
    /// Nobody has looked yet whether it is UTF-8; where it is not, it reads as U+FFFD.
    Bytes(&'a [u8]),
    /// Between the quotes of a JSON string that was found to be valid, escapes and all.
    Escaped(&'a str),
    Owned(String),
}

/// See [`crate::Value`].
#[derive(Clone, Debug)]
pub enum ValueRef<'a> {
    Text(Text<'a>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// Lists, maps, and whatever had to be made.
    Owned(Value),
    Empty,
}

impl<'a> TagRef<'a> {
    /// A tag that does not stand in the body in one piece.
    pub fn new(key: Text<'a>, value: ValueRef<'a>) -> Self {
        Self { key, value, wire: &[], dialect: Dialect::default() }
    }

    /// Whether there is memory of its own in it.
    #[inline(always)]
    pub(crate) fn owns(&self) -> bool {
        matches!(self.key, Text::Owned(_))
            || matches!(self.value, ValueRef::Owned(_) | ValueRef::Text(Text::Owned(_)))
    }

    pub fn to_owned(&self) -> (String, Value) {
        (self.key.read().into_owned(), self.value.to_owned())
    }
}

impl<'a> Text<'a> {
    #[inline]
    pub fn read(&self) -> Cow<'_, str> {
        match self {
            Self::Str(text) => Cow::Borrowed(text),
            other => other.look_into(),
        }
    }

    fn look_into(&self) -> Cow<'_, str> {
        match self {
            Self::Str(text) => Cow::Borrowed(text),
            Self::Bytes(bytes) => match simdutf8::basic::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => String::from_utf8_lossy(bytes),
            },
            Self::Escaped(text) => Cow::Owned(unescaped(text)),
            Self::Owned(text) => Cow::Borrowed(text),
        }
    }

    /// In lower case, as names of spans and services are.
    pub fn to_lowercase(&self) -> Cow<'_, str> {
        lower_case(self.read())
    }

    /// The same, made in the given place if it has to be made.
    pub(crate) fn lower_case_in<'b>(&'b self, room: &'b mut String) -> &'b str {
        let text = match self.read() {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => {
                *room = text.to_lowercase();
                return room;
            }
        };
        if is_lower_case(text) {
            return text;
        }
        room.clear();
        room.push_str(text);
        if text.is_ascii() {
            room.make_ascii_lowercase();
        } else {
            *room = text.to_lowercase();
        }
        room
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::Str(text) | Self::Escaped(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Owned(text) => text.is_empty(),
        }
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::Str("")
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Str(text)
    }
}

impl ValueRef<'_> {
    pub fn to_owned(&self) -> Value {
        match self {
            Self::Text(text) => Value::Str(text.read().into_owned()),
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Self::Owned(value) => value.clone(),
            Self::Empty => Value::Empty,
        }
    }
}

impl<'a> EndpointRef<'a> {
    pub fn to_owned(self) -> Endpoint {
        Endpoint {
            service_name: self.service_name.to_owned(),
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            port: self.port,
        }
    }
}

impl<'a> From<&'a Endpoint> for EndpointRef<'a> {
    fn from(endpoint: &'a Endpoint) -> Self {
        Self {
            service_name: &endpoint.service_name,
            ipv4: endpoint.ipv4,
            ipv6: endpoint.ipv6,
            port: endpoint.port,
        }
    }
}

/// How many bytes there are once U+FFFD, which takes three, stands where they are no UTF-8.
pub(crate) fn lossy_len(bytes: &[u8]) -> usize {
    if simdutf8::basic::from_utf8(bytes).is_ok() {
        return bytes.len();
    }
    let chunk_len = |chunk: std::str::Utf8Chunk<'_>| {
        let broken =
            if chunk.invalid().is_empty() { 0 } else { char::REPLACEMENT_CHARACTER.len_utf8() };
        chunk.valid().len() + broken
    };
    bytes.utf8_chunks().map(chunk_len).sum()
}

/// A body of JSON as text. What is no UTF-8 takes memory of its own, and so do the texts that are
/// longer for it.
pub(crate) fn body_text<'a>(
    body: &'a [u8],
    sink: &mut impl SpanSink,
) -> Result<Cow<'a, str>, OverLimit> {
    if let Ok(text) = simdutf8::basic::from_utf8(body) {
        return Ok(Cow::Borrowed(text));
    }
    let length = lossy_len(body);
    sink.hold(length + length.saturating_sub(body.len()))?;
    Ok(String::from_utf8_lossy(body))
}

/// The text in lower case; most of it is already.
pub(crate) fn lower_case(text: Cow<'_, str>) -> Cow<'_, str> {
    if is_lower_case(&text) { text } else { Cow::Owned(text.to_lowercase()) }
}

/// Seen at a glance: only ASCII, and no capitals. Without an early end, compilers do many at once.
fn is_lower_case(text: &str) -> bool {
    text.bytes().fold(true, |so_far, byte| so_far & byte.is_ascii() & !byte.is_ascii_uppercase())
}

//! Reading: known fields by number, all others skipped, and a bad span on its own.
//!
//! Fields may come in any order, so what spans share is read before them. Text that is no UTF-8 gets
//! U+FFFD where it is broken.

use std::borrow::Cow;
use std::time::Duration;

use super::attribute::{self, Attributes, Usual};
use super::facts::{self, Facts};
use super::remote::Peers;
use super::{SERVICE_NAME, kind};
use crate::codec::draft::{self, Draft, EndpointDraft};
use crate::codec::proto::{Fields, ProtoError, Wire};
use crate::codec::sink::{
    AnnotationRef, BadSpan, LinkRef, ResourceRef, ScopeRef, SpanSink, TagRef, Text, ValueRef,
};
use crate::codec::{self, DecodeError, Decoded, Format, Limits, ORIGIN_TAGS_MAX};
use crate::{Kind, SpanId, StatusCode, Tags, Timestamp, TraceId};

/// In bytes.
const SERVICE_NAME_MAX: usize = 1_024;

/// Why a span cannot be kept.
#[derive(Debug, thiserror::Error)]
enum Flaw {
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
    codec::decode(Format::OtlpProto, body, limits)
}

/// Reads an `ExportTraceServiceRequest` into a sink. A bad span is a problem and takes no other with it.
pub fn read(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    let mut reader = Reader { sink, seen: 0 };
    reader.request(body).map_err(|cause| match cause {
        ProtoError::OverLimit(over) => DecodeError::over(Format::OtlpProto, over),
        cause => DecodeError::reading(Format::OtlpProto, &cause),
    })
}

struct Reader<'s, S> {
    sink: &'s mut S,
    /// How many spans have been read, good or bad.
    seen: usize,
}

impl<S: SpanSink> Reader<'_, S> {
    fn request(&mut self, body: &[u8]) -> Result<(), ProtoError> {
        for field in Fields::new(body) {
            if let (1, Wire::Bytes(message)) = field? {
                self.resource_spans(message)?;
            }
        }
        Ok(())
    }

    fn resource_spans(&mut self, message: &[u8]) -> Result<(), ProtoError> {
        let (mut parts, mut schema_url): (Option<Cow<'_, [u8]>>, &[u8]) = (None, &[]);
        for field in Fields::new(message) {
            match field? {
                // Parts of one message, one after the other, are the message.
                (1, Wire::Bytes(part)) => match &mut parts {
                    None => parts = Some(Cow::Borrowed(part)),
                    Some(parts) => parts.to_mut().extend_from_slice(part),
                },
                (3, Wire::Bytes(url)) => schema_url = url,
                _ => {}
            }
        }
        let origin = Origin::read(parts.as_deref(), schema_url)?;
        let resource = origin.is_resource.then_some(ResourceRef {
            wire: parts.as_deref().unwrap_or_default(),
            tags: &origin.tags,
            dropped_tags: origin.dropped_tags,
            schema_url: Text::Bytes(schema_url),
        });
        self.sink.resource(resource.as_ref())?;
        // Not made for a resource without spans: millions of those fit into a body.
        let mut span: Option<SpanReader<'_>> = None;
        for field in Fields::new(message) {
            if let (2, Wire::Bytes(message)) = field? {
                let span = span.get_or_insert_with(|| SpanReader::of(&origin));
                self.scope_spans(message, span)?;
            }
        }
        Ok(())
    }

    fn scope_spans<'a>(
        &mut self,
        message: &'a [u8],
        span: &mut SpanReader<'a>,
    ) -> Result<(), ProtoError> {
        let mut scope: Option<ScopeDraft<'_>> = None;
        let mut schema_url: &[u8] = &[];
        read_ahead(message);
        for field in Fields::new(message) {
            match field? {
                (1, Wire::Bytes(message)) => scope.get_or_insert_default().read(message)?,
                (3, Wire::Bytes(url)) => schema_url = url,
                _ => {}
            }
        }
        if scope.is_none() && !schema_url.is_empty() {
            scope = Some(ScopeDraft::default());
        }
        let scope = scope.as_mut().map(|scope| scope.finish(schema_url));
        self.sink.scope(scope.as_ref())?;
        for field in Fields::new(message) {
            if let (2, Wire::Bytes(message)) = field? {
                match span.read(message, self.sink) {
                    Ok(()) => {}
                    Err(Flaw::Wire(over @ ProtoError::OverLimit(_))) => return Err(over),
                    Err(flaw) => {
                        let reason = flaw.to_string();
                        self.sink.problem(BadSpan { index: self.seen, reason })?;
                    }
                }
                self.seen += 1;
            }
        }
        Ok(())
    }
}

/// Has memory bring a message that is long in the order in which it stands there. Going from span to
/// span first, as who looks for the scope does, would wait for each of them: a tenth of all the time.
fn read_ahead(message: &[u8]) {
    /// Bytes that come at once.
    const LINE: usize = 64;
    let seen = message.iter().step_by(LINE).fold(0, |seen, byte| seen ^ byte);
    std::hint::black_box(seen);
}

/// What the spans of one resource share.
#[derive(Default)]
struct Origin<'a> {
    /// Whether it is more than a way to say whose the spans are.
    is_resource: bool,
    tags: Vec<TagRef<'a>>,
    dropped_tags: u32,
    /// Lower case; empty means absent.
    service_name: String,
}

impl<'a> Origin<'a> {
    fn read(resource: Option<&'a [u8]>, schema_url: &[u8]) -> Result<Self, ProtoError> {
        let mut origin =
            Self { is_resource: resource.is_some() || !schema_url.is_empty(), ..Self::default() };
        let mut dropped_before = 0;
        let mut attributes = Attributes::default();
        for field in Fields::new(resource.unwrap_or_default()) {
            match field? {
                (1, Wire::Bytes(attribute)) => {
                    let tag = attributes.read(attribute)?;
                    draft::push_tag(&mut origin.tags, tag, &mut origin.dropped_tags);
                }
                (2, Wire::Varint(count)) => dropped_before = as_count(count),
                _ => {}
            }
        }
        let over = draft::bound(&mut origin.tags, ORIGIN_TAGS_MAX).saturating_add(dropped_before);
        origin.dropped_tags = origin.dropped_tags.saturating_add(over);
        let name = origin.tags.iter().find(|tag| tag.key.read() == SERVICE_NAME);
        if let Some(name) = name {
            origin.service_name = as_service_name(&name.value.to_owned().text());
        }
        for tag in &mut origin.tags {
            if !facts::may_be_reserved(&tag.key) {
                continue;
            }
            let key = tag.key.read().into_owned();
            if key == facts::SYNTHETIC && matches!(tag.value, ValueRef::Bool(true)) {
                origin.is_resource = false;
            }
            tag.key = Text::Owned(facts::unescaped(key));
            tag.wire = &[];
        }
        Ok(origin)
    }
}

/// The name that a resource gives to its service, as a local endpoint has it.
pub(super) fn service_name(tags: &Tags) -> String {
    let value = tags.iter().find(|(key, _)| key == SERVICE_NAME).map(|(_, value)| value.text());
    value.map_or_else(String::new, |name| as_service_name(&name))
}

/// A service's name as a local endpoint has it. One text of megabytes would be copied into each of
/// its spans, so one that is too long to be a name is none.
pub(in crate::codec) fn as_service_name(text: &str) -> String {
    if text.len() > SERVICE_NAME_MAX { String::new() } else { text.to_lowercase() }
}

#[derive(Default)]
struct ScopeDraft<'a> {
    name: &'a [u8],
    version: &'a [u8],
    tags: Vec<TagRef<'a>>,
    /// Dropped by the sender, and by us.
    dropped_tags: (u32, u32),
}

impl<'a> ScopeDraft<'a> {
    fn read(&mut self, message: &'a [u8]) -> Result<(), ProtoError> {
        let mut attributes = Attributes::default();
        for field in Fields::new(message) {
            match field? {
                (1, Wire::Bytes(name)) => self.name = name,
                (2, Wire::Bytes(version)) => self.version = version,
                (3, Wire::Bytes(attribute)) => {
                    let tag = attributes.read(attribute)?;
                    draft::push_tag(&mut self.tags, tag, &mut self.dropped_tags.1);
                }
                (4, Wire::Varint(count)) => self.dropped_tags.0 = as_count(count),
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(&mut self, schema_url: &'a [u8]) -> ScopeRef<'_> {
        let over = draft::bound(&mut self.tags, ORIGIN_TAGS_MAX);
        let (by_sender, by_us) = self.dropped_tags;
        ScopeRef {
            name: Text::Bytes(self.name),
            version: Text::Bytes(self.version),
            tags: &self.tags,
            dropped_tags: by_sender.saturating_add(by_us).saturating_add(over),
            schema_url: Text::Bytes(schema_url),
        }
    }
}

/// Reads the spans of one resource, one after the other.
struct SpanReader<'a> {
    origin: &'a Origin<'a>,
    draft: Draft<'a>,
    peers: Peers,
}

impl<'a> SpanReader<'a> {
    fn of(origin: &'a Origin<'a>) -> Self {
        Self { origin, draft: Draft::default(), peers: Peers::default() }
    }

    fn read(&mut self, message: &'a [u8], sink: &mut impl SpanSink) -> Result<(), Flaw> {
        let draft = &mut self.draft;
        draft.clear();
        let (mut trace_id, mut id, mut parent_id): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
        let (mut start, mut end) = (0, 0);
        // Dropped by the sender; what is dropped here is added.
        let (mut tags_before, mut annotations_before, mut links_before) = (0, 0, 0);
        let mut facts: Option<Facts> = None;
        let mut attributes = Attributes::default();
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next() {
            match field? {
                (1, Wire::Bytes(bytes)) => trace_id = bytes,
                (2, Wire::Bytes(bytes)) => id = bytes,
                (3, Wire::Bytes(state)) => draft.trace_state = Text::Bytes(state),
                (4, Wire::Bytes(bytes)) => parent_id = bytes,
                (5, Wire::Bytes(name)) => draft.name = Text::Bytes(name),
                (6, Wire::Varint(number)) => draft.kind = as_kind(number),
                (7, Wire::Fixed64(nanos)) => start = nanos,
                (8, Wire::Fixed64(nanos)) => end = nanos,
                (9, Wire::Bytes(attribute)) => {
                    let mut next = Some(attribute);
                    while let Some(attribute) = next {
                        match attribute::usual(attribute) {
                            Some((key, value)) if !facts::may_be_reserved(&Text::Bytes(key)) => {
                                // Made where it is kept: moving it costs as much as reading it.
                                match value {
                                    Usual::Text(_) => draft.tag(value.tag(key, attribute)),
                                    Usual::Int(_) => draft.tag(value.tag(key, attribute)),
                                }
                            }
                            _ => {
                                let tag = attributes.read_fields(attribute)?;
                                if let Some(tag) = tag_or_fact(tag, &mut facts, sink)? {
                                    draft.tag(tag);
                                }
                            }
                        }
                        next = fields.next_short(9);
                    }
                }
                (10, Wire::Varint(count)) => tags_before = as_count(count),
                (11, Wire::Bytes(event)) => draft.annotation(read_event(event, &mut attributes)?),
                (12, Wire::Varint(count)) => annotations_before = as_count(count),
                (13, Wire::Bytes(link)) => match read_link(link, &mut attributes) {
                    Ok(link) => draft.link(link),
                    Err(Flaw::Wire(error)) => return Err(error.into()),
                    // A link to nowhere is no reason to lose the span.
                    Err(_) => draft.dropped_links = draft.dropped_links.saturating_add(1),
                },
                (14, Wire::Varint(count)) => links_before = as_count(count),
                (15, Wire::Bytes(status)) => read_status(status, draft)?,
                (16, Wire::Fixed32(flags)) => draft.flags = flags,
                _ => {}
            }
        }
        let trace_id = as_trace_id(trace_id)?;
        let id = SpanId::from_raw(u64::from_be_bytes(id_bytes("span_id", id)?));
        if !parent_id.is_empty() {
            let parent_id = u64::from_be_bytes(id_bytes("parent_span_id", parent_id)?);
            // Some senders spell "no parent" as zeros.
            draft.parent_id = SpanId::new(parent_id);
        }
        if id.as_u64() == 0 && !facts.as_ref().is_some_and(|facts| facts.zero_id) {
            return Err(zero("span_id"));
        }
        draft.dropped_tags = draft.dropped_tags.saturating_add(tags_before);
        draft.dropped_annotations = draft.dropped_annotations.saturating_add(annotations_before);
        draft.dropped_links = draft.dropped_links.saturating_add(links_before);
        draft.timestamp = (start > 0).then(|| Timestamp::from_nanos(start));
        draft.duration = duration(start, end);
        draft.settle_tags();
        let peer = self.peers.of(draft.shape(), &draft.tags);
        draft.remote_endpoint = peer.endpoint(draft.kind, &draft.tags);
        draft.local_endpoint = EndpointDraft::named(Text::Str(&self.origin.service_name));
        if let Some(facts) = facts {
            self.apply(facts);
        }
        self.draft.hand_over(trace_id, id, sink).map_err(|over| ProtoError::from(over).into())
    }

    /// What Zipkin knows goes before what OTLP says.
    #[cold]
    fn apply(&mut self, mut facts: Facts) {
        let draft = &mut self.draft;
        draft.debug = facts.debug;
        draft.shared = facts.shared;
        draft.duration = facts.duration.or(draft.duration);
        let local = facts.local_endpoint(&self.origin.service_name);
        draft.local_endpoint = local.unwrap_or_default().into();
        if let Some(remote) = facts.remote() {
            draft.remote_endpoint = remote.into();
        }
    }
}

/// Takes a tag if it is a fact, else gives back what it is.
#[inline(never)]
fn tag_or_fact<'a>(
    tag: TagRef<'a>,
    facts: &mut Option<Facts>,
    sink: &mut impl SpanSink,
) -> Result<Option<TagRef<'a>>, ProtoError> {
    if !facts::may_be_reserved(&tag.key) {
        return Ok(Some(tag));
    }
    let key = tag.key.read().into_owned();
    if let ValueRef::Text(text) = &tag.value {
        draft::hold_long(text, sink)?;
    }
    let facts = facts.get_or_insert_default();
    let kept = facts.take(key, tag.value.to_owned());
    // The same bytes are another tag elsewhere.
    Ok(kept.map(|(key, _)| TagRef::new(Text::Owned(key), tag.value)))
}

/// A span that ended in the nanosecond in which it began did end; one that ended before it began, or
/// whose start or end is not known, has no duration.
pub(in crate::codec) fn duration(start: u64, end: u64) -> Option<Duration> {
    let known = start > 0 && end >= start;
    known.then(|| Duration::from_nanos((end - start).max(1)))
}

fn read_event<'a>(
    message: &'a [u8],
    attributes: &mut Attributes,
) -> Result<AnnotationRef<'a>, ProtoError> {
    let mut dropped_before = 0;
    let mut event = AnnotationRef {
        timestamp: Timestamp::from_nanos(0),
        value: Text::default(),
        tags: Vec::new(),
        dropped_tags: 0,
    };
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Fixed64(nanos)) => event.timestamp = Timestamp::from_nanos(nanos),
            (2, Wire::Bytes(name)) => event.value = Text::Bytes(name),
            (3, Wire::Bytes(attribute)) => {
                let tag = attributes.read_nested(attribute)?;
                draft::push_tag(&mut event.tags, tag, &mut event.dropped_tags);
            }
            (4, Wire::Varint(count)) => dropped_before = as_count(count),
            _ => {}
        }
    }
    event.dropped_tags = event.dropped_tags.saturating_add(dropped_before);
    Ok(event)
}

fn read_link<'a>(message: &'a [u8], attributes: &mut Attributes) -> Result<LinkRef<'a>, Flaw> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    let (mut trace_state, mut tags) = (Text::default(), Vec::new());
    let (mut dropped_tags, mut dropped_before, mut flags) = (0u32, 0, 0);
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(bytes)) => trace_id = bytes,
            (2, Wire::Bytes(bytes)) => span_id = bytes,
            (3, Wire::Bytes(state)) => trace_state = Text::Bytes(state),
            (4, Wire::Bytes(attribute)) => {
                let tag = attributes.read_nested(attribute)?;
                draft::push_tag(&mut tags, tag, &mut dropped_tags);
            }
            (5, Wire::Varint(count)) => dropped_before = as_count(count),
            (6, Wire::Fixed32(bits)) => flags = bits,
            _ => {}
        }
    }
    let span_id = SpanId::new(u64::from_be_bytes(id_bytes("span_id", span_id)?));
    Ok(LinkRef {
        trace_id: as_trace_id(trace_id)?,
        span_id: span_id.ok_or(zero("span_id"))?,
        trace_state,
        tags,
        dropped_tags: dropped_tags.saturating_add(dropped_before),
        flags,
    })
}

fn read_status<'a>(message: &'a [u8], draft: &mut Draft<'a>) -> Result<(), ProtoError> {
    for field in Fields::new(message) {
        match field? {
            (2, Wire::Bytes(message)) => draft.status_message = Text::Bytes(message),
            (3, Wire::Varint(code)) => {
                draft.status_code = match code {
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

fn as_trace_id(bytes: &[u8]) -> Result<TraceId, Flaw> {
    let id = u128::from_be_bytes(id_bytes("trace_id", bytes)?);
    TraceId::new(id).ok_or(zero("trace_id"))
}

fn id_bytes<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], Flaw> {
    let length = bytes.len();
    bytes.try_into().map_err(|_| Flaw::IdLength { field, length, expected: N })
}

fn zero(field: &'static str) -> Flaw {
    Flaw::ZeroId { field }
}

//! What Jaeger's formats have in common: a span in OpenTracing's words, whatever bytes say it.
//!
//! The words are those that OpenTelemetry's collector knows, so that a span means the same whichever
//! way it came. `docs/formats/jaeger.md` has the tables.

#[cfg(test)]
pub(super) mod tests;
pub(super) mod words;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::draft::{Draft, EndpointDraft, bound};
use super::otlp::remote::Seen;
use super::sink::{
    AnnotationRef, BadSpan, LinkRef, ResourceRef, ScopeRef, SpanSink, TagRef, Text, ValueRef,
};
use super::{LINKS_MAX, ManyNested, ORIGIN_TAGS_MAX, OverLimit, Room, otlp};
use crate::{Endpoint, Kind, SpanId, StatusCode, Timestamp, TraceId, Value};

/// Jaeger's bits of a span's flags.
pub(super) const SAMPLED: u32 = 1;
pub(super) const DEBUG: u32 = 2;

/// The tag of a link that says what kind of reference it was.
pub(super) const REF_TYPE: &str = "opentracing.ref_type";

/// Takes spans while they are read, and hands them over one after the other.
#[derive(Debug)]
pub(super) struct Spans<'a, 's, S> {
    sink: &'s mut S,
    /// The span that is being read.
    pub(super) span: JaegerSpan<'a>,
    /// How many have been read, good or bad.
    pub(super) seen: usize,
    /// Whether the sink knows the present process.
    told: bool,
    /// The scope that the sink was told of last: name and version.
    scope: Option<(String, String)>,
}

/// What made the spans.
#[derive(Debug, Default)]
pub(super) struct Process<'a> {
    pub(super) service_name: Text<'a>,
    tags: Vec<TagRef<'a>>,
    dropped_tags: u32,
    /// All of it, as it stands in the body.
    wire: Cow<'a, [u8]>,
    local: EndpointDraft<'a>,
}

/// A span while its fields come in, in any order.
#[derive(Debug)]
pub(super) struct JaegerSpan<'a> {
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    /// Beside the references, where a format has such a field; else zero.
    pub(super) parent_id: u64,
    pub(super) flags: u32,
    pub(super) name: Text<'a>,
    pub(super) start_ns: u64,
    /// Zero where nothing is said, for Jaeger's spans have ended. `None` if it cannot be.
    pub(super) duration_ns: Option<u64>,
    references: Vec<Reference>,
    error: bool,
    status_code: Option<StatusCode>,
    scope_name: Text<'a>,
    scope_version: Text<'a>,
    room: Room,
    draft: Draft<'a>,
}

/// A span that another one names as its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) kind: RefType,
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
}

/// Whether the cause waits for its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefType {
    ChildOf,
    FollowsFrom,
}

impl<'a, 's, S: SpanSink> Spans<'a, 's, S> {
    pub(super) fn new(sink: &'s mut S) -> Self {
        Self { sink, span: JaegerSpan::default(), seen: 0, told: false, scope: None }
    }

    /// The spans that follow are another process's.
    pub(super) fn next_process(&mut self) {
        self.told = false;
    }

    /// Hands over the span that was read.
    pub(super) fn finish(&mut self, process: &Process<'a>) -> Result<(), OverLimit> {
        let span = &mut self.span;
        let (Some(trace_id), Some(id)) = (TraceId::new(span.trace_id), SpanId::new(span.span_id))
        else {
            let field = if span.trace_id == 0 { "trace" } else { "span" };
            return self.bad(format!("{field} id is all zeros"));
        };
        self.seen += 1;
        span.conclude(process);
        let scope = span.scope();
        if !self.told {
            self.sink.resource(process.resource().as_ref())?;
            (self.told, self.scope) = (true, None);
        }
        let same = match (&self.scope, &scope) {
            (None, None) => true,
            (Some((name, version)), Some(scope)) => {
                *name == scope.name.read() && *version == scope.version.read()
            }
            _ => false,
        };
        if !same {
            self.sink.scope(scope.as_ref())?;
            let texts = |scope: ScopeRef<'_>| {
                (scope.name.read().into_owned(), scope.version.read().into_owned())
            };
            self.scope = scope.map(texts);
        }
        self.span.draft.hand_over(trace_id, id, self.sink)
    }

    /// Tells that so many bytes of memory are taken until the spans are handed over.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), OverLimit> {
        self.sink.hold(bytes)
    }

    /// Reports the span that could not be read.
    pub(super) fn bad(&mut self, reason: String) -> Result<(), OverLimit> {
        let index = self.seen;
        self.seen += 1;
        self.sink.problem(BadSpan { index, reason })
    }
}

impl<'a> Process<'a> {
    pub(super) fn tag(&mut self, tag: TagRef<'a>) {
        self.tags.push(tag);
        // Keys may stand there twice, but not without end.
        if self.tags.len() >= 2 * ORIGIN_TAGS_MAX {
            self.bound();
        }
    }

    /// Keeps the bytes that were read: all of them, or what came after others.
    pub(super) fn came_as(&mut self, wire: &'a [u8]) {
        match &mut self.wire {
            Cow::Borrowed([]) => self.wire = Cow::Borrowed(wire),
            earlier => earlier.to_mut().extend_from_slice(wire),
        }
    }

    /// Draws conclusions from what was read.
    pub(super) fn finish(&mut self) {
        if !self.service_name.is_empty() {
            self.tags.retain(|tag| *bytes(&tag.key) != *otlp::SERVICE_NAME.as_bytes());
            let name = ValueRef::Text(self.service_name.clone());
            self.tags.insert(0, TagRef::new(Text::Str(otlp::SERVICE_NAME), name));
        }
        self.bound();
        if !otlp::as_service_name(&self.service_name.read()).is_empty() {
            self.local.service_name = self.service_name.clone();
        }
        if let Some(ip) = self.tags.iter().find(|tag| *bytes(&tag.key) == *b"ip") {
            put_ip(&mut self.local.address, &ip.value);
        }
    }

    fn bound(&mut self) {
        let over = bound(&mut self.tags, ORIGIN_TAGS_MAX);
        self.dropped_tags = self.dropped_tags.saturating_add(over);
    }

    fn resource(&self) -> Option<ResourceRef<'_>> {
        (!self.tags.is_empty()).then(|| ResourceRef {
            wire: &self.wire,
            tags: &self.tags,
            dropped_tags: self.dropped_tags,
            schema_url: Text::default(),
        })
    }
}

impl Default for JaegerSpan<'_> {
    fn default() -> Self {
        Self {
            trace_id: 0,
            span_id: 0,
            parent_id: 0,
            flags: 0,
            name: Text::default(),
            start_ns: 0,
            duration_ns: Some(0),
            references: Vec::new(),
            error: false,
            status_code: None,
            scope_name: Text::default(),
            scope_version: Text::default(),
            room: Room::default(),
            draft: Draft::default(),
        }
    }
}

impl<'a> JaegerSpan<'a> {
    /// Makes it as good as new, but for the room that its lists have taken.
    pub(super) fn clear(&mut self) {
        let mut references = std::mem::take(&mut self.references);
        let mut draft = std::mem::take(&mut self.draft);
        references.clear();
        draft.clear();
        *self = Self { references, draft, ..Self::default() };
    }

    pub(super) fn tag(&mut self, key: Text<'a>, value: ValueRef<'a>) {
        if !self.take_word(&key, &value) {
            self.draft.tag(TagRef::new(key, value));
        }
    }

    /// Takes a tag that says what a span has a field for.
    fn take_word(&mut self, key: &Text<'a>, value: &ValueRef<'a>) -> bool {
        match (&*bytes(key), value) {
            (b"span.kind", ValueRef::Text(kind)) => match as_kind(&kind.read()) {
                Some(kind) => self.draft.kind = kind,
                None => return false,
            },
            (b"error", ValueRef::Bool(error)) => self.error = *error,
            (b"error", ValueRef::Text(error)) => match &*error.read() {
                "true" => self.error = true,
                "false" => self.error = false,
                _ => return false,
            },
            (b"otel.status_code", ValueRef::Text(code)) => {
                self.status_code = Some(match &*code.read() {
                    "OK" => StatusCode::Ok,
                    "ERROR" => StatusCode::Error,
                    "UNSET" => StatusCode::Unset,
                    _ => return false,
                });
            }
            (b"otel.status_description", ValueRef::Text(text)) => {
                self.draft.status_message = text.clone();
            }
            (b"w3c.tracestate", ValueRef::Text(state)) => self.draft.trace_state = state.clone(),
            (b"otel.scope.name" | b"otel.library.name", ValueRef::Text(name)) => {
                self.scope_name = name.clone();
            }
            (b"otel.scope.version" | b"otel.library.version", ValueRef::Text(version)) => {
                self.scope_version = version.clone();
            }
            _ => return false,
        }
        true
    }

    pub(super) fn reference(&mut self, reference: Reference) {
        if self.references.len() < LINKS_MAX {
            self.references.push(reference);
        } else {
            self.draft.dropped_links = self.draft.dropped_links.saturating_add(1);
        }
    }

    /// Makes room for one more field of a log.
    pub(super) fn field(&mut self) -> Result<(), ManyNested> {
        self.room.take(1)
    }

    /// The field `event` says what happened, else `message` does.
    pub(super) fn log(&mut self, time_ns: u64, mut fields: Vec<TagRef<'a>>) {
        let place = |key: &str| fields.iter().position(|tag| *bytes(&tag.key) == *key.as_bytes());
        let value = match place("event").or_else(|| place("message")) {
            None => Text::default(),
            Some(at) => match fields.remove(at).value {
                ValueRef::Text(text) => text,
                other => Text::Owned(other.to_owned().text().into_owned()),
            },
        };
        self.draft.annotation(AnnotationRef {
            timestamp: Timestamp::from_nanos(time_ns),
            value,
            tags: fields,
            dropped_tags: 0,
        });
    }

    /// Brings what was read into the draft.
    fn conclude(&mut self, process: &Process<'a>) {
        self.relate();
        let draft = &mut self.draft;
        draft.name = std::mem::take(&mut self.name);
        draft.timestamp = (self.start_ns > 0).then(|| Timestamp::from_nanos(self.start_ns));
        // A span that took no time that its clock could tell has ended all the same.
        let known = self.duration_ns.filter(|ns| *ns > 0 || self.start_ns > 0);
        draft.duration = known.map(|ns| Duration::from_nanos(ns.max(1)));
        draft.debug = self.flags & DEBUG != 0;
        draft.flags = self.flags & SAMPLED;
        draft.status_code = match self.status_code {
            _ if self.error => StatusCode::Error,
            code => code.unwrap_or_default(),
        };
        draft.local_endpoint = process.local.clone();
        draft.settle_tags();
        draft.remote_endpoint = remote_endpoint(draft.kind, &draft.tags);
    }

    /// One reference is to the parent; the others are links, and so is that to a parent which did not
    /// wait.
    fn relate(&mut self) {
        let within = |reference: &Reference| reference.trace_id == self.trace_id;
        let parent =
            Reference { kind: RefType::ChildOf, trace_id: self.trace_id, span_id: self.parent_id };
        let said = |other: &Reference| within(other) && other.span_id == parent.span_id;
        if parent.span_id != 0 && !self.references.iter().any(said) {
            self.references.insert(0, parent);
        }
        let first = |kind: RefType| {
            let found = self.references.iter().find(|r| r.kind == kind && within(r));
            found.copied().filter(|reference| reference.span_id != 0)
        };
        let parent = first(RefType::ChildOf).or_else(|| first(RefType::FollowsFrom));
        self.draft.parent_id = parent.and_then(|parent| SpanId::new(parent.span_id));
        for reference in &self.references {
            if reference.kind == RefType::ChildOf && Some(*reference) == parent {
                continue;
            }
            match (TraceId::new(reference.trace_id), SpanId::new(reference.span_id)) {
                (Some(trace_id), Some(span_id)) => {
                    let kind = ValueRef::Text(Text::Str(reference.kind.as_str()));
                    self.draft.link(LinkRef {
                        trace_id,
                        span_id,
                        trace_state: Text::default(),
                        tags: vec![TagRef::new(Text::Str(REF_TYPE), kind)],
                        dropped_tags: 0,
                        flags: 0,
                    });
                }
                _ => self.draft.dropped_links = self.draft.dropped_links.saturating_add(1),
            }
        }
    }

    fn scope(&self) -> Option<ScopeRef<'a>> {
        let said = !self.scope_name.is_empty() || !self.scope_version.is_empty();
        said.then(|| ScopeRef {
            name: self.scope_name.clone(),
            version: self.scope_version.clone(),
            tags: &[],
            dropped_tags: 0,
            schema_url: Text::default(),
        })
    }
}

impl RefType {
    /// As a link's tag says it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ChildOf => "child_of",
            Self::FollowsFrom => "follows_from",
        }
    }
}

/// OpenTracing's words for the other side, and what they leave open by OpenTelemetry's.
fn remote_endpoint<'a>(kind: Option<Kind>, tags: &[TagRef<'a>]) -> EndpointDraft<'a> {
    let mut endpoint = Seen::among(tags).endpoint(kind, tags);
    let mut said = Endpoint::default();
    let (mut service_name, mut host_name) = (None, None);
    for tag in tags {
        match (&*bytes(&tag.key), &tag.value) {
            (b"peer.service", ValueRef::Text(name)) => service_name = Some(name),
            (b"peer.hostname", ValueRef::Text(name)) => host_name = Some(name),
            (b"peer.ipv4" | b"peer.ipv6", value) => put_ip(&mut said, value),
            (b"peer.port", value) => said.port = as_port(value).unwrap_or(0),
            (b"peer.address", ValueRef::Text(address)) => {
                let address = address.read();
                if let Ok(address) = address.parse::<SocketAddr>() {
                    said.set_ip_text(&address.ip().to_string());
                    said.port = address.port();
                } else {
                    said.set_ip_text(&address);
                }
            }
            _ => {}
        }
    }
    if let (None, Some(name)) = (service_name, host_name.filter(|name| !name.is_empty())) {
        match name.read().parse::<IpAddr>() {
            Ok(_) => said.set_ip_text(&name.read()),
            Err(_) => endpoint.service_name = name.clone(),
        }
    }
    if said.ipv4.is_some() || said.ipv6.is_some() {
        (endpoint.address.ipv4, endpoint.address.ipv6) = (said.ipv4, said.ipv6);
    }
    if said.port != 0 {
        endpoint.address.port = said.port;
    }
    endpoint
}

/// An address as text, as a number, or as its bytes.
fn put_ip(endpoint: &mut Endpoint, value: &ValueRef<'_>) {
    match value {
        ValueRef::Text(text) => {
            let text = text.read();
            match text.parse::<i64>() {
                Ok(number) => put_ip(endpoint, &ValueRef::Int(number)),
                Err(_) => endpoint.set_ip_text(&text),
            }
        }
        ValueRef::Int(number) => {
            // Some fill the 32 bits as if they had a sign.
            let signed = i32::try_from(*number).map(i32::cast_unsigned);
            if let Ok(number) = signed.or_else(|_| u32::try_from(*number)) {
                endpoint.ipv4 = Some(Ipv4Addr::from(number));
            }
        }
        ValueRef::Bytes(bytes) => {
            if let Ok(octets) = <[u8; 4]>::try_from(*bytes) {
                endpoint.ipv4 = Some(Ipv4Addr::from(octets));
            } else if let Ok(octets) = <[u8; 16]>::try_from(*bytes) {
                endpoint.ipv6 = Some(Ipv6Addr::from(octets));
            }
        }
        ValueRef::Owned(Value::Bytes(bytes)) => put_ip(endpoint, &ValueRef::Bytes(bytes)),
        _ => {}
    }
}

fn as_port(value: &ValueRef<'_>) -> Option<u16> {
    match value {
        ValueRef::Int(port) => u16::try_from(*port).ok(),
        ValueRef::Text(port) => port.read().parse().ok(),
        _ => None,
    }
}

/// `None` for words that nobody knows; what is known may be no kind.
fn as_kind(text: &str) -> Option<Option<Kind>> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    Some(match text {
        _ if is("client") => Some(Kind::Client),
        _ if is("server") => Some(Kind::Server),
        _ if is("producer") => Some(Kind::Producer),
        _ if is("consumer") => Some(Kind::Consumer),
        _ if is("internal") => None,
        _ => return None,
    })
}

fn bytes<'t>(text: &'t Text<'_>) -> Cow<'t, [u8]> {
    match text {
        Text::Bytes(bytes) => Cow::Borrowed(bytes),
        Text::Str(text) => Cow::Borrowed(text.as_bytes()),
        Text::Owned(text) => Cow::Borrowed(text.as_bytes()),
        Text::Escaped(_) => Cow::Owned(text.read().into_owned().into_bytes()),
    }
}

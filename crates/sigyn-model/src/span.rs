//! The span: Zipkin's names for what is stored, with room for what OTLP can say beyond them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{Endpoint, Labels, Searched, SpanId, Tags, Timestamp, TraceId, Value, value};

/// One operation, as its service reported it.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace_id: TraceId,
    /// Never the span's own id.
    pub parent_id: Option<SpanId>,
    pub id: SpanId,
    pub kind: Option<Kind>,
    /// Lower case; empty means absent.
    pub name: String,
    pub timestamp: Option<Timestamp>,
    /// Never zero, and no longer than 64 bits of nanoseconds say: 584 years.
    pub duration: Option<Duration>,
    pub local_endpoint: Option<Endpoint>,
    pub remote_endpoint: Option<Endpoint>,
    /// In order of time, then value; exact duplicates stand once.
    pub annotations: Vec<Annotation>,
    pub tags: Tags,
    pub debug: bool,
    /// This span shares its id with the client span of the same call.
    pub shared: bool,

    pub status: Status,
    pub links: Vec<Link>,
    /// W3C `tracestate`; empty means absent.
    pub trace_state: String,
    pub dropped_tags: u32,
    pub dropped_annotations: u32,
    pub dropped_links: u32,
    /// OTLP's flags: those of W3C, and whether the parent is another process's. Zero means that nothing is said.
    pub flags: u32,
    /// What OTLP calls the instrumentation scope.
    pub scope: Option<Arc<Scope>>,
    /// What OTLP says of the process that made the span. `service.name` is also the local endpoint's name.
    pub resource: Option<Arc<Resource>>,
    /// Labels of the target that it was scraped from; none if it was pushed.
    pub target: Option<Arc<Labels>>,
}

/// On which side of a call a span stands. A local operation has no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Client,
    Server,
    Producer,
    Consumer,
}

/// Something that happened at a point in time: OTLP's event, with its name as the value.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    pub timestamp: Timestamp,
    pub value: String,
    pub tags: Tags,
    pub dropped_tags: u32,
}

/// A pointer to a span of this or another trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub trace_state: String,
    pub tags: Tags,
    pub dropped_tags: u32,
    /// OTLP's flags of the span that is pointed to.
    pub flags: u32,
}

/// How the operation ended, where its sender says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub code: StatusCode,
    pub message: String,
}

/// OTLP's status codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusCode {
    #[default]
    Unset,
    Ok,
    Error,
}

/// The library that made a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    pub name: String,
    pub version: String,
    pub tags: Tags,
    pub dropped_tags: u32,
    /// Which version of the conventions its spans follow; empty means absent.
    pub schema_url: String,
}

/// The process that made a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    pub tags: Tags,
    pub dropped_tags: u32,
    /// Which version of the conventions its tags follow; empty means absent.
    pub schema_url: String,
}

/// The longest duration: as far as a [`Timestamp`] reaches.
pub(crate) const DURATION_MAX: Duration = Duration::from_nanos(u64::MAX);

impl Span {
    /// A span with nothing but its ids.
    pub fn new(trace_id: TraceId, id: SpanId) -> Self {
        Self {
            trace_id,
            parent_id: None,
            id,
            kind: None,
            name: String::new(),
            timestamp: None,
            duration: None,
            local_endpoint: None,
            remote_endpoint: None,
            annotations: Vec::new(),
            tags: Vec::new(),
            debug: false,
            shared: false,
            status: Status::default(),
            links: Vec::new(),
            trace_state: String::new(),
            dropped_tags: 0,
            dropped_annotations: 0,
            dropped_links: 0,
            flags: 0,
            scope: None,
            resource: None,
            target: None,
        }
    }

    /// The local endpoint's service name, if it has one.
    pub fn service_name(&self) -> Option<&str> {
        name_of(self.local_endpoint.as_ref())
    }

    /// The remote endpoint's service name, if it has one.
    pub fn remote_service_name(&self) -> Option<&str> {
        name_of(self.remote_endpoint.as_ref())
    }

    /// Puts a tag, in place of an earlier value of the same key.
    pub fn set_tag(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.tags.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value,
            None => self.tags.push((key, value)),
        }
    }

    /// Brings a span that was just read into the form that the fields promise: Zipkin's rules for
    /// what contradicts itself, and order where order is promised. Every codec ends with it.
    pub fn normalize(&mut self) {
        self.parent_id = self.parent_id.filter(|parent| *parent != self.id);
        self.duration = self.duration.filter(|duration| !duration.is_zero());
        // The client half is the one that the id belongs to.
        self.shared &= self.kind != Some(Kind::Client);
        self.local_endpoint = self.local_endpoint.take().and_then(Endpoint::into_option);
        self.remote_endpoint = self.remote_endpoint.take().and_then(Endpoint::into_option);
        self.duration = self.duration.map(|duration| duration.min(DURATION_MAX));
        let over = value::bound(&mut self.tags, value::TAGS_MAX);
        self.dropped_tags = self.dropped_tags.saturating_add(over);
        self.sort_annotations();
    }

    /// Brings annotations into their order: time, then value, exact duplicates once.
    pub fn sort_annotations(&mut self) {
        self.annotations
            .sort_by(|a, b| a.timestamp.cmp(&b.timestamp).then_with(|| a.value.cmp(&b.value)));
        self.annotations.dedup();
    }

    /// The tags as Zipkin shows them, by key. The span's own come first; what OTLP says elsewhere
    /// (resource, scope, status) fills keys that are still free. `docs/formats/zipkin-view.md` has the table.
    pub fn zipkin_tags(&self) -> BTreeMap<&str, Cow<'_, str>> {
        let mut tags: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
        for (key, value) in &self.tags {
            tags.insert(key, value.text());
        }
        if let Some(code) = self.status.code.as_tag() {
            tags.entry("otel.status_code").or_insert(Cow::Borrowed(code));
        }
        if let Some(error) = self.status.error() {
            tags.entry("error").or_insert(Cow::Borrowed(error));
        }
        if let Some(scope) = &self.scope {
            for (key, text) in
                [("otel.scope.name", &scope.name), ("otel.scope.version", &scope.version)]
            {
                if !text.is_empty() {
                    tags.entry(key).or_insert(Cow::Borrowed(text));
                }
            }
        }
        if let Some(resource) = &self.resource {
            for (key, value) in resource.tags.iter().filter(|(key, _)| key != "service.name") {
                tags.entry(key).or_insert_with(|| value.text());
            }
        }
        tags
    }

    /// The value of one tag of [`Span::zipkin_tags`], without building them all.
    pub fn zipkin_tag(&self, key: &str) -> Option<Cow<'_, str>> {
        Searched::zipkin_tag(self, key)
    }

    /// Whether the operation failed, by Zipkin's rule: a tag `error`, whatever its value, as it is
    /// shown.
    pub fn is_error(&self) -> bool {
        Searched::is_error(self)
    }

    /// When the span ended, in Zipkin's microseconds; when it began, if nobody knows how long it took.
    pub fn end_us(&self) -> Option<u64> {
        Some(self.timestamp?.micros().saturating_add(self.duration_us().unwrap_or(0)))
    }

    /// Whether two spans say the same, wherever they came from: a span that was pushed and scraped,
    /// or scraped through two jobs, is one span.
    pub fn same_as(&self, other: &Self) -> bool {
        self.trace_id == other.trace_id
            && self.id == other.id
            && (Self { target: None, ..self.clone() }) == (Self { target: None, ..other.clone() })
    }
}

impl Status {
    /// The tag `error` that Zipkin shows for it.
    fn error(&self) -> Option<&str> {
        self.code.as_error(&self.message)
    }
}

impl StatusCode {
    /// The tag `otel.status_code` that Zipkin shows for it.
    pub fn as_tag(self) -> Option<&'static str> {
        match self {
            Self::Unset => None,
            Self::Ok => Some("OK"),
            Self::Error => Some("ERROR"),
        }
    }

    /// The tag `error` that Zipkin shows for it, and for this message.
    pub(crate) fn as_error(self, message: &str) -> Option<&str> {
        (self == Self::Error).then_some(if message.is_empty() { "true" } else { message })
    }
}

fn name_of(endpoint: Option<&Endpoint>) -> Option<&str> {
    endpoint.map(|e| e.service_name.as_str()).filter(|name| !name.is_empty())
}

impl Annotation {
    /// The text that Zipkin shows: the value, and where there are tags, `"value": {"key": "text", ..}`,
    /// which is how OpenTelemetry's exporters write an event for Zipkin.
    pub fn zipkin_value(&self) -> Cow<'_, str> {
        if self.tags.is_empty() {
            return Cow::Borrowed(&self.value);
        }
        let mut out = String::new();
        crate::codec::write_json_str(&mut out, &self.value);
        out.push_str(": ");
        value::write_json_object(&mut out, &self.tags);
        Cow::Owned(out)
    }
}

impl Kind {
    /// Zipkin's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "CLIENT",
            Self::Server => "SERVER",
            Self::Producer => "PRODUCER",
            Self::Consumer => "CONSUMER",
        }
    }
}

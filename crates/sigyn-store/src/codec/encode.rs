//! Spans to bytes.

use std::collections::HashMap;
use std::time::Duration;

use sigyn_model::{
    Account, Annotation, Endpoint, Kind, Labels, Link, Resource, Scope, Span, Status, StatusCode,
    Tags, TargetProgress, TraceId, Value,
};

use super::{VALUE_DEPTH_MAX, flag, value_type};

/// Writes one record. What it has written once it writes by number when it comes again.
#[derive(Debug, Default)]
pub(crate) struct Encoder<'a> {
    out: Vec<u8>,
    strings: HashMap<&'a str, u64>,
    /// Strings so far, those included that cannot come again.
    string_count: u64,
    expanded: u64,
}

impl<'a> Encoder<'a> {
    /// About what a record takes in memory once it is read, beside its own bytes.
    pub(crate) fn expanded(put: impl FnOnce(&mut Self)) -> u64 {
        let mut encoder = Self::default();
        put(&mut encoder);
        encoder.expanded
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// Seven bits a byte, the lowest first; the high bit says that more follow.
    #[expect(clippy::cast_possible_truncation, reason = "seven bits are what is asked for")]
    pub(crate) fn uint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.uint(count as u64);
    }

    pub(crate) fn fixed_u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn trace_id(&mut self, id: TraceId) {
        self.out.extend_from_slice(&id.as_u128().to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn optional<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.byte(0),
            Some(value) => {
                self.byte(1);
                put(self, value);
            }
        }
    }

    pub(crate) fn string(&mut self, text: &'a str) {
        match self.strings.get(text) {
            Some(number) => {
                self.expanded += text.len() as u64;
                self.uint(*number);
            }
            None => {
                self.new_string(text);
                self.strings.insert(text, self.string_count);
            }
        }
    }

    fn new_string(&mut self, text: &str) {
        self.expanded += text.len() as u64;
        self.uint(0);
        self.bytes(text.as_bytes());
        self.string_count += 1;
    }

    /// What a span says itself, to be compared and never to be read: without its target, and of
    /// resource and scope that they are there.
    pub(crate) fn own(&mut self, span: &'a Span) {
        self.first_part(span);
        self.rare(span);
    }

    fn first_part(&mut self, span: &'a Span) {
        self.expanded += size_of::<Span>() as u64;
        self.uint(flags_of(span));
        self.trace_id(span.trace_id);
        self.fixed_u64(span.id.as_u64());
        if let Some(parent) = span.parent_id {
            self.fixed_u64(parent.as_u64());
        }
        self.string(&span.name);
        if let Some(timestamp) = span.timestamp {
            self.fixed_u64(timestamp.nanos());
        }
        if let Some(duration) = span.duration {
            self.duration(duration);
        }
        for endpoint in [&span.local_endpoint, &span.remote_endpoint].into_iter().flatten() {
            self.endpoint(endpoint);
        }
        if !span.tags.is_empty() {
            self.tags(&span.tags);
        }
        if !span.annotations.is_empty() {
            self.count(span.annotations.len());
            for annotation in &span.annotations {
                self.annotation(annotation);
            }
        }
    }

    /// What few spans have: status, links, trace state, counts of what was dropped, OTLP's flags.
    /// Which of them follow, the first number of the span says.
    fn rare(&mut self, span: &'a Span) {
        if span.status != Status::default() {
            self.byte(match span.status.code {
                StatusCode::Unset => 0,
                StatusCode::Ok => 1,
                StatusCode::Error => 2,
            });
            self.string(&span.status.message);
        }
        if !span.links.is_empty() {
            self.count(span.links.len());
            for link in &span.links {
                self.link(link);
            }
        }
        if !span.trace_state.is_empty() {
            self.string(&span.trace_state);
        }
        let dropped = [span.dropped_tags, span.dropped_annotations, span.dropped_links];
        if dropped != [0; 3] {
            dropped.iter().for_each(|count| self.uint(u64::from(*count)));
        }
        if span.flags != 0 {
            self.uint(u64::from(span.flags));
        }
    }

    pub(crate) fn duration(&mut self, duration: Duration) {
        self.uint(duration.as_secs());
        self.uint(u64::from(duration.subsec_nanos()));
    }

    /// One byte says which addresses and whether a port follow the name.
    pub(crate) fn endpoint(&mut self, endpoint: &'a Endpoint) {
        let has = |has: bool, bit: u8| if has { bit } else { 0 };
        self.byte(
            has(endpoint.ipv4.is_some(), 1)
                | has(endpoint.ipv6.is_some(), 2)
                | has(endpoint.port != 0, 4),
        );
        self.string(&endpoint.service_name);
        if let Some(ip) = endpoint.ipv4 {
            self.out.extend_from_slice(&ip.octets());
        }
        if let Some(ip) = endpoint.ipv6 {
            self.out.extend_from_slice(&ip.octets());
        }
        if endpoint.port != 0 {
            self.uint(u64::from(endpoint.port));
        }
    }

    pub(crate) fn annotation(&mut self, annotation: &'a Annotation) {
        self.expanded += size_of::<Annotation>() as u64;
        self.fixed_u64(annotation.timestamp.nanos());
        self.string(&annotation.value);
        self.tags(&annotation.tags);
        self.uint(u64::from(annotation.dropped_tags));
    }

    fn link(&mut self, link: &'a Link) {
        self.expanded += size_of::<Link>() as u64;
        self.trace_id(link.trace_id);
        self.fixed_u64(link.span_id.as_u64());
        self.string(&link.trace_state);
        self.tags(&link.tags);
        self.uint(u64::from(link.dropped_tags));
        self.uint(u64::from(link.flags));
    }

    pub(crate) fn tags(&mut self, tags: &'a Tags) {
        self.count(tags.len());
        for (key, value) in tags {
            self.string(key);
            self.value(value, 0);
        }
    }

    pub(crate) fn value(&mut self, value: &'a Value, depth: usize) {
        self.expanded += size_of::<Value>() as u64;
        match value {
            Value::Empty => self.byte(value_type::EMPTY),
            Value::Str(text) => {
                self.byte(value_type::STR);
                self.string(text);
            }
            Value::Bool(value) => {
                self.byte(if *value { value_type::TRUE } else { value_type::FALSE });
            }
            Value::Int(value) => {
                self.byte(value_type::INT);
                self.uint((value << 1 ^ value >> 63).cast_unsigned());
            }
            Value::Double(value) => {
                self.byte(value_type::DOUBLE);
                self.fixed_u64(value.to_bits());
            }
            Value::Bytes(bytes) => {
                self.byte(value_type::BYTES);
                self.expanded += bytes.len() as u64;
                self.bytes(bytes);
            }
            Value::List(_) | Value::Map(_) if depth >= VALUE_DEPTH_MAX => {
                self.byte(value_type::STR);
                self.new_string(&value.text());
            }
            Value::List(values) => {
                self.byte(value_type::LIST);
                self.count(values.len());
                values.iter().for_each(|value| self.value(value, depth + 1));
            }
            Value::Map(entries) => {
                self.byte(value_type::MAP);
                self.count(entries.len());
                for (key, value) in entries {
                    self.string(key);
                    self.value(value, depth + 1);
                }
            }
        }
    }

    pub(crate) fn labels(&mut self, labels: &'a Labels) {
        self.count(labels.len());
        for (name, value) in labels {
            self.expanded += 2 * size_of::<String>() as u64;
            self.string(name);
            self.string(value);
        }
    }

    pub(crate) fn resource_content(&mut self, resource: &'a Resource) {
        self.tags(&resource.tags);
        self.uint(u64::from(resource.dropped_tags));
        self.string(&resource.schema_url);
    }

    pub(crate) fn scope_content(&mut self, scope: &'a Scope) {
        self.string(&scope.name);
        self.string(&scope.version);
        self.tags(&scope.tags);
        self.uint(u64::from(scope.dropped_tags));
        self.string(&scope.schema_url);
    }

    pub(crate) fn progress(&mut self, progress: &'a TargetProgress) {
        self.string(&progress.target);
        self.optional(progress.cursor, |encoder, cursor| {
            encoder.fixed_u64(cursor.epoch);
            encoder.uint(cursor.seq);
        });
        self.account(&progress.account);
    }

    fn account(&mut self, account: &Account) {
        let Account { received, lost, restarts, epoch } = account;
        let numbers = [
            *received,
            lost.evicted,
            lost.before_first_scrape,
            lost.oversize,
            lost.shutdown,
            lost.rejected,
            lost.unexplained,
            *restarts,
            epoch.received,
            epoch.lost,
            epoch.finished,
            epoch.oversize,
            epoch.shutdown,
            epoch.unexplained,
        ];
        // The count lets a later version add numbers at the end.
        self.count(numbers.len());
        numbers.into_iter().for_each(|number| self.uint(number));
    }
}

fn flags_of(span: &Span) -> u64 {
    let kind = match span.kind {
        None => 0,
        Some(Kind::Client) => 1,
        Some(Kind::Server) => 2,
        Some(Kind::Producer) => 3,
        Some(Kind::Consumer) => 4,
    };
    [
        (span.parent_id.is_some(), flag::PARENT),
        (span.timestamp.is_some(), flag::TIMESTAMP),
        (span.duration.is_some(), flag::DURATION),
        (span.local_endpoint.is_some(), flag::LOCAL),
        (span.remote_endpoint.is_some(), flag::REMOTE),
        (span.debug, flag::DEBUG),
        (span.shared, flag::SHARED),
        (!span.tags.is_empty(), flag::TAGS),
        (!span.annotations.is_empty(), flag::ANNOTATIONS),
        (span.resource.is_some(), flag::RESOURCE),
        (span.scope.is_some(), flag::SCOPE),
    ]
    .into_iter()
    .filter(|(is_there, _)| *is_there)
    .fold(kind << flag::KIND_SHIFT | rare_flags(span), |flags, (_, bit)| flags | bit)
}

/// The flags of what [`Encoder::rare`] writes.
fn rare_flags(span: &Span) -> u64 {
    [
        (span.status != Status::default(), flag::STATUS),
        (!span.links.is_empty(), flag::LINKS),
        (!span.trace_state.is_empty(), flag::TRACE_STATE),
        (
            span.dropped_tags != 0 || span.dropped_annotations != 0 || span.dropped_links != 0,
            flag::DROPPED,
        ),
        (span.flags != 0, flag::FLAGS),
    ]
    .into_iter()
    .filter(|(is_there, _)| *is_there)
    .fold(0, |flags, (_, bit)| flags | bit)
}

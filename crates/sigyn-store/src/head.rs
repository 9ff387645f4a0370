//! The newest spans, in memory, as the log has them: by trace, searchable at once.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use sigyn_model::{Labels, Resource, Scope, Span, Tags, Value};

use crate::facts::{Facts, Strictness, TraceKey};
use crate::names::Names;

/// Spans of batches that no block holds yet. One writer; readers share a lock with it, shortly.
#[derive(Debug, Default)]
pub(crate) struct Head {
    traces: BTreeMap<TraceKey, HeadTrace>,
    names: Names,
    spans: u64,
    bytes: u64,
    /// When the first and the last batch arrived.
    arrivals_ms: Option<(u64, u64)>,
    last_resource: Option<Arc<Resource>>,
    last_scope: Option<Arc<Scope>>,
    last_target: Option<Arc<Labels>>,
}

/// The spans of one trace in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct HeadTrace {
    pub(crate) spans: Vec<Span>,
    pub(crate) facts: Facts,
}

impl Head {
    pub(crate) fn insert(&mut self, spans: Vec<Span>, arrival_ms: u64) {
        let (first, last) = self.arrivals_ms.unwrap_or((arrival_ms, arrival_ms));
        self.arrivals_ms = Some((first.min(arrival_ms), last.max(arrival_ms)));
        for span in spans {
            self.insert_span(span);
        }
    }

    fn insert_span(&mut self, mut span: Span) {
        self.spans += 1;
        self.bytes += span_bytes(&span);
        self.share(&mut span);
        self.names.add(&span);
        let trace = self.traces.entry(span.trace_id.into()).or_default();
        trace.facts.add(&span);
        trace.spans.push(span);
    }

    /// What neighbours say alike they keep once. Counted where it is new.
    fn share(&mut self, span: &mut Span) {
        let mut bytes = 0;
        if let Some(resource) = &mut span.resource {
            bytes += share(resource, &mut self.last_resource, |r| tags_bytes(&r.tags));
        }
        if let Some(scope) = &mut span.scope {
            bytes += share(scope, &mut self.last_scope, |s| tags_bytes(&s.tags) + 64);
        }
        if let Some(target) = &mut span.target {
            bytes += share(target, &mut self.last_target, |labels| {
                labels.iter().map(|(name, value)| text_bytes(name) + text_bytes(value)).sum()
            });
        }
        self.bytes += bytes;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans == 0
    }

    pub(crate) fn span_count(&self) -> u64 {
        self.spans
    }

    pub(crate) fn trace_count(&self) -> u64 {
        self.traces.len() as u64
    }

    /// An estimate of its memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn arrivals_ms(&self) -> Option<(u64, u64)> {
        self.arrivals_ms
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn trace(&self, key: TraceKey) -> Option<&HeadTrace> {
        self.traces.get(&key)
    }

    /// All parts of the traces of a group, by the key of their own.
    pub(crate) fn group(
        &self,
        group: TraceKey,
        strictness: Strictness,
    ) -> impl Iterator<Item = (TraceKey, &HeadTrace)> {
        self.traces_from(Bound::Included(group))
            .take_while(move |(key, _)| strictness.group(*key) == group)
    }

    /// Traces from this key on, in order.
    pub(crate) fn traces_from(
        &self,
        from: Bound<TraceKey>,
    ) -> impl Iterator<Item = (TraceKey, &HeadTrace)> {
        self.traces.range((from, Bound::Unbounded)).map(|(key, trace)| (*key, trace))
    }
}

/// Puts the last value in place of an equal one; returns the bytes that a new one takes.
fn share<T: PartialEq>(
    new: &mut Arc<T>,
    last: &mut Option<Arc<T>>,
    bytes: impl Fn(&T) -> u64,
) -> u64 {
    match last {
        Some(last) if Arc::ptr_eq(last, new) => 0,
        Some(last) if last == new => {
            *new = last.clone();
            0
        }
        _ => {
            *last = Some(new.clone());
            bytes(new)
        }
    }
}

/// What a text takes beyond its own place: its bytes and the allocator's share.
fn text_bytes(text: &str) -> u64 {
    if text.is_empty() { 0 } else { text.len() as u64 + 16 }
}

fn tags_bytes(tags: &Tags) -> u64 {
    let tag = |(key, value): &(String, Value)| text_bytes(key) + value_bytes(value) + 24;
    tags.iter().map(tag).sum()
}

fn value_bytes(value: &Value) -> u64 {
    let content = match value {
        Value::Str(text) => text_bytes(text),
        Value::Bytes(bytes) => bytes.len() as u64 + 16,
        Value::List(values) => values.iter().map(value_bytes).sum(),
        Value::Map(entries) => tags_bytes(entries),
        Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Empty => 0,
    };
    size_of::<Value>() as u64 + content
}

/// What a span takes in memory, without what it may share with others.
pub(crate) fn span_bytes(span: &Span) -> u64 {
    let endpoints = [&span.local_endpoint, &span.remote_endpoint].into_iter().flatten();
    let annotations = span.annotations.iter();
    let links = span.links.iter();
    size_of::<Span>() as u64
        + text_bytes(&span.name)
        + text_bytes(&span.trace_state)
        + text_bytes(&span.status.message)
        + endpoints.map(|endpoint| text_bytes(&endpoint.service_name)).sum::<u64>()
        + tags_bytes(&span.tags)
        + annotations.map(|a| 64 + text_bytes(&a.value) + tags_bytes(&a.tags)).sum::<u64>()
        + links.map(|link| 96 + tags_bytes(&link.tags)).sum::<u64>()
}

//! What owned spans take in memory, estimated.

use std::collections::HashSet;
use std::sync::Arc;

use sigyn_model::{Resource, Span, Tags, Value};

/// What a text takes beyond its own place: its bytes and the allocator's share.
fn text_bytes(text: &str) -> u64 {
    if text.is_empty() { 0 } else { text.len() as u64 + 16 }
}

fn tags_bytes(tags: &Tags) -> u64 {
    let tag = |(key, value): &(String, Value)| text_bytes(key) + value_bytes(value) + 24;
    tags.iter().map(tag).sum()
}

pub(crate) fn value_bytes(value: &Value) -> u64 {
    let content = match value {
        Value::Str(text) => text_bytes(text),
        Value::Bytes(bytes) => bytes.len() as u64 + 16,
        Value::List(values) => values.iter().map(value_bytes).sum(),
        Value::Map(entries) => tags_bytes(entries),
        Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Empty => 0,
    };
    size_of::<Value>() as u64 + content
}

/// What a resource takes that many spans share.
pub(crate) fn resource_bytes(resource: &Resource) -> u64 {
    tags_bytes(&resource.tags) + text_bytes(&resource.schema_url)
}

/// What a span takes, without what it may share with others.
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

/// What spans take together, each of the resources that they share once.
#[derive(Debug, Default)]
pub(crate) struct Weight {
    pub(crate) bytes: u64,
    resources: HashSet<*const Resource>,
}

impl Weight {
    /// Of spans that are held together.
    pub(crate) fn of(spans: &[Span]) -> u64 {
        let mut weight = Self::default();
        spans.iter().for_each(|span| weight.add(span));
        weight.bytes
    }

    pub(crate) fn add(&mut self, span: &Span) {
        let mut bytes = span_bytes(span);
        if let Some(resource) = &span.resource
            && self.resources.insert(Arc::as_ptr(resource))
        {
            bytes += resource_bytes(resource);
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

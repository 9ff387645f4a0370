//! What spans hold, counted apart from the reader that made them.

use std::sync::Arc;

use sigyn_model::codec::Decoded;
use sigyn_model::{Endpoint, Resource, Scope, Span, Value};

/// What is shared by spans that stand behind one another is counted once.
pub(crate) fn held(decoded: &Decoded) -> usize {
    let mut bytes = decoded.problems.iter().map(|text| size_of::<String>() + text.len()).sum();
    let (mut resource, mut scope): (Option<&Arc<Resource>>, Option<&Arc<Scope>>) = (None, None);
    for span in &decoded.spans {
        bytes += of_span(span);
        if let Some(own) = &span.resource
            && !resource.is_some_and(|last| Arc::ptr_eq(last, own))
        {
            bytes += size_of::<Resource>() + own.schema_url.len() + of_tags(&own.tags);
            resource = Some(own);
        }
        if let Some(own) = &span.scope
            && !scope.is_some_and(|last| Arc::ptr_eq(last, own))
        {
            let texts = own.name.len() + own.version.len() + own.schema_url.len();
            bytes += size_of::<Scope>() + texts + of_tags(&own.tags);
            scope = Some(own);
        }
    }
    bytes
}

fn of_span(span: &Span) -> usize {
    let endpoints = [&span.local_endpoint, &span.remote_endpoint];
    let name = |endpoint: &Endpoint| endpoint.service_name.len();
    let texts = span.name.len() + span.status.message.len() + span.trace_state.len();
    let mut bytes = size_of::<Span>() + texts + of_tags(&span.tags);
    bytes += endpoints.into_iter().flatten().map(name).sum::<usize>();
    bytes += size_of_val(span.annotations.as_slice()) + size_of_val(span.links.as_slice());
    for annotation in &span.annotations {
        bytes += annotation.value.len() + of_tags(&annotation.tags);
    }
    for link in &span.links {
        bytes += link.trace_state.len() + of_tags(&link.tags);
    }
    bytes
}

fn of_tags(tags: &[(String, Value)]) -> usize {
    let texts = tags.iter().map(|(key, value)| key.len() + of_value(value));
    size_of_val(tags) + texts.sum::<usize>()
}

/// Beside its own place.
fn of_value(value: &Value) -> usize {
    match value {
        Value::Str(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(values) => {
            size_of_val(values.as_slice()) + values.iter().map(of_value).sum::<usize>()
        }
        Value::Map(entries) => of_tags(entries),
        Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Empty => 0,
    }
}

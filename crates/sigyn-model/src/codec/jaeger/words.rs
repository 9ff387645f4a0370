//! The way back: what Jaeger's formats write of a span.

use std::borrow::Cow;

use super::{DEBUG, REF_TYPE, RefType, Reference, SAMPLED};
use crate::codec::otlp::{self, remote};
use crate::{Annotation, Endpoint, Span, StatusCode, Value};

/// Tags that stand elsewhere in a span, or were made for the occasion.
pub(in crate::codec) type Words<'a> = Vec<(Cow<'a, str>, Cow<'a, Value>)>;

/// The tags of a span, with all that Jaeger has no field for.
pub(in crate::codec) fn tags(span: &Span) -> Words<'_> {
    let mut words: Words<'_> = Vec::with_capacity(span.tags.len() + 4);
    if let Some(kind) = span.kind {
        put(&mut words, "span.kind", kind.as_str().to_ascii_lowercase());
    }
    let mut message = span.status.message.as_str();
    let mut error = span.status.code == StatusCode::Error;
    match span.tags.iter().find(|(key, _)| key == "error") {
        // To Jaeger, only what is true is an error, so the words of one stand elsewhere.
        Some((_, Value::Str(text))) if message.is_empty() => {
            error = true;
            message = if text == "true" { "" } else { text };
        }
        Some(_) => error = true,
        None => {}
    }
    if error {
        put(&mut words, "error", true);
    }
    match span.status.code {
        StatusCode::Unset => {}
        StatusCode::Ok => put(&mut words, "otel.status_code", "OK"),
        StatusCode::Error => put(&mut words, "otel.status_code", "ERROR"),
    }
    let scope = span.scope.as_deref();
    for (key, text) in [
        ("otel.status_description", message),
        ("otel.scope.name", scope.map_or("", |scope| &scope.name)),
        ("otel.scope.version", scope.map_or("", |scope| &scope.version)),
        ("w3c.tracestate", &span.trace_state),
    ] {
        if !text.is_empty() {
            put(&mut words, key, text);
        }
    }
    remote_words(span, &mut words);
    let ours = words.len();
    for (key, value) in &span.tags {
        let said = words[..ours].iter().any(|(word, _)| word == key);
        if !said {
            words.push((Cow::Borrowed(key), Cow::Borrowed(value)));
        }
    }
    words
}

/// What of the other side the tags do not say.
fn remote_words(span: &Span, words: &mut Words<'_>) {
    let Some(remote) = &span.remote_endpoint else { return };
    let told = remote::endpoint(span.kind, &span.tags).unwrap_or_default();
    let is_tag = |key: &str| span.tags.iter().any(|(k, _)| k == key);
    if remote.service_name != told.service_name && !is_tag("peer.hostname") {
        put(words, "peer.service", remote.service_name.as_str());
    }
    if let Some(ip) = remote.ipv4.filter(|_| remote.ipv4 != told.ipv4 && !is_tag("peer.ipv4")) {
        put(words, "peer.ipv4", ip.to_string());
    }
    if let Some(ip) = remote.ipv6.filter(|_| remote.ipv6 != told.ipv6 && !is_tag("peer.ipv6")) {
        put(words, "peer.ipv6", ip.to_string());
    }
    if remote.port != 0 && remote.port != told.port && !is_tag("peer.port") {
        put(words, "peer.port", i64::from(remote.port));
    }
}

/// The parent, whose id is told apart, and what the links point to.
pub(in crate::codec) fn references(span: &Span, parent_id: Option<u64>) -> Vec<Reference> {
    let mut references = Vec::with_capacity(span.links.len() + 1);
    let trace_id = span.trace_id.as_u128();
    for link in &span.links {
        let kind = match link.tags.iter().find(|(key, _)| key == REF_TYPE) {
            Some((_, Value::Str(kind))) if kind == RefType::ChildOf.as_str() => RefType::ChildOf,
            _ => RefType::FollowsFrom,
        };
        references.push(Reference {
            kind,
            trace_id: link.trace_id.as_u128(),
            span_id: link.span_id.as_u64(),
        });
    }
    if let Some(span_id) = parent_id {
        let parent = Reference { kind: RefType::ChildOf, trace_id, span_id };
        // A link says already that this parent did not wait.
        let followed = Reference { kind: RefType::FollowsFrom, ..parent };
        if !references.contains(&followed) {
            references.insert(0, parent);
        }
    }
    references
}

pub(in crate::codec) fn flags(span: &Span) -> u32 {
    let debug = if span.debug { DEBUG | SAMPLED } else { 0 };
    span.flags & SAMPLED | debug
}

/// The fields of a log.
pub(in crate::codec) fn fields(annotation: &Annotation) -> Words<'_> {
    let mut words: Words<'_> = Vec::with_capacity(annotation.tags.len() + 1);
    if !annotation.value.is_empty() {
        put(&mut words, "event", annotation.value.as_str());
    }
    words.extend(
        annotation.tags.iter().map(|(key, value)| (Cow::Borrowed(&**key), Cow::Borrowed(value))),
    );
    words
}

/// The name of a process, and its tags.
pub(in crate::codec) fn process(span: &Span) -> (Cow<'_, str>, Words<'_>) {
    let tags: &[(String, Value)] = span.resource.as_ref().map_or(&[], |resource| &resource.tags);
    let local = span.local_endpoint.as_ref();
    let local_name = local.map_or("", |local| &local.service_name);
    let said =
        tags.iter().find(|(key, _)| key == otlp::SERVICE_NAME).map(|(_, value)| value.text());
    // As it was spelled, if it is the same.
    let name = said.filter(|said| otlp::as_service_name(said) == local_name);
    let mut words: Words<'_> = Vec::with_capacity(tags.len());
    if let Some(ip) = local.and_then(ip_text).filter(|_| tags.iter().all(|(key, _)| key != "ip")) {
        put(&mut words, "ip", ip);
    }
    for (key, value) in tags.iter().filter(|(key, _)| key != otlp::SERVICE_NAME) {
        words.push((Cow::Borrowed(key), Cow::Borrowed(value)));
    }
    (name.unwrap_or(Cow::Borrowed(local_name)), words)
}

fn ip_text(endpoint: &Endpoint) -> Option<String> {
    let ipv4 = endpoint.ipv4.map(|ip| ip.to_string());
    ipv4.or_else(|| endpoint.ipv6.map(|ip| ip.to_string()))
}

fn put(words: &mut Words<'_>, key: &'static str, value: impl Into<Value>) {
    words.push((Cow::Borrowed(key), Cow::Owned(value.into())));
}

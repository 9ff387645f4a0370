//! The sink that makes owned spans.

use std::sync::Arc;

use super::sink::{
    BadSpan, ResourceRef, ScopeRef, SpanRef, SpanSink, TagRef, Text, ValueRef, lossy_len,
};
use super::{Decoded, Limits, Meter, OverLimit, PROBLEMS_MAX};
use crate::{Annotation, Link, Resource, Scope, Span, Status, Tags, Value};

/// Collects spans, and counts what they take.
#[derive(Debug)]
pub struct SpanVec {
    decoded: Decoded,
    meter: Meter,
    resource: Option<Arc<Resource>>,
    scope: Option<Arc<Scope>>,
}

impl SpanVec {
    /// For the spans of one body of so many bytes: no more of them than a reader has room for.
    pub fn within(limits: Limits, body_bytes: usize) -> Result<Self, OverLimit> {
        let meter = Meter::new(limits, body_bytes)?;
        Ok(Self { decoded: Decoded::default(), meter, resource: None, scope: None })
    }

    pub fn into_decoded(self) -> Decoded {
        self.decoded
    }

    /// Text of one's own. That it stands in the body is counted; what it is beyond that is not yet.
    fn text(&mut self, text: &Text<'_>) -> Result<String, OverLimit> {
        match text {
            Text::Bytes(bytes) => match simdutf8::basic::from_utf8(bytes) {
                Ok(text) => return Ok(text.to_owned()),
                Err(_) => self.meter.add(lossy_len(bytes))?,
            },
            Text::Owned(text) => self.meter.add(text.len())?,
            Text::Str(_) | Text::Escaped(_) => {}
        }
        Ok(text.read().into_owned())
    }

    fn tags(&mut self, tags: &[TagRef<'_>]) -> Result<Tags, OverLimit> {
        self.meter.add_many::<(String, Value)>(tags.len())?;
        let mut owned = Tags::with_capacity(tags.len());
        for tag in tags {
            let key = self.text(&tag.key)?;
            let value = match &tag.value {
                ValueRef::Text(text) => Value::Str(self.text(text)?),
                ValueRef::Owned(value) => {
                    self.meter.add(bytes_beside(value))?;
                    value.clone()
                }
                value => value.to_owned(),
            };
            owned.push((key, value));
        }
        Ok(owned)
    }
}

impl SpanSink for SpanVec {
    fn resource(&mut self, resource: Option<&ResourceRef<'_>>) -> Result<(), OverLimit> {
        (self.resource, self.scope) = (None, None);
        if let Some(resource) = resource {
            self.meter.add_many::<Resource>(1)?;
            self.resource = Some(Arc::new(Resource {
                tags: self.tags(resource.tags)?,
                dropped_tags: resource.dropped_tags,
                schema_url: self.text(&resource.schema_url)?,
            }));
        }
        Ok(())
    }

    fn scope(&mut self, scope: Option<&ScopeRef<'_>>) -> Result<(), OverLimit> {
        self.scope = None;
        if let Some(scope) = scope {
            self.meter.add_many::<Scope>(1)?;
            self.scope = Some(Arc::new(Scope {
                name: self.text(&scope.name)?,
                version: self.text(&scope.version)?,
                tags: self.tags(scope.tags)?,
                dropped_tags: scope.dropped_tags,
                schema_url: self.text(&scope.schema_url)?,
            }));
        }
        Ok(())
    }

    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), OverLimit> {
        self.meter.add_many::<Span>(1)?;
        self.meter.add_many::<Annotation>(span.annotations.len())?;
        self.meter.add_many::<Link>(span.links.len())?;
        let tags = self.tags(span.tags)?;
        let mut annotations = Vec::with_capacity(span.annotations.len());
        for annotation in span.annotations {
            annotations.push(Annotation {
                timestamp: annotation.timestamp,
                value: self.text(&annotation.value)?,
                tags: self.tags(&annotation.tags)?,
                dropped_tags: annotation.dropped_tags,
            });
        }
        let mut links = Vec::with_capacity(span.links.len());
        for link in span.links {
            links.push(Link {
                trace_id: link.trace_id,
                span_id: link.span_id,
                trace_state: self.text(&link.trace_state)?,
                tags: self.tags(&link.tags)?,
                dropped_tags: link.dropped_tags,
                flags: link.flags,
            });
        }
        // Each span gets a copy of them, however often the message says them: many spans of OTLP share
        // a service, and a span of Zipkin's v1 may become many of one name.
        let endpoints = [span.local_endpoint, span.remote_endpoint];
        let names = endpoints.iter().flatten().map(|endpoint| endpoint.service_name.len());
        self.meter.add(span.name.len() + names.sum::<usize>())?;
        let status = Status { code: span.status_code, message: self.text(&span.status_message)? };
        let trace_state = self.text(&span.trace_state)?;
        self.decoded.spans.push(Span {
            trace_id: span.trace_id,
            parent_id: span.parent_id,
            id: span.id,
            kind: span.kind,
            name: span.name.to_owned(),
            timestamp: span.timestamp,
            duration: span.duration,
            local_endpoint: span.local_endpoint.map(|endpoint| endpoint.to_owned()),
            remote_endpoint: span.remote_endpoint.map(|endpoint| endpoint.to_owned()),
            annotations,
            tags,
            debug: span.debug,
            shared: span.shared,
            status,
            links,
            trace_state,
            dropped_tags: span.dropped_tags,
            dropped_annotations: span.dropped_annotations,
            dropped_links: span.dropped_links,
            flags: span.flags,
            scope: self.scope.clone(),
            resource: self.resource.clone(),
            target: None,
        });
        Ok(())
    }

    fn problem(&mut self, problem: BadSpan) -> Result<(), OverLimit> {
        self.decoded.rejected += 1;
        if self.decoded.problems.len() < PROBLEMS_MAX {
            let problem = problem.to_string();
            self.meter.add(size_of::<String>() + problem.len())?;
            self.decoded.problems.push(problem);
        }
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), OverLimit> {
        self.meter.add(bytes)
    }
}

/// What a value that had to be made takes beside its own place.
fn bytes_beside(value: &Value) -> usize {
    match value {
        Value::Str(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(values) => {
            values.iter().map(|value| size_of::<Value>() + bytes_beside(value)).sum()
        }
        Value::Map(entries) => {
            let entry = |(key, value): &(String, Value)| key.len() + bytes_beside(value);
            size_of_val(entries.as_slice()) + entries.iter().map(entry).sum::<usize>()
        }
        Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Empty => 0,
    }
}

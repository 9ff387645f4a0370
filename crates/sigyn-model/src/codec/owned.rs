//! The sink that makes owned spans.

use std::sync::Arc;

use super::sink::{BadSpan, ResourceRef, ScopeRef, SpanRef, SpanSink, TagRef, ValueRef};
use super::{DecodeError, Decoded, Limits, Meter, OverLimit};
use crate::{Annotation, Link, Resource, Scope, Span, Status, Tags, Value};

/// A body with more bad spans than this is no list of spans.
pub(crate) const PROBLEMS_MAX: usize = 10_000;

/// Collects spans, and counts what they take.
#[derive(Debug)]
pub struct SpanVec {
    decoded: Decoded,
    meter: Meter,
    resource: Option<Arc<Resource>>,
    /// Where in the body it stands: address and length.
    resource_at: (usize, usize),
    scope: Option<Arc<Scope>>,
    /// Which limit an origin broke.
    over: Option<OverLimit>,
    refused_problem: bool,
}

impl SpanVec {
    /// For the spans of one body of so many bytes: no more of them than a reader has room for.
    pub fn within(limits: Limits, body_bytes: usize) -> Result<Self, OverLimit> {
        Ok(Self {
            decoded: Decoded::default(),
            meter: Meter::new(limits, body_bytes)?,
            resource: None,
            resource_at: (0, 0),
            scope: None,
            over: None,
            refused_problem: false,
        })
    }

    pub fn into_decoded(self) -> Decoded {
        self.decoded
    }

    /// An error of the reader, with an example where too many bad spans are the reason.
    pub(crate) fn explained(&self, error: DecodeError) -> DecodeError {
        match self.decoded.problems.first() {
            Some(first) if self.refused_problem => {
                DecodeError::new(format!("more than {PROBLEMS_MAX} bad spans, first {first}"))
            }
            _ => error,
        }
    }

    fn tags(&mut self, tags: &[TagRef<'_>]) -> Result<Tags, OverLimit> {
        self.meter.add_tags(tags.len())?;
        for tag in tags {
            if let ValueRef::Owned(value) = &tag.value {
                self.meter.add(nested_bytes(value))?;
            }
        }
        Ok(tags.iter().map(TagRef::to_owned).collect())
    }

    /// The same for what many spans share, where there is no answering with an error yet.
    fn shared_tags(&mut self, tags: &[TagRef<'_>]) -> Tags {
        self.tags(tags).unwrap_or_else(|over| {
            self.over = Some(over);
            Tags::new()
        })
    }
}

impl SpanSink for SpanVec {
    fn origin(&mut self, resource: Option<&ResourceRef<'_>>, scope: Option<&ScopeRef<'_>>) {
        // Each scope of a resource begins with it anew, and a resource may be large.
        let at = resource.map_or((0, 0), |r| (r.wire.as_ptr().addr(), r.wire.len()));
        if at.1 == 0 || at != self.resource_at {
            self.resource_at = at;
            self.resource = resource.map(|resource| {
                Arc::new(Resource {
                    tags: self.shared_tags(resource.tags),
                    dropped_tags: resource.dropped_tags,
                    schema_url: resource.schema_url.read().into_owned(),
                })
            });
        }
        self.scope = scope.map(|scope| {
            Arc::new(Scope {
                name: scope.name.read().into_owned(),
                version: scope.version.read().into_owned(),
                tags: self.shared_tags(scope.tags),
                dropped_tags: scope.dropped_tags,
                schema_url: scope.schema_url.read().into_owned(),
            })
        });
    }

    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), OverLimit> {
        if let Some(over) = self.over {
            return Err(over);
        }
        self.meter.add_span()?;
        self.meter.add(span.annotations.len() * size_of::<Annotation>())?;
        self.meter.add(span.links.len() * size_of::<Link>())?;
        let tags = self.tags(span.tags)?;
        let mut annotations = Vec::with_capacity(span.annotations.len());
        for annotation in span.annotations {
            annotations.push(Annotation {
                timestamp: annotation.timestamp,
                value: annotation.value.read().into_owned(),
                tags: self.tags(&annotation.tags)?,
                dropped_tags: annotation.dropped_tags,
            });
        }
        let mut links = Vec::with_capacity(span.links.len());
        for link in span.links {
            links.push(Link {
                trace_id: link.trace_id,
                span_id: link.span_id,
                trace_state: link.trace_state.read().into_owned(),
                tags: self.tags(&link.tags)?,
                dropped_tags: link.dropped_tags,
                flags: link.flags,
            });
        }
        // Each span gets a copy of them, however often the message says them: many spans of OTLP share
        // a service, and a span of Zipkin's v1 may become many of one name.
        let service_name = span.local_endpoint.map_or(0, |endpoint| endpoint.service_name.len());
        self.meter.add(span.name.len() + service_name)?;
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
            status: Status {
                code: span.status_code,
                message: span.status_message.read().into_owned(),
            },
            links,
            trace_state: span.trace_state.read().into_owned(),
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
        self.meter.add_span()?;
        if self.decoded.problems.len() >= PROBLEMS_MAX {
            self.refused_problem = true;
            return Err(OverLimit::Problems(PROBLEMS_MAX));
        }
        self.decoded.problems.push(problem.to_string());
        Ok(())
    }
}

/// What stands in lists and maps, without its texts: those are in the body.
fn nested_bytes(value: &Value) -> usize {
    match value {
        Value::List(values) => {
            values.iter().map(|value| size_of::<Value>() + nested_bytes(value)).sum()
        }
        Value::Map(entries) => {
            let entry = |(_, value): &(String, Value)| size_of::<String>() + nested_bytes(value);
            entries.len() * size_of::<Value>() + entries.iter().map(entry).sum::<usize>()
        }
        _ => 0,
    }
}

//! A message as a door reads it: spans that are kept go into columns, the others are counted.

use sigyn_model::codec::sink::{BadSpan, ResourceRef, ScopeRef, SpanRef, SpanSink};
use sigyn_model::codec::{self, DecodeError, Format, OverLimit};
use sigyn_model::columns::Columns;

use super::sampler::Sampler;

/// Takes the spans of one message.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(super) spans: Box<Columns>,
    sampler: Sampler,
    /// Good spans that are not kept.
    pub(super) unsampled: usize,
}

impl Reading {
    /// Into these columns, which are empty.
    pub(super) fn into(spans: Box<Columns>, sampler: Sampler) -> Self {
        Self { spans, sampler, unsampled: 0 }
    }

    /// Reads the message. After an error, what was read is of no use.
    pub(super) fn read(&mut self, format: Format, body: &[u8]) -> Result<(), DecodeError> {
        self.spans.begin(format);
        codec::read(format, body, self)
    }
}

impl SpanSink for Reading {
    fn resource(&mut self, resource: Option<&ResourceRef<'_>>) -> Result<(), OverLimit> {
        self.spans.resource(resource)
    }

    fn scope(&mut self, scope: Option<&ScopeRef<'_>>) -> Result<(), OverLimit> {
        self.spans.scope(scope)
    }

    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), OverLimit> {
        if self.sampler.keeps(span.trace_id, span.debug) {
            return self.spans.span(span);
        }
        self.unsampled += 1;
        Ok(())
    }

    fn problem(&mut self, problem: BadSpan) -> Result<(), OverLimit> {
        self.spans.problem(problem)
    }

    fn hold(&mut self, bytes: usize) -> Result<(), OverLimit> {
        self.spans.hold(bytes)
    }
}

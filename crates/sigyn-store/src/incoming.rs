//! A batch on its way to the log: when it came, and what it takes until it is there.

use sigyn_model::columns::Columns;
use sigyn_model::{SpanBatch, TargetProgress};

use crate::clock::Clock;
use crate::codec::{EXPANDED_BYTES_MAX, Encoder, SHARED_BYTES_MAX};
use crate::error::AppendError;

/// A batch that waits.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// `None` once they are in the head.
    pub(crate) spans: Option<Box<Columns>>,
    pub(crate) span_count: usize,
    pub(crate) progress: Option<TargetProgress>,
    pub(crate) arrival_ms: u64,
    /// What it takes while it waits.
    pub(crate) bytes: u64,
    /// Whether its spans are of the head before, and so in the log already.
    pub(crate) is_again: bool,
}

impl Incoming {
    /// Errors if a frame of the log does not take it, or a block one of its resources, scopes or targets.
    pub(crate) fn of(batch: SpanBatch, clock: &Clock) -> Result<Self, AppendError> {
        let SpanBatch { spans, progress } = batch;
        let bytes = spans.bytes() as u64;
        let is_small = |expanded: u64| expanded <= SHARED_BYTES_MAX;
        let codes = spans.codes();
        let are_small = codes
            .new_resources()
            .all(|resource| is_small(Encoder::expanded(|e| e.resource_content(resource))))
            && codes
                .new_scopes()
                .all(|scope| is_small(Encoder::expanded(|e| e.scope_content(scope))))
            && codes.new_targets().all(|labels| is_small(Encoder::expanded(|e| e.labels(labels))))
            && progress.iter().all(|progress| is_small(progress.target.len() as u64));
        if bytes > EXPANDED_BYTES_MAX || !are_small {
            return Err(AppendError::TooLarge);
        }
        let (span_count, spans, arrival_ms) = (spans.len(), Some(spans), clock.now_ms());
        Ok(Self { spans, span_count, progress, arrival_ms, bytes, is_again: false })
    }
}

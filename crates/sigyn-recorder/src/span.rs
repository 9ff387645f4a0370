//! A span that has not finished yet.

use std::time::Duration;

use sigyn_model::{Annotation, Endpoint, Span, StatusCode, Timestamp, Value};

use crate::propagation::Context;
use crate::record::Recorder;

/// A running operation. It finishes when it is dropped, and is recorded then.
#[derive(Debug)]
#[must_use = "a span finishes when it is dropped"]
pub struct ActiveSpan {
    context: Context,
    /// `None` if it is not sampled.
    open: Option<Box<Open>>,
}

#[derive(Debug)]
struct Open {
    recorder: Recorder,
    span: Span,
    started: Duration,
}

impl ActiveSpan {
    pub(crate) fn unsampled(context: Context) -> Self {
        Self { context, open: None }
    }

    pub(crate) fn sampled(recorder: Recorder, context: Context, mut span: Span) -> Self {
        let clock = &recorder.shared.clock;
        span.timestamp = Some(Timestamp::from_nanos(clock.wall_nanos()));
        let started = clock.monotonic();
        Self { context, open: Some(Box::new(Open { recorder, span, started })) }
    }

    /// What a child of this span needs to know, here or in another process.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether it will be recorded: worth asking before a costly tag.
    pub fn is_sampled(&self) -> bool {
        self.open.is_some()
    }

    /// Gives a more telling name, known only after the start.
    pub fn set_name(&mut self, name: &str) -> &mut Self {
        self.with(|open| open.span.name = name.to_lowercase())
    }

    /// Puts a tag, in place of an earlier value of the same key.
    pub fn tag(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.with(|open| open.span.set_tag(key, value))
    }

    /// Notes that something happened now.
    pub fn annotate(&mut self, text: &str) -> &mut Self {
        self.with(|open| {
            let timestamp = Timestamp::from_nanos(open.recorder.shared.clock.wall_nanos());
            let value = text.to_owned();
            let annotation = Annotation { timestamp, value, tags: Vec::new(), dropped_tags: 0 };
            open.span.annotations.push(annotation);
        })
    }

    /// Notes that the operation failed, and why. A waiting scraper is told at once.
    pub fn error(&mut self, text: &str) -> &mut Self {
        self.with(|open| {
            open.span.status.code = StatusCode::Error;
            text.clone_into(&mut open.span.status.message);
        })
    }

    /// Notes who is at the other end.
    pub fn remote_endpoint(&mut self, endpoint: Endpoint) -> &mut Self {
        self.with(|open| open.span.remote_endpoint = endpoint.into_option())
    }

    /// Ends the operation. Dropping does the same.
    pub fn finish(self) {}

    fn with(&mut self, change: impl FnOnce(&mut Open)) -> &mut Self {
        if let Some(open) = &mut self.open {
            change(open);
        }
        self
    }
}

impl Drop for ActiveSpan {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let Open { recorder, mut span, started } = *open;
        let took = recorder.shared.clock.monotonic().saturating_sub(started);
        // A duration is never zero: zero means that none is known.
        span.duration = Some(took.max(Duration::from_nanos(1)));
        span.sort_annotations();
        recorder.record(span);
    }
}

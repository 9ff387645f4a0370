//! The processor: a span of the SDK, told to the recorder piece by piece.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{self, SpanContext, SpanKind, TraceState};
use opentelemetry::{Context, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use sigyn_model::{Kind, Link, Resource, SpanId, StatusCode, Timestamp, TraceId};
use sigyn_recorder::{Ended, Recorder, Rest, Text};

use crate::{keys, origins, values};

/// OTLP's flags: that it is known where the other span is, and that it is in another process.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Records the spans of a tracer provider. [`processor`](crate::processor) makes one.
#[derive(Clone, Debug)]
pub struct RecorderProcessor {
    recorder: Recorder,
    /// The provider's; `None` if it says nothing, and then the recorder's own holds.
    resource: Option<Arc<Resource>>,
}

impl RecorderProcessor {
    pub(crate) fn new(recorder: Recorder) -> Self {
        Self { recorder, resource: None }
    }
}

impl SpanProcessor for RecorderProcessor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let context = &span.span_context;
        let Some(trace_id) = trace_id(context) else { return };
        let Some(id) = span_id(context.span_id()) else { return };
        let state = state(context.trace_state());
        let (status, status_message) = match &span.status {
            trace::Status::Unset => (StatusCode::Unset, ""),
            trace::Status::Ok => (StatusCode::Ok, ""),
            trace::Status::Error { description } => (StatusCode::Error, description.as_ref()),
        };
        origins::with(self.resource.as_ref(), &span.instrumentation_scope, |origin| {
            let ended = Ended {
                trace_id,
                id,
                parent_id: span_id(span.parent_span_id),
                kind: kind(&span.span_kind),
                name: Text::from(&span.name),
                start: timestamp(span.start_time),
                end: timestamp(span.end_time),
                status,
                status_message,
                trace_state: &state,
                flags: flags(context, span.parent_span_is_remote),
                origin,
            };
            match context.is_sampled() {
                true => self.recorder.record_ended(&ended, |rest| tell(&span, rest)),
                false => self.recorder.put_aside_ended(&ended, |rest| tell(&span, rest)),
            }
        });
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.recorder.shut_down();
        Ok(())
    }

    fn set_resource(&mut self, resource: &opentelemetry_sdk::Resource) {
        let tags = values::tags(resource.iter());
        let schema_url = resource.schema_url().unwrap_or_default().to_owned();
        self.resource =
            (!tags.is_empty()).then(|| Arc::new(Resource { tags, dropped_tags: 0, schema_url }));
    }
}

/// All that there is a list of.
fn tell(span: &SpanData, rest: &mut Rest<'_>) {
    for attribute in &span.attributes {
        let key = attribute.key.as_str();
        match keys::known(key) {
            Some(key) => tag(rest, key, &attribute.value),
            None => tag(rest, Text::new(key), &attribute.value),
        }
    }
    for event in span.events.iter() {
        // Lists are put together first; there hardly ever is one.
        let lists = values::lists(&event.attributes);
        let tags = values::with_lists(&event.attributes, &lists);
        let time = timestamp(event.timestamp);
        rest.annotation(time, &event.name, tags, event.dropped_attributes_count);
    }
    for link in span.links.iter() {
        let to = &link.span_context;
        let (Some(trace_id), Some(span_id)) = (trace_id(to), span_id(to.span_id())) else {
            continue;
        };
        rest.link(&Link {
            trace_id,
            span_id,
            trace_state: state(to.trace_state()),
            tags: values::tags(link.attributes.iter().map(|it| (&it.key, &it.value))),
            dropped_tags: link.dropped_attributes_count,
            flags: flags(to, to.is_remote()),
        });
    }
    let (events, links) = (span.events.dropped_count, span.links.dropped_count);
    rest.dropped(span.dropped_attributes_count, events, links);
}

/// Inlined, so that the types of key and value are known where they are told.
#[inline(always)]
fn tag<'a>(rest: &mut Rest<'_>, key: impl Into<Text<'a>>, value: &Value) {
    match value {
        Value::String(text) => rest.tag(key, text.as_str()),
        Value::I64(value) => rest.tag(key, *value),
        Value::Bool(value) => rest.tag(key, *value),
        Value::F64(value) => rest.tag(key, *value),
        list => rest.tag(key, &values::owned(list)),
    }
}

fn trace_id(context: &SpanContext) -> Option<TraceId> {
    TraceId::new(u128::from_be_bytes(context.trace_id().to_bytes()))
}

fn span_id(id: trace::SpanId) -> Option<SpanId> {
    SpanId::new(u64::from_be_bytes(id.to_bytes()))
}

/// W3C's, and whether the other span is in another process.
fn flags(context: &SpanContext, is_remote: bool) -> u32 {
    let remote = if is_remote { IS_REMOTE } else { 0 };
    u32::from(context.trace_flags().to_u8()) | HAS_IS_REMOTE | remote
}

/// Nearly always empty, which is for free.
fn state(state: &TraceState) -> String {
    state.header()
}

/// Neither side of a call is no kind.
fn kind(kind: &SpanKind) -> Option<Kind> {
    match kind {
        SpanKind::Client => Some(Kind::Client),
        SpanKind::Server => Some(Kind::Server),
        SpanKind::Producer => Some(Kind::Producer),
        SpanKind::Consumer => Some(Kind::Consumer),
        SpanKind::Internal => None,
    }
}

/// Before 1970 it was 1970.
fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanos = since.as_secs().saturating_mul(1_000_000_000);
    Timestamp::from_nanos(nanos.saturating_add(since.subsec_nanos().into()))
}

//! A subscriber under test, and the spans that a scrape of its recorder finds.

use std::time::{Duration, UNIX_EPOCH};

use http::Request;
use http_body_util::BodyExt as _;
use sigyn_model::codec::otlp;
use sigyn_model::{Span, Value};
use sigyn_recorder::{Clock, Exposition, Options, Recorder};
use sigyn_tracing::RecorderLayer;
use tracing::Dispatch;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry};

const OTLP: &str = "application/x-protobuf; \
     messageType=\"opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest\"";

/// A subscriber with the layer, and a clock that stands still.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    pub(crate) dispatch: Dispatch,
}

impl Traced {
    pub(crate) fn new() -> Self {
        Self::with(Options::default(), |layer| layer)
    }

    pub(crate) fn with<L>(options: Options, layer: impl FnOnce(RecorderLayer) -> L) -> Self
    where
        L: Layer<Registry> + Send + Sync,
    {
        let clock = Clock::manual(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let recorder = Recorder::new(Options { clock: clock.clone(), ..options });
        let layer = layer(sigyn_tracing::layer(recorder.clone()));
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        Self { recorder, clock, dispatch }
    }

    /// Does that with this subscriber.
    pub(crate) fn run<T>(&self, what: impl FnOnce() -> T) -> T {
        tracing::dispatcher::with_default(&self.dispatch, what)
    }

    /// All spans that were recorded, in the order in which they ended.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let request = Request::get("/traces").header("accept", OTLP).body(()).unwrap();
        let (request, ()) = request.into_parts();
        let exposition = Exposition::new(self.recorder.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let body = exposition.respond(&request).await.into_body();
            otlp::decode(&body.collect().await.unwrap().to_bytes()).unwrap().spans
        })
    }

    /// The only one.
    #[track_caller]
    pub(crate) fn span(&self) -> Span {
        let spans = self.spans();
        let [span] = spans.as_slice() else { panic!("{} spans: {spans:#?}", spans.len()) };
        span.clone()
    }

    /// The one of that name.
    #[track_caller]
    pub(crate) fn named(&self, name: &str) -> Span {
        let mut spans = self.spans();
        spans.retain(|span| span.name == name);
        assert_eq!(spans.len(), 1, "{name}: {spans:#?}");
        spans.remove(0)
    }
}

/// A tag's value.
#[track_caller]
pub(crate) fn tag(tags: &[(String, Value)], key: &str) -> Option<Value> {
    let mut of_key = tags.iter().filter(|(of, _)| of == key);
    let value = of_key.next().map(|(_, value)| value.clone());
    assert!(of_key.next().is_none(), "{key} twice: {tags:?}");
    value
}

pub(crate) fn text(text: &str) -> Option<Value> {
    Some(Value::Str(text.to_owned()))
}

//! A tracer provider whose spans are recorded, and kept as the SDK has them.

use std::sync::{Arc, Mutex};

use http::Request;
use http_body_util::BodyExt as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter, TracerProviderBuilder};
use sigyn_model::Span;
use sigyn_model::codec::otlp;
use sigyn_recorder::{Exposition, Options, Recorder};

#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Kept {
    pub(crate) fn take(&self) -> Vec<SpanData> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(crate) struct World {
    pub(crate) recorder: Recorder,
    pub(crate) provider: SdkTracerProvider,
    pub(crate) kept: Kept,
}

impl World {
    pub(crate) fn new() -> Self {
        let resource = Resource::builder_empty().with_service_name("Cart").build();
        Self::with(|builder| builder.with_resource(resource))
    }

    pub(crate) fn with(more: impl FnOnce(TracerProviderBuilder) -> TracerProviderBuilder) -> Self {
        Self::of(Options::default(), more)
    }

    pub(crate) fn of(
        options: Options,
        more: impl FnOnce(TracerProviderBuilder) -> TracerProviderBuilder,
    ) -> Self {
        let options = Options { service_name: "own".to_owned(), ..options };
        let (recorder, kept) = (Recorder::new(options), Kept::default());
        let builder = SdkTracerProvider::builder()
            .with_span_processor(sigyn_otel::processor(recorder.clone()))
            .with_simple_exporter(kept.clone());
        Self { recorder, provider: more(builder).build(), kept }
    }

    pub(crate) async fn spans(&self) -> Vec<Span> {
        let wanted = "application/x-protobuf; messageType=\"opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest\"";
        otlp::decode(&self.scrape(wanted).await).unwrap().spans
    }

    pub(crate) async fn scrape(&self, accept: &str) -> Vec<u8> {
        self.get("/traces", accept).await
    }

    pub(crate) async fn get(&self, path: &str, accept: &str) -> Vec<u8> {
        let request = Request::get(path).header("accept", accept).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let answer = Exposition::new(self.recorder.clone()).respond(&parts).await;
        answer.into_body().collect().await.unwrap().to_bytes().to_vec()
    }
}

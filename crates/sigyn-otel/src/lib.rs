//! Makes a service that uses OpenTelemetry's SDK a scrape target: a
//! [`SpanProcessor`](opentelemetry_sdk::trace::SpanProcessor) that records finished spans into a
//! [`Recorder`], where scrapers read them.
//!
//! Two lines do it. One puts the processor beside those that are there, or in place of an exporter; the
//! other gives scrapers a route.
//!
//! ```no_run
//! use axum::Router;
//! use axum::routing::get;
//! use opentelemetry::trace::{Span as _, Tracer as _};
//! use opentelemetry::{KeyValue, global};
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//! use sigyn_recorder::{Exposition, Recorder};
//! use tokio::net::TcpListener;
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let provider = SdkTracerProvider::builder()
//!         .with_span_processor(sigyn_otel::processor(Recorder::of_process())) // one
//!         .build();
//!     global::set_tracer_provider(provider);
//!
//!     let app = Router::new()
//!         .route("/cart", get(cart))
//!         .route_service("/traces", Exposition::new(Recorder::of_process())); // two
//!
//!     let listener = TcpListener::bind("127.0.0.1:8080").await?;
//!     axum::serve(listener, app).await
//! }
//!
//! async fn cart() -> &'static str {
//!     let mut span = global::tracer("cart").start("load cart");
//!     span.set_attribute(KeyValue::new("cart.items", 3));
//!     "three pears\n"
//! }
//! ```
//!
//! Whatever makes spans with the SDK is recorded, `tracing-opentelemetry` among it; what samples them and
//! passes contexts on stays as it is. Those who use `tracing` and need nothing else of OpenTelemetry have
//! the same for less with `sigyn-tracing`.
//!
//! # What is recorded
//!
//! All of a sampled span: names, kind, times, attributes of their own types, events and links with theirs,
//! status, `tracestate`, whether the parent is another process's, what the SDK dropped, the instrumentation
//! scope, and the provider's resource, whose `service.name` is the service. Names are in lower case for
//! whoever reads them, as everywhere in Zipkin. A span that took no time took a nanosecond.
//!
//! Spans that the SDK records and does not sample (`SamplingDecision::RecordOnly`) stay for a while if the recorder has
//! memory for them ([`Options::cold_bytes_max`](sigyn_recorder::Options)): such a trace can be collected afterwards, and is
//! kept if it fails here or is slow. Without that memory they are left out.
//!
//! # What is not
//!
//! - Spans that the SDK's sampler drops: no processor ever sees them. Which traces begin is the SDK's sampler's to say, so
//!   rates and budgets that scrapers want of a recorder change nothing here; nor does the recorder sample what it is given.
//! - What has not ended: `/tracez` shows how long ended spans took and which failed, and none that run. The SDK shows a
//!   processor each span that starts, and gives it no room in the span to remember it by; a table of all that run would be
//!   looked up, and locked, at every start and end. Spans of `sigyn-tracing`, `sigyn-tower` and [`Recorder::start`] are shown.
//!
//! The recorder's [`Options`](sigyn_recorder::Options) bound values, spans and the log; what is cut or
//! dropped is counted.
//!
//! # Flush and shutdown
//!
//! A span can be scraped when it has ended, so `force_flush` has nothing to do. `shutdown` is
//! [`Recorder::shut_down`]: scrapers that wait are answered at once, all are told that it is the end, and
//! what ends later is lost and counted. It does not wait until they have everything, since whoever calls
//! it may be the one that answers them; [`Recorder::drained`] does:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use sigyn_recorder::Recorder;
//! # async fn stop(provider: opentelemetry_sdk::trace::SdkTracerProvider) {
//! let _ = provider.shutdown();
//! let drain = Recorder::of_process().drained(Duration::from_secs(5)).await;
//! println!("{} spans lost", drain.lost);
//! # }
//! ```
//!
//! # What it costs
//!
//! Nothing is allocated, nothing waits, and no thread is started. The first thousand keys that a process
//! says are remembered for as long as it runs, and then take two bytes in a span. `cargo bench -p sigyn-otel` measures what
//! it adds to a span.

#![forbid(unsafe_code)]

mod keys;
mod origins;
mod processor;
mod values;

use sigyn_recorder::Recorder;

pub use processor::RecorderProcessor;

/// Records the spans of a tracer provider into `recorder`.
pub fn processor(recorder: Recorder) -> RecorderProcessor {
    RecorderProcessor::new(recorder)
}

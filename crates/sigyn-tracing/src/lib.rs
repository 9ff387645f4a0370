//! Makes a service that uses [`tracing`] a scrape target: a layer for [`tracing_subscriber`] that records
//! spans into a [`Recorder`], with nothing of OpenTelemetry in between.
//!
//! Two lines do it. One puts the layer beside those that are there, the other gives scrapers a route.
//!
//! ```no_run
//! use axum::Router;
//! use axum::routing::get;
//! use sigyn_recorder::{Exposition, Recorder};
//! use tokio::net::TcpListener;
//! use tracing_subscriber::prelude::*;
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     tracing_subscriber::registry()
//!         .with(sigyn_tracing::layer(Recorder::of_process())) // one
//!         .init();
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
//!     let span = tracing::info_span!("load cart", otel.kind = "client", db.system = "postgresql");
//!     span.in_scope(|| tracing::info!(items = 3, "found it"));
//!     "three pears\n"
//! }
//! ```
//!
//! [`Recorder::of_process`] is named by `OTEL_SERVICE_NAME`, or else as the program. Whoever wants
//! another one makes it ([`Recorder::new`]) and gives it to both lines.
//!
//! # What becomes of what
//!
//! | in `tracing` | recorded |
//! |---|---|
//! | a span | a span, when it closes: when its last handle is gone, and those of all below it |
//! | its name | its name; a field `otel.name` is another one |
//! | a field | a tag, of its own type; an integer beyond 64 bits is a text |
//! | a field that is an error (`error = &error as &dyn Error`) | a tag with what it says and what its causes say, one after the other |
//! | `otel.kind` | the kind: `server`, `client`, `producer`, `consumer`; `internal`, and nothing, are none |
//! | `otel.status_code`, `otel.status_description` | the status: `ok`, `error`, `unset`; a description is that of an error |
//! | the parent, whether it is entered or given | the parent |
//! | no parent | a trace begins, unless [`SpanExt::set_parent`] continues a caller's |
//! | `follows_from` | a link |
//! | an event | an annotation of the span that it is in, with the message for a name, and its fields and its `level` as tags; outside of all spans, nothing |
//!
//! The first event of level `ERROR` says that its span failed, with its message for a description, or
//! else its field `error`. It does not where a field `otel.status_…` has said how the span ended, nor
//! with [`RecorderLayer::with_error_events_to_status`]. A failed span wakes a scraper that waits. A tag
//! `error`, from a field of that name, says to all who read Zipkin's format that the span failed.
//!
//! # Filters
//!
//! The layer records whatever reaches it. `layer(recorder).with_filter(LevelFilter::INFO)` leaves out
//! what is finer; the children of spans that are left out belong to the nearest span above that is not.
//!
//! # Calls between processes
//!
//! ```
//! # use sigyn_recorder::{Recorder, propagation};
//! use sigyn_tracing::SpanExt as _;
//!
//! # fn serve(recorder: &Recorder, incoming: &http::HeaderMap, outgoing: &mut http::HeaderMap) {
//! let span = tracing::info_span!("GET /cart", otel.kind = "server");
//! if let Some(caller) = recorder.extract(incoming) {
//!     span.set_parent(&caller);
//! }
//! // And when calling somebody else:
//! if let Some(context) = span.context() {
//!     propagation::inject(&context, outgoing);
//! }
//! # }
//! ```
//!
//! # What it costs
//!
//! No allocation for a span or an event, besides those of the program's own `Debug`. A span below
//! one that is not sampled is not recorded, and what is said of it not even written out. The root of a
//! trace is, until it is known whether a caller has decided for it: when it has a child, when its
//! context is asked for, or when it closes.
//!
//! Nothing here panics, or grows without bound: [`Options`](sigyn_recorder::Options) bound spans, values
//! and the log, and whatever is cut or dropped is counted. No span is locked while values are written,
//! which is the program's own code and may do anything, such as log. A span that never closes is never
//! recorded, and takes its memory as long as it is open.
//!
//! A subscriber has one such layer. A second one above it does nothing.

#![forbid(unsafe_code)]

mod fields;
mod layer;
mod open;
mod running;
mod span_ext;

use sigyn_recorder::Recorder;

pub use layer::RecorderLayer;
pub use span_ext::SpanExt;

/// Records the spans of a subscriber into `recorder`.
pub fn layer(recorder: Recorder) -> RecorderLayer {
    RecorderLayer::new(recorder)
}

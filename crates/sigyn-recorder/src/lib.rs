//! In-process spans: recorded into bounded memory, read by any number of scrapers, every loss counted.
//!
//! A [`Recorder`] takes what a process finishes and keeps it in a log of fixed size. Scrapers read the
//! log over HTTP, each at its own pace, by cursor; reading takes nothing away from anyone else. When
//! the log is full the oldest spans go, and both sides can say exactly how many went unread:
//!
//! ```text
//! finished = delivered + buffered + evicted + oversize + shutdown
//! ```
//!
//! Recording never waits for a scrape, never fails and never panics. `docs/formats/pull-protocol.md`
//! specifies the protocol; it is plain enough for `curl`.
//!
//! # A complete program
//!
//! ```no_run
//! use std::convert::Infallible;
//! use std::time::Duration;
//!
//! use hyper::{server::conn::http1, service::service_fn};
//! use hyper_util::rt::TokioIo;
//! use sigyn_recorder::{Exposition, Kind, Options, Recorder};
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let recorder = Recorder::new(Options { service_name: "shop".into(), ..Options::default() });
//!
//!     // An operation, and one inside it.
//!     let mut order = recorder.start("post /order", Some(Kind::Server), None);
//!     order.tag("order.items", 3);
//!     let mut payment = recorder.start("pay", Some(Kind::Client), Some(order.context()));
//!     payment.error("card declined");
//!     payment.finish();
//!     order.finish();
//!
//!     // One scrape: GET /traces.
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:9412").await?;
//!     let exposition = Exposition::new(recorder.clone());
//!     let (stream, _) = listener.accept().await?;
//!     let service = service_fn(|request| {
//!         let exposition = exposition.clone();
//!         let (request, _body) = hyper::Request::into_parts(request);
//!         async move { Ok::<_, Infallible>(exposition.respond(&request).await) }
//!     });
//!     let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
//!
//!     // Nothing is left behind, or we know how much.
//!     let drain = recorder.drained(Duration::from_secs(5)).await;
//!     println!("{} spans lost", drain.lost);
//!     Ok(())
//! }
//! ```
//!
//! `examples/hello.rs` is the same with many connections, trace context from callers, and a shutdown
//! on Ctrl-C. [`Exposition`] is also a `tower` service, so that it can be routed to as it is.
//!
//! A service that says what it does through the crate `tracing` needs none of this: `sigyn-tracing` records
//! its spans here.
//!
//! # Who reads it
//!
//! Sigyn, and anybody with `curl`: OTLP and Zipkin's formats, in protobuf and JSON, plain or compressed.
//! `/traces?trace_id=…` shows one trace. A Loki server of 2017 gets the thrift that it knows, and each
//! span once if the server around the exposition says who asks:
//!
//! ```
//! # use sigyn_recorder::Peer;
//! # let (mut request, ()) = http::Request::new(()).into_parts();
//! # let from: std::net::SocketAddr = ([127, 0, 0, 1], 9).into();
//! request.extensions.insert(Peer(from.ip()));
//! ```
//!
//! # What it costs
//!
//! A span with a handful of tags takes some 100 bytes once it is finished, and nothing is allocated for
//! it: names and keys that are literals are numbers, and what a span takes while it runs is used again.
//! `cargo bench -p sigyn-recorder --bench span` measures it beside other tracers.
//!
//! Finished spans take [`Options::hot_bytes_max`] at most (16 MiB by default), all buffers counted;
//! segments encoded for scrapers take as much again at most, and only while they are asked for. An answer
//! is no longer than that either, nor than 8 MiB, and whoever reads slowly gets none while as much as the log may
//! take is on its way still: to each scraper with a lease, and to all others together. A segment is encoded and
//! compressed once per format, whoever reads it and how often.
//!
//! A thread keeps the memory of a few spans that it has finished, and with it the recorder they were of: one that nobody
//! holds any more goes when such threads end, or have recorded as many spans for others.
//!
//! Time is the processor's counter where the kernel itself trusts it, and else the system's clock, which
//! takes some 30 ns more for a span. It becomes wall time when spans are sealed.
//!
//! # Not all traces
//!
//! [`Options::sample_rate`] records a share of the traces that begin here, and one of each operation in a minute at
//! least; callers that decided are obeyed. With [`Options::cold_bytes_max`] the spans of the others stay for a while: a
//! trace that fails here, is slow, or that a span [keeps](ActiveSpan::keep), is kept all the same, and a tracer can ask
//! for others by their ids. `docs/guide/sampling.md` is about all of that.
//!
//! # What runs now
//!
//! `/tracez` shows spans that have not finished, and how long what finished took, in a terminal or a browser. It costs
//! recording threads some stores a span, and counts nothing: it reads what is held when it is asked.
//!
//! # Processes that are killed
//!
//! With the feature `spool`, and `SIGYN_SPOOL=/dev/shm/sigyn` in the environment or `Options::spool`, finished spans lie in
//! a file of a tmpfs. Whatever ends the process, the next one in that directory tells what was left; and of several
//! workers that share it, any one tells the spans of all. Each worker makes its recorder after the fork.

#![cfg_attr(not(feature = "spool"), forbid(unsafe_code))]
#![warn(missing_docs)]

mod ask;
mod body;
mod buffer;
mod clock;
mod cold;
mod draft;
mod encode;
mod ended;
mod exposition;
mod format;
mod ids;
#[cfg(test)]
mod interleavings;
mod intern;
mod layout;
mod leftover;
mod lookup;
mod negotiate;
mod operations;
mod otlp;
mod pace;
mod peers;
mod percent;
mod process;
pub mod propagation;
mod record;
mod reply;
mod request;

mod ring;
mod room;
mod rules;
mod running;
mod sampler;
mod scrapers;
mod sending;
mod shards;
mod share;
mod span;
#[cfg(feature = "spool")]
mod spool;
mod stats;
mod sync;
mod text;
mod tracez;
mod view;
mod whole;

pub use body::Body;
pub use clock::Clock;
pub use ended::{Ended, Rest};
pub use exposition::Exposition;
pub use leftover::Leftover;
pub use peers::Peer;
pub use propagation::{Baggage, Context};
pub use record::{Drain, Options, Recorder};
pub use rules::TagRules;
pub use span::ActiveSpan;
#[cfg(feature = "spool")]
pub use spool::SpoolOptions;
pub use stats::{Activity, ScraperStats, SpoolStats, Stats};
pub use text::{TagValue, Text};
pub use whole::Origin;

/// The model's words that are said here, for whoever needs no more of it.
pub use sigyn_model::pull::Dropped;
pub use sigyn_model::{
    Annotation, Endpoint, Kind, Link, Resource, Scope, Span, SpanId, StatusCode, Tags, Timestamp,
    TraceId, Value,
};

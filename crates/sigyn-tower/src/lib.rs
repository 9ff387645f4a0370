//! Makes a service that is built on [`tower`](https://docs.rs/tower) a scrape target: a layer for servers (axum, tonic, or
//! hyper alone) that records a span for each request, and one for clients that sends the context of the
//! current span along.
//!
//! Two lines do it. One traces, the other gives scrapers a route.
//!
//! ```no_run
//! use std::net::SocketAddr;
//!
//! use axum::Router;
//! use axum::routing::get;
//! use sigyn_recorder::{Kind, Recorder};
//! use tokio::net::TcpListener;
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let app = Router::new()
//!         .route("/cart/{id}", get(cart))
//!         .layer(sigyn_tower::server(Recorder::of_process())) // one
//!         .route_service("/traces", sigyn_tower::traces(Recorder::of_process())); // two
//!
//!     let listener = TcpListener::bind("127.0.0.1:8080").await?;
//!     axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
//! }
//!
//! async fn cart() -> String {
//!     let items = load().await;
//!     // What is known of a request only here.
//!     if let Some(request) = sigyn_tower::current() {
//!         request.tag("cart.items", items);
//!     }
//!     format!("{items} pears\n")
//! }
//!
//! async fn load() -> i32 {
//!     // A child, which ends here.
//!     let _span = sigyn_tower::current().map(|request| request.start("load", Some(Kind::Client)));
//!     3
//! }
//! ```
//!
//! [`Recorder::of_process`] is named by `OTEL_SERVICE_NAME`, or else as the program. Whoever wants another
//! one makes it ([`Recorder::new`]) and gives it to both lines. `into_make_service_with_connect_info` is
//! not needed: with it, spans say who asked, and a 2017 Loki server gets each span once.
//!
//! # Servers
//!
//! [`server`] makes a layer for any `Service<http::Request<_>>` whose bodies are of [`bytes::Bytes`]. A
//! caller's context is read from B3 or W3C headers, as [`sigyn_recorder::propagation`] says; without one,
//! a trace begins.
//!
//! | a request of | is called | has the tags |
//! |---|---|---|
//! | HTTP | method and route (`GET /cart/{id}`), with feature `axum` and the layer on the router; else the method, until somebody calls [`CurrentSpan::set_name`] | `http.request.method`, `http.route`, `url.path`, `url.scheme`, `network.protocol.version`, `http.response.status_code` |
//! | gRPC (a content type `application/grpc`, `application/grpc+…`) | `package.Service/Method` | `rpc.system.name`, `rpc.method`, `rpc.response.status_code` |
//!
//! Those are OpenTelemetry's stable conventions. The peer's address is the remote endpoint, where the
//! server around it puts it into the request's extensions: axum's `ConnectInfo<SocketAddr>` (feature
//! `axum`), tonic's `TcpConnectInfo` (feature `tonic`), a [`SocketAddr`](std::net::SocketAddr), or a
//! [`Peer`](sigyn_recorder::Peer).
//!
//! **A span ends with the response's body**, or with its head if there is no body to come. It failed, and
//! has a tag `error.type`, if
//!
//! - the status is 5xx; of gRPC, one that a server is to blame for (`UNKNOWN`, `DEADLINE_EXCEEDED`,
//!   `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`), or none where the body ended;
//! - the service or the body returned an error, which it then says;
//! - something panicked in it (`panicked`).
//!
//! A request that is dropped before it is answered, or a body before its end, mostly because the caller
//! went away, has an annotation `cancelled`, and did not fail for that.
//!
//! Scrapes are not traced: requests for `/traces`, `/traces/collect`, `/tracez` and `/.well-known/sigyn`,
//! and whatever [`ServerLayer::without`] names. A server that has no routes of its own, such as tonic's,
//! lets the layer answer them: [`ServerLayer::with_traces`].
//!
//! # The current span
//!
//! In whatever the layer polls, handlers and what they await, [`current`] is the request's span: children
//! start from it, and tags are put on it. It is among the request's extensions, too, for those who like to
//! see what they get: `Extension(span): Extension<CurrentSpan>`. A task that is spawned has none unless it
//! is taken along: `tokio::spawn(span.scope(future))`.
//!
//! # Clients
//!
//! [`client`] makes a layer for clients: hyper-util's, tonic's channels, or any other service of
//! [`http::Request`]. Requests of reqwest are sent with `SendTraced::send_traced` (feature `reqwest`).
//!
//! ```
//! use hyper_util::client::legacy::Client;
//! use hyper_util::rt::TokioExecutor;
//! use sigyn_recorder::Recorder;
//! use tower::ServiceBuilder;
//!
//! # type Body = http_body_util::Empty<bytes::Bytes>;
//! let client = ServiceBuilder::new()
//!     .layer(sigyn_tower::client(Recorder::of_process()).with_peer("cart"))
//!     .service(Client::builder(TokioExecutor::new()).build_http::<Body>());
//! ```
//!
//! ```no_run
//! # use sigyn_recorder::Recorder;
//! # use tower::ServiceBuilder;
//! # use tonic_health::pb::health_client::HealthClient;
//! # async fn connect() -> Result<(), tonic::transport::Error> {
//! let channel = tonic::transport::Channel::from_static("http://127.0.0.1:50051").connect().await?;
//! let traced = ServiceBuilder::new()
//!     .layer(sigyn_tower::client(Recorder::of_process()).with_peer("health"))
//!     .service(channel);
//! let client = HealthClient::new(traced);
//! # Ok(())
//! # }
//! ```
//!
//! A request's span is a child of the [`Context`](sigyn_recorder::Context) among its extensions, or else of
//! the [`CurrentSpan`] there, or else of [`current`]; else a trace begins. Its context goes along as `b3`
//! and `traceparent`, or as [`ClientLayer::with_formats`] says, and so does the
//! [`Baggage`](sigyn_recorder::Baggage) among the request's extensions, or else what came with the current
//! span. It ends as a server's does, and also fails with a status 4xx, and with any of gRPC's but `OK`.
//! Its tags are `http.request.method`, `url.full`, `server.address`, `server.port` and
//! `http.response.status_code`, or those of gRPC.
//!
//! # What is never recorded
//!
//! Headers, bodies, the login in an address; nor, unless the layer is told to, queries and baggage. Paths,
//! routes, the messages of errors and of gRPC's statuses are.
//!
//! # What it costs
//!
//! A few hundred nanoseconds a request (`cargo bench -p sigyn-tower`): beside the span, one allocation for
//! its handle, three for the request's extensions where there were none, and one for each header that is
//! sent. A request that is not sampled takes the same, without name and tags.
//!
//! # Features
//!
//! All are off unless they are asked for: `axum` (routes and peers of axum), `tonic` (peers, and why a
//! channel failed), `hyper-util` (why its client failed), `reqwest` (its requests), `shutdown` (below).
//!
//! # When the process ends
//!
//! What requests have recorded last is read yet, if the server ends in order: at SIGTERM it takes no new requests and
//! finishes those that run; from then on scrapes alone are answered at its address, until the scrapers have everything.
//! A second signal ends it at once.
//!
//! ```no_run
//! # #[cfg(feature = "shutdown")]
//! # async fn main_(app: axum::Router, listener: tokio::net::TcpListener) -> std::io::Result<()> {
//! use std::time::Duration;
//!
//! let mut shutdown = sigyn_tower::shutdown(sigyn_recorder::Recorder::of_process(), &listener)?;
//! let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.signal());
//! let drain = shutdown.drain(server, Duration::from_secs(10), Duration::from_secs(10)).await?;
//! eprintln!("{} spans lost", drain.lost);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod body;
mod call;
mod client;
mod current;
mod failure;
mod grpc;
mod owned;
mod peer;
#[cfg(feature = "reqwest")]
mod reqwest;
mod rest;
mod server;
#[cfg(feature = "shutdown")]
mod shutdown;
mod traces;

use sigyn_recorder::{Exposition, Recorder};

pub use body::TracedBody;
pub use client::{Client, ClientFuture, ClientLayer};
pub use current::{CurrentSpan, Run, Scope, current};
#[cfg(feature = "reqwest")]
pub use reqwest::SendTraced;
pub use server::{Server, ServerFuture, ServerLayer};
#[cfg(feature = "shutdown")]
pub use shutdown::Shutdown;
pub use traces::Traces;

/// Records a span for each request that a server gets, and answers it as it did.
pub fn server(recorder: Recorder) -> ServerLayer {
    ServerLayer::new(recorder)
}

/// Records a span for each request that a client sends, and sends its context along.
pub fn client(recorder: Recorder) -> ClientLayer {
    ClientLayer::new(recorder)
}

/// Answers scrapes at `/traces`: a service for a route there.
pub fn traces(recorder: Recorder) -> Traces {
    Exposition::new(recorder).into()
}

/// Ends a service without losing what it recorded last: its listener, before the server gets it. From now on SIGTERM and
/// Ctrl-C do not end the process by themselves; [`Shutdown::signal`] does, where it is waited for.
///
/// # Errors
///
/// If the listener cannot be shared, or signals cannot be waited for.
#[cfg(feature = "shutdown")]
pub fn shutdown(
    recorder: Recorder,
    listener: &tokio::net::TcpListener,
) -> std::io::Result<Shutdown> {
    Shutdown::new(recorder, listener)
}

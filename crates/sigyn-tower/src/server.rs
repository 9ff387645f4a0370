//! The layer for servers: a span for each request, from its head to the end of its response.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use sigyn_recorder::{Exposition, Kind, Recorder, Text};
use tower_layer::Layer;
use tower_service::Service;

use crate::body::{TracedBody, traced};
use crate::call::{Call, Protocol, Side};
use crate::current::CurrentSpan;
use crate::traces::{Answer, Traces};
use crate::{grpc, peer, rest};

/// Where spans are read, which is no part of what a service does.
const UNTRACED: [&str; 4] = ["/traces", "/traces/collect", "/tracez", "/.well-known/sigyn"];

/// Records a span for each request of a server. [`server`](crate::server) makes one.
#[derive(Clone, Debug)]
pub struct ServerLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    recorder: Recorder,
    untraced: Vec<Cow<'static, str>>,
    /// Answers scrapes itself.
    traces: Option<Traces>,
    query: bool,
    baggage: Vec<&'static str>,
}

impl ServerLayer {
    pub(crate) fn new(recorder: Recorder) -> Self {
        let untraced = UNTRACED.map(Cow::Borrowed).to_vec();
        let settings =
            Settings { recorder, untraced, traces: None, query: false, baggage: Vec::new() };
        Self { settings: Arc::new(settings) }
    }

    /// Answers `/traces` itself and what else an [`Exposition`] offers, for servers that have no routes of their own, such as
    /// tonic's. Bodies it does not read: `/traces/collect` takes its ids from the query there. With
    /// axum, routes are the better place: [`traces`](crate::traces), where whatever else an
    /// [`Exposition`] offers may have one, too.
    pub fn with_traces(self) -> Self {
        let recorder = self.settings.recorder.clone();
        self.change(|settings| settings.traces = Some(Exposition::new(recorder).into()))
    }

    /// Leaves out requests for this path, too: that of health checks, or of an [`Exposition`] that is
    /// elsewhere than at `/traces`.
    pub fn without(self, path: impl Into<Cow<'static, str>>) -> Self {
        self.change(|settings| settings.untraced.push(path.into()))
    }

    /// Whether spans have the query of their request, in a tag `url.query`. They have not unless this says
    /// so: people put keys into queries.
    pub fn with_query(self, wanted: bool) -> Self {
        self.change(|settings| settings.query = wanted)
    }

    /// Puts a member of the baggage of requests into tags `baggage.…` of their spans. None is, unless this
    /// names it.
    pub fn with_baggage_tag(self, key: &'static str) -> Self {
        self.change(|settings| settings.baggage.push(key))
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Server<S>;

    fn layer(&self, inner: S) -> Server<S> {
        Server { inner, settings: Arc::clone(&self.settings) }
    }
}

/// A service whose requests are recorded.
#[derive(Clone, Debug)]
pub struct Server<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, B, R> Service<Request<B>> for Server<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Display + 'static,
    R: Body<Data = Bytes>,
    R::Error: Display + 'static,
{
    type Response = Response<TracedBody<R>>;
    type Error = S::Error;
    type Future = ServerFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, mut request: Request<B>) -> ServerFuture<S::Future> {
        let path = request.uri().path();
        if let Some(traces) = self.settings.traces.as_ref().filter(|_| UNTRACED.contains(&path)) {
            return ServerFuture { state: State::Scrape { answer: traces.answer(request) } };
        }
        if self.settings.untraced.iter().any(|untraced| untraced == path) {
            return ServerFuture { state: State::Untraced { inner: self.inner.call(request) } };
        }
        let mut call = self.settings.begin(&request);
        request.extensions_mut().insert(call.span().clone());
        let inner = call.enter(|| self.inner.call(request));
        ServerFuture { state: State::Traced { inner, call: Some(call) } }
    }
}

impl Settings {
    fn begin<B>(&self, request: &Request<B>) -> Call {
        let recorder = &self.recorder;
        let (headers, path) = (request.headers(), request.uri().path());
        let protocol = Protocol::of(headers);
        let caller = recorder.extract(headers);
        let start = |name: Text<'_>| recorder.start(name, Some(Kind::Server), caller.as_ref());
        let (name, method) = rest::method(request.method());
        let route = route(request);
        let mut span = match (protocol, route) {
            (Protocol::Grpc, _) => start(Text::new(grpc::method(path))),
            (Protocol::Http, Some(route)) => start(format_args!("{name} {route}").into()),
            (Protocol::Http, None) => start(name.into()),
        };
        let baggage = recorder.baggage(headers);
        if span.is_sampled() {
            match protocol {
                Protocol::Grpc => {
                    span.tag("rpc.system.name", "grpc").tag("rpc.method", grpc::method(path));
                }
                Protocol::Http => {
                    span.tag("http.request.method", method).tag("url.path", path);
                    if let Some(route) = route {
                        span.tag("http.route", route);
                    }
                    if let Some(scheme) = request.uri().scheme_str() {
                        span.tag("url.scheme", scheme);
                    }
                    if let Some(query) = request.uri().query().filter(|_| self.query) {
                        span.tag("url.query", query);
                    }
                    if let Some(version) = rest::version(request.version()) {
                        span.tag("network.protocol.version", version);
                    }
                }
            }
            for key in &self.baggage {
                if let Some(value) = baggage.get(key) {
                    span.tag(format_args!("baggage.{key}"), value);
                }
            }
            if let Some(peer) = peer::of(request.extensions()) {
                span.remote_endpoint(peer::endpoint(peer));
            }
        }
        let is_head = *request.method() == Method::HEAD;
        Call::new(CurrentSpan::new(recorder, span, baggage), Side::Server, protocol, is_head)
    }
}

/// The route as the service wrote it, where its router says.
#[cfg(feature = "axum")]
fn route<B>(request: &Request<B>) -> Option<&str> {
    request.extensions().get::<axum::extract::MatchedPath>().map(|path| path.as_str())
}

#[cfg(not(feature = "axum"))]
fn route<B>(_: &Request<B>) -> Option<&str> {
    None
}

pin_project! {
    /// A response of a [`Server`].
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct ServerFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Traced { #[pin] inner: F, call: Option<Call> },
        Untraced { #[pin] inner: F },
        Scrape { answer: Answer },
    }
}

impl<F> std::fmt::Debug for ServerFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerFuture").finish_non_exhaustive()
    }
}

impl<F, R, E> Future for ServerFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
    E: Display + 'static,
{
    type Output = Result<Response<TracedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Traced { inner, call } => {
                let result = match call {
                    Some(call) => ready!(call.enter(|| inner.poll(task))),
                    None => ready!(inner.poll(task)),
                };
                Poll::Ready(end(call.take(), result))
            }
            StateProjection::Untraced { inner } => {
                Poll::Ready(ready!(inner.poll(task)).map(|it| it.map(TracedBody::untraced)))
            }
            StateProjection::Scrape { answer } => {
                let answer = ready!(answer.as_mut().poll(task));
                let answer = answer.unwrap_or_else(|never: Infallible| match never {});
                Poll::Ready(Ok(answer.map(TracedBody::scrape)))
            }
        }
    }
}

/// What becomes of a call when its response's head is there, or none comes.
pub(crate) fn end<R: Body, E: Display + 'static>(
    call: Option<Call>,
    result: Result<Response<R>, E>,
) -> Result<Response<TracedBody<R>>, E> {
    match (call, result) {
        (Some(call), Ok(response)) => Ok(traced(call, response)),
        (Some(mut call), Err(error)) => {
            call.fail(&error);
            Err(error)
        }
        (None, result) => result.map(|response| response.map(TracedBody::untraced)),
    }
}

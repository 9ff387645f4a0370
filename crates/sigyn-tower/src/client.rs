//! The layer for clients: a span for each request that is sent, whose context goes along.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Request, Response, Uri};
use http_body::Body;
use pin_project_lite::pin_project;
use sigyn_recorder::propagation::{self, Format};
use sigyn_recorder::{Baggage, Context, Kind, Recorder, Text};
use tower_layer::Layer;
use tower_service::Service;

use crate::body::TracedBody;
use crate::call::{Call, Protocol, Side};
use crate::current::{CurrentSpan, current};
use crate::server::end;
use crate::{grpc, rest};

/// Records a span for each request of a client, and sends its context along. [`client`](crate::client)
/// makes one.
#[derive(Clone, Debug)]
pub struct ClientLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    recorder: Recorder,
    formats: Vec<Format>,
    /// Of the service that is called; empty if it has none.
    peer: String,
    baggage: bool,
    query: bool,
}

impl ClientLayer {
    pub(crate) fn new(recorder: Recorder) -> Self {
        let formats = vec![Format::B3Single, Format::W3c];
        let settings =
            Settings { recorder, formats, peer: String::new(), baggage: true, query: false };
        Self { settings: Arc::new(settings) }
    }

    /// Sends contexts in these formats, and not in `b3` and `traceparent`.
    pub fn with_formats(self, formats: &[Format]) -> Self {
        self.change(|settings| settings.formats = formats.to_vec())
    }

    /// The name of the service that is called, which Zipkin calls that of the remote endpoint. An address
    /// is taken from the request.
    pub fn with_peer(self, service_name: &str) -> Self {
        self.change(|settings| service_name.clone_into(&mut settings.peer))
    }

    /// Whether baggage goes along. It does, unless this says no: for those who should not see it.
    pub fn with_baggage(self, wanted: bool) -> Self {
        self.change(|settings| settings.baggage = wanted)
    }

    /// Whether spans have the query of their request, in a tag `url.query`. They have not unless this says
    /// so: people put keys into queries.
    pub fn with_query(self, wanted: bool) -> Self {
        self.change(|settings| settings.query = wanted)
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Begins a call, and writes into the headers what is to be sent along.
    pub(crate) fn begin(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
        extensions: &Extensions,
    ) -> Call {
        self.settings.begin(method, uri, headers, extensions)
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = Client<S>;

    fn layer(&self, inner: S) -> Client<S> {
        Client { inner, layer: self.clone() }
    }
}

/// A client whose requests are recorded.
#[derive(Clone, Debug)]
pub struct Client<S> {
    inner: S,
    layer: ClientLayer,
}

impl<S, B, R> Service<Request<B>> for Client<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Display + 'static,
    R: Body<Data = Bytes>,
    R::Error: Display + 'static,
{
    type Response = Response<TracedBody<R>>;
    type Error = S::Error;
    type Future = ClientFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request<B>) -> ClientFuture<S::Future> {
        let (mut parts, body) = request.into_parts();
        let headers = &mut parts.headers;
        let mut call = self.layer.begin(&parts.method, &parts.uri, headers, &parts.extensions);
        let request = Request::from_parts(parts, body);
        let inner = call.enter(|| self.inner.call(request));
        ClientFuture { inner, call: Some(call) }
    }
}

impl Settings {
    fn begin(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
        extensions: &Extensions,
    ) -> Call {
        let recorder = &self.recorder;
        let around = extensions.get::<CurrentSpan>().cloned().or_else(current);
        let parent = extensions.get::<Context>().or(around.as_ref().map(CurrentSpan::context));
        let protocol = Protocol::of(headers);
        let (name, known_method) = rest::method(method);
        let name = match protocol {
            Protocol::Http => name.into(),
            Protocol::Grpc => Text::new(grpc::method(uri.path())),
        };
        let mut span = recorder.start(name, Some(Kind::Client), parent);
        if span.is_sampled() {
            rest::destination(&mut span, uri, protocol == Protocol::Http);
            match protocol {
                Protocol::Http => {
                    span.tag("http.request.method", known_method);
                    if let Some(query) = uri.query().filter(|_| self.query) {
                        span.tag("url.query", query);
                    }
                }
                Protocol::Grpc => {
                    let method = grpc::method(uri.path());
                    span.tag("rpc.system.name", "grpc").tag("rpc.method", method);
                }
            }
            span.remote_endpoint(rest::server(uri, &self.peer));
        }
        propagation::inject_as(span.context(), &self.formats, headers);
        let given = extensions.get::<Baggage>().cloned();
        let around = around.map(|span| span.baggage().clone());
        let baggage = given.or(around).filter(|_| self.baggage);
        match &baggage {
            Some(baggage) => baggage.inject(headers),
            None if self.baggage => {}
            None => Baggage::default().inject(headers),
        }
        let span = CurrentSpan::new(recorder, span, baggage.unwrap_or_default());
        Call::new(span, Side::Client, protocol, *method == Method::HEAD)
    }
}

pin_project! {
    /// A response to a [`Client`].
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct ClientFuture<F> {
        #[pin]
        inner: F,
        call: Option<Call>,
    }
}

impl<F, R, E> Future for ClientFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
    E: Display + 'static,
{
    type Output = Result<Response<TracedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = match this.call {
            Some(call) => ready!(call.enter(|| this.inner.poll(task))),
            None => ready!(this.inner.poll(task)),
        };
        Poll::Ready(end(this.call.take(), result))
    }
}

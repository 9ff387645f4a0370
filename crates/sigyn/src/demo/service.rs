//! One service of the demo: an HTTP server with a recorder, which any service of its kind would look like.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use sigyn_model::{Endpoint, Kind};
use sigyn_recorder::{ActiveSpan, Context, Exposition, Peer, Recorder, Text, propagation};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::http_client::HttpClient;
use crate::server;

/// Connections that a service of the demo takes at once.
const CONNECTIONS_MAX: usize = 256;

/// Who a service is, and what it records with.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) pod: String,
    pub(super) zone: &'static str,
    pub(super) address: SocketAddr,
    /// None: the service is not traced, and answers 404 where others answer with spans.
    pub(super) recorder: Option<Recorder>,
    pub(super) client: HttpClient,
}

/// One request that is being served, and the span that times it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) service: Arc<Service>,
    pub(super) path: String,
    span: Option<ActiveSpan>,
    context: Option<Context>,
}

/// How a request ends: what the handler returns.
pub(super) type Outcome = Result<(), Failed>;

/// A request that could not be served.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Failed {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// Serves until shutdown: `/traces` and what is beside it from the recorder, everything else from `handler`.
pub(super) async fn serve<F>(
    service: Arc<Service>,
    listener: TcpListener,
    handler: fn(Call) -> F,
    shutdown: CancellationToken,
) where
    F: Future<Output = (Call, Outcome)> + Send + 'static,
{
    let mut router = Router::new();
    if let Some(recorder) = &service.recorder {
        let exposition = Exposition::new(recorder.clone());
        let traces = move |mut request: Request| async move {
            if let Some(from) = request.extensions().get::<SocketAddr>() {
                let peer = Peer(from.ip());
                request.extensions_mut().insert(peer);
            }
            let answer = exposition.oneshot(request).await;
            answer.unwrap_or_else(|never| match never {}).map(Body::new)
        };
        for path in ["/traces", "/traces/collect", "/tracez", "/.well-known/sigyn"] {
            router = router.route(path, axum::routing::any(traces.clone()));
        }
    } else {
        router = router.route("/traces", axum::routing::get(async || StatusCode::NOT_FOUND));
    }
    let router = router.fallback(move |request: Request| {
        let call = Call::begin(Arc::clone(&service), &request);
        async move {
            let (call, outcome) = handler(call).await;
            call.end(outcome)
        }
    });
    let door = server::Door::open(CONNECTIONS_MAX);
    server::serve(listener, router, door, shutdown).await;
}

impl Call {
    fn begin(service: Arc<Service>, request: &Request) -> Self {
        let path = request.uri().path().to_owned();
        let parent = propagation::extract(request.headers());
        let span = service.recorder.as_ref().map(|recorder| {
            let name = format!("{} {}", request.method(), route(&path));
            let mut span = recorder.start(&name, Some(Kind::Server), parent.as_ref());
            span.tag("http.method", request.method().as_str());
            span.tag("http.path", path.as_str());
            span
        });
        let context = span.as_ref().map(|span| span.context().clone());
        Self { service, path, span, context }
    }

    /// Puts a tag on the request's span.
    pub(super) fn tag(&mut self, key: &'static str, value: &str) {
        if let Some(span) = &mut self.span {
            span.tag(key, value);
        }
    }

    pub(super) fn annotate(&mut self, text: &str) {
        if let Some(span) = &mut self.span {
            span.annotate(Text::new(text));
        }
    }

    fn end(mut self, outcome: Outcome) -> Response {
        let (status, body) = match outcome {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(failed) => (failed.status, failed.message),
        };
        if let Some(mut span) = self.span.take() {
            span.tag("http.status_code", i64::from(status.as_u16()));
            if status.is_server_error() {
                span.error(&body);
            }
            span.finish();
        }
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response
    }

    /// Work of the service's own, as a span without kind.
    pub(super) async fn work(&self, name: &str, time: Duration) {
        let span = self.child(name, None);
        tokio::time::sleep(time).await;
        drop(span);
    }

    /// Work that takes no time worth telling.
    pub(super) fn moment(&self, name: &str) {
        drop(self.child(name, None));
    }

    /// A call to something that is not traced itself: a database, a cache, somebody else's service.
    pub(super) async fn backend(
        &self,
        name: &str,
        peer: &str,
        tag: (&'static str, &str),
        time: Duration,
    ) -> Outcome {
        let mut span = self.child(name, Some(Kind::Client));
        if let Some(span) = &mut span {
            span.remote_endpoint(Endpoint::named(peer));
            span.tag(tag.0, tag.1);
        }
        tokio::time::sleep(time).await;
        Ok(())
    }

    /// The same, where it fails.
    pub(super) async fn failing_backend(
        &self,
        name: &str,
        peer: &str,
        time: Duration,
        error: &str,
    ) -> Outcome {
        let mut span = self.child(name, Some(Kind::Client));
        if let Some(span) = &mut span {
            span.remote_endpoint(Endpoint::named(peer));
            span.error(error);
        }
        tokio::time::sleep(time).await;
        Err(Failed::new(StatusCode::BAD_GATEWAY, error))
    }

    /// A real HTTP request to another service of the shop, which joins the trace.
    pub(super) async fn get(&self, peer: &Service, path: &str) -> Outcome {
        self.request(peer, path, true).await
    }

    /// The same by a client that forgets to pass the context on.
    pub(super) async fn get_without_context(&self, peer: &Service, path: &str) -> Outcome {
        self.request(peer, path, false).await
    }

    async fn request(&self, peer: &Service, path: &str, propagate: bool) -> Outcome {
        let mut headers = HeaderMap::new();
        let mut span = self.child(&format!("GET {}", route(path)), Some(Kind::Client));
        if let Some(span) = &mut span {
            let mut remote = Endpoint::named(peer.name);
            remote.set_ip_text(&peer.address.ip().to_string());
            remote.port = peer.address.port();
            span.remote_endpoint(remote);
            span.tag("http.path", path);
            if propagate {
                propagation::inject(span.context(), &mut headers);
            }
        }
        let url = format!("http://{}{path}", peer.address);
        let outcome = match self.service.client.send("GET", &url, headers, Bytes::new()).await {
            Ok(answer) if answer.status.is_server_error() => {
                let body = String::from_utf8_lossy(&answer.body);
                Err(Failed::new(StatusCode::BAD_GATEWAY, body.trim()))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                let told = format!("{:#}", anyhow::Error::new(error));
                Err(Failed::new(StatusCode::BAD_GATEWAY, told))
            }
        };
        if let (Some(span), Err(failed)) = (&mut span, &outcome) {
            span.error(&failed.message);
        }
        outcome
    }

    fn child(&self, name: &str, kind: Option<Kind>) -> Option<ActiveSpan> {
        let recorder = self.service.recorder.as_ref()?;
        Some(recorder.start(Text::new(name), kind, self.context.as_ref()))
    }
}

/// A path without what differs from request to request.
fn route(path: &str) -> String {
    let path = path.split('?').next().unwrap_or(path);
    let parts = path.split('/').map(|part| {
        let number = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if number { "{id}" } else { part }
    });
    parts.collect::<Vec<_>>().join("/")
}

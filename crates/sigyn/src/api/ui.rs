//! Our web UI's files, and the redirects that lead to whichever UI is served.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};

/// Pages of the UI outside `/zipkin/`, each answered with the same document, and files beside it.
const PAGES: [&str; 9] = [
    "/targets",
    "/service-discovery",
    "/losses",
    "/status",
    "/config",
    "/flags",
    "/favicon.svg",
    "/fonts-OFL.txt",
    "/licenses.md",
];

/// What every page is made with.
#[derive(Clone, Debug)]
struct Frame {
    /// Where a browser sees the UI. Starts and ends with a slash.
    base: Arc<str>,
    title: Option<Arc<str>>,
}

/// Our own UI. `base` starts and ends with a slash; `title` is what pages are called instead of Sigyn.
pub(crate) fn router(base: String, title: Option<String>) -> Router {
    let mut router = Router::new()
        .route("/zipkin/", any(page))
        .route("/zipkin/{*path}", any(page))
        .route("/assets/{*path}", any(page));
    for path in PAGES {
        router = router.route(path, any(page));
    }
    router.with_state(Frame { base: base.into(), title: title.map(Arc::from) })
}

/// Leads to the UI, which a browser sees at `outside`. That starts and ends with a slash.
pub(crate) fn redirects(outside: String) -> Router {
    Router::new()
        .route("/", any(home))
        .route("/zipkin", any(home))
        .route("/favicon.ico", any(favicon))
        .with_state(outside)
}

/// Leads from the root of the server, and from a prefix other than that, to the UI, which a browser sees
/// at `outside`.
pub(crate) fn home_router(route_prefix: &str, outside: String) -> Router {
    Router::new().route("/", any(home)).route(route_prefix, any(home)).with_state(outside)
}

async fn home(State(prefix): State<String>) -> Response {
    redirect(&prefix, "zipkin/")
}

async fn favicon(State(prefix): State<String>) -> Response {
    redirect(&prefix, "zipkin/favicon.ico")
}

/// Without a host, so that it holds behind any proxy.
fn redirect(prefix: &str, to: &str) -> Response {
    let location = HeaderValue::try_from(format!("{prefix}{to}"));
    let location = location.unwrap_or_else(|_| HeaderValue::from_static("/zipkin/"));
    (StatusCode::FOUND, [(LOCATION, location)]).into_response()
}

async fn page(State(frame): State<Frame>, request: Request) -> Response {
    let path = request.uri().path();
    let frame = sigyn_ui::Frame { route_prefix: &frame.base, title: frame.title.as_deref() };
    sigyn_ui::respond(request.method(), path, request.headers(), frame).map(Body::from)
}

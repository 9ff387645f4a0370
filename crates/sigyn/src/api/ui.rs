//! Our web UI's files, and the redirects that lead to whichever UI is served.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};

/// Pages of the UI outside `/zipkin/`, each answered with the same document, and files beside it.
const PAGES: [&str; 6] =
    ["/targets", "/losses", "/status", "/favicon.svg", "/fonts-OFL.txt", "/licenses.md"];

/// Our own UI. `base` starts and ends with a slash.
pub(crate) fn router(base: String) -> Router {
    let mut router = Router::new()
        .route("/zipkin/", any(page))
        .route("/zipkin/{*path}", any(page))
        .route("/assets/{*path}", any(page));
    for path in PAGES {
        router = router.route(path, any(page));
    }
    router.with_state(base)
}

/// Leads to the UI. `route_prefix` starts and ends with a slash.
pub(crate) fn redirects(route_prefix: String) -> Router {
    Router::new()
        .route("/", any(home))
        .route("/zipkin", any(home))
        .route("/favicon.ico", any(favicon))
        .with_state(route_prefix)
}

/// Leads from the root of the server, and from a prefix other than that, to the UI.
pub(crate) fn home_router(route_prefix: String) -> Router {
    Router::new().route("/", any(home)).route(&route_prefix, any(home)).with_state(route_prefix)
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

async fn page(State(base): State<String>, request: Request) -> Response {
    let path = request.uri().path();
    sigyn_ui::respond(request.method(), path, request.headers(), &base).map(Body::from)
}

//! Prometheus' management routes: healthy, ready, reload, quit.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::reply::text;

/// A wish to read the configuration again; the answer is the error's text.
pub(crate) type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// What these routes steer.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    /// Whether `/-/reload` and `/-/quit` are allowed.
    pub(crate) lifecycle: bool,
    /// Whether spans can be stored, and what is stored can be read.
    pub(crate) healthy: Healthy,
    pub(crate) reload: mpsc::Sender<ReloadRequest>,
    pub(crate) shutdown: CancellationToken,
}

/// A question to the store, asked anew for each request.
#[derive(Clone)]
pub(crate) struct Healthy(pub(crate) Arc<dyn Fn() -> Health + Send + Sync>);

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// Why no spans can be stored, if that is so. Questions are answered all the same.
    pub(crate) refusing: Option<Arc<str>>,
    /// Why no blocks can be made of what is in memory, if that is so.
    pub(crate) unsealable: Option<Arc<str>>,
    /// How many files cannot be served.
    pub(crate) damaged_files: u64,
}

impl std::fmt::Debug for Healthy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Healthy").field(&(self.0)()).finish()
    }
}

pub(crate) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/-/healthy", get(async || text(StatusCode::OK, "Sigyn is Healthy.\n")))
        .route("/-/ready", get(ready))
        .route("/-/reload", axum::routing::post(reload).put(reload).get(only_post))
        .route("/-/quit", axum::routing::post(quit).put(quit).get(only_post))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> Response {
    if admin.shutdown.is_cancelled() {
        let header = HeaderName::from_static("x-prometheus-stopping");
        let value = HeaderValue::from_static("true");
        let answer = text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        return ([(header, value)], answer).into_response();
    }
    // Neither makes it less ready: what is here is nowhere else, and nothing would be answered if it got no
    // questions. Whoever sends spans is told by itself.
    let Health { refusing, unsealable, damaged_files } = (admin.healthy.0)();
    let mut message = "Sigyn is Ready.\n".to_owned();
    if let Some(cause) = refusing {
        message.push_str(&format!("Warning: no spans can be stored: {cause}\n"));
    }
    if let Some(cause) = unsealable {
        message.push_str(&format!(
            "Warning: no blocks can be made, spans stay in memory and in the log: {cause}\n"
        ));
    }
    if damaged_files > 0 {
        let files = if damaged_files == 1 { "file is" } else { "files are" };
        message.push_str(&format!(
            "Warning: {damaged_files} {files} damaged in the store, see /api/v1/status/store.\n"
        ));
    }
    text(StatusCode::OK, message)
}

async fn reload(State(admin): State<Admin>) -> Response {
    if !admin.lifecycle {
        return text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.");
    }
    let (answer, outcome) = oneshot::channel();
    let asked = admin.reload.send(answer).await;
    match (asked, outcome.await) {
        (Ok(()), Ok(Ok(()))) => StatusCode::OK.into_response(),
        (Ok(()), Ok(Err(error))) => {
            let message = format!("failed to reload config: {error}");
            text(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
        _ => text(StatusCode::SERVICE_UNAVAILABLE, "the program is stopping"),
    }
}

async fn quit(State(admin): State<Admin>) -> Response {
    if !admin.lifecycle {
        return text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.");
    }
    tracing::info!(request = "/-/quit", "stopping");
    admin.shutdown.cancel();
    text(StatusCode::OK, "Requesting termination... Goodbye!")
}

async fn only_post() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_can_answer_is_ready_and_says_what_is_wrong() {
        let shutdown = CancellationToken::new();
        let check = async |refusing: Option<&str>, damaged_files: u64, expected: (u16, &str)| {
            // Of a disk that is full no block can be made either.
            let unsealable = refusing.map(|_| Arc::from("cannot write the catalog"));
            let health = Health { refusing: refusing.map(Arc::from), unsealable, damaged_files };
            let admin = Admin {
                lifecycle: false,
                healthy: Healthy(Arc::new(move || health.clone())),
                reload: mpsc::channel(1).0,
                shutdown: shutdown.clone(),
            };
            let response = ready(State(admin)).await;
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
            assert_eq!((status, str::from_utf8(&body).unwrap()), expected);
        };
        check(None, 0, (200, "Sigyn is Ready.\n")).await;
        let full = "Sigyn is Ready.\nWarning: no spans can be stored: the disk is full\n\
                    Warning: no blocks can be made, spans stay in memory and in the log: cannot write the catalog\n";
        check(Some("the disk is full"), 0, (200, full)).await;
        let damaged =
            "Warning: 2 files are damaged in the store, see /api/v1/status/store.\n".to_owned();
        check(Some("the disk is full"), 2, (200, &(full.to_owned() + &damaged))).await;
        shutdown.cancel();
        check(Some("the disk is full"), 2, (503, "Service Unavailable")).await;
    }
}

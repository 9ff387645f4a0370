//! What changes the store beside spans that come in; off unless `--web.enable-admin-api` says otherwise.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use sigyn_store::Store;

use crate::reply::{ApiError, failure};

/// The store, and whether strangers may change it.
#[derive(Clone, Debug)]
pub(crate) struct StoreAdmin {
    pub(crate) store: Store,
    pub(crate) is_enabled: bool,
}

pub(crate) fn router(admin: StoreAdmin) -> Router {
    Router::new().route("/api/v1/admin/store/seal", post(seal).put(seal)).with_state(admin)
}

/// Makes a block of what is in memory now; answers once it is on the disk.
async fn seal(State(admin): State<StoreAdmin>) -> Response {
    if !admin.is_enabled {
        return failure(&disabled());
    }
    let store = admin.store;
    match tokio::task::spawn_blocking(move || store.seal()).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => failure(&ApiError::failed(error)),
        Err(error) => failure(&ApiError::failed(error)),
    }
}

/// As Prometheus puts it.
fn disabled() -> ApiError {
    let message = "admin APIs disabled".to_owned();
    ApiError { status: StatusCode::SERVICE_UNAVAILABLE, message }
}

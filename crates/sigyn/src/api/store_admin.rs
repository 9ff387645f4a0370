//! What changes the store beside spans that come in; off unless `--web.enable-admin-api` says otherwise.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use http::StatusCode;
use sigyn_model::TraceId;
use sigyn_store::{Stop, Store, Strictness};

use crate::reply::{ApiError, failure};

/// The store, and whether strangers may change it.
#[derive(Clone, Debug)]
pub(crate) struct StoreAdmin {
    pub(crate) store: Store,
    /// Which ids are one trace's.
    pub(crate) strictness: Strictness,
    pub(crate) is_enabled: bool,
}

pub(crate) fn router(admin: StoreAdmin) -> Router {
    Router::new()
        .route("/api/v1/admin/store/seal", post(seal).put(seal))
        .route("/api/v1/traces/{id}", delete(delete_trace))
        .with_state(admin)
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

/// Deletes what is stored of one trace, whichever spellings of its id are one trace's here.
async fn delete_trace(State(admin): State<StoreAdmin>, Path(id): Path<String>) -> Response {
    if !admin.is_enabled {
        return failure(&disabled());
    }
    let id = match TraceId::parse(&id) {
        Ok(id) => id,
        Err(error) => return failure(&ApiError::bad(error.to_string())),
    };
    let StoreAdmin { store, strictness, .. } = admin;
    let deleted = tokio::task::spawn_blocking(move || -> Result<u64, ApiError> {
        let queries = store.queries(Stop::default()).with_strictness(strictness);
        let ids = queries.ids_of(id).map_err(ApiError::failed)?;
        store.delete_traces(&ids).map_err(ApiError::failed)
    });
    match deleted.await {
        Ok(Ok(0)) => failure(&ApiError::not_found(format!("no trace has the id {id}"))),
        Ok(Ok(_)) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => failure(&error),
        Err(error) => failure(&ApiError::failed(error)),
    }
}

/// As Prometheus puts it.
fn disabled() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "admin APIs disabled")
}

//! What changes the store beside spans that come in; off unless `--web.enable-admin-api` says otherwise.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use http::StatusCode;
use sigyn_model::TraceId;
use sigyn_store::{DeleteError, SealError, Stop, Store, Strictness};

use crate::reply::{ApiError, failure, success_but};

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
        Ok(Err(error)) => {
            let is_full = matches!(error, SealError::Failed { is_full: true, .. });
            failure(&ApiError::not_written(error, is_full))
        }
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
    let deleted = tokio::task::spawn_blocking(move || -> Result<Deleted, ApiError> {
        let queries = store.queries(Stop::default()).with_strictness(strictness);
        let mut ids = queries.ids_of(id).map_err(ApiError::failed)?;
        // A block that cannot be read now may have it all the same.
        if !ids.contains(&id) {
            ids.push(id);
        }
        let deleted = store.delete_traces(&ids).map_err(|error| {
            let is_full = matches!(error, DeleteError::Failed { is_full: true, .. });
            ApiError::not_written(error, is_full)
        })?;
        Ok(if deleted == 0 && store.unreadable_blocks() > 0 {
            Deleted::Noted
        } else {
            Deleted::There(deleted)
        })
    });
    match deleted.await {
        Ok(Ok(Deleted::There(0))) => {
            failure(&ApiError::not_found(format!("no trace has the id {id}")))
        }
        Ok(Ok(Deleted::There(_))) => StatusCode::NO_CONTENT.into_response(),
        Ok(Ok(Deleted::Noted)) => {
            (StatusCode::ACCEPTED, success_but(&(), &[noted(id)])).into_response()
        }
        Ok(Err(error)) => failure(&error),
        Err(error) => failure(&ApiError::failed(error)),
    }
}

/// What became of a trace that somebody wants deleted.
enum Deleted {
    /// How many ids of it there were.
    There(u64),
    /// Nothing that can be read has it, and not all can be read.
    Noted,
}

fn noted(id: TraceId) -> String {
    format!(
        "no trace that can be read has the id {id}; what blocks that cannot be read now have of it is deleted"
    )
}

/// As Prometheus puts it.
fn disabled() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "admin APIs disabled")
}

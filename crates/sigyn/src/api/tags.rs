//! `/api/v1/tags`: every tag key that is stored, and its values, for completion while typing.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::Params;
use super::ask::Asker;
use crate::reply::{ApiError, failure, success};

pub(crate) fn router(asker: Asker) -> Router {
    Router::new()
        .route("/api/v1/tags", get(keys))
        .route("/api/v1/tags/values", get(values))
        .with_state(asker)
}

async fn keys(State(asker): State<Asker>) -> Response {
    answer(asker.ask(move |q| q.tag_keys()).await)
}

async fn values(State(asker): State<Asker>, params: Params) -> Response {
    let key = match params.required("key") {
        Ok(key) => key.to_owned(),
        Err(error) => return failure(&error),
    };
    answer(asker.ask(move |q| q.tag_values(&key)).await)
}

fn answer(names: Result<Vec<String>, ApiError>) -> Response {
    match names {
        Ok(names) => success(&names),
        Err(error) => failure(&error),
    }
}

//! `/api/v1/tags`: every tag key that is stored, and its values, for completion while typing.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::Params;
use super::ask::Asker;
use crate::reply::{ApiError, failure};

pub(crate) fn router(asker: Asker) -> Router {
    Router::new()
        .route("/api/v1/tags", get(keys))
        .route("/api/v1/tags/values", get(values))
        .with_state(asker)
}

async fn keys(State(asker): State<Asker>) -> Response {
    let names = asker.ask(move |q| q.tag_keys()).await;
    answer(&asker, names)
}

async fn values(State(asker): State<Asker>, params: Params) -> Response {
    let key = match params.required("key") {
        Ok(key) => key.to_owned(),
        Err(error) => return failure(&error),
    };
    let names = asker.ask(move |q| q.tag_values(&key)).await;
    answer(&asker, names)
}

fn answer(asker: &Asker, names: Result<Vec<String>, ApiError>) -> Response {
    match names {
        Ok(names) => asker.answer(&names),
        Err(error) => failure(&error),
    }
}

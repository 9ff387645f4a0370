//! `POST /api/v1/traces/collect`: fetches traces that nobody sampled from all targets that may still have them.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::post;
use serde::Serialize;
use sigyn_model::pull;
use sigyn_scrape::{Collected, Status};

use super::Params;
use crate::config;
use crate::reply::{ApiError, failure, success};

/// A body that names more traces than may be named is longer than this.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long targets are waited for unless the request says otherwise, and at most.
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

pub(crate) fn router(status: Status) -> Router {
    Router::new()
        .route("/api/v1/traces/collect", post(collect))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(status)
}

#[derive(Serialize)]
struct Answer {
    targets: usize,
    given: usize,
    failed: usize,
    waiting: usize,
}

async fn collect(State(status): State<Status>, params: Params, body: String) -> Response {
    let asked = async {
        params.each_once(&["timeout"])?;
        let timeout = params.first("timeout").map(config::parse_duration).transpose();
        let timeout = timeout.map_err(|error| ApiError::bad(format!("timeout: {error}")))?;
        let timeout = timeout.unwrap_or(TIMEOUT).min(TIMEOUT_MAX);
        let ids = pull::parse_collect(&body).map_err(|error| ApiError::bad(error.to_string()))?;
        if ids.is_empty() {
            return Err(ApiError::bad(
                "no trace is named: {\"ids\":[\"4bf92f3577b34da6a3ce929d0e0e4736\"]}",
            ));
        }
        Ok(status.collect(&ids, timeout).await)
    };
    match asked.await {
        Ok(Collected { targets, given, failed, waiting }) => {
            success(&Answer { targets, given, failed, waiting })
        }
        Err(error) => failure(&error),
    }
}

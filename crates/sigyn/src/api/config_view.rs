//! Prometheus' `/api/v1/status/config` and `/api/v1/scrape_pools/config`: what is configured now, without
//! secrets.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;
use sigyn_discovery::config::Shown;
use tokio::sync::watch;

use super::Params;
use crate::reply::{ApiError, failure, prometheus};

/// What there is to show, now and after each reload.
pub(crate) type Config = watch::Receiver<Arc<Shown>>;

pub(crate) fn router(config: Config) -> Router {
    Router::new()
        .route("/api/v1/status/config", get(whole))
        .route("/api/v1/scrape_pools/config", get(of_pool))
        .with_state(config)
}

async fn whole(State(config): State<Config>) -> Response {
    let shown = Arc::clone(&config.borrow());
    prometheus(&json!({ "yaml": shown.yaml() }))
}

async fn of_pool(State(config): State<Config>, params: Params) -> Response {
    let shown = Arc::clone(&config.borrow());
    let Some(pool) = params.first("scrapePool").filter(|pool| !pool.is_empty()) else {
        return failure(&ApiError::bad("no scrapePool parameter provided"));
    };
    match shown.job(pool) {
        Some(yaml) => prometheus(&json!({ "yaml": yaml })),
        None => {
            let message = format!("error retrieving scrape config: scrape pool {pool:?} not found");
            failure(&ApiError::bad(message))
        }
    }
}

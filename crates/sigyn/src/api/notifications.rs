//! Prometheus' `/api/v1/notifications`: what whoever looks at the pages should know now.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::rfc3339;
use crate::metrics::ReloadState;
use crate::reply::prometheus;

/// Prometheus' words.
const RELOAD_FAILED: &str = "Configuration reload has failed.";

pub(crate) fn router(reloads: Arc<ReloadState>) -> Router {
    Router::new().route("/api/v1/notifications", get(notifications)).with_state(reloads)
}

#[derive(Serialize)]
struct Notification {
    text: &'static str,
    date: String,
    active: bool,
}

async fn notifications(State(reloads): State<Arc<ReloadState>>) -> Response {
    prometheus(&current(&reloads))
}

fn current(reloads: &ReloadState) -> Vec<Notification> {
    if reloads.successful.load(Ordering::Relaxed) == 1 {
        return Vec::new();
    }
    let failed_at = Duration::from_secs(reloads.failed_at_s.load(Ordering::Relaxed));
    vec![Notification { text: RELOAD_FAILED, date: rfc3339(UNIX_EPOCH + failed_at), active: true }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_that_failed_is_told_until_one_succeeds() {
        let reloads = ReloadState::default();
        reloads.record(true);
        assert!(current(&reloads).is_empty());
        reloads.record(false);
        let told = serde_json::to_value(current(&reloads)).unwrap();
        assert_eq!(told[0]["text"], "Configuration reload has failed.");
        assert_eq!(told[0]["active"], true);
        let date = told[0]["date"].as_str().unwrap();
        assert!(date.starts_with("20") && date.ends_with('Z'), "{date}");
        reloads.record(true);
        assert!(current(&reloads).is_empty());
    }
}

//! `/api/v1/trace/{id}/running`: spans of a trace that have not finished, as the targets see them now.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use sigyn_model::TraceId;
use sigyn_scrape::{AskError, Status, TargetAnswer};

use super::Params;
use crate::reply::{ApiError, failure, failure_for_now, success};

/// Targets that are asked, those of the services that the request names first.
const TARGETS_MAX: usize = 500;
/// How long each may take: somebody looks at a page and waits.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Spans that are told, those that run longest.
const SPANS_MAX: usize = 1_000;

pub(crate) fn router(status: Status) -> Router {
    Router::new().route("/api/v1/trace/{id}/running", get(running)).with_state(status)
}

/// What a target tells.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    service: String,
    #[serde(default)]
    running: Vec<Span>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    #[serde(skip_deserializing)]
    service: String,
    #[serde(skip_deserializing)]
    target: String,
    trace_id: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default)]
    name: String,
    timestamp: u64,
    duration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<bool>,
}

#[derive(Default, Serialize)]
struct Answer {
    spans: Vec<Span>,
    /// Targets that were asked, and those that did not tell. What knows no unfinished spans is neither.
    asked: usize,
    failed: usize,
    /// Targets that there are.
    targets: usize,
}

async fn running(State(status): State<Status>, Path(id): Path<String>, params: Params) -> Response {
    let read = || {
        let id = TraceId::parse(id.trim()).map_err(|error| ApiError::bad(error.to_string()))?;
        let services: Vec<String> = params.all("service").map(str::to_lowercase).collect();
        params.without("service").each_once(&[])?;
        Ok((format!("tracez?trace_id={id}"), services))
    };
    let (beside, services) = match read() {
        Ok(read) => read,
        Err(error) => return failure(&error),
    };
    let mut all = Answer::default();
    let told = status.ask(&beside, &services, TARGETS_MAX, TIMEOUT, |answer| all.add(answer));
    match told.await {
        Ok(targets) => {
            all.shorten();
            success(&Answer { targets, ..all })
        }
        Err(busy) => failure_for_now(busy),
    }
}

impl Answer {
    fn add(&mut self, TargetAnswer { job, name, url, body }: TargetAnswer) {
        match body {
            Ok(body) => {
                let Ok(told) = serde_json::from_slice::<Told>(&body) else {
                    // It answers with something else there.
                    return;
                };
                self.asked += 1;
                let service = if told.service.is_empty() { job } else { told.service };
                self.spans.extend(told.running.into_iter().map(|span| Span {
                    service: service.to_lowercase(),
                    target: name.clone(),
                    ..span
                }));
                if self.spans.len() > 2 * SPANS_MAX {
                    self.shorten();
                }
            }
            Err(AskError::Status(status)) if status.is_client_error() => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(%url, error, "target does not tell what runs");
                (self.asked, self.failed) = (self.asked + 1, self.failed + 1);
            }
        }
    }

    fn shorten(&mut self) {
        self.spans.sort_by_cached_key(|span| (span.timestamp, span.id.clone()));
        self.spans.truncate(SPANS_MAX);
    }
}

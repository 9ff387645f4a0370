//! `POST /api/v1/traces/collect`: fetches traces that nobody sampled from all targets that may still have them.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::post;
use serde::Serialize;
use sigyn_model::pull;
use sigyn_scrape::{CollectOutcome, Collected, CollectedFrom, NotAsked, NotAskedWhy, Status};

use super::Params;
use crate::config;
use crate::reply::{ApiError, failure, failure_for_now, success};

/// A body that names more traces than may be named is longer than this.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long targets are waited for unless the request says otherwise, and at most.
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Targets that are told one by one: those that gave most, and then those of which there is something to say.
const TOLD_MAX: usize = 1_000;
/// Of those that could not be asked, so many.
const NOT_ASKED_MAX: usize = 100;

pub(crate) fn router(status: Status) -> Router {
    Router::new()
        .route("/api/v1/traces/collect", post(collect))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(status)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    targets: usize,
    given: usize,
    failed: usize,
    waiting: usize,
    /// Of those that gave, by what they say themselves: with memory for spans that nobody sampled, without, and neither said.
    with_ring: usize,
    without_ring: usize,
    ring_unknown: usize,
    from: Vec<From>,
    not_asked: NotAskedTold,
}

/// Targets that could not be asked: how many, by why, and some of them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotAskedTold {
    targets: usize,
    down: usize,
    unknown: usize,
    not_traced: usize,
    foreign: usize,
    from: Vec<NotAskedFrom>,
}

#[derive(Serialize)]
struct NotAskedFrom {
    job: String,
    target: String,
    url: String,
    why: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// One target.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct From {
    job: String,
    target: String,
    url: String,
    outcome: &'static str,
    spans: u64,
    /// Whether it keeps spans that nobody sampled, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    keeps_ring: Option<bool>,
    /// All that finished there in so many seconds is there, but for spans that were too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    back_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    too_large: Option<u64>,
}

async fn collect(State(status): State<Status>, params: Params, body: String) -> Response {
    let read = || {
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
        Ok((ids, timeout))
    };
    let (ids, timeout) = match read() {
        Ok(read) => read,
        Err(error) => return failure(&error),
    };
    match status.collect(&ids, timeout).await {
        Ok(collected) => success(&answer(collected)),
        Err(busy) => failure_for_now(busy),
    }
}

fn answer(collected: Collected) -> Answer {
    let [given, failed, waiting] =
        [CollectOutcome::Given, CollectOutcome::Failed, CollectOutcome::Waiting]
            .map(|outcome| collected.count(outcome));
    let targets = collected.from.len();
    let mut from: Vec<_> = collected.from.into_iter().map(From::of).collect();
    let answered = from.iter().filter(|from| from.outcome == "given");
    let rings = answered.map(|from| from.keeps_ring).collect::<Vec<_>>();
    let count = |keeps| rings.iter().filter(|ring| **ring == keeps).count();
    let (with_ring, without_ring, ring_unknown) =
        (count(Some(true)), count(Some(false)), count(None));
    from.sort_by_cached_key(|from| {
        let is_dull = from.keeps_ring == Some(true) && from.outcome == "given";
        (std::cmp::Reverse(from.spans), is_dull, from.job.clone(), from.target.clone())
    });
    from.truncate(TOLD_MAX);
    let not_asked = not_asked(collected.not_asked);
    Answer {
        targets,
        given,
        failed,
        waiting,
        with_ring,
        without_ring,
        ring_unknown,
        from,
        not_asked,
    }
}

fn not_asked(mut all: Vec<NotAsked>) -> NotAskedTold {
    let count = |why| all.iter().filter(|target| target.why == why).count();
    let [down, unknown, not_traced, foreign] =
        [NotAskedWhy::Down, NotAskedWhy::Unknown, NotAskedWhy::NotTraced, NotAskedWhy::Foreign]
            .map(count);
    let targets = all.len();
    all.sort_by_cached_key(|target| (target.why, target.job.clone(), target.name.clone()));
    all.truncate(NOT_ASKED_MAX);
    let told = |NotAsked { job, name, url, why, error }| NotAskedFrom {
        job,
        target: name,
        url,
        why: NotAskedWhy::as_str(why),
        error,
    };
    let from = all.into_iter().map(told).collect();
    NotAskedTold { targets, down, unknown, not_traced, foreign, from }
}

impl From {
    fn of(from: CollectedFrom) -> Self {
        let CollectedFrom { job, name, url, outcome, spans, cold } = from;
        let keeps_ring = cold.map(|cold| cold.max_bytes > 0);
        let ring = cold.filter(|_| keeps_ring == Some(true));
        Self {
            job,
            target: name,
            url,
            outcome: match outcome {
                CollectOutcome::Given => "given",
                CollectOutcome::Failed => "failed",
                CollectOutcome::Waiting => "waiting",
            },
            spans,
            keeps_ring,
            back_seconds: ring.and_then(|cold| cold.back).map(|back| back.as_secs_f64()),
            too_large: ring.map(|cold| cold.refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use sigyn_model::pull::Cold;

    use super::*;

    #[test]
    fn what_a_target_does_not_say_is_not_said_of_it() {
        let ring = Cold { max_bytes: 1, refused: 2, back: Some(Duration::from_millis(1_500)) };
        let from = |name: &str, outcome, spans, cold| CollectedFrom {
            job: "shop".to_owned(),
            name: name.to_owned(),
            url: String::new(),
            outcome,
            spans,
            cold,
        };
        let given = CollectOutcome::Given;
        let told = answer(Collected {
            not_asked: Vec::new(),
            from: vec![
                from("silent", given, 0, None),
                from("ring", given, 0, Some(ring)),
                from("none", given, 0, Some(Cold::default())),
                from("gone", CollectOutcome::Failed, 0, None),
                from("most", given, 7, Some(Cold { back: None, ..ring })),
            ],
        });
        let told = serde_json::to_value(told).unwrap();
        let names = told["from"].as_array().unwrap().iter().map(|from| from["target"].as_str());
        assert_eq!(names.flatten().collect::<Vec<_>>(), ["most", "gone", "none", "silent", "ring"]);
        assert_eq!(
            (&told["withRing"], &told["withoutRing"], &told["ringUnknown"]),
            (&2.into(), &1.into(), &1.into())
        );
        assert_eq!((&told["given"], &told["failed"]), (&4.into(), &1.into()));
        let with = |at: usize, name: &str| told["from"][at].get(name).cloned();
        assert_eq!(with(0, "backSeconds"), None);
        assert_eq!(with(0, "tooLarge"), Some(2.into()));
        assert_eq!((with(2, "keepsRing"), with(2, "tooLarge")), (Some(false.into()), None));
        assert_eq!((with(3, "keepsRing"), with(3, "backSeconds")), (None, None));
        assert_eq!(with(4, "backSeconds"), Some(1.5.into()));
    }

    #[test]
    fn who_could_not_be_asked_is_told_and_the_rest_counted() {
        let target = |name: String, why, error: Option<&str>| NotAsked {
            job: "shop".to_owned(),
            name,
            url: String::new(),
            why,
            error: error.map(str::to_owned),
        };
        let mut all = vec![target("loki".to_owned(), NotAskedWhy::Foreign, None)];
        let refused = Some("connection refused");
        all.extend((0..150).map(|n| target(format!("{n:03}"), NotAskedWhy::Down, refused)));
        all.push(target("new".to_owned(), NotAskedWhy::Unknown, None));
        let told = answer(Collected { from: Vec::new(), not_asked: all });
        let told = serde_json::to_value(told).unwrap();
        let told = &told["notAsked"];
        let counts = ["targets", "down", "unknown", "notTraced", "foreign"];
        assert_eq!(counts.map(|name| told[name].as_u64().unwrap()), [152, 150, 1, 0, 1]);
        assert_eq!(told["from"].as_array().unwrap().len(), NOT_ASKED_MAX);
        let first = serde_json::json!({
            "job": "shop", "target": "000", "url": "", "why": "down", "error": "connection refused"
        });
        assert_eq!(told["from"][0], first);
    }
}

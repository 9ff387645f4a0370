//! Prometheus' `/api/v1/targets`, with what Sigyn knows beyond it in additional fields.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use sigyn_discovery::{Labels, Trouble, Troubles};
use sigyn_scrape::{Health, PoolStatus, ScrapeRecord, State, Status, TargetStatus};

use super::global_url::External;
use super::{Params, rfc3339};
use crate::reply::{ApiError, failure, prometheus};

/// Whom to ask for targets, and how others reach them.
#[derive(Clone, Debug)]
struct Asked {
    status: Status,
    troubles: Troubles,
    external: Arc<External>,
}

pub(crate) fn router(status: Status, troubles: Troubles, external: External) -> Router {
    Router::new()
        .route("/api/v1/targets", get(targets))
        .route("/api/v1/targets/metadata", get(metadata))
        .route("/api/v1/scrape_pools", get(scrape_pools))
        .with_state(Asked { status, troubles, external: Arc::new(external) })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Targets {
    active_targets: Vec<ActiveTarget>,
    dropped_targets: Vec<DroppedTarget>,
    /// Of all pools, whichever is asked for. Null where dropped targets are not.
    dropped_target_counts: Option<BTreeMap<String, u64>>,
    sigyn: Extra,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActiveTarget {
    discovered_labels: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
    sigyn: TargetExtra,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DroppedTarget {
    discovered_labels: BTreeMap<String, String>,
    scrape_pool: String,
}

/// What Prometheus does not know of a target.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetExtra {
    state: String,
    /// Why a target is not traced, or what is odd about one that is: neither is an error.
    note: Option<String>,
    spans_per_second: f64,
    history: Vec<u32>,
    received: u64,
    lost: u64,
    lost_by_reason: BTreeMap<&'static str, u64>,
    restarts: u64,
    cursor: Option<String>,
    clock_offset_ns: Option<i64>,
    last_span_at: Option<String>,
    failures_in_a_row: u32,
    failing_since: Option<String>,
    /// The last scrape that failed, also after others that did not.
    last_failure: Option<Failure>,
    scrapes: u64,
    /// How many of them failed, without reasons for which none did.
    failed_by_reason: BTreeMap<&'static str, u64>,
    /// The next instant at which it is asked, and when before that because its log fills.
    next_scrape: Option<String>,
    next_pull: Option<String>,
    /// Whether a request waits there until it has spans: `no`, `open`, `between` two of them, `not_kept`, `refused`.
    long_poll: &'static str,
    /// How often spans came between two of its instants.
    early_pulls: u64,
    /// How full its log was when it was asked last, and in how much time it fills.
    log: Option<Log>,
    /// Spans a second that its job wants of it.
    span_budget: Option<u32>,
    /// The share of the traces which begin there that it records for its budget, and how many it left out.
    sampled: Option<Sampled>,
    /// The last scrapes, with `recent`.
    recent: Option<Vec<Scrape>>,
    loss_windows: Vec<LossWindow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Scrape {
    at: String,
    took_seconds: f64,
    status: String,
    bytes: u64,
    spans: u64,
    cursor: Option<String>,
    early: bool,
    error: Option<String>,
}

#[derive(Serialize)]
struct Failure {
    at: String,
    reason: &'static str,
    error: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    bytes: u64,
    max_bytes: u64,
    lasts_seconds: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled {
    share: f64,
    traces_left_out: u64,
    /// What it applies of what scrapers want: of operations without a rate of their own, and how many have one.
    rate: Option<f64>,
    operations: Option<u64>,
}

#[derive(Serialize)]
struct LossWindow {
    from: String,
    to: String,
    spans: u64,
    reason: &'static str,
}

#[derive(Serialize)]
struct Extra {
    now: String,
    pools: Vec<Pool>,
}

#[derive(Serialize)]
struct Pool {
    job: String,
    active: usize,
    dropped: u64,
    errors: Vec<String>,
    /// Its mechanisms that fail now.
    failing: Vec<Failing>,
}

/// A mechanism that fails. What it had found before stays.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failing {
    mechanism: &'static str,
    /// Whom it asks, or where it looks.
    server: String,
    /// The newest failure.
    error: String,
    last_at: String,
    /// When the first of those failures was that go on, and how many there were since then.
    since: String,
    failures: u64,
    /// How many of its files, names, services or kinds of objects fail.
    parts: usize,
    kept_targets: usize,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Show {
    active: bool,
    dropped: bool,
    recent: Recent,
    /// One pool, or all.
    pool: Option<String>,
}

/// Whose last scrapes are told. They are most of what there is to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Recent {
    #[default]
    OfNobody,
    OfAll,
    /// Of targets with these URLs.
    Of(HashSet<String>),
}

impl Show {
    /// A state that there is not has no targets, as with Prometheus.
    fn of(params: &Params) -> Self {
        let state = params.first("state").unwrap_or_default().to_lowercase();
        let is_any = state.is_empty() || state == "any";
        Self {
            active: is_any || state == "active",
            dropped: is_any || state == "dropped",
            recent: Recent::of(params),
            pool: params.text("scrapePool").filter(|pool| !pool.is_empty()),
        }
    }
}

impl Recent {
    fn of(params: &Params) -> Self {
        let urls: HashSet<String> =
            params.all("recent").filter(|url| !url.is_empty()).map(str::to_owned).collect();
        match urls {
            urls if urls.is_empty() => Self::OfNobody,
            urls if urls.contains("1") => Self::OfAll,
            urls => Self::Of(urls),
        }
    }

    fn is_of(&self, url: &str) -> bool {
        match self {
            Self::OfNobody => false,
            Self::OfAll => true,
            Self::Of(urls) => urls.contains(url),
        }
    }
}

async fn targets(extract::State(asked): extract::State<Asked>, params: Params) -> Response {
    let show = Show::of(&params);
    // Thousands of targets take a while to copy and to write.
    let answer = tokio::task::spawn_blocking(move || {
        prometheus(&answer(asked.status.pools(), &asked.troubles.now(), &show, &asked.external))
    });
    answer.await.unwrap_or_else(|error| failure(&ApiError::failed(error)))
}

/// What metrics are about: a tracer knows nothing of that.
async fn metadata() -> Response {
    prometheus(&[(); 0])
}

fn answer(
    mut pools: Vec<PoolStatus>,
    troubles: &[Trouble],
    show: &Show,
    external: &External,
) -> Targets {
    pools.sort_by(|one, other| one.job.cmp(&other.job));
    let counts = pools.iter().map(|pool| (pool.job.clone(), pool.dropped_count)).collect();
    pools.retain(|pool| show.pool.as_ref().is_none_or(|name| pool.job == *name));
    Targets {
        active_targets: pools
            .iter()
            .filter(|_| show.active)
            .flat_map(|pool| {
                pool.active.iter().map(|target| active_target(pool, target, show, external))
            })
            .collect(),
        dropped_targets: pools
            .iter()
            .filter(|_| show.dropped)
            .flat_map(|pool| {
                pool.dropped.iter().map(|labels| DroppedTarget {
                    discovered_labels: label_map(labels),
                    scrape_pool: pool.job.clone(),
                })
            })
            .collect(),
        dropped_target_counts: show.dropped.then_some(counts),
        sigyn: Extra {
            now: rfc3339(SystemTime::now()),
            pools: pools
                .iter()
                .map(|pool| Pool {
                    job: pool.job.clone(),
                    active: pool.active.len(),
                    dropped: pool.dropped_count,
                    errors: pool.errors.clone(),
                    failing: troubles
                        .iter()
                        .filter(|trouble| trouble.jobs.contains(&pool.job))
                        .map(failing)
                        .collect(),
                })
                .collect(),
        },
    }
}

fn failing(trouble: &Trouble) -> Failing {
    Failing {
        mechanism: trouble.mechanism,
        server: trouble.server.clone(),
        error: trouble.error.clone(),
        last_at: rfc3339(trouble.last_at),
        since: rfc3339(trouble.since),
        failures: trouble.failures,
        parts: trouble.parts,
        kept_targets: trouble.kept_targets,
    }
}

async fn scrape_pools(extract::State(asked): extract::State<Asked>) -> Response {
    let mut names: Vec<String> = asked.status.pools().into_iter().map(|pool| pool.job).collect();
    names.sort();
    prometheus(&serde_json::json!({ "scrapePools": names }))
}

fn active_target(
    pool: &PoolStatus,
    target: &TargetStatus,
    show: &Show,
    external: &External,
) -> ActiveTarget {
    ActiveTarget {
        discovered_labels: label_map(&target.discovered_labels),
        labels: label_map(&target.labels),
        scrape_pool: pool.job.clone(),
        scrape_url: target.url.clone(),
        global_url: external.url(&target.url),
        last_error: if target.state == State::NotTraced {
            String::new()
        } else {
            target.last_error.clone().unwrap_or_default()
        },
        last_scrape: target.last_scrape.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), rfc3339),
        last_scrape_duration: target.last_duration.as_secs_f64(),
        health: match target.health {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        },
        scrape_interval: target.scrape_interval.clone(),
        scrape_timeout: target.scrape_timeout.clone(),
        sigyn: extra(target, show.recent.is_of(&target.url)),
    }
}

fn extra(target: &TargetStatus, recent: bool) -> TargetExtra {
    let lost = &target.account.lost;
    TargetExtra {
        state: target.state.as_str().replace('_', " "),
        note: match target.state {
            State::NotTraced => target.last_error.clone(),
            _ => target.last_problem.clone(),
        },
        spans_per_second: target.spans_per_second,
        history: target.history.clone(),
        received: target.account.received,
        lost: lost.total(),
        lost_by_reason: lost.by_reason().map(|(reason, n)| (reason.as_str(), n)).into(),
        restarts: target.account.restarts,
        cursor: target.cursor.map(|cursor| cursor.to_string()),
        clock_offset_ns: target.clock_offset_ns,
        last_span_at: target.last_span_at.map(rfc3339),
        failures_in_a_row: target.failures_in_a_row,
        failing_since: target.failing_since.map(rfc3339),
        last_failure: target.last_failure.as_ref().map(|failure| Failure {
            at: rfc3339(failure.at),
            reason: failure.cause.as_str(),
            error: failure.error.clone(),
        }),
        scrapes: target.scrapes_total,
        failed_by_reason: target
            .failures
            .by_cause()
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(cause, count)| (cause.as_str(), count))
            .collect(),
        next_scrape: target.next_scrape.map(rfc3339),
        next_pull: target.next_pull.map(rfc3339),
        long_poll: target.waiting.as_str(),
        early_pulls: target.early_pulls,
        log: target.log.map(|log| Log {
            bytes: log.bytes,
            max_bytes: log.max_bytes,
            lasts_seconds: log.lasts.map(|lasts| lasts.as_secs_f64()),
        }),
        span_budget: target.span_budget,
        sampled: target.sampled.map(|sampled| Sampled {
            share: sampled.share,
            traces_left_out: sampled.traces,
            rate: sampled.rate,
            operations: sampled.operations,
        }),
        recent: recent.then(|| target.recent.iter().map(|record| scrape(record)).collect()),
        loss_windows: target
            .loss_windows
            .iter()
            .map(|window| LossWindow {
                from: rfc3339(window.from),
                to: rfc3339(window.to),
                spans: window.spans,
                reason: window.reason.as_str(),
            })
            .collect(),
    }
}

fn scrape(record: &ScrapeRecord) -> Scrape {
    Scrape {
        at: rfc3339(record.at),
        took_seconds: record.took.as_secs_f64(),
        status: record.status.clone(),
        bytes: record.bytes,
        spans: record.spans,
        cursor: record.next.map(|cursor| cursor.to_string()),
        early: record.is_early,
        error: record.error.clone(),
    }
}

fn label_map(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

//! Prometheus' `/api/v1/targets/relabel_steps`: what each of a job's rules makes of a label set.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use sigyn_discovery::Labels;
use sigyn_discovery::config::Job;
use sigyn_discovery::relabel::{self, Rule};
use tokio::sync::watch;

use super::Params;
use crate::reply::{ApiError, failure, prometheus};

/// The jobs as they are configured now.
pub(crate) type Jobs = watch::Receiver<Arc<Vec<Job>>>;

pub(crate) fn router(jobs: Jobs) -> Router {
    Router::new().route("/api/v1/targets/relabel_steps", get(relabel_steps)).with_state(jobs)
}

#[derive(Serialize)]
struct Answer<'a> {
    steps: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Step<'a> {
    rule: &'a Rule,
    output: BTreeMap<&'a str, &'a str>,
    keep: bool,
}

async fn relabel_steps(State(jobs): State<Jobs>, params: Params) -> Response {
    let jobs = Arc::clone(&jobs.borrow());
    let answered = asked(&params).and_then(|(pool, labels)| Ok((job(&jobs, pool)?, labels)));
    let (job, labels) = match answered {
        Ok(answered) => answered,
        Err(message) => return failure(&ApiError::bad(message)),
    };
    let steps = relabel::steps(&labels, &job.relabel_configs);
    prometheus(&Answer { steps: steps.iter().map(told).collect() })
}

fn told<'a>(step: &'a relabel::Step<'_>) -> Step<'a> {
    Step { rule: step.rule, output: step.output.iter().collect(), keep: step.keep }
}

/// The pool, and the labels before the first rule.
fn asked(params: &Params) -> Result<(&str, Labels), String> {
    let given = |name: &'static str| {
        let text = params.first(name).filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("no {name} parameter provided"))
    };
    let (pool, json) = (given("scrapePool")?, given("labels")?);
    let labels: BTreeMap<String, String> =
        serde_json::from_str(json).map_err(|error| format!("error parsing labels: {error}"))?;
    Ok((pool, labels.into_iter().collect()))
}

/// The job whose pool is asked for.
fn job<'a>(jobs: &'a [Job], name: &str) -> Result<&'a Job, String> {
    let found = jobs.iter().find(|job| job.name == name);
    found.ok_or_else(|| format!("error retrieving scrape config: scrape pool {name:?} not found"))
}

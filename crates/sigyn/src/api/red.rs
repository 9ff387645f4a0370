//! `/api/v1/red`: rate, errors and durations of spans, by group and by step of time.

use std::cmp::Reverse;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use sigyn_model::{Field, Measure, RELATIVE_ERROR, Red, RedQuery, Series};

use super::Params;
use super::ask::Asker;
use super::asked::{self, Asked, Looked, Refused, us};
use crate::environment::Environment;

/// A step is so long, or as many times longer as it takes for no more than so many steps.
const STEP_MS: u64 = 60_000;
const STEPS: u64 = 240;
/// No time is so far away, in milliseconds.
const STEP_MS_MAX: u64 = 1 << 50;
const PARAMETERS: [&str; 4] = ["by", "step", "quantiles", "limit"];
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 1_000;
const QUANTILES: &str = "0.5,0.95,0.99";
const QUANTILES_MAX: usize = 10;

pub(crate) fn router(asker: &Asker, environment: &Environment) -> Router {
    asked::router("/api/v1/red", red, asker, environment)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    by: Vec<String>,
    quantiles: Vec<f64>,
    relative_error: f64,
    start_us: u64,
    step_ms: u64,
    steps: u32,
    /// Those with most spans first.
    series: Vec<Group>,
    /// Whether there were more groups than could be chosen among, so that some with more spans may be in `rest`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    limited: bool,
    /// Spans of groups that are not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rest: Option<Figures>,
    looked: Looked,
    took_ms: f64,
}

#[derive(Serialize)]
struct Group {
    values: Vec<String>,
    #[serde(flatten)]
    total: Figures,
    points: Points,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    spans: u64,
    errors: u64,
    per_second: f64,
    mean_us: Option<f64>,
    max_us: Option<f64>,
    /// By the quantiles.
    quantiles_us: Vec<Option<f64>>,
}

/// Steps in which there was any span, one list a column.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Points {
    step: Vec<u32>,
    spans: Vec<u64>,
    errors: Vec<u64>,
    /// One list a quantile.
    quantiles_us: Vec<Vec<Option<f64>>>,
}

async fn red(State(asked): State<Asked>, params: Params) -> Response {
    match answer(&asked, &params).await {
        Ok(answer) => asked.asker.answer(&answer),
        Err(error) => error.into_response(),
    }
}

async fn answer(asked: &Asked, params: &Params) -> Result<Answer, Refused> {
    let selection = asked::selection(params, &PARAMETERS, asked.lookback)?;
    let by = params.first("by").unwrap_or("service");
    let by = by.split(',').map(str::trim).filter(|name| !name.is_empty());
    let by: Vec<Field> = by.map(|name| asked::field("by", name)).collect::<Result<_, _>>()?;
    let window_ms = (selection.end_us - selection.start_us) / 1_000;
    let step_ms = window_ms.div_ceil(STEP_MS * STEPS).max(1) * STEP_MS;
    let step_ms = asked::number(params, "step", step_ms, STEP_MS_MAX)?;
    let limit = asked::limit(params, LIMIT, LIMIT_MAX)?;
    let quantiles = quantiles(params.first("quantiles").unwrap_or(QUANTILES))?;
    let query = RedQuery::new(selection, by, step_ms * 1_000).map_err(Refused::bad)?;
    let started = Instant::now();
    let (red, swept) = asked.asker.ask_counting(move |q| q.red(&query)).await?;
    Ok(Answer::new(&red, quantiles, limit, swept.into(), started))
}

fn quantiles(text: &str) -> Result<Vec<f64>, Refused> {
    let bad = || Refused::bad("quantiles are numbers from 0 to 1 with commas between, ten at most");
    let read = |text: &str| {
        let q = text.trim().parse().ok();
        q.filter(|q| (0.0..=1.0).contains(q)).ok_or_else(bad)
    };
    let texts = text.split(',').filter(|text| !text.trim().is_empty());
    let quantiles = texts.map(read).collect::<Result<Vec<f64>, _>>()?;
    if quantiles.len() > QUANTILES_MAX { Err(bad()) } else { Ok(quantiles) }
}

impl Answer {
    fn new(red: &Red, quantiles: Vec<f64>, limit: usize, looked: Looked, started: Instant) -> Self {
        let query = red.query();
        let selection = query.selection();
        // Both ends belong to it.
        let seconds = (selection.end_us - selection.start_us).saturating_add(1) as f64 / 1e6;
        let mut series: Vec<(&Vec<String>, &Series, Measure)> =
            red.series().iter().map(|(key, series)| (key, series, series.total())).collect();
        // Already in the order of their names.
        series.sort_by_key(|(_, _, total)| Reverse(total.spans));
        let mut rest = red.rest().cloned();
        for (_, _, total) in series.iter().skip(limit) {
            rest.get_or_insert_default().merge(total);
        }
        let group = |(key, series, total): &(&Vec<String>, &Series, Measure)| Group {
            values: (*key).clone(),
            total: Figures::new(total, &quantiles, seconds),
            points: Points::new(series, &quantiles),
        };
        Self {
            by: query.by().iter().map(ToString::to_string).collect(),
            relative_error: RELATIVE_ERROR,
            start_us: query.steps().start_us(),
            step_ms: query.steps().len_us() / 1_000,
            steps: query.steps().count(),
            limited: red.is_limited(),
            series: series.iter().take(limit).map(group).collect(),
            rest: rest.map(|rest| Figures::new(&rest, &quantiles, seconds)),
            quantiles,
            looked,
            took_ms: started.elapsed().as_secs_f64() * 1e3,
        }
    }
}

impl Figures {
    fn new(measure: &Measure, quantiles: &[f64], seconds: f64) -> Self {
        let Measure { spans, errors, durations } = measure;
        Self {
            spans: *spans,
            errors: *errors,
            per_second: *spans as f64 / seconds,
            mean_us: durations.mean().map(|nanos| nanos / 1e3),
            max_us: durations.max().map(us),
            quantiles_us: quantiles.iter().map(|q| durations.quantile(*q).map(us)).collect(),
        }
    }
}

impl Points {
    fn new(series: &Series, quantiles: &[f64]) -> Self {
        let steps = || series.steps.values();
        let of = |q: &f64| steps().map(|step| step.durations.quantile(*q).map(us)).collect();
        Self {
            step: series.steps.keys().copied().collect(),
            spans: steps().map(|step| step.spans).collect(),
            errors: steps().map(|step| step.errors).collect(),
            quantiles_us: quantiles.iter().map(of).collect(),
        }
    }
}

//! What questions have in common: their parameters, what they are asked with, and answers to those that
//! make no sense.

use std::time::Duration;

use axum::Router;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use sigyn_model::{Field, Filter, FilterError, QueryParams, Selection, TraceQuery, Unit};
use sigyn_store::Swept;

use super::Params;
use super::ask::Asker;
use super::zipkin;
use crate::environment::Environment;
use crate::reply::{ApiError, At, failure, failure_at};

/// Whom to ask, and what counts if a question does not say.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) asker: Asker,
    /// How far a question looks back.
    pub(super) lookback: Duration,
}

/// One question at this path, unless searching is turned off.
pub(super) fn router<H, T>(
    path: &str,
    handler: H,
    asker: &Asker,
    environment: &Environment,
) -> Router
where
    H: Handler<T, Asked>,
    T: 'static,
{
    let route = if environment.search_enabled { get(handler) } else { get(turned_off) };
    let asked = Asked { asker: asker.clone(), lookback: environment.query_lookback };
    Router::new().route(path, route).with_state(asked)
}

/// An empty answer would look like a question that found nothing.
async fn turned_off() -> Response {
    failure(&ApiError::not_found("search is turned off: SEARCH_ENABLED=false"))
}

/// Why a question is not answered.
#[derive(Debug)]
pub(super) enum Refused {
    Filter { parameter: &'static str, error: FilterError },
    Other(ApiError),
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Other(error)
    }
}

impl Refused {
    pub(super) fn bad(error: impl std::fmt::Display) -> Self {
        Self::Other(ApiError::bad(error.to_string()))
    }
}

impl IntoResponse for Refused {
    /// Prometheus' envelope. For a filter it says beside the message where the filter is wrong.
    fn into_response(self) -> Response {
        let (parameter, error) = match self {
            Self::Filter { parameter, error } => (parameter, error),
            Self::Other(error) => return failure(&error),
        };
        let at = At { parameter, from: error.from, to: error.to };
        failure_at(&ApiError::bad(format!("{parameter}: {error}")), Some(at))
    }
}

/// The filter in a parameter; one that is not there lets everything pass.
pub(super) fn filter(params: &Params, parameter: &'static str) -> Result<Filter, Refused> {
    let text = params.first(parameter).unwrap_or("");
    text.parse().map_err(|error| Refused::Filter { parameter, error })
}

/// The parameters of every question about what is stored.
const ABOUT: [&str; 3] = ["q", "endTs", "lookback"];

/// Zipkin's parameters of a search but for `limit`, where a number that cannot be is told with its name and what it
/// is.
pub(super) fn trace_query(
    params: &Params,
    limit: i64,
    lookback: Duration,
) -> Result<TraceQuery, Refused> {
    for name in ["endTs", "lookback", "minDuration", "maxDuration"] {
        positive(params, name)?;
    }
    if let (Some(min), Some(max)) = (params.whole("minDuration")?, params.whole("maxDuration")?)
        && max < min
    {
        let message = format!("maxDuration is {max}: it must be no less than minDuration, {min}");
        return Err(Refused::bad(message));
    }
    Ok(zipkin::trace_query(&params.without("limit"), limit, lookback)?)
}

/// A whole number from 1 on, if it is there.
fn positive(params: &Params, name: &str) -> Result<Option<i64>, Refused> {
    match params.whole(name)? {
        Some(number) if number < 1 => {
            Err(Refused::bad(format!("{name} is {number}: it must be 1 or more")))
        }
        number => Ok(number),
    }
}

/// A field by the name that a filter has for it.
pub(super) fn field(parameter: &str, name: &str) -> Result<Field, Refused> {
    name.parse().map_err(|error| Refused::bad(format!("{parameter}: {error}")))
}

/// What a question is about: `q`, `endTs` and `lookback`; beside them there may be `others`.
pub(super) fn selection(
    params: &Params,
    others: &[&str],
    lookback: Duration,
) -> Result<Selection, Refused> {
    params.each_once(&[&ABOUT, others].concat())?;
    let window = params.only(&["endTs", "lookback"]);
    let (start_us, end_us) = trace_query(&window, 1, lookback)?.window_us();
    Ok(Selection { filter: filter(params, "q")?, start_us, end_us })
}

/// Another window of time, by the names of its parameters; what is not said is as in the first one.
pub(super) fn window_within(
    params: &Params,
    (end, lookback): (&'static str, &'static str),
    first: &Selection,
) -> Result<(u64, u64), Refused> {
    let end_ts_ms = positive(params, end)?;
    let lookback_ms = positive(params, lookback)?;
    if end_ts_ms.is_none() && lookback_ms.is_none() {
        return Ok((first.start_us, first.end_us));
    }
    let ms = |us: u64| i64::try_from(us / 1_000).unwrap_or(i64::MAX);
    let query = TraceQuery::new(&QueryParams {
        end_ts_ms: end_ts_ms.unwrap_or_else(|| ms(first.end_us)),
        lookback_ms: lookback_ms.unwrap_or_else(|| ms(first.end_us - first.start_us).max(1)),
        limit: 1,
        ..QueryParams::default()
    });
    Ok(query.map_err(|error| Refused::bad(format!("{end}, {lookback}: {error}")))?.window_us())
}

/// A number from 1 on, with a default and no more than this.
pub(super) fn number(
    params: &Params,
    name: &'static str,
    default: u64,
    max: u64,
) -> Result<u64, Refused> {
    let Some(number) = positive(params, name)? else { return Ok(default) };
    match u64::try_from(number).ok().filter(|number| *number <= max) {
        Some(number) => Ok(number),
        None => Err(Refused::bad(format!("{name} is {number}: it must be {max} or less"))),
    }
}

/// How many things a list may have.
pub(super) fn limit(params: &Params, default: u64, max: u64) -> Result<usize, Refused> {
    Ok(usize::try_from(number(params, "limit", default, max)?).unwrap_or(usize::MAX))
}

/// `of`: what is counted.
pub(super) fn unit(params: &Params) -> Result<Unit, Refused> {
    match params.first("of").unwrap_or("") {
        "" | "traces" => Ok(Unit::Traces),
        "spans" => Ok(Unit::Spans),
        _ => Err(Refused::bad("of is traces or spans")),
    }
}

/// What an answer was made of.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Looked {
    traces: u64,
    spans: u64,
    /// Those of which only a few columns were read.
    #[serde(skip_serializing_if = "is_zero")]
    scanned: u64,
    /// Spans that had been counted before.
    #[serde(skip_serializing_if = "is_zero")]
    counted: u64,
    /// Traces that were left out, each too large to be held.
    #[serde(skip_serializing_if = "is_zero")]
    too_large: u64,
    /// There was no time for all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

impl Looked {
    /// What is to be known of an answer that is not of all there is.
    pub(super) fn warning(self) -> Option<String> {
        self.partial.then(|| {
            format!(
                "there was no time for all that is stored: this answer is of the newest {} spans (a shorter time, \
                 or a longer QUERY_TIMEOUT, helps)",
                self.spans
            )
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
pub(super) fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl From<Swept> for Looked {
    fn from(swept: Swept) -> Self {
        let Swept { traces, spans, scanned, counted, too_large, is_partial: partial } = swept;
        Self { traces, spans, scanned, counted, too_large, partial }
    }
}

/// Nanoseconds as microseconds, with what is left of them.
pub(super) fn us(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_a_part_says_of_which() {
        let swept = Swept::default();
        assert_eq!(Looked::from(swept).warning(), None);
        let mut swept = swept;
        (swept.is_partial, swept.spans) = (true, 7);
        let looked = Looked::from(swept);
        let told = serde_json::to_value(looked).unwrap();
        assert_eq!(told, serde_json::json!({"traces": 0, "spans": 7, "partial": true}));
        assert!(looked.warning().unwrap().contains("the newest 7 spans"));
    }
}

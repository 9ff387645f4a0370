//! Zipkin's query API.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, HeaderValue};
use sigyn_model::codec::json_v2;
use sigyn_model::{QueryParams, Span, TraceId, TraceQuery};
use sigyn_store::Stop;

use super::Params;
use super::answer::{Answer, AnswerError};
use super::ask::Asker;
use crate::environment::Environment;
use crate::reply::{ApiError, json};

/// Zipkin's default for `limit`.
const LIMIT: i64 = 10;
/// Lists of names are cached by clients once there are more than this, so that newcomers see theirs.
const CACHE_NAMES_ABOVE: usize = 3;

#[derive(Clone, Debug)]
struct Zipkin {
    asker: Asker,
    environment: Arc<Environment>,
    /// How many names the last answer to `/services` held.
    services_seen: Arc<AtomicUsize>,
}

/// The query API under `/api/v2` and `/zipkin/api/v2`.
pub(crate) fn router(asker: Asker, environment: Arc<Environment>) -> Router {
    let zipkin = Zipkin { asker, environment, services_seen: Arc::default() };
    let query = Router::new()
        .route("/services", get(services))
        .route("/spans", get(span_names))
        .route("/remoteServices", get(remote_services))
        .route("/traces", get(traces))
        .route("/trace/{traceId}", get(trace))
        .route("/traceMany", get(trace_many))
        .route("/dependencies", get(dependencies))
        .route("/autocompleteKeys", get(autocomplete_keys))
        .route("/autocompleteValues", get(autocomplete_values));
    Router::new().nest("/api/v2", query.clone()).nest("/zipkin/api/v2", query).with_state(zipkin)
}

/// Zipkin's search parameters as a query.
pub(crate) fn trace_query(
    params: &Params,
    limit: i64,
    lookback: Duration,
) -> Result<TraceQuery, ApiError> {
    let params = QueryParams {
        service_name: params.text("serviceName"),
        remote_service_name: params.text("remoteServiceName"),
        span_name: params.text("spanName"),
        annotation_query: params.text("annotationQuery"),
        min_duration_us: params.number("minDuration")?,
        max_duration_us: params.number("maxDuration")?,
        end_ts_ms: params.number("endTs")?.unwrap_or_else(now_ms),
        lookback_ms: params.number("lookback")?.unwrap_or_else(|| millis(lookback)),
        limit: params.primitive("limit")?.unwrap_or(limit),
    };
    TraceQuery::new(&params).map_err(|error| ApiError::bad(error.to_string()))
}

/// Of the last millisecond that is asked for, Zipkin's search takes the first microsecond.
fn ending_as_zipkins(query: TraceQuery) -> TraceQuery {
    let (start_us, end_us) = query.window_us();
    query.with_window_us((start_us, end_us / 1_000 * 1_000))
}

async fn services(State(zipkin): State<Zipkin>) -> Result<Response, ApiError> {
    let names = match zipkin.environment.search_enabled {
        true => zipkin.asker.ask(move |q| q.service_names()).await?,
        false => Vec::new(),
    };
    zipkin.services_seen.store(names.len(), Ordering::Relaxed);
    Ok(zipkin.names(&names))
}

async fn span_names(State(zipkin): State<Zipkin>, params: Params) -> Result<Response, ApiError> {
    let service = params.required("serviceName")?.to_lowercase();
    let names = match zipkin.environment.search_enabled {
        true => zipkin.asker.ask(move |q| q.span_names(&service)).await?,
        false => Vec::new(),
    };
    Ok(zipkin.names(&names))
}

async fn remote_services(
    State(zipkin): State<Zipkin>,
    params: Params,
) -> Result<Response, ApiError> {
    let service = params.required("serviceName")?.to_lowercase();
    let names = match zipkin.environment.search_enabled {
        true => zipkin.asker.ask(move |q| q.remote_service_names(&service)).await?,
        false => Vec::new(),
    };
    Ok(zipkin.names(&names))
}

async fn traces(State(zipkin): State<Zipkin>, params: Params) -> Result<Response, ApiError> {
    let mut query = trace_query(&params, LIMIT, zipkin.environment.query_lookback)?;
    if params.text("endTs").is_some() {
        query = ending_as_zipkins(query);
    }
    let body = match zipkin.environment.search_enabled {
        true => zipkin.asker.ask(move |q| traces_json(q.traces(&query)?, q.stop())),
        false => return Ok(json("[]".to_owned())),
    };
    Ok(json(body.await?))
}

async fn trace(State(zipkin): State<Zipkin>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = parse_trace_id(id.trim())?;
    let body = zipkin.asker.ask(move |q| {
        let spans = q.trace(id).map_err(AnswerError::of_one)?;
        if spans.is_empty() {
            return Ok(None);
        }
        let mut answer = Answer::new(q.stop());
        answer.spans(&spans).map_err(AnswerError::of_one)?;
        Ok::<_, AnswerError>(Some(answer.finish()))
    });
    body.await?.map(json).ok_or_else(|| ApiError::not_found(format!("{id} not found")))
}

async fn trace_many(State(zipkin): State<Zipkin>, params: Params) -> Result<Response, ApiError> {
    /// Zipkin splits into no more pieces than this.
    const IDS_MAX: usize = 1_000;
    let text = params.required("traceIds")?;
    if text.is_empty() {
        return Err(ApiError::bad("traceIds parameter is empty"));
    }
    let mut ids: Vec<TraceId> = Vec::new();
    for piece in text.splitn(IDS_MAX, ',') {
        let id = parse_trace_id(piece)?;
        if ids.contains(&id) {
            return Err(ApiError::bad(format!("redundant traceId: {piece}")));
        }
        ids.push(id);
    }
    if ids.len() == 1 {
        let text = "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace";
        return Err(ApiError::bad(text));
    }
    if !zipkin.environment.strict_trace_id {
        // Both forms of an id find the same trace.
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(id.low()));
    }
    let body = zipkin.asker.ask(move |q| {
        // Some are written before others are read.
        let mut answer = Answer::new(q.stop());
        let found = q.traces_by_id(&ids).filter(|trace| !trace.as_ref().is_ok_and(Vec::is_empty));
        answer.list(found, |answer, trace| answer.spans(&trace.map_err(AnswerError::of_one)?))?;
        Ok::<_, AnswerError>(answer.finish())
    });
    Ok(json(body.await?))
}

async fn dependencies(State(zipkin): State<Zipkin>, params: Params) -> Result<Response, ApiError> {
    if params.required("endTs")?.is_empty() {
        params.primitive("endTs")?;
    }
    let positive = |n: i64, text: &str| {
        u64::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| ApiError::bad(text))
    };
    let end_ms = positive(params.number("endTs")?.unwrap_or(0), "endTs <= 0")?;
    let lookback = zipkin.environment.query_lookback;
    let lookback_ms = params.number("lookback")?.unwrap_or_else(|| millis(lookback));
    let lookback_ms = positive(lookback_ms, "lookback <= 0")?;
    let asker = &zipkin.asker;
    let (links, too_large) = asker.ask_counting(move |q| q.links(end_ms, lookback_ms)).await?;
    Ok(asker.linked(json(json_v2::encode_links(&links)), too_large))
}

/// Those that are configured, whatever is stored.
async fn autocomplete_keys(State(zipkin): State<Zipkin>) -> Response {
    zipkin.cached(names_json(&zipkin.environment.autocomplete_keys))
}

async fn autocomplete_values(
    State(zipkin): State<Zipkin>,
    params: Params,
) -> Result<Response, ApiError> {
    let key = params.required("key")?.to_owned();
    if key.is_empty() {
        return Err(ApiError::bad("key was empty"));
    }
    let Environment { search_enabled, autocomplete_keys, .. } = &*zipkin.environment;
    let values = match *search_enabled && autocomplete_keys.contains(&key) {
        true => zipkin.asker.ask(move |q| q.tag_values(&key)).await?,
        false => Vec::new(),
    };
    let body = names_json(&values);
    Ok(if values.len() > CACHE_NAMES_ABOVE { zipkin.cached(body) } else { json(body) })
}

impl Zipkin {
    fn names(&self, names: &[String]) -> Response {
        let body = names_json(names);
        let many = self.services_seen.load(Ordering::Relaxed) > CACHE_NAMES_ABOVE;
        if many { self.cached(body) } else { json(body) }
    }

    fn cached(&self, body: String) -> Response {
        let seconds = self.environment.names_max_age.as_secs();
        let value = HeaderValue::try_from(format!("max-age={seconds}, must-revalidate"));
        let value = value.unwrap_or_else(|_| HeaderValue::from_static("no-cache"));
        ([(CACHE_CONTROL, value)], json(body)).into_response()
    }
}

fn parse_trace_id(text: &str) -> Result<TraceId, ApiError> {
    TraceId::parse(text).map_err(|error| ApiError::bad(error.to_string()))
}

/// Where it is written, a thread may block: large answers take a while.
fn traces_json(traces: Vec<Vec<Span>>, stop: &Stop) -> Result<String, AnswerError> {
    let mut answer = Answer::new(stop);
    // Each goes once it is written.
    answer.list(traces, |answer, trace| answer.spans(&trace))?;
    Ok(answer.finish())
}

pub(crate) fn names_json(names: &[String]) -> String {
    let mut out = String::from("[");
    for (i, name) in names.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        json_v2::write_json_str(&mut out, name);
    }
    out.push(']');
    out
}

/// The end of a window that ends now.
pub(crate) fn now_ms() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

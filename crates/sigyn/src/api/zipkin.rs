//! Zipkin's query API, and what stands beside it: configuration of its UI, health, info.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use sigyn_model::codec::json_v2;
use sigyn_model::{QueryParams, Span, TraceId, TraceQuery};
use sigyn_store::Store;

use super::Params;
use super::ask::ask;
use crate::reply::{ApiError, json};

/// Zipkin's default for `QUERY_LOOKBACK`.
const LOOKBACK: Duration = Duration::from_secs(24 * 60 * 60);
/// Zipkin's default for `limit`.
const LIMIT: i64 = 10;
/// Lists of names are cached by clients once there are more than this, so that newcomers see theirs.
const CACHE_NAMES_ABOVE: usize = 3;

#[derive(Clone, Debug)]
struct Zipkin {
    store: Store,
    /// How many names the last answer to `/services` held.
    services_seen: Arc<AtomicUsize>,
}

/// The query API under `/api/v2` and `/zipkin/api/v2`, with `/health`, `/info` and `/zipkin/config.json`.
pub(crate) fn router(store: Store) -> Router {
    let zipkin = Zipkin { store, services_seen: Arc::default() };
    let query = Router::new()
        .route("/services", get(services))
        .route("/spans", get(span_names))
        .route("/remoteServices", get(remote_services))
        .route("/traces", get(traces))
        .route("/trace/{id}", get(trace))
        .route("/traceMany", get(trace_many))
        .route("/dependencies", get(dependencies))
        .route("/autocompleteKeys", get(autocomplete_keys))
        .route("/autocompleteValues", get(autocomplete_values));
    Router::new()
        .nest("/api/v2", query.clone())
        .nest("/zipkin/api/v2", query)
        .route("/zipkin/config.json", get(ui_config))
        .route("/health", get(health))
        .route("/info", get(info).fallback(async || StatusCode::METHOD_NOT_ALLOWED))
        .with_state(zipkin)
}

/// Zipkin's search parameters as a query.
pub(crate) fn trace_query(params: &Params, limit: i64) -> Result<TraceQuery, ApiError> {
    let params = QueryParams {
        service_name: params.text("serviceName"),
        remote_service_name: params.text("remoteServiceName"),
        span_name: params.text("spanName"),
        annotation_query: params.text("annotationQuery"),
        min_duration_us: params.number("minDuration")?,
        max_duration_us: params.number("maxDuration")?,
        end_ts_ms: params.number("endTs")?.unwrap_or_else(now_ms),
        lookback_ms: params.number("lookback")?.unwrap_or_else(|| millis(LOOKBACK)),
        limit: params.primitive("limit")?.unwrap_or(limit),
    };
    TraceQuery::new(&params).map_err(|error| ApiError::bad(error.to_string()))
}

async fn services(State(zipkin): State<Zipkin>) -> Result<Response, ApiError> {
    let names = ask(&zipkin.store, move |q| q.service_names()).await?;
    zipkin.services_seen.store(names.len(), Ordering::Relaxed);
    Ok(zipkin.names(&names))
}

async fn span_names(State(zipkin): State<Zipkin>, params: Params) -> Result<Response, ApiError> {
    let service = params.required("serviceName")?.to_lowercase();
    let names = ask(&zipkin.store, move |q| q.span_names(&service)).await?;
    Ok(zipkin.names(&names))
}

async fn remote_services(
    State(zipkin): State<Zipkin>,
    params: Params,
) -> Result<Response, ApiError> {
    let service = params.required("serviceName")?.to_lowercase();
    let names = ask(&zipkin.store, move |q| q.remote_service_names(&service)).await?;
    Ok(zipkin.names(&names))
}

async fn traces(State(zipkin): State<Zipkin>, params: Params) -> Result<Response, ApiError> {
    let query = trace_query(&params, LIMIT)?;
    let traces = ask(&zipkin.store, move |q| q.traces(&query)).await?;
    Ok(json(traces_json(&traces)))
}

async fn trace(State(zipkin): State<Zipkin>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = parse_trace_id(id.trim())?;
    let spans = ask(&zipkin.store, move |q| q.trace(id)).await?;
    if spans.is_empty() {
        return Err(ApiError::not_found(format!("{id} not found")));
    }
    Ok(json(json_v2::encode_list(&spans)))
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
    let traces = ask(&zipkin.store, move |q| {
        let traces = ids.into_iter().map(|id| q.trace(id));
        traces
            .filter(|trace| !trace.as_ref().is_ok_and(Vec::is_empty))
            .collect::<Result<Vec<_>, _>>()
    });
    Ok(json(traces_json(&traces.await?)))
}

async fn dependencies(State(zipkin): State<Zipkin>, params: Params) -> Result<Response, ApiError> {
    if params.required("endTs")?.is_empty() {
        params.primitive("endTs")?;
    }
    let positive = |n: i64, text: &str| {
        u64::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| ApiError::bad(text))
    };
    let end_ms = positive(params.number("endTs")?.unwrap_or(0), "endTs <= 0")?;
    let lookback_ms = params.number("lookback")?.unwrap_or_else(|| millis(LOOKBACK));
    let lookback_ms = positive(lookback_ms, "lookback <= 0")?;
    let links = ask(&zipkin.store, move |q| q.dependencies(end_ms, lookback_ms)).await?;
    Ok(json(json_v2::encode_links(&links)))
}

async fn autocomplete_keys(State(zipkin): State<Zipkin>) -> Result<Response, ApiError> {
    let keys = ask(&zipkin.store, move |q| q.tag_keys()).await?;
    Ok(cached(names_json(&keys)))
}

async fn autocomplete_values(
    State(zipkin): State<Zipkin>,
    params: Params,
) -> Result<Response, ApiError> {
    let key = params.required("key")?.to_owned();
    if key.is_empty() {
        return Err(ApiError::bad("key was empty"));
    }
    let values = ask(&zipkin.store, move |q| q.tag_values(&key)).await?;
    let body = names_json(&values);
    Ok(if values.len() > CACHE_NAMES_ABOVE { cached(body) } else { json(body) })
}

/// Zipkin's settings for its web UI: keys, order and nulls as Zipkin writes them.
async fn ui_config() -> Response {
    let body = r#"{
  "environment" : "",
  "queryLimit" : 10,
  "defaultLookback" : 900000,
  "searchEnabled" : true,
  "logsUrl" : null,
  "supportUrl" : null,
  "archivePostUrl" : null,
  "archiveUrl" : null,
  "dependency" : {
    "enabled" : true,
    "lowErrorRate" : 0.5,
    "highErrorRate" : 0.75
  }
}"#;
    let mut response = utf8_json(body.to_owned());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=600"));
    response
}

/// Whether spans can be stored: 200 while they can, 503 from the moment they cannot.
async fn health(State(zipkin): State<Zipkin>) -> Response {
    let stats = zipkin.store.stats();
    let failed = stats.poisoned.or(stats.refusing);
    let status = if failed.is_some() { "DOWN" } else { "UP" };
    let details = failed.map_or(String::new(), |cause| {
        let cause = serde_json::Value::String(cause.to_string());
        format!(",\n        \"details\" : {{\n          \"error\" : {cause}\n        }}")
    });
    let body = format!(
        r#"{{
  "status" : "{status}",
  "zipkin" : {{
    "status" : "{status}",
    "details" : {{
      "SigynStore{{}}" : {{
        "status" : "{status}"{details}
      }}
    }}
  }}
}}"#
    );
    let mut response = utf8_json(body);
    if status == "DOWN" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

async fn info() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    utf8_json(format!(r#"{{"zipkin":{{"version":"{version}","commit":"sigyn"}}}}"#))
}

impl Zipkin {
    fn names(&self, names: &[String]) -> Response {
        let body = names_json(names);
        let many = self.services_seen.load(Ordering::Relaxed) > CACHE_NAMES_ABOVE;
        if many { cached(body) } else { json(body) }
    }
}

fn parse_trace_id(text: &str) -> Result<TraceId, ApiError> {
    TraceId::parse(text).map_err(|error| ApiError::bad(error.to_string()))
}

fn cached(body: String) -> Response {
    let value = HeaderValue::from_static("max-age=300, must-revalidate");
    ([(CACHE_CONTROL, value)], json(body)).into_response()
}

fn utf8_json(body: String) -> Response {
    let type_ = HeaderValue::from_static("application/json; charset=utf-8");
    ([(CONTENT_TYPE, type_)], body).into_response()
}

fn traces_json(traces: &[Vec<Span>]) -> String {
    let lists: Vec<String> = traces.iter().map(json_v2::encode_list).collect();
    format!("[{}]", lists.join(","))
}

fn names_json(names: &[String]) -> String {
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

pub(crate) fn now_ms() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

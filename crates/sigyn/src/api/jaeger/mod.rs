//! Jaeger's query API: the JSON that its web UI and Grafana read, and API v3 over HTTP and gRPC.

mod find;
mod v3;
mod wire;

use std::collections::HashSet;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};
use sigyn_model::codec::jaeger_json;
use sigyn_model::{Span, TraceId, TraceQuery};
use sigyn_store::Stop;

use super::Params;
use super::answer::{Answer, AnswerError};
use super::ask::Asker;
use super::zipkin::now_ms;
use crate::reply::{self, ApiError};

/// Jaeger's default for `lookback` of dependencies, in milliseconds.
const DEPENDENCIES_LOOKBACK_MS: i64 = 24 * 60 * 60 * 1_000;
/// No request asks for more single traces than this.
const IDS_MAX: usize = 1_000;
const NOT_FOUND: &str = "trace not found";

/// What is answered from: the store, and whether it may be searched.
#[derive(Clone, Debug)]
struct Jaeger {
    asker: Asker,
    search_enabled: bool,
}

/// Everything but gRPC.
pub(crate) fn router(asker: Asker, search_enabled: bool) -> Router {
    let jaeger = Jaeger { asker, search_enabled };
    Router::new()
        .route("/api/services", get(services))
        .route("/api/services/{service}/operations", get(operations_of))
        .route("/api/operations", get(operations))
        .route("/api/traces", get(traces))
        .route("/api/traces/{traceId}", get(trace))
        .route("/api/dependencies", get(dependencies))
        .route("/api/metrics/{name}", get(no_metrics))
        .merge(v3::router())
        .with_state(jaeger)
}

/// `jaeger.api_v3.QueryService`.
pub(crate) fn grpc_router(asker: Asker, search_enabled: bool) -> Router {
    v3::grpc_router(&Jaeger { asker, search_enabled })
}

impl Jaeger {
    async fn service_names(&self) -> Result<Vec<String>, ApiError> {
        match self.search_enabled {
            true => self.asker.ask(move |q| q.service_names()).await,
            false => Ok(Vec::new()),
        }
    }

    async fn operation_names(&self, service: &str) -> Result<Vec<String>, ApiError> {
        let service = service.to_lowercase();
        match self.search_enabled {
            true => self.asker.ask(move |q| q.span_names(&service)).await,
            false => Ok(Vec::new()),
        }
    }

    /// The traces that match, as they are to be written; that is done where a thread may block.
    async fn find<T: Send + 'static>(
        &self,
        query: TraceQuery,
        write: fn(Vec<Vec<Span>>, &Stop) -> Result<T, AnswerError>,
    ) -> Result<T, ApiError> {
        match self.search_enabled {
            true => self.asker.ask(move |q| write(q.traces(&query)?, q.stop())).await,
            false => Ok(write(Vec::new(), &Stop::default())?),
        }
    }

    /// One trace, if it is there.
    async fn trace<T: Send + 'static>(
        &self,
        id: TraceId,
        write: fn(&[Span], &Stop) -> Result<T, AnswerError>,
    ) -> Result<Option<T>, ApiError> {
        let written = self.asker.ask(move |q| {
            let spans = q.trace(id).map_err(AnswerError::of_one)?;
            let written = (!spans.is_empty()).then(|| write(&spans, q.stop())).transpose();
            written.map_err(AnswerError::of_one)
        });
        written.await
    }

    /// These traces as one list, and which of them are not there: one question, whatever it lists.
    async fn listed(&self, ids: Vec<TraceId>) -> Result<(String, Vec<TraceId>), ApiError> {
        let written = self.asker.ask(move |q| {
            let mut answer = Answer::new(q.stop());
            let mut missing = Vec::new();
            let traces = ids.into_iter().map(|id| (id, q.trace(id)));
            let found = traces.filter(|(id, trace)| {
                let is_missing = trace.as_ref().is_ok_and(Vec::is_empty);
                if is_missing {
                    missing.push(*id);
                }
                !is_missing
            });
            answer.list(found, |answer, (_, trace)| {
                let trace = trace.map_err(AnswerError::of_one)?;
                answer.write(|out| jaeger_json::write_trace(out, &trace))
            })?;
            Ok::<_, AnswerError>((answer.finish(), missing))
        });
        written.await
    }
}

/// Jaeger's envelope.
fn envelope(data: &str, total: usize, errors: &Value) -> Response {
    let body =
        format!(r#"{{"data":{data},"total":{total},"limit":0,"offset":0,"errors":{errors}}}"#);
    reply::json(body)
}

/// The same around one error.
fn refused(error: &ApiError) -> Response {
    let errors = json!([{"code": error.status.as_u16(), "msg": error.message}]);
    let mut response = envelope("null", 0, &errors);
    *response.status_mut() = error.status;
    response
}

/// An error as the routes around this path have it, which a prefix may stand before; `None` if none of these are there.
pub(crate) fn refused_at(path: &str, error: &ApiError) -> Option<Response> {
    path.match_indices("/api/").find_map(|(at, api)| {
        match path[at + api.len()..].split('/').next()? {
            "services" | "operations" | "traces" | "dependencies" | "metrics" => {
                Some(refused(error))
            }
            "v3" => Some(v3::refused(error)),
            _ => None,
        }
    })
}

fn listed(names: Result<Vec<String>, ApiError>, item: impl Fn(String) -> Value) -> Response {
    match names {
        Ok(names) => {
            let total = names.len();
            let items: Vec<Value> = names.into_iter().map(item).collect();
            envelope(&json!(items).to_string(), total, &Value::Null)
        }
        Err(error) => refused(&error),
    }
}

async fn services(State(jaeger): State<Jaeger>) -> Response {
    listed(jaeger.service_names().await, Value::String)
}

async fn operations_of(State(jaeger): State<Jaeger>, Path(service): Path<String>) -> Response {
    listed(jaeger.operation_names(&service).await, Value::String)
}

/// Names are not kept by kind: whatever kind is asked for, all are listed, without one.
async fn operations(State(jaeger): State<Jaeger>, params: Params) -> Response {
    let Some(service) = params.text("service").filter(|service| !service.is_empty()) else {
        return refused(&ApiError::bad("parameter 'service' is required"));
    };
    let names = jaeger.operation_names(&service).await;
    listed(names, |name| json!({"name": name, "spanKind": ""}))
}

/// Traces by what they hold, or by their ids.
async fn traces(State(jaeger): State<Jaeger>, params: Params) -> Response {
    let ids: Vec<&str> = params.all("traceID").collect();
    if ids.is_empty() {
        let found = async { jaeger.find(find::search(&params)?, traces_json).await };
        return match found.await {
            Ok(traces) => envelope(&traces, 0, &Value::Null),
            Err(error) => refused(&error),
        };
    }
    if ids.len() > IDS_MAX {
        return refused(&ApiError::bad(format!(
            "more than {IDS_MAX} traces are asked for at once"
        )));
    }
    // Each once, as it was asked for.
    let mut seen = HashSet::new();
    let asked: Result<Vec<(TraceId, &str)>, ApiError> =
        ids.into_iter().map(|text| Ok((find::trace_id(text)?, text))).collect();
    let asked = asked.map(|asked| {
        asked
            .into_iter()
            .filter(|(id, _)| seen.insert(jaeger.asker.trace_key(*id)))
            .collect::<Vec<(TraceId, &str)>>()
    });
    let listed = async {
        let asked = asked?;
        let (traces, missing) = jaeger.listed(asked.iter().map(|(id, _)| *id).collect()).await?;
        let missing: HashSet<TraceId> = missing.into_iter().collect();
        let missing = asked.into_iter().filter(|(id, _)| missing.contains(id));
        let errors: Vec<Value> = missing
            .map(|(_, text)| json!({"code": 404, "msg": NOT_FOUND, "traceID": text}))
            .collect();
        Ok((traces, errors))
    };
    match listed.await {
        Ok((traces, errors)) if errors.is_empty() => envelope(&traces, 0, &Value::Null),
        Ok((traces, errors)) => envelope(&traces, 0, &Value::Array(errors)),
        Err(error) => refused(&error),
    }
}

async fn trace(State(jaeger): State<Jaeger>, Path(id): Path<String>) -> Response {
    let trace = async { jaeger.trace(find::trace_id(&id)?, trace_json).await };
    match trace.await {
        Ok(Some(trace)) => envelope(&format!("[{trace}]"), 0, &Value::Null),
        Ok(None) => refused(&ApiError::not_found(NOT_FOUND)),
        Err(error) => refused(&error),
    }
}

async fn dependencies(State(jaeger): State<Jaeger>, params: Params) -> Response {
    let links = async {
        let end_ms = find::positive(&params, "endTs", now_ms())?;
        let lookback_ms = find::positive(&params, "lookback", DEPENDENCIES_LOOKBACK_MS)?;
        jaeger.asker.ask_counting(move |q| q.links(end_ms, lookback_ms)).await
    };
    let service = params.text("service").filter(|name| !name.is_empty());
    match links.await {
        Ok((links, too_large)) => {
            let asked_for = |name: &str| service.as_deref().is_none_or(|service| service == name);
            let links = links.iter().filter(|l| asked_for(&l.parent) || asked_for(&l.child));
            let links: Vec<Value> = links
                .map(|l| json!({"parent": l.parent, "child": l.child, "callCount": l.call_count}))
                .collect();
            let answer = envelope(&json!(links).to_string(), 0, &Value::Null);
            jaeger.asker.linked(answer, too_large)
        }
        Err(error) => refused(&error),
    }
}

/// What Jaeger answers where no store of metrics stands behind it.
async fn no_metrics() -> Response {
    let message = "metrics querying is currently disabled";
    refused(&ApiError::new(StatusCode::NOT_IMPLEMENTED, message)).into_response()
}

fn trace_json(trace: &[Span], stop: &Stop) -> Result<String, AnswerError> {
    let mut answer = Answer::new(stop);
    answer.write(|out| jaeger_json::write_trace(out, trace))?;
    Ok(answer.finish())
}

fn traces_json(traces: Vec<Vec<Span>>, stop: &Stop) -> Result<String, AnswerError> {
    let mut answer = Answer::new(stop);
    // Each goes once it is written.
    answer
        .list(traces, |answer, trace| answer.write(|out| jaeger_json::write_trace(out, &trace)))?;
    Ok(answer.finish())
}

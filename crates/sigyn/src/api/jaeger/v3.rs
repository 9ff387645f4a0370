//! Jaeger's API v3: OTLP in the answers, over gRPC and over HTTP as JSON.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use serde_json::json;
use sigyn_model::Span;
use sigyn_model::codec::{otlp, otlp_json};
use sigyn_store::Stop;

use super::find::{self, Search};
use super::{Jaeger, NOT_FOUND, wire};
use crate::api::Params;
use crate::api::answer::{ANSWER_BYTES_MAX, AnswerError, check, while_wanted, within};
use crate::grpc::{self, Call, Code, Messages, Status};
use crate::reply::{self, ApiError};

/// A request holds a handful of names.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

pub(super) fn router() -> Router<Jaeger> {
    Router::new()
        .route("/api/v3/services", get(services))
        .route("/api/v3/operations", get(operations))
        .route("/api/v3/traces", get(traces))
        .route("/api/v3/traces/{traceId}", get(trace))
}

pub(super) fn grpc_router(jaeger: &Jaeger) -> Router {
    let method = |name: &str| format!("/jaeger.api_v3.QueryService/{name}");
    Router::new()
        .route(&method("GetServices"), answer(jaeger, get_services))
        .route(&method("GetOperations"), answer(jaeger, get_operations))
        .route(&method("GetTrace"), answer(jaeger, get_trace))
        .route(&method("FindTraces"), answer(jaeger, find_traces))
}

/// A method by what makes its answer's messages of the request's.
fn answer<Fut>(jaeger: &Jaeger, answer: fn(Jaeger, Bytes) -> Fut) -> MethodRouter
where
    Fut: Future<Output = Result<Vec<Vec<u8>>, Status>> + Send + 'static,
{
    let jaeger = jaeger.clone();
    grpc::server_stream(move |call: Call| {
        let jaeger = jaeger.clone();
        async move {
            let message = call.message(MESSAGE_BYTES_MAX).await?;
            answer(jaeger, message).await.map(Messages::from)
        }
    })
}

async fn get_services(jaeger: Jaeger, _: Bytes) -> Result<Vec<Vec<u8>>, Status> {
    Ok(vec![wire::services(&jaeger.service_names().await.map_err(status)?)])
}

async fn get_operations(jaeger: Jaeger, message: Bytes) -> Result<Vec<Vec<u8>>, Status> {
    let service = wire::text(&message, 1)?;
    if service.is_empty() {
        return Err(Status::new(Code::InvalidArgument, "service must be provided"));
    }
    Ok(vec![wire::operations(&jaeger.operation_names(&service).await.map_err(status)?)])
}

async fn get_trace(jaeger: Jaeger, message: Bytes) -> Result<Vec<Vec<u8>>, Status> {
    let id = find::trace_id(&wire::text(&message, 1)?).map_err(status)?;
    let trace = jaeger.trace(id, encoded).await.map_err(status)?;
    let trace = trace.ok_or_else(|| Status::new(Code::NotFound, NOT_FOUND))?;
    Ok(vec![trace])
}

/// One message a trace, so that none is larger than it must be.
async fn find_traces(jaeger: Jaeger, message: Bytes) -> Result<Vec<Vec<u8>>, Status> {
    let query = wire::search(&message)?.query().map_err(status)?;
    // Each goes once it is written.
    let write = |traces: Vec<Vec<Span>>, stop: &Stop| {
        let mut bytes = 0;
        let messages = traces.into_iter().map(|trace| {
            let message = encoded(&trace, stop)?;
            bytes += message.len();
            within(bytes, ANSWER_BYTES_MAX)?;
            Ok(message)
        });
        messages.collect()
    };
    jaeger.find(query, write).await.map_err(status)
}

/// `TracesData` of one trace.
fn encoded(spans: &[Span], stop: &Stop) -> Result<Vec<u8>, AnswerError> {
    let message = otlp::encode(while_wanted(spans, stop));
    check(stop)?;
    Ok(message)
}

/// The same as JSON, of any number of traces.
fn written<'a>(
    spans: impl IntoIterator<Item = &'a Span>,
    stop: &Stop,
) -> Result<String, AnswerError> {
    let text = otlp_json::encode(while_wanted(spans, stop));
    check(stop)?;
    within(text.len(), ANSWER_BYTES_MAX)?;
    Ok(text)
}

fn status(error: ApiError) -> Status {
    let code = match error.status.as_u16() {
        413 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        400..500 => Code::InvalidArgument,
        _ => Code::Internal,
    };
    Status::new(code, error.message)
}

async fn services(State(jaeger): State<Jaeger>) -> Response {
    match jaeger.service_names().await {
        Ok(names) => reply::json(json!({"services": names}).to_string()),
        Err(error) => refused(&error),
    }
}

async fn operations(State(jaeger): State<Jaeger>, params: Params) -> Response {
    let Some(service) = params.text("service").filter(|service| !service.is_empty()) else {
        return refused(&ApiError::bad("malformed parameter service: it is required"));
    };
    match jaeger.operation_names(&service).await {
        Ok(names) => {
            let names: Vec<_> =
                names.iter().map(|name| json!({"name": name, "spanKind": ""})).collect();
            reply::json(json!({"operations": names}).to_string())
        }
        Err(error) => refused(&error),
    }
}

async fn traces(State(jaeger): State<Jaeger>, params: Params) -> Response {
    let write = |traces: Vec<Vec<Span>>, stop: &Stop| {
        (!traces.is_empty()).then(|| written(traces.iter().flatten(), stop)).transpose()
    };
    let found = async { jaeger.find(search(&params)?.query()?, write).await };
    match found.await {
        Ok(Some(traces)) => result(&traces),
        Ok(None) => refused(&ApiError::not_found("No traces found")),
        Err(error) => refused(&error),
    }
}

async fn trace(State(jaeger): State<Jaeger>, Path(id): Path<String>) -> Response {
    let trace =
        async { jaeger.trace(find::trace_id(&id)?, |spans, stop| written(spans, stop)).await };
    match trace.await {
        Ok(Some(trace)) => result(&trace),
        Ok(None) => refused(&ApiError::not_found(NOT_FOUND)),
        Err(error) => refused(&error),
    }
}

/// `query.service_name` and its like; the parts of a name in either spelling.
fn search(params: &Params) -> Result<Search, ApiError> {
    let text = |snake: &str, camel: &str| {
        let found = params.first(&format!("query.{snake}"));
        let found = found.or_else(|| params.first(&format!("query.{camel}")));
        found.filter(|text| !text.is_empty())
    };
    let malformed = |name: &str| ApiError::bad(format!("malformed parameter query.{name}"));
    let time = |snake: &str, camel: &str| {
        let time = text(snake, camel).map(|text| {
            let time: jiff::Timestamp = text.parse().map_err(|_| malformed(snake))?;
            Ok::<_, ApiError>(time.as_microsecond())
        });
        time.transpose()
    };
    let duration = |snake: &str, camel: &str| {
        let duration = text(snake, camel).map(|text| find::duration(text).ok_or(malformed(snake)));
        duration.transpose()
    };
    let limit = text("search_depth", "searchDepth").or(text("num_traces", "numTraces"));
    let limit = limit.map(|text| text.parse().map_err(|_| malformed("search_depth")));
    let tags = text("attributes", "attributes").map(find::tags_of_json).transpose()?;
    Ok(Search {
        service: text("service_name", "serviceName").unwrap_or_default().to_owned(),
        operation: text("operation_name", "operationName").unwrap_or_default().to_owned(),
        tags: tags.unwrap_or_default(),
        start_us: time("start_time_min", "startTimeMin")?,
        end_us: time("start_time_max", "startTimeMax")?,
        min_duration: duration("duration_min", "durationMin")?,
        max_duration: duration("duration_max", "durationMax")?,
        limit: limit.transpose()?.unwrap_or(0),
    })
}

/// OTLP/JSON in the envelope of what is streamed.
fn result(traces: &str) -> Response {
    reply::json(format!("{{\"result\":{traces}}}"))
}

pub(super) fn refused(error: &ApiError) -> Response {
    let code = error.status.as_u16();
    let mut response =
        reply::json(json!({"error": {"httpCode": code, "message": error.message}}).to_string());
    *response.status_mut() = error.status;
    response
}

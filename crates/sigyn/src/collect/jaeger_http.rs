//! Jaeger's collector over HTTP: `POST /api/traces` with a thrift `Batch`.

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use sigyn_model::codec::Format;

use super::head::{encoding, media_type};
use super::refusal::Refusal;
use super::{Cause, Intake, Transport};
use crate::reply;

pub(crate) fn router(intake: Intake) -> Router {
    let save = post(move |request: Request| save(intake.clone(), request));
    Router::new().route("/api/traces", save)
}

async fn save(intake: Intake, request: Request) -> Response {
    let taking = async {
        let (parts, body) = request.into_parts();
        let format = format(&parts.headers)?;
        let encoding = encoding(&parts.headers)?;
        let body = intake.receive(body, &parts.headers, &parts.extensions).await?;
        let body = intake.unpack(encoding, body).await?;
        intake
            .keep(Transport::JaegerHttp, body, move |body, reading| reading.read(format, body))
            .await
    };
    match intake.message(Transport::JaegerHttp, taking).await {
        // Spans that are refused one by one are counted: the protocol has no words for them.
        Ok(_) => StatusCode::ACCEPTED.into_response(),
        Err(refusal) => {
            let status = match refusal.cause {
                // Jaeger's own answer to other types.
                Cause::Type => StatusCode::BAD_REQUEST,
                _ => refusal.http_status(),
            };
            let retry = refusal.retry_header();
            let mut response = reply::text(status, refusal.message);
            response.headers_mut().extend(retry);
            response
        }
    }
}

fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    match media_type(headers).as_str() {
        "application/x-thrift" | "application/vnd.apache.thrift.binary" => Ok(Format::JaegerThrift),
        "application/vnd.apache.thrift.compact" => Ok(Format::JaegerThriftCompact),
        "" => Err(Refusal::new(Cause::Type, "the content type is missing")),
        other => Err(Refusal::new(Cause::Type, format!("Unsupported content type: {other:.100}"))),
    }
}

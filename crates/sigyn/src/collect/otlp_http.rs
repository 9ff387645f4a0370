//! OTLP over HTTP: `POST /v1/traces`, answered in the type of the request.

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use sigyn_model::codec::Format;

use super::head::{encoding, media_type};
use super::intake::Kept;
use super::reading::Reading;
use super::refusal::Refusal;
use super::{Cause, Intake, Transport};
use crate::grpc::{Code, put_bytes, put_varint};
use crate::reply;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

pub(crate) fn router(intake: Intake) -> Router {
    let export = post(move |request: Request| export(intake.clone(), request));
    Router::new().route("/v1/traces", export)
}

async fn export(intake: Intake, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let format = format(&parts.headers);
    let taking = async {
        let Some(format) = format else {
            let message = format!("the content type must be {PROTOBUF} or {JSON}");
            return Err(Refusal::new(Cause::Type, message));
        };
        let encoding = encoding(&parts.headers)?;
        let body = intake.receive(body, &parts.headers, &parts.extensions).await?;
        let body = intake.unpack(encoding, body).await?;
        let read = move |body: &[u8], reading: &mut Reading| reading.read(format, body);
        intake.keep(Transport::OtlpHttp, body, read).await
    };
    match (intake.message(Transport::OtlpHttp, taking).await, format) {
        (Ok(kept), Some(Format::OtlpJson)) => {
            answer(StatusCode::OK, JSON, response_json(&kept).into())
        }
        (Ok(kept), _) => answer(StatusCode::OK, PROTOBUF, response_proto(&kept)),
        (Err(refusal), format) => failure(refusal, format),
    }
}

fn format(headers: &HeaderMap) -> Option<Format> {
    match media_type(headers).as_str() {
        PROTOBUF | "application/protobuf" => Some(Format::OtlpProto),
        JSON => Some(Format::OtlpJson),
        _ => None,
    }
}

fn answer(status: StatusCode, type_: &'static str, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static(type_))], body).into_response()
}

/// A `google.rpc.Status`, or a text for whoever speaks neither of the two types.
fn failure(refusal: Refusal, format: Option<Format>) -> Response {
    let http_status = match refusal.cause {
        // After a 408, senders of OTLP give up.
        Cause::Timeout => StatusCode::SERVICE_UNAVAILABLE,
        _ => refusal.http_status(),
    };
    let retry = refusal.retry_header();
    let mut response = match format {
        None => reply::text(http_status, refusal.message),
        Some(format) => {
            let status = refusal.into_status(Code::InvalidArgument);
            match format {
                Format::OtlpJson => answer(http_status, JSON, status.to_json().into()),
                _ => answer(http_status, PROTOBUF, status.to_proto()),
            }
        }
    };
    response.headers_mut().extend(retry);
    response
}

/// `ExportTraceServiceResponse`, with `partial_success` if spans were refused.
pub(super) fn response_proto(kept: &Kept) -> Vec<u8> {
    let mut response = Vec::new();
    if let Some(message) = summary(kept) {
        let mut partial_success = Vec::new();
        put_varint(&mut partial_success, 1, kept.rejected as u64);
        put_bytes(&mut partial_success, 2, message.as_bytes());
        put_bytes(&mut response, 1, &partial_success);
    }
    response
}

/// The same as protobuf's JSON, where numbers of 64 bits are texts.
fn response_json(kept: &Kept) -> String {
    match summary(kept) {
        None => "{}".to_owned(),
        Some(message) => serde_json::json!({"partialSuccess": {
            "rejectedSpans": kept.rejected.to_string(),
            "errorMessage": message,
        }})
        .to_string(),
    }
}

/// What is wrong with the first span, and how many others there are.
fn summary(kept: &Kept) -> Option<String> {
    let first = kept.problems.first()?;
    Some(match kept.rejected {
        1 => first.clone(),
        all => format!("{first} (and {} more)", all.saturating_sub(1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_spans_are_said_in_both_types() {
        let check = |problems: &[&str], json: &str, proto: &[u8]| {
            let problems: Vec<String> = problems.iter().map(|p| (*p).to_owned()).collect();
            let kept = Kept { rejected: problems.len(), problems };
            assert_eq!(response_json(&kept), json);
            assert_eq!(response_proto(&kept), proto);
        };
        check(&[], "{}", b"");
        check(
            &["no id"],
            r#"{"partialSuccess":{"errorMessage":"no id","rejectedSpans":"1"}}"#,
            b"\x0a\x09\x08\x01\x12\x05no id",
        );
        check(
            &["no id", "no trace id", "no id"],
            r#"{"partialSuccess":{"errorMessage":"no id (and 2 more)","rejectedSpans":"3"}}"#,
            b"\x0a\x16\x08\x03\x12\x12no id (and 2 more)",
        );
    }
}

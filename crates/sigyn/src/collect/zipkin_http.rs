//! Zipkin's collector over HTTP: `POST /api/v2/spans` and `/api/v1/spans`, with Zipkin's statuses and
//! texts.

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use sigyn_model::codec::{self, DecodeError, Format};

use super::body::Arrived;
use super::head::media_type;
use super::reading::Reading;
use super::refusal::Refusal;
use super::{Cause, Intake, Transport};
use crate::reply;
use crate::unpack::Encoding;

pub(crate) fn router(intake: Intake) -> Router {
    let collector = |json, other_type, other| {
        let intake = intake.clone();
        post(move |request: Request| {
            // Whatever names no type, or another one, is JSON.
            let is_other = media_type(request.headers()) == other_type;
            collect(intake.clone(), request, if is_other { other } else { json })
        })
    };
    let v2 = collector(Format::ZipkinJsonV2, "application/x-protobuf", Format::ZipkinProto3);
    let v1 = collector(Format::ZipkinJsonV1, "application/x-thrift", Format::ZipkinThrift);
    Router::new().route("/api/v2/spans", v2).route("/api/v1/spans", v1)
}

async fn collect(intake: Intake, request: Request, format: Format) -> Response {
    match intake.message(Transport::Http, take(&intake, request, format)).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(refusal) => {
            let (status, retry) = (refusal.http_status(), refusal.retry_header());
            let mut response = reply::text(status, refusal.message);
            response.headers_mut().extend(retry);
            response
        }
    }
}

/// Returns once every span of the message is durable.
async fn take(intake: &Intake, request: Request, format: Format) -> Result<(), Refusal> {
    let (parts, body) = request.into_parts();
    let encoding = encoding(&parts.headers);
    let mut body = intake.receive(body, &parts.headers, &parts.extensions).await?;
    if encoding != Encoding::Identity && !body.bytes.is_empty() {
        body = unpack(intake, encoding, body).await?;
    }
    if body.bytes.is_empty() || body.bytes[..] == *b"[]" {
        return Ok(());
    }
    intake.keep(Transport::Http, body, move |body, reading| read(format, body, reading)).await?;
    Ok(())
}

/// Zipkin looks for the word wherever it stands. A body that is packed in a way that nobody here knows
/// is taken as it is, and is no list of spans then.
fn encoding(headers: &HeaderMap) -> Encoding {
    let text = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    match Encoding::named(text) {
        Some(encoding) => encoding,
        None if text.contains("gzip") => Encoding::Gzip,
        None => Encoding::Identity,
    }
}

async fn unpack(intake: &Intake, encoding: Encoding, packed: Arrived) -> Result<Arrived, Refusal> {
    let cannot = || {
        let message = match encoding {
            Encoding::Gzip => "Cannot gunzip spans".to_owned(),
            _ => format!("Cannot unpack spans: the body is no {}", encoding.as_str()),
        };
        Refusal::new(Cause::Encoding, message)
    };
    match intake.unpack(encoding, packed).await {
        Ok(body) if body.bytes.is_empty() => Err(cannot()),
        Err(refusal) if refusal.cause == Cause::Encoding => Err(cannot()),
        unpacked => unpacked,
    }
}

/// Contract order: what it looks like, then what it says.
fn read(format: Format, body: &[u8], reading: &mut Reading) -> Result<(), DecodeError> {
    codec::check_list(format, body)?;
    reading.read(format, body)
}

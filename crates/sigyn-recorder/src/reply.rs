//! Answers that are no spans.

use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::format::Format;

/// What an answer with spans depends on.
pub(crate) const VARIES: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

pub(crate) fn out_of_memory() -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "no memory to compress spans in\n")
}

pub(crate) fn too_many() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

pub(crate) fn too_long() -> Response<Body> {
    text(StatusCode::PAYLOAD_TOO_LARGE, "a body of 64 KiB at most\n")
}

pub(crate) fn not_acceptable() -> Response<Body> {
    let formats = Format::OFFERED.map(Format::content_type).join("\n");
    let mut response = text(
        StatusCode::NOT_ACCEPTABLE,
        format!("spans are offered as\n{formats}\nplain, or compressed with gzip or zstd\n"),
    );
    response.headers_mut().insert(VARY, VARIES);
    response
}

pub(crate) fn text(status: StatusCode, message: impl Into<String>) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", message.into())
}

pub(crate) fn json(text: String) -> Response<Body> {
    typed(StatusCode::OK, "application/json", text)
}

/// What stands in it comes from callers: nothing in it may run.
pub(crate) fn page(text: String) -> Response<Body> {
    let mut response = typed(StatusCode::OK, "text/html; charset=utf-8", text);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(crate) fn typed(
    status: StatusCode,
    content_type: &'static str,
    message: String,
) -> Response<Body> {
    let body = Bytes::from(message);
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length);
    response
}

//! How answers look: JSON, texts and errors, with the headers that all of them carry.

use std::io::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};

use crate::api::{jaeger, percent_decode};
use crate::environment::Origins;

/// What is to be known of an answer whose form has no place for it.
pub(crate) const WARNING: HeaderName = HeaderName::from_static("sigyn-warning");

/// An answer that is an error: a status and a plain text, as Zipkin gives them, and Prometheus' word for it.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    sort: &'static str,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let sort = match status {
            StatusCode::BAD_REQUEST => "bad_data",
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::CONFLICT => "conflict",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => "unavailable",
            _ => "internal",
        };
        Self { status, message: message.into(), sort }
    }

    /// 400: the request makes no sense.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 507: there is no room for it on the disk. 500: it is for another reason.
    pub(crate) fn not_written(
        error: impl std::error::Error + Send + Sync + 'static,
        is_full: bool,
    ) -> Self {
        let failed = Self::failed(error);
        match is_full {
            true => Self::new(StatusCode::INSUFFICIENT_STORAGE, failed.message),
            false => failed,
        }
    }

    /// 500, as Zipkin says it: the answer would have come too late.
    pub(crate) fn timed_out(message: impl Into<String>) -> Self {
        Self { sort: "timeout", ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, message) }
    }

    /// 500: the request was right and could not be answered. The chain of causes is the message.
    pub(crate) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        let message = format!("{:#}", anyhow::Error::new(error));
        tracing::error!(error = %message, "cannot answer a request");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        text(self.status, self.message)
    }
}

/// A plain text.
pub(crate) fn text(status: StatusCode, message: impl Into<String>) -> Response {
    let type_ = (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    (status, [type_], message.into()).into_response()
}

/// A JSON body that is written already.
pub(crate) fn json(body: String) -> Response {
    let type_ = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([type_], body).into_response()
}

/// Prometheus' envelope around `data`.
pub(crate) fn success(data: &impl serde::Serialize) -> Response {
    success_but(data, &[])
}

/// The same, with what is to be known of the answer: it may not be all.
pub(crate) fn success_but(data: &impl serde::Serialize, warnings: &[String]) -> Response {
    #[derive(serde::Serialize)]
    struct Envelope<'a, T> {
        status: &'static str,
        data: &'a T,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        warnings: &'a [String],
    }
    match serde_json::to_string(&Envelope { status: "success", data, warnings }) {
        Ok(body) => json(body),
        Err(error) => ApiError::failed(error).into_response(),
    }
}

/// The same for what Prometheus answers, too: with Go's escapes, so that even bytes can be compared.
pub(crate) fn prometheus(data: &impl serde::Serialize) -> Response {
    match crate::go_json::to_string(data) {
        Ok(data) => json(format!("{{\"status\":\"success\",\"data\":{data}}}")),
        Err(error) => ApiError::failed(error).into_response(),
    }
}

/// Prometheus' envelope around an error.
pub(crate) fn failure(error: &ApiError) -> Response {
    failure_at(error, None)
}

/// Where in a parameter something is wrong, in characters.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct At {
    pub(crate) parameter: &'static str,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// The same, for a parameter that is wrong in one place.
pub(crate) fn failure_at(error: &ApiError, at: Option<At>) -> Response {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope<'a> {
        status: &'static str,
        error_type: &'static str,
        error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<At>,
    }
    let ApiError { status, message, sort } = error;
    let envelope = Envelope { status: "error", error_type: sort, error: message, at };
    let mut response = json(serde_json::to_string(&envelope).unwrap_or_default());
    *response.status_mut() = *status;
    response
}

/// The same for what may be asked again in a moment.
pub(crate) fn failure_for_now(error: impl std::error::Error + Send + Sync + 'static) -> Response {
    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    let mut response = failure(&error);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Whether a path is of the API that answers in Prometheus' envelope. Spans that Zipkin's first version
/// takes stand there, too.
fn is_enveloped(path: &str) -> bool {
    path.starts_with("/api/v1/") && path != "/api/v1/spans"
}

/// The same where a prefix may stand before it.
fn is_enveloped_below(path: &str) -> bool {
    path.find("/api/v1/").is_some_and(|at| is_enveloped(&path[at..]))
}

/// What is said to a method that a path does not have: Zipkin's statuses, but for our own API.
pub(crate) async fn other_method(method: Method, uri: Uri) -> Response {
    match method {
        _ if is_enveloped_below(uri.path()) => {
            let message = format!("{} is not answered to {method}", uri.path());
            failure(&ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message))
        }
        Method::TRACE => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        // Zipkin's UI stands here, with files alone.
        _ if uri.path().starts_with("/zipkin/") => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        _ => no_route(),
    }
}

/// What is said to an unknown path.
pub(crate) fn not_found(uri: &Uri) -> Response {
    match is_enveloped(uri.path()) {
        true => failure(&ApiError::not_found(format!("there is no {}", uri.path()))),
        false => no_route(),
    }
}

/// What Zipkin says there.
pub(crate) fn no_route() -> Response {
    text(StatusCode::NOT_FOUND, "404 Not Found")
}

/// Headers of every answer: what it says is what it is, and where a browser may ask from.
pub(crate) async fn headers(
    State(origins): State<Arc<Origins>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() == Method::TRACE {
        return other_method(Method::TRACE, request.uri().clone()).await;
    }
    let mut response = cors(&origins, request, next).await;
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    // A 404 that lists what is allowed would contradict itself.
    if response.status() == StatusCode::NOT_FOUND {
        response.headers_mut().remove(header::ALLOW);
    }
    response
}

/// Cross-origin headers, and the answer to a preflight. Whoever may not read an answer gets it
/// without them; it is the browser that keeps it from the page.
async fn cors(origins: &Origins, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let Some(origin) = headers.get(header::ORIGIN).cloned() else {
        return answer(request, next).await;
    };
    let preflight = request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if preflight { StatusCode::OK.into_response() } else { answer(request, next).await };
    let out = response.headers_mut();
    let fixed = HeaderValue::from_static;
    let allowed = match origins {
        Origins::Any if origin == "null" => origin,
        Origins::Any => fixed("*"),
        Origins::These(list) if list.iter().any(|allowed| origin == allowed) => {
            out.append(header::VARY, fixed("origin"));
            origin
        }
        Origins::Like(regex) if origin.to_str().is_ok_and(|origin| regex.is_match(origin)) => {
            out.append(header::VARY, fixed("origin"));
            origin
        }
        Origins::These(_) | Origins::Like(_) => return response,
    };
    out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fixed("content-type,x-grpc-web"));
    if preflight {
        out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, fixed("GET,POST"));
        out.insert(header::ACCESS_CONTROL_MAX_AGE, fixed("0"));
    } else {
        let exposed =
            fixed("grpc-status,grpc-message,armeria.grpc.throwableproto-bin,sigyn-warning");
        out.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

/// Whatever the path leads to, if it can be read at all.
async fn answer(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let query = uri.query().unwrap_or("");
    match percent_decode(uri.path()).and_then(|_| percent_decode(query)) {
        Ok(_) if request.method() == Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        Ok(_) => next.run(request).await,
        Err(error) if is_enveloped_below(uri.path()) => failure(&error),
        Err(error) => {
            jaeger::refused_at(uri.path(), &error).unwrap_or_else(|| error.into_response())
        }
    }
}

/// An entity tag that follows from the bytes.
pub(crate) fn etag(bytes: &[u8]) -> HeaderValue {
    use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(bytes);
    HeaderValue::try_from(format!("W/\"{:x}-{hash:016x}\"", bytes.len()))
        .unwrap_or_else(|_| HeaderValue::from_static("W/\"\""))
}

/// Whether the client has what this tag names.
pub(crate) fn is_fresh(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let etag = etag.to_str().map(opaque).unwrap_or_default();
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    known
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || opaque(tag) == etag)
}

/// Answers shorter than this are not worth compressing (Zipkin's figure).
const COMPRESS_FROM: usize = 2048;
/// What begins so is compressed: Zipkin's list, and the page of figures.
const COMPRESSED: [&str; 6] = [
    "application/json",
    "application/javascript",
    "text/css",
    "image/svg",
    "application/openmetrics-text",
    "text/plain; version=0.0.4",
];

/// Compresses text answers for clients that accept gzip.
pub(crate) async fn compress(request: Request, next: Next) -> Response {
    let wanted = accepts_gzip(request.headers());
    let response = next.run(request).await;
    if !compressible(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Bodies of these types are whole in memory already, so there is no limit to choose here.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if body.len() < COMPRESS_FROM {
        return Response::from_parts(parts, Body::from(body));
    }
    parts.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !wanted {
        return Response::from_parts(parts, Body::from(body));
    }
    match tokio::task::spawn_blocking(move || gzip(&body)).await {
        Ok(Ok(packed)) => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(packed))
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    accepted.flat_map(|text| text.split(',')).any(|item| {
        let coding = item.split(';').next().unwrap_or_default().trim();
        coding.eq_ignore_ascii_case("gzip") && !is_refused(item)
    })
}

/// Whether an item of what a client accepts says that it is not wanted: `q=0`.
pub(crate) fn is_refused(item: &str) -> bool {
    item.split(';').skip(1).any(|parameter| {
        let pair = parameter.split_once('=');
        pair.is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("q") && value.trim().parse() == Ok(0.0f32)
        })
    })
}

fn compressible(headers: &HeaderMap) -> bool {
    let type_ = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    !headers.contains_key(header::CONTENT_ENCODING)
        && COMPRESSED.iter().any(|compressed| type_.starts_with(compressed))
}

fn gzip(body: &Bytes) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(
        Vec::with_capacity(body.len() / 4),
        flate2::Compression::fast(),
    );
    encoder.write_all(body)?;
    encoder.finish()
}

//! Zipkin's collector over HTTP: `POST /api/v2/spans`, JSON, with Zipkin's statuses and texts.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use sigyn_model::codec::json_v2;
use sigyn_model::{Span, SpanBatch};
use sigyn_store::{AppendError, Store};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::api::reply::{ApiError, text};

/// Zipkin's limit for a request body.
const BODY_BYTES_MAX: usize = 10 << 20;
/// What a body may inflate to.
const INFLATED_BYTES_MAX: usize = INFLATION * BODY_BYTES_MAX;
/// How long a client may take to send its body.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(11);
/// What all bodies that are in memory at once may take, inflated. Beyond it, a request waits.
const BUDGET_BYTES: usize = 256 << 20;
/// How long a request waits for its part of the budget before it is asked to come back.
const BUDGET_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
/// A gzipped body counts as this much more than its bytes: about what span JSON packs to.
const INFLATION: usize = 10;
/// The budget is handed out in pieces of this size, since a semaphore counts in 32 bits.
const PIECE_BYTES: usize = 1 << 10;

/// What was collected and what was not, for `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) messages: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) spans: AtomicU64,
    pub(crate) spans_dropped: AtomicU64,
    pub(crate) refused: [AtomicU64; Refusal::ALL.len()],
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    TooLarge,
    Encoding,
    Malformed,
    Timeout,
    Overloaded,
    Storage,
}

impl Refusal {
    pub(crate) const ALL: [Self; 6] = [
        Self::TooLarge,
        Self::Encoding,
        Self::Malformed,
        Self::Timeout,
        Self::Overloaded,
        Self::Storage,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Encoding => "encoding",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::Storage => "storage",
        }
    }
}

#[derive(Clone, Debug)]
struct Collector {
    store: Store,
    counters: Arc<Counters>,
    budget: Arc<Semaphore>,
}

pub(crate) fn router(store: Store, counters: Arc<Counters>) -> Router {
    let budget = Arc::new(Semaphore::new(BUDGET_BYTES / PIECE_BYTES));
    let collector = Collector { store, counters, budget };
    Router::new().route("/api/v2/spans", post(collect)).with_state(collector)
}

async fn collect(State(collector): State<Collector>, request: Request) -> Response {
    let counters = &collector.counters;
    counters.messages.fetch_add(1, Ordering::Relaxed);
    match collector.take(request).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err((refusal, error)) => {
            counters.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
            tracing::debug!(reason = refusal.as_str(), error = %error.message, "refused a message of spans");
            let retry = error.status == StatusCode::SERVICE_UNAVAILABLE;
            let mut response = text(error.status, error.message);
            if retry {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            response
        }
    }
}

impl Collector {
    /// Returns once every span of the message is durable.
    async fn take(&self, request: Request) -> Result<(), (Refusal, ApiError)> {
        let (parts, body) = request.into_parts();
        let told = http_body::Body::size_hint(&body).upper();
        let _share = self.share(told, is_gzip(&parts.headers)).await?;
        let body = read_body(body).await?;
        let spans = tokio::task::spawn_blocking({
            let counters = Arc::clone(&self.counters);
            move || decode(&parts.headers, body, &counters)
        });
        let spans =
            spans.await.map_err(|error| (Refusal::Malformed, ApiError::failed(error)))??;
        if spans.is_empty() {
            return Ok(());
        }
        let count = spans.len() as u64;
        self.counters.spans.fetch_add(count, Ordering::Relaxed);
        self.store.append(SpanBatch { spans, progress: None }).await.map_err(|error| {
            self.counters.spans_dropped.fetch_add(count, Ordering::Relaxed);
            let refusal = match error {
                AppendError::Overloaded => Refusal::Overloaded,
                _ => Refusal::Storage,
            };
            unavailable(refusal, format!("{:#}", anyhow::Error::new(error)))
        })
    }
}

impl Collector {
    /// A part of the budget, as large as the body may become.
    async fn share(
        &self,
        told: Option<u64>,
        is_gzip: bool,
    ) -> Result<SemaphorePermit<'_>, (Refusal, ApiError)> {
        let told = told.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(BODY_BYTES_MAX);
        if told > BODY_BYTES_MAX {
            return Err(too_large(BODY_BYTES_MAX));
        }
        let bytes = if is_gzip { told * INFLATION } else { told };
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX);
        match tokio::time::timeout(BUDGET_TIMEOUT, self.budget.acquire_many(pieces)).await {
            Ok(Ok(share)) => Ok(share),
            _ => Err(unavailable(Refusal::Overloaded, "too many spans at once".to_owned())),
        }
    }
}

fn unavailable(refusal: Refusal, message: String) -> (Refusal, ApiError) {
    (refusal, ApiError { status: StatusCode::SERVICE_UNAVAILABLE, message })
}

async fn read_body(body: Body) -> Result<Bytes, (Refusal, ApiError)> {
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX);
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_too_large(&error) => Err(too_large(BODY_BYTES_MAX)),
        Ok(Err(error)) => {
            let message = format!("cannot read the body: {error}");
            Err((Refusal::Malformed, ApiError::bad(message)))
        }
        Err(_) => {
            let message = "the body did not arrive within 11 s".to_owned();
            Err((Refusal::Timeout, ApiError { status: StatusCode::REQUEST_TIMEOUT, message }))
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

fn too_large(limit: usize) -> (Refusal, ApiError) {
    let message = format!("the body is larger than {} MiB", limit >> 20);
    (Refusal::TooLarge, ApiError { status: StatusCode::PAYLOAD_TOO_LARGE, message })
}

/// Contract order: gunzip, empty or `[]`, what it looks like, what it says.
fn decode(
    headers: &HeaderMap,
    body: Bytes,
    counters: &Counters,
) -> Result<Vec<Span>, (Refusal, ApiError)> {
    let body = gunzip(headers, body)?;
    if body.is_empty() || body[..] == *b"[]" {
        return Ok(Vec::new());
    }
    counters.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    let refused = |message: String| (Refusal::Malformed, ApiError::bad(message));
    if is_protobuf(headers) {
        let message = "this version takes JSON at /api/v2/spans: protobuf is not supported yet";
        return Err(refused(message.to_owned()));
    }
    json_v2::check_list(&body).map_err(|error| refused(error.message))?;
    json_v2::decode_list(&body).map_err(|error| refused(error.message))
}

fn is_protobuf(headers: &HeaderMap) -> bool {
    let type_ = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    type_.is_some_and(|type_| type_.starts_with("application/x-protobuf"))
}

fn is_gzip(headers: &HeaderMap) -> bool {
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    encoding.is_some_and(|encoding| encoding.contains("gzip"))
}

fn gunzip(headers: &HeaderMap, body: Bytes) -> Result<Bytes, (Refusal, ApiError)> {
    if body.is_empty() || !is_gzip(headers) {
        return Ok(body);
    }
    let cannot = || (Refusal::Encoding, ApiError::bad("Cannot gunzip spans"));
    let mut inflated = Vec::new();
    let mut reader =
        flate2::bufread::MultiGzDecoder::new(&body[..]).take(INFLATED_BYTES_MAX as u64 + 1);
    reader.read_to_end(&mut inflated).map_err(|_| cannot())?;
    if inflated.len() > INFLATED_BYTES_MAX {
        return Err(too_large(INFLATED_BYTES_MAX));
    }
    if inflated.is_empty() {
        return Err(cannot());
    }
    Ok(inflated.into())
}

//! Zipkin's collector over HTTP: `POST /api/v2/spans`, JSON, with Zipkin's statuses and texts.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use sigyn_model::codec::{Limits, json_v2};
use sigyn_model::{Span, SpanBatch};
use sigyn_store::{AppendError, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::reply::{ApiError, text};

/// Zipkin's limit for a request body.
const BODY_BYTES_MAX: usize = 10 << 20;
/// What a body may inflate to.
const INFLATED_BYTES_MAX: usize = 100 << 20;
/// How long a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(11);
/// What all bodies that are still arriving may take together.
const ARRIVING_BYTES_MAX: usize = 128 << 20;
/// What the spans of one message may take in memory; 25 bytes of JSON can be a span of 400.
const DECODED_BYTES_MAX: usize = 256 << 20;
const DECODED_BYTES_MIN: usize = 64 << 10;
const DECODED_FACTOR: usize = 16;
/// What all messages that are being decoded and stored may take together.
const WORKING_BYTES_MAX: usize = 1024 << 20;
/// A body that is inflated takes memory in steps of this size.
const INFLATE_STEP_BYTES: usize = 1 << 20;
/// How long a request waits for memory before it is asked to come back.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(2);
/// Memory is handed out in pieces of this size, since a semaphore counts in 32 bits.
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

/// Why a message was not taken, as a count and as an answer.
type Refused = (Refusal, ApiError);

#[derive(Clone, Debug)]
struct Collector {
    store: Store,
    counters: Arc<Counters>,
    arriving: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

pub(crate) fn router(store: Store, counters: Arc<Counters>) -> Router {
    let memory = |bytes: usize| Arc::new(Semaphore::new(bytes / PIECE_BYTES));
    let (arriving, working) = (memory(ARRIVING_BYTES_MAX), memory(WORKING_BYTES_MAX));
    let collector = Collector { store, counters, arriving, working };
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
    async fn take(&self, request: Request) -> Result<(), Refused> {
        let (parts, body) = request.into_parts();
        let (body, arrived) = self.read_body(body).await?;
        // Memory goes with the work: a client that hangs up does not end it.
        let (body, held) = if is_gzip(&parts.headers) && !body.is_empty() {
            let working = Arc::clone(&self.working);
            blocking(move || gunzip(&body, working)).await?
        } else {
            (body, arrived)
        };
        if body.is_empty() || body[..] == *b"[]" {
            return Ok(());
        }
        self.counters.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        let decoded_max = (body.len() * DECODED_FACTOR).clamp(DECODED_BYTES_MIN, DECODED_BYTES_MAX);
        let memory = reserve(&self.working, decoded_max).await?;
        let (spans, _memory) = blocking(move || {
            let spans = decode(&parts.headers, &body, decoded_max)?;
            drop((body, held));
            Ok((spans, memory))
        })
        .await?;
        if spans.is_empty() {
            return Ok(());
        }
        let count = spans.len() as u64;
        self.counters.spans.fetch_add(count, Ordering::Relaxed);
        self.store.append(SpanBatch { spans, progress: None }).await.map_err(|error| {
            self.counters.spans_dropped.fetch_add(count, Ordering::Relaxed);
            let refusal = match error {
                AppendError::Overloaded => Refusal::Overloaded,
                AppendError::TooLarge => Refusal::TooLarge,
                _ => Refusal::Storage,
            };
            let message = format!("{:#}", anyhow::Error::new(error));
            match refusal {
                Refusal::TooLarge => {
                    (refusal, ApiError { status: StatusCode::PAYLOAD_TOO_LARGE, message })
                }
                _ => unavailable(refusal, message),
            }
        })
    }

    /// The whole body, and the memory that it takes: as much as has arrived, so that an idle
    /// connection holds nothing.
    async fn read_body(&self, mut body: Body) -> Result<(Bytes, OwnedSemaphorePermit), Refused> {
        let told = http_body::Body::size_hint(&body).lower();
        if told > BODY_BYTES_MAX as u64 {
            return Err(too_large(BODY_BYTES_MAX));
        }
        let mut held = reserve(&self.arriving, 0).await?;
        let mut bytes = BytesMut::new();
        let reading = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| {
                    (Refusal::Malformed, ApiError::bad(format!("cannot read the body: {error}")))
                })?;
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len() + data.len() > BODY_BYTES_MAX {
                    return Err(too_large(BODY_BYTES_MAX));
                }
                held.merge(reserve(&self.arriving, data.len()).await?);
                bytes.extend_from_slice(&data);
            }
            Ok(())
        };
        match tokio::time::timeout(BODY_TIMEOUT, reading).await {
            Ok(read) => read?,
            Err(_) => {
                let message = "the body did not arrive within 11 s".to_owned();
                return Err((
                    Refusal::Timeout,
                    ApiError { status: StatusCode::REQUEST_TIMEOUT, message },
                ));
            }
        }
        Ok((bytes.freeze(), held))
    }
}

/// Waits for memory, within reason.
async fn reserve(memory: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Refused> {
    let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX);
    let reserved = Arc::clone(memory).acquire_many_owned(pieces);
    match tokio::time::timeout(MEMORY_TIMEOUT, reserved).await {
        Ok(Ok(reserved)) => Ok(reserved),
        _ => Err(unavailable(Refusal::Overloaded, "too many spans at once".to_owned())),
    }
}

fn unavailable(refusal: Refusal, message: String) -> Refused {
    (refusal, ApiError { status: StatusCode::SERVICE_UNAVAILABLE, message })
}

fn too_large(limit: usize) -> Refused {
    let message = format!("the body is larger than {} MiB", limit >> 20);
    (Refusal::TooLarge, ApiError { status: StatusCode::PAYLOAD_TOO_LARGE, message })
}

/// Runs what takes a while on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err((Refusal::Malformed, ApiError::failed(error))))
}

/// Contract order: what it looks like, then what it says.
fn decode(headers: &HeaderMap, body: &[u8], bytes_max: usize) -> Result<Vec<Span>, Refused> {
    let refused = |message: String| (Refusal::Malformed, ApiError::bad(message));
    if is_protobuf(headers) {
        let message = "this version takes JSON at /api/v2/spans: protobuf is not supported yet";
        return Err(refused(message.to_owned()));
    }
    json_v2::check_list(body).map_err(|error| refused(error.message))?;
    let limits = Limits { bytes_max, ..Limits::default() };
    json_v2::decode_list_within(body, limits).map_err(|error| match error.over_limit {
        true => {
            let message = error.message;
            (Refusal::TooLarge, ApiError { status: StatusCode::PAYLOAD_TOO_LARGE, message })
        }
        false => refused(error.message),
    })
}

fn is_protobuf(headers: &HeaderMap) -> bool {
    let type_ = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    type_.is_some_and(|type_| type_.starts_with("application/x-protobuf"))
}

fn is_gzip(headers: &HeaderMap) -> bool {
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    encoding.is_some_and(|encoding| encoding.contains("gzip"))
}

/// Inflates a body, and reserves memory as it grows: it cannot be told beforehand how much it takes.
fn gunzip(body: &[u8], memory: Arc<Semaphore>) -> Result<(Bytes, OwnedSemaphorePermit), Refused> {
    let cannot = || (Refusal::Encoding, ApiError::bad("Cannot gunzip spans"));
    let busy = || unavailable(Refusal::Overloaded, "too many spans at once".to_owned());
    let pieces = u32::try_from(INFLATE_STEP_BYTES / PIECE_BYTES).unwrap_or(u32::MAX);
    let mut held = Arc::clone(&memory).try_acquire_many_owned(pieces).map_err(|_| busy())?;
    let mut inflated = Vec::new();
    let mut decoder = flate2::bufread::MultiGzDecoder::new(body);
    loop {
        let mut step = Read::by_ref(&mut decoder).take(INFLATE_STEP_BYTES as u64);
        if step.read_to_end(&mut inflated).map_err(|_| cannot())? == 0 {
            break;
        }
        if inflated.len() > INFLATED_BYTES_MAX {
            return Err(too_large(INFLATED_BYTES_MAX));
        }
        held.merge(Arc::clone(&memory).try_acquire_many_owned(pieces).map_err(|_| busy())?);
    }
    if inflated.is_empty() {
        return Err(cannot());
    }
    Ok((inflated.into(), held))
}

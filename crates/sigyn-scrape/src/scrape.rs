//! One scrape: a request, its whole answer, and the spans in it, or the one reason why not.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header, response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use sigyn_model::Span;
use sigyn_model::codec::Decoded;
use sigyn_model::pull::Cursor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::Answer;
use crate::body::{self, BodyError, Encoding};
use crate::decode::{Format, Origin};
use crate::request::Ask;
use crate::scrape_error::ScrapeError;

/// As long as Prometheus keeps an idle connection: longer than any usual interval.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(300);
/// A body on the wire that is larger takes one of the few places for large bodies.
const SMALL_BODY: usize = 128 << 10;
/// Bodies beyond [`SMALL_BODY`] that are in memory at once, over all targets.
const LARGE_BODIES_MAX: usize = 16;
/// Packed bytes beyond which unpacking and decoding leave the async threads.
const DECODE_INLINE_MAX: usize = 16 << 10;
/// Bodies decoded at once outside of the async threads: more would only share the same cores.
const DECODERS_MAX: usize = 8;

/// What all scrapes share: connections, and the places for large bodies.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client<HttpConnector, Empty<Bytes>>,
    large_bodies: Arc<Semaphore>,
    decoders: Arc<Semaphore>,
}

/// What came of a scrape that did not fail.
#[derive(Debug)]
pub(crate) enum Outcome {
    Spans(Box<Scraped>),
    /// The target answers, but not with spans. A state, not an error.
    NotTraced {
        status: StatusCode,
        reason: String,
    },
}

#[derive(Debug)]
pub(crate) struct Scraped {
    pub(crate) status: StatusCode,
    /// `None` from a foreign target.
    pub(crate) answer: Option<Answer>,
    pub(crate) spans: Vec<Span>,
    /// One for each span that the decoder refused.
    pub(crate) problems: Vec<String>,
    /// Body bytes, unpacked.
    pub(crate) bytes: u64,
    pub(crate) clock: Option<ClockSample>,
    /// Held until the spans are committed: what bounds large bodies in memory.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// The target's clock against ours, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockSample {
    /// Target minus us.
    pub(crate) offset_ns: i64,
    /// From the request to the head of the response; the error is at most half of it.
    pub(crate) round_trip: Duration,
}

impl Fetcher {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION_MAX)
            // A loop never overlaps itself, but targets may share a host and differ by their path.
            .pool_max_idle_per_host(4)
            .build(connector);
        Self {
            client,
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES_MAX)),
            decoders: Arc::new(Semaphore::new(DECODERS_MAX)),
        }
    }

    /// One request and its answer. `timeout` covers everything from connecting to the last byte.
    pub(crate) async fn scrape(
        &self,
        ask: &Ask,
        cursor: Option<Cursor>,
        timeout: Duration,
        body_limit: u64,
        origin: &Origin,
    ) -> Result<Outcome, ScrapeError> {
        let receive = self.receive(ask, cursor, timeout, body_limit);
        let received = tokio::time::timeout(timeout, receive).await;
        match received.map_err(|_| ScrapeError::Timeout(timeout))?? {
            Received::NotTraced { status, reason } => Ok(Outcome::NotTraced { status, reason }),
            Received::Empty { status, answer, clock } => Ok(Outcome::Spans(Box::new(Scraped {
                status,
                answer,
                spans: Vec::new(),
                problems: Vec::new(),
                bytes: 0,
                clock,
                place: None,
            }))),
            Received::Body(packed) => self.decode(packed, body_limit, origin).await,
        }
    }

    async fn receive(
        &self,
        ask: &Ask,
        cursor: Option<Cursor>,
        timeout: Duration,
        body_limit: u64,
    ) -> Result<Received, ScrapeError> {
        let (response, asked, round_trip) = self.request(ask, cursor).await?;
        let (head, body) = response.into_parts();
        let status = head.status;
        if let Some(error) = refused(&head) {
            return Err(error);
        }
        if status == StatusCode::NOT_FOUND {
            let reason = "server returned HTTP status 404 Not Found".to_owned();
            return Ok(Received::NotTraced { status, reason });
        }
        let has_body = status == StatusCode::OK;
        let answer = Answer::read(&head.headers, has_body)?;
        let clock = answer
            .and_then(|answer| answer.clock_ns)
            .and_then(|theirs| ClockSample::new(asked, round_trip, theirs));
        if !has_body {
            return Ok(Received::Empty { status, answer, clock });
        }
        let format = Format::of(&head.headers);
        if answer.is_none() && format == Format::NotSpans {
            return Ok(Received::NotTraced { status, reason: not_spans(&head.headers) });
        }
        let encoding = Encoding::of(&head.headers)?;
        let (bytes, place) = self.read(body, &head.headers, timeout, body_limit).await?;
        // A foreign target may end its body by closing: nothing tells that from a loss.
        if answer.is_some() && !body::end_is_marked(head.version, &head.headers) {
            return Err(BodyError::ToClose { read: bytes.len() as u64 }.into());
        }
        Ok(Received::Body(Packed { status, answer, clock, format, encoding, bytes, place }))
    }

    /// The head of the answer, when it was asked for, and how long that took.
    async fn request(
        &self,
        ask: &Ask,
        cursor: Option<Cursor>,
    ) -> Result<(Response<Incoming>, SystemTime, Duration), ScrapeError> {
        let mut is_retry = false;
        loop {
            let (asked, timer) = (SystemTime::now(), Instant::now());
            let error = match self.client.request(ask.request(cursor)).await {
                Ok(response) => return Ok((response, asked, timer.elapsed())),
                Err(error) => ScrapeError::of_request(&error, ask.address()),
            };
            // A target may close an idle connection at the very moment we use it again. One with
            // cursors is asked once more; reading a foreign target may take its spans away, and what
            // went down with the connection would not come back.
            let retries = cursor.is_some() && matches!(error, ScrapeError::Lost { .. });
            if is_retry || !retries {
                return Err(error);
            }
            is_retry = true;
        }
    }

    async fn read(
        &self,
        mut body: Incoming,
        headers: &HeaderMap,
        timeout: Duration,
        limit: u64,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), ScrapeError> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<u64>().ok());
        if announced.is_some_and(|length| length >= limit) {
            return Err(BodyError::TooLarge { limit }.into());
        }
        let mut place = None;
        let mut read = BytesMut::new();
        while body::read_on(&mut body, &mut read, limit).await?.is_some() {
            if place.is_none() && read.len() > SMALL_BODY {
                // Half of the time, so that it is told apart from a target that is slow.
                let acquire = Arc::clone(&self.large_bodies).acquire_owned();
                let acquired = tokio::time::timeout(timeout / 2, acquire).await;
                // The semaphore is never closed.
                place = acquired.map_err(|_| ScrapeError::Crowded)?.ok();
            }
        }
        Ok((read.freeze(), place))
    }

    async fn decode(
        &self,
        packed: Packed,
        body_limit: u64,
        origin: &Origin,
    ) -> Result<Outcome, ScrapeError> {
        let Packed { status, answer, clock, format, encoding, bytes, place } = packed;
        let is_foreign = answer.is_none();
        let decoded = if bytes.len() <= DECODE_INLINE_MAX {
            unpack_and_decode(format, encoding, bytes, body_limit, is_foreign, origin)?
        } else {
            // The semaphore is never closed.
            let _turn = self.decoders.acquire().await.ok();
            let origin = origin.clone();
            let work =
                move || unpack_and_decode(format, encoding, bytes, body_limit, is_foreign, &origin);
            tokio::task::spawn_blocking(work).await.map_err(|_| ScrapeError::DecoderPanicked)??
        };
        match decoded {
            Some((Decoded { spans, problems }, bytes)) => Ok(Outcome::Spans(Box::new(Scraped {
                status,
                answer,
                spans,
                problems,
                bytes,
                clock,
                place,
            }))),
            None => {
                let reason = "answered with a body that is no list of spans".to_owned();
                Ok(Outcome::NotTraced { status, reason })
            }
        }
    }
}

enum Received {
    NotTraced { status: StatusCode, reason: String },
    Empty { status: StatusCode, answer: Option<Answer>, clock: Option<ClockSample> },
    Body(Packed),
}

/// A whole body, not yet unpacked.
struct Packed {
    status: StatusCode,
    answer: Option<Answer>,
    clock: Option<ClockSample>,
    format: Format,
    encoding: Encoding,
    bytes: Bytes,
    place: Option<OwnedSemaphorePermit>,
}

impl ClockSample {
    fn new(asked: SystemTime, round_trip: Duration, theirs_ns: i64) -> Option<Self> {
        let middle = asked.duration_since(UNIX_EPOCH).ok()? + round_trip / 2;
        let ours_ns = i64::try_from(middle.as_nanos()).ok()?;
        Some(Self { offset_ns: theirs_ns.checked_sub(ours_ns)?, round_trip })
    }
}

/// What a status alone decides. `None` for the statuses that are answers.
fn refused(head: &response::Parts) -> Option<ScrapeError> {
    let text = |name| {
        head.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    match head.status {
        StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => None,
        StatusCode::TOO_MANY_REQUESTS => {
            let seconds = text(header::RETRY_AFTER).and_then(|text| text.trim().parse().ok());
            Some(ScrapeError::Busy { retry_after: seconds.map(Duration::from_secs) })
        }
        status if status.is_redirection() => {
            let location = text(header::LOCATION).unwrap_or_default();
            Some(ScrapeError::Redirect { status, location })
        }
        status => Some(ScrapeError::Status(status)),
    }
}

fn not_spans(headers: &HeaderMap) -> String {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let shown = &content_type[..content_type.len().min(100)];
    format!("answered with {:?}, which is no format of spans", String::from_utf8_lossy(shown))
}

/// `None` for a foreign body that does not even look like spans.
fn unpack_and_decode(
    format: Format,
    encoding: Encoding,
    packed: Bytes,
    body_limit: u64,
    is_foreign: bool,
    origin: &Origin,
) -> Result<Option<(Decoded, u64)>, ScrapeError> {
    let bytes = body::unpack(encoding, packed, body_limit)?;
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let looks_like_spans = match format {
        // Many a service answers every path with some JSON object.
        Format::ZipkinJson => first == Some(&b'['),
        Format::Unread(_) => first.is_some(),
        Format::Otlp | Format::NotSpans => true,
    };
    if is_foreign && !looks_like_spans {
        return Ok(None);
    }
    let mut decoded = format.decode(&bytes)?;
    origin.mark(&mut decoded.spans);
    Ok(Some((decoded, bytes.len() as u64)))
}

//! What a scrape reads: `GET /traces`, free of any server, and as a `tower` service.
//!
//! `docs/formats/pull-protocol.md` says what each header means; this file only follows it.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use sigyn_model::pull::{self, Cursor, Log, Range, Sampled};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use crate::encode::{Body, Coding, Format};
use crate::negotiate;
use crate::record::Recorder;
use crate::ring::{Caller, Page};
use crate::stats::count;

/// A long poll without a scrape timeout waits no longer than this.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A scrape timeout beyond this is taken for this: an hour is no timeout any more.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Serves a recorder's spans at one path.
#[derive(Clone, Debug)]
pub struct Exposition {
    recorder: Recorder,
    path: String,
}

/// A request, read once. What cannot be read is as if it had not been sent.
#[derive(Debug, Default, PartialEq)]
struct Ask {
    scraper: Option<String>,
    interval: Option<Duration>,
    cursor: Option<Cursor>,
    cursor_unreadable: bool,
    bytes_max: Option<usize>,
    wait: Option<Duration>,
    timeout: Option<Duration>,
    budget: Option<f64>,
}

impl Exposition {
    /// Answers at `/traces`.
    pub fn new(recorder: Recorder) -> Self {
        Self { recorder, path: "/traces".to_owned() }
    }

    /// Answers at another path.
    pub fn at(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// Answers one request, whose body does not matter. Only `Prefer: wait` needs a runtime, tokio's.
    pub async fn respond(&self, request: &Parts) -> Response<Full<Bytes>> {
        if let Some(refusal) = self.refusal(request) {
            return refusal;
        }
        let arrived = Instant::now();
        let shared = &*self.recorder.shared;
        let (ring, counters) = (&shared.ring, &shared.counters);

        // Acknowledging comes first: a scraper that is sent away has sent its cursor all the same.
        let ask = Ask::read(request);
        let named = ask.scraper.as_deref();
        let now = shared.clock.monotonic();
        let caller = |name| Caller { name, interval: ask.interval, budget: ask.budget };
        let arrival = ring.arrive(named.map(caller), ask.cursor, now);
        count(&counters.cursors_refused, u64::from(arrival.beyond || ask.cursor_unreadable));
        count(&counters.leases_refused, u64::from(named.is_some() && !arrival.leased));
        let leased = named.filter(|_| arrival.leased);

        let chosen = negotiate::format(&request.headers).zip(negotiate::coding(&request.headers));
        let Some((format, coding)) = chosen else {
            count(&counters.not_acceptable, 1);
            return not_acceptable();
        };

        // Only part of the scrape's time is ours; the rest is for the way back.
        let share = ask.timeout.map(|timeout| timeout * 4 / 5);
        let waited = match ask.wait {
            None => None,
            Some(wait) => {
                let wait = wait.min(share.unwrap_or(WAIT_MAX));
                self.wait(arrived + wait, arrival.start).await
            }
        };
        let place = match waited {
            None => shared.scrapes.try_acquire().ok(),
            // All wake at the same moment, and whoever waited is not sent away for that. They queue
            // for as long as it takes to build bodies, which waits for nobody.
            Some(_in_queue) => shared.scrapes.acquire().await.ok(),
        };
        let Some(_place) = place else {
            count(&counters.busy, 1);
            return too_many();
        };
        let now = shared.clock.monotonic();
        let page = ring.read(arrival.start, ask.wait.is_some(), leased, now);
        shared.budget.set(page.share, page.share_until);
        shared.encodings.forget_below(page.oldest);
        let deadline = share.map(|share| arrived + share);
        let Ok(filled) = self.fill(&page, format, coding, ask.bytes_max, deadline).await else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "no memory to compress spans in\n");
        };

        let next = filled.as_ref().map_or(page.newest, |filled| filled.last) + 1;
        if let Some(name) = leased {
            ring.told(name, next);
        }
        count(if leased.is_some() { &counters.scrapes } else { &counters.peeks }, 1);
        self.answer(&page, next, filled, format, coding)
    }

    /// Waits until there are spans at or beyond `start`, or time is up: an answer follows either way.
    /// It takes none of the places of those at work, or a few patient strangers would lock out
    /// everybody else. `None` if there was no place to wait in.
    async fn wait(&self, until: Instant, start: u64) -> Option<SemaphorePermit<'_>> {
        let shared = &*self.recorder.shared;
        let Ok(place) = shared.waits.try_acquire() else {
            count(&shared.counters.waits_refused, 1);
            return None;
        };
        let _ = tokio::time::timeout_at(until, shared.ring.ready(start)).await;
        Some(place)
    }

    /// The answer to a request that is not for us.
    fn refusal(&self, request: &Parts) -> Option<Response<Full<Bytes>>> {
        let mut query = request.uri.query().unwrap_or("").split('&');
        if request.uri.path() != self.path {
            return Some(text(StatusCode::NOT_FOUND, "spans are elsewhere\n"));
        }
        if request.method != Method::GET {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return Some(response);
        }
        // Who asks for one trace must not get all of them for an answer.
        query
            .any(|pair| pair.starts_with("trace_id="))
            .then(|| text(StatusCode::NOT_FOUND, "no lookup by trace id here\n"))
    }

    /// As many whole segments as the request has room and time for; at least one if there is any.
    async fn fill(
        &self,
        page: &Page,
        format: Format,
        coding: Coding,
        bytes_max: Option<usize>,
        deadline: Option<Instant>,
    ) -> Result<Option<Filled>, OutOfMemory> {
        let Some(first) = page.segments.first() else { return Ok(None) };
        let mut body = Body::new(format, coding, bytes_max).ok_or(OutOfMemory)?;
        let mut last = None;
        for segment in &page.segments {
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if late && last.is_some() {
                break;
            }
            let shared = &*self.recorder.shared;
            let encoded = shared.encodings.get(segment, &shared.own, format, coding);
            if !body.push(encoded.ok_or(OutOfMemory)?) {
                break;
            }
            last = Some(segment.seq);
            // A segment may take milliseconds to encode; others want the thread too.
            yield_now().await;
        }
        Ok(last.map(|last| Filled { first: first.seq, last, body: body.finish() }))
    }

    fn answer(
        &self,
        page: &Page,
        next: u64,
        filled: Option<Filled>,
        format: Format,
        coding: Coding,
    ) -> Response<Full<Bytes>> {
        let shared = &*self.recorder.shared;
        let epoch = shared.ring.epoch;
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        headers.insert(VARY, VARIES);
        set(headers, pull::NEXT, &Cursor { epoch, seq: next });
        set(headers, pull::MORE, &u8::from(next <= page.newest));
        set(headers, pull::LOST, &format_args!("spans={}", page.lost));
        set(headers, pull::FINISHED, &page.counts.finished);
        set(headers, pull::DROPPED, &page.counts.dropped);
        set(headers, pull::FINAL, &u8::from(page.is_final));
        set(headers, pull::CLOCK, &shared.clock.wall_nanos());
        let max_bytes = shared.ring.hot_bytes_max as u64;
        set(
            headers,
            pull::LOG,
            &Log { bytes: page.unread_bytes as u64, max_bytes, lasts: page.lasts },
        );
        let traces = shared.counters.over_budget.load(Ordering::Relaxed);
        set(headers, pull::SAMPLED, &Sampled { traces, share: page.share });
        let Some(Filled { first, last, body }) = filled else {
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        };
        set(headers, pull::RANGE, &Range { epoch, first, last, newest: page.newest });
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        if let Some(name) = coding.name() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        *response.body_mut() = Full::new(body);
        response
    }
}

/// Segments as they go out.
#[derive(Debug)]
struct Filled {
    first: u64,
    last: u64,
    body: Bytes,
}

#[derive(Debug)]
struct OutOfMemory;

const VARIES: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

impl<B> tower::Service<http::Request<B>> for Exposition {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let exposition = self.clone();
        Box::pin(async move { Ok(exposition.respond(&parts).await) })
    }
}

impl Ask {
    fn read(request: &Parts) -> Self {
        let header = |name: &str| {
            request.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
        };
        let cursor = header(pull::CURSOR).map(str::parse);
        let query = request.uri.query().unwrap_or("");
        let bytes_max = query.split('&').find_map(|pair| pair.strip_prefix("max_bytes="));
        Self {
            scraper: header(pull::SCRAPER).filter(|name| !name.is_empty()).map(str::to_owned),
            interval: header(pull::INTERVAL).and_then(seconds),
            cursor_unreadable: matches!(cursor, Some(Err(_))),
            cursor: cursor.and_then(Result::ok),
            bytes_max: bytes_max.and_then(|text| text.parse().ok()),
            wait: wait(&request.headers),
            budget: header(pull::BUDGET).and_then(budget),
            timeout: header(pull::SCRAPE_TIMEOUT).and_then(seconds).map(|t| t.min(TIMEOUT_MAX)),
        }
    }
}

/// `wait=10` among the preferences of RFC 7240.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let preferences = values.flat_map(|value| value.split([',', ';']));
    let mut waits = preferences.filter_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("wait").then(|| seconds(value)).flatten()
    });
    waits.next()
}

/// Seconds, whole or with a fraction; `None` for what is no span of time.
fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// Spans in a second.
fn budget(text: &str) -> Option<f64> {
    text.parse().ok().filter(|budget: &f64| budget.is_finite() && *budget > 0.0)
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &dyn Display) {
    // Digits, hexadecimal and a few signs: always a value.
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn too_many() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn not_acceptable() -> Response<Full<Bytes>> {
    let formats = [Format::Otlp, Format::ZipkinJson].map(Format::content_type).join("\n");
    let mut response =
        text(StatusCode::NOT_ACCEPTABLE, format!("spans are offered as\n{formats}\n"));
    response.headers_mut().insert(VARY, VARIES);
    response
}

fn text(status: StatusCode, message: impl Into<String>) -> Response<Full<Bytes>> {
    let body = Bytes::from(message.into());
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, length);
    response
}

/// Lets the executor run something else, whichever it is.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|task| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

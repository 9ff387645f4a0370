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
use sigyn_model::TraceId;
use sigyn_model::pull::{self, Cursor, Log, Range, Sampled};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use crate::ask::Ask;
use crate::body::{Body, Receipt};
use crate::encode::{Coding, Pieces};
use crate::format::Format;
use crate::lookup::{self, Found};
use crate::negotiate;
use crate::record::Recorder;
use crate::ring::{Caller, Page};
use crate::stats::count;

/// A long poll without a scrape timeout waits no longer than this.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Serves a recorder's spans at one path.
#[derive(Clone, Debug)]
pub struct Exposition {
    recorder: Recorder,
    path: String,
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
    /// With a [`Peer`](crate::Peer) among its extensions, a 2017 Loki server gets each span once.
    pub async fn respond(&self, request: &Parts) -> Response<Body> {
        if let Some(refusal) = self.refusal(request) {
            return refusal;
        }
        match lookup::asked(request.uri.query().unwrap_or("")) {
            None => self.scrape(request).await,
            // Who asks for one trace must not get all of them for an answer.
            Some(None) => text(StatusCode::BAD_REQUEST, "trace_id is 1 to 32 hexadecimal digits\n"),
            Some(Some(id)) => self.look_up(id, &request.headers).await,
        }
    }

    async fn scrape(&self, request: &Parts) -> Response<Body> {
        let arrived = Instant::now();
        let shared = &*self.recorder.shared;
        let (ring, counters) = (&shared.ring, &shared.counters);

        // Acknowledging comes first: a scraper that is sent away has sent its cursor all the same.
        let ask = Ask::read(request);
        let named = ask.scraper.as_deref();
        let now = shared.clock.monotonic();
        let caller = |name| Caller { name, interval: ask.interval, budget: ask.budget };
        let arrival = match ask.peer {
            None => ring.arrive(named.map(caller), ask.cursor, now),
            Some(peer) => ring.arrive_from(peer),
        };
        count(&counters.cursors_refused, u64::from(arrival.beyond || ask.cursor_unreadable));
        count(&counters.leases_refused, u64::from(named.is_some() && !arrival.leased));
        let leased = named.filter(|_| arrival.leased);

        let format = match ask.legacy {
            true => Some(Format::ThriftWithoutHosts),
            false => negotiate::format(&request.headers),
        };
        let Some((format, coding)) = format.zip(negotiate::coding(&request.headers)) else {
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
        let page = self.page(arrival.start, ask.wait.is_some(), leased);
        let deadline = share.map(|share| arrived + share);
        let Ok(filled) = self.fill(&page, format, coding, ask.bytes_max, deadline).await else {
            return out_of_memory();
        };

        let segments = filled.as_ref().and_then(|filled| filled.segments);
        let next = segments.map_or(page.newest, |(_, last)| last) + 1;
        if let Some(name) = leased {
            ring.told(name, next);
        }
        count(if leased.is_some() { &counters.scrapes } else { &counters.peeks }, 1);
        let mut response = Response::new(Body::default());
        self.tell(response.headers_mut(), &page, next);
        let Some(Filled { body, .. }) = filled else {
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        };
        if let Some((first, last)) = segments {
            let range = Range { epoch: ring.epoch, first, last, newest: page.newest };
            set(response.headers_mut(), pull::RANGE, &range);
        }
        let peer = ask.peer.filter(|_| segments.is_some());
        let receipt = peer.map(|peer| Receipt { recorder: self.recorder.clone(), peer, next });
        put(&mut response, body, receipt, format, coding);
        response
    }

    /// What the log holds of one trace. That is a look: nobody's cursor moves.
    async fn look_up(&self, id: TraceId, headers: &HeaderMap) -> Response<Body> {
        let shared = &*self.recorder.shared;
        let chosen = negotiate::format(headers).zip(negotiate::coding(headers));
        let Some((format, coding)) = chosen else {
            count(&shared.counters.not_acceptable, 1);
            return not_acceptable();
        };
        let Ok(_place) = shared.scrapes.try_acquire() else {
            count(&shared.counters.busy, 1);
            return too_many();
        };
        let Some(body) = self.find(id, format, coding).await else { return out_of_memory() };
        count(&shared.counters.lookups, 1);
        let mut response = Response::new(Body::default());
        response.headers_mut().insert(VARY, VARIES);
        if body.is_empty() {
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        }
        put(&mut response, body, None, format, coding);
        response
    }

    /// All that finished before it is called. `None` if there is no memory to compress it in.
    async fn find(&self, id: TraceId, format: Format, coding: Coding) -> Option<Bytes> {
        let mut found = Found::new(id, format, coding)?;
        let mut page = self.page(1, false, None);
        let newest = page.newest;
        while let Some(last) = page.segments.last().map(|segment| segment.seq) {
            found.add(&page, &self.recorder.shared).await?;
            if last >= newest {
                break;
            }
            page = self.page(last + 1, true, None);
        }
        found.finish()
    }

    fn page(&self, start: u64, patient: bool, leased: Option<&str>) -> Page {
        let shared = &*self.recorder.shared;
        let page = shared.ring.read(start, patient, leased, shared.clock.monotonic());
        shared.budget.set(page.share, page.share_until);
        shared.encodings.forget_below(page.oldest);
        page
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
    fn refusal(&self, request: &Parts) -> Option<Response<Body>> {
        if request.uri.path() != self.path {
            return Some(text(StatusCode::NOT_FOUND, "spans are elsewhere\n"));
        }
        if request.method != Method::GET {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return Some(response);
        }
        None
    }

    /// As many whole segments as the request has room and time for; at least one if there is any.
    /// Without any there is no body, but for a 2017 Loki server, to whom any status but 200 is a failure.
    async fn fill(
        &self,
        page: &Page,
        format: Format,
        coding: Coding,
        bytes_max: Option<usize>,
        deadline: Option<Instant>,
    ) -> Result<Option<Filled>, OutOfMemory> {
        let first = page.segments.first().map(|segment| segment.seq);
        if first.is_none() && format != Format::ThriftWithoutHosts {
            return Ok(None);
        }
        let mut body = Pieces::new(format, coding, bytes_max).ok_or(OutOfMemory)?;
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
        let body = body.finish().ok_or(OutOfMemory)?;
        Ok(Some(Filled { segments: first.zip(last), body }))
    }

    /// What every answer to a scrape says.
    fn tell(&self, headers: &mut HeaderMap, page: &Page, next: u64) {
        let shared = &*self.recorder.shared;
        headers.insert(VARY, VARIES);
        set(headers, pull::NEXT, &Cursor { epoch: shared.ring.epoch, seq: next });
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
    }
}

/// Segments as they go out, the first and the last of them.
#[derive(Debug)]
struct Filled {
    segments: Option<(u64, u64)>,
    body: Bytes,
}

#[derive(Debug)]
struct OutOfMemory;

const VARIES: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

impl<B> tower::Service<http::Request<B>> for Exposition {
    type Response = Response<Body>;
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

fn set(headers: &mut HeaderMap, name: &'static str, value: &dyn Display) {
    // Digits, hexadecimal and a few signs: always a value.
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// A body and what it is. One whose end matters is sent in chunks: with a length nobody would ask for it.
fn put(
    response: &mut Response<Body>,
    body: Bytes,
    receipt: Option<Receipt>,
    format: Format,
    coding: Coding,
) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    if let Some(name) = coding.name() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    if receipt.is_none() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    *response.body_mut() = Body::new(body, receipt);
}

fn out_of_memory() -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "no memory to compress spans in\n")
}

fn too_many() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn not_acceptable() -> Response<Body> {
    let formats = Format::OFFERED.map(Format::content_type).join("\n");
    let mut response = text(
        StatusCode::NOT_ACCEPTABLE,
        format!("spans are offered as\n{formats}\nplain, or compressed with gzip or zstd\n"),
    );
    response.headers_mut().insert(VARY, VARIES);
    response
}

fn text(status: StatusCode, message: impl Into<String>) -> Response<Body> {
    let body = Bytes::from(message.into());
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, length);
    response
}

/// Lets the executor run something else, whichever it is.
pub(crate) async fn yield_now() {
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

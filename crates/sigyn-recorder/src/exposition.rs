//! What a recorder answers, free of any server, and as a `tower` service: who may ask, for what, and where.
//!
//! `docs/formats/pull-protocol.md` says what each header means; this file only follows it.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, VARY,
    WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use sigyn_model::TraceId;
use sigyn_model::codec::write_json_str;
use sigyn_model::pull;
use tokio::sync::SemaphorePermit;

use crate::body::{Body, Receipt};
use crate::cold::Cold;
use crate::encode::Coding;
use crate::format::Format;
use crate::lookup::{self, Found};
use crate::negotiate;
use crate::percent;
use crate::record::Recorder;
use crate::reply::{VARIES, json, not_acceptable, out_of_memory, page, text, too_long, too_many};
use crate::request::{BODY_BYTES_MAX, Token, Unreadable, read};
use crate::ring::Page;
use crate::sending::Reader;
use crate::stats::{Activity, count};
use crate::tracez::{self, Report};

mod scrape;

/// How long a body of some ids may take.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// Serves what a recorder has:
///
/// | path | |
/// |---|---|
/// | `/traces` | its spans, for scrapers |
/// | `/traces?trace_id=…` | those of one trace |
/// | `/traces/collect` | `POST`: asks for traces that nobody sampled |
/// | `/tracez` | what runs now, and how long what finished took: for people |
/// | `/.well-known/sigyn` | what this process offers |
///
/// A service routes those to it that it wants to offer; the first is enough to be scraped.
#[derive(Clone, Debug)]
pub struct Exposition {
    recorder: Recorder,
    path: String,
    token: Option<Token>,
}

impl Exposition {
    /// Answers at `/traces`.
    pub fn new(recorder: Recorder) -> Self {
        Self { recorder, path: "/traces".to_owned(), token: None }
    }

    /// Answers at another path than `/traces`, beneath that and beside it: at `/spans/traces`,
    /// `/spans/traces/collect` and `/spans/tracez`.
    pub fn at(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// Answers only those who send `Authorization: Bearer` and this; others get 401.
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(Token(token.into())), ..self }
    }

    /// Whether it answers at a path.
    pub fn is_at(&self, path: &str) -> bool {
        self.route(path).is_some()
    }

    /// Answers one request that has no body. Only `Prefer: wait` needs a runtime, tokio's.
    /// With a [`Peer`](crate::Peer) among its extensions, a 2017 Loki server gets each span once.
    pub async fn respond(&self, request: &Parts) -> Response<Body> {
        self.respond_to(request, "").await
    }

    /// Answers one request with its body, which only `/traces/collect` has.
    pub async fn respond_to(&self, request: &Parts, body: &str) -> Response<Body> {
        let Some(route) = self.route(request.uri.path()) else {
            return text(StatusCode::NOT_FOUND, "spans are elsewhere\n");
        };
        if let Some(refusal) = self.refusal(route, request) {
            return refusal;
        }
        match route {
            Route::Traces => self.traces(request).await,
            Route::Collect => self.collect(request.uri.query().unwrap_or(""), body).await,
            Route::Tracez => self.tracez(request).await,
            Route::WellKnown => self.well_known(),
        }
    }

    async fn traces(&self, request: &Parts) -> Response<Body> {
        match lookup::asked(request.uri.query().unwrap_or("")) {
            None => self.scrape(request).await,
            // Who asks for one trace must not get all of them for an answer.
            Some(None) => text(StatusCode::BAD_REQUEST, "trace_id is 1 to 32 hexadecimal digits\n"),
            Some(Some(id)) => self.look_up(id, &request.headers).await,
        }
    }

    /// What the log holds of one trace. That is a look: nobody's cursor moves.
    async fn look_up(&self, id: TraceId, headers: &HeaderMap) -> Response<Body> {
        let shared = &*self.recorder.shared;
        let chosen = negotiate::format(headers).zip(negotiate::coding(headers));
        let Some((format, coding)) = chosen else {
            count(&shared.counters.not_acceptable, 1);
            return not_acceptable();
        };
        let has_room = shared.sending.has_room(Reader::Look);
        let place = self.place_to_look().filter(|_| has_room);
        let Some(_place) = place else { return too_many() };
        let Some((body, more)) = self.find(id, format, coding).await else {
            return out_of_memory();
        };
        count(&shared.counters.lookups, 1);
        let mut response = Response::new(Body::default());
        response.headers_mut().insert(VARY, VARIES);
        if body.is_empty() {
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        }
        if more {
            set(response.headers_mut(), pull::MORE, &1);
        }
        put(&mut response, shared.sending.count(Reader::Look, body), None, format, coding);
        response
    }

    /// Whoever looks takes no place of those who scrape.
    fn place_to_look(&self) -> Option<SemaphorePermit<'_>> {
        let shared = &*self.recorder.shared;
        let place = shared.looks.try_acquire().ok();
        count(&shared.counters.busy, u64::from(place.is_none()));
        place
    }

    /// All that finished before it is called, and whether there is more than an answer holds. `None` if there is no memory to compress it in.
    async fn find(&self, id: TraceId, format: Format, coding: Coding) -> Option<(Bytes, bool)> {
        let bytes_max = self.recorder.shared.sending.answer_bytes_max(true);
        let mut found = Found::new(id, format, coding, bytes_max)?;
        let mut page = self.page(1, false, None);
        let newest = page.newest;
        while let Some(last) = page.segments.last().map(|segment| segment.seq) {
            found.add(&page, &self.recorder.shared).await?;
            if last >= newest {
                break;
            }
            page = self.page(last + 1, true, None);
        }
        found.add_cold(&self.recorder.shared).await?;
        found.finish()
    }

    /// Brings to the log what was put aside and has been asked for, and says how many spans that are.
    async fn promote(&self) -> u64 {
        let shared = &*self.recorder.shared;
        let Some(cold) = shared.cold.as_ref().filter(|cold| cold.is_asked()) else { return 0 };
        if shared.ring.is_final() {
            // There is no place for them any more; who looks at single traces still finds them.
            return 0;
        }
        let mut search = cold.search();
        let mut spans = 0;
        while let Some(chunk) = search() {
            spans += chunk.spans;
            shared.promote(chunk);
            yield_now().await;
        }
        spans
    }

    /// What is kept of traces that nobody sampled, for whoever asks for some.
    fn cold(&self) -> pull::Cold {
        let shared = &*self.recorder.shared;
        let Some(cold) = &shared.cold else { return pull::Cold::default() };
        let Activity { aside_oversize, aside_too_large, .. } = shared.counters.snapshot();
        pull::Cold {
            max_bytes: cold.bytes_max() as u64,
            refused: aside_oversize + aside_too_large,
            back: Some(cold.back()),
        }
    }

    fn page(&self, start: u64, patient: bool, leased: Option<&str>) -> Page {
        let shared = &*self.recorder.shared;
        let page = shared.ring.read(start, patient, leased, shared.clock.monotonic());
        shared.sampler.follow(page.wishes.clone(), page.share);
        shared.encodings.forget_below(page.oldest);
        page
    }

    fn route(&self, path: &str) -> Option<Route> {
        if path == WELL_KNOWN {
            return Some(Route::WellKnown);
        }
        if path.strip_prefix(self.folder()) == Some(TRACEZ) {
            return Some(Route::Tracez);
        }
        match path.strip_prefix(&*self.path)? {
            "" => Some(Route::Traces),
            COLLECT => Some(Route::Collect),
            _ => None,
        }
    }

    /// What the path of the spans lies in.
    fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The answer to a request that may not be made, or not so.
    fn refusal(&self, route: Route, request: &Parts) -> Option<Response<Body>> {
        if self.token.as_ref().is_some_and(|token| !token.is_sent(&request.headers)) {
            let mut response = text(StatusCode::UNAUTHORIZED, "a bearer token is needed\n");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Some(response);
        }
        let allowed = if route == Route::Collect { Method::POST } else { Method::GET };
        if request.method != allowed {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed}\n"));
            set(response.headers_mut(), ALLOW.as_str(), &allowed);
            return Some(response);
        }
        None
    }

    /// Brings traces to the log that nobody sampled: what is held of them now, and what finishes of them soon.
    async fn collect(&self, query: &str, body: &str) -> Response<Body> {
        if body.len() > BODY_BYTES_MAX {
            return too_long();
        }
        let in_query = query.split('&').find_map(|pair| pair.strip_prefix("ids="));
        let ids = match in_query {
            None => pull::parse_collect(body),
            Some(ids) => pull::parse_collect_query(&percent::lenient(ids)),
        };
        let ids = match ids {
            Ok(ids) => ids,
            Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        };
        let shared = &*self.recorder.shared;
        let Some(_place) = self.place_to_look() else { return too_many() };
        let is_kept = shared.collect(&ids);
        let spans = self.promote().await;
        json(format!("{{\"spans\":{spans},\"cold\":{is_kept}}}\n"))
    }

    async fn tracez(&self, request: &Parts) -> Response<Body> {
        let Some(asked) = tracez::Asked::read(request.uri.query().unwrap_or("")) else {
            return text(StatusCode::BAD_REQUEST, "trace_id is 1 to 32 hexadecimal digits\n");
        };
        let Some(view) = negotiate::view(&request.headers) else {
            count(&self.recorder.shared.counters.not_acceptable, 1);
            let mut response = text(StatusCode::NOT_ACCEPTABLE, negotiate::VIEWS);
            response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
            return response;
        };
        let Some(_place) = self.place_to_look() else { return too_many() };
        let mut next = Some(1);
        let report = Report::gather(&self.recorder, &self.path, asked, || {
            let page = self.page(next?, next != Some(1), None);
            let last = page.segments.last().map(|segment| segment.seq);
            next = last.filter(|last| *last < page.newest).map(|last| last + 1);
            last.map(|_| page)
        })
        .await;
        let mut response = match view {
            negotiate::View::Text => text(StatusCode::OK, tracez::text(&report)),
            negotiate::View::Html => page(tracez::html(&report)),
            negotiate::View::Json => json(tracez::json(&report)),
        };
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn well_known(&self) -> Response<Body> {
        let shared = &*self.recorder.shared;
        let mut out = format!("{{\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
        out.push_str(",\"service\":");
        let service = shared.own.endpoint.as_ref().map_or("", |own| &own.service_name);
        write_json_str(&mut out, service);
        out.push_str(&format!(
            ",\"epoch\":\"{:016x}\",\"pids\":[{}]",
            shared.ring.epoch,
            std::process::id()
        ));
        out.push_str(",\"paths\":{\"traces\":");
        write_json_str(&mut out, &self.path);
        out.push_str(",\"collect\":");
        write_json_str(&mut out, &format!("{}{COLLECT}", self.path));
        out.push_str(",\"tracez\":");
        write_json_str(&mut out, &format!("{}{TRACEZ}", self.folder()));
        out.push_str("},\"formats\":[");
        for (at, format) in Format::OFFERED.into_iter().enumerate() {
            out.push_str(if at > 0 { "," } else { "" });
            write_json_str(&mut out, format.content_type());
        }
        let cold = shared.cold.as_ref().map_or(0, Cold::bytes_max);
        out.push_str(&format!(
            "],\"encodings\":[\"zstd\",\"gzip\"],\"hotBytesMax\":{},\"coldBytesMax\":{cold},\"valueBytesMax\":{},\"spanBytesMax\":{}}}\n",
            shared.ring.hot_bytes_max, shared.caps.value_bytes_max, shared.caps.span_bytes_max,
        ));
        json(out)
    }
}

/// Where an exposition answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Traces,
    Collect,
    Tracez,
    WellKnown,
}

/// Beneath the path of the spans.
const COLLECT: &str = "/collect";
/// Beside it.
const TRACEZ: &str = "/tracez";
const WELL_KNOWN: &str = "/.well-known/sigyn";

impl<B> tower::Service<http::Request<B>> for Exposition
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let exposition = self.clone();
        Box::pin(async move {
            // A body is read of those alone who may send one.
            let takes_body = exposition.route(parts.uri.path()) == Some(Route::Collect)
                && exposition.refusal(Route::Collect, &parts).is_none();
            if !takes_body {
                return Ok(exposition.respond(&parts).await);
            }
            match tokio::time::timeout(BODY_WAIT, read(body)).await {
                Ok(Ok(body)) => Ok(exposition.respond_to(&parts, &body).await),
                Ok(Err(Unreadable::TooLong)) => Ok(too_long()),
                Ok(Err(Unreadable::Cut | Unreadable::NoText)) => {
                    Ok(text(StatusCode::BAD_REQUEST, "the body ends too soon, or is no text\n"))
                }
                Err(_) => Ok(text(StatusCode::REQUEST_TIMEOUT, "the body takes too long\n")),
            }
        })
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

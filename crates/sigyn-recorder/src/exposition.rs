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
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, VARY,
    WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use sigyn_model::TraceId;
use sigyn_model::codec::write_json_str;
use sigyn_model::pull::{self, Cursor, Log, Range, Sampled};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use crate::ask::Ask;
use crate::body::{Body, Receipt};
use crate::cold::Cold;
use crate::encode::{Coding, Encoded, Pieces};
use crate::format::Format;
use crate::lookup::{self, Found};
use crate::negotiate;
use crate::percent;
use crate::record::Recorder;
use crate::reply::{VARIES, json, not_acceptable, out_of_memory, page, text, too_long, too_many};
use crate::request::{BODY_BYTES_MAX, Token, Unreadable, read};
use crate::ring::{Arrival, Caller, Page};
use crate::stats::{Activity, count};
use crate::tracez::{self, Report};
use crate::whole::Own;

/// A long poll without a scrape timeout waits no longer than this.
const WAIT_MAX: Duration = Duration::from_secs(60);
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

    async fn scrape(&self, request: &Parts) -> Response<Body> {
        let arrived = Instant::now();
        let shared = &*self.recorder.shared;
        let (ring, counters) = (&shared.ring, &shared.counters);

        // Acknowledging comes first: a scraper that is sent away has sent its cursor all the same.
        let ask = Ask::read(request);
        if ask.scraper_unreadable {
            // Taken for a peek it would acknowledge nothing, and never know.
            return text(StatusCode::BAD_REQUEST, "a scraper's name has 1 to 128 characters\n");
        }
        let named = ask.scraper.as_deref();
        let now = shared.clock.monotonic();
        let caller = |name| Caller {
            name,
            sampling: ask.sampling.as_ref(),
            interval: ask.interval,
            budget: ask.budget,
        };
        let arrival = match ask.peer {
            None => ring.arrive(named.map(caller), ask.cursor, now),
            Some(peer) => ring.arrive_from(peer),
        };
        count(&counters.cursors_refused, u64::from(arrival.beyond || ask.cursor_unreadable));
        count(&counters.leases_refused, u64::from(named.is_some() && !arrival.leased));
        let leased = named.filter(|_| arrival.leased);
        if arrival.leased {
            shared.collect(&ask.collect);
        }

        let format = match ask.legacy {
            true => Some(Format::ThriftWithoutHosts),
            false => negotiate::format(&request.headers),
        };
        let Some((format, coding)) = format.zip(negotiate::coding(&request.headers)) else {
            count(&counters.not_acceptable, 1);
            return not_acceptable();
        };

        let Ok(turn) = self.turn(&ask, &arrival, leased).await else { return too_many() };
        #[cfg(feature = "spool")]
        let ended = turn.ended;
        let Turn { start, other, place, .. } = turn;
        // Only part of the scrape's time is ours; the rest is for the way back.
        let share = ask.timeout.map(|timeout| timeout * 4 / 5);
        let waited = match ask.wait {
            // What another process left, or has sealed, is there already.
            _ if other.is_some() => None,
            None => None,
            Some(wait) => {
                let wait = wait.min(share.unwrap_or(WAIT_MAX));
                self.wait(arrived + wait, start).await
            }
        };
        let place = match (place, waited) {
            (Some(place), _) => Some(place),
            // All wake at the same moment, and whoever waited is not sent away for that. They queue
            // for as long as it takes to build bodies, which waits for nobody.
            (None, Some(_in_queue)) => {
                let place = shared.scrapes.acquire().await.ok();
                place.filter(|_| shared.sending.has_room(leased.is_some()))
            }
            (None, None) => self.place(leased),
        };
        let Some(_place) = place else {
            count(&counters.busy, 1);
            return too_many();
        };
        let subject = match other {
            Some(other) => other,
            None => {
                self.promote().await;
                Subject {
                    page: self.page(start, ask.wait.is_some(), leased),
                    epoch: ring.epoch,
                    own: None,
                }
            }
        };
        let page = &subject.page;
        let deadline = share.map(|share| arrived + share);
        let Ok(filled) = self.fill(&subject, format, coding, ask.bytes_max, deadline).await else {
            return out_of_memory();
        };

        let segments = filled.as_ref().and_then(|filled| filled.segments);
        let next = segments.map_or(page.newest, |(_, last)| last) + 1;
        if let Some(name) = leased.filter(|_| subject.own.is_none()) {
            ring.told(name, next);
        }
        count(if leased.is_some() { &counters.scrapes } else { &counters.peeks }, 1);
        let mut response = Response::new(Body::default());
        self.tell(response.headers_mut(), &subject, next);
        if arrival.leased && !ask.collect.is_empty() {
            set(response.headers_mut(), pull::COLD, &self.cold());
        }
        #[cfg(feature = "spool")]
        self.tell_of_spool(response.headers_mut(), &subject, &ask, ended, next);
        let Some(Filled { body, .. }) = filled else {
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        };
        if let Some((first, last)) = segments {
            let range = Range { epoch: subject.epoch, first, last, newest: page.newest };
            set(response.headers_mut(), pull::RANGE, &range);
            let told = page.segments.iter().take_while(|segment| segment.seq <= last);
            let kept: Vec<_> = told.flat_map(|segment| segment.kept.iter().copied()).collect();
            if !kept.is_empty() {
                set(response.headers_mut(), pull::KEPT, &pull::trace_ids(&kept));
            }
        }
        let peer = ask.peer.filter(|_| segments.is_some());
        let receipt = peer.map(|peer| Receipt { recorder: self.recorder.clone(), peer, next });
        put(&mut response, shared.sending.count(body), receipt, format, coding);
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
        let Some(_place) = self.place_to_look() else { return too_many() };
        let Some(body) = self.find(id, format, coding).await else { return out_of_memory() };
        count(&shared.counters.lookups, 1);
        let mut response = Response::new(Body::default());
        response.headers_mut().insert(VARY, VARIES);
        if body.is_empty() {
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        }
        put(&mut response, shared.sending.count(body), None, format, coding);
        response
    }

    /// A place of those who scrape, if there is one, and room for one more answer.
    fn place(&self, leased: Option<&str>) -> Option<SemaphorePermit<'_>> {
        let shared = &*self.recorder.shared;
        let place = shared.scrapes.try_acquire().ok();
        place.filter(|_| shared.sending.has_room(leased.is_some()))
    }

    /// Whoever looks takes no place of those who scrape.
    fn place_to_look(&self) -> Option<SemaphorePermit<'_>> {
        let shared = &*self.recorder.shared;
        let place = shared.looks.try_acquire().ok().filter(|_| shared.sending.has_room(false));
        count(&shared.counters.busy, u64::from(place.is_none()));
        place
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
        found.add_cold(&self.recorder.shared).await?;
        found.finish()
    }

    /// Brings to the log what was put aside and has been asked for, and says how many spans that are.
    async fn promote(&self) -> u64 {
        let shared = &*self.recorder.shared;
        let Some(cold) = shared.cold.as_ref().filter(|cold| cold.is_asked()) else { return 0 };
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
        shared.sampler.follow(&page.wishes, page.share, page.share_until);
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

    /// As many whole segments as the request has room and time for; at least one if there is any.
    /// Without any there is no body, but for a 2017 Loki server, to whom any status but 200 is a failure.
    async fn fill(
        &self,
        subject: &Subject,
        format: Format,
        coding: Coding,
        bytes_max: Option<usize>,
        deadline: Option<Instant>,
    ) -> Result<Option<Filled>, OutOfMemory> {
        let page = &subject.page;
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
            let encoded = match &subject.own {
                None => shared.encodings.get(segment, &shared.own, format, coding),
                Some(own) => Encoded::new(format.encode(segment, own), coding),
            };
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
    fn tell(&self, headers: &mut HeaderMap, subject: &Subject, next: u64) {
        let shared = &*self.recorder.shared;
        let page = &subject.page;
        headers.insert(VARY, VARIES);
        set(headers, pull::NEXT, &Cursor { epoch: subject.epoch, seq: next });
        set(headers, pull::MORE, &u8::from(next <= page.newest));
        set(headers, pull::LOST, &format_args!("spans={}", page.lost));
        set(headers, pull::FINISHED, &page.counts.finished);
        set(headers, pull::DROPPED, &page.counts.dropped);
        set(headers, pull::FINAL, &u8::from(page.is_final));
        set(headers, pull::CLOCK, &shared.clock.wall_nanos());
        if subject.own.is_some() {
            return;
        }
        let max_bytes = shared.ring.hot_bytes_max as u64;
        set(
            headers,
            pull::LOG,
            &Log { bytes: page.unread_bytes as u64, max_bytes, lasts: page.lasts },
        );
        let traces = shared.counters.over_budget.load(Ordering::Relaxed);
        let (rate, operations) = shared.sampler.applied();
        let sampled =
            Sampled { traces, share: page.share, rate: Some(rate), operations: Some(operations) };
        set(headers, pull::SAMPLED, &sampled);
    }
}

#[cfg(not(feature = "spool"))]
impl Exposition {
    #[expect(clippy::unused_async, reason = "with spools it waits for siblings")]
    async fn turn(
        &self,
        _: &Ask,
        arrival: &Arrival,
        _: Option<&str>,
    ) -> Result<Turn<'_>, OutOfPlaces> {
        Ok(Turn { start: arrival.start, other: None, ended: None, place: None })
    }
}

#[cfg(feature = "spool")]
impl Exposition {
    /// What a cursor of another epoch gets that lies in the spool; else, whether that epoch ended where the cursor is.
    /// Files of others are read only with a place: however many ask, no more than those are read at once.
    async fn turn(
        &self,
        ask: &Ask,
        arrival: &Arrival,
        leased: Option<&str>,
    ) -> Result<Turn<'_>, OutOfPlaces> {
        use crate::spool::serve::{Told, Turned};
        let ring = &self.recorder.shared.ring;
        let own = Turn { start: arrival.start, other: None, ended: None, place: None };
        let (Some(spool), Some(cursor)) = (ring.spool(), ask.cursor) else { return Ok(own) };
        let leased = leased.filter(|_| !arrival.beyond);
        if cursor.epoch == ring.epoch {
            if let Some(name) = leased {
                spool.acknowledge(name, cursor.seq);
            }
            return Ok(own);
        }
        let Some(place) = self.place(leased) else {
            count(&self.recorder.shared.counters.busy, 1);
            return Err(OutOfPlaces);
        };
        let ended = match spool.turn(cursor, leased, ask.follows_siblings).await {
            Turned::Told(told) => {
                let Told { page, epoch, own: of } = *told;
                let other = Some(Subject { page, epoch, own: Some(of) });
                return Ok(Turn { other, place: Some(place), ..own });
            }
            Turned::Ended(end) => Some(end),
            Turned::Unknown => None,
        };
        // A long poll follows, which must hold none.
        let place = Some(place).filter(|_| ask.wait.is_none());
        Ok(Turn { start: self.resumed(ask, arrival.start), ended, place, other: None })
    }

    /// Where a scraper that follows siblings goes on here, if it comes with the cursor of another epoch: it has state, and
    /// may have read this one before.
    fn resumed(&self, ask: &Ask, start: u64) -> u64 {
        let ring = &self.recorder.shared.ring;
        let comes = ask.cursor.is_some_and(|cursor| cursor.epoch != ring.epoch);
        match (ring.spool(), &ask.scraper) {
            (Some(spool), Some(scraper)) if comes && ask.follows_siblings => {
                spool.next_for(scraper).max(start)
            }
            _ => start,
        }
    }

    fn tell_of_spool(
        &self,
        headers: &mut HeaderMap,
        subject: &Subject,
        ask: &Ask,
        ended: Option<Cursor>,
        next: u64,
    ) {
        if let Some(end) = ended {
            set(headers, pull::ENDED, &end);
        }
        let ring = &self.recorder.shared.ring;
        let (Some(spool), Some(scraper)) = (ring.spool(), &ask.scraper) else { return };
        // Who is not at the end here is told when it is.
        if ask.follows_siblings && next > subject.page.newest {
            let siblings = spool.siblings(scraper);
            let others = siblings.iter().filter(|sibling| sibling.epoch != subject.epoch);
            let texts: Vec<_> = others.map(Cursor::to_string).collect();
            set(headers, pull::SIBLINGS, &texts.join(","));
        }
    }
}

/// Whose turn it is: another epoch's, or the own one's from there on.
#[derive(Debug)]
struct Turn<'a> {
    start: u64,
    other: Option<Subject>,
    /// The end of the epoch that was asked for.
    #[cfg_attr(
        not(feature = "spool"),
        expect(dead_code, reason = "only spools have other epochs")
    )]
    ended: Option<Cursor>,
    /// Whoever has read files has its place already.
    place: Option<SemaphorePermit<'a>>,
}

#[derive(Debug)]
struct OutOfPlaces;

/// What an answer is about.
#[derive(Debug)]
struct Subject {
    page: Page,
    epoch: u64,
    /// Whose it is, if it is not this process'.
    own: Option<Own>,
}

/// Segments as they go out, the first and the last of them.
#[derive(Debug)]
struct Filled {
    segments: Option<(u64, u64)>,
    body: Bytes,
}

#[derive(Debug)]
struct OutOfMemory;

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

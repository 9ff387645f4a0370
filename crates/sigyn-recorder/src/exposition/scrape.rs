//! One scrape of the log, from the request to the answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::VARY;
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use sigyn_model::pull::{self, Cursor, Log, Range, Sampled};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::{Exposition, put, set, yield_now};
use crate::ask::Ask;
use crate::body::{Body, Receipt};
use crate::encode::{Coding, Encoded, Pieces};
use crate::format::Format;
use crate::negotiate;
use crate::reply::{VARIES, not_acceptable, out_of_memory, text, too_many};
use crate::ring::{Arrival, Caller, Page};
use crate::sending::Reader;
use crate::stats::count;
use crate::whole::Own;

/// A long poll without a scrape timeout waits no longer than this.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Exposition {
    pub(super) async fn scrape(&self, request: &Parts) -> Response<Body> {
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
                let place = self.places(leased).acquire().await.ok();
                place.filter(|_| shared.sending.has_room(reader(leased)))
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
        put(&mut response, shared.sending.count(reader(leased), body), receipt, format, coding);
        response
    }

    /// A place of those who scrape, if there is one, and room for one more answer.
    fn place(&self, leased: Option<&str>) -> Option<SemaphorePermit<'_>> {
        let place = self.places(leased).try_acquire().ok();
        place.filter(|_| self.recorder.shared.sending.has_room(reader(leased)))
    }

    /// Whoever just looks takes no place of those who scrape.
    fn places(&self, leased: Option<&str>) -> &Semaphore {
        let shared = &*self.recorder.shared;
        if leased.is_some() { &shared.scrapes } else { &shared.peeks }
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
        let asks_again = format != Format::ThriftWithoutHosts;
        let most = self.recorder.shared.sending.answer_bytes_max(asks_again);
        let bytes_max = Some(bytes_max.map_or(most, |asked| asked.min(most)));
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

fn reader(leased: Option<&str>) -> Reader<'_> {
    leased.map_or(Reader::Peek, Reader::Leased)
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

//! Asks a target, and judges whatever every answer has to be.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::StatusCode;
use http::header::RETRY_AFTER;
use sigyn_model::pull::{self, Cursor, Dropped};

use super::exchange::{Exchange, Offer, Request};
use super::findings::Findings;
use super::rule::Rule;
use super::told::{Told, judge_vary};
use super::watch::PATIENCE;
use crate::http_client::{HttpClient, HttpError};

/// A target that is busy is asked so often.
const ATTEMPTS_MAX: u32 = 5;
/// No longer than this is waited for a target that is busy, whatever it says.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3);
/// A clock runs apart from ours by this at most while it is watched, in parts of the time and at all.
const DRIFT_PARTS: i128 = 10;
const DRIFT_NS: i128 = 1_000_000_000;

/// One target under examination.
#[derive(Debug)]
pub(super) struct Checker {
    client: HttpClient,
    pub(super) url: String,
    /// What it is called as a scraper.
    pub(super) name: String,
    pub(super) findings: Findings,
    /// What was said last of each epoch.
    epochs: HashMap<u64, Told>,
    pub(super) clock: Option<ClockOffset>,
    /// Why the last request got no answer.
    unreachable: Option<HttpError>,
    was_answered: bool,
    /// It has answered a Loki server of 2017 with Thrift.
    pub(super) serves_loki: bool,
    /// Formats and compressions that came, once they were looked at.
    pub(super) offered: Option<(Vec<Offer>, Vec<&'static str>)>,
    /// Epochs of other processes, of which it told.
    pub(super) siblings: HashSet<u64>,
    /// How long a target that always has more is read on when the time is over.
    pub(super) patience: Duration,
}

/// A target's clock minus ours, and how wrong that may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockOffset {
    pub(super) offset_ns: i128,
    pub(super) error_ns: i128,
}

/// An answer of the protocol.
#[derive(Debug)]
pub(super) struct Scraped {
    pub(super) exchange: Exchange,
    pub(super) told: Told,
}

impl Checker {
    pub(super) fn new(client: HttpClient, url: String) -> Self {
        Self {
            client,
            url,
            name: format!("sigyn-check-{:016x}", fastrand::u64(..)),
            findings: Findings::default(),
            epochs: HashMap::new(),
            clock: None,
            unreachable: None,
            was_answered: false,
            serves_loki: false,
            offered: None,
            siblings: HashSet::new(),
            patience: PATIENCE,
        }
    }

    /// A request under our name.
    pub(super) fn named(&self) -> Request {
        Request::get().with(pull::SCRAPER, &self.name)
    }

    /// For requests at the same time.
    pub(super) fn client(&self) -> HttpClient {
        self.client.clone()
    }

    /// Why nothing was ever answered, if that is so.
    pub(super) fn unreachable(&mut self) -> Option<HttpError> {
        self.unreachable.take().filter(|_| !self.was_answered)
    }

    /// One request. `None` if there is no whole answer.
    pub(super) async fn ask(&mut self, request: &Request) -> Option<Exchange> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let exchange = self.ask_once(request).await?;
            if exchange.answer.status != StatusCode::TOO_MANY_REQUESTS {
                return Some(exchange);
            }
            let wait = self.judge_busy(&exchange);
            if attempt == ATTEMPTS_MAX {
                return Some(exchange);
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn ask_once(&mut self, request: &Request) -> Option<Exchange> {
        let (sent, from) = (SystemTime::now(), tokio::time::Instant::now());
        let url = request.url(&self.url);
        let body = Bytes::from(request.body.clone());
        let asked = self.client.send(request.method, &url, request.headers(), body).await;
        match asked {
            Ok(answer) => {
                self.was_answered = true;
                let again = request.curl(&self.url);
                Some(Exchange { again, answer, sent, took: from.elapsed() })
            }
            Err(error) => {
                self.unreachable = Some(error);
                None
            }
        }
    }

    /// How long to wait for a target that has too much to do.
    pub(super) fn judge_busy(&mut self, exchange: &Exchange) -> Duration {
        let after = exchange.answer.headers.get(RETRY_AFTER);
        let seconds = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let own = exchange.own_headers();
        let came = match seconds {
            None => "429 without Retry-After in seconds".to_owned(),
            Some(_) => format!("429 with {}", own.join(", ")),
        };
        let is_kept = seconds.is_some() && own.is_empty();
        self.findings.judge(Rule::Busy, is_kept, &exchange.again, "Retry-After alone", came);
        seconds.map_or(Duration::from_secs(1), Duration::from_secs).min(RETRY_AFTER_MAX)
    }

    /// One scrape, judged as every answer to one is. `None` if it says nothing that could be gone by.
    pub(super) async fn scrape(&mut self, request: &Request) -> Option<Scraped> {
        let exchange = match self.ask(request).await {
            Some(exchange) => exchange,
            None => {
                let again = request.curl(&self.url);
                let why = self.unreachable.as_ref().map(|error| chain(error)).unwrap_or_default();
                self.findings.judge(Rule::Status, false, &again, "200 or 204", why);
                return None;
            }
        };
        let is_kept = matches!(exchange.status(), 200 | 204);
        self.findings.judge(
            Rule::Status,
            is_kept,
            &exchange.again,
            "200 or 204",
            exchange.status(),
        );
        if !is_kept {
            return None;
        }
        let told = Told::read(&exchange, &mut self.findings)?;
        self.compare(&exchange, &told);
        Some(Scraped { exchange, told })
    }

    /// The same by way of what is expected to be refused.
    pub(super) async fn ask_refused(&mut self, request: &Request, rule: Rule, expected: u16) {
        let refused = self.ask_refused_plainly(request, rule, expected).await;
        if let Some(exchange) = refused.filter(|_| expected == 406) {
            judge_vary(&exchange, &mut self.findings);
        }
    }

    /// Beside the spans, where answers do not depend on the same.
    pub(super) async fn ask_refused_plainly(
        &mut self,
        request: &Request,
        rule: Rule,
        expected: u16,
    ) -> Option<Exchange> {
        let Some(exchange) = self.ask(request).await else {
            self.findings.not_seen(rule, "no answer");
            return None;
        };
        let is_kept = exchange.status() == expected;
        self.findings.judge(rule, is_kept, &exchange.again, expected, exchange.status());
        Some(exchange).filter(|_| is_kept)
    }

    /// Whether it is of an epoch that was answered.
    pub(super) fn knows(&self, epoch: u64) -> bool {
        self.epochs.contains_key(&epoch)
    }

    /// An answer beside those before it.
    fn compare(&mut self, exchange: &Exchange, told: &Told) {
        let again = &exchange.again;
        let epoch = told.next.epoch;
        // One restart may happen while one looks.
        let of_siblings = self.epochs.keys().filter(|epoch| self.siblings.contains(epoch)).count();
        let is_known = self.epochs.len() - of_siblings < 2
            || self.epochs.contains_key(&epoch)
            || self.siblings.contains(&epoch);
        let came = format_args!("{epoch:016x}, the third one within this check");
        self.findings.judge(Rule::Epoch, is_known, again, "the epoch of the answers before", came);
        if let Some(before) = self.epochs.get(&epoch) {
            let counts = |told: &Told| {
                let Dropped { evicted, oversize, shutdown } = told.dropped;
                [told.newest(), told.finished, evicted, oversize, shutdown]
            };
            let (now, before) = (counts(told), counts(before));
            let is_kept = now.iter().zip(&before).all(|(now, before)| now >= before);
            let names = "newest, finished, evicted, oversize, shutdown";
            let expected = format_args!("{names} of at least {before:?}");
            self.findings.judge(Rule::Counters, is_kept, again, expected, format_args!("{now:?}"));
        }
        if self.epochs.get(&epoch).is_some_and(|before| before.is_final) {
            self.findings.judge(Rule::Final, told.is_final, again, "Sigyn-Final: 1, as before", 0);
        }
        self.epochs.insert(epoch, *told);
        self.judge_clock(exchange, told);
    }

    fn judge_clock(&mut self, exchange: &Exchange, told: &Told) {
        const DAY_NS: i128 = 86_400_000_000_000;
        let Some(clock) = told.clock_ns else { return };
        let offset_ns = i128::from(clock) - exchange.middle_ns();
        let error_ns = (exchange.took / 2).as_nanos().cast_signed();
        let again = &exchange.again;
        let is_near = offset_ns.abs() < 365 * DAY_NS;
        let expected = "nanoseconds since 1970-01-01 UTC";
        self.findings.judge(Rule::Clock, is_near, again, expected, clock);
        let Some(before) = self.clock else {
            self.clock = Some(ClockOffset { offset_ns, error_ns });
            return;
        };
        // Ours may be set, too, and both are read at moments that nobody knows exactly.
        let apart = (offset_ns - before.offset_ns).abs();
        let room = DRIFT_NS + error_ns + before.error_ns;
        let is_steady = apart <= room + exchange.took.as_nanos().cast_signed() / DRIFT_PARTS;
        let came = format_args!("{:.3} s from where it was", seconds(apart));
        self.findings.judge(Rule::Clock, is_steady, again, "a clock that runs as ours does", came);
        if error_ns < before.error_ns {
            self.clock = Some(ClockOffset { offset_ns, error_ns });
        }
    }

    /// A cursor under our name, which acknowledges what is below it.
    pub(super) fn at(&self, cursor: Cursor) -> Request {
        self.named().with(pull::CURSOR, cursor)
    }
}

/// For reading only.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub(super) fn seconds(ns: i128) -> f64 {
    ns as f64 / 1e9
}

/// An error with its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

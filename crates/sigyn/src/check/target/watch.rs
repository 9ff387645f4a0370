//! Follows a target for a while as a scraper does, and keeps the scraper's books of it.

use std::collections::BTreeSet;
use std::time::Duration;

use sigyn_model::pull::{self, Cursor};
use sigyn_model::{Kind, Span, Timestamp};
use tokio::time::Instant;

use super::checker::{Checker, Scraped};
use super::exchange::{Exchange, Offer};
use super::kept::Seen;
use super::rule::Rule;
use super::told::Told;

/// Between two answers of a target that has no more.
const PAUSE: Duration = Duration::from_millis(200);
/// Every second round waits at the target, for so long.
const POLL_SECONDS: u64 = 1;
/// A target that still has more when the time is over is read on for so long, as its law shows at its end alone.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Pages of a target that never has no more.
const PAGES_MAX: u32 = 10_000;
/// Losses of evicted segments are exact that far back.
const EVICTED_EXACT: u64 = 32_768;
/// What ends and is recorded later is not known to the target; this late, it should be.
const LATE_NS: u64 = 1_000_000_000;
pub(super) const PAGE: &str = "max_bytes=1048576";
/// What came is asked for again, so many times; more often while it cannot be told whether it was evicted.
const REREADS: u32 = 3;
const REREADS_MAX: u32 = 50;

/// What is known of an epoch, as a scraper counts.
#[derive(Debug)]
pub(super) struct Books {
    received: u64,
    lost: u64,
    /// What the law may leave from the beginning, once that is known.
    left_at_first: Option<u64>,
    /// What it left the last time.
    left_before: u64,
    is_first_exact: bool,
}

/// What following it has told, for whatever is looked at afterwards.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// How many spans came.
    pub(super) spans: u64,
    pub(super) is_final: bool,
    /// Whatever cursor it is sent, it begins anew: there is nothing else to ask it.
    pub(super) begins_anew: bool,
}

impl Checker {
    /// Follows the target for so long, and on to its end. `None` if it could not be followed.
    pub(super) async fn watch(&mut self, time: Duration) -> Option<Watched> {
        let until = Instant::now() + time;
        let mut watched = Watched::default();
        let mut books: Option<Books> = None;
        let mut cursor: Option<Cursor> = None;
        let mut is_poll = false;
        // The clock of the last answer that has to have had all spans that had ended.
        let mut complete: Option<u64> = None;
        let (mut rereads, mut acknowledged) = (0, None);
        let mut kept = BTreeSet::new();
        for _ in 0..PAGES_MAX {
            let mut request = self.named().accept(Offer::Otlp).asking(PAGE);
            request = request.with("accept-encoding", "zstd, gzip");
            if let Some(cursor) = cursor {
                request = request.with(pull::CURSOR, cursor);
            }
            if is_poll {
                request = request.with("prefer", format_args!("wait={POLL_SECONDS}"));
                request = request.with(pull::SCRAPE_TIMEOUT, 10 * POLL_SECONDS);
            }
            let Scraped { exchange, told } = self.scrape(&request).await?;
            if let Some(cursor) = cursor.filter(|cursor| told.begins_anew(*cursor)) {
                watched.begins_anew = true;
                let first = told.first().unwrap_or_default();
                let came = format_args!(
                    "segments from {first} on, which came before: Sigyn-Cursor is not heeded, or does not arrive"
                );
                let expected = format_args!("segments from {} on, or a loss", cursor.seq);
                self.findings.judge(Rule::Contiguous, false, &exchange.again, expected, came);
                return Some(watched);
            }
            let spans = self.spans_of(&exchange)?;
            if let Some(seen) = acknowledged.take() {
                self.reread_acknowledged(&seen).await;
            }
            kept = self.judge_kept(&exchange, &spans.0, &kept);
            let scraped = Scraped { exchange, told };
            let count = (spans.0.len() + spans.1) as u64;
            let decided = [Rule::StillThere, Rule::KeptForAll];
            let decided = decided.into_iter().all(|rule| self.findings.is_seen(rule));
            let most = if decided { REREADS } else { REREADS_MAX };
            let seen = Seen::of(cursor, &scraped, count).filter(|_| rereads < most);
            if let Some(seen) = &seen {
                rereads += 1;
                self.reread(seen).await;
            }
            acknowledged = seen;
            let Scraped { exchange, told } = scraped;
            self.judge_spans(&exchange, &spans.0, complete);
            if cursor.is_none_or(|cursor| cursor.epoch != told.next.epoch) {
                books = None;
            } else if let Some(first) = told.first() {
                let cursor = cursor.unwrap_or(told.next);
                let is_kept = first == cursor.seq || (first > cursor.seq && told.lost > 0);
                let came = format_args!("segments from {first} on, {} spans lost", told.lost);
                let expected = format_args!("segments from {} on, or a loss", cursor.seq);
                self.findings.judge(Rule::Contiguous, is_kept, &exchange.again, expected, came);
            }
            watched.spans += count;
            watched.is_final |= told.is_final;
            let first_page = books.is_none();
            let books = books.get_or_insert_with(|| Books::new(&told));
            books.add(count, told.lost);
            let has_more = told.has_more();
            if !has_more {
                self.judge_law(books, &exchange, &told);
            }
            let woke = is_poll && told.range.is_some() && !first_page;
            if woke && exchange.took < Duration::from_millis(800 * POLL_SECONDS) {
                self.findings.pass(Rule::Wakes);
            }
            let sealed = !is_poll || told.range.is_none();
            complete = told.clock_ns.filter(|_| sealed && !has_more);
            cursor = Some(told.next);
            if has_more {
                if Instant::now() >= until + self.patience {
                    self.findings.not_seen(Rule::Law, "it had more all the time; see --for");
                    break;
                }
                is_poll = false;
                continue;
            }
            if Instant::now() >= until {
                break;
            }
            tokio::time::sleep(PAUSE.min(until - Instant::now())).await;
            is_poll = !is_poll;
        }
        self.conclude(&watched);
        Some(watched)
    }

    /// What nothing was seen of, and why.
    fn conclude(&mut self, watched: &Watched) {
        let findings = &mut self.findings;
        findings.not_seen(Rule::Wakes, "no such span came while it waited; see --for");
        if watched.spans == 0 {
            let rules = [
                Rule::Decodes,
                Rule::Sealed,
                Rule::Untraced,
                Rule::Contiguous,
                Rule::Headers,
                Rule::StillThere,
            ];
            findings.none_seen(&rules, "no spans came; see --for");
        }
        findings.none_seen(
            &[Rule::Contiguous, Rule::Sealed],
            "no more spans came after the first; see --for",
        );
        findings.not_seen(Rule::Final, "it is not shutting down");
        findings.not_seen(Rule::Kept, "the target kept no trace that nobody had sampled");
        findings.not_seen(Rule::NoContent, "spans came all the time");
        findings.not_seen(Rule::Framing, "no answer had a body");
    }

    /// The spans of an answer, and how many cannot be kept. `None` if they cannot be read.
    pub(super) fn spans_of(&mut self, exchange: &Exchange) -> Option<(Vec<Span>, usize)> {
        if exchange.status() == 204 {
            return Some((Vec::new(), 0));
        }
        let read = exchange.spans();
        let expected = "a body that can be read";
        let came = read.as_ref().err().map(String::as_str).unwrap_or_default();
        self.findings.judge(Rule::Decodes, read.is_ok(), &exchange.again, expected, came);
        read.ok()
    }

    /// What spans say of how they came about.
    fn judge_spans(&mut self, exchange: &Exchange, spans: &[Span], complete: Option<u64>) {
        let again = &exchange.again;
        let path = self.url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let path = path.map(|(_, path)| format!("/{}", path.split('?').next().unwrap_or_default()));
        for span in spans {
            let is_scrape = path.as_deref().is_some_and(|path| serves(span, path));
            let came = format_args!("span {} of trace {}: {}", span.id, span.trace_id, span.name);
            let expected = "no spans of requests for spans";
            self.findings.judge(Rule::Untraced, !is_scrape, again, expected, came);
            if let Some(complete) = complete {
                let ended = end(span).map_or(u64::MAX, Timestamp::nanos);
                let late = complete.saturating_sub(ended);
                let came = format_args!(
                    "{came}, which had ended {} ms before an answer without it",
                    late / 1_000_000
                );
                let expected = "all spans that had ended when the answer before came";
                self.findings.judge(Rule::Sealed, late <= LATE_NS, again, expected, came);
            }
        }
    }

    pub(super) fn judge_law(&mut self, books: &mut Books, exchange: &Exchange, told: &Told) {
        let Books { received, lost, .. } = *books;
        let (oversize, shutdown) = (told.dropped.oversize, told.dropped.shutdown);
        let explained = received + lost + oversize + shutdown;
        let left = told.finished.saturating_sub(explained);
        if !books.is_first_exact && books.left_at_first.is_none() {
            books.left_at_first = Some(left);
        }
        let allowed = books.left_at_first.unwrap_or(0);
        let is_kept = explained <= told.finished && left.min(books.left_before) <= allowed;
        books.left_before = left;
        let came = format_args!(
            "finished {} = {received} received + {lost} lost + {oversize} oversize + {shutdown} shutdown + {} unexplained",
            told.finished,
            i128::from(told.finished) - i128::from(explained)
        );
        let expected = "none unexplained, twice in a row, and never less than none";
        self.findings.judge(Rule::Law, is_kept, &exchange.again, expected, came);
    }
}

impl Books {
    /// From the first answer of an epoch on.
    pub(super) fn new(told: &Told) -> Self {
        let is_first_exact = told.first().unwrap_or(told.next.seq) <= EVICTED_EXACT;
        Self { received: 0, lost: 0, left_at_first: None, left_before: 0, is_first_exact }
    }

    pub(super) fn add(&mut self, received: u64, lost: u64) {
        self.received += received;
        self.lost += lost;
    }
}

fn end(span: &Span) -> Option<Timestamp> {
    let nanos = u64::try_from(span.duration?.as_nanos()).ok()?;
    Some(Timestamp::from_nanos(span.timestamp?.nanos().checked_add(nanos)?))
}

/// Whether it is the span of somebody who serves this path.
fn serves(span: &Span, path: &str) -> bool {
    const KEYS: [&str; 5] = ["url.path", "http.path", "http.target", "http.route", "http.url"];
    span.kind == Some(Kind::Server)
        && span.tags.iter().any(|(key, value)| {
            let text = value.text();
            let route = text.split('?').next().unwrap_or_default();
            KEYS.contains(&key.as_str()) && (route == path || route.ends_with(&format!("//{path}")))
        })
}

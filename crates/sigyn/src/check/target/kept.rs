//! That reading takes nothing away: what was read is still there, for whoever asks again and for whoever comes first.

use bytes::Bytes;
use sigyn_model::pull::{self, Cursor, Log};

use super::checker::{Checker, Scraped};
use super::exchange::{Offer, Request};
use super::rule::Rule;
use super::watch::{Books, PAGE};

/// A log that held many spans at once does not lose them all to a few: one may weigh so many times another.
const WEIGHTS: u64 = 64;
/// A log that evicts is filled to this part at least.
const FULL_PARTS: u64 = 4;
/// Pages of the second reader. A log that has more than this is not read to its end.
const PAGES_MAX: u32 = 256;

/// What came for a cursor, and how much had finished by then.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    cursor: Option<Cursor>,
    first: u64,
    last: u64,
    newest: u64,
    epoch: u64,
    finished: u64,
    lost: u64,
    spans: u64,
    body: Bytes,
}

impl Seen {
    /// `None` of an answer without spans.
    pub(super) fn of(cursor: Option<Cursor>, scraped: &Scraped, spans: u64) -> Option<Self> {
        let Scraped { exchange, told } = scraped;
        let range = told.range?;
        Some(Self {
            // What it was asked with may be of another epoch.
            cursor: cursor.filter(|cursor| cursor.epoch == range.epoch),
            first: range.first,
            last: range.last,
            newest: range.newest,
            epoch: range.epoch,
            finished: told.finished,
            lost: told.lost,
            spans,
            body: exchange.answer.body.clone(),
        })
    }

    fn ask(&self, request: Request) -> Request {
        let request = request.accept(Offer::Otlp).asking(PAGE);
        let request = request.with("accept-encoding", "zstd, gzip");
        match self.cursor {
            None => request,
            Some(cursor) => request.with(pull::CURSOR, cursor),
        }
    }
}

impl Checker {
    /// The same cursor again, without a name and with ours, before what it told is acknowledged.
    pub(super) async fn reread(&mut self, seen: &Seen) {
        let requests = [Request::get(), Request::get(), self.named(), self.named(), Request::get()];
        for request in requests {
            self.is_there(Rule::StillThere, seen, request).await;
        }
    }

    /// The same for somebody else, after we acknowledged it.
    pub(super) async fn reread_acknowledged(&mut self, seen: &Seen) {
        self.is_there(Rule::KeptForAll, seen, Request::get()).await;
    }

    async fn is_there(&mut self, rule: Rule, seen: &Seen, request: Request) {
        let Some(Scraped { exchange, told }) = self.scrape(&seen.ask(request)).await else {
            return;
        };
        if told.next.epoch != seen.epoch {
            return self.findings.not_seen(rule, "the target restarted");
        }
        let again = &exchange.again;
        let Seen { first, last, .. } = *seen;
        if told.first() == Some(first) {
            self.findings.pass(rule);
            let came = format_args!("spans={}", told.lost);
            let expected = format_args!("spans={}, as for the same segments before", seen.lost);
            self.findings.judge(Rule::Lost, told.lost == seen.lost, again, expected, came);
            if told.range.is_some_and(|range| range.last == last) {
                let body = &exchange.answer.body;
                let expected = format_args!("the {} bytes of the answer before", seen.body.len());
                let came = format_args!("others, {} bytes", body.len());
                self.findings.judge(Rule::SameBytes, *body == seen.body, again, expected, came);
            }
            return;
        }
        // Only spans that come take the place of others, and whoever asks like this sees them sealed.
        let came_since = told.finished.saturating_sub(seen.finished);
        let is_full = match exchange.header(pull::LOG).and_then(|text| text.parse::<Log>().ok()) {
            // What is older than this read went before any of it.
            Some(log) => log.bytes.saturating_mul(FULL_PARTS) >= log.max_bytes,
            None => came_since.saturating_mul(WEIGHTS) >= seen.spans,
        };
        // What is acknowledged is held and no fill: one goes for each that comes.
        let is_full = is_full || came_since >= told.lost.saturating_sub(seen.lost);
        let is_evicted = told.newest() > seen.newest
            && told.lost > seen.lost
            && told.first().is_none_or(|now| now > first)
            && (is_full || told.first().is_some_and(|now| now <= last));
        if is_evicted {
            return self.findings.not_seen(rule, "the target evicts too fast");
        }
        let expected = format_args!("segments {first} to {last}, as a moment ago");
        let came = match told.first() {
            Some(now) => format!("segments from {now} on, and {} spans lost", told.lost),
            None => format!("{}, and {} spans lost", exchange.status(), told.lost),
        };
        let came = format_args!("{came}, though no more than {came_since} spans had come");
        self.findings.judge(rule, false, again, expected, came);
    }

    /// Somebody who comes first reads all that is held: the law holds for everyone who reads an epoch from its start.
    pub(super) async fn second_reader(&mut self) {
        let mut cursor: Option<Cursor> = None;
        let mut books: Option<Books> = None;
        for _ in 0..PAGES_MAX {
            let mut request = Request::get().accept(Offer::Otlp).asking(PAGE);
            request = request.with("accept-encoding", "zstd, gzip");
            if let Some(cursor) = cursor {
                request = request.with(pull::CURSOR, cursor);
            }
            let Some(Scraped { exchange, told }) = self.scrape(&request).await else { return };
            let Some((spans, rejected)) = self.spans_of(&exchange) else { return };
            let is_other =
                |cursor: Cursor| cursor.epoch != told.next.epoch || told.begins_anew(cursor);
            if cursor.is_some_and(is_other) {
                return;
            }
            let books = books.get_or_insert_with(|| Books::new(&told));
            books.add((spans.len() + rejected) as u64, told.lost);
            if !told.has_more() {
                self.judge_law(books, &exchange, &told);
            }
            // What is left over counts at the second answer that has no more.
            if told.range.is_none() {
                return;
            }
            cursor = Some(told.next);
        }
    }
}

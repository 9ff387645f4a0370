//! Where reads begin, what they lose, and that they take nothing away.

use sigyn_model::pull::{self, Cursor, Range};

use super::checker::{Checker, Scraped};
use super::exchange::{Offer, Request};
use super::rule::Rule;

/// Answers that segments went missing between are compared again, so often.
const ATTEMPTS_MAX: u32 = 5;
/// One segment, however large.
const ONE: &str = "max_bytes=1";
/// Further than any target comes while it is looked at.
const FAR: u64 = 1 << 40;

/// Where a read began, or that there was nothing, and what was lost before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    epoch: u64,
    pub(super) first: Option<u64>,
    pub(super) lost: u64,
    pub(super) newest: u64,
}

impl std::fmt::Display for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epoch, first, lost, .. } = self;
        match first {
            Some(first) => {
                write!(f, "epoch {epoch:016x}, from segment {first} on, {lost} spans lost")
            }
            None => write!(f, "epoch {epoch:016x}, nothing, {lost} spans lost"),
        }
    }
}

impl Begun {
    /// What it comes to, whatever was sealed meanwhile.
    fn place(self) -> Self {
        Self { newest: 0, ..self }
    }
}

impl Checker {
    /// Where reads begin, of a target that holds this segment as its newest, if it holds any.
    pub(super) async fn cursors(&mut self, newest: Option<Range>) {
        self.beginnings().await;
        let Some(Range { epoch, newest: seq, .. }) = newest else {
            let rules = [
                Rule::Start,
                Rule::SameBytes,
                Rule::KeptForAll,
                Rule::Again,
                Rule::Bound,
                Rule::AtOnce,
                Rule::Members,
            ];
            return self.findings.none_seen(&rules, "the target holds no spans; see --for");
        };
        let cursor = Cursor { epoch, seq };
        self.start(cursor).await;
        self.repeated(cursor).await;
        self.spellings(cursor).await;
        if seq > 1 {
            self.bounded(Cursor { epoch, seq: seq - 1 }).await;
        }
        let why = "the target holds a single segment; see --for";
        self.findings.none_seen(&[Rule::Members, Rule::Bound], why);
    }

    /// All ways to say "from the oldest".
    async fn beginnings(&mut self) {
        let Some((none, _)) = self.beginning().await else { return };
        let epoch = none.epoch;
        let of = |epoch, seq| Cursor { epoch, seq }.to_string();
        let other = if epoch == u64::MAX { 1 } else { epoch + 1 };
        let ways = [
            (Rule::FromTheOldest, of(epoch, 0)),
            (Rule::FromTheOldest, of(epoch, 1)),
            (Rule::OldEpoch, of(other, 1)),
            (Rule::OldEpoch, of(other, FAR)),
            (Rule::Beyond, of(epoch, FAR)),
            (Rule::Beyond, of(epoch, u64::MAX)),
            (Rule::Unreadable, "no cursor".to_owned()),
            (Rule::Unreadable, format!("{epoch:016x}")),
        ];
        for (rule, cursor) in ways {
            self.begins_alike(rule, pull::CURSOR, &cursor).await;
        }
    }

    /// Whether a header is as none.
    pub(super) async fn begins_alike(&mut self, rule: Rule, name: &'static str, value: &str) {
        for _ in 0..ATTEMPTS_MAX {
            let Some((before, _)) = self.beginning().await else { return };
            let asked = self.named().with(name, value);
            let Some((begun, again)) = self.begin(asked.clone()).await else {
                // What is no answer of the protocol is an answer all the same.
                if let Some(exchange) = self.ask(&asked.accept(Offer::Otlp).asking(ONE)).await {
                    let (again, came) = (&exchange.again, exchange.status());
                    let expected = format_args!("{before}, as without {name}");
                    self.findings.judge(rule, false, again, expected, came);
                }
                return;
            };
            let Some((after, _)) = self.beginning().await else { return };
            // What is evicted, or comes, in between makes no difference to be told of.
            if before.place() == after.place() {
                let expected = format_args!("{before}, as without {name}");
                let is_kept = begun.place() == before.place();
                return self.findings.judge(rule, is_kept, &again, expected, begun);
            }
        }
        self.findings.not_seen(rule, "the target evicts too fast");
    }

    /// Where a read from the oldest begins.
    pub(super) async fn beginning(&mut self) -> Option<(Begun, String)> {
        self.begin(self.named()).await
    }

    /// Where a read begins, and how to ask that again.
    async fn begin(&mut self, request: Request) -> Option<(Begun, String)> {
        let request = request.accept(Offer::Otlp).asking(ONE);
        let Scraped { exchange, told } = self.scrape(&request).await?;
        let first = told.first();
        self.judge_lost(&exchange.again, 1, first.unwrap_or(told.next.seq), told.lost);
        let begun = Begun { epoch: told.next.epoch, first, lost: told.lost, newest: told.newest() };
        Some((begun, exchange.again))
    }

    /// A loss is at least a span for each segment that is gone, and none where none is.
    fn judge_lost(&mut self, again: &str, start: u64, first: u64, lost: u64) {
        const EXACT: u64 = 32_768;
        let gone = first.saturating_sub(start);
        let is_kept = if gone == 0 { lost == 0 } else { lost >= gone.min(EXACT) };
        let expected = match gone {
            0 => "spans=0: nothing is between cursor and body".to_owned(),
            n => format!("at least {n}, of as many segments between cursor and body"),
        };
        self.findings.judge(Rule::Lost, is_kept, again, expected, format_args!("spans={lost}"));
    }

    /// A cursor of a segment that is held.
    async fn start(&mut self, cursor: Cursor) {
        let request = self.at(cursor).accept(Offer::Otlp).asking(ONE);
        let Some(Scraped { exchange, told }) = self.scrape(&request).await else { return };
        let first = told.first();
        if first.is_some_and(|first| first > cursor.seq && told.lost > 0) {
            return self.findings.not_seen(Rule::Start, "the target evicts too fast");
        }
        let came = format_args!("segment {first:?}");
        self.findings.judge(
            Rule::Start,
            first == Some(cursor.seq),
            &exchange.again,
            cursor.seq,
            came,
        );
        self.judge_lost(&exchange.again, cursor.seq, first.unwrap_or(cursor.seq), told.lost);
    }

    /// The same segment again: for us and for whoever has no name, before and after we acknowledged it.
    async fn repeated(&mut self, cursor: Cursor) {
        let at = self.at(cursor).accept(Offer::Otlp).asking(ONE);
        let Some(before) = self.scrape(&at).await else { return };
        let acknowledge = self.at(before.told.next).accept(Offer::Otlp).asking(ONE);
        let peek = Request::get().with(pull::CURSOR, cursor).accept(Offer::Otlp).asking(ONE);
        for (rule, first, request) in [
            (Rule::SameBytes, None, &at),
            (Rule::KeptForAll, None, &peek),
            (Rule::Again, Some(&acknowledge), &at),
            (Rule::KeptForAll, Some(&acknowledge), &peek),
        ] {
            if let Some(request) = first {
                self.scrape(request).await;
            }
            let Some(after) = self.scrape(request).await else { continue };
            let again = &after.exchange.again;
            if after.told.first().is_none_or(|first| first > cursor.seq && after.told.lost == 0) {
                let came = format_args!("{}, without it, and no loss", after.exchange.status());
                self.findings.judge(
                    rule,
                    false,
                    again,
                    format_args!("segment {}", cursor.seq),
                    came,
                );
            } else if after.told.first() != before.told.first() {
                self.findings.not_seen(rule, "the target evicts too fast");
            } else {
                let (body, was) = (&after.exchange.answer.body, &before.exchange.answer.body);
                let expected = format_args!("the {} bytes of the answer before", was.len());
                let came = format_args!("others, {} bytes", body.len());
                self.findings.judge(Rule::SameBytes, body == was, again, expected, came);
                self.findings.pass(rule);
            }
        }
    }

    /// Epochs are read in upper case, and without zeros in front.
    async fn spellings(&mut self, cursor: Cursor) {
        let Cursor { epoch, seq } = cursor;
        for text in [format!("{epoch:016X}:{seq}"), format!("{epoch:x}:{seq}")] {
            let request = self.named().with(pull::CURSOR, &text).accept(Offer::Otlp).asking(ONE);
            let Some(Scraped { exchange, told }) = self.scrape(&request).await else { continue };
            let is_kept = told.first().is_some_and(|first| first == seq || told.lost > 0);
            let came = format_args!("segment {:?}", told.first());
            let expected = format_args!("segment {seq}, of {text}");
            self.findings.judge(Rule::Unreadable, is_kept, &exchange.again, expected, came);
        }
    }

    /// Two segments, one after another, within bounds and as one body.
    async fn bounded(&mut self, cursor: Cursor) {
        for coding in ["identity", "gzip", "zstd"] {
            let next = Cursor { seq: cursor.seq + 1, ..cursor };
            let ask = |cursor: Cursor| {
                self.at(cursor).accept(Offer::Otlp).with("accept-encoding", coding)
            };
            let requests = [ask(cursor).asking(ONE), ask(next).asking(ONE), ask(cursor)];
            let mut answers = Vec::new();
            for request in &requests {
                answers.extend(self.scrape(request).await);
            }
            let [one, two, both] = answers.as_slice() else { return };
            let spans = |answer: &Scraped| answer.told.range.map(|range| (range.first, range.last));
            for answer in [one, two] {
                let alone = spans(answer).is_some_and(|(first, last)| first == last);
                let came = answer.told.range.map(|range| range.to_string()).unwrap_or_default();
                let again = &answer.exchange.again;
                self.findings.judge(Rule::Bound, alone, again, "one segment", came);
            }
            let evicted = one.told.first() != Some(cursor.seq)
                || two.told.first() != Some(next.seq)
                || both.told.first() != Some(cursor.seq);
            let is_short = both.told.range.is_none_or(|range| range.last < next.seq);
            if evicted || is_short {
                continue;
            }
            let bodies = [one, two].map(|answer| &answer.exchange.answer.body[..]);
            let expected = bodies.concat();
            let body = &both.exchange.answer.body;
            let is_kept = body.starts_with(&expected);
            let what = format!(
                "a body that begins with the {} bytes of segment {} and the {} of segment {}",
                bodies[0].len(),
                cursor.seq,
                bodies[1].len(),
                next.seq
            );
            let came = format!("another one, of {} bytes", body.len());
            self.findings.judge(Rule::Members, is_kept, &both.exchange.again, what, came);

            let bound = expected.len() - 1;
            let request = self.at(cursor).accept(Offer::Otlp).with("accept-encoding", coding);
            let request = request.asking(format!("max_bytes={bound}"));
            let Some(answer) = self.scrape(&request).await else { return };
            let body = answer.exchange.answer.body.len();
            let is_alone = spans(&answer).is_some_and(|(first, last)| first == last);
            let came = format_args!("{body} bytes of several segments");
            let again = &answer.exchange.again;
            let what = format_args!("no more than {bound} bytes");
            self.findings.judge(Rule::Bound, body <= bound || is_alone, again, what, came);
        }
    }
}

//! What the headers of one answer say, and what is wrong with them.

use std::fmt::Display;
use std::str::FromStr;

use http::{HeaderMap, Version, header};
use sigyn_model::pull::{self, Cold, Cursor, Dropped, Log, Range, Sampled};

use super::exchange::Exchange;
use super::findings::Findings;
use super::rule::Rule;

/// The protocol's part of a 200 or 204. What could not be read is zero, and in the findings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) range: Option<Range>,
    pub(super) next: Cursor,
    more: bool,
    pub(super) lost: u64,
    pub(super) finished: u64,
    pub(super) dropped: Dropped,
    pub(super) clock_ns: Option<u64>,
    pub(super) is_final: bool,
}

impl Told {
    /// `None` if it cannot be told where the answer begins and ends.
    pub(super) fn read(exchange: &Exchange, findings: &mut Findings) -> Option<Self> {
        let has_body = exchange.status() == 200;
        let mut reader = Reader { exchange, findings };
        let range = if has_body { reader.range() } else { None };
        let next: Option<Cursor> = reader.exact(pull::NEXT);
        let told = Self {
            range,
            next: next?,
            more: reader.flag(pull::MORE),
            lost: reader.read(pull::LOST, |text| pull::parse_lost(text).ok()),
            finished: reader.read(pull::FINISHED, number),
            dropped: reader.read(pull::DROPPED, dropped),
            clock_ns: reader.read(pull::CLOCK, |text| number(text).map(Some)),
            is_final: reader.flag(pull::FINAL),
        };
        reader.optional();
        reader.frame(has_body);
        if has_body && range.is_none() {
            return None;
        }
        told.judge(exchange, findings);
        Some(told)
    }

    /// What its values say of each other.
    fn judge(&self, exchange: &Exchange, findings: &mut Findings) {
        let again = &exchange.again;
        if let Some(range) = self.range {
            let expected = Cursor { epoch: range.epoch, seq: range.last.saturating_add(1) };
            let came = format_args!("Sigyn-Range: {range}, Sigyn-Next: {}", self.next);
            findings.judge(Rule::Next, self.next == expected, again, expected, came);
        }
        let waits = self.has_more();
        let came = match self.range {
            Some(range) => format!("Sigyn-Range: {range}, Sigyn-More: {}", u8::from(self.more)),
            None => format!("{}, Sigyn-More: {}", exchange.status(), u8::from(self.more)),
        };
        findings.judge(Rule::More, self.more == waits, again, u8::from(waits), came);
        let came =
            format_args!("Sigyn-Lost: spans={}, Sigyn-Finished: {}", self.lost, self.finished);
        let expected = "Sigyn-Lost of no more spans than Sigyn-Finished";
        findings.judge(Rule::OneMoment, self.lost <= self.finished, again, expected, came);
    }

    /// Whether there is more, whatever `Sigyn-More` says.
    pub(super) fn has_more(&self) -> bool {
        self.range.is_some_and(|range| range.last < range.newest)
    }

    /// Whether this is the answer to another cursor than that which was sent: to a lower one, or to none.
    pub(super) fn begins_anew(&self, cursor: Cursor) -> bool {
        let is_below = |range: Range| range.epoch == cursor.epoch && range.first < cursor.seq;
        self.range.is_some_and(is_below)
    }

    /// The start of what was sent, if anything was.
    pub(super) fn first(&self) -> Option<u64> {
        self.range.map(|range| range.first)
    }

    /// The newest segment; in a 204 the one below the next.
    pub(super) fn newest(&self) -> u64 {
        self.range.map_or(self.next.seq.saturating_sub(1), |range| range.newest)
    }
}

/// One answer's headers, read one by one.
struct Reader<'a> {
    exchange: &'a Exchange,
    findings: &'a mut Findings,
}

impl Reader<'_> {
    /// The one value of a header that has to be there.
    fn text(&mut self, name: &str) -> Option<String> {
        let values: Vec<_> = self.exchange.answer.headers.get_all(name).iter().collect();
        let came = match values.len() {
            0 => format!("{} without {name}", self.exchange.status()),
            n => format!("{name}, {n} times"),
        };
        let is_there = values.len() == 1;
        self.findings.judge(Rule::Headers, is_there, &self.exchange.again, name, came);
        let value = values.first()?;
        Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
    }

    fn spelled(&mut self, name: &str, text: &str, is_well: bool) {
        let came = format_args!("{name}: {text}");
        let expected = format_args!("{name} as in section 3");
        self.findings.judge(Rule::Spelling, is_well, &self.exchange.again, expected, came);
    }

    fn read<T: Default>(&mut self, name: &str, read: impl Fn(&str) -> Option<T>) -> T {
        let Some(text) = self.text(name) else { return T::default() };
        let value = read(&text);
        self.spelled(name, &text, value.is_some());
        value.unwrap_or_default()
    }

    /// One that is written in only one way.
    fn exact<T: FromStr + Display>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        let value = text.parse::<T>().ok();
        let is_well = value.as_ref().is_some_and(|value| value.to_string() == text);
        self.spelled(name, &text, is_well);
        value
    }

    fn flag(&mut self, name: &str) -> bool {
        self.read(name, |text| match text {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        })
    }

    fn range(&mut self) -> Option<Range> {
        self.exact(pull::RANGE)
    }

    fn optional(&mut self) {
        let exchange = self.exchange;
        let mut check = |name: &str, reads: fn(&str) -> bool| {
            let Some(text) = exchange.header(name) else { return };
            let came = format_args!("{name}: {text}");
            let expected = format_args!("{name} as in section 3, or none");
            self.findings.judge(Rule::Optional, reads(text), &exchange.again, expected, came);
        };
        check(pull::LOG, |text| text.parse::<Log>().is_ok());
        check(pull::SAMPLED, |text| text.parse::<Sampled>().is_ok());
        check(pull::COLD, |text| text.parse::<Cold>().is_ok());
        self.findings.not_seen(Rule::Optional, "none of them was sent");
    }

    /// How the answer is sent, beside what it says.
    fn frame(&mut self, has_body: bool) {
        let Exchange { again, answer, .. } = self.exchange;
        judge_vary(self.exchange, self.findings);
        if has_body {
            self.text(header::CONTENT_TYPE.as_str());
            let ends = answer.version >= Version::HTTP_2
                || answer.headers.contains_key(header::CONTENT_LENGTH)
                || answer.headers.contains_key(header::TRANSFER_ENCODING);
            let expected = "Content-Length or Transfer-Encoding: chunked";
            let came = "a body that ends with its connection";
            self.findings.judge(Rule::Framing, ends, again, expected, came);
        } else {
            let range = answer.headers.contains_key(pull::RANGE);
            let is_bare = !range && answer.body.is_empty();
            let came = format_args!(
                "{}, and a body of {} bytes",
                if range { "Sigyn-Range" } else { "no Sigyn-Range" },
                answer.body.len()
            );
            self.findings.judge(Rule::NoContent, is_bare, again, "neither", came);
        }
    }
}

pub(super) fn judge_vary(exchange: &Exchange, findings: &mut Findings) {
    let named = varies(&exchange.answer.headers);
    let is_kept = ["accept", "accept-encoding"].iter().all(|name| named.iter().any(|n| n == name));
    let came = format_args!("{} with Vary: {}", exchange.status(), named.join(", "));
    findings.judge(Rule::Vary, is_kept, &exchange.again, "Vary: Accept, Accept-Encoding", came);
}

fn varies(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|n| n.trim().to_ascii_lowercase()).collect()
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Both reasons that are always there, and counts for all.
fn dropped(text: &str) -> Option<Dropped> {
    let names: Vec<_> =
        text.split(',').filter_map(|item| Some(item.split_once('=')?.0.trim())).collect();
    let has_both = ["evicted", "oversize"].iter().all(|reason| names.contains(reason));
    has_both.then(|| text.parse().ok())?
}

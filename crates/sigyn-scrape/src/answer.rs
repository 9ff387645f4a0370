//! What a target says of its own log: the `Sigyn-*` headers of one response, read and checked.

use http::HeaderMap;
use sigyn_model::TraceId;
use sigyn_model::pull::{self, Cold, Cursor, Dropped, Log, PullError, Range, Sampled};

/// A target may have more, but not for us.
pub(crate) const SIBLINGS_MAX: usize = 256;

/// The protocol's part of a 200 or 204. A foreign target sends none of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// The segments of the body; a 204 has none.
    pub(crate) range: Option<Range>,
    pub(crate) next: Cursor,
    /// Sealed segments wait beyond this body.
    pub(crate) more: bool,
    /// Spans evicted between the cursor sent and the first segment still held.
    pub(crate) lost: u64,
    /// Spans finished in this epoch, where the target counts them.
    pub(crate) finished: Option<u64>,
    pub(crate) dropped: Dropped,
    /// The target's wall clock in nanoseconds since the Unix epoch.
    pub(crate) clock_ns: Option<i64>,
    /// The target is shutting down and has sealed for the last time.
    pub(crate) is_final: bool,
    /// Where the epoch ended that was asked for, if it is over and this is about another one.
    pub(crate) ended: Option<Cursor>,
    /// How full its log was, where it says so in a way that can be read.
    pub(crate) log: Option<Log>,
    /// What it leaves out for our budget, in the same way.
    pub(crate) sampled: Option<Sampled>,
    /// Traces that it kept although nobody had sampled them.
    pub(crate) kept: Vec<TraceId>,
    /// What it keeps of such traces, where it was asked for some and says so.
    pub(crate) cold: Option<Cold>,
}

/// Headers that contradict the protocol. What such a body covers is unknown, so it is not kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("bad header {name}")]
    Header { name: &'static str, source: PullError },
    #[error("bad header {name}: {text:?}")]
    Value { name: &'static str, text: String },
    #[error("header {0} is missing")]
    Missing(&'static str),
    #[error("header {name} is there twice")]
    Repeated { name: &'static str },
    #[error("next cursor {next} does not follow the range {range}")]
    NextOffRange { range: Range, next: Cursor },
    #[error("{lost} spans lost of {finished} finished")]
    LostAboveFinished { lost: u64, finished: u64 },
}

impl Answer {
    /// `None` if nothing says that the target speaks the protocol. `has_body` is what the status says.
    pub(crate) fn read(headers: &HeaderMap, has_body: bool) -> Result<Option<Self>, AnswerError> {
        let range = parsed::<Range>(headers, pull::RANGE)?;
        let next = parsed::<Cursor>(headers, pull::NEXT)?;
        if range.is_none() && next.is_none() {
            return Ok(None);
        }
        let next = next.ok_or(AnswerError::Missing(pull::NEXT))?;
        match range {
            None if has_body => return Err(AnswerError::Missing(pull::RANGE)),
            Some(range)
                if next.epoch != range.epoch || range.last.checked_add(1) != Some(next.seq) =>
            {
                return Err(AnswerError::NextOffRange { range, next });
            }
            _ => {}
        }
        let waiting = range.is_some_and(|range| range.last < range.newest);
        let lost = match text(headers, pull::LOST)? {
            Some(text) => pull::parse_lost(text)
                .map_err(|source| AnswerError::Header { name: pull::LOST, source })?,
            None => 0,
        };
        let finished = number(headers, pull::FINISHED)?;
        if let Some(finished) = finished.filter(|finished| lost > *finished) {
            return Err(AnswerError::LostAboveFinished { lost, finished });
        }
        Ok(Some(Self {
            range: range.filter(|_| has_body),
            next,
            more: flag(headers, pull::MORE)?.unwrap_or(waiting),
            lost,
            finished,
            dropped: parsed(headers, pull::DROPPED)?.unwrap_or_default(),
            clock_ns: number(headers, pull::CLOCK)?.and_then(|ns| i64::try_from(ns).ok()),
            is_final: flag(headers, pull::FINAL)?.unwrap_or(false),
            // No span depends on these.
            ended: parsed(headers, pull::ENDED).unwrap_or_default(),
            log: parsed(headers, pull::LOG).unwrap_or_default(),
            sampled: parsed(headers, pull::SAMPLED).unwrap_or_default(),
            cold: parsed(headers, pull::COLD).unwrap_or_default(),
            kept: headers
                .get(pull::KEPT)
                .and_then(|kept| kept.to_str().ok())
                .map(pull::parse_trace_ids)
                .unwrap_or_default(),
        }))
    }
}

/// Where to go on in other epochs that the target can tell; `None` from one without a spool.
pub(crate) fn siblings(headers: &HeaderMap) -> Option<Vec<Cursor>> {
    let text = text(headers, pull::SIBLINGS).ok().flatten()?;
    Some(pull::parse_siblings(text).take(SIBLINGS_MAX).collect())
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, AnswerError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(AnswerError::Repeated { name });
    }
    let text = value.to_str().map_err(|_| bad_value(name, value.as_bytes()))?;
    Ok(Some(text.trim()))
}

fn parsed<T: std::str::FromStr<Err = PullError>>(
    headers: &HeaderMap,
    name: &'static str,
) -> Result<Option<T>, AnswerError> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    text.parse().map(Some).map_err(|source| AnswerError::Header { name, source })
}

fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, AnswerError> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.map(Some).ok_or_else(|| bad_value(name, text.as_bytes()))
}

fn flag(headers: &HeaderMap, name: &'static str) -> Result<Option<bool>, AnswerError> {
    match text(headers, name)? {
        None => Ok(None),
        Some("0") => Ok(Some(false)),
        Some("1") => Ok(Some(true)),
        Some(text) => Err(bad_value(name, text.as_bytes())),
    }
}

fn bad_value(name: &'static str, bytes: &[u8]) -> AnswerError {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    AnswerError::Value { name, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(lines: &[(&'static str, &'static str)], has_body: bool) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        match Answer::read(&headers, has_body) {
            Ok(None) => "foreign".to_owned(),
            Ok(Some(a)) => format!(
                "next {} more {} lost {} finished {:?} dropped {} final {}",
                a.next.seq, a.more, a.lost, a.finished, a.dropped, a.is_final
            ),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn headers_make_an_answer_or_a_reason() {
        let check = |lines: &[(&'static str, &'static str)], has_body, expected: &str| {
            assert_eq!(read(lines, has_body), expected, "{lines:?}");
        };
        let range = ("sigyn-range", "9f:2-3/5");
        let next = ("sigyn-next", "9f:4");
        let plain =
            "next 4 more true lost 0 finished None dropped evicted=0,oversize=0 final false";
        check(&[], true, "foreign");
        check(&[("sigyn-clock", "5")], true, "foreign");
        check(&[range, next], true, plain);
        check(
            &[
                range,
                next,
                ("sigyn-more", "0"),
                ("sigyn-lost", "spans=7"),
                ("sigyn-finished", "12"),
                ("sigyn-dropped", "evicted=1,oversize=2,shutdown=3"),
                ("sigyn-clock", "1795414855123456789"),
                ("sigyn-final", "1"),
            ],
            true,
            "next 4 more false lost 7 finished Some(12) dropped evicted=1,oversize=2,shutdown=3 final true",
        );
        check(
            &[next],
            false,
            "next 4 more false lost 0 finished None dropped evicted=0,oversize=0 final false",
        );
        check(&[next], true, "header sigyn-range is missing");
        check(&[range], true, "header sigyn-next is missing");
        check(
            &[range, ("sigyn-next", "9f:3")],
            true,
            "next cursor 000000000000009f:3 does not follow the range 000000000000009f:2-3/5",
        );
        check(
            &[range, ("sigyn-next", "aa:4")],
            true,
            "next cursor 00000000000000aa:4 does not follow the range 000000000000009f:2-3/5",
        );
        check(&[range, next, next], true, "header sigyn-next is there twice");
        check(&[range, next, ("sigyn-more", "yes")], true, "bad header sigyn-more: \"yes\"");
        check(&[range, next, ("sigyn-lost", "7")], true, "bad header sigyn-lost");
        check(&[range, next, ("sigyn-finished", "-1")], true, "bad header sigyn-finished: \"-1\"");
        check(&[("sigyn-next", "0:1")], false, "bad header sigyn-next");
        check(
            &[range, next, ("sigyn-lost", "spans=13"), ("sigyn-finished", "12")],
            true,
            "13 spans lost of 12 finished",
        );
    }
}

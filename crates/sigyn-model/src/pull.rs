//! The pull protocol's words: cursor, range and counters, as both sides of a scrape spell them.
//!
//! `docs/formats/pull-protocol.md` says what they mean. Header names are lower case, as HTTP/2 wants them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

mod cold;
mod collect;
mod sampling;

pub use cold::Cold;
pub use collect::{
    COLLECT_IDS_MAX, TRACE_IDS_MAX, collect_body, parse_collect, parse_collect_query,
    parse_trace_ids, trace_ids,
};
pub use sampling::Sampling;

pub const SCRAPER: &str = "sigyn-scraper";
pub const CURSOR: &str = "sigyn-cursor";
pub const INTERVAL: &str = "sigyn-interval";
pub const RANGE: &str = "sigyn-range";
pub const NEXT: &str = "sigyn-next";
pub const MORE: &str = "sigyn-more";
pub const LOST: &str = "sigyn-lost";
pub const FINISHED: &str = "sigyn-finished";
pub const DROPPED: &str = "sigyn-dropped";
pub const LOG: &str = "sigyn-log";
pub const SAMPLED: &str = "sigyn-sampled";
pub const BUDGET: &str = "sigyn-budget";
pub const SAMPLING: &str = "sigyn-sampling";
pub const KEPT: &str = "sigyn-kept";
pub const COLLECT: &str = "sigyn-collect";
pub const COLD: &str = "sigyn-cold";
/// In a request `1`: the scraper asks for each epoch that an answer lists under this name.
pub const SIBLINGS: &str = "sigyn-siblings";
/// The end of the epoch that was asked for, where the answer is about another one.
pub const ENDED: &str = "sigyn-ended";
pub const CLOCK: &str = "sigyn-clock";
pub const FINAL: &str = "sigyn-final";
pub const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// Media types of bodies (section 7). Names of parameters and types are read in any case.
pub mod media {
    /// OTLP protobuf: what every target offers, and says all that a span holds.
    pub const OTLP: &str = "application/x-protobuf; \
        messageType=\"opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest\"";
    pub const ZIPKIN_PROTO3: &str =
        "application/x-protobuf; messageType=\"zipkin.proto3.ListOfSpans\"";
    pub const ZIPKIN_JSON: &str = "application/json";
    pub const OTLP_JSON: &str = "application/json; profile=\"otlp\"";
    pub const THRIFT: &str = "application/vnd.apache.thrift.compact";

    /// The type of either protobuf format, without its parameter. Alone it means OTLP.
    pub const PROTOBUF: &str = "application/x-protobuf";
    /// `messageType` of [`OTLP`].
    pub const OTLP_MESSAGE: &str =
        "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";
    /// `messageType` of [`ZIPKIN_PROTO3`].
    pub const ZIPKIN_PROTO3_MESSAGE: &str = "zipkin.proto3.ListOfSpans";
    /// `profile` of [`OTLP_JSON`].
    pub const OTLP_PROFILE: &str = "otlp";
}

/// The next segment wanted of one process lifetime (`epoch:seq`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Drawn at random once per process start; never zero.
    pub epoch: u64,
    /// The first segment of an epoch is 1.
    pub seq: u64,
}

/// Which segments a body holds, both ends included, and the newest that is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub epoch: u64,
    pub first: u64,
    pub last: u64,
    pub newest: u64,
}

/// What a target says it dropped in this epoch, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub evicted: u64,
    pub oversize: u64,
    pub shutdown: u64,
}

/// How full a target's log was when it was asked, and how long it lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Of spans that the request had not read yet.
    pub bytes: u64,
    pub max_bytes: u64,
    /// In how much time spans of late would fill all of it; `None` if that is never, or not known.
    pub lasts: Option<Duration>,
}

/// What a target leaves out, because all who read it have a budget or its log is filling; and what it applies of
/// [`Sampling`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampled {
    /// Traces of this epoch that would have begun there, and were not recorded.
    pub traces: u64,
    /// The share of those that begin there which is recorded from now on.
    pub share: f64,
    /// The share of which that is a share, and how many operations have another one; `None` if the target does not say.
    pub rate: Option<f64>,
    pub operations: Option<u64>,
}

/// A header that does not follow the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {what} from {text:?}")]
pub struct PullError {
    what: &'static str,
    text: String,
}

impl PullError {
    fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.chars().take(200).collect() }
    }
}

/// Cursors, as [`SIBLINGS`] lists them. What cannot be read is left out: a scraper that is told later loses nothing.
pub fn parse_siblings(text: &str) -> impl Iterator<Item = Cursor> + '_ {
    text.split(',').filter_map(|cursor| cursor.trim().parse().ok())
}

/// The values of `name=value,..`, in the order of these names. Others are left out: a newer side may say more.
fn named<'a, const N: usize>(text: &'a str, names: [&str; N]) -> [Option<&'a str>; N] {
    let value = |wanted: &str| {
        let mut pairs = text.split(',').filter_map(|item| item.split_once('='));
        pairs.find(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim())
    };
    names.map(value)
}

impl FromStr for Log {
    type Err = PullError;

    fn from_str(text: &str) -> Result<Self, PullError> {
        let read = || {
            let [bytes, max_bytes, lasts] = named(text, ["bytes", "max", "lasts"]);
            let seconds = |text: &str| Duration::try_from_secs_f64(text.parse().ok()?).ok();
            let lasts = match lasts {
                None => None,
                Some(text) => Some(seconds(text)?),
            };
            Some(Self { bytes: parse_count(bytes?)?, max_bytes: parse_count(max_bytes?)?, lasts })
        };
        read().ok_or_else(|| PullError::new("a log's fill (bytes=n,max=n,lasts=seconds)", text))
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes={},max={}", self.bytes, self.max_bytes)?;
        match self.lasts {
            Some(lasts) => write!(f, ",lasts={:.3}", lasts.as_secs_f64()),
            None => Ok(()),
        }
    }
}

impl FromStr for Sampled {
    type Err = PullError;

    fn from_str(text: &str) -> Result<Self, PullError> {
        let read = || {
            let [traces, share, rate, operations] =
                named(text, ["traces", "share", "rate", "operations"]);
            let share_of = |text: &str| {
                let share: f64 = text.parse().ok()?;
                (0.0..=1.0).contains(&share).then_some(share)
            };
            Some(Self {
                traces: parse_count(traces?)?,
                share: share_of(share?)?,
                rate: rate.and_then(share_of),
                operations: operations.and_then(parse_count),
            })
        };
        read().ok_or_else(|| PullError::new("what is sampled (traces=n,share=s)", text))
    }
}

impl fmt::Display for Sampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "traces={},share={}", self.traces, self.share)?;
        if let Some(rate) = self.rate {
            write!(f, ",rate={rate}")?;
        }
        if let Some(operations) = self.operations {
            write!(f, ",operations={operations}")?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = PullError;

    fn from_str(text: &str) -> Result<Self, PullError> {
        let read = || {
            let (epoch, seq) = text.split_once(':')?;
            Some(Self { epoch: parse_epoch(epoch)?, seq: parse_count(seq)? })
        };
        read().ok_or_else(|| PullError::new("a cursor (epoch:seq)", text))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}", self.epoch, self.seq)
    }
}

impl FromStr for Range {
    type Err = PullError;

    fn from_str(text: &str) -> Result<Self, PullError> {
        let read = || {
            let (epoch, rest) = text.split_once(':')?;
            let (segments, newest) = rest.split_once('/')?;
            let (first, last) = segments.split_once('-')?;
            let range = Self {
                epoch: parse_epoch(epoch)?,
                first: parse_count(first)?,
                last: parse_count(last)?,
                newest: parse_count(newest)?,
            };
            (1 <= range.first && range.first <= range.last && range.last <= range.newest)
                .then_some(range)
        };
        read().ok_or_else(|| PullError::new("a range (epoch:first-last/newest)", text))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}-{}/{}", self.epoch, self.first, self.last, self.newest)
    }
}

impl FromStr for Dropped {
    type Err = PullError;

    /// Reasons that are not known are left out: a newer target may name more.
    fn from_str(text: &str) -> Result<Self, PullError> {
        let mut dropped = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let read = || {
                let (reason, count) = item.split_once('=')?;
                Some((reason.trim(), parse_count(count.trim())?))
            };
            match read().ok_or_else(|| PullError::new("counts (reason=n,..)", text))? {
                ("evicted", n) => dropped.evicted = n,
                ("oversize", n) => dropped.oversize = n,
                ("shutdown", n) => dropped.shutdown = n,
                _ => {}
            }
        }
        Ok(dropped)
    }
}

impl fmt::Display for Dropped {
    /// `evicted` and `oversize` always, `shutdown` where it is not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evicted={},oversize={}", self.evicted, self.oversize)?;
        if self.shutdown > 0 {
            write!(f, ",shutdown={}", self.shutdown)?;
        }
        Ok(())
    }
}

/// Reads `spans=<n>`, the value of [`LOST`].
pub fn parse_lost(text: &str) -> Result<u64, PullError> {
    let count = text.trim().strip_prefix("spans=").and_then(parse_count);
    count.ok_or_else(|| PullError::new("a loss (spans=n)", text))
}

/// 1 to 16 hexadecimal digits in either case, not zero.
fn parse_epoch(text: &str) -> Option<u64> {
    let digits =
        !text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok())?.filter(|epoch| *epoch != 0)
}

/// Decimal digits alone: `parse` would also take a sign.
fn parse_count(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn media_types_are_made_of_their_parts() {
        let proto = |message: &str| format!("{}; messageType=\"{message}\"", media::PROTOBUF);
        assert_eq!(media::OTLP, proto(media::OTLP_MESSAGE));
        assert_eq!(media::ZIPKIN_PROTO3, proto(media::ZIPKIN_PROTO3_MESSAGE));
        let json = format!("{}; profile=\"{}\"", media::ZIPKIN_JSON, media::OTLP_PROFILE);
        assert_eq!(media::OTLP_JSON, json);
    }

    #[test]
    fn headers_read_back_as_written() {
        let cursor = Cursor { epoch: 0x9f3c, seq: 1042 };
        assert_eq!(cursor.to_string(), "0000000000009f3c:1042");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert_eq!("9F3C:1042".parse(), Ok(cursor));
        let range = Range { epoch: 1, first: 2, last: 3, newest: 4 };
        assert_eq!(range.to_string().parse(), Ok(range));
        let dropped = Dropped { evicted: 1, oversize: 2, shutdown: 3 };
        assert_eq!(dropped.to_string().parse(), Ok(dropped));
        assert_eq!("".parse(), Ok(Dropped::default()));
        assert_eq!(
            "new_reason=7, evicted=1".parse(),
            Ok(Dropped { evicted: 1, ..Dropped::default() })
        );
        assert_eq!(parse_lost("spans=312"), Ok(312));
        let log = Log { bytes: 7, max_bytes: 9, lasts: Some(Duration::from_millis(1500)) };
        assert_eq!(log.to_string(), "bytes=7,max=9,lasts=1.500");
        for log in [log, Log { lasts: None, ..log }] {
            assert_eq!(log.to_string().parse(), Ok(log));
        }
        let sampled = Sampled { traces: 3, share: 0.25, rate: None, operations: None };
        assert_eq!(sampled.to_string(), "traces=3,share=0.25");
        assert_eq!(sampled.to_string().parse(), Ok(sampled));
        assert_eq!("new=1, share=0.25 ,traces=3".parse(), Ok(sampled));
        let sampled = Sampled { rate: Some(0.5), operations: Some(2), ..sampled };
        assert_eq!(sampled.to_string(), "traces=3,share=0.25,rate=0.5,operations=2");
        assert_eq!(sampled.to_string().parse(), Ok(sampled));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in ["", ":", "1", "0:1", "12345678901234567:1", "g:1", "1:+1", "1:", "1:-1"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
        for text in ["1:2-1/3", "1:0-1/1", "1:1-5/3", "1:1/3", "1:1-2"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
        assert!(parse_lost("312").is_err());
        assert!("evicted=x".parse::<Dropped>().is_err());
        for text in
            ["", "bytes=1", "bytes=1,max=-2", "bytes=1,max=2,lasts=", "bytes=1,max=2,lasts=-1"]
        {
            assert!(text.parse::<Log>().is_err(), "{text}");
        }
        for text in ["", "traces=1", "traces=1,share=1.5", "traces=1,share=NaN", "traces=x,share=1"]
        {
            assert!(text.parse::<Sampled>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(text in r"[0-9a-fA-F:/=, -]{0,24}|.{0,24}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
            if let Ok(range) = text.parse::<Range>() {
                prop_assert_eq!(range.to_string().parse(), Ok(range));
            }
            if let Ok(dropped) = text.parse::<Dropped>() {
                prop_assert_eq!(dropped.to_string().parse(), Ok(dropped));
            }
            let _ = parse_lost(&text);
        }
    }
}

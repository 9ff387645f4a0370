//! Values in a filter: what they equal, and what they are less than.

use std::cmp::Ordering;
use std::time::Duration;

use regex::{Regex, RegexBuilder};

/// A value that is compared for equality.
#[derive(Clone, Debug)]
pub(super) struct Literal {
    text: String,
    /// As it reads where it stands without quotes and is not a name.
    number: Option<Number>,
    duration: Option<Duration>,
}

/// A number as tags have them. Whole numbers keep all their digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(i64),
    Real(f64),
}

/// A regular expression that the whole text must match, as in Prometheus.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

/// What a text is in comparisons: of two that are equal in any of them both are the same here. (The
/// reverse does not hold.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alike<'a> {
    /// The bits of a double.
    Number(u64),
    /// In nanoseconds.
    Duration(u64),
    Text(&'a str),
}

impl<'a> Alike<'a> {
    pub fn of(text: &'a str) -> Self {
        if let Some(number) = Number::read(text) {
            // Both zeros are one.
            return Self::Number((number.real() + 0.0).to_bits());
        }
        let nanos = duration(text).and_then(|duration| u64::try_from(duration.as_nanos()).ok());
        nanos.map_or(Self::Text(text), Self::Duration)
    }

    /// That of a number's text.
    pub fn of_whole(number: i64) -> Self {
        Self::Number((number as f64 + 0.0).to_bits())
    }
}

impl Literal {
    pub(super) fn exact(text: String) -> Self {
        Self { text, number: None, duration: None }
    }

    /// One that a number or a duration written otherwise equals, too.
    pub(super) fn typed(text: String) -> Self {
        Self { number: Number::read(&text), duration: duration(&text), text }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn equals(&self, text: &str) -> bool {
        let is_equal = |number: Number| {
            let other = Number::read(text).and_then(|other| other.compare(number));
            other == Some(Ordering::Equal)
        };
        text == self.text
            || self.number.is_some_and(is_equal)
            || self.duration.is_some_and(|one| duration(text) == Some(one))
    }
}

impl Number {
    pub(super) fn of(count: u64) -> Self {
        i64::try_from(count).map_or(Self::Real(count as f64), Self::Whole)
    }

    /// A decimal number and nothing else: `-12`, `0.5`, `1e9`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits.bytes().next()?.is_ascii_digit() || digits.len() > 400 {
            return None;
        }
        if let Ok(whole) = text.parse() {
            return Some(Self::Whole(whole));
        }
        let is_decimal =
            |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+');
        if !digits.bytes().all(is_decimal) {
            return None;
        }
        text.parse().ok().filter(|real: &f64| real.is_finite()).map(Self::Real)
    }

    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (a, b) => a.real().partial_cmp(&b.real()),
        }
    }

    fn real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// A duration with its units: `250ms`, `1.5s`, `1m30s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut nanos = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let unit_at = rest.find(|c: char| !is_number(c)).filter(|at| *at > 0)?;
        let (number, after) = rest.split_at(unit_at);
        let end = after.find(is_number).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(decimal(number, *unit_ns)?)?;
        rest = next;
    }
    (!text.is_empty()).then(|| Duration::from_nanos(nanos))
}

/// So many units of so many nanoseconds, without what is less than one.
fn decimal(number: &str, unit_ns: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    // More digits behind the point say less than a nanosecond of a day.
    let part = part.get(..15).unwrap_or(part);
    let scale = 10u128.pow(u32::try_from(part.len()).ok()?);
    let part = part.parse::<u64>().ok()?;
    let nanos = u128::from(whole.parse::<u64>().ok()?) * u128::from(unit_ns)
        + u128::from(part) * u128::from(unit_ns) / scale;
    u64::try_from(nanos).ok()
}

impl Pattern {
    /// Names are lower case, so that the pattern's case says nothing.
    pub(super) fn new(text: &str, is_name: bool) -> Result<Self, String> {
        /// What a compiled expression may take.
        const BYTES_MAX: usize = 256 << 10;
        // As it is first: brackets that close too early must not be completed by ours.
        let build = |text: &str| {
            RegexBuilder::new(text).case_insensitive(is_name).size_limit(BYTES_MAX).build()
        };
        let built = build(text).and_then(|_| build(&format!("^(?s:{text})$")));
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "this pattern takes too much memory".to_owned(),
            error => {
                let told = error.to_string();
                let last = told.lines().last().unwrap_or("").trim();
                format!("no regular expression: {}", last.trim_start_matches("error: "))
            }
        })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

//! Durations and sizes as Prometheus writes them: `1m30s`, `64MB`.

use std::time::Duration;

use crate::labels::quoted;

/// Why a text is no duration or size. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// An empty text where a duration is due.
    #[error("empty duration string")]
    EmptyDuration,
    /// Not `[0-9]+unit`, repeated, with falling units.
    #[error("not a valid duration string: {}", quoted(.0))]
    Duration(String),
    /// A number with a unit that there is not.
    #[error("unknown unit {} in duration {}", quoted(.unit), quoted(.text))]
    DurationUnit {
        /// What stands where the unit is due.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// Longer than 292 years.
    #[error("duration out of range")]
    DurationRange,
    /// A size without a known unit, or with none.
    #[error("units: unknown unit {unit} in {text}")]
    Unit {
        /// What stands where the unit is due.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// A size that is no number.
    #[error("units: invalid {}", .0)]
    Size(String),
}

const UNITS_MS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The longest duration Prometheus can hold: a signed 64-bit count of nanoseconds.
const DURATION_MAX: Duration = Duration::from_nanos(i64::MAX as u64);

/// Reads `1h30m`, `15s`, `0`. Units are y, w, d, h, m, s, ms; each at most once, largest first.
///
/// ```
/// use sigyn_discovery::config::{format_duration, parse_duration};
/// use std::time::Duration;
///
/// let duration = parse_duration("90s").unwrap();
/// assert_eq!(duration, Duration::from_secs(90));
/// assert_eq!(format_duration(duration), "1m30s");
/// assert_eq!(parse_duration("90").unwrap_err().to_string(), r#"not a valid duration string: "90""#);
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    match text {
        "0" => return Ok(Duration::ZERO),
        "" => return Err(UnitError::EmptyDuration),
        _ => {}
    }
    let invalid = || UnitError::Duration(text.to_owned());
    let mut total = Duration::ZERO;
    let mut units = UNITS_MS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        if !UNITS_MS.iter().any(|(name, _)| *name == unit) {
            let (unit, text) = (unit.to_owned(), text.to_owned());
            return Err(UnitError::DurationUnit { unit, text });
        }
        // The iterator goes on from the unit before, which is what keeps units in falling order.
        let (_, unit_ms) = units.find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        total = number
            .checked_mul(*unit_ms)
            .and_then(|ms| total.checked_add(Duration::from_millis(ms)))
            .filter(|total| *total <= DURATION_MAX)
            .ok_or(UnitError::DurationRange)?;
        rest = tail;
    }
    Ok(total)
}

/// Writes a duration as Prometheus does: largest unit first, and years and weeks only if nothing
/// remains (`2w`, but `90d`).
pub fn format_duration(duration: Duration) -> String {
    let mut ms = duration.as_millis();
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, unit_ms) in UNITS_MS {
        let unit_ms = u128::from(unit_ms);
        let exact_only = matches!(unit, "y" | "w");
        if ms < unit_ms || (exact_only && !ms.is_multiple_of(unit_ms)) {
            continue;
        }
        out.push_str(&format!("{}{unit}", ms / unit_ms));
        ms %= unit_ms;
    }
    out
}

/// Writes a size as Prometheus does, in whole units of 1024: `5GiB`, `1KiB512B`.
///
/// ```
/// use sigyn_discovery::config::format_size;
///
/// assert_eq!(format_size(5 << 30), "5GiB");
/// assert_eq!(format_size(1536), "1KiB512B");
/// assert_eq!(format_size(0), "0B");
/// ```
pub fn format_size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 7] =
        [("EiB", 60), ("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
    if bytes == 0 {
        return "0B".to_owned();
    }
    let mut rest = bytes;
    let mut out = String::new();
    for (unit, shift) in UNITS {
        let count = rest >> shift;
        if count > 0 {
            out.push_str(&format!("{count}{unit}"));
            rest -= count << shift;
        }
    }
    out
}

/// Reads a size: a number and a unit, where `KB` and `KiB` both mean 1024 bytes.
///
/// ```
/// use sigyn_discovery::config::parse_size;
///
/// assert_eq!(parse_size("64MB"), Ok(64 << 20));
/// assert_eq!(parse_size("10").unwrap_err().to_string(), "units: unknown unit  in 10");
/// ```
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    const UNITS: [(&str, i32); 13] = [
        ("B", 0),
        ("KB", 10),
        ("KiB", 10),
        ("MB", 20),
        ("MiB", 20),
        ("GB", 30),
        ("GiB", 30),
        ("TB", 40),
        ("TiB", 40),
        ("PB", 50),
        ("PiB", 50),
        ("EB", 60),
        ("EiB", 60),
    ];
    let invalid = || UnitError::Size(text.to_owned());
    let unsigned = text.trim_start_matches(['+', '-']);
    // A negative size is no limit, like 0.
    let negative = text.starts_with('-');
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let shift = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, shift)| *shift);
        let shift = shift
            .ok_or_else(|| UnitError::Unit { unit: unit.to_owned(), text: text.to_owned() })?;
        total += number * 2f64.powi(shift);
        rest = tail;
    }
    if negative {
        return Ok(0);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; saturates above 2^64"
    )]
    let bytes = total as u64;
    Ok(bytes)
}

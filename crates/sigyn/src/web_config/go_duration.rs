//! Durations as Go's `time.ParseDuration` reads them, which is not how Prometheus' other files have
//! them: fractions are allowed, days are not.

use std::time::Duration;

const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3_600.0),
];

/// Reads a duration. A number without a unit is nanoseconds, as YAML's numbers are in Go. `None` is
/// what is not longer than zero.
pub(super) fn parse(text: &str) -> Result<Option<Duration>, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Ok(nanoseconds) = unsigned.parse::<u64>() {
        let duration = Duration::from_nanos(nanoseconds);
        return Ok(Some(duration).filter(|duration| !is_negative && !duration.is_zero()));
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let (mut seconds, mut rest) = (0.0, unsigned);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        seconds += number * factor;
        rest = after;
    }
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| invalid())?;
    Ok(Some(duration).filter(|duration| !is_negative && !duration.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_and_may_have_fractions() {
        let check = |text: &str, expected: Option<u64>| {
            let expected = expected.map(Duration::from_nanos);
            assert_eq!(parse(text), Ok(expected), "{text}");
        };
        check("1s", Some(1_000_000_000));
        check("1.5s", Some(1_500_000_000));
        check(".5s", Some(500_000_000));
        check("1h2m3s", Some(3_723_000_000_000));
        check("5ms", Some(5_000_000));
        check("2us", Some(2_000));
        check("2µs", Some(2_000));
        check("+7ns", Some(7));
        check("7", Some(7));
        for none in ["0", "0s", "-1s", "-5", "0h0m"] {
            check(none, None);
        }
        for text in ["", "s", "1 s", "1d", "1x", "1.2.3s", ".s", "-", "1s2", "∞"] {
            assert_eq!(parse(text), Err(format!("time: invalid duration {text:?}")));
        }
    }
}

//! Times and amounts as a person reads them.

use anyhow::Context as _;

/// Three significant figures and a unit: `153 ms`, `25 µs`, `1.48 s`, `2 min 3 s`.
pub(super) fn duration(us: u64) -> String {
    let figures = |value: f64, unit: &str| {
        let digits = if value >= 100.0 {
            0
        } else if value >= 10.0 {
            1
        } else {
            2
        };
        let text = format!("{value:.digits$}");
        let text = if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.')
        } else {
            &text
        };
        format!("{text} {unit}")
    };
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..999_500 => figures(us as f64 / 1e3, "ms"),
        999_500..60_000_000 => figures(us as f64 / 1e6, "s"),
        _ => match us / 1_000_000 % 60 {
            0 => format!("{} min", us / 60_000_000),
            seconds => format!("{} min {seconds} s", us / 60_000_000),
        },
    }
}

/// `3.4 s ago`, from two times in microseconds.
pub(super) fn ago(now_us: u64, then_us: u64) -> String {
    let seconds = now_us.saturating_sub(then_us) as f64 / 1e6;
    match seconds {
        s if s < 60.0 => format!("{s:.1} s ago"),
        s if s < 3600.0 => format!("{:.0} min ago", s / 60.0),
        s if s < 48.0 * 3600.0 => format!("{:.0} h ago", s / 3600.0),
        s => format!("{:.0} d ago", s / 86400.0),
    }
}

/// `88,123,104`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Microseconds since 1970 of an RFC 3339 time, if it is one.
pub(super) fn rfc3339_us(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_microsecond()).ok()
}

/// Local form of a time, to the millisecond, in UTC.
pub(crate) fn clock(us: u64) -> String {
    let time = i64::try_from(us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    time.map_or_else(|| us.to_string(), |time| format!("{time:.3}"))
}

/// The end of a search: RFC 3339, or milliseconds since 1970.
pub(crate) fn end_ms(text: &str) -> anyhow::Result<u64> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let us = rfc3339_us(text);
    us.map(|us| us / 1_000)
        .with_context(|| format!("{text:?} is neither RFC 3339 nor milliseconds since 1970"))
}

/// Milliseconds of a duration, as HTTP has them.
pub(super) fn duration_ms(text: &str) -> anyhow::Result<String> {
    Ok((duration_us(text)? / 1_000).to_string())
}

pub(crate) fn now_us() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0)
}

/// Microseconds of `250ms`, `1.5s`, `20us` or a Prometheus duration.
pub(crate) fn duration_us(text: &str) -> anyhow::Result<u64> {
    let units = [
        ("us", 1.0),
        ("µs", 1.0),
        ("ms", 1e3),
        ("s", 1e6),
        ("m", 6e7),
        ("h", 3.6e9),
        ("d", 8.64e10),
    ];
    let unit = units.iter().find_map(|(unit, us)| {
        let number = text.strip_suffix(unit)?;
        number
            .bytes()
            .all(|b| b.is_ascii_digit() || b == b'.')
            .then(|| number.parse::<f64>().ok())?
            .map(|n| n * us)
    });
    let us = unit.with_context(|| format!("{text:?} is no duration: write 250ms, 1.5s, 2h"))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; saturates"
    )]
    let us = us.round() as u64;
    Ok(us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_figures() {
        let check = |us: u64, expected: &str| assert_eq!(duration(us), expected);
        check(25, "25 µs");
        check(900, "900 µs");
        check(5_460, "5.46 ms");
        check(153_000, "153 ms");
        check(40_300, "40.3 ms");
        check(999_600, "1 s");
        check(1_480_000, "1.48 s");
        check(123_000_000, "2 min 3 s");
        check(60_000_000, "1 min");
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        let check = |text: &str, us: u64| assert_eq!(duration_us(text).unwrap(), us, "{text}");
        check("250ms", 250_000);
        check("1.5s", 1_500_000);
        check("20us", 20);
        check("2h", 7_200_000_000);
        assert!(duration_us("5").is_err());
        assert!(duration_us("-5s").is_err());
        assert!(duration_us("ms").is_err());
    }

    #[test]
    fn counts_are_grouped_by_three() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(88_123_104), "88,123,104");
    }
}

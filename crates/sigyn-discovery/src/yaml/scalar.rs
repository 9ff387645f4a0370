//! What plain scalars stand for in YAML 1.1.

/// What YAML takes a plain text for.
pub(super) fn tag(text: &str) -> &'static str {
    let number = text.bytes().any(|byte| byte.is_ascii_digit());
    if number && text.parse::<i128>().is_ok() {
        "!!int"
    } else if number && text.parse::<f64>().is_ok() {
        "!!float"
    } else if boolean(text).is_some() {
        "!!bool"
    } else {
        "!!str"
    }
}

/// A truth value: `yes`, `On`, `FALSE`, `n`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(false)
        }
        _ => None,
    }
}

/// A number, also one that has an end: `1`, `-1.5e3`, `.inf`.
pub(super) fn float(text: &str) -> Option<f64> {
    match text.trim_start_matches(['+', '-']) {
        ".inf" | ".Inf" | ".INF" => Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        unsigned if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            text.replace('_', "").parse().ok()
        }
        _ => None,
    }
}

/// A YAML 1.1 integer: decimal, `0x1f`, `0o17`, `017`, `0b11`, with `_` between digits. A float
/// counts by its whole part, as it does for Prometheus.
pub(super) fn integer(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text).replace('_', "");
    let radix = |prefix: &str, radix| {
        digits.strip_prefix(prefix).and_then(|rest| u64::from_str_radix(rest, radix).ok())
    };
    if let Some(number) = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
        .or_else(|| radix("0", 8))
    {
        return Some(number);
    }
    if let Ok(number) = digits.parse() {
        return Some(number);
    }
    let number: f64 = digits.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; saturates above 2^64"
    )]
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

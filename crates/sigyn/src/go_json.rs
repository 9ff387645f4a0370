//! JSON as Go's `encoding/json` writes it, which is what readers of Prometheus' answers compare with.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// Escapes in a whole JSON text what Go escapes in it: all of it can stand in strings only.
pub(crate) fn escaped(json: String) -> String {
    const ESCAPES: [(char, &str); 5] = [
        ('&', "\\u0026"),
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ];
    if !json.contains(ESCAPES.map(|(c, _)| c)) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + json.len() / 8);
    for c in json.chars() {
        match ESCAPES.iter().find(|(escaped, _)| *escaped == c) {
            Some((_, escape)) => out.push_str(escape),
            None => out.push(c),
        }
    }
    out
}

/// The same of anything that becomes JSON, with numbers as Go writes them.
pub(crate) fn to_string(data: &impl Serialize) -> serde_json::Result<String> {
    let mut json = Vec::new();
    data.serialize(&mut Serializer::with_formatter(&mut json, Numbers))?;
    String::from_utf8(json).map(escaped).map_err(serde::ser::Error::custom)
}

/// Compact, but for floating-point numbers.
struct Numbers;

impl Formatter for Numbers {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size != 0.0 && size < 1e-6 {
            write!(writer, "{value:e}")
        } else if size >= 1e21 {
            // All that are so large have an exponent above zero, and Go says so.
            writer.write_all(format!("{value:e}").replace('e', "e+").as_bytes())
        } else {
            write!(writer, "{value}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_by_go() {
        // What `json.Marshal` makes of each.
        let check = |value: f64, expected: &str| assert_eq!(to_string(&value).unwrap(), expected);
        check(0.0, "0");
        check(-0.0, "-0");
        check(1.0, "1");
        check(0.1, "0.1");
        check(2.3e-6, "0.0000023");
        check(1e-6, "0.000001");
        check(9.99e-7, "9.99e-7");
        check(-1e-7, "-1e-7");
        check(1.5e-300, "1.5e-300");
        check(123_456_789.125, "123456789.125");
        check(1e20, "100000000000000000000");
        check(1e21, "1e+21");
        check(-1.25e22, "-1.25e+22");
        check(f64::MAX, "1.7976931348623157e+308");
    }

    #[test]
    fn what_html_and_javascript_trip_over_is_escaped() {
        let check = |text: &str, expected: &str| {
            let json = serde_json::to_string(text).unwrap();
            let escaped = escaped(json);
            assert_eq!(escaped, expected);
            assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        };
        check("plain \"é\" \\", r#""plain \"é\" \\""#);
        check("<secret>?a=1&b", r#""\u003csecret\u003e?a=1\u0026b""#);
        check("\u{2028}\u{2029}\u{7f}", "\"\\u2028\\u2029\u{7f}\"");
        check("", "\"\"");
    }
}

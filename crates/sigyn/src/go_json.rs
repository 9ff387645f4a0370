//! JSON as Go's `encoding/json` writes it, which is what readers of Prometheus' answers compare with.

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

#[cfg(test)]
mod tests {
    use super::*;

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

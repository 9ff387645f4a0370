//! Environment variables in external labels, as Go's `os.Expand` reads them.

/// Replaces `$NAME` and `${NAME}` by what `lookup` says, and `$$` by `$`.
pub(super) fn expand(text: &str, mut lookup: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, length) = name(after);
        match (name, length) {
            // A `$` before something that is no name stays; broken braces vanish.
            ("", 0) => out.push('$'),
            ("", _) => {}
            ("$", _) => out.push('$'),
            (name, _) => out.push_str(&lookup(name)),
        }
        rest = &after[length..];
    }
    out.push_str(rest);
    out
}

/// The variable's name that `text` begins with, and how many bytes it takes with its braces.
fn name(text: &str) -> (&str, usize) {
    let is_special = |c: char| matches!(c, '*' | '#' | '$' | '@' | '!' | '?' | '-' | '0'..='9');
    if let Some(braced) = text.strip_prefix('{') {
        return match braced.find('}') {
            Some(0) => ("", 2),
            Some(end) => (&braced[..end], end + 2),
            None => ("", 1),
        };
    }
    if text.starts_with(is_special) {
        return (&text[..1], 1);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (&text[..end], end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansion_follows_go() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$A", "<A>"),
            ("a${A}b", "a<A>b"),
            ("$A_1-$B", "<A_1>-<B>"),
            ("$$A", "$A"),
            ("$1x", "<1>x"),
            ("a$", "a$"),
            ("$ a", "$ a"),
            ("${}", ""),
            ("${A", "A"),
            ("${A-b}", "<A-b>"),
            ("$é", "$é"),
        ] {
            assert_eq!(expand(text, |name| format!("<{name}>")), expected, "{text:?}");
        }
    }
}

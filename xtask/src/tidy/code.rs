//! Rust text with everything blanked that is no code, so that rules about code can look for words.

/// Replaces comments and the contents of string and character literals by spaces. Lines stay where they are.
pub(super) fn without_comments_and_literals(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    let mut previous = ' ';
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            'r' if !is_word(previous) => raw_string(rest).unwrap_or(0),
            'b' | 'c' if !is_word(previous) => {
                raw_string(&rest[1..]).map_or(0, |length| length + 1)
            }
            '\'' => character(rest),
            _ => 0,
        };
        let (blanked, after) = rest.split_at(length);
        out.extend(blanked.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
        previous = if length == 0 { first } else { ' ' };
    }
    out
}

/// Whether a character may be part of a Rust name.
pub(super) fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Whether `word` stands in `line`, and not only as a part of a longer one.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Bytes of a literal that opens with `"`, its end included.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Bytes of a literal that opens with `r"` or `r#"`.
fn raw_string(text: &str) -> Option<usize> {
    let after_r = text.strip_prefix('r')?;
    let hashes = after_r.len() - after_r.trim_start_matches('#').len();
    let body = after_r[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(1 + hashes + 1 + length)
}

/// Bytes of a character literal, 0 if the quote begins a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        // The end of an escape is the first quote after the escaped character.
        Some((_, '\\')) => {
            text.char_indices().skip(3).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1)
        }
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let code = without_comments_and_literals(text);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words.join(" "), expected, "{text}");
        assert_eq!(code.matches('\n').count(), text.matches('\n').count(), "{text}");
    }

    #[test]
    fn only_code_is_left() {
        check("let a = 1; // why\nlet b;", "let a = 1; let b;");
        check("/// doc `x`\nfn f() {}", "fn f() {}");
        check("a /* one /* two\n */ */ b", "a b");
        check(r#"f("quoted \" // not a comment", x)"#, "f( , x)");
        check(r####"f(r#"raw " text"#, br"bytes\", c"c")"####, "f( , , c )");
        check("let s = \"two\nlines\"; g()", "let s = ; g()");
        check(
            r"match c { '\'' | '\\' | '\u{1F600}' | '\'' | 'é' | '\n' => 'x', }",
            "match c { | | | | | => , }",
        );
        check("fn f<'a>(x: &'a str, y: &'static str)", "fn f<'a>(x: &'a str, y: &'static str)");
        check("for bar in r {}", "for bar in r {}");
        check("unclosed \"", "unclosed");
    }

    #[test]
    fn a_word_ends_where_a_name_ends() {
        assert!(has_word("use sigyn_store::Store;", "sigyn_store"));
        assert!(has_word("sigyn_store", "sigyn_store"));
        assert!(!has_word("use sigyn_store_tools;", "sigyn_store"));
        assert!(!has_word("not_sigyn_store()", "sigyn_store"));
    }
}

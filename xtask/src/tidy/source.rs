//! Rules about one file: its opening sentence, its white space, its size, and where `unsafe` may stand.

use super::Finding;
use super::code::has_word;

/// A file nobody means to commit is larger than this; the largest we mean to is a test trace of 0.6 MB.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// Beyond this many lines two nouns may share a file. A warning, for size is a smell and not a rule.
const RUST_LINES_MAX: usize = 600;

/// The only modules with `unsafe` in them: files, and folders ending in `/`.
const UNSAFE_MODULES: [&str; 5] = [
    "crates/sigyn-packet/src/capture.rs",
    "crates/sigyn-packet/src/capture/",
    "crates/sigyn-model/src/codec/scan.rs",
    "crates/sigyn-model/src/codec/scan/",
    "crates/sigyn-recorder/src/spool/map.rs",
];

/// Every Rust file says first what it is for.
pub(super) fn opens_with_a_sentence(path: &str, text: &str) -> Option<Finding> {
    let paragraph: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("//! "))
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    if paragraph.is_empty() {
        return Some(Finding::new(path, 1, "does not open with a `//!` sentence"));
    }
    let ends = paragraph.last().is_some_and(|line| line.ends_with(['.', ':', '!', '?', ')']));
    (!ends).then(|| {
        Finding::new(
            path,
            paragraph.len(),
            "its opening `//!` paragraph is not a sentence: it does not end",
        )
    })
}

pub(super) fn whitespace(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        if line.contains('\t') {
            findings.push(Finding::new(path, index + 1, "has a tab"));
        }
        if line.ends_with([' ', '\t', '\r']) {
            findings.push(Finding::new(path, index + 1, "ends in white space"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::new(path, 0, "does not end in a newline"));
    }
    findings
}

/// What a merge leaves where both sides changed something. A line of `=` alone may be many things.
pub(super) fn has_no_conflict(path: &str, text: &str) -> Vec<Finding> {
    let is_side =
        |line: &str| ["<", ">", "|"].iter().any(|mark| line.starts_with(&(mark.repeat(7) + " ")));
    if !text.lines().any(is_side) {
        return Vec::new();
    }
    let is_mark = |line: &str| is_side(line) || line == "=".repeat(7);
    let marks = text.lines().enumerate().filter(|(_, line)| is_mark(line));
    marks.map(|(index, _)| Finding::new(path, index + 1, "has the mark of a merge")).collect()
}

/// `code` has neither comments nor literals. The compiler denies `unsafe` too, but a file could ask it not to.
pub(super) fn has_no_unsafe(path: &str, code: &str) -> Vec<Finding> {
    if UNSAFE_MODULES
        .iter()
        .any(|module| path == *module || (module.ends_with('/') && path.starts_with(module)))
    {
        return Vec::new();
    }
    let lines = code.lines().enumerate();
    // To forbid it is what is wanted.
    let lines = lines.filter(|(_, line)| !line.contains("forbid(unsafe_code)"));
    let unsafe_lines =
        lines.filter(|(_, line)| has_word(line, "unsafe") || has_word(line, "unsafe_code"));
    unsafe_lines
        .map(|(index, _)| {
            Finding::new(path, index + 1, "`unsafe` outside the modules that may have it")
        })
        .collect()
}

pub(super) fn is_small_enough(path: &str, bytes: u64) -> Option<Finding> {
    (bytes > FILE_BYTES_MAX)
        .then(|| Finding::new(path, 0, format!("has {bytes} bytes, more than {FILE_BYTES_MAX}")))
}

pub(super) fn is_short(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    (lines > RUST_LINES_MAX)
        .then(|| Finding::new(path, 0, format!("has {lines} lines: do two nouns share it?")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::code::without_comments_and_literals;

    fn messages(findings: impl IntoIterator<Item = Finding>) -> Vec<String> {
        findings.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_file_opens_with_a_sentence() {
        assert!(
            opens_with_a_sentence("a.rs", "//! What this is for.\n\nuse std::fmt;\n").is_none()
        );
        assert!(
            opens_with_a_sentence(
                "a.rs",
                "//! What this is for,\n//! in two lines.\n//!\n//! More\n"
            )
            .is_none()
        );
        for text in
            ["", "use std::fmt;\n", "//!\n//! Late.\n", "// A comment.\n", "\n//! After a gap.\n"]
        {
            assert_eq!(
                messages(opens_with_a_sentence("a.rs", text)),
                ["a.rs:1: does not open with a `//!` sentence"],
                "{text:?}"
            );
        }
        assert!(opens_with_a_sentence("a.rs", "//! Helpers\nuse std::fmt;\n").is_some());
    }

    #[test]
    fn white_space_is_what_it_seems() {
        assert!(whitespace("a.md", "fine\n\nfine\n").is_empty());
        assert_eq!(messages(whitespace("a.md", "one \ntwo\n")), ["a.md:1: ends in white space"]);
        assert_eq!(messages(whitespace("a.md", "one\n\ttwo\n")), ["a.md:2: has a tab"]);
        assert_eq!(messages(whitespace("a.md", "one\r\n")), ["a.md:1: ends in white space"]);
        assert_eq!(messages(whitespace("a.md", "one")), ["a.md: does not end in a newline"]);
    }

    #[test]
    fn what_a_merge_left_is_found() {
        let mark = |mark: &str| mark.repeat(7);
        let ours = format!("{} HEAD", mark("<"));
        let theirs = format!("{} other", mark(">"));
        let text = format!("a\n{ours}\nb\n{}\nc\n{theirs}\n", mark("="));
        let found = ["a.md:2", "a.md:4", "a.md:6"]
            .map(|place| place.to_owned() + ": has the mark of a merge");
        assert_eq!(messages(has_no_conflict("a.md", &text)), found);
        for fine in [format!("Title\n{}\n", mark("=")), mark("<"), format!("{}>", mark(">"))] {
            assert!(has_no_conflict("a.md", &fine).is_empty(), "{fine}");
        }
    }

    #[test]
    fn unsafe_stays_in_its_modules() {
        let code = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(
            messages(has_no_unsafe("a.rs", code)),
            ["a.rs:2: `unsafe` outside the modules that may have it"]
        );
        assert!(has_no_unsafe("a.rs", "#![forbid(unsafe_code)]\n").is_empty());
        assert_eq!(has_no_unsafe("a.rs", "#![allow(unsafe_code)]\n").len(), 1);
        assert!(has_no_unsafe("crates/sigyn-recorder/src/spool/map.rs", code).is_empty());
        let spoken_of =
            without_comments_and_literals("// unsafe { }\nlet s = \"unsafe\"; let unsafely = 1;\n");
        assert!(has_no_unsafe("a.rs", &spoken_of).is_empty());
    }

    #[test]
    fn sizes_have_bounds() {
        assert!(is_small_enough("a.json", FILE_BYTES_MAX).is_none());
        assert!(is_small_enough("a.json", FILE_BYTES_MAX + 1).is_some());
        assert!(is_short("a.rs", &"\n".repeat(RUST_LINES_MAX)).is_none());
        assert!(is_short("a.rs", &"\n".repeat(RUST_LINES_MAX + 1)).is_some());
    }
}

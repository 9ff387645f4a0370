//! RE2 patterns on top of the `regex` crate.

use regex::{Captures, RegexBuilder};

/// The memory a compiled pattern may take.
const SIZE_MAX: usize = 10 << 20;

/// A compiled pattern that matches a whole text, as in `^(?s:pattern)$`.
#[derive(Clone, Debug)]
pub(super) struct Regex {
    pattern: String,
    regex: regex::Regex,
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {message}")]
pub struct RegexError {
    message: String,
}

impl Regex {
    pub(super) fn new(pattern: &str) -> Result<Self, RegexError> {
        let translated = pattern;
        let regex = RegexBuilder::new(&format!("^(?s:{translated})$"))
            .size_limit(SIZE_MAX)
            .build()
            .map_err(|error| RegexError { message: error.to_string() })?;
        Ok(Self { pattern: pattern.to_owned(), regex })
    }

    /// The pattern as written.
    pub(super) fn as_str(&self) -> &str {
        &self.pattern
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.regex.captures(text)
    }

    /// The group that `name` refers to in a template: an index, or a group's name.
    pub(super) fn group(&self, name: &str) -> Option<usize> {
        let is_index = name.bytes().all(|byte| byte.is_ascii_digit())
            && (name == "0" || !name.starts_with('0'));
        if is_index {
            return name.parse().ok().filter(|group| *group < self.regex.captures_len());
        }
        self.regex.capture_names().position(|group| group == Some(name))
    }
}

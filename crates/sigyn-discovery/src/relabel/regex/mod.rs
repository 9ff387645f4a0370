//! Patterns in RE2's syntax, which is Go's and so Prometheus', run by the `regex` crate.
//!
//! The two agree on most of the syntax, and where they do not, the crate would take many patterns
//! for something else (`\d` would match Devanagari digits, `[a&&b]` nothing). So a pattern is
//! parsed as Go parses it, and written anew in the crate's terms.

mod pieces;
mod translate;

use ::regex::{Captures, RegexBuilder};

use self::translate::translate;

/// The memory a compiled pattern may take: Go repeats nothing more than 1000 times, and a thousand of
/// Unicode's letters take 60 MB.
const SIZE_MAX: usize = 64 << 20;

/// How deep groups may be nested; Go's limit.
const NEST_MAX: u32 = 1000;

/// A compiled pattern that matches whole texts only, as if it stood in `^(?s:` and `)$`.
#[derive(Clone, Debug)]
pub struct Regex {
    pattern: String,
    regex: ::regex::Regex,
    /// Of each group, beginning with the whole match.
    names: Vec<Option<String>>,
}

/// Why a pattern is refused, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {message}")]
pub struct RegexError {
    message: String,
}

impl RegexError {
    fn new(problem: &str, at: &str) -> Self {
        Self { message: format!("{problem}: `{at}`") }
    }
}

impl Regex {
    /// Compiles a pattern, if it is one in Go.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let anchored = format!("^(?s:{pattern})$");
        let translated = translate(&anchored)?;
        let regex = RegexBuilder::new(&translated.pattern)
            .size_limit(SIZE_MAX)
            .nest_limit(NEST_MAX)
            .build()
            .map_err(|_too_large| RegexError::new("expression too large", &anchored))?;
        Ok(Self { pattern: pattern.to_owned(), regex, names: translated.names })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Whether it matches the whole of a text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.regex.captures(text)
    }

    /// The groups that `name` refers to in a template: one by its index, or all of that name.
    pub(super) fn groups(&self, name: &str) -> Vec<usize> {
        let is_index = name.bytes().all(|byte| byte.is_ascii_digit())
            && (name == "0" || !name.starts_with('0'));
        if is_index {
            return name
                .parse()
                .ok()
                .filter(|group| *group < self.names.len())
                .into_iter()
                .collect();
        }
        let named =
            self.names.iter().enumerate().filter(|(_, group)| group.as_deref() == Some(name));
        named.map(|(index, _)| index).collect()
    }
}

/// Patterns are equal if they are written alike.
impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Regex {}

#[cfg(test)]
mod tests;

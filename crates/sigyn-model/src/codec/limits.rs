//! How much one message may hold, and how long a text about it may be.

use std::borrow::Cow;

use crate::{Span, Value};

/// Annotations of one span; further ones are counted in `dropped_annotations`.
pub(crate) const ANNOTATIONS_MAX: usize = 10_000;
/// Links of one span; further ones are counted in `dropped_links`.
pub(crate) const LINKS_MAX: usize = 10_000;

/// A message is small beside the spans that it may become: 25 bytes of JSON are a whole span, two
/// bytes of protobuf an annotation. Whoever reads from strangers bounds both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub spans_max: usize,
    /// The message itself, and what its spans take in memory beside their texts, as far as that
    /// can be known while they are read.
    pub bytes_max: usize,
}

impl Default for Limits {
    /// No limits.
    fn default() -> Self {
        Self { spans_max: usize::MAX, bytes_max: usize::MAX }
    }
}

/// Which limit a message breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverLimit {
    #[error("more than {0} spans in one message")]
    Spans(usize),
    #[error("more than {0} bytes of spans in one message")]
    Bytes(usize),
    #[error("more than {0} bad spans in one message")]
    Problems(usize),
}

/// What has been read of one message so far.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    spans: usize,
    bytes: usize,
}

impl Meter {
    pub(crate) fn new(limits: Limits, body_bytes: usize) -> Result<Self, OverLimit> {
        let mut meter = Self { limits, spans: 0, bytes: 0 };
        // All texts that will be copied stand there.
        meter.add(body_bytes)?;
        Ok(meter)
    }

    pub(crate) fn add_span(&mut self) -> Result<(), OverLimit> {
        self.spans += 1;
        if self.spans > self.limits.spans_max {
            return Err(OverLimit::Spans(self.limits.spans_max));
        }
        self.add(size_of::<Span>())
    }

    pub(crate) fn add_tags(&mut self, count: usize) -> Result<(), OverLimit> {
        self.add(count.saturating_mul(size_of::<(String, Value)>()))
    }

    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), OverLimit> {
        self.bytes = self.bytes.saturating_add(bytes);
        let over = self.bytes > self.limits.bytes_max;
        if over { Err(OverLimit::Bytes(self.limits.bytes_max)) } else { Ok(()) }
    }
}

/// The beginning of a text, with an ellipsis where it was longer. Messages quote what was sent, and
/// a body of megabytes must not come back as a message of megabytes.
pub(crate) fn shortened(text: &str, chars_max: usize) -> Cow<'_, str> {
    // Most texts are short: seen without counting characters.
    if text.len() <= chars_max || text.char_indices().nth(chars_max).is_none() {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(chars_max - 1).collect();
    Cow::Owned(kept + "…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shortened_between_characters() {
        let check = |text: &str, expected: &str| assert_eq!(shortened(text, 3), expected);
        check("", "");
        check("abc", "abc");
        check("abcd", "ab…");
        check("äöü", "äöü");
        check("äöüß", "äö…");
        check("😀😀😀😀", "😀😀…");
    }
}

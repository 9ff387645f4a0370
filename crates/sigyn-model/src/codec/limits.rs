//! How much one message may hold, and how long a text about it may be.

use std::borrow::Cow;

/// Annotations of one span; further ones are counted in `dropped_annotations`.
pub(crate) const ANNOTATIONS_MAX: usize = 10_000;
/// Links of one span; further ones are counted in `dropped_links`.
pub(crate) const LINKS_MAX: usize = 10_000;
/// Tags of a process, a resource or a scope; further ones are dropped. All of its spans are searched
/// by them.
pub(crate) const ORIGIN_TAGS_MAX: usize = 1_000;
/// How deep lists and maps may nest in a value.
pub(crate) const VALUE_DEPTH_MAX: u32 = 64;
/// What one span may nest: values in lists and maps, and tags of its annotations and links.
const NESTED_MAX: usize = 100_000;
/// Bad spans of one message of which it is kept what is wrong; further ones are counted.
pub const PROBLEMS_MAX: usize = 10_000;

/// A message is small beside the spans that it may become: 25 bytes of JSON are a whole span, two
/// bytes of protobuf an annotation. Whoever reads from strangers bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The message itself, and what its spans take in memory beside their texts, as far as that
    /// can be known while they are read.
    pub bytes_max: usize,
}

impl Default for Limits {
    /// No limits.
    fn default() -> Self {
        Self { bytes_max: usize::MAX }
    }
}

/// A message takes more memory than its reader may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {bytes_max} bytes of spans in one message")]
pub struct OverLimit {
    pub bytes_max: usize,
}

/// How much more one span may nest: two bytes of protobuf or three of JSON are a value, which takes
/// eighty in memory, and all of them are there before anybody sees the span.
#[derive(Debug)]
pub(crate) struct Room(usize);

/// A span nests more than one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {NESTED_MAX} values nested in one span")]
pub struct ManyNested;

impl Room {
    pub(crate) fn take(&mut self, values: usize) -> Result<(), ManyNested> {
        self.0 = self.0.checked_sub(values).ok_or(ManyNested)?;
        Ok(())
    }
}

impl Default for Room {
    fn default() -> Self {
        Self(NESTED_MAX)
    }
}

/// What has been read of one message so far.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    bytes: usize,
}

impl Meter {
    pub(crate) fn new(limits: Limits, body_bytes: usize) -> Result<Self, OverLimit> {
        let mut meter = Self { limits, bytes: 0 };
        // All texts that will be copied stand there.
        meter.add(body_bytes)?;
        Ok(meter)
    }

    pub(crate) fn add_many<T>(&mut self, count: usize) -> Result<(), OverLimit> {
        self.add(count.saturating_mul(size_of::<T>()))
    }

    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), OverLimit> {
        let bytes_max = self.limits.bytes_max;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > bytes_max { Err(OverLimit { bytes_max }) } else { Ok(()) }
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

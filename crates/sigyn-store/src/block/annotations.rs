//! The columns of annotations.

use super::dictionary::{Dictionary, Vocabulary};
use super::json;
use super::source::Source;
use super::sparse::Sparse;

/// Those of a row group.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    /// How many a row has that has any.
    pub(super) counts: Sparse<u32>,
    pub(super) times: Vec<u64>,
    pub(super) values: Vec<u32>,
    pub(super) have_tags: Vec<bool>,
    pub(super) tags: Vec<u32>,
}

impl Annotations {
    /// Adds those of a row that has any; and to `dropped` how many tags each has lost. Returns about how
    /// many bytes they take, and whether one of them says `error`.
    pub(super) fn push(
        &mut self,
        row: u32,
        source: &dyn Source,
        from: u32,
        texts: &mut Vocabulary,
        own: &mut Dictionary,
        dropped: &mut Vec<u32>,
    ) -> (u64, bool) {
        let Self { counts, times, values, have_tags, tags } = self;
        let mut count = 0;
        let (mut bytes, mut says_error) = (0, false);
        source.annotations(from, &mut |annotation| {
            let text = source.text(annotation.value);
            bytes += 16 + text.len() as u64;
            says_error |= text == "error";
            times.push(annotation.timestamp.nanos());
            values
                .push(texts.number(annotation.value, |out| out.extend_from_slice(text.as_bytes())));
            count += 1;
            let has_tags = !annotation.tags.is_empty();
            have_tags.push(has_tags);
            if has_tags {
                let mut text = String::new();
                json::put_tags(&mut text, &annotation.tags.to_tags());
                bytes += text.len() as u64;
                tags.push(own.push(|out| out.extend_from_slice(text.as_bytes())));
            }
            dropped.push(annotation.dropped_tags);
        });
        counts.push(row, count);
        (bytes, says_error)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

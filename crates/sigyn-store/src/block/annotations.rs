//! The columns of annotations.

use super::chunk::ListLevels;
use super::dictionary::{Dictionary, Vocabulary};
use super::json;
use super::source::Source;

/// Those of a row group.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    pub(super) levels: ListLevels,
    pub(super) times: Vec<u64>,
    pub(super) values: Vec<u32>,
    pub(super) tag_levels: ListLevels,
    pub(super) tags: Vec<u32>,
}

impl Annotations {
    /// Adds a row that has none.
    pub(super) fn push_none(&mut self) {
        self.begin_row();
        for levels in [&mut self.levels, &mut self.tag_levels] {
            levels.repetition.push(0);
            levels.definition.push(0);
        }
    }

    fn begin_row(&mut self) {
        for levels in [&mut self.levels, &mut self.tag_levels] {
            levels.begins.push(levels.definition.len());
        }
    }

    /// Adds those of a row, at least one; and to `dropped` how many tags each has lost. Returns about how
    /// many bytes they take, and whether one of them says `error`.
    pub(super) fn push(
        &mut self,
        source: &dyn Source,
        from: u32,
        texts: &mut Vocabulary,
        own: &mut Dictionary,
        dropped: &mut Vec<u32>,
    ) -> (u64, bool) {
        self.begin_row();
        let Self { levels, times, values, tag_levels, tags } = self;
        let mut repetition = 0;
        let (mut bytes, mut says_error) = (0, false);
        source.annotations(from, &mut |annotation| {
            let text = source.text(annotation.value);
            bytes += 16 + text.len() as u64;
            says_error |= text == "error";
            times.push(annotation.timestamp.nanos());
            values
                .push(texts.number(annotation.value, |out| out.extend_from_slice(text.as_bytes())));
            levels.repetition.push(repetition);
            levels.definition.push(1);
            tag_levels.repetition.push(repetition);
            repetition = 1;
            if annotation.tags.is_empty() {
                tag_levels.definition.push(1);
            } else {
                let mut text = String::new();
                json::put_tags(&mut text, &annotation.tags.to_tags());
                bytes += text.len() as u64;
                tags.push(own.push(|out| out.extend_from_slice(text.as_bytes())));
                tag_levels.definition.push(2);
            }
            dropped.push(annotation.dropped_tags);
        });
        (bytes, says_error)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

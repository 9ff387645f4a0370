//! Tags as they were written, each with the number of what it says.

use crate::codec::same_bytes;

use super::interner::{grow, room};
use super::table::{Entry, Seed, Table};

/// With more bytes than this, no new ones are kept.
const BYTES_MAX: usize = 32 << 20;

/// Made so that what is there is found in two places of memory: the entry, and the bytes. Looking up tags is most of what taking in a span costs.
#[derive(Debug, Default)]
pub(super) struct Spellings {
    bytes: Vec<u8>,
    known: Table<Spelling>,
    /// All of them in their order, by what finds them again.
    order: Vec<(u32, u32)>,
    seed: Seed,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spelling {
    hash: u32,
    start: u32,
    /// No tag is written in no bytes.
    length: u32,
    tag: u32,
}

impl Entry for Spelling {
    #[inline]
    fn hash(&self) -> u32 {
        self.hash
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Spellings {
    #[inline]
    pub(super) fn hash(&self, wire: &[u8]) -> u32 {
        self.seed.hash(wire)
    }

    /// The tag that these bytes say.
    #[inline]
    pub(super) fn find(&self, wire: &[u8], hash: u32) -> Option<u32> {
        let found = self.known.find(hash, |spelling| {
            let start = spelling.start as usize;
            let bytes = self.bytes.get(start..start + spelling.length as usize);
            bytes.is_some_and(|bytes| same_bytes(bytes, wire))
        });
        found.map(|spelling| spelling.tag)
    }

    /// Whether there is too much of them.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BYTES_MAX
    }

    /// Keeps how a tag is written, if there is room.
    pub(super) fn add(&mut self, wire: &[u8], hash: u32, tag: u32) {
        let (start, length) = (u32::try_from(self.bytes.len()), u32::try_from(wire.len()));
        let (Ok(start), Ok(length)) = (start, length) else { return };
        grow(&mut self.bytes, wire.len());
        self.bytes.extend_from_slice(wire);
        grow(&mut self.order, 1);
        self.order.push((hash, start));
        let spelling = Spelling { hash, start, length, tag };
        self.known.put(spelling);
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Forgets all that came after so many; calls `each` with their tags.
    pub(super) fn take_back(&mut self, len: usize, mut each: impl FnMut(u32)) {
        let Some(forgotten) = self.order.get(len..) else { return };
        for (hash, start) in forgotten {
            let is_it = |spelling: &Spelling| spelling.start == *start;
            if let Some(spelling) = self.known.find(*hash, is_it) {
                each(spelling.tag);
            }
            self.known.remove(*hash, is_it);
        }
        if let Some((_, start)) = forgotten.first() {
            self.bytes.truncate(*start as usize);
        }
        self.order.truncate(len);
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity() + room(&self.order) + self.known.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_not_found_and_may_come_again() {
        let mut spellings = Spellings::default();
        let words: Vec<String> = (0..1_000).map(|n| format!("word {n}")).collect();
        for round in 0..3 {
            for (tag, word) in (0..).zip(&words) {
                let hash = spellings.hash(word.as_bytes());
                let expected = (round > 0 && tag < 500).then_some(tag);
                assert_eq!(spellings.find(word.as_bytes(), hash), expected, "round {round}");
                if expected.is_none() {
                    spellings.add(word.as_bytes(), hash, tag);
                }
            }
            assert_eq!(spellings.len(), 1_000);
            let mut tags = Vec::new();
            spellings.take_back(500, |tag| tags.push(tag));
            assert!(tags.into_iter().eq(500..1_000));
            assert_eq!(spellings.len(), 500);
        }
    }
}

//! Words of a row group, each once, by numbers from zero: however many sources say them.

use sigyn_model::columns::table::{Entry, Seed, Table};

use super::chunk::Words;

/// Byte strings, or numbers of a fixed width, in the order in which they were first met.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    are_numbers: bool,
    /// How many can be found by what they say. None, as long as all come from one source: what is the same
    /// has one number there, but for little.
    hashed: usize,
    found: Table<Found>,
    seed: Seed,
}

/// A word's hash and its number, and one.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    hash: u32,
    next: u32,
}

impl Entry for Found {
    fn hash(&self) -> u32 {
        self.hash
    }

    fn is_empty(&self) -> bool {
        self.next == 0
    }
}

impl Dictionary {
    /// One of numbers.
    pub(super) fn of_numbers() -> Self {
        Self { are_numbers: true, ..Self::default() }
    }

    pub(super) fn len(&self) -> u32 {
        number(self.ends.len())
    }

    /// How many bytes all words have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn word(&self, number: u32) -> &[u8] {
        let at = number as usize;
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..self.ends[at]]
    }

    /// Adds a word that was not met before.
    pub(super) fn push(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> u32 {
        put(&mut self.bytes);
        self.ends.push(self.bytes.len());
        number(self.ends.len() - 1)
    }

    /// The number of a word that may have been met before.
    pub(super) fn find_or_push(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> u32 {
        while self.hashed < self.ends.len() {
            let hash = self.seed.hash(self.word(number(self.hashed)));
            self.hashed += 1;
            self.found.put(Found { hash, next: number(self.hashed) });
        }
        let begin = self.bytes.len();
        put(&mut self.bytes);
        let word = &self.bytes[begin..];
        let hash = self.seed.hash(word);
        let found = self.found.find(hash, |found| self.word(found.next - 1) == word).copied();
        if let Some(Found { next, .. }) = found {
            self.bytes.truncate(begin);
            return next - 1;
        }
        self.ends.push(self.bytes.len());
        self.hashed += 1;
        self.found.put(Found { hash, next: number(self.hashed) });
        number(self.hashed - 1)
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        // One large group must not hold its memory for all others.
        self.bytes.shrink_to(1 << 20);
        self.ends.clear();
        self.hashed = 0;
        self.found = Table::default();
    }
}

impl Words for Dictionary {
    fn are_bytes(&self) -> bool {
        !self.are_numbers
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(self.word(number));
    }
}

/// A dictionary, and which of its words the numbers of a source are.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    pub(super) words: Dictionary,
    /// By number in the source: when it was met, and the word.
    met: Vec<(u32, u32)>,
    /// Anew for every source in every group.
    now: u32,
    /// Whether a word may have been met under another number: in another source, or in this one.
    is_shared: bool,
    says_again: bool,
}

impl Vocabulary {
    /// What is numbered comes from another source from here on.
    pub(super) fn begin_source(&mut self, says_again: bool) {
        self.now += 1;
        self.says_again = says_again;
        self.is_shared = says_again || !self.words.ends.is_empty();
    }

    /// Starts anew.
    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.begin_source(self.says_again);
    }

    /// The word of a number of the source, which `put` appends.
    #[inline]
    pub(super) fn number(&mut self, of_source: u32, put: impl FnOnce(&mut Vec<u8>)) -> u32 {
        match self.met.get(of_source as usize) {
            Some((when, number)) if *when == self.now => *number,
            _ => self.meet(of_source, put),
        }
    }

    #[cold]
    fn meet(&mut self, of_source: u32, put: impl FnOnce(&mut Vec<u8>)) -> u32 {
        let words = &mut self.words;
        let number = if self.is_shared { words.find_or_push(put) } else { words.push(put) };
        let at = of_source as usize;
        if self.met.len() <= at {
            self.met.resize(at + 1, (0, 0));
        }
        self.met[at] = (self.now, number);
        number
    }
}

/// A group has far fewer words than there are numbers.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_of_many_sources_stand_once_each() {
        let mut vocabulary = Vocabulary::default();
        vocabulary.clear();
        for _ in 0..2 {
            // Numbers mean something else in every source.
            for source in 0..5u32 {
                vocabulary.begin_source(false);
                for of_source in (0..50).chain(0..50) {
                    let word = ((of_source * 7 + source * 11) % 60).to_string();
                    let number = vocabulary.number(of_source, |out| out.extend(word.as_bytes()));
                    assert_eq!(vocabulary.words.word(number), word.as_bytes());
                }
            }
            let words = &vocabulary.words;
            let different: HashSet<&[u8]> = (0..60).map(|n| words.word(n)).collect();
            assert_eq!((words.ends.len(), different.len()), (60, 60));
            vocabulary.clear();
        }
    }
}

//! Tags by number: a key with its value is kept once, however many spans say it.

use crate::Value;
use crate::codec::sink::{Dialect, TagRef, Text};

use super::encoding::{as_text, put_value, put_value_ref, value};
use super::interner::{Interner, Pieces, room};
use super::spellings::Spellings;

/// A key with more values than this is one whose values hardly come again. They are kept, but not
/// looked for: that would cost a place in a table for each, and tables that no longer fit into a
/// processor's own memory cost more than all else.
const VALUES_MAX: u16 = 1_024;
/// Keys and tags each take no more than this before new ones count as unique.
const KEYS_BYTES_MAX: usize = 4 << 20;
const TAGS_BYTES_MAX: usize = 32 << 20;

/// Numbers of tags.
#[derive(Debug)]
pub(super) struct Dictionary {
    keys: Interner,
    /// How many values of each key have been new.
    values: Vec<u16>,
    /// The number of the key in four bytes, then the value's bytes.
    tags: Interner,
    /// The same for those that hardly come again: they go with the rows that say them.
    passing: Pieces,
    /// Of these, some of the last, by how they were written: spans of one trace say the same.
    passed: Vec<Passed>,
    /// How tags were written, by dialect.
    spellings: [Spellings; DIALECTS],
    /// Where a tag is put together.
    scratch: Vec<u8>,
}

const DIALECTS: usize = Dialect::Json as usize + 1;

/// The bit of tags that hardly come again. Memory ends before numbers reach it.
pub(super) const PASSING: u32 = 1 << 31;

/// A tag that hardly comes again, but for spans nearby.
#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    hash: u32,
    /// Zero for none; else it has the bit.
    number: u32,
}

const PASSED: usize = 256;

/// How much a dictionary held at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    keys: usize,
    tags: usize,
    passing: usize,
    spellings: [usize; DIALECTS],
}

impl Mark {
    #[cfg(test)]
    pub(super) fn tags(&self) -> usize {
        self.tags + self.passing
    }
}

impl Dictionary {
    pub(super) fn new() -> Self {
        Self {
            keys: Interner::new(KEYS_BYTES_MAX),
            values: vec![0],
            tags: Interner::new(TAGS_BYTES_MAX),
            passing: Pieces::default(),
            passed: Vec::new(),
            spellings: std::array::from_fn(|_| Spellings::default()),
            scratch: Vec::new(),
        }
    }

    /// The number of a tag as it is read. What was seen in these bytes before is not looked into.
    #[inline]
    pub(super) fn tag(&mut self, tag: &TagRef<'_>) -> u32 {
        if tag.wire.is_empty() {
            let key = self.key_number(&tag.key);
            return self.put(key, |out| put_value_ref(out, &tag.value)).0;
        }
        let spellings = &self.spellings[tag.dialect as usize];
        let hash = spellings.hash(tag.wire);
        match spellings.find(tag.wire, hash) {
            Some(number) => number,
            None => self.new_spelling(tag, hash),
        }
    }

    #[cold]
    fn new_spelling(&mut self, tag: &TagRef<'_>, hash: u32) -> u32 {
        let key = self.key_number(&tag.key);
        if self.values[key as usize] >= VALUES_MAX {
            return self.passing_tag(key, tag, hash);
        }
        let spellings = &mut self.spellings[tag.dialect as usize];
        if self.tags.is_full() || spellings.is_full() {
            return self.put(key, |out| put_value_ref(out, &tag.value)).0;
        }
        // It is found by how it is written. Whoever writes the same in another way gets another number,
        // which costs less than looking for each tag twice.
        let number = self.tags.push_with(tag.wire.len() + 16, |out| {
            out.extend_from_slice(&key.to_le_bytes());
            put_value_ref(out, &tag.value);
        });
        self.values[key as usize] += 1;
        spellings.add(tag.wire, hash, number);
        number
    }

    /// A tag that hardly comes again.
    fn passing_tag(&mut self, key: u32, tag: &TagRef<'_>, hash: u32) -> u32 {
        self.scratch.clear();
        self.scratch.extend_from_slice(&key.to_le_bytes());
        put_value_ref(&mut self.scratch, &tag.value);
        if self.passed.is_empty() {
            self.passed.resize(PASSED, Passed::default());
        }
        let passed = &mut self.passed[hash as usize % PASSED];
        if passed.hash == hash
            && passed.number != 0
            && self.passing.get(passed.number & !PASSING) == self.scratch
        {
            return passed.number;
        }
        let number = self.passing.push(&self.scratch) | PASSING;
        *passed = Passed { hash, number };
        number
    }

    pub(super) fn owned_tag(&mut self, key: &str, value: &Value) -> u32 {
        let key = self.key_number(&Text::Str(key));
        self.put(key, |out| put_value(out, value)).0
    }

    fn key_number(&mut self, key: &Text<'_>) -> u32 {
        // What is found is text: only that is kept.
        if let Text::Bytes(bytes) = key
            && let Some(number) = self.keys.find(bytes, self.keys.hash(bytes))
        {
            return number;
        }
        let number = self.keys.intern(key.read().as_bytes());
        if self.values.len() < self.keys.len() {
            self.values.resize(self.keys.len(), 0);
        }
        number
    }

    /// The number of a tag, and whether it is taken to be unique.
    fn put(&mut self, key: u32, put: impl FnOnce(&mut Vec<u8>)) -> (u32, bool) {
        self.scratch.clear();
        self.scratch.extend_from_slice(&key.to_le_bytes());
        put(&mut self.scratch);
        let hash = self.tags.hash(&self.scratch);
        if let Some(number) = self.tags.find(&self.scratch, hash) {
            return (number, false);
        }
        let values = &mut self.values[key as usize];
        if *values >= VALUES_MAX || self.tags.is_full() {
            let number = self.passing.push(&self.scratch);
            return (number | PASSING, true);
        }
        *values += 1;
        (self.tags.add(&self.scratch, hash), false)
    }

    pub(super) fn key(&self, number: u32) -> &str {
        self.keys.text(self.key_of(number))
    }

    /// Whether this is the key of a tag.
    pub(super) fn key_is(&self, number: u32, key: &str) -> bool {
        self.keys.get(self.key_of(number)) == key.as_bytes()
    }

    /// The number of a tag's key.
    pub(super) fn key_of(&self, number: u32) -> u32 {
        key_in(self.tag_bytes(number))
    }

    /// The number of the key, and the value.
    #[inline]
    fn tag_bytes(&self, number: u32) -> &[u8] {
        if number & PASSING == 0 {
            self.tags.get(number)
        } else {
            self.passing.get(number & !PASSING)
        }
    }

    /// The key's own bytes.
    pub(super) fn key_bytes(&self, key: u32) -> &[u8] {
        self.keys.get(key)
    }

    pub(super) fn value_bytes(&self, number: u32) -> &[u8] {
        self.tag_bytes(number).get(4..).unwrap_or_default()
    }

    pub(super) fn value(&self, number: u32) -> Value {
        value(self.value_bytes(number))
    }

    /// The value, if it is a text.
    pub(super) fn text(&self, number: u32) -> Option<&str> {
        as_text(self.value_bytes(number))
    }

    pub(super) fn mark(&self) -> Mark {
        let spellings = [0, 1].map(|dialect: usize| self.spellings[dialect].len());
        Mark {
            keys: self.keys.len(),
            tags: self.tags.len(),
            passing: self.passing.len(),
            spellings,
        }
    }

    pub(super) fn truncate(&mut self, mark: Mark) {
        self.keys.truncate(mark.keys);
        let values = &mut self.values;
        // What can be found was counted.
        let mut uncount = |tag: &[u8]| {
            if let Some(count) = values.get_mut(key_in(tag) as usize) {
                *count = count.saturating_sub(1);
            }
        };
        for (spellings, len) in self.spellings.iter_mut().zip(mark.spellings) {
            spellings.take_back(len, |tag| uncount(self.tags.get(tag)));
        }
        self.tags.take_back(mark.tags, uncount);
        self.passing.truncate(mark.passing);
        self.passed.fill(Passed::default());
        self.values.truncate(mark.keys);
    }

    /// Forgets the tags that hardly come again.
    pub(super) fn clear(&mut self) {
        self.passing.truncate(0);
        self.passed.fill(Passed::default());
    }

    pub(super) fn is_full(&self) -> bool {
        self.keys.is_full() || self.tags.is_full()
    }

    /// What those tags take in memory that hardly come again.
    pub(super) fn passing_bytes(&self) -> usize {
        self.passing.bytes()
    }

    /// The same without room for more.
    pub(super) fn passing_used(&self) -> usize {
        self.passing.used()
    }

    /// The same of all others, and of what finds them.
    pub(super) fn bytes(&self) -> usize {
        self.keys.bytes()
            + room(&self.values)
            + room(&self.passed)
            + self.tags.bytes()
            + self.spellings.iter().map(Spellings::bytes).sum::<usize>()
            + self.scratch.capacity()
    }
}

/// The number of the key with which a tag's bytes begin.
fn key_in(tag: &[u8]) -> u32 {
    tag.first_chunk().copied().map_or(0, u32::from_le_bytes)
}

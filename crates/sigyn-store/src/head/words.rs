//! What many spans say, each known by a number: bytes in slabs that readers see and nobody changes.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use sigyn_model::codec::same_bytes;

use super::column::{Column, Shelf};
use sigyn_model::columns::table::{Entry, Seed, Table};

/// Bytes, frozen once for each group of batches that is published.
#[derive(Debug, Default)]
pub(super) struct Slabs {
    slabs: Shelf<Box<[u8]>>,
    bytes: AtomicUsize,
}

/// The slab that is being filled. Only the writer sees it.
#[derive(Debug, Default)]
pub(super) struct OpenSlab {
    number: u32,
    bytes: Vec<u8>,
}

/// In the upper half the slab, in the lower one where in it; the highest bit is for its owner.
type Spot = u64;

const UNIQUE: Spot = 1 << 63;

impl Slabs {
    fn get(&self, spot: Spot) -> &[u8] {
        let slab = self.slabs.get(slab_of(spot)).map_or(&[][..], |slab| slab);
        counted(slab, spot)
    }

    pub(super) fn bytes(&self) -> usize {
        self.slabs.bytes() + self.bytes.load(Ordering::Relaxed)
    }
}

fn slab_of(spot: Spot) -> u32 {
    ((spot & !UNIQUE) >> 32) as u32
}

/// The bytes that stand there, behind their number.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn counted(slab: &[u8], spot: Spot) -> &[u8] {
    let mut at = spot as u32 as usize;
    let (mut len, mut shift) = (0usize, 0);
    while let Some(byte) = slab.get(at) {
        at += 1;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    slab.get(at..at + len).unwrap_or_default()
}

impl OpenSlab {
    /// Bytes, whether they are frozen yet or not.
    #[inline]
    fn get<'a>(&'a self, slabs: &'a Slabs, spot: Spot) -> &'a [u8] {
        if slab_of(spot) == self.number { counted(&self.bytes, spot) } else { slabs.get(spot) }
    }

    /// A word, whether it is published yet or not.
    pub(super) fn word<'a>(&'a self, slabs: &'a Slabs, words: &Words, number: u32) -> &'a [u8] {
        if number == 0 { &[] } else { self.get(slabs, words.spots.get(number)) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "seven bits are what is asked for")]
    fn put(&mut self, bytes: &[u8]) -> Spot {
        let spot = u64::from(self.number) << 32 | self.bytes.len() as u64;
        let mut len = bytes.len();
        while len >= 0x80 {
            self.bytes.push(len as u8 | 0x80);
            len >>= 7;
        }
        self.bytes.push(len as u8);
        self.bytes.extend_from_slice(bytes);
        spot
    }

    /// Makes what was put visible.
    pub(super) fn freeze(&mut self, slabs: &Slabs) {
        if self.bytes.is_empty() {
            return;
        }
        slabs.bytes.fetch_add(self.bytes.len(), Ordering::Relaxed);
        slabs.slabs.put(self.number, self.bytes.as_slice().into());
        self.number += 1;
        self.forget();
    }

    /// Leaves out what was put since the last slab.
    pub(super) fn forget(&mut self) {
        self.bytes.clear();
        // One large batch must not hold its memory for ever.
        self.bytes.shrink_to(1 << 20);
    }
}

/// Byte strings by number, each with a number that it is about: a tag's key, say. Zero is none.
#[derive(Debug, Default)]
pub(super) struct Words {
    abouts: Column<AtomicU32>,
    spots: Column<AtomicU64>,
}

impl Words {
    #[inline]
    pub(super) fn about(&self, number: u32) -> u32 {
        self.abouts.get(number)
    }

    #[inline]
    pub(super) fn get<'a>(&self, slabs: &'a Slabs, number: u32) -> &'a [u8] {
        if number == 0 { &[] } else { slabs.get(self.spots.get(number)) }
    }

    pub(super) fn text<'a>(&self, slabs: &'a Slabs, number: u32) -> &'a str {
        std::str::from_utf8(self.get(slabs, number)).unwrap_or_default()
    }

    /// Whether it was kept without being looked for.
    #[inline]
    pub(super) fn is_unique(&self, number: u32) -> bool {
        self.spots.get(number) & UNIQUE != 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.abouts.bytes() + self.spots.bytes()
    }
}

/// The writer's side of [`Words`]: finds again what is there.
#[derive(Debug)]
pub(super) struct Interner {
    known: Table<Known>,
    /// How many there are, the one that stands for none included.
    len: u32,
    /// How many of them are published.
    published: u32,
    /// Of those that are looked for, and how many of them are published.
    bytes: usize,
    published_bytes: usize,
    /// With more bytes than this, nothing is looked for any more that is not known yet.
    bytes_max: usize,
    seed: Seed,
}

/// With half of its hash, so that only what is most likely the same is looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    hash: u32,
    /// Zero is not looked for.
    number: u32,
    spot: Spot,
}

impl Entry for Known {
    #[inline]
    fn hash(&self) -> u32 {
        self.hash
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.number == 0
    }
}

/// Where words are put and looked up.
pub(super) struct Shelves<'a> {
    pub(super) words: &'a Words,
    pub(super) slabs: &'a Slabs,
    pub(super) open: &'a mut OpenSlab,
}

impl Interner {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            known: Table::default(),
            len: 1,
            published: 1,
            bytes: 0,
            published_bytes: 0,
            bytes_max,
            seed: Seed::default(),
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// The number of a word, and whether it is new. Of too many, each new one is taken to be unique.
    pub(super) fn intern(
        &mut self,
        shelves: &mut Shelves<'_>,
        about: u32,
        bytes: &[u8],
    ) -> (u32, bool) {
        let hash = self.hash(about, bytes);
        if let Some(number) = self.find(shelves, about, bytes, hash) {
            return (number, false);
        }
        if self.bytes >= self.bytes_max {
            return (self.push(shelves, about, bytes), true);
        }
        let spot = shelves.open.put(bytes);
        let number = self.put(shelves, about, spot);
        self.bytes += bytes.len() + size_of::<Known>();
        self.known.put(Known { hash, number, spot });
        (number, true)
    }

    /// The same for a text about nothing. The empty one is zero.
    pub(super) fn intern_text(&mut self, shelves: &mut Shelves<'_>, text: &str) -> u32 {
        if text.is_empty() { 0 } else { self.intern(shelves, 0, text.as_bytes()).0 }
    }

    /// The number of a word, if it is known.
    pub(super) fn known(&self, shelves: &Shelves<'_>, about: u32, bytes: &[u8]) -> Option<u32> {
        self.find(shelves, about, bytes, self.hash(about, bytes))
    }

    fn find(&self, shelves: &Shelves<'_>, about: u32, bytes: &[u8], hash: u32) -> Option<u32> {
        let Shelves { words, slabs, open } = shelves;
        let is_it = |known: &Known| {
            same_bytes(open.get(slabs, known.spot), bytes) && words.about(known.number) == about
        };
        self.known.find(hash, is_it).map(|known| known.number)
    }

    /// Keeps what will hardly come again: it is not found.
    pub(super) fn push(&mut self, shelves: &mut Shelves<'_>, about: u32, bytes: &[u8]) -> u32 {
        let spot = shelves.open.put(bytes) | UNIQUE;
        self.put(shelves, about, spot)
    }

    fn put(&mut self, shelves: &Shelves<'_>, about: u32, spot: Spot) -> u32 {
        let number = self.len;
        shelves.words.abouts.set(number, about);
        shelves.words.spots.set(number, spot);
        self.len += 1;
        number
    }

    /// All that is there stays.
    pub(super) fn publish(&mut self) {
        (self.published, self.published_bytes) = (self.len, self.bytes);
    }

    /// Forgets what came since it was published last, before its bytes are.
    pub(super) fn forget(&mut self, shelves: &Shelves<'_>) {
        for number in self.published..self.len {
            let hash = self.hash(shelves.words.about(number), shelves.get(number));
            self.known.remove(hash, |known| known.number == number);
        }
        (self.len, self.bytes) = (self.published, self.published_bytes);
    }

    #[inline]
    fn hash(&self, about: u32, bytes: &[u8]) -> u32 {
        self.seed.hash(bytes) ^ about.wrapping_mul(0x9e37_79b1)
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.known.bytes()
    }
}

impl Shelves<'_> {
    /// A word, whether it is published yet or not.
    pub(super) fn get(&self, number: u32) -> &[u8] {
        self.open.word(self.slabs, self.words, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct All {
        words: Words,
        slabs: Slabs,
        open: OpenSlab,
    }

    impl All {
        fn shelves(&mut self) -> Shelves<'_> {
            Shelves { words: &self.words, slabs: &self.slabs, open: &mut self.open }
        }
    }

    #[test]
    fn words_have_one_number_frozen_or_not() {
        let (mut all, mut interner) = (All::default(), Interner::new(1 << 20));
        let long = vec![7; 300];
        for round in 0..3 {
            for (n, word) in [b"a".as_slice(), b"b", b"", &long].into_iter().enumerate() {
                let (number, is_new) = interner.intern(&mut all.shelves(), 9, word);
                assert_eq!((number as usize, is_new), (n + 1, round == 0));
                assert_eq!(all.shelves().get(number), word);
            }
            all.open.freeze(&all.slabs);
            interner.publish();
        }
        assert_eq!(interner.intern(&mut all.shelves(), 8, b"a"), (5, true));
        assert_eq!(all.words.get(&all.slabs, 4), long);
        assert_eq!((all.words.about(4), all.words.get(&all.slabs, 0)), (9, &[][..]));
    }

    #[test]
    fn what_is_forgotten_may_come_again_and_what_is_unique_is_not_found() {
        let (mut all, mut interner) = (All::default(), Interner::new(1 << 20));
        for round in 0..3 {
            assert_eq!(interner.intern(&mut all.shelves(), 0, b"first"), (1, round == 0));
            all.open.freeze(&all.slabs);
            interner.publish();
            for n in 0..500u32 {
                let word = (n + round).to_string();
                assert_eq!(interner.intern(&mut all.shelves(), 0, word.as_bytes()), (n + 2, true));
            }
            let unique = interner.push(&mut all.shelves(), 0, b"once");
            assert!(all.words.is_unique(unique) && !all.words.is_unique(1));
            assert_eq!(interner.known(&all.shelves(), 0, b"once"), None);
            interner.forget(&all.shelves());
            all.open.forget();
            assert_eq!(interner.len(), 2);
        }
    }

    #[test]
    fn a_full_one_still_finds_what_it_knows() {
        let (mut all, mut interner) = (All::default(), Interner::new(1));
        let first = interner.intern(&mut all.shelves(), 0, b"first").0;
        let second = interner.intern(&mut all.shelves(), 0, b"second").0;
        assert_ne!(interner.intern(&mut all.shelves(), 0, b"second").0, second);
        assert_eq!(interner.intern(&mut all.shelves(), 0, b"first"), (first, false));
    }
}

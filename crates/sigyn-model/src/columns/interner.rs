//! Byte strings, each known by a number; those that are likely to come again are kept once.

use crate::codec::same_bytes;

use super::table::{Entry, Seed, Table};

/// Byte strings by number, from zero on.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Where each ends. The next begins there.
    ends: Vec<usize>,
}

/// Byte strings by number. Number zero is the empty one.
#[derive(Debug)]
pub(super) struct Interner {
    pieces: Pieces,
    /// Numbers by what they stand for: not of all, but of those that [`Interner::add`] has put there.
    known: Table<Known>,
    seed: Seed,
    /// With more bytes than this, nothing is looked for any more that is not known yet.
    bytes_max: usize,
}

/// With half of its hash, so that only what is most likely the same is looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    hash: u32,
    /// Zero is not looked for.
    number: u32,
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

impl Pieces {
    pub(super) fn push(&mut self, bytes: &[u8]) -> u32 {
        self.push_with(bytes.len(), |out| out.extend_from_slice(bytes))
    }

    /// The same for bytes that are put there, about so many of them.
    #[inline]
    pub(super) fn push_with(&mut self, about: usize, put: impl FnOnce(&mut Vec<u8>)) -> u32 {
        grow(&mut self.bytes, about);
        grow(&mut self.ends, 1);
        put(&mut self.bytes);
        self.ends.push(self.bytes.len());
        // Four thousand million of them do not fit into memory.
        u32::try_from(self.ends.len() - 1).unwrap_or(u32::MAX)
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[number]]
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Forgets all numbers from this one on.
    pub(super) fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// What they take, without room for more.
    pub(super) fn used(&self) -> usize {
        self.bytes.len() + size_of_val(self.ends.as_slice())
    }

    /// What they take in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity() + room(&self.ends)
    }
}

impl Interner {
    pub(super) fn new(bytes_max: usize) -> Self {
        let mut interner = Self {
            pieces: Pieces::default(),
            known: Table::default(),
            seed: Seed::default(),
            bytes_max,
        };
        interner.push(&[]);
        interner
    }

    #[inline]
    pub(super) fn hash(&self, bytes: &[u8]) -> u32 {
        self.seed.hash(bytes)
    }

    /// The number of these bytes, which are kept if they are new.
    pub(super) fn intern(&mut self, bytes: &[u8]) -> u32 {
        if bytes.is_empty() {
            return 0;
        }
        let hash = self.hash(bytes);
        match self.find(bytes, hash) {
            Some(number) => number,
            None if self.is_full() => self.push(bytes),
            None => self.add(bytes, hash),
        }
    }

    #[inline]
    pub(super) fn find(&self, bytes: &[u8], hash: u32) -> Option<u32> {
        let is_it = |known: &Known| same_bytes(self.get(known.number), bytes);
        self.known.find(hash, is_it).map(|known| known.number)
    }

    /// Keeps new bytes, to be found again.
    pub(super) fn add(&mut self, bytes: &[u8], hash: u32) -> u32 {
        let number = self.push(bytes);
        self.known.put(Known { hash, number });
        number
    }

    /// Keeps bytes that will hardly come again.
    pub(super) fn push(&mut self, bytes: &[u8]) -> u32 {
        self.pieces.push(bytes)
    }

    /// The same for bytes that are put there, about so many of them.
    #[inline]
    pub(super) fn push_with(&mut self, about: usize, put: impl FnOnce(&mut Vec<u8>)) -> u32 {
        self.pieces.push_with(about, put)
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &[u8] {
        self.pieces.get(number)
    }

    pub(super) fn text(&self, number: u32) -> &str {
        std::str::from_utf8(self.get(number)).unwrap_or_default()
    }

    /// Whether so much is known that new things are kept without being looked for.
    pub(super) fn is_full(&self) -> bool {
        self.pieces.bytes.len() >= self.bytes_max
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Forgets all numbers from this one on.
    pub(super) fn truncate(&mut self, len: usize) {
        self.take_back(len, |_| {});
    }

    /// The same; calls `each` with those that could be found.
    pub(super) fn take_back(&mut self, len: usize, mut each: impl FnMut(&[u8])) {
        let first = u32::try_from(len).unwrap_or(u32::MAX);
        for number in first..u32::try_from(self.len()).unwrap_or(u32::MAX) {
            let hash = self.hash(self.get(number));
            if self.known.remove(hash, |known| known.number == number) {
                each(self.get(number));
            }
        }
        self.pieces.truncate(len);
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.pieces.bytes() + self.known.bytes()
    }
}

/// Makes room for so many more. Lists that are short yet grow by twice, for what they hold is copied
/// each time; long ones by a quarter, for what they hold in vain is memory, too.
#[inline]
pub(super) fn grow<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        grow_now(list, more);
    }
}

#[cold]
fn grow_now<T>(list: &mut Vec<T>, more: usize) {
    /// In bytes.
    const SHORT: usize = 4 << 20;
    let is_short = list.len() * size_of::<T>() < SHORT;
    let by = if is_short { list.len() } else { list.len() / 4 };
    list.reserve_exact(more.max(by).max(64));
}

/// What a list takes in memory.
pub(super) fn room<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_has_one_number_and_what_is_pushed_a_new_one() {
        let mut interner = Interner::new(1_000);
        assert_eq!((interner.intern(b""), interner.intern(b"a"), interner.intern(b"b")), (0, 1, 2));
        assert_eq!((interner.intern(b"a"), interner.push(b"a"), interner.intern(b"b")), (1, 3, 2));
        assert_eq!(
            (interner.get(0), interner.get(3), interner.text(2)),
            (&b""[..], &b"a"[..], "b")
        );
    }

    #[test]
    fn a_full_one_still_finds_what_it_knows() {
        let mut interner = Interner::new(4);
        let first = interner.intern(b"first");
        let (one, two) = (interner.intern(b"second"), interner.intern(b"second"));
        assert_ne!(one, two);
        assert_eq!((interner.get(one), interner.get(two)), (&b"second"[..], &b"second"[..]));
        assert_eq!(interner.intern(b"first"), first);
    }

    #[test]
    fn what_is_forgotten_may_come_again() {
        let mut interner = Interner::new(usize::MAX);
        let words: Vec<String> = (0..1_000).map(|n| format!("word {n}")).collect();
        for round in 0..3 {
            for (n, word) in words.iter().enumerate() {
                assert_eq!(interner.intern(word.as_bytes()) as usize, n + 1, "round {round}");
            }
            interner.push(b"once");
            interner.truncate(500);
            assert_eq!(interner.len(), 500);
        }
        assert_eq!(interner.text(499), "word 498");
    }
}

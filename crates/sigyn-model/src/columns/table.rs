//! What is found by its hash: a place of memory for the entry, and one for the bytes that it stands for.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// What stands in a table.
pub trait Entry: Copy + Default {
    /// The hash that it is found by.
    fn hash(&self) -> u32;

    /// Whether it stands for nothing, as the default one does.
    fn is_empty(&self) -> bool;
}

/// Entries by their hashes. Each stands at the place that its hash says, or at the first free one behind
/// that: what marks of their own would tell is seen in the entry itself, which is wanted anyway.
#[derive(Debug)]
pub struct Table<E> {
    /// A power of two, or none at all.
    places: Vec<E>,
    len: usize,
}

impl<E> Default for Table<E> {
    fn default() -> Self {
        Self { places: Vec::new(), len: 0 }
    }
}

impl<E: Entry> Table<E> {
    #[inline]
    pub fn find(&self, hash: u32, is_it: impl Fn(&E) -> bool) -> Option<&E> {
        self.places.get(self.place_of(hash, is_it)?)
    }

    #[inline]
    fn place_of(&self, hash: u32, is_it: impl Fn(&E) -> bool) -> Option<usize> {
        let mask = self.mask();
        let mut place = hash as usize & mask;
        loop {
            let entry = self.places.get(place)?;
            if entry.is_empty() {
                return None;
            }
            if entry.hash() == hash && is_it(entry) {
                return Some(place);
            }
            place = (place + 1) & mask;
        }
    }

    /// Beyond all places where there are none.
    #[inline]
    fn mask(&self) -> usize {
        self.places.len().wrapping_sub(1)
    }

    /// Puts an entry that is not there yet.
    pub fn put(&mut self, entry: E) {
        // Half of all places are free at least, so that a search ends soon.
        if (self.len + 1) * 2 > self.places.len() {
            self.grow();
        }
        self.put_within(entry);
        self.len += 1;
    }

    #[cold]
    fn grow(&mut self) {
        let places = (self.places.len() * 2).max(64);
        let entries = std::mem::replace(&mut self.places, vec![E::default(); places]);
        entries.into_iter().filter(|entry| !entry.is_empty()).for_each(|entry| {
            self.put_within(entry);
        });
    }

    /// There must be room.
    fn put_within(&mut self, entry: E) {
        let mask = self.mask();
        let mut place = entry.hash() as usize & mask;
        while !self.places[place].is_empty() {
            place = (place + 1) & mask;
        }
        self.places[place] = entry;
    }

    pub fn remove(&mut self, hash: u32, is_it: impl Fn(&E) -> bool) -> bool {
        let Some(mut gap) = self.place_of(hash, is_it) else { return false };
        let mask = self.mask();
        let mut place = gap;
        loop {
            place = (place + 1) & mask;
            let entry = self.places[place];
            if entry.is_empty() {
                break;
            }
            // Whoever stands behind the place that its hash says, and is not found behind a gap, goes into it.
            let from_its_own = place.wrapping_sub(entry.hash() as usize) & mask;
            if from_its_own >= (place.wrapping_sub(gap) & mask) {
                self.places[gap] = entry;
                gap = place;
            }
        }
        self.places[gap] = E::default();
        self.len -= 1;
        true
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<E>()
    }
}

/// What hashes begin with: anew for every process and every list, so that nobody can prepare bytes that
/// collide. It makes no keyed hash: whoever works the seed out from how long we take can make each
/// look-up go through all that is known, which is bounded.
#[derive(Clone, Copy, Debug)]
pub struct Seed([u64; 2]);

impl Default for Seed {
    fn default() -> Self {
        let random = RandomState::default();
        Self([0, 1].map(|n: u64| random.hash_one(n)))
    }
}

impl Seed {
    /// Sixteen bytes at a time, the last ones perhaps twice.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u32 {
        let Self([first, second]) = *self;
        // What one length changes, no bytes can change back: nobody knows what it is.
        let mut state = first.rotate_left(u32::try_from(bytes.len() & 63).unwrap_or(0));
        let [a, b] = match bytes.last_chunk::<16>() {
            Some(last) => {
                let (before, _) = bytes[..bytes.len() - 1].as_chunks::<16>();
                for block in before {
                    let [a, b] = words(block);
                    state = folded(a ^ state, b ^ second);
                }
                words(last)
            }
            None => few(bytes),
        };
        let hash = folded(a ^ state, b ^ second);
        #[expect(clippy::cast_possible_truncation, reason = "half of it is enough")]
        let hash = hash as u32;
        hash
    }
}

/// Less than 16 bytes, as two words.
#[inline]
fn few(bytes: &[u8]) -> [u64; 2] {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return [u64::from_le_bytes(*first), u64::from_le_bytes(*last)];
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return [u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into()];
    }
    [bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0]
}

#[inline]
fn words(block: &[u8; 16]) -> [u64; 2] {
    match block.as_chunks::<8>() {
        ([a, b], _) => [u64::from_le_bytes(*a), u64::from_le_bytes(*b)],
        _ => [0, 0],
    }
}

/// Both halves of a product, each bit of which depends on many.
#[inline]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are in it")]
    let folded = (product ^ product >> 64) as u64;
    folded
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use fastrand::Rng;

    use super::*;

    /// A number under a hash that it shares with others.
    #[derive(Clone, Copy, Debug, Default)]
    struct Number(u32);

    impl Entry for Number {
        fn hash(&self) -> u32 {
            self.0 / 3 * 40
        }

        fn is_empty(&self) -> bool {
            self.0 == 0
        }
    }

    #[test]
    fn what_is_put_is_found_until_it_is_taken_out() {
        let mut random = Rng::with_seed(1);
        let (mut table, mut expected) = (Table::default(), HashSet::new());
        for _ in 0..20_000 {
            let number = Number(random.u32(1..500));
            let is_it = |entry: &Number| entry.0 == number.0;
            assert_eq!(table.find(number.hash(), is_it).is_some(), expected.contains(&number.0));
            if expected.remove(&number.0) {
                table.remove(number.hash(), is_it);
            } else {
                table.put(number);
                expected.insert(number.0);
            }
        }
        assert_eq!(table.len, expected.len());
    }

    #[test]
    fn bytes_that_differ_in_one_have_other_hashes() {
        let seed = Seed::default();
        let mut seen = HashMap::new();
        for length in 0..70 {
            for changed in 0..length {
                for byte in 0..8 {
                    let mut bytes = vec![b'a'; length];
                    bytes[changed] = b'b' + byte;
                    seen.entry(seed.hash(&bytes)).or_insert_with(HashSet::new).insert(bytes);
                }
            }
        }
        // Of twenty thousand, hardly two meet.
        let met = seen.values().filter(|bytes| bytes.len() > 1).count();
        assert!(met < 4, "{met}");
    }
}

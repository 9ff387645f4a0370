//! Which numbers are surely not in a set: an xor filter, ten bits for each that is.

use crate::codec::{Decoder, Encoder, Malformed};

/// Whatever is asked for that is not there is found one time in 256.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    seed: u64,
    /// A third of the bytes: each number has one byte in each third.
    third: u32,
    bytes: Vec<u8>,
}

/// Spreads what numbers differ in over all of their bits.
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

impl Filter {
    /// Of these numbers, of which none stands twice.
    pub(super) fn of(numbers: &[u64]) -> Self {
        let third = u32::try_from((numbers.len() + numbers.len() / 4) / 3 + 11).unwrap_or(u32::MAX);
        // One seed in a few does not work out.
        (0..).find_map(|seed| Self::with_seed(numbers, seed, third)).unwrap_or_default()
    }

    fn with_seed(numbers: &[u64], seed: u64, third: u32) -> Option<Self> {
        let mut filter = Self { seed, third, bytes: vec![0; 3 * third as usize] };
        // At each place the hashes that belong there, all of them on top of each other, and how many.
        let mut there: Vec<(u64, u32)> = vec![(0, 0); filter.bytes.len()];
        for number in numbers {
            let hash = filter.hash(*number);
            for place in filter.places(hash) {
                there[place].0 ^= hash;
                there[place].1 += 1;
            }
        }
        // A place with a single hash can be given its byte after all others of that hash are known.
        let mut alone: Vec<usize> = (0..there.len()).filter(|place| there[*place].1 == 1).collect();
        let mut order: Vec<(u64, usize)> = Vec::with_capacity(numbers.len());
        while let Some(place) = alone.pop() {
            let (hash, 1) = there[place] else { continue };
            order.push((hash, place));
            for other in filter.places(hash) {
                there[other].0 ^= hash;
                there[other].1 -= 1;
                if there[other].1 == 1 {
                    alone.push(other);
                }
            }
        }
        if order.len() != numbers.len() {
            return None;
        }
        for (hash, place) in order.into_iter().rev() {
            let others = filter.places(hash).into_iter().filter(|other| *other != place);
            let others = others.fold(0, |byte, other| byte ^ filter.bytes[other]);
            filter.bytes[place] = byte_of(hash) ^ others;
        }
        Some(filter)
    }

    fn hash(&self, number: u64) -> u64 {
        mix(number ^ mix(self.seed))
    }

    fn places(&self, hash: u64) -> [usize; 3] {
        let place = |turn: u32, third: u64| {
            let part = hash.rotate_left(turn) & 0xffff_ffff;
            let place = ((part * u64::from(self.third)) >> 32) + third * u64::from(self.third);
            usize::try_from(place).unwrap_or(0)
        };
        [place(0, 0), place(21, 1), place(42, 2)]
    }

    /// Whether this number may be in the set.
    pub(super) fn may_have(&self, number: u64) -> bool {
        let hash = self.hash(number);
        let bytes = self.places(hash).map(|place| self.bytes.get(place).copied().unwrap_or(0));
        bytes.iter().fold(0, |byte, other| byte ^ other) == byte_of(hash)
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.uint(self.seed);
        encoder.uint(u64::from(self.third));
        encoder.bytes(&self.bytes);
        encoder.into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let filter = Self {
            seed: decoder.uint()?,
            third: decoder.uint_as()?,
            bytes: decoder.bytes()?.to_vec(),
        };
        decoder.end()?;
        if u64::from(filter.third) * 3 != filter.bytes.len() as u64 {
            return Err(Malformed { what: "a filter of another size" });
        }
        Ok(filter)
    }
}

fn byte_of(hash: u64) -> u8 {
    (hash ^ hash >> 32).to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_is_found_and_of_the_rest_little() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in [0, 1, 2, 3, 10, 1_000, 30_000] {
            let in_it: Vec<u64> = (0..count).map(|n| n * 3).collect();
            let filter = Filter::of(&in_it);
            assert!(in_it.iter().all(|number| filter.may_have(*number)), "{count}");
            let others = (0..10_000).filter(|_| filter.may_have(random.u64(..) | 1 << 63)).count();
            assert!(others < 100, "{count}: {others}");
            assert_eq!(Filter::decode(&filter.encode()), Ok(filter.clone()));
            assert!(count < 1_000 || filter.bytes() as u64 <= count * 13 / 10, "{count}");
        }
        assert!(Filter::decode(&[0, 2, 1, 7]).is_err());
    }
}

//! Numbers of few bits, side by side, the lowest bit first.

/// Appends numbers of `width` bits, up to 64 each; what is left of the last byte is zero.
pub(super) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut held, mut bits) = (0u128, 0);
    for value in values {
        held |= u128::from(value) << bits;
        bits += width;
        while bits >= 8 {
            out.push(held.to_le_bytes()[0]);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held.to_le_bytes()[0]);
    }
}

/// The same for numbers of up to 32 bits: eight of them become as many bytes as each has bits.
pub(super) fn pack_codes(codes: &[u32], width: u32, out: &mut Vec<u8>) {
    let (eights, rest) = codes.as_chunks::<8>();
    let bytes = width as usize;
    match width {
        8 => return out.extend(codes.iter().map(|code| code.to_le_bytes()[0])),
        1..8 => {
            for eight in eights {
                let held =
                    eight.iter().rev().fold(0u64, |held, code| held << width | u64::from(*code));
                out.extend_from_slice(&held.to_le_bytes()[..bytes]);
            }
        }
        9..=16 => {
            for eight in eights {
                let held =
                    eight.iter().rev().fold(0u128, |held, code| held << width | u128::from(*code));
                out.extend_from_slice(&held.to_le_bytes()[..bytes]);
            }
        }
        _ => return pack(codes.iter().map(|code| u64::from(*code)), width, out),
    }
    pack(rest.iter().map(|code| u64::from(*code)), width, out);
}

/// Appends `count` numbers of up to 32 bits; as many as there are.
pub(super) fn unpack(bytes: &[u8], width: u32, count: usize, out: &mut Vec<u32>) {
    if width == 0 {
        out.resize(out.len() + count, 0);
        return;
    }
    let mask = (1u64 << width) - 1;
    let (mut held, mut bits) = (0u64, 0);
    let mut bytes = bytes.iter();
    for _ in 0..count {
        while bits < width {
            let Some(byte) = bytes.next() else { return };
            held |= u64::from(*byte) << bits;
            bits += 8;
        }
        out.push(u32::try_from(held & mask).unwrap_or(u32::MAX));
        held >>= width;
        bits -= width;
    }
}

/// One of the numbers, of up to 32 bits.
pub(super) fn number_at(bytes: &[u8], width: u32, at: usize) -> Option<u32> {
    let bit = at.checked_mul(width as usize)?;
    let there = bytes.get(bit / 8..(bit + width as usize).div_ceil(8))?;
    let held = there.iter().rev().fold(0u64, |held, byte| held << 8 | u64::from(*byte));
    let mask = (1u64 << width) - 1;
    u32::try_from(held >> (bit % 8) & mask).ok()
}

/// `count` numbers of up to 64 bits; fewer if there are fewer.
pub(super) fn unpack_wide(bytes: &[u8], width: u32, count: usize, mut each: impl FnMut(u64)) {
    if width == 0 {
        (0..count).for_each(|_| each(0));
        return;
    }
    let mask = u64::MAX >> (u64::BITS - width);
    let there = bytes.len() * 8 / width as usize;
    for at in 0..count.min(there) {
        let bit = at * width as usize;
        let (byte, shift) = (bit / 8, bit % 8);
        let low = match bytes.get(byte..).and_then(|bytes| bytes.first_chunk()) {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => {
                let mut chunk = [0; 8];
                chunk[..bytes.len() - byte].copy_from_slice(&bytes[byte..]);
                u64::from_le_bytes(chunk)
            }
        };
        // What eight bytes do not hold is in the ninth.
        let high = bytes.get(byte + 8).copied().filter(|_| shift > 0).map_or(0, u64::from);
        each((low >> shift | high.wrapping_shl(64 - u32::try_from(shift).unwrap_or(0))) & mask);
    }
}

/// A list of bits that knows how many before a place are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits {
    words: Vec<u64>,
    len: usize,
    /// How many are set before each word, once they were counted.
    before: Vec<u32>,
}

impl Bits {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    pub(super) fn push_run(&mut self, value: bool, len: usize) {
        let end = self.len + len;
        self.words.resize(end.div_ceil(64), 0);
        let mut at = self.len;
        while value && at < end {
            let count = (64 - at % 64).min(end - at);
            self.words[at / 64] |= u64::MAX >> (64 - count) << (at % 64);
            at += count;
        }
        self.len = end;
    }

    pub(super) fn push_packed(&mut self, bytes: &[u8], len: usize) {
        let len = len.min(bytes.len() * 8);
        let end = self.len + len;
        // One more than are needed: what a byte holds may reach into the next word.
        self.words.resize(end.div_ceil(64) + 1, 0);
        for (n, byte) in bytes[..len.div_ceil(8)].iter().enumerate() {
            let there = (len - n * 8).min(8);
            let bits = u128::from(byte & u8::MAX >> (8 - there));
            let at = self.len + n * 8;
            let shifted = (bits << (at % 64)).to_le_bytes();
            let (halves, _) = shifted.as_chunks::<8>();
            self.words[at / 64] |= u64::from_le_bytes(halves[0]);
            self.words[at / 64 + 1] |= u64::from_le_bytes(halves[1]);
        }
        self.len = end;
        self.words.truncate(end.div_ceil(64));
    }

    /// How many are set. After this it is quickly said how many are before a place.
    pub(super) fn count(&mut self) -> usize {
        self.before.clear();
        let mut set = 0;
        for word in &self.words {
            self.before.push(set);
            set += word.count_ones();
        }
        set as usize
    }

    /// How many are set before this place; they must have been counted.
    pub(super) fn rank(&self, at: usize) -> usize {
        let set = self.before.get(at / 64).copied().unwrap_or(0);
        let rest = self.words.get(at / 64).map_or(0, |word| word & ((1 << (at % 64)) - 1));
        (set + rest.count_ones()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_up_to_any_place() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..100 {
            let (mut bits, mut expected) = (Bits::default(), Vec::new());
            for _ in 0..10 {
                let len = random.usize(0..100);
                if random.bool() {
                    let value = random.bool();
                    bits.push_run(value, len);
                    expected.resize(expected.len() + len, value);
                } else {
                    let bytes: Vec<u8> = (0..len.div_ceil(8)).map(|_| random.u8(..)).collect();
                    bits.push_packed(&bytes, len);
                    expected.extend((0..len).map(|at| bytes[at / 8] >> (at % 8) & 1 == 1));
                }
            }
            assert_eq!(bits.len(), expected.len());
            let count = bits.count();
            let mut set = 0;
            for (at, is_set) in expected.iter().enumerate() {
                assert_eq!((bits.get(at), bits.rank(at)), (*is_set, set));
                set += usize::from(*is_set);
            }
            assert_eq!(count, set);
        }
    }

    #[test]
    fn wide_numbers_come_back() {
        let mut random = fastrand::Rng::with_seed(1);
        for width in 0..=64 {
            let mask = u64::MAX.checked_shr(64 - width).unwrap_or(0);
            let values: Vec<u64> = (0..40).map(|_| random.u64(..) & mask).collect();
            let (mut bytes, mut read) = (Vec::new(), Vec::new());
            pack(values.iter().copied(), width, &mut bytes);
            unpack_wide(&bytes, width, values.len(), |value| read.push(value));
            assert_eq!(read, values);
        }
    }
}

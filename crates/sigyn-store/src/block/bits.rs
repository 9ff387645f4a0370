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
    let width = width as usize;
    let there = (bytes.len() * 8 / width).min(count);
    let mut at = 0;
    // Those that eight bytes hold wherever they begin, as long as there are eight.
    if width <= 57 {
        while at < there
            && let Some(chunk) = bytes.get(at * width / 8..).and_then(|bytes| bytes.first_chunk())
        {
            each(u64::from_le_bytes(*chunk) >> (at * width % 8) & mask);
            at += 1;
        }
    }
    for at in at..there {
        let bit = at * width;
        let (byte, shift) = (bit / 8, bit % 8);
        let mut chunk = [0; 16];
        let held = &bytes[byte..(bit + width).div_ceil(8)];
        chunk[..held.len()].copy_from_slice(held);
        let number = u128::from_le_bytes(chunk) >> shift;
        each((number & u128::from(mask)).try_into().unwrap_or(u64::MAX));
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

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.words[..]) + size_of_val(&self.before[..])
    }

    /// Sixty-four of them, the first one lowest; what is past the last one is not set.
    pub(super) fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or(0)
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
        // More than are needed: what eight bytes hold may reach into the next word.
        self.words.resize(end.div_ceil(64) + 2, 0);
        let (mut at, shift) = (self.len / 64, self.len % 64);
        let mut put = |bits: u64| {
            self.words[at] |= bits << shift;
            // By 64 in all if there is no shift: nothing is left over then.
            self.words[at + 1] |= bits >> 1 >> (63 - shift);
            at += 1;
        };
        let (whole, rest) = bytes[..len.div_ceil(8)].as_chunks::<8>();
        whole.iter().for_each(|bytes| put(u64::from_le_bytes(*bytes)));
        if !rest.is_empty() {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            put(u64::from_le_bytes(bytes));
        }
        self.len = end;
        self.words.truncate(end.div_ceil(64));
        // The last byte may have more bits than are meant.
        if let (Some(last), 1..) = (self.words.last_mut(), end % 64) {
            *last &= u64::MAX >> (64 - end % 64);
        }
    }

    /// How many are set. After this it is quickly said how many are before a place.
    pub(super) fn count(&mut self) -> usize {
        self.before.clear();
        self.before.reserve_exact(self.words.len());
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

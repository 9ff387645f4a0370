//! Parquet's delta encodings: numbers by their differences, byte strings by their lengths and by what they
//! share with the one before.

use super::bits::{pack, unpack_wide};
use super::hybrid::{put_uint, take, take_array, take_uint};
use crate::codec::Malformed;

const BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// `DELTA_BINARY_PACKED`.
pub(super) fn encode_ints(values: &[i64], out: &mut Vec<u8>) {
    put_uint(out, BLOCK as u64);
    put_uint(out, MINIBLOCKS as u64);
    put_uint(out, values.len() as u64);
    put_uint(out, zigzag(values.first().copied().unwrap_or(0)));
    let mut last = values.first().copied().unwrap_or(0);
    for block in values.get(1..).unwrap_or_default().chunks(BLOCK) {
        let mut deltas = [0i64; BLOCK];
        for (delta, value) in deltas.iter_mut().zip(block) {
            *delta = value.wrapping_sub(last);
            last = *value;
        }
        let deltas = &deltas[..block.len()];
        let least = deltas.iter().min().copied().unwrap_or(0);
        put_uint(out, zigzag(least));
        let above = |delta: &i64| delta.wrapping_sub(least).cast_unsigned();
        let mut widths = [0u8; MINIBLOCKS];
        for (width, deltas) in widths.iter_mut().zip(deltas.chunks(MINIBLOCK)) {
            let max = deltas.iter().map(above).max().unwrap_or(0);
            *width = u8::try_from(u64::BITS - max.leading_zeros()).unwrap_or(64);
        }
        out.extend_from_slice(&widths);
        for (width, deltas) in widths.iter().zip(deltas.chunks(MINIBLOCK)) {
            let padding = std::iter::repeat_n(0, MINIBLOCK - deltas.len());
            pack(deltas.iter().map(above).chain(padding), u32::from(*width), out);
        }
    }
}

/// Reads numbers, no more than `max`, and moves past them.
pub(super) fn decode_ints(bytes: &mut &[u8], max: usize) -> Result<Vec<i64>, Malformed> {
    const WRONG: Malformed = Malformed { what: "differences of another shape" };
    let (block, miniblocks) = (take_uint(bytes)?, take_uint(bytes)?);
    let count = usize::try_from(take_uint(bytes)?).unwrap_or(usize::MAX);
    if (block, miniblocks) != (BLOCK as u64, MINIBLOCKS as u64) || count > max {
        return Err(WRONG);
    }
    let mut value = unzigzag(take_uint(bytes)?);
    let mut values = Vec::with_capacity(count);
    if count > 0 {
        values.push(value);
    }
    while values.len() < count {
        let least = unzigzag(take_uint(bytes)?);
        let widths: [u8; MINIBLOCKS] = take_array(bytes)?;
        for width in widths {
            let left = (count - values.len()).min(MINIBLOCK);
            if left == 0 {
                break;
            }
            if width > 64 {
                return Err(WRONG);
            }
            let packed = take(bytes, MINIBLOCK * usize::from(width) / 8)?;
            unpack_wide(packed, u32::from(width), left, |above| {
                value = value.wrapping_add(least).wrapping_add(above.cast_signed());
                values.push(value);
            });
        }
    }
    Ok(values)
}

/// `DELTA_BYTE_ARRAY` for values of one length, most of which are the same as the one before.
pub(super) fn encode_ids(ids: &[[u8; 16]], out: &mut Vec<u8>) {
    let mut shared = Vec::with_capacity(ids.len());
    let mut lengths = Vec::with_capacity(ids.len());
    let mut suffixes = Vec::new();
    let mut last: &[u8] = &[];
    for id in ids {
        let same = last.iter().zip(id).take_while(|(a, b)| a == b).count();
        shared.push(i64::try_from(same).unwrap_or(0));
        lengths.push(i64::try_from(id.len() - same).unwrap_or(0));
        suffixes.extend_from_slice(&id[same..]);
        last = id;
    }
    encode_ints(&shared, out);
    encode_ints(&lengths, out);
    out.extend_from_slice(&suffixes);
}

pub(super) fn decode_ids(mut bytes: &[u8], max: usize) -> Result<Vec<[u8; 16]>, Malformed> {
    const WRONG: Malformed = Malformed { what: "an id of another length" };
    let shared = decode_ints(&mut bytes, max)?;
    let lengths = decode_ints(&mut bytes, max)?;
    let mut id = [0; 16];
    let mut ids = Vec::with_capacity(shared.len());
    for (same, length) in shared.iter().zip(&lengths) {
        let (same, length) = (usize::try_from(*same), usize::try_from(*length));
        let (Ok(same), Ok(length)) = (same, length) else { return Err(WRONG) };
        if same + length != id.len() {
            return Err(WRONG);
        }
        id[same..].copy_from_slice(take(&mut bytes, length)?);
        ids.push(id);
    }
    Ok(ids)
}

pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_their_differences() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in (0..300).chain([1_000, 4_096]) {
            let range = 1i64 << random.u32(0..63);
            let mut values: Vec<i64> = (0..count).map(|_| random.i64(-range..range)).collect();
            if random.bool() {
                values.iter_mut().for_each(|value| *value = value.wrapping_mul(random.i64(..)));
            }
            let mut bytes = Vec::new();
            encode_ints(&values, &mut bytes);
            bytes.push(7);
            let mut rest = bytes.as_slice();
            assert_eq!(decode_ints(&mut rest, count).unwrap(), values, "{count}");
            assert_eq!(rest, [7]);
            assert!(count == 0 || decode_ints(&mut bytes.as_slice(), count - 1).is_err());
        }
    }

    #[test]
    fn ids_come_back_from_what_they_share() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in 0..200 {
            let mut ids: Vec<[u8; 16]> = Vec::new();
            for _ in 0..count {
                let id = random.u128(..).to_be_bytes();
                let mut next = ids.last().copied().unwrap_or(id);
                let same = *random.choice(&[0usize, 3, 16]).unwrap();
                next[same..].copy_from_slice(&id[same..]);
                ids.push(next);
            }
            let mut bytes = Vec::new();
            encode_ids(&ids, &mut bytes);
            assert_eq!(decode_ids(&bytes, count).unwrap(), ids);
        }
    }
}

//! Parquet's hybrid of run lengths and packed bits: levels and codes of a dictionary.

use std::cell::Cell;

use bytes::Bytes;

use super::bits::{Bits, number_at, pack_codes, unpack};
use crate::codec::Malformed;

/// Shorter runs of whole eights are packed with their neighbours: packed values come in eights.
const EIGHTS_MIN: usize = 3;

/// Appends values of `width` bits each.
pub(super) fn encode(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let (eights, rest) = values.as_chunks::<8>();
    let (mut at, mut packed_from) = (0, 0);
    while let Some(eight) = eights.get(at) {
        let [value, ..] = *eight;
        if *eight != [value; 8] {
            at += 1;
            continue;
        }
        let run = 1 + eights[at + 1..].iter().take_while(|next| **next == [value; 8]).count();
        if run >= EIGHTS_MIN {
            put_packed(&values[packed_from * 8..at * 8], width, out);
            let is_all = at + run == eights.len() && rest.iter().all(|other| *other == value);
            if is_all {
                return put_run(value, run * 8 + rest.len(), width, out);
            }
            put_run(value, run * 8, width, out);
            packed_from = at + run;
        }
        at += run;
    }
    put_packed(&values[packed_from * 8..], width, out);
}

/// Appends so many values of one bit, which stand in these words, the lowest bit first.
pub(super) fn encode_bits(words: &[u64], len: usize, out: &mut Vec<u8>) {
    let bytes = len.div_ceil(8);
    let byte = |at: usize| words[at / 8].to_le_bytes()[at % 8];
    let put_bytes = |from: usize, to: usize, out: &mut Vec<u8>| {
        if from < to {
            put_uint(out, ((to - from) as u64) << 1 | 1);
            out.extend((from..to).map(byte));
        }
    };
    let (mut at, mut packed_from) = (0, 0);
    while at < len / 8 {
        let first = byte(at);
        if first != 0 && first != u8::MAX {
            at += 1;
            continue;
        }
        let run = 1 + (at + 1..len / 8).take_while(|next| byte(*next) == first).count();
        if run >= EIGHTS_MIN {
            put_bytes(packed_from, at, out);
            put_run(u32::from(first & 1), run * 8, 1, out);
            packed_from = at + run;
        }
        at += run;
    }
    put_bytes(packed_from, bytes, out);
}

/// Appends one value, so many times.
pub(super) fn put_run(value: u32, run: usize, width: u32, out: &mut Vec<u8>) {
    put_uint(out, (run as u64) << 1);
    out.extend_from_slice(&value.to_le_bytes()[..width.div_ceil(8) as usize]);
}

fn put_packed(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    put_uint(out, (values.len().div_ceil(8) as u64) << 1 | 1);
    pack_codes(values, width, out);
    let missing = values.len().next_multiple_of(8) * width as usize / 8;
    let there = (values.len() * width as usize).div_ceil(8);
    out.resize(out.len() + missing - there, 0);
}

/// Reads `count` values, whatever the bytes.
pub(super) fn decode(mut bytes: &[u8], width: u32, count: usize) -> Result<Vec<u32>, Malformed> {
    let mut values = Vec::with_capacity(count);
    while values.len() < count {
        let left = count - values.len();
        let header = take_uint(&mut bytes)?;
        let run = usize::try_from(header >> 1).map_err(|_| TOO_LONG)?;
        if header & 1 == 0 {
            let value = take(&mut bytes, width.div_ceil(8) as usize)?;
            let value = value.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
            values.resize(values.len() + run.min(left), value);
            if run == 0 {
                return Err(TOO_LONG);
            }
        } else {
            let packed = take(&mut bytes, run.checked_mul(width as usize).ok_or(TOO_LONG)?)?;
            let before = values.len();
            unpack(packed, width, run.saturating_mul(8).min(left), &mut values);
            if values.len() == before {
                return Err(TOO_LONG);
            }
        }
    }
    Ok(values)
}

/// Codes of a dictionary in a page, decoded where they are asked for: runs before that are passed over.
#[derive(Debug)]
pub(super) struct Codes {
    pub(super) bytes: Bytes,
    pub(super) width: u32,
}

/// Some of the codes: where the last one was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    /// Their places, from the first to before the last.
    first: usize,
    end: usize,
    /// Where the next run is.
    next: usize,
    is_packed: bool,
    /// What all of them are, or where they are.
    value: usize,
}

impl Codes {
    /// Of a page's values: a byte says how wide each is.
    pub(super) fn new(bytes: Bytes) -> Result<Self, Malformed> {
        const WIDE: Malformed = Malformed { what: "codes of more than 32 bits" };
        let width = bytes.first().copied().map(u32::from).filter(|width| *width <= 32);
        let width = width.ok_or(WIDE)?;
        Ok(Self { bytes: bytes.slice(1..), width })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The code in this place. Places should be asked for in their order, each with where the last one was.
    pub(super) fn get(&self, at: usize, last: &Cell<Run>) -> Option<u32> {
        let mut run = last.get();
        if at < run.first {
            run = Run::default();
        }
        while at >= run.end {
            run = self.after(&run)?;
        }
        last.set(run);
        if run.is_packed {
            number_at(self.bytes.get(run.value..run.next)?, self.width, at - run.first)
        } else {
            u32::try_from(run.value).ok()
        }
    }

    fn after(&self, run: &Run) -> Option<Run> {
        let mut rest = self.bytes.get(run.next..)?;
        let header = take_uint(&mut rest).ok()?;
        let len = usize::try_from(header >> 1).ok()?;
        let is_packed = header & 1 == 1;
        let begin = self.bytes.len() - rest.len();
        let (len, bytes) = match is_packed {
            true => (len.checked_mul(8)?, len.checked_mul(self.width as usize)?),
            false => (len, self.width.div_ceil(8) as usize),
        };
        let there = take(&mut rest, bytes).ok()?;
        let value = match is_packed {
            true => begin,
            false => there.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte)),
        };
        let end = run.end.checked_add(len)?;
        Some(Run { first: run.end, end, next: begin + bytes, is_packed, value })
    }
}

/// Reads `count` values of one bit.
pub(super) fn decode_bits(mut bytes: &[u8], count: usize) -> Result<Bits, Malformed> {
    let mut bits = Bits::default();
    while bits.len() < count {
        let left = count - bits.len();
        let header = take_uint(&mut bytes)?;
        let run = usize::try_from(header >> 1).map_err(|_| TOO_LONG)?;
        if run == 0 {
            return Err(TOO_LONG);
        }
        if header & 1 == 0 {
            let value = take(&mut bytes, 1)?;
            bits.push_run(value != [0], run.min(left));
        } else {
            let packed = take(&mut bytes, run)?;
            bits.push_packed(packed, run.saturating_mul(8).min(left));
        }
    }
    Ok(bits)
}

const TOO_LONG: Malformed = Malformed { what: "a run of impossible length" };

/// How many bits the largest of these takes.
pub(super) fn width_of(max: u32) -> u32 {
    u32::BITS - max.leading_zeros()
}

#[inline]
pub(super) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(super) fn take_uint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take_array(bytes)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed { what: "a number of more than 64 bits" })
}

pub(super) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(len).ok_or(Malformed { what: "cut short" })?;
    *bytes = rest;
    Ok(taken)
}

pub(super) fn take_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(Malformed { what: "cut short" })?;
    *bytes = rest;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_whatever_their_runs() {
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..500 {
            let width = random.u32(0..=32);
            let mut values: Vec<u32> = Vec::new();
            for _ in 0..random.usize(0..20) {
                let mask = u32::MAX.checked_shr(32 - width).unwrap_or(0);
                let value = random.u32(..) & mask;
                let most = if random.bool() { 4 } else { 200 };
                let run = random.usize(1..most);
                values.resize(values.len() + run, value);
            }
            let mut bytes = Vec::new();
            encode(&values, width, &mut bytes);
            assert_eq!(decode(&bytes, width, values.len()).unwrap(), values, "round {round}");
            let width_byte = u8::try_from(width).unwrap();
            let page = std::iter::once(width_byte).chain(bytes.iter().copied()).collect();
            let (codes, last) = (Codes::new(page).unwrap(), Cell::default());
            for at in (0..values.len()).chain((0..20).map(|_| random.usize(0..=values.len()))) {
                let padded = codes.get(at, &last).filter(|_| at < values.len());
                assert_eq!(padded, values.get(at).copied(), "round {round}");
            }
            if width == 1 {
                let mut words = vec![0; values.len().div_ceil(64)];
                for (at, value) in values.iter().enumerate() {
                    words[at / 64] |= u64::from(*value) << (at % 64);
                }
                let mut bytes = Vec::new();
                encode_bits(&words, values.len(), &mut bytes);
                assert_eq!(decode(&bytes, 1, values.len()).unwrap(), values, "round {round}");
                let bits = decode_bits(&bytes, values.len()).unwrap();
                assert!((0..values.len()).all(|at| bits.get(at) == (values[at] == 1)));
            }
            for _ in 0..20 {
                // Any bytes: an error, or something.
                let noise: Vec<u8> = (0..random.usize(0..20)).map(|_| random.u8(..)).collect();
                let _ = decode(&noise, width, 100);
                let _ = decode_bits(&noise, 100);
                if let Ok(codes) = Codes::new(noise.into()) {
                    let last = Cell::default();
                    let _ = (codes.get(3, &last), codes.get(100, &last));
                }
            }
        }
    }
}

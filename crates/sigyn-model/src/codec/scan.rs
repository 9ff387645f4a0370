//! Looking through text many bytes at a time.

/// Bytes that are looked at in one step.
const BLOCK: usize = 16;

/// Where the next quote or backslash stands, from `at` on: the end of a string, or its next escape.
#[inline]
pub(crate) fn quote_or_backslash(text: &[u8], mut at: usize) -> Option<usize> {
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        let found = block_mask(block);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += BLOCK;
    }
    let rest = text.get(at..)?;
    rest.iter().position(|byte| is_wanted(*byte)).map(|found| at + found)
}

fn is_wanted(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}

/// One bit for each byte of a block, the first byte's lowest.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn block_mask(block: &[u8; BLOCK]) -> u32 {
    #[expect(unsafe_code, reason = "a string's end is found in half the time")]
    // SAFETY: every processor of this architecture has SSE2.
    unsafe {
        sse2_block_mask(block)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sse2_block_mask(block: &[u8; BLOCK]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    #[expect(unsafe_code, reason = "one step in place of six")]
    // SAFETY: a block is as long as what is read, and may stand anywhere.
    let block = unsafe { _mm_loadu_si128(block.as_ptr().cast()) };
    let quotes = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'"'.cast_signed()));
    let backslashes = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'\\'.cast_signed()));
    _mm_movemask_epi8(_mm_or_si128(quotes, backslashes)).cast_unsigned()
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn block_mask(block: &[u8; BLOCK]) -> u32 {
    block.iter().rev().fold(0, |mask, byte| mask << 1 | u32::from(is_wanted(*byte)))
}

/// Eight decimal digits at once, or `None`.
#[inline]
pub(crate) fn decimal8(digits: &[u8; 8]) -> Option<u64> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let digits = u64::from_le_bytes(*digits);
    // The high half of a digit is 3, and stays so with 6 more.
    let high = digits & (0xf0 * ONES);
    if high != 0x30 * ONES || (digits + 0x06 * ONES) & (0xf0 * ONES) != high {
        return None;
    }
    // Two digits to a byte pair, two pairs to a word, two words to the number; the first stands lowest.
    let digits = digits & (0x0f * ONES);
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let words = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((words * 10_000 + (words >> 32)) & 0xffff_ffff)
}

/// Sixteen lower-case hexadecimal digits, or `None`. Eight at a time.
#[inline]
pub(crate) fn lower_hex16(digits: &[u8; 16]) -> Option<u64> {
    let (high, low) = digits.split_at(8);
    let high = lower_hex8(u64::from_be_bytes(high.try_into().ok()?));
    let low = lower_hex8(u64::from_be_bytes(low.try_into().ok()?));
    match (high, low) {
        (Some(high), Some(low)) => Some(high << 32 | low),
        _ => None,
    }
}

/// The first digit stands in the highest byte.
#[inline(always)]
fn lower_hex8(digits: u64) -> Option<u64> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x80 * ONES;
    /// In each byte that is below 128: the highest bit, where it is no less than the bound.
    const fn at_least(digits: u64, bound: u64) -> u64 {
        (digits + (0x80 - bound) * ONES) & HIGHS
    }
    if digits & HIGHS != 0 {
        return None;
    }
    let decimal = at_least(digits, 0x30) & !at_least(digits, 0x3a);
    let letter = at_least(digits, 0x61) & !at_least(digits, 0x67);
    if decimal | letter != HIGHS {
        return None;
    }
    // 'a' is 0x61: its low four bits, and nine.
    let nibbles = (digits & (0x0f * ONES)) + (letter >> 7) * 9;
    // Two of them to a byte, two bytes to a pair, two pairs to the number.
    let bytes = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    Some((pairs | pairs >> 16) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quote_is_found_wherever_it_stands() {
        for length in 0..50 {
            for at in 0..length {
                for byte in [b'"', b'\\'] {
                    let mut text = vec![b'x'; length];
                    text[at] = byte;
                    assert_eq!(quote_or_backslash(&text, 0), Some(at), "{at} of {length}");
                    assert_eq!(quote_or_backslash(&text, at + 1), None, "{at} of {length}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn decimal_digits_are_read(number in 0..100_000_000u64, at in 0..8usize, byte in any::<u8>()) {
            let mut text = format!("{number:08}").into_bytes();
            let read = |text: &[u8]| decimal8(text.try_into().unwrap());
            prop_assert_eq!(read(&text), Some(number));
            text[at] = byte;
            let expected = String::from_utf8(text.clone()).ok();
            let expected = expected.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            prop_assert_eq!(read(&text), expected.and_then(|text| text.parse().ok()));
        }

        #[test]
        fn it_finds_what_a_search_byte_by_byte_finds(
            text in prop::collection::vec(prop::sample::select(b"\"\\ab\x22\x5c\xff\0 ".to_vec()), 0..80),
            at in 0..90usize,
        ) {
            let expected = (at..text.len()).find(|at| is_wanted(text[*at]));
            prop_assert_eq!(quote_or_backslash(&text, at), expected);
        }

        #[test]
        fn hexadecimal_digits_are_read(number in any::<u64>(), at in 0..16usize, byte in any::<u8>()) {
            let mut text = format!("{number:016x}").into_bytes();
            let read = |text: &[u8]| lower_hex16(text.try_into().unwrap());
            prop_assert_eq!(read(&text), Some(number));
            text[at] = byte;
            let valid = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let text = String::from_utf8_lossy(&text).into_owned();
            if valid {
                prop_assert_eq!(read(text.as_bytes()), u64::from_str_radix(&text, 16).ok());
            } else if text.len() == 16 {
                prop_assert_eq!(read(text.as_bytes()), None);
            }
        }
    }
}

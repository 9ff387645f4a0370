//! Looking through text many bytes at a time.
//!
//! What is `unsafe` here is there for speed alone. With words of eight bytes in its place, in safe code, going through the strings of
//! 2,000 spans in Zipkin's JSON took 1.12 to 1.13 times as long (5.9 ns a string, and not 5.2), and reading their ids 2.8 times
//! (4.8 ns an id, and not 1.7); safe bounds around SSE2 took the strings' 1.13 times as well (minima of 400 runs on x86-64).

/// Bytes that are looked at in one step.
const BLOCK: usize = 16;

/// Where the next quote or backslash stands, from `at` on: the end of a string, or its next escape.
#[inline]
pub(crate) fn quote_or_backslash(text: &[u8], mut at: usize) -> Option<usize> {
    let last = text.len().checked_sub(BLOCK);
    while last.is_some_and(|last| at <= last) {
        #[expect(unsafe_code, reason = "half the steps of looking at a block were for its bounds")]
        // SAFETY: it begins no later than the last one that is within the text.
        let block: &[u8; BLOCK] = unsafe { &*text.as_ptr().add(at).cast() };
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

/// What stands between the quotes of a string that begins there and has no escapes.
#[inline]
pub(crate) fn plain_string(text: &str, at: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let end = quote_or_backslash(bytes, at + 1)?;
    if bytes[end] != b'"' {
        return None;
    }
    text.get(at + 1..end)
}

/// Whether bytes are equal. Where they are few, calling somebody would cost as much as comparing them.
#[inline]
pub fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if let (Some(a_last), Some(b_last)) = (a.last_chunk::<16>(), b.last_chunk::<16>()) {
        // The last ones are looked at twice, where they do not fill a block.
        let ((a, _), (b, _)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        return a.iter().zip(b).all(|(a, b)| a == b) && a_last == b_last;
    }
    if let (Some(a_first), Some(b_first)) = (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        return a_first == b_first && a.last_chunk::<8>() == b.last_chunk::<8>();
    }
    a.iter().zip(b).all(|(a, b)| a == b)
}

/// A whole number of at most 18 digits, which any fit, and how many they are. `None` where it goes
/// on as no whole number does, has a zero too many in front, or where fewer than eight bytes are left.
#[inline]
pub(crate) fn decimal(text: &[u8]) -> Option<(u64, usize)> {
    const DIGITS_MAX: usize = 18;
    let (mut number, mut length) = (0u64, 0);
    let (next, digits) = loop {
        let next = u64::from_le_bytes(*text.get(length..)?.first_chunk()?);
        let digits = digits_ahead(next);
        if length + digits > DIGITS_MAX {
            return None;
        }
        if digits < 8 {
            break (next, digits);
        }
        number = number * POWERS_OF_TEN[8] + decimal8(next);
        length += 8;
    };
    if digits > 0 {
        // Zeros stand in front of fewer digits than eight.
        number = number * POWERS_OF_TEN[digits] + decimal8(next << (64 - 8 * digits));
        length += digits;
    }
    let goes_on = matches!(text[length], b'.' | b'e' | b'E');
    (length > 0 && !goes_on && (text[0] != b'0' || length == 1)).then_some((number, length))
}

const POWERS_OF_TEN: [u64; 9] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

const ONES: u64 = 0x0101_0101_0101_0101;

/// How many of eight bytes are decimal digits, up to the first that is none. It stands lowest.
#[inline(always)]
fn digits_ahead(text: u64) -> usize {
    // The high half of a digit is 3, and stays so with 6 more. What is carried out of a byte that is
    // no digit reaches only those behind it.
    let (high, high_of_more) =
        (text & (0xf0 * ONES), text.wrapping_add(0x06 * ONES) & (0xf0 * ONES));
    let others = (high | high_of_more >> 4) ^ (0x33 * ONES);
    others.trailing_zeros() as usize / 8
}

/// Eight decimal digits as a number. The first stands lowest; zero bytes are read as zeros.
#[inline(always)]
fn decimal8(digits: u64) -> u64 {
    // Two digits to a byte pair, two pairs to a word, two words to the number.
    let digits = digits & (0x0f * ONES);
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let words = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (words * 10_000 + (words >> 32)) & 0xffff_ffff
}

/// Sixteen lower-case hexadecimal digits, or `None`.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn lower_hex16(digits: &[u8; 16]) -> Option<u64> {
    #[expect(unsafe_code, reason = "ids are read in a third of the time")]
    // SAFETY: every processor of this architecture has SSE2.
    unsafe {
        sse2_lower_hex16(digits)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sse2_lower_hex16(digits: &[u8; 16]) -> Option<u64> {
    use std::arch::x86_64::{
        _mm_add_epi8, _mm_and_si128, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_loadu_si128,
        _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_packus_epi16, _mm_set1_epi8,
        _mm_set1_epi16, _mm_slli_epi16, _mm_srli_epi16, _mm_sub_epi8,
    };
    #[expect(unsafe_code, reason = "one step in place of sixteen")]
    // SAFETY: there are as many digits as bytes are read, which may stand anywhere.
    let digits = unsafe { _mm_loadu_si128(digits.as_ptr().cast()) };
    let no_more_than =
        |bytes, most| _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(most)), bytes);
    let decimal = _mm_sub_epi8(digits, _mm_set1_epi8(b'0'.cast_signed()));
    let letter = _mm_sub_epi8(digits, _mm_set1_epi8(b'a'.cast_signed()));
    let (is_decimal, is_letter) = (no_more_than(decimal, 9), no_more_than(letter, 5));
    if _mm_movemask_epi8(_mm_or_si128(is_decimal, is_letter)) != 0xffff {
        return None;
    }
    let letter = _mm_add_epi8(letter, _mm_set1_epi8(10));
    let nibbles =
        _mm_or_si128(_mm_and_si128(is_decimal, decimal), _mm_and_si128(is_letter, letter));
    // Two of them to a byte, of which the first is the high half; then the bytes stand together.
    let bytes = _mm_or_si128(_mm_slli_epi16::<4>(nibbles), _mm_srli_epi16::<8>(nibbles));
    let bytes = _mm_and_si128(bytes, _mm_set1_epi16(0xff));
    Some(_mm_cvtsi128_si64(_mm_packus_epi16(bytes, bytes)).cast_unsigned().swap_bytes())
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn lower_hex16(digits: &[u8; 16]) -> Option<u64> {
    digits.iter().try_fold(0, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_is_what_is_equal() {
        for length in 0..70 {
            let bytes = vec![b'a'; length];
            assert!(same_bytes(&bytes, &bytes.clone()));
            assert!(!same_bytes(&bytes, &vec![b'a'; length + 1]));
            for changed in 0..length {
                let mut other = bytes.clone();
                other[changed] = b'b';
                assert!(!same_bytes(&bytes, &other), "{changed} of {length}");
            }
        }
    }

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

    #[test]
    fn a_plain_string_stands_between_two_quotes() {
        let check = |text: &str, at: usize, expected: Option<&str>| {
            assert_eq!(plain_string(text, at), expected, "{text} at {at}");
        };
        check(r#""""#, 0, Some(""));
        check(r#"["héllo 😀",1]"#, 1, Some("héllo 😀"));
        check(
            r#""a string that is longer than a block":"#,
            0,
            Some("a string that is longer than a block"),
        );
        check("\"tab\there\"", 0, Some("tab\there"));
        check(r#""a\"b""#, 0, None);
        check(r#""a\u0062""#, 0, None);
        check(r#""without an end"#, 0, None);
        check(r#""a""#, 1, None);
        check(r#""é""#, 2, None);
        check("", 0, None);
        check(r#""a""#, 9, None);
    }

    proptest! {
        #[test]
        fn decimal_digits_are_read(text in "(0|[1-9]?)[0-9]{0,19}[^0-9]?[ -~]{0,9}") {
            let length = text.bytes().take_while(u8::is_ascii_digit).count();
            let expected = text[..length].parse().ok().filter(|_| {
                length <= 18
                    && (length == 1 || !text.starts_with('0'))
                    && !text[length..].starts_with(['.', 'e', 'E'])
                    && text.len() >= length / 8 * 8 + 8
            });
            prop_assert_eq!(decimal(text.as_bytes()), expected.map(|number: u64| (number, length)));
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

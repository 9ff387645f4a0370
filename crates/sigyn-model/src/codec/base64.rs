//! Base64, as JSON carries bytes.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Reads either alphabet, that of texts or that of URLs, with or without padding.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let padding = text.len() - digits.len();
    if padding > 2 || padding > 0 && !text.len().is_multiple_of(4) || digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for chunk in digits.chunks(4) {
        let mut bits = 0;
        for byte in chunk {
            bits = bits << 6 | value(*byte)?;
        }
        // The last bits of an unfinished chunk are none of its bytes.
        let bytes = (bits << (6 * (4 - chunk.len()))).to_be_bytes();
        out.extend_from_slice(&bytes[1..chunk.len()]);
    }
    Some(out)
}

/// Appends bytes in the alphabet of texts, with padding.
pub(crate) fn encode(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let mut bits = 0u32;
        for i in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0));
        }
        for i in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * i) & 63).unwrap_or(0);
            out.push(if i <= chunk.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_alphabets_are_read_padded_or_not() {
        let check = |text: &str, expected: Option<&[u8]>| {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        };
        check("", Some(b""));
        check("YQ==", Some(b"a"));
        check("YQ", Some(b"a"));
        check("YWI=", Some(b"ab"));
        check("YWI", Some(b"ab"));
        check("YWJj", Some(b"abc"));
        check("+/+/", Some(&[0xfb, 0xff, 0xbf]));
        check("-_-_", Some(&[0xfb, 0xff, 0xbf]));
        for text in ["Y", "YWJjY", "Y===", "YQ=", "=", "Y Q=", "YQ==YQ==", "é"] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut text = String::new();
            encode(&mut text, &bytes);
            prop_assert_eq!(text.len() % 4, 0);
            prop_assert_eq!(decode(&text), Some(bytes));
        }
    }
}

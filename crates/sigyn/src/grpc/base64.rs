//! Base64, of which gRPC needs two kinds: `-bin` headers without padding, and text bodies with it. HTTP has
//! it in credentials, too.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// With padding, which may also be left out.
pub(crate) fn encode(bytes: &[u8], padded: bool) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]));
            } else if padded {
                text.push('=');
            }
        }
    }
    text
}

/// `None` if it is no base64. A text may be several, padded each: clients encode as they flush.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let digits = group.iter().position(|byte| *byte == b'=').unwrap_or(group.len());
        let padding = &group[digits..];
        if digits < 2 || padding.iter().any(|byte| *byte != b'=') {
            return None;
        }
        let mut bits = 0;
        for digit in &group[..digits] {
            bits = bits << 6 | value(*digit)?;
        }
        let [_, whole @ ..] = (bits << (6 * (4 - digits))).to_be_bytes();
        bytes.extend_from_slice(&whole[..digits - 1]);
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_bytes_go_both_ways() {
        let check = |bytes: &[u8], padded: &str| {
            assert_eq!(encode(bytes, true), padded);
            assert_eq!(encode(bytes, false), padded.trim_end_matches('='));
            assert_eq!(decode(padded.as_bytes()).as_deref(), Some(bytes));
            assert_eq!(decode(padded.trim_end_matches('=').as_bytes()).as_deref(), Some(bytes));
        };
        check(b"", "");
        check(b"f", "Zg==");
        check(b"fo", "Zm8=");
        check(b"foo", "Zm9v");
        check(b"foob", "Zm9vYg==");
        check(&[0, 0xff, 0xfb, 0xef], "AP/77w==");
    }

    #[test]
    fn several_texts_in_a_row_are_one() {
        assert_eq!(decode(b"Zg==Zm8=").as_deref(), Some(&b"ffo"[..]));
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for text in ["Z", "====", "Z===", "Zg=a", "Zm9v!", "Zm 9"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}

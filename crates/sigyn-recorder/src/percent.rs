//! Texts in which percents stand for bytes, as headers and variables have them.

/// What `%` and two digits stand for; what is no such thing stands for itself.
pub(crate) fn lenient(text: &str) -> String {
    String::from_utf8_lossy(&decoded(text).0).into_owned()
}

/// `None` if any percent is no escape, or if what comes out is no UTF-8.
pub(crate) fn strict(text: &str) -> Option<String> {
    let (bytes, is_strict) = decoded(text);
    String::from_utf8(bytes).ok().filter(|_| is_strict)
}

/// And whether every percent was an escape.
fn decoded(text: &str) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut rest, mut is_strict) = (text.as_bytes(), true);
    while let Some((&first, others)) = rest.split_first() {
        rest = others;
        if first == b'%' {
            let digits = others.first_chunk().and_then(|digits| escape(*digits));
            is_strict &= digits.is_some();
            if let Some(byte) = digits {
                bytes.push(byte);
                rest = &others[2..];
                continue;
            }
        }
        bytes.push(first);
    }
    (bytes, is_strict)
}

fn escape(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? << 4 | low?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read() {
        let check = |text: &str, expected: &str, is_strict: bool| {
            assert_eq!(lenient(text), expected, "{text}");
            assert_eq!(strict(text), is_strict.then(|| expected.to_owned()), "{text}");
        };
        check("", "", true);
        check("a b", "a b", true);
        check("%41%2c%E2%82%ac", "A,\u{20ac}", true);
        check("%", "%", false);
        check("5%4", "5%4", false);
        check("%zz%41", "%zzA", false);
        check("%ff", "\u{fffd}", false);
    }
}

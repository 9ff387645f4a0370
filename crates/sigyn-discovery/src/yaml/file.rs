//! Files as text, in any of YAML's encodings.

use std::io;
use std::path::Path;

/// Reads a file that is UTF-8, or UTF-16 with the mark that says so.
pub fn read_file(path: &Path) -> io::Result<String> {
    decode(std::fs::read(path)?).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "it is neither valid UTF-8 nor valid UTF-16")
    })
}

fn decode(bytes: Vec<u8>) -> Option<String> {
    let units = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, odd) = rest.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        String::from_utf16(&units).ok().filter(|_| odd.is_empty())
    };
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => units(rest, u16::from_be_bytes),
        _ => String::from_utf8(bytes).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_both_encodings() {
        let check = |bytes: &[u8], expected: Option<&str>| {
            assert_eq!(decode(bytes.to_vec()).as_deref(), expected, "{bytes:?}");
        };
        check(b"", Some(""));
        check("a: é".as_bytes(), Some("a: é"));
        check("\u{feff}a".as_bytes(), Some("\u{feff}a"));
        check(b"\xff\xfea\0:\0", Some("a:"));
        check(b"\xfe\xff\0a\0:", Some("a:"));
        check(b"\xff\xfe\x3d\xd8\x00\xde", Some("😀"));
        check(b"a\xff", None);
        check(b"\xff\xfea\0:", None);
        check(b"\xff\xfe\x3d\xd8", None);
    }
}

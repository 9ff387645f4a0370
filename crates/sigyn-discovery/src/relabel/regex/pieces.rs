//! The small pieces of Go's syntax: counts, classes and escapes, each read off the front of a text.

use super::RegexError;

/// What matches nothing at all.
pub(super) const NEVER: &str = r"[^\x{0}-\x{10FFFF}]";

/// Scripts whose long name has four letters, as all short names do. Go knows long names only.
const SCRIPTS_OF_FOUR_LETTERS: [&str; 9] =
    ["ahom", "cham", "kawi", "lisu", "miao", "modi", "newa", "thai", "toto"];

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// `{2}`, `{2,}` or `{2,3}` at the start of `text`, and its length. Anything else is an ordinary
/// brace, as is a count with leading zeros.
pub(super) fn counts(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let number = |text: &str| {
        let valid = text.bytes().all(|byte| byte.is_ascii_digit())
            && !(text.len() > 1 && text.starts_with('0'));
        // What does not fit is too much in any case.
        (valid && !text.is_empty()).then(|| text.parse().unwrap_or(u32::MAX))
    };
    let end = text.find('}')?;
    let inner = &text[1..end];
    let (min, max) = match inner.split_once(',') {
        None => {
            let count = number(inner)?;
            (count, Some(count))
        }
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((min, max, end + 1))
}

/// ASCII only, unlike the crate's classes of these names.
pub(super) fn perl_class(c: char) -> Option<&'static str> {
    match c {
        'd' => Some("0-9"),
        'D' => Some("^0-9"),
        's' => Some(r"\t\n\x0C\r\x20"),
        'S' => Some(r"^\t\n\x0C\r\x20"),
        'w' => Some("0-9A-Za-z_"),
        'W' => Some("^0-9A-Za-z_"),
        _ => None,
    }
}

/// `[:alpha:]` or `[:^alpha:]` at the start of `text`, and its length.
pub(super) fn posix_class(text: &str) -> Result<Option<(&str, usize)>, RegexError> {
    let Some(end) = text.strip_prefix("[:").and_then(|after| after.find(":]")) else {
        return Ok(None);
    };
    let length = end + 4;
    let class = &text[..length];
    let name = &text[2..2 + end];
    if POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Ok(Some((class, length)));
    }
    Err(RegexError::new("invalid character class range", class))
}

/// `\pL`, `\p{Greek}` or `\P{^Greek}` at the start of `text`: the crate's spelling, and its length.
pub(super) fn unicode_class(text: &str) -> Result<(String, usize), RegexError> {
    let invalid = |length: usize| RegexError::new("invalid character class range", &text[..length]);
    let mut negated = text.starts_with("\\P");
    let (name, length) = match text[2..].chars().next() {
        None => return Err(invalid(2)),
        Some('{') => match text.find('}') {
            None => return Err(invalid(text.len())),
            Some(end) => (&text[3..end], end + 1),
        },
        Some(c) => (&text[2..2 + c.len_utf8()], 2 + c.len_utf8()),
    };
    let name = match name.strip_prefix('^') {
        Some(name) => {
            negated = !negated;
            name
        }
        None => name,
    };
    let property = property(name).ok_or_else(|| invalid(length))?;
    let letter = if negated { 'P' } else { 'p' };
    Ok((format!("\\{letter}{{{property}}}"), length))
}

/// The crate's name of a general category or script; it knows many properties that Go does not.
fn property(name: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    if matches!(plain.as_str(), "any" | "ascii" | "assigned") {
        return Some(plain);
    }
    let is_known = |property: &str| ::regex::Regex::new(&format!("\\p{{{property}}}")).is_ok();
    let category = format!("gc={plain}");
    if is_known(&category) {
        return Some(category);
    }
    let script = format!("sc={plain}");
    let is_short = plain.len() == 4 && !SCRIPTS_OF_FOUR_LETTERS.contains(&plain.as_str());
    (!is_short && is_known(&script)).then_some(script)
}

/// A character or an escaped one inside brackets: its number and length.
pub(super) fn class_character(text: &str, class: &str) -> Result<(u32, usize), RegexError> {
    match text.chars().next() {
        None => Err(RegexError::new("missing closing ]", class)),
        Some('\\') => character_escape(text),
        Some(c) => Ok((u32::from(c), c.len_utf8())),
    }
}

/// An escape that stands for one character: its number and length.
pub(super) fn character_escape(text: &str) -> Result<(u32, usize), RegexError> {
    let mut chars = text.char_indices().skip(1).peekable();
    let Some((_, c)) = chars.next() else {
        return Err(RegexError::new("trailing backslash at end of expression", ""));
    };
    let short = 1 + c.len_utf8();
    let simple = match c {
        'a' => Some(0x07),
        'f' => Some(0x0c),
        'n' => Some(0x0a),
        'r' => Some(0x0d),
        't' => Some(0x09),
        'v' => Some(0x0b),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
        _ => None,
    };
    if let Some(code) = simple {
        return Ok((code, short));
    }
    let digits = &text[short..];
    match c {
        // One digit other than 0 would be a back-reference.
        '0'..='7' => {
            let is_octal = |byte: u8| (b'0'..=b'7').contains(&byte);
            let more = digits.bytes().take(2).take_while(|byte| is_octal(*byte)).count();
            if c == '0' || more > 0 {
                let code = u32::from_str_radix(&text[1..short + more], 8).unwrap_or_default();
                return Ok((code, short + more));
            }
        }
        'x' => {
            return hexadecimal(text)
                .map_err(|seen| RegexError::new("invalid escape sequence", &text[..seen]));
        }
        _ => {}
    }
    Err(RegexError::new("invalid escape sequence", &text[..short]))
}

/// `\x41` or `\x{1F600}` at the start of `text`: the number and the length, or how far it was read
/// until it turned out to be wrong.
fn hexadecimal(text: &str) -> Result<(u32, usize), usize> {
    let largest = u32::from(char::MAX);
    let Some(braced) = text.strip_prefix("\\x{") else {
        // Go takes two characters, and only then looks at them.
        let end = text.char_indices().nth(4).map_or(text.len(), |(end, _)| end);
        let hex = &text[2..end];
        let valid = hex.len() == 2 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        return valid.then(|| (u32::from_str_radix(hex, 16).unwrap_or_default(), end)).ok_or(end);
    };
    let mut code = 0;
    for (index, c) in braced.char_indices() {
        let end = "\\x{".len() + index + c.len_utf8();
        match c.to_digit(16) {
            None if c == '}' && index > 0 => return Ok((code, end)),
            None => return Err(end),
            Some(digit) => code = code * 16 + digit,
        }
        if code > largest {
            return Err(end);
        }
    }
    Err(text.len())
}

pub(super) fn push_char(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        out.push(c);
    } else {
        out.push_str(&format!("\\x{:02X}", u32::from(c)));
    }
}

/// Writes a range into a class, without the surrogates in it. `false` if nothing remains.
pub(super) fn push_range(class: &mut String, low: u32, high: u32) -> bool {
    const SURROGATES: (u32, u32) = (0xd800, 0xdfff);
    let parts = [(low, high.min(SURROGATES.0 - 1)), (low.max(SURROGATES.1 + 1), high)];
    let mut written = false;
    for (low, high) in parts {
        if low <= high {
            class.push_str(&format!("\\x{{{low:X}}}-\\x{{{high:X}}}"));
            written = true;
        }
    }
    written
}

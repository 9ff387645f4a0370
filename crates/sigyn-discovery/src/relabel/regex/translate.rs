//! The translator: one pass over a pattern in Go's syntax, writing the `regex` crate's.

use super::RegexError;

/// Go's limit for counted repetition, nested ones multiplied.
const REPEAT_MAX: u32 = 1000;

/// What matches nothing at all.
const NEVER: &str = r"[^\x{0}-\x{10FFFF}]";

/// Scripts whose long name has four letters, as all short names do. Go knows long names only.
const SCRIPTS_OF_FOUR_LETTERS: [&str; 9] =
    ["ahom", "cham", "kawi", "lisu", "miao", "modi", "newa", "thai", "toto"];

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// A pattern for the `regex` crate. Its groups have no names: Go's names may begin with a digit.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) pattern: String,
    pub(super) names: Vec<Option<String>>,
}

pub(super) fn translate(pattern: &str) -> Result<Translated, RegexError> {
    let mut translator = Translator {
        whole: pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() * 2),
        names: vec![None],
        levels: vec![Level::default()],
        last_repeat: None,
    };
    while let Some(next) = translator.rest.chars().next() {
        translator.step(next)?;
    }
    if translator.levels.len() > 1 {
        return Err(RegexError::new("missing closing )", pattern));
    }
    Ok(Translated { pattern: translator.out, names: translator.names })
}

struct Translator<'p> {
    whole: &'p str,
    rest: &'p str,
    out: String,
    names: Vec<Option<String>>,
    /// The groups that are open, the whole pattern first.
    levels: Vec<Level>,
    /// The text from the operator on, if the step before was a repetition.
    last_repeat: Option<&'p str>,
}

/// An open group.
#[derive(Default)]
struct Level {
    /// The last thing that an operator can repeat, if there is one since `(` or `|`.
    atom: Option<Atom>,
    /// The largest weight of an atom so far.
    weight: u32,
}

#[derive(Clone, Copy)]
struct Atom {
    /// Where it ends in the output.
    end: usize,
    /// How often its innermost part may be repeated.
    weight: u32,
    repeated: bool,
}

impl<'p> Translator<'p> {
    fn step(&mut self, next: char) -> Result<(), RegexError> {
        let repeat = self.last_repeat.take();
        match next {
            '(' => self.open()?,
            ')' => self.close()?,
            '|' => {
                self.out.push('|');
                self.skip(1);
                self.level().atom = None;
            }
            '*' | '+' | '?' => {
                let before = self.rest;
                self.skip(1);
                self.repeat(before, &next.to_string(), None, repeat)?;
            }
            '{' => match counts(self.rest) {
                Some((min, max, length)) => {
                    let before = self.rest;
                    let text = &before[..length];
                    self.skip(length);
                    self.repeat(before, text, Some((min, max)), repeat)?;
                }
                None => self.literal('{', 1),
            },
            '[' => self.class()?,
            '\\' => self.escape()?,
            '^' | '$' | '.' => {
                self.out.push(next);
                self.skip(1);
                self.atom(1);
            }
            other => self.literal(other, other.len_utf8()),
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    /// Notes that something repeatable was written.
    fn atom(&mut self, weight: u32) {
        let end = self.out.len();
        let level = self.level();
        level.atom = Some(Atom { end, weight, repeated: false });
        level.weight = level.weight.max(weight);
    }

    fn literal(&mut self, c: char, source_len: usize) {
        push_char(&mut self.out, c);
        self.skip(source_len);
        self.atom(1);
    }

    /// A character by its number: it may be half of a surrogate pair, which no text holds.
    fn literal_code(&mut self, code: u32) {
        match char::from_u32(code) {
            Some(c) => push_char(&mut self.out, c),
            None => self.out.push_str(NEVER),
        }
        self.atom(1);
    }

    fn open(&mut self) -> Result<(), RegexError> {
        let Some(after) = self.rest.strip_prefix("(?") else {
            self.names.push(None);
            return self.group("(", 1);
        };
        for (prefix, skipped) in [("P<", 4), ("<", 3)] {
            let Some(named) = after.strip_prefix(prefix) else { continue };
            let Some(end) = named.find('>') else {
                return Err(RegexError::new("invalid named capture", self.rest));
            };
            let name = &named[..end];
            let length = skipped + end + 1;
            let valid = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !valid {
                return Err(RegexError::new("invalid named capture", &self.rest[..length]));
            }
            self.names.push(Some(name.to_owned()));
            return self.group("(", length);
        }
        self.flags(after)
    }

    fn group(&mut self, opening: &str, source_len: usize) -> Result<(), RegexError> {
        if self.levels.len() >= usize::try_from(super::NEST_MAX).unwrap_or(usize::MAX) {
            return Err(RegexError::new("expression nests too deeply", self.whole));
        }
        self.out.push_str(opening);
        self.skip(source_len);
        self.levels.push(Level { atom: None, weight: 1 });
        Ok(())
    }

    /// `(?flags)` or `(?flags:`; `after` is what follows the question mark.
    fn flags(&mut self, after: &str) -> Result<(), RegexError> {
        let (mut negated, mut seen) = (false, false);
        for (index, c) in after.char_indices() {
            match c {
                'i' | 'm' | 's' | 'U' => seen = true,
                '-' if !negated => (negated, seen) = (true, false),
                ':' | ')' if !negated || seen => {
                    let flags = &after[..index];
                    let length = "(?".len() + index + 1;
                    if c == ':' {
                        return self.group(&format!("(?{flags}:"), length);
                    }
                    if !flags.is_empty() {
                        self.out.push_str(&format!("(?{flags})"));
                    }
                    self.skip(length);
                    return Ok(());
                }
                c => {
                    let at = &self.rest[.."(?".len() + index + c.len_utf8()];
                    return Err(RegexError::new("invalid or unsupported Perl syntax", at));
                }
            }
        }
        Err(RegexError::new("missing closing )", self.whole))
    }

    fn close(&mut self) -> Result<(), RegexError> {
        let closed = self.levels.pop().map(|level| level.weight).unwrap_or_default();
        if self.levels.is_empty() {
            return Err(RegexError::new("unexpected )", self.whole));
        }
        self.out.push(')');
        self.skip(1);
        self.atom(closed);
        Ok(())
    }

    /// An operator, which `before` begins with; `self.rest` is behind it.
    fn repeat(
        &mut self,
        before: &'p str,
        operator: &str,
        counts: Option<(u32, Option<u32>)>,
        last_repeat: Option<&'p str>,
    ) -> Result<(), RegexError> {
        let upto = |start: &'p str, end: &str| &start[..start.len() - end.len()];
        let too_often = RegexError::new("invalid repeat count", operator);
        if let Some((min, max)) = counts
            && (min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || max < min))
        {
            return Err(too_often);
        }
        let lazy = self.rest.starts_with('?');
        if lazy {
            self.skip(1);
        }
        if let Some(last) = last_repeat {
            return Err(RegexError::new(
                "invalid nested repetition operator",
                upto(last, self.rest),
            ));
        }
        let Some(atom) = self.level().atom else {
            return Err(RegexError::new(
                "missing argument to repetition operator",
                upto(before, self.rest),
            ));
        };
        if atom.repeated {
            // Only something invisible (`(?i)`, `\Q\E`) stands between; Go would repeat twice.
            return Err(RegexError::new(
                "invalid nested repetition operator",
                upto(before, self.rest),
            ));
        }
        let mut weight = atom.weight;
        if let Some((min, max)) = counts {
            weight = match max.unwrap_or(min) {
                0 => 1,
                times => times * weight,
            };
            if weight > REPEAT_MAX && max.unwrap_or(min).max(min) >= 2 {
                return Err(too_often);
            }
        }
        // Flags may have been written since; they are no atom.
        let mut text = operator.to_owned();
        if lazy {
            text.push('?');
        }
        self.out.insert_str(atom.end, &text);
        let level = self.level();
        level.atom = Some(Atom { end: atom.end + text.len(), weight, repeated: true });
        level.weight = level.weight.max(weight);
        self.last_repeat = Some(before);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), RegexError> {
        let text = self.rest;
        let Some(c) = text.chars().nth(1) else {
            return Err(RegexError::new("trailing backslash at end of expression", ""));
        };
        match c {
            'A' | 'z' => {
                self.out.push_str(&text[..2]);
                self.skip(2);
                self.atom(1);
            }
            'b' | 'B' => {
                self.out.push_str(if c == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
                self.skip(2);
                self.atom(1);
            }
            'Q' => {
                let quoted = &text[2..];
                let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                for c in literal.chars() {
                    push_char(&mut self.out, c);
                    self.atom(1);
                }
                self.rest = after;
            }
            'p' | 'P' => {
                let (class, length) = unicode_class(text)?;
                self.out.push_str(&class);
                self.skip(length);
                self.atom(1);
            }
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                self.out.push_str(&format!("[{}]", perl_class(c).unwrap_or_default()));
                self.skip(2);
                self.atom(1);
            }
            _ => {
                let (code, length) = character_escape(text)?;
                self.skip(length);
                self.literal_code(code);
            }
        }
        Ok(())
    }

    /// A class in brackets.
    fn class(&mut self) -> Result<(), RegexError> {
        let whole = self.rest;
        let mut text = &whole[1..];
        let mut class = String::from("[");
        if let Some(after) = text.strip_prefix('^') {
            class.push('^');
            text = after;
        }
        let mut first = true;
        let mut empty = true;
        while first || !text.starts_with(']') {
            first = false;
            if let Some((named, length)) = posix_class(text)? {
                class.push_str(named);
                text = &text[length..];
                empty = false;
                continue;
            }
            if text.starts_with("\\p") || text.starts_with("\\P") {
                let (unicode, length) = unicode_class(text)?;
                class.push_str(&unicode);
                text = &text[length..];
                empty = false;
                continue;
            }
            let perl =
                text.strip_prefix('\\').and_then(|after| after.chars().next()).and_then(perl_class);
            if let Some(perl) = perl {
                class.push_str(&format!("[{perl}]"));
                text = &text[2..];
                empty = false;
                continue;
            }
            let range = text;
            let (low, length) = class_character(text, whole)?;
            text = &text[length..];
            let mut high = low;
            if text.starts_with('-') && text.len() >= 2 && !text[1..].starts_with(']') {
                text = &text[1..];
                let (code, length) = class_character(text, whole)?;
                text = &text[length..];
                high = code;
                if high < low {
                    let range = &range[..range.len() - text.len()];
                    return Err(RegexError::new("invalid character class range", range));
                }
            }
            empty &= !push_range(&mut class, low, high);
        }
        class.push(']');
        match (empty, class.starts_with("[^")) {
            (false, _) => self.out.push_str(&class),
            // Surrogates only: the class has no character, or all of them.
            (true, false) => self.out.push_str(NEVER),
            (true, true) => self.out.push_str("(?s:.)"),
        }
        self.rest = &text[1..];
        self.atom(1);
        Ok(())
    }
}

/// `{2}`, `{2,}` or `{2,3}` at the start of `text`, and its length. Anything else is an ordinary
/// brace, as is a count with leading zeros.
fn counts(text: &str) -> Option<(u32, Option<u32>, usize)> {
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
fn perl_class(c: char) -> Option<&'static str> {
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
fn posix_class(text: &str) -> Result<Option<(&str, usize)>, RegexError> {
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
fn unicode_class(text: &str) -> Result<(String, usize), RegexError> {
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
fn class_character(text: &str, class: &str) -> Result<(u32, usize), RegexError> {
    match text.chars().next() {
        None => Err(RegexError::new("missing closing ]", class)),
        Some('\\') => character_escape(text),
        Some(c) => Ok((u32::from(c), c.len_utf8())),
    }
}

/// An escape that stands for one character: its number and length.
fn character_escape(text: &str) -> Result<(u32, usize), RegexError> {
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

fn push_char(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        out.push(c);
    } else {
        out.push_str(&format!("\\x{:02X}", u32::from(c)));
    }
}

/// Writes a range into a class, without the surrogates in it. `false` if nothing remains.
fn push_range(class: &mut String, low: u32, high: u32) -> bool {
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

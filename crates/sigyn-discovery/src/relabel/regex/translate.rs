//! The translator: one pass over a pattern in Go's syntax, writing the `regex` crate's.

use super::RegexError;
use super::pieces::{
    NEVER, character_escape, class_character, counts, perl_class, posix_class, push_char,
    push_range, unicode_class,
};

/// Go's limit for counted repetition, nested ones multiplied.
const REPEAT_MAX: u32 = 1000;

/// Begins a group around what is repeated once more.
const AGAIN: &str = "(?:";

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
    /// Where it begins in the output.
    start: usize,
    /// The last thing that an operator can repeat, if there is one since `(` or `|`.
    atom: Option<Atom>,
    /// The largest weight of an atom so far.
    weight: u32,
}

#[derive(Clone, Copy)]
struct Atom {
    /// Where it stands in the output.
    start: usize,
    end: usize,
    /// How often its innermost part may be repeated.
    weight: u32,
    repeated: bool,
}

impl<'p> Translator<'p> {
    fn step(&mut self, next: char) -> Result<(), RegexError> {
        let repeat = self.last_repeat.take();
        let before = self.out.len();
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
                self.atom(before, 1);
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

    /// Notes that something repeatable was written, from `start` on.
    fn atom(&mut self, start: usize, weight: u32) {
        let end = self.out.len();
        let level = self.level();
        level.atom = Some(Atom { start, end, weight, repeated: false });
        level.weight = level.weight.max(weight);
    }

    fn literal(&mut self, c: char, source_len: usize) {
        let start = self.out.len();
        push_char(&mut self.out, c);
        self.skip(source_len);
        self.atom(start, 1);
    }

    /// A character by its number: it may be half of a surrogate pair, which no text holds.
    fn literal_code(&mut self, code: u32) {
        let start = self.out.len();
        match char::from_u32(code) {
            Some(c) => push_char(&mut self.out, c),
            None => self.out.push_str(NEVER),
        }
        self.atom(start, 1);
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
        let start = self.out.len();
        self.out.push_str(opening);
        self.skip(source_len);
        self.levels.push(Level { start, atom: None, weight: 1 });
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
                    let flags = each_once(&after[..index]);
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
        let closed = self.levels.pop().unwrap_or_default();
        if self.levels.is_empty() {
            return Err(RegexError::new("unexpected )", self.whole));
        }
        self.out.push(')');
        self.skip(1);
        self.atom(closed.start, closed.weight);
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
        let Some(mut atom) = self.level().atom else {
            return Err(RegexError::new(
                "missing argument to repetition operator",
                upto(before, self.rest),
            ));
        };
        if atom.repeated {
            // Something invisible (`(?i)`, `\Q\E`) stands between, so it is repeated twice.
            self.out.insert(atom.end, ')');
            self.out.insert_str(atom.start, AGAIN);
            atom.end += AGAIN.len() + ")".len();
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
        level.atom = Some(Atom { end: atom.end + text.len(), weight, repeated: true, ..atom });
        level.weight = level.weight.max(weight);
        self.last_repeat = Some(before);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), RegexError> {
        let text = self.rest;
        let Some(c) = text.chars().nth(1) else {
            return Err(RegexError::new("trailing backslash at end of expression", ""));
        };
        let start = self.out.len();
        match c {
            'A' | 'z' => {
                self.out.push_str(&text[..2]);
                self.skip(2);
                self.atom(start, 1);
            }
            'b' | 'B' => {
                self.out.push_str(if c == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
                self.skip(2);
                self.atom(start, 1);
            }
            'Q' => {
                let quoted = &text[2..];
                let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                for c in literal.chars() {
                    let start = self.out.len();
                    push_char(&mut self.out, c);
                    self.atom(start, 1);
                }
                self.rest = after;
            }
            'p' | 'P' => {
                let (class, length) = unicode_class(text)?;
                self.out.push_str(&class);
                self.skip(length);
                self.atom(start, 1);
            }
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                self.out.push_str(&format!("[{}]", perl_class(c).unwrap_or_default()));
                self.skip(2);
                self.atom(start, 1);
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
        let start = self.out.len();
        match (empty, class.starts_with("[^")) {
            (false, _) => self.out.push_str(&class),
            // Surrogates only: the class has no character, or all of them.
            (true, false) => self.out.push_str(NEVER),
            (true, true) => self.out.push_str("(?s:.)"),
        }
        self.rest = &text[1..];
        self.atom(start, 1);
        Ok(())
    }
}

/// The flags with the one that counts of each kept, which is the last, as the crate wants it.
fn each_once(flags: &str) -> String {
    let (set, cleared) = flags.split_once('-').unwrap_or((flags, ""));
    let chosen = |of: &str, but: &str| -> String {
        "imsU".chars().filter(|flag| of.contains(*flag) && !but.contains(*flag)).collect()
    };
    let (set, cleared) = (chosen(set, cleared), chosen(cleared, ""));
    if cleared.is_empty() { set } else { format!("{set}-{cleared}") }
}

//! Strings with escapes: found to be valid where they stand, and read when somebody asks.

use super::{JsonError, Scanner};
use crate::codec::scan;
use crate::codec::sink::Text;

impl<'a> Scanner<'a> {
    /// The rest of a string with escapes: the first one was found there, or the end of the text.
    #[cold]
    pub(super) fn escaped(
        &mut self,
        start: usize,
        mut found: Option<usize>,
    ) -> Result<Text<'a>, JsonError> {
        while let Some(at) = found {
            self.at = at + 1;
            if self.text.as_bytes()[at] == b'"' {
                return Ok(Text::Escaped(&self.text[start..at]));
            }
            self.escape()?;
            found = scan::quote_or_backslash(self.text.as_bytes(), self.at);
        }
        self.at = self.text.len();
        Err(self.malformed("the end of a string"))
    }

    /// What stands for one character after a backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let escaped = match self.byte() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.utf16();
            }
            _ => return Err(self.malformed("an escape")),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn utf16(&mut self) -> Result<char, JsonError> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or('?'));
        }
        let after_first = self.at;
        if self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('?'));
            }
        }
        // A lone half; what follows it stands for itself.
        self.at = after_first;
        Ok('?')
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let code = digits.iter().try_fold(0, |code, byte| {
            char::from(*byte).to_digit(16).map(|digit| code << 4 | digit)
        });
        match code {
            Some(code) if !digits.is_empty() => {
                self.at += 4;
                Ok(code)
            }
            _ => Err(self.malformed("four hexadecimal digits")),
        }
    }
}

/// What stands between the quotes of a string that a [`Scanner`] has read: valid, escapes and all.
pub(crate) fn unescaped(text: &str) -> String {
    // A string without an end is read to the end of the text.
    let mut json = Scanner::new(text);
    let mut out = String::with_capacity(text.len());
    while let Some(byte) = json.byte() {
        let run = json.at;
        if byte == b'\\' {
            json.at += 1;
            out.push(json.escape().unwrap_or('?'));
        } else {
            json.at += json.text[run..].find('\\').unwrap_or(text.len() - run);
            out.push_str(&text[run..json.at]);
        }
    }
    out
}

//! A strict JSON scanner: it borrows what stands in the text and copies only strings with escapes.
//!
//! Strict means no comments, single quotes, trailing commas or bare words. Two things it takes, as
//! Zipkin's parser does: control characters that stand raw in a string, and half a surrogate pair,
//! which becomes `?`.

mod escapes;

use std::borrow::Cow;

use crate::codec::sink::Text;
use crate::codec::{ManyNested, OverLimit, scan, shortened};

pub(crate) use escapes::unescaped;

/// How deep values may nest in what is skipped. Deeper text is an attack, not a span.
const DEPTH_MAX: u32 = 128;

/// A cause is no longer than this, in characters: there is room for what is put behind it.
const CAUSE_CHARS_MAX: usize = 250;

/// Why a text cannot be read. The message is a cause to put before `reading ... from json`.
///
/// Boxed, for every step of reading returns one or none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub(crate) struct JsonError(Box<Cause>);

#[derive(Debug, PartialEq, Eq)]
struct Cause {
    message: String,
    over_limit: bool,
}

impl JsonError {
    #[cold]
    pub(crate) fn new(message: impl AsRef<str>) -> Self {
        let message = shortened(message.as_ref(), CAUSE_CHARS_MAX).into_owned();
        Self(Box::new(Cause { message, over_limit: false }))
    }

    pub(crate) fn is_over_limit(&self) -> bool {
        self.0.over_limit
    }
}

impl From<OverLimit> for JsonError {
    fn from(over: OverLimit) -> Self {
        let mut error = Self::new(over.to_string());
        error.0.over_limit = true;
        error
    }
}

impl From<ManyNested> for JsonError {
    fn from(many: ManyNested) -> Self {
        Self::new(many.to_string())
    }
}

/// A value that is no list and no object.
#[derive(Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// As it is spelled.
    Number(&'a str),
    Str(Cow<'a, str>),
}

/// Reads on in a text.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// Where something begins in a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(usize);

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads a list; `element` must consume one value. It is told how many came before.
    #[inline]
    pub(crate) fn list(
        &mut self,
        mut element: impl FnMut(&mut Self, usize) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.expect(b'[', "a list")?;
        let mut more = !self.take(b']');
        let mut index = 0;
        while more {
            element(self, index)?;
            index += 1;
            more = self.another(b']', "',' or ']'")?;
        }
        Ok(())
    }

    /// Reads an object; `member` must consume the value of the key that it is given.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.members(|json, key, _| {
            let key = match key {
                Text::Str(key) => Cow::Borrowed(key),
                key => Cow::Owned(key.read().into_owned()),
            };
            member(json, key)
        })
    }

    /// The same with keys as they stand there. `member` is also told where its key's quote stands:
    /// see [`Self::text_from`].
    #[inline]
    pub(crate) fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>, Place) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let mut more = self.first_member()?;
        while more {
            let (key, place) = self.key()?;
            member(self, key, place)?;
            more = self.next_member()?;
        }
        Ok(())
    }

    /// Begins an object; whether there is a member.
    #[inline]
    pub(crate) fn first_member(&mut self) -> Result<bool, JsonError> {
        self.expect(b'{', "an object")?;
        Ok(!self.take(b'}'))
    }

    /// Ends a member of an object; whether there is another.
    #[inline]
    pub(crate) fn next_member(&mut self) -> Result<bool, JsonError> {
        self.another(b'}', "',' or '}'")
    }

    /// The key of a member with its colon, and where its quote stands.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<(Text<'a>, Place), JsonError> {
        self.expect(b'"', "a name in quotes")?;
        let place = Place(self.at - 1);
        let key = self.quoted()?;
        self.expect(b':', "':'")?;
        Ok((key, place))
    }

    /// The same for a key as machines write it: without an escape, and the colon right behind. If
    /// that is not what comes next, it is left there.
    #[inline]
    pub(crate) fn plain_key(&mut self) -> Option<&'a str> {
        let key = scan::plain_string(self.text, self.at)?;
        let colon = self.at + key.len() + 2;
        if self.text.as_bytes().get(colon) != Some(&b':') {
            return None;
        }
        self.at = colon + 1;
        Some(key)
    }

    /// A string without escapes right here. If that is not what comes next, it is left there.
    #[inline]
    pub(crate) fn plain_text(&mut self) -> Option<&'a str> {
        let text = scan::plain_string(self.text, self.at)?;
        self.at += text.len() + 2;
        Some(text)
    }

    /// Reads `null`, if that is what comes next.
    #[inline]
    pub(crate) fn null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.word("null")
    }

    pub(crate) fn scalar(&mut self) -> Result<Scalar<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                let text = self.quoted()?;
                Ok(Scalar::Str(match text {
                    Text::Str(text) => Cow::Borrowed(text),
                    text => Cow::Owned(text.read().into_owned()),
                }))
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Scalar::Number),
            Some(b'n') if self.word("null") => Ok(Scalar::Null),
            Some(b't') if self.word("true") => Ok(Scalar::Bool(true)),
            Some(b'f') if self.word("false") => Ok(Scalar::Bool(false)),
            _ => Err(self.malformed("a string, a number, true, false or null")),
        }
    }

    /// A string as it stands there, or a number in its own spelling. `None` for `null` and the like.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Option<Text<'a>>, JsonError> {
        match self.plain_text() {
            Some(text) => Ok(Some(Text::Str(text))),
            None => self.other_text(),
        }
    }

    #[inline(never)]
    fn other_text(&mut self) -> Result<Option<Text<'a>>, JsonError> {
        if self.take(b'"') {
            return self.quoted().map(Some);
        }
        match self.scalar()? {
            Scalar::Number(number) => Ok(Some(Text::Str(number))),
            _ => Ok(None),
        }
    }

    /// A whole number that is spelled as such and is small enough; if that is not what comes next,
    /// it is left there.
    #[inline]
    pub(crate) fn whole_number(&mut self) -> Option<u64> {
        self.peek();
        let (number, length) = scan::decimal(&self.text.as_bytes()[self.at..])?;
        self.at += length;
        Some(number)
    }

    /// Sixteen lower-case hexadecimal digits in quotes; if that is not what comes next, it is left
    /// there.
    #[inline]
    pub(crate) fn hex16(&mut self) -> Option<u64> {
        let [b'"', digits @ .., b'"'] = self.ahead::<18>()? else { return None };
        let number = scan::lower_hex16(digits.first_chunk()?)?;
        self.at += 18;
        Some(number)
    }

    /// The same for 32.
    #[inline]
    pub(crate) fn hex32(&mut self) -> Option<u128> {
        let [b'"', digits @ .., b'"'] = self.ahead::<34>()? else { return None };
        let high = scan::lower_hex16(digits.first_chunk()?)?;
        let low = scan::lower_hex16(digits.last_chunk()?)?;
        self.at += 34;
        Some(u128::from(high) << 64 | u128::from(low))
    }

    #[inline]
    fn ahead<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.text.as_bytes().get(self.at..)?.first_chunk()
    }

    /// Where the next value begins.
    #[inline]
    pub(crate) fn place(&mut self) -> Place {
        self.peek();
        Place(self.at)
    }

    /// Reads again from there on.
    #[inline]
    pub(crate) fn back_to(&mut self, place: Place) {
        self.at = place.0;
    }

    /// Where what is read next stands, white space and all.
    #[inline]
    pub(crate) fn here(&self) -> Place {
        Place(self.at)
    }

    /// The bytes between a place and here.
    #[inline]
    pub(crate) fn bytes_from(&self, place: Place) -> &'a [u8] {
        self.text.as_bytes().get(place.0..self.at).unwrap_or_default()
    }

    /// What stands between a place and here.
    #[inline]
    pub(crate) fn text_from(&self, place: Place) -> &'a str {
        self.text.get(place.0..self.at).unwrap_or_default()
    }

    /// What stands between another place, that this one was copied to, and this one.
    pub(crate) fn since(&self, start: &Self) -> &'a str {
        self.text_from(Place(start.at))
    }

    /// Takes this text, if it is what comes next.
    pub(crate) fn take_text(&mut self, text: &str) -> bool {
        self.peek();
        self.word(text)
    }

    /// Reads any value and forgets it.
    pub(crate) fn skip(&mut self) -> Result<(), JsonError> {
        self.skip_within(DEPTH_MAX)
    }

    /// The same for values that may nest so deep.
    pub(crate) fn skip_within(&mut self, depth_max: u32) -> Result<(), JsonError> {
        self.skip_deeper(depth_max, depth_max)
    }

    fn skip_deeper(&mut self, depth: u32, depth_max: u32) -> Result<(), JsonError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(JsonError::new(format!("Malformed: deeper than {depth_max} values")));
        };
        match self.peek() {
            Some(b'[') => self.list(|json, _| json.skip_deeper(depth, depth_max)),
            Some(b'{') => self.members(|json, _, _| json.skip_deeper(depth, depth_max)),
            _ => self.text().map(drop),
        }
    }

    /// The rest of a string whose opening quote was read.
    #[inline]
    fn quoted(&mut self) -> Result<Text<'a>, JsonError> {
        let start = self.at;
        match scan::quote_or_backslash(self.text.as_bytes(), start) {
            Some(end) if self.text.as_bytes()[end] == b'"' => {
                self.at = end + 1;
                Ok(Text::Str(&self.text[start..end]))
            }
            found => self.escaped(start, found),
        }
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.malformed("a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.byte() {
            Some(..=b' ') => self.peek_after_space(),
            next => next,
        }
    }

    #[inline(never)]
    fn peek_after_space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        match self.byte() {
            Some(next) if next == byte => {
                self.at += 1;
                true
            }
            Some(..=b' ') => {
                let found = self.peek_after_space() == Some(byte);
                self.at += usize::from(found);
                found
            }
            _ => false,
        }
    }

    /// Ends an element; whether there is another.
    #[inline]
    fn another(&mut self, close: u8, what: &'static str) -> Result<bool, JsonError> {
        let more = self.take(b',');
        if !more {
            self.expect(close, what)?;
        }
        Ok(more)
    }

    #[inline]
    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(self.malformed(what)) }
    }

    #[cold]
    fn malformed(&self, expected: &str) -> JsonError {
        JsonError::new(format!("Malformed: expected {expected} at byte {}", self.at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Scalar<'_>, String> {
        let mut json = Scanner::new(text);
        let scalar = json.scalar().map_err(|e| e.to_string())?;
        match json.peek() {
            None => Ok(scalar),
            Some(_) => Err(format!("{} bytes left", text.len() - json.at)),
        }
    }

    #[test]
    fn strings_are_borrowed_unless_they_hold_escapes() {
        let check = |text: &str, expected: &str, borrowed: bool| match read(text) {
            Ok(Scalar::Str(got)) => {
                assert_eq!(got, expected, "{text}");
                assert_eq!(matches!(got, Cow::Borrowed(_)), borrowed, "{text}");
            }
            other => panic!("{text}: {other:?}"),
        };
        check(r#""""#, "", true);
        check(r#""héllo 😀""#, "héllo 😀", true);
        check("\"tab\there\"", "tab\there", true);
        check(r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t", false);
        check(r#""a\u00e9b""#, "aéb", false);
        check(r#""\ud83d\ude00!""#, "😀!", false);
        check(r#""\ud83dx""#, "?x", false);
        check(r#""\ud83d\u0041""#, "?A", false);
        check(r#""\ude00""#, "?", false);
    }

    #[test]
    fn numbers_keep_their_spelling() {
        for number in ["0", "-0", "12", "-1.50", "1e3", "1E+3", "0.1e-2"] {
            assert_eq!(read(number), Ok(Scalar::Number(number)));
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "-",
            "01",
            "1.",
            ".5",
            "1e",
            "+1",
            "'a'",
            "\"a",
            r#""\x""#,
            r#""\u12"#,
            r#""\u12g4""#,
            "nul",
            "True",
            "NaN",
            "/**/1",
            "{}",
            "1 2",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        for text in ["[1,]", "[,1]", "[1 2]", "{\"a\"}", "{a:1}", "{\"a\":1,}", "[", "{\"a\":1"] {
            assert!(Scanner::new(text).skip().is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(Scanner::new(&nested(128)).skip().is_ok());
        assert!(Scanner::new(&nested(129)).skip().is_err());
        assert!(Scanner::new(&"[".repeat(1_000_000)).skip().is_err());
    }

    proptest! {
        #[test]
        fn strict_readers_agree_on_what_json_is(
            tokens in prop::collection::vec(
                prop::sample::select(vec![
                    "[", "]", "{", "}", ",", ",", ":", "\"a\":", "\"b\"", "1", "-0", ".5", "e3", "true",
                    "null", " ", "x", "\\",
                ]),
                0..9,
            ),
        ) {
            let text = tokens.concat();
            for text in [format!("[{text}]"), format!("{{\"k\":{text}}}")] {
                let mut json = Scanner::new(&text);
                let ours = json.skip().is_ok() && json.peek().is_none();
                let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
                prop_assert_eq!(ours, theirs, "{}", text);
            }
        }
    }
}

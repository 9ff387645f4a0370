//! What scalars stand for in YAML 1.1, by their tags and by how they look, as Prometheus takes them.

use super::time;

/// A tag that a scalar has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tag {
    /// None, and no quotes: it is what it looks like.
    #[default]
    Plain,
    /// `!!str`, or quotes.
    Str,
    Bool,
    Int,
    Float,
    Null,
    Timestamp,
    Binary,
    /// `!!merge`: of a key, what the key means without a tag.
    Merge,
    /// `!`: a text, but of a key what it means without a tag.
    Exclaimed,
    /// Somebody's own: whatever is in it is a text.
    Other,
}

impl Tag {
    /// By its number, as it travels through serde.
    pub(super) fn of_number(number: u64) -> Self {
        let all = [
            Self::Plain,
            Self::Str,
            Self::Bool,
            Self::Int,
            Self::Float,
            Self::Null,
            Self::Timestamp,
            Self::Binary,
            Self::Merge,
            Self::Exclaimed,
        ];
        let found = usize::try_from(number).ok().and_then(|number| all.get(number).copied());
        found.unwrap_or(Self::Other)
    }

    /// By its name behind `tag:yaml.org,2002:`.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "str" => Self::Str,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "float" => Self::Float,
            "null" => Self::Null,
            "timestamp" => Self::Timestamp,
            "binary" => Self::Binary,
            "merge" => Self::Merge,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain | Self::Str | Self::Merge | Self::Exclaimed | Self::Other => "!!str",
            Self::Bool => "!!bool",
            Self::Int => "!!int",
            Self::Float => "!!float",
            Self::Null => "!!null",
            Self::Timestamp => "!!timestamp",
            Self::Binary => "!!binary",
        }
    }
}

/// What a scalar stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meaning {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Timestamp,
    Text,
}

impl Meaning {
    fn tag(self) -> Tag {
        match self {
            Self::Null => Tag::Null,
            Self::Bool(_) => Tag::Bool,
            Self::Int(_) => Tag::Int,
            Self::Float(_) => Tag::Float,
            Self::Timestamp => Tag::Timestamp,
            Self::Text => Tag::Str,
        }
    }

    /// The tag that it would have.
    pub(super) fn name(self) -> &'static str {
        self.tag().name()
    }

    /// A number whose whole part is not negative, which is what counts of it for Prometheus.
    pub(super) fn integer(self) -> Option<u64> {
        match self {
            // None is too large to be a text, and then it is a float.
            Self::Int(number) => u64::try_from(number).ok(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "not negative; saturates at 2^64"
            )]
            Self::Float(number) if number > -1.0 && number <= u64::MAX as f64 => {
                Some(number as u64)
            }
            _ => None,
        }
    }

    /// A number, also one that has an end.
    pub(super) fn float(self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "that is what was asked for")]
            Self::Int(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }

    /// A truth value.
    pub(super) fn boolean(self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }
}

/// What a scalar stands for, or why its tag is not one for it.
pub(super) fn meaning(tag: Tag, text: &str) -> Result<Meaning, String> {
    let found = match tag {
        Tag::Str | Tag::Binary | Tag::Merge | Tag::Exclaimed | Tag::Other => {
            return Ok(Meaning::Text);
        }
        _ => looks_like(text, matches!(tag, Tag::Plain | Tag::Timestamp)),
    };
    match (tag, found) {
        (Tag::Plain, found) => Ok(found),
        #[expect(clippy::cast_precision_loss, reason = "the tag says so")]
        (Tag::Float, Meaning::Int(number)) if i64::try_from(number).is_ok() => {
            Ok(Meaning::Float(number as f64))
        }
        (tag, found) if tag == found.tag() => Ok(found),
        (tag, found) => Err(format!("cannot decode {} `{text}` as a {}", found.name(), tag.name())),
    }
}

fn looks_like(text: &str, may_be_a_time: bool) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Meaning::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Meaning::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Meaning::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Meaning::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if text.starts_with('.') {
        return float(text).map_or(Meaning::Text, Meaning::Float);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-') {
        return Meaning::Text;
    }
    if may_be_a_time && time::is_timestamp(text) {
        return Meaning::Timestamp;
    }
    let plain = text.replace('_', "");
    let number = integer(&plain).map(Meaning::Int);
    number.or_else(|| float(&plain).map(Meaning::Float)).unwrap_or(Meaning::Text)
}

/// A whole number of 64 bits in any spelling: decimal, `0x1f`, `0o17`, `017`, `0b11`.
fn integer(text: &str) -> Option<i128> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // A second sign is none.
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let number = if is_negative { -number } else { number };
    // Only what has no sign may be larger than what has one.
    let largest = if text.starts_with('+') { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    (i128::from(i64::MIN)..=largest).contains(&number).then_some(number)
}

/// A decimal number: `1.5`, `-1.5e3`, `.5`, `1.`.
fn float(text: &str) -> Option<f64> {
    let fits = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    text.chars().all(fits).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_every_spelling() {
        for (text, expected) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("+5", Some(5)),
            ("010", Some(8)),
            ("08", Some(8)),
            ("0o10", Some(8)),
            ("0x10", Some(16)),
            ("0XfF", Some(255)),
            ("0b11", Some(3)),
            ("1_000", Some(1000)),
            ("_1", None),
            ("1.5", Some(1)),
            ("1e3", Some(1000)),
            (".5", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", Some(u64::MAX)),
            ("18446744073709551616000", None),
            ("-0.5", Some(0)),
            ("-1.0", None),
            ("-1", None),
            ("--1", None),
            ("+-1", None),
            ("0x", None),
            ("0x+1", None),
            ("", None),
            ("x", None),
            (".nan", None),
            (".inf", None),
            ("1:30", None),
        ] {
            assert_eq!(meaning(Tag::Plain, text).unwrap().integer(), expected, "{text}");
        }
    }

    #[test]
    fn what_tags_make_of_scalars() {
        let check = |tag, text: &str, expected: Result<Meaning, &str>| {
            assert_eq!(meaning(tag, text), expected.map_err(str::to_owned), "{tag:?} {text}");
        };
        check(Tag::Str, "5", Ok(Meaning::Text));
        check(Tag::Other, "~", Ok(Meaning::Text));
        check(Tag::Int, "0x10", Ok(Meaning::Int(16)));
        check(Tag::Int, "1.5", Err("cannot decode !!float `1.5` as a !!int"));
        check(Tag::Int, "a", Err("cannot decode !!str `a` as a !!int"));
        check(Tag::Int, "", Err("cannot decode !!null `` as a !!int"));
        check(Tag::Int, "2001-02-03", Err("cannot decode !!str `2001-02-03` as a !!int"));
        check(Tag::Float, "5", Ok(Meaning::Float(5.0)));
        let large = "cannot decode !!int `9223372036854775808` as a !!float";
        check(Tag::Float, "9223372036854775808", Err(large));
        check(Tag::Bool, "Off", Ok(Meaning::Bool(false)));
        check(Tag::Bool, "1", Err("cannot decode !!int `1` as a !!bool"));
        check(Tag::Null, "", Ok(Meaning::Null));
        check(Tag::Null, "a", Err("cannot decode !!str `a` as a !!null"));
        check(Tag::Timestamp, "2001-02-03", Ok(Meaning::Timestamp));
        check(Tag::Timestamp, "5", Err("cannot decode !!int `5` as a !!timestamp"));
        check(Tag::Plain, "2001-2-3 4:5:6.7", Ok(Meaning::Timestamp));
        check(Tag::Plain, "2001-02-30", Ok(Meaning::Text));
    }
}

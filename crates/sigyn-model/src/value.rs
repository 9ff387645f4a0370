//! Values of tags. Zipkin knows text alone; OTLP knows more, and what it says is kept.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

/// A tag's value, as typed as its sender sent it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Str(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    /// OTLP's `AnyValue` with nothing set.
    Empty,
}

/// Keys and values in the order of their arrival; a key stands once, its last value wins.
pub type Tags = Vec<(String, Value)>;

impl Value {
    /// The text that Zipkin shows: a string as it is, a number in decimal, the rest as JSON.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Str(text) => Cow::Borrowed(text),
            Self::Empty => Cow::Borrowed(""),
            Self::Bytes(bytes) => Cow::Owned(hex(bytes)),
            Self::Double(value) if !value.is_finite() => Cow::Borrowed(not_finite(*value)),
            other => {
                let mut out = String::new();
                other.write_json(&mut out);
                Cow::Owned(out)
            }
        }
    }

    fn write_json(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Str(text) => {
                crate::codec::write_json_str(out, text);
                Ok(())
            }
            Self::Bool(value) => write!(out, "{value}"),
            Self::Int(value) => write!(out, "{value}"),
            Self::Double(value) if value.is_finite() => write!(out, "{value}"),
            Self::Double(value) => write!(out, "\"{}\"", not_finite(*value)),
            Self::Bytes(bytes) => write!(out, "\"{}\"", hex(bytes)),
            Self::Empty => write!(out, "null"),
            Self::List(values) => {
                out.push('[');
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    value.write_json(out);
                }
                out.push(']');
                Ok(())
            }
            Self::Map(entries) => {
                write_json_object(out, entries);
                Ok(())
            }
        };
    }
}

/// Appends entries as a JSON object, in their order.
pub(crate) fn write_json_object(out: &mut String, entries: &[(String, Value)]) {
    out.push('{');
    for (i, (key, value)) in entries.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        crate::codec::write_json_str(out, key);
        out.push(':');
        value.write_json(out);
    }
    out.push('}');
}

/// Makes a key stand once: where it stood first, with the value that came last.
pub(crate) fn keep_last_of_each_key(tags: &mut Tags) {
    /// Up to here, comparing each with each is quicker than sorting.
    const FEW: usize = 16;
    let unique = if tags.len() <= FEW {
        (1..tags.len()).all(|i| tags[..i].iter().all(|(key, _)| *key != tags[i].0))
    } else {
        false
    };
    if unique {
        return;
    }
    let mut first_of: HashMap<String, usize> = HashMap::with_capacity(tags.len());
    let mut kept: Tags = Vec::with_capacity(tags.len());
    for (key, value) in tags.drain(..) {
        match first_of.get(&key) {
            Some(first) => kept[*first].1 = value,
            None => {
                first_of.insert(key.clone(), kept.len());
                kept.push((key, value));
            }
        }
    }
    *tags = kept;
}

/// Tags of one span, annotation or link.
pub(crate) const TAGS_MAX: usize = 10_000;

/// Makes a key stand once and bounds what is left, without the keys that came last. Returns their number.
pub(crate) fn bound(tags: &mut Tags, tags_max: usize) -> u32 {
    keep_last_of_each_key(tags);
    let over = tags.len().saturating_sub(tags_max);
    tags.truncate(tags_max);
    u32::try_from(over).unwrap_or(u32::MAX)
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// What no decimal says, in protobuf's words for JSON.
fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_as_a_number() {
        let check = |value: f64, expected: &str| {
            assert_eq!(Value::Double(value).text(), expected);
        };
        check(1.5, "1.5");
        check(2.0, "2");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "Infinity");
        check(f64::NEG_INFINITY, "-Infinity");
        let list = Value::List(vec![Value::Double(f64::NAN), Value::Double(0.5)]);
        assert_eq!(list.text(), r#"["NaN",0.5]"#);
    }
}

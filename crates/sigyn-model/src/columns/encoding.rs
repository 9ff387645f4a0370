//! Values of tags as bytes: equal bytes mean equal values, to the last bit of a double.

use crate::codec::sink::{Text, ValueRef};
use crate::{Tags, Value};

/// The first byte of a value.
mod kind {
    pub(super) const EMPTY: u8 = 0;
    pub(super) const STR: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const TRUE: u8 = 3;
    pub(super) const INT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const BYTES: u8 = 6;
    pub(super) const LIST: u8 = 7;
    pub(super) const MAP: u8 = 8;
}

pub(super) fn put_value_ref(out: &mut Vec<u8>, value: &ValueRef<'_>) {
    match value {
        ValueRef::Text(Text::Str(text)) => put(out, kind::STR, text.as_bytes()),
        ValueRef::Text(text) => put(out, kind::STR, text.read().as_bytes()),
        ValueRef::Bool(false) => out.push(kind::FALSE),
        ValueRef::Bool(true) => out.push(kind::TRUE),
        ValueRef::Int(value) => put(out, kind::INT, &value.to_le_bytes()),
        ValueRef::Double(value) => put(out, kind::DOUBLE, &value.to_bits().to_le_bytes()),
        ValueRef::Bytes(bytes) => put(out, kind::BYTES, bytes),
        ValueRef::Owned(value) => put_value(out, value),
        ValueRef::Empty => out.push(kind::EMPTY),
    }
}

pub(super) fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Str(text) => put(out, kind::STR, text.as_bytes()),
        Value::Bool(false) => out.push(kind::FALSE),
        Value::Bool(true) => out.push(kind::TRUE),
        Value::Int(value) => put(out, kind::INT, &value.to_le_bytes()),
        Value::Double(value) => put(out, kind::DOUBLE, &value.to_bits().to_le_bytes()),
        Value::Bytes(bytes) => put(out, kind::BYTES, bytes),
        Value::Empty => out.push(kind::EMPTY),
        Value::List(values) => {
            out.push(kind::LIST);
            for value in values {
                put_nested(out, |out| put_value(out, value));
            }
        }
        Value::Map(entries) => {
            out.push(kind::MAP);
            put_tags(out, entries);
        }
    }
}

/// Keys and values, each behind its length.
pub(super) fn put_tags(out: &mut Vec<u8>, tags: &Tags) {
    for (key, value) in tags {
        put_text(out, key);
        put_nested(out, |out| put_value(out, value));
    }
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_nested(out, |out| out.extend_from_slice(text.as_bytes()));
}

fn put(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.push(kind);
    out.extend_from_slice(content);
}

fn put_nested(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 8]);
    put(out);
    let len = out.len() - at - 8;
    out[at..at + 8].copy_from_slice(&(len as u64).to_le_bytes());
}

/// What [`put_value`] wrote. Nothing else comes here, so nothing is checked twice.
pub(super) fn value(bytes: &[u8]) -> Value {
    let Some((first, content)) = bytes.split_first() else { return Value::Empty };
    match *first {
        kind::STR => Value::Str(text(content).to_owned()),
        kind::FALSE => Value::Bool(false),
        kind::TRUE => Value::Bool(true),
        kind::INT => Value::Int(i64::from_le_bytes(word(content))),
        kind::DOUBLE => Value::Double(f64::from_bits(u64::from_le_bytes(word(content)))),
        kind::BYTES => Value::Bytes(content.to_vec()),
        kind::LIST => Value::List(Nested(content).map(value).collect()),
        kind::MAP => Value::Map(tags(content)),
        _ => Value::Empty,
    }
}

fn tags(bytes: &[u8]) -> Tags {
    let mut nested = Nested(bytes);
    let mut tags = Tags::new();
    while let (Some(key), Some(content)) = (nested.next(), nested.next()) {
        tags.push((text(key).to_owned(), value(content)));
    }
    tags
}

/// Whether no values are in it.
pub(super) fn is_flat(bytes: &[u8]) -> bool {
    !matches!(bytes.first(), Some(&kind::LIST | &kind::MAP))
}

/// The text, if the value is one.
pub(super) fn as_text(bytes: &[u8]) -> Option<&str> {
    as_text_bytes(bytes).map(text)
}

/// The same, for those to whom it is bytes.
pub(super) fn as_text_bytes(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(&[kind::STR])
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn word(bytes: &[u8]) -> [u8; 8] {
    bytes.first_chunk().copied().unwrap_or_default()
}

/// Byte strings behind their lengths.
struct Nested<'a>(&'a [u8]);

impl<'a> Iterator for Nested<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(content)
    }
}

//! Attributes: `KeyValue` and `AnyValue`, borrowed from the body as far as they stand in it.

use crate::Value;
use crate::codec::proto::{Fields, ProtoError, Wire};
use crate::codec::sink::{Dialect, TagRef, Text, ValueRef, lossy_len};
use crate::codec::{Room, VALUE_DEPTH_MAX};

/// Text in a list that is no UTF-8 takes more than it does in the body, and is made before anybody
/// counts it. So many bytes more are a further value.
const BYTES_A_VALUE: usize = 32;

/// Reads the attributes of one span, and counts what is nested.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    room: Room,
}

impl Attributes {
    /// Reads an attribute of what is nested.
    #[inline]
    pub(super) fn read_nested<'a>(&mut self, message: &'a [u8]) -> Result<TagRef<'a>, ProtoError> {
        self.room.take(1)?;
        self.read(message)
    }

    #[inline]
    pub(super) fn read<'a>(&mut self, message: &'a [u8]) -> Result<TagRef<'a>, ProtoError> {
        match usual(message) {
            Some((key, value)) => Ok(value.tag(key, message)),
            None => self.read_fields(message),
        }
    }

    /// Reads any attribute, field by field.
    #[inline(never)]
    pub(super) fn read_fields<'a>(&mut self, message: &'a [u8]) -> Result<TagRef<'a>, ProtoError> {
        let mut tag = TagRef {
            key: Text::Bytes(&[]),
            value: ValueRef::Empty,
            wire: message,
            dialect: Dialect::Otlp,
        };
        for field in Fields::new(message) {
            match field? {
                (1, Wire::Bytes(key)) => tag.key = Text::Bytes(key),
                (2, Wire::Bytes(message)) => tag.value = self.borrowed(message)?,
                _ => {}
            }
        }
        Ok(tag)
    }

    #[inline]
    fn borrowed<'a>(&mut self, message: &'a [u8]) -> Result<ValueRef<'a>, ProtoError> {
        let mut value = ValueRef::Empty;
        for field in Fields::new(message) {
            value = match field? {
                (1, Wire::Bytes(text)) => ValueRef::Text(Text::Bytes(text)),
                (2, Wire::Varint(number)) => ValueRef::Bool(number != 0),
                (3, Wire::Varint(number)) => ValueRef::Int(number.cast_signed()),
                (4, Wire::Fixed64(bits)) => ValueRef::Double(f64::from_bits(bits)),
                (number @ (5 | 6), Wire::Bytes(message)) => {
                    ValueRef::Owned(self.composed(number, message, VALUE_DEPTH_MAX - 1)?)
                }
                (7, Wire::Bytes(bytes)) => ValueRef::Bytes(bytes),
                _ => value,
            };
        }
        Ok(value)
    }

    /// A list or a map: fields 5 and 6 of `AnyValue`.
    #[cold]
    fn composed(&mut self, number: u32, message: &[u8], depth: u32) -> Result<Value, ProtoError> {
        let (mut values, mut entries) = (Vec::new(), Vec::new());
        for field in Fields::new(message) {
            let (1, Wire::Bytes(message)) = field? else { continue };
            self.room.take(1)?;
            if number == 5 {
                values.push(self.owned(message, depth)?);
            } else {
                entries.push(self.entry(message, depth)?);
            }
        }
        Ok(if number == 5 { Value::List(values) } else { Value::Map(entries) })
    }

    fn entry(&mut self, message: &[u8], depth: u32) -> Result<(String, Value), ProtoError> {
        let (mut key, mut value) = (String::new(), Value::Empty);
        for field in Fields::new(message) {
            match field? {
                (1, Wire::Bytes(bytes)) => key = self.text(bytes)?,
                (2, Wire::Bytes(message)) => value = self.owned(message, depth)?,
                _ => {}
            }
        }
        Ok((key, value))
    }

    fn text(&mut self, bytes: &[u8]) -> Result<String, ProtoError> {
        self.room.take(lossy_len(bytes).saturating_sub(bytes.len()) / BYTES_A_VALUE)?;
        Ok(Text::Bytes(bytes).read().into_owned())
    }

    fn owned(&mut self, message: &[u8], depth: u32) -> Result<Value, ProtoError> {
        let depth = depth.checked_sub(1).ok_or(ProtoError::Depth)?;
        let mut value = Value::Empty;
        for field in Fields::new(message) {
            value = match field? {
                (1, Wire::Bytes(text)) => Value::Str(self.text(text)?),
                (2, Wire::Varint(number)) => Value::Bool(number != 0),
                (3, Wire::Varint(number)) => Value::Int(number.cast_signed()),
                (4, Wire::Fixed64(bits)) => Value::Double(f64::from_bits(bits)),
                (number @ (5 | 6), Wire::Bytes(message)) => {
                    self.composed(number, message, depth)?
                }
                (7, Wire::Bytes(bytes)) => Value::Bytes(bytes.to_vec()),
                _ => value,
            };
        }
        Ok(value)
    }
}

/// A value as nearly all are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Usual<'a> {
    Text(&'a [u8]),
    Int(i64),
}

impl<'a> Usual<'a> {
    #[inline(always)]
    pub(super) fn tag(self, key: &'a [u8], wire: &'a [u8]) -> TagRef<'a> {
        let value = match self {
            Self::Text(text) => ValueRef::Text(Text::Bytes(text)),
            Self::Int(number) => ValueRef::Int(number),
        };
        TagRef { key: Text::Bytes(key), value, wire, dialect: Dialect::Otlp }
    }
}

/// Reads what nearly all senders write: a key of less than 128 bytes, then one text or number, of no
/// more than 16 thousand. Anything else is left to [`Attributes::read_fields`].
#[inline(always)]
pub(super) fn usual(message: &[u8]) -> Option<(&[u8], Usual<'_>)> {
    let [0x0a, length @ ..0x80, rest @ ..] = message else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let value = match rest {
        [0x12, length @ ..0x80, value @ ..] if value.len() == usize::from(*length) => value,
        [0x12, low @ 0x80..=0xff, high @ ..0x80, value @ ..] if value.len() == two(*low, *high) => {
            value
        }
        _ => return None,
    };
    let value = match value {
        [0x0a, length @ ..0x80, text @ ..] if text.len() == usize::from(*length) => {
            Usual::Text(text)
        }
        [0x0a, low @ 0x80..=0xff, high @ ..0x80, text @ ..] if text.len() == two(*low, *high) => {
            Usual::Text(text)
        }
        [0x18, number @ ..0x80] => Usual::Int(i64::from(*number)),
        [0x18, low @ 0x80..=0xff, high @ ..0x80] => {
            Usual::Int(i64::from(*low & 0x7f) | i64::from(*high) << 7)
        }
        _ => return None,
    };
    Some((key, value))
}

/// A length of two bytes.
#[inline(always)]
fn two(low: u8, high: u8) -> usize {
    usize::from(low & 0x7f) | usize::from(high) << 7
}

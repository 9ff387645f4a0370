//! Single fields: how each may be spelled.

use std::borrow::Cow;

use crate::codec::json::{JsonError, Scalar, Scanner};
use crate::codec::sink::{TagRef, Text, ValueRef};
use crate::codec::{Room, VALUE_DEPTH_MAX, base64, shortened};
use crate::{Kind, SpanId, StatusCode, TraceId, Value};

/// How deep JSON may nest. A value within a value takes up to four levels, so that one which is too
/// deep is a matter of its span.
pub(in crate::codec) const NESTING_MAX: u32 = 512;

/// A message quotes no more of a value, in characters.
const QUOTE_CHARS_MAX: usize = 100;

/// Reads an object's fields that are said: `null` says nothing.
pub(in crate::codec) fn object<'a>(
    json: &mut Scanner<'a>,
    mut field: impl FnMut(&mut Scanner<'a>, &str) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    json.object(|json, key| if json.null() { Ok(()) } else { field(json, &key) })
}

/// Whatever nobody knows.
pub(in crate::codec) fn skip(json: &mut Scanner<'_>) -> Result<(), JsonError> {
    json.skip_within(NESTING_MAX)
}

/// Reads a list of attributes of what is nested.
pub(super) fn nested_tags<'a>(
    json: &mut Scanner<'a>,
    room: &mut Room,
) -> Result<Vec<TagRef<'a>>, JsonError> {
    let mut tags = Vec::new();
    json.list(|json, _| {
        room.take(1)?;
        tags.push(tag(json, room)?);
        Ok(())
    })?;
    Ok(tags)
}

/// Reads one attribute.
pub(super) fn tag<'a>(json: &mut Scanner<'a>, room: &mut Room) -> Result<TagRef<'a>, JsonError> {
    let (key, value) = key_value(json, VALUE_DEPTH_MAX, room)?;
    Ok(TagRef::new(key, value))
}

fn key_value<'a>(
    json: &mut Scanner<'a>,
    depth: u32,
    room: &mut Room,
) -> Result<(Text<'a>, ValueRef<'a>), JsonError> {
    let (mut key, mut value) = (Text::default(), ValueRef::Empty);
    object(json, |json, field| {
        match field {
            "key" => key = text(json, field)?,
            "value" => value = any_value(json, depth, room)?,
            _ => skip(json)?,
        }
        Ok(())
    })?;
    Ok((key, value))
}

fn any_value<'a>(
    json: &mut Scanner<'a>,
    depth: u32,
    room: &mut Room,
) -> Result<ValueRef<'a>, JsonError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(JsonError::new("values nested too deep"));
    };
    let mut value = ValueRef::Empty;
    object(json, |json, field| {
        match field {
            "stringValue" | "string_value" => value = ValueRef::Text(text(json, field)?),
            "boolValue" | "bool_value" => value = ValueRef::Bool(boolean(json, field)?),
            "intValue" | "int_value" => value = ValueRef::Int(integer(json, field)?),
            "doubleValue" | "double_value" => value = ValueRef::Double(double(json, field)?),
            "bytesValue" | "bytes_value" => {
                let bytes = base64::decode(&text(json, field)?.read());
                let bytes = bytes.ok_or_else(|| JsonError::new("bytesValue is not base64"))?;
                value = ValueRef::Owned(Value::Bytes(bytes));
            }
            "arrayValue" | "array_value" => {
                let mut values = Vec::new();
                elements(json, |json| {
                    room.take(1)?;
                    let value = if json.null() {
                        Value::Empty
                    } else {
                        owned(any_value(json, depth, room)?)
                    };
                    values.push(value);
                    Ok(())
                })?;
                value = ValueRef::Owned(Value::List(values));
            }
            "kvlistValue" | "kvlist_value" => {
                let mut entries = Vec::new();
                elements(json, |json| {
                    room.take(1)?;
                    let (key, value) = key_value(json, depth, room)?;
                    entries.push((key.read().into_owned(), owned(value)));
                    Ok(())
                })?;
                value = ValueRef::Owned(Value::Map(entries));
            }
            _ => skip(json)?,
        }
        Ok(())
    })?;
    Ok(value)
}

/// The list `values` of a list or a map.
fn elements<'a>(
    json: &mut Scanner<'a>,
    mut element: impl FnMut(&mut Scanner<'a>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    object(json, |json, field| match field {
        "values" => json.list(|json, _| element(json)),
        _ => skip(json),
    })
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Owned(value) => value,
        other => other.to_owned(),
    }
}

/// Text. A number is text in its own spelling.
pub(in crate::codec) fn text<'a>(
    json: &mut Scanner<'a>,
    field: &str,
) -> Result<Text<'a>, JsonError> {
    match json.scalar()? {
        Scalar::Str(Cow::Borrowed(text)) | Scalar::Number(text) => Ok(Text::Str(text)),
        Scalar::Str(Cow::Owned(text)) => Ok(Text::Owned(text)),
        Scalar::Null => Ok(Text::default()),
        Scalar::Bool(_) => Err(JsonError::new(format!("{field} is not a string"))),
    }
}

pub(in crate::codec) fn boolean(json: &mut Scanner<'_>, field: &str) -> Result<bool, JsonError> {
    match json.scalar()? {
        Scalar::Bool(value) => Ok(value),
        _ => Err(JsonError::new(format!("{field} is not true or false"))),
    }
}

pub(in crate::codec) fn double(json: &mut Scanner<'_>, field: &str) -> Result<f64, JsonError> {
    let text = text(json, field)?;
    let text = text.read();
    let number = match &*text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        // The standard library reads more words than these.
        text if text.ends_with(|last: char| last.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| refused(field, &text, "a number"))
}

/// A whole number, in quotes or not, also as `1e3` or `5.0`.
pub(in crate::codec) fn integer(json: &mut Scanner<'_>, field: &str) -> Result<i64, JsonError> {
    let number = whole(json, field)?;
    i64::try_from(number).map_err(|_| refused(field, &number.to_string(), "within 64 bits"))
}

/// The same without sign.
pub(in crate::codec) fn unsigned(json: &mut Scanner<'_>, field: &str) -> Result<u64, JsonError> {
    let number = whole(json, field)?;
    u64::try_from(number).map_err(|_| refused(field, &number.to_string(), "within 64 bits"))
}

/// How many were dropped; more than fit are as many as fit.
pub(super) fn count(json: &mut Scanner<'_>, field: &str) -> Result<u32, JsonError> {
    Ok(u32::try_from(unsigned(json, field)?).unwrap_or(u32::MAX))
}

pub(super) fn flags(json: &mut Scanner<'_>, field: &str) -> Result<u32, JsonError> {
    let number = whole(json, field)?;
    u32::try_from(number).map_err(|_| refused(field, &number.to_string(), "within 32 bits"))
}

fn whole(json: &mut Scanner<'_>, field: &str) -> Result<i128, JsonError> {
    let text = text(json, field)?;
    let text = text.read();
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    /// More than 64 bits hold, and less than 128 do.
    const BOUND: f64 = 1e20;
    let number = text.parse::<f64>().ok().filter(|n| n.fract() == 0.0 && n.abs() < BOUND);
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within the bound")]
    let number = number.map(|number| number as i128);
    number.ok_or_else(|| refused(field, &text, "a whole number"))
}

/// By number, or by the name that protobuf gives it. Whatever nobody knows is none.
pub(super) fn kind(json: &mut Scanner<'_>, field: &str) -> Result<Option<Kind>, JsonError> {
    Ok(match &*text(json, field)?.read() {
        "2" | "SPAN_KIND_SERVER" => Some(Kind::Server),
        "3" | "SPAN_KIND_CLIENT" => Some(Kind::Client),
        "4" | "SPAN_KIND_PRODUCER" => Some(Kind::Producer),
        "5" | "SPAN_KIND_CONSUMER" => Some(Kind::Consumer),
        _ => None,
    })
}

/// The same for the code of a status.
pub(super) fn status_code(json: &mut Scanner<'_>, field: &str) -> Result<StatusCode, JsonError> {
    Ok(match &*text(json, field)?.read() {
        "1" | "STATUS_CODE_OK" => StatusCode::Ok,
        "2" | "STATUS_CODE_ERROR" => StatusCode::Error,
        _ => StatusCode::Unset,
    })
}

/// The ids of a span, or of what a link points to, as they are spelled.
#[derive(Debug, Default)]
pub(super) struct Ids<'a> {
    pub(super) trace_id: Text<'a>,
    pub(super) span_id: Text<'a>,
}

impl Ids<'_> {
    pub(super) fn trace_id(&self) -> Result<TraceId, JsonError> {
        let id = hex(&self.trace_id, "traceId", 32)?;
        TraceId::new(id).ok_or_else(|| JsonError::new("traceId is all zeros"))
    }

    /// It may be zero.
    pub(super) fn span_id(&self) -> Result<SpanId, JsonError> {
        span_id(&self.span_id, "spanId")
    }
}

/// It may be zero.
pub(super) fn span_id(text: &Text<'_>, field: &str) -> Result<SpanId, JsonError> {
    let id = hex(text, field, 16)?;
    Ok(SpanId::from_raw(u64::try_from(id).unwrap_or(u64::MAX)))
}

pub(super) fn zero_span_id() -> JsonError {
    JsonError::new("spanId is all zeros")
}

/// Exactly so many hexadecimal digits, in any case.
fn hex(text: &Text<'_>, field: &str, digits: usize) -> Result<u128, JsonError> {
    let text = text.read();
    let all_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = u128::from_str_radix(&text, 16).ok().filter(|_| all_hex && text.len() == digits);
    id.ok_or_else(|| refused(field, &text, &format!("{digits} hexadecimal digits")))
}

pub(in crate::codec) fn refused(field: &str, value: &str, expected: &str) -> JsonError {
    let value = shortened(value, QUOTE_CHARS_MAX);
    JsonError::new(format!("{field} {value:?} is not {expected}"))
}

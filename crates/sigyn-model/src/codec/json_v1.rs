//! Zipkin v1 JSON: a list of spans, read.

#[cfg(test)]
mod tests;

use super::draft::EndpointDraft;
use super::json::{JsonError, Scalar, Scanner};
use super::json_v2::{boolean, endpoint, integer, string};
use super::sink::{SpanSink, Text, body_text};
use super::v1::{BadSpan, Converter, V1Span};
use super::{DecodeError, Format};
use crate::IdError;
use crate::id::lower_hex;

/// Reads a list of spans. One bad span refuses the whole message: Zipkin's contract.
///
/// Whatever follows the list is ignored, and bytes that are no UTF-8 are replaced by U+FFFD.
pub fn read(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    if body.is_empty() {
        return Ok(());
    }
    let text =
        body_text(body, sink).map_err(|over| DecodeError::over(Format::ZipkinJsonV1, over))?;
    read_list(&text, sink).map_err(|cause| DecodeError {
        over_limit: cause.is_over_limit(),
        ..DecodeError::reading(Format::ZipkinJsonV1, &cause)
    })
}

fn read_list(text: &str, sink: &mut impl SpanSink) -> Result<(), JsonError> {
    let mut span = V1Span::default();
    let mut converter = Converter::default();
    Scanner::new(text).list(|json, index| {
        span.clear();
        json.object(|json, key| read_field(json, &key, index, &mut span))?;
        Ok(converter.hand_over(&span, sink)?)
    })
}

fn read_field<'a>(
    json: &mut Scanner<'a>,
    key: &str,
    index: usize,
    span: &mut V1Span<'a>,
) -> Result<(), JsonError> {
    let required = matches!(key, "traceId" | "id");
    if !required && json.null() {
        return Ok(());
    }
    match key {
        "traceId" => {
            let (id, digits) = read_id(json, "traceId")?;
            // Only a full id has a left half.
            span.trace_id = if digits == 32 { id } else { u128::from(right_half(id)) };
        }
        "id" => span.id = right_half(read_id(json, "id")?.0),
        "parentId" => span.parent_id = right_half(read_id(json, "parentId")?.0),
        "name" => span.name = string(json, key)?,
        "timestamp" => span.timestamp = integer(json, key)?,
        "duration" => span.duration = integer(json, key)?,
        "debug" => span.debug = boolean(json, key)?,
        "annotations" => json.list(|json, i| {
            let place = || format!("$[{index}].annotations[{i}]");
            read_annotation(json, &place, span)
        })?,
        "binaryAnnotations" => json.list(|json, i| {
            let place = || format!("$[{index}].binaryAnnotations[{i}]");
            read_binary_annotation(json, &place, span)
        })?,
        _ => json.skip()?,
    }
    Ok(())
}

fn read_annotation<'a>(
    json: &mut Scanner<'a>,
    place: &dyn Fn() -> String,
    span: &mut V1Span<'a>,
) -> Result<(), JsonError> {
    let (mut us, mut value, mut host) = (None, None, EndpointDraft::default());
    json.object(|json, key| {
        if json.null() {
            return Ok(());
        }
        match &*key {
            "timestamp" => us = Some(integer(json, &key)?),
            "value" => value = Some(string(json, &key)?),
            "endpoint" => host = endpoint(json)?,
            _ => json.skip()?,
        }
        Ok(())
    })?;
    match (us, value) {
        (Some(us), Some(value)) => {
            span.annotation(us, value, host);
            Ok(())
        }
        _ => Err(JsonError::new(format!("Incomplete annotation at {}", place()))),
    }
}

/// Text is a tag, `true` may be an address; all else says nothing that could be kept.
fn read_binary_annotation<'a>(
    json: &mut Scanner<'a>,
    place: &dyn Fn() -> String,
    span: &mut V1Span<'a>,
) -> Result<(), JsonError> {
    let (mut key, mut said, mut host) = (None, Said::Nothing, EndpointDraft::default());
    json.object(|json, field| {
        match &*field {
            "value" => said = read_value(json)?,
            _ if json.null() => {}
            "key" => key = Some(string(json, &field)?),
            "endpoint" => host = endpoint(json)?,
            _ => json.skip()?,
        }
        Ok(())
    })?;
    let key = key.ok_or_else(|| JsonError::new(format!("No key at {}", place())))?;
    match said {
        Said::Text(value) => span.tag(key, value, host),
        Said::True => span.address(&key, host),
        Said::Nothing => {}
    }
    Ok(())
}

/// The value of a binary annotation.
enum Said<'a> {
    Text(Text<'a>),
    True,
    Nothing,
}

fn read_value<'a>(json: &mut Scanner<'a>) -> Result<Said<'a>, JsonError> {
    match json.peek() {
        Some(b'"') => string(json, "value").map(Said::Text),
        Some(b'[' | b'{') => json.skip().map(|()| Said::Nothing),
        _ => Ok(match json.scalar()? {
            Scalar::Bool(true) => Said::True,
            _ => Said::Nothing,
        }),
    }
}

/// An id of up to 32 digits, and how many there are.
fn read_id(json: &mut Scanner<'_>, field: &'static str) -> Result<(u128, usize), JsonError> {
    let text = string(json, field)?;
    let text = text.read();
    let id = match text.len() {
        0 => Err(IdError::Empty { field }),
        1..=32 => lower_hex(&text).ok_or_else(|| IdError::NotLowerHex { text: text.to_string() }),
        _ => Err(IdError::TooLong { field, max: 32 }),
    };
    id.map(|id| (id, text.len())).map_err(|bad| JsonError::new(bad.to_string()))
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn right_half(id: u128) -> u64 {
    id as u64
}

impl From<BadSpan> for JsonError {
    fn from(bad: BadSpan) -> Self {
        match bad {
            BadSpan::OverLimit(over) => over.into(),
            bad => Self::new(bad.to_string()),
        }
    }
}

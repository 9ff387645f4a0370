//! Jaeger's protobuf: `api_v2.PostSpansRequest`, as its clients and agents send it over gRPC.
//!
//! A bad span is a problem and takes no other with it.

#[cfg(test)]
mod tests;
#[cfg(test)]
mod writer;

use super::jaeger::{JaegerSpan, Process, RefType, Reference, Spans};
use super::proto::{Fields, ProtoError, Wire};
use super::sink::{SpanSink, TagRef, Text, ValueRef};
use super::{DecodeError, Format, ManyNested};

/// Why a span cannot be kept.
#[derive(Debug, thiserror::Error)]
enum Flaw {
    #[error("{field} has {length} bytes, not {expected}")]
    IdLength { field: &'static str, length: usize, expected: usize },
    #[error(transparent)]
    Nested(#[from] ManyNested),
    #[error(transparent)]
    Wire(#[from] ProtoError),
}

/// Reads a `PostSpansRequest`.
pub fn read(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    let mut spans = Spans::new(sink);
    request(body, &mut spans).map_err(|cause| match cause {
        ProtoError::OverLimit(over) => DecodeError::over(Format::JaegerProto, over),
        cause => DecodeError::reading(Format::JaegerProto, &cause),
    })
}

fn request<'a, S: SpanSink>(
    body: &'a [u8],
    spans: &mut Spans<'a, '_, S>,
) -> Result<(), ProtoError> {
    for field in Fields::new(body) {
        if let (1, Wire::Bytes(message)) = field? {
            batch(message, spans)?;
        }
    }
    Ok(())
}

fn batch<'a, S: SpanSink>(
    message: &'a [u8],
    spans: &mut Spans<'a, '_, S>,
) -> Result<(), ProtoError> {
    let mut process = None;
    for field in Fields::new(message) {
        if let (2, Wire::Bytes(message)) = field? {
            read_process(message, &mut process)?;
        }
    }
    let mut process = process.unwrap_or_default();
    process.finish();
    let first = spans.seen;
    spans.next_process();
    let mut others = false;
    for field in Fields::new(message) {
        let (1, Wire::Bytes(message)) = field? else { continue };
        spans.span.clear();
        match read_span(message, &mut spans.span) {
            Ok(None) => spans.finish(&process)?,
            Ok(Some(_)) => {
                others = true;
                spans.seen += 1;
            }
            Err(flaw) => spans.bad(flaw.to_string())?,
        }
    }
    if !others {
        return Ok(());
    }
    // A span's own process goes before that of its batch. Hardly anybody sends one.
    let behind = std::mem::replace(&mut spans.seen, first);
    for field in Fields::new(message) {
        let (1, Wire::Bytes(message)) = field? else { continue };
        spans.span.clear();
        if let Ok(Some(process)) = read_span(message, &mut spans.span) {
            spans.next_process();
            spans.finish(&process)?;
        } else {
            spans.seen += 1;
        }
    }
    spans.seen = behind;
    Ok(())
}

/// Parts of one message, one after the other, are the message.
fn read_process<'a>(
    message: &'a [u8],
    process: &mut Option<Process<'a>>,
) -> Result<(), ProtoError> {
    let process = process.get_or_insert_default();
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(name)) => process.service_name = Text::Bytes(name),
            (2, Wire::Bytes(tag)) => {
                let (key, value) = read_tag(tag)?;
                process.tag(TagRef::new(key, value));
            }
            _ => {}
        }
    }
    process.came_as(message);
    Ok(())
}

/// Reads a span, and returns its own process if it has one.
fn read_span<'a>(
    message: &'a [u8],
    span: &mut JaegerSpan<'a>,
) -> Result<Option<Process<'a>>, Flaw> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    let (mut start, mut duration) = (Time::default(), Time::default());
    let mut process = None;
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(id)) => trace_id = id,
            (2, Wire::Bytes(id)) => span_id = id,
            (3, Wire::Bytes(name)) => span.name = Text::Bytes(name),
            (4, Wire::Bytes(message)) => span.reference(read_reference(message)?),
            (5, Wire::Varint(flags)) => span.flags = low_half(flags),
            (6, Wire::Bytes(time)) => start.read(time)?,
            (7, Wire::Bytes(time)) => duration.read(time)?,
            (8, Wire::Bytes(tag)) => {
                let (key, value) = read_tag(tag)?;
                span.tag(key, value);
            }
            (9, Wire::Bytes(log)) => read_log(log, span)?,
            (10, Wire::Bytes(message)) => read_process(message, &mut process)?,
            _ => {}
        }
    }
    if let Some(process) = &mut process {
        process.finish();
    }
    span.start_ns = start.nanos().unwrap_or(0);
    span.duration_ns = duration.nanos();
    span.trace_id = u128::from_be_bytes(id_bytes("trace_id", trace_id)?);
    span.span_id = u64::from_be_bytes(id_bytes("span_id", span_id)?);
    Ok(process)
}

/// One whose ids are no ids points nowhere, and is no reason to lose the span.
fn read_reference(message: &[u8]) -> Result<Reference, ProtoError> {
    let mut reference = Reference { kind: RefType::ChildOf, trace_id: 0, span_id: 0 };
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(id)) => {
                reference.trace_id = id.try_into().map_or(0, u128::from_be_bytes);
            }
            (2, Wire::Bytes(id)) => reference.span_id = id.try_into().map_or(0, u64::from_be_bytes),
            (3, Wire::Varint(kind)) => {
                let followed = low_half(kind) == 1;
                reference.kind = if followed { RefType::FollowsFrom } else { RefType::ChildOf };
            }
            _ => {}
        }
    }
    Ok(reference)
}

fn read_log<'a>(message: &'a [u8], span: &mut JaegerSpan<'a>) -> Result<(), Flaw> {
    let (mut time, mut fields) = (Time::default(), Vec::new());
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(message)) => time.read(message)?,
            (2, Wire::Bytes(tag)) => {
                span.field()?;
                let (key, value) = read_tag(tag)?;
                fields.push(TagRef::new(key, value));
            }
            _ => {}
        }
    }
    span.log(time.nanos().unwrap_or(0), fields);
    Ok(())
}

/// The type says which of the values counts.
fn read_tag(message: &[u8]) -> Result<(Text<'_>, ValueRef<'_>), ProtoError> {
    let mut kind = 0;
    let (mut key, mut text, mut binary): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let (mut truth, mut int, mut double) = (false, 0, 0.0);
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Varint(number)) => kind = low_half(number),
            (3, Wire::Bytes(bytes)) => text = bytes,
            (4, Wire::Varint(number)) => truth = number != 0,
            (5, Wire::Varint(number)) => int = number.cast_signed(),
            (6, Wire::Fixed64(bits)) => double = f64::from_bits(bits),
            (7, Wire::Bytes(bytes)) => binary = bytes,
            _ => {}
        }
    }
    let value = match kind {
        1 => ValueRef::Bool(truth),
        2 => ValueRef::Int(int),
        3 => ValueRef::Double(double),
        4 => ValueRef::Bytes(binary),
        _ => ValueRef::Text(Text::Bytes(text)),
    };
    Ok((Text::Bytes(key), value))
}

/// A `Timestamp` or a `Duration`.
#[derive(Default)]
struct Time {
    seconds: i64,
    /// Beyond the seconds.
    nanos: i32,
}

impl Time {
    fn read(&mut self, message: &[u8]) -> Result<(), ProtoError> {
        for field in Fields::new(message) {
            match field? {
                (1, Wire::Varint(number)) => self.seconds = number.cast_signed(),
                (2, Wire::Varint(number)) => self.nanos = low_half(number).cast_signed(),
                _ => {}
            }
        }
        Ok(())
    }

    /// `None` for what is before the beginning or leaves 64 bits.
    fn nanos(&self) -> Option<u64> {
        let sum = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos);
        u64::try_from(sum).ok()
    }
}

/// What a field of 32 bits keeps of a number.
fn low_half(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn id_bytes<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], Flaw> {
    let length = bytes.len();
    bytes.try_into().map_err(|_| Flaw::IdLength { field, length, expected: N })
}

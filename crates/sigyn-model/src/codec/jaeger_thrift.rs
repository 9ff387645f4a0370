//! Jaeger's thrift: a `Batch` in the binary protocol or the compact one, and the calls in which
//! clients send one to the agent that once stood beside them.
//!
//! A bad span is a problem and takes no other with it. Bytes that are no thrift refuse the whole
//! message, for nobody knows where the next span begins.

#[cfg(test)]
mod tests;

use super::jaeger::{JaegerSpan, Process, RefType, Reference, Spans};
use super::sink::{SpanSink, TagRef, Text, ValueRef};
use super::thrift::{List, Protocol, Reader, ThriftError, Value};
use super::{DecodeError, Format, ManyNested, zipkin_thrift};

/// Reads a `Batch` in the binary protocol.
pub fn read(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    read_as(Format::JaegerThrift, body, sink)
}

/// The same for the compact protocol.
pub fn read_compact(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    read_as(Format::JaegerThriftCompact, body, sink)
}

/// Reads a message to Jaeger's agent, as it comes in one datagram: the calls `emitBatch`, with a
/// `Batch`, and `emitZipkinBatch`, with a list of Zipkin's v1 spans. Either protocol is known by its
/// first byte, whatever port it came in by.
pub fn read_agent_message(datagram: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    /// The compact protocol's first byte.
    const COMPACT: u8 = 0x82;
    let format = match datagram {
        [COMPACT, ..] => Format::JaegerThriftCompact,
        _ => Format::JaegerThrift,
    };
    let mut reader = Reader::new(protocol(format), datagram);
    let refused = |cause| refused(format, &cause);
    let message = reader.message().map_err(refused)?;
    match message.name {
        b"emitBatch" => {
            let mut spans = Spans::new(sink);
            let read = reader.fields(|reader, number, value| match (number, value) {
                (1, Value::Struct) => read_batch(reader, &mut spans),
                _ => Ok(()),
            });
            read.map_err(refused)
        }
        // Its one argument is a list, which is read as one that stands alone.
        b"emitZipkinBatch" => match (format, reader.rest()) {
            (Format::JaegerThrift, [15, 0, 1, list @ ..]) => zipkin_thrift::read(list, sink),
            (Format::JaegerThriftCompact, [0x19, list @ ..]) => {
                zipkin_thrift::read_compact(list, sink)
            }
            _ => Err(DecodeError::new("emitZipkinBatch without a list of spans")),
        },
        name => {
            let name = String::from_utf8_lossy(name);
            Err(DecodeError::new(format!("the agent knows no call {name:?}")))
        }
    }
}

fn read_as(format: Format, body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    let mut reader = Reader::new(protocol(format), body);
    read_batch(&mut reader, &mut Spans::new(sink)).map_err(|cause| refused(format, &cause))
}

fn refused(format: Format, cause: &ThriftError) -> DecodeError {
    match cause {
        ThriftError::OverLimit(over) => DecodeError::over(format, *over),
        cause => DecodeError::reading(format, cause),
    }
}

fn protocol(format: Format) -> Protocol {
    match format {
        Format::JaegerThriftCompact => Protocol::Compact,
        _ => Protocol::Binary,
    }
}

fn read_batch<'a, S: SpanSink>(
    reader: &mut Reader<'a>,
    spans: &mut Spans<'a, '_, S>,
) -> Result<(), ThriftError> {
    let mut process = None;
    let mut waiting = 0;
    let mut again = reader.clone();
    let first = spans.seen;
    spans.next_process();
    reader.fields(|reader, number, value| {
        match (number, value, &process) {
            (1, Value::Struct, None) => process = Some(read_process(reader)?),
            (2, Value::List(list), Some(process)) => read_spans(reader, list, process, spans)?,
            // The process comes first; where it does not, these lists wait for it.
            (2, Value::List(list), None) => {
                waiting += 1;
                spans.seen = spans.seen.saturating_add(usize::try_from(list.count).unwrap_or(0));
            }
            _ => {}
        }
        Ok(())
    })?;
    if waiting == 0 {
        return Ok(());
    }
    let process = process.unwrap_or_default();
    let behind = std::mem::replace(&mut spans.seen, first);
    again.fields(|reader, number, value| {
        if let (2, Value::List(list), 1..) = (number, value, waiting) {
            waiting -= 1;
            read_spans(reader, list, &process, spans)?;
        }
        Ok(())
    })?;
    spans.seen = behind;
    Ok(())
}

fn read_spans<'a, S: SpanSink>(
    reader: &mut Reader<'a>,
    list: List,
    process: &Process<'a>,
    spans: &mut Spans<'a, '_, S>,
) -> Result<(), ThriftError> {
    reader.elements(list, |reader, value| {
        spans.span.clear();
        let read = match value {
            Value::Struct => read_span(reader, &mut spans.span)?,
            _ => Ok(()),
        };
        match read {
            Ok(()) => spans.finish(process)?,
            Err(flaw) => spans.bad(flaw.to_string())?,
        }
        Ok(())
    })
}

fn read_process<'a>(reader: &mut Reader<'a>) -> Result<Process<'a>, ThriftError> {
    let mut process = Process::default();
    let before = reader.rest();
    reader.fields(|reader, number, value| {
        match (number, value) {
            (1, Value::Bytes(name)) => process.service_name = Text::Bytes(name),
            (2, Value::List(list)) => each_struct(reader, list, |reader| {
                let (key, value) = read_tag(reader)?;
                process.tag(TagRef::new(key, value));
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    let length = before.len() - reader.rest().len();
    process.came_as(before.get(..length).unwrap_or_default());
    process.finish();
    Ok(process)
}

/// The inner error is the span's alone: it was read to its end.
fn read_span<'a>(
    reader: &mut Reader<'a>,
    span: &mut JaegerSpan<'a>,
) -> Result<Result<(), ManyNested>, ThriftError> {
    let (mut high, mut low) = (0, 0);
    let mut flaw = Ok(());
    reader.fields(|reader, number, value| {
        match (number, value) {
            (1, Value::I64(id)) => low = id.cast_unsigned(),
            (2, Value::I64(id)) => high = id.cast_unsigned(),
            (3, Value::I64(id)) => span.span_id = id.cast_unsigned(),
            (4, Value::I64(id)) => span.parent_id = id.cast_unsigned(),
            (5, Value::Bytes(name)) => span.name = Text::Bytes(name),
            (6, Value::List(list)) => each_struct(reader, list, |reader| {
                span.reference(read_reference(reader)?);
                Ok(())
            })?,
            (7, Value::I32(flags)) => span.flags = flags.cast_unsigned(),
            (8, Value::I64(us)) => span.start_ns = nanos(us).unwrap_or(0),
            (9, Value::I64(us)) => span.duration_ns = nanos(us),
            (10, Value::List(list)) => each_struct(reader, list, |reader| {
                let (key, value) = read_tag(reader)?;
                span.tag(key, value);
                Ok(())
            })?,
            (11, Value::List(list)) => each_struct(reader, list, |reader| {
                let read = read_log(reader, span)?;
                if flaw.is_ok() {
                    flaw = read;
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    span.trace_id = u128::from(high) << 64 | u128::from(low);
    Ok(flaw)
}

fn read_reference(reader: &mut Reader<'_>) -> Result<Reference, ThriftError> {
    let mut kind = RefType::ChildOf;
    let (mut high, mut low, mut span_id) = (0, 0, 0);
    reader.fields(|_, number, value| {
        match (number, value) {
            (1, Value::I32(1)) => kind = RefType::FollowsFrom,
            (2, Value::I64(id)) => low = id.cast_unsigned(),
            (3, Value::I64(id)) => high = id.cast_unsigned(),
            (4, Value::I64(id)) => span_id = id.cast_unsigned(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Reference { kind, trace_id: u128::from(high) << 64 | u128::from(low), span_id })
}

fn read_log<'a>(
    reader: &mut Reader<'a>,
    span: &mut JaegerSpan<'a>,
) -> Result<Result<(), ManyNested>, ThriftError> {
    let (mut time, mut fields) = (0, Vec::new());
    let mut flaw = Ok(());
    reader.fields(|reader, number, value| {
        match (number, value) {
            (1, Value::I64(us)) => time = nanos(us).unwrap_or(0),
            (2, Value::List(list)) => each_struct(reader, list, |reader| {
                let (key, value) = read_tag(reader)?;
                match span.field() {
                    Ok(()) => fields.push(TagRef::new(key, value)),
                    Err(many) => flaw = Err(many),
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    span.log(time, fields);
    Ok(flaw)
}

/// The type says which of the values counts.
fn read_tag<'a>(reader: &mut Reader<'a>) -> Result<(Text<'a>, ValueRef<'a>), ThriftError> {
    let mut kind = 0;
    let (mut key, mut text, mut binary): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let (mut double, mut truth, mut long) = (0.0, false, 0);
    reader.fields(|_, number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => key = bytes,
            (2, Value::I32(number)) => kind = number,
            (3, Value::Bytes(bytes)) => text = bytes,
            (4, Value::Double(number)) => double = number,
            (5, Value::Bool(value)) => truth = value,
            (6, Value::I64(number)) => long = number,
            (7, Value::Bytes(bytes)) => binary = bytes,
            _ => {}
        }
        Ok(())
    })?;
    let value = match kind {
        1 => ValueRef::Double(double),
        2 => ValueRef::Bool(truth),
        3 => ValueRef::Int(long),
        4 => ValueRef::Bytes(binary),
        _ => ValueRef::Text(Text::Bytes(text)),
    };
    Ok((Text::Bytes(key), value))
}

/// Reads the elements of a list that are structs.
fn each_struct<'a>(
    reader: &mut Reader<'a>,
    list: List,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<(), ThriftError>,
) -> Result<(), ThriftError> {
    reader.elements(list, |reader, value| match value {
        Value::Struct => read(reader),
        _ => Ok(()),
    })
}

/// Microseconds; `None` for those before the beginning or past the year 2554.
fn nanos(us: i64) -> Option<u64> {
    u64::try_from(us).ok()?.checked_mul(1_000)
}

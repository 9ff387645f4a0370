//! Zipkin v1 in thrift: a list of spans, in the binary protocol or the compact one.
//!
//! No message goes around the list. Zipkin takes the binary protocol; Loki's clients wrote the compact one.

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;

use super::draft::EndpointDraft;
use super::sink::{SpanSink, Text};
use super::thrift::{Protocol, Reader, ThriftError, Type, Value, Writer};
pub use super::v1::Hosts;
use super::v1::{BadSpan, Converter, V1Span, from_v2};
use super::{DecodeError, Format};
use crate::Span;

/// Of the types that a binary annotation may have, two can be kept: text is a tag, and what is true
/// may be an address.
const BOOL: i32 = 0;
const STRING: i32 = 6;

/// Why a list is refused.
#[derive(Debug, thiserror::Error)]
enum BadList {
    #[error(transparent)]
    Wire(#[from] ThriftError),
    #[error(transparent)]
    Span(#[from] BadSpan),
}

/// Reads a list of spans in the binary protocol. One bad span refuses the whole message: Zipkin's
/// contract.
///
/// Fields that are unknown, or of another type than they should be, are skipped, and so is whatever
/// follows the list. The list's count is no promise, and of what type its elements are said to be is
/// of no interest.
pub fn read(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    read_as(Format::ZipkinThrift, body, sink)
}

/// The same for the compact protocol.
pub fn read_compact(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    read_as(Format::ZipkinThriftCompact, body, sink)
}

fn read_as(format: Format, body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    if body.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(protocol(format), body);
    read_list(&mut reader, sink).map_err(|cause| match cause {
        BadList::Span(BadSpan::OverLimit(over)) => DecodeError::over(format, over),
        cause => DecodeError::reading(format, &cause),
    })
}

fn protocol(format: Format) -> Protocol {
    match format {
        Format::ZipkinThriftCompact => Protocol::Compact,
        _ => Protocol::Binary,
    }
}

fn read_list<'a>(reader: &mut Reader<'a>, sink: &mut impl SpanSink) -> Result<(), BadList> {
    let mut span = V1Span::default();
    let mut converter = Converter::default();
    for _ in 0..reader.list()?.count {
        span.clear();
        read_span(reader, &mut span)?;
        converter.hand_over(&span, sink)?;
    }
    Ok(())
}

fn read_span<'a>(reader: &mut Reader<'a>, span: &mut V1Span<'a>) -> Result<(), ThriftError> {
    let (mut high, mut low) = (0, 0);
    reader.fields(|reader, number, value| {
        match (number, value) {
            (1, Value::I64(id)) => low = id.cast_unsigned(),
            (3, Value::Bytes(name)) => span.name = Text::Bytes(name),
            (4, Value::I64(id)) => span.id = id.cast_unsigned(),
            (5, Value::I64(id)) => span.parent_id = id.cast_unsigned(),
            (6, Value::List(list)) => reader.elements(list, |reader, value| match value {
                Value::Struct => read_annotation(reader, span),
                _ => Ok(()),
            })?,
            (8, Value::List(list)) => reader.elements(list, |reader, value| match value {
                Value::Struct => read_binary_annotation(reader, span),
                _ => Ok(()),
            })?,
            (9, Value::Bool(debug)) => span.debug = debug,
            (10, Value::I64(us)) => span.timestamp = us,
            (11, Value::I64(us)) => span.duration = us,
            (12, Value::I64(id)) => high = id.cast_unsigned(),
            _ => {}
        }
        Ok(())
    })?;
    span.trace_id = u128::from(high) << 64 | u128::from(low);
    Ok(())
}

fn read_annotation<'a>(reader: &mut Reader<'a>, span: &mut V1Span<'a>) -> Result<(), ThriftError> {
    let (mut us, mut text, mut host): (_, &[u8], _) = (0, &[], EndpointDraft::default());
    reader.fields(|reader, number, value| {
        match (number, value) {
            (1, Value::I64(number)) => us = number,
            (2, Value::Bytes(bytes)) => text = bytes,
            (3, Value::Struct) => host = read_endpoint(reader)?,
            _ => {}
        }
        Ok(())
    })?;
    span.annotation(us, Text::Bytes(text), host);
    Ok(())
}

fn read_binary_annotation<'a>(
    reader: &mut Reader<'a>,
    span: &mut V1Span<'a>,
) -> Result<(), ThriftError> {
    let (mut key, mut bytes, mut kind): (&[u8], &[u8], _) = (&[], &[], BOOL);
    let mut host = EndpointDraft::default();
    reader.fields(|reader, number, value| {
        match (number, value) {
            (1, Value::Bytes(text)) => key = text,
            (2, Value::Bytes(value)) => bytes = value,
            (3, Value::I32(number)) => kind = number,
            (4, Value::Struct) => host = read_endpoint(reader)?,
            _ => {}
        }
        Ok(())
    })?;
    match (kind, bytes) {
        (STRING, text) => span.tag(Text::Bytes(key), Text::Bytes(text), host),
        (BOOL, [1]) => span.address(&Text::Bytes(key), host),
        _ => {}
    }
    Ok(())
}

fn read_endpoint<'a>(reader: &mut Reader<'a>) -> Result<EndpointDraft<'a>, ThriftError> {
    let mut endpoint = EndpointDraft::default();
    reader.fields(|_, number, value| {
        let address = &mut endpoint.address;
        match (number, value) {
            // Zero is no address.
            (1, Value::I32(ip)) => {
                address.ipv4 = (ip != 0).then(|| Ipv4Addr::from(ip.to_be_bytes()))
            }
            // Thrift has no unsigned numbers.
            (2, Value::I16(port)) => address.port = port.cast_unsigned(),
            (3, Value::Bytes(name)) => endpoint.service_name = Text::Bytes(name),
            (4, Value::Bytes(ip)) => address.set_ip_bytes(ip),
            _ => {}
        }
        Ok(())
    })?;
    Ok(endpoint)
}

/// A list of spans in the binary protocol, as v1 says them.
pub fn encode_list(spans: &[Span]) -> Vec<u8> {
    encode(Protocol::Binary, spans)
}

/// The same in the compact protocol.
pub fn encode_list_compact(spans: &[Span]) -> Vec<u8> {
    encode(Protocol::Compact, spans)
}

fn encode(protocol: Protocol, spans: &[Span]) -> Vec<u8> {
    let mut writer = Writer::new(protocol);
    writer.list(Type::Struct, spans.len(), |writer| write_spans(writer, spans, Hosts::Told));
    writer.into_bytes()
}

/// What a list of so many spans begins with, in the compact protocol.
pub fn compact_list_header(spans: usize) -> Vec<u8> {
    let mut writer = Writer::new(Protocol::Compact);
    writer.list(Type::Struct, spans, |_| {});
    writer.into_bytes()
}

/// A run of spans within a list in the compact protocol: runs concatenate, behind one header.
pub fn encode_run_compact(spans: &[Span], hosts: Hosts) -> Vec<u8> {
    let mut writer = Writer::new(Protocol::Compact);
    write_spans(&mut writer, spans, hosts);
    writer.into_bytes()
}

fn write_spans(writer: &mut Writer, spans: &[Span], hosts: Hosts) {
    for span in spans {
        writer.structure(|writer| write_span(writer, &from_v2(span, hosts)));
    }
}

fn write_span(writer: &mut Writer, span: &V1Span<'_>) {
    let [high, low] = halves(span.trace_id);
    writer.i64_field(1, low);
    writer.bytes_field(3, span.name.read().as_bytes());
    writer.i64_field(4, span.id.cast_signed());
    if span.parent_id != 0 {
        writer.i64_field(5, span.parent_id.cast_signed());
    }
    let annotations = span.annotations();
    if !annotations.is_empty() {
        writer.list_field(6, Type::Struct, annotations.len(), |writer| {
            for annotation in annotations {
                writer.structure(|writer| {
                    writer.i64_field(1, annotation.us);
                    writer.bytes_field(2, annotation.value.read().as_bytes());
                    write_endpoint(writer, 3, annotation.host.as_ref());
                });
            }
        });
    }
    let (addresses, tags) = (span.addresses(), span.tags());
    if addresses.len() + tags.len() > 0 {
        writer.list_field(8, Type::Struct, addresses.len() + tags.len(), |writer| {
            for (key, host) in &addresses {
                write_binary_annotation(writer, key.as_bytes(), &[1], BOOL, Some(host));
            }
            for tag in tags {
                let (key, value) = (tag.key.read(), tag.value.read());
                let host = tag.host.as_ref();
                write_binary_annotation(writer, key.as_bytes(), value.as_bytes(), STRING, host);
            }
        });
    }
    if span.debug {
        writer.bool_field(9, true);
    }
    if span.timestamp > 0 {
        writer.i64_field(10, span.timestamp);
    }
    if span.duration > 0 {
        writer.i64_field(11, span.duration);
    }
    if high != 0 {
        writer.i64_field(12, high);
    }
}

/// Left and right.
fn halves(id: u128) -> [i64; 2] {
    let bytes = id.to_be_bytes();
    let half = |bytes: &[u8]| bytes.iter().fold(0, |half, byte| half << 8 | i64::from(*byte));
    [half(&bytes[..8]), half(&bytes[8..])]
}

fn write_binary_annotation(
    writer: &mut Writer,
    key: &[u8],
    value: &[u8],
    kind: i32,
    host: Option<&EndpointDraft<'_>>,
) {
    writer.structure(|writer| {
        writer.bytes_field(1, key);
        writer.bytes_field(2, value);
        writer.i32_field(3, kind);
        write_endpoint(writer, 4, host);
    });
}

fn write_endpoint(writer: &mut Writer, number: i16, endpoint: Option<&EndpointDraft<'_>>) {
    let Some(EndpointDraft { service_name, address }) = endpoint else { return };
    writer.struct_field(number, |writer| {
        writer.i32_field(1, address.ipv4.map_or(0, |ip| ip.to_bits().cast_signed()));
        writer.i16_field(2, address.port.cast_signed());
        writer.bytes_field(3, service_name.read().as_bytes());
        if let Some(ip) = address.ipv6 {
            writer.bytes_field(4, &ip.octets());
        }
    });
}

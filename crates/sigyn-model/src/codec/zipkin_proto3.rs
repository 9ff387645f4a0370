//! Zipkin v2 in protobuf: `zipkin.proto3.ListOfSpans`, read and written by hand.

#[cfg(test)]
mod tests;

use super::draft::{Draft, EndpointDraft};
use super::proto::{
    Fields, ProtoError, Wire, put_bytes_field, put_fixed64_field, put_message_field,
    put_text_field, put_varint_field,
};
use super::sink::{SpanSink, TagRef, Text, ValueRef};
use super::zipkin::{self, BadPort};
use super::{DecodeError, Format};
use crate::{Endpoint, IdError, Kind, Span, SpanId, TraceId};

const FORMAT: Format = Format::ZipkinProto3;

/// Why a list is refused.
#[derive(Debug, thiserror::Error)]
enum BadList {
    #[error(transparent)]
    Wire(#[from] ProtoError),
    #[error(transparent)]
    Id(#[from] IdError),
    #[error(transparent)]
    Port(#[from] BadPort),
}

/// Reads a list of spans. One bad span refuses the whole message: Zipkin's contract.
///
/// Fields that are unknown, or of another type than they should be, are skipped.
pub fn read(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    read_list(body, sink).map_err(|cause| match cause {
        BadList::Wire(ProtoError::OverLimit(over)) => DecodeError::over(FORMAT, over),
        cause => DecodeError::reading(FORMAT, &cause),
    })
}

fn read_list(body: &[u8], sink: &mut impl SpanSink) -> Result<(), BadList> {
    let mut draft = Draft::default();
    for field in Fields::new(body) {
        if let (1, Wire::Bytes(message)) = field? {
            draft.clear();
            let (trace_id, id) = read_span(message, &mut draft)?;
            draft.hand_over(trace_id, id, sink).map_err(ProtoError::from)?;
        }
    }
    Ok(())
}

fn read_span<'a>(message: &'a [u8], draft: &mut Draft<'a>) -> Result<(TraceId, SpanId), BadList> {
    // In protobuf, empty and absent are the same.
    let (mut trace_id, mut id): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(bytes)) => trace_id = bytes,
            (2, Wire::Bytes([])) => draft.parent_id = None,
            (2, Wire::Bytes(bytes)) => draft.parent_id = SpanId::new(id_bits(bytes, "parentId")?),
            (3, Wire::Bytes(bytes)) => id = bytes,
            (4, Wire::Varint(number)) => draft.kind = kind(number),
            (5, Wire::Bytes(name)) => draft.name = Text::Bytes(name),
            (6, Wire::Fixed64(us)) => draft.timestamp = zipkin::timestamp(us.cast_signed()),
            (7, Wire::Varint(us)) => draft.duration = zipkin::duration(us.cast_signed()),
            (8, Wire::Bytes(message)) => read_endpoint(message, &mut draft.local_endpoint)?,
            (9, Wire::Bytes(message)) => read_endpoint(message, &mut draft.remote_endpoint)?,
            (10, Wire::Bytes(message)) => read_annotation(message, draft)?,
            (11, Wire::Bytes(message)) => draft.tag(read_tag(message)?),
            (12, Wire::Varint(flag)) => draft.debug = flag != 0,
            (13, Wire::Varint(flag)) => draft.shared = flag != 0,
            _ => {}
        }
    }
    let trace_id = read_trace_id(trace_id)?;
    match id_bits(id, "id")? {
        0 if id.len() == 8 => Err(IdError::AllZeros { field: "id" }.into()),
        bits => Ok((trace_id, SpanId::from_raw(bits))),
    }
}

fn read_trace_id(bytes: &[u8]) -> Result<TraceId, IdError> {
    let field = "traceId";
    match bytes.len() {
        0 => return Err(IdError::Empty { field }),
        1..=16 => {}
        _ => return Err(IdError::TooLong { field, max: 32 }),
    }
    let id = bytes.iter().fold(0, |id, byte| id << 8 | u128::from(*byte));
    TraceId::new(id).ok_or(IdError::AllZeros { field })
}

fn id_bits(bytes: &[u8], field: &'static str) -> Result<u64, IdError> {
    match bytes.len() {
        0 => Err(IdError::Empty { field }),
        1..=8 => Ok(bytes.iter().fold(0, |id, byte| id << 8 | u64::from(*byte))),
        _ => Err(IdError::TooLong { field, max: 16 }),
    }
}

fn kind(number: u64) -> Option<Kind> {
    match number {
        1 => Some(Kind::Client),
        2 => Some(Kind::Server),
        3 => Some(Kind::Producer),
        4 => Some(Kind::Consumer),
        _ => None,
    }
}

fn kind_number(kind: Option<Kind>) -> u64 {
    match kind {
        None => 0,
        Some(Kind::Client) => 1,
        Some(Kind::Server) => 2,
        Some(Kind::Producer) => 3,
        Some(Kind::Consumer) => 4,
    }
}

fn read_endpoint<'a>(message: &'a [u8], endpoint: &mut EndpointDraft<'a>) -> Result<(), BadList> {
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(name)) => endpoint.service_name = Text::Bytes(name),
            (2 | 3, Wire::Bytes(ip)) => endpoint.address.set_ip_bytes(ip),
            (4, Wire::Varint(number)) => {
                // It is an `int32`, and what is below zero comes in 64 bits.
                let [a, b, c, d, ..] = number.to_le_bytes();
                let number = i32::from_le_bytes([a, b, c, d]);
                endpoint.address.port = zipkin::port(i64::from(number))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_annotation<'a>(message: &'a [u8], draft: &mut Draft<'a>) -> Result<(), ProtoError> {
    let (mut us, mut value): (u64, &[u8]) = (0, &[]);
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Fixed64(number)) => us = number,
            (2, Wire::Bytes(text)) => value = text,
            _ => {}
        }
    }
    let us = us.cast_signed();
    if us > 0 && !value.is_empty() {
        zipkin::put_annotation(draft, us, Text::Bytes(value));
    }
    Ok(())
}

/// An entry of a map.
fn read_tag(message: &[u8]) -> Result<TagRef<'_>, ProtoError> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields::new(message) {
        match field? {
            (1, Wire::Bytes(text)) => key = text,
            (2, Wire::Bytes(text)) => value = text,
            _ => {}
        }
    }
    Ok(TagRef::new(Text::Bytes(key), ValueRef::Text(Text::Bytes(value))))
}

/// A list of spans as protobuf: what Zipkin's JSON shows of them.
pub fn encode_list<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Vec<u8> {
    let mut out = Vec::new();
    for span in spans {
        put_message_field(&mut out, 1, |out| write_span(span, out));
    }
    out
}

fn write_span(span: &Span, out: &mut Vec<u8>) {
    let trace_id = span.trace_id.as_u128().to_be_bytes();
    put_bytes_field(out, 1, if span.trace_id.high() == 0 { &trace_id[8..] } else { &trace_id });
    if let Some(parent_id) = span.parent_id {
        put_bytes_field(out, 2, &parent_id.as_u64().to_be_bytes());
    }
    match span.id.as_u64() {
        // As with digits, only a short zero is an id.
        0 => put_bytes_field(out, 3, &[0]),
        id => put_bytes_field(out, 3, &id.to_be_bytes()),
    }
    put_varint_field(out, 4, kind_number(span.kind));
    put_text_field(out, 5, &span.name);
    if let Some(us) = zipkin::timestamp_us(span) {
        put_fixed64_field(out, 6, us);
    }
    put_varint_field(out, 7, span.duration_us().unwrap_or(0));
    write_endpoint(out, 8, span.local_endpoint.as_ref());
    write_endpoint(out, 9, span.remote_endpoint.as_ref());
    for (us, value) in zipkin::annotations(span) {
        put_message_field(out, 10, |out| {
            put_fixed64_field(out, 1, us);
            put_text_field(out, 2, &value);
        });
    }
    for (key, value) in span.zipkin_tags() {
        put_message_field(out, 11, |out| {
            put_bytes_field(out, 1, key.as_bytes());
            put_bytes_field(out, 2, value.as_bytes());
        });
    }
    put_varint_field(out, 12, u64::from(span.debug));
    put_varint_field(out, 13, u64::from(span.shared));
}

fn write_endpoint(out: &mut Vec<u8>, number: u32, endpoint: Option<&Endpoint>) {
    let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty()) else { return };
    put_message_field(out, number, |out| {
        put_text_field(out, 1, &endpoint.service_name);
        if let Some(ip) = endpoint.ipv4 {
            put_bytes_field(out, 2, &ip.octets());
        }
        if let Some(ip) = endpoint.ipv6 {
            put_bytes_field(out, 3, &ip.octets());
        }
        put_varint_field(out, 4, u64::from(endpoint.port));
    });
}

//! Which of Zipkin's formats a body is in, by its first bytes, and whether that is the one it is said to be in.

use memchr::memmem;

use super::{DecodeError, Format};

/// What only v1 JSON holds.
const V1_FIELD: &[u8] = b"yAnnotations\"";
/// What only v2 JSON holds.
const V2_FIELDS: [&[u8]; 2] = [b"Endpoint\"", b"\"tags\""];

/// Tells Zipkin's formats apart where nobody says which it is, as Zipkin does for what comes by queues.
///
/// JSON with neither endpoints nor tags is taken for v1. Thrift's compact protocol is not looked for:
/// Zipkin does not know it.
pub fn detect(body: &[u8]) -> Result<Format, DecodeError> {
    match body {
        [b'\n', next, ..] if *next != 0 => Ok(Format::ZipkinProto3),
        [0..=16, ..] => Ok(Format::ZipkinThrift),
        [b'[' | b'{', ..] if has_v2_field(body) => Ok(Format::ZipkinJsonV2),
        [b'[' | b'{', ..] => Ok(Format::ZipkinJsonV1),
        _ => Err(DecodeError::new("Could not detect the format of the spans")),
    }
}

/// Whether a pushed body looks like a list of spans, and not like JSON of the other version: Zipkin's
/// guards, which go before decoding.
///
/// Bytes of other formats that could begin a list pass, and fail when they are decoded. An empty body
/// is a list of nothing. Formats that are not Zipkin's have no guard.
pub fn check_list(format: Format, body: &[u8]) -> Result<(), DecodeError> {
    let Some(name) = name(format) else { return Ok(()) };
    let listlike = match body {
        [] | [b'[' | 11 | 12, ..] => true,
        // A line feed also opens a protobuf list.
        [b'\n', next, ..] => *next != 0,
        _ => false,
    };
    if !listlike {
        return Err(DecodeError::new(format!("Expected a {name} encoded list\n")));
    }
    let received = match format {
        Format::ZipkinJsonV2 if contains(body, V1_FIELD) => Format::ZipkinJsonV1,
        Format::ZipkinJsonV1 if has_v2_field(body) => Format::ZipkinJsonV2,
        _ => return Ok(()),
    };
    let received = self::name(received).unwrap_or_default();
    Err(DecodeError::new(format!("Expected a {name} encoded list, but received: {received}\n")))
}

/// Zipkin's name of a format that its collectors take.
fn name(format: Format) -> Option<&'static str> {
    match format {
        Format::ZipkinJsonV1 => Some("JSON_V1"),
        Format::ZipkinJsonV2 => Some("JSON_V2"),
        Format::ZipkinProto3 => Some("PROTO3"),
        Format::ZipkinThrift => Some("THRIFT"),
        _ => None,
    }
}

fn has_v2_field(body: &[u8]) -> bool {
    V2_FIELDS.iter().any(|field| contains(body, field))
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    memmem::find(body, text).is_some()
}

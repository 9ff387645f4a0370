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

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = r#"[{"traceId":"1","id":"2","binaryAnnotations":[]}]"#;
    const V2: &str = r#"[{"traceId":"1","id":"2","localEndpoint":{"serviceName":"a"}}]"#;

    #[test]
    fn formats_are_told_apart_by_their_first_bytes() {
        let check =
            |body: &[u8], expected: Format| assert_eq!(detect(body), Ok(expected), "{body:?}");
        check(b"\n\x33\x0a", Format::ZipkinProto3);
        check(b"\n\0\0\0\x01", Format::ZipkinThrift);
        check(b"\n", Format::ZipkinThrift);
        check(b"\x0c\0\0\0\x01", Format::ZipkinThrift);
        check(b"\x0b\0\0\0\x01", Format::ZipkinThrift);
        check(b"\0", Format::ZipkinThrift);
        check(b"\x10", Format::ZipkinThrift);
        check(V1.as_bytes(), Format::ZipkinJsonV1);
        check(V2.as_bytes(), Format::ZipkinJsonV2);
        check(br#"[{"traceId":"1","id":"2","tags":{}}]"#, Format::ZipkinJsonV2);
        check(br#"{"tags":{}}"#, Format::ZipkinJsonV2);
        check(b"{}", Format::ZipkinJsonV1);
        check(b"[]", Format::ZipkinJsonV1);
        // What has neither endpoints nor tags is taken for v1.
        check(br#"[{"traceId":"1","id":"2"}]"#, Format::ZipkinJsonV1);
        for body in [b"".as_slice(), b" []", b"x", b"\x11", b"\xef\xbb\xbf[]", b"\x1c"] {
            assert!(detect(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_list_is_known_by_its_first_byte() {
        for (format, name) in [
            (Format::ZipkinJsonV1, "JSON_V1"),
            (Format::ZipkinJsonV2, "JSON_V2"),
            (Format::ZipkinProto3, "PROTO3"),
            (Format::ZipkinThrift, "THRIFT"),
        ] {
            // Bytes that could begin a list of another format pass, and fail when they are decoded.
            for body in [b"".as_slice(), b"[]", b"[x", b"\n[]", b"\x0c\0\0\0\x01", b"\x0b\0"] {
                assert_eq!(check_list(format, body), Ok(()), "{format:?} {body:?}");
            }
            for body in
                [b"{}".as_slice(), b" []", b"\t[]", b"\n", b"\n\0", b"\xef\xbb\xbf[]", b"\r[]"]
            {
                let refused = check_list(format, body).unwrap_err().message;
                assert_eq!(refused, format!("Expected a {name} encoded list\n"), "{body:?}");
            }
        }
        // Nobody guards what is not Zipkin's.
        assert_eq!(check_list(Format::ZipkinThriftCompact, b"\x1c"), Ok(()));
        assert_eq!(check_list(Format::OtlpProto, b"{}"), Ok(()));
    }

    #[test]
    fn json_of_the_other_version_is_refused_by_name() {
        let check = |format, body: &str, expected: &str| {
            let refused = check_list(format, body.as_bytes()).map_err(|error| error.message);
            let expected = if expected.is_empty() { Ok(()) } else { Err(expected.to_owned()) };
            assert_eq!(refused, expected, "{format:?} {body}");
        };
        let (v1, v2) = (Format::ZipkinJsonV1, Format::ZipkinJsonV2);
        check(v2, V2, "");
        check(v1, V1, "");
        check(v2, V1, "Expected a JSON_V2 encoded list, but received: JSON_V1\n");
        check(v1, V2, "Expected a JSON_V1 encoded list, but received: JSON_V2\n");
        let tags = r#"[{"traceId":"1","id":"2","tags":{}}]"#;
        check(v1, tags, "Expected a JSON_V1 encoded list, but received: JSON_V2\n");
        let neither = r#"[{"traceId":"1","id":"2","annotations":[{"endpoint":{}}]}]"#;
        check(v1, neither, "");
        check(v2, neither, "");
        // Binary formats may hold any bytes.
        check(Format::ZipkinProto3, "\n\"tags\"yAnnotations\"", "");
    }
}

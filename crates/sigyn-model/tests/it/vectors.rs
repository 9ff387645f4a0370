//! Bytes that other programs sent, and what came of them.

use sigyn_model::Span;
use sigyn_model::codec::{
    DecodeError, Format, Limits, check_list, decode, detect, json_v2, otlp, zipkin_proto3,
    zipkin_thrift,
};

/// A client's span, as Zipkin writes it.
const J: &str = r#"[{"traceId":"0000000000000001","id":"0000000000000002","kind":"CLIENT","timestamp":100,"duration":10,"localEndpoint":{"serviceName":"a"},"remoteEndpoint":{"serviceName":"b"},"tags":{"x":"y"}}]"#;

/// The same span in Zipkin's other formats, in hexadecimal where they are binary.
const J_PROTO3: &str = "0a330a0800000000000000011a0800000000000000022001316400000000000000380a42030a01614a030a01625a060a0178120179";
const J_JSON_V1: &str = r#"[{"traceId":"0000000000000001","id":"0000000000000002","name":"","timestamp":100,"duration":10,"annotations":[{"timestamp":100,"value":"cs","endpoint":{"serviceName":"a"}},{"timestamp":110,"value":"cr","endpoint":{"serviceName":"a"}}],"binaryAnnotations":[{"key":"sa","value":true,"endpoint":{"serviceName":"b"}},{"key":"x","value":"y","endpoint":{"serviceName":"a"}}]}]"#;
const J_THRIFT: &str = "0c000000010a000100000000000000010b0003000000000a000400000000000000020f00060c000000020a000100000000000000640b00020000000263730c00030800010000000006000200000b0003000000016100000a0001000000000000006e0b00020000000263720c00030800010000000006000200000b0003000000016100000f00080c000000020b00010000000273610b00020000000101080003000000000c00040800010000000006000200000b0003000000016200000b000100000001780b00020000000179080003000000060c00040800010000000006000200000b0003000000016100000a000a00000000000000640a000b000000000000000a00";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn read(format: Format, body: &[u8]) -> Result<Vec<Span>, DecodeError> {
    decode(format, body, Limits::default()).map(|decoded| decoded.spans)
}

#[test]
fn the_clients_span_is_read_and_written() {
    let spans = json_v2::decode_list(J.as_bytes()).unwrap();
    assert_eq!(json_v2::encode_list(&spans), J);
    assert_eq!(otlp::decode(&otlp::encode(&spans)).unwrap().spans, spans);
    assert_eq!(zipkin_proto3::encode_list(&spans), bytes(J_PROTO3));
    assert_eq!(zipkin_thrift::encode_list(&spans), bytes(J_THRIFT));
}

#[test]
fn the_clients_span_is_the_same_in_every_format() {
    let spans = json_v2::decode_list(J.as_bytes()).unwrap();
    let check = |format, body: &[u8]| {
        assert_eq!(check_list(format, body), Ok(()), "{format:?}");
        assert_eq!(detect(body), Ok(format));
        assert_eq!(read(format, body), Ok(spans.clone()), "{format:?}");
    };
    check(Format::ZipkinJsonV2, J.as_bytes());
    check(Format::ZipkinProto3, &bytes(J_PROTO3));
    check(Format::ZipkinJsonV1, J_JSON_V1.as_bytes());
    check(Format::ZipkinThrift, &bytes(J_THRIFT));
    let compact = zipkin_thrift::encode_list_compact(&spans);
    assert_eq!(read(Format::ZipkinThriftCompact, &compact), Ok(spans));
}

#[test]
fn a_body_of_another_format_is_refused_in_zipkins_words() {
    let check = |format, body: &[u8], expected: &str| {
        let refused =
            check_list(format, body).and_then(|()| decode(format, body, Limits::default()));
        let message = refused.unwrap_err().message;
        assert!(message.starts_with(expected), "{format:?}: {message}");
    };
    let (proto3, thrift) = (bytes(J_PROTO3), bytes(J_THRIFT));
    let thrift_cause = "traceId == 0 reading List<Span> from TBinary";
    check(Format::ZipkinThrift, &proto3, thrift_cause);
    check(Format::ZipkinThrift, b"[garbage", "Malformed: no type has number 91 reading");
    for format in [Format::ZipkinJsonV1, Format::ZipkinJsonV2] {
        for body in [&proto3, &thrift] {
            check(format, body, "Malformed: expected a list at byte");
        }
    }
    check(Format::ZipkinProto3, &thrift, "Malformed: ");
    check(Format::ZipkinProto3, J.as_bytes(), "Truncated: ");
    let received = "Expected a JSON_V1 encoded list, but received: JSON_V2\n";
    check(Format::ZipkinJsonV1, J.as_bytes(), received);
    let received = "Expected a JSON_V2 encoded list, but received: JSON_V1\n";
    check(Format::ZipkinJsonV2, J_JSON_V1.as_bytes(), received);
}

#[test]
fn other_formats_are_told_apart_from_v2_json() {
    // The guard lets bytes pass that could begin a list; reading them fails.
    for binary in [J_PROTO3, J_THRIFT] {
        assert_eq!(json_v2::check_list(&bytes(binary)), Ok(()));
        let refused = json_v2::decode_list(&bytes(binary)).unwrap_err();
        assert!(refused.message.ends_with(" reading List<Span> from json"), "{refused}");
    }
    let refused = json_v2::check_list(J_JSON_V1.as_bytes()).unwrap_err();
    assert_eq!(refused.message, "Expected a JSON_V2 encoded list, but received: JSON_V1\n");
    let refused = json_v2::check_list(J.trim_matches(['[', ']']).as_bytes()).unwrap_err();
    assert_eq!(refused.message, "Expected a JSON_V2 encoded list\n");
}

/// Ids that Zipkin's clients and operators rely on, in the words of its refusals.
#[test]
fn ids_are_read_as_zipkins_server_reads_them() {
    let check = |trace_id: &str, expected: Result<&str, &str>| {
        let list = format!(r#"[{{"traceId":"{trace_id}","id":"1"}}]"#);
        let got = json_v2::decode_list(list.as_bytes())
            .map(|spans| spans[0].trace_id.to_string())
            .map_err(|refused| refused.message);
        let suffix = " reading List<Span> from json";
        let got = got.map_err(|message| message.trim_end_matches(suffix).to_owned());
        assert_eq!(got.as_deref().map_err(String::as_str), expected);
    };
    check("1", Ok("0000000000000001"));
    check("0", Err("traceId is all zeros"));
    check("0e8b46e1-81b", Err("0e8b46e1-81b should be lower-hex encoded with no prefix"));
    check("48485A3953BB6124", Err("48485A3953BB6124 should be lower-hex encoded with no prefix"));
    check("00000000000000000000000000000001", Ok("0000000000000001"));
    check("00000000000000000001", Ok("0000000000000001"));
}

/// Spans that Zipkin's storage tests read back.
#[test]
fn what_instrumentation_sends_comes_back_as_it_was() {
    let check = |span: &str| {
        let list = format!("[{span}]");
        let spans: Vec<Span> = json_v2::decode_list(list.as_bytes()).unwrap();
        assert_eq!(json_v2::encode_list(&spans), list);
        assert_eq!(otlp::decode(&otlp::encode(&spans)).unwrap().spans, spans);
    };
    let ids = r#""traceId":"0000000000000001","id":"0000000000000002""#;
    // No time, an empty error, a large value, a name that is JSON, a key that begins with another.
    check(&format!(r#"{{{ids}}}"#));
    check(&format!(r#"{{{ids},"tags":{{"error":""}}}}"#));
    check(&format!(r#"{{{ids},"tags":{{"a":"{}"}}}}"#, "x".repeat(100_000)));
    check(&format!(r#"{{{ids},"name":"{{\"foo\":\"bar\"}}"}}"#));
    check(&format!(r#"{{{ids},"tags":{{"http.path":"/api","http.path.morepath":"/api/api"}}}}"#));
    // Both halves of a shared id, told apart by the flag alone.
    check(&format!(r#"{{{ids},"kind":"CLIENT"}},{{{ids},"kind":"SERVER","shared":true}}"#));
    check(&format!(r#"{{{ids},"kind":"SERVER","debug":true}}"#));
    // A tab and letters that are not ASCII in a service's name.
    check(&format!(r#"{{{ids},"localEndpoint":{{"serviceName":"my\tsérvice 😀"}}}}"#));
}

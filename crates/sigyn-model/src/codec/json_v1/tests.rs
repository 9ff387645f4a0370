//! What v1's JSON may hold, and in which words it is refused.

use proptest::prelude::*;

use crate::codec::{Format, Limits, decode, json_v2};

const J: &str = r#"[{"traceId":"0000000000000001","id":"0000000000000002","name":"","timestamp":100,"duration":10,"annotations":[{"timestamp":100,"value":"cs","endpoint":{"serviceName":"a"}},{"timestamp":110,"value":"cr","endpoint":{"serviceName":"a"}}],"binaryAnnotations":[{"key":"sa","value":true,"endpoint":{"serviceName":"b"}},{"key":"x","value":"y","endpoint":{"serviceName":"a"}}]}]"#;
const J_JSON: &str = r#"[{"traceId":"0000000000000001","id":"0000000000000002","kind":"CLIENT","timestamp":100,"duration":10,"localEndpoint":{"serviceName":"a"},"remoteEndpoint":{"serviceName":"b"},"tags":{"x":"y"}}]"#;

/// What becomes of a list, in v2 JSON, or the reason why it is refused.
fn again(list: &str) -> Result<String, String> {
    decode(Format::ZipkinJsonV1, list.as_bytes(), Limits::default())
        .map(|decoded| json_v2::encode_list(&decoded.spans))
        .map_err(|error| error.message)
}

/// One span with these fields beside its ids, and the fields that come back.
fn check(fields: &str, expected: &str) {
    let with_ids = |fields: &str| {
        let comma = if fields.is_empty() { "" } else { "," };
        format!(r#"[{{"traceId":"0000000000000001","id":"0000000000000002"{comma}{fields}}}]"#)
    };
    assert_eq!(again(&with_ids(fields)).unwrap(), with_ids(expected), "{fields}");
}

fn refuse(fields: &str, cause: &str) {
    let list = format!(r#"[{{"traceId":"1","id":"2",{fields}}}]"#);
    let message = again(&list).unwrap_err();
    assert!(message.starts_with(cause), "{list}: {message}");
    assert!(message.ends_with(" reading List<Span> from json"), "{list}: {message}");
}

#[test]
fn the_clients_span_is_read() {
    assert_eq!(again(J).unwrap(), J_JSON);
    assert_eq!(again(&format!("{J} and more ]")).unwrap(), J_JSON);
    for nothing in ["", "[]", " [ ] "] {
        assert_eq!(again(nothing).unwrap(), "[]");
    }
}

#[test]
fn ids_are_the_right_half_unless_they_are_full() {
    let ids = |trace_id: &str, id: &str, expected: &str| match again(&format!(
        r#"[{{"traceId":{trace_id},"id":{id}}}]"#
    )) {
        Ok(list) => assert_eq!(list, format!("[{{{expected}}}]")),
        Err(message) => assert_eq!(message, format!("{expected} reading List<Span> from json")),
    };
    let one_two = r#""traceId":"0000000000000001","id":"0000000000000002""#;
    ids(r#""1""#, r#""2""#, one_two);
    ids("1", "2", one_two);
    ids(r#""ffff0000000000000001""#, r#""ffff0000000000000002""#, one_two);
    ids(
        r#""000000000000000f0000000000000001""#,
        r#""000000000000000f0000000000000002""#,
        r#""traceId":"000000000000000f0000000000000001","id":"0000000000000002""#,
    );
    ids(r#""0000000000000000000000000000001""#, r#""2""#, one_two);
    ids(r#""0""#, r#""2""#, "traceId == 0");
    ids(r#""1""#, r#""0""#, "id == 0");
    ids(r#""f0000000000000000""#, r#""2""#, "traceId == 0");
    ids(r#""""#, r#""2""#, "traceId is empty");
    ids(r#""1""#, r#""""#, "id is empty");
    ids(&format!("\"{}\"", "1".repeat(33)), r#""2""#, "traceId.length > 32");
    ids(r#""1""#, &format!("\"{}\"", "1".repeat(33)), "id.length > 32");
    ids(r#""A""#, r#""2""#, "A should be lower-hex encoded with no prefix");
    ids(r#""1""#, r#""0x2""#, "0x2 should be lower-hex encoded with no prefix");
    ids("null", r#""2""#, "traceId is not a string");
    ids("true", r#""2""#, "traceId is not a string");
    assert_eq!(again("[{}]").unwrap_err(), "traceId == 0 reading List<Span> from json");
    assert_eq!(again(r#"[{"traceId":"1"}]"#).unwrap_err(), "id == 0 reading List<Span> from json");
    refuse(r#""parentId":"""#, "parentId is empty");
    check(r#""parentId":"0""#, "");
}

#[test]
fn null_is_nothing() {
    let fields = r#""parentId":null,"name":null,"timestamp":null,"duration":null,"debug":null,"annotations":null,"binaryAnnotations":null,"x":null"#;
    check(fields, "");
    check(
        r#""annotations":[{"timestamp":1,"value":"a","endpoint":null}],"binaryAnnotations":[{"key":"k","value":"v","endpoint":null}]"#,
        r#""annotations":[{"timestamp":1,"value":"a"}],"tags":{"k":"v"}"#,
    );
}

#[test]
fn numbers_may_be_spelled_as_text() {
    check(r#""timestamp":"12","duration":1.2e1"#, r#""timestamp":12,"duration":12"#);
    check(
        r#""annotations":[{"timestamp":"5","value":7}]"#,
        r#""annotations":[{"timestamp":5,"value":"7"}]"#,
    );
    refuse(r#""timestamp":1.5"#, "timestamp 1.5 is not a whole number");
    refuse(r#""debug":"true""#, "debug is not true or false");
    refuse(
        r#""annotations":[{"timestamp":1,"value":"a","endpoint":{"port":65536}}]"#,
        "invalid port 65536",
    );
}

#[test]
fn annotations_need_a_time_and_a_value() {
    for incomplete in
        ["{}", r#"{"timestamp":1}"#, r#"{"value":"a"}"#, r#"{"timestamp":null,"value":"a"}"#]
    {
        refuse(
            &format!(r#""annotations":[{{"timestamp":1,"value":"a"}},{incomplete}]"#),
            "Incomplete annotation at $[0].annotations[1] reading",
        );
    }
    // As in thrift, where what is absent is zero.
    check(r#""annotations":[{"timestamp":0,"value":"a"}]"#, "");
}

#[test]
fn binary_annotations_need_a_key() {
    let check = |binary: &str, expected: &str| {
        super::tests::check(&format!(r#""binaryAnnotations":[{binary}]"#), expected);
    };
    check(r#"{"key":"k","value":"v","type":"STRING"}"#, r#""tags":{"k":"v"}"#);
    check(r#"{"value":"v","key":"k"}"#, r#""tags":{"k":"v"}"#);
    for dropped in ["1", "1.5", "false", "true", "null", "{\"a\":[1]}", "[\"a\"]"] {
        check(&format!(r#"{{"key":"k","value":{dropped},"type":"I64"}}"#), "");
    }
    check(r#"{"key":"k"}"#, "");
    refuse(r#""binaryAnnotations":[{"value":"v"}]"#, "No key at $[0].binaryAnnotations[0] reading");
    refuse(
        r#""binaryAnnotations":[{"key":null,"value":"v"}]"#,
        "No key at $[0].binaryAnnotations[0] reading",
    );
    refuse(r#""binaryAnnotations":[{"key":true}]"#, "key is not a string");
}

#[test]
fn texts_may_hold_escapes() {
    check(
        r#""name":"\u0041\/","binaryAnnotations":[{"key":"\u006b","value":"\"","endpoint":{"serviceName":"\u00c4"}}]"#,
        r#""name":"a/","localEndpoint":{"serviceName":"ä"},"tags":{"k":"\""}"#,
    );
    check(
        r#""annotations":[{"timestamp":1,"value":"\u0063s","endpoint":{"serviceName":"a"}}]"#,
        r#""kind":"CLIENT","timestamp":1,"localEndpoint":{"serviceName":"a"}"#,
    );
}

#[test]
fn what_is_no_list_of_spans_is_refused() {
    for list in ["{}", "[", "[1]", "[{", "[null]", "nope", r#"[{"traceId":"1","id":"2"},]"#] {
        let message = again(list).unwrap_err();
        assert!(message.starts_with("Malformed: expected "), "{list}: {message}");
    }
    let deep = format!(r#""x":{}{}"#, "[".repeat(1_000), "]".repeat(1_000));
    refuse(&deep, "Malformed: deeper than 128 values");
    let deep = format!(
        r#""binaryAnnotations":[{{"key":"k","value":{}{}}}]"#,
        "[".repeat(1_000),
        "]".repeat(1_000)
    );
    refuse(&deep, "Malformed: deeper than 128 values");
}

proptest! {
    // Each of them is cut at every byte.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damaged_lists_are_read_or_refused(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut body = J.as_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = decode(Format::ZipkinJsonV1, &body, Limits::default());
        for length in 1..body.len() {
            let _ = decode(Format::ZipkinJsonV1, &body[..length], Limits::default());
        }
    }
}

#[test]
fn a_list_without_its_end_is_refused() {
    for length in 1..J.len() {
        assert!(again(&J[..length]).is_err(), "{length}");
    }
}

//! Everything there and back, what protobuf's readers make of it, and what foreign senders send.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::codec::{DecodeError, Decoded, Limits, SpanVec, otlp};
use crate::{Kind, Span, StatusCode, Timestamp, Value, arbitrary};

fn decode(body: &str) -> Result<Decoded, DecodeError> {
    let mut sink = SpanVec::within(Limits::default(), body.len()).unwrap();
    read(body.as_bytes(), &mut sink)?;
    Ok(sink.into_decoded())
}

fn request(span: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#)
}

const IDS: &str = r#""traceId":"0123456789abcdef0123456789ABCDEF","spanId":"0123456789abcdef""#;

/// What a span of these fields is read as.
fn read_one(fields: &str) -> Result<Span, String> {
    let mut decoded = decode(&request(&format!("{{{IDS}{fields}}}"))).map_err(|e| e.message)?;
    match decoded.problems.pop() {
        Some(problem) => Err(problem),
        None => Ok(decoded.spans.remove(0)),
    }
}

#[test]
fn a_span_is_read_as_opentelemetry_writes_it() {
    let body = r#"{"resourceSpans":[{"resource":{"attributes":[
        {"key":"service.name","value":{"stringValue":"Shop"}},
        {"key":"process.pid","value":{"intValue":"42"}}],"droppedAttributesCount":1},
        "scopeSpans":[{"scope":{"name":"lib","version":"1.0","attributes":[{"key":"a","value":{"boolValue":true}}]},
        "spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",
            "parentSpanId":"EEE19B7EC3C1B173","traceState":"a=b","flags":257,"name":"GET /Users","kind":3,
            "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000",
            "attributes":[{"key":"peer.service","value":{"stringValue":"DB"}}],"droppedAttributesCount":2,
            "events":[{"timeUnixNano":"1544712660500000000","name":"retry",
                "attributes":[{"key":"n","value":{"doubleValue":0.5}}],"droppedAttributesCount":3}],
            "droppedEventsCount":4,
            "links":[{"traceId":"5B8EFFF798038103D269B633813FC60D","spanId":"EEE19B7EC3C1B175","flags":1}],
            "droppedLinksCount":5,"status":{"message":"broken","code":2}}],
        "schemaUrl":"https://scope"}],"schemaUrl":"https://resource"}]}"#;
    let decoded = decode(body).unwrap();
    assert_eq!(decoded.problems, Vec::<String>::new());
    let span = &decoded.spans[0];
    assert_eq!(span.trace_id.to_string(), "5b8efff798038103d269b633813fc60c");
    assert_eq!(span.parent_id.unwrap().to_string(), "eee19b7ec3c1b173");
    assert_eq!((span.name.as_str(), span.kind), ("get /users", Some(Kind::Client)));
    assert_eq!(span.timestamp, Some(Timestamp::from_nanos(1_544_712_660_000_000_000)));
    assert_eq!(span.duration, Some(Duration::from_secs(1)));
    assert_eq!((span.service_name(), span.remote_service_name()), (Some("shop"), Some("db")));
    assert_eq!((span.flags, span.links[0].flags, span.trace_state.as_str()), (257, 1, "a=b"));
    assert_eq!((span.dropped_tags, span.dropped_annotations, span.dropped_links), (2, 4, 5));
    assert_eq!(span.annotations[0].tags, [("n".to_owned(), Value::Double(0.5))]);
    assert_eq!(span.annotations[0].dropped_tags, 3);
    assert_eq!((span.status.code, span.status.message.as_str()), (StatusCode::Error, "broken"));
    let resource = span.resource.as_deref().unwrap();
    assert_eq!(resource.tags[1], ("process.pid".to_owned(), Value::Int(42)));
    assert_eq!((resource.dropped_tags, resource.schema_url.as_str()), (1, "https://resource"));
    let scope = span.scope.as_deref().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("lib", "1.0"));
    assert_eq!(scope.schema_url, "https://scope");
    assert_eq!(encode(&decoded.spans), encode(&decode(&encode(&decoded.spans)).unwrap().spans));
}

#[test]
fn what_spans_share_may_come_after_them() {
    let body = format!(
        r#"{{"resource_spans":[{{"schema_url":"r","scope_spans":[{{"schema_url":"s","spans":[{{{IDS}}}],
        "scope":{{"name":"lib"}}}}],"resource":{{"attributes":[{{"value":{{"string_value":"late"}},"key":"service.name"}}]}}}}]}}"#
    );
    let span = decode(&body).unwrap().spans.remove(0);
    assert_eq!(span.service_name(), Some("late"));
    assert_eq!(span.resource.unwrap().schema_url, "r");
    let scope = span.scope.unwrap();
    assert_eq!((scope.name.as_str(), scope.schema_url.as_str()), ("lib", "s"));
}

#[test]
fn fields_may_be_spelled_in_several_ways() {
    let check = |fields: &str, same_as: &str| {
        assert_eq!(read_one(fields), read_one(same_as), "{fields}");
        assert!(read_one(fields).is_ok(), "{fields}: {:?}", read_one(fields));
    };
    check(
        r#","startTimeUnixNano":5,"endTimeUnixNano":7"#,
        r#","start_time_unix_nano":"5","end_time_unix_nano":"7""#,
    );
    check(
        r#","startTimeUnixNano":"18446744073709551615""#,
        r#","startTimeUnixNano":18446744073709551615"#,
    );
    check(r#","startTimeUnixNano":1.5e3"#, r#","startTimeUnixNano":"1500""#);
    check(r#","kind":"SPAN_KIND_SERVER""#, r#","kind":2"#);
    check(r#","kind":"2""#, r#","kind":2"#);
    for none in [r#""SPAN_KIND_INTERNAL""#, "1", "0", "99", "null", r#""LATER""#] {
        check(&format!(r#","kind":{none}"#), "");
    }
    check(r#","status":{"code":"STATUS_CODE_ERROR"}"#, r#","status":{"code":2}"#);
    check(r#","status":null,"events":null,"links":null,"attributes":null,"name":null"#, "");
    check(r#","flags":null,"droppedLinksCount":"0","traceState":null"#, "");
    check(r#","parentSpanId":"""#, "");
    check(r#","parentSpanId":"0000000000000000""#, "");
    check(r#","parentSpanId":null"#, "");
    check(r#","parent_span_id":"00000000000000aF""#, r#","parentSpanId":"00000000000000af""#);
    check(r#","trace_state":"a=b""#, r#","traceState":"a=b""#);
    check(r#","dropped_attributes_count":"7""#, r#","droppedAttributesCount":7"#);
    check(r#","later":[{"x":[1,"a",{"y":null}]}],"z":{}"#, "");
    check(r#","links":[{}]"#, r#","droppedLinksCount":1"#);
    check(r#","links":[{"traceId":"x","spanId":"y"}]"#, r#","droppedLinksCount":1"#);
}

#[test]
fn a_value_is_as_typed_as_its_field_says() {
    let check = |value: &str, expected: Value| {
        let span = read_one(&format!(r#","attributes":[{{"key":"k","value":{value}}}]"#));
        assert_eq!(span.unwrap().tags, [("k".to_owned(), expected)], "{value}");
    };
    check(r#"{"stringValue":"a\"\u00e9"}"#, Value::from("a\"é"));
    check(r#"{"boolValue":false}"#, Value::Bool(false));
    check(r#"{"intValue":"-9223372036854775808"}"#, Value::Int(i64::MIN));
    check(r#"{"int_value":12}"#, Value::Int(12));
    check(r#"{"intValue":1e3}"#, Value::Int(1_000));
    check(r#"{"doubleValue":-1.5}"#, Value::Double(-1.5));
    check(r#"{"doubleValue":"2"}"#, Value::Double(2.0));
    check(r#"{"doubleValue":"-Infinity"}"#, Value::Double(f64::NEG_INFINITY));
    check(r#"{"bytesValue":"-_8="}"#, Value::Bytes(vec![0xfb, 0xff]));
    check(r#"{"arrayValue":{}}"#, Value::List(Vec::new()));
    check(
        r#"{"arrayValue":{"values":[{"intValue":1},{},null]}}"#,
        Value::List(vec![Value::Int(1), Value::Empty, Value::Empty]),
    );
    check(
        r#"{"kvlistValue":{"values":[{"key":"a","value":{"stringValue":"b"}},{"key":"c"}]}}"#,
        Value::Map(vec![("a".to_owned(), Value::from("b")), ("c".to_owned(), Value::Empty)]),
    );
    check("{}", Value::Empty);
    check("null", Value::Empty);
    check(r#"{"stringValue":null}"#, Value::Empty);
    check(r#"{"laterValue":1}"#, Value::Empty);
}

#[test]
fn a_bad_span_is_a_problem_and_takes_no_other_with_it() {
    let check = |bad: &str, expected: &str| {
        let good = format!("{{{IDS}}}");
        let decoded = decode(&request(&format!("{good},{bad},{good}"))).unwrap();
        assert_eq!(decoded.spans.len(), 2, "{expected}");
        assert_eq!(decoded.problems, [format!("span 1: {expected}")]);
    };
    let with = |fields: &str| format!("{{{IDS},{fields}}}");
    check("{}", r#"traceId "" is not 32 hexadecimal digits"#);
    check("7", "Malformed: expected an object at byte 118");
    check(r#"{"traceId":"0000","spanId":"1"}"#, r#"traceId "0000" is not 32 hexadecimal digits"#);
    check(r#"{"traceId":"00000000000000000000000000000000"}"#, "traceId is all zeros");
    check(
        r#"{"traceId":"W47/95gDgQPSabYzgT/GDA==","spanId":"7uGbfsPBsXQ="}"#,
        r#"traceId "W47/95gDgQPSabYzgT/GDA==" is not 32 hexadecimal digits"#,
    );
    let trace_id = "0123456789abcdef0123456789abcdef";
    check(&format!(r#"{{"traceId":"{trace_id}"}}"#), r#"spanId "" is not 16 hexadecimal digits"#);
    check(
        &format!(r#"{{"traceId":"{trace_id}","spanId":"+123456789abcdef"}}"#),
        r#"spanId "+123456789abcdef" is not 16 hexadecimal digits"#,
    );
    check(
        &format!(r#"{{"traceId":"{trace_id}","spanId":"0000000000000000"}}"#),
        "spanId is all zeros",
    );
    check(&with(r#""parentSpanId":"1""#), r#"parentSpanId "1" is not 16 hexadecimal digits"#);
    check(&with(r#""startTimeUnixNano":"-1""#), r#"startTimeUnixNano "-1" is not within 64 bits"#);
    check(&with(r#""startTimeUnixNano":1.5"#), r#"startTimeUnixNano "1.5" is not a whole number"#);
    check(&with(r#""flags":4294967296"#), r#"flags "4294967296" is not within 32 bits"#);
    check(&with(r#""name":true"#), "name is not a string");
    let value = |value: &str| with(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#));
    check(&value(r#"{"boolValue":"true"}"#), "boolValue is not true or false");
    check(&value(r#"{"doubleValue":"nan"}"#), r#"doubleValue "nan" is not a number"#);
    check(&value(r#"{"bytesValue":"!"}"#), "bytesValue is not base64");
    let deep = |depth: usize| {
        let open = r#"{"kvlistValue":{"values":[{"value":"#.repeat(depth);
        value(&format!("{open}{{}}{}", "}]}}".repeat(depth)))
    };
    check(&deep(64), "values nested too deep");
    assert_eq!(decode(&request(&deep(63))).unwrap().problems, Vec::<String>::new());
    let many = format!(r#"{{"arrayValue":{{"values":[{}{{}}]}}}}"#, "{},".repeat(100_000));
    check(&value(&many), "more than 100000 values nested in one span");
}

#[test]
fn broken_json_refuses_the_message() {
    let check = |body: &str, cause: &str| {
        let expected = format!("{cause} reading ExportTraceServiceRequest from json");
        assert_eq!(decode(body).unwrap_err().message, expected, "{body}");
    };
    check("", "Malformed: expected an object at byte 0");
    check("[]", "Malformed: expected an object at byte 0");
    check(r#"{"resourceSpans":[}"#, "Malformed: expected an object at byte 18");
    check("{} {}", "Malformed: more than one value");
    let deep = request(&format!(r#"{{"x":{}{}}}"#, "[".repeat(600), "]".repeat(600)));
    check(&deep, "Malformed: deeper than 512 values");
}

#[test]
fn lines_are_requests_after_one_another() {
    let line = request(&format!("{{{IDS}}}"));
    let bad = request("{}");
    let body = format!("{line}\n{bad}\r\n\n{line}{line}\n");
    let mut sink = SpanVec::within(Limits::default(), body.len()).unwrap();
    read_lines(body.as_bytes(), &mut sink).unwrap();
    let decoded = sink.into_decoded();
    assert_eq!(decoded.spans.len(), 3);
    assert!(decoded.problems[0].starts_with("span 1: "));
    let mut sink = SpanVec::within(Limits::default(), 0).unwrap();
    assert!(read_lines(b"", &mut sink).is_ok());
    assert!(read_lines(format!("{line}\n{{").as_bytes(), &mut sink).is_err());
}

#[test]
fn a_schema_with_escapes_is_read_once() {
    let scope = format!(r#"{{"spans":[{{{IDS}}}]}}"#);
    let body =
        format!(r#"{{"resourceSpans":[{{"schemaUrl":"a\nb","scopeSpans":[{scope},{scope}]}}]}}"#);
    let spans = decode(&body).unwrap().spans;
    let resources: Vec<_> = spans.iter().filter_map(|span| span.resource.as_ref()).collect();
    assert_eq!(resources[0].schema_url, "a\nb");
    assert!(std::sync::Arc::ptr_eq(resources[0], resources[1]));
}

#[test]
fn limits_end_the_reading() {
    let body = request(&format!("{{{IDS}}},{{{IDS}}}"));
    let mut sink = SpanVec::within(Limits { bytes_max: body.len() + 1 }, body.len()).unwrap();
    assert!(read(body.as_bytes(), &mut sink).unwrap_err().over_limit);
}

/// The spans in one order: writers put those of one resource together.
fn sorted(mut spans: Vec<Span>) -> Vec<String> {
    spans.sort_by_key(|span| (span.trace_id.as_u128(), span.id.as_u64()));
    spans.iter().map(|span| format!("{span:?}")).collect()
}

proptest! {
    #[test]
    fn any_span_survives_the_way_there_and_back(spans in prop::collection::vec(arbitrary::span(), 0..4)) {
        let written = encode(&spans);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&written).is_ok());
        let decoded = decode(&written).unwrap();
        prop_assert_eq!(decoded.problems, Vec::<String>::new());
        prop_assert_eq!(sorted(decoded.spans), sorted(spans));
    }

    #[test]
    fn both_encodings_say_the_same(spans in prop::collection::vec(arbitrary::span(), 0..4)) {
        let protobuf = otlp::encode(&spans);
        let theirs = ExportTraceServiceRequest::decode(protobuf.as_slice()).unwrap();
        let json = serde_json::to_string(&theirs).unwrap();
        prop_assert_eq!(
            format!("{:?}", decode(&json).unwrap()),
            format!("{:?}", otlp::decode(&protobuf).unwrap())
        );
    }

    #[test]
    fn other_readers_read_what_is_written(spans in prop::collection::vec(arbitrary::span(), 0..4)) {
        let theirs: ExportTraceServiceRequest = serde_json::from_str(&encode(&spans)).unwrap();
        prop_assert_eq!(
            format!("{:?}", otlp::decode(&theirs.encode_to_vec()).unwrap()),
            format!("{:?}", otlp::decode(&otlp::encode(&spans)).unwrap())
        );
    }

    #[test]
    fn no_damage_makes_it_panic(
        span in arbitrary::span(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        length in any::<prop::sample::Index>(),
    ) {
        let mut body = encode([&span]).into_bytes();
        let mut sink = SpanVec::within(Limits::default(), body.len()).unwrap();
        prop_assert!(read(&body[..length.index(body.len())], &mut sink).is_err());
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = read(&body, &mut sink);
    }
}

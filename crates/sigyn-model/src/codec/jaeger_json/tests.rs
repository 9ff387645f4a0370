//! How JSON may be spelled, and what is written.

use proptest::prelude::*;

use super::*;
use crate::codec::jaeger::tests::{as_json, read_with, spans};
use crate::codec::{DecodeError, Decoded, Format, Limits, SpanVec, decode};
use crate::{
    Annotation, Endpoint, Link, Span, SpanId, StatusCode, Timestamp, TraceId, Value, arbitrary,
};

fn read_body(body: &str) -> Result<Decoded, DecodeError> {
    decode(Format::JaegerJson, body.as_bytes(), Limits::default())
}

#[test]
fn an_answer_and_a_trace_alone_are_read() {
    let trace = r#"{"traceID":"1","spans":[{"traceID":"1","spanID":"A","processID":"p1"},
        {"traceID":"1","spanID":"b","processID":"p2"},{"traceID":"1","spanID":"c","processID":"p1"}],
        "processes":{"p1":{"serviceName":"one"},"p2":{"serviceName":"two"}},"warnings":null}"#;
    let check = |body: &str, spans: usize| {
        let decoded = read_body(body).unwrap();
        assert_eq!((decoded.spans.len(), decoded.problems.len()), (spans, 0), "{body}");
    };
    check(trace, 3);
    check(
        &format!(r#"{{"data":[{trace},{trace}],"total":0,"limit":0,"offset":0,"errors":null}}"#),
        6,
    );
    check(r#"{"data":[]}"#, 0);
    check(r#"{"data":null,"errors":[{"code":404,"msg":"trace not found"}]}"#, 0);
    check("{}", 0);
    let decoded = read_body(trace).unwrap();
    let services: Vec<_> = decoded.spans.iter().map(|s| s.service_name().unwrap()).collect();
    assert_eq!(services, ["one", "one", "two"]);
    let [first, second] = [0, 1].map(|at: usize| decoded.spans[at].resource.as_ref().unwrap());
    assert!(std::sync::Arc::ptr_eq(first, second));
}

#[test]
fn a_span_may_bring_its_own_process_or_none() {
    let body = r#"{"spans":[{"traceID":"1","spanID":"1","process":{"serviceName":"own"}},
        {"traceID":"1","spanID":"2","processID":"p9"},{"traceID":"1","spanID":"3"}]}"#;
    let decoded = read_body(body).unwrap();
    let services: Vec<_> = decoded.spans.iter().map(Span::service_name).collect();
    assert_eq!(services, [Some("own"), None, None]);
}

#[test]
fn a_value_is_read_as_its_type_says() {
    let check = |tag: &str, expected: Value| {
        let span = read_with(&format!(r#""tags":[{{"key":"k",{tag}}}]"#), "").unwrap();
        assert_eq!(span.tags, [("k".to_owned(), expected)], "{tag}");
    };
    check(r#""type":"string","value":"a\n""#, Value::from("a\n"));
    check(r#""type":"string","value":5"#, Value::from("5"));
    check(r#""type":"bool","value":true"#, Value::Bool(true));
    check(r#""type":"bool","value":"false""#, Value::Bool(false));
    check(r#""value":7,"type":"int64""#, Value::Int(7));
    check(r#""type":"int64","value":"9223372036854775807""#, Value::Int(i64::MAX));
    check(r#""type":"float64","value":1"#, Value::Double(1.0));
    check(r#""type":"float64","value":"-Infinity""#, Value::Double(f64::NEG_INFINITY));
    check(r#""type":"binary","value":"AQI=""#, Value::Bytes(vec![1, 2]));
    check(r#""type":"int64","value":"x""#, Value::from("x"));
    check(r#""type":"binary","value":"!""#, Value::from("!"));
    check(r#""value":true"#, Value::Bool(true));
    check(r#""value":1.5"#, Value::Double(1.5));
    check(r#""value":"1""#, Value::from("1"));
    check(r#""value":{"a": [1]}"#, Value::from(r#"{"a": [1]}"#));
    check(r#""value":null"#, Value::from(""));
    check(r#""type":"string""#, Value::from(""));
}

#[test]
fn a_bad_span_is_a_problem_and_takes_no_other_with_it() {
    let check = |bad: &str, expected: &str| {
        let good = r#"{"traceID":"1","spanID":"2"}"#;
        let body = format!(r#"{{"spans":[{good},{bad},{good}]}}"#);
        let decoded = read_body(&body).unwrap();
        assert_eq!(decoded.spans.len(), 2, "{expected}");
        assert_eq!(decoded.problems, [format!("span 1: {expected}")]);
    };
    check("{}", r#"traceID "" is not up to 32 hexadecimal digits"#);
    check("5", "Malformed: expected an object at byte 39");
    check(r#"{"traceID":"0","spanID":"1"}"#, "trace id is all zeros");
    check(r#"{"traceID":"1","spanID":"000"}"#, "span id is all zeros");
    check(r#"{"traceID":"1","spanID":"+1"}"#, r#"spanID "+1" is not up to 16 hexadecimal digits"#);
    check(
        r#"{"traceID":"1","spanID":"11111111111111111"}"#,
        r#"spanID "11111111111111111" is not up to 16 hexadecimal digits"#,
    );
    check(
        r#"{"traceID":"1","spanID":"1","startTime":"soon"}"#,
        r#"startTime "soon" is not a whole number"#,
    );
    check(
        r#"{"traceID":"1","spanID":"1","duration":-1}"#,
        r#"duration "-1" is not within 64 bits"#,
    );
    let many = r#"{"key":"k"},"#.repeat(100_000);
    check(
        &format!(r#"{{"traceID":"1","spanID":"1","logs":[{{"fields":[{many}{{}}]}}]}}"#),
        "more than 100000 values nested in one span",
    );
}

#[test]
fn broken_json_refuses_the_message() {
    let check = |body: &str, cause: &str| {
        let expected = format!("{cause} reading traces from json");
        assert_eq!(read_body(body).unwrap_err().message, expected, "{body}");
    };
    check("", "Malformed: expected an object at byte 0");
    check("[]", "Malformed: expected an object at byte 0");
    check(r#"{"spans":[{]}"#, "Malformed: expected a name in quotes at byte 11");
    check("{} {}", "Malformed: more than one value");
}

#[test]
fn however_many_spans_are_bad_the_good_ones_are_kept() {
    let many = "{},".repeat(10_001);
    let body = format!(r#"{{"spans":[{many}{{"traceID":"1","spanID":"1"}}]}}"#);
    let decoded = read_body(&body).unwrap();
    let counts = (decoded.spans.len(), decoded.rejected, decoded.problems.len());
    assert_eq!(counts, (1, 10_001, 10_000));
    // What waits for its process is counted.
    let limits = Limits { bytes_max: body.len() + 100_000 };
    assert!(decode(Format::JaegerJson, body.as_bytes(), limits).unwrap_err().over_limit);
}

fn span(id: u64) -> Span {
    Span::new(TraceId::new(0xab).unwrap(), SpanId::new(id).unwrap())
}

#[test]
fn a_trace_is_written_as_jaegers_interface_reads_it() {
    let mut root = span(1);
    root.name = "get".to_owned();
    root.kind = Some(crate::Kind::Server);
    root.timestamp = Some(Timestamp::from_nanos(5_000));
    root.duration = Some(std::time::Duration::from_micros(7));
    root.local_endpoint = Some(Endpoint::named("shop"));
    root.remote_endpoint = Some(Endpoint { port: 80, ..Endpoint::named("front") });
    root.status.code = StatusCode::Error;
    root.status.message = "no".to_owned();
    root.set_tag("n", i64::MAX);
    root.annotations = vec![Annotation {
        timestamp: Timestamp::from_nanos(6_000),
        value: "retry".to_owned(),
        tags: vec![("d".to_owned(), Value::Double(0.5))],
        dropped_tags: 0,
    }];
    let mut child = span(2);
    child.parent_id = SpanId::new(1);
    child.local_endpoint = Some(Endpoint::named("shop"));
    child.links = vec![Link {
        trace_id: TraceId::new(1 << 64 | 1).unwrap(),
        span_id: SpanId::new(3).unwrap(),
        trace_state: String::new(),
        tags: Vec::new(),
        dropped_tags: 0,
        flags: 0,
    }];
    child.debug = true;
    assert_eq!(
        as_json(&[root, child]),
        concat!(
            r#"{"traceID":"00000000000000ab","spans":[{"traceID":"00000000000000ab","#,
            r#""spanID":"0000000000000001","operationName":"get","references":[],"startTime":5,"#,
            r#""duration":7,"tags":[{"key":"span.kind","type":"string","value":"server"},"#,
            r#"{"key":"error","type":"bool","value":true},"#,
            r#"{"key":"otel.status_code","type":"string","value":"ERROR"},"#,
            r#"{"key":"otel.status_description","type":"string","value":"no"},"#,
            r#"{"key":"peer.service","type":"string","value":"front"},"#,
            r#"{"key":"peer.port","type":"int64","value":80},"#,
            r#"{"key":"n","type":"int64","value":"9223372036854775807"}],"#,
            r#""logs":[{"timestamp":6,"fields":[{"key":"event","type":"string","value":"retry"},"#,
            r#"{"key":"d","type":"float64","value":0.5}]}],"processID":"p1","warnings":null},"#,
            r#"{"traceID":"00000000000000ab","spanID":"0000000000000002","flags":3,"#,
            r#""operationName":"","references":[{"refType":"CHILD_OF","traceID":"00000000000000ab","#,
            r#""spanID":"0000000000000001"},{"refType":"FOLLOWS_FROM","#,
            r#""traceID":"00000000000000010000000000000001","spanID":"0000000000000003"}],"#,
            r#""startTime":0,"duration":0,"tags":[],"logs":[],"processID":"p1","warnings":null}],"#,
            r#""processes":{"p1":{"serviceName":"shop","tags":[]}},"warnings":null}"#,
        )
    );
    assert_eq!(as_json(&[]), r#"{"traceID":"","spans":[],"processes":{},"warnings":null}"#);
}

#[test]
fn an_error_in_words_is_an_error_with_a_description() {
    let check = |value: Value, expected: &str| {
        let mut span = span(1);
        span.set_tag("error", value);
        let read = read_body(&as_json(&[span])).unwrap().spans.remove(0);
        assert_eq!(read.status.code, StatusCode::Error);
        assert_eq!(read.zipkin_tag("error").unwrap(), expected);
    };
    check(Value::from("timeout"), "timeout");
    check(Value::from(""), "true");
    check(Value::from("true"), "true");
    check(Value::Bool(true), "true");
    check(Value::from("false"), "false");
}

#[test]
fn the_servers_half_of_a_shared_span_gets_an_id_of_its_own() {
    let spans = arbitrary::sketch("1 - C a; 1 - S b shared; 2 1 C b; 3 1 C a; 4 2 S c shared");
    let read = read_body(&as_json(&spans)).unwrap().spans;
    let parent_of = |service: &str, of: u64| {
        let of_client =
            |span: &&Span| span.service_name() == Some(service) && span.id.as_u64() == of;
        read.iter().find(of_client).unwrap().parent_id
    };
    let server = read.iter().find(|s| s.service_name() == Some("b") && s.id.as_u64() > 9).unwrap();
    assert_eq!(server.parent_id, SpanId::new(1));
    assert_eq!(parent_of("b", 2), Some(server.id));
    assert_eq!(parent_of("a", 3), SpanId::new(1));
    assert_eq!(parent_of("c", 4), SpanId::new(2));
}

proptest! {
    #[test]
    fn any_trace_is_written_as_json(spans in prop::collection::vec(arbitrary::span(), 0..4)) {
        let written = as_json(&spans);
        let value: serde_json::Value = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(value["spans"].as_array().unwrap().len(), spans.len());
        let decoded = read_body(&written).unwrap();
        prop_assert_eq!(decoded.spans.len() + decoded.problems.len(), spans.len());
    }

    #[test]
    fn no_damage_makes_it_panic(
        spans in spans(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        length in any::<prop::sample::Index>(),
    ) {
        let mut body = as_json(&spans).into_bytes();
        let mut sink = SpanVec::within(Limits::default(), body.len()).unwrap();
        prop_assert!(read(&body[..length.index(body.len())], &mut sink).is_err());
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = read(&body, &mut sink);
    }
}

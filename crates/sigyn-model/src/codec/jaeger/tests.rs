//! What words mean, read from JSON, and that all formats mean the same by them.

use std::time::Duration;

use proptest::prelude::*;

use crate::codec::{Format, Limits, decode, jaeger_json};
use crate::{Kind, Span, SpanId, StatusCode, Timestamp, Value, arbitrary};

/// What a span of these fields is read as; `process` is the inside of its process.
pub(in crate::codec) fn read_with(fields: &str, process: &str) -> Result<Span, String> {
    let body = format!(
        r#"{{"spans":[{{"traceID":"ab","spanID":"1","processID":"p1",{fields}}}],"processes":{{"p1":{{{process}}}}}}}"#
    );
    let mut decoded = decode(Format::JaegerJson, body.as_bytes(), Limits::default())
        .map_err(|error| error.message)?;
    match decoded.problems.pop() {
        Some(problem) => Err(problem),
        None => Ok(decoded.spans.remove(0)),
    }
}

fn read(fields: &str) -> Span {
    read_with(fields, r#""serviceName":"shop""#).unwrap()
}

fn with_tags(tags: &[(&str, &str)]) -> Span {
    let tags: Vec<String> =
        tags.iter().map(|(key, value)| format!(r#"{{"key":"{key}","value":{value}}}"#)).collect();
    read(&format!(r#""tags":[{}]"#, tags.join(",")))
}

#[test]
fn tags_that_say_what_a_span_has_a_field_for_are_taken() {
    let span = with_tags(&[
        ("span.kind", r#""client""#),
        ("otel.status_code", r#""ERROR""#),
        ("otel.status_description", r#""no""#),
        ("w3c.tracestate", r#""a=b""#),
        ("otel.scope.name", r#""lib""#),
        ("otel.scope.version", r#""1""#),
        ("n", "5"),
    ]);
    assert_eq!(span.kind, Some(Kind::Client));
    assert_eq!((span.status.code, span.status.message.as_str()), (StatusCode::Error, "no"));
    assert_eq!(span.trace_state, "a=b");
    let scope = span.scope.as_deref().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("lib", "1"));
    assert_eq!(span.tags, [("n".to_owned(), Value::Int(5))]);
}

#[test]
fn a_kind_may_be_spelled_in_any_case() {
    let check = |value: &str, kind: Option<Kind>, tags: usize| {
        let span = with_tags(&[("span.kind", value)]);
        assert_eq!((span.kind, span.tags.len()), (kind, tags), "{value}");
    };
    check(r#""server""#, Some(Kind::Server), 0);
    check(r#""SERVER""#, Some(Kind::Server), 0);
    check(r#""producer""#, Some(Kind::Producer), 0);
    check(r#""consumer""#, Some(Kind::Consumer), 0);
    check(r#""internal""#, None, 0);
    check(r#""else""#, None, 1);
    check("1", None, 1);
}

#[test]
fn an_error_is_what_is_true() {
    let check = |tags: &[(&str, &str)], code: StatusCode, kept: usize| {
        let span = with_tags(tags);
        assert_eq!((span.status.code, span.tags.len()), (code, kept), "{tags:?}");
    };
    check(&[], StatusCode::Unset, 0);
    check(&[("error", "true")], StatusCode::Error, 0);
    check(&[("error", r#""true""#)], StatusCode::Error, 0);
    check(&[("error", "false")], StatusCode::Unset, 0);
    check(&[("error", r#""timeout""#)], StatusCode::Unset, 1);
    check(&[("otel.status_code", r#""OK""#)], StatusCode::Ok, 0);
    check(&[("otel.status_code", r#""OK""#), ("error", "true")], StatusCode::Error, 0);
    check(&[("error", "false"), ("otel.status_code", r#""ERROR""#)], StatusCode::Error, 0);
    check(&[("otel.status_code", r#""odd""#)], StatusCode::Unset, 1);
}

#[test]
fn one_reference_is_the_parent_and_the_others_are_links() {
    /// References as `C 1`, a child of span 1 in the same trace, or `F 2 cd`; links are told so too.
    fn check(references: &str, parent: u64, expected: &str) {
        let mut written = Vec::new();
        for reference in references.split(", ").filter(|reference| !reference.is_empty()) {
            let mut words = reference.split(' ');
            let kind = if words.next() == Some("C") { "CHILD_OF" } else { "FOLLOWS_FROM" };
            let (id, trace) = (words.next().unwrap(), words.next().unwrap_or("ab"));
            written.push(format!(r#"{{"refType":"{kind}","traceID":"{trace}","spanID":"{id}"}}"#));
        }
        let span = read(&format!(r#""references":[{}]"#, written.join(",")));
        let links = span.links.iter().map(|link| {
            let kind = if link.tags[0].1 == Value::from("child_of") { "C" } else { "F" };
            let trace = match link.trace_id.as_u128() {
                0xab => String::new(),
                other => format!(" {other:x}"),
            };
            format!("{kind} {:x}{trace}", link.span_id.as_u64())
        });
        assert_eq!(links.collect::<Vec<_>>().join(", "), expected, "{references}");
        assert_eq!(span.parent_id, SpanId::new(parent), "{references}");
    }
    check("", 0, "");
    check("C 5", 5, "");
    check("C 5, C 6", 5, "C 6");
    check("F 6, C 5", 5, "F 6");
    check("F 6", 6, "F 6");
    check("F 6, F 7", 6, "F 6, F 7");
    check("C 5 cd", 0, "C 5 cd");
    check("C 5 cd, C 6", 6, "C 5 cd");
    check("F 5 cd, F 6", 6, "F 5 cd, F 6");
    check("C 0", 0, "");
    check("C 5, C 5", 5, "");
}

#[test]
fn a_parent_beside_the_references_goes_before_them() {
    let parent = |fields: &str| read(fields).parent_id.unwrap().as_u64();
    assert_eq!(parent(r#""parentSpanID":"7""#), 7);
    let reference = |kind: &str, id: u64| {
        format!(r#""references":[{{"refType":"{kind}","traceID":"ab","spanID":"{id}"}}]"#)
    };
    assert_eq!(parent(&format!(r#""parentSpanID":"7",{}"#, reference("CHILD_OF", 8))), 7);
    let followed = read(&format!(r#""parentSpanID":"7",{}"#, reference("FOLLOWS_FROM", 7)));
    assert_eq!((followed.parent_id.unwrap().as_u64(), followed.links.len()), (7, 1));
}

#[test]
fn a_log_is_an_annotation() {
    let check = |fields: &[(&str, &str)], value: &str, tags: &[(&str, Value)]| {
        let fields: Vec<String> =
            fields.iter().map(|(k, v)| format!(r#"{{"key":"{k}","value":{v}}}"#)).collect();
        let span = read(&format!(r#""logs":[{{"timestamp":7,"fields":[{}]}}]"#, fields.join(",")));
        let annotation = &span.annotations[0];
        assert_eq!(annotation.timestamp, Timestamp::from_nanos(7_000));
        assert_eq!(annotation.value, value);
        let tags: Vec<(String, Value)> =
            tags.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        assert_eq!(annotation.tags, tags);
    };
    check(&[], "", &[]);
    check(&[("event", r#""retry""#), ("n", "1")], "retry", &[("n", Value::Int(1))]);
    check(&[("n", "1"), ("message", r#""m""#)], "m", &[("n", Value::Int(1))]);
    check(&[("message", r#""m""#), ("event", r#""e""#)], "e", &[("message", Value::from("m"))]);
    check(&[("event", "5")], "5", &[]);
    check(&[("level", r#""info""#)], "", &[("level", Value::from("info"))]);
}

#[test]
fn the_other_side_has_opentracings_names_and_opentelemetrys() {
    let check = |tags: &[(&str, &str)], expected: &str| {
        let endpoint = with_tags(tags).remote_endpoint.unwrap_or_default();
        let ip =
            endpoint.ipv4.map(std::net::IpAddr::V4).or(endpoint.ipv6.map(std::net::IpAddr::V6));
        let ip = ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
        let name = if endpoint.service_name.is_empty() { "-" } else { &endpoint.service_name };
        assert_eq!(format!("{name} {ip} {}", endpoint.port), expected, "{tags:?}");
    };
    check(&[], "- - 0");
    check(&[("peer.service", r#""DB""#), ("peer.port", "5432")], "db - 5432");
    check(&[("peer.ipv4", "2130706433")], "- 127.0.0.1 0");
    check(&[("peer.ipv4", "-1062731775")], "- 192.168.0.1 0");
    check(&[("peer.ipv4", r#""127.0.0.2""#), ("peer.port", r#""80""#)], "- 127.0.0.2 80");
    check(&[("peer.ipv4", r#""2130706433""#)], "- 127.0.0.1 0");
    check(&[("peer.ipv6", r#""::1""#)], "- ::1 0");
    check(&[("peer.hostname", r#""Db.local""#)], "db.local - 0");
    check(&[("peer.hostname", r#""h""#), ("peer.service", r#""s""#)], "s - 0");
    check(&[("peer.hostname", r#""127.0.0.3""#)], "- 127.0.0.3 0");
    check(&[("peer.address", r#""127.0.0.1:99""#)], "- 127.0.0.1 99");
    check(&[("peer.address", r#""[::1]:99""#)], "- ::1 99");
    check(&[("peer.address", r#""db://x""#)], "- - 0");
    let client = ("span.kind", r#""client""#);
    check(&[client, ("server.address", r#""h""#), ("server.port", "1")], "h - 1");
    check(&[client, ("server.address", r#""h""#), ("peer.port", "2")], "h - 2");
    check(&[("server.address", r#""h""#)], "- - 0");
}

#[test]
fn a_process_is_resource_and_local_endpoint() {
    let process = r#""serviceName":"Shop","tags":[{"key":"ip","type":"string","value":"127.0.0.1"},
        {"key":"hostname","type":"string","value":"h1"},{"key":"n","type":"int64","value":1}]"#;
    let span = read_with(r#""flags":3,"startTime":5,"duration":0,"operationName":"Get""#, process);
    let span = span.unwrap();
    assert_eq!(span.name, "get");
    assert_eq!((span.debug, span.flags), (true, 1));
    assert_eq!(span.timestamp, Some(Timestamp::from_nanos(5_000)));
    assert_eq!(span.duration, Some(Duration::from_nanos(1)));
    let local = span.local_endpoint.unwrap();
    assert_eq!((local.service_name.as_str(), local.ipv4.unwrap().is_loopback()), ("shop", true));
    let expected = [
        ("service.name", Value::from("Shop")),
        ("ip", Value::from("127.0.0.1")),
        ("hostname", Value::from("h1")),
        ("n", Value::Int(1)),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    assert_eq!(span.resource.unwrap().tags, expected);
    let nobody = read_with(r#""flags":0"#, "").unwrap();
    assert_eq!((nobody.resource, nobody.local_endpoint, nobody.debug), (None, None, false));
}

/// Spans as Jaeger can tell them apart: each its own id, finished, and times in whole microseconds.
pub(in crate::codec) fn spans() -> impl Strategy<Value = Vec<Span>> {
    prop::collection::vec(arbitrary::span(), 1..4).prop_map(|mut spans| {
        for (at, span) in spans.iter_mut().enumerate() {
            span.id = SpanId::from_raw(at as u64 + 1);
            span.shared = false;
            let in_us = |time: Timestamp| Timestamp::from_nanos(time.nanos() / 1_000 * 1_000);
            span.timestamp = span.timestamp.map(in_us);
            let us = span.duration.map_or(1, |duration| duration.as_micros().max(1));
            span.duration = Some(Duration::from_micros(u64::try_from(us).unwrap()));
            for annotation in &mut span.annotations {
                annotation.timestamp = in_us(annotation.timestamp);
            }
            span.normalize();
        }
        spans
    })
}

/// What a message says, in the order of ids.
pub(in crate::codec) fn told(format: Format, body: &[u8]) -> Vec<String> {
    let mut decoded = decode(format, body, Limits::default()).unwrap();
    assert_eq!(decoded.problems, Vec::<String>::new());
    decoded.spans.sort_by_key(|span| span.id.as_u64());
    decoded.spans.iter().map(|span| format!("{span:?}")).collect()
}

/// Spans in Jaeger's JSON, to compare other formats with.
pub(in crate::codec) fn as_json(spans: &[Span]) -> String {
    let mut out = String::new();
    jaeger_json::write_trace(&mut out, spans);
    out
}

proptest! {
    #[test]
    fn what_was_read_once_is_written_and_read_again_unchanged(spans in spans()) {
        let first = decode(Format::JaegerJson, as_json(&spans).as_bytes(), Limits::default());
        let again = as_json(&first.unwrap().spans);
        let second = decode(Format::JaegerJson, again.as_bytes(), Limits::default()).unwrap();
        let third = as_json(&second.spans);
        prop_assert_eq!(
            told(Format::JaegerJson, again.as_bytes()),
            told(Format::JaegerJson, third.as_bytes())
        );
    }
}

//! Zipkin's rules as tables: each input with what Zipkin makes of it.

use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;
use crate::codec::Limits;
use crate::{
    DependencyLink, Endpoint, Span, SpanId, Status, StatusCode, Timestamp, TraceId, Value,
    arbitrary,
};

const J: &str = r#"[{"traceId":"0000000000000001","id":"0000000000000002","kind":"CLIENT","timestamp":100,"duration":10,"localEndpoint":{"serviceName":"a"},"remoteEndpoint":{"serviceName":"b"},"tags":{"x":"y"}}]"#;

/// What becomes of a list: written again, or the reason why it is refused.
fn again(list: &str) -> Result<String, String> {
    decode_list(list.as_bytes()).map(|spans| encode_list(&spans)).map_err(|e| e.message)
}

/// One span with these fields beside its ids, and the fields that come back.
fn check(fields: &str, expected: &str) {
    let with_ids = |fields: &str| {
        let comma = if fields.is_empty() { "" } else { "," };
        format!(r#"[{{"traceId":"0000000000000001","id":"0000000000000002"{comma}{fields}}}]"#)
    };
    assert_eq!(again(&with_ids(fields)).unwrap(), with_ids(expected), "{fields}");
}

/// One span with these fields beside its ids is refused with a message that starts so.
fn refuse(fields: &str, cause: &str) {
    refuse_list(&format!(r#"[{{"traceId":"1","id":"2",{fields}}}]"#), cause);
}

fn refuse_list(list: &str, cause: &str) {
    let message = again(list).unwrap_err();
    assert!(message.starts_with(cause), "{list}: {message}");
    assert!(message.ends_with(" reading List<Span> from json"), "{list}: {message}");
}

#[test]
fn a_span_is_written_as_it_was_read() {
    assert_eq!(again(J).unwrap(), J);
    let full = r#"[{"traceId":"463ac35c9f6413ad48485a3953bb6124","parentId":"0000000000000001","id":"0000000000000002","kind":"SERVER","name":"get /","timestamp":1472470996199000,"duration":207000,"localEndpoint":{"serviceName":"frontend","ipv4":"127.0.0.1","ipv6":"2001:db8::c001","port":80},"remoteEndpoint":{"port":9},"annotations":[{"timestamp":1,"value":"foo"},{"timestamp":2,"value":"bar"}],"tags":{"a":"","http.path":"/api","http.path.more":"x"},"debug":true,"shared":true}]"#;
    assert_eq!(again(full).unwrap(), full);
    for nothing in ["", "[]", " [ ] "] {
        assert_eq!(again(nothing).unwrap(), "[]");
    }
}

#[test]
fn white_space_and_escapes_change_nothing() {
    let plain = again(J);
    assert_eq!(plain.as_deref(), Ok(J));
    for space in [" ", "\n\t", "\r\n                    "] {
        let mut spaced = J.to_owned();
        for sign in ["{", "}", "[", "]", ":", ","] {
            spaced = spaced.replace(sign, &format!("{space}{sign}{space}"));
        }
        assert_eq!(again(&spaced), plain, "{spaced}");
    }
    for (text, escaped) in
        [("d", "\\u0064"), ("y", "\\u0079"), ("IE", "\\u0049E"), ("0002", "\\u00300\\u00302")]
    {
        let escaped = J.replace(text, escaped);
        assert_eq!(again(&escaped), plain, "{escaped}");
    }
}

#[test]
fn what_is_no_list_of_spans_is_refused() {
    for list in ["{}", "[", "[1]", "[{", "[null]", "[[]]", "nope", r#"[{"traceId":"1","id":"2"},]"#]
    {
        refuse_list(list, "Malformed: expected ");
    }
    refuse_list("[{}", "Missing : traceId id reading");
    refuse_list(r#"[{"traceId":"1"}]"#, "Missing : id reading List<Span> from json");
    refuse_list(r#"[{"id":"1"}]"#, "Missing : traceId reading");
    // One bad span takes the good one with it.
    refuse_list(&J.replace("}]", "},{\"id\":\"1\"}]"), "Missing : traceId");
}

#[test]
fn what_follows_the_list_is_ignored() {
    assert_eq!(again(&format!("{J} and more ]")).unwrap(), J);
}

#[test]
fn ids_are_normalised_or_refused_in_zipkins_words() {
    let check = |trace_id: &str, id: &str, expected: &str| {
        let list = format!(r#"[{{"traceId":{trace_id},"id":{id}}}]"#);
        match again(&list) {
            Ok(list) => assert_eq!(list, format!("[{{{expected}}}]")),
            Err(message) => assert_eq!(message, format!("{expected} reading List<Span> from json")),
        }
    };
    check(r#""a""#, r#""b""#, r#""traceId":"000000000000000a","id":"000000000000000b""#);
    check("1", "2", r#""traceId":"0000000000000001","id":"0000000000000002""#);
    check(
        r#""00000000000000010000000000000002""#,
        r#""1""#,
        r#""traceId":"00000000000000010000000000000002","id":"0000000000000001""#,
    );
    check(
        r#""00000000000000000000000000000001""#,
        r#""0""#,
        r#""traceId":"0000000000000001","id":"0000000000000000""#,
    );
    check(r#""""#, r#""1""#, "traceId is empty");
    check(&format!("\"{}\"", "1".repeat(33)), r#""1""#, "traceId.length > 32");
    check(r#""0""#, r#""1""#, "traceId is all zeros");
    check(r#""ABC""#, r#""1""#, "ABC should be lower-hex encoded with no prefix");
    check(r#""0x1""#, r#""1""#, "0x1 should be lower-hex encoded with no prefix");
    check(r#""1""#, r#""""#, "id is empty");
    check(r#""1""#, r#""12345678901234567""#, "id.length > 16");
    check(r#""1""#, r#""0000000000000000""#, "id is all zeros");
    check("null", r#""1""#, "traceId is not a string");
    check(r#""1""#, "null", "id is not a string");
    check(r#""1""#, "true", "id is not a string");
}

#[test]
fn a_parent_that_is_zero_or_the_span_itself_is_none() {
    let parent = |text: &str, expected: &str| {
        let list = format!(r#"[{{"traceId":"1","parentId":{text},"id":"2"}}]"#);
        let got = decode_list(list.as_bytes()).unwrap()[0].parent_id.map(|id| id.to_string());
        assert_eq!(got.unwrap_or_default(), expected, "{text}");
    };
    parent(r#""1""#, "0000000000000001");
    parent(r#""2""#, "");
    parent(r#""0""#, "");
    parent(r#""0000000000000000""#, "");
    parent("null", "");
    refuse(r#""parentId":"""#, "parentId is empty");
    refuse(r#""parentId":"12345678901234567""#, "parentId.length > 16");
}

#[test]
fn names_are_lower_cased_and_not_trimmed() {
    check(r#""name":"GET /Ä""#, r#""name":"get /ä""#);
    check(r#""name":" x ""#, r#""name":" x ""#);
    check(r#""name":"""#, "");
    check(r#""name":5"#, r#""name":"5""#);
    check(r#""name":"a","name":"b""#, r#""name":"b""#);
    check(r#""name":"{\"foo\":\"bar\"}""#, r#""name":"{\"foo\":\"bar\"}""#);
    check(
        r#""localEndpoint":{"serviceName":"FrontEnd"}"#,
        r#""localEndpoint":{"serviceName":"frontend"}"#,
    );
    refuse(r#""name":true"#, "name is not a string");
}

#[test]
fn only_the_four_kinds_are_kinds() {
    for kind in ["CLIENT", "SERVER", "PRODUCER", "CONSUMER"] {
        let kind = format!(r#""kind":"{kind}""#);
        check(&kind, &kind);
    }
    check(r#""kind":null"#, "");
    for kind in ["INTERNAL", "client", ""] {
        refuse(&format!(r#""kind":"{kind}""#), &format!("kind {kind:?} is not"));
    }
}

#[test]
fn numbers_are_whole_however_they_are_spelled() {
    for number in ["12", "\"12\"", "12.0", "1.2e1", "\"12.0\"", "120E-1"] {
        check(&format!(r#""timestamp":{number}"#), r#""timestamp":12"#);
        check(&format!(r#""duration":{number}"#), r#""duration":12"#);
    }
    for absent in ["0", "-1", "null", "-9223372036854775808", "\"-5\""] {
        check(&format!(r#""timestamp":{absent}"#), "");
        check(&format!(r#""duration":{absent}"#), "");
    }
    for number in ["1.5", "\"x\"", "\"\"", "1e30", "\"NaN\"", "\"inf\"", "9223372036854775808"] {
        refuse(&format!(r#""timestamp":{number}"#), "timestamp ");
    }
    refuse(r#""timestamp":true"#, "timestamp is not");
    refuse(r#""timestamp":01"#, "Malformed");
}

#[test]
fn time_ends_in_the_year_2554() {
    check(r#""timestamp":18446744073709551"#, r#""timestamp":18446744073709551"#);
    check(r#""duration":18446744073709551"#, r#""duration":18446744073709551"#);
    // What cannot be kept takes neither its span nor that span's neighbours with it.
    for late in ["18446744073709552", "9223372036854775807"] {
        check(&format!(r#""timestamp":{late}"#), "");
        check(&format!(r#""duration":{late}"#), r#""duration":18446744073709551"#);
        let list = format!(
            r#"[{{"traceId":"1","id":"2","annotations":[{{"timestamp":{late},"value":"a"}},{{"timestamp":1,"value":"b"}}]}}]"#
        );
        let span = decode_list(list.as_bytes()).unwrap().remove(0);
        assert_eq!((span.annotations.len(), span.dropped_annotations), (1, 1));
        assert_eq!(span.annotations[0].value, "b");
    }
}

#[test]
fn a_message_of_megabytes_is_refused_in_a_few_words() {
    let long = "é\\u0001".repeat(1_000_000);
    let ids = r#""traceId":"1","id":"2""#;
    for (bad, cause) in [
        (format!(r#"{{{ids},"kind":"{long}"}}"#), "kind \"é"),
        (format!(r#"{{{ids},"timestamp":"{long}"}}"#), "timestamp é"),
        (format!(r#"{{{ids},"localEndpoint":{{"port":"{long}"}}}}"#), "port é"),
        (format!(r#"{{{ids},"tags":{{"{long}":null}}}}"#), "No value at $[0].tags.é"),
        (format!(r#"{{{ids},"tags":{{"{long}":true}}}}"#), "é"),
        (format!(r#"{{"traceId":"{long}"}}"#), "traceId.length > 32"),
    ] {
        let message = again(&format!("[{bad}]")).unwrap_err();
        assert!(message.chars().count() <= 300, "{} characters", message.chars().count());
        assert!(message.starts_with(cause), "{message}");
        assert!(message.ends_with(" reading List<Span> from json"), "{message}");
    }
    let key = "k".repeat(100);
    refuse(
        &format!(r#""tags":{{"{key}":null}}"#),
        &format!("No value at $[0].tags.{key} reading List<Span> from json"),
    );
}

#[test]
fn a_span_has_room_for_ten_thousand_tags_and_annotations() {
    let list = |tags: &str, annotations: &str| {
        let list = format!(
            r#"[{{"traceId":"1","id":"2","tags":{{{tags}}},"annotations":[{annotations}]}}]"#
        );
        decode_list(list.as_bytes()).unwrap().remove(0)
    };
    let of = |n: u32, item: &dyn Fn(u32) -> String| (0..n).map(item).collect::<Vec<_>>().join(",");
    let tag = |i| format!(r#""k{i}":"""#);
    let annotation = |i| format!(r#"{{"timestamp":1,"value":"{i}"}}"#);
    let full = list(&of(10_000, &tag), &of(10_000, &annotation));
    assert_eq!((full.tags.len(), full.annotations.len()), (10_000, 10_000));
    assert_eq!((full.dropped_tags, full.dropped_annotations), (0, 0));
    let over = list(&of(1_000_000, &tag), &of(10_003, &annotation));
    assert_eq!((over.tags.len(), over.annotations.len()), (10_000, 10_000));
    assert_eq!((over.dropped_tags, over.dropped_annotations), (990_000, 3));
    assert_eq!(over.tags[9_999].0, "k9999");
}

#[test]
fn a_message_may_not_hold_more_spans_than_its_reader_has_room_for() {
    let list = format!("[{}]", [r#"{"traceId":"1","id":"1"}"#; 10].join(","));
    let within = |bytes_max| {
        decode_list_within(list.as_bytes(), Limits { bytes_max })
            .map(|spans| spans.len())
            .map_err(|error| (error.message, error.over_limit))
    };
    let refused = |cause: &str| Err((format!("{cause} reading List<Span> from json"), true));
    assert_eq!(within(usize::MAX), Ok(10));
    let bytes = list.len() + 10 * size_of::<Span>();
    assert_eq!(within(bytes), Ok(10));
    let cause = format!("more than {} bytes of spans in one message", bytes - 1);
    assert_eq!(within(bytes - 1), refused(&cause));
    assert!(!decode_list(b"{").unwrap_err().over_limit);
}

#[test]
fn endpoints_are_read_by_content_and_vanish_where_nothing_is_left() {
    let check = |endpoint: &str, expected: &str| {
        for side in ["localEndpoint", "remoteEndpoint"] {
            let of = |text: &str| match text {
                "" => String::new(),
                text => format!(r#""{side}":{text}"#),
            };
            super::tests::check(&of(endpoint), &of(expected));
        }
    };
    for nothing in [
        "null",
        "{}",
        r#"{"serviceName":""}"#,
        r#"{"serviceName":null,"ipv4":null,"port":null}"#,
        r#"{"port":0}"#,
        r#"{"port":-1}"#,
        r#"{"ipv4":"1.2.3"}"#,
        r#"{"ipv4":"localhost","ipv6":"[::1]"}"#,
        r#"{"ipv6":"fe80::1%eth0"}"#,
        r#"{"other":[1,{"a":null}]}"#,
    ] {
        check(nothing, "");
    }
    check(r#"{"ipv4":"::1","ipv6":"1.2.3.4"}"#, r#"{"ipv4":"1.2.3.4","ipv6":"::1"}"#);
    check(r#"{"ipv6":"::ffff:1.2.3.4"}"#, r#"{"ipv4":"1.2.3.4"}"#);
    check(r#"{"ipv6":"::1.2.3.4"}"#, r#"{"ipv4":"1.2.3.4"}"#);
    check(r#"{"ipv6":"::ffff:102:304"}"#, r#"{"ipv6":"::ffff:102:304"}"#);
    check(r#"{"ipv6":"2001:DB8:0:0:0:0:0:0001"}"#, r#"{"ipv6":"2001:db8::1"}"#);
    check(r#"{"port":"8080"}"#, r#"{"port":8080}"#);
    check(r#"{"port":65535}"#, r#"{"port":65535}"#);
    refuse(r#""localEndpoint":{"port":65536}"#, "invalid port 65536 reading");
    refuse(r#""localEndpoint":"a""#, "Malformed: expected an object");
}

#[test]
fn annotations_are_sorted_and_stand_once() {
    check(
        r#""annotations":[{"value":"b","timestamp":2},{"timestamp":"2","value":"a"},{"timestamp":1,"value":"z","endpoint":{}},{"timestamp":2,"value":"b"}]"#,
        r#""annotations":[{"timestamp":1,"value":"z"},{"timestamp":2,"value":"a"},{"timestamp":2,"value":"b"}]"#,
    );
    check(
        r#""annotations":[{"timestamp":1,"value":""}]"#,
        r#""annotations":[{"timestamp":1,"value":""}]"#,
    );
    check(r#""annotations":[]"#, "");
    check(r#""annotations":null"#, "");
    for incomplete in [
        "{}",
        r#"{"timestamp":1}"#,
        r#"{"value":"a"}"#,
        r#"{"timestamp":null,"value":"a"}"#,
        r#"{"timestamp":1,"value":null}"#,
        r#"{"timestamp":0,"value":"a"}"#,
    ] {
        refuse(
            &format!(r#""annotations":[{{"timestamp":1,"value":"a"}},{incomplete}]"#),
            "Incomplete annotation at $[0].annotations[1] reading",
        );
    }
}

#[test]
fn tags_keep_their_text_and_the_last_of_a_key() {
    check(r#""tags":{"b":"1","a":"","b":2}"#, r#""tags":{"a":"","b":"2"}"#);
    check(r#""tags":{"a":1.50}"#, r#""tags":{"a":"1.50"}"#);
    check(r#""tags":{"A":" X "}"#, r#""tags":{"A":" X "}"#);
    check(r#""tags":{}"#, "");
    check(r#""tags":null"#, "");
    refuse(r#""tags":{"a":null}"#, "No value at $[0].tags.a reading");
    refuse(r#""tags":{"a":true}"#, "a is not a string");
    refuse(r#""tags":{"a":{}}"#, "Malformed");
}

#[test]
fn many_tags_with_one_key_are_one_tag() {
    let tags: Vec<String> = (0..50_000).map(|i| format!(r#""k{}":{i}"#, i % 20)).collect();
    let list = format!(r#"[{{"traceId":"1","id":"2","tags":{{{}}}}}]"#, tags.join(","));
    let tags = decode_list(list.as_bytes()).unwrap().remove(0).tags;
    assert_eq!(tags.len(), 20);
    assert_eq!(tags[3], ("k3".to_owned(), Value::from("49983")));
}

#[test]
fn flags_that_are_false_are_absent() {
    check(r#""debug":false,"shared":false"#, "");
    check(r#""debug":null,"shared":null"#, "");
    check(r#""shared":true,"debug":true"#, r#""debug":true,"shared":true"#);
    check(r#""kind":"CLIENT","shared":true"#, r#""kind":"CLIENT""#);
    refuse(r#""debug":"true""#, "debug is not true or false");
}

#[test]
fn unknown_fields_are_skipped_whatever_they_hold() {
    check(r#""x":[1,"a",{"y":[true,null]}],"z":{}"#, "");
    let deep = format!(r#""x":{}{}"#, "[".repeat(1_000), "]".repeat(1_000));
    refuse(&deep, "Malformed: deeper than 128 values");
}

#[test]
fn bytes_that_are_no_utf8_are_replaced() {
    let list = [br#"[{"traceId":"1","id":"2","name":""#.as_slice(), b"\xff", br#""}]"#].concat();
    assert_eq!(decode_list(&list).unwrap()[0].name, "\u{fffd}");
}

#[test]
fn the_guard_knows_a_list_by_its_first_bytes() {
    let guard = |body: &[u8]| check_list(body).map_err(|e| e.message);
    for body in ["", "[]", J, "[garbage"] {
        assert_eq!(guard(body.as_bytes()), Ok(()), "{body}");
    }
    // Bytes that could begin a list of another format pass, and fail when they are decoded.
    for body in [b"\n[]".as_slice(), b"\x0c\0\0\0\x01", b"\x0b\0"] {
        assert_eq!(guard(body), Ok(()), "{body:?}");
    }
    for body in ["{}", " []", "\t[]", "\n", "\n\0", "\u{feff}[]", "x", "\r[]"] {
        let expected = "Expected a JSON_V2 encoded list\n";
        assert_eq!(guard(body.as_bytes()), Err(expected.to_owned()), "{body:?}");
    }
    let expected = "Expected a JSON_V2 encoded list, but received: JSON_V1\n";
    for body in [r#"[{"binaryAnnotations":[]}]"#, r#"[{"id":"1", "binaryAnnotations":[]}]"#] {
        assert_eq!(guard(body.as_bytes()), Err(expected.to_owned()), "{body}");
    }
}

#[test]
fn strings_are_escaped_as_zipkin_escapes_them() {
    let check = |text: &str, expected: &str| {
        let mut out = String::new();
        write_json_str(&mut out, text);
        assert_eq!(out, format!("\"{expected}\""));
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    };
    check("", "");
    check("\"\\/", r#"\"\\/"#);
    check("\t\u{8}\n\r\u{c}", r"\t\b\n\r\f");
    check("\0\u{1f}\u{7f}", "\\u0000\\u001f\u{7f}");
    check("a\u{2028}\u{2029}\u{2027}é😀", "a\\u2028\\u2029\u{2027}é😀");
    for before in (0..40).map(|len| "x".repeat(len)) {
        check(&format!("{before}\n{before}\u{2028}é"), &format!("{before}\\n{before}\\u2028é"));
    }
}

#[test]
fn ipv6_is_spelled_as_zipkin_spells_it() {
    let check = |groups: [u16; 8], expected: &str| {
        let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::new(2).unwrap());
        span.local_endpoint =
            Some(Endpoint { ipv6: Some(Ipv6Addr::from(groups)), ..Endpoint::default() });
        let expected = format!(r#""localEndpoint":{{"ipv6":"{expected}"}}}}"#);
        let mut got = String::new();
        write_span(&span, &mut got);
        assert!(got.ends_with(&expected), "{got}, not {expected}");
    };
    check([0; 8], "::");
    check([0, 0, 0, 0, 0, 0, 0, 1], "::1");
    check([1, 0, 0, 0, 0, 0, 0, 0], "1::");
    check([0x2001, 0xdb8, 0, 1, 1, 1, 1, 1], "2001:db8::1:1:1:1:1");
    check([1, 0, 0, 2, 0, 0, 0, 3], "1:0:0:2::3");
    check([1, 0, 0, 2, 0, 0, 3, 4], "1::2:0:0:3:4");
    check([1, 0, 2, 0, 0, 0, 0, 0], "1::2:0:0:0:0:0");
    check([0, 1, 2, 3, 4, 5, 6, 7], "::1:2:3:4:5:6:7");
    check([0x2001, 2, 3, 4, 5, 6, 7, 0xabcd], "2001:2:3:4:5:6:7:abcd");
    check([0, 0, 0, 0, 0, 0xffff, 0x102, 0x304], "::ffff:102:304");
}

#[test]
fn tags_are_written_in_the_order_of_utf16() {
    let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::new(2).unwrap());
    for key in ["\u{ff5e}", "😀", "b", "a"] {
        span.set_tag(key, "");
    }
    let mut out = String::new();
    write_span(&span, &mut out);
    assert!(
        out.ends_with("\"tags\":{\"a\":\"\",\"b\":\"\",\"😀\":\"\",\"\u{ff5e}\":\"\"}}"),
        "{out}"
    );
}

#[test]
fn what_otlp_says_shows_in_zipkins_words() {
    let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::new(2).unwrap());
    span.timestamp = Some(Timestamp::from_nanos(1_999));
    span.duration = Some(std::time::Duration::from_nanos(1));
    span.status = Status { code: StatusCode::Error, message: "no".to_owned() };
    span.set_tag("n", 5);
    let event = |nanos, value: &str, tags: crate::Tags| crate::Annotation {
        timestamp: Timestamp::from_nanos(nanos),
        value: value.to_owned(),
        tags,
        dropped_tags: 0,
    };
    span.annotations = vec![
        event(999, "no time", Vec::new()),
        event(1_001, "b", Vec::new()),
        event(1_002, "a", vec![("k".to_owned(), Value::Int(1))]),
        event(1_003, "b", Vec::new()),
    ];
    let mut out = String::new();
    write_span(&span, &mut out);
    assert_eq!(
        out,
        r#"{"traceId":"0000000000000001","id":"0000000000000002","timestamp":1,"duration":1,"annotations":[{"timestamp":1,"value":"\"a\": {\"k\":1}"},{"timestamp":1,"value":"b"}],"tags":{"error":"no","n":"5","otel.status_code":"ERROR"}}"#
    );
}

#[test]
fn links_are_written_with_errors_only_where_there_are_any() {
    let link = |parent: &str, error_count| DependencyLink {
        parent: parent.to_owned(),
        child: "b".to_owned(),
        call_count: 3,
        error_count,
    };
    assert_eq!(encode_links(&[]), "[]");
    assert_eq!(
        encode_links(&[link("a", 0), link("\"", 1)]),
        r#"[{"parent":"a","child":"b","callCount":3},{"parent":"\"","child":"b","callCount":3,"errorCount":1}]"#
    );
}

proptest! {
    #[test]
    fn any_span_is_written_as_json_that_reads_back(mut span in arbitrary::span()) {
        // A reader takes neither of these.
        span.id = SpanId::new(span.id.as_u64()).unwrap_or(SpanId::from_raw(1));
        span.duration = span.duration.map(|d| d.min(std::time::Duration::from_secs(1 << 33)));
        span.normalize();
        let written = encode_list([&span]);
        let value: serde_json::Value = serde_json::from_str(&written).unwrap();
        prop_assert!(value[0]["traceId"].is_string());
        let read = decode_list(written.as_bytes()).unwrap();
        prop_assert_eq!(encode_list(&read), written);
        prop_assert_eq!(&read[0].name, &span.name);
        prop_assert_eq!(read[0].service_name(), span.service_name());
    }

    #[test]
    fn strings_are_escaped_so_that_others_read_them(text in any::<String>()) {
        let mut out = String::new();
        write_json_str(&mut out, &text);
        prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text.as_str());
        let list = format!(r#"[{{"traceId":"1","id":"2","tags":{{{out}:{out}}}}}]"#);
        let tags = decode_list(list.as_bytes()).unwrap().remove(0).tags;
        prop_assert_eq!(tags, [(text.clone(), Value::Str(text))]);
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = check_list(&body);
        let _ = decode_list(&body);
        let _ = decode_list(&[b"[{".as_slice(), &body].concat());
    }

    #[test]
    fn no_damage_makes_it_panic(
        span in arbitrary::span(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        length in any::<prop::sample::Index>(),
    ) {
        let mut body = encode_list([&span]).into_bytes();
        prop_assert!(decode_list(&body[..length.index(body.len())]).is_err() || length.index(body.len()) == 0);
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = decode_list(&body);
    }
}

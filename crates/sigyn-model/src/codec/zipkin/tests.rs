//! Rules that hold for every one of Zipkin's formats: each row through all that can say it.

use serde_json::{Value, json};

use crate::codec::proto::{
    put_bytes_field, put_fixed64_field, put_message_field, put_varint_field,
    put_varint_field_always,
};
use crate::codec::thrift::{Protocol, Type, Writer};
use crate::codec::{Format, Limits, decode, json_v2};

const FORMATS: [Format; 5] = [
    Format::ZipkinJsonV2,
    Format::ZipkinProto3,
    Format::ZipkinJsonV1,
    Format::ZipkinThrift,
    Format::ZipkinThriftCompact,
];

/// A list of one span in a format, from its fields in v2 JSON. `None` where the format cannot say it.
///
/// Two fields of endpoints are not of JSON: `bytes4` and `bytes6` are addresses in hexadecimal.
fn body(format: Format, span: &Value) -> Option<Vec<u8>> {
    match format {
        Format::ZipkinJsonV2 => {
            let no_bytes = !span.to_string().contains("\"bytes");
            no_bytes.then(|| json!([span]).to_string().into_bytes())
        }
        Format::ZipkinProto3 => proto3(span),
        Format::ZipkinJsonV1 => v1_json(span),
        Format::ZipkinThrift => thrift(Protocol::Binary, span),
        Format::ZipkinThriftCompact => thrift(Protocol::Compact, span),
        _ => None,
    }
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(pair).collect()
}

/// The addresses of an endpoint in bytes, with the field that each comes in.
fn addresses(endpoint: &Value) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut out = Vec::new();
    for (key, field) in [("ipv4", 4), ("ipv6", 6), ("bytes4", 4), ("bytes6", 6)] {
        let Some(text) = endpoint.get(key) else { continue };
        let text = text.as_str()?;
        out.push(match key {
            "ipv4" => (field, text.parse::<std::net::Ipv4Addr>().ok()?.octets().to_vec()),
            "ipv6" if text.contains('.') => return None,
            "ipv6" => (field, text.parse::<std::net::Ipv6Addr>().ok()?.octets().to_vec()),
            _ => (field, hex_bytes(text)?),
        });
    }
    Some(out)
}

fn proto3(span: &Value) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    for (key, value) in span.as_object()? {
        match key.as_str() {
            "traceId" => put_bytes_field(&mut message, 1, &hex_bytes(value.as_str()?)?),
            "parentId" if value == "" => return None,
            "parentId" => put_bytes_field(&mut message, 2, &hex_bytes(value.as_str()?)?),
            "id" => put_bytes_field(&mut message, 3, &hex_bytes(value.as_str()?)?),
            "kind" => {
                let kinds = ["", "CLIENT", "SERVER", "PRODUCER", "CONSUMER"];
                let number = kinds.iter().position(|kind| value == kind)?;
                put_varint_field(&mut message, 4, number as u64);
            }
            "name" => put_bytes_field(&mut message, 5, value.as_str()?.as_bytes()),
            "timestamp" => put_fixed64_field(&mut message, 6, value.as_i64()?.cast_unsigned()),
            "duration" => put_varint_field_always(&mut message, 7, value.as_i64()?.cast_unsigned()),
            "localEndpoint" | "remoteEndpoint" => {
                let mut endpoint = Vec::new();
                if let Some(name) = value.get("serviceName") {
                    put_bytes_field(&mut endpoint, 1, name.as_str()?.as_bytes());
                }
                for (field, bytes) in addresses(value)? {
                    put_bytes_field(&mut endpoint, if field == 4 { 2 } else { 3 }, &bytes);
                }
                if let Some(port) = value.get("port") {
                    put_varint_field_always(&mut endpoint, 4, port.as_i64()?.cast_unsigned());
                }
                let number = if key == "localEndpoint" { 8 } else { 9 };
                put_bytes_field(&mut message, number, &endpoint);
            }
            "annotations" => {
                for annotation in value.as_array()? {
                    let us = annotation["timestamp"].as_i64()?.cast_unsigned();
                    let text = annotation["value"].as_str().filter(|text| !text.is_empty())?;
                    put_message_field(&mut message, 10, |out| {
                        put_bytes_field(out, 2, text.as_bytes());
                        put_fixed64_field(out, 1, us);
                    });
                }
            }
            "tags" => {
                for (key, value) in value.as_object()? {
                    let value = value.as_str()?;
                    put_message_field(&mut message, 11, |out| {
                        put_bytes_field(out, 1, key.as_bytes());
                        put_bytes_field(out, 2, value.as_bytes());
                    });
                }
            }
            "debug" => put_varint_field_always(&mut message, 12, u64::from(value.as_bool()?)),
            "shared" => put_varint_field_always(&mut message, 13, u64::from(value.as_bool()?)),
            // What is unknown is unknown in every type.
            _ => {
                put_varint_field_always(&mut message, 14, 1);
                put_fixed64_field(&mut message, 15, 1);
                put_bytes_field(&mut message, 16, b"unknown");
                message.extend_from_slice(&[0x8d, 0x01, 0, 0, 0, 0]);
            }
        }
    }
    let mut list = Vec::new();
    put_bytes_field(&mut list, 1, &message);
    Some(list)
}

/// Ids that have their digits in v1 too: longer ones are cut, and a short zero is no id.
fn same_in_v1(span: &Value) -> bool {
    let digits = |key: &str| span.get(key).and_then(Value::as_str).map(str::len);
    let zero = |key: &str| span[key].as_str().is_some_and(|id| id.bytes().all(|b| b == b'0'));
    digits("traceId").is_none_or(|n| n <= 16 || n >= 32)
        && digits("id").is_none_or(|n| n <= 16 && !(zero("id") && n < 16 && n > 0))
        && digits("parentId").is_none_or(|n| n <= 16)
        && span.get("kind").is_none()
        && span.get("shared").is_none()
}

fn v1_json(span: &Value) -> Option<Vec<u8>> {
    if !same_in_v1(span) || span.to_string().contains("\"bytes") {
        return None;
    }
    let mut v1 = serde_json::Map::new();
    let mut binary = Vec::new();
    if let Some(tags) = span.get("tags") {
        for (key, value) in tags.as_object()? {
            binary.push(json!({"key": key, "value": value.as_str()?}));
        }
    }
    if let Some(endpoint) = span.get("localEndpoint") {
        binary.push(json!({"key": "lc", "value": "", "endpoint": endpoint}));
    }
    if let Some(endpoint) = span.get("remoteEndpoint") {
        binary.push(json!({"key": "sa", "value": true, "endpoint": endpoint}));
    }
    for (key, value) in span.as_object()? {
        if !matches!(key.as_str(), "tags" | "localEndpoint" | "remoteEndpoint") {
            v1.insert(key.clone(), value.clone());
        }
    }
    v1.insert("binaryAnnotations".to_owned(), binary.into());
    Some(json!([v1]).to_string().into_bytes())
}

fn thrift(protocol: Protocol, span: &Value) -> Option<Vec<u8>> {
    if !same_in_v1(span) {
        return None;
    }
    // Empty ids and bad digits are no numbers, and neither are ids too long.
    let number = |key: &str| {
        let text = span[key].as_str().filter(|text| !text.starts_with('+'))?;
        (text == text.to_lowercase()).then(|| u128::from_str_radix(text, 16).ok())?
    };
    let half = |id: u128, shift: u32| {
        let bits = u64::try_from(id >> shift & u128::from(u64::MAX)).ok()?;
        Some(bits.cast_signed())
    };
    let optional = |key: &str| match span.get(key) {
        Some(value) => value.as_i64().map(Some),
        None => Some(None),
    };
    let (trace_id, id) = (number("traceId")?, number("id")?);
    let parent_id = if span.get("parentId").is_some() { number("parentId")? } else { 0 };
    let (timestamp, duration) = (optional("timestamp")?, optional("duration")?);
    let debug = span.get("debug").map(Value::as_bool);
    let name = span.get("name").map_or(Some(""), Value::as_str)?;
    let mut annotations = Vec::new();
    let none = Vec::new();
    for annotation in span.get("annotations").map_or(Some(&none), Value::as_array)? {
        annotations.push((annotation["timestamp"].as_i64()?, annotation["value"].as_str()?));
    }
    let mut binary: Vec<(&str, &[u8], i32, Option<&Value>)> = Vec::new();
    if let Some(tags) = span.get("tags") {
        for (key, value) in tags.as_object()? {
            binary.push((key, value.as_str()?.as_bytes(), 6, None));
        }
    }
    if let Some(endpoint) = span.get("localEndpoint") {
        binary.push(("lc", b"", 6, Some(endpoint)));
    }
    if let Some(endpoint) = span.get("remoteEndpoint") {
        binary.push(("sa", &[1], 0, Some(endpoint)));
    }
    for (_, _, _, endpoint) in &binary {
        let Some(endpoint) = endpoint else { continue };
        let port = endpoint.get("port").map_or(Some(0), Value::as_i64)?;
        u16::try_from(port).ok()?;
        let four = |(field, bytes): &(u8, Vec<u8>)| *field == 4 && bytes.len() != 4;
        if addresses(endpoint)?.iter().any(four) {
            return None;
        }
    }
    let unknown = span.get("x").is_some();
    let mut writer = Writer::new(protocol);
    writer.list(Type::Struct, 1, |writer| {
        writer.structure(|writer| {
            // Order is no matter, and neither is what nobody knows.
            writer.i64_field(12, half(trace_id, 64).unwrap_or_default());
            if unknown {
                writer.bool_field(2, true);
                writer.struct_field(7, |writer| writer.bytes_field(1, b"x"));
                writer.list_field(30, Type::Struct, 2, |writer| {
                    writer.structure(|writer| writer.i32_field(-4, 1));
                    writer.structure(|_| {});
                });
                // A known number of another type.
                writer.bytes_field(10, b"x");
            }
            writer.i64_field(1, half(trace_id, 0).unwrap_or_default());
            writer.bytes_field(3, name.as_bytes());
            writer.i64_field(4, half(id, 0).unwrap_or_default());
            writer.i64_field(5, half(parent_id, 0).unwrap_or_default());
            writer.list_field(6, Type::Struct, annotations.len(), |writer| {
                for (us, value) in &annotations {
                    writer.structure(|writer| {
                        writer.bytes_field(2, value.as_bytes());
                        writer.i64_field(1, *us);
                    });
                }
            });
            writer.list_field(8, Type::Struct, binary.len(), |writer| {
                for (key, value, kind, endpoint) in &binary {
                    writer.structure(|writer| {
                        writer.bytes_field(1, key.as_bytes());
                        writer.bytes_field(2, value);
                        writer.i32_field(3, *kind);
                        if let Some(endpoint) = endpoint {
                            writer.struct_field(4, |writer| thrift_endpoint(writer, endpoint));
                        }
                    });
                }
            });
            if let Some(Some(debug)) = debug {
                writer.bool_field(9, debug);
            }
            if let Some(us) = timestamp {
                writer.i64_field(10, us);
            }
            if let Some(us) = duration {
                writer.i64_field(11, us);
            }
        });
    });
    Some(writer.into_bytes())
}

fn thrift_endpoint(writer: &mut Writer, endpoint: &Value) {
    for (field, bytes) in addresses(endpoint).unwrap_or_default() {
        match <[u8; 4]>::try_from(&bytes[..]) {
            Ok(ip) if field == 4 => writer.i32_field(1, i32::from_be_bytes(ip)),
            _ => writer.bytes_field(4, &bytes),
        }
    }
    if let Some(port) = endpoint.get("port").and_then(Value::as_u64) {
        writer.i16_field(2, u16::try_from(port).unwrap_or_default().cast_signed());
    }
    if let Some(name) = endpoint.get("serviceName").and_then(Value::as_str) {
        writer.bytes_field(3, name.as_bytes());
    }
}

/// What becomes of a span: its fields in v2 JSON, or the cause why it is refused.
fn again(format: Format, body: &[u8]) -> String {
    match decode(format, body, Limits::default()) {
        Ok(decoded) => {
            assert_eq!(decoded.problems, Vec::<String>::new());
            let list = json_v2::encode_list(&decoded.spans);
            list.strip_prefix("[{").and_then(|list| list.strip_suffix("}]")).unwrap().to_owned()
        }
        Err(error) => {
            let suffix = format!(" reading {}", format.content());
            let cause = error.message.strip_suffix(&suffix);
            cause.unwrap_or_else(|| panic!("{format:?}: {error}")).to_owned()
        }
    }
}

/// Checks a row in every format that can say it, and returns how many did.
fn check_all(sent: &str, expected: &str) -> usize {
    let span: Value = serde_json::from_str(&format!("{{{sent}}}")).unwrap();
    let said = |format: &Format| {
        let Some(body) = body(*format, &span) else { return false };
        let v1 = matches!(
            format,
            Format::ZipkinJsonV1 | Format::ZipkinThrift | Format::ZipkinThriftCompact
        );
        // In v1, ids are numbers.
        let expected = match expected {
            "traceId is all zeros" if v1 => "traceId == 0",
            "id is all zeros" if v1 => "id == 0",
            expected => expected,
        };
        assert_eq!(again(*format, &body), expected, "{format:?} {sent}");
        true
    };
    FORMATS.iter().filter(|format| said(format)).count()
}

/// One span with these fields beside its ids, and the fields that come back, or a cause. It is said
/// in so many formats.
fn check(formats: usize, fields: &str, expected: &str) {
    let with_ids = |fields: &str| {
        let comma = if fields.is_empty() { "" } else { "," };
        format!(r#""traceId":"0000000000000001","id":"0000000000000002"{comma}{fields}"#)
    };
    let refused = !expected.is_empty() && !expected.starts_with('"');
    let expected = if refused { expected.to_owned() } else { with_ids(expected) };
    assert_eq!(check_all(&with_ids(fields), &expected), formats, "{fields}");
}

#[test]
fn ids_are_padded_or_cut() {
    let check = |formats, trace_id: &str, id: &str, expected: &str| {
        let sent = format!(r#""traceId":"{trace_id}","id":"{id}""#);
        let expected = match expected.split_once(' ') {
            Some((trace_id, id)) if trace_id.len() >= 16 => {
                format!(r#""traceId":"{trace_id}","id":"{id}""#)
            }
            _ => expected.to_owned(),
        };
        assert_eq!(check_all(&sent, &expected), formats, "{sent}");
    };
    let two = "0000000000000002";
    check(4, "1", "2", &format!("0000000000000001 {two}"));
    check(5, "0a", "02", &format!("000000000000000a {two}"));
    check(5, "ffffffffffffffff", "ffffffffffffffff", "ffffffffffffffff ffffffffffffffff");
    check(
        5,
        "00000000000000010000000000000002",
        two,
        &format!("00000000000000010000000000000002 {two}"),
    );
    check(5, "00000000000000000000000000000001", two, &format!("0000000000000001 {two}"));
    // Between the two widths v1 knows none.
    check(2, "000000000000000001", two, &format!("0000000000000001 {two}"));
    check(2, "010000000000000001", two, &format!("00000000000000010000000000000001 {two}"));
    check(3, "", two, "traceId is empty");
    check(3, &"1".repeat(34), two, "traceId.length > 32");
    check(4, "0", two, "traceId is all zeros");
    check(5, "0000000000000000", two, "traceId is all zeros");
    check(5, &"0".repeat(32), two, "traceId is all zeros");
    check(2, "ABC", two, "ABC should be lower-hex encoded with no prefix");
    check(2, "0x1", two, "0x1 should be lower-hex encoded with no prefix");
    check(3, "01", "", "id is empty");
    check(2, "01", &"1".repeat(18), "id.length > 16");
    check(5, "01", "0000000000000000", "id is all zeros");
    check(2, "01", "00", "0000000000000001 0000000000000000");
    check(2, "01", "ABC", "ABC should be lower-hex encoded with no prefix");
}

#[test]
fn a_parent_that_is_zero_or_the_span_itself_is_none() {
    let check = |formats, parent_id: &str, expected: &str| {
        let sent = format!(r#""traceId":"01","parentId":"{parent_id}","id":"02""#);
        let expected = match expected {
            "" => r#""traceId":"0000000000000001","id":"0000000000000002""#.to_owned(),
            id if id.len() == 16 => {
                format!(r#""traceId":"0000000000000001","parentId":"{id}","id":"0000000000000002""#)
            }
            cause => cause.to_owned(),
        };
        assert_eq!(check_all(&sent, &expected), formats, "{parent_id}");
    };
    check(5, "03", "0000000000000003");
    check(5, "ffffffffffffffff", "ffffffffffffffff");
    check(5, "02", "");
    check(5, "00", "");
    check(5, "0000000000000000", "");
    check(2, "", "parentId is empty");
    check(2, &"1".repeat(18), "parentId.length > 16");
    check(2, "X", "X should be lower-hex encoded with no prefix");
}

#[test]
fn names_are_lower_cased_and_not_trimmed() {
    check(5, r#""name":"GET /Ä""#, r#""name":"get /ä""#);
    check(5, r#""name":" x ""#, r#""name":" x ""#);
    check(5, r#""name":"""#, "");
    for side in ["localEndpoint", "remoteEndpoint"] {
        let of = |name: &str| format!(r#""{side}":{{"serviceName":"{name}"}}"#);
        check(5, &of("FrontEnd Ä"), &of("frontend ä"));
        check(5, &of(" "), &of(" "));
    }
}

#[test]
fn times_of_zero_and_less_are_absent() {
    for field in ["timestamp", "duration"] {
        let of = |us: &str| format!(r#""{field}":{us}"#);
        check(5, &of("1"), &of("1"));
        check(5, &of("0"), "");
        check(5, &of("-1"), "");
        check(5, &of("-9223372036854775808"), "");
    }
    // Beyond the year 2554.
    check(5, r#""timestamp":9223372036854775807"#, "");
    check(5, r#""duration":9223372036854775807"#, r#""duration":18446744073709551"#);
    check(5, r#""timestamp":10,"duration":5"#, r#""timestamp":10,"duration":5"#);
    check(5, r#""timestamp":10,"duration":-5"#, r#""timestamp":10"#);
}

#[test]
fn endpoints_vanish_where_nothing_is_left() {
    let check = |formats, endpoint: &str, expected: &str| {
        for side in ["localEndpoint", "remoteEndpoint"] {
            let of = |text: &str| match text {
                "" => String::new(),
                text if text.starts_with('{') => format!(r#""{side}":{text}"#),
                cause => cause.to_owned(),
            };
            super::tests::check(formats, &of(endpoint), &of(expected));
        }
    };
    let same = |formats, endpoint| check(formats, endpoint, endpoint);
    check(5, "{}", "");
    check(5, r#"{"serviceName":""}"#, "");
    check(5, r#"{"port":0}"#, "");
    check(3, r#"{"port":-1}"#, "");
    check(3, r#"{"port":65536}"#, "invalid port 65536");
    same(5, r#"{"port":65535}"#);
    same(5, r#"{"serviceName":"a","ipv4":"1.2.3.4","ipv6":"2001:db8::1","port":80}"#);
    same(5, r#"{"ipv6":"::1"}"#);
    same(5, r#"{"ipv6":"::ffff:102:304"}"#);
    // Text is read by its content.
    check(2, r#"{"ipv4":"::1","ipv6":"1.2.3.4"}"#, r#"{"ipv4":"1.2.3.4","ipv6":"::1"}"#);
    check(2, r#"{"ipv6":"::ffff:1.2.3.4"}"#, r#"{"ipv4":"1.2.3.4"}"#);
    check(2, r#"{"ipv6":"::1.2.3.4"}"#, r#"{"ipv4":"1.2.3.4"}"#);
    for no_address in ["1.2.3", "localhost", "[::1]", "fe80::1%eth0", ""] {
        check(2, &format!(r#"{{"ipv4":"{no_address}"}}"#), "");
        check(2, &format!(r#"{{"ipv6":"{no_address}"}}"#), "");
    }
    // Bytes are read by their number.
    check(3, r#"{"bytes4":"01020304"}"#, r#"{"ipv4":"1.2.3.4"}"#);
    check(3, r#"{"bytes6":"01020304"}"#, r#"{"ipv4":"1.2.3.4"}"#);
    check(3, r#"{"bytes6":"00000000000000000000000001020304"}"#, r#"{"ipv4":"1.2.3.4"}"#);
    check(3, r#"{"bytes6":"00000000000000000000000000000001"}"#, r#"{"ipv6":"::1"}"#);
    check(3, r#"{"bytes6":"00000000000000000000000000000000"}"#, r#"{"ipv4":"0.0.0.0"}"#);
    check(3, r#"{"bytes6":"00000000000000000000ffff01020304"}"#, r#"{"ipv6":"::ffff:102:304"}"#);
    for no_address in ["", "010203", "0102030405"] {
        check(3, &format!(r#"{{"bytes6":"{no_address}"}}"#), "");
    }
    check(1, r#"{"bytes4":"20010db8000000000000000000000001"}"#, r#"{"ipv6":"2001:db8::1"}"#);
}

#[test]
fn kinds_and_flags() {
    for kind in ["CLIENT", "SERVER", "PRODUCER", "CONSUMER"] {
        let kind = format!(r#""kind":"{kind}""#);
        check(2, &kind, &kind);
    }
    check(2, r#""kind":"CLIENT","shared":true"#, r#""kind":"CLIENT""#);
    check(2, r#""kind":"SERVER","shared":true"#, r#""kind":"SERVER","shared":true"#);
    check(2, r#""shared":false"#, "");
    check(5, r#""debug":true"#, r#""debug":true"#);
    check(5, r#""debug":false"#, "");
}

#[test]
fn annotations_are_sorted_and_stand_once() {
    check(
        5,
        r#""annotations":[{"timestamp":2,"value":"b"},{"timestamp":2,"value":"a"},{"timestamp":1,"value":"Z"},{"timestamp":2,"value":"b"}]"#,
        r#""annotations":[{"timestamp":1,"value":"Z"},{"timestamp":2,"value":"a"},{"timestamp":2,"value":"b"}]"#,
    );
    // One whose time cannot be kept does not take others along.
    check(
        5,
        r#""annotations":[{"timestamp":9223372036854775807,"value":"a"},{"timestamp":1,"value":"b"}]"#,
        r#""annotations":[{"timestamp":1,"value":"b"}]"#,
    );
}

#[test]
fn tags_keep_their_text() {
    let same = |tags: &str| check(5, tags, tags);
    same(r#""tags":{"A":" X ","b":""}"#);
    same(r#""tags":{"":"","http.path":"/api","http.path.morepath":"/api/api","ü😀":"\u2028\\"}"#);
    check(5, r#""tags":{}"#, "");
}

#[test]
fn unknown_fields_are_skipped() {
    check(5, r#""x":[1,"a",{"y":[true,null]}],"tags":{"a":"b"}"#, r#""tags":{"a":"b"}"#);
}

#[test]
fn bytes_that_are_no_utf8_are_replaced() {
    let span = json!({"traceId": "01", "id": "02", "name": "~", "tags": {"~": "~"}});
    for format in FORMATS {
        let mut body = body(format, &span).unwrap();
        for byte in body.iter_mut().filter(|byte| **byte == b'~') {
            *byte = 0xff;
        }
        let expected = "\"traceId\":\"0000000000000001\",\"id\":\"0000000000000002\",\"name\":\"\u{fffd}\",\"tags\":{\"\u{fffd}\":\"\u{fffd}\"}";
        assert_eq!(again(format, &body), expected, "{format:?}");
    }
}

#[test]
fn one_bad_span_takes_the_others_with_it() {
    let good = json!({"traceId": "01", "id": "02"});
    let bad = json!({"traceId": "00", "id": "02"});
    let cause = |v1: bool| if v1 { "traceId == 0" } else { "traceId is all zeros" };
    let json = json!([good, bad]).to_string();
    assert_eq!(again(Format::ZipkinJsonV2, json.as_bytes()), cause(false));
    assert_eq!(again(Format::ZipkinJsonV1, json.as_bytes()), cause(true));
    let proto3 = [proto3(&good).unwrap(), proto3(&bad).unwrap()].concat();
    assert_eq!(again(Format::ZipkinProto3, &proto3), cause(false));
    let of = |protocol, span| thrift(protocol, span).unwrap();
    let two =
        [&[12, 0, 0, 0, 2], &of(Protocol::Binary, &good)[5..], &of(Protocol::Binary, &bad)[5..]];
    assert_eq!(again(Format::ZipkinThrift, &two.concat()), cause(true));
    let two = [&[0x2c], &of(Protocol::Compact, &good)[1..], &of(Protocol::Compact, &bad)[1..]];
    assert_eq!(again(Format::ZipkinThriftCompact, &two.concat()), cause(true));
}

#[test]
fn a_message_may_not_hold_more_spans_than_its_reader_has_room_for() {
    let span = json!({"traceId": "01", "id": "02"});
    for format in FORMATS {
        let body = body(format, &span).unwrap();
        let within = |bytes_max| {
            decode(format, &body, Limits { bytes_max })
                .map(|decoded| decoded.spans.len())
                .map_err(|error| (error.message, error.over_limit))
        };
        let refused = |cause: &str| Err((format!("{cause} reading {}", format.content()), true));
        assert_eq!(within(usize::MAX), Ok(1), "{format:?}");
        let bytes = body.len() - 1;
        let cause = format!("more than {bytes} bytes of spans in one message");
        assert_eq!(within(bytes), refused(&cause));
        let bytes = body.len() + 1;
        let cause = format!("more than {bytes} bytes of spans in one message");
        assert_eq!(within(bytes), refused(&cause));
    }
}

#[test]
fn json_that_is_no_utf8_is_counted_as_the_text_that_it_becomes() {
    let broken = vec![0xff; 100_000];
    for format in [Format::ZipkinJsonV2, Format::ZipkinJsonV1, Format::OtlpJson, Format::JaegerJson]
    {
        let (open, close) = match format {
            Format::OtlpJson | Format::JaegerJson => ("{\"x\":\"", "\"}"),
            _ => ("[{\"traceId\":\"1\",\"id\":\"1\",\"name\":\"", "\"}]"),
        };
        let body = [open.as_bytes(), &broken, close.as_bytes()].concat();
        let fits = |bytes_max| decode(format, &body, Limits { bytes_max }).is_ok();
        assert!(!fits(500_000) && fits(1_000_000), "{format:?}");
    }
}

#[test]
fn nothing_is_no_spans() {
    for format in FORMATS {
        let decoded = decode(format, &[], Limits::default()).unwrap();
        assert!(decoded.spans.is_empty() && decoded.problems.is_empty(), "{format:?}");
    }
}

//! Zipkin's vector, prost for an oracle, and bytes that are no list.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::codec::{Limits, decode, json_v2};
use crate::{Annotation, Timestamp, Value, arbitrary};

/// The messages of `zipkin.proto3`, as prost reads and writes them.
mod theirs {
    use std::collections::BTreeMap;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ListOfSpans {
        #[prost(message, repeated, tag = "1")]
        pub(super) spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) parent_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) id: Vec<u8>,
        #[prost(int32, tag = "4")]
        pub(super) kind: i32,
        #[prost(string, tag = "5")]
        pub(super) name: String,
        #[prost(fixed64, tag = "6")]
        pub(super) timestamp: u64,
        #[prost(uint64, tag = "7")]
        pub(super) duration: u64,
        #[prost(message, optional, tag = "8")]
        pub(super) local_endpoint: Option<Endpoint>,
        #[prost(message, optional, tag = "9")]
        pub(super) remote_endpoint: Option<Endpoint>,
        #[prost(message, repeated, tag = "10")]
        pub(super) annotations: Vec<Annotation>,
        #[prost(btree_map = "string, string", tag = "11")]
        pub(super) tags: BTreeMap<String, String>,
        #[prost(bool, tag = "12")]
        pub(super) debug: bool,
        #[prost(bool, tag = "13")]
        pub(super) shared: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Endpoint {
        #[prost(string, tag = "1")]
        pub(super) service_name: String,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) ipv4: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) ipv6: Vec<u8>,
        #[prost(int32, tag = "4")]
        pub(super) port: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Annotation {
        #[prost(fixed64, tag = "1")]
        pub(super) timestamp: u64,
        #[prost(string, tag = "2")]
        pub(super) value: String,
    }
}

fn read(body: &[u8]) -> Result<Vec<Span>, String> {
    decode(FORMAT, body, Limits::default())
        .map(|decoded| decoded.spans)
        .map_err(|error| error.message)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

const J: &str = "0a330a0800000000000000011a0800000000000000022001316400000000000000380a42030a01614a030a01625a060a0178120179";
const J_JSON: &str = r#"[{"traceId":"0000000000000001","id":"0000000000000002","kind":"CLIENT","timestamp":100,"duration":10,"localEndpoint":{"serviceName":"a"},"remoteEndpoint":{"serviceName":"b"},"tags":{"x":"y"}}]"#;

#[test]
fn the_clients_span_is_read_and_written() {
    let spans = read(&bytes(J)).unwrap();
    assert_eq!(json_v2::encode_list(&spans), J_JSON);
    assert_eq!(encode_list(&spans), bytes(J));
    let two = [bytes(J), bytes(J)].concat();
    assert_eq!(encode_list(&read(&two).unwrap()), two);
}

#[test]
fn what_is_no_list_is_refused() {
    let check = |body: &[u8], cause: &str| {
        assert_eq!(read(body), Err(format!("{cause} reading List<Span> from proto3")), "{body:?}");
    };
    // A length of more than there is.
    let mut long = bytes(J);
    long.truncate(22);
    long[1] = 21;
    check(&long, "Truncated: length 21 > bytes available 20");
    check(
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f],
        "Truncated: length 34359738367 > bytes available 0",
    );
    check(&[0x0a], "Truncated: length 1 > bytes available 0");
    check(&[0x0f], "Malformed: field 1 of wire type 7");
    check(br#"[{"traceId":"1"}]"#, "Truncated: length 116 > bytes available 13");
    // A span without anything is a span without ids.
    check(&[0x0a, 0], "traceId is empty");
    let without = |tag: u8| {
        let ids = [&[0x0a, 1, 1][..], &[0x1a, 1, 2]];
        let ids: Vec<u8> = ids.into_iter().filter(|id| id[0] != tag).flatten().copied().collect();
        [&[0x0a, 3][..], &ids].concat()
    };
    check(&without(0x0a), "traceId is empty");
    check(&without(0x1a), "id is empty");
}

#[test]
fn fields_of_other_types_are_unknown_fields() {
    let mut span = Vec::new();
    for number in 1..=13 {
        span.extend_from_slice(&[number << 3 | 5, 1, 2, 3, 4]);
    }
    span.extend_from_slice(&bytes("0a01011a0102"));
    span.extend_from_slice(&[5 << 3, 1, 6 << 3, 1, 7 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    // A group, which nobody writes any more.
    span.extend_from_slice(&[15 << 3 | 3, 1 << 3, 1, 15 << 3 | 4]);
    let mut body = vec![8, 1];
    put_bytes_field(&mut body, 1, &span);
    put_bytes_field(&mut body, 2, b"unknown");
    let spans = read(&body).unwrap();
    let expected = Span::new(TraceId::new(1).unwrap(), SpanId::new(2).unwrap());
    assert_eq!(spans, [expected]);
}

#[test]
fn the_last_of_a_field_counts_and_messages_are_merged() {
    let mut span = bytes("0a01011a01020a01031a0104");
    for (number, text) in [(1, "a"), (1, "b")] {
        put_message_field(&mut span, 8, |out| put_text_field(out, number, text));
    }
    put_message_field(&mut span, 8, |out| put_varint_field(out, 4, 80));
    for kind in [1, 9] {
        put_varint_field(&mut span, 4, kind);
    }
    let mut body = Vec::new();
    put_bytes_field(&mut body, 1, &span);
    let expected = r#"[{"traceId":"0000000000000003","id":"0000000000000004","localEndpoint":{"serviceName":"b","port":80}}]"#;
    assert_eq!(json_v2::encode_list(&read(&body).unwrap()), expected);
}

#[test]
fn annotations_and_tags_may_lack_half() {
    let mut span = bytes("0a01011a0102");
    put_message_field(&mut span, 10, |out| put_fixed64_field(out, 1, 5));
    put_message_field(&mut span, 10, |out| put_text_field(out, 2, "no time"));
    put_message_field(&mut span, 11, |out| put_text_field(out, 1, "no value"));
    put_message_field(&mut span, 11, |out| put_text_field(out, 2, "no key"));
    let mut body = Vec::new();
    put_bytes_field(&mut body, 1, &span);
    let span = read(&body).unwrap().remove(0);
    assert_eq!((span.annotations.len(), span.dropped_annotations), (0, 0));
    let tags = [("no value".to_owned(), Value::from("")), (String::new(), Value::from("no key"))];
    assert_eq!(span.tags, tags);
}

fn their_endpoint() -> impl Strategy<Value = Option<theirs::Endpoint>> {
    let ip = || prop_oneof![2 => Just(Vec::new()), 1 => vec(any::<u8>(), 4), 1 => vec(0..2u8, 16), 1 => vec(any::<u8>(), 0..20)];
    let port = prop_oneof![4 => 0..=65_535, 1 => -5..70_000i32];
    prop::option::of(("[a-cÄ]{0,2}", ip(), ip(), port).prop_map(
        |(service_name, ipv4, ipv6, port)| theirs::Endpoint { service_name, ipv4, ipv6, port },
    ))
}

fn their_span() -> impl Strategy<Value = theirs::Span> {
    let id = |long: usize| {
        let zeros = 0..=long;
        prop_oneof![
            8 => vec(any::<u8>(), 1..=long),
            1 => zeros.prop_map(|n| vec![0; n]),
            1 => vec(any::<u8>(), 0..long + 3),
        ]
    };
    let us = || prop_oneof![Just(0), 1..100u64, any::<u64>()];
    let annotation =
        (us(), "[ab]?").prop_map(|(timestamp, value)| theirs::Annotation { timestamp, value });
    (
        (id(16), prop_oneof![Just(Vec::new()), id(8)], id(8)),
        (-1..6i32, any::<String>(), us(), us()),
        (their_endpoint(), their_endpoint()),
        vec(annotation, 0..4),
        prop::collection::btree_map("[ab😀]{0,2}", any::<String>(), 0..4),
        (any::<bool>(), any::<bool>()),
    )
        .prop_map(|(ids, said, ends, annotations, tags, flags)| theirs::Span {
            trace_id: ids.0,
            parent_id: ids.1,
            id: ids.2,
            kind: said.0,
            name: said.1,
            timestamp: said.2,
            duration: said.3,
            local_endpoint: ends.0,
            remote_endpoint: ends.1,
            annotations,
            tags,
            debug: flags.0,
            shared: flags.1,
        })
}

/// What a span of theirs is to us, by way of texts. `None` if it has to be refused.
fn ours(theirs: &theirs::Span) -> Option<Span> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let signed = |us: u64| i64::try_from(us).ok().filter(|us| *us > 0);
    let time = |us: u64| Timestamp::from_micros(signed(us)?.unsigned_abs());
    let endpoint = |endpoint: &Option<theirs::Endpoint>| {
        let Some(sent) = endpoint else { return Some(None) };
        let mut endpoint = Endpoint::named(&sent.service_name);
        endpoint.set_ip_bytes(&sent.ipv4);
        endpoint.set_ip_bytes(&sent.ipv6);
        endpoint.port = u16::try_from(sent.port.max(0)).ok()?;
        Some(endpoint.into_option())
    };
    let trace_id = TraceId::parse(&hex(&theirs.trace_id)).ok()?;
    let mut span = Span::new(trace_id, SpanId::parse(&hex(&theirs.id)).ok()?);
    if !theirs.parent_id.is_empty() {
        span.parent_id = SpanId::parse_parent(&hex(&theirs.parent_id)).ok()?;
    }
    let kinds = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];
    span.kind = usize::try_from(theirs.kind - 1).ok().and_then(|i| kinds.get(i).copied());
    span.name = theirs.name.to_lowercase();
    span.timestamp = time(theirs.timestamp);
    let longest = Timestamp::MAX.micros();
    span.duration = signed(theirs.duration)
        .map(|us| std::time::Duration::from_micros(us.unsigned_abs().min(longest)));
    span.local_endpoint = endpoint(&theirs.local_endpoint)?;
    span.remote_endpoint = endpoint(&theirs.remote_endpoint)?;
    for theirs::Annotation { timestamp, value } in &theirs.annotations {
        let tags = Vec::new();
        match (signed(*timestamp), time(*timestamp)) {
            (Some(_), Some(timestamp)) if !value.is_empty() => {
                let value = value.clone();
                span.annotations.push(Annotation { timestamp, value, tags, dropped_tags: 0 });
            }
            (Some(_), None) if !value.is_empty() => span.dropped_annotations += 1,
            _ => {}
        }
    }
    let tags = theirs.tags.iter();
    span.tags = tags.map(|(key, value)| (key.clone(), Value::Str(value.clone()))).collect();
    (span.debug, span.shared) = (theirs.debug, theirs.shared);
    span.normalize();
    Some(span)
}

proptest! {
    #[test]
    fn what_others_write_is_read(spans in vec(their_span(), 0..3)) {
        let expected: Option<Vec<Span>> = spans.iter().map(ours).collect();
        let body = theirs::ListOfSpans { spans }.encode_to_vec();
        prop_assert_eq!(read(&body).ok(), expected);
    }

    #[test]
    fn others_read_what_is_written(spans in vec(arbitrary::span(), 0..3)) {
        let body = encode_list(&spans);
        let theirs = theirs::ListOfSpans::decode(&body[..]).unwrap();
        let read_by_others: Option<Vec<Span>> = theirs.spans.iter().map(ours).collect();
        let once = read(&body).unwrap();
        // Maps of theirs know no order, and neither do those of Zipkin.
        prop_assert_eq!(Some(&once), read_by_others.as_ref());
        prop_assert_eq!(once.len(), spans.len());
        prop_assert_eq!(&read(&encode_list(&once)).unwrap(), &once);
    }

    #[test]
    fn it_says_what_json_says(mut span in arbitrary::span()) {
        span.id = SpanId::new(span.id.as_u64()).unwrap_or(SpanId::from_raw(1));
        let proto3 = read(&encode_list([&span])).unwrap().remove(0);
        let list = json_v2::encode_list([&span]);
        let mut json = json_v2::decode_list(list.as_bytes()).unwrap().remove(0);
        // But for annotations without a text, and the order of tags.
        json.annotations.retain(|annotation| !annotation.value.is_empty());
        json.tags.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(proto3, json);
    }
}

proptest! {
    // Each of them is cut at every byte.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damaged_bodies_are_read_or_refused(
        spans in vec(arbitrary::span(), 1..3),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = encode_list(&spans);
        for length in 0..body.len() {
            let _ = read(&body[..length]);
        }
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let ours_read = read(&body);
        if let Ok(theirs) = theirs::ListOfSpans::decode(&body[..])
            && let Ok(spans) = ours_read
        {
            let expected: Option<Vec<Span>> = theirs.spans.iter().map(ours).collect();
            // Maps of theirs know no order.
            let sorted = |mut spans: Vec<Span>| {
                spans.iter_mut().for_each(|span| span.tags.sort_by(|a, b| a.0.cmp(&b.0)));
                spans
            };
            prop_assert_eq!(sorted(spans), expected.map(sorted).unwrap());
        }
    }
}

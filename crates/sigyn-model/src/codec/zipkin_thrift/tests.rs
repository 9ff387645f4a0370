//! Zipkin's vector, Loki's lists, and bytes that are no list.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::arbitrary;
use crate::codec::{Limits, decode, json_v2};

const FORMATS: [Format; 2] = [Format::ZipkinThrift, Format::ZipkinThriftCompact];

const J: &str = "0c000000010a000100000000000000010b0003000000000a000400000000000000020f00060c000000020a000100000000000000640b00020000000263730c00030800010000000006000200000b0003000000016100000a0001000000000000006e0b00020000000263720c00030800010000000006000200000b0003000000016100000f00080c000000020b00010000000273610b00020000000101080003000000000c00040800010000000006000200000b0003000000016200000b000100000001780b00020000000179080003000000060c00040800010000000006000200000b0003000000016100000a000a00000000000000640a000b000000000000000a00";
const J_JSON: &str = r#"[{"traceId":"0000000000000001","id":"0000000000000002","kind":"CLIENT","timestamp":100,"duration":10,"localEndpoint":{"serviceName":"a"},"remoteEndpoint":{"serviceName":"b"},"tags":{"x":"y"}}]"#;

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn read(format: Format, body: &[u8]) -> Result<Vec<Span>, String> {
    decode(format, body, Limits::default())
        .map(|decoded| decoded.spans)
        .map_err(|error| error.message)
}

#[test]
fn the_clients_span_is_read_and_written() {
    let spans = read(Format::ZipkinThrift, &bytes(J)).unwrap();
    assert_eq!(json_v2::encode_list(&spans), J_JSON);
    assert_eq!(encode_list(&spans), bytes(J));
    // Whatever follows the list is ignored.
    let more = [bytes(J), b"more".to_vec()].concat();
    assert_eq!(read(Format::ZipkinThrift, &more).unwrap(), spans);
}

/// As Loki's clients wrote it: a header of one byte for few spans, of more for many.
#[test]
fn a_compact_list_has_a_short_header_or_a_long_one() {
    let span = read(Format::ZipkinThrift, &bytes(J)).unwrap().remove(0);
    for (count, header) in
        [(1, vec![0x1c]), (14, vec![0xec]), (15, vec![0xfc, 15]), (300, vec![0xfc, 0xac, 2])]
    {
        let spans = vec![span.clone(); count];
        let body = encode_list_compact(&spans);
        assert_eq!(&body[..header.len()], header);
        assert_eq!(read(Format::ZipkinThriftCompact, &body).unwrap(), spans);
    }
    // By hand: ids 1 and 2 in zig-zag, debug in the header of its field, then `lc` on `a`.
    let hand = [
        &[0x1c][..],
        &[0x16, 2],                                     // 1: trace id
        &[0x36, 4],                                     // 4: id
        &[0x49, 0x1c],                                  // 8: one binary annotation
        &[0x18, 2, b'l', b'c', 0x18, 0, 0x15, 12],      //    key, value, type
        &[0x1c, 0x15, 0, 0x14, 0xa0, 1, 0x18, 1, b'a'], //    host: no address, port 80, name
        &[0, 0],
        &[0x11],               // 9: debug
        &[0x16, 20, 0x16, 10], // 10, 11: times
        &[0],
    ];
    let expected = r#"[{"traceId":"0000000000000001","id":"0000000000000002","timestamp":10,"duration":5,"localEndpoint":{"serviceName":"a","port":80},"debug":true}]"#;
    let spans = read(Format::ZipkinThriftCompact, &hand.concat()).unwrap();
    assert_eq!(json_v2::encode_list(&spans), expected);
}

/// Loki's server puts the host that it asked into every place: of a span without hosts it knows the kind,
/// and takes nobody for the one who was called.
#[test]
fn without_hosts_a_span_still_says_its_kind() {
    let span = read(Format::ZipkinThrift, &bytes(J)).unwrap().remove(0);
    let check = |span: &Span, expected: &str| {
        let run = encode_run_compact(std::slice::from_ref(span), Hosts::LeftOut);
        let list = [compact_list_header(1), run].concat();
        let spans = read(Format::ZipkinThriftCompact, &list).unwrap();
        assert_eq!(json_v2::encode_list(&spans), expected);
    };
    let expected = r#"[{"traceId":"0000000000000001","id":"0000000000000002","timestamp":100,"duration":10,"annotations":[{"timestamp":100,"value":"cs"},{"timestamp":110,"value":"cr"}],"tags":{"x":"y"}}]"#;
    check(&span, expected);
    let nobody = Span { local_endpoint: None, remote_endpoint: None, ..span };
    check(&nobody, expected);
}

#[test]
fn what_is_no_list_is_refused() {
    let check = |body: &[u8], cause: &str| {
        let expected = format!("{cause} reading List<Span> from TBinary");
        assert_eq!(read(Format::ZipkinThrift, body), Err(expected), "{body:?}");
    };
    // A list in protobuf.
    let proto3 = bytes(
        "0a330a0800000000000000011a0800000000000000022001316400000000000000380a42030a01614a030a01625a060a0178120179",
    );
    check(&proto3, "traceId == 0");
    check(&[12, 0, 0, 0, 1, 0], "traceId == 0");
    check(&[12, 0, 0, 0, 1, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0], "id == 0");
    check(&[12, 0, 0], "Truncated: length 4 > bytes available 2");
    check(&[12, 0, 0, 0, 1], "Truncated: length 1 > bytes available 0");
    // So many spans are not waited for.
    let mut many = bytes(J);
    many[1] = 0x7f;
    check(&many, "Truncated: length 1 > bytes available 0");
    let compact = read(Format::ZipkinThriftCompact, &[0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    assert_eq!(compact, Err("traceId == 0 reading List<Span> from TCompact".to_owned()));
}

#[test]
fn a_count_of_nothing_is_no_spans() {
    for count in [[0, 0, 0, 0], [0x80, 0, 0, 0], [0xff; 4]] {
        let body = [&[12][..], &count, b"more"].concat();
        assert_eq!(read(Format::ZipkinThrift, &body), Ok(Vec::new()));
    }
    assert_eq!(read(Format::ZipkinThriftCompact, &[0x0c]), Ok(Vec::new()));
}

/// What py_zipkin sends: port and address signed, and the left half of the trace's id.
#[test]
fn numbers_are_without_a_sign() {
    let mut writer = Writer::new(Protocol::Binary);
    writer.list(Type::Struct, 1, |writer| {
        writer.structure(|writer| {
            writer.i64_field(1, -1);
            writer.i64_field(4, i64::MIN);
            writer.i64_field(5, -2);
            writer.list_field(6, Type::Struct, 1, |writer| {
                writer.structure(|writer| {
                    writer.i64_field(1, 5);
                    writer.bytes_field(2, b"x");
                    writer.struct_field(3, |writer| {
                        writer.i32_field(1, -1_062_731_519);
                        writer.i16_field(2, -1);
                    });
                });
            });
            writer.i64_field(12, i64::MIN + 1);
        });
    });
    let spans = read(Format::ZipkinThrift, &writer.into_bytes()).unwrap();
    let expected = r#"[{"traceId":"8000000000000001ffffffffffffffff","parentId":"fffffffffffffffe","id":"8000000000000000","localEndpoint":{"ipv4":"192.168.1.1","port":65535},"annotations":[{"timestamp":5,"value":"x"}]}]"#;
    assert_eq!(json_v2::encode_list(&spans), expected);
}

/// The value of a binary annotation counts where its type is text, and where it is true of a host.
#[test]
fn binary_annotations_of_other_types_are_dropped() {
    for (kind, value, kept) in [
        (0, vec![1], true),
        (0, vec![0], false),
        (0, vec![1, 1], false),
        (0, vec![], false),
        (1, vec![1], false),
        (2, vec![0, 1], false),
        (3, vec![0, 0, 0, 1], false),
        (4, vec![1], false),
        (5, vec![1], false),
        (7, vec![1], false),
    ] {
        let mut writer = Writer::new(Protocol::Binary);
        writer.list(Type::Struct, 1, |writer| {
            writer.structure(|writer| {
                writer.i64_field(1, 1);
                writer.i64_field(4, 2);
                writer.list_field(8, Type::Struct, 1, |writer| {
                    let host = EndpointDraft::named("b".into());
                    write_binary_annotation(writer, b"sa", &value, kind, Some(&host));
                });
            });
        });
        let span = read(Format::ZipkinThrift, &writer.into_bytes()).unwrap().remove(0);
        assert_eq!(span.remote_service_name(), kept.then_some("b"), "{kind} {value:?}");
        assert!(span.tags.is_empty());
    }
}

proptest! {
    // Each of them is cut at every byte.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn runs_behind_one_header_are_a_list(
        spans in vec(arbitrary::span(), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let (first, second) = spans.split_at(cut.index(spans.len() + 1));
        let runs = [first, second].map(|run| encode_run_compact(run, Hosts::Told)).concat();
        let list = [compact_list_header(spans.len()), runs].concat();
        prop_assert_eq!(list, encode_list_compact(&spans));
    }

    #[test]
    fn damaged_bodies_are_read_or_refused(
        spans in vec(arbitrary::span(), 1..3),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for format in FORMATS {
            let mut body = encode(protocol(format), &spans);
            for length in 1..body.len() {
                prop_assert!(read(format, &body[..length]).is_err(), "{} of {:?}", length, body);
            }
            for (at, byte) in &damage {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            let _ = read(format, &body);
        }
    }
}

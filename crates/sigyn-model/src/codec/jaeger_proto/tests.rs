//! What other writers write, and what may be wrong with it.

use proptest::prelude::*;
use prost::Message as _;

use super::writer::encode_spans;
use crate::codec::jaeger::tests::{as_json, spans, told};
use crate::codec::{Decoded, Format, Limits, SpanVec, decode};
use crate::{Kind, Value};

/// The messages as `prost` knows them.
mod oracle {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct PostSpansRequest {
        #[prost(message, optional, tag = "1")]
        pub(super) batch: Option<Batch>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Batch {
        #[prost(message, repeated, tag = "1")]
        pub(super) spans: Vec<Span>,
        #[prost(message, optional, tag = "2")]
        pub(super) process: Option<Process>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) span_id: Vec<u8>,
        #[prost(string, tag = "3")]
        pub(super) operation_name: String,
        #[prost(message, repeated, tag = "4")]
        pub(super) references: Vec<SpanRef>,
        #[prost(uint32, tag = "5")]
        pub(super) flags: u32,
        #[prost(message, optional, tag = "6")]
        pub(super) start_time: Option<Time>,
        #[prost(message, optional, tag = "7")]
        pub(super) duration: Option<Time>,
        #[prost(message, repeated, tag = "8")]
        pub(super) tags: Vec<KeyValue>,
        #[prost(message, repeated, tag = "9")]
        pub(super) logs: Vec<Log>,
        #[prost(message, optional, tag = "10")]
        pub(super) process: Option<Process>,
        #[prost(string, tag = "11")]
        pub(super) process_id: String,
        #[prost(string, repeated, tag = "12")]
        pub(super) warnings: Vec<String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct SpanRef {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) span_id: Vec<u8>,
        #[prost(int32, tag = "3")]
        pub(super) ref_type: i32,
    }

    /// A `Timestamp`, and a `Duration`.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Time {
        #[prost(int64, tag = "1")]
        pub(super) seconds: i64,
        #[prost(int32, tag = "2")]
        pub(super) nanos: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Log {
        #[prost(message, optional, tag = "1")]
        pub(super) timestamp: Option<Time>,
        #[prost(message, repeated, tag = "2")]
        pub(super) fields: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Process {
        #[prost(string, tag = "1")]
        pub(super) service_name: String,
        #[prost(message, repeated, tag = "2")]
        pub(super) tags: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct KeyValue {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(int32, tag = "2")]
        pub(super) v_type: i32,
        #[prost(string, tag = "3")]
        pub(super) v_str: String,
        #[prost(bool, tag = "4")]
        pub(super) v_bool: bool,
        #[prost(int64, tag = "5")]
        pub(super) v_int64: i64,
        #[prost(double, tag = "6")]
        pub(super) v_float64: f64,
        #[prost(bytes = "vec", tag = "7")]
        pub(super) v_binary: Vec<u8>,
    }
}

fn span(id: u8) -> oracle::Span {
    let (mut trace_id, mut span_id) = (vec![0; 16], vec![0; 8]);
    (trace_id[15], span_id[7]) = (0xab, id);
    oracle::Span { trace_id, span_id, ..oracle::Span::default() }
}

fn read_batch(batch: oracle::Batch) -> Decoded {
    let body = oracle::PostSpansRequest { batch: Some(batch) }.encode_to_vec();
    decode(Format::JaegerProto, &body, Limits::default()).unwrap()
}

fn process(name: &str) -> Option<oracle::Process> {
    Some(oracle::Process { service_name: name.to_owned(), tags: Vec::new() })
}

#[test]
fn a_batch_is_read_as_clients_write_it() {
    let tag = |key: &str, v_type| oracle::KeyValue {
        key: key.to_owned(),
        v_type,
        v_str: "text".to_owned(),
        v_bool: true,
        v_int64: -5,
        v_float64: 0.5,
        v_binary: vec![1, 2],
    };
    let mut full = span(1);
    full.tags = vec![tag("s", 0), tag("b", 1), tag("i", 2), tag("f", 3), tag("x", 4), tag("?", 9)];
    let kind = oracle::KeyValue {
        key: "span.kind".to_owned(),
        v_str: "consumer".to_owned(),
        ..oracle::KeyValue::default()
    };
    full.tags.push(kind);
    full.start_time = Some(oracle::Time { seconds: 5, nanos: 7 });
    full.duration = Some(oracle::Time { seconds: 1, nanos: 1 });
    full.warnings.push("old".to_owned());
    let decoded =
        read_batch(oracle::Batch { spans: vec![full, span(2)], process: process("Shop") });
    let span = &decoded.spans[0];
    let expected = [
        ("s", Value::from("text")),
        ("b", Value::Bool(true)),
        ("i", Value::Int(-5)),
        ("f", Value::Double(0.5)),
        ("x", Value::Bytes(vec![1, 2])),
        ("?", Value::from("text")),
    ];
    assert_eq!(span.tags, expected.map(|(key, value)| (key.to_owned(), value)));
    assert_eq!(span.kind, Some(Kind::Consumer));
    assert_eq!(span.timestamp.unwrap().nanos(), 5_000_000_007);
    assert_eq!(span.duration.unwrap().as_nanos(), 1_000_000_001);
    assert_eq!(decoded.spans[1].service_name(), Some("shop"));
    assert_eq!((decoded.spans[1].timestamp, decoded.spans[1].duration), (None, None));
}

#[test]
fn a_spans_own_process_goes_before_that_of_its_batch() {
    let own = |id, name| oracle::Span { process: process(name), ..span(id) };
    let spans = vec![span(1), own(2, "b"), span(3), own(4, "c"), span(0), own(6, "b")];
    let decoded = read_batch(oracle::Batch { spans, process: process("a") });
    let services: Vec<_> = decoded
        .spans
        .iter()
        .map(|span| format!("{}{}", span.id.as_u64(), span.service_name().unwrap()))
        .collect();
    assert_eq!(services, ["1a", "3a", "2b", "4c", "6b"]);
    assert_eq!(decoded.problems, ["span 4: span id is all zeros"]);
}

#[test]
fn a_bad_span_is_a_problem_and_takes_no_other_with_it() {
    let check = |bad: oracle::Span, expected: &str| {
        let spans = vec![span(1), bad, span(2)];
        let decoded = read_batch(oracle::Batch { spans, process: None });
        assert_eq!(decoded.spans.len(), 2, "{expected}");
        assert_eq!(decoded.problems, [format!("span 1: {expected}")]);
    };
    let good = || span(1);
    check(oracle::Span::default(), "trace_id has 0 bytes, not 16");
    check(oracle::Span { trace_id: vec![1; 8], ..good() }, "trace_id has 8 bytes, not 16");
    check(oracle::Span { trace_id: vec![0; 16], ..good() }, "trace id is all zeros");
    check(oracle::Span { span_id: vec![1; 7], ..good() }, "span_id has 7 bytes, not 8");
    check(span(0), "span id is all zeros");
    let fields = vec![oracle::KeyValue::default(); 100_001];
    let logs = vec![oracle::Log { timestamp: None, fields }];
    check(oracle::Span { logs, ..good() }, "more than 100000 values nested in one span");
}

#[test]
fn parts_of_a_message_are_the_message() {
    let part = |seconds, nanos| {
        let mut span = span(1);
        (span.trace_id, span.span_id) = (Vec::new(), Vec::new());
        span.start_time = Some(oracle::Time { seconds, nanos });
        span.encode_to_vec()
    };
    let parts = [span(1).encode_to_vec(), part(5, 0), part(0, 7)].concat();
    let [whole, tagged] = [process("a"), process("b")].map(|mut process| {
        let tag = oracle::KeyValue { key: "k".to_owned(), ..oracle::KeyValue::default() };
        process.as_mut().unwrap().tags.push(tag);
        oracle::Batch { spans: Vec::new(), process }.encode_to_vec()
    });
    let mut batch = [whole, tagged].concat();
    prost::encoding::bytes::encode(1, &parts, &mut batch);
    let mut body = Vec::new();
    prost::encoding::bytes::encode(1, &batch, &mut body);
    let span = decode(Format::JaegerProto, &body, Limits::default()).unwrap().spans.remove(0);
    assert_eq!(span.timestamp.unwrap().nanos(), 5_000_000_007);
    assert_eq!(span.service_name(), Some("b"));
    assert_eq!(span.resource.unwrap().tags.len(), 2);
}

#[test]
fn what_is_no_message_is_refused() {
    let message = |body: &[u8]| {
        decode(Format::JaegerProto, body, Limits::default()).map_err(|error| error.message)
    };
    assert_eq!(
        message(&[0x0a, 5, 1]).unwrap_err(),
        "Truncated: length 5 > bytes available 1 reading PostSpansRequest from protobuf"
    );
    assert_eq!(message(&[]), Ok(Decoded::default()));
}

proptest! {
    #[test]
    fn it_says_what_json_says(spans in spans()) {
        prop_assert_eq!(
            told(Format::JaegerProto, &encode_spans(&spans)),
            told(Format::JaegerJson, as_json(&spans).as_bytes())
        );
    }

    #[test]
    fn others_read_what_is_written_and_write_the_same(spans in spans()) {
        let body = encode_spans(&spans);
        let theirs = oracle::PostSpansRequest::decode(body.as_slice()).unwrap();
        // They leave out a zero whatever its sign.
        let signless = |told: Vec<String>| told.join("\n").replace("-0.0", "0.0");
        prop_assert_eq!(
            signless(told(Format::JaegerProto, &theirs.encode_to_vec())),
            signless(told(Format::JaegerProto, &body))
        );
    }

    #[test]
    fn no_damage_makes_it_panic(
        spans in spans(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        length in any::<prop::sample::Index>(),
    ) {
        let mut body = encode_spans(&spans);
        let mut sink = SpanVec::within(Limits::default(), body.len()).unwrap();
        let _ = super::read(&body[..length.index(body.len())], &mut sink);
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = super::read(&body, &mut sink);
    }
}

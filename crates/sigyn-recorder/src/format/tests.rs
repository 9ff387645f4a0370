//! Each format against the model's own writer, and OTLP's straight way against the one through the model.

use std::time::Duration;

use proptest::prelude::*;
use sigyn_model::{SpanId, TraceId, arbitrary};

use super::*;
use crate::encode::{Coding, Encodings, Pieces};
use crate::{Options, Recorder};

/// Spans of the recorder's own, as a program makes them.
#[derive(Clone, Debug)]
enum Step {
    Name(String),
    Tag(usize, sigyn_model::Value),
    OwnTag(String, sigyn_model::Value),
    Annotate(String),
    Error(String),
    Remote(String, Option<[u8; 4]>),
}

const KEYS: [&str; 6] = ["a", "error", "http.method", "zipkin.debug", "zipkin.tag.x", ""];

fn value() -> impl Strategy<Value = sigyn_model::Value> {
    use sigyn_model::Value;
    prop_oneof![
        ".{0,300}".prop_map(Value::Str),
        any::<i64>().prop_map(Value::Int),
        (-200..40_000_i64).prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        (-1e9..1e9_f64).prop_map(Value::Double),
        prop::collection::vec(any::<u8>(), 0..5).prop_map(Value::Bytes),
        Just(Value::List(vec![Value::Int(7), Value::Str("x".into()), Value::Empty])),
        Just(Value::Map(vec![("k".into(), Value::List(vec![Value::Bool(true)]))])),
        Just(Value::Empty),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => "[A-Za-zÄß /]{0,12}".prop_map(Step::Name),
        4 => (0..KEYS.len(), value()).prop_map(|(key, value)| Step::Tag(key, value)),
        2 => ("[a-e]{0,2}|error|zipkin.shared", value()).prop_map(|(k, v)| Step::OwnTag(k, v)),
        1 => "[a-z]{0,9}".prop_map(Step::Annotate),
        1 => "[a-z]{0,9}".prop_map(Step::Error),
        1 => ("[a-zA-Z]{0,5}", proptest::option::of(any::<[u8; 4]>()))
            .prop_map(|(name, ip)| Step::Remote(name, ip)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The straight way into OTLP says the same as the way through the model.
    #[test]
    fn otlp_says_what_the_spans_say(
        spans in prop::collection::vec(prop::collection::vec(step(), 0..9), 1..5),
    ) {
        let recorder = crate::Recorder::new(crate::Options {
            service_name: "Shop".to_owned(),
            resource: vec![("host.name".to_owned(), sigyn_model::Value::from("h1"))],
            ..crate::Options::default()
        });
        for steps in spans {
            let mut span = recorder.start("GET /", Some(sigyn_model::Kind::Client), None);
            for step in steps {
                match step {
                    Step::Name(name) => span.set_name(&name),
                    Step::Tag(key, value) => span.tag(KEYS[key], &value),
                    Step::OwnTag(key, value) => span.tag(&key, &value),
                    Step::Annotate(text) => span.annotate(&text),
                    Step::Error(text) => span.error(&text),
                    Step::Remote(name, ip) => span.remote_endpoint(sigyn_model::Endpoint {
                        ipv4: ip.map(Into::into),
                        ..sigyn_model::Endpoint::named(&name)
                    }),
                };
            }
        }
        let shared = &recorder.shared;
        let page = shared.ring.read(1, false, None, Duration::ZERO);
        let segment = &page.segments[0];
        let mut expected = super::spans(segment, &shared.own, |_| true);
        let encoded = Format::Otlp.encode(segment, &shared.own).bytes;
        let mut said = sigyn_model::codec::otlp::decode(&encoded).unwrap().spans;
        for spans in [&mut expected, &mut said] {
            // Fields of a message come in any order, and so may tags and spans.
            for span in spans.iter_mut() {
                span.tags.sort_by(|a, b| a.0.cmp(&b.0));
            }
            spans.sort_by_key(|span| span.id);
        }
        prop_assert_eq!(said, expected);
    }
}

/// What a body in this format says.
fn read(format: Format, body: &[u8]) -> Vec<Span> {
    let format = match format {
        Format::Otlp => codec::Format::OtlpProto,
        Format::ZipkinProto3 => codec::Format::ZipkinProto3,
        Format::ZipkinJson => codec::Format::ZipkinJsonV2,
        Format::OtlpJson => codec::Format::OtlpJson,
        Format::Thrift | Format::ThriftWithoutHosts => codec::Format::ZipkinThriftCompact,
    };
    sorted(codec::decode(format, body, codec::Limits::default()).unwrap().spans)
}

/// One list, as the model writes it.
fn list(format: Format, spans: &[Span]) -> Vec<u8> {
    match format {
        Format::Otlp => codec::otlp::encode(spans),
        Format::ZipkinProto3 => zipkin_proto3::encode_list(spans),
        Format::ZipkinJson => json_v2::encode_list(spans).into_bytes(),
        Format::OtlpJson => otlp_json::encode(spans).into_bytes(),
        Format::Thrift => zipkin_thrift::encode_list_compact(spans),
        Format::ThriftWithoutHosts => unreachable!("nobody can ask for it"),
    }
}

/// OTLP puts spans of one resource together, and fields of a message in any order.
fn sorted(mut spans: Vec<Span>) -> Vec<Span> {
    for span in &mut spans {
        span.tags.sort_by(|a, b| a.0.cmp(&b.0));
    }
    spans.sort_by_cached_key(|span| format!("{span:?}"));
    spans
}

/// One that a format has no id for takes no other with it.
#[test]
fn a_span_without_an_id_is_told_where_that_can_be_told() {
    let trace_id = TraceId::new(1).unwrap();
    let spans =
        vec![Span::new(trace_id, SpanId::from_raw(0)), Span::new(trace_id, SpanId::from_raw(7))];
    for (format, expected) in [
        (Format::Otlp, 2),
        (Format::ZipkinProto3, 2),
        (Format::ZipkinJson, 1),
        (Format::OtlpJson, 2),
        (Format::Thrift, 1),
        (Format::ThriftWithoutHosts, 1),
    ] {
        let run = format.run(spans.clone());
        let mut body = format.open(run.spans);
        body.extend_from_slice(&run.bytes);
        body.extend_from_slice(format.close().as_bytes());
        assert_eq!((run.spans, read(format, &body).len()), (expected, expected), "{format:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Many segments in one body say what one list of all their spans says.
    #[test]
    fn a_body_says_what_the_models_list_says(
        segments in prop::collection::vec(prop::collection::vec(arbitrary::span(), 1..4), 1..4),
    ) {
        prop_assume!(segments.iter().flatten().all(|span| span.id.as_u64() != 0));
        let recorder = Recorder::new(Options { service_name: "shop".to_owned(), ..Options::default() });
        let shared = &recorder.shared;
        for spans in &segments {
            spans.iter().for_each(|span| recorder.record(span));
            shared.ring.read(1, false, None, Duration::ZERO);
        }
        let page = shared.ring.read(1, false, None, Duration::ZERO);
        let held: Vec<Span> = page.segments.iter().flat_map(|held| spans(held, &shared.own, |_| true)).collect();
        let encodings = Encodings::new(0);
        for format in Format::OFFERED {
            let mut body = Pieces::new(format, Coding::Identity, None).unwrap();
            for segment in &page.segments {
                body.push(encodings.get(segment, &shared.own, format, Coding::Identity).unwrap());
            }
            let body = body.finish().unwrap();
            prop_assert_eq!(read(format, &body), read(format, &list(format, &held)), "{:?}", format);
        }
    }
}

//! Large traces take time in proportion to their size: a bound so wide that only a blunder breaks it.

use std::time::{Duration, Instant};

use sigyn_model::codec::{Format, Limits, decode, zipkin_proto3};
use sigyn_model::{Endpoint, Kind, Linker, Span, SpanId, SpanTree, Timestamp, TraceId};

const SPANS: u64 = 100_000;

/// All of them parts of one span, each with something of its own to say.
#[test]
fn a_span_of_many_parts_is_put_together() {
    let parts: Vec<Span> = (1..=SPANS)
        .map(|i| {
            let mut part = Span::new(TraceId::new(1).unwrap(), SpanId::from_raw(1));
            part.timestamp = Some(Timestamp::from_nanos(i));
            part.set_tag(i.to_string(), "");
            part
        })
        .collect();
    let start = Instant::now();
    let tree = SpanTree::build(&parts);
    assert_eq!(tree.nodes[0].span.tags.len(), parts.len());
    let took = start.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

fn check(shape: &str, parent: impl Fn(u64) -> u64) {
    let spans: Vec<Span> = (1..=SPANS)
        .map(|id| {
            let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::from_raw(id));
            span.parent_id = SpanId::new(parent(id)).filter(|parent| *parent != span.id);
            span.kind = (id % 3 == 0).then_some(Kind::Server);
            span.timestamp = Some(Timestamp::from_nanos(SPANS - id));
            span.local_endpoint = Endpoint::named("a").into_option();
            span.remote_endpoint = Endpoint::named("b").into_option();
            span
        })
        .collect();
    let start = Instant::now();
    let tree = SpanTree::build(&spans);
    assert_eq!(tree.rows().len(), spans.len(), "{shape}");
    let mut linker = Linker::default();
    linker.put_trace(&spans);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(20), "{shape}: {took:?}");
}

#[test]
fn a_trace_of_many_spans_is_built_whatever_its_shape() {
    check("one root, all others its children", |id| u64::from(id > 1));
    check("a chain", |id| id - 1);
    check("a ring", |id| if id == 1 { SPANS } else { id - 1 });
    check("pairs in a ring", |id| (id ^ 1).max(1));
    check("a binary tree", |id| id / 2);
    check("parents that are not there", |id| id + SPANS);
}

/// What is long is not looked through again for each of its many neighbours.
#[test]
fn long_texts_among_many_short_ones_are_read_once() {
    const LONG: usize = 1_000_000;
    let check = |what: &str, format, body: &[u8]| {
        let start = Instant::now();
        let spans = decode(format, body, Limits::default()).unwrap().spans;
        assert!(!spans.is_empty());
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "{what} in {format:?}: {took:?}");
    };
    let list = |texts: &[String], v1: bool| {
        let annotations: Vec<String> = texts
            .iter()
            .map(|text| match v1 {
                false => format!(r#"{{"timestamp":1,"value":"{text}"}}"#),
                true => format!(
                    r#"{{"timestamp":1,"value":"x","endpoint":{{"serviceName":"{text}"}}}}"#
                ),
            })
            .collect();
        format!(r#"[{{"traceId":"1","id":"2","annotations":[{}]}}]"#, annotations.join(","))
    };
    for long in ["z".repeat(LONG), "Ü".repeat(LONG / 2), "\\u007a".repeat(LONG / 6)] {
        let mut texts: Vec<String> = (0..9_000).map(|i| format!("a{}", i % 30)).collect();
        texts.insert(0, long);
        let hosts = list(&texts, true);
        check("hosts", Format::ZipkinJsonV1, hosts.as_bytes());
        let texts: Vec<String> =
            texts.iter().enumerate().map(|(i, text)| format!("{text}{}", 10_000 - i)).collect();
        let annotations = list(&texts, false);
        check("annotations", Format::ZipkinJsonV1, annotations.as_bytes());
        check("annotations", Format::ZipkinJsonV2, annotations.as_bytes());
        let body = annotations.as_bytes();
        let spans = decode(Format::ZipkinJsonV2, body, Limits::default()).unwrap().spans;
        check("annotations", Format::ZipkinProto3, &zipkin_proto3::encode_list(&spans));
    }
}

//! Large traces take time in proportion to their size: a bound so wide that only a blunder breaks it.

use std::time::{Duration, Instant};

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

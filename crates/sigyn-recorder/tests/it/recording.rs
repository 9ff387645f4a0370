//! Spans as a program makes them.

use std::time::Duration;

use http::HeaderMap;
use sigyn_model::{Endpoint, Kind, Value};
use sigyn_recorder::{Context, Options, propagation};

use crate::target::Target;

fn target() -> Target {
    Target::with(Options {
        service_name: "Shop".to_owned(),
        resource: vec![("host.name".to_owned(), Value::from("h1"))],
        ..Options::default()
    })
}

#[tokio::test]
async fn a_span_says_what_it_was_told() {
    let target = target();
    let mut span = target.recorder.start("GET /Cart", Some(Kind::Server), None);
    target.clock.advance(Duration::from_millis(3));
    span.tag("k", "v").tag("n", 7).tag("k", "w").annotate("half way");
    span.remote_endpoint(Endpoint::named("Browser"));
    target.clock.advance(Duration::from_millis(4));
    let context = span.context().clone();
    span.finish();
    let spans = target.get("/traces", &[]).await.spans();
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!(
        (span.trace_id, Some(span.id), span.parent_id),
        (context.trace_id, context.span_id, None)
    );
    assert_eq!((span.name.as_str(), span.kind), ("get /cart", Some(Kind::Server)));
    assert_eq!(span.service_name(), Some("shop"));
    assert_eq!(span.remote_service_name(), Some("browser"));
    assert_eq!(span.timestamp.unwrap().millis(), 1_700_000_000_000);
    assert_eq!(span.duration, Some(Duration::from_millis(7)));
    assert_eq!(span.annotations[0].value, "half way");
    assert_eq!(span.annotations[0].timestamp.millis(), 1_700_000_000_003);
    let tags = span.zipkin_tags();
    assert_eq!(
        (tags["k"].as_ref(), tags["n"].as_ref(), tags["host.name"].as_ref()),
        ("w", "7", "h1")
    );
}

#[tokio::test]
async fn a_child_is_of_its_parents_trace() {
    let target = target();
    let parent = target.recorder.start("parent", None, None);
    let child = target.recorder.start("child", None, Some(parent.context()));
    assert_eq!(child.context().trace_id, parent.context().trace_id);
    assert_eq!(child.context().parent_id, parent.context().span_id);
    drop((parent, child));
    let spans = target.get("/traces", &[]).await.spans();
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|span| span.duration == Some(Duration::from_nanos(1_000))
        || span.duration == Some(Duration::from_nanos(1))));
}

#[tokio::test]
async fn the_callers_decision_is_obeyed_and_passed_on() {
    let check = |b3: &str, rate: f64, recorded: bool| {
        let target = Target::with(Options { sample_rate: rate, ..Options::default() });
        let mut incoming = HeaderMap::new();
        incoming.insert("b3", b3.parse().unwrap());
        let parent: Option<Context> = target.recorder.extract(&incoming);
        let span = target.recorder.start("work", None, parent.as_ref());
        assert_eq!(span.is_sampled(), recorded, "{b3}");
        let mut outgoing = HeaderMap::new();
        propagation::inject(span.context(), &mut outgoing);
        let b3_out = outgoing["b3"].to_str().unwrap().to_owned();
        let state = if !recorded {
            "0"
        } else if b3.contains('d') {
            "d"
        } else {
            "1"
        };
        assert_eq!(b3_out.split('-').nth(2), Some(state), "{b3} {b3_out}");
        drop(span);
        let stats = target.recorder.stats();
        assert_eq!(
            (stats.finished, stats.activity.unsampled),
            (u64::from(recorded), u64::from(!recorded))
        );
    };
    check("0000000000000001-0000000000000002-1", 0.0, true);
    check("0000000000000001-0000000000000002-d", 0.0, true);
    check("0000000000000001-0000000000000002-0", 1.0, false);
    check("0000000000000001-0000000000000002", 1.0, true);
    check("0000000000000001-0000000000000002", 0.0, false);
    check("0", 1.0, false);
    check("1", 0.0, true);
    check("d", 0.0, true);
}

#[tokio::test]
async fn a_decision_without_ids_starts_a_root() {
    let target = target();
    let mut incoming = HeaderMap::new();
    incoming.insert("b3", "d".parse().unwrap());
    let parent = target.recorder.extract(&incoming);
    drop(target.recorder.start("work", None, parent.as_ref()));
    let spans = target.get("/traces", &[]).await.spans();
    assert_eq!((spans[0].parent_id, spans[0].debug), (None, true));
}

#[tokio::test]
async fn about_the_wanted_share_of_traces_is_sampled() {
    let target = Target::with(Options { sample_rate: 0.25, ..Options::default() });
    for _ in 0..4_000 {
        drop(target.recorder.start("work", None, None));
    }
    let stats = target.recorder.stats();
    assert!((800..1_200).contains(&stats.finished), "{stats:?}");
    assert_eq!(stats.finished + stats.activity.unsampled, 4_000);
}

#[tokio::test]
async fn whatever_is_cut_is_counted() {
    let target = Target::with(Options { value_bytes_max: 10, ..Options::default() });
    let mut span = target.recorder.start("work", None, None);
    span.tag("k", &"x".repeat(100));
    span.tag("list", &Value::List(vec![Value::Int(1); 100]));
    drop(span);
    let activity = target.recorder.stats().activity;
    assert_eq!((activity.values_cut, activity.tags_dropped), (1, 1));
    let spans = target.get("/traces", &[]).await.spans();
    assert_eq!(spans[0].zipkin_tags()["k"], "x".repeat(10));
}

#[test]
fn contexts_that_cannot_be_read_are_counted() {
    let target = target();
    let mut incoming = HeaderMap::new();
    incoming.insert("b3", "x".parse().unwrap());
    incoming.insert("traceparent", "y".parse().unwrap());
    assert_eq!(target.recorder.extract(&incoming), None);
    assert_eq!(target.recorder.stats().activity.invalid_contexts, 2);
}

#[test]
fn a_recorder_with_no_memory_counts_every_span() {
    let target = Target::sized(0);
    target.record(1..=10);
    let stats = target.recorder.stats();
    assert_eq!((stats.finished, stats.dropped.oversize, stats.bytes), (10, 10, 0));
}

#[test]
fn memory_stays_within_its_bound() {
    let target = Target::sized(64 * 1024);
    for id in 1..=10_000 {
        target.record([id]);
        let stats = target.recorder.stats();
        assert!(stats.bytes <= 64 * 1024);
        assert_eq!(stats.finished, stats.buffered + stats.dropped.evicted);
    }
}

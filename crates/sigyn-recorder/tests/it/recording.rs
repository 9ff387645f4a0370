//! Spans as a program makes them.

use std::time::Duration;

use http::HeaderMap;
use sigyn_model::{Endpoint, Kind, Span, SpanId, StatusCode, TraceId, Value};
use sigyn_recorder::{Context, Options, TagRules, Text, propagation};

use crate::target::{ANY, OTLP, Target};

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
    let spans = target.get("/traces", &[ANY]).await.spans();
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
    let spans = target.get("/traces", &[ANY]).await.spans();
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
    let spans = target.get("/traces", &[ANY]).await.spans();
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
    let spans = target.get("/traces", &[ANY]).await.spans();
    assert_eq!(spans[0].zipkin_tags()["k"], "x".repeat(10));
}

#[tokio::test]
async fn rules_keep_tags_out_and_values_unread() {
    let rules = |words: &[&str]| words.iter().copied().map(str::to_owned).collect();
    let tag_rules =
        TagRules { deny: rules(&["user.*"]), redact: rules(&["card", "n"]), ..TagRules::default() };
    let target = Target::with(Options { tag_rules, ..Options::default() });
    let key = String::from("user.name");
    let mut span = target.recorder.start("pay", None, None);
    span.tag("Card", "1234 HUSH").tag("n", 7).tag("user.id", "HUSH").tag(&key, "HUSH").tag("ok", 1);
    let inner =
        [("card".into(), "HUSH".into()), ("user.id".into(), "HUSH".into()), ("a".into(), 1.into())];
    span.annotate_with("charged", inner);
    span.finish();
    let mut whole = Span::new(TraceId::new(1).unwrap(), SpanId::new(1).unwrap());
    whole.tags = vec![("card".into(), "HUSH".into()), ("user.id".into(), "HUSH".into())];
    target.recorder.record(&whole);
    let answer = target.get("/traces", &[ANY]).await;
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(!body.contains("HUSH") && !body.contains("user."), "{body}");
    let answer = target.get("/traces", &[&format!("Accept: {OTLP}")]).await;
    let spans = answer.spans();
    let tags = |tags: &sigyn_model::Tags| {
        tags.iter().map(|(key, value)| format!("{key}={}", value.text())).collect::<Vec<_>>()
    };
    assert_eq!(tags(&spans[0].tags), ["Card=REDACTED", "n=REDACTED", "ok=1"]);
    assert_eq!(tags(&spans[0].annotations[0].tags), ["card=REDACTED", "a=1"]);
    assert_eq!(tags(&spans[1].tags), ["card=REDACTED"]);
    assert_eq!(target.recorder.stats().activity.tags_denied, 4);
    assert_eq!((spans[0].dropped_tags, target.recorder.stats().activity.tags_dropped), (0, 0));
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

#[tokio::test]
async fn a_root_may_turn_out_to_continue_a_trace() {
    let check = |b3: Option<&str>, rate: f64, recorded: bool| {
        let target = Target::with(Options { sample_rate: rate, ..Options::default() });
        let mut span = target.recorder.start_undecided("work", None);
        span.tag("k", 1).error("no reason");
        assert!(span.is_sampled());
        if let Some(b3) = b3 {
            let mut incoming = HeaderMap::new();
            incoming.insert("b3", b3.parse().unwrap());
            let caller = target.recorder.extract(&incoming).unwrap();
            span.set_parent(&caller);
            assert_eq!(span.context().trace_id, caller.trace_id);
            assert_eq!(span.context().parent_id, caller.span_id);
        }
        let context = span.decide().clone();
        assert_eq!((context.sampled, span.is_sampled()), (Some(recorded), recorded), "{b3:?}");
        drop(span);
        let stats = target.recorder.stats();
        assert_eq!(
            (stats.finished, stats.activity.unsampled),
            (u64::from(recorded), u64::from(!recorded)),
            "{b3:?}"
        );
        // Nothing is left of it for the next span.
        drop(target.recorder.start(
            "next",
            None,
            Some(&Context { sampled: Some(true), ..context }),
        ));
        target
    };
    check(None, 0.0, false);
    check(Some("0000000000000001-0000000000000002"), 0.0, false);
    check(Some("0000000000000001-0000000000000002-0"), 1.0, false);
    for b3 in
        [Some("0000000000000001-0000000000000002-d"), Some("0000000000000001-0000000000000002-1")]
    {
        let spans = check(b3, 0.0, true).get("/traces", &[ANY]).await.spans();
        let span = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
        assert!(span("work").is_error() && !span("next").is_error());
        assert!(span("next").tags.is_empty(), "{:?}", span("next"));
    }
    let target = check(None, 0.0, false);
    let spans = target.get("/traces", &[ANY]).await.spans();
    assert!(spans.len() == 1 && !spans[0].is_error() && spans[0].status.message.is_empty());
}

#[tokio::test]
async fn a_root_that_nobody_decides_about_is_decided_when_it_finishes() {
    for (rate, finished) in [(1.0, 1), (0.0, 0)] {
        let target = Target::with(Options { sample_rate: rate, ..Options::default() });
        drop(target.recorder.start_undecided("work", None));
        let stats = target.recorder.stats();
        assert_eq!((stats.finished, stats.activity.unsampled), (finished, 1 - finished));
    }
}

#[tokio::test]
async fn a_span_says_later_what_it_learns_later() {
    let target = target();
    let other = target.recorder.start("other", None, None);
    let mut span = target.recorder.start("work", None, None);
    span.set_kind(Some(Kind::Consumer)).link(other.context());
    span.error("not yet").set_status(StatusCode::Ok);
    span.annotate_with("said", [("n".into(), 7.into()), ("text".into(), "x".into())]);
    let context = other.context().clone();
    drop(span);
    let accept = format!("accept: {OTLP}");
    let spans = target.get("/traces", &[&accept]).await.spans();
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((span.kind, span.status.code), (Some(Kind::Consumer), StatusCode::Ok));
    assert_eq!(span.status.message, "");
    let [link] = span.links.as_slice() else { panic!("{span:?}") };
    assert_eq!(
        (link.trace_id, Some(link.span_id), link.flags),
        (context.trace_id, context.span_id, 1)
    );
    let said = [("n".to_owned(), Value::Int(7)), ("text".to_owned(), Value::from("x"))];
    assert_eq!(span.annotations[0].tags, said);
}

struct Panics;

impl std::fmt::Display for Panics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("half of")?;
        panic!("cannot be written")
    }
}

#[tokio::test]
async fn a_value_that_panics_leaves_nothing_of_itself() {
    let target = target();
    let mut span = target.recorder.start("work", None, None);
    span.tag("before", 1);
    let panics = |what: &mut dyn FnMut()| {
        let what = std::panic::AssertUnwindSafe(what);
        assert!(std::panic::catch_unwind(what).is_err());
    };
    panics(&mut || {
        span.tag("value", format_args!("{Panics}"));
    });
    panics(&mut || {
        span.tag(format_args!("{Panics}"), 1);
    });
    panics(&mut || {
        span.annotate(format_args!("{Panics}"));
    });
    panics(&mut || {
        span.annotate_with("said", [(Text::from("value"), format_args!("{Panics}").into())]);
    });
    span.tag("after", 2).error("failed");
    span.finish();
    let spans = target.get("/traces", &[ANY]).await.spans();
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    let tags = span.zipkin_tags();
    let tags: Vec<_> = tags.iter().map(|(key, value)| (*key, value.as_ref())).collect();
    let expected = [("after", "2"), ("before", "1"), ("error", "failed"), ("host.name", "h1")];
    assert_eq!(tags[..4], expected);
    assert!(span.annotations.is_empty());
}

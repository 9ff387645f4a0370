//! Traces that come from other processes and go on to others, and those that are not sampled.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use http::HeaderMap;
use sigyn_model::SpanId;
use sigyn_recorder::{Context, Options, propagation};
use sigyn_tracing::SpanExt as _;
use tracing::field::Empty;
use tracing::{Span, debug_span, info, info_span};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;

use crate::traced::Traced;

/// A caller's context, as it arrives.
fn caller(decision: &str) -> Context {
    let mut headers = HeaderMap::new();
    let b3 = format!("000000000000000000000000000000ab-00000000000000cd{decision}");
    headers.insert("b3", b3.parse().unwrap());
    propagation::extract(&headers).unwrap()
}

fn never() -> Options {
    Options { sample_rate: 0.0, ..Options::default() }
}

#[test]
fn a_callers_trace_goes_on() {
    let traced = Traced::new();
    traced.run(|| {
        let span = info_span!("request", early = 1, late = Empty);
        assert!(span.set_parent(&caller("-1")));
        span.record("late", 2);
        span.in_scope(|| drop(info_span!("inner")));
    });
    let (span, inner) = (traced.named("request"), traced.named("inner"));
    assert_eq!(span.trace_id, caller("").trace_id);
    assert_eq!(span.parent_id, SpanId::new(0xcd));
    assert_eq!(span.tags.len(), 2);
    assert_eq!((inner.trace_id, inner.parent_id), (span.trace_id, Some(span.id)));
}

#[test]
fn the_context_that_is_passed_on_is_the_spans_own() {
    let traced = Traced::new();
    let (outer, inner) = traced.run(|| {
        let _outer = info_span!("outer").entered();
        let outer = Span::current().context().unwrap();
        let inner = info_span!("inner").in_scope(|| Span::current().context().unwrap());
        (outer, inner)
    });
    assert_eq!((outer.sampled, inner.sampled), (Some(true), Some(true)));
    let (outer_span, inner_span) = (traced.named("outer"), traced.named("inner"));
    assert_eq!((outer.trace_id, outer.span_id), (outer_span.trace_id, Some(outer_span.id)));
    assert_eq!((inner.trace_id, inner.span_id), (inner_span.trace_id, Some(inner_span.id)));
    assert_eq!(inner.parent_id, outer.span_id);
}

#[test]
fn it_is_too_late_once_somebody_knows_the_context() {
    let traced = Traced::new();
    traced.run(|| {
        let span = info_span!("asked");
        let context = span.context();
        assert!(!span.set_parent(&caller("-1")));
        assert_eq!(span.context(), context);
        let span = info_span!("parent");
        drop(info_span!(parent: &span, "child"));
        assert!(!span.set_parent(&caller("-1")));
        let span = info_span!("followed");
        info_span!("follower").follows_from(&span);
        assert!(!span.set_parent(&caller("-1")));
    });
    assert!(traced.spans().iter().all(|span| span.trace_id != caller("").trace_id));
    assert_eq!(traced.spans().len(), 5);
}

#[test]
fn a_child_may_continue_a_trace_that_is_not_its_parents() {
    let traced = Traced::new();
    traced.run(|| {
        let _outer = info_span!("loop").entered();
        let message = info_span!("message", n = 1);
        assert!(message.set_parent(&caller("-1")));
        message.in_scope(|| drop(info_span!("inner")));
    });
    let message = traced.named("message");
    assert_eq!((message.trace_id, message.parent_id), (caller("").trace_id, SpanId::new(0xcd)));
    assert_eq!(message.tags.len(), 1);
    assert_eq!(traced.named("inner").trace_id, message.trace_id);
    assert_ne!(traced.named("loop").trace_id, message.trace_id);
}

#[test]
fn callers_decide_whether_their_traces_are_recorded() {
    let check = |decision: &str, options: Options, recorded: bool| {
        let traced = Traced::with(options, |layer| layer);
        traced.run(|| {
            let span = info_span!("request", n = 1).entered();
            info!("before");
            span.set_parent(&caller(decision));
            info!("after");
            let inner = info_span!("inner").entered();
            let sampled = inner.context().unwrap().sampled;
            assert_eq!(sampled, Some(recorded), "{decision}");
        });
        let spans = traced.spans();
        assert_eq!(spans.len(), if recorded { 2 } else { 0 }, "{decision}");
        if recorded {
            let request = traced.named("request");
            assert_eq!((request.tags.len(), request.annotations.len()), (1, 2), "{decision}");
        }
        let stats = traced.recorder.stats();
        assert_eq!(stats.finished + stats.activity.unsampled, 2, "{decision}: {stats:?}");
    };
    check("-1", never(), true);
    check("-d", never(), true);
    check("-0", Options::default(), false);
    check("", Options::default(), true);
    check("", never(), false);
}

/// Counts how often it is written out.
struct Costly<'a>(&'a AtomicU32);

impl fmt::Debug for Costly<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fetch_add(1, Ordering::Relaxed);
        f.write_str("costly")
    }
}

#[test]
fn what_is_not_sampled_is_not_even_written_out() {
    let traced = Traced::with(never(), |layer| layer);
    let times = AtomicU32::new(0);
    traced.run(|| {
        let root = info_span!("root").entered();
        let inner = info_span!("inner", costly = ?Costly(&times), later = Empty).entered();
        inner.record("later", tracing::field::debug(Costly(&times)));
        info!(costly = ?Costly(&times), "{:?}", Costly(&times));
        drop(info_span!("innermost", costly = ?Costly(&times)));
        drop(inner);
        info!(costly = ?Costly(&times));
        drop(root);
    });
    assert_eq!(times.into_inner(), 0);
    assert!(traced.spans().is_empty());
    let stats = traced.recorder.stats();
    assert_eq!((stats.finished, stats.activity.unsampled), (0, 3));
}

#[test]
fn a_span_below_one_that_is_not_sampled_passes_on_its_context() {
    let traced = Traced::with(never(), |layer| layer);
    traced.run(|| {
        let root = info_span!("root").entered();
        let inner = info_span!("inner").entered();
        let context = inner.context().unwrap();
        assert_eq!(context.sampled, Some(false));
        assert_eq!(Some(context), root.context());
        assert!(!inner.set_parent(&caller("-1")), "it has been told already");
        let parent = info_span!("parent").entered();
        drop(info_span!("child"));
        assert!(!parent.set_parent(&caller("-1")), "its child has its context");
    });
}

#[test]
fn a_sampled_message_is_recorded_in_a_loop_that_is_not() {
    let traced = Traced::with(never(), |layer| layer.with_filter(LevelFilter::INFO));
    traced.run(|| {
        let _outer = info_span!("loop").entered();
        let message = info_span!("message").entered();
        assert!(message.set_parent(&caller("-1")));
        drop(info_span!("inner"));
        assert!(!message.set_parent(&caller("-1")));
    });
    let message = traced.named("message");
    assert_eq!((message.trace_id, message.parent_id), (caller("").trace_id, SpanId::new(0xcd)));
    assert_eq!(traced.named("inner").parent_id, Some(message.id));
    assert_eq!(traced.spans().len(), 2);
}

#[test]
fn a_share_of_traces_is_sampled_whole() {
    let options = Options { sample_rate: 0.25, ..Options::default() };
    let traced = Traced::with(options, |layer| layer);
    traced.run(|| {
        for _ in 0..400 {
            let _root = info_span!("root").entered();
            drop(info_span!("inner"));
        }
    });
    let spans = traced.spans();
    let roots = spans.iter().filter(|span| span.name == "root");
    assert!((40..200).contains(&roots.clone().count()));
    assert_eq!(roots.clone().count() * 2, spans.len());
    for root in roots {
        let of_it = spans.iter().filter(|span| span.trace_id == root.trace_id);
        assert_eq!(of_it.count(), 2);
    }
}

#[test]
fn links_lead_to_any_context() {
    let traced = Traced::new();
    traced.run(|| {
        let span = info_span!("batch");
        span.link(&caller("-1"));
        span.link(&caller("-0"));
        span.link(&Context { span_id: None, ..caller("") });
    });
    let links = traced.span().links;
    let expected = [(caller("").trace_id, 1), (caller("").trace_id, 0)];
    assert_eq!(links.iter().map(|link| (link.trace_id, link.flags)).collect::<Vec<_>>(), expected);
}

#[test]
fn where_nothing_is_recorded_there_is_no_context() {
    let nothing = |span: Span| {
        assert_eq!(span.context(), None);
        assert!(!span.set_parent(&caller("-1")));
        span.link(&caller("-1"));
    };
    nothing(Span::none());
    tracing::subscriber::with_default(tracing_subscriber::registry(), || {
        nothing(info_span!("no layer"));
    });
}

#[test]
fn a_span_that_a_filter_leaves_out_passes_on_the_context_above() {
    let traced = Traced::with(Options::default(), |layer| {
        let other = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
        layer.with_filter(LevelFilter::INFO).and_then(other)
    });
    traced.run(|| {
        let hidden = debug_span!("left out");
        assert_eq!(hidden.context(), None);
        assert!(!hidden.set_parent(&caller("-1")));
        let outer = info_span!("outer").entered();
        let hidden = debug_span!("left out").entered();
        assert!(hidden.id().is_some());
        assert_eq!(hidden.context(), outer.context());
        assert!(!hidden.set_parent(&caller("-1")));
        drop(info_span!("inner"));
    });
    assert_eq!(traced.named("inner").parent_id, Some(traced.named("outer").id));
    assert_eq!(traced.spans().len(), 2);
}

#[test]
fn the_last_caller_counts() {
    let traced = Traced::with(never(), |layer| layer);
    traced.run(|| {
        let span = info_span!("request");
        assert!(span.set_parent(&caller("-0")));
        assert!(span.set_parent(&caller("-1")));
        span.in_scope(|| info!("said"));
    });
    let span = traced.span();
    assert_eq!((span.trace_id, span.annotations.len()), (caller("").trace_id, 1));
}

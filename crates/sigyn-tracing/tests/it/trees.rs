//! Which span is whose child, and when it ends.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sigyn_model::Span;
use sigyn_recorder::Options;
use tracing::{Level, debug, debug_span, info, info_span};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;

use crate::traced::Traced;

#[track_caller]
fn assert_child(child: &Span, parent: &Span) {
    assert_eq!((child.parent_id, child.trace_id), (Some(parent.id), parent.trace_id));
}

#[test]
fn a_span_is_the_child_of_the_one_it_is_opened_in() {
    let traced = Traced::new();
    traced.run(|| {
        let outer = info_span!("outer");
        outer.in_scope(|| {
            info_span!("inner").in_scope(|| drop(info_span!("innermost")));
            drop(info_span!(parent: None, "apart"));
        });
        drop(info_span!(parent: &outer, "given"));
        drop(info_span!("beside"));
    });
    let outer = traced.named("outer");
    assert_child(&traced.named("inner"), &outer);
    assert_child(&traced.named("innermost"), &traced.named("inner"));
    assert_child(&traced.named("given"), &outer);
    for name in ["apart", "beside"] {
        let root = traced.named(name);
        assert_eq!(root.parent_id, None);
        assert_ne!(root.trace_id, outer.trace_id);
    }
}

#[test]
fn a_span_ends_with_its_last_handle_on_whichever_thread() {
    let traced = Traced::new();
    let span = traced.run(|| info_span!("work"));
    let other = span.clone();
    drop(span);
    assert!(traced.spans().is_empty());
    let elsewhere = traced.clone();
    std::thread::spawn(move || {
        elsewhere.run(|| {
            elsewhere.clock.advance(Duration::from_millis(5));
            other.in_scope(|| drop(info_span!("inner")));
            drop(other);
        });
    })
    .join()
    .unwrap();
    assert_eq!(traced.named("work").duration, Some(Duration::from_millis(5)));
    assert_child(&traced.named("inner"), &traced.named("work"));
}

/// Entered at each poll, and left in between.
#[test]
fn a_future_is_one_span_however_often_it_is_polled() {
    let traced = Traced::new();
    traced.run(|| {
        use tracing::Instrument as _;
        let mut polls = 0;
        let work = std::future::poll_fn(|task| {
            polls += 1;
            drop(debug_span!("inner"));
            if polls == 4 {
                return Poll::Ready(());
            }
            task.waker().wake_by_ref();
            Poll::Pending
        });
        let mut work = pin!(work.instrument(info_span!("work")));
        let mut task = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(work.as_mut().poll(&mut task).is_pending());
            drop(info_span!("beside"));
        }
        assert!(work.as_mut().poll(&mut task).is_ready());
    });
    let spans = traced.spans();
    let of = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    assert_eq!((of("work").count(), of("inner").count(), of("beside").count()), (1, 4, 3));
    of("inner").for_each(|inner| assert_child(inner, of("work").next().unwrap()));
    of("beside").for_each(|beside| assert_eq!(beside.parent_id, None));
}

#[test]
fn a_span_lasts_as_long_as_its_children() {
    let traced = Traced::new();
    traced.run(|| {
        let outer = info_span!("outer");
        let inner = info_span!(parent: &outer, "inner");
        drop(outer);
        assert!(traced.spans().is_empty());
        traced.clock.advance(Duration::from_millis(2));
        drop(inner);
    });
    assert_eq!(traced.named("outer").duration, Some(Duration::from_millis(2)));
}

#[test]
fn a_span_that_never_closes_is_never_recorded() {
    let traced = Traced::new();
    traced.run(|| {
        let never = info_span!("never");
        never.in_scope(|| drop(info_span!("inner")));
        std::mem::forget(never);
    });
    let inner = traced.span();
    assert_eq!(inner.name, "inner");
    assert!(inner.parent_id.is_some());
    assert_eq!(traced.recorder.stats().finished, 1);
}

#[test]
fn what_a_span_follows_is_linked() {
    let traced = Traced::new();
    traced.run(|| {
        let first = info_span!("first");
        let second = info_span!("second");
        second.follows_from(&first);
        second.follows_from(first.id());
        info_span!("third").follows_from(&second);
    });
    let (first, second) = (traced.named("first"), traced.named("second"));
    assert_ne!(first.trace_id, second.trace_id);
    let links = |span: &Span| {
        span.links.iter().map(|link| (link.trace_id, link.span_id, link.flags)).collect::<Vec<_>>()
    };
    assert_eq!(links(&second), [(first.trace_id, first.id, 1); 2]);
    assert_eq!(links(&traced.named("third")), [(second.trace_id, second.id, 1)]);
    assert!(first.links.is_empty());
}

#[test]
fn what_a_filter_leaves_out_is_not_there() {
    let traced = Traced::with(Options::default(), |layer| layer.with_filter(LevelFilter::INFO));
    traced.run(|| {
        let _outer = info_span!("outer").entered();
        let _hidden = debug_span!("hidden").entered();
        let inner = info_span!("inner").entered();
        debug!("hidden");
        drop(inner);
        info!("said in the hidden one");
    });
    let (outer, inner) = (traced.named("outer"), traced.named("inner"));
    assert_eq!(traced.spans().len(), 2);
    assert_child(&inner, &outer);
    assert!(inner.annotations.is_empty());
    assert_eq!(outer.annotations.len(), 1);
}

#[test]
fn each_layer_has_a_filter_of_its_own() {
    use tracing_subscriber::prelude::*;
    let traced = Traced::new();
    let coarse = traced.recorder.clone();
    let fine =
        tracing_subscriber::fmt::layer().with_writer(std::io::sink).with_filter(LevelFilter::TRACE);
    let layer = sigyn_tracing::layer(coarse).with_filter(LevelFilter::INFO);
    let subscriber = tracing_subscriber::registry().with(fine).with(layer);
    tracing::subscriber::with_default(subscriber, || {
        let span = tracing::span!(Level::INFO, "work").entered();
        debug_span!("hidden").in_scope(|| tracing::trace!("hidden"));
        drop(span);
    });
    assert_eq!((traced.span().name.as_str(), traced.span().annotations.len()), ("work", 0));
}

//! Programs that do what nobody expects.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sigyn_recorder::{Options, Recorder};
use sigyn_tracing::SpanExt as _;
use tracing::field::{Empty, debug};
use tracing::{info, info_span};
use tracing_subscriber::prelude::*;

use crate::traced::Traced;

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("cannot be written")
    }
}

#[test]
fn a_value_that_panics_spoils_no_span() {
    let traced = Traced::new();
    let panics = |what: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(what)).is_err());
    traced.run(|| {
        let span = info_span!("work", first = 1, late = Empty).entered();
        panics(&|| info!(value = ?Panics));
        panics(&|| {
            span.record("late", debug(Panics));
        });
        span.record("late", 2);
        info!("goes on");
    });
    let span = traced.named("work");
    assert_eq!((span.tags.len(), span.annotations.len()), (2, 1));
}

#[test]
fn spans_that_unwinding_closes_are_recorded() {
    let traced = Traced::new();
    let work = || {
        traced.run(|| {
            let _outer = info_span!("outer").entered();
            let _inner = info_span!("inner").entered();
            panic!("as it goes");
        });
    };
    assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
    assert_eq!(traced.named("inner").parent_id, Some(traced.named("outer").id));
}

#[test]
fn threads_may_share_a_span() {
    const THREADS: usize = 4;
    const EACH: usize = 200;
    let options = Options { span_bytes_max: 256 * 1024, ..Options::default() };
    let traced = Traced::with(options, |layer| layer);
    let span = traced.run(|| info_span!("shared", late = Empty));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (traced, span) = (&traced, span.clone());
            scope.spawn(move || {
                traced.run(|| {
                    let _span = span.entered();
                    for n in 0..EACH {
                        info!("{thread} {n}");
                        drop(info_span!("inner"));
                    }
                });
            });
        }
    });
    traced.run(|| drop(span));
    let spans = traced.spans();
    let shared = traced.named("shared");
    assert_eq!(shared.annotations.len(), THREADS * EACH);
    let inner = spans.iter().filter(|span| span.parent_id == Some(shared.id));
    assert_eq!((inner.count(), spans.len()), (THREADS * EACH, THREADS * EACH + 1));
}

#[test]
fn a_second_layer_does_nothing() {
    let first = Traced::new();
    let second = Recorder::new(Options::default());
    let subscriber = tracing_subscriber::registry()
        .with(sigyn_tracing::layer(first.recorder.clone()))
        .with(sigyn_tracing::layer(second.clone()));
    tracing::subscriber::with_default(subscriber, || {
        let span = info_span!("work", late = Empty).entered();
        span.record("late", 1);
        info!("said");
        assert!(span.context().is_some());
    });
    let span = first.span();
    assert_eq!((span.tags.len(), span.annotations.len()), (1, 1));
    assert_eq!(second.stats().finished, 0);
}

#[test]
fn a_recorder_that_has_shut_down_loses_spans_and_says_so() {
    let traced = Traced::new();
    traced.run(|| {
        let span = info_span!("late");
        traced.recorder.shut_down();
        drop(span);
    });
    assert_eq!(traced.recorder.stats().finished, 1);
}

#[test]
fn a_small_log_holds_what_fits_and_counts_the_rest() {
    let traced =
        Traced::with(Options { hot_bytes_max: 64 * 1024, ..Options::default() }, |layer| layer);
    traced.run(|| {
        for n in 0..5_000 {
            let _outer = info_span!("outer", n).entered();
            info_span!("inner").in_scope(|| info!("said"));
        }
    });
    let stats = traced.recorder.stats();
    assert!(stats.bytes <= 64 * 1024);
    assert_eq!(stats.finished, 10_000);
    assert_eq!(stats.finished, stats.buffered + stats.dropped.evicted);
}

/// Spans of two subscribers have the same numbers.
#[test]
fn a_clone_of_the_layer_is_for_another_subscriber() {
    let recorder = Recorder::new(Options::default());
    let layer = sigyn_tracing::layer(recorder.clone());
    let [a, b] = [layer.clone(), layer]
        .map(|layer| tracing::Dispatch::new(tracing_subscriber::registry().with(layer)));
    let spans = [&a, &b].map(|dispatch| {
        tracing::dispatcher::with_default(dispatch, || info_span!(parent: None, "work"))
    });
    let [first, second] = &spans;
    assert_eq!(first.id().map(|id| id.into_u64()), second.id().map(|id| id.into_u64()));
    assert_ne!(first.context(), second.context());
    drop(spans);
    assert_eq!(recorder.stats().finished, 2);
}

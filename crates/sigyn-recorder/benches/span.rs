//! What a span costs: `cargo bench -p sigyn-recorder --bench span [-- <part of a case's name>]`.
//!
//! One run measures the recorder beside others at the same work: a span with four tags, begun and ended.
//! What is printed is the least of many short measurements, since on a shared machine whatever comes on
//! top is somebody else's; allocations are counted by the program's allocator.

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::alloc::System;
use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use opentelemetry::trace::{
    Span as _, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use sigyn_model::Kind;
use sigyn_recorder::{Options, Recorder, propagation};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tracing_subscriber::layer::SubscriberExt as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Spans in one measurement, and measurements of one case.
const SPANS: u32 = 2_000;
const ROUNDS: usize = 400;

#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        black_box(batch);
        Ok(())
    }
}

struct ToNowhere;

impl fastrace::collector::Reporter for ToNowhere {
    fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
        black_box(spans);
    }
}

/// A part of the name of the cases to measure; `None`: all.
fn asked_for() -> Option<String> {
    std::env::args().skip(1).find(|argument| !argument.starts_with('-'))
}

/// Measures and prints one case; returns nanoseconds per span.
fn case(name: &str, mut span: impl FnMut()) -> f64 {
    if asked_for().is_some_and(|part| !name.contains(&part)) {
        return f64::NAN;
    }
    (0..SPANS * 4).for_each(|_| span());
    let region = Region::new(ALLOCATOR);
    (0..SPANS).for_each(|_| span());
    let change = region.change();
    let allocations = (change.allocations + change.reallocations) as f64 / f64::from(SPANS);
    let mut all: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..SPANS).for_each(|_| span());
            start.elapsed().as_nanos() as f64 / f64::from(SPANS)
        })
        .collect();
    all.sort_by(f64::total_cmp);
    let (least, median) = (all[0], all[ROUNDS / 2]);
    println!("{name:<46} {least:>8.1} {median:>8.1} {allocations:>8.2}");
    least
}

fn recorder(options: Options) -> Recorder {
    Recorder::new(Options { service_name: "bench".into(), ..options })
}

/// The work of all cases: what a server says of a request.
fn ours(recorder: &Recorder, parent: Option<&propagation::Context>) {
    let mut span = recorder.start("get /orders/{id}", Some(Kind::Server), parent);
    span.tag("http.method", "GET")
        .tag("http.route", "/orders/{id}")
        .tag("http.status_code", 200)
        .tag("net.peer.name", black_box("frontend-7"));
}

fn threads(count: usize) -> f64 {
    let recorder = recorder(Options::default());
    let barrier = Barrier::new(count);
    let all: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|_| {
                scope.spawn(|| {
                    (0..SPANS).for_each(|_| ours(&recorder, None));
                    barrier.wait();
                    let start = Instant::now();
                    let spans = SPANS * 100;
                    (0..spans).for_each(|_| ours(&recorder, None));
                    start.elapsed().as_nanos() as f64 / f64::from(spans)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("it only measures")).collect()
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    // Of the time that the machine had for it, per span.
    all.iter().sum::<f64>() / count as f64 / count as f64 * cores as f64
}

fn main() {
    println!("{:<46} {:>8} {:>8} {:>8}", "a span with 4 tags", "ns least", "median", "allocs");
    let ours_ns = {
        let recorder = recorder(Options::default());
        let root = case("sigyn-recorder, root", || ours(&recorder, None));
        let parent = recorder.start("parent", None, None);
        let context = parent.context().clone();
        case("sigyn-recorder, child", || ours(&recorder, Some(&context)));
        case("sigyn-recorder, child, no tags", || {
            drop(recorder.start("get /orders/{id}", Some(Kind::Server), Some(&context)));
        });
        let stats = recorder.stats();
        let spans = stats.finished - stats.dropped.evicted;
        println!("{:<46} {:>8.1}", "  bytes buffered per span", stats.bytes as f64 / spans as f64);
        root
    };
    {
        let dir = spool_dir();
        let spool = Some(sigyn_recorder::SpoolOptions::at(dir.path().join("spool")));
        let recorder = recorder(Options { spool, ..Options::default() });
        assert!(recorder.stats().spool.is_on, "{:?}", recorder.stats().spool);
        case("sigyn-recorder, root, spool", || ours(&recorder, None));
    }
    {
        let recorder = recorder(Options::default());
        let unsampled = propagation::Context { sampled: Some(false), ..root_context(&recorder) };
        case("sigyn-recorder, unsampled child", || ours(&recorder, Some(&unsampled)));
        let never = self::recorder(Options { sample_rate: 0.0, ..Options::default() });
        case("sigyn-recorder, unsampled root", || ours(&never, None));
    }

    let config = fastrace::collector::Config::default();
    fastrace::set_reporter(ToNowhere, config);
    let fastrace_ns = case("fastrace, root", || {
        let context = fastrace::collector::SpanContext::random();
        let span = fastrace::Span::root("get /orders/{id}", context);
        span.add_properties(|| {
            [
                ("http.method", Cow::Borrowed("GET")),
                ("http.route", Cow::Borrowed("/orders/{id}")),
                ("http.status_code", Cow::Borrowed("200")),
                ("net.peer.name", Cow::Borrowed(black_box("frontend-7"))),
            ]
        });
    });

    let provider = SdkTracerProvider::builder().with_simple_exporter(Nowhere).build();
    let tracer = provider.tracer("bench");
    let otel_ns = case("opentelemetry_sdk, simple processor", || {
        let mut span = tracer
            .span_builder("get /orders/{id}")
            .with_kind(SpanKind::Server)
            .start_with_context(&tracer, &Context::new());
        span.set_attribute(KeyValue::new("http.method", "GET"));
        span.set_attribute(KeyValue::new("http.route", "/orders/{id}"));
        span.set_attribute(KeyValue::new("http.status_code", 200));
        span.set_attribute(KeyValue::new("net.peer.name", black_box("frontend-7")));
        span.end();
    });
    let off = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
    let tracer_off = off.tracer("bench");
    case("opentelemetry_sdk, always off", || {
        let span = tracer_off
            .span_builder("get /orders/{id}")
            .start_with_context(&tracer_off, &Context::new());
        black_box(Context::new().with_span(span).span().is_recording());
    });

    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    let subscriber = tracing_subscriber::registry().with(layer);
    let tracing_ns = tracing::subscriber::with_default(subscriber, || {
        case("tracing + tracing-opentelemetry, simple", || {
            let span = tracing::info_span!(
                parent: None,
                "get /orders/{id}",
                http.method = "GET",
                http.route = "/orders/{id}",
                http.status_code = 200,
                net.peer.name = black_box("frontend-7"),
            );
            drop(span);
        })
    });

    println!(
        "\ntimes the recorder's: fastrace {:.1}, opentelemetry_sdk {:.1}, tracing-opentelemetry {:.1}",
        fastrace_ns / ours_ns,
        otel_ns / ours_ns,
        tracing_ns / ours_ns
    );
    if asked_for().is_some() {
        return;
    }
    println!("\nthreads at one recorder, ns of a core per span:");
    for count in [1, 2, 16] {
        println!("{count:>4} {:>8.1}", threads(count));
    }
}

/// On a tmpfs where there is one.
fn spool_dir() -> tempfile::TempDir {
    let shm = std::path::Path::new("/dev/shm");
    let made = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
    made.expect("a directory for the spool")
}

fn root_context(recorder: &Recorder) -> propagation::Context {
    recorder.start("root", None, None).context().clone()
}

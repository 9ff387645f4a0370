//! What a span costs by way of `tracing`: `cargo bench -p sigyn-tracing --bench layer [-- <part of a name>]`.
//!
//! One run measures the layer beside others at the same work: a span with four fields, opened and closed.
//! What is printed is the least of many short measurements, since on a shared machine whatever comes on
//! top is somebody else's; allocations are counted by the program's allocator. The recorder's own
//! figures are those of `cargo bench -p sigyn-recorder --bench span`.

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::alloc::System;
use std::hint::black_box;
use std::time::Instant;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use sigyn_recorder::{Options, Recorder};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tracing::Subscriber;
use tracing_subscriber::prelude::*;

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

/// The work of all cases: what a server says of a request.
fn root() {
    let span = tracing::info_span!(
        parent: None,
        "get /orders/{id}",
        http.method = "GET",
        http.route = "/orders/{id}",
        http.status_code = 200,
        net.peer.name = black_box("frontend-7"),
    );
    drop(span);
}

fn child() {
    let span = tracing::info_span!(
        "get /orders/{id}",
        http.method = "GET",
        http.route = "/orders/{id}",
        http.status_code = 200,
        net.peer.name = black_box("frontend-7"),
    );
    drop(span);
}

fn with<S: Subscriber + Send + Sync>(subscriber: S, cases: impl FnOnce() -> f64) -> f64 {
    tracing::subscriber::with_default(subscriber, cases)
}

fn recorder(sample_rate: f64) -> Recorder {
    Recorder::new(Options { service_name: "bench".into(), sample_rate, ..Options::default() })
}

fn main() {
    println!("{:<46} {:>8} {:>8} {:>8}", "a span with 4 fields", "ns least", "median", "allocs");
    let alone = recorder(1.0);
    case("sigyn-recorder, root, without tracing", || {
        let mut span = alone.start("get /orders/{id}", None, None);
        span.tag("http.method", "GET")
            .tag("http.route", "/orders/{id}")
            .tag("http.status_code", 200)
            .tag("net.peer.name", black_box("frontend-7"));
    });
    with(tracing_subscriber::registry(), || {
        case("tracing, a registry without layers, root", root);
        let _above = tracing::info_span!("above").entered();
        case("tracing, a registry without layers, child", child)
    });

    let layer = sigyn_tracing::layer(recorder(1.0));
    let ours_ns = with(tracing_subscriber::registry().with(layer), || {
        let root_ns = case("sigyn-tracing, root", root);
        let _above = tracing::info_span!("above").entered();
        case("sigyn-tracing, child", child);
        case("sigyn-tracing, child with an event", || {
            let span = tracing::info_span!("get /orders/{id}").entered();
            tracing::info!(items = 3, peer = black_box("frontend-7"), "found");
            drop(span);
        });
        root_ns
    });
    let layer = sigyn_tracing::layer(recorder(0.0));
    with(tracing_subscriber::registry().with(layer), || {
        case("sigyn-tracing, unsampled root", root);
        let _above = tracing::info_span!("above").entered();
        case("sigyn-tracing, unsampled child", child)
    });

    let provider = SdkTracerProvider::builder().with_simple_exporter(Nowhere).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    let theirs_ns = with(tracing_subscriber::registry().with(layer), || {
        let root_ns = case("tracing-opentelemetry, root, simple", root);
        let _above = tracing::info_span!("above").entered();
        case("tracing-opentelemetry, child, simple", child);
        root_ns
    });
    let off = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
    let layer = tracing_opentelemetry::layer().with_tracer(off.tracer("bench"));
    with(tracing_subscriber::registry().with(layer), || {
        case("tracing-opentelemetry, root, always off", root)
    });

    println!("\ntimes the layer's: tracing-opentelemetry {:.1}", theirs_ns / ours_ns);
}

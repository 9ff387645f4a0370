//! What the processor adds to a span of the SDK: `cargo bench -p sigyn-otel --bench processor`.
//!
//! What is printed is the least of many short measurements, since on a shared machine whatever comes on
//! top is somebody else's; allocations are counted by the program's allocator.

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::alloc::System;
use std::hint::black_box;
use std::time::{Duration, Instant};

use opentelemetry::trace::{Span as _, SpanKind, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use sigyn_recorder::{Options, Recorder};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Spans in one measurement, and measurements of one case. The cases take turns, so that what the machine
/// does meanwhile is the same for both.
const SPANS: u32 = 2_000;
const ROUNDS: usize = 400;

/// Takes a span, as every processor must, and lets it go.
#[derive(Debug)]
struct Nothing;

impl SpanProcessor for Nothing {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        black_box(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// What a server says of a request.
fn span(provider: &SdkTracerProvider) {
    let tracer = provider.tracer("bench");
    let mut span = tracer
        .span_builder("get /orders/{id}")
        .with_kind(SpanKind::Server)
        .start_with_context(&tracer, &Context::new());
    span.set_attribute(KeyValue::new("http.method", "GET"));
    span.set_attribute(KeyValue::new("http.route", "/orders/{id}"));
    span.set_attribute(KeyValue::new("http.status_code", 200));
    span.set_attribute(KeyValue::new("net.peer.name", black_box("frontend-7")));
    span.end();
}

fn allocations(provider: &SdkTracerProvider) -> f64 {
    (0..SPANS * 4).for_each(|_| span(provider));
    let region = Region::new(ALLOCATOR);
    (0..SPANS).for_each(|_| span(provider));
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / f64::from(SPANS)
}

fn once(provider: &SdkTracerProvider) -> f64 {
    let start = Instant::now();
    (0..SPANS).for_each(|_| span(provider));
    start.elapsed().as_nanos() as f64 / f64::from(SPANS)
}

fn main() {
    let recorder = Recorder::new(Options { service_name: "bench".into(), ..Options::default() });
    let nothing = SdkTracerProvider::builder().with_span_processor(Nothing).build();
    let ours = SdkTracerProvider::builder()
        .with_span_processor(sigyn_otel::processor(recorder.clone()))
        .build();
    let allocated = [allocations(&nothing), allocations(&ours)];
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        took[0].push(once(&nothing));
        took[1].push(once(&ours));
    }
    println!(
        "{:<46} {:>8} {:>8} {:>8}",
        "a span with 4 attributes", "ns least", "median", "allocs"
    );
    let mut least = [0.0; 2];
    for (at, name) in
        ["opentelemetry_sdk, a processor of nothing", "and recorded"].iter().enumerate()
    {
        took[at].sort_by(f64::total_cmp);
        least[at] = took[at][0];
        let median = took[at][ROUNDS / 2];
        println!("{name:<46} {:>8.1} {median:>8.1} {:>8.2}", least[at], allocated[at]);
    }
    let stats = recorder.stats();
    let spans = stats.finished - stats.dropped.evicted;
    println!("{:<46} {:>8.1}", "  bytes buffered per span", stats.bytes as f64 / spans as f64);
    println!("\nthe processor adds {:.1} ns", least[1] - least[0]);
}

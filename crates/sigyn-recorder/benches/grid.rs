//! What traces cost beside other tracers, in all: `cargo bench -p sigyn-recorder --bench grid [-- <part of a tracer's name>]`.
//!
//! Traces of 1 to 1000 spans, each span with four tags, in 1 to 64 threads. What is counted is the processor time of the
//! whole process, threads that work in the background included, for each span.

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

use opentelemetry::trace::{
    Span as _, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use sigyn_model::Kind;
use sigyn_recorder::{Options, Recorder};
use tracing_subscriber::layer::SubscriberExt as _;

const SPANS: [usize; 4] = [1, 10, 100, 1000];
const THREADS: [usize; 4] = [1, 2, 16, 64];
/// How long one cell is measured, on the clock.
const TIME: Duration = Duration::from_millis(300);
/// The kernel counts processor time in these.
const TICKS_PER_SECOND: f64 = 100.0;

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

/// Processor time of the process so far, in seconds.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

/// Nanoseconds of processor time for each span, of traces made in so many threads.
fn measure(threads: usize, spans: usize, trace: &(impl Fn(usize) + Sync)) -> f64 {
    let begun = processor_time();
    let made: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let (start, mut made) = (Instant::now(), 0);
                    while start.elapsed() < TIME {
                        // The clock is asked for seldom.
                        for _ in 0..1000_usize.div_ceil(spans) {
                            trace(spans);
                            made += spans;
                        }
                    }
                    made
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("it only measures")).sum()
    });
    // What was handed to others is their work yet.
    fastrace::flush();
    (processor_time() - begun) * 1e9 / made as f64
}

fn rows(name: &str, trace: impl Fn(usize) + Sync) {
    let asked = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if asked.is_some_and(|part| !name.contains(&part)) {
        return;
    }
    for threads in THREADS {
        let cells = SPANS.map(|spans| format!("{:>8.0}", measure(threads, spans, &trace)));
        println!("{name:<40} {threads:>8} {}", cells.join(" "));
    }
}

fn main() {
    let heads = SPANS.map(|spans| format!("{spans:>8}"));
    println!(
        "{:<40} {:>8} {}  spans in a trace",
        "ns of processor per span",
        "threads",
        heads.join(" ")
    );

    let recorder = Recorder::new(Options { service_name: "bench".into(), ..Options::default() });
    let tagged = |mut span: sigyn_recorder::ActiveSpan| {
        span.tag("http.method", "GET")
            .tag("http.route", "/orders/{id}")
            .tag("http.status_code", 200)
            .tag("net.peer.name", black_box("frontend-7"));
        span
    };
    rows("sigyn-recorder", |spans| {
        let root = tagged(recorder.start("get /orders/{id}", Some(Kind::Server), None));
        for _ in 1..spans {
            tagged(recorder.start("get /orders/{id}", None, Some(root.context()))).finish();
        }
    });

    fastrace::set_reporter(ToNowhere, fastrace::collector::Config::default());
    let properties = || {
        [
            ("http.method", Cow::Borrowed("GET")),
            ("http.route", Cow::Borrowed("/orders/{id}")),
            ("http.status_code", Cow::Borrowed("200")),
            ("net.peer.name", Cow::Borrowed(black_box("frontend-7"))),
        ]
    };
    rows("fastrace", |spans| {
        let context = fastrace::collector::SpanContext::random();
        let root = fastrace::Span::root("get /orders/{id}", context).with_properties(properties);
        let _guard = root.set_local_parent();
        for _ in 1..spans {
            let _span = fastrace::local::LocalSpan::enter_with_local_parent("get /orders/{id}")
                .with_properties(properties);
        }
    });

    let provider = SdkTracerProvider::builder().with_simple_exporter(Nowhere).build();
    let tracer = provider.tracer("bench");
    let attributes = || {
        [
            KeyValue::new("http.method", "GET"),
            KeyValue::new("http.route", "/orders/{id}"),
            KeyValue::new("http.status_code", 200),
            KeyValue::new("net.peer.name", black_box("frontend-7")),
        ]
    };
    rows("opentelemetry_sdk, simple", |spans| {
        let start = |parent: &Context| {
            let builder = tracer.span_builder("get /orders/{id}").with_kind(SpanKind::Server);
            let mut span = builder.start_with_context(&tracer, parent);
            span.set_attributes(attributes());
            span
        };
        let root = Context::new().with_span(start(&Context::new()));
        for _ in 1..spans {
            start(&root).end();
        }
        root.span().end();
    });

    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    let subscriber = tracing_subscriber::registry().with(layer);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return;
    }
    rows("tracing-opentelemetry, simple", |spans| {
        let span = |parent: Option<tracing::Id>| {
            tracing::info_span!(
                parent: parent,
                "get /orders/{id}",
                http.method = "GET",
                http.route = "/orders/{id}",
                http.status_code = 200,
                net.peer.name = black_box("frontend-7"),
            )
        };
        let root = span(None);
        for _ in 1..spans {
            drop(span(root.id()));
        }
    });
}

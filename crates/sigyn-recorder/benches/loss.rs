//! What is lost at which load, and whether anybody knows: `cargo bench -p sigyn-recorder --bench loss [-- --seconds N]`.
//!
//! One thread makes spans at a rate for some intervals; the recorder is scraped once an interval, as a tracer would, and
//! OpenTelemetry's batch processor exports to an exporter that takes everything at once. What comes out is compared with
//! what went in, and the rest with what each says that it lost.

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter,
};
use sigyn_model::Kind;
use sigyn_model::codec::{self, Format, Limits};
use sigyn_model::pull;
use sigyn_recorder::{Exposition, Options, Recorder};

/// Spans in a second; the last is as many as one thread makes.
const RATES: [u64; 6] = [1_000, 10_000, 50_000, 200_000, 1_000_000, 5_000_000];
const INTERVALS: u32 = 3;
/// Spans between two looks at the clock.
const BURST: u64 = 1_000;

#[derive(Debug)]
struct Counted(Arc<AtomicU64>);

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// What came of a load.
struct Outcome {
    made: u64,
    came: u64,
    told_lost: u64,
}

/// Makes spans at a rate for so long; says how many.
fn load(rate: u64, lasts: Duration, mut span: impl FnMut()) -> u64 {
    let (began, mut made) = (Instant::now(), 0);
    while began.elapsed() < lasts {
        let due = rate as f64 * began.elapsed().as_secs_f64();
        if made as f64 >= due {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        for _ in 0..BURST.min(rate / 100) {
            span();
            made += 1;
        }
    }
    made
}

fn sigyn(rate: u64, interval: Duration) -> Outcome {
    // Callers have sampled: else fewer traces begin while the log fills, which is no loss of spans.
    let recorder = Recorder::new(Options { service_name: "bench".into(), ..Options::default() });
    let mut headers = http::HeaderMap::new();
    let b3 = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1";
    headers.insert("b3", http::HeaderValue::from_static(b3));
    let caller = recorder.extract(&headers);
    let exposition = Exposition::new(recorder.clone());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.expect("a runtime").block_on(read(&exposition, interval, &done))
        });
        let made = load(rate, interval * INTERVALS, || {
            let mut span = recorder.start("get /orders/{id}", Some(Kind::Server), caller.as_ref());
            span.tag("http.method", "GET").tag("http.route", "/orders/{id}");
            span.tag("http.status_code", 200).tag("net.peer.name", black_box("frontend-7"));
        });
        done.store(true, Ordering::Release);
        let (came, told_lost) = reader.join().expect("it only reads");
        Outcome { made, came, told_lost }
    })
}

/// Reads once an interval, and once more in the end. Returns how many spans came, as they are counted in the bodies, and how
/// many were told to be lost.
async fn read(
    exposition: &Exposition,
    interval: Duration,
    done: &std::sync::atomic::AtomicBool,
) -> (u64, u64) {
    let (mut cursor, mut lost, mut came) = (None::<String>, 0, 0);
    loop {
        let until = Instant::now() + interval;
        while Instant::now() < until && !done.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let last = done.load(Ordering::Acquire);
        loop {
            let mut request = http::Request::get("/traces?max_bytes=1048576")
                .header(pull::SCRAPER, "a")
                .header("accept", pull::media::OTLP);
            if let Some(cursor) = &cursor {
                request = request.header(pull::CURSOR, cursor);
            }
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            let answer = exposition.respond(&parts).await;
            let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
            cursor = Some(header(pull::NEXT));
            lost += pull::parse_lost(&header(pull::LOST)).expect("a count");
            let oversize = header(pull::DROPPED).parse::<pull::Dropped>().expect("counts").oversize;
            let more = header(pull::MORE) == "1";
            let body = answer.into_body().collect().await.expect("it does not fail").to_bytes();
            came += spans_of(&body);
            if !more && last {
                return (came, lost + oversize);
            }
            if !more {
                break;
            }
        }
    }
}

fn spans_of(body: &[u8]) -> u64 {
    let decoded = codec::decode(Format::OtlpProto, body, Limits::default());
    decoded.expect("spans, or nothing").spans.len() as u64
}

fn opentelemetry(rate: u64, interval: Duration, queue: Option<usize>) -> Outcome {
    let count = Arc::new(AtomicU64::new(0));
    let mut config = BatchConfigBuilder::default();
    if let Some(queue) = queue {
        config = config.with_max_queue_size(queue).with_max_export_batch_size(queue / 8);
    }
    let processor = BatchSpanProcessor::builder(Counted(Arc::clone(&count)))
        .with_batch_config(config.build())
        .build();
    let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
    let tracer = provider.tracer("bench");
    let made = load(rate, interval * INTERVALS, || {
        let mut span = tracer.start("get /orders/{id}");
        span.set_attribute(opentelemetry::KeyValue::new("http.method", "GET"));
        span.set_attribute(opentelemetry::KeyValue::new("http.route", "/orders/{id}"));
        span.set_attribute(opentelemetry::KeyValue::new("http.status_code", 200));
        span.set_attribute(opentelemetry::KeyValue::new("net.peer.name", black_box("frontend-7")));
        span.end();
    });
    // What waits is exported before it ends; how many were dropped is in a log line at most.
    let _ = provider.shutdown();
    Outcome { made, came: count.load(Ordering::Relaxed), told_lost: 0 }
}

fn main() {
    let mut arguments = std::env::args();
    let seconds = arguments.find(|argument| argument == "--seconds");
    let seconds = seconds.and_then(|_| arguments.next()?.parse().ok()).unwrap_or(5.0);
    let interval = Duration::from_secs_f64(seconds);
    println!(
        "{INTERVALS} intervals of {seconds} s; spans that were made, and of these in percent\n"
    );
    println!(
        "{:<34} {:>10} {:>11} {:>8} {:>10} {:>12}",
        "", "a second", "made", "came", "told lost", "gone unsaid"
    );
    for rate in RATES {
        for (name, outcome) in [
            ("sigyn-recorder, 16 MiB", sigyn(rate, interval)),
            ("OpenTelemetry batch, as it comes", opentelemetry(rate, interval, None)),
            ("OpenTelemetry batch, 140,000", opentelemetry(rate, interval, Some(140_000))),
        ] {
            let Outcome { made, came, told_lost } = outcome;
            let share = |count: u64| count as f64 / made as f64 * 100.0;
            println!(
                "{name:<34} {rate:>10} {made:>11} {:>7.2}% {:>9.2}% {:>11.2}%",
                share(came),
                share(told_lost),
                share(made - came - told_lost)
            );
        }
    }
}

//! What a scrape costs, and whom it holds up: `cargo bench -p sigyn-recorder --bench scrape`.
//!
//! Of pauses, each call that records a span is timed, without and with scrapes that read the whole log again and again.
//! A long one is put down to what the kernel says of the thread: it waited for something of ours, it was preempted, or it
//! worked (page faults, and whatever a virtual machine takes without telling).

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt as _;
use sigyn_model::Kind;
use sigyn_model::pull::{self, media};
use sigyn_recorder::{Exposition, Options, Recorder};

/// A pause that nobody may cause.
const PAUSE: Duration = Duration::from_micros(100);
const TIME: Duration = Duration::from_secs(2);

fn record(recorder: &Recorder) {
    let mut span = recorder.start("get /orders/{id}", Some(Kind::Server), None);
    span.tag("http.method", "GET")
        .tag("http.route", "/orders/{id}")
        .tag("http.status_code", 200)
        .tag("net.peer.name", black_box("frontend-7"));
}

fn recorder(spans: usize) -> Recorder {
    let hot_bytes_max = (spans * 130).max(16 << 20);
    let recorder = Recorder::new(Options {
        service_name: "bench".into(),
        hot_bytes_max,
        ..Options::default()
    });
    (0..spans).for_each(|_| record(&recorder));
    recorder
}

/// One scrape of all that there is; the length of the bodies.
fn scrape(exposition: &Exposition, accept: &str, coding: &str) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let (mut len, mut cursor) = (0, None);
        loop {
            let mut request =
                Request::get("/traces").header("Accept", accept).header("Accept-Encoding", coding);
            if let Some(cursor) = cursor.take() {
                request = request.header(pull::CURSOR, cursor);
            }
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            let response = exposition.respond(&parts).await;
            assert!(response.status().is_success(), "{}", response.status());
            let more = response.headers().get(pull::MORE).is_some_and(|more| more == "1");
            cursor = response.headers().get(pull::NEXT).cloned();
            len += response.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
            if !more {
                return len;
            }
        }
    })
}

/// Times that the kernel switched this thread away because it waited, and because others were to run.
fn switches() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().parse().ok()
    };
    let waited = number("voluntary_ctxt_switches").unwrap_or(0);
    (waited, number("nonvoluntary_ctxt_switches").unwrap_or(0))
}

/// Calls by how long they took, in steps of an eighth of a power of two.
#[derive(Debug)]
struct Calls {
    counts: Vec<u64>,
    all: u64,
    longest: Duration,
    longest_own: Duration,
    waited: u64,
    preempted: u64,
    worked: u64,
}

impl Calls {
    fn measure(recorder: &Recorder) -> Self {
        let mut calls = Self {
            counts: vec![0; 8 * 64],
            all: 0,
            longest: Duration::ZERO,
            longest_own: Duration::ZERO,
            waited: 0,
            preempted: 0,
            worked: 0,
        };
        let start = Instant::now();
        let mut known = switches();
        loop {
            let before = Instant::now();
            record(recorder);
            let took = before.elapsed();
            calls.counts[step(took)] += 1;
            calls.all += 1;
            calls.longest = calls.longest.max(took);
            if took >= PAUSE / 4 {
                let now = switches();
                let is_long = u64::from(took >= PAUSE);
                if now.0 > known.0 {
                    calls.waited += is_long;
                    calls.longest_own = calls.longest_own.max(took);
                } else if now.1 > known.1 {
                    calls.preempted += is_long;
                } else {
                    calls.worked += is_long;
                    calls.longest_own = calls.longest_own.max(took);
                }
                known = switches();
            }
            if calls.all.is_multiple_of(64) && start.elapsed() >= TIME {
                return calls;
            }
        }
    }

    /// How long so many of ten thousand calls took at most, in microseconds.
    fn quantile(&self, of_ten_thousand: u64) -> f64 {
        let mut left = self.all * of_ten_thousand / 10_000;
        let at = self.counts.iter().position(|count| {
            left = left.saturating_sub(*count);
            left == 0
        });
        let at = at.unwrap_or(0) as f64;
        ((at / 8.0).floor().exp2() * (1.0 + at % 8.0 / 8.0)) / 1000.0
    }

    fn print(&self, name: &str) {
        println!(
            "{name:<34} {:>9} {:>7.2} {:>7.2} {:>7.2} {:>8.0} {:>8.0} {:>7} {:>9} {:>7}",
            self.all,
            self.quantile(5_000),
            self.quantile(9_900),
            self.quantile(9_999),
            self.longest.as_secs_f64() * 1e6,
            self.longest_own.as_secs_f64() * 1e6,
            self.waited,
            self.preempted,
            self.worked,
        );
    }
}

fn step(took: Duration) -> usize {
    let nanos = usize::try_from(took.as_nanos()).unwrap_or(usize::MAX >> 3).max(1);
    let power = nanos.ilog2() as usize;
    (power * 8 + ((nanos << 3 >> power) & 7)).min(8 * 64 - 1)
}

fn pauses() {
    println!(
        "{:<34} {:>9} {:>7} {:>7} {:>7} {:>8} {:>8} {:>7} {:>9} {:>7}",
        "recording, us per call",
        "calls",
        "p50",
        "p99",
        "p99.99",
        "longest",
        "ours",
        "waited",
        "preempted",
        "worked"
    );
    for spans in [10_000, 100_000, 1_000_000] {
        let recorder = recorder(spans);
        Calls::measure(&recorder).print(&format!("{spans} buffered, no scrape"));
        let exposition = Exposition::new(recorder.clone());
        let (over, scrapes) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    black_box(scrape(&exposition, media::OTLP, "zstd"));
                    scrapes.fetch_add(1, Ordering::Relaxed);
                }
            });
            let calls = Calls::measure(&recorder);
            over.store(true, Ordering::Relaxed);
            calls.print(&format!("{spans} buffered, scraped"));
        });
        println!(
            "{:<34} {:>9}",
            "  scrapes begun and ended meanwhile",
            scrapes.load(Ordering::Relaxed)
        );
    }
    println!(
        "(`waited`, `preempted`, `worked`: calls over {PAUSE:?}; `ours`: the longest that was not preempted)"
    );
}

fn formats() {
    const SPANS: usize = 100_000;
    println!(
        "\n{:<34} {:>9} {:>9} {:>9} {:>9}",
        "a scrape, ns per span", "plain", "zstd", "gzip", "again"
    );
    for (name, accept) in [
        ("OTLP protobuf", media::OTLP),
        ("Zipkin proto3", media::ZIPKIN_PROTO3),
        ("Zipkin v2 JSON", media::ZIPKIN_JSON),
        ("OTLP JSON", media::OTLP_JSON),
        ("Thrift compact", media::THRIFT),
    ] {
        let mut cells = Vec::new();
        let mut bytes = Vec::new();
        for coding in ["identity", "zstd", "gzip"] {
            let (mut first, mut again) = (f64::MAX, f64::MAX);
            for _ in 0..3 {
                let exposition = Exposition::new(recorder(SPANS));
                let per_span = |work: &dyn Fn() -> usize| {
                    let start = Instant::now();
                    let len = work();
                    (start.elapsed().as_nanos() as f64 / SPANS as f64, len)
                };
                let (ns, len) = per_span(&|| scrape(&exposition, accept, coding));
                first = first.min(ns);
                again = again.min(per_span(&|| scrape(&exposition, accept, coding)).0);
                if bytes.len() <= cells.len() {
                    bytes.push(format!("{:.0}", len as f64 / SPANS as f64));
                }
            }
            cells.push(format!("{first:>9.0}"));
            if coding == "gzip" {
                cells.push(format!("{again:>9.1}"));
            }
        }
        println!("{name:<34} {}   bytes: {}", cells.join(" "), bytes.join(", "));
    }
}

fn scrapers() {
    const SPANS: usize = 100_000;
    println!("\n{:<34} {:>9}", "scrapers of one log, OTLP and zstd", "ns/span");
    for count in [1, 4] {
        let exposition = Exposition::new(recorder(SPANS));
        let start = Instant::now();
        // One after the other: what counts is the work, and not whether cores are free.
        for _ in 0..count {
            black_box(scrape(&exposition, media::OTLP, "zstd"));
        }
        println!("{count:<34} {:>9.0}", start.elapsed().as_nanos() as f64 / SPANS as f64);
    }
}

fn main() {
    let asked: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, part) in [("pauses", pauses as fn()), ("formats", formats), ("scrapers", scrapers)] {
        if asked.is_empty() || asked.iter().any(|word| name.contains(word.as_str())) {
            part();
        }
    }
}

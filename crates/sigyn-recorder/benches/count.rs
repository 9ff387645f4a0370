//! Work to count instructions of: `cargo xtask bench count` runs it under callgrind, once with each argument.

#![expect(clippy::print_stderr, reason = "it says how much it did")]

use std::hint::black_box;

use http::Request;
use sigyn_model::Kind;
use sigyn_model::pull::media;
use sigyn_recorder::{Clock, Exposition, Options, Recorder};

const SPANS: u32 = 20_000;

fn record(recorder: &Recorder) {
    let mut span = recorder.start("get /orders/{id}", Some(Kind::Server), None);
    span.tag("http.method", "GET")
        .tag("http.route", "/orders/{id}")
        .tag("http.status_code", 200)
        .tag("net.peer.name", black_box("frontend-7"));
}

fn scrape(exposition: &Exposition, coding: &str) {
    let request =
        Request::get("/traces").header("Accept", media::OTLP).header("Accept-Encoding", coding);
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    black_box(runtime.expect("a runtime").block_on(exposition.respond(&parts)));
}

fn main() {
    let work = std::env::args().nth(1).unwrap_or_default();
    let sample_rate = if work == "unsampled" { 0.0 } else { 1.0 };
    let options = Options {
        service_name: "bench".into(),
        sample_rate,
        guaranteed_every: None,
        // A call of the system's clock is not ours to count.
        clock: Clock::manual(std::time::UNIX_EPOCH),
        ..Options::default()
    };
    let recorder = Recorder::new(options);
    let exposition = Exposition::new(recorder.clone());
    // What happens once in a thread's life is not counted, as the work `nothing` does it, too.
    let spans = if work == "nothing" { 0 } else { SPANS };
    record(&recorder);
    // Two calls that callgrind looks out for: it begins to count at the first, and ends at the second.
    black_box(std::os::unix::process::parent_id());
    (0..spans).for_each(|_| record(&recorder));
    match work.as_str() {
        "encode" => scrape(&exposition, "identity"),
        "zstd" => scrape(&exposition, "zstd"),
        _ => {}
    }
    black_box(std::process::id());
    eprintln!("spans : {SPANS}");
}

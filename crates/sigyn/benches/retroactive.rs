//! How many failing traces come in whole, if one trace in a hundred is sampled where it begins:
//! `cargo bench -p sigyn --bench retroactive [-- --requests N]`.
//!
//! Ten services in this process, each with a recorder and a server of its own, call each other; the tracer is the real
//! program and scrapes them. One request in ten thousand fails somewhere inside, and nobody else notices. What is counted
//! in the end is what the tracer's API answers for each trace that failed.

#![expect(clippy::print_stdout, reason = "it prints what it measures")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use sigyn_model::{Kind, TraceId};
use sigyn_recorder::{Context, Exposition, Options, Recorder};

const SERVICES: usize = 10;
const REQUESTS: u64 = 600_000;
/// Requests in a second: all services together record some twelve spans for each.
const RATE: f64 = 10_000.0;
const HEAD: f64 = 0.01;
const FAILS_ONE_IN: u64 = 10_000;
const COLD: usize = 64 << 20;
const SCRAPE: &str = "global: {scrape_interval: 15s, scrape_timeout: 10s}";

const OPERATIONS: [&str; SERVICES] = [
    "get /shop",
    "get /cart",
    "get /stock",
    "post /pay",
    "get /price",
    "get /user",
    "get /offer",
    "post /order",
    "get /image",
    "post /mail",
];

/// A request that failed inside.
struct Failed {
    trace_id: TraceId,
    spans: u64,
    sampled: bool,
}

struct Tracer {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Ours, by its handle.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() {
    let mut arguments = std::env::args();
    let requests = arguments.find(|argument| argument == "--requests");
    let requests = requests.and_then(|_| arguments.next()?.parse().ok()).unwrap_or(REQUESTS);
    println!(
        "{requests} requests at {RATE} a second through {SERVICES} services; {HEAD} of the traces sampled, one in \
         {FAILS_ONE_IN} fails inside\n"
    );
    println!(
        "{:<38} {:>7} {:>7} {:>9} {:>10} {:>11} {:>9}",
        "", "failed", "whole", "in parts", "of spans", "MB scraped", "lost"
    );
    for (name, cold, more) in [
        ("one trace in a hundred alone", 0, ""),
        ("and kept where it fails, 15 s", COLD, ""),
        ("the same, long polls", COLD, "sigyn: {jobs: {shop: {long_poll: true}}}\n"),
    ] {
        run(name, requests, cold, more);
    }
}

fn run(name: &str, requests: u64, cold: usize, more: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let services: Vec<_> = OPERATIONS.iter().map(|name| service(&runtime, name, cold)).collect();
    let tracer = Tracer::start(&services, more);
    wait("all services are read", || {
        let targets = tracer.json("/api/v1/targets")?;
        let targets = targets["data"]["activeTargets"].as_array()?.clone();
        targets.iter().all(|target| target["sigyn"]["cursor"].is_string()).then_some(())
    });
    let recorders: Vec<_> = services.iter().map(|(recorder, _)| recorder.clone()).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut failed, mut spans, mut next) = (Vec::new(), 0, random.u64(1..2 * FAILS_ONE_IN));
    let began = Instant::now();
    for request in 0..requests {
        let fails = request == next;
        let shape = request_of(&recorders, &mut random, fails);
        spans += shape.spans;
        if fails {
            failed.push(shape);
            next += random.u64(1..2 * FAILS_ONE_IN);
        }
        // In bursts of a hundredth of a second.
        if request % 100 == 99 {
            let due = Duration::from_secs_f64(request as f64 / RATE);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    // Whoever kept something is asked within an interval, and the others within the next.
    let end = Instant::now() + Duration::from_secs(35);
    let whole = |failed: &Failed| tracer.spans(failed.trace_id) == failed.spans;
    while Instant::now() < end && !failed.iter().all(whole) {
        std::thread::sleep(Duration::from_millis(500));
    }
    let complete = failed.iter().filter(|failed| whole(failed)).count();
    let parts = failed.iter().filter(|failed| tracer.spans(failed.trace_id) > 0).count() - complete;
    let sampled = failed.iter().filter(|failed| failed.sampled).count();
    let (received, lost, bytes) = tracer.moved();
    println!(
        "{name:<38} {:>7} {complete:>7} {parts:>9} {:>9.2}% {:>11.1} {lost:>9}",
        failed.len(),
        received as f64 / spans as f64 * 100.0,
        bytes as f64 / 1e6,
    );
    println!(
        "{:<38} {:>6.1} % of the failed are whole; {sampled} of them were sampled",
        "",
        complete as f64 / failed.len().max(1) as f64 * 100.0
    );
}

fn service(
    runtime: &tokio::runtime::Runtime,
    operation: &str,
    cold_bytes_max: usize,
) -> (Recorder, SocketAddr) {
    let name = operation.rsplit('/').next().unwrap_or("service");
    let recorder = Recorder::new(Options {
        service_name: name.to_owned(),
        sample_rate: HEAD,
        guaranteed_every: None,
        cold_bytes_max,
        // What is slow is another reason, and not what is counted here.
        keep_slow: false,
        ..Options::default()
    });
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let exposition = Exposition::new(recorder.clone());
    runtime.handle().spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(exposition.clone());
            let http = hyper::server::conn::http1::Builder::new();
            connections.spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    (recorder, address)
}

/// One request: the first service calls three to eight others, one after another, and some of these one more.
fn request_of(recorders: &[Recorder], random: &mut fastrand::Rng, fails: bool) -> Failed {
    let entry = recorders[0].start(OPERATIONS[0], Some(Kind::Server), None);
    let calls = random.usize(3..9);
    let failing = if fails { random.usize(0..calls) } else { usize::MAX };
    let mut spans = 1;
    for call in 0..calls {
        let to = random.usize(1..SERVICES);
        spans += one_call(recorders, random, 0, to, entry.context(), call == failing);
    }
    let context = entry.context();
    Failed { trace_id: context.trace_id, spans, sampled: context.sampled == Some(true) }
}

fn one_call(
    recorders: &[Recorder],
    random: &mut fastrand::Rng,
    from: usize,
    to: usize,
    parent: &Context,
    fails: bool,
) -> u64 {
    let client = recorders[from].start("call", Some(Kind::Client), Some(parent));
    let mut server =
        recorders[to].start(OPERATIONS[to], Some(Kind::Server), Some(client.context()));
    server.tag("http.route", OPERATIONS[to]).tag("http.status_code", 200);
    let mut spans = 2;
    if random.bool() {
        let next = random.usize(1..SERVICES);
        spans += one_call(recorders, random, to, next, server.context(), false);
    }
    if fails {
        server.error("out of luck");
    }
    spans
}

impl Tracer {
    fn start(services: &[(Recorder, SocketAddr)], more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let targets: Vec<_> = services.iter().map(|(_, address)| format!("'{address}'")).collect();
        let config = format!(
            "{SCRAPE}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: [{}]}}]\n{more}",
            targets.join(",")
        );
        std::fs::write(folder.path().join("sigyn.yml"), config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_sigyn"))
            .args(["serve", "--web.listen-address=127.0.0.1:0"])
            .args(["--otlp.grpc.listen-address=", "--otlp.http.listen-address="])
            .arg("--storage.path=data")
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the tracer ended");
            let found = line.split_once("msg=listening address=");
            let found = found.and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
            if let Some(address) = found {
                break address;
            }
        };
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut log, &mut std::io::sink());
        });
        Self { child, address, folder }
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some(body.to_owned())
    }

    fn json(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&self.get(path)?).ok()
    }

    fn spans(&self, id: TraceId) -> u64 {
        let trace = self.json(&format!("/api/v2/trace/{id}"));
        trace.and_then(|trace| Some(trace.as_array()?.len() as u64)).unwrap_or(0)
    }

    /// Spans received and lost, and bytes of the log that they came to.
    fn moved(&self) -> (u64, u64, u64) {
        let targets = self.json("/api/v1/targets").unwrap_or_default();
        let targets = targets["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
        let sum = |field: &str| {
            targets.iter().filter_map(|target| target["sigyn"][field].as_u64()).sum::<u64>()
        };
        let wal = self.folder.path().join("data");
        (sum("received"), sum("lost"), size(&wal))
    }
}

fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

fn wait(what: &str, mut poll: impl FnMut() -> Option<()>) {
    let end = Instant::now() + Duration::from_secs(40);
    while poll().is_none() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

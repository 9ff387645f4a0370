//! `sigyn import` from a Zipkin that is made for the test, with every habit that Zipkins have.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as At, Query, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::program::{Tracer, command, until};

/// When the made traces end, in milliseconds since 1970.
const END_MS: u64 = 1_700_000_000_000;

/// A Zipkin's search over fixed traces, with faults as told.
#[derive(Clone, Default)]
struct Zipkin {
    traces: Arc<Vec<(u64, Value)>>,
    asked: Arc<AtomicUsize>,
    /// The searches, counted from zero, that are answered with 500.
    failing: Vec<usize>,
    /// From this search on there is no answer.
    hanging_from: Arc<Mutex<Option<usize>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search {
    end_ts: u64,
    lookback: u64,
    limit: usize,
}

async fn search(State(zipkin): State<Zipkin>, Query(search): Query<Search>) -> Response {
    let number = zipkin.asked.fetch_add(1, Ordering::SeqCst);
    if zipkin.failing.contains(&number) {
        return (StatusCode::INTERNAL_SERVER_ERROR, "out of sorts").into_response();
    }
    let hanging_from = *zipkin.hanging_from.lock().unwrap();
    if hanging_from.is_some_and(|from| from <= number) {
        std::future::pending::<()>().await;
    }
    let window = (search.end_ts - search.lookback) * 1_000..=search.end_ts * 1_000;
    let mut found: Vec<_> = zipkin.traces.iter().filter(|(at, _)| window.contains(at)).collect();
    found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let found: Vec<&Value> = found.into_iter().map(|(_, trace)| trace).take(search.limit).collect();
    // Zipkin miscounts some answers and fills them up.
    (serde_json::to_string(&found).unwrap() + "\0\0").into_response()
}

impl Zipkin {
    fn of(traces: Vec<(u64, Value)>) -> Self {
        Self { traces: Arc::new(traces), ..Self::default() }
    }

    fn start(self) -> Serving {
        let router = Router::new()
            .route("/api/v2/services", get(async || "[\"shop\"]"))
            .route("/api/v2/traces", get(search));
        Serving::start(router.with_state(self))
    }
}

/// A router on a port of its own, until it is dropped.
struct Serving {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Serving {
    fn start(router: Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, runtime: Some(runtime) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One trace of two spans, which starts at a time.
fn trace(n: u64, start_us: u64) -> (u64, Value) {
    let span = |id: u64, more: Value| {
        let mut span = json!({
            "traceId": format!("{n:x}"), "id": format!("{id:x}"), "timestamp": start_us, "name": "GET",
            "localEndpoint": {"serviceName": "shop"},
        });
        span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        span
    };
    (
        start_us,
        json!([span(2, json!({"parentId": "1"})), span(1, json!({"tags": {"n": n.to_string()}}))]),
    )
}

/// Thirty in one millisecond, twenty over the minute before it, and one at either end.
fn traces() -> Vec<(u64, Value)> {
    let end_us = END_MS * 1_000;
    let starts = (0..30).map(|n| end_us - 30_000_000 + n % 3 * 500);
    let starts = starts.chain((0..20).map(|n| end_us - 60_000_000 + n * 1_000_003));
    let starts = starts.chain([end_us - 60_000_000, end_us]);
    starts.zip(1..).map(|(start_us, n)| trace(n, start_us)).collect()
}

fn import(
    folder: &Path,
    from: SocketAddr,
    to: SocketAddr,
    flags: &[&str],
) -> std::process::Command {
    let (from, to) = (format!("http://{from}"), to.to_string());
    let mut command = command();
    command.current_dir(folder).args(["import", "--from", &from, "--to", &to]);
    command.args(["--lookback", "60s", "--window", "7s", "--limit", "10", "--end"]);
    command.arg(END_MS.to_string()).args(flags).env_remove("http_proxy");
    command
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Whether a line of the closing count says so.
fn says(output: &Output, name: &str, what: &str) -> bool {
    let line = format!("{name:<14} {what}");
    String::from_utf8_lossy(&output.stdout).lines().any(|l| l.starts_with(&line))
}

#[test]
fn everything_is_moved_once_and_stays_when_it_is_moved_again() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    let zipkin = Zipkin { failing: vec![0, 7], ..Zipkin::of(traces()) }.start();
    let run = |flags: &[&str]| {
        let output = import(folder.path(), zipkin.address, tracer.address, flags).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(says(&output, "found", "52 traces, 104 spans in "), "{}", text(&output));
        output
    };
    let output = run(&["--dry-run"]);
    assert!(says(&output, "to be stored", "104 spans"), "{}", text(&output));
    assert!(text(&output).contains("answers 500 Internal Server Error: trying again"));
    assert_eq!(tracer.json("/api/v2/services"), json!([]));

    assert!(says(&run(&[]), "stored", "104 spans"));
    let output = run(&[]);
    assert!(says(&output, "stored", "0 spans"), "{}", text(&output));
    assert!(says(&output, "already there", "104 spans"), "{}", text(&output));
    let stored = tracer.json("/api/v2/trace/1");
    assert_eq!(stored.as_array().unwrap().len(), 2);
    assert_eq!(stored[0]["name"], "get");
    let left = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(left.count(), 1, "a finished import leaves no state behind");
}

#[test]
fn what_is_interrupted_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    let zipkin = Zipkin::of(traces());
    *zipkin.hanging_from.lock().unwrap() = Some(6);
    let (asked, hanging_from) = (Arc::clone(&zipkin.asked), Arc::clone(&zipkin.hanging_from));
    let zipkin = zipkin.start();
    let state = folder.path().join("state.json");
    let flags = ["--state", "state.json"];
    let mut child = import(folder.path(), zipkin.address, tracer.address, &flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("it waits for an answer", || {
        let waits = asked.load(Ordering::SeqCst) > 6 && state.exists();
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        waits.then_some(())
    });
    let pid = child.id().to_string();
    assert!(
        std::process::Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success()
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("The same command goes on from there"), "{}", text(&output));

    let other = import(folder.path(), zipkin.address, tracer.address, &["--state", "state.json"])
        .args(["--lookback", "61s"])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(2), "{}", text(&other));

    *hanging_from.lock().unwrap() = None;
    let output = import(folder.path(), zipkin.address, tracer.address, &flags).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("goes on from 2023-11-14T22:1"), "{}", text(&output));
    assert!(says(&output, "found", "52 traces, 104 spans in "), "{}", text(&output));
    assert!(!state.exists());
}

#[test]
fn what_cannot_be_kept_is_told_and_takes_nothing_along() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    let mut traces = traces();
    traces.push((END_MS * 1_000 - 5, json!([
        {"traceId": "aa", "id": "not hex", "timestamp": END_MS * 1_000 - 5},
        {"traceId": "aa", "id": "1", "timestamp": END_MS * 1_000 - 5},
        {"traceId": "aa", "id": "2", "tags": {"looks like v1": "{\"binaryAnnotations\":[]}", "yAnnotations": ""}},
    ])));
    let zipkin = Zipkin::of(traces).start();
    let output = import(folder.path(), zipkin.address, tracer.address, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(says(&output, "found", "53 traces, 107 spans in "), "{}", text(&output));
    assert!(says(&output, "stored", "105 spans"), "{}", text(&output));
    assert!(says(&output, "refused", "2 spans"), "{}", text(&output));
    assert!(
        text(&output).contains("should be lower-hex encoded with no prefix"),
        "{}",
        text(&output)
    );
    assert!(text(&output).contains("but received: JSON_V1"), "{}", text(&output));
    assert_eq!(tracer.json("/api/v2/trace/aa").as_array().unwrap().len(), 1);
}

#[test]
fn a_busy_tracer_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let taken: Arc<Mutex<Vec<usize>>> = Arc::default();
    let take = {
        let taken = Arc::clone(&taken);
        async move |body: Bytes| {
            let mut taken = taken.lock().unwrap();
            taken.push(body.len());
            match taken.len() {
                1 => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]).into_response(),
                2 => StatusCode::TOO_MANY_REQUESTS.into_response(),
                _ => StatusCode::ACCEPTED.into_response(),
            }
        }
    };
    // Of every trace it has something, though not what is sent.
    let span = |id: &str| format!("{{\"traceId\":\"{id}\",\"id\":\"abc\"}}");
    let known = async move |Query(asked): Query<HashMap<String, String>>| {
        let traces: Vec<String> =
            asked["traceIds"].split(',').map(|id| format!("[{}]", span(id))).collect();
        format!("[{}]", traces.join(","))
    };
    let tracer = Router::new()
        .route("/api/v2/services", get(async || "[]"))
        .route("/api/v2/traceMany", get(known))
        .route(
            "/api/v2/trace/{id}",
            get(async move |At(id): At<String>| format!("[{}]", span(&id))),
        )
        .route("/api/v2/spans", post(take));
    let tracer = Serving::start(tracer);
    let zipkin = Zipkin::of(traces()).start();
    let output = import(folder.path(), zipkin.address, tracer.address, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(says(&output, "stored", "104 spans"), "{}", text(&output));
    assert!(text(&output).contains("answers 503 Service Unavailable: trying again in 1000 ms"));
    assert!(taken.lock().unwrap().len() > 3);
}

#[test]
fn what_a_tracer_leaves_out_again_is_not_counted_as_stored() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start_in(folder.path(), &[], &[("COLLECTOR_SAMPLE_RATE", "0")]);
    let file = folder.path().join("spans.json");
    let spans = json!([
        {"traceId": "1", "id": "1"}, {"traceId": "1", "id": "2"}, {"traceId": "2", "id": "1", "debug": true},
    ]);
    std::fs::write(&file, spans.to_string()).unwrap();
    let mut command = command();
    command.args(["import", "--to", &tracer.address.to_string()]).arg(&file);
    let output = command.env_remove("http_proxy").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(says(&output, "stored", "1 spans"), "{}", text(&output));
    assert!(says(&output, "not kept", "2 spans"), "{}", text(&output));
}

#[test]
fn a_trace_that_is_too_large_to_compare_with_does_not_stop_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let too_large = async || StatusCode::PAYLOAD_TOO_LARGE;
    let tracer = Router::new()
        .route("/api/v2/services", get(async || "[]"))
        .route("/api/v2/traceMany", get(too_large))
        .route("/api/v2/trace/{id}", get(too_large))
        .route("/api/v2/spans", post(async || StatusCode::ACCEPTED));
    let tracer = Serving::start(tracer);
    let file = folder.path().join("spans.json");
    let spans = json!([{"traceId": "1", "id": "1"}, {"traceId": "2", "id": "1"}]);
    std::fs::write(&file, spans.to_string()).unwrap();
    let mut command = command();
    command.args(["import", "--to", &tracer.address.to_string()]).arg(&file);
    let output = command.env_remove("http_proxy").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(says(&output, "stored", "2 spans"), "{}", text(&output));
    assert!(says(&output, "uncompared", "2 traces"), "{}", text(&output));
}

#[test]
fn files_are_read_in_every_dress() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    let run = |flags: &[&str], input: &str| {
        std::fs::write(folder.path().join("input"), input).unwrap();
        let stdin = std::fs::File::open(folder.path().join("input")).unwrap();
        let mut command = command();
        command.current_dir(folder.path()).args(["import", "--to"]).arg(tracer.address.to_string());
        command.args(flags).stdin(stdin).output().unwrap()
    };
    let traces: Vec<Value> = traces().into_iter().map(|(_, trace)| trace).collect();
    let spans: Vec<&Value> = traces.iter().flat_map(|trace| trace.as_array().unwrap()).collect();
    let all = serde_json::to_vec(&traces).unwrap();
    std::fs::write(folder.path().join("traces.json"), &all).unwrap();
    std::fs::write(folder.path().join("traces.zst"), zstd::encode_all(&all[..], 1).unwrap())
        .unwrap();
    std::fs::write(folder.path().join("spans.json"), serde_json::to_vec(&spans).unwrap()).unwrap();

    let output = run(&["traces.zst"], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(says(&output, "found", "52 traces, 104 spans"), "{}", text(&output));
    assert!(says(&output, "stored", "104 spans"), "{}", text(&output));
    let output = run(&["traces.json", "spans.json"], "");
    assert!(says(&output, "found", "52 traces, 208 spans"), "{}", text(&output));
    assert!(says(&output, "already there", "208 spans"), "{}", text(&output));

    let v1 = r#"[{"traceId":"f1","id":"1","name":"GET","annotations":[
        {"timestamp":1700000000000000,"value":"sr","endpoint":{"serviceName":"old","ipv4":"127.0.0.3"}},
        {"timestamp":1700000000000009,"value":"ss","endpoint":{"serviceName":"old","ipv4":"127.0.0.3"}}],
        "binaryAnnotations":[]}]"#;
    let output = run(&["-"], v1);
    assert!(says(&output, "stored", "1 spans"), "{}", text(&output));
    assert!(says(&run(&["-", "--format", "zipkin-json-v1"], v1), "already there", "1 spans"));
    let old = &tracer.json("/api/v2/trace/f1")[0];
    assert_eq!((&old["kind"], &old["duration"]), (&json!("SERVER"), &json!(9)));

    let output = run(&["nowhere.json", "-"], r#"[{"traceId":"f2","id":"1"}] [{"traceId":"#);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(says(&output, "unreadable", "2 files or parts of files"), "{}", text(&output));
    assert!(says(&output, "stored", "1 spans"), "{}", text(&output));
    assert!(text(&output).contains("nowhere.json: cannot be opened: No such file"));
    assert!(text(&output).contains("-: is no JSON from byte 27 on"), "{}", text(&output));
}

/// Two requests as OpenTelemetry's collector writes them into a file, the second with a bad span.
const OTLP_LINES: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}},{"key":"host.name","value":{"stringValue":"a1"}}]},"scopeSpans":[{"scope":{"name":"http","version":"1.2"},"spans":[{"traceId":"000000000000000000000000000000c1","spanId":"00000000000000c1","name":"GET /cart","kind":2,"startTimeUnixNano":"1700000000000000123","endTimeUnixNano":"1700000000000900123","attributes":[{"key":"items","value":{"intValue":"3"}},{"key":"ratio","value":{"doubleValue":0.5}}],"events":[{"timeUnixNano":"1700000000000100000","name":"miss","attributes":[{"key":"key","value":{"stringValue":"c1"}}]}],"links":[{"traceId":"000000000000000000000000000000c2","spanId":"00000000000000c2"}],"status":{"code":2,"message":"gone"}}]}]}]}
{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"000000000000000000000000000000c1","spanId":"00000000000000c2","parentSpanId":"00000000000000c1","name":"load"},{"traceId":"","spanId":"00000000000000c3","name":"nowhere"}]}]}]}
"#;

const JAEGER: &str = r#"{"data":[{"traceID":"d1","spans":[{"traceID":"d1","spanID":"d1","operationName":"checkout","references":[],"startTime":1700000000000000,"duration":9,"tags":[{"key":"span.kind","type":"string","value":"server"},{"key":"retries","type":"int64","value":2}],"logs":[],"processID":"p1"}],"processes":{"p1":{"serviceName":"till","tags":[]}}}]}"#;

#[test]
fn what_others_write_keeps_what_zipkin_cannot_say() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    std::fs::write(folder.path().join("otlp.jsonl"), OTLP_LINES).unwrap();
    std::fs::write(folder.path().join("jaeger.json"), JAEGER).unwrap();
    let run = |file: &str| {
        let mut command = command();
        command.current_dir(folder.path()).args(["import", file, "--to"]);
        command.arg(tracer.address.to_string()).output().unwrap()
    };
    let output = run("otlp.jsonl");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(says(&output, "found", "1 traces, 3 spans"), "{}", text(&output));
    assert!(says(&output, "stored", "2 spans"), "{}", text(&output));
    assert!(says(&output, "refused", "1 spans"), "{}", text(&output));
    let output = run("otlp.jsonl");
    assert!(says(&output, "already there", "2 spans"), "{}", text(&output));
    let cart = &tracer.json("/api/v2/trace/c1")[0];
    let tags = ["error", "host.name", "otel.scope.name"].map(|key| &cart["tags"][key]);
    assert_eq!(tags, ["gone", "a1", "http"]);
    assert_eq!(cart["annotations"][0]["value"], r#""miss": {"key":"c1"}"#);

    let output = run("jaeger.json");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(says(&output, "stored", "1 spans"), "{}", text(&output));
    assert!(says(&run("jaeger.json"), "already there", "1 spans"));
    let span = &tracer.json("/api/v2/trace/d1")[0];
    assert_eq!((&span["name"], &span["tags"]["retries"]), (&json!("checkout"), &json!("2")));
}

#[test]
fn what_makes_no_sense_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let check = |flags: &[&str], code: i32, told: &str| {
        let run = command().arg("import").args(flags).current_dir(folder.path()).output().unwrap();
        assert_eq!(run.status.code(), Some(code), "{flags:?}: {}", text(&run));
        assert!(text(&run).contains(told), "{flags:?}: {}", text(&run));
        assert!(!text(&run).contains("secret"), "{flags:?}: {}", text(&run));
    };
    // Nobody listens on the port of a listener that is gone.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{nobody}");
    check(&[], 2, "--from URL");
    check(&["--from", &nobody, "spans.json"], 2, "cannot be used with");
    check(&["--from", &nobody, "--to", &format!("{nobody}/")], 2, "are the same server");
    check(&["--from", "http://u:secret@127.0.0.1:1"], 2, "--from: an address with a login");
    check(&["--to", "u:secret@127.0.0.1:1", "spans.json"], 2, "--to: an address with a login");
    check(&["--from", &nobody, "--lookback", "soon"], 2, "--lookback: \"soon\" is no duration");
    check(&["--from", &nobody, "--end", "soon"], 2, "--end: \"soon\" is neither");
    check(&["--from", &nobody, "--end", "18446744073709551615"], 2, "beyond all time");
    check(&["--from", &nobody, "--window", "1us"], 2, "--window is shorter than a millisecond");
    check(&["--from", &nobody, "--limit", "0"], 2, "--limit");
    check(&["--from", &nobody], 1, "cannot ask the source: cannot ask http://127.0.0.1:");
    check(&["--from", "ftp://127.0.0.1:1"], 1, "only http:// and https:// are supported");
    let none = ["--http.config.file", "none.yml", "spans.json"];
    check(&none, 2, "failed to load HTTP config file none.yml: No such file or directory");
    let other = Serving::start(Router::new().route("/api/v2/services", get(async || "hello")));
    check(&["--from", &other.address.to_string()], 1, "does not answer as Zipkin does");
}

//! Traces that nobody sampled, and what runs: asked of the services that still know.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sigyn_model::{Kind, TraceId};
use sigyn_recorder::{Context, Options};

use crate::program::{Tracer, command, until};
use crate::service::Service;

/// A service that samples nothing and forgets nothing at once.
fn service(name: &str) -> Service {
    let options = Options {
        service_name: name.to_owned(),
        sample_rate: 0.0,
        cold_bytes_max: 1 << 20,
        keep_slow: false,
        ..Options::default()
    };
    Service::with("127.0.0.1:0".parse().unwrap(), options)
}

fn configure(folder: &Path, services: &[&Service], more: &str) {
    let targets: Vec<_> = services.iter().map(|service| service.address).collect();
    configure_with(folder, "500ms", &targets, more);
}

fn configure_targets(folder: &Path, targets: &[SocketAddr]) {
    configure_with(folder, "500ms", targets, "");
}

fn configure_with(folder: &Path, interval: &str, targets: &[SocketAddr], more: &str) {
    let targets: Vec<_> = targets.iter().map(|target| format!("'{target}'")).collect();
    let config = format!(
        "global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: [{}]}}]\n{more}",
        targets.join(",")
    );
    fs::write(folder.join("sigyn.yml"), config).unwrap();
}

/// A call from one service to the next: two spans there, and one here.
fn call(front: &Service, back: &Service, back_fails: bool) -> TraceId {
    let entry = front.recorder.start("get /cart", Some(Kind::Server), None);
    let client = front.recorder.start("ask", Some(Kind::Client), Some(entry.context()));
    let mut server = back.recorder.start("stock", Some(Kind::Server), Some(client.context()));
    if back_fails {
        server.error("no such thing");
    }
    server.finish();
    client.finish();
    let id = entry.context().trace_id;
    entry.finish();
    id
}

fn spans(tracer: &Tracer, id: TraceId) -> usize {
    let answer = tracer.get(&format!("/api/v2/trace/{id}"));
    if answer.status == 200 { answer.json().as_array().unwrap().len() } else { 0 }
}

fn both_are_read(tracer: &Tracer, services: [&Service; 2]) {
    all_are_read(tracer, &services.map(|service| service.address));
}

fn all_are_read(tracer: &Tracer, targets: &[SocketAddr]) {
    until("all are read", || {
        let all = targets.iter().all(|target| {
            let target = tracer.target(&target.to_string());
            target.is_some_and(|target| {
                target["health"] == "up" && target["sigyn"]["cursor"].is_string()
            })
        });
        all.then_some(())
    });
}

#[test]
fn a_trace_that_one_service_kept_is_fetched_from_the_others() {
    let (front, back) = (service("front"), service("back"));
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &[&front, &back], "");
    let tracer = Tracer::start(folder.path());
    both_are_read(&tracer, [&front, &back]);
    let dull: Vec<_> = (0..20).map(|_| call(&front, &back, false)).collect();
    let failed = call(&front, &back, true);
    until("the whole trace is here", || (spans(&tracer, failed) == 3).then_some(()));
    assert!(dull.iter().all(|id| spans(&tracer, *id) == 0));
    assert_eq!(tracer.metric("sigyn_kept_traces_total", ""), Some(1.0));
    // The law holds: what was put aside was not finished.
    for service in [&front, &back] {
        let target = tracer.target(&service.address.to_string()).unwrap();
        assert_eq!(target["sigyn"]["lost"], 0);
    }

    // One that nobody kept, by hand.
    let answer = tracer.query(&["collect", &dull[7].to_string()]);
    assert!(answer.contains("Asked 2 targets: 2 gave what they had."), "{answer}");
    assert!(answer.contains("3 spans are stored now, 3 of them new"), "{answer}");
    assert!(answer.contains("front") && answer.contains("stock"), "{answer}");
    let answer = tracer.query(&["collect", &dull[7].to_string()]);
    assert!(answer.contains("3 spans are stored, as before"), "{answer}");
    let json = tracer.query(&["--output=json", "collect", "1"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["given"], &json["spans"]), (&2.into(), &0.into()));
    assert_eq!((&json["withRing"], &json["from"][0]["keepsRing"]), (&2.into(), &true.into()));
    assert!(json["from"][0]["backSeconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn it_is_told_who_keeps_no_ring_and_who_does_not_say() {
    let with = service("with");
    let without = Service::with(
        "127.0.0.1:0".parse().unwrap(),
        Options { service_name: "without".to_owned(), ..Options::default() },
    );
    let folder = tempfile::tempdir().unwrap();
    let silent = Silent::start();
    let targets = [with.address, without.address, silent.address];
    configure_targets(folder.path(), &targets);
    let tracer = Tracer::start(folder.path());
    all_are_read(&tracer, &targets);
    let id = call(&with, &with, false);
    let answer = tracer.query(&["collect", &id.to_string()]);
    for expected in [
        "Asked 3 targets: 3 gave what they had.\n".to_owned(),
        format!("  3 spans of them from shop {}\n", with.address),
        format!("1 target keeps no ring of unsampled spans: shop {}.\n", without.address),
        format!("1 target does not say whether there is one: shop {}.\n", silent.address),
        format!("shop {} still has everything unsampled that finished in the last ", with.address),
    ] {
        assert!(answer.contains(&expected), "{answer}");
    }
}

#[test]
fn it_is_told_who_was_not_asked() {
    let up = service("up");
    let (hangs, silent) = (Silent::start(), Silent::start());
    hangs.hang();
    // Nobody listens there any more.
    let refuses = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    configure_targets(folder.path(), &[up.address, silent.address, refuses, hangs.address]);
    let tracer = Tracer::start(folder.path());
    all_are_read(&tracer, &[up.address, silent.address]);
    until("two are down", || {
        let is_down = |address: SocketAddr| {
            tracer.target(&address.to_string()).is_some_and(|target| target["health"] == "down")
        };
        (is_down(refuses) && is_down(hangs.address)).then_some(())
    });
    let answer = tracer.post("/api/v1/traces/collect", "{\"ids\":[\"1\"]}").json();
    let data = &answer["data"];
    assert_eq!((&data["targets"], &data["given"]), (&2.into(), &2.into()));
    let not_asked = &data["notAsked"];
    assert_eq!((&not_asked["targets"], &not_asked["down"]), (&2.into(), &2.into()));
    for address in [refuses, hangs.address] {
        let from = not_asked["from"].as_array().unwrap();
        let from = from.iter().find(|from| from["target"] == address.to_string()).unwrap();
        assert_eq!((&from["job"], &from["why"]), (&"shop".into(), &"down".into()));
        assert!(!from["error"].as_str().unwrap().is_empty());
    }
    let text = tracer.query(&["collect", "1"]);
    for expected in [
        "Asked 2 targets: 2 gave what they had.\n".to_owned(),
        "2 targets were not asked, as they are down, and may still have spans: ".to_owned(),
        format!("shop {refuses} ("),
        format!("shop {} (", hangs.address),
        "and those that were asked have none; 2 targets were not asked".to_owned(),
    ] {
        assert!(text.contains(&expected), "{text}");
    }
}

#[test]
fn so_many_wait_for_targets_and_others_are_sent_away() {
    let folder = tempfile::tempdir().unwrap();
    let silent = Silent::start();
    // One that hangs is waited for so long.
    configure_with(folder.path(), "5s", &[silent.address], "");
    let tracer = Tracer::start(folder.path());
    all_are_read(&tracer, &[silent.address]);
    silent.hang();
    // Four more than there are places.
    let waiting: Vec<_> = (0..20)
        .map(|n| {
            let mut stream = TcpStream::connect(tracer.address).unwrap();
            let body = format!("{{\"ids\":[\"{}\"]}}", n + 1);
            let request = format!(
                "POST /api/v1/traces/collect?timeout=60s HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    until("four are sent away", || {
        let has_answer = |stream: &&TcpStream| {
            stream.set_nonblocking(true).unwrap();
            stream.peek(&mut [0]).is_ok()
        };
        (waiting.iter().filter(has_answer).count() == 4).then_some(())
    });
    let answer = tracer.get("/api/v1/trace/1/running");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let answer = tracer.post("/api/v1/traces/collect", "{\"ids\":[\"1\"]}");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.text().contains("wait for answers of targets"), "{}", answer.text());
    assert!(tracer.metric("sigyn_target_asks_refused_total", "").unwrap() >= 6.0);
    // Whoever goes away leaves a place.
    drop(waiting);
    until("there are places again", || {
        (tracer.get("/api/v1/trace/1/running").status == 200).then_some(())
    });
}

/// A target that speaks the protocol and nothing beyond it, and may stop to answer.
struct Silent {
    address: SocketAddr,
    hangs: Arc<AtomicBool>,
}

impl Silent {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let hangs = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&hangs);
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut read, mut piece) = (Vec::new(), [0; 4096]);
                while !read.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut piece) {
                        Ok(n) if n > 0 => read.extend_from_slice(&piece[..n]),
                        _ => break,
                    }
                }
                if stops.load(Ordering::Acquire) {
                    held.push(stream);
                    continue;
                }
                let status = if read.starts_with(b"GET /traces") {
                    "204 No Content"
                } else {
                    "404 Not Found"
                };
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nsigyn-next: 9f:1\r\nconnection: close\r\n\r\n"
                );
            }
        });
        Self { address, hangs }
    }

    fn hang(&self) {
        self.hangs.store(true, Ordering::Release);
    }
}

#[test]
fn what_is_no_list_of_traces_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &[], "");
    let tracer = Tracer::start(folder.path());
    for body in ["", "{}", "{\"ids\":[]}", "{\"ids\":[\"x\"]}"] {
        let answer = tracer.post("/api/v1/traces/collect", body);
        assert_eq!(answer.status, 400, "{body}");
    }
    let answer = tracer.post("/api/v1/traces/collect?timeout=1y2x", "{\"ids\":[\"1\"]}");
    assert!(answer.status == 400 && answer.text().contains("timeout"), "{}", answer.text());
    let answer = tracer.post("/api/v1/traces/collect", "{\"ids\":[\"1\"]}");
    assert_eq!(answer.json()["data"]["targets"], 0);
}

#[test]
fn what_runs_is_shown_with_its_trace() {
    let (front, back) = (service("front"), service("back"));
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &[&front, &back], "");
    let tracer = Tracer::start(folder.path());
    both_are_read(&tracer, [&front, &back]);
    let sampled = Context {
        sampled: Some(true),
        ..front.recorder.start("caller", None, None).context().clone()
    };
    let entry = front.recorder.start("get /cart", Some(Kind::Server), Some(&sampled));
    let stuck = back.recorder.start("stock", Some(Kind::Server), Some(entry.context()));
    let id = entry.context().trace_id;
    let answer = tracer.json(&format!("/api/v1/trace/{id}/running?service=shop"));
    let data = &answer["data"];
    assert_eq!(
        (&data["asked"], &data["failed"], &data["targets"]),
        (&2.into(), &0.into(), &2.into())
    );
    let names: Vec<_> = data["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| (span["service"].as_str().unwrap(), span["name"].as_str().unwrap()))
        .collect();
    assert_eq!(names, [("front", "get /cart"), ("back", "stock")]);
    assert_eq!(data["spans"][1]["parentId"], data["spans"][0]["id"]);
    assert_eq!(data["spans"][1]["target"], back.address.to_string());
    let text = tracer.query(&["trace", &id.to_string()]);
    assert!(
        text.contains("Still running: 2") && text.contains("No span of it has finished"),
        "{text}"
    );
    entry.finish();
    until("one is stored", || (spans(&tracer, id) == 1).then_some(()));
    let text = tracer.query(&["trace", &id.to_string()]);
    assert!(text.contains("Still running: 1") && text.contains("back stock"), "{text}");
    stuck.finish();
    until("the other, too", || (spans(&tracer, id) == 2).then_some(()));
    assert!(!tracer.query(&["trace", &id.to_string()]).contains("Still running"));
}

#[test]
fn a_job_says_which_traces_it_wants() {
    let front = service("front");
    let folder = tempfile::tempdir().unwrap();
    let sampling = "sigyn:\n  jobs:\n    shop:\n      sampling:\n        rate: 0.5\n        operations: {\"get /cart\": 1, \"get /health\": 0}\n";
    configure(folder.path(), &[&front], sampling);
    let tracer = Tracer::start(folder.path());
    let applied =
        || tracer.target(&front.address.to_string())?["sigyn"]["sampled"].as_object().cloned();
    let applied = until("it is applied", || applied().filter(|sampled| sampled["operations"] == 2));
    assert_eq!(applied["rate"], 0.5);
    for _ in 0..10 {
        front.recorder.start("get /cart", Some(Kind::Server), None).finish();
        front.recorder.start("get /health", Some(Kind::Server), None).finish();
    }
    let read = || tracer.target(&front.address.to_string())?["sigyn"]["received"].as_u64();
    until("those of one are here", || (read()? == 10).then_some(()));
    let stats = front.recorder.stats();
    assert_eq!((stats.finished, stats.cold_spans), (10, 10));
}

#[test]
fn a_sampling_that_is_none_is_refused() {
    for (text, what) in [
        ("rate: 1.5", "1.5"),
        ("rate: often", "often"),
        ("operations: {a: -1}", "-1"),
        ("share: 1", "share"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "scrape_configs: [{{job_name: a}}]\nsigyn: {{jobs: {{a: {{sampling: {{{text}}}}}}}}}\n"
        );
        fs::write(folder.path().join("sigyn.yml"), config).unwrap();
        let mut command = command();
        let command = command.args(["check", "config", "sigyn.yml"]).current_dir(folder.path());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && told.contains(what), "{text}: {told}");
    }
}

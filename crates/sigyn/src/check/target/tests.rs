//! A recorder of ours passes; and whatever breaks one rule is found to break that one.

mod faults;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sigyn_model::pull::{self, Cursor, Range, media};
use sigyn_model::{Kind, Span, SpanId, Timestamp, TraceId};
use sigyn_recorder::{Context, Options, Recorder, SpoolOptions};
use tokio::task::JoinSet;

use self::faults::faults;
use self::server::{Fault, serve};
use super::checker::Checker;
use super::examine;
use super::findings::Outcome;
use super::rule::Rule;
use crate::http_client::HttpClient;

/// How long it is watched, with spans coming all the time.
const WATCHED: Duration = Duration::from_millis(2_500);
const PAUSE: Duration = Duration::from_millis(40);

/// Spans as a service makes them.
async fn work(recorder: Recorder) {
    for number in 1..=WATCHED.as_millis() / PAUSE.as_millis() {
        let mut span = recorder.start("get /shop", Some(Kind::Server), None);
        span.tag("url.path", "/shop");
        let child = recorder.start("SELECT", Some(Kind::Client), Some(span.context()));
        child.finish();
        if number.is_multiple_of(5) {
            span.error("sold out");
        }
        span.finish();
        // One that nobody sampled, and that is kept because it failed.
        if number.is_multiple_of(4) {
            let caller = Context {
                sampled: Some(false),
                ..recorder.start("", None, None).context().clone()
            };
            recorder.start("post /pay", Some(Kind::Server), Some(&caller)).error("declined");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is found, by outcome.
struct Found {
    violated: BTreeMap<&'static str, String>,
    unseen: BTreeMap<&'static str, String>,
}

async fn found(options: Options, fault: Fault) -> Found {
    let recorder = Recorder::new(options);
    (1..=3).for_each(|id| recorder.record(&old(id)));
    let (address, _server) = serve(recorder.clone(), fault).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(work(recorder));
    let client = HttpClient::new(Duration::from_secs(20));
    let mut checker = Checker::new(client, format!("http://{address}/traces"));
    examine(&mut checker, WATCHED, true).await.unwrap();
    let mut found = Found { violated: BTreeMap::new(), unseen: BTreeMap::new() };
    for (rule, outcome) in checker.findings.all() {
        let name = rule.about().0;
        match outcome {
            Outcome::Passed => {}
            Outcome::Violated(violation) => {
                drop(found.violated.insert(name, format!("{violation:?}")));
            }
            Outcome::NotSeen { why } => drop(found.unseen.insert(name, why)),
        }
    }
    found
}

fn shop() -> Options {
    Options { service_name: "shop".to_owned(), cold_bytes_max: 1 << 20, ..Options::default() }
}

/// With a spool beside those of a process that is gone, and of one that lives.
struct Spooled {
    folder: tempfile::TempDir,
    _lives: Recorder,
}

impl Spooled {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("spool");
        let begin = |ids: std::ops::RangeInclusive<u64>| {
            let recorder = Recorder::new(Self::options(&dir));
            assert!(recorder.stats().spool.is_on);
            ids.for_each(|id| recorder.record(&old(id)));
            recorder
        };
        drop(begin(11..=13));
        Self { _lives: begin(21..=24), folder }
    }

    fn options(dir: &std::path::Path) -> Options {
        Options { hot_bytes_max: 1 << 20, spool: Some(SpoolOptions::at(dir)), ..shop() }
    }
}

/// A span of long ago.
fn old(id: u64) -> Span {
    Span {
        timestamp: Timestamp::from_micros(1),
        duration: Some(Duration::from_micros(id)),
        ..Span::new(TraceId::new(7).unwrap(), SpanId::new(id).unwrap())
    }
}

#[tokio::test]
async fn a_recorder_keeps_every_rule() {
    let found = found(shop(), Fault::None).await;
    assert_eq!(found.violated, BTreeMap::new());
    let unseen: Vec<_> = found.unseen.keys().copied().collect();
    // It is not shut down, and answers faster than it can be asked.
    let expected = ["final", "busy", "siblings", "other-epochs", "ended"];
    assert!(unseen.iter().all(|rule| expected.contains(rule)), "{:?}", found.unseen);
}

#[tokio::test]
async fn a_recorder_with_a_spool_keeps_every_rule() {
    let spooled = Spooled::new();
    let found = found(Spooled::options(&spooled.folder.path().join("spool")), Fault::None).await;
    assert_eq!(found.violated, BTreeMap::new());
    let unseen: Vec<_> = found.unseen.keys().copied().collect();
    assert!(unseen.iter().all(|rule| ["final", "busy"].contains(rule)), "{:?}", found.unseen);
}

/// Nor is there anything to complain of in one that has nothing but `/traces`.
#[tokio::test]
async fn a_target_that_does_no_more_than_it_must_breaks_no_rule() {
    let found = found(shop(), Fault::Bare).await;
    assert_eq!(found.violated, BTreeMap::new());
    for rule in ["collect", "tracez", "well-known", "budgets", "sampling", "one-trace"] {
        assert!(found.unseen.contains_key(rule), "{rule}: {:?}", found.unseen);
    }
}

#[tokio::test]
async fn a_target_without_spans_breaks_no_rule() {
    let recorder = Recorder::new(shop());
    let (address, _server) = serve(recorder, Fault::None).await;
    let client = HttpClient::new(Duration::from_secs(20));
    let mut checker = Checker::new(client, format!("http://{address}/traces"));
    examine(&mut checker, Duration::ZERO, false).await.unwrap();
    let lines = checker.findings.lines();
    assert!(lines.contains(" 0 violated, 0 warnings, "), "{lines}");
    assert!(lines.contains("the target holds no spans; see --for"), "{lines}");
}

#[tokio::test]
async fn a_target_that_evicts_all_the_time_breaks_no_rule() {
    let found = found(Options { hot_bytes_max: 8 << 10, ..shop() }, Fault::None).await;
    assert_eq!(found.violated, BTreeMap::new());
}

/// Each answer is a segment, and never the last one.
fn without_end(asked: &server::Asked, reply: &mut server::Reply) {
    let Some(own) = reply.next() else { return };
    let seq = asked.cursor().map_or(1, |cursor| cursor.seq.min(1 << 32));
    if reply.status == 204 {
        reply.status = 200;
        reply.set("content-type", media::OTLP);
    }
    let newest = seq + 1;
    reply.set(pull::RANGE, Range { epoch: own.epoch, first: seq, last: seq, newest });
    reply.set(pull::NEXT, Cursor { seq: newest, ..own });
    reply.set(pull::MORE, 1);
}

#[tokio::test]
async fn a_target_that_always_has_more_is_left_when_the_time_is_over() {
    let (address, _server) = serve(Recorder::new(shop()), Fault::After(without_end)).await;
    let client = HttpClient::new(Duration::from_secs(20));
    let mut checker = Checker::new(client, format!("http://{address}/traces"));
    checker.patience = Duration::ZERO;
    assert!(checker.watch(Duration::ZERO).await.is_some());
    let lines = checker.findings.lines();
    assert!(lines.contains("(it had more all the time; see --for)"), "{lines}");
}

/// Neither Thrift nor what a Loki server of 2017 wants.
fn without_thrift(parts: &mut http::request::Parts) {
    use http::HeaderValue;
    if parts.uri.path() != "/traces" {
        parts.uri = "/nowhere".parse().unwrap();
    }
    let is_thrift = parts.headers.get("accept").is_some_and(|value| value == media::THRIFT);
    if is_thrift {
        parts.headers.insert("accept", HeaderValue::from_static("text/plain"));
    } else if !parts.headers.keys().any(|n| n == "accept" || n.as_str().starts_with("sigyn-")) {
        parts.headers.insert("accept", HeaderValue::from_static("*/*"));
    }
}

#[tokio::test]
async fn a_target_without_thrift_breaks_no_rule() {
    let found = found(shop(), Fault::Before(without_thrift)).await;
    assert_eq!(found.violated, BTreeMap::new());
    assert!(found.unseen.contains_key("legacy-once"), "{:?}", found.unseen);
    // Nor does one that has nothing, and says so with 204.
    let (address, _server) = serve(Recorder::new(shop()), Fault::Before(without_thrift)).await;
    let client = HttpClient::new(Duration::from_secs(20));
    let mut checker = Checker::new(client, format!("http://{address}/traces"));
    examine(&mut checker, Duration::ZERO, false).await.unwrap();
    let lines = checker.findings.lines();
    assert!(lines.contains(" 0 violated, 0 warnings, "), "{lines}");
}

/// One fault a rule; what else it breaks follows from it.
#[tokio::test]
async fn every_fault_is_found() {
    let mut checks = JoinSet::new();
    // So many that none waits for the others for longer than a poll may take.
    let places = Arc::new(tokio::sync::Semaphore::new(16));
    let mut covered = BTreeSet::new();
    for (rule, also, fault) in faults() {
        covered.insert(rule);
        let places = Arc::clone(&places);
        checks.spawn(async move {
            let _place = places.acquire().await;
            let spooled = (rule.about().1 == 18).then(Spooled::new);
            let options = match &spooled {
                Some(spooled) => Spooled::options(&spooled.folder.path().join("spool")),
                None => shop(),
            };
            (rule, also, found(options, fault).await)
        });
    }
    let mut wrong = Vec::new();
    for (rule, also, found) in checks.join_all().await {
        let names: BTreeSet<_> = found.violated.keys().copied().collect();
        let name = rule.about().0;
        let allowed: BTreeSet<_> = also.iter().map(|rule| rule.about().0).chain([name]).collect();
        if !names.contains(name) || !names.is_subset(&allowed) {
            wrong.push((name, found.violated, found.unseen));
        }
    }
    assert!(wrong.is_empty(), "not found, or others are found: {wrong:#?}");
    // Nobody can tell a poll that was not woken from one that there was nothing for.
    let uncovered: Vec<_> = Rule::ALL.iter().filter(|rule| !covered.contains(rule)).collect();
    assert_eq!(uncovered, [&Rule::Wakes]);
}

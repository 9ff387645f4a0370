//! SIGKILL in the middle of scraping, pushing and sealing, again and again: what was acknowledged
//! is there, and nothing is there twice.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::http::{self, try_request};
use crate::program::{Tracer, until};
use crate::service::Service;

/// How often the tracer dies.
const ROUNDS: u64 = 50;
/// Ids of pushed spans begin here, those of scraped ones at 1.
const PUSHED: u64 = 1 << 40;
const PUSH_SPANS: u64 = 5;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start("shop");
    fs::write(
        folder.path().join("sigyn.yml"),
        format!(
            "global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}\nscrape_configs:\n  - job_name: shop\n    static_configs:\n      - targets: ['{}']\nsigyn: {{storage: {{seal_after: 100ms}}}}\n",
            service.address
        ),
    )
    .unwrap();
    let recorded = AtomicU64::new(0);
    let mut acknowledged = BTreeSet::new();
    let mut committed = 0;
    let mut next_push = PUSHED;
    for round in 0..ROUNDS {
        let tracer = Tracer::start(folder.path());
        let (address, first_push) = (tracer.address, next_push);
        let stop = Arc::new(AtomicBool::new(false));
        // A cursor that was committed covers spans that must be there: what the target says was
        // received never goes back over a crash.
        let at_start = until("the target is known", || received(&tracer, &service));
        assert!(at_start >= committed, "round {round}: {at_start} < {committed}");
        let (pushed, next) = std::thread::scope(|scope| {
            let recorder = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let from = recorded.fetch_add(10, Ordering::Relaxed) + 1;
                    service.record(from, 10);
                    std::thread::park_timeout(Duration::from_millis(2));
                }
            });
            let pusher = scope.spawn(|| {
                let mut pushed = Vec::new();
                let mut next = first_push;
                while !stop.load(Ordering::Relaxed) {
                    let spans: Vec<String> = (next..next + PUSH_SPANS)
                        .map(|n| format!(r#"{{"traceId":"{n:x}","id":"{n:x}","name":"pushed"}}"#))
                        .collect();
                    let body = format!("[{}]", spans.join(","));
                    let answer =
                        try_request(address, "POST", "/api/v2/spans", &[], body.as_bytes());
                    if answer.is_ok_and(|answer| answer.status == 202) {
                        pushed.extend(next..next + PUSH_SPANS);
                    }
                    next += PUSH_SPANS;
                }
                (pushed, next)
            });
            // A little later in each round, so that death comes at every point of the work.
            until("some spans are in", || {
                (received(&tracer, &service)? > at_start || round % 5 == 0).then_some(())
            });
            std::thread::park_timeout(Duration::from_millis(round * 7 % 90));
            committed = received(&tracer, &service).unwrap_or(committed).max(committed);
            tracer.kill();
            stop.store(true, Ordering::Relaxed);
            recorder.join().unwrap();
            pusher.join().unwrap()
        });
        next_push = next;
        acknowledged.extend(pushed);
    }
    assert!(!acknowledged.is_empty() && committed > 0);

    let tracer = Tracer::start(folder.path());
    let total = recorded.load(Ordering::Relaxed);
    until("everything recorded is accounted for", || {
        let target = tracer.target(&service.address.to_string())?;
        let (received, lost) =
            (target["sigyn"]["received"].as_u64()?, target["sigyn"]["lost"].as_u64()?);
        assert!(received + lost <= total, "{received} + {lost} > {total}: counted twice");
        (received + lost == total).then_some(())
    });
    let target = tracer.target(&service.address.to_string()).unwrap();
    assert_eq!(target["sigyn"]["lost"], 0, "the service still held everything");
    assert_eq!(target["sigyn"]["restarts"], 0);
    check_all(&tracer, 1..total + 1);
    check_all(&tracer, acknowledged.iter().copied());
    // Answers leave out what is stored twice, so what is stored is counted too: each span recorded,
    // and each pushed one that is there, acknowledged or not.
    let pushed = (PUSHED..next_push)
        .step_by(500)
        .map(|from| stored(&tracer, from, next_push.min(from + 500)));
    let expected = total + pushed.sum::<u64>();
    let status = || tracer.json("/api/v1/status/store")["data"].clone();
    assert_eq!(status()["spans"], expected, "{}", status());
    until("everything is sealed", || (status()["headSpans"] == 0).then_some(()));
    assert_eq!(status()["spans"], expected, "{}", status());
    check_all(&tracer, 1..total + 1);
    check_all(&tracer, acknowledged.iter().copied());
}

/// How many of these ids are stored.
fn stored(tracer: &Tracer, from: u64, to: u64) -> u64 {
    let list: Vec<String> = (from..to).map(|n| format!("{n:x}")).collect();
    let answer = tracer.json(&format!("/api/v2/traceMany?traceIds={}", list.join(",")));
    answer.as_array().unwrap().len() as u64
}

fn received(tracer: &Tracer, service: &Service) -> Option<u64> {
    let target = tracer.target(&service.address.to_string())?;
    // Before its first scrape nobody has looked into its books yet.
    (target["health"] != "unknown").then(|| target["sigyn"]["received"].as_u64())?
}

/// Each of these traces holds exactly one span.
fn check_all(tracer: &Tracer, ids: impl IntoIterator<Item = u64>) {
    let ids: Vec<u64> = ids.into_iter().collect();
    for ids in ids.chunks(500) {
        let list: Vec<String> = ids.iter().map(|n| format!("{n:x}")).collect();
        let answer = match list.as_slice() {
            [one] => format!("[{}]", tracer.get(&format!("/api/v2/trace/{one}")).text()),
            many => {
                http::get(tracer.address, &format!("/api/v2/traceMany?traceIds={}", many.join(",")))
                    .text()
            }
        };
        let traces: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let traces = traces.as_array().unwrap();
        assert_eq!(
            traces.len(),
            ids.len(),
            "some of {}..={} are missing",
            ids[0],
            ids[ids.len() - 1]
        );
        for trace in traces {
            assert_eq!(trace.as_array().unwrap().len(), 1, "{trace} is stored twice");
        }
    }
}

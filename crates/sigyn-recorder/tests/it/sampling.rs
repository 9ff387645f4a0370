//! Which traces that begin here are recorded: as set, as scrapers want it, and while the log fills.

use std::time::Duration;

use http::StatusCode;
use sigyn_model::pull::{self, Sampled};
use sigyn_recorder::{ActiveSpan, Options, propagation};

use crate::target::{ANY, OTLP, Target};

const NAMED: &str = "Sigyn-Scraper: a";

fn target(sample_rate: f64) -> Target {
    Target::with(Options { sample_rate, guaranteed_every: None, ..Options::default() })
}

/// The share of so many traces that is recorded.
fn share(target: &Target, name: &'static str) -> f64 {
    let before = target.recorder.stats().finished;
    for _ in 0..2_000 {
        target.recorder.start(name, None, None).finish();
    }
    (target.recorder.stats().finished - before) as f64 / 2_000.0
}

fn assert_about(is: f64, expected: f64) {
    assert!((is - expected).abs() < 0.05, "{is} and not about {expected}");
}

#[tokio::test]
async fn scrapers_say_what_they_want_of_operations() {
    let target = target(0.5);
    assert_about(share(&target, "get /"), 0.5);
    let wish = format!(
        "{}: rate=0.1,operation:POST%20%2Fpay=1,operation:get%20%2Fhealth=0",
        pull::SAMPLING
    );
    let answer = target.get("/traces", &[NAMED, &wish]).await;
    let applied: Sampled = answer.header(pull::SAMPLED).unwrap().parse().unwrap();
    assert_eq!((applied.rate, applied.operations), (Some(0.1), Some(2)));
    assert_about(share(&target, "get /"), 0.1);
    assert_about(share(&target, "post /pay"), 1.0);
    assert_about(share(&target, "get /health"), 0.0);
    // Another scraper that has no wish wants what is set.
    target.get("/traces", &["Sigyn-Scraper: b"]).await;
    assert_about(share(&target, "get /"), 0.5);
    assert_about(share(&target, "get /health"), 0.5);
    assert_about(share(&target, "post /pay"), 1.0);
    // Who wishes nothing any more, or something that cannot be read.
    target.get("/traces", &[NAMED, "Sigyn-Sampling: rate=2"]).await;
    assert_about(share(&target, "post /pay"), 0.5);
}

#[tokio::test]
async fn a_wish_ends_with_its_lease_and_peeks_have_none() {
    let target = target(1.0);
    target.get("/traces", &["Sigyn-Sampling: rate=0", ANY]).await;
    assert_about(share(&target, "get /"), 1.0);
    target.get("/traces", &[NAMED, "Sigyn-Sampling: rate=0"]).await;
    assert_about(share(&target, "get /"), 0.0);
    target.clock.advance(Duration::from_secs(5 * 60));
    assert_about(share(&target, "get /"), 1.0);
}

#[tokio::test]
async fn a_wish_for_more_ends_with_its_lease_as_well() {
    let target = target(0.25);
    for wish in ["Sigyn-Sampling: rate=1", "Sigyn-Sampling: rate=0.25,operation:get%20%2F=1"] {
        target.get("/traces", &[NAMED, wish]).await;
        assert_about(share(&target, "get /"), 1.0);
        target.clock.advance(Duration::from_secs(5 * 60));
        assert_about(share(&target, "get /"), 0.25);
        // What it says of the traces that it records from now on is true again, too.
        let mut spans = (0..1_000).map(|_| target.recorder.start("get /", None, None));
        let span = spans.find(ActiveSpan::is_sampled).unwrap();
        assert_eq!(span.context().trace_state, "ot=th:c");
    }
}

#[tokio::test]
async fn each_operation_has_a_trace_once_in_a_while() {
    let target = Target::with(Options { sample_rate: 0.000_001, ..Options::default() });
    let names = ["get /a", "get /b", "get /c"];
    for minute in 1..=3 {
        for _ in 0..100 {
            for name in names {
                target.recorder.start(name, None, None).finish();
            }
        }
        let stats = target.recorder.stats();
        assert_eq!(stats.activity.guaranteed, 3 * minute);
        assert_eq!(stats.operations, 3);
        target.clock.advance(Duration::from_secs(60));
    }
    // Names that are no literals, too.
    for n in 0..10 {
        target.recorder.start(&format!("get /{n}"), None, None).finish();
    }
    assert_eq!(target.recorder.stats().activity.guaranteed, 19);
}

#[tokio::test]
async fn a_sampled_trace_says_how_many_it_stands_for() {
    let target = target(0.25);
    let mut told = 0;
    for _ in 0..100 {
        let span = target.recorder.start("get /", None, None);
        let mut headers = http::HeaderMap::new();
        propagation::inject(span.context(), &mut headers);
        let state = headers.get("tracestate").map(|state| state.to_str().unwrap().to_owned());
        assert_eq!(state.as_deref(), span.is_sampled().then_some("ot=th:c"));
        told += usize::from(span.is_sampled());
    }
    let spans = target.get("/traces", &[NAMED, &format!("Accept: {OTLP}")]).await.spans();
    assert_eq!(spans.len(), told);
    assert!(spans.iter().all(|span| span.trace_state == "ot=th:c"));
}

#[tokio::test]
async fn while_the_log_fills_fewer_traces_begin_and_none_is_torn() {
    let target = Target::with(Options {
        hot_bytes_max: 1 << 20,
        guaranteed_every: None,
        ..Options::default()
    });
    // Nobody follows: the log is what it is, and the oldest go.
    assert_about(share(&target, "get /"), 1.0);
    let cursor = target.scrape("a", None).await.next();
    // It follows from when it comes back on.
    let mut cursor = target.scrape("a", Some(cursor)).await.next();
    let mut begun = 0;
    let mut fill = |target: &Target, traces: u64| {
        for _ in 0..traces {
            let parent = target.recorder.start("get /", None, None);
            target.recorder.start("within", None, Some(parent.context())).finish();
        }
        begun += traces;
        target.recorder.stats()
    };
    let stats = fill(&target, 100_000);
    assert!(stats.activity.over_budget > 20_000, "{stats:?}");
    let mut spans = 0;
    let mut answer;
    loop {
        answer = target.scrape("a", Some(cursor)).await;
        spans += answer.ids().len();
        cursor = answer.next();
        if !answer.more() {
            break;
        }
    }
    assert!(spans > 2_000, "{spans}");
    // It is read: all are recorded again.
    assert_eq!(target.scrape("a", Some(cursor)).await.status, StatusCode::NO_CONTENT);
    let before = target.recorder.stats();
    let after = fill(&target, 100);
    assert_eq!(after.finished - before.finished, 200);
    assert_eq!(after.activity.over_budget, before.activity.over_budget);
}

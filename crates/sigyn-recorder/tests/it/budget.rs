//! How full the log is, and what is left out where all who read it have a budget.

use std::time::Duration;

use sigyn_model::pull::{self, Log, Sampled};
use sigyn_model::{SpanId, TraceId};
use sigyn_recorder::{Context, Options};

use crate::target::{Answer, Target};

const NAMED: &str = "Sigyn-Scraper: a";
const BUDGET: &str = "Sigyn-Budget: 100";

impl Answer {
    fn log(&self) -> Log {
        self.header(pull::LOG).unwrap().parse().unwrap()
    }

    fn sampled(&self) -> Sampled {
        self.header(pull::SAMPLED).unwrap().parse().unwrap()
    }
}

/// So many traces of one span begin in a second.
async fn second(target: &Target, traces: u32, headers: &[&str]) -> Answer {
    for _ in 0..traces {
        target.recorder.start("get /", None, None).finish();
    }
    target.clock.advance(Duration::from_secs(1));
    target.get("/traces", headers).await
}

#[tokio::test]
async fn an_answer_says_how_full_the_log_was_and_how_long_it_lasts() {
    let target = Target::sized(1 << 20);
    let log = target.get("/traces", &[NAMED]).await.log();
    assert_eq!(log, Log { bytes: 0, max_bytes: 1 << 20, lasts: None });
    let answer = second(&target, 100, &[NAMED]).await;
    let log = answer.log();
    assert!(log.bytes > 0);
    let seconds = log.lasts.unwrap().as_secs_f64();
    assert!((seconds * log.bytes as f64 / f64::from(1 << 20) - 1.0).abs() < 0.05, "{log}");
    // What was read and acknowledged is held, and is no fill.
    let cursor = format!("{}: {}", pull::CURSOR, answer.next());
    let answer = second(&target, 0, &[NAMED, &cursor]).await;
    assert_eq!((answer.log().bytes, answer.log().lasts), (0, None));
}

#[tokio::test]
async fn the_first_answer_speaks_of_the_time_since_the_recorder_began() {
    let target = Target::sized(1 << 20);
    let log = second(&target, 100, &[NAMED]).await.log();
    let seconds = log.lasts.unwrap().as_secs_f64();
    assert!((seconds * log.bytes as f64 / f64::from(1 << 20) - 1.0).abs() < 0.05, "{log}");
}

#[tokio::test]
async fn over_budget_fewer_traces_are_recorded_and_the_rest_is_counted() {
    let target = Target::new();
    let mut begun = 0;
    for _ in 0..20 {
        begun += 1_000;
        second(&target, 1_000, &[NAMED, BUDGET]).await;
    }
    let answer = second(&target, 0, &[NAMED, BUDGET]).await;
    let (stats, sampled) = (target.recorder.stats(), answer.sampled());
    assert_eq!(stats.finished + sampled.traces, begun, "each is in one place");
    assert_eq!(stats.activity.over_budget, sampled.traces);
    // The first second came before anybody had said anything.
    assert!((1_000..6_000).contains(&stats.finished), "{}", stats.finished);
    // Room again: soon all are recorded.
    for _ in 0..5 {
        second(&target, 0, &[NAMED, BUDGET]).await;
    }
    let before = target.recorder.stats().finished;
    second(&target, 50, &[NAMED, BUDGET]).await;
    assert_eq!(target.recorder.stats().finished, before + 50);
}

#[tokio::test]
async fn callers_are_obeyed_and_traces_stay_whole() {
    let target = Target::new();
    for _ in 0..5 {
        second(&target, 10_000, &[NAMED, BUDGET]).await;
    }
    let sampled = Context {
        trace_id: TraceId::new(u128::from(u64::MAX)).unwrap(),
        span_id: SpanId::new(1),
        parent_id: None,
        sampled: Some(true),
        debug: false,
        trace_state: String::new(),
    };
    let before = target.recorder.stats().finished;
    for _ in 0..100 {
        let span = target.recorder.start("get /", None, Some(&sampled));
        target.recorder.start("within", None, Some(span.context())).finish();
    }
    assert_eq!(target.recorder.stats().finished, before + 200);
}

#[tokio::test]
async fn who_has_no_budget_gets_everything() {
    let target = Target::new();
    second(&target, 0, &["Sigyn-Scraper: b"]).await;
    for _ in 0..3 {
        second(&target, 1_000, &[NAMED, BUDGET]).await;
        second(&target, 1_000, &["Sigyn-Scraper: b"]).await;
    }
    assert_eq!(target.recorder.stats().activity.over_budget, 0);
    // Words that are no budget are none.
    for text in ["Sigyn-Budget: 0", "Sigyn-Budget: -1", "Sigyn-Budget: inf", "Sigyn-Budget: x"] {
        second(&target, 1_000, &[NAMED, text]).await;
        assert!((second(&target, 0, &[NAMED, text]).await.sampled().share - 1.0).abs() < 1e-9);
    }
}

#[tokio::test]
async fn a_budget_ends_with_the_lease_of_those_who_set_it() {
    let target = Target::with(Options { service_name: "shop".to_owned(), ..Options::default() });
    for _ in 0..5 {
        second(&target, 10_000, &[NAMED, BUDGET]).await;
    }
    let begin = || {
        let before = target.recorder.stats().finished;
        for _ in 0..1_000 {
            target.recorder.start("get /", None, None).finish();
        }
        target.recorder.stats().finished - before
    };
    assert!(begin() < 500);
    target.clock.advance(Duration::from_secs(300));
    assert_eq!(begin(), 1_000);
}

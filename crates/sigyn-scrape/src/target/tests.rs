//! States, windows and bounds of one target, under paused time.

use std::time::UNIX_EPOCH;

use sigyn_discovery::TargetGroup;
use sigyn_discovery::config::Job;
use sigyn_discovery::target::populate;
use sigyn_model::{Losses, Span, SpanId, TraceId};

use super::*;

const INTERVAL: Duration = Duration::from_secs(10);

/// A target of `job`, scraped every 10 s, whose states look back three intervals.
fn tracked(job: &str, context: &Arc<Context>) -> Tracked {
    let mut job = Job::new(job);
    job.scrape_interval = INTERVAL;
    let group = TargetGroup {
        targets: vec![Labels::from_iter([("__address__", "127.0.0.1:80")])],
        ..TargetGroup::default()
    };
    let target = populate(&job, "/traces", &[Arc::new(group)]).active.remove(0);
    Tracked::new(target, "key".to_owned(), Arc::clone(context), 3, 0)
}

fn tick(spans: u64, end: End) -> Tick {
    Tick {
        at: UNIX_EPOCH,
        took: Duration::ZERO,
        status: "200 OK".to_owned(),
        bytes: 100 * spans,
        spans,
        read_to_end: matches!(end, End::Done),
        end,
    }
}

fn lost(lost: Losses) -> TargetProgress {
    TargetProgress { account: Account { lost, ..Account::default() }, ..TargetProgress::default() }
}

fn failed() -> End {
    End::Failed(FailureCause::Timeout, "too late".to_owned())
}

async fn next_interval() {
    tokio::time::advance(INTERVAL).await;
}

#[tokio::test(start_paused = true)]
async fn the_most_pressing_state_is_shown() {
    let target = tracked("a", &Arc::new(Context::default()));
    let check = |expected| assert_eq!(target.status(Instant::now()).state, expected);
    check(State::Unknown);
    target.scraped(tick(1, End::Done));
    check(State::Up);
    target.committed(&lost(Losses { evicted: 3, ..Losses::default() }), UNIX_EPOCH);
    check(State::Lossy);
    target.scraped(tick(0, End::NotTraced("404".to_owned())));
    check(State::NotTraced);
    target.scraped(tick(0, failed()));
    check(State::Down);
    target.scraped(tick(1, End::Done));
    check(State::Lossy);
    for _ in 0..3 {
        next_interval().await;
    }
    check(State::Silent);
    target.scraped(tick(1, End::Done));
    check(State::Up);
}

#[tokio::test(start_paused = true)]
async fn a_target_is_silent_after_its_intervals_and_not_before() {
    let target = tracked("a", &Arc::new(Context::default()));
    let state = || target.status(Instant::now()).state;
    for _ in 0..3 {
        target.scraped(tick(0, End::Done));
        assert_eq!(state(), State::Up);
        next_interval().await;
    }
    target.scraped(tick(0, End::Done));
    assert_eq!(state(), State::Silent);
    target.scraped(tick(1, End::Done));
    assert_eq!(state(), State::Up);
}

#[tokio::test(start_paused = true)]
async fn context_is_lost_only_where_enough_spans_say_so() {
    let context = Arc::new(Context::default());
    let (target, other) = (tracked("a", &context), tracked("b", &context));
    let span = |id: u64| Span::new(TraceId::new(u128::from(id)).unwrap(), SpanId::new(1).unwrap());
    let spans = |id: u64| sigyn_model::SpanBatch::of(&[span(id)], None).spans;
    other.observe(&spans(1));
    let state = || target.status(Instant::now()).state;
    target.observe(&spans(2));
    target.scraped(tick(CONTEXT_SPANS_MIN - 1, End::Done));
    assert_eq!(state(), State::Up);
    target.scraped(tick(1, End::Done));
    assert_eq!(state(), State::ContextLost);
    drop(other);
    assert_eq!(state(), State::Up);
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_are_counted_from_the_first() {
    let target = tracked("a", &Arc::new(Context::default()));
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    for (second, row) in [(5, 1), (6, 2)] {
        let failed = Tick { at: at(second), ..tick(0, failed()) };
        assert_eq!(target.scraped(failed), row);
    }
    let status = target.status(Instant::now());
    assert_eq!((status.failures_in_a_row, status.failing_since), (2, Some(at(5))));
    assert_eq!((status.health, status.failures.timeout), (Health::Down, 2));
    assert_eq!(target.scraped(tick(0, End::Done)), 0);
    let status = target.status(Instant::now());
    assert_eq!((status.failing_since, status.last_error), (None, None));
    let last = status.last_failure.map(|failure| (failure.at, failure.cause));
    assert_eq!(last, Some((at(6), FailureCause::Timeout)), "it is remembered");
    assert_eq!((status.scrapes_total, status.failures.total()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn it_is_told_when_a_target_is_asked_next() {
    let target = tracked("a", &Arc::new(Context::default()));
    let next = || {
        let status = target.status(Instant::now());
        let left = |at: SystemTime| at.duration_since(SystemTime::now()).unwrap_or_default();
        let hours = |at: Option<SystemTime>| at.map(|at| (left(at).as_secs_f64() / 3600.0).round());
        (hours(status.next_scrape), hours(status.next_pull), status.span_budget)
    };
    const HOUR: Duration = Duration::from_secs(3600);
    target.begins(Some(50));
    assert_eq!(next(), (None, None, Some(50)));
    target.scraped_next(Instant::now() + 10 * HOUR);
    target.pulled_next(Some(Instant::now() + 2 * HOUR));
    assert_eq!(next(), (Some(10.0), Some(2.0), Some(50)));
    target.begins(None);
    assert_eq!(next(), (None, None, None), "another loop has other instants");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_its_fault_is_not_held_against_a_target() {
    let target = tracked("a", &Arc::new(Context::default()));
    let check = |end: End, health, in_a_row| {
        assert_eq!(target.scraped(tick(0, end)), in_a_row);
        let status = target.status(Instant::now());
        assert_eq!((status.health, status.failing_since.is_some()), (health, in_a_row > 0));
    };
    let busy = || End::Busy("429".to_owned());
    let not_stored = || End::NotStored("full".to_owned());
    check(busy(), Health::Unknown, 1);
    check(not_stored(), Health::Up, 0);
    check(busy(), Health::Up, 1);
    check(failed(), Health::Down, 2);
    check(busy(), Health::Down, 3);
    check(not_stored(), Health::Up, 0);
    let failures = target.status(Instant::now()).failures;
    assert_eq!((failures.status, failures.commit, failures.timeout), (3, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn problems_are_shown_together_until_they_are_over_and_texts_are_bounded() {
    let target = tracked("a", &Arc::new(Context::default()));
    let shown = || target.status(Instant::now()).last_problem;
    assert_eq!(shown(), None);
    assert!(target.note(Problem::RefusedSpans, "no id".to_owned()));
    assert!(!target.note(Problem::RefusedSpans, "no trace id".to_owned()));
    assert!(target.note(Problem::Contradiction, "too few".to_owned()));
    assert_eq!(shown().as_deref(), Some("too few; no trace id"));
    target.clear(Problem::Contradiction);
    assert_eq!(shown().as_deref(), Some("no trace id"));
    target.note(Problem::RefusedSpans, "x".repeat(1 << 20));
    assert_eq!(shown().map(|text| text.chars().count()), Some(300));
    target.scraped(tick(0, End::NotTraced("x".repeat(1 << 20))));
    let status = target.status(Instant::now());
    let kept = status.recent.last().and_then(|record| record.error.as_ref());
    assert_eq!(kept.map(|text| text.chars().count()), Some(300));
    assert_eq!(status.last_error.map(|text| text.chars().count()), Some(300));
}

#[tokio::test(start_paused = true)]
async fn a_target_is_read_through_its_last_whole_scrape() {
    let target = tracked("a", &Arc::new(Context::default()));
    let at = |second| UNIX_EPOCH + Duration::from_secs(second);
    let check = |second: u64, read_to_end, end, expected: Option<u64>| {
        target.scraped(Tick { at: at(second), read_to_end, ..tick(1, end) });
        assert_eq!(target.status(Instant::now()).read_through, expected.map(at));
    };
    check(1, false, failed(), None);
    check(2, false, End::Done, None);
    check(3, true, End::Done, Some(3));
    check(4, false, End::NotStored("full".to_owned()), Some(3));
    target.note(Problem::SeveralProcesses, "two".to_owned());
    check(5, true, End::Done, Some(3));
    target.clear(Problem::SeveralProcesses);
    check(6, true, End::Done, Some(6));
}

#[tokio::test(start_paused = true)]
async fn losses_are_windows_by_reason_and_one_explained_later_is_none() {
    let target = tracked("a", &Arc::new(Context::default()));
    let windows = || {
        let windows = target.status(Instant::now()).loss_windows;
        windows.iter().map(|window| (window.reason, window.spans)).collect::<Vec<_>>()
    };
    let losses = Losses { before_first_scrape: 5, ..Losses::default() };
    target.committed(&lost(losses), UNIX_EPOCH);
    target.scraped(tick(0, End::Done));
    assert_eq!(target.status(Instant::now()).state, State::Up, "nobody read it then");
    let losses = Losses { evicted: 2, unexplained: 4, ..losses };
    target.committed(&lost(losses), UNIX_EPOCH);
    target.committed(&lost(Losses { unexplained: 0, ..losses }), UNIX_EPOCH);
    let expected = [
        (LossReason::BeforeFirstScrape, 5),
        (LossReason::Evicted, 2),
        (LossReason::Unexplained, 4),
    ];
    assert_eq!(windows(), expected);
    for evicted in 3..200 {
        target.committed(&lost(Losses { evicted, ..losses }), UNIX_EPOCH);
    }
    assert_eq!(windows().len(), LOSS_WINDOWS_MAX);
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_that_of_the_last_scrapes_and_all_lists_are_bounded() {
    let target = tracked("a", &Arc::new(Context::default()));
    // What the first scrape finds was made at an unknown time.
    target.scraped(tick(1_000_000, End::Done));
    assert!(target.status(Instant::now()).spans_per_second < f64::EPSILON);
    for _ in 0..100 {
        next_interval().await;
        target.scraped(tick(50, End::Done));
    }
    let status = target.status(Instant::now());
    assert!((status.spans_per_second - 5.0).abs() < 0.001);
    assert_eq!((status.history.len(), status.recent.len()), (HISTORY_MAX, RECENT_MAX));
    assert_eq!((status.last_spans, status.last_bytes), (50, 5000));
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_read_from_the_quickest_answer() {
    let target = tracked("a", &Arc::new(Context::default()));
    let measured = |offset_ns, round_trip_ms| {
        let round_trip = Duration::from_millis(round_trip_ms);
        target.measured(ClockSample { offset_ns, round_trip });
        target.status(Instant::now()).clock_offset_ns
    };
    assert_eq!(measured(7, 10), Some(7));
    assert_eq!(measured(500, 900), Some(7));
    assert_eq!(measured(9, 1), Some(9));
    let last = (0..CLOCK_SAMPLES_MAX).fold(None, |_, _| measured(20, 30)).unwrap();
    assert_eq!(last, 20, "an old sample says nothing of a clock that drifts");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_is_seen_at_once() {
    let target = tracked("a", &Arc::new(Context::default()));
    let measured = |offset_ms: i64, round_trip_ms| {
        let round_trip = Duration::from_millis(round_trip_ms);
        target.measured(ClockSample { offset_ns: offset_ms * 1_000_000, round_trip });
        target.status(Instant::now()).clock_offset_ns.map(|ns| ns / 1_000_000)
    };
    assert_eq!(measured(0, 2), Some(0));
    assert_eq!(measured(11, 20), Some(0), "both can be true: 1 + 10");
    assert_eq!(measured(-3_600_000, 30), Some(-3_600_000), "an hour back");
    assert_eq!(measured(-3_600_012, 8), Some(-3_600_012));
    assert_eq!(measured(i64::MAX / 1_000_000, 40), Some(i64::MAX / 1_000_000), "no overflow");
    assert_eq!(measured(i64::MIN / 1_000_000, 40), Some(i64::MIN / 1_000_000));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_finds_no_memory_says_nothing_of_its_target() {
    let target = tracked("a", &Arc::new(Context::default()));
    let crowded = || tick(0, End::Crowded("no memory".to_owned()));
    let health = || target.status(Instant::now()).health;
    target.scraped(crowded());
    assert_eq!(health(), Health::Unknown);
    target.scraped(tick(0, failed()));
    assert_eq!((target.scraped(crowded()), health()), (1, Health::Down));
    target.scraped(tick(1, End::Done));
    target.scraped(crowded());
    let status = target.status(Instant::now());
    assert_eq!((status.health, status.failures.commit), (Health::Up, 3));
    assert_eq!(status.last_error.as_deref(), Some("no memory"));
    target.scraped(tick(0, failed()));
    assert_eq!(target.scraped(tick(1, End::Crowded("no memory".to_owned()))), 0, "a page was read");
    assert_eq!(health(), Health::Up);
}

#[tokio::test(start_paused = true)]
async fn a_target_may_be_busy_for_some_intervals_and_not_for_more() {
    let target = tracked("a", &Arc::new(Context::default()));
    let busy = || target.scraped(tick(0, End::Busy("later".to_owned())));
    let health = || target.status(Instant::now()).health;
    target.scraped(tick(1, End::Done));
    assert!(!target.left_alone(), "for another reason");
    assert_eq!((busy(), target.left_alone(), health()), (1, false, Health::Up));
    assert_eq!((target.left_alone(), health()), (true, Health::Down));
    assert!(!target.left_alone(), "told once");
    assert_eq!((target.scraped(tick(1, End::Done)), health()), (0, Health::Up));
    assert_eq!(([busy(), busy()], health()), ([1, 2], Health::Up));
    assert!(!target.tell(), "it is not down yet");
    assert_eq!((busy(), health()), (3, Health::Down));
    assert_eq!((target.tell(), target.tell(), target.is_told()), (true, false, true));
    assert_eq!(target.scraped(tick(1, End::Busy("later".to_owned()))), 0, "a page came before it");
    assert!(!target.is_told());
    assert_eq!((busy(), health()), (1, Health::Up));
}

//! Long polls, too many requests, and the drain.

use std::task::{Context, Waker};
use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::target::{ANY, Answer, Target, span};

const WAIT: &str = "Prefer: wait=10";

/// A request that waits in the background.
#[derive(Debug)]
struct Waiting(JoinSet<Answer>);

impl Waiting {
    /// Returns once the request has nothing to do but wait.
    async fn start(target: &Target, headers: &'static [&str]) -> Self {
        let mut tasks = JoinSet::new();
        let (target, start) = (target.clone(), Instant::now());
        tasks.spawn(async move { target.get("/traces", headers).await });
        tokio::task::yield_now().await;
        assert_eq!(start, Instant::now());
        Self(tasks)
    }

    async fn answer(mut self) -> Answer {
        self.0.join_next().await.unwrap().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_wait_ends_in_time() {
    let target = Target::new();
    let check = async |headers: &[&str], expected: f64| {
        let start = Instant::now();
        assert_eq!(target.get("/traces", headers).await.status, StatusCode::NO_CONTENT);
        let took = start.elapsed().as_secs_f64();
        assert!((took - expected).abs() < 0.01, "{headers:?}: {took}");
    };
    let timeout = "X-Prometheus-Scrape-Timeout-Seconds: 10.000000";
    check(&[ANY], 0.0).await;
    check(&[ANY, "Prefer: wait=0"], 0.0).await;
    check(&[ANY, WAIT], 10.0).await;
    check(&[ANY, "Prefer: respond-async, Wait=3"], 3.0).await;
    check(&[ANY, "Prefer: respond-async; wait=\"3\""], 3.0).await;
    check(&[ANY, "Prefer: wait=x"], 0.0).await;
    check(&[ANY, "Prefer: wait=3600"], 60.0).await;
    check(&[ANY, WAIT, timeout], 8.0).await;
    check(&[ANY, "Prefer: wait=5", timeout], 5.0).await;
}

#[tokio::test(start_paused = true)]
async fn an_ordinary_span_waits_for_the_end_and_is_sealed_then() {
    let target = Target::new();
    let start = Instant::now();
    let answer = Waiting::start(&target, &[ANY, WAIT]).await;
    target.record([1]);
    let answer = answer.answer().await;
    assert_eq!(answer.ids(), [1]);
    assert!(start.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn an_error_ends_the_wait_at_once() {
    let target = Target::new();
    let start = Instant::now();
    let answer = Waiting::start(&target, &[ANY, WAIT]).await;
    target.record([1]);
    target.recorder.start("failing", None, None).error("broken");
    assert_eq!(answer.answer().await.spans().len(), 2);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn sixty_four_kibibytes_end_the_wait_at_once() {
    let target = Target::new();
    let start = Instant::now();
    let answer = Waiting::start(&target, &[ANY, WAIT]).await;
    let mut big = span(1);
    big.name = "x".repeat(1_000);
    let mut recorded = 0;
    while target.recorder.stats().bytes < 64 * 1024 {
        target.recorder.record(&big);
        recorded += 1;
    }
    assert_eq!(answer.answer().await.spans().len(), recorded);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn sealed_segments_are_answered_at_once_and_nothing_else_is_sealed() {
    let target = Target::new();
    target.record([1]);
    target.get("/traces", &[ANY]).await;
    target.record([2]);
    let start = Instant::now();
    let answer = target.get("/traces", &[ANY, WAIT]).await;
    assert_eq!((answer.ids(), answer.finished()), (vec![1], 1), "counted at the seal of newest");
    assert_eq!(target.recorder.stats().newest, 1);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_one_request_seals_answers_the_other_that_waits() {
    let target = Target::new();
    let answer = Waiting::start(&target, &[ANY, WAIT]).await;
    target.record([1]);
    assert_eq!(target.get("/traces", &[ANY]).await.ids(), [1]);
    let start = Instant::now();
    assert_eq!(answer.answer().await.ids(), [1]);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn four_scrapers_at_once_and_two_others_and_no_more() {
    let target = Target::new();
    target.record([1]);
    let named = [ANY, "Sigyn-Scraper: a"];
    for (count, headers) in [(2, &named[..1]), (4, &named[..])] {
        // Whoever is at work lets others have their turn after each segment.
        let mut working: Vec<_> =
            (0..count).map(|_| Box::pin(target.get("/traces", headers))).collect();
        for request in &mut working {
            let polled = request.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
        }
        let busy = target.recorder.stats().activity.busy;
        let refused = target.get("/traces", headers).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers.len(), 1, "{:?}", refused.headers);
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(target.recorder.stats().activity.busy, busy + 1);
        // Neither takes the places of the other.
        let of_others = target.get("/traces", if count == 2 { &named } else { &named[..1] }).await;
        assert_eq!(of_others.ids(), [1]);
        for answer in working {
            assert_eq!(answer.await.ids(), [1]);
        }
        assert_eq!(target.get("/traces", headers).await.status, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_keep_nobody_from_scraping() {
    let target = Target::new();
    let mut waits = Vec::new();
    for _ in 0..64 {
        waits.push(Waiting::start(&target, &[ANY, WAIT]).await);
    }
    let start = Instant::now();
    assert_eq!(target.scrape("a", None).await.status, StatusCode::NO_CONTENT);
    // One more cannot wait, but is answered.
    assert_eq!(target.get("/traces", &[ANY, WAIT]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(target.recorder.stats().activity.waits_refused, 1);
    // All wake at once, and none is sent away for that.
    target.recorder.start("failing", None, None).error("wakes all");
    for wait in waits {
        assert_eq!(wait.answer().await.status, StatusCode::OK);
    }
    assert_eq!(target.recorder.stats().activity.busy, 0);
    Waiting::start(&target, &[ANY, "Prefer: wait=10", "Sigyn-Cursor: 1:1"]).await.answer().await;
    assert_eq!(target.recorder.stats().activity.waits_refused, 1, "places are given back");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_gives_its_place_back() {
    let target = Target::new();
    for _ in 0..10 {
        let request = target.get("/traces", &[ANY, "Prefer: wait=50"]);
        assert!(timeout(Duration::from_millis(1), request).await.is_err());
    }
    assert_eq!(target.get("/traces", &[ANY]).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_every_wait() {
    let target = Target::new();
    let start = Instant::now();
    let answer = Waiting::start(&target, &["Sigyn-Scraper: a", WAIT]).await;
    target.record([1]);
    target.recorder.shut_down();
    let answer = answer.answer().await;
    assert!(answer.is_final());
    assert_eq!(answer.ids(), [1]);
    assert!(target.get("/traces", &[ANY, WAIT]).await.is_final());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_when_all_leased_scrapers_have_everything() {
    let target = Target::new();
    target.record([1]);
    target.scrape("a", None).await;
    target.scrape("b", None).await;
    target.record([2]);
    let start = Instant::now();
    let (drain, ()) = tokio::join!(target.recorder.drained(Duration::from_secs(30)), async {
        for name in ["a", "b"] {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let answer = target.scrape(name, None).await;
            assert!(answer.is_final());
            target.scrape(name, Some(answer.next())).await;
        }
    });
    assert_eq!(drain.lost, 0);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_when_time_is_up_is_lost_to_the_shutdown() {
    let target = Target::new();
    target.record([1]);
    let answer = target.scrape("a", None).await;
    target.scrape("a", Some(answer.next())).await;
    target.record(2..=4);
    let start = Instant::now();
    assert_eq!(target.recorder.drained(Duration::from_secs(30)).await.lost, 3);
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.buffered, stats.dropped.shutdown), (1, 0, 3));

    // A scraper that comes later still gets them, and then they are not lost.
    let answer = target.scrape("a", Some(answer.next())).await;
    assert_eq!((answer.ids(), answer.dropped().shutdown), (vec![2, 3, 4], 0));
    target.scrape("a", Some(answer.next())).await;
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.dropped.shutdown), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn with_nothing_to_deliver_there_is_nothing_to_wait_for() {
    let target = Target::new();
    let start = Instant::now();
    assert_eq!(target.recorder.drained(Duration::from_secs(30)).await.lost, 0);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn spans_that_nobody_ever_asked_for_get_their_chance() {
    let target = Target::new();
    target.record([1]);
    let start = Instant::now();
    assert_eq!(target.recorder.drained(Duration::from_secs(30)).await.lost, 1);
    assert_eq!(start.elapsed(), Duration::from_secs(30));
}

#[tokio::test]
async fn slow_readers_do_not_make_the_process_grow_and_keep_no_scraper_out() {
    let target = Target::sized(1 << 20);
    // More than fits the log, in a format that takes several times as much.
    target.record(1..=20_000);
    let mut unread = Vec::new();
    let mut read_slowly = async |name: Option<&str>| {
        let json = r#"application/json; profile="otlp""#;
        let mut request = http::Request::get("/traces").header("accept", json);
        request = name.into_iter().fold(request, |it, name| it.header("sigyn-scraper", name));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        for answered in 0.. {
            let answer = target.exposition.respond(&parts).await;
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                assert!(answer.headers().contains_key("retry-after") && answered > 0);
                break;
            }
            assert!(answered < 3, "no bound");
            assert_eq!(answer.headers()["sigyn-more"], "1", "the rest comes later");
            let len = answer.headers()["content-length"].to_str().unwrap();
            assert!(len.parse::<usize>().unwrap() <= 1 << 20);
            unread.push(answer);
        }
    };
    read_slowly(None).await;
    read_slowly(Some("slow")).await;
    // Who has another lease is served, and who looks at something else.
    assert_eq!(target.get("/tracez", &[ANY]).await.status, StatusCode::OK);
    assert_eq!(target.scrape("a", None).await.status, StatusCode::OK);
    unread.clear();
    assert_eq!(target.get("/traces", &[ANY]).await.status, StatusCode::OK);
    assert_eq!(target.scrape("slow", None).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_to_finish_has_nobody_wait() {
    let target = Target::new();
    let start = Instant::now();
    let one = Waiting::start(&target, &[ANY, "Sigyn-Scraper: a", WAIT]).await;
    let other = Waiting::start(&target, &[ANY, "Sigyn-Scraper: b", WAIT]).await;
    target.recorder.stop_waiting();
    for waiting in [one, other] {
        let answer = waiting.answer().await;
        assert_eq!((answer.status, answer.is_final()), (StatusCode::NO_CONTENT, false));
    }
    // Nor does anybody who comes later, and requests that run are recorded yet.
    assert_eq!(target.get("/traces", &[ANY, WAIT]).await.status, StatusCode::NO_CONTENT);
    target.record([1]);
    assert_eq!(target.get("/traces", &[ANY, WAIT]).await.ids(), [1]);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

//! The pull protocol with targets that obey it: nothing is lost, and what is lost is counted.

use sigyn_model::codec::{json_v2, otlp, zipkin_thrift};
use sigyn_model::pull::Cursor;
use sigyn_model::{LossReason, Losses};
use sigyn_scrape::{Health, State};

use crate::fake::{Log, Reply, Scraper, Target, eventually, logging_target, response, spans};

#[tokio::test]
async fn pages_are_followed_at_once_and_everything_arrives_once() {
    let mut log = Log::new(7);
    for first in [1, 3, 5, 7, 9] {
        log.seal(spans(first..first + 2));
    }
    let (target, log) = logging_target(log).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("all pages", |target| target.account.received == 10).await;
    assert_eq!(status.cursor, Some(Cursor { epoch: 7, seq: 6 }));
    // Status moves with each commit, the record with the whole scrape.
    let status = scraper.target("a record", |target| target.scrapes_total > 0).await;
    assert_eq!(status.recent[0].spans, 10, "one scrape, three pages");
    assert_eq!(status.recent[0].status, "200 OK");
    log.lock().unwrap().seal(spans([11]));
    let status = scraper.target("the next", |target| target.account.received == 11).await;
    assert_eq!(scraper.store.ids(), (1..=11).collect::<Vec<_>>());
    assert_eq!(status.account.lost, Losses::default());
    assert_eq!((status.health, status.state), (Health::Up, State::Up));

    let asked = target.asked();
    assert_eq!(asked[0].line, "GET /traces?max_bytes=1048576 HTTP/1.1");
    assert_eq!(asked[0].header("sigyn-scraper"), Some("sigyn-test"));
    assert_eq!(asked[0].header("sigyn-interval"), Some("0.1"));
    assert_eq!(asked[0].header("x-prometheus-scrape-timeout-seconds"), Some("0.1"));
    assert_eq!(asked[0].cursor(), None);
    assert_eq!(asked[1].cursor(), Some(Cursor { epoch: 7, seq: 3 }));
    scraper.stop().await;
}

#[tokio::test]
async fn spans_carry_their_targets_labels_and_a_service_name() {
    let mut log = Log::new(7);
    log.seal(spans([1]));
    let (target, _) = logging_target(log).await;
    let scraper = Scraper::of(&[&target]);
    scraper.target("a span", |target| target.account.received == 1).await;
    let span = scraper.store.spans().remove(0);
    assert_eq!(span.service_name(), Some("api"));
    let labels = span.target.unwrap();
    let expected =
        [("instance".to_owned(), target.address.to_string()), ("job".to_owned(), "api".to_owned())];
    assert_eq!(*labels, expected);
    assert_eq!(scraper.store.progress()[0].target, format!("api|http://{}/traces", target.address));
    scraper.stop().await;
}

#[tokio::test]
async fn losses_are_told_with_their_window() {
    let mut log = Log::new(7);
    log.seal(spans([1]));
    log.seal(spans([2]));
    log.evict_oldest();
    let (target, log) = logging_target(log).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("a span", |target| target.account.received == 1).await;
    assert_eq!(status.account.lost.before_first_scrape, 1);
    let status = scraper.target("a state", |target| target.state != State::Unknown).await;
    assert_eq!(status.state, State::Up, "a loss before the first scrape is not held against it");
    {
        let mut log = log.lock().unwrap();
        log.seal(spans([3, 4, 5]));
        log.evict_oldest();
        log.evict_oldest();
        log.seal(spans([6]));
    }
    let status = scraper.target("a loss", |target| target.state == State::Lossy).await;
    assert_eq!(
        status.account.lost,
        Losses { before_first_scrape: 1, evicted: 3, ..Losses::default() }
    );
    let window = status.loss_windows.last().unwrap();
    assert_eq!((window.spans, window.reason), (3, LossReason::Evicted));
    assert!(window.from < window.to);
    scraper.stop().await;
}

#[tokio::test]
async fn a_restarted_target_is_read_from_its_start() {
    let mut log = Log::new(7);
    log.seal(spans([1]));
    let (target, log) = logging_target(log).await;
    let scraper = Scraper::of(&[&target]);
    scraper.target("a span", |target| target.account.received == 1).await;
    *log.lock().unwrap() = Log::new(8);
    log.lock().unwrap().seal(spans([2, 3]));
    let status = scraper.target("its spans", |target| target.account.received == 3).await;
    assert_eq!(status.account.restarts, 1);
    assert_eq!(status.account.lost, Losses::default());
    assert_eq!(status.cursor, Some(Cursor { epoch: 8, seq: 2 }));
    scraper.stop().await;
}

#[tokio::test]
async fn the_last_words_of_a_target_are_acknowledged_at_once() {
    let mut log = Log::new(7);
    log.seal(spans([1]));
    log.is_final = true;
    let (target, log) = logging_target(log).await;
    let scraper = Scraper::of(&[&target]);
    eventually("acknowledged", || (log.lock().unwrap().acknowledged == 2).then_some(())).await;
    let status = scraper.target("scraped", |target| target.scrapes_total == 1).await;
    assert_eq!(target.asked().len(), 2, "within one scrape, and no more than once");
    assert_eq!(status.health, Health::Up);
    scraper.stop().await;
}

#[tokio::test]
async fn a_target_that_is_gone_before_it_hears_the_acknowledgement_did_not_fail() {
    let mut log = Log::new(7);
    log.seal(spans([1]));
    log.is_final = true;
    let last = log.answer(None);
    let target = Target::scripted(vec![Reply::Keep(last), Reply::Close(Vec::new())]).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("scraped", |target| target.scrapes_total == 1).await;
    assert_eq!((status.health, status.account.received), (Health::Up, 1));
    scraper.stop().await;
}

#[tokio::test]
async fn nothing_new_is_not_committed() {
    let (target, _) = logging_target(Log::new(7)).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("scrapes", |target| target.scrapes_total >= 3).await;
    assert_eq!(status.cursor, Some(Cursor { epoch: 7, seq: 1 }));
    assert_eq!(status.recent[0].status, "204 No Content");
    assert_eq!(target.asked()[1].cursor(), status.cursor);
    assert_eq!(scraper.store.commits(), 1, "the first cursor, and then nothing");
    scraper.stop().await;
}

#[tokio::test]
async fn a_refused_commit_is_asked_for_again() {
    let mut log = Log::new(7);
    log.seal(spans([1, 2]));
    let (target, _) = logging_target(log).await;
    let scraper = Scraper::of(&[&target]);
    scraper.store.refuse(2);
    let status = scraper.target("a refusal", |target| target.failures.commit == 1).await;
    let error = "cannot store what was scraped: the store did not keep the spans: disk full";
    assert_eq!(status.last_error.as_deref(), Some(error));
    assert_eq!((status.health, status.failures_in_a_row), (Health::Up, 0));
    assert_eq!(status.recent.last().unwrap().status, "200 OK");
    assert_eq!((status.cursor, status.account.received), (None, 0));
    let status = scraper.target("all", |target| target.last_spans > 0).await;
    assert_eq!((status.failures.commit, status.account.received), (2, 2));
    assert_eq!(scraper.store.ids(), [1, 2]);
    let cursors: Vec<_> = target.asked().iter().take(3).map(crate::fake::Asked::cursor).collect();
    assert_eq!(cursors, [None; 3]);
    scraper.stop().await;
}

#[tokio::test]
async fn a_lying_target_is_found_out() {
    let lie = |seq: u64, finished: u64| {
        let range = format!("7:{seq}-{seq}/{seq}");
        let (next, finished) = (format!("7:{}", seq + 1), finished.to_string());
        let headers = [
            ("Content-Type", "application/json"),
            ("Sigyn-Range", range.as_str()),
            ("Sigyn-Next", next.as_str()),
            ("Sigyn-Finished", finished.as_str()),
        ];
        let body = json_v2::encode_list(&spans([seq]));
        Reply::Keep(response("200 OK", &headers, body.as_bytes()))
    };
    let idle = response("204 No Content", &[("Sigyn-Next", "7:3"), ("Sigyn-Finished", "9")], b"");
    let target = Target::scripted(vec![lie(1, 1), lie(2, 9), Reply::Keep(idle)]).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("a loss", |target| target.scrapes_total >= 4).await;
    assert_eq!(status.account.lost, Losses { unexplained: 7, ..Losses::default() });
    assert_eq!(status.state, State::Lossy);
    scraper.stop().await;
}

#[tokio::test]
async fn a_target_that_claims_less_than_it_sent_contradicts_itself_until_it_does_not() {
    let headers = |finished| {
        [
            ("Content-Type", "application/json"),
            ("Sigyn-Range", "7:1-1/1"),
            ("Sigyn-Next", "7:2"),
            ("Sigyn-Finished", finished),
        ]
    };
    let list = json_v2::encode_list(&spans(1..=3));
    let first = response("200 OK", &headers("1"), list.as_bytes());
    let idle = response("204 No Content", &headers("1")[2..], b"");
    let right = response("204 No Content", &headers("3")[2..], b"");
    let replies = [first, idle.clone(), idle, right].map(Reply::Keep);
    let target = Target::scripted(replies.to_vec()).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("told", |target| target.last_problem.is_some()).await;
    let problem = "counts 2 spans fewer than came from it or are lost";
    assert_eq!(status.last_problem.as_deref(), Some(problem));
    assert_eq!(status.account.lost, Losses::default());
    scraper.target("over", |target| target.last_problem.is_none()).await;
    scraper.stop().await;
}

#[tokio::test]
async fn a_foreign_target_is_read_without_a_cursor() {
    let body = |ids| {
        let list = json_v2::encode_list(&spans(ids));
        Reply::Keep(response("200 OK", &[("Content-Type", "application/json")], list.as_bytes()))
    };
    let target = Target::scripted(vec![body(1..3), body(3..4), body(0..0)]).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("three scrapes", |target| target.scrapes_total >= 3).await;
    assert_eq!(scraper.store.ids(), [1, 2, 3]);
    assert_eq!((status.cursor, status.account.received), (None, 3));
    assert!(target.asked().iter().all(|asked| asked.cursor().is_none()));
    scraper.stop().await;
}

#[tokio::test]
async fn a_client_of_loki_is_read_though_it_names_no_type() {
    let list = zipkin_thrift::encode_list_compact(&spans(1..=20));
    let target = Target::scripted(vec![Reply::Keep(response("200 OK", &[], &list))]).await;
    let scraper = Scraper::of(&[&target]);
    scraper.target("a scrape", |target| target.scrapes_total > 0).await;
    assert_eq!(scraper.store.ids(), (1..=20).collect::<Vec<_>>());
    scraper.stop().await;

    let target = Target::scripted(vec![Reply::Keep(response("200 OK", &[], b"It works!"))]).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("a scrape", |target| target.scrapes_total > 0).await;
    assert_eq!(status.state, State::NotTraced);
    scraper.stop().await;
}

#[tokio::test]
async fn clocks_are_compared() {
    let ahead = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let since = ahead.duration_since(std::time::UNIX_EPOCH).unwrap();
    let clock = since.as_nanos().to_string();
    let headers = [("Sigyn-Next", "7:1"), ("Sigyn-Clock", clock.as_str())];
    let reply = Reply::Keep(response("204 No Content", &headers, b""));
    let target = Target::scripted(vec![reply]).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("scraped", |target| target.scrapes_total == 1).await;
    let seconds = status.clock_offset_ns.unwrap() / 1_000_000_000;
    assert!((3590..=3600).contains(&seconds), "{seconds}");
    scraper.stop().await;
}

#[tokio::test]
async fn a_span_that_cannot_be_read_is_counted_and_takes_no_other_with_it() {
    // One span in OTLP whose trace id is two bytes long, and two that are whole.
    let mut body = otlp::encode(&spans(1..=2));
    body.extend_from_slice(b"\x0a\x0e\x12\x0c\x12\x0a\x0a\x02\xaa\xbb\x12\x02\x01\x02\x2a\x00");
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Sigyn-Range", "7:1-1/1"),
        ("Sigyn-Next", "7:2"),
        ("Sigyn-Finished", "3"),
    ];
    let idle = response("204 No Content", &[("Sigyn-Next", "7:2"), ("Sigyn-Finished", "3")], b"");
    let first = Reply::Keep(response("200 OK", &headers, &body));
    let target = Target::scripted(vec![first, Reply::Keep(idle)]).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("a scrape", |target| target.scrapes_total > 0).await;
    assert_eq!(scraper.store.ids(), [1, 2]);
    assert_eq!(status.account.lost, Losses { rejected: 1, ..Losses::default() });
    assert_eq!(status.state, State::Lossy);
    assert!(status.last_problem.is_some());
    scraper.stop().await;
}

//! What does not fit or cannot be read: pages become smaller, targets wait, and what stands in the way
//! for good is stepped over and counted.

use std::collections::BTreeMap;

use sigyn_model::pull::Cursor;
use sigyn_model::{Losses, Span};
use sigyn_scrape::{Health, Options, State};

use crate::fake::{
    Log, Reply, Scraper, Store, Target, eventually, group, job, logging_target, response, span,
    spans,
};

fn large(id: u64) -> Span {
    let mut span = span(id);
    span.set_tag("text", "x".repeat(15_000));
    span
}

fn with_memory(bytes: u64, targets: &[Target], store: Store) -> Scraper {
    let options = Options { memory_bytes_max: bytes, ..Options::default() };
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let groups = BTreeMap::from([("api".to_owned(), group(&addresses))]);
    Scraper::with(options, vec![job("api")], groups, Vec::new(), store)
}

#[tokio::test]
async fn spans_that_would_take_too_much_memory_come_in_smaller_pages() {
    // A seventh of this for one page: less than 800 spans, where four segments hold 1600.
    let mut log = Log::new(7);
    log.page = 4;
    for first in [1, 401, 801, 1201] {
        log.seal(spans(first..first + 400));
    }
    let (target, _) = logging_target(log).await;
    let targets = [target];
    let scraper = with_memory(600 << 10, &targets, Store::default());
    let status = scraper.target("all", |target| target.account.received == 1600).await;
    assert_eq!(scraper.store.ids(), (1..=1600).collect::<Vec<_>>());
    assert!(scraper.store.commits() >= 4, "one segment at a time");
    assert_eq!((status.failures.total(), status.account.lost), (0, Losses::default()));
    scraper.stop().await;
}

#[tokio::test]
async fn targets_wait_for_memory_and_none_is_down_for_it() {
    // What waits for the store takes most of the memory; the others find none.
    let mut targets = Vec::new();
    for epoch in 1..=12 {
        let mut log = Log::new(epoch);
        log.seal((4 * epoch..4 * epoch + 4).map(large).collect());
        targets.push(logging_target(log).await.0);
    }
    let store = Store::default();
    let blocked = store.block().await;
    let scraper = with_memory(600 << 10, &targets, store);
    let error = "cannot store what was scraped: no memory for the body: \
                 the store is behind, or many targets send much";
    let active = || scraper.status.pools().pop().map(|pool| pool.active).unwrap_or_default();
    eventually("told", || {
        active().iter().any(|target| target.last_error.as_deref() == Some(error)).then_some(())
    })
    .await;
    assert!(active().iter().all(|target| target.health != Health::Down));
    assert!(active().iter().any(|target| target.failures.commit > 0));
    drop(blocked);
    eventually("all", || (scraper.store.ids().len() == 48).then_some(())).await;
    let mut ids = scraper.store.ids();
    ids.sort_unstable();
    assert_eq!(ids, (4..52).collect::<Vec<_>>());
    scraper.stop().await;
}

#[tokio::test]
async fn a_body_that_alone_has_no_room_is_over_the_limit_and_its_target_down() {
    let json = ("Content-Type", "application/json");
    let spaces = " ".repeat(400 << 10);
    let chunk = format!("{:x}\r\n{spaces}\r\n", spaces.len()).repeat(4);
    let endless =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let endless = Reply::Keep(format!("{endless}{chunk}").into_bytes());
    let long = Reply::Keep(response("200 OK", &[json], spaces.as_bytes()));
    for reply in [endless, long] {
        let target = Target::scripted(vec![reply]).await;
        let options = Options { memory_bytes_max: 600 << 10, ..Options::default() };
        let mut job = job("api");
        job.job.body_size_limit = 10 << 20;
        let groups = BTreeMap::from([("api".to_owned(), group(&[target.address]))]);
        let scraper = Scraper::with(options, vec![job], groups, Vec::new(), Store::default());
        let status = scraper.target("a failure", |target| target.scrapes_total > 0).await;
        let error = "body size limit exceeded: it has 204800 bytes or more, \
            which is all that one body may take of memory_bytes_max: raise that";
        assert_eq!(status.last_error.as_deref(), Some(error));
        assert_eq!(
            (status.health, status.failures.body_limit),
            (Health::Down, status.scrapes_total)
        );
        scraper.stop().await;
    }
}

#[tokio::test]
async fn what_the_store_cannot_take_at_once_comes_in_smaller_pages_or_is_rejected() {
    let mut log = Log::new(7);
    for ids in [1..3, 3..5, 5..10, 10..12] {
        log.seal(spans(ids));
    }
    let (target, _) = logging_target(log).await;
    let store = Store::default();
    store.takes_at_once(3);
    let groups = BTreeMap::from([("api".to_owned(), group(&[target.address]))]);
    let scraper = Scraper::restart(vec![job("api")], groups, Vec::new(), store);
    let status = scraper.target("all", |target| target.cursor.is_some_and(|c| c.seq == 5)).await;
    assert_eq!(scraper.store.ids(), [1, 2, 3, 4, 10, 11]);
    assert_eq!(status.account.lost, Losses { rejected: 5, ..Losses::default() });
    assert_eq!(status.failures.total(), 0);
    let problem = "a segment was stepped over: a batch is larger than the store takes at once";
    assert_eq!(status.last_problem.as_deref(), Some(problem));
    let status = scraper.target("a state", |target| target.scrapes_total > 1).await;
    assert_eq!((status.health, status.state), (Health::Up, State::Lossy));
    scraper.stop().await;
}

#[tokio::test]
async fn a_segment_that_cannot_be_read_does_not_keep_the_others() {
    let mut log = Log::new(7);
    log.seal(spans([1, 2]));
    log.seal(spans([3, 4, 5]));
    log.seal(spans([6]));
    log.seal(spans([7]));
    log.rotten = vec![2];
    let (target, log) = logging_target(log).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("down", |target| target.health == Health::Down).await;
    assert_eq!(status.cursor, Some(Cursor { epoch: 7, seq: 2 }), "all before it is read");
    assert_eq!(scraper.store.ids(), [1, 2]);
    let status = scraper.target("all", |target| target.account.received == 4).await;
    assert_eq!(scraper.store.ids(), [1, 2, 6, 7]);
    assert_eq!(status.account.lost, Losses { rejected: 3, ..Losses::default() });
    assert_eq!(status.failures.decode, 2, "it was tried before it was given up");
    let problem = status.last_problem.unwrap();
    assert!(problem.starts_with("a segment was stepped over: cannot decode the body"), "{problem}");
    log.lock().unwrap().seal(spans([8]));
    let status = scraper.target("the next", |target| target.account.received == 5).await;
    assert_eq!(status.account.lost, Losses { rejected: 3, ..Losses::default() });
    scraper.target("up", |target| target.health == Health::Up).await;
    scraper.stop().await;
}

//! Requests that wait at a target until it has spans.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sigyn_model::codec::json_v2;
use sigyn_scrape::{Health, Options, ScrapeJob, Waiting};

use crate::fake::{Reply, Scraper, Store, Target, eventually, group, job, response, spans};
use crate::recorder::{Service, options};

/// Long enough to wait in, short enough for a test.
const INTERVAL: Duration = Duration::from_millis(1500);

fn patient() -> ScrapeJob {
    let mut patient = job("api");
    (patient.job.scrape_interval, patient.job.scrape_timeout) = (INTERVAL, INTERVAL);
    ScrapeJob { long_poll: true, ..patient }
}

fn scraper(job: ScrapeJob, addresses: &[std::net::SocketAddr]) -> Scraper {
    Scraper::start(vec![job], BTreeMap::from([("api".to_owned(), group(addresses))]))
}

/// 204 at the start of a log, whoever asks.
fn nothing_yet() -> Vec<u8> {
    let headers = [
        ("sigyn-next", "0000000000000007:1"),
        ("sigyn-more", "0"),
        ("sigyn-finished", "0"),
        ("sigyn-final", "0"),
    ];
    response("204 No Content", &headers, b"")
}

#[tokio::test]
async fn an_error_comes_while_a_request_waits_for_it() {
    let service = Service::start(options()).await;
    let scraper = scraper(patient(), &[service.address]);
    let mut failed = 0;
    let early = scraper.target("spans between two instants", |target| {
        // A wait may end just before; then the next one is told.
        if target.waiting == Waiting::Open && failed < target.scrapes_total {
            failed = target.scrapes_total;
            service.recorder.start("failing", None, None).error("broken");
        }
        target.early_pulls > 0
    });
    let early = early.await;
    assert_eq!(early.health, Health::Up);
    assert!(early.recent.iter().any(|record| record.is_early && record.spans > 0));
    let counts = scraper.status.counts();
    assert!(counts.waits.pulled_total() > 0);
    assert_eq!((counts.waits.failed_total(), counts.waits.not_kept_total()), (0, 0));
    assert!(early.next_scrape.is_some());
    let all = |target: &sigyn_scrape::TargetStatus| target.account.received == failed;
    let status = scraper.target("every span once", all).await;
    assert_eq!((status.account.lost.total(), scraper.store.ids().len() as u64), (0, failed));
    // Each span is of one interval, whenever it came.
    let of_scrapes = |target: &sigyn_scrape::TargetStatus| {
        target.history.iter().map(|spans| u64::from(*spans)).sum::<u64>() == failed
    };
    scraper.target("the next scrape", of_scrapes).await;
    scraper.stop().await;
}

#[tokio::test]
async fn a_target_that_does_not_wait_is_polled_as_usual() {
    let target = Target::scripted(vec![Reply::Keep(nothing_yet())]).await;
    let scraper = scraper(patient(), &[target.address]);
    let status = scraper.target("found out", |target| target.waiting == Waiting::NotKept).await;
    let again =
        |target: &sigyn_scrape::TargetStatus| target.scrapes_total >= status.scrapes_total + 2;
    let later = scraper.target("asked as usual", again).await;
    assert_eq!((later.health, later.waiting), (Health::Up, Waiting::NotKept));
    let patient = |asked: &&crate::fake::Asked| asked.header("prefer").is_some();
    assert_eq!(target.asked().iter().filter(patient).count(), 1);
    assert_eq!(scraper.status.counts().waits.not_kept_total(), 1);
    scraper.stop().await;
}

#[tokio::test]
async fn nobody_is_said_to_wait_at_a_target_that_is_down() {
    let down = response("500 Internal Server Error", &[], b"");
    let target = Target::scripted(vec![
        Reply::Keep(nothing_yet()),
        Reply::Keep(nothing_yet()),
        Reply::Keep(down),
    ])
    .await;
    let scraper = scraper(patient(), &[target.address]);
    scraper.target("found out", |target| target.waiting == Waiting::NotKept).await;
    let failed = |target: &sigyn_scrape::TargetStatus| {
        target.health == Health::Down && target.waiting == Waiting::No
    };
    scraper.target("nothing waits while it is down", failed).await;
    scraper.stop().await;
}

#[tokio::test]
async fn a_wait_that_fails_says_nothing_of_the_target() {
    let target = Target::start(|asked| match asked.header("prefer") {
        Some(_) => Reply::Close(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_vec()),
        None => Reply::Keep(nothing_yet()),
    })
    .await;
    let scraper = scraper(patient(), &[target.address]);
    let counts = scraper.status.counts();
    eventually("two waits", || (counts.waits.failed_total() >= 2).then_some(())).await;
    let status = scraper.target("still up", |_| true).await;
    assert_eq!((status.health, status.failures.total()), (Health::Up, 0));
    scraper.stop().await;
}

#[tokio::test]
async fn foreign_targets_are_not_asked_to_wait() {
    let body = json_v2::encode_list(&spans([1])).into_bytes();
    let json = response("200 OK", &[("content-type", "application/json")], &body);
    let target = Target::scripted(vec![Reply::Keep(json)]).await;
    let mut job = job("api");
    job.job.scrape_interval = Duration::from_millis(100);
    let scraper = scraper(ScrapeJob { long_poll: true, ..job }, &[target.address]);
    scraper.target("asked", |target| target.scrapes_total >= 5).await;
    assert!(target.asked().iter().all(|asked| asked.header("prefer").is_none()));
    scraper.stop().await;
}

#[tokio::test]
async fn no_more_wait_at_once_than_may() {
    let (one, two) = (Service::start(options()).await, Service::start(options()).await);
    let groups = BTreeMap::from([("api".to_owned(), group(&[one.address, two.address]))]);
    let options = Options { long_polls_max: 1, ..Options::default() };
    let scraper = Scraper::with(options, vec![patient()], groups, Vec::new(), Store::default());
    let counts = scraper.status.counts();
    eventually("one too many", || {
        assert!(counts.waits.open() <= 1);
        (counts.waits.refused_total() > 0).then_some(())
    })
    .await;
    eventually("both are scraped", || {
        let pools = scraper.status.pools();
        let is_up = |target: &sigyn_scrape::TargetStatus| {
            target.health == Health::Up && target.scrapes_total > 1
        };
        pools[0].active.iter().all(is_up).then_some(())
    })
    .await;
    scraper.stop().await;
}

#[tokio::test]
async fn a_wait_ends_when_its_target_or_its_job_goes() {
    let target = Target::start(|asked| match asked.header("prefer") {
        Some(_) => Reply::Hang,
        None => Reply::Keep(nothing_yet()),
    })
    .await;
    let mut job = patient();
    (job.job.scrape_interval, job.job.scrape_timeout) = (INTERVAL * 4, INTERVAL * 4);
    let scraper = scraper(job.clone(), &[target.address]);
    let counts = scraper.status.counts();
    eventually("it waits", || (counts.waits.open() == 1).then_some(())).await;
    job.job.body_size_limit = 1 << 20;
    scraper.jobs.send_replace(Arc::new(vec![job]));
    eventually("a new loop waits", || {
        let waits = target.asked().iter().filter(|a| a.header("prefer").is_some()).count();
        (waits >= 2 && counts.waits.open() == 1).then_some(())
    })
    .await;
    scraper.groups.send_replace(Arc::new(BTreeMap::from([("api".to_owned(), group(&[]))])));
    eventually("nobody waits", || (counts.waits.open() == 0).then_some(())).await;
    assert_eq!(counts.waits.failed_total(), 0);
    scraper.stop().await;
}

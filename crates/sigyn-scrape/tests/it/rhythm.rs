//! The rhythm of scrapes over minutes, with a clock that only the test moves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sigyn_model::codec::json_v2;
use sigyn_scrape::{Health, Options, ScrapeJob};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance};

use crate::fake::{Reply, Scraper, Target, group, job, response, spans};

const INTERVAL: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(100);
/// Ten steps: an answer that takes a step or two longer than it should is no irregularity.
const ABOUT: Duration = Duration::from_secs(1);
/// Longer than any test takes unless it hangs, by a clock that goes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that stands still unless it is moved, also while answers are on their way: the runtime moves
/// one that is paused when there is nothing to do, unless a thread is at work.
#[derive(Debug)]
struct Clock(#[expect(dead_code, reason = "held")] std::sync::mpsc::SyncSender<()>);

impl Clock {
    fn stop() -> Self {
        tokio::time::pause();
        let (work, end) = std::sync::mpsc::sync_channel(0);
        tokio::task::spawn_blocking(move || end.recv());
        Self(work)
    }

    async fn step(&self) {
        advance(STEP).await;
        for _ in 0..30 {
            tokio::task::yield_now().await;
        }
    }

    async fn pass(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.step().await;
        }
    }

    /// Moves until `check` holds, which may take other threads.
    async fn until(&self, what: &str, check: impl Fn() -> bool) {
        let begun = std::time::Instant::now();
        while !check() {
            assert!(begun.elapsed() < PATIENCE, "never: {what}");
            self.step().await;
        }
    }
}

/// A target, and when it was asked.
#[derive(Debug)]
struct Noting {
    target: Target,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Noting {
    async fn start(reply: Reply) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        let target = Target::start(move |_| {
            notes.lock().unwrap().push(Instant::now());
            reply.clone()
        });
        Self { target: target.await, asked }
    }

    async fn well() -> Self {
        let headers = [("content-type", "application/json")];
        Self::start(Reply::Keep(response("200 OK", &headers, b"[]"))).await
    }

    fn asked(&self) -> Vec<Instant> {
        self.asked.lock().unwrap().clone()
    }

    fn times(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// It was asked so often, once in each interval.
    fn check(&self, times: std::ops::RangeInclusive<usize>) {
        let asked = self.asked();
        assert!(times.contains(&asked.len()), "{} times, expected {times:?}", asked.len());
        for pair in asked.windows(2) {
            let gap = pair[1] - pair[0];
            assert!(gap.abs_diff(INTERVAL) <= ABOUT, "{gap:?} between two of {asked:?}");
        }
    }
}

fn slow(name: &str) -> ScrapeJob {
    let mut job = job(name);
    job.job.scrape_interval = INTERVAL;
    job.job.scrape_timeout = TIMEOUT;
    job
}

fn addresses(targets: &[Noting]) -> Vec<SocketAddr> {
    targets.iter().map(|noting| noting.target.address).collect()
}

async fn several(count: usize) -> Vec<Noting> {
    let mut targets = Vec::new();
    for _ in 0..count {
        targets.push(Noting::well().await);
    }
    targets
}

fn started(targets: &[Noting]) -> Scraper {
    let groups = BTreeMap::from([("api".to_owned(), group(&addresses(targets)))]);
    Scraper::start(vec![slow("api")], groups)
}

fn active(scraper: &Scraper) -> usize {
    scraper.status.pools().iter().map(|pool| pool.active.len()).sum()
}

#[tokio::test]
async fn each_target_has_an_instant_of_its_own_in_every_interval() {
    let clock = Clock::stop();
    let targets = several(12).await;
    let scraper = started(&targets);
    clock.until("targets", || active(&scraper) == targets.len()).await;
    clock.pass(10 * INTERVAL).await;
    for target in &targets {
        target.check(9..=11);
    }
    let firsts: Vec<Instant> = targets.iter().map(|target| target.asked()[0]).collect();
    let spread = *firsts.iter().max().unwrap() - *firsts.iter().min().unwrap();
    assert!(ABOUT < spread && spread <= INTERVAL + ABOUT, "{spread:?}");
    let pools = scraper.status.pools();
    assert!(pools[0].active.iter().all(|target| target.health == Health::Up));
    scraper.stop().await;
}

#[tokio::test]
async fn a_target_that_never_answers_is_left_at_its_timeout_and_asked_each_interval() {
    let clock = Clock::stop();
    let hangs = Noting::start(Reply::Hang).await;
    let scraper = started(std::slice::from_ref(&hangs));
    clock.until("asked", || hangs.times() == 1).await;
    clock.pass(TIMEOUT - ABOUT).await;
    let status = scraper.target("itself", |_| true).await;
    assert_eq!((status.health, status.scrapes_total), (Health::Unknown, 0));
    clock.pass(2 * ABOUT).await;
    clock.until("left", || scraper.status.pools()[0].active[0].scrapes_total == 1).await;
    let status = scraper.target("itself", |_| true).await;
    assert_eq!(status.health, Health::Down);
    assert!(status.last_duration.abs_diff(TIMEOUT) <= ABOUT, "{:?}", status.last_duration);
    clock.pass(5 * INTERVAL).await;
    hangs.check(5..=7);
    drop(scraper);
}

#[tokio::test]
async fn a_new_configuration_leaves_alone_what_it_does_not_change() {
    let clock = Clock::stop();
    let (targets, others) = (several(3).await, several(2).await);
    let scraper = started(&targets);
    clock.until("targets", || active(&scraper) == 3).await;
    clock.pass(3 * INTERVAL + INTERVAL / 3).await;
    let mut groups = BTreeMap::from([("api".to_owned(), group(&addresses(&targets)))]);
    groups.insert("other".to_owned(), group(&addresses(&others)));
    scraper.groups.send_replace(Arc::new(groups));
    scraper.jobs.send_replace(Arc::new(vec![slow("api"), slow("other")]));
    clock.until("both jobs", || active(&scraper) == 5).await;
    clock.pass(3 * INTERVAL).await;
    scraper.jobs.send_replace(Arc::new(vec![slow("api")]));
    clock.until("one job", || active(&scraper) == 3).await;
    let times: Vec<usize> = others.iter().map(Noting::times).collect();
    clock.pass(3 * INTERVAL).await;
    for target in &targets {
        target.check(8..=12);
    }
    for (other, times) in others.iter().zip(times) {
        other.check(times..=times);
    }
    scraper.stop().await;
}

#[tokio::test]
async fn a_target_that_vanishes_is_not_asked_again_and_comes_back_as_a_new_one() {
    let clock = Clock::stop();
    let targets = several(3).await;
    let scraper = started(&targets);
    clock.until("targets", || active(&scraper) == 3).await;
    clock.pass(2 * INTERVAL).await;
    let of = |targets: &[Noting]| {
        Arc::new(BTreeMap::from([("api".to_owned(), group(&addresses(targets)))]))
    };
    scraper.groups.send_replace(of(&targets[1..]));
    // Nothing is told of it any more, not even that it is down.
    clock.until("one less", || active(&scraper) == 2).await;
    let times = targets[0].times();
    clock.pass(3 * INTERVAL).await;
    targets[0].check(times..=times);
    scraper.groups.send_replace(of(&targets));
    clock.until("all", || active(&scraper) == 3).await;
    clock.pass(INTERVAL + ABOUT).await;
    assert!((1..=2).contains(&(targets[0].times() - times)));
    for target in &targets[1..] {
        target.check(6..=10);
    }
    let pools = scraper.status.pools();
    assert!(pools[0].active.iter().all(|target| target.health == Health::Up));
    scraper.stop().await;
}

#[tokio::test]
async fn a_scrape_under_way_is_awaited_at_the_end_and_no_other_one_begins() {
    let clock = Clock::stop();
    let ready = Arc::new(Notify::new());
    let list = json_v2::encode_list(&spans([1]));
    let body = response("200 OK", &[("content-type", "application/json")], list.as_bytes());
    let slow = Noting::start(Reply::Later(Arc::clone(&ready), body)).await;
    let scraper = started(std::slice::from_ref(&slow));
    clock.until("asked", || slow.times() == 1).await;
    let store = scraper.store.clone();
    let mut tasks = JoinSet::new();
    let stopping = tasks.spawn(scraper.stop());
    clock.pass(TIMEOUT - ABOUT).await;
    assert!(!stopping.is_finished() && store.ids().is_empty());
    ready.notify_one();
    clock.until("an end", || stopping.is_finished()).await;
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!((store.ids(), slow.times()), (vec![1], 1));
}

#[tokio::test]
async fn a_target_that_hangs_holds_the_end_up_to_its_timeout_and_to_a_bound() {
    let bound = Options::default().stop_patience;
    for (timeout, expected) in [(TIMEOUT, TIMEOUT), (4 * bound, bound)] {
        let clock = Clock::stop();
        let hangs = Noting::start(Reply::Hang).await;
        let mut job = slow("api");
        (job.job.scrape_interval, job.job.scrape_timeout) = (4 * bound, timeout);
        let groups = BTreeMap::from([("api".to_owned(), group(&[hangs.target.address]))]);
        let scraper = Scraper::start(vec![job], groups);
        clock.until("asked", || hangs.times() == 1).await;
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        let stopping = tasks.spawn(scraper.stop());
        clock.until("an end", || stopping.is_finished()).await;
        tasks.join_next().await.unwrap().unwrap();
        assert!(begun.elapsed().abs_diff(expected) <= ABOUT, "{:?}", begun.elapsed());
        drop(clock);
        tokio::time::resume();
    }
}

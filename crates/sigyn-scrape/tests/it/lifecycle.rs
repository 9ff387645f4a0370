//! Targets and jobs come, change and go; the process stops and starts again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sigyn_model::codec::json_v2;
use sigyn_scrape::{Health, State};

use crate::fake::{
    Log, Reply, Scraper, Store, Target, eventually, group, job, logging_target, response, spans,
};

#[tokio::test]
async fn a_restart_goes_on_where_the_store_is() {
    let mut log = Log::new(7);
    log.seal(spans(1..=4));
    let (target, log) = logging_target(log).await;
    let scraper = Scraper::of(&[&target]);
    scraper.target("spans", |target| target.account.received == 4).await;
    let store = scraper.store.clone();
    scraper.stop().await;

    log.lock().unwrap().seal(spans(5..=6));
    let groups = BTreeMap::from([("api".to_owned(), group(&[target.address]))]);
    let progress = store.progress();
    let scraper = Scraper::restart(vec![job("api")], groups, progress, store);
    let status = scraper.target("the rest", |target| target.account.received == 6).await;
    assert_eq!(scraper.store.ids(), (1..=6).collect::<Vec<_>>());
    assert_eq!(status.account.lost.total(), 0);
    scraper.stop().await;
}

#[tokio::test]
async fn a_known_target_keeps_its_loop_and_a_changed_job_keeps_its_books() {
    let (one, log) = logging_target(Log::new(7)).await;
    let (two, _) = logging_target(Log::new(8)).await;
    log.lock().unwrap().seal(spans([1]));
    let scraper = Scraper::of(&[&one]);
    let before = scraper.target("a span", |target| target.last_spans == 1).await;

    let both = BTreeMap::from([("api".to_owned(), group(&[one.address, two.address]))]);
    scraper.groups.send_replace(Arc::new(both.clone()));
    eventually("two targets", || (scraper.status.pools()[0].active.len() == 2).then_some(())).await;
    let after = scraper.target("itself", |_| true).await;
    assert!(after.scrapes_total >= before.scrapes_total && after.health == Health::Up);

    let mut changed = job("api");
    changed.job.body_size_limit = 1 << 20;
    scraper.jobs.send_replace(Arc::new(vec![changed]));
    let asked = one.asked().len();
    eventually("asked again", || (one.asked().len() > asked + 20).then_some(())).await;
    log.lock().unwrap().seal(spans([2]));
    let status = scraper.target("the next span", |target| target.account.received == 2).await;
    assert!(status.scrapes_total > after.scrapes_total, "history goes on");
    assert_eq!(scraper.store.ids(), [1, 2]);

    // Gone, then back: the cursor is still known.
    scraper
        .groups
        .send_replace(Arc::new(BTreeMap::from([("api".to_owned(), group(&[two.address]))])));
    eventually("one target", || (scraper.status.pools()[0].active.len() == 1).then_some(())).await;
    log.lock().unwrap().seal(spans([3]));
    scraper.groups.send_replace(Arc::new(both));
    scraper.target("the rest", |target| target.account.received == 3).await;
    assert_eq!(scraper.store.ids(), [1, 2, 3]);

    scraper.jobs.send_replace(Arc::new(Vec::new()));
    eventually("no pool", || scraper.status.pools().is_empty().then_some(())).await;
    scraper.stop().await;
}

#[tokio::test]
async fn a_scrape_under_way_is_finished_before_the_end() {
    let (started, mut begun) = tokio::sync::mpsc::channel(1);
    let mut log = Log::new(7);
    log.seal(spans([1]));
    // Answers while the shutdown is under way.
    let target = Target::start(move |asked| {
        let _ = started.try_send(());
        std::thread::sleep(Duration::from_millis(50));
        Reply::Keep(log.answer(asked.cursor()))
    });
    let target = target.await;
    let scraper = Scraper::of(&[&target]);
    begun.recv().await.unwrap();
    let store = scraper.store.clone();
    scraper.stop().await;
    assert_eq!(store.ids(), [1]);
}

#[tokio::test]
async fn a_target_that_vanishes_during_its_scrape_is_still_committed() {
    let (target, log) = logging_target(Log::new(7)).await;
    let scraper = Scraper::of(&[&target]);
    scraper.target("a first scrape", |target| target.scrapes_total > 0).await;
    let blocked = scraper.store.block().await;
    log.lock().unwrap().seal(spans([1]));
    let asked = target.asked().len();
    eventually("asked", || (target.asked().len() > asked).then_some(())).await;
    scraper.groups.send_replace(Arc::new(BTreeMap::from([("api".to_owned(), Vec::new())])));
    eventually("no target", || scraper.status.pools()[0].active.is_empty().then_some(())).await;
    drop(blocked);
    eventually("the span", || (scraper.store.ids() == [1]).then_some(())).await;
    scraper.stop().await;
}

#[tokio::test]
async fn a_store_that_is_behind_holds_targets_back_and_loses_nothing() {
    // More targets than commits that fit in the queue.
    let mut targets = Vec::new();
    for epoch in 1..=8 {
        let mut log = Log::new(epoch);
        log.seal(spans([epoch]));
        targets.push(logging_target(log).await.0);
    }
    let store = Store::default();
    let blocked = store.block().await;
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let groups = BTreeMap::from([("api".to_owned(), group(&addresses))]);
    let scraper = Scraper::restart(vec![job("api")], groups, Vec::new(), store);
    let error = "cannot store what was scraped: the store is behind: it took no spans within 100ms";
    eventually("told", || {
        let pools = scraper.status.pools();
        let mut targets = pools.first()?.active.iter();
        targets.any(|target| target.last_error.as_deref() == Some(error)).then_some(())
    })
    .await;
    let targets = scraper.status.pools().remove(0).active;
    assert!(targets.iter().all(|target| target.health != Health::Down));
    assert!(targets.iter().all(|target| target.failures_in_a_row == 0));
    drop(blocked);
    eventually("all spans", || (scraper.store.ids().len() == 8).then_some(())).await;
    let mut ids = scraper.store.ids();
    ids.sort_unstable();
    assert_eq!(ids, (1..=8).collect::<Vec<_>>());
    scraper.stop().await;
}

#[tokio::test]
async fn more_targets_than_allowed_are_all_refused() {
    let (one, _) = logging_target(Log::new(7)).await;
    let (two, _) = logging_target(Log::new(8)).await;
    let mut limited = job("api");
    limited.job.target_limit = 1;
    let groups = BTreeMap::from([("api".to_owned(), group(&[one.address, two.address]))]);
    let scraper = Scraper::start(vec![limited], groups);
    let status = scraper.target("a refusal", |target| target.health == Health::Down).await;
    let error = "target_limit exceeded (number of targets: 2, limit: 1)";
    assert_eq!(status.last_error.as_deref(), Some(error));
    assert!(one.asked().is_empty() && two.asked().is_empty());
    let groups = BTreeMap::from([("api".to_owned(), group(&[one.address]))]);
    scraper.groups.send_replace(Arc::new(groups));
    scraper.target("allowed", |target| target.health == Health::Up).await;
    scraper.stop().await;
}

#[tokio::test]
async fn a_target_without_spans_becomes_silent_and_one_that_shares_no_trace_has_lost_context() {
    let (quiet, _) = logging_target(Log::new(7)).await;
    let scraper = Scraper::of(&[&quiet]);
    scraper.target("up first", |target| target.state == State::Up).await;
    scraper.target("then silent", |target| target.state == State::Silent).await;
    scraper.stop().await;

    let mut alone = Log::new(8);
    alone.seal(spans(1..=30));
    let mut other = Log::new(9);
    other.seal(spans(31..=60));
    let (alone, _) = logging_target(alone).await;
    let (other, shared) = logging_target(other).await;
    let groups = BTreeMap::from([
        ("api".to_owned(), group(&[alone.address])),
        ("db".to_owned(), group(&[other.address])),
    ]);
    let scraper = Scraper::start(vec![job("api"), job("db")], groups);
    scraper.target("context lost", |target| target.state == State::ContextLost).await;
    shared.lock().unwrap().seal(spans([30]));
    scraper.target("found again", |target| target.state == State::Up).await;
    scraper.stop().await;
}

#[tokio::test]
async fn two_targets_with_one_url_have_books_of_their_own() {
    let body = response("200 OK", &[("Content-Type", "application/json")], b"[]");
    let target = Target::scripted(vec![Reply::Keep(body)]).await;
    let mut groups = group(&[target.address, target.address]);
    let found = Arc::make_mut(&mut groups[0]);
    found.targets[0].set("zone", "a");
    found.targets[1].set("zone", "b");
    let groups = BTreeMap::from([("api".to_owned(), groups)]);
    let scraper = Scraper::start(vec![job("api")], groups);
    let pools = eventually("both", || {
        let pools = scraper.status.pools();
        let up = pools.first()?.active.iter().filter(|target| target.health == Health::Up).count();
        (up == 2).then_some(pools)
    })
    .await;
    assert_eq!(pools[0].active[0].url, pools[0].active[1].url);
    scraper.stop().await;
}

#[tokio::test]
async fn two_targets_with_one_url_do_not_swap_their_books_over_a_restart() {
    let list = json_v2::encode_list(&spans([1]));
    let body = response("200 OK", &[("Content-Type", "application/json")], list.as_bytes());
    let target = Target::scripted(vec![Reply::Keep(body)]).await;
    // Which zone is stored under which key, if discovery finds them in this order.
    let keys = async |zones: [&str; 2]| {
        let mut groups = group(&[target.address, target.address]);
        for (labels, zone) in Arc::make_mut(&mut groups[0]).targets.iter_mut().zip(zones) {
            labels.set("zone", zone);
        }
        let groups = BTreeMap::from([("api".to_owned(), groups)]);
        let scraper = Scraper::start(vec![job("api")], groups);
        let keys = eventually("both", || {
            let batches = scraper.store.batches();
            let keys: BTreeMap<_, _> = batches
                .into_iter()
                .map(|batch| {
                    let labels = batch.spans[0].target.clone().unwrap();
                    let zone = labels.iter().find(|(name, _)| name == "zone").unwrap().1.clone();
                    (zone, batch.progress.unwrap().target)
                })
                .collect();
            (keys.len() == 2).then_some(keys)
        })
        .await;
        scraper.stop().await;
        keys
    };
    assert_eq!(keys(["a", "b"]).await, keys(["b", "a"]).await);
}

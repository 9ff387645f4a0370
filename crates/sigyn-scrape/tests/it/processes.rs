//! Several processes behind one address, each with a log of its own: whoever answers, nothing is
//! stored twice, and nothing is lost while all are asked often enough.

use std::sync::{Arc, Mutex};

use sigyn_model::Losses;
use sigyn_scrape::Health;

use crate::fake::{Log, Reply, Scraper, Target, spans};

type Logs = Arc<Mutex<[Log; 2]>>;

/// An address at which the processes answer in turn, each so many requests in a row.
async fn balanced(in_a_row: usize) -> (Target, Logs) {
    let logs: Logs = Arc::new(Mutex::new([Log::new(7), Log::new(8)]));
    let shared = Arc::clone(&logs);
    let mut requests = 0;
    let target = Target::start(move |asked| {
        let whose = requests / in_a_row % 2;
        requests += 1;
        Reply::Keep(shared.lock().unwrap()[whose].answer_to(asked))
    })
    .await;
    (target, logs)
}

async fn check(in_a_row: usize) {
    let (target, logs) = balanced(in_a_row).await;
    let scraper = Scraper::of(&[&target]);
    let mut next = 1;
    for _ in 0..5 {
        for log in logs.lock().unwrap().iter_mut() {
            // More than one page.
            for _ in 0..3 {
                log.seal(spans([next, next + 1]));
                next += 2;
            }
        }
        scraper.target("both", |target| target.account.received == next - 1).await;
    }
    let status = scraper.target("told", |target| target.last_problem.is_some()).await;
    let mut ids = scraper.store.ids();
    ids.sort_unstable();
    assert_eq!(ids, (1..next).collect::<Vec<_>>(), "{in_a_row} in a row");
    assert_eq!(status.account.lost, Losses::default());
    assert_eq!(status.account.restarts, 1, "the other one, when it was new");
    assert_eq!((status.health, status.failures.total()), (Health::Up, 0));
    let problem = status.last_problem.unwrap();
    assert!(problem.starts_with("several processes answer at this address"), "{problem}");
    scraper.stop().await;
}

#[tokio::test]
async fn processes_that_take_turns_are_each_read_once() {
    tokio::join!(check(1), check(2), check(3), check(7));
}

#[tokio::test]
async fn a_restart_is_no_second_process() {
    let (target, logs) = balanced(usize::MAX).await;
    let scraper = Scraper::of(&[&target]);
    for epoch in 20..23 {
        let mut log = Log::new(epoch);
        log.seal(spans([epoch]));
        logs.lock().unwrap()[0] = log;
        let status = scraper.target("it", |target| target.account.received == epoch - 19).await;
        assert_eq!(status.last_problem, None);
    }
    scraper.stop().await;
}

#[tokio::test]
async fn a_process_that_is_exchanged_shares_the_address_for_a_moment() {
    let (target, logs) = balanced(3).await;
    let scraper = Scraper::of(&[&target]);
    for (log, id) in logs.lock().unwrap().iter_mut().zip(1..) {
        log.seal(spans([id]));
    }
    scraper.target("told", |target| target.last_problem.is_some()).await;
    *logs.lock().unwrap() = [Log::new(9), Log::new(9)];
    let status = scraper.target("over", |target| target.last_problem.is_none()).await;
    assert_eq!(status.cursor.map(|cursor| cursor.epoch), Some(9));
    scraper.stop().await;
}

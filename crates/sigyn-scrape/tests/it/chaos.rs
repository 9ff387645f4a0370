//! Everything goes wrong at once, by seed: whatever is cut, refused or restarted, each span that the
//! target still holds arrives exactly once, and the others are counted.

use std::sync::{Arc, Mutex};

use crate::fake::{Log, Reply, Scraper, Target, eventually, group, job, response, spans};

/// Small numbers in an order that a seed fixes.
struct Dice(u64);

impl Dice {
    /// At least 0, less than `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

async fn survive(seed: u64) {
    let mut dice = Dice(seed);
    let mut fate = Dice(seed + 1);
    let log = Arc::new(Mutex::new(Log::new(1)));
    let calm = Arc::new(Mutex::new(false));
    let (shared, is_calm) = (Arc::clone(&log), Arc::clone(&calm));
    let target = Target::start(move |asked| {
        let whole = shared.lock().unwrap().answer(asked.cursor());
        if *is_calm.lock().unwrap() {
            return Reply::Keep(whole);
        }
        match fate.roll(8) {
            0 => {
                let at = fate.roll(whole.len() as u64);
                Reply::Close(whole[..usize::try_from(at).unwrap()].to_vec())
            }
            1 => Reply::Close(Vec::new()),
            2 => Reply::Keep(response("503 Service Unavailable", &[], b"later")),
            3 => Reply::Hang,
            4 => Reply::Close(whole),
            _ => Reply::Keep(whole),
        }
    })
    .await;

    let groups = || [("api".to_owned(), group(&[target.address]))].into();
    let mut scraper = Scraper::start(vec![job("api")], groups());
    let mut next = 1;
    for round in 0..12 {
        {
            let mut log = log.lock().unwrap();
            for _ in 0..=dice.roll(4) {
                let count = 1 + dice.roll(5);
                log.seal(spans(next..next + count));
                next += count;
            }
            if dice.roll(5) == 0 {
                log.evict_oldest();
            }
        }
        scraper.store.refuse(u32::try_from(dice.roll(3)).unwrap());
        let asked = target.asked().len();
        eventually("asked", || (target.asked().len() > asked + 1).then_some(())).await;
        if round % 4 == 3 {
            let store = scraper.store.clone();
            scraper.stop().await;
            let progress = store.progress();
            scraper = Scraper::restart(vec![job("api")], groups(), progress, store);
        }
    }
    *calm.lock().unwrap() = true;
    let finished = next - 1;
    let status = scraper
        .target("the end of it", |target| {
            target.account.received + target.account.lost.total() == finished
        })
        .await;
    let mut ids = scraper.store.ids();
    ids.sort_unstable();
    let arrived = ids.len() as u64;
    ids.dedup();
    assert_eq!(ids.len() as u64, arrived, "seed {seed}: a span came twice");
    assert_eq!(arrived, status.account.received, "seed {seed}");
    assert_eq!(status.account.lost.unexplained, 0, "seed {seed}");
    scraper.stop().await;
}

#[tokio::test]
async fn nothing_is_lost_uncounted_and_nothing_comes_twice() {
    tokio::join!(survive(1), survive(2), survive(3), survive(4));
}

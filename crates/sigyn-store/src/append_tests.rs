//! Appends where there is no room: who waits, who goes first, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sigyn_model::codec::{Format, Limits};
use sigyn_model::{SpanBatch, TargetProgress};

use crate::clock::Clock;
use crate::crash_tests::{open_with, options, run};
use crate::disk::faulty::FaultyDisk;
use crate::error::AppendError;
use crate::incoming::Incoming;
use crate::memory::Memory;
use crate::options::Options;
use crate::testing::{self, OwnedBatch};

fn batch(bytes: usize) -> OwnedBatch {
    let mut span = testing::span(&mut fastrand::Rng::with_seed(1));
    span.set_tag("filler", "x".repeat(bytes));
    OwnedBatch { spans: vec![span], progress: None }
}

#[test]
fn a_batch_larger_than_the_queue_gets_its_turn_among_many_small_ones_and_they_get_theirs() {
    const QUEUE: u64 = 1 << 20;
    let memory = Memory { queue: QUEUE, ..Memory::default() };
    let options = Options { memory, append_timeout: Duration::from_secs(60), ..options() };
    let store = open_with(&FaultyDisk::default(), options, Clock::System).unwrap();
    let large = batch(usize::try_from(QUEUE).unwrap());
    assert!(Incoming::of(large.clone().into(), &Clock::System).unwrap().bytes > QUEUE);
    let small = batch(1_000);
    let (is_done, stored) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                run(async {
                    // Enough of them at once that the queue is never empty for long.
                    let mut appends = tokio::task::JoinSet::new();
                    while !is_done.load(Ordering::Relaxed) {
                        while appends.len() < 20 {
                            let (store, small) = (store.clone(), small.clone());
                            appends.spawn(async move { store.append(small).await });
                        }
                        appends.join_next().await.unwrap().unwrap().unwrap();
                        stored.fetch_add(1, Ordering::Relaxed);
                    }
                    let left = appends.join_all().await;
                    assert!(left.into_iter().all(|appended| appended.is_ok()));
                });
            });
        }
        let appended: Vec<_> = (0..5).map(|_| run(store.append(large.clone()))).collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        let so_far = stored.load(Ordering::Relaxed);
        while stored.load(Ordering::Relaxed) < so_far + 100 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        is_done.store(true, Ordering::Relaxed);
        assert!(appended.iter().all(Result::is_ok), "{appended:?}");
    });
    assert!(stored.into_inner() >= 100);
    assert_eq!(store.stats().overloads_total, 0);
}

#[test]
fn a_batch_whose_target_says_too_much_is_refused_whatever_its_columns_said_before() {
    let store = open_with(&FaultyDisk::default(), options(), Clock::System).unwrap();
    let long = "x".repeat(300 << 10);
    let named =
        |name: &str| TargetProgress { target: name.to_owned(), ..TargetProgress::default() };
    let mut named_long = SpanBatch::from(batch(1));
    named_long.progress = Some(named(&long));
    assert_eq!(run(store.append(named_long)), Err(AppendError::TooLarge));
    let mut columns = store.spares().take(Limits::default());
    for (label, expected) in [("a", Ok(())), (&long, Err(AppendError::TooLarge)), ("b", Ok(()))] {
        columns.set_target(Some(&Arc::new(vec![("label".to_owned(), label.to_owned())])));
        let body = br#"[{"traceId":"1","id":"2"}]"#;
        columns.read(Format::ZipkinJsonV2, body).unwrap();
        let batch = SpanBatch { spans: columns, progress: None };
        assert_eq!(run(store.append(batch)), expected);
        columns = store.spares().take(Limits::default());
    }
    assert_eq!(store.stats().head_spans, 2);
}

#[test]
fn an_append_that_finds_no_room_in_time_is_refused_and_counted() {
    let append_timeout = Duration::from_millis(20);
    // Nothing ever fits.
    let memory = Memory { head: 0, ..Memory::default() };
    let options = Options { memory, append_timeout, ..options() };
    let store = open_with(&FaultyDisk::default(), options, Clock::System).unwrap();
    for count in 1..=2 {
        let start = Instant::now();
        assert_eq!(run(store.append(batch(1))), Err(AppendError::Overloaded));
        assert!(start.elapsed() >= append_timeout);
        assert_eq!(store.stats().overloads_total, count);
    }
}

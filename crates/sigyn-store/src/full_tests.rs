//! A full disk, and threads that panic: what the store says then, and how it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sigyn_model::Span;

use crate::clock::Clock;
use crate::crash_tests::{open, open_with, options, run};
use crate::disk::faulty::FaultyDisk;
use crate::disk::{Disk, Free};
use crate::error::{AppendError, CloseError, DeleteError, SealError};
use crate::memory::Memory;
use crate::options::{Durability, Options};
use crate::store::Store;
use crate::testing::{self, OwnedBatch};

/// A span that takes about so many bytes of any disk.
fn large(random: &mut fastrand::Rng, bytes: usize) -> Span {
    let mut span = testing::span(random);
    let filler: Vec<u8> = (0..bytes).map(|_| random.u8(..)).collect();
    span.set_tag("filler", sigyn_model::Value::Bytes(filler));
    span
}

fn append(store: &Store, span: &Span) -> Result<(), AppendError> {
    run(store.append(OwnedBatch { spans: vec![span.clone()], progress: None }))
}

/// Each of these is found, and nothing beside them.
fn check(store: &Store, expected: &[Span]) {
    for span in expected {
        let trace = store.trace(span.trace_id).unwrap();
        assert!(trace.iter().any(|other| other.same_as(span)));
    }
    let stats = store.stats();
    assert_eq!(stats.head_spans + stats.block_spans, expected.len() as u64, "{stats:?}");
}

fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn a_full_disk_refuses_batches_and_takes_them_when_there_is_room() {
    let mut random = fastrand::Rng::with_seed(1);
    let disk = FaultyDisk::default();
    let mut store = open(&disk);
    let mut stored = Vec::new();
    for round in 0..6 {
        // The first batch does not even get a segment.
        let room = [0, 30, 64, 500, 5_000, 9_000];
        disk.limit(Some(disk.used() + room[round]));
        let refused = (0..20).filter(|_| {
            let span = large(&mut random, 2_000);
            match append(&store, &span) {
                Ok(()) => stored.push(span),
                Err(AppendError::Io { .. }) => return true,
                Err(other) => panic!("{other}"),
            }
            false
        });
        assert!(refused.count() > 10);
        assert!(store.stats().failed_commits_total > 10);
        assert_eq!(store.stats().poisoned, None);
        assert!(store.stats().refusing.is_some());
        check(&store, &stored);
        // There is no room for a block, unless there is nothing to put in it.
        let sealed = store.seal();
        assert_eq!(sealed.is_ok(), store.stats().head_spans == 0);
        let told = store.stats().unsealable.map(|cause| SealError::Failed { cause, is_full: true });
        assert_eq!(told, sealed.err());
        check(&store, &stored);
        disk.limit(None);
        let span = large(&mut random, 2_000);
        append(&store, &span).unwrap();
        assert_eq!(store.stats().refusing, None);
        stored.push(span);
        check(&store, &stored);
        if round % 2 == 0 {
            store.seal().unwrap();
            assert_eq!(store.stats().unsealable, None);
        }
        store.close().unwrap();
        disk.restart(&mut random);
        store = open(&disk);
        check(&store, &stored);
        assert_eq!(store.stats().damaged_spots, 0);
    }
}

#[test]
fn a_disk_that_turns_out_to_be_full_when_it_is_synced_refuses_and_is_not_poisoned() {
    let mut random = fastrand::Rng::with_seed(7);
    for durability in [Durability::Fsync, Durability::Interval(Duration::ZERO), Durability::Os] {
        let disk = FaultyDisk::default();
        let options = Options { durability, ..options() };
        let store = open_with(&disk, options, Clock::System).unwrap();
        let mut stored = vec![large(&mut random, 300)];
        append(&store, &stored[0]).unwrap();
        disk.fail_sync_with(0, std::io::ErrorKind::StorageFull);
        if durability == Durability::Os {
            // Spans that were told of may be among what is lost.
            store.seal().unwrap_err();
            assert!(store.stats().poisoned.is_some());
            continue;
        }
        let span = large(&mut random, 300);
        let refused = append(&store, &span).unwrap_err();
        assert!(matches!(refused, AppendError::Io { .. }), "{refused}");
        check(&store, &stored);
        append(&store, &span).unwrap();
        stored.push(span);
        check(&store, &stored);
        drop(store);
        disk.restart(&mut random);
        let store = open(&disk);
        check(&store, &stored);
        assert_eq!(store.stats().damaged_spots, 0);
    }
}

#[test]
fn a_disk_that_turns_out_to_be_full_when_a_segment_begins_refuses_and_is_not_poisoned() {
    let mut random = fastrand::Rng::with_seed(8);
    // The header is synced, then the directory.
    for (syncs, durability) in
        [(0, Durability::Fsync), (1, Durability::Fsync), (0, Durability::Os), (1, Durability::Os)]
    {
        let disk = FaultyDisk::default();
        let store = open_with(&disk, Options { durability, ..options() }, Clock::System).unwrap();
        let mut stored = vec![large(&mut random, 300)];
        append(&store, &stored[0]).unwrap();
        store.seal().unwrap();
        disk.fail_sync_with(syncs, std::io::ErrorKind::StorageFull);
        let span = large(&mut random, 300);
        let refused = append(&store, &span).unwrap_err();
        assert!(matches!(refused, AppendError::Io { .. }), "{refused}");
        check(&store, &stored);
        append(&store, &span).unwrap();
        stored.push(span);
        check(&store, &stored);
        store.close().unwrap();
        disk.restart(&mut random);
        let store = open(&disk);
        check(&store, &stored);
        assert_eq!(store.stats().damaged_spots, 0);
    }
}

#[test]
fn retention_makes_room_on_a_full_disk() {
    let mut random = fastrand::Rng::with_seed(2);
    let disk = FaultyDisk::default();
    let now = Arc::new(AtomicU64::new(testing::EPOCH_MS));
    let retention_time = Some(Duration::from_secs(60));
    let options = Options { retention_time, ..options() };
    let store = open_with(&disk, options, Clock::Manual(now.clone())).unwrap();
    append(&store, &large(&mut random, 100_000)).unwrap();
    store.seal().unwrap();
    // A catalog fits, and no block.
    disk.limit(Some(disk.used() + 3_000));
    let span = large(&mut random, 1_000);
    append(&store, &span).unwrap();
    until(|| append(&store, &large(&mut random, 2_000)).is_err());
    assert!(matches!(store.seal(), Err(SealError::Failed { .. })));
    now.fetch_add(61_000, Ordering::SeqCst);
    until(|| store.stats().retired_blocks_total == 1);
    let span = large(&mut random, 2_000);
    append(&store, &span).unwrap();
    assert!(store.trace(span.trace_id).unwrap().iter().any(|other| other.same_as(&span)));
    assert_eq!(store.stats().poisoned, None);
}

#[test]
fn retention_makes_room_on_a_disk_that_takes_no_byte_more() {
    let mut random = fastrand::Rng::with_seed(2);
    let disk = FaultyDisk::default();
    let now = Arc::new(AtomicU64::new(testing::EPOCH_MS));
    let retention_time = Some(Duration::from_secs(60));
    let options = Options { retention_time, ..options() };
    let store = open_with(&disk, options, Clock::Manual(now.clone())).unwrap();
    for _ in 0..2 {
        append(&store, &large(&mut random, 100_000)).unwrap();
        store.seal().unwrap();
        disk.limit(Some(disk.used()));
        assert!(append(&store, &large(&mut random, 1_000)).is_err());
        // Whoever reads it keeps its file.
        let parts = store.parts();
        now.fetch_add(61_000, Ordering::SeqCst);
        let retired = store.stats().retired_blocks_total;
        until(|| store.stats().retired_blocks_total == retired + 1);
        drop(parts);
        let span = large(&mut random, 1_000);
        append(&store, &span).unwrap();
        assert!(store.trace(span.trace_id).unwrap().iter().any(|other| other.same_as(&span)));
        // And the next time, too.
        until(|| disk.files().iter().any(|(name, _)| name == "RESERVE"));
        disk.limit(None);
    }
}

#[test]
fn what_the_store_does_by_itself_is_done_though_somebody_asks_all_the_time() {
    let mut random = fastrand::Rng::with_seed(2);
    let disk = FaultyDisk::default();
    let now = Arc::new(AtomicU64::new(testing::EPOCH_MS));
    let retention_time = Some(Duration::from_secs(60));
    let options = Options { retention_time, ..options() };
    let store = open_with(&disk, options, Clock::Manual(now.clone())).unwrap();
    append(&store, &large(&mut random, 10)).unwrap();
    store.seal().unwrap();
    now.fetch_add(61_000, Ordering::SeqCst);
    until(|| {
        store.delete_traces(&[]).unwrap();
        store.stats().retired_blocks_total == 1
    });
}

#[test]
fn a_log_that_is_too_large_is_sealed_before_older_blocks_go_for_it() {
    let mut random = fastrand::Rng::with_seed(6);
    let disk = FaultyDisk::default();
    let options = Options { retention_bytes: Some(60_000), ..options() };
    let store = open_with(&disk, options, Clock::System).unwrap();
    let first = large(&mut random, 10);
    append(&store, &first).unwrap();
    store.seal().unwrap();
    // As a block it is next to nothing.
    let mut span = testing::span(&mut random);
    span.set_tag("filler", "again ".repeat(12_000));
    append(&store, &span).unwrap();
    until(|| store.stats().seals_total == 2 && store.stats().head_spans == 0);
    until(|| store.stats().wal_bytes < 1_000);
    store.delete_traces(&[]).unwrap();
    assert_eq!((store.stats().blocks, store.stats().retired_blocks_total), (2, 0));
}

#[test]
fn a_disk_tells_when_there_is_more_room_than_before() {
    let check = |before: (u64, u64), now: (u64, u64), expected: bool| {
        let free = |(bytes, files)| Free { bytes, files };
        assert_eq!(free(now).is_more_than(free(before)), expected, "{before:?} {now:?}");
    };
    check((0, 9), (0, 9), false);
    check((0, 9), (100 << 10, 9), false);
    check((0, 9), (1 << 20, 9), true);
    check((5 << 20, 9), (5 << 20, 20), false);
    check((5 << 20, 0), (5 << 20, 1), true);
    check((5 << 20, 0), (0, 0), false);
    let folder = tempfile::tempdir().unwrap();
    let free = Disk::Real(folder.path().to_owned()).free().unwrap();
    assert!(free.bytes > 0, "{free:?}");
}

#[test]
fn blocks_are_made_again_once_there_is_room() {
    let mut random = fastrand::Rng::with_seed(11);
    let disk = FaultyDisk::default();
    let memory = Memory { head: 1, ..Memory::default() };
    let store = open_with(&disk, Options { memory, ..options() }, Clock::System).unwrap();
    disk.limit(Some(disk.used() + 3_000));
    append(&store, &large(&mut random, 2_000)).unwrap();
    until(|| store.stats().unsealable.is_some());
    disk.limit(None);
    until(|| store.stats().unsealable.is_none() && store.stats().head_spans == 0);
}

#[test]
fn a_full_disk_keeps_nobody_from_opening_a_long_log() {
    let mut random = fastrand::Rng::with_seed(5);
    let disk = FaultyDisk::default();
    let store = open(&disk);
    let spans = [large(&mut random, 100), large(&mut random, 100)];
    spans.iter().for_each(|span| append(&store, span).unwrap());
    drop(store);
    // So that a block is made of each frame at open, if it can be, and no more than one frame is read if not.
    let memory = Memory { head: 1, ..Memory::default() };
    let options = Options { memory, ..options() };
    let used = disk.used();
    let mut blocks = Vec::new();
    for room in (0..100_000).step_by(50) {
        disk.limit(Some(used + room));
        let store = open_with(&disk, options.clone(), Clock::System).unwrap();
        let stats = store.stats();
        assert_eq!(stats.unsealable.is_some(), stats.head_spans > 0, "{stats:?}");
        let read = if stats.unread_frames > 0 { &spans[..1] } else { &spans };
        check(&store, read);
        blocks.push(stats.blocks);
        if blocks.last() == Some(&2) {
            break;
        }
    }
    assert!(blocks.starts_with(&[0]) && blocks.ends_with(&[2]), "{blocks:?}");
}

#[test]
fn a_log_that_memory_does_not_take_on_a_full_disk_waits_and_is_read_when_there_is_room() {
    let mut random = fastrand::Rng::with_seed(9);
    for room in [0, 20_000] {
        let disk = FaultyDisk::default();
        let store = open(&disk);
        let mut spans: Vec<Span> = (0..40).map(|_| large(&mut random, 1_000)).collect();
        let progress = testing::progress(&mut random);
        for (n, span) in spans.iter().enumerate() {
            let progress = (n == 39).then(|| progress.clone());
            run(store.append(OwnedBatch { spans: vec![span.clone()], progress })).unwrap();
        }
        store.close().unwrap();
        let memory = Memory { head: 1, ..Memory::default() };
        let options = Options { memory, ..options() };
        disk.limit(Some(disk.used() + room));
        for _ in 0..2 {
            let store = open_with(&disk, options.clone(), Clock::System).unwrap();
            let stats = store.stats();
            let read = stats.head_spans + stats.block_spans;
            // The last frame says that the log was closed.
            assert!(stats.head_spans == 1 && read + stats.unread_frames == 41, "{stats:?}");
            let (unsealable, refusing) = (stats.unsealable.unwrap(), stats.refusing.unwrap());
            assert!(refusing.ends_with(&*unsealable), "{refusing}");
            check(&store, &spans[..usize::try_from(read).unwrap()]);
            // Whoever was asked for spans is not asked for the same ones again.
            assert_eq!(store.progress(), std::slice::from_ref(&progress));
            let refused = append(&store, &spans[0]);
            assert_eq!(refused, Err(AppendError::Io { cause: refusing }));
            // It may have what is read, and what is not.
            for span in [&spans[0], &spans[39]] {
                let refused = store.delete_traces(&[span.trace_id]).unwrap_err();
                assert!(matches!(refused, DeleteError::Failed { is_full: true, .. }), "{refused}");
            }
            check(&store, &spans[..usize::try_from(read).unwrap()]);
        }
        let store = open_with(&disk, options.clone(), Clock::System).unwrap();
        disk.limit(None);
        store.seal().unwrap();
        let stats = store.stats();
        assert_eq!((stats.unsealable, stats.refusing, stats.unread_frames), (None, None, 0));
        check(&store, &spans);
        spans.push(large(&mut random, 10));
        append(&store, &spans[40]).unwrap();
        let id = spans.remove(7).trace_id;
        store.delete_traces(&[id]).unwrap();
        spans.retain(|span| span.trace_id != id);
        store.compact();
        check(&store, &spans);
        drop(store);
        disk.restart(&mut random);
        let store = open(&disk);
        check(&store, &spans);
        let stats = store.stats();
        assert_eq!((stats.damages, stats.damaged_spots), (Vec::new(), 0));
    }
}

#[test]
fn nothing_is_deleted_on_a_full_disk_and_all_of_it_when_there_is_room() {
    let mut random = fastrand::Rng::with_seed(10);
    let disk = FaultyDisk::default();
    let store = open(&disk);
    let spans = [large(&mut random, 1_000), large(&mut random, 1_000)];
    append(&store, &spans[0]).unwrap();
    store.seal().unwrap();
    append(&store, &spans[1]).unwrap();
    let ids = [spans[0].trace_id, spans[1].trace_id];
    disk.limit(Some(disk.used()));
    for ids in [&ids[..1], &ids[1..], &ids] {
        let refused = store.delete_traces(ids).unwrap_err();
        assert!(matches!(refused, DeleteError::Failed { is_full: true, .. }), "{refused}");
        check(&store, &spans);
    }
    disk.limit(None);
    assert_eq!(store.delete_traces(&ids), Ok(2));
    assert!(ids.iter().all(|id| store.trace(*id).unwrap().is_empty()));
}

#[test]
fn a_clock_that_is_wrong_at_boot_deletes_nothing_until_it_stays_so() {
    let mut random = fastrand::Rng::with_seed(4);
    let disk = FaultyDisk::default();
    let now = Arc::new(AtomicU64::new(testing::EPOCH_MS));
    let hour = Duration::from_secs(60 * 60);
    let open = || {
        let options = Options { retention_time: Some(24 * hour), ..options() };
        open_with(&disk, options, Clock::Manual(now.clone())).unwrap()
    };
    let store = open();
    let spans = [large(&mut random, 10), large(&mut random, 10)];
    for span in &spans {
        append(&store, span).unwrap();
        store.seal().unwrap();
    }
    drop(store);
    now.fetch_add(365 * 24 * 3_600_000, Ordering::SeqCst);
    let store = open();
    store.seal().unwrap();
    check(&store, &spans);
    now.fetch_add(3_600_000 - 1, Ordering::SeqCst);
    store.seal().unwrap();
    check(&store, &spans);
    now.fetch_add(1, Ordering::SeqCst);
    store.seal().unwrap();
    check(&store, &[]);
}

#[test]
fn a_clock_that_is_wrong_at_every_boot_deletes_nothing_that_arrived_at_the_right_time() {
    let mut random = fastrand::Rng::with_seed(4);
    let disk = FaultyDisk::default();
    let (minute_ms, hour_ms) = (60_000, 3_600_000);
    let (now, uptime) = (Arc::new(AtomicU64::new(testing::EPOCH_MS)), Arc::new(AtomicU64::new(1)));
    let wait = |ms: u64| {
        now.fetch_add(ms, Ordering::SeqCst);
        uptime.fetch_add(ms, Ordering::SeqCst);
    };
    let retention_time = Some(Duration::from_secs(7 * 24 * 60 * 60));
    let year_ms = 365 * 24 * hour_ms;
    let mut spans = Vec::new();
    for boot in 0..4 {
        let options = Options { retention_time, ..options() };
        // As long as it is off it does not count.
        now.fetch_add(hour_ms, Ordering::SeqCst);
        now.fetch_add(year_ms, Ordering::SeqCst);
        let clock = Clock::Set { now: now.clone(), uptime: uptime.clone() };
        let store = open_with(&disk, options, clock).unwrap();
        for is_wrong in [true, false] {
            let span = large(&mut random, 10);
            append(&store, &span).unwrap();
            spans.push(span);
            if boot % 2 == 0 {
                store.seal().unwrap();
            }
            wait(5 * minute_ms);
            store.delete_traces(&[]).unwrap();
            if is_wrong {
                now.fetch_sub(year_ms, Ordering::SeqCst);
            }
        }
        store.seal().unwrap();
        check(&store, &spans);
    }
    // And all of them go when it is time, but for those under a clock that was wrong alone.
    let clock = Clock::Set { now: now.clone(), uptime: uptime.clone() };
    let store = open_with(&disk, Options { retention_time, ..options() }, clock).unwrap();
    for _ in 0..8 * 24 {
        wait(hour_ms);
        store.seal().unwrap();
    }
    assert_eq!(store.stats().block_spans, 2);
}

#[test]
fn a_thread_that_panics_poisons_the_store() {
    let mut random = fastrand::Rng::with_seed(3);
    let span = large(&mut random, 10);
    let check_poisoned = |store: &Store, thread: &str| {
        until(|| store.stats().poisoned.is_some());
        let cause: Arc<str> = format!("its thread for the {thread} panicked").into();
        assert_eq!(store.stats().poisoned, Some(cause.clone()));
        assert_eq!(append(store, &span), Err(AppendError::Poisoned { cause }));
        assert_eq!(store.close(), Err(CloseError::Panicked));
    };
    let disk = FaultyDisk::default();
    let store = open(&disk);
    disk.panic_once();
    assert!(append(&store, &span).is_err());
    check_poisoned(&store, "log");
    let store = open(&disk);
    append(&store, &span).unwrap();
    disk.panic_once();
    assert!(store.seal().is_err());
    check_poisoned(&store, "blocks");
    check(&open(&disk), &[span]);
}

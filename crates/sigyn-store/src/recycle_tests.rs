//! Segments in the files of older ones: a crash at any step, bytes that get to the disk in any order, and
//! what spares may cost.

use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;

use crate::clock::Clock;
use crate::crash_tests::{Model, append_all, open_with, options};
use crate::damage::Damage;
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::offline::Offline;
use crate::options::{Durability, Options};
use crate::store::Store;
use crate::testing::{self, OwnedBatch};
use crate::wal::frame;

const SEGMENT_BYTES: u64 = 1_500;

fn small() -> Options {
    Options { segment_bytes: SEGMENT_BYTES, ..options() }
}

/// Opens a store that does nothing by itself.
fn open(disk: &FaultyDisk, options: Options, model: &Model) -> Store {
    let store = open_with(disk, options, model.clock()).unwrap();
    store.shared().is_passive.store(true, Ordering::SeqCst);
    store.delete_traces(&[]).unwrap();
    store
}

fn append(model: &mut Model, store: &Store, random: &mut Rng, count: usize) {
    let batches: Vec<OwnedBatch> = (0..count).map(|_| model.new_batch(random)).collect();
    for (batch, result) in batches.iter().zip(append_all(store, &batches)) {
        match result {
            Ok(()) => model.stored.push(batch.clone()),
            Err(_) => model.unknown.push(batch.clone()),
        }
    }
}

fn spares(disk: &FaultyDisk) -> Vec<usize> {
    let files = disk.files().into_iter();
    files.filter(|(name, _)| name.ends_with(".spare")).map(|(_, len)| len).collect()
}

/// Whether the last segment is longer than it would be without spares.
fn recycled(disk: &FaultyDisk) -> bool {
    let last = disk.files().into_iter().rfind(|(name, _)| name.ends_with(".wal"));
    last.is_some_and(|(_, len)| len as u64 >= SEGMENT_BYTES)
}

/// Fills segments, makes spares of them, and fills those.
fn life(store: &Store, model: &mut Model, random: &mut Rng, disk: &FaultyDisk) -> u32 {
    let mut recycled_count = 0;
    for _ in 0..2 {
        for _ in 0..2 {
            append(model, store, random, 4);
            append(model, store, random, 1);
        }
        let _ = store.seal();
        // Spares are finished at leisure.
        store.compact();
        append(model, store, random, 1);
        recycled_count += u32::from(recycled(disk));
        append(model, store, random, 3);
    }
    recycled_count
}

#[test]
fn a_crash_at_every_step_of_recycling_is_harmless() {
    let lived = |crash_at: Option<u64>, seed: u64| {
        let mut random = Rng::with_seed(seed);
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        let store = open(&disk, small(), &model);
        let before = disk.changes();
        if let Some(changes) = crash_at {
            disk.crash_after(changes);
        }
        let recycled_count = life(&store, &mut model, &mut random, &disk);
        let changes = disk.changes() - before;
        assert!(crash_at.is_some() || recycled_count == 2, "{recycled_count}");
        drop(store);
        let mut random = Rng::with_seed(crash_at.unwrap_or(0) * 1_000 + seed);
        for again in 0..2 {
            disk.restart(&mut random);
            let context = format!("crash at {crash_at:?}, seed {seed}, {again}");
            let store = open(&disk, small(), &model);
            assert_eq!(store.stats().damages, Vec::<Damage>::new(), "{context}");
            assert_eq!(spares(&disk), [0usize; 0], "{context}");
            model.settle(&store, &context);
            append(&mut model, &store, &mut random, 2);
            if again == 0 {
                disk.crash_after(random.u64(0..60));
                life(&store, &mut model, &mut random, &disk);
            }
        }
        changes
    };
    let changes = lived(None, 0);
    assert!(changes > 50, "{changes}");
    // Most of it is waiting for each other.
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let crash_at = next.fetch_add(1, Ordering::SeqCst);
                    if crash_at >= changes {
                        break;
                    }
                    lived(Some(crash_at), crash_at % 7);
                }
            });
        }
    });
}

#[test]
fn a_store_that_never_filled_a_segment_has_no_spares() {
    let (disk, mut model, mut random) =
        (FaultyDisk::default(), Model::default(), Rng::with_seed(1));
    let store = open(&disk, options(), &model);
    life(&store, &mut model, &mut random, &disk);
    store.seal().unwrap();
    store.compact();
    assert_eq!((spares(&disk), store.stats().wal_bytes), (vec![], 0));
}

#[test]
fn spares_are_few_and_count_and_go_when_the_store_is_closed() {
    let (disk, mut model, mut random) =
        (FaultyDisk::default(), Model::default(), Rng::with_seed(2));
    let store = open(&disk, small(), &model);
    life(&store, &mut model, &mut random, &disk);
    store.seal().unwrap();
    store.compact();
    store.seal().unwrap();
    let there = spares(&disk);
    assert!((1..=2).contains(&there.len()), "{there:?}");
    assert!(there.iter().all(|len| *len as u64 >= SEGMENT_BYTES), "{there:?}");
    assert_eq!(store.stats().wal_bytes, there.iter().sum::<usize>() as u64);
    store.close().unwrap();
    assert_eq!(spares(&disk), [0usize; 0]);
    model.check(&open(&disk, small(), &model), "opened again");
}

#[test]
fn spares_are_small_beside_what_a_store_is_kept_within() {
    let (disk, mut model, mut random) =
        (FaultyDisk::default(), Model::default(), Rng::with_seed(3));
    let retention_bytes = Some(SEGMENT_BYTES * 16 - 1);
    let store = open(&disk, Options { retention_bytes, ..small() }, &model);
    for _ in 0..3 {
        append(&mut model, &store, &mut random, 4);
        store.seal().unwrap();
        store.compact();
        assert_eq!(spares(&disk), [0usize; 0]);
    }
}

#[test]
fn on_a_full_disk_spares_go_before_a_batch_is_refused() {
    let (disk, mut model, mut random) =
        (FaultyDisk::default(), Model::default(), Rng::with_seed(4));
    let store = open(&disk, small(), &model);
    life(&store, &mut model, &mut random, &disk);
    store.seal().unwrap();
    store.compact();
    assert!(!spares(&disk).is_empty());
    disk.limit(Some(disk.used()));
    // Longer than any spare.
    let mut batch = OwnedBatch { spans: vec![testing::span(&mut random)], progress: None };
    let filler: Vec<u8> = (0..SEGMENT_BYTES * 2).map(|_| random.u8(..)).collect();
    batch.spans[0].set_tag("filler", sigyn_model::Value::Bytes(filler));
    let results = append_all(&store, &[batch.clone()]);
    let has_room = disk.files().iter().all(|(name, _)| !name.ends_with(".spare"));
    assert!(has_room, "{:?}", disk.files());
    if results[0].is_ok() {
        model.stored.push(batch);
    }
    model.check(&store, "on a full disk");
    drop(store);
    disk.restart(&mut random);
    let store = open_with(&disk, small(), Clock::System).unwrap();
    model.check(&store, "opened again");
    assert_eq!(store.stats().damages, Vec::<Damage>::new());
}

#[test]
fn damage_in_a_recycled_segment_is_told_though_the_store_was_killed() {
    let (disk, mut model, mut random) =
        (FaultyDisk::default(), Model::default(), Rng::with_seed(5));
    let segment_bytes = 20_000;
    let store = open(&disk, Options { segment_bytes, ..small() }, &model);
    while store.stats().wal_bytes < segment_bytes {
        append(&mut model, &store, &mut random, 1);
    }
    store.seal().unwrap();
    store.compact();
    let sealed = model.stored.len();
    for _ in 0..3 {
        let mut batch = model.new_batch(&mut random);
        batch.spans.push(testing::span(&mut random));
        batch.progress = None;
        assert_eq!(append_all(&store, &[batch.clone()]), [Ok(())]);
        model.stored.push(batch);
    }
    disk.crash_after(0);
    drop(store);
    disk.restart(&mut random);
    let path = disk.files().into_iter().rfind(|(name, _)| name.ends_with(".wal")).unwrap();
    assert!(path.1 as u64 >= segment_bytes, "it is a recycled one");
    // In its first frame; the two after it were synced later.
    disk.corrupt(&path.0, |bytes| bytes[90] ^= 1);
    model.stored.remove(sealed);
    let store = open_with(&disk, small(), Clock::System).unwrap();
    model.check(&store, "a damaged frame");
    assert_eq!(store.stats().damaged_spots, 1);
}

#[test]
fn on_a_full_disk_spares_go_before_anything_else_is_refused() {
    let (disk, mut model, mut random) =
        (FaultyDisk::default(), Model::default(), Rng::with_seed(6));
    let store = open(&disk, small(), &model);
    life(&store, &mut model, &mut random, &disk);
    store.seal().unwrap();
    store.compact();
    assert!(!spares(&disk).is_empty());
    disk.limit(Some(disk.used()));
    let trace = model.traces()[0][0].trace_id;
    assert_eq!(store.delete_traces(&[trace]), Ok(1));
    assert_eq!(spares(&disk), [0usize; 0]);
}

#[test]
fn on_a_full_disk_spares_go_before_a_store_is_opened() {
    let (disk, mut model, mut random) =
        (FaultyDisk::default(), Model::default(), Rng::with_seed(7));
    // Until a block is there of which the catalog does not know.
    for changes in 0.. {
        let store = open(&disk, options(), &model);
        append(&mut model, &store, &mut random, 3);
        disk.crash_after(changes);
        store.seal().unwrap_err();
        drop(store);
        disk.restart(&mut random);
        if disk.files().iter().any(|(name, _)| name.ends_with(".parquet")) {
            break;
        }
        model.settle(&open(&disk, options(), &model), "opened again");
    }
    let spare = format!("wal/{:020}.spare", 1);
    crate::disk::Disk::Faulty(disk.clone()).replace(&spare, &[0; 10_000]).unwrap();
    disk.limit(Some(disk.used()));
    let store = open(&disk, options(), &model);
    assert_eq!((spares(&disk), store.stats().blocks), (vec![], 1));
    model.check(&store, "opened on a full disk");
}

/// A store that writes to a segment made of a spare that is longer than a segment gets.
fn in_a_long_spare(disk: &FaultyDisk, model: &mut Model, durability: Durability) -> Store {
    let store = open(disk, Options { durability, ..small() }, model);
    let mut random = Rng::with_seed(9);
    let mut batch = model.new_batch(&mut random);
    batch.spans.push(testing::span(&mut random));
    batch.spans[0].set_tag("filler", "again and again ".repeat(110));
    assert_eq!(append_all(&store, &[batch.clone()]), [Ok(())]);
    model.stored.push(batch);
    store.seal().unwrap();
    assert!(spares(disk).iter().any(|len| *len as u64 > SEGMENT_BYTES), "{:?}", spares(disk));
    append_one(&store, model, &mut random);
    store
}

fn append_one(store: &Store, model: &mut Model, random: &mut Rng) {
    let batch = OwnedBatch { spans: vec![testing::span(random)], progress: None };
    assert_eq!(append_all(store, std::slice::from_ref(&batch)), [Ok(())]);
    model.stored.push(batch);
}

#[test]
fn a_segment_that_cannot_be_cut_for_there_is_no_room_goes_on() {
    let full = std::io::ErrorKind::StorageFull;
    for durability in [Durability::Fsync, Durability::Os] {
        let (disk, mut model, mut random) =
            (FaultyDisk::default(), Model::default(), Rng::with_seed(9));
        let store = in_a_long_spare(&disk, &mut model, durability);
        store.shared().segments.spares.give_up(&Disk::Faulty(disk.clone()));
        // What was not synced is, before it is cut.
        disk.fail_sync_with(u64::from(durability == Durability::Os), full);
        store.seal().unwrap_err();
        assert!(!disk.awaits_failing_sync());
        let stats = store.stats();
        assert_eq!((stats.poisoned, stats.seal_failures_total), (None, 1));
        append_one(&store, &mut model, &mut random);
        model.check(&store, "not cut");
        // It is full, too, when the segment has all that it takes.
        let mut is_full = false;
        for _ in 0..40 {
            // What is new, or was not synced yet, is synced before.
            disk.fail_sync_with(if is_full { 1 << 40 } else { 1 }, full);
            append_one(&store, &mut model, &mut random);
            is_full |= !disk.awaits_failing_sync();
        }
        assert!(is_full);
        model.check(&store, "goes on");
        store.close().unwrap();
        disk.restart(&mut random);
        let store = open(&disk, small(), &model);
        model.check(&store, "opened again");
        assert_eq!(store.stats().damages, Vec::<Damage>::new());
    }
}

#[test]
fn spares_go_before_a_segment_that_cannot_be_cut_goes_on() {
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    let store = in_a_long_spare(&disk, &mut model, Durability::Fsync);
    store.compact();
    assert!(!spares(&disk).is_empty());
    disk.fail_sync_with(0, std::io::ErrorKind::StorageFull);
    store.seal().unwrap();
    assert!(!disk.awaits_failing_sync());
    assert_eq!(spares(&disk), [0usize; 0]);
    model.check(&store, "sealed");
}

#[test]
fn a_segment_that_cannot_become_a_spare_is_removed() {
    let mut failed = 0;
    for changes in 0..40 {
        let (disk, mut model, mut random) =
            (FaultyDisk::default(), Model::default(), Rng::with_seed(8));
        let store = open(&disk, small(), &model);
        let mut batch = model.new_batch(&mut random);
        batch.spans.push(testing::span(&mut random));
        batch.spans[0].set_tag("filler", "again and again ".repeat(120));
        assert_eq!(append_all(&store, &[batch.clone()]), [Ok(())]);
        model.stored.push(batch);
        disk.fail_after(changes);
        if store.seal().is_err() {
            continue;
        }
        disk.fail_after(1 << 40);
        let segments = disk.files().into_iter().filter(|(name, _)| name.ends_with(".wal"));
        assert_eq!(segments.count(), 0, "fails at {changes}");
        failed += u32::from(spares(&disk).is_empty());
        model.check(&store, "sealed");
    }
    assert!(failed > 0);
}

#[test]
fn whoever_looks_into_a_closed_store_tells_spares_and_misnamed_segments_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options { path: dir.path().to_owned(), ..options() }).unwrap();
    let mut random = Rng::with_seed(10);
    append_one(&store, &mut Model::default(), &mut random);
    store.close().unwrap();
    std::fs::write(dir.path().join("wal/00000000000000000001.spare"), [0; 5_000]).unwrap();
    let offline = Offline::open(dir.path()).unwrap();
    let log = offline.log().unwrap();
    assert!(log.files.count == 1 && log.files.bytes < 5_000, "{log:?}");
    assert_eq!(offline.verify(|_| ()), []);
    let spans = log.spans;
    assert!(spans > 0);
    let path = |seq: u64| dir.path().join(frame::path(seq));
    drop(offline);
    std::fs::rename(path(1), path(7)).unwrap();
    let offline = Offline::open(dir.path()).unwrap();
    let cause = format!("it is {}; what it was before is missing", frame::path(1));
    // Its name cannot be put right while one only looks, but its spans are there.
    assert_eq!(offline.verify(|_| ())[0], Damage { file: frame::path(7), cause });
    assert_eq!(offline.log().unwrap().spans, spans);
}

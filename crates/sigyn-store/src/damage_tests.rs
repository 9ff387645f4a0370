//! What becomes of a store some of whose files are not what was written.

use std::time::{Duration, Instant};

use fastrand::Rng;
use sigyn_model::{Span, TraceId, Value};

use crate::check::Check;
use crate::clock::Clock;
use crate::crash_tests::{Model, all_spans, open, open_with, options, run};
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::options::Options;
use crate::stop::Stop;
use crate::store::Store;
use crate::testing::{self, OwnedBatch};
use crate::wal::frame::{self, Header, PREFIX_BYTES};
use crate::wal::reader;
use crate::wal::window::Window;

/// A store of so many blocks, each of one batch; closed.
fn blocks(disk: &FaultyDisk, model: &mut Model, random: &mut Rng, count: usize) {
    let store = open(disk);
    for _ in 0..count {
        append(&store, model, random);
        store.seal().unwrap();
    }
    store.close().unwrap();
}

/// What a damaged catalog has forgotten of progress, targets send again; so there is none here.
fn append(store: &Store, model: &mut Model, random: &mut Rng) {
    let mut batch = model.new_batch(random);
    batch.progress = None;
    batch.spans.push(testing::span(random));
    run(store.append(batch.clone())).unwrap();
    model.stored.push(batch);
}

fn files(disk: &FaultyDisk, dir: &str, end: &str) -> Vec<String> {
    let files = disk.list(dir).unwrap().into_iter().map(|(name, _)| format!("{dir}/{name}"));
    files.filter(|path| path.ends_with(end)).collect()
}

fn damages(store: &Store) -> Vec<String> {
    let stats = store.stats();
    assert_eq!(stats.damaged_files, stats.damages.len() as u64);
    stats.damages.into_iter().map(|damage| format!("{}: {}", damage.file, damage.cause)).collect()
}

#[test]
fn any_commit_may_be_damaged_and_its_block_is_found_all_the_same() {
    for n in 0..4 {
        for is_missing in [false, true] {
            let mut random = Rng::with_seed(n as u64);
            let (disk, mut model) = (FaultyDisk::default(), Model::default());
            blocks(&disk, &mut model, &mut random, 4);
            let path = files(&disk, "cat", "commit")[n].clone();
            if is_missing {
                Disk::Faulty(disk.clone()).remove(&path).unwrap();
            } else {
                disk.corrupt(&path, |bytes| *bytes.last_mut().unwrap() ^= 1);
            }
            let store = open(&disk);
            let context = format!("{path}, missing: {is_missing}");
            model.check(&store, &context);
            assert_eq!(store.stats().blocks, 4, "{context}");
            let told = damages(&store);
            // That the newest one was ever there nobody knows.
            assert_eq!(told.is_empty(), is_missing && n == 3, "{context}");
            assert!(told.iter().all(|damage| damage.starts_with(&path)), "{told:?}");
            assert_eq!(store.stats().quarantined_files, u64::from(!is_missing), "{context}");
            append(&store, &mut model, &mut random);
            store.seal().unwrap();
            drop(store);
            let store = open(&disk);
            model.check(&store, &context);
            assert_eq!((damages(&store), store.stats().blocks), (Vec::new(), 5), "{context}");
        }
    }
}

#[test]
fn a_damaged_checkpoint_costs_nothing() {
    let mut random = Rng::with_seed(1);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 70);
    let checkpoints = files(&disk, "cat", "checkpoint");
    assert_eq!(checkpoints.len(), 2);
    disk.corrupt(&checkpoints[1], |bytes| bytes.truncate(bytes.len() / 2));
    let store = open(&disk);
    model.check(&store, "on the one before it");
    assert_eq!(damages(&store), [format!("{}: its checksum is wrong", checkpoints[1])]);
    drop(store);
    let store = open(&disk);
    model.check(&store, "opened again");
    assert!(damages(&store).is_empty());
}

#[test]
fn which_store_it_is_other_files_say_as_well() {
    let mut random = Rng::with_seed(10);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 2);
    let store = open(&disk);
    append(&store, &mut model, &mut random);
    let instance = store.instance_id();
    drop(store);
    let good = disk.read("IDENTITY").unwrap();
    let old = format!("sigyn-store version 1\ninstance {instance:016x}\n").into_bytes();
    let check = |kept: &[&str], identity: Option<&[u8]>, expected: Option<&str>| {
        let disk = disk.copy();
        let faulty = Disk::Faulty(disk.clone());
        for dir in ["cat", "wal", "blocks"].iter().filter(|dir| !kept.contains(dir)) {
            files(&disk, dir, "").iter().for_each(|path| faulty.remove(path).unwrap());
        }
        match identity {
            Some(bytes) => faulty.replace("IDENTITY", bytes).unwrap(),
            None => faulty.remove("IDENTITY").unwrap(),
        }
        let store = open(&disk);
        assert_eq!(store.instance_id(), instance);
        let told = damages(&store);
        let of_identity = told.iter().find(|damage| damage.starts_with("IDENTITY"));
        let begins = |told: &String| expected.is_some_and(|begin| told[10..].starts_with(begin));
        assert_eq!(of_identity.is_some(), expected.is_some(), "{told:?}");
        assert!(of_identity.is_none_or(begins), "{told:?}");
        if kept.len() == 3 {
            model.check(&store, "all is there");
        }
        drop(store);
        assert_eq!(disk.read("IDENTITY").unwrap(), good);
        let told = damages(&open(&disk));
        assert!(!told.iter().any(|damage| damage.starts_with("IDENTITY")), "{told:?}");
    };
    let all: &[&str] = &["cat", "wal", "blocks"];
    check(all, Some(&good), None);
    check(all, Some(&old), None);
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    for at in 0..good.len() {
        check(all, Some(&flipped(&good, at)), Some("it is not what was written; "));
    }
    // The version, and then the instance, which is as good as any.
    check(all, Some(&flipped(&old, 20)), Some("it is not what was written; "));
    let other = format!("sigyn-store version 1\ninstance {:016x}\n", instance ^ 1);
    check(all, Some(other.as_bytes()), Some("it is that of another store; "));
    for kept in [all, &["cat"], &["wal"], &["blocks"]] {
        check(kept, None, Some("it is missing; "));
    }
    let faulty = Disk::Faulty(disk.clone());
    files(&disk, "cat", "").iter().for_each(|path| faulty.remove(path).unwrap());
    files(&disk, "blocks", "").iter().for_each(|path| faulty.remove(path).unwrap());
    disk.corrupt(&files(&disk, "wal", "")[0], |bytes| bytes[1] ^= 1);
    faulty.remove("IDENTITY").unwrap();
    let error = open_with(&disk, options(), Clock::System).unwrap_err().to_string();
    assert!(error.ends_with("it is missing, and no other files agree which store this is"));
}

#[test]
fn the_first_checkpoint_may_be_damaged_and_costs_nothing() {
    for n in 0..4 {
        let mut random = Rng::with_seed(n as u64);
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        blocks(&disk, &mut model, &mut random, n);
        let store = open(&disk);
        append(&store, &mut model, &mut random);
        drop(store);
        let path = files(&disk, "cat", "checkpoint")[0].clone();
        disk.corrupt(&path, |bytes| bytes[30] ^= 1);
        let store = open(&disk);
        model.check(&store, "without a checkpoint");
        assert_eq!(damages(&store), [format!("{path}: its checksum is wrong")]);
        drop(store);
        let store = open(&disk);
        model.check(&store, "opened again");
        assert_eq!((damages(&store), store.stats().blocks), (Vec::new(), n as u64));
    }
}

#[test]
fn without_a_catalog_blocks_and_the_log_are_all_served() {
    for seed in 0..12 {
        let mut random = Rng::with_seed(seed);
        let (disk, mut model, _) = lived(&mut random);
        let faulty = Disk::Faulty(disk.clone());
        for path in files(&disk, "cat", "") {
            faulty.remove(&path).unwrap();
        }
        let open = |model: &Model| open_with(&disk, options(), model.clock()).unwrap();
        let store = open(&model);
        let told = damages(&store);
        let begin = "cat/00000000000000000000.checkpoint: it is missing";
        assert!(told.len() == 1 && told[0].starts_with(begin), "{told:?}");
        let check = |store: &Store, model: &Model, context: &str| {
            let served = all_spans(store);
            let is_served = |span: &Span| served.iter().any(|other| other.same_as(span));
            assert!(model.traces().concat().iter().all(is_served), "seed {seed}, {context}");
        };
        check(&store, &model, "found again");
        append(&store, &mut model, &mut random);
        store.seal().unwrap();
        model.wait_hours();
        store.compact();
        check(&store, &model, "merged");
        drop(store);
        let store = open(&model);
        check(&store, &model, "opened again");
        assert_eq!(damages(&store), Vec::<String>::new());
    }
}

#[test]
fn a_block_whose_commit_a_crash_prevented_is_taken_in() {
    let mut random = Rng::with_seed(2);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    let store = open(&disk);
    let batch = model.new_batch(&mut random);
    run(store.append(batch.clone())).unwrap();
    model.stored.push(batch);
    store.close().unwrap();
    // As far as the commit, with all that belongs to it.
    let (log, before) = (files(&disk, "wal", "wal")[0].clone(), files(&disk, "cat", "commit"));
    let log_bytes = disk.read(&log).unwrap();
    let store = open(&disk);
    store.seal().unwrap();
    store.close().unwrap();
    for path in files(&disk, "cat", "commit") {
        if !before.contains(&path) {
            Disk::Faulty(disk.clone()).remove(&path).unwrap();
        }
    }
    Disk::Faulty(disk.clone()).replace(&log, &log_bytes).unwrap();
    for _ in 0..2 {
        let store = open(&disk);
        // Its progress, too, which is in the log alone.
        model.check(&store, "taken in");
        let stats = store.stats();
        assert_eq!((stats.blocks, stats.head_spans, stats.damaged_files), (1, 0, 0));
    }
}

#[test]
fn a_block_that_the_catalog_and_the_log_have_lost_is_named() {
    let mut random = Rng::with_seed(3);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 2);
    let store = open(&disk);
    append(&store, &mut model, &mut random);
    drop(store);
    let faulty = Disk::Faulty(disk.clone());
    faulty.remove(&files(&disk, "cat", "commit")[1]).unwrap();
    faulty.remove(&files(&disk, "blocks", "parquet")[1]).unwrap();
    model.stored.remove(1);
    let store = open(&disk);
    model.check(&store, "without the second");
    let expected = "wal: frames 2 to 2 are neither in the log nor in a block";
    let told = damages(&store);
    assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
}

#[test]
fn a_segment_of_the_log_that_is_missing_is_named() {
    for is_cut in [false, true] {
        let mut random = Rng::with_seed(5);
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        for _ in 0..3 {
            append(&open(&disk), &mut model, &mut random);
        }
        let segments = files(&disk, "wal", "wal");
        let faulty = Disk::Faulty(disk.clone());
        match is_cut {
            // To its header: as if the frames had never been.
            true => faulty.truncate(&segments[1], 64).unwrap(),
            false => faulty.remove(&segments[1]).unwrap(),
        }
        model.stored.remove(1);
        let store = open(&disk);
        model.check(&store, "without the second");
        let expected = format!(
            "{}: frames 3 to 4, before those of this segment, are neither in the log nor in a block",
            segments[2]
        );
        let told = damages(&store);
        assert!(told.len() == 1 && told[0].starts_with(&expected), "{told:?}");
    }
}

#[test]
fn what_a_copy_with_an_older_catalog_lacks_is_named() {
    for is_missing in [false, true] {
        let mut random = Rng::with_seed(3);
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        blocks(&disk, &mut model, &mut random, 3);
        let faulty = Disk::Faulty(disk.clone());
        for path in &files(&disk, "cat", "commit")[1..] {
            faulty.remove(path).unwrap();
        }
        let path = files(&disk, "blocks", "parquet")[1].clone();
        if is_missing {
            faulty.remove(&path).unwrap();
        } else {
            disk.corrupt(&path, |bytes| bytes[40] ^= 1);
        }
        model.stored.remove(1);
        let store = open(&disk);
        model.check(&store, "without the second");
        assert_eq!(store.stats().blocks, 2);
        let mut told = damages(&store);
        let gap =
            "wal: frames 2 to 2 are neither in the log nor in a block; their spans are missing";
        assert_eq!(told.pop().unwrap(), gap);
        assert_eq!(told.iter().filter(|damage| damage.starts_with(&path)).count(), told.len());
        assert_eq!(told.len(), usize::from(!is_missing), "{told:?}");
        drop(store);
        let store = open(&disk);
        model.check(&store, "opened again");
        assert_eq!(damages(&store), Vec::<String>::new());
    }
}

/// A store that reads from the disk whatever it is asked.
fn open_keeping_nothing(disk: &FaultyDisk) -> Store {
    let mut options = options();
    options.memory.cache = 0;
    open_with(disk, options, Model::default().clock()).unwrap()
}

#[test]
fn a_block_that_comes_and_goes_is_told_of_while_it_is_gone() {
    let mut random = Rng::with_seed(4);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 2);
    let path = files(&disk, "blocks", "parquet")[0].clone();
    let store = open_keeping_nothing(&disk);
    for _ in 0..2 {
        disk.fail_reads(&path, u64::MAX);
        all_spans(&store);
        let told = damages(&store);
        assert!(told.len() == 1 && told[0].starts_with(&path), "{told:?}");
        assert_eq!(store.unreadable_blocks(), 1);
        disk.fail_reads(&path, 0);
        let deadline = Instant::now() + Duration::from_secs(60);
        while store.unreadable_blocks() > 0 {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        model.check(&store, "back again");
        assert_eq!(damages(&store), Vec::<String>::new());
    }
}

#[test]
fn what_time_it_was_is_told_as_damaged_until_it_is_written_again() {
    let disk = FaultyDisk::default();
    let options = Options { retention_time: Some(Duration::from_secs(3_600)), ..options() };
    let open = || open_with(&disk, options.clone(), Clock::System).unwrap();
    drop(open());
    disk.corrupt(crate::present::PATH, |bytes| bytes[30] ^= 1);
    let store = open();
    let told = damages(&store);
    // The thread that writes it may have been faster.
    assert!(told.len() <= 1 && told.iter().all(|one| one.starts_with("TIME: it is not what")));
    store.seal().unwrap();
    assert_eq!(damages(&store), Vec::<String>::new());
}

#[test]
fn the_first_bytes_of_a_block_are_looked_at_too() {
    let mut random = Rng::with_seed(5);
    for at in 0..4 {
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        blocks(&disk, &mut model, &mut random, 1);
        let path = files(&disk, "blocks", "parquet")[0].clone();
        disk.corrupt(&path, |bytes| bytes[at] ^= 1);
        let store = open(&disk);
        let mut check = Check::default();
        (0..9).for_each(|_| check.step(store.shared(), Duration::from_secs(1)));
        assert_eq!(damages(&store).len(), 1);
    }
}

#[test]
fn a_missing_block_is_named_at_open_and_later() {
    let mut random = Rng::with_seed(4);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 3);
    let paths = files(&disk, "blocks", "parquet");
    let faulty = Disk::Faulty(disk.clone());
    faulty.remove(&paths[0]).unwrap();
    model.stored.remove(0);
    let store = open_keeping_nothing(&disk);
    model.check(&store, "without the first");
    assert!(damages(&store)[0].starts_with(&paths[0]), "{:?}", damages(&store));
    faulty.remove(&paths[1]).unwrap();
    model.stored.remove(0);
    model.check(&store, "without the second");
    assert!(damages(&store)[1].starts_with(&paths[1]), "{:?}", damages(&store));
    assert_eq!((store.stats().unreadable_blocks, store.stats().blocks), (2, 1));
}

#[test]
fn a_block_on_a_bad_sector_is_set_aside_unless_it_can_be_read_again() {
    let mut random = Rng::with_seed(4);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 2);
    let path = &files(&disk, "blocks", "parquet")[0];
    let store = open_keeping_nothing(&disk);
    disk.fail_reads(path, 2);
    model.check(&store, "read again");
    assert_eq!(damages(&store), Vec::<String>::new());
    disk.fail_reads(path, u64::MAX);
    model.stored.remove(0);
    model.check(&store, "without the first");
    assert!(damages(&store)[0].starts_with(path), "{:?}", damages(&store));
    assert_eq!((store.stats().unreadable_blocks, store.stats().blocks), (1, 1));
}

#[test]
fn a_pass_over_all_blocks_leaves_out_none_that_stands_after_one_made_anew() {
    let (disk, model) = (FaultyDisk::default(), Model::default());
    let store = open_with(&disk, options(), model.clock()).unwrap();
    let at_ms = testing::EPOCH_MS;
    for (id, at_ms) in [(1, at_ms), (2, at_ms), (3, at_ms - 2 * 60 * 60 * 1_000)] {
        let mut span = Span::new(TraceId::new(id).unwrap(), sigyn_model::SpanId::from_raw(1));
        span.timestamp = sigyn_model::Timestamp::from_micros(at_ms * 1_000);
        run(store.append(testing::OwnedBatch { spans: vec![span], progress: None })).unwrap();
        store.seal().unwrap();
    }
    model.wait_hours();
    store.compact();
    store.delete_traces(&[TraceId::new(1).unwrap()]).unwrap();
    store.compact();
    let names: Vec<(String, bool)> = {
        let blocks = store.parts().blocks;
        let entries = blocks.iter().map(|block| block.entry());
        entries.map(|entry| (entry.name.clone(), entry.is_late)).collect()
    };
    assert_eq!(names.len(), 2);
    for (name, _) in &names {
        disk.corrupt(&format!("blocks/{name}"), |bytes| bytes[40] ^= 1);
    }
    let mut check = Check::default();
    (0..9).for_each(|_| check.step(store.shared(), Duration::from_secs(1)));
    assert_eq!(damages(&store).len(), 2, "{names:?}");
}

#[test]
fn a_block_is_back_in_answers_when_the_disk_can_read_it_again() {
    let mut random = Rng::with_seed(4);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 3);
    let store = open(&disk);
    let paths = files(&disk, "blocks", "parquet");
    // For as long as a cable is loose nothing can be read.
    paths.iter().for_each(|path| disk.fail_reads(path, u64::MAX));
    assert_eq!(all_spans(&store), Vec::<Span>::new());
    assert_eq!((store.stats().unreadable_blocks, store.stats().blocks), (3, 0));
    paths.iter().for_each(|path| disk.fail_reads(path, 0));
    // Long before a restart.
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.stats().blocks < 3 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    model.check(&store, "back again");
    assert_eq!((store.stats().unreadable_blocks, damages(&store)), (0, Vec::new()));
    let blocks = store.parts().blocks;
    assert!(blocks.is_sorted_by_key(|block| block.entry().last_seq));
}

#[test]
fn a_block_is_back_in_answers_though_the_thread_that_reads_it_is_asked_for_all_the_time() {
    let mut random = Rng::with_seed(5);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 2);
    let store = open(&disk);
    let paths = files(&disk, "blocks", "parquet");
    paths.iter().for_each(|path| disk.fail_reads(path, u64::MAX));
    assert_eq!(all_spans(&store), Vec::<Span>::new());
    paths.iter().for_each(|path| disk.fail_reads(path, 0));
    let _asking = store.shared().ask();
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.stats().blocks < 2 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    model.check(&store, "back again");
}

#[test]
fn all_that_can_be_read_is_gone_through_though_a_block_is_damaged() {
    let mut random = Rng::with_seed(8);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 3);
    let path = files(&disk, "blocks", "parquet")[1].clone();
    disk.corrupt(&path, |bytes| bytes[40] ^= 1);
    let store = open(&disk);
    append(&store, &mut model, &mut random);
    model.stored.remove(1);
    let mut spans = 0;
    store.each_spans(&Stop::default(), |some| spans += some.len()).unwrap();
    assert_eq!(spans, model.stored.iter().map(|batch| batch.spans.len()).sum::<usize>());
    assert!(damages(&store)[0].starts_with(&path), "{:?}", damages(&store));
}

#[test]
fn a_block_that_many_questions_set_aside_at_once_is_counted_once() {
    let mut random = Rng::with_seed(9);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 30);
    let store = open(&disk);
    let paths = files(&disk, "blocks", "parquet");
    paths.iter().for_each(|path| disk.fail_reads(path, u64::MAX));
    let start = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                all_spans(&store)
            });
        }
    });
    assert_eq!((store.stats().unreadable_blocks, damages(&store).len()), (30, 30));
}

#[test]
fn a_bad_sector_costs_what_is_in_it_whatever_file_it_is_under() {
    let mut random = Rng::with_seed(6);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 70);
    let store = open(&disk);
    // So that more than a sector is in the log.
    for _ in 0..40 {
        append(&store, &mut model, &mut random);
    }
    store.close().unwrap();
    drop(store);
    let newest = |end: &str| files(&disk, "cat", end).pop().unwrap();
    let (checkpoint, commit, log) =
        (newest("checkpoint"), newest("commit"), files(&disk, "wal", "wal")[0].clone());
    let log_end = disk.read(&log).unwrap().len() - PREFIX_BYTES;
    assert!(log_end > 3 << 12, "{log_end}");
    for (path, lost, batches) in [
        (&checkpoint, 0..1, 0),
        (&commit, 0..1, 0),
        (&log, 0..1, 40),
        (&log, 5_000..5_001, 1),
        (&log, log_end - 1..log_end, 1),
    ] {
        let context = format!("{path} {lost:?}");
        let disk = disk.copy();
        disk.lose(path, lost);
        for is_first in [true, false] {
            let store = open(&disk);
            let there = all_spans(&store);
            let is_whole = |batch: &&testing::OwnedBatch| {
                batch.spans.iter().all(|span| there.iter().any(|other| other.same_as(span)))
            };
            let missing = model.stored.len() - model.stored.iter().filter(is_whole).count();
            assert!(
                missing <= batches * 40 && (missing > 0) == (batches > 0),
                "{context}: {missing}"
            );
            // A damaged log is told for as long as it is read, and other files are set aside.
            if is_first {
                let told = damages(&store);
                assert!(
                    told.len() == 1 && told[0].starts_with(path.as_str()),
                    "{context}: {told:?}"
                );
            }
            let mut model = Model::default();
            append(&store, &mut model, &mut random);
            store.seal().unwrap();
            let span = &model.stored[0].spans[0];
            assert!(store.trace(span.trace_id).unwrap().iter().any(|other| other.same_as(span)));
        }
        assert_eq!(disk.list("quarantine").unwrap().len(), 1, "{context}");
    }
    // One that can be read again costs nothing.
    disk.fail_reads(&log, 2);
    let store = open(&disk);
    model.check(&store, "read again");
    assert_eq!(damages(&store), Vec::<String>::new());
}

#[test]
fn a_flipped_byte_is_found_though_nobody_asks_for_it() {
    let mut random = Rng::with_seed(5);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    blocks(&disk, &mut model, &mut random, 2);
    let path = files(&disk, "blocks", "parquet")[1].clone();
    disk.corrupt(&path, |bytes| bytes[40] ^= 1);
    let store = open_with(&disk, options(), Clock::System).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.stats().damaged_files == 0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert!(damages(&store)[0].starts_with(&path), "{:?}", damages(&store));
    model.stored.pop();
    model.check(&store, "without the damaged one");
}

/// A store that is killed before any of its spans are in a block: one batch for each of these values.
fn killed(disk: &FaultyDisk, model: &mut Model, random: &mut Rng, fillers: &[&[u8]]) -> String {
    let store = open(disk);
    for filler in fillers {
        let mut span = testing::span(random);
        span.set_tag("filler", Value::Bytes(filler.to_vec()));
        let batch = OwnedBatch { spans: vec![span], progress: None };
        run(store.append(batch.clone())).unwrap();
        model.stored.push(batch);
    }
    drop(store);
    disk.restart(random);
    files(disk, "wal", "wal").pop().unwrap()
}

#[test]
fn what_is_not_searched_to_its_end_is_not_cut() {
    let (disk, mut model, mut random) =
        (FaultyDisk::default(), Model::default(), Rng::with_seed(31));
    // The beginnings of long frames, which have to be summed.
    let mut like_a_frame = [0; frame::PREFIX_BYTES];
    like_a_frame[..4].copy_from_slice(&5_000u32.to_le_bytes());
    like_a_frame[9] = 3;
    let path = killed(&disk, &mut model, &mut random, &[b"", &like_a_frame.repeat(2_000), b""]);
    let second = disk.read(&path).unwrap().windows(17).position(|bytes| bytes == like_a_frame);
    disk.corrupt(&path, |bytes| bytes[second.unwrap() - 20] ^= 1);
    let len = disk.read(&path).unwrap().len();
    // The third one is behind what nobody gets through.
    let lost = model.stored.split_off(1);
    let store = open(&disk);
    model.check(&store, "a damaged frame");
    assert_eq!(
        damages(&store),
        [format!("{path}: 1 spot is no frame; some of its spans are missing")]
    );
    assert_eq!(disk.read(&path).unwrap().len(), len);
    store.seal().unwrap();
    let kept = files(&disk, "quarantine", "wal").pop().unwrap();
    assert_eq!(disk.read(&kept).unwrap().len(), len);
    assert_eq!(lost.len(), 2);
    drop(store);
    model.check(&open(&disk), "opened again");
}

#[test]
fn a_segment_under_the_name_of_another_is_that_segment() {
    for is_there_twice in [false, true] {
        let (disk, mut model, mut random) =
            (FaultyDisk::default(), Model::default(), Rng::with_seed(32));
        killed(&disk, &mut model, &mut random, &[b"one"]);
        let path = killed(&disk, &mut model, &mut random, &[b"two", b"three"]);
        assert_eq!(path, frame::path(3));
        // It had a name of before while the directory was copied.
        let real = Disk::Faulty(disk.clone());
        let misnamed = frame::path(1);
        real.replace(&misnamed, &disk.read(&path).unwrap()).unwrap();
        model.stored.remove(0);
        if !is_there_twice {
            real.remove(&path).unwrap();
        }
        let store = open(&disk);
        model.check(&store, "under another name");
        assert_eq!(store.stats().head_spans, 2);
        assert!(damages(&store)[0].starts_with(&format!("{misnamed}: it is {path}")));
        let aside = files(&disk, "quarantine", "wal");
        assert_eq!(
            (files(&disk, "wal", "wal"), aside.len()),
            (vec![path], usize::from(is_there_twice))
        );
        store.seal().unwrap();
        drop(store);
        model.check(&open(&disk), "opened again");
    }
}

/// Where the last frame of the log begins: damage from there on looks like what a crash leaves.
fn last_frame(disk: &FaultyDisk) -> (String, usize) {
    let path = files(disk, "wal", "wal").pop().unwrap();
    let bytes = disk.read(&path).unwrap();
    let mut last = 0;
    let header = Header::decode(&bytes).unwrap();
    let outcome = reader::read(&mut Window::of(&bytes), &header, |frame| {
        last = frame.bytes();
        Ok::<_, std::io::Error>(())
    });
    let outcome = outcome.unwrap();
    (path, outcome.valid_bytes - last)
}

/// A store with some of everything: merged blocks, others, a log, traces that were deleted. All spans
/// that were ever in it.
fn lived(random: &mut Rng) -> (FaultyDisk, Model, Vec<Span>) {
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    let store = open_with(&disk, options(), model.clock()).unwrap();
    let mut ever = Vec::new();
    for step in 0..random.usize(4..10) {
        append(&store, &mut model, random);
        ever.extend(model.stored.last().unwrap().spans.clone());
        match random.u8(0..6) {
            0 if step > 0 => {
                let id: TraceId = ever[random.usize(..ever.len())].trace_id;
                store.delete_traces(&[id]).unwrap();
                model.delete(&[id]);
            }
            1 => {
                model.wait_hours();
                store.compact();
            }
            _ => store.seal().unwrap(),
        }
    }
    append(&store, &mut model, random);
    ever.extend(model.stored.last().unwrap().spans.clone());
    store.close().unwrap();
    drop(store);
    (disk, model, ever)
}

#[test]
fn whatever_byte_is_flipped_what_it_costs_is_told() {
    let mut losses = 0;
    for seed in 0..12 {
        let mut random = Rng::with_seed(seed);
        let (disk, model, ever) = lived(&mut random);
        let stored: Vec<Span> = model.traces().concat();
        let files = disk.files();
        let last_frame = last_frame(&disk);
        for _ in 0..25 {
            let (path, len) = files[random.usize(..files.len())].clone();
            let at = random.usize(..len);
            let context = format!("seed {seed}, byte {at} of {len} of {path}");
            let disk = disk.copy();
            disk.corrupt(&path, |bytes| bytes[at] ^= 1 << random.u8(0..8));
            let open = || open_with(&disk, options(), model.clock());
            let store = match open() {
                Ok(store) => store,
                Err(error) => panic!("{context}: {error}"),
            };
            let served = all_spans(&store);
            let is_among = |span: &Span, all: &[Span]| all.iter().any(|other| other.same_as(span));
            assert!(served.iter().all(|span| is_among(span, &ever)), "{context}");
            let is_lost = stored.iter().any(|span| !is_among(span, &served));
            let is_back = served.iter().any(|span| !is_among(span, &stored));
            // At its end the log may be torn by a crash, and this looks like it.
            let is_torn = path == last_frame.0 && at >= last_frame.1;
            let is_told = store.stats().damaged_files > 0 || is_torn;
            assert!(is_told || !(is_lost || is_back), "{context}: lost {is_lost}, back {is_back}");
            losses += u32::from(is_lost);
            // And life goes on.
            let mut later = Model::default();
            append(&store, &mut later, &mut random);
            store.seal().unwrap();
            let span = &later.stored[0].spans[0];
            let there = store.trace(span.trace_id).unwrap();
            assert!(is_among(span, &there), "{context}");
            drop(store);
            // What was there once stays.
            let there = all_spans(&open().unwrap());
            assert!(served.iter().all(|span| is_among(span, &there)), "{context}, opened again");
        }
    }
    assert!(losses > 20, "{losses}");
}

#[test]
fn a_damaged_block_goes_with_the_retention_whenever_it_was_found() {
    let mut random = Rng::with_seed(7);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    let hour = Duration::from_secs(60 * 60);
    let options = Options { retention_time: Some(4 * hour), ..options() };
    let open = |model: &Model| open_with(&disk, options.clone(), model.clock()).unwrap();
    let store = open(&model);
    for _ in 0..3 {
        append(&store, &mut model, &mut random);
        store.seal().unwrap();
    }
    drop(store);
    let paths = files(&disk, "blocks", "parquet");
    disk.corrupt(&paths[0], |bytes| *bytes.last_mut().unwrap() ^= 1);
    let store = open(&model);
    disk.corrupt(&paths[1], |bytes| bytes[40..400].iter_mut().for_each(|byte| *byte ^= 1));
    for span in &model.stored[1].spans {
        store.trace(span.trace_id).unwrap();
    }
    assert_eq!(store.stats().unreadable_blocks, 2);
    assert_eq!(files(&disk, "blocks", "parquet").len(), 3);
    for _ in 0..3 {
        model.wait_hours();
        store.seal().unwrap();
    }
    assert_eq!(files(&disk, "blocks", "parquet"), Vec::<String>::new());
    assert_eq!(store.stats().retired_blocks_total, 3);
    assert_eq!((store.stats().unreadable_blocks, damages(&store)), (0, Vec::new()));
}

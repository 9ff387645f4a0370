//! Blocks that are merged and traces that are deleted, on a disk that fails: nothing else changes.

use std::time::Duration;

use fastrand::Rng;
use sigyn_model::{Span, Timestamp, TraceId};

use crate::crash_tests::{Model, open_with, options, run};
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::memory::Memory;
use crate::options::Options;
use crate::store::Store;
use crate::testing::{self, OwnedBatch};

fn open(disk: &FaultyDisk, model: &Model) -> Store {
    open_with(disk, options(), model.clock()).unwrap()
}

/// With so little memory that a few spans, or none, are held at a time while blocks are merged.
fn open_within(disk: &FaultyDisk, model: &Model, making: u64) -> Store {
    let memory = Memory { making, ..options().memory };
    open_with(disk, Options { memory, ..options() }, model.clock()).unwrap()
}

/// Seals so many blocks, of one batch each.
fn seal_blocks(store: &Store, model: &mut Model, random: &mut Rng, count: usize) {
    for _ in 0..count {
        let mut batch = model.new_batch(random);
        batch.spans.push(testing::span(random));
        run(store.append(batch.clone())).unwrap();
        model.stored.push(batch);
        store.seal().unwrap();
    }
}

fn block_files(disk: &FaultyDisk) -> usize {
    disk.list("blocks").unwrap().len()
}

#[test]
fn blocks_of_an_hour_that_is_over_become_one_and_answers_stay() {
    for seed in 0..20 {
        let mut random = Rng::with_seed(seed);
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        let making = [10_000, 60_000, 1 << 30][usize::try_from(seed % 3).unwrap()];
        let store = open_within(&disk, &model, making);
        seal_blocks(&store, &mut model, &mut random, 5);
        store.compact();
        assert_eq!(store.stats().blocks, 5, "the hour is not over");
        model.wait_hours();
        seal_blocks(&store, &mut model, &mut random, 1);
        let reader = store.parts();
        store.compact();
        let stats = store.stats();
        assert_eq!((stats.compactions_total, stats.merged_blocks_total), (1, 5));
        // What is late has a block of its own.
        assert!((2..4).contains(&stats.blocks), "{stats:?}");
        model.check(&store, "merged");
        model.check_queries(&store, &mut random, "merged");
        assert_eq!(block_files(&disk) as u64, stats.blocks + 5, "somebody still reads them");
        drop(reader);
        assert_eq!(block_files(&disk) as u64, stats.blocks);
        store.compact();
        assert_eq!(store.stats().compactions_total, 1, "merged once");
        drop(store);
        let store = open(&disk, &model);
        model.check(&store, "opened again");
        model.check_queries(&store, &mut random, "opened again");
        assert_eq!(store.stats().blocks, stats.blocks);
    }
}

#[test]
fn a_span_that_is_larger_than_what_is_merged_at_once_stands_once_however_often_it_came() {
    for making in [30_000, 300_000] {
        let (disk, model) = (FaultyDisk::default(), Model::default());
        let store = open_within(&disk, &model, making);
        let at_ms = testing::EPOCH_MS;
        let mut large = span(1, at_ms);
        large.set_tag("text", "large ".repeat(5_000));
        // One more says something else at the same place, and the trace goes on.
        let mut other = large.clone();
        other.set_tag("more", "text");
        let mut next = span(1, at_ms + 1);
        next.id = sigyn_model::SpanId::new(2).unwrap();
        for spans in [vec![large.clone(), next.clone()], vec![large.clone(), other], vec![large]] {
            run(store.append(OwnedBatch { spans, progress: None })).unwrap();
            store.seal().unwrap();
        }
        model.wait_hours();
        store.compact();
        let stats = store.stats();
        assert_eq!((stats.blocks, stats.block_spans), (1, 3), "{making}");
        assert_eq!(count(&store, 1), 3);
    }
}

#[test]
fn a_crash_at_every_step_of_a_merge_is_harmless() {
    let life = |crash_at: Option<u64>| {
        let mut random = Rng::with_seed(crash_at.unwrap_or(0));
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        let store = open(&disk, &model);
        seal_blocks(&store, &mut model, &mut random, 3);
        model.wait_hours();
        let before = disk.changes();
        if let Some(changes) = crash_at {
            disk.crash_after(changes);
        }
        store.compact();
        model.check(&store, "after the crash, before the restart");
        let changes = disk.changes() - before;
        drop(store);
        disk.restart(&mut random);
        let store = open(&disk, &model);
        let context = format!("crash at {crash_at:?}");
        model.check(&store, &context);
        store.compact();
        model.check(&store, &context);
        let blocks = store.stats().blocks;
        assert!(blocks <= 2, "{context}");
        assert_eq!(
            (block_files(&disk) as u64, disk.list("quarantine").unwrap().len()),
            (blocks, 0)
        );
        changes
    };
    let changes = life(None);
    assert!(changes > 15, "{changes}");
    for crash_at in 0..changes {
        life(Some(crash_at));
    }
}

fn last_commit(disk: &FaultyDisk) -> String {
    let mut names = disk.list("cat").unwrap().into_iter().map(|(name, _)| name);
    format!("cat/{}", names.rfind(|name| name.ends_with("commit")).unwrap())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    Damaged,
    DamagedAndSealedAfter,
    /// As in a copy whose catalog is older than its blocks. Nothing tells that it was ever there.
    Gone,
}

#[test]
fn a_merge_whose_commit_is_lost_is_found_all_the_same() {
    for loss in [Loss::Damaged, Loss::DamagedAndSealedAfter, Loss::Gone] {
        let mut random = Rng::with_seed(3);
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        let options = Options { retention_errors: Some(Duration::from_secs(1)), ..options() };
        let open = |model: &Model| open_with(&disk, options.clone(), model.clock()).unwrap();
        let store = open(&model);
        seal_blocks(&store, &mut model, &mut random, 3);
        // Cursors of a damaged commit come again from their targets.
        store.compact();
        model.wait_hours();
        store.compact();
        let path = last_commit(&disk);
        if loss == Loss::DamagedAndSealedAfter {
            seal_blocks(&store, &mut model, &mut random, 1);
        }
        let blocks = store.stats().blocks;
        drop(store);
        match loss {
            Loss::Gone => Disk::Faulty(disk.clone()).remove(&path).unwrap(),
            _ => disk.corrupt(&path, |bytes| bytes[30] ^= 1),
        }
        for _ in 0..2 {
            let store = open(&model);
            model.check(&store, "the merged blocks are taken in");
            assert_eq!(store.stats().blocks, blocks, "{loss:?}");
            let set_aside = disk.list("quarantine").unwrap().len();
            assert_eq!(set_aside, usize::from(loss != Loss::Gone), "{loss:?}");
        }
    }
}

#[test]
fn a_block_without_what_was_deleted_stands_for_that_one_alone() {
    for is_torn in [false, true] {
        let (disk, model) = (FaultyDisk::default(), Model::default());
        let options = Options { retention_errors: hours(24), ..options() };
        let open = || open_with(&disk, options.clone(), model.clock()).unwrap();
        let store = open();
        let at_ms = testing::EPOCH_MS;
        let late_ms = at_ms - 2 * 60 * 60 * 1_000;
        let failed = [1, 2].map(|id| with_error(span(id, at_ms)));
        let spans = [&failed[..], &[span(3, at_ms), span(4, late_ms)]].concat();
        run(store.append(OwnedBatch { spans, progress: None })).unwrap();
        store.seal().unwrap();
        model.wait_hours();
        store.compact();
        assert_eq!(store.stats().blocks, 3);
        store.delete_traces(&[TraceId::new(1).unwrap()]).unwrap();
        store.compact();
        drop(store);
        // What forgets the tombstone, and what has the new block in the place of the old one.
        let faulty = Disk::Faulty(disk.clone());
        let forgets = last_commit(&disk);
        faulty.remove(&forgets).unwrap();
        let replaces = last_commit(&disk);
        if is_torn {
            disk.corrupt(&replaces, |bytes| bytes[30] ^= 1);
        } else {
            faulty.remove(&replaces).unwrap();
        }
        for _ in 0..2 {
            let store = open();
            assert_eq!([1, 2, 3, 4].map(|id| count(&store, id)), [0, 1, 1, 1], "{is_torn}");
            assert_eq!(store.stats().blocks, 3, "{is_torn}");
            assert_eq!(store.stats().unreadable_blocks, 0, "{is_torn}");
        }
    }
}

#[test]
fn a_late_block_without_what_was_deleted_keeps_the_one_beside_it() {
    for is_torn in [false, true] {
        let (disk, model) = (FaultyDisk::default(), Model::default());
        let store = open(&disk, &model);
        let at_ms = testing::EPOCH_MS;
        let late_ms = at_ms - 2 * 60 * 60 * 1_000;
        for spans in [vec![span(1, late_ms), span(2, late_ms)], vec![span(3, at_ms)]] {
            run(store.append(OwnedBatch { spans, progress: None })).unwrap();
            store.seal().unwrap();
        }
        model.wait_hours();
        store.compact();
        assert_eq!(store.stats().blocks, 2);
        store.delete_traces(&[TraceId::new(1).unwrap()]).unwrap();
        store.compact();
        drop(store);
        let faulty = Disk::Faulty(disk.clone());
        faulty.remove(&last_commit(&disk)).unwrap();
        let replaces = last_commit(&disk);
        if is_torn {
            disk.corrupt(&replaces, |bytes| bytes[30] ^= 1);
        } else {
            faulty.remove(&replaces).unwrap();
        }
        for _ in 0..3 {
            let store = open(&disk, &model);
            assert_eq!([1, 2, 3].map(|id| count(&store, id)), [0, 1, 1], "{is_torn}");
            assert_eq!((store.stats().blocks, store.stats().unreadable_blocks), (2, 0));
        }
    }
}

/// Removes all commits but the first so many, as in a copy that was made of them then.
fn forget_commits(disk: &FaultyDisk, count: usize) {
    let names = disk.list("cat").unwrap().into_iter().map(|(name, _)| name);
    for name in names.filter(|name| name.ends_with("commit")).skip(count) {
        Disk::Faulty(disk.clone()).remove(&format!("cat/{name}")).unwrap();
    }
}

/// Seals a block of each of these, an hour after the one before it where it says so; all with one that is
/// late and one with an error.
fn seal_of_many_sorts(store: &Store, model: &Model, ids: &[(bool, u128)]) {
    for (is_later, id) in ids {
        if *is_later {
            model.wait_hours();
        }
        let at_ms = model.clock().now_ms();
        let late = span(id + 1, at_ms - 2 * 60 * 60 * 1_000);
        let spans = vec![span(*id, at_ms), late, with_error(span(id + 2, at_ms))];
        run(store.append(OwnedBatch { spans, progress: None })).unwrap();
        store.seal().unwrap();
    }
}

#[test]
fn all_parts_of_a_merge_are_found_that_an_older_catalog_knows_nothing_of() {
    for retention_errors in [None, hours(24)] {
        // The first block is named, and was merged with the others or not.
        for is_first_apart in [true, false] {
            let (disk, model) = (FaultyDisk::default(), Model::default());
            let options = Options { retention_errors, ..options() };
            let open = || open_with(&disk, options.clone(), model.clock()).unwrap();
            let store = open();
            seal_of_many_sorts(&store, &model, &[(false, 10)]);
            if is_first_apart {
                model.wait_hours();
                store.compact();
            }
            let named = disk.list("cat").unwrap().len() - 1;
            seal_of_many_sorts(&store, &model, &[(false, 20), (false, 30)]);
            model.wait_hours();
            store.compact();
            let blocks = store.stats().blocks;
            drop(store);
            forget_commits(&disk, named);
            for _ in 0..3 {
                let store = open();
                let ids: Vec<u128> = (1..4).flat_map(|n| n * 10..n * 10 + 3).collect();
                let counts: Vec<usize> = ids.iter().map(|id| count(&store, *id)).collect();
                assert_eq!(counts, [1; 9], "{is_first_apart} {retention_errors:?}");
                let stats = store.stats();
                assert_eq!((stats.blocks, stats.block_spans), (blocks, 9), "{stats:?}");
                assert_eq!((stats.damages, stats.quarantined_files), (Vec::new(), 0));
            }
        }
    }
}

#[test]
fn a_part_of_a_merge_does_not_stand_for_the_rest_of_it() {
    for is_late_lost in [false, true] {
        let (disk, model) = (FaultyDisk::default(), Model::default());
        let store = open(&disk, &model);
        seal_of_many_sorts(&store, &model, &[(false, 10), (false, 20)]);
        let named = disk.list("cat").unwrap().len() - 1;
        model.wait_hours();
        store.compact();
        let blocks = store.parts().blocks;
        let lost = blocks.iter().find(|block| block.entry().is_late == is_late_lost).unwrap();
        let path = format!("blocks/{}", lost.entry().name);
        drop((blocks.clone(), store));
        forget_commits(&disk, named);
        let bytes = disk.read(&path).unwrap();
        Disk::Faulty(disk.clone()).remove(&path).unwrap();
        for _ in 0..2 {
            let store = open(&disk, &model);
            let there = [10, 11, 20, 21].map(|id| count(&store, id));
            let rest = usize::from(is_late_lost);
            assert_eq!(there, [rest, 1 - rest, rest, 1 - rest]);
            // What is not there is told for as long as that is known.
            let missing = if is_late_lost { 0 } else { 2 };
            assert_eq!(store.stats().unreadable_blocks, missing);
        }
        if !is_late_lost {
            Disk::Faulty(disk.clone()).replace(&path, &bytes).unwrap();
            let store = open(&disk, &model);
            assert_eq!([10, 11, 20, 21].map(|id| count(&store, id)), [1; 4]);
            assert_eq!((store.stats().blocks, store.stats().unreadable_blocks), (2, 0));
        }
    }
}

#[test]
fn a_block_that_is_lost_is_replaced_by_those_it_was_made_of() {
    let mut random = Rng::with_seed(4);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    let store = open(&disk, &model);
    seal_blocks(&store, &mut model, &mut random, 3);
    let before = disk.list("blocks").unwrap();
    model.wait_hours();
    let reader = store.parts();
    store.compact();
    let blocks = store.stats().blocks;
    // The machine goes off while somebody reads, and then the new files are gone.
    disk.crash_after(0);
    drop(reader);
    drop(store);
    disk.restart(&mut random);
    let faulty = Disk::Faulty(disk.clone());
    for (name, _) in disk.list("blocks").unwrap() {
        if !before.iter().any(|(other, _)| *other == name) {
            faulty.remove(&format!("blocks/{name}")).unwrap();
        }
    }
    assert!(blocks > 0 && block_files(&disk) == 3);
    let spans = |store: &Store| store.stats().block_spans;
    let store = open(&disk, &model);
    model.check(&store, "the old ones are taken in");
    let stored: usize = model.stored.iter().map(|batch| batch.spans.len()).sum();
    assert_eq!(spans(&store), stored as u64);
    drop(store);
    model.check(&open(&disk, &model), "opened again");
}

#[test]
fn deleted_traces_are_gone_at_once_and_from_the_disk_soon_after() {
    for seed in 0..20 {
        let mut random = Rng::with_seed(seed);
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        let store = open(&disk, &model);
        seal_blocks(&store, &mut model, &mut random, 3);
        let batch = model.new_batch(&mut random);
        run(store.append(batch.clone())).unwrap();
        model.stored.push(batch);
        // One in a block, maybe one in memory, one that is nowhere.
        let spans = model.stored.iter().flat_map(|batch| &batch.spans);
        let mut ids: Vec<TraceId> = spans.map(|span| span.trace_id).collect();
        ids.sort_unstable();
        ids.dedup();
        random.shuffle(&mut ids);
        ids.truncate(2);
        let found = ids.len() as u64;
        ids.push(TraceId::new(12_345).unwrap());
        assert_eq!(store.delete_traces(&ids), Ok(found));
        model.delete(&ids);
        model.check(&store, "deleted");
        model.check_queries(&store, &mut random, "deleted");
        assert_eq!(store.delete_traces(&ids), Ok(0), "nothing is deleted twice");
        drop(store);
        let store = open(&disk, &model);
        model.check(&store, "opened again");
        // What comes later is stored.
        let mut batch = model.new_batch(&mut random);
        let mut again = testing::span(&mut random);
        again.trace_id = ids[0];
        batch.spans.push(again);
        run(store.append(batch.clone())).unwrap();
        model.stored.push(batch);
        model.check(&store, "there again");
        store.compact();
        assert!(store.parts().buried.is_empty());
        let stored: usize = model.traces().iter().map(Vec::len).sum();
        assert!(store.stats().block_spans + store.stats().head_spans >= stored as u64);
        model.check(&store, "rid of");
        model.check_queries(&store, &mut random, "rid of");
        store.seal().unwrap();
        drop(store);
        model.check(&open(&disk, &model), "opened again at last");
    }
}

#[test]
fn a_crash_at_every_step_of_a_deletion_leaves_all_or_nothing() {
    let life = |crash_at: Option<u64>| {
        let mut random = Rng::with_seed(crash_at.unwrap_or(0));
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        let store = open(&disk, &model);
        seal_blocks(&store, &mut model, &mut random, 2);
        let batch = model.new_batch(&mut random);
        run(store.append(batch.clone())).unwrap();
        model.stored.push(batch);
        let ids: Vec<TraceId> =
            model.traces().iter().take(2).map(|trace| trace[0].trace_id).collect();
        let before = disk.changes();
        if let Some(changes) = crash_at {
            disk.crash_after(changes);
        }
        match store.delete_traces(&ids) {
            Ok(_) => model.delete(&ids),
            Err(_) => model.maybe_deleted = ids,
        }
        store.compact();
        model.check(&store, "after the crash, before the restart");
        let changes = disk.changes() - before;
        drop(store);
        disk.restart(&mut random);
        let store = open(&disk, &model);
        model.settle(&store, &format!("crash at {crash_at:?}"));
        store.compact();
        model.check(&store, &format!("crash at {crash_at:?}, compacted"));
        changes
    };
    let changes = life(None);
    assert!(changes > 20, "{changes}");
    for crash_at in 0..changes {
        life(Some(crash_at));
    }
}

/// A span of a trace of its own.
fn span(id: u128, at_ms: u64) -> Span {
    let mut span = Span::new(TraceId::new(id).unwrap(), sigyn_model::SpanId::new(1).unwrap());
    span.timestamp = Timestamp::from_micros(at_ms * 1_000);
    span
}

#[test]
fn traces_with_errors_outlive_others() {
    let (disk, model) = (FaultyDisk::default(), Model::default());
    let options = Options { retention_time: hours(4), retention_errors: hours(24), ..options() };
    let store = open_with(&disk, options, model.clock()).unwrap();
    let failed = with_error(span(1, testing::EPOCH_MS));
    let mut beside = span(1, testing::EPOCH_MS);
    beside.id = sigyn_model::SpanId::new(2).unwrap();
    for spans in [vec![span(2, testing::EPOCH_MS), beside], vec![failed, span(3, 1)]] {
        run(store.append(OwnedBatch { spans, progress: None })).unwrap();
        store.seal().unwrap();
    }
    model.wait_hours();
    store.compact();
    let count = |id: u128| count(&store, id);
    assert_eq!((count(1), count(2), count(3)), (2, 1, 1));
    model.wait_hours();
    model.wait_hours();
    store.seal().unwrap();
    assert_eq!((count(1), count(2), count(3)), (2, 0, 0), "the whole trace, and it alone");
    (0..12).for_each(|_| model.wait_hours());
    store.seal().unwrap();
    assert_eq!((count(1), block_files(&disk)), (0, 0));
}

fn with_error(mut span: Span) -> Span {
    span.set_tag("error", "boom");
    span
}

fn hours(n: u64) -> Option<Duration> {
    Some(Duration::from_secs(n * 60 * 60))
}

fn count(store: &Store, id: u128) -> usize {
    store.trace(TraceId::new(id).unwrap()).unwrap().len()
}

#[test]
fn what_is_left_of_a_block_after_a_deletion_is_kept_for_as_long_as_before() {
    let (disk, model) = (FaultyDisk::default(), Model::default());
    let options = Options { retention_time: hours(4), retention_errors: hours(24), ..options() };
    let store = open_with(&disk, options, model.clock()).unwrap();
    let (now_ms, late_ms) = (testing::EPOCH_MS, testing::EPOCH_MS - 2 * 60 * 60 * 1_000);
    let spans = [(1, now_ms), (2, now_ms), (3, late_ms), (4, late_ms)];
    let spans = spans.map(|(id, at_ms)| with_error(span(id, at_ms))).to_vec();
    run(store.append(OwnedBatch { spans, progress: None })).unwrap();
    store.seal().unwrap();
    model.wait_hours();
    store.compact();
    let kinds = || -> Vec<_> {
        let blocks = store.parts().blocks;
        let entries = blocks.iter().map(|block| block.entry());
        let mut kinds: Vec<_> =
            entries.map(|entry| (entry.is_late, entry.errors, entry.spans)).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(kinds(), [(false, Some(true), 2), (true, Some(true), 2)]);
    (0..4).for_each(|_| model.wait_hours());
    let deleted = [1, 3].map(|id| TraceId::new(id).unwrap());
    assert_eq!(store.delete_traces(&deleted), Ok(2));
    store.compact();
    assert_eq!(kinds(), [(false, Some(true), 1), (true, Some(true), 1)]);
    // Retention comes after it.
    store.seal().unwrap();
    assert_eq!([1, 2, 3, 4].map(|id| count(&store, id)), [0, 1, 0, 1]);
    (0..8).for_each(|_| model.wait_hours());
    store.seal().unwrap();
    assert_eq!((count(&store, 2), count(&store, 4), block_files(&disk)), (0, 0, 0));
}

#[test]
fn a_store_that_was_closed_for_long_looks_for_errors_before_it_deletes() {
    let (disk, model) = (FaultyDisk::default(), Model::default());
    let options = Options { retention_time: hours(4), retention_errors: hours(24), ..options() };
    let open = || open_with(&disk, options.clone(), model.clock()).unwrap();
    let store = open();
    let at_ms = testing::EPOCH_MS;
    // One in a block, one in the log.
    for id in [1, 3] {
        let spans = vec![with_error(span(id, at_ms)), span(id + 1, at_ms)];
        run(store.append(OwnedBatch { spans, progress: None })).unwrap();
        if id == 1 {
            store.seal().unwrap();
        }
    }
    drop(store);
    (0..4).for_each(|_| model.wait_hours());
    let store = open();
    store.seal().unwrap();
    // By now it is believed that it was so long.
    model.wait_hours();
    store.seal().unwrap();
    assert_eq!([1, 3].map(|id| count(&store, id)), [1, 1]);
    store.compact();
    store.seal().unwrap();
    assert_eq!([1, 2, 3, 4].map(|id| count(&store, id)), [1, 0, 1, 0]);
}

#[test]
fn what_came_late_is_searched_for_errors_too() {
    let (disk, model) = (FaultyDisk::default(), Model::default());
    let store = open_with(&disk, options(), model.clock()).unwrap();
    let late_ms = testing::EPOCH_MS - 2 * 60 * 60 * 1_000;
    for spans in [vec![with_error(span(1, late_ms))], vec![span(2, late_ms)]] {
        run(store.append(OwnedBatch { spans, progress: None })).unwrap();
        store.seal().unwrap();
    }
    model.wait_hours();
    store.compact();
    assert_eq!(store.stats().blocks, 1);
    drop(store);
    // As if errors were of no account until now.
    let options = Options { retention_time: hours(4), retention_errors: hours(24), ..options() };
    let store = open_with(&disk, options, model.clock()).unwrap();
    store.compact();
    store.seal().unwrap();
    (0..2).for_each(|_| model.wait_hours());
    store.seal().unwrap();
    assert_eq!([1, 2].map(|id| count(&store, id)), [1, 0]);
}

#[test]
fn spans_that_came_late_do_not_widen_a_blocks_time() {
    let (disk, model) = (FaultyDisk::default(), Model::default());
    let store = open(&disk, &model);
    let now_ms = testing::EPOCH_MS;
    let old_ms = now_ms - 90 * 60 * 1_000;
    for spans in [vec![span(1, now_ms), span(2, old_ms)], vec![span(3, now_ms - 50 * 60 * 1_000)]] {
        run(store.append(OwnedBatch { spans, progress: None })).unwrap();
        store.seal().unwrap();
    }
    model.wait_hours();
    store.compact();
    let blocks = store.parts().blocks;
    let entries: Vec<_> = blocks.iter().map(|block| block.entry().clone()).collect();
    let ns = |ms: u64| ms * 1_000_000;
    let mut times: Vec<_> = entries.iter().map(|entry| (entry.is_late, entry.starts_ns)).collect();
    times.sort_unstable();
    let late = (true, Some((ns(old_ms), ns(old_ms))));
    assert_eq!(times, [(false, Some((ns(now_ms - 50 * 60 * 1_000), ns(now_ms)))), late]);
    for id in 1..4 {
        assert_eq!(store.trace(TraceId::new(id).unwrap()).unwrap().len(), 1);
    }
}

#[test]
fn a_full_disk_leaves_blocks_as_they_are_until_there_is_room() {
    let mut random = Rng::with_seed(5);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    let store = open(&disk, &model);
    seal_blocks(&store, &mut model, &mut random, 3);
    model.wait_hours();
    disk.limit(Some(disk.used() + 100));
    store.compact();
    assert_eq!((store.stats().compaction_failures_total, store.stats().blocks), (1, 3));
    model.check(&store, "full");
    assert_eq!(block_files(&disk), 3);
    disk.limit(None);
    store.compact();
    assert!(store.stats().blocks < 3);
    model.check(&store, "there is room again");
}

#[test]
fn a_block_that_cannot_be_read_is_not_merged_and_keeps_nobody_from_it() {
    let mut random = Rng::with_seed(6);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    let store = open(&disk, &model);
    seal_blocks(&store, &mut model, &mut random, 4);
    let path = format!("blocks/{}", disk.list("blocks").unwrap()[1].0);
    disk.corrupt(&path, |bytes| bytes[40] ^= 1);
    model.wait_hours();
    // Once it is found out, once without it.
    store.compact();
    store.compact();
    let stats = store.stats();
    assert_eq!(
        (stats.damaged_files, stats.compactions_total, stats.merged_blocks_total),
        (1, 1, 2)
    );
    let damaged = model.stored.remove(1);
    drop(damaged);
    assert!(Disk::Faulty(disk.clone()).exists(&path).unwrap());
}

#[test]
fn a_block_that_cannot_be_merged_keeps_no_other_from_it() {
    let mut random = Rng::with_seed(7);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    let store = open(&disk, &model);
    seal_blocks(&store, &mut model, &mut random, 4);
    let path = format!("blocks/{}", disk.list("blocks").unwrap()[1].0);
    disk.refuse_to_read(Some(&path));
    model.wait_hours();
    store.compact();
    let stats = store.stats();
    assert_eq!((stats.compaction_failures_total, stats.damaged_files), (1, 0));
    assert_eq!((stats.compactions_total, stats.merged_blocks_total), (1, 2));
    disk.refuse_to_read(None);
    model.check(&store, "the cable is not loose any more");
    store.compact();
    let stats = store.stats();
    assert_eq!((stats.compaction_failures_total, stats.compactions_total), (1, 2));
    model.check(&store, "merged after all");
    model.check_queries(&store, &mut random, "merged after all");
}

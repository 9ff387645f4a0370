//! Blocks that are merged and traces that are deleted, on a disk that fails: nothing else changes.

use std::time::Duration;

use fastrand::Rng;
use sigyn_model::{Span, Timestamp, TraceId};

use crate::crash_tests::{Model, open_with, options, run};
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::options::Options;
use crate::store::Store;
use crate::testing::{self, OwnedBatch};

fn open(disk: &FaultyDisk, model: &Model) -> Store {
    open_with(disk, options(), model.clock()).unwrap()
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
        let store = open(&disk, &model);
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

#[test]
fn a_merge_whose_commit_is_damaged_is_found_all_the_same() {
    for is_sealed_after in [false, true] {
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
        let mut paths =
            disk.list("cat").unwrap().into_iter().map(|(name, _)| format!("cat/{name}"));
        let path = paths.rfind(|name| name.ends_with("commit")).unwrap();
        if is_sealed_after {
            seal_blocks(&store, &mut model, &mut random, 1);
        }
        let blocks = store.stats().blocks;
        drop(store);
        disk.corrupt(&path, |bytes| bytes[30] ^= 1);
        for _ in 0..2 {
            let store = open(&model);
            model.check(&store, "the merged blocks are taken in");
            assert_eq!(store.stats().blocks, blocks);
            assert_eq!(disk.list("quarantine").unwrap().len(), 1);
        }
    }
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
    let hours = |n: u64| Some(Duration::from_secs(n * 60 * 60));
    let options = Options { retention_time: hours(4), retention_errors: hours(24), ..options() };
    let store = open_with(&disk, options, model.clock()).unwrap();
    let mut failed = span(1, testing::EPOCH_MS);
    failed.set_tag("error", "boom");
    let mut beside = span(1, testing::EPOCH_MS);
    beside.id = sigyn_model::SpanId::new(2).unwrap();
    for spans in [vec![span(2, testing::EPOCH_MS), beside], vec![failed, span(3, 1)]] {
        run(store.append(OwnedBatch { spans, progress: None })).unwrap();
        store.seal().unwrap();
    }
    model.wait_hours();
    store.compact();
    let count = |id: u128| store.trace(TraceId::new(id).unwrap()).unwrap().len();
    assert_eq!((count(1), count(2), count(3)), (2, 1, 1));
    model.wait_hours();
    model.wait_hours();
    store.seal().unwrap();
    assert_eq!((count(1), count(2), count(3)), (2, 0, 0), "the whole trace, and it alone");
    (0..12).for_each(|_| model.wait_hours());
    store.seal().unwrap();
    assert_eq!((count(1), block_files(&disk)), (0, 0));
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

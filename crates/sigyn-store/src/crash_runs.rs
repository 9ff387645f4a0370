//! Random lives of a store on a disk that fails: what was acknowledged is there, and nothing is there twice.
//!
//! `cargo xtask crash` makes many of them. A seed does the same thing every time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use sigyn_model::TraceId;

use crate::crash_tests::{Model, append_all, open_with, options};
use crate::damage::Damage;
use crate::disk::faulty::FaultyDisk;
use crate::error::AppendError;
use crate::memory::Memory;
use crate::options::Options;
use crate::store::Store;
use crate::testing::{self, OwnedBatch};

/// How many lives there are without being told: each ends as the disk wants, or as the program does.
const RUNS: u64 = 500;

fn open(model: &Model, disk: &FaultyDisk, random: &mut Rng) -> Store {
    let retention_errors = random.bool().then(|| Duration::from_secs(1));
    let making = *random.choice(&[10_000, 60_000, 1 << 30]).unwrap_or(&0);
    let memory = Memory { making, ..options().memory };
    let segment_bytes = *random.choice(&[500, 3_000, 64 << 20]).unwrap_or(&0);
    let options = Options { memory, retention_errors, segment_bytes, ..options() };
    let store = open_with(disk, options, model.clock()).unwrap();
    // What it does by itself at first is done when this is, and later it does nothing: how long things take
    // must not matter to a seed.
    store.shared().is_passive.store(true, Ordering::SeqCst);
    store.delete_traces(&[]).unwrap();
    store
}

/// One life, from open to its end.
fn live(model: &mut Model, disk: &FaultyDisk, random: &mut Rng, context: &str) {
    // A weak sector somewhere, which can be read at the third try at the latest.
    let files = disk.files();
    if let (Some((path, _)), true) = (random.choice(&files), random.bool()) {
        disk.fail_reads(path, random.u64(1..3));
    }
    if random.u8(0..3) == 0 {
        // Killed while it reads the log, of which it makes blocks; or where there is no room for them.
        match random.bool() {
            true => disk.crash_after(random.u64(0..60)),
            false => disk.limit(Some(disk.used() + random.u64(0..10_000))),
        }
        let head = if random.bool() { 1 } else { 100_000 };
        let memory = Memory { head, ..options().memory };
        let opened = open_with(disk, Options { memory, ..options() }, model.clock());
        if let Ok(store) = opened {
            store.shared().is_passive.store(true, Ordering::SeqCst);
            // What is not read yet is, then or at the next open.
            disk.limit(random.bool().then(|| disk.used() + random.u64(0..30_000)));
            drop(store.seal());
        }
        disk.restart(random);
    }
    let store = open(model, disk, random);
    model.settle(&store, context);
    match random.u8(0..7) {
        0 | 1 => disk.crash_after(random.u64(0..50)),
        2 => disk.fail_sync_after(random.u64(0..15)),
        3 | 4 => disk.fail_after(random.u64(0..40)),
        _ if random.bool() => disk.limit(Some(disk.used() + random.u64(0..10_000))),
        _ => {}
    }
    for _ in 0..random.usize(1..12) {
        step(model, &store, random, context);
        model.check(&store, context);
    }
    if random.bool() {
        let _ = store.close();
    }
}

fn step(model: &mut Model, store: &Store, random: &mut Rng, context: &str) {
    match random.u8(0..10) {
        // If it fails nothing is lost; what then can be appended shows below.
        0 => drop(store.seal()),
        1 => drop(store.seal_over()),
        2 => model.check_queries(store, random, context),
        3 => {
            if random.bool() {
                model.wait_hours();
            }
            store.compact();
        }
        4 => {
            let count = random.usize(1..4);
            let ids: Vec<TraceId> = (0..count).map(|_| testing::span(random).trace_id).collect();
            match store.delete_traces(&ids) {
                Ok(_) => model.delete(&ids),
                // All that is unknown of one life is one deletion: no other commit goes through.
                Err(_) if store.stats().poisoned.is_some() && model.maybe_deleted.is_empty() => {
                    model.maybe_deleted = ids;
                }
                Err(_) => {}
            }
            // Otherwise the store would do it by itself soon.
            store.compact();
        }
        _ => {
            let batches: Vec<OwnedBatch> =
                (0..random.usize(1..4)).map(|_| model.new_batch(random)).collect();
            let results = append_all(store, &batches);
            for (batch, result) in batches.into_iter().zip(results) {
                match result {
                    Ok(()) => model.stored.push(batch),
                    Err(AppendError::Poisoned { .. }) => model.unknown.push(batch),
                    // Nothing of it is there, now or after a crash.
                    Err(AppendError::Io { .. }) => {}
                    Err(other) => panic!("{other}: {context}"),
                }
            }
        }
    }
}

/// A store's lives, and what is left of it. Returns how many there were.
fn lives(seed: u64) -> (u64, FaultyDisk) {
    let mut random = Rng::with_seed(seed);
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    let count = random.u64(2..6);
    for life in 0..count {
        live(&mut model, &disk, &mut random, &format!("seed {seed}, life {life}"));
        disk.restart(&mut random);
    }
    let context = format!("seed {seed}, at the end");
    let store = open(&model, &disk, &mut random);
    model.settle(&store, &context);
    model.check_queries(&store, &mut random, &context);
    // None of all that is damage.
    assert_eq!(store.stats().damages, Vec::<Damage>::new(), "{context}");
    (count, disk)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    let runs_max = number("SIGYN_CRASH_RUNS").unwrap_or(RUNS);
    let next_seed = AtomicU64::new(number("SIGYN_CRASH_SEED").unwrap_or(0));
    let runs = AtomicU64::new(0);
    let started = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while runs.load(Ordering::SeqCst) < runs_max {
                    let seed = next_seed.fetch_add(1, Ordering::SeqCst);
                    let failed = Failed(seed);
                    runs.fetch_add(lives(seed).0, Ordering::SeqCst);
                    std::mem::forget(failed);
                }
            });
        }
    });
    let (runs, seeds) = (runs.into_inner(), next_seed.into_inner());
    println!("{runs} lives, up to seed {}, in {:?}", seeds - 1, started.elapsed());
    assert!(runs >= runs_max);
}

/// Says how to see it again.
struct Failed(u64);

impl Drop for Failed {
    fn drop(&mut self) {
        println!("again: cargo xtask crash --runs 1 --seed {}", self.0);
    }
}

#[test]
fn a_seed_does_the_same_every_time() {
    for seed in 0..8 {
        let (first, second) = (lives(seed).1, lives(seed).1);
        assert_eq!((first.files(), first.changes()), (second.files(), second.changes()), "{seed}");
    }
}

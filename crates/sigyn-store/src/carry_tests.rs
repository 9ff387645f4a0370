//! Traces that are not over when a head is sealed, on a disk that fails: they stay together, and nothing is
//! there twice.

use std::sync::Arc;

use fastrand::Rng;
use sigyn_model::{Filter, Red, Selection, Span, SpanId, Timestamp, TraceId};

use crate::alike::{Asked, Stored};
use crate::ask_tests::random_counting;
use crate::counted::Counting;
use crate::crash_tests::{Model, open_with, options, run};
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::facts::Strictness;
use crate::memory::Memory;
use crate::options::{Durability, Options};
use crate::query::Bounds;
use crate::room::Rooms;
use crate::scan::{Meant, Tally};
use crate::stop::Stop;
use crate::store::Store;
use crate::testing::{self, OwnedBatch};
use crate::until::Until;
use crate::view::Parts;

fn span(trace: u64, id: u64) -> Span {
    let mut span = Span::new(TraceId::new(trace.into()).unwrap(), SpanId::new(id).unwrap());
    span.timestamp = Some(Timestamp::from_nanos(testing::EPOCH_MS * 1_000_000 + id));
    span
}

fn append(store: &Store, spans: Vec<Span>) {
    run(store.append(OwnedBatch { spans, progress: None })).unwrap();
}

/// How many blocks have a trace.
fn blocks_of(store: &Store, trace: u64) -> usize {
    let key = TraceId::new(trace.into()).unwrap().into();
    let blocks = store.parts().blocks;
    let found = blocks.iter().map(|block| block.group(key, Strictness::Strict).unwrap());
    found.filter(|found| !found.is_empty()).count()
}

#[test]
fn a_trace_that_goes_on_is_in_one_block_unless_it_never_ends() {
    let (disk, model) = (FaultyDisk::default(), Model::default());
    let open = || open_with(&disk, options(), model.clock()).unwrap();
    let store = open();
    append(&store, (1..=20).map(|trace| span(trace, trace)).collect());
    store.seal_over().unwrap();
    let stats = store.stats();
    assert_eq!((stats.block_spans, stats.head_spans, stats.appended_spans_total), (10, 10, 20));
    assert_eq!([1, 10, 11, 20].map(|trace| blocks_of(&store, trace)), [1, 1, 0, 0]);
    // These go on: one of them for ever.
    append(&store, (11..=20).map(|trace| span(trace, 100 + trace)).collect());
    store.seal_over().unwrap();
    assert_eq!([11, 19, 20].map(|trace| blocks_of(&store, trace)), [1, 1, 1]);
    append(&store, vec![span(20, 200)]);
    drop(store);
    let store = open();
    store.seal().unwrap();
    assert_eq!([11, 19, 20].map(|trace| blocks_of(&store, trace)), [1, 1, 2]);
    let stats = store.stats();
    assert_eq!((stats.block_spans, stats.head_spans), (31, 0));
    let spans = |trace: u64| store.trace(TraceId::new(trace.into()).unwrap()).unwrap().len();
    assert_eq!([1, 11, 20].map(spans), [1, 2, 3]);
}

#[test]
fn a_crash_at_every_step_of_it_is_harmless() {
    let life = |crash_at: Option<u64>| {
        let mut random = Rng::with_seed(crash_at.unwrap_or(0));
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        let open = |model: &Model| open_with(&disk, options(), model.clock()).unwrap();
        let store = open(&model);
        for _ in 0..6 {
            let mut batch = model.new_batch(&mut random);
            batch.spans.push(testing::span(&mut random));
            run(store.append(batch.clone())).unwrap();
            model.stored.push(batch);
        }
        let before = disk.changes();
        if let Some(changes) = crash_at {
            disk.crash_after(changes);
        }
        let sealed = store.seal_over();
        let context = format!("crash at {crash_at:?}, {sealed:?}");
        model.check(&store, &context);
        model.check_queries(&store, &mut random, &context);
        let changes = disk.changes() - before;
        if crash_at.is_none() {
            assert!(store.stats().head_spans > 0 && store.stats().block_spans > 0);
        }
        drop(store);
        disk.restart(&mut random);
        let store = open(&model);
        model.check(&store, &context);
        model.check_queries(&store, &mut random, &context);
        store.seal().unwrap();
        model.check(&store, &context);
        changes
    };
    let changes = life(None);
    assert!(changes > 8, "{changes}");
    for crash_at in 0..changes {
        life(Some(crash_at));
    }
}

/// A store's data, each span different, and what it must hold.
struct Life {
    disk: FaultyDisk,
    model: Model,
    random: Rng,
    spans: u64,
    context: String,
}

impl Life {
    fn new(context: String) -> Self {
        let (disk, model) = (FaultyDisk::default(), Model::default());
        Self { disk, model, random: Rng::with_seed(context.len() as u64), spans: 0, context }
    }

    /// With a head of so many bytes.
    fn try_open(&self, head: Option<u64>, durability: Durability) -> Option<Store> {
        let memory = options().memory;
        let memory = Memory { head: head.unwrap_or(memory.head), ..memory };
        let options = Options { memory, durability, ..options() };
        let store = open_with(&self.disk, options, self.model.clock()).ok()?;
        store.shared().is_passive.store(true, std::sync::atomic::Ordering::SeqCst);
        Some(store)
    }

    fn open(&self) -> Store {
        self.try_open(None, Durability::Fsync).unwrap()
    }

    /// Stores spans of these traces, as far as the disk does.
    fn append(&mut self, store: &Store, traces: impl Iterator<Item = u64>) {
        let spans = &mut self.spans;
        let spans = traces.map(|trace| {
            *spans += 1;
            span(trace, *spans)
        });
        let batch = OwnedBatch { spans: spans.collect(), progress: None };
        if run(store.append(batch.clone())).is_ok() {
            self.model.stored.push(batch);
        }
    }

    /// All is there, and nothing is counted twice.
    fn check(&mut self, store: &Store, step: &str) {
        let context = format!("{}, {step}", self.context);
        self.model.check(store, &context);
        if self.random.u8(0..4) == 0 {
            self.model.check_queries(store, &mut self.random, &context);
        }
        let stored: usize = self.model.stored.iter().map(|batch| batch.spans.len()).sum();
        let stats = store.stats();
        assert_eq!(stats.head_spans + stats.block_spans, stored as u64, "{stats:?} {context}");
    }

    fn crash(&mut self, store: Option<Store>) {
        drop(store);
        self.disk.restart(&mut self.random);
    }

    /// A head is sealed that is of two lives; then more comes.
    fn until_first_crash(&mut self, crash_at: Option<u64>) -> u64 {
        let store = self.open();
        self.append(&store, 1..=6);
        self.crash(Some(store));
        let store = self.open();
        self.append(&store, 4..=12);
        let before = self.disk.changes();
        if let Some(changes) = crash_at {
            self.disk.crash_after(changes);
        }
        let sealed = store.seal_over();
        if crash_at.is_none() {
            sealed.unwrap();
            let stats = store.stats();
            assert!(stats.head_spans > 2 && stats.block_spans > 2, "{stats:?}");
        }
        // One of them is unknown: whether it is there shows later, and it is no matter here.
        if store.stats().poisoned.is_none() {
            self.append(&store, 9..=14);
        }
        let changes = self.disk.changes() - before;
        self.crash(Some(store));
        changes
    }
}

#[test]
fn a_second_crash_while_the_log_is_read_is_harmless() {
    let (mut sealed_while_read, mut lives) = (0, 0);
    let steps = Life::new(String::new()).until_first_crash(None);
    assert!(steps > 8, "{steps}");
    for first in (0..steps).map(Some).chain([None]) {
        for second in (first.unwrap_or(0) % 3..).step_by(3) {
            lives += 1;
            let mut life = Life::new(format!("crashes at {first:?}, {second}"));
            life.until_first_crash(first);
            // What was refused by a disk that is gone is there whole or not at all.
            let store = life.open();
            life.spans = 1_000;
            let there = store.stats().head_spans + store.stats().block_spans;
            let stored: usize = life.model.stored.iter().map(|batch| batch.spans.len()).sum();
            if there > stored as u64 {
                let known = |spans: &[Span], other: &Span| spans.iter().any(|s| s.same_as(other));
                let stored = life.model.stored.iter().flat_map(|batch| batch.spans.clone());
                let stored: Vec<Span> = stored.collect();
                let spans = crate::crash_tests::all_spans(&store);
                let spans: Vec<Span> = spans.into_iter().filter(|s| !known(&stored, s)).collect();
                assert_eq!(spans.len(), 6, "{}", life.context);
                life.model.stored.push(OwnedBatch { spans, progress: None });
            }
            life.check(&store, "opened");
            life.crash(Some(store));
            // The log is read into blocks, one for each segment, and that is cut short.
            let before = life.disk.changes();
            life.disk.crash_after(second);
            let store = life.try_open(Some(1), Durability::Fsync);
            let was_whole = store.is_some() && life.disk.changes() - before < second;
            if let Some(store) = &store {
                sealed_while_read += store.stats().seals_total;
                // Where the disk is gone no block can be made, and memory takes no more than one frame.
                if store.stats().unread_frames == 0 {
                    life.check(store, "opened with little memory");
                }
            }
            life.crash(store);
            let store = life.open();
            life.check(&store, "opened again");
            life.append(&store, 10..=16);
            let _ = store.seal_over();
            life.check(&store, "sealed again");
            life.crash(Some(store));
            let store = life.try_open(Some(1), Durability::Fsync).unwrap();
            life.check(&store, "after the last crash");
            life.crash(Some(store));
            let store = life.open();
            store.seal().unwrap();
            life.check(&store, "sealed at last");
            if was_whole {
                break;
            }
        }
    }
    // Where it was not cut short before it sealed anything.
    assert!(sealed_while_read > steps, "{sealed_while_read} in {lives}");
}

#[test]
fn what_stays_is_durable_before_the_block_is_in_any_mode() {
    for durability in [Durability::Os, Durability::Interval(std::time::Duration::from_secs(9_999))]
    {
        let mut life = Life::new(format!("{durability:?}"));
        let store = life.try_open(None, durability).unwrap();
        life.append(&store, 1..=12);
        store.seal_over().unwrap();
        assert!(store.stats().head_spans > 2);
        // The machine is off.
        life.disk.crash_after(0);
        life.crash(Some(store));
        let store = life.open();
        life.check(&store, "after a loss of power");
    }
}

#[test]
fn where_there_is_no_room_for_what_stays_all_is_sealed_in_any_mode() {
    for durability in [Durability::Fsync, Durability::Os] {
        // What was told of is synced first, then the header of a segment, its name, and what stays.
        for sync in 1..4 {
            let mut life = Life::new(format!("{durability:?}, sync {sync}"));
            let store = life.try_open(None, durability).unwrap();
            life.append(&store, 1..=12);
            life.disk.fail_sync_with(sync, std::io::ErrorKind::StorageFull);
            store.seal_over().unwrap();
            assert!(!life.disk.awaits_failing_sync());
            let stats = store.stats();
            assert_eq!((stats.head_spans, stats.block_spans), (0, 12), "{}", life.context);
            assert_eq!((stats.poisoned, stats.refusing), (None, None), "{}", life.context);
            life.append(&store, 3..=14);
            store.seal_over().unwrap();
            life.check(&store, "sealed again");
            store.close().unwrap();
            life.crash(Some(store));
            let store = life.open();
            life.check(&store, "opened again");
        }
    }
}

#[test]
fn where_it_is_unknown_what_stayed_no_block_is_written() {
    let mut unknown = 0;
    for changes in 0..12 {
        for seed in 0..4 {
            let mut life = Life::new(format!("fails at {changes}, seed {seed}"));
            life.random = Rng::with_seed(seed);
            let store = life.open();
            life.append(&store, 1..=12);
            life.disk.fail_after(changes);
            let is_poisoned = store.seal_over().is_err() && store.stats().poisoned.is_some();
            life.disk.fail_after(1 << 40);
            unknown += u32::from(is_poisoned);
            // Somebody wants all of it in a block.
            assert_eq!(store.seal().is_err(), is_poisoned, "{}", life.context);
            if seed == 0 {
                // All of it got to the disk.
                let files = life.disk.files().into_iter();
                files.for_each(|(name, _)| life.disk.corrupt(&name, |_| {}));
            }
            life.crash(Some(store));
            let store = life.open();
            life.check(&store, "opened again");
        }
    }
    assert!(unknown > 4, "{unknown}");
}

#[test]
fn what_stayed_is_read_again_where_what_it_repeats_is_lost() {
    // Of two damages: the block, and the commit that names it.
    let mut life = Life::new("a block that is gone".into());
    let store = life.open();
    life.append(&store, 1..=12);
    store.seal_over().unwrap();
    let disk = Disk::Faulty(life.disk.clone());
    disk.sync_dir("wal").unwrap();
    life.crash(Some(store));
    for dir in ["blocks", "cat"] {
        let (name, _) = life.disk.list(dir).unwrap().pop().unwrap();
        disk.remove(&format!("{dir}/{name}")).unwrap();
    }
    let store = life.open();
    assert_eq!(store.stats().head_spans, 6);
    life.model.stored[0].spans.drain(..6);
    life.check(&store, "without the block");
    life.crash(Some(store));

    // Of one: a frame of those that are in no block yet.
    let mut life = Life::new("a frame that is gone".into());
    let store = life.open();
    life.append(&store, 1..=6);
    life.append(&store, 7..=12);
    let (name, _) = life.disk.list("wal").unwrap().pop().unwrap();
    for changes in 9.. {
        life.disk.fail_after(changes);
        let is_sealed = store.seal_over().is_ok();
        life.disk.fail_after(1 << 40);
        if store.parts().heads.len() > 1 && store.parts().heads[1].again().0 > 0 {
            break;
        }
        assert!(!is_sealed);
    }
    life.crash(Some(store));
    life.disk.corrupt(&format!("wal/{name}"), |bytes| *bytes.last_mut().unwrap() ^= 1);
    let store = life.open();
    assert_eq!(store.stats().damaged_spots, 1);
    life.check(&store, "with a damaged frame");
    store.seal().unwrap();
    life.check(&store, "sealed");
}

#[test]
fn who_reads_all_while_a_head_is_sealed_reads_what_stays_once() {
    let mut life = Life::new("all of it".into());
    let store = life.open();
    life.append(&store, 1..=12);
    let mut is_there_twice = false;
    // What stays is in the next head, and the block cannot be made.
    for changes in 9..60 {
        life.disk.fail_after(changes);
        let is_sealed = store.seal_over().is_ok();
        life.disk.fail_after(1 << 40);
        life.append(&store, [8, 50 + changes].into_iter());
        let parts = store.parts();
        is_there_twice |= parts.heads.len() > 1 && parts.heads[1].again() > (0, 0);
        let mut ids = Vec::new();
        let mut put = |spans: Vec<Span>| ids.extend(spans.iter().map(|span| span.id));
        parts.each_spans(&Stop::default(), &mut put, |_, _| {}).unwrap();
        ids.sort_unstable();
        assert!(ids.iter().map(|id| id.as_u64()).eq(1..=life.spans), "{changes} {ids:?}");
        let heads_traces: usize = parts.heads.iter().map(|head| head.traces().count()).sum();
        let again = parts.heads[1..].iter().map(|head| head.again().1 as usize).sum::<usize>();
        assert_eq!(store.stats().head_traces, (heads_traces - again) as u64);
        if is_sealed && is_there_twice {
            break;
        }
        life.append(&store, 1..=12);
    }
    assert!(is_there_twice);
}

/// How many spans there are.
struct Counted(u64);

impl Tally for Counted {
    fn asked(&self) -> Asked {
        Asked::errors()
    }

    fn add(&mut self, _: &impl Stored, _: Option<&[u32]>) {
        self.0 += 1;
    }

    fn forget_numbers(&mut self) {}

    fn bytes(&self) -> u64 {
        0
    }
}

#[test]
fn who_asks_an_older_view_counts_once_what_others_found_out_in_a_newer_one() {
    let mut life = Life::new("an older view".into());
    let store = life.open();
    // What stays is in the next head, and the block cannot be made. Of traces that no other part has.
    for changes in 9.. {
        assert!(changes < 60);
        life.append(&store, changes * 12..changes * 12 + 12);
        life.disk.fail_after(changes);
        let is_sealed = store.seal_over().is_ok();
        life.disk.fail_after(1 << 40);
        if !is_sealed && store.parts().heads.iter().any(|head| head.left_out().next().is_some()) {
            break;
        }
        store.seal_over().unwrap();
    }
    let older = store.parts();
    store.seal_over().unwrap();
    // The block of the older head in its place; the other one is not a block yet.
    let blocks = store.parts().blocks.iter().take(older.blocks.len() + 1).cloned().collect();
    let newer =
        Parts { blocks: Arc::new(blocks), heads: older.heads[1..].to_vec(), ..older.clone() };
    let traces = life.model.traces();
    let (stop, room) = (Stop::default(), Rooms::new(u64::MAX).room());
    let bounds = Bounds { stop: &stop, room: &room, bytes_max: u64::MAX };
    let (twins, mut asked) = (store.shared().view.twins(), 0);
    let spans = traces.iter().map(|trace| trace.len() as u64).sum::<u64>();
    let filter = Filter::default();
    let meant = Meant::by(&Selection { start_us: 0, end_us: u64::MAX, filter }).unwrap();
    for parts in [&newer, &older] {
        let mut counted = Counted(0);
        parts.scan(&meant, twins, bounds, Until::ALL, &mut counted).unwrap().unwrap();
        assert_eq!(counted.0, spans);
    }
    for _ in 0..200 {
        let query = random_counting(&mut life.random);
        let expected = Red::of(&query, &traces);
        let Some(counting) = Counting::of(&query) else { continue };
        for parts in [&newer, &older] {
            let look = |red| parts.red(&counting, red, twins, bounds).unwrap().0;
            let first = look(Red::new(query.clone()));
            assert_eq!(first.again().map_or(first, look), expected, "{query:?}");
        }
        asked += 1;
    }
    assert!(asked > 50, "{asked}");
}

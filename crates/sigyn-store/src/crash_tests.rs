//! Random histories on a disk that fails, against a list of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use sigyn_model::{Linker, QueryParams, Red, Span, TargetProgress, TraceId, TraceQuery, window_us};

use crate::ask_tests::{check_scans, random_counting};
use crate::clock::Clock;
use crate::closed;
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::error::{AppendError, OpenError, SealError};
use crate::facts::Strictness;
use crate::memory::Memory;
use crate::options::{Durability, Options};
use crate::query::Bounds;
use crate::room::Rooms;
use crate::stop::Stop;
use crate::store::Store;
use crate::testing::{self, OwnedBatch};
use crate::wal::frame::PREFIX_BYTES;

/// Which batch a span came with.
const MARK: &str = "test.batch";

pub(crate) fn options() -> Options {
    let memory = Memory { queue: 1 << 20, ..Memory::default() };
    Options { memory, seal_after: Duration::from_secs(1 << 40), ..Options::new("/faulty") }
}

pub(crate) fn open_with(
    disk: &FaultyDisk,
    options: Options,
    clock: Clock,
) -> Result<Store, OpenError> {
    Store::open_on(Disk::Faulty(disk.clone()), options, clock)
}

pub(crate) fn open(disk: &FaultyDisk) -> Store {
    open_with(disk, options(), Clock::System).unwrap()
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Appends batches that wait together, in order. They are taken together, too: what a seed does must not
/// depend on who is faster.
pub(crate) fn append_all(store: &Store, batches: &[OwnedBatch]) -> Vec<Result<(), AppendError>> {
    let answered = Arc::new(AtomicU64::new(0));
    let queue = store.queue();
    queue.hold(true);
    run(async {
        let mut appends = tokio::task::JoinSet::new();
        for (i, batch) in batches.iter().cloned().enumerate() {
            let (store, answered) = (store.clone(), answered.clone());
            appends.spawn(async move {
                let result = store.append(batch).await;
                answered.fetch_add(1, Ordering::SeqCst);
                (i, result)
            });
        }
        while queue.waiting() as u64 + answered.load(Ordering::SeqCst) < batches.len() as u64 {
            tokio::task::yield_now().await;
        }
        queue.hold(false);
        let mut results = appends.join_all().await;
        results.sort_by_key(|(i, _)| *i);
        results.into_iter().map(|(_, result)| result).collect()
    })
}

/// What a store must hold, and what it may.
pub(crate) struct Model {
    batches: u64,
    /// In the order of their frames.
    pub(crate) stored: Vec<OwnedBatch>,
    /// Refused, or never answered: each is there whole or not at all.
    pub(crate) unknown: Vec<OwnedBatch>,
    /// Traces of which it is unknown whether they were deleted, all of them together.
    pub(crate) maybe_deleted: Vec<TraceId>,
    /// Spans that were deleted: they may still be on the disk.
    pub(crate) deleted_spans: u64,
    /// What time it is.
    pub(crate) now: Arc<AtomicU64>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            batches: 0,
            stored: Vec::new(),
            unknown: Vec::new(),
            maybe_deleted: Vec::new(),
            deleted_spans: 0,
            now: Arc::new(AtomicU64::new(testing::EPOCH_MS)),
        }
    }
}

impl Model {
    pub(crate) fn new_batch(&mut self, random: &mut Rng) -> OwnedBatch {
        self.batches += 1;
        let mut batch = testing::batch(random, 5);
        for span in &mut batch.spans {
            span.set_tag(MARK, self.batches.to_string());
        }
        if let Some(progress) = &mut batch.progress {
            progress.account.received = self.batches;
        }
        // A span that was stored before: pushed again, it is still there once. Beside spans of its
        // own, which tell what became of the batch.
        let old = self.stored.last().and_then(|batch| batch.spans.first());
        if let (Some(mut again), false, true) =
            (old.cloned(), batch.spans.is_empty(), random.bool())
        {
            // Pushed and scraped, in either order.
            if random.bool() {
                again.target = testing::span(random).target;
            }
            batch.spans.push(again);
        }
        batch
    }

    /// Compares a store that was just opened, and learns what became of unknown batches.
    pub(crate) fn settle(&mut self, store: &Store, context: &str) {
        let spans = all_spans(store);
        for batch in std::mem::take(&mut self.unknown) {
            let is_there = |span: &Span| spans.iter().any(|other| other.same_as(span));
            let progress_is_there = |progress: &TargetProgress| store.progress().contains(progress);
            let there = batch.spans.iter().filter(|span| is_there(span)).count();
            // A span of an older batch that was to be pushed again is there in any case.
            let own = batch.spans.iter().filter(|span| self.is_new(span)).count();
            let own_there =
                batch.spans.iter().filter(|span| self.is_new(span) && is_there(span)).count();
            assert!(own_there == 0 || there == batch.spans.len(), "half a batch: {context}");
            if own == 0 {
                // Its progress alone tells.
                if batch.progress.as_ref().is_some_and(progress_is_there) {
                    self.stored.push(batch);
                }
            } else if own_there > 0 {
                self.stored.push(batch);
            } else if let Some(progress) = &batch.progress {
                assert!(!progress_is_there(progress), "a cursor without its spans: {context}");
            }
        }
        let maybe_deleted = std::mem::take(&mut self.maybe_deleted);
        let is_of = |span: &Span| maybe_deleted.contains(&span.trace_id);
        let there = spans.iter().filter(|span| is_of(span)).count();
        let all = self.traces().concat().iter().filter(|span| is_of(span)).count();
        assert!(there == 0 || there == all, "half a deletion, {there} of {all}: {context}");
        if there == 0 {
            self.delete(&maybe_deleted);
        }
        self.check(store, context);
    }

    pub(crate) fn delete(&mut self, ids: &[TraceId]) {
        for batch in &mut self.stored {
            let before = batch.spans.len();
            batch.spans.retain(|span| !ids.contains(&span.trace_id));
            self.deleted_spans += (before - batch.spans.len()) as u64;
        }
    }

    /// Time goes on until every hour of before is over.
    pub(crate) fn wait_hours(&self) {
        self.now.fetch_add(2 * 60 * 60 * 1_000, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock::Manual(self.now.clone())
    }

    fn is_new(&self, span: &Span) -> bool {
        self.stored.iter().all(|batch| batch.spans.iter().all(|other| !other.same_as(span)))
    }

    pub(crate) fn check(&self, store: &Store, context: &str) {
        let mut progress = BTreeMap::new();
        for batch in &self.stored {
            if let Some(one) = &batch.progress {
                progress.insert(one.target.clone(), one.clone());
            }
        }
        assert_eq!(store.progress(), progress.into_values().collect::<Vec<_>>(), "{context}");
        let mut traces: BTreeMap<TraceId, Vec<Span>> =
            self.traces().into_iter().map(|trace| (trace[0].trace_id, trace)).collect();
        for id in all_ids() {
            let expected = traces.remove(&id).unwrap_or_default();
            assert_eq!(store.trace(id).unwrap(), expected, "{context}");
        }
        assert!(traces.is_empty());
        // Queries would not show a span that is kept twice, for they leave out what repeats.
        let stats = store.stats();
        let stored: usize = self.stored.iter().map(|batch| batch.spans.len()).sum();
        assert!(
            stats.head_spans + stats.block_spans <= stored as u64 + self.deleted_spans,
            "{stored} {stats:?} {context}"
        );
    }

    /// The naive store: every span once, in the store's order.
    pub(crate) fn traces(&self) -> Vec<Vec<Span>> {
        let mut traces: BTreeMap<TraceId, Vec<Span>> = BTreeMap::new();
        for span in self.stored.iter().flat_map(|batch| &batch.spans) {
            traces.entry(span.trace_id).or_default().push(span.clone());
        }
        traces.into_values().map(naive_assemble).collect()
    }

    /// The same, where ids that end alike are one trace's.
    fn groups(&self) -> Vec<Vec<Span>> {
        let mut groups: BTreeMap<u64, Vec<Span>> = BTreeMap::new();
        for span in self.stored.iter().flat_map(|batch| &batch.spans) {
            groups.entry(span.trace_id.low()).or_default().push(span.clone());
        }
        groups.into_values().map(naive_assemble).collect()
    }

    pub(crate) fn check_queries(&self, store: &Store, random: &mut Rng, context: &str) {
        let traces = self.traces();
        let lenient = store.queries(Stop::default()).with_strictness(Strictness::Lenient);
        let groups = self.groups();
        for _ in 0..10 {
            let params = random_params(random);
            let query = TraceQuery::new(&params).unwrap();
            let expected = query.run(traces.clone());
            assert_eq!(store.traces(&query).unwrap(), expected, "{params:?} {context}");
            let expected = query.run(groups.clone());
            assert_eq!(lenient.traces(&query).unwrap(), expected, "lenient {params:?} {context}");
        }
        for id in all_ids() {
            let expected = groups.iter().find(|group| group[0].trace_id.low() == id.low());
            let expected = expected.cloned().unwrap_or_default();
            assert_eq!(lenient.trace(id).unwrap(), expected, "lenient {context}");
        }
        self.check_dependencies(store, random, context);
        for _ in 0..3 {
            let query = random_counting(random);
            let expected = Red::of(&query, &traces);
            let (found, _) = store.queries(Stop::default()).red(&query).unwrap();
            assert_eq!(found, expected, "{query:?} {context}");
            check_scans(store, &traces, random, context);
        }
        if !store.parts().buried.is_empty() {
            // Lists of names may still have what only deleted spans said.
            return;
        }
        let spans = || traces.iter().flatten();
        let sorted = |names: BTreeSet<&str>| -> Vec<String> {
            names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        let services: Vec<String> = sorted(spans().filter_map(Span::service_name).collect());
        assert_eq!(store.service_names().unwrap(), services, "{context}");
        for service in &services {
            let of_service = || spans().filter(|span| span.service_name() == Some(service));
            let names = sorted(of_service().map(|span| span.name.as_str()).collect());
            assert_eq!(store.span_names(service).unwrap(), names, "{context}");
            let remotes = sorted(of_service().filter_map(Span::remote_service_name).collect());
            assert_eq!(store.remote_service_names(service).unwrap(), remotes, "{context}");
        }
        let keys: BTreeSet<&str> =
            spans().flat_map(|span| span.zipkin_tags().into_keys()).collect();
        assert_eq!(store.tag_keys().unwrap(), keys.iter().copied().collect::<Vec<_>>());
        for key in keys {
            let values: BTreeSet<String> =
                spans().filter_map(|span| Some(span.zipkin_tag(key)?.into_owned())).collect();
            assert_eq!(store.tag_values(key).unwrap(), values.into_iter().collect::<Vec<_>>());
        }
    }

    fn check_dependencies(&self, store: &Store, random: &mut Rng, context: &str) {
        let groups = self.groups();
        let (end_ms, lookback_ms) =
            (testing::EPOCH_MS + random.u64(0..200_000), random.u64(1..300_000));
        let mut linker = Linker::default();
        for group in groups {
            let (start_us, end_us) = window_us(end_ms, lookback_ms);
            let window = start_us..=end_us;
            if group.iter().any(|s| s.timestamp.is_some_and(|at| window.contains(&at.micros()))) {
                linker.put_trace(&group);
            }
        }
        assert_eq!(store.dependencies(end_ms, lookback_ms).unwrap(), linker.links(), "{context}");
    }
}

pub(crate) fn naive_assemble(spans: Vec<Span>) -> Vec<Span> {
    let mut once: Vec<Span> = Vec::new();
    for span in spans {
        match once.iter_mut().find(|other| other.same_as(&span)) {
            None => once.push(span),
            Some(first) if first.target.is_none() => first.target = span.target,
            Some(_) => {}
        }
    }
    let time = |span: &Span| span.timestamp.map_or(u64::MAX, sigyn_model::Timestamp::nanos);
    once.sort_by_key(|span| (time(span), span.id, span.shared, span.trace_id));
    once
}

/// All ids that random spans have.
fn all_ids() -> impl Iterator<Item = TraceId> {
    let ids = (1..20u128).flat_map(|low| [low, low | 1 << 64]);
    ids.filter_map(TraceId::new)
}

pub(crate) fn all_spans(store: &Store) -> Vec<Span> {
    all_ids().flat_map(|id| store.trace(id).unwrap()).collect()
}

fn random_params(random: &mut Rng) -> QueryParams {
    let word = |random: &mut Rng| {
        let words = ["frontend", "backend", "get", "nowhere"];
        (random.u8(0..3) == 0).then(|| (*random.choice(words).as_ref().unwrap()).to_owned())
    };
    let terms = ["get", "http.method=frontend", "error", "target.pod=1", "get and backend"];
    let window = random.i64(1..90_000);
    QueryParams {
        service_name: word(random),
        remote_service_name: word(random),
        span_name: word(random),
        annotation_query: (random.u8(0..4) == 0)
            .then(|| (*random.choice(terms).as_ref().unwrap()).to_owned()),
        min_duration_us: (random.u8(0..3) == 0).then(|| random.i64(1..6) * 1_000),
        max_duration_us: None,
        end_ts_ms: testing::EPOCH_MS.cast_signed() + random.i64(0..70_000),
        lookback_ms: window,
        limit: if random.bool() { random.i64(1..5) } else { 1_000 },
    }
}

#[test]
fn a_crash_at_every_step_of_a_seal_is_harmless() {
    // How many changes a seal makes, one life without a crash tells.
    let life = |crash_at: Option<u64>| {
        let mut random = Rng::with_seed(crash_at.unwrap_or(0));
        let disk = FaultyDisk::default();
        let mut model = Model::default();
        let store = open(&disk);
        let batches: Vec<OwnedBatch> = (0..3).map(|_| model.new_batch(&mut random)).collect();
        assert!(append_all(&store, &batches).iter().all(Result::is_ok));
        model.stored = batches;
        let before = disk.changes();
        if let Some(changes) = crash_at {
            disk.crash_after(changes);
        }
        let sealed = store.seal();
        assert_eq!(sealed.is_ok(), crash_at.is_none() || store.stats().head_spans == 0);
        model.check(&store, "after the crash, before the restart");
        let changes = disk.changes() - before;
        drop(store);
        disk.restart(&mut random);
        let store = open(&disk);
        model.settle(&store, &format!("crash at {crash_at:?}"));
        store.seal().unwrap();
        model.check(&store, &format!("sealed after a crash at {crash_at:?}"));
        changes
    };
    let changes = life(None);
    assert!(changes > 10, "{changes}");
    for crash_at in 0..changes {
        life(Some(crash_at));
    }
}

#[test]
fn a_crash_at_every_step_of_a_start_that_seals_within_a_segment_is_harmless() {
    let memory = Memory { head: 1, ..options().memory };
    let little = Options { memory, ..options() };
    let life = |crashes_at: &[u64]| {
        let mut random = Rng::with_seed(crashes_at.iter().sum());
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        let store = open(&disk);
        for _ in 0..4 {
            let batches: Vec<OwnedBatch> = (0..3).map(|_| model.new_batch(&mut random)).collect();
            assert!(append_all(&store, &batches).iter().all(Result::is_ok));
            model.stored.extend(batches);
        }
        drop(store);
        disk.restart(&mut random);
        let segments = disk.files().into_iter().filter(|(path, _)| path.ends_with(".wal"));
        assert_eq!(segments.count(), 1);
        let before = disk.changes();
        for crash_at in crashes_at {
            disk.crash_after(*crash_at);
            drop(open_with(&disk, little.clone(), model.clock()));
            disk.restart(&mut random);
        }
        let context = format!("crashes at {crashes_at:?}");
        let store = open_with(&disk, little.clone(), model.clock()).unwrap();
        let (changes, seals) = (disk.changes() - before, store.stats().seals_total);
        model.settle(&store, &context);
        model.check(&store, &context);
        drop(store);
        let store = open(&disk);
        model.check(&store, &format!("{context}, and opened once more"));
        assert_eq!(store.stats().damages, [], "{context}");
        (changes, seals)
    };
    let (changes, seals) = life(&[]);
    assert!(seals > 1 && changes > 20, "{seals} seals, {changes} changes");
    for crash_at in 0..changes {
        life(&[crash_at, changes / 3]);
    }
}

#[test]
fn a_failed_sync_poisons_the_store_for_good_and_queries_go_on() {
    let mut random = Rng::with_seed(1);
    let disk = FaultyDisk::default();
    let mut model = Model::default();
    let store = open(&disk);
    let batch = model.new_batch(&mut random);
    run(store.append(batch.clone())).unwrap();
    model.stored.push(batch);
    disk.fail_sync_after(0);
    for _ in 0..3 {
        let batch = model.new_batch(&mut random);
        let error = run(store.append(batch)).unwrap_err();
        let cause: Arc<str> = "cannot write to the log: input/output error".into();
        assert_eq!(error, AppendError::Poisoned { cause: cause.clone() });
        assert_eq!(store.stats().poisoned, Some(cause.clone()));
        assert_eq!(store.seal(), Err(SealError::Failed { cause, is_full: false }));
        model.check(&store, "poisoned");
    }
    assert!(store.close().is_err());
    let store = open(&disk);
    model.check(&store, "opened again");
    let batch = model.new_batch(&mut random);
    run(store.append(batch)).unwrap();
}

/// Stores three batches in one segment; returns its path.
fn three_batches(disk: &FaultyDisk, model: &mut Model, random: &mut Rng) -> String {
    let store = open(disk);
    for _ in 0..3 {
        let mut batch = model.new_batch(random);
        batch.progress = None;
        batch.spans.push(testing::span(random));
        run(store.append(batch.clone())).unwrap();
        model.stored.push(batch);
    }
    store.close().unwrap();
    let segments = disk.list("wal").unwrap();
    assert_eq!(segments.len(), 1);
    format!("wal/{}", segments[0].0)
}

#[test]
fn a_flipped_bit_costs_its_batch_alone_and_is_told() {
    let mut random = Rng::with_seed(2);
    let disk = FaultyDisk::default();
    let mut model = Model::default();
    let path = three_batches(&disk, &mut model, &mut random);
    // In the first frame.
    disk.corrupt(&path, |bytes| bytes[90] ^= 1);
    model.stored.remove(0);
    let store = open(&disk);
    model.check(&store, "a damaged frame");
    assert_eq!(store.stats().damaged_spots, 1);
    // The damaged segment is kept when the log no longer needs it.
    store.seal().unwrap();
    model.check(&store, "sealed");
    assert_eq!((store.stats().quarantined_files, disk.list("quarantine").unwrap().len()), (1, 1));
    drop(store);
    let store = open(&disk);
    model.check(&store, "opened again");
    assert_eq!(store.stats().damaged_spots, 0);
}

#[test]
fn what_is_acknowledged_is_synced_within_the_interval() {
    let mut random = Rng::with_seed(12);
    let disk = FaultyDisk::default();
    let interval = |interval| Options { durability: Durability::Interval(interval), ..options() };
    let mut model = Model::default();
    let hours = Duration::from_secs(1 << 20);
    for (durability, syncs) in [(hours, false), (Duration::from_millis(20), true)] {
        let store = open_with(&disk, interval(durability), Clock::System).unwrap();
        model.settle(&store, "opened again");
        let batch = model.new_batch(&mut random);
        run(store.append(batch.clone())).unwrap();
        let acknowledged = disk.changes();
        if syncs {
            model.stored.push(batch);
            let deadline = std::time::Instant::now() + Duration::from_secs(60);
            while disk.changes() == acknowledged {
                assert!(std::time::Instant::now() < deadline);
                std::thread::yield_now();
            }
        } else {
            // It may be there, whole, or not.
            model.unknown.push(batch);
            assert_eq!(disk.changes(), acknowledged);
        }
        // Nothing is synced when it is closed: the machine is off.
        disk.crash_after(0);
        drop(store);
        disk.restart(&mut random);
    }
    model.settle(&open(&disk), "after a loss of power");
}

#[test]
fn a_torn_end_is_cut_and_the_log_goes_on() {
    let mut random = Rng::with_seed(3);
    let disk = FaultyDisk::default();
    let mut model = Model::default();
    let path = three_batches(&disk, &mut model, &mut random);
    // It was killed, and so does not say that it ends there.
    closed::remove(&Disk::Faulty(disk.clone()));
    disk.corrupt(&path, |bytes| bytes.truncate(bytes.len() - PREFIX_BYTES - 3));
    model.stored.pop();
    for _ in 0..2 {
        let store = open(&disk);
        model.check(&store, "cut");
        assert_eq!(store.stats().damaged_spots, 0);
        let batch = model.new_batch(&mut random);
        run(store.append(batch.clone())).unwrap();
        model.stored.push(batch);
    }
    let store = open(&disk);
    model.check(&store, "opened again");
    // The same tear in a segment that is not the last one is damage.
    drop(store);
    disk.corrupt(&path, |bytes| bytes.truncate(bytes.len() - 3));
    model.stored.remove(1);
    let store = open(&disk);
    model.check(&store, "torn in the middle");
    assert_eq!(store.stats().damaged_spots, 1);
}

#[test]
fn of_a_log_that_was_closed_nothing_is_taken_for_torn() {
    for was_closed in [true, false] {
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        let path = three_batches(&disk, &mut model, &mut Rng::with_seed(3));
        disk.corrupt(&path, |bytes| {
            let end = bytes.len() - PREFIX_BYTES;
            bytes[end - 1] ^= 1;
            if !was_closed {
                bytes.truncate(end);
            }
        });
        if !was_closed {
            closed::remove(&Disk::Faulty(disk.clone()));
        }
        model.stored.pop();
        for _ in 0..2 {
            let store = open(&disk);
            model.check(&store, "without the last batch");
            let is_told = store.stats().damaged_spots == 1 && store.stats().damaged_files == 1;
            assert_eq!(is_told, was_closed);
        }
    }
    // The end alone says nothing that anybody misses.
    let (disk, mut model) = (FaultyDisk::default(), Model::default());
    let path = three_batches(&disk, &mut model, &mut Rng::with_seed(3));
    disk.corrupt(&path, |bytes| bytes.truncate(bytes.len() - 1));
    let store = open(&disk);
    model.check(&store, "without the end alone");
    assert_eq!(store.stats().damaged_spots, 0);
}

#[test]
fn a_log_that_lost_its_end_after_it_was_closed_is_told() {
    // How much of the segment is cut, if it is not gone, and the first frame that is not there then.
    for (cut, first) in [(Some(PREFIX_BYTES + 3), 3), (Some(usize::MAX), 1), (None, 1)] {
        let (disk, mut model) = (FaultyDisk::default(), Model::default());
        let path = three_batches(&disk, &mut model, &mut Rng::with_seed(3));
        match cut {
            Some(cut) => disk.corrupt(&path, |bytes| {
                bytes.truncate(bytes.len().saturating_sub(cut));
            }),
            None => Disk::Faulty(disk.clone()).remove(&path).unwrap(),
        }
        model.stored.truncate(first - 1);
        let store = open(&disk);
        model.check(&store, "without its end");
        let told = store.stats().damages;
        let cause = format!("frames {first} to 3, which were there when the store was closed, are");
        assert!(told.len() == 1 && told[0].cause.starts_with(&cause), "{told:?}");
        // Until the next start, as with all that is lost.
        drop(store);
        assert_eq!(open(&disk).stats().damages, []);
    }
}

#[test]
fn a_damaged_header_costs_its_segment_alone() {
    let mut random = Rng::with_seed(4);
    let disk = FaultyDisk::default();
    let mut model = Model::default();
    let path = three_batches(&disk, &mut model, &mut random);
    disk.corrupt(&path, |bytes| bytes[20] ^= 1);
    model.stored.clear();
    let store = open(&disk);
    model.check(&store, "damaged");
    assert_eq!((store.stats().damaged_spots, store.stats().quarantined_files), (1, 1));
    let batch = model.new_batch(&mut random);
    run(store.append(batch.clone())).unwrap();
    model.stored.push(batch);
    drop(store);
    model.check(&open(&disk), "opened again");
}

#[test]
fn a_block_that_cannot_be_read_is_counted_and_the_rest_is_served() {
    let mut random = Rng::with_seed(5);
    let disk = FaultyDisk::default();
    let mut model = Model::default();
    three_batches(&disk, &mut model, &mut random);
    let store = open(&disk);
    store.seal().unwrap();
    let batch = model.new_batch(&mut random);
    run(store.append(batch.clone())).unwrap();
    drop(store);
    let path = format!("blocks/{}", disk.list("blocks").unwrap()[0].0);
    let good = disk.read(&path).unwrap();
    disk.corrupt(&path, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let store = open(&disk);
    assert_eq!((store.stats().unreadable_blocks, store.stats().blocks), (1, 0));
    let rest = Model { stored: vec![batch.clone()], ..Model::default() };
    rest.check(&store, "without the block");
    store.seal().unwrap();
    drop(store);
    disk.corrupt(&path, |bytes| *bytes = good);
    model.stored.push(batch);
    model.check(&open(&disk), "the block is back");
}

#[test]
fn foreign_and_newer_files_are_refused_in_a_sentence() {
    let check = |path: &str, change: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut random = Rng::with_seed(6);
        let disk = FaultyDisk::default();
        let segment = three_batches(&disk, &mut Model::default(), &mut random);
        disk.corrupt(if path == "wal" { &segment } else { path }, change);
        let error = open_with(&disk, options(), Clock::System).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    };
    let header_of = |version: u8| {
        move |bytes: &mut Vec<u8>| {
            bytes[8] = version;
            let crc = crc32c::crc32c(&bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        }
    };
    check("wal", &header_of(2), "the segment has format 2, and this program knows 3 to 5");
    check("wal", &header_of(6), "the segment has format 6, and this program knows 3 to 5");
    let older_catalog = |bytes: &mut Vec<u8>| {
        bytes[8] = 1;
        bytes.truncate(bytes.len() - 4);
        bytes.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
    };
    let first = "cat/00000000000000000000.checkpoint";
    check(first, &older_catalog, "format 1, and this program knows 3 to 4");
    let summed = |text: &'static str| {
        move |bytes: &mut Vec<u8>| {
            *bytes = format!("{text}crc32c {:08x}\n", crc32c::crc32c(text.as_bytes())).into_bytes();
        }
    };
    let newer = summed("sigyn-store version 7\n");
    check("IDENTITY", &newer, "format 7, and this program knows 1");
    let other = summed("sigyn-store version 1\ninstance 00000000000000aa\n");
    check("IDENTITY", &other, "it belongs to another store");
}

#[test]
fn a_catalog_in_one_file_is_refused_in_a_sentence() {
    let disk = FaultyDisk::default();
    drop(open(&disk));
    let mut bytes = b"SIGYNCAT".to_vec();
    bytes.extend_from_slice(&2u32.to_le_bytes());
    Disk::Faulty(disk.clone()).replace("CATALOG", &bytes).unwrap();
    let error = open_with(&disk, options(), Clock::System).unwrap_err().to_string();
    let expected = "CATALOG: the catalog has format 2, and this program knows 3 to 4";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_store_whose_making_was_cut_short_is_made_anew() {
    for crash_at in 0.. {
        let disk = FaultyDisk::default();
        disk.crash_after(crash_at);
        let is_made = open_with(&disk, options(), Clock::System).is_ok();
        disk.restart(&mut Rng::with_seed(crash_at));
        open(&disk).close().unwrap();
        if is_made {
            assert!(crash_at > 10, "{crash_at}");
            break;
        }
    }
}

#[test]
fn blocks_are_retired_by_arrival_and_not_by_the_age_of_their_spans() {
    let mut random = Rng::with_seed(7);
    let disk = FaultyDisk::default();
    let now = Arc::new(AtomicU64::new(testing::EPOCH_MS * 2));
    let clock = Clock::Manual(now.clone());
    let retention_time = Some(Duration::from_secs(60));
    let options = Options { retention_time, ..options() };
    let store = open_with(&disk, options.clone(), clock.clone()).unwrap();
    let mut model = Model::default();
    let mut append = |model: &mut Model| {
        let batch = model.new_batch(&mut random);
        run(store.append(batch.clone())).unwrap();
        model.stored.push(batch);
    };
    append(&mut model);
    store.seal().unwrap();
    now.fetch_add(59_000, Ordering::SeqCst);
    append(&mut model);
    store.seal().unwrap();
    model.check(&store, "both are young");
    now.fetch_add(2_000, Ordering::SeqCst);
    let parts = store.parts();
    store.seal().unwrap();
    let oldest = model.stored.remove(0);
    assert_eq!(store.stats().retired_blocks_total, 1);
    let left: Vec<Span> = model.traces().concat();
    assert_eq!(all_spans(&store).len(), left.len());
    // What became of the spans is known, and so is how far their targets were read.
    let with_progress = [&oldest, &model.stored[0]];
    let targets = with_progress.iter().filter_map(|batch| batch.progress.as_ref());
    let targets: BTreeSet<&str> = targets.map(|progress| progress.target.as_str()).collect();
    assert_eq!(store.progress().len(), targets.len());
    // A reader that came before still reads, and then the file goes.
    assert_eq!(disk.list("blocks").unwrap().len(), 2);
    let (stop, room) = (Stop::default(), Rooms::new(u64::MAX).room());
    for span in &oldest.spans {
        assert!(
            parts
                .trace(
                    span.trace_id,
                    Strictness::Strict,
                    Bounds { stop: &stop, room: &room, bytes_max: u64::MAX }
                )
                .unwrap()
                .iter()
                .any(|other| other.same_as(span))
        );
    }
    drop(parts);
    assert_eq!(disk.list("blocks").unwrap().len(), 1);
}

#[test]
fn blocks_and_log_stay_below_the_limit_of_bytes() {
    let mut random = Rng::with_seed(8);
    let disk = FaultyDisk::default();
    let limit = 60_000;
    let options = Options { retention_bytes: Some(limit), ..options() };
    let store = open_with(&disk, options, Clock::System).unwrap();
    for _ in 0..30 {
        let mut batch = testing::batch(&mut random, 5);
        let filler: Vec<u8> = (0..2_000).map(|_| random.u8(..)).collect();
        let mut span = testing::span(&mut random);
        span.set_tag("filler", sigyn_model::Value::Bytes(filler));
        batch.spans.push(span);
        run(store.append(batch)).unwrap();
        store.seal().unwrap();
        let stats = store.stats();
        assert!(stats.block_bytes + stats.wal_bytes <= limit, "{stats:?}");
    }
    let stats = store.stats();
    assert!(stats.blocks > 1 && stats.retired_blocks_total > 1, "{stats:?}");
    assert_eq!(disk.list("blocks").unwrap().len() as u64, stats.blocks);
}

#[test]
fn an_old_head_is_sealed_by_itself() {
    let mut random = Rng::with_seed(9);
    let disk = FaultyDisk::default();
    let now = Arc::new(AtomicU64::new(testing::EPOCH_MS));
    let options = Options { seal_after: Duration::from_secs(10), ..options() };
    let store = open_with(&disk, options, Clock::Manual(now.clone())).unwrap();
    let mut batch = testing::batch(&mut random, 5);
    batch.spans.push(testing::span(&mut random));
    run(store.append(batch)).unwrap();
    now.fetch_add(10_000, Ordering::SeqCst);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while store.stats().seals_total == 0 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert_eq!(store.stats().blocks, 1);
}

#[test]
fn a_clock_that_jumps_costs_no_cursor() {
    let mut random = Rng::with_seed(10);
    let disk = FaultyDisk::default();
    let now = Arc::new(AtomicU64::new(testing::EPOCH_MS));
    let store = open_with(&disk, options(), Clock::Manual(now.clone())).unwrap();
    let progress = testing::progress(&mut random);
    let batch = OwnedBatch { spans: Vec::new(), progress: Some(progress.clone()) };
    run(store.append(batch)).unwrap();
    now.fetch_add(400 * 24 * 60 * 60 * 1_000, Ordering::SeqCst);
    store.seal().unwrap();
    drop(store);
    assert_eq!(open(&disk).progress(), [progress]);
}

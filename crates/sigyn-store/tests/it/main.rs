//! The store as its callers see it, on a real disk.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod large;
mod lists;
mod old_formats;
mod speed;
mod waiting;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sigyn_model::pull::Cursor;
use sigyn_model::{
    Endpoint, QueryParams, Span, SpanBatch, SpanId, TargetProgress, Timestamp, TraceId, TraceQuery,
};
use sigyn_store::{AppendError, Memory, OpenError, Options, SealError, Store};

/// When the spans of these tests start.
const START_MS: i64 = 1_700_000_000_000;

fn open(dir: &Path) -> Store {
    Store::open(Options::new(dir)).unwrap()
}

fn span(trace: u128, id: u64, service: &str, at_ms: u64) -> Span {
    let mut span = Span::new(TraceId::new(trace).unwrap(), SpanId::new(id).unwrap());
    span.name = format!("op-{id}");
    span.local_endpoint = Endpoint::named(service).into_option();
    span.remote_endpoint = Endpoint::named("db").into_option();
    span.timestamp = Timestamp::from_micros((START_MS.unsigned_abs() + at_ms) * 1_000);
    span.duration = Some(Duration::from_millis(5));
    span.set_tag("http.method", "GET");
    span
}

fn pushed(spans: Vec<Span>) -> SpanBatch {
    SpanBatch::of(&spans, None)
}

fn everything() -> QueryParams {
    QueryParams {
        end_ts_ms: START_MS + 1_000_000,
        lookback_ms: 2_000_000,
        limit: 1_000,
        ..QueryParams::default()
    }
}

fn ids_found(store: &Store, params: &QueryParams) -> Vec<u128> {
    let traces = store.traces(&TraceQuery::new(params).unwrap()).unwrap();
    traces.iter().map(|trace| trace[0].trace_id.as_u128()).collect()
}

#[tokio::test]
async fn what_is_appended_is_found_at_once_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let instance = store.instance_id();
    let trace = vec![span(1, 1, "frontend", 0), span(1, 2, "backend", 1)];
    store.append(pushed(trace.clone())).await.unwrap();
    store.append(pushed(vec![span(2, 3, "backend", 2)])).await.unwrap();
    let check = |store: &Store| {
        assert_eq!(store.trace(TraceId::new(1).unwrap()).unwrap(), trace);
        assert_eq!(store.trace(TraceId::new(9).unwrap()).unwrap(), []);
        assert_eq!(ids_found(store, &everything()), [2, 1]);
        assert_eq!(ids_found(store, &QueryParams { limit: 1, ..everything() }), [2]);
        let service_name = Some("frontend".to_owned());
        assert_eq!(ids_found(store, &QueryParams { service_name, ..everything() }), [1]);
        assert_eq!(store.service_names().unwrap(), ["backend", "frontend"]);
        assert_eq!(store.span_names("backend").unwrap(), ["op-2", "op-3"]);
        assert_eq!(store.remote_service_names("frontend").unwrap(), ["db"]);
        assert_eq!(store.remote_service_names("nobody").unwrap(), [""; 0]);
        assert_eq!(store.tag_keys().unwrap(), ["http.method"]);
        assert_eq!(store.tag_values("http.method").unwrap(), ["GET"]);
        assert_eq!(store.instance_id(), instance);
    };
    check(&store);
    store.close().unwrap();
    store.close().unwrap();
    let reopened = open(dir.path());
    check(&reopened);
    reopened.seal().unwrap();
    check(&reopened);
    drop(reopened);
    check(&open(dir.path()));
}

#[tokio::test]
async fn progress_is_kept_with_its_spans() {
    let dir = tempfile::tempdir().unwrap();
    let progress = |target: &str, seq| TargetProgress {
        target: target.to_owned(),
        cursor: Some(Cursor { epoch: 7, seq }),
        ..TargetProgress::default()
    };
    let expected = [progress("a", 2), progress("b", 1)];
    let store = open(dir.path());
    for progress in [progress("a", 1), progress("b", 1), progress("a", 2)] {
        let batch = SpanBatch::of(&[span(1, 1, "a", 0)], Some(progress));
        store.append(batch).await.unwrap();
    }
    assert_eq!(store.progress(), expected);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.progress(), expected);
    store.seal().unwrap();
    assert_eq!(store.progress(), expected);
    drop(store);
    assert_eq!(open(dir.path()).progress(), expected);
}

#[tokio::test]
async fn a_store_is_open_once_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = Store::open(Options::new(dir.path())).unwrap_err();
    assert!(matches!(error, OpenError::Locked));
    assert!(error.to_string().ends_with("open"), "{error}");
    store.close().unwrap();
    open(dir.path());
    // The first handle is still there, but closed.
    assert_eq!(store.append(SpanBatch::default()).await, Err(AppendError::Closed));
    assert_eq!(store.seal(), Err(SealError::Closed));
}

#[tokio::test]
async fn a_span_that_is_pushed_twice_is_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let once = vec![span(1, 1, "a", 0)];
    for _ in 0..3 {
        store.append(pushed(once.clone())).await.unwrap();
        store.append(pushed(once.clone())).await.unwrap();
        assert_eq!(store.trace(TraceId::new(1).unwrap()).unwrap(), once);
        store.seal().unwrap();
    }
    assert_eq!(store.trace(TraceId::new(1).unwrap()).unwrap(), once);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_appenders_share_commits_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut appenders = tokio::task::JoinSet::new();
    for task in 0..16u64 {
        let store = store.clone();
        appenders.spawn(async move {
            for n in 1..=20 {
                let trace = u128::from(task * 100 + n);
                store.append(pushed(vec![span(trace, n, "a", n)])).await.unwrap();
            }
        });
    }
    while let Some(result) = appenders.join_next().await {
        result.unwrap();
    }
    let mut spans_per_trace = BTreeMap::new();
    for id in ids_found(&store, &everything()) {
        *spans_per_trace.entry(id).or_insert(0) += 1;
    }
    assert_eq!(spans_per_trace.len(), 320);
    let stats = store.stats();
    assert_eq!((stats.appended_spans_total, stats.head_spans), (320, 320));
    assert!(stats.commits_total < 320, "{}", stats.commits_total);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_see_every_span_exactly_once_while_heads_become_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let trace: Vec<Span> = (1..=5).map(|id| span(7, id, "known", id)).collect();
    for one in &trace {
        store.append(pushed(vec![one.clone()])).await.unwrap();
        store.seal().unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (store, done, trace) = (store.clone(), done.clone(), trace.clone());
        move || {
            let service_name = Some("known".to_owned());
            let params = QueryParams { service_name, ..everything() };
            let query = TraceQuery::new(&params).unwrap();
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) || rounds == 0 {
                assert_eq!(store.trace(TraceId::new(7).unwrap()).unwrap(), trace);
                assert_eq!(store.traces(&query).unwrap(), std::slice::from_ref(&trace));
                rounds += 1;
            }
        }
    });
    for n in 100..130 {
        let others = (0..20).map(|id| span(n, id + 1, "other", id)).collect();
        store.append(pushed(others)).await.unwrap();
        // The same spans again: some are now in a block and in a head.
        store.append(pushed(trace.clone())).await.unwrap();
        store.seal().unwrap();
        assert_eq!(ids_found(&store, &everything()).len() as u128, n - 100 + 2);
    }
    done.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}

#[tokio::test]
async fn a_full_head_refuses_until_it_is_sealed_which_happens_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        memory: Memory { head: 1, ..Memory::default() },
        append_timeout: Duration::ZERO,
        ..Options::new(dir.path())
    };
    let store = Store::open(options).unwrap();
    store.append(pushed(vec![span(1, 1, "a", 0)])).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut refused = 0;
    while let Err(error) = store.append(pushed(vec![span(2, 2, "a", 0)])).await {
        assert_eq!(error, AppendError::Overloaded);
        assert!(Instant::now() < deadline);
        refused += 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(store.stats().overloads_total, refused);
    while store.stats().blocks == 0 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    assert_eq!(ids_found(&store, &everything()).len(), 2);
}

#[tokio::test]
async fn closing_takes_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let spans = (1..=20_000).map(|id| span(u128::from(id % 500) + 1, id, "a", id)).collect();
    store.append(pushed(spans)).await.unwrap();
    let sealing = std::thread::spawn({
        let store = store.clone();
        move || store.seal()
    });
    let start = Instant::now();
    store.close().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // Sealed, or told that it was not: never left waiting.
    let _ = sealing.join().unwrap();
    assert_eq!(ids_found(&open(dir.path()), &everything()).len(), 500);
}

#[tokio::test]
async fn what_is_killed_before_it_seals_does_not_grow_from_start_to_start() {
    let dir = tempfile::tempdir().unwrap();
    let cursor = |seq| Some(Cursor { epoch: 7, seq });
    for round in 0..4u64 {
        // Each life leaves a segment of the log, and none lives long enough to seal.
        let options = Options {
            memory: Memory { head: u64::MAX, ..Memory::default() },
            ..Options::new(dir.path())
        };
        let store = Store::open(options).unwrap();
        for n in 0..50 {
            let id = round * 50 + n + 1;
            let progress = TargetProgress {
                target: "shop".to_owned(),
                cursor: cursor(id),
                ..TargetProgress::default()
            };
            let spans = vec![span(u128::from(id), id, "a", id)];
            store.append(SpanBatch::of(&spans, Some(progress))).await.unwrap();
        }
        store.close().unwrap();
    }
    let options = Options {
        memory: Memory { head: 10_000, ..Memory::default() },
        ..Options::new(dir.path())
    };
    let store = Store::open(options).unwrap();
    let stats = store.stats();
    assert!(stats.head_bytes < 30_000, "{stats:?}");
    assert!(stats.blocks >= 2, "{stats:?}");
    assert_eq!(stats.head_spans + stats.block_spans, 200);
    assert_eq!(ids_found(&store, &everything()).len(), 200);
    assert_eq!(store.progress()[0].cursor, cursor(200));
    store.close().unwrap();
    drop(store);
    let store = open(dir.path());
    let stats = store.stats();
    assert_eq!(stats.head_spans + stats.block_spans, 200, "nothing twice after one more start");
    assert_eq!(store.progress()[0].cursor, cursor(200));
}

#[tokio::test]
async fn a_damaged_block_costs_its_own_spans_alone() {
    let dir = tempfile::tempdir().unwrap();
    // What was read before would answer in place of the damaged file.
    let memory = Memory { cache: 0, ..Memory::default() };
    let store = Store::open(Options { memory, ..Options::new(dir.path()) }).unwrap();
    for id in 1..=2 {
        store.append(pushed(vec![span(u128::from(id), id, "a", id)])).await.unwrap();
        store.seal().unwrap();
    }
    assert_eq!(ids_found(&store, &everything()), [2, 1]);
    let mut files: Vec<_> =
        std::fs::read_dir(dir.path().join("blocks")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let mut bytes = std::fs::read(&files[0]).unwrap();
    // Behind the magic stand the rows of the first group.
    bytes[40..200].iter_mut().for_each(|byte| *byte ^= 1);
    std::fs::write(&files[0], bytes).unwrap();
    assert_eq!(ids_found(&store, &everything()), [2]);
    assert_eq!(store.trace(TraceId::new(2).unwrap()).unwrap().len(), 1);
    let stats = store.stats();
    assert_eq!((stats.unreadable_blocks, stats.blocks), (1, 1));
    assert_eq!(store.service_names().unwrap(), ["a"]);
}

#[test]
fn a_directory_that_lost_its_identity_is_not_taken_for_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open(dir.path()).instance_id();
    std::fs::write(dir.path().join("blocks/B-1.parquet"), "data").unwrap();
    std::fs::remove_file(dir.path().join("IDENTITY")).unwrap();
    let store = Store::open(Options::new(dir.path())).unwrap();
    assert_eq!(store.instance_id(), instance);
    assert_eq!(store.stats().damages[0].file, "IDENTITY");
    drop(store);
    std::fs::remove_file(dir.path().join("IDENTITY")).unwrap();
    std::fs::remove_dir_all(dir.path().join("cat")).unwrap();
    let error = Store::open(Options::new(dir.path())).unwrap_err().to_string();
    assert!(
        error.ends_with("it is missing, and no other files agree which store this is"),
        "{error}"
    );
    assert!(dir.path().join("blocks/B-1.parquet").exists());
}

#[tokio::test]
async fn files_among_the_blocks_that_are_not_ours_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(pushed(vec![span(1, 1, "a", 0)])).await.unwrap();
    store.seal().unwrap();
    store.append(pushed(vec![span(2, 1, "a", 0)])).await.unwrap();
    store.seal().unwrap();
    drop(store);
    for name in ["notes.txt", "B-2.parquet", "B-00000000000000000009.parquet.tmp"] {
        std::fs::write(dir.path().join("blocks").join(name), "x").unwrap();
    }
    // Somebody put an old catalog back: the newer block is the only place that has its spans.
    std::fs::remove_file(dir.path().join("cat/00000000000000000002.commit")).unwrap();
    for _ in 0..2 {
        let store = open(dir.path());
        assert_eq!(ids_found(&store, &everything()), [1, 2]);
        drop(store);
        let exists = |path: &str| dir.path().join(path).exists();
        assert!(exists("blocks/notes.txt") && exists("blocks/B-2.parquet"));
        assert!(!exists("blocks/B-00000000000000000009.parquet.tmp"));
        assert!(exists("blocks/B-00000000000000000002.parquet"));
    }
}

#[test]
fn a_store_is_made_where_no_directory_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/c");
    drop(open(&path));
    drop(open(&path));
}

//! Appends that wait for room, and queries that nobody waits for any more.

use std::time::{Duration, Instant};

use sigyn_model::{QueryParams, TraceId, TraceQuery};
use sigyn_store::{AppendError, Memory, Options, QueryFailed, Stop, Store};

use crate::{everything, ids_found, open, pushed, span};

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_waits_is_never_refused_however_full_the_head() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        Options { memory: Memory { head: 1, ..Memory::default() }, ..Options::new(dir.path()) };
    let store = Store::open(options).unwrap();
    let mut appenders = tokio::task::JoinSet::new();
    for task in 0..4u64 {
        let store = store.clone();
        appenders.spawn(async move {
            for n in 1..=2 {
                let batch = pushed(vec![span(u128::from(task * 10 + n), n, "a", n)]);
                store.append_waiting(batch).await.unwrap();
            }
        });
    }
    let all = async { while appenders.join_next().await.transpose().unwrap().is_some() {} };
    tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    assert_eq!(ids_found(&store, &everything()).len(), 8);
    assert_eq!(store.stats().overloads_total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_waits_ends_with_the_store() {
    let dir = tempfile::tempdir().unwrap();
    // No bytes at all: nothing ever fits, whatever is sealed.
    let options =
        Options { memory: Memory { head: 0, ..Memory::default() }, ..Options::new(dir.path()) };
    let store = Store::open(options).unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for n in 1..=3 {
        let store = store.clone();
        let batch = pushed(vec![span(n, 1, "a", 0)]);
        waiting.spawn(async move { store.append_waiting(batch).await });
    }
    let refused = store.append(pushed(vec![span(9, 1, "a", 0)])).await;
    assert_eq!(refused, Err(AppendError::Overloaded));
    store.close().unwrap();
    let all = tokio::time::timeout(Duration::from_secs(60), waiting.join_all()).await.unwrap();
    assert_eq!(all, [Err(AppendError::Closed), Err(AppendError::Closed), Err(AppendError::Closed)]);
}

#[tokio::test]
async fn a_stopped_query_says_so_and_the_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let id = TraceId::new(1).unwrap();
    let query = TraceQuery::new(&everything()).unwrap();
    let end_ms = everything().end_ts_ms.unsigned_abs();
    let stop = Stop::default();
    let queries = store.queries(stop.clone());
    for _ in 0..2 {
        store.append(pushed(vec![span(1, 1, "a", 0)])).await.unwrap();
        assert_eq!(queries.trace(id).unwrap().len(), 1);
        assert_eq!(queries.traces(&query).unwrap().len(), 1);
        store.seal().unwrap();
    }
    stop.stop();
    let stopped = [
        queries.trace(id).map(drop),
        queries.traces(&query).map(drop),
        queries.service_names().map(drop),
        queries.span_names("a").map(drop),
        queries.remote_service_names("a").map(drop),
        queries.dependencies(end_ms, end_ms).map(drop),
        queries.tag_keys().map(drop),
        queries.tag_values("http.method").map(drop),
    ];
    for answer in stopped {
        assert!(matches!(answer, Err(QueryFailed::Stopped)), "{answer:?}");
    }
    assert_eq!(store.trace(id).unwrap().len(), 1);
    assert_eq!(store.traces(&query).unwrap().len(), 1);
}

#[tokio::test]
async fn a_long_query_is_stopped_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..20 {
        let spans = (1..=2_000).map(|id| span(u128::from(n * 2_000 + id), id, "a", id)).collect();
        store.append(pushed(spans)).await.unwrap();
    }
    store.seal().unwrap();
    let end_ms = everything().end_ts_ms.unsigned_abs();
    let stop = Stop::default();
    let queries = store.queries(stop.clone());
    let asking = std::thread::spawn(move || {
        // Again and again, so that it is under way whenever it is stopped.
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match queries.dependencies(end_ms, end_ms) {
                Err(QueryFailed::Stopped) => return,
                answer => assert!(answer.is_ok() && Instant::now() < deadline),
            }
        }
    });
    while !asking.is_finished() {
        stop.stop();
        std::thread::yield_now();
    }
    asking.join().unwrap();
}

#[tokio::test]
async fn an_answer_is_no_larger_than_may_be_held() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let spans = (1..=100).map(|id| span(u128::from(id), id, "a", id)).collect();
    store.append(pushed(spans)).await.unwrap();
    let spans = (1..=1_000).map(|id| span(1_000, id, "large", id)).collect();
    store.append(pushed(spans)).await.unwrap();
    let of = |service: &str, limit| {
        TraceQuery::new(&QueryParams {
            service_name: Some(service.to_owned()),
            limit,
            ..everything()
        })
        .unwrap()
    };
    let check = |bytes_max, query: &TraceQuery, expected: Option<usize>| {
        let queries = store.queries(Stop::default()).with_bytes_max(bytes_max);
        let found = queries.traces(query).map(|traces| traces.len());
        let too_large = |error| matches!(error, QueryFailed::TooLarge { .. });
        assert_eq!(found.map_err(too_large), expected.ok_or(true), "{bytes_max}");
        // Little is kept of each, so that there may be many.
        if expected.is_none() && bytes_max > 10_000 {
            let (found, _) = queries.traces_as(query, |trace| (trace.len(), 8)).unwrap();
            assert_eq!(found.len(), 100);
        }
    };
    // Half of it in a block, and the same in a head.
    for _ in 0..2 {
        check(1 << 30, &of("a", 1_000), Some(100));
        check(20_000, &of("a", 10), Some(10));
        check(20_000, &of("a", 1_000), None);
        check(1 << 30, &of("large", 1), Some(1));
        // What could not be held alone is passed over.
        check(5_000, &of("large", 1), Some(0));
        store.seal().unwrap();
    }
}

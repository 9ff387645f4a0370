//! Spans of any shape take time in proportion to their size: bounds so wide that only a blunder
//! breaks them. It is CPU time of this process, so that other work of the machine breaks none; the other
//! tests, which run beside, take less than a minute of it together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sigyn_model::{
    Annotation, QueryParams, Resource, Scope, Span, SpanId, Status, StatusCode, Tags, Timestamp,
    TraceQuery, Value,
};
use sigyn_store::{AppendError, Memory, Options, Store};

use crate::{everything, open, pushed, span};

fn tags(count: usize) -> Tags {
    (0..count).map(|n| (format!("key-{n:07}"), Value::from("x"))).collect()
}

/// What a shape may cost. A blunder costs hours.
const CPU_MAX: Duration = Duration::from_secs(180);

/// What this process has cost so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (secs, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    Duration::from_secs(secs.unwrap()) + Duration::from_nanos(nanos.unwrap())
}

/// Stores, seals, opens again and reads: each must be quick.
async fn check(shape: &str, spans: Vec<Span>) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let start = cpu_time();
    store.append(pushed(spans.clone())).await.unwrap();
    store.tag_keys().unwrap();
    store.seal().unwrap();
    store.close().unwrap();
    let store = open(dir.path());
    let read = store.trace(spans[0].trace_id).unwrap();
    assert_eq!(read.len(), spans.len(), "{shape}");
    assert!(read.first() == spans.first() && read.last() == spans.last(), "{shape}");
    let annotation_query = Some("error".to_owned());
    let query = QueryParams { annotation_query, ..everything() };
    store.traces(&TraceQuery::new(&query).unwrap()).unwrap();
    store.tag_keys().unwrap();
    let took = cpu_time() - start;
    assert!(took < CPU_MAX, "{shape}: {took:?}");
}

#[tokio::test]
async fn a_span_may_have_a_million_tags() {
    let mut one = span(1, 1, "a", 0);
    one.tags = tags(1_000_000);
    check("a million tags", vec![one.clone()]).await;
    one.status = Status { code: StatusCode::Error, message: "no".to_owned() };
    one.resource = Some(Arc::new(Resource { tags: tags(1_000), ..Resource::default() }));
    one.tags.push(("key-0000001".to_owned(), Value::Int(1)));
    check("a million tags and one twice", vec![one]).await;
}

#[tokio::test]
async fn a_span_may_have_many_annotations() {
    let mut one = span(1, 1, "a", 0);
    one.annotations = (0..300_000)
        .map(|n| Annotation {
            timestamp: Timestamp::from_nanos(n),
            value: n.to_string(),
            tags: tags(1),
            dropped_tags: 0,
        })
        .collect();
    check("many annotations", vec![one]).await;
}

#[tokio::test]
async fn a_trace_may_have_as_many_names_as_spans() {
    let one = |id: u64| {
        let mut one = Span::new(span(1, 1, "a", 0).trace_id, SpanId::new(id).unwrap());
        one.name = format!("op-{id}");
        one.timestamp = Timestamp::from_micros(id);
        one
    };
    // Comparing each with all before it would be 80 thousand million steps.
    check("as many names as spans", (1..=400_000).map(one).collect()).await;
}

#[tokio::test]
async fn many_spans_may_share_a_large_resource() {
    let resource = Arc::new(Resource { tags: tags(3_000), ..Resource::default() });
    let spans = |ids: fn(u64) -> u64| -> Vec<Span> {
        (1..=10_000)
            .map(|n| {
                let mut one = span(1, ids(n), "a", 0);
                one.resource = Some(resource.clone());
                one.name = format!("op-{n:05}");
                one.scope = Some(Arc::new(Scope { version: n.to_string(), ..Scope::default() }));
                one
            })
            .collect()
    };
    check("a large resource", spans(|n| n)).await;
    check("a large resource and one id", spans(|_| 1)).await;
}

#[tokio::test]
async fn a_resource_that_is_too_large_to_share_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut one = span(1, 1, "a", 0);
    one.resource = Some(Arc::new(Resource { tags: tags(100_000), ..Resource::default() }));
    assert_eq!(store.append(pushed(vec![one])).await, Err(AppendError::TooLarge));
}

#[tokio::test]
async fn closing_does_not_wait_for_a_full_head_to_be_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        memory: Memory { head: u64::MAX, ..Memory::default() },
        ..Options::new(dir.path())
    };
    let store = Store::open(options).unwrap();
    let mut n = 0;
    while store.stats().head_bytes < 128 << 20 {
        let large = |_| {
            n += 1;
            let mut one = span(n.into(), n, "a", n);
            one.tags = tags(100);
            one.set_tag("n", n.to_string().repeat(1_000));
            one
        };
        store.append(pushed((0..500).map(large).collect())).await.unwrap();
    }
    let sealing = std::thread::spawn({
        let store = store.clone();
        move || store.seal()
    });
    let written = || {
        let files = std::fs::read_dir(dir.path().join("blocks")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    // It is in the midst of it.
    let deadline = Instant::now() + Duration::from_secs(60);
    while written() < 100_000 {
        assert!(Instant::now() < deadline && !sealing.is_finished());
        std::thread::yield_now();
    }
    let start = Instant::now();
    store.close().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(sealing.join().unwrap().is_err());
}

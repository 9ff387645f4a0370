//! Traces that are larger than an answer may be.

use sigyn_model::{QueryParams, Span, SpanBatch, TraceQuery};
use sigyn_store::{Memory, Options, Stop, Store};

use super::{START_MS, span};

/// In a block what all of its spans say stands once, so that its size says nothing of what reading it takes.
#[tokio::test]
async fn a_search_passes_over_a_trace_that_is_too_large_and_shows_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::within(Memory::BYTES_MIN);
    let store = Store::open(Options { memory, ..Options::new(dir.path()) }).unwrap();
    let value = "v".repeat(500_000);
    for id in 1..=200 {
        let mut large = span(1, id, "large", 0);
        large.set_tag("value", value.as_str());
        store.append_waiting(SpanBatch::of(&[large], None)).await.unwrap();
    }
    let small: Vec<Span> = (2..=6).map(|trace| span(trace, 1, "small", 1)).collect();
    store.append_waiting(SpanBatch::of(&small, None)).await.unwrap();
    store.seal().unwrap();
    for (limit, expected) in [(1, (1, 0)), (5, (5, 0)), (10, (5, 1))] {
        let params = QueryParams {
            end_ts_ms: START_MS + 1_000,
            lookback_ms: 60_000,
            limit,
            ..QueryParams::default()
        };
        let query = TraceQuery::new(&params).unwrap();
        let queries = store.queries(Stop::default());
        let (found, too_large) = queries.traces_as(&query, |trace| (trace, 0)).unwrap();
        assert_eq!((found.len(), too_large), expected, "{limit}");
    }
}

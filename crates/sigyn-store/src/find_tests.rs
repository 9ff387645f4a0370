//! What a search for traces reads, and how far it looks.

use std::time::Duration;

use sigyn_model::{
    Endpoint, Field, Filter, QueryParams, Selection, Span, SpanId, Timestamp, TraceId, TraceQuery,
    What, Words, WordsQuery,
};

use crate::ask_tests::History;
use crate::block::index::LOOKED_UP;
use crate::block::merging::READ;
use crate::disk::faulty::FaultyDisk;
use crate::facts::Strictness;
use crate::query::BEGUN;
use crate::stop::Stop;
use crate::testing;

const PAY: &str = "pay";
/// More than a search asks for, and no more than have columns.
const KEYS: i64 = 8;

fn span(trace: u64, id: u64, service: &str, method: &str) -> Span {
    let mut span = Span::new(TraceId::new(trace.into()).unwrap(), SpanId::from_raw(id));
    let local = Endpoint { service_name: service.to_owned(), ..Endpoint::default() };
    span.local_endpoint = Some(local);
    span.timestamp = Timestamp::from_micros(testing::EPOCH_MS * 1_000 + trace);
    span.duration = Some(Duration::from_millis(5));
    span.set_tag("method", method);
    (0..KEYS).for_each(|key| span.set_tag(format!("key-{key}"), key));
    span
}

/// Ids of the newest traces in which this service takes a `GET`.
fn find(history: &History, service: &str, limit: i64) -> Vec<u64> {
    let params = QueryParams {
        service_name: Some(service.to_owned()),
        annotation_query: Some("method=GET".to_owned()),
        end_ts_ms: i64::try_from(testing::EPOCH_MS).unwrap() + 60_000,
        lookback_ms: 60_000,
        limit,
        ..QueryParams::default()
    };
    let query = TraceQuery::new(&params).unwrap();
    let found = history.store.queries(Stop::default()).traces(&query).unwrap();
    assert_eq!(found, query.run(history.traces(Strictness::Strict)));
    found.iter().map(|trace| trace[0].trace_id.low()).collect()
}

#[test]
fn of_traces_in_several_blocks_those_alone_are_read_whole_that_match() {
    const TRACES: u64 = 20;
    let mut history = History::open(&FaultyDisk::default());
    // Each takes a GET, but not in the service that is asked for.
    history.put((1..=TRACES).map(|trace| span(trace, 1, "web", "GET")).collect());
    history.store.seal().unwrap();
    history.put((1..=TRACES).map(|trace| span(trace, 2, PAY, "PUT")).collect());
    history.store.seal().unwrap();
    READ.set(0);
    assert_eq!(find(&history, PAY, 10), []);
    // Of both blocks the service, which tags there are, the one that is asked for, and when spans start.
    let read = READ.get();
    assert!((1..=10).contains(&read), "{read} pages");
}

#[test]
fn those_that_are_read_by_others_meanwhile_are_all_there() {
    const TRACES: u64 = 300;
    let mut history = History::open(&FaultyDisk::default());
    let of_both = |trace: &u64| trace.is_multiple_of(5);
    history.put((1..=TRACES).map(|trace| span(trace, 1, PAY, "GET")).collect());
    history.store.seal().unwrap();
    history.put((1..=TRACES).filter(of_both).map(|trace| span(trace, 2, "web", "GET")).collect());
    history.store.seal().unwrap();
    for limit in [1, 50, 1_000] {
        let newest: Vec<u64> = (1..=TRACES).rev().take(limit).collect();
        assert_eq!(find(&history, PAY, i64::try_from(limit).unwrap()), newest);
    }
}

#[test]
fn who_finds_enough_looks_for_no_more_elsewhere() {
    let mut history = History::open(&FaultyDisk::default());
    let blocks = 5;
    for block in 0..blocks {
        // The newest is what is asked for, and the others say nothing of the service.
        let service = |trace| if trace == 8 { PAY } else { "web" };
        history.put((1..=8).map(|n| span(block * 8 + n, n, service(n), "GET")).collect());
        history.store.seal().unwrap();
    }
    LOOKED_UP.set(0);
    assert_eq!(find(&history, PAY, 1), [blocks * 8]);
    // The one that is found, and another that may have been newer had it said so.
    let looked_up = LOOKED_UP.get();
    assert!(looked_up <= 3 * blocks, "{looked_up}");
}

#[test]
fn traces_that_are_too_large_do_not_make_a_search_begin_anew_each_time() {
    const SPANS: u64 = 20;
    let begun_for = |large: u64| {
        let mut history = History::open(&FaultyDisk::default());
        for trace in 1..=large + 3 {
            let mut spans: Vec<Span> = (1..=SPANS).map(|id| span(trace, id, PAY, "GET")).collect();
            match trace <= 3 {
                true => spans.truncate(1),
                false => spans.iter_mut().for_each(|span| span.set_tag("v", "v".repeat(4_000))),
            }
            history.put(spans);
        }
        history.store.seal().unwrap();
        let params = QueryParams {
            end_ts_ms: i64::try_from(testing::EPOCH_MS).unwrap() + 60_000,
            lookback_ms: 60_000,
            limit: 3,
            ..QueryParams::default()
        };
        let query = TraceQuery::new(&params).unwrap();
        let queries = history.store.queries(Stop::default()).with_bytes_max(60_000);
        BEGUN.set(0);
        let (found, too_large) = queries.traces_as(&query, |trace| (trace, 0)).unwrap();
        let found: Vec<u64> = found.iter().map(|trace| trace[0].trace_id.low()).collect();
        assert_eq!((found, too_large), (vec![3, 2, 1], large));
        BEGUN.get()
    };
    assert_eq!((begun_for(0), begun_for(1)), (1, 2));
    let begun = begun_for(160);
    assert!(begun <= 6, "{begun}");
}

#[test]
fn values_of_a_key_are_looked_for_where_it_is_said() {
    let mut history = History::open(&FaultyDisk::default());
    let blocks = 5;
    for block in 0..blocks {
        let mut spans: Vec<Span> = (1..=8).map(|n| span(block * 8 + n, n, PAY, "GET")).collect();
        if block == 3 {
            spans[2].set_tag("rare", "yes");
        }
        history.put(spans);
        history.store.seal().unwrap();
    }
    let ask = |key: &str| {
        let selection = Selection { filter: Filter::default(), start_us: 0, end_us: u64::MAX };
        let what = What::Values(Field::read(key));
        let query = WordsQuery { selection, what, prefix: String::new() };
        let mut expected = Words::new(query.clone());
        history.traces(Strictness::Strict).iter().for_each(|trace| expected.add(trace));
        READ.set(0);
        let (found, swept) = history.store.queries(Stop::default()).words(&query).unwrap();
        assert_eq!(found, expected, "{key}");
        (swept.spans, READ.get())
    };
    // Which traces stand twice is known after that.
    let (spans, pages) = ask("method");
    assert!(spans == blocks * 8 && pages >= blocks, "{spans} spans, {pages} pages");
    for key in ["nowhere", "resource.nowhere", "target.nowhere", "annotation"] {
        assert_eq!(ask(key), (0, 0), "{key}");
    }
    let (spans, pages) = ask("rare");
    assert!(spans == 8 && (1..10).contains(&pages), "{spans} spans, {pages} pages");
    // What tags are shown without being there is made of something else.
    assert_eq!(ask("error").0, blocks * 8);
}

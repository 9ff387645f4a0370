//! Links of random histories, against the naive reference in `sigyn-model`.

use fastrand::Rng;
use sigyn_model::{Endpoint, Kind, Linker, Span, SpanId, Timestamp, TraceId, window_us};

use crate::ask_tests::History;
use crate::block::index::LOOKED_UP;
use crate::block::merging::READ;
use crate::disk::faulty::FaultyDisk;
use crate::facts::Strictness;
use crate::stop::Stop;
use crate::testing;

/// Within the minutes of these histories.
const MINUTE_MS: u64 = testing::EPOCH_MS / 60_000 * 60_000;

/// Spans whose ids mostly stand once in their traces.
fn spans(random: &mut Rng, traces: u64, count: usize) -> Vec<Span> {
    let span = |_| {
        let mut span = testing::span(random);
        let high = if random.u8(0..10) == 0 { 1 << 64 } else { 0 };
        span.trace_id = TraceId::new(high | u128::from(random.u64(1..=traces))).unwrap();
        span.id = SpanId::from_raw(random.u64(1..1_000));
        if random.bool() {
            span.parent_id = Some(SpanId::from_raw(random.u64(1..1_000)));
        }
        let us = MINUTE_MS * 1_000 + span.trace_id.low() * 2_000_000 + random.u64(0..3_000_000);
        span.timestamp = span.timestamp.and(Timestamp::from_micros(us));
        span
    };
    let mut spans: Vec<Span> = (0..count).map(span).collect();
    for at in 1..spans.len() {
        // Below another of its trace, or the other half of a call.
        let above = spans[..at].iter().rfind(|above| above.trace_id == spans[at].trace_id).cloned();
        match (above, random.u8(0..4)) {
            (Some(above), 0) => {
                (spans[at].id, spans[at].shared) = (above.id, !above.shared);
            }
            (Some(above), 1 | 2) => spans[at].parent_id = Some(above.id),
            _ => {}
        }
    }
    spans
}

fn check(history: &History, random: &mut Rng, context: &str) {
    let groups = history.traces(Strictness::Lenient);
    for _ in 0..4 {
        let (start_ms, length_ms) = (MINUTE_MS + random.u64(0..200_000), random.u64(1..200_000));
        let (start_us, end_us) = window_us(start_ms + length_ms, length_ms);
        let window = start_us..=end_us;
        let is_in = |span: &Span| span.timestamp.is_some_and(|at| window.contains(&at.micros()));
        let mut expected = Linker::default();
        groups.iter().filter(|trace| trace.iter().any(is_in)).for_each(|trace| {
            expected.put_trace(trace);
        });
        let queries = history.store.queries(Stop::default());
        let found = queries.dependencies(start_ms + length_ms, length_ms).unwrap();
        assert_eq!(found, expected.links(), "{window:?}, {context}");
    }
}

#[test]
fn links_of_any_window_are_those_of_the_reference() {
    for seed in 0..60 {
        let mut random = Rng::with_seed(seed);
        let mut history = History::open(&FaultyDisk::default());
        for step in 0..random.usize(1..10) {
            match random.u8(0..8) {
                0 | 1 => history.store.seal().unwrap(),
                2 => history.change(&mut random),
                3 => {
                    let again = history.stored.clone();
                    let again = again.into_iter().filter(|_| random.u8(0..10) == 0).collect();
                    history.put(again);
                }
                _ => {
                    let count = random.usize(1..60);
                    history.put(spans(&mut random, 80, count));
                }
            }
            check(&history, &mut random, &format!("seed {seed}, step {step}"));
        }
    }
}

#[test]
fn of_traces_that_a_window_cuts_few_columns_are_read() {
    let mut random = Rng::with_seed(1);
    let mut history = History::open(&FaultyDisk::default());
    let mut spans = spans(&mut random, 80, 300);
    for (n, span) in spans.iter_mut().enumerate() {
        span.id = SpanId::from_raw(n as u64 + 1);
        (span.dropped_tags, span.dropped_annotations, span.dropped_links) = (0, 0, 0);
        (0..60).for_each(|key| span.set_tag(format!("key-{key}"), i64::from(key)));
    }
    history.put(spans);
    history.store.seal().unwrap();
    READ.set(0);
    check(&history, &mut random, "for what it knows");
    let queries = history.store.queries(Stop::default());
    READ.set(0);
    let links = queries.dependencies(MINUTE_MS + 100_000, 70_000).unwrap();
    // Whole spans take a page each of 60 columns and more, batch by batch.
    let read = READ.get();
    assert!(!links.is_empty() && read > 0 && read < 1_000, "{read} pages");
}

#[test]
fn traces_of_a_block_that_lies_in_a_window_are_not_read() {
    let mut history = History::open(&FaultyDisk::default());
    // From within a minute to within the next but one.
    let traces = 10..70;
    history.put(traces.clone().flat_map(call).collect());
    history.store.seal().unwrap();
    let queries = history.store.queries(Stop::default());
    let begin_ms = MINUTE_MS + 1_000 * traces.start;
    for (cut_ms, is_read) in [(0, false), (1_000, true)] {
        READ.set(0);
        let (start_ms, end_ms) = (begin_ms - 500 + cut_ms, MINUTE_MS + 1_000 * traces.end);
        let links = queries.dependencies(end_ms, end_ms - start_ms).unwrap();
        assert_eq!(links[0].call_count, 60 - cut_ms / 1_000);
        assert_eq!(READ.get() > 0, is_read, "{cut_ms} ms later");
    }
}

/// A trace of two spans, one second after the one before it.
fn call(trace: u64) -> [Span; 2] {
    let span = |id: u64, service: &str| {
        let mut span = Span::new(TraceId::new(trace.into()).unwrap(), SpanId::from_raw(id));
        let start_us = (MINUTE_MS + 1_000 * trace) * 1_000;
        span.timestamp = Timestamp::from_micros(start_us);
        span.local_endpoint = Some(Endpoint::named(service));
        span
    };
    let (mut client, mut server) = (span(1, "shop"), span(2, "stock"));
    client.kind = Some(Kind::Client);
    (server.kind, server.parent_id) = (Some(Kind::Server), Some(client.id));
    [client, server]
}

#[test]
fn traces_of_a_head_are_looked_for_in_blocks_once() {
    let mut random = Rng::with_seed(2);
    let mut history = History::open(&FaultyDisk::default());
    let mut put = |history: &mut History, first: u128| {
        let mut spans = spans(&mut random, 80, 300);
        for span in &mut spans {
            span.trace_id = TraceId::new(first + u128::from(span.trace_id.low())).unwrap();
        }
        history.put(spans);
    };
    put(&mut history, 0);
    history.store.seal().unwrap();
    put(&mut history, 1_000);
    let look = || {
        LOOKED_UP.set(0);
        let queries = history.store.queries(Stop::default());
        queries.dependencies(MINUTE_MS + 100_000, 70_000).unwrap();
        LOOKED_UP.get()
    };
    let (first, again) = (look(), look());
    assert!(first > again + 50, "{first}, and then {again}");
}

#[test]
fn a_trace_that_is_too_large_to_be_counted_is_told() {
    let mut random = Rng::with_seed(3);
    let mut history = History::open(&FaultyDisk::default());
    history.put(spans(&mut random, 1, 200));
    history.store.seal().unwrap();
    history.put(spans(&mut random, 1, 200));
    let too_large = |bytes_max| {
        let queries = history.store.queries(Stop::default()).with_bytes_max(bytes_max);
        queries.links(MINUTE_MS + 60_000, 60_000).unwrap().1
    };
    assert_eq!((too_large(u64::MAX), too_large(1_000)), (0, 1));
}

//! Questions about random histories, against the naive reference in `sigyn-model`.

use std::collections::BTreeMap;

use fastrand::Rng;
use sigyn_model::{Filter, QueryParams, Span, SpanBatch, TraceId, TracePlace, TraceQuery};

use crate::crash_tests::{naive_assemble, open, run};
use crate::disk::faulty::FaultyDisk;
use crate::facts::Strictness;
use crate::stop::Stop;
use crate::store::Store;
use crate::testing;

/// A store with some past, and the traces that it must hold.
struct History {
    store: Store,
    stored: Vec<Span>,
}

impl History {
    fn new(random: &mut Rng) -> Self {
        let disk = FaultyDisk::default();
        let mut history = Self { store: open(&disk), stored: Vec::new() };
        for _ in 0..random.usize(1..14) {
            match random.u8(0..6) {
                0 | 1 => history.store.seal().unwrap(),
                2 => {
                    history.store.close().unwrap();
                    history.store = open(&disk);
                }
                _ => history.append(random),
            }
        }
        history
    }

    /// Spans, some of them once more: pushed and scraped, in either order.
    fn append(&mut self, random: &mut Rng) {
        let mut spans = testing::batch(random, 8).spans;
        for _ in 0..random.usize(0..3) {
            if let Some(mut again) = random.choice(&self.stored).cloned() {
                if random.bool() {
                    again.target = testing::span(random).target;
                }
                spans.push(again);
            }
        }
        self.put(spans);
    }

    fn put(&mut self, spans: Vec<Span>) {
        self.stored.extend(spans.iter().cloned());
        run(self.store.append(SpanBatch { spans, progress: None })).unwrap();
    }

    fn traces(&self, strictness: Strictness) -> Vec<Vec<Span>> {
        let mut traces: BTreeMap<u128, Vec<Span>> = BTreeMap::new();
        for span in &self.stored {
            let key = match strictness {
                Strictness::Strict => span.trace_id.as_u128(),
                Strictness::Lenient => span.trace_id.low().into(),
            };
            traces.entry(key).or_default().push(span.clone());
        }
        traces.into_values().map(naive_assemble).collect()
    }
}

/// Runs a test on many histories, each in both senses of what a trace is.
fn each_history(seeds: u64, check: impl Fn(&mut History, Strictness, &mut Rng, &str)) {
    for seed in 0..seeds {
        let mut random = Rng::with_seed(seed);
        let mut history = History::new(&mut random);
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            check(&mut history, strictness, &mut random, &format!("seed {seed}, {strictness:?}"));
        }
    }
}

const TESTS: [&str; 18] = [
    "service = frontend",
    "service =~ 'back.*'",
    "name = get",
    "remote = backend",
    "remote != frontend",
    "kind = client",
    "status = error",
    "error",
    "error = get",
    "http.method",
    "http.method != backend",
    "resource.get = frontend",
    "target.pod = 1",
    "target.job",
    "annotation = frontend",
    "duration >= 2ms",
    "trace.errors < 2",
    "trace.spans > 3",
];

fn inner(random: &mut Rng, depth: u32) -> String {
    match random.u8(0..if depth == 0 { 3 } else { 6 }) {
        3 => format!("not ({})", inner(random, depth - 1)),
        4 => format!("({} or {})", inner(random, depth - 1), inner(random, depth - 1)),
        5 => format!("{} and {}", inner(random, depth - 1), inner(random, depth - 1)),
        _ => (*random.choice(TESTS).as_ref().unwrap()).to_owned(),
    }
}

fn outer(random: &mut Rng, depth: u32) -> String {
    match random.u8(0..if depth == 0 { 3 } else { 6 }) {
        3 => format!("not ({})", outer(random, depth - 1)),
        4 => format!("({} or {})", outer(random, depth - 1), outer(random, depth - 1)),
        5 => format!("{} and {}", outer(random, depth - 1), outer(random, depth - 1)),
        _ => format!("{{ {} }}", inner(random, 2)),
    }
}

fn random_filter(random: &mut Rng) -> Filter {
    match random.u8(0..4) {
        0 => Filter::default(),
        1 => inner(random, 1).parse().unwrap(),
        _ => outer(random, 2).parse().unwrap(),
    }
}

fn random_query(random: &mut Rng) -> TraceQuery {
    let params = QueryParams {
        service_name: (random.u8(0..4) == 0).then(|| "frontend".to_owned()),
        end_ts_ms: testing::EPOCH_MS.cast_signed() + random.i64(1..70_000),
        lookback_ms: random.i64(1..90_000),
        limit: random.i64(1..6),
        ..QueryParams::default()
    };
    TraceQuery::new(&params).unwrap().with_filter(random_filter(random))
}

#[test]
fn filters_find_what_the_reference_finds() {
    each_history(60, |history, strictness, random, context| {
        let queries = history.store.queries(Stop::default()).with_strictness(strictness);
        let traces = history.traces(strictness);
        for _ in 0..20 {
            let query = random_query(random);
            let found = queries.traces(&query).unwrap();
            assert_eq!(found, query.run(traces.clone()), "{query:?} {context}");
        }
    });
}

#[test]
fn pages_are_the_whole_list_in_pieces_whatever_arrives_meanwhile() {
    each_history(40, |history, strictness, random, context| {
        let queries = history.store.queries(Stop::default()).with_strictness(strictness);
        let query = random_query(random);
        let whole = query.with_limit(1_000).run(history.traces(strictness));
        let mut pages: Vec<Vec<Span>> = Vec::new();
        let mut next = query.clone();
        loop {
            let page = queries.traces(&next).unwrap();
            assert!(page.len() <= query.limit());
            let Some(last) = page.last() else { break };
            next = query.clone().after(TracePlace::of(last).unwrap());
            pages.extend(page);
        }
        assert_eq!(pages, whole, "{query:?} {context}");
        // What is newer than the last page changes nothing behind it.
        let Some(seen) = whole.first().and_then(|trace| TracePlace::of(trace)) else { return };
        let rest = query.with_limit(1_000).after(seen);
        let id = TraceId::new(1_000 + history.stored.len() as u128).unwrap();
        let mut newer = Span::new(id, whole[0][0].id);
        newer.timestamp = Some(sigyn_model::Timestamp::from_nanos(seen.start.0.nanos() + 1));
        history.put(vec![newer]);
        assert_eq!(queries.traces(&rest).unwrap(), whole[1..], "{query:?} {context}");
    });
}

//! Questions about random histories, against the naive reference in `sigyn-model`.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fastrand::Rng;
use sigyn_model::{
    Differences, DifferencesQuery, Field, Filter, Heat, HeatQuery, QueryParams, Red, RedQuery,
    Selection, Span, SpanId, SpanTree, Timestamp, TraceId, TracePlace, TraceQuery, Unit, Value,
    Waterfall, What, Words, WordsQuery,
};

use crate::clock::Clock;
use crate::counted::Counting;
use crate::crash_tests::{naive_assemble, open_with, options, run};
use crate::disk::faulty::FaultyDisk;
use crate::facts::Strictness;
use crate::query::Bounds;
use crate::room::Rooms;
use crate::scan::Meant;
use crate::stop::Stop;
use crate::store::Store;
use crate::sweep::Swept;
use crate::tallies::WordTally;
use crate::testing::{self, OwnedBatch};
use crate::until::Until;

/// A store with some past, and the traces that it must hold.
pub(crate) struct History {
    pub(crate) store: Store,
    pub(crate) stored: Vec<Span>,
    now_ms: Arc<AtomicU64>,
}

impl History {
    pub(crate) fn open(disk: &FaultyDisk) -> Self {
        let now_ms = Arc::new(AtomicU64::new(testing::EPOCH_MS));
        let store = open_with(disk, options(), Clock::Manual(now_ms.clone())).unwrap();
        Self { store, stored: Vec::new(), now_ms }
    }

    fn new(random: &mut Rng) -> Self {
        let disk = FaultyDisk::default();
        let mut history = Self::open(&disk);
        for _ in 0..random.usize(1..16) {
            match random.u8(0..9) {
                0 | 1 => history.store.seal().unwrap(),
                2 => {
                    history.store.close().unwrap();
                    let (now, stored) = (history.now_ms.clone(), history.stored);
                    let store = open_with(&disk, options(), Clock::Manual(now.clone())).unwrap();
                    history = Self { store, stored, now_ms: now };
                }
                3 => history.change(random),
                _ => history.append(random),
            }
        }
        history
    }

    /// What changes where spans are, or takes them away.
    pub(crate) fn change(&mut self, random: &mut Rng) {
        match random.u8(0..4) {
            0 => {
                self.now_ms.fetch_add(2 * 60 * 60 * 1_000, Ordering::SeqCst);
                self.store.compact();
            }
            1 => self.store.seal().unwrap(),
            2 => {
                let Some(id) = random.choice(&self.stored).map(|span| span.trace_id) else {
                    return;
                };
                self.store.delete_traces(&[id]).unwrap();
                self.stored.retain(|span| span.trace_id != id);
            }
            _ => self.look_without_a_block(random),
        }
    }

    /// Asks while a block is set aside, which then is put back.
    fn look_without_a_block(&self, random: &mut Rng) {
        let view = &self.store.shared().view;
        let Some(block) = random.choice(view.blocks().iter()).cloned() else { return };
        assert!(view.take_out(&block.entry().name));
        let queries = self.store.queries(Stop::default());
        queries.red(&random_counting(random)).unwrap();
        let selection = Selection { filter: Filter::default(), start_us: 0, end_us: u64::MAX };
        let words = WordsQuery { selection, what: What::Keys, prefix: String::new() };
        queries.words(&words).unwrap();
        queries.dependencies(testing::EPOCH_MS + 60_000, 60_000).unwrap();
        view.put_back(block);
    }

    /// Spans, some of them once more: pushed and scraped, in either order.
    fn append(&mut self, random: &mut Rng) {
        let mut spans = testing::batch(random, 8).spans;
        let random_too = &mut Rng::with_seed(self.stored.len() as u64);
        for span in &mut spans {
            // The doors let no key stand twice, but blocks can say it.
            if let (Some((key, _)), true) = (span.tags.first().cloned(), random_too.u8(0..4) == 0) {
                let value =
                    if random_too.bool() { Value::Int(5) } else { Value::Str("get".into()) };
                span.tags.push((key, value));
            }
        }
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

    pub(crate) fn put(&mut self, spans: Vec<Span>) {
        self.stored.extend(spans.iter().cloned());
        run(self.store.append(OwnedBatch { spans, progress: None })).unwrap();
    }

    pub(crate) fn traces(&self, strictness: Strictness) -> Vec<Vec<Span>> {
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
fn a_search_passes_over_what_is_too_large_to_be_held_and_finds_the_others() {
    let passed = Cell::new(0);
    each_history(30, |history, strictness, random, context| {
        let all = history.traces(strictness);
        for _ in 0..10 {
            let bytes_max = random.u64(300..20_000);
            let queries = history.store.queries(Stop::default()).with_strictness(strictness);
            let queries = queries.with_bytes_max(bytes_max);
            let is_held = |trace: &Vec<Span>| queries.trace(trace[0].trace_id).is_ok();
            let held: Vec<Vec<Span>> = all.iter().filter(|trace| is_held(trace)).cloned().collect();
            let query = random_query(random);
            let (found, too_large) = queries.traces_as(&query, |trace| (trace, 0)).unwrap();
            let context = format!("{bytes_max} {query:?} {context}");
            assert_eq!(found, query.run(held.clone()), "{context}");
            assert!(too_large <= (all.len() - held.len()) as u64, "{context}");
            if too_large == 0 {
                assert_eq!(found, query.run(all.clone()), "{context}");
            }
            passed.set(passed.get() + too_large);
        }
    });
    assert!(passed.get() > 0);
}

#[test]
fn of_a_trace_that_is_too_large_to_be_held_the_ids_are_known() {
    each_history(10, |history, strictness, _, context| {
        let queries = history.store.queries(Stop::default()).with_strictness(strictness);
        let queries = queries.with_bytes_max(1);
        for trace in history.traces(strictness) {
            let expected: BTreeSet<TraceId> = trace.iter().map(|span| span.trace_id).collect();
            let ids = queries.ids_of(trace[0].trace_id).unwrap();
            assert_eq!(ids, expected.into_iter().collect::<Vec<_>>(), "{context}");
        }
    });
}

#[test]
fn many_traces_are_read_at_once_as_each_of_them_is() {
    each_history(30, |history, strictness, random, context| {
        let queries = history.store.queries(Stop::default()).with_strictness(strictness);
        let traces = history.traces(strictness);
        let mut ids: Vec<TraceId> = traces.iter().map(|trace| trace[0].trace_id).collect();
        // One that nobody knows.
        ids.insert(random.usize(0..=ids.len()), TraceId::new(u128::from(u64::MAX)).unwrap());
        let read: Result<Vec<_>, _> = queries.traces_by_id(&ids).collect();
        let expected: Vec<_> = ids.iter().map(|id| queries.trace(*id).unwrap()).collect();
        assert_eq!(read.unwrap(), expected, "{context}");
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
        newer.timestamp = Some(Timestamp::from_nanos(seen.start.0.nanos() + 1));
        history.put(vec![newer]);
        assert_eq!(queries.traces(&rest).unwrap(), whole[1..], "{query:?} {context}");
    });
}

fn random_selection(random: &mut Rng) -> Selection {
    let end_us = testing::EPOCH_MS * 1_000 + random.u64(1..70_000_000);
    let start_us = end_us - random.u64(1..70_000_000);
    Selection { filter: random_filter(random), start_us, end_us }
}

fn random_unit(random: &mut Rng) -> Unit {
    if random.bool() { Unit::Traces } else { Unit::Spans }
}

#[test]
fn what_is_counted_is_what_the_reference_counts() {
    each_history(60, |history, strictness, random, context| {
        let queries = history.store.queries(Stop::default()).with_strictness(strictness);
        let traces = history.traces(strictness);
        let fields = ["service", "name", "kind", "status", "http.method", "target.pod"];
        for _ in 0..3 {
            let selection = random_selection(random);
            let by = fields.iter().filter(|_| random.u8(0..3) == 0).map(|name| Field::read(name));
            let query = RedQuery::new(selection.clone(), by.collect(), 10_000_000).unwrap();
            let query = query.with_series_max(random.usize(1..6));
            let expected = Red::of(&query, &traces);
            assert_eq!(queries.red(&query).unwrap().0, expected, "{context}");

            let of = random_unit(random);
            let query = HeatQuery::new(selection.clone(), of, 7_000_000, 2).unwrap();
            let mut expected = Heat::new(query.clone());
            traces.iter().for_each(|trace| expected.add(trace));
            assert_eq!(queries.heat(&query).unwrap().0, expected, "{context}");

            let what = match random.u8(0..3) {
                0 => What::Keys,
                1 => What::Values(Field::Annotation),
                _ => What::Values(Field::read(random.choice(fields).unwrap())),
            };
            let prefix = if random.bool() { "" } else { "f" }.to_owned();
            let query = WordsQuery { selection: selection.clone(), what, prefix };
            let mut expected = Words::new(query.clone());
            traces.iter().for_each(|trace| expected.add(trace));
            assert_eq!(queries.words(&query).unwrap().0, expected, "{context}");
        }
    });
}

/// A filter by which every span tells for itself whether it is meant.
fn random_span_filter(random: &mut Rng) -> Filter {
    match random.u8(0..3) {
        0 => Filter::default(),
        _ => loop {
            let filter: Filter = format!("{{ {} }}", inner(random, 1)).parse().unwrap();
            if filter.of_spans().is_some() {
                break filter;
            }
        },
    }
}

#[test]
fn spans_that_are_scanned_are_those_of_the_reference() {
    let (scanned, kept, in_rows) = (Cell::new(0), Cell::new(0), Cell::new(0));
    each_history(80, |history, strictness, random, context| {
        let queries = history.store.queries(Stop::default()).with_strictness(strictness);
        for _ in 0..6 {
            let traces = history.traces(strictness);
            let mut selection = random_selection(random);
            selection.filter = random_span_filter(random);
            if random.u8(0..3) == 0 {
                (selection.start_us, selection.end_us) = (0, u64::MAX);
            }
            let fields =
                ["service", "name", "remote", "kind", "status", "error", "otel.scope.name"];
            let more =
                ["get", "http.method", "resource.get", "target.pod", "annotation", "frontend"];
            let what = match random.u8(0..3) {
                0 => What::Keys,
                1 => What::Values(Field::read(random.choice(fields).unwrap())),
                _ => What::Values(Field::read(random.choice(more).unwrap())),
            };
            let prefix = random.choice(["", "", "f", "target."]).unwrap().to_owned();
            let query = WordsQuery { selection: selection.clone(), what, prefix };
            let mut expected = Words::new(query.clone());
            traces.iter().for_each(|trace| expected.add(trace));
            let (found, swept) = queries.words(&query).unwrap();
            assert_eq!(found, expected, "{query:?} {context}");
            scanned.set(scanned.get() + swept.scanned);

            // Once more, of blocks from what was kept.
            let (again, swept) = queries.words(&query).unwrap();
            assert_eq!(again, expected, "{query:?} {context}");
            kept.set(kept.get() + swept.counted);

            let step_us = (selection.end_us - selection.start_us) / 20 + 1;
            let query = HeatQuery::new(selection, Unit::Spans, step_us, 2).unwrap();
            let mut expected = Heat::new(query.clone());
            traces.iter().for_each(|trace| expected.add(trace));
            let (found, swept) = queries.heat(&query).unwrap();
            assert_eq!(found, expected, "{query:?} {context}");
            scanned.set(scanned.get() + swept.scanned);

            let selection = query.selection().clone();
            let query = HeatQuery::new(selection, Unit::Traces, step_us, 2).unwrap();
            let mut expected = Heat::new(query.clone());
            traces.iter().for_each(|trace| expected.add(trace));
            let (found, swept) = queries.heat(&query).unwrap();
            assert_eq!(found, expected, "{query:?} {context}");
            in_rows.set(in_rows.get() + swept.scanned);

            let by = fields.iter().chain(&more).filter(|_| random.u8(0..5) == 0).take(4);
            let by = by.map(|name| Field::read(name)).filter(|field| *field != Field::Annotation);
            let selection = query.selection().clone();
            let query = RedQuery::new(selection, by.collect(), step_us).unwrap();
            let query = query.with_series_max(random.usize(1..9));
            let expected = Red::of(&query, &traces);
            let (found, swept) = queries.red(&query).unwrap();
            assert_eq!(found, expected, "{query:?} {context}");
            scanned.set(scanned.get() + swept.scanned);
            match random.u8(0..6) {
                0 | 1 => history.append(random),
                2 => history.change(random),
                _ => {}
            }
        }
    });
    // And no block was taken for damaged meanwhile.
    assert!(scanned.get() > 10_000 && kept.get() > 100, "{scanned:?} {kept:?}");
    assert!(in_rows.get() > 100, "{in_rows:?}");
}

/// Keys, values, heat maps of spans and rates by any tag, as the reference tells them of these traces.
pub(crate) fn check_scans(store: &Store, traces: &[Vec<Span>], random: &mut Rng, context: &str) {
    let queries = store.queries(Stop::default());
    let mut selection = random_selection(random);
    selection.filter = random_span_filter(random);
    if random.bool() {
        (selection.start_us, selection.end_us) = (0, u64::MAX);
    }
    let field = || ["service", "status", "http.method", "target.pod", "get"];
    let by = Field::read(random.choice(field()).unwrap());
    let what = if random.bool() { What::Keys } else { What::Values(by.clone()) };
    let words = WordsQuery { selection: selection.clone(), what, prefix: String::new() };
    let mut expected = Words::new(words.clone());
    traces.iter().for_each(|trace| expected.add(trace));
    assert_eq!(queries.words(&words).unwrap().0, expected, "{words:?} {context}");
    let step_us = (selection.end_us - selection.start_us) / 20 + 1;
    let heat = HeatQuery::new(selection.clone(), random_unit(random), step_us, 2).unwrap();
    let mut expected = Heat::new(heat.clone());
    traces.iter().for_each(|trace| expected.add(trace));
    assert_eq!(queries.heat(&heat).unwrap().0, expected, "{heat:?} {context}");
    let red = RedQuery::new(selection, vec![by], step_us).unwrap();
    let expected = Red::of(&red, traces);
    assert_eq!(queries.red(&red).unwrap().0, expected, "{red:?} {context}");
}

/// A question about rates that is answered from counts.
pub(crate) fn random_counting(random: &mut Rng) -> RedQuery {
    const FILTERS: [&str; 6] = [
        "",
        "service = frontend",
        "error",
        "{ name = get and not kind = client } or { status = error }",
        "not status = ok",
        "name != get",
    ];
    let mut selection = random_selection(random);
    selection.filter = random.choice(FILTERS).unwrap().parse().unwrap();
    if random.u8(0..4) == 0 {
        (selection.start_us, selection.end_us) = (0, u64::MAX);
    }
    let by = ["service", "name", "kind", "status"].into_iter().filter(|_| random.bool());
    let by = by.map(Field::read).collect();
    let step_us = match selection.end_us {
        u64::MAX => u64::MAX / 5_000 / 60_000_000 * 60_000_000,
        _ => 60_000_000 * random.u64(1..3),
    };
    RedQuery::new(selection, by, step_us).unwrap().with_series_max(random.usize(1..9))
}

#[test]
fn what_was_counted_ahead_is_what_the_reference_counts() {
    each_history(80, |history, strictness, random, context| {
        let queries = history.store.queries(Stop::default()).with_strictness(strictness);
        for _ in 0..6 {
            let traces = history.traces(strictness);
            let query = random_counting(random);
            let expected = Red::of(&query, &traces);
            let (found, _) = queries.red(&query).unwrap();
            assert_eq!(found, expected, "{query:?} {context}");
            match random.u8(0..6) {
                0 | 1 => history.append(random),
                2 => history.change(random),
                _ => {}
            }
        }
    });
}

#[test]
fn differences_are_those_of_the_reference_however_little_room_there_is() {
    each_history(60, |history, strictness, random, context| {
        let queries = history.store.queries(Stop::default()).with_strictness(strictness);
        let query = DifferencesQuery {
            from: random_selection(random),
            selected: random_selection(random),
            against: random.bool().then(|| random_filter(random)),
            of: random_unit(random),
        };
        // With room for everything, and for what little is frequent then.
        let mut whole = Differences::new(query.clone());
        history.traces(strictness).iter().for_each(|trace| whole.add(trace));
        let (found, swept) = queries.differences(&query).unwrap();
        assert_eq!(found.units(), whole.units(), "{query:?} {context}");
        assert_eq!(found.ranked(50), whole.ranked(50), "{query:?} {context}");
        assert_eq!(swept.too_large, 0);
        let little = Differences::within(query.clone(), 6);
        let (found, _) = queries.differences_from(&little, &query).unwrap();
        let all = whole.ranked(usize::MAX);
        assert!(found.ranked(usize::MAX).iter().all(|one| all.contains(one)), "{context}");
    });
}

/// One trace, each span of it twice: in blocks, in a head, and across a seal.
fn a_trace_that_came_twice(spans: u64) -> History {
    let mut random = Rng::with_seed(5);
    let disk = FaultyDisk::default();
    let mut history = History::open(&disk);
    let span = |id: u64| {
        let mut span = testing::span(&mut random);
        (span.trace_id, span.id) = (TraceId::new(9).unwrap(), sigyn_model::SpanId::from_raw(id));
        let us = testing::EPOCH_MS * 1_000 + id * 10;
        (span.timestamp, span.target) = (sigyn_model::Timestamp::from_micros(us), None);
        span
    };
    let all: Vec<Span> = (1..=spans).map(span).collect();
    let (first, second) = all.split_at(all.len() / 2);
    history.put(first.to_vec());
    history.store.seal().unwrap();
    history.put(all.clone());
    history.store.seal().unwrap();
    history.put(second.to_vec());
    history.put(testing::batch(&mut random, 8).spans);
    history
}

fn counting(fields: &[&str]) -> RedQuery {
    let start_us = testing::EPOCH_MS * 1_000 / 60_000_000 * 60_000_000;
    let selection =
        Selection { filter: Filter::default(), start_us, end_us: start_us + 180_000_000 - 1 };
    let by = fields.iter().map(|name| Field::read(name)).collect();
    RedQuery::new(selection, by, 60_000_000).unwrap()
}

#[test]
fn of_a_trace_that_is_too_large_to_be_held_each_span_counts_once() {
    let history = a_trace_that_came_twice(150);
    let query = counting(&["service", "name"]);
    let expected = Red::of(&query, &history.traces(Strictness::Strict));
    let queries = history.store.queries(Stop::default()).with_bytes_max(40_000);
    let trace = queries.trace(TraceId::new(9).unwrap());
    assert!(matches!(trace, Err(crate::block::QueryFailed::TraceTooLarge { .. })));
    let (found, swept) = queries.red(&query).unwrap();
    assert_eq!((found, swept.too_large), (expected, 0));
    // With room for less than a few bytes for each it is left out, and what else is there is not.
    let queries = history.store.queries(Stop::default()).with_bytes_max(5_500);
    let (found, swept) = queries.red(&counting(&[])).unwrap();
    let others = history.stored.iter().filter(|span| span.trace_id != TraceId::new(9).unwrap());
    let in_time = |span: &&Span| span.timestamp.is_some_and(|at| at < sigyn_model::Timestamp::MAX);
    let series: u64 = found.series().values().map(|series| series.total().spans).sum();
    assert_eq!((series, swept.too_large), (others.filter(in_time).count() as u64, 1));
}

#[test]
fn who_waits_for_another_question_hears_that_he_is_to_stop() {
    let history = a_trace_that_came_twice(10);
    let head = history.store.shared().view.parts().heads.remove(0);
    let (stop, room) = (Stop::default(), Rooms::new(1 << 20).room());
    let bounds = Bounds { stop: &stop, room: &room, bytes_max: 1 << 20 };
    let (held, _) = head.counts(bounds).unwrap();
    let stopped = history.store.queries(Stop::after(50)).red(&counting(&["service"]));
    assert!(matches!(stopped, Err(crate::block::QueryFailed::Stopped)));
    drop(held);
    assert!(history.store.queries(Stop::default()).red(&counting(&["service"])).is_ok());
}

#[test]
fn little_room_for_answers_is_enough_for_one_trace_at_a_time() {
    let mut random = Rng::with_seed(1);
    let disk = FaultyDisk::default();
    let mut history = History::open(&disk);
    for _ in 0..6 {
        let spans = (0..8).map(|_| testing::span(&mut random)).collect();
        history.put(spans);
        history.store.seal().unwrap();
    }
    let query = counting(&["service"]);
    let expected = Red::of(&query, &history.traces(Strictness::Strict));
    let shared = history.store.shared();
    let (parts, twins, stop) = (shared.view.parts(), shared.view.twins(), Stop::default());
    let (room, bytes_max) = (Rooms::new(7_900).room(), 1 << 20);
    let bounds = Bounds { stop: &stop, room: &room, bytes_max };
    let counting = Counting::of(&query).unwrap();
    let red = Red::new(query.clone());
    assert_eq!(parts.red(&counting, red, twins, bounds).unwrap().0, expected);
    let room = Rooms::new(7_900).room();
    let bounds = Bounds { stop: &stop, room: &room, bytes_max };
    let selection = query.selection().clone();
    let meant = Meant::by(&selection).unwrap();
    let words = WordsQuery { selection, what: What::Keys, prefix: String::new() };
    assert!(parts.scan(&meant, twins, bounds, Until::ALL, &mut WordTally::new(&words)).is_ok());
}

#[test]
fn what_there_is_no_time_for_is_left_out_and_told() {
    let mut random = Rng::with_seed(4);
    let disk = FaultyDisk::default();
    let mut history = History::open(&disk);
    for _ in 0..3 {
        history.put((0..40).map(|_| testing::span(&mut random)).collect());
        history.store.seal().unwrap();
    }
    let selection =
        |filter: &str| Selection { filter: filter.parse().unwrap(), start_us: 0, end_us: u64::MAX };
    let words = |filter: &str| WordsQuery {
        selection: selection(filter),
        what: What::Keys,
        prefix: String::new(),
    };
    let differences = |of: Unit| DifferencesQuery {
        from: selection(""),
        selected: selection("error"),
        against: None,
        of,
    };
    let queries = || history.store.queries(Stop::default());
    let late = || queries().with_until(Instant::now());
    let is_cut = |all: Swept, some: Swept| {
        assert!(!all.is_partial && some.is_partial, "{all:?} {some:?}");
        // What blocks had was counted once.
        assert!(some.spans > 0 && some.spans < all.spans + all.counted, "{all:?} {some:?}");
    };
    // Span by span, and of whole traces.
    for query in [words(""), words("trace.spans > 0")] {
        // Before anything is known of blocks, too.
        let (some, of_some) = late().words(&query).unwrap();
        let (all, of_all) = queries().words(&query).unwrap();
        is_cut(of_all, of_some);
        let is_in =
            |(word, seen): (&String, &sigyn_model::Seen)| all.words()[word].spans >= seen.spans;
        assert!(!some.words().is_empty() && some.words().iter().all(is_in));
        assert_eq!(queries().words(&query).unwrap().0, all);
    }
    for (of, filter) in [(Unit::Spans, ""), (Unit::Traces, ""), (Unit::Traces, "trace.spans > 0")] {
        let query = HeatQuery::new(selection(filter), of, u64::MAX, 2).unwrap();
        let (some, of_some) = late().heat(&query).unwrap();
        let (all, of_all) = queries().heat(&query).unwrap();
        is_cut(of_all, of_some);
        let sum = |heat: &Heat| heat.cells().map(|(.., cell)| cell.count).sum::<u64>();
        assert!(sum(&some) > 0 && sum(&some) < sum(&all), "{filter}");
    }
    for query in [Unit::Traces, Unit::Spans].map(differences) {
        let (some, of_some) = late().differences(&query).unwrap();
        let (all, of_all) = queries().differences(&query).unwrap();
        is_cut(of_all, of_some);
        let sum = |(selected, others): (u64, u64)| selected + others;
        assert!(sum(some.units()) > 0 && sum(some.units()) < sum(all.units()));
        // Where a second look is due it is at no more than the first was at.
        let little = Differences::within(query.clone(), 3);
        let (_, of_some) = late().differences_from(&little, &query).unwrap();
        is_cut(of_all, of_some);
    }
}

#[test]
fn a_sweep_ends_when_it_is_told_to_and_leaves_out_what_is_too_large() {
    let mut random = Rng::with_seed(3);
    let mut history = History::new(&mut random);
    let mut large = testing::span(&mut random);
    large.trace_id = TraceId::new(99).unwrap();
    large.timestamp = Timestamp::from_micros(testing::EPOCH_MS * 1_000);
    large.name = "x".repeat(100_000);
    history.put(vec![large]);
    let window = (testing::EPOCH_MS * 1_000, testing::EPOCH_MS * 1_000 + 60_000_000);
    // Only whole traces can tell.
    let filter = "trace.spans > 0".parse().unwrap();
    let selection = Selection { filter, start_us: window.0, end_us: window.1 };
    let query = RedQuery::new(selection, vec![Field::Service], 30_000_000).unwrap();
    let (all, swept) = history.store.queries(Stop::default()).red(&query).unwrap();
    let bounded = history.store.queries(Stop::default()).with_bytes_max(50_000);
    let (some, swept_some) = bounded.red(&query).unwrap();
    assert_eq!((swept.too_large, swept_some.too_large), (0, 1));
    assert_eq!((swept_some.traces, swept_some.spans), (swept.traces - 1, swept.spans - 1));
    assert_ne!(all, some);
    // What indexes tell is not read.
    let nowhere = "{ service = nowhere } and trace.spans > 0".parse().unwrap();
    let nowhere = Selection { filter: nowhere, ..query.selection().clone() };
    let none = RedQuery::new(nowhere, vec![], 30_000_000).unwrap();
    let (_, swept) = history.store.queries(Stop::default()).red(&none).unwrap();
    assert_eq!(swept, crate::Swept::default());
    let tiny = history.store.queries(Stop::default()).with_bytes_max(1).red(&query);
    assert!(tiny.is_ok_and(|(_, swept)| swept.traces == 0 && swept.too_large > 0));
    let stop = Stop::default();
    stop.stop();
    let stopped = history.store.queries(stop).red(&query);
    assert!(matches!(stopped, Err(crate::block::QueryFailed::Stopped)));
}

#[test]
fn what_came_once_is_counted_where_it_stands_though_its_trace_stands_in_several_places() {
    let store = History::open(&FaultyDisk::default()).store;
    let spans = |ids: std::ops::Range<u64>| -> Vec<Span> {
        let span = |n| {
            let mut span = Span::new(TraceId::new(7).unwrap(), SpanId::from_raw(n));
            span.timestamp = Some(Timestamp::from_nanos(n));
            span.set_tag("n", n.to_string());
            span
        };
        ids.map(span).collect()
    };
    let append =
        |spans: Vec<Span>| run(store.append(OwnedBatch { spans, progress: None })).unwrap();
    append(spans(1..20));
    store.seal().unwrap();
    append(spans(20..40));
    let ask = || {
        let selection = Selection { filter: Filter::default(), start_us: 0, end_us: 59_999_999 };
        let by = |field: &str| {
            RedQuery::new(selection.clone(), vec![Field::read(field)], 60_000_000).unwrap()
        };
        // Too little for the trace as a whole.
        let queries = store.queries(Stop::default()).with_bytes_max(12_000);
        let counted = |query: RedQuery| {
            let (red, swept) = queries.red(&query).unwrap();
            (red.series().values().map(|series| series.total().spans).sum::<u64>(), swept)
        };
        (counted(by("service")), counted(by("n")))
    };
    for _ in 0..2 {
        let ((of_services, looked), (of_values, scanned)) = ask();
        assert_eq!((of_services, looked.traces, looked.spans, looked.too_large), (39, 0, 0, 0));
        assert_eq!((of_values, scanned.traces, scanned.scanned), (39, 0, 39));
    }
    // One comes again.
    append(spans(3..4));
    let ((of_services, looked), _) = ask();
    assert_eq!((of_services, looked.traces, looked.too_large), (39, 1, 0));
}

#[test]
fn a_trace_as_lines_is_that_of_its_whole_spans() {
    let lines = Cell::new(0);
    for seed in 0..40 {
        let mut random = Rng::with_seed(seed);
        let history = History::new(&mut random);
        let strictness = *random.choice(&[Strictness::Strict, Strictness::Lenient]).unwrap();
        let queries = history.store.queries(Stop::default()).with_strictness(strictness);
        let ids: BTreeSet<TraceId> = history.stored.iter().map(|span| span.trace_id).collect();
        for id in ids {
            let spans = queries.trace(id).unwrap();
            let tree = SpanTree::build(&spans);
            let rows = tree.rows();
            let looked = queries.outlined(id, 0, |outlined| {
                let waterfall = Waterfall::new(&outlined.outlines);
                assert_eq!(waterfall.len(), rows.len(), "seed {seed}");
                let sources: Vec<&[u32]> = (0..rows.len()).map(|n| waterfall.sources(n)).collect();
                let parts = outlined.spans(&sources)?;
                for (number, (row, parts)) in rows.iter().zip(&parts).enumerate() {
                    let (line, node) = (waterfall.line(number), &tree.nodes[row.node]);
                    let context = format!("seed {seed}, row {number} of {id}");
                    assert_eq!(waterfall.span(number, parts).unwrap(), node.span, "{context}");
                    assert_eq!((line.parent, line.timestamp), (row.parent, node.span.timestamp));
                    assert_eq!(line.duration_us, node.span.duration_us(), "{context}");
                    assert_eq!(line.service, node.span.service_name(), "{context}");
                    assert_eq!(line.remote, node.span.remote_service_name(), "{context}");
                    assert_eq!((line.name, line.kind), (&*node.span.name, node.span.kind));
                    assert_eq!((line.shared, line.debug), (node.span.shared, node.span.debug));
                    assert_eq!(line.is_error, parts.iter().any(Span::is_error), "{context}");
                    let targets = outlined.outlines.targets();
                    let target = targets.get((line.target as usize).wrapping_sub(1));
                    assert_eq!(target, node.span.target.as_ref(), "{context}");
                    let times = node.span.annotations.iter().map(|one| one.timestamp);
                    let ticks = waterfall.ticks(usize::MAX).into_iter();
                    let ticks = ticks.filter(|(row, _)| *row == number).map(|(_, at)| at);
                    assert!(
                        ticks
                            .collect::<BTreeSet<_>>()
                            .into_iter()
                            .eq(times.collect::<BTreeSet<_>>())
                    );
                    lines.set(lines.get() + 1);
                }
                Ok(())
            });
            assert!(looked.unwrap().is_some());
        }
        let nobody = TraceId::new(u128::MAX).unwrap();
        assert!(queries.outlined(nobody, 0, |_| Ok(())).unwrap().is_none());
    }
    assert!(lines.get() > 500, "{lines:?}");
}

#[test]
fn of_a_key_that_stands_twice_the_first_value_counts_whatever_has_a_column() {
    let store = History::open(&FaultyDisk::default()).store;
    let tag = |key: &str, value: Value| (key.to_owned(), value);
    let spans: Vec<Span> = (1..=12u64)
        .map(|n| {
            let mut span = Span::new(TraceId::new(u128::from(n)).unwrap(), SpanId::from_raw(n));
            span.timestamp = Some(Timestamp::from_nanos(n));
            let (text, number) = (tag("a", Value::Str("x".into())), tag("a", Value::Int(5)));
            span.tags.push(text);
            if n <= 2 {
                // Numbers are too few for a column beside these.
                span.tags.insert(usize::from(n == 1), number);
            }
            span.tags.extend((0..8).map(|n| tag(&format!("k{n}"), Value::Bool(true))));
            span
        })
        .collect();
    run(store.append(OwnedBatch { spans, progress: None })).unwrap();
    store.seal().unwrap();
    let selection = Selection { filter: Filter::default(), start_us: 0, end_us: 9 };
    let what = What::Values(Field::read("a"));
    let query = WordsQuery { selection, what, prefix: String::new() };
    let (found, swept) = store.queries(Stop::default()).words(&query).unwrap();
    let counts: Vec<_> = found.words().iter().map(|(word, seen)| (&**word, seen.spans)).collect();
    assert_eq!((counts, swept.scanned), (vec![("5", 1), ("x", 11)], 12));
}

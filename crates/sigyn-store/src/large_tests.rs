//! Traces that are larger than an answer may be, in many blocks.

use sigyn_model::{
    Differences, DifferencesQuery, Heat, HeatQuery, QueryParams, Selection, Span, SpanId,
    Timestamp, TraceId, TraceQuery, Unit, What, WordsQuery,
};

use crate::ask_tests::History;
use crate::block::merging::READ;
use crate::disk::faulty::FaultyDisk;
use crate::facts::Strictness;
use crate::stop::Stop;
use crate::{Queries, Swept};

const BLOCKS: u64 = 6;
const LARGE: u64 = 4;
/// Spans of each of them in a block.
const SPANS: u64 = 10;

/// Traces of which all blocks have parts, and one small trace in each block.
fn history() -> History {
    let mut history = History::open(&FaultyDisk::default());
    for block in 0..BLOCKS {
        let span = |trace: u64, n: u64| {
            let id = block * SPANS + n + 1;
            let mut span = Span::new(TraceId::new(trace.into()).unwrap(), SpanId::from_raw(id));
            span.parent_id = (id > 1).then(|| SpanId::from_raw(1));
            span.timestamp = Timestamp::from_micros(1_000_000 * trace + id * 1_000);
            span.duration = Some(std::time::Duration::from_micros(500 * trace));
            span.name = if n == 0 { "first" } else { "other" }.to_owned();
            if (trace, block) == (2, 3) {
                span.set_tag("error", "broken");
            }
            span
        };
        let large = (1..=LARGE).flat_map(|trace| (0..SPANS).map(move |n| span(trace, n)));
        history.put(large.chain([span(LARGE + 1 + block, 0)]).collect());
        // The last of them is in memory.
        if block + 1 < BLOCKS {
            history.store.seal().unwrap();
        }
    }
    history
}

/// With room for half of a large one.
fn queries(history: &History) -> Queries {
    let bytes_max = BLOCKS * SPANS / 2 * size_of::<Span>() as u64;
    history.store.queries(Stop::default()).with_bytes_max(bytes_max)
}

fn selection(filter: &str) -> Selection {
    Selection { filter: filter.parse().unwrap(), start_us: 0, end_us: 60_000_000 }
}

#[test]
fn for_a_map_of_traces_none_is_too_large() {
    let history = history();
    for strictness in [Strictness::Strict, Strictness::Lenient] {
        for filter in ["", "name = first", "error", "not name = first", "duration > 1ms"] {
            let selection = selection(&format!("{{ {filter} }}").replace("{  }", ""));
            let query = HeatQuery::new(selection, Unit::Traces, 1_000_000, 2).unwrap();
            let mut expected = Heat::new(query.clone());
            history.traces(strictness).iter().for_each(|trace| expected.add(trace));
            let found = queries(&history).with_strictness(strictness).heat(&query).unwrap();
            assert_eq!((found.0, found.1.too_large), (expected, 0), "{filter} {strictness:?}");
        }
    }
}

#[test]
fn what_cannot_be_held_whatever_it_says_is_not_read() {
    let history = history();
    let is_told = |swept: Swept| assert_eq!((swept.traces, swept.too_large), (BLOCKS, LARGE));
    let first = selection("trace.spans > 0");
    let words = WordsQuery { selection: first.clone(), what: What::Keys, prefix: String::new() };
    let differences = DifferencesQuery {
        from: first.clone(),
        selected: selection("error"),
        against: None,
        of: Unit::Traces,
    };
    let heat = HeatQuery::new(first, Unit::Traces, 60_000_000, 2).unwrap();
    let read = |ask: &dyn Fn() -> Swept| {
        READ.set(0);
        is_told(ask());
        READ.get()
    };
    let differ = || {
        let (found, swept): (Differences, Swept) =
            queries(&history).differences(&differences).unwrap();
        assert_eq!(found.units(), (0, BLOCKS));
        swept
    };
    // No more than what the small ones say, each of which one page of a column has at most.
    let columns = 40;
    let ask_words = || queries(&history).words(&words).unwrap().1;
    let ask_heat = || queries(&history).heat(&heat).unwrap().1;
    for ask in [&ask_words as &dyn Fn() -> Swept, &ask_heat, &differ] {
        let pages = read(ask);
        assert!(pages <= BLOCKS * columns, "{pages} pages");
    }
    // A search looks at no more of them than the columns that it asks for.
    let params = QueryParams {
        end_ts_ms: 60_000,
        lookback_ms: 60_000,
        limit: 100,
        ..QueryParams::default()
    };
    let query = TraceQuery::new(&params).unwrap();
    READ.set(0);
    let (found, too_large) = queries(&history).traces_as(&query, |trace| (trace.len(), 0)).unwrap();
    assert_eq!((found, too_large), ((0..BLOCKS).map(|_| 1).collect(), LARGE));
    assert!(READ.get() <= BLOCKS * columns, "{} pages", READ.get());
}

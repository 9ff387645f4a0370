//! What a store answers, as JSON that can be kept and compared: every kind of question, about all it has.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sigyn_model::codec::{json_v2, otlp_json};
use sigyn_model::{
    DifferencesQuery, Field, Filter, HeatQuery, Measure, QueryParams, RedQuery, Selection, Span,
    TraceQuery, Unit, What, WordsQuery,
};
use sigyn_store::{Stop, Store, Strictness};

/// All spans that have a time are of the last so many milliseconds.
const HOURS_MS: u64 = 6 * 60 * 60 * 1_000;
const MINUTE_US: u64 = 60_000_000;

/// Filters whose traces are listed, the newest first.
const FILTERS: [&str; 14] = [
    "",
    "service = shop",
    "service =~ 'c.*'",
    "name = charge",
    "remote = payment",
    "kind = server",
    "status = error",
    "http.method = POST",
    "http.status_code >= 404",
    "cached = true",
    "resource.service.version = '1.1'",
    "target.job =~ 'shop.*'",
    "annotation = retry",
    "duration >= 2s",
];

/// All answers, for a time in which everything is that has one.
pub(crate) fn answers(store: &Store, end_ms: u64) -> Value {
    let queries = store.queries(Stop::default());
    let all = TraceQuery::new(&params(end_ms)).unwrap();
    let traces = queries.traces(&all).unwrap();
    json!({
        "end_ms": end_ms,
        "traces": traces.iter().map(|trace| shown(trace)).collect::<Vec<_>>(),
        "by_id": traces.iter().map(|trace| by_id(store, trace)).collect::<Vec<_>>(),
        "searches": searches(store, end_ms),
        "services": names(store),
        "tags": tags(store),
        "dependencies": parsed(&json_v2::encode_links(&store.dependencies(end_ms, end_ms).unwrap())),
        "red": red(store, end_ms),
        "heat": heat(store, end_ms),
        "words": words(store, end_ms),
        "differences": differences(store, end_ms),
        "progress": store.progress().iter().map(|one| format!("{one:?}")).collect::<Vec<_>>(),
    })
}

fn params(end_ms: u64) -> QueryParams {
    let end_ms = i64::try_from(end_ms).unwrap();
    QueryParams { end_ts_ms: end_ms, lookback_ms: end_ms, limit: 100_000, ..QueryParams::default() }
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// Zipkin's words leave out what OTLP's have, and the other way round.
fn shown(trace: &[Span]) -> Value {
    json!({ "zipkin": parsed(&json_v2::encode_list(trace)), "otlp": parsed(&otlp_json::encode(trace)) })
}

/// How many spans a trace has if it is asked for by its id, in both senses of what a trace is.
fn by_id(store: &Store, trace: &[Span]) -> Value {
    let [strict, lenient] = [Strictness::Strict, Strictness::Lenient].map(|strictness| {
        let queries = store.queries(Stop::default()).with_strictness(strictness);
        queries.trace(trace[0].trace_id).unwrap()
    });
    assert_eq!(strict, trace);
    json!([trace[0].trace_id.to_string(), strict.len(), lenient.len()])
}

fn ids(traces: &[Vec<Span>]) -> Vec<String> {
    traces.iter().map(|trace| trace[0].trace_id.to_string()).collect()
}

fn searches(store: &Store, end_ms: u64) -> Value {
    let queries = store.queries(Stop::default());
    let found = FILTERS.map(|filter| {
        let query = TraceQuery::new(&params(end_ms)).unwrap().with_filter(filter.parse().unwrap());
        let found = ids(&queries.traces(&query).unwrap());
        let newest = ids(&queries.traces(&query.clone().with_limit(3)).unwrap());
        assert!(found.starts_with(&newest), "{filter}");
        (filter.to_owned(), json!(found))
    });
    Value::Object(found.into_iter().collect())
}

fn names(store: &Store) -> Value {
    let services = store.service_names().unwrap().into_iter().map(|service| {
        let spans = store.span_names(&service).unwrap();
        let remotes = store.remote_service_names(&service).unwrap();
        (service, json!({ "spans": spans, "remotes": remotes }))
    });
    Value::Object(services.collect())
}

fn tags(store: &Store) -> Value {
    let keys = store.tag_keys().unwrap().into_iter();
    Value::Object(keys.map(|key| (key.clone(), json!(store.tag_values(&key).unwrap()))).collect())
}

fn selection(filter: &str, end_ms: u64) -> Selection {
    // In minutes or not, as it comes: nothing stands where it begins or ends.
    let start_us = (end_ms - HOURS_MS) * 1_000;
    Selection { filter: filter.parse().unwrap(), start_us, end_us: end_ms * 1_000 }
}

fn measure(measure: &Measure) -> Value {
    let Measure { spans, errors, durations } = measure;
    let (min, max, middle) = (durations.min(), durations.max(), durations.quantile(0.5));
    json!([spans, errors, durations.count(), durations.sum().to_string(), min, max, middle])
}

fn red(store: &Store, end_ms: u64) -> Value {
    let ask = |filter: &str, by: &[&str]| {
        let by_fields = by.iter().map(|name| Field::read(name)).collect();
        let query = RedQuery::new(selection(filter, end_ms), by_fields, MINUTE_US).unwrap();
        let (red, _) = store.queries(Stop::default()).red(&query).unwrap();
        let series = red.series().iter().map(|(values, series)| {
            let steps: BTreeMap<String, Value> =
                series.steps.iter().map(|(step, one)| (step.to_string(), measure(one))).collect();
            (values.join(" / "), json!(steps))
        });
        Value::Object(series.collect())
    };
    json!({
        "all": ask("", &["service", "name", "kind", "status"]),
        "errors by service": ask("status = error", &["service"]),
        "by a tag": ask("", &["http.method", "target.job"]),
    })
}

fn heat(store: &Store, end_ms: u64) -> Value {
    let query = HeatQuery::new(selection("", end_ms), Unit::Spans, MINUTE_US, 2).unwrap();
    let (heat, _) = store.queries(Stop::default()).heat(&query).unwrap();
    let cells = heat
        .cells()
        .map(|(step, level, cell)| json!([step, query.bounds(level).0, cell.count, cell.errors]));
    cells.collect()
}

fn words(store: &Store, end_ms: u64) -> Value {
    let ask = |what: What| {
        let query = WordsQuery { selection: selection("", end_ms), what, prefix: String::new() };
        let (words, _) = store.queries(Stop::default()).words(&query).unwrap();
        let seen = words.words().iter().map(|(word, seen)| {
            (word.clone(), json!([seen.spans, seen.first.nanos(), seen.last.nanos()]))
        });
        Value::Object(seen.collect())
    };
    json!({
        "keys": ask(What::Keys),
        "http.status_code": ask(What::Values(Field::read("http.status_code"))),
        "service": ask(What::Values(Field::Service)),
    })
}

fn differences(store: &Store, end_ms: u64) -> Value {
    let query = DifferencesQuery {
        from: selection("", end_ms),
        selected: selection("status = error", end_ms),
        against: None::<Filter>,
        of: Unit::Spans,
    };
    let (found, _) = store.queries(Stop::default()).differences(&query).unwrap();
    let ranked = found
        .ranked(20)
        .into_iter()
        .map(|one| json!([format!("{}", one.field), one.value, one.selected, one.others]));
    json!({ "units": found.units(), "ranked": ranked.collect::<Vec<_>>() })
}

//! What a filter means, case by case, and what holds for any of them.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    Annotation, Endpoint, Kind, Resource, Span, SpanId, StatusCode, TraceId, Value, arbitrary,
};

/// A span of this service that starts at this millisecond and takes so long.
fn span(id: u64, service: &str, at_ms: u64, took_ms: u64) -> Span {
    let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::new(id).unwrap());
    span.parent_id = (id > 1).then(|| SpanId::new(1).unwrap());
    span.name = format!("op-{id}");
    span.local_endpoint = Endpoint::named(service).into_option();
    span.timestamp = Timestamp::from_micros(at_ms * 1_000);
    span.duration = (took_ms > 0).then(|| Duration::from_millis(took_ms));
    span
}

/// Two spans of a frontend and one of a backend.
fn trace() -> Vec<Span> {
    let mut root = span(1, "frontend", 1_000, 500);
    root.kind = Some(Kind::Server);
    root.set_tag("http.method", "GET");
    root.set_tag("http.status_code", Value::Int(503));
    root.set_tag("queue wait", "120ms");
    root.resource = Some(Arc::new(Resource {
        tags: vec![("host.name".to_owned(), Value::from("node-7"))],
        ..Resource::default()
    }));
    root.target = Some(Arc::new(vec![("zone".to_owned(), "eu-1b".to_owned())]));
    let mut call = span(2, "frontend", 1_100, 100);
    call.kind = Some(Kind::Client);
    call.remote_endpoint = Endpoint::named("backend").into_option();
    call.set_tag("http.status_code", "200");
    call.annotations.push(Annotation {
        timestamp: Timestamp::from_nanos(0),
        value: "retry 1".to_owned(),
        tags: Vec::new(),
        dropped_tags: 0,
    });
    let mut work = span(3, "backend", 1_450, 90);
    work.status.code = StatusCode::Error;
    work.set_tag("ratio", Value::Double(0.25));
    vec![root, call, work]
}

fn filter(text: &str) -> Filter {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn check(text: &str, expected: bool) {
    assert_eq!(filter(text).matches(&trace()), expected, "{text}");
}

#[test]
fn braces_are_met_by_one_span_and_several_by_any() {
    check("", true);
    check("{}", true);
    check("{ service = frontend and http.status_code >= 500 and duration > 100ms }", true);
    check("service=frontend http.status_code>=500 duration>100ms", true);
    check("{ service = backend and http.status_code >= 500 }", false);
    check("{ service = backend } and { http.status_code >= 500 }", true);
    check("{ service = backend } { http.status_code >= 500 }", true);
    check("{ service = nobody } or { service = backend }", true);
    check("{ service = nobody || service = backend && error }", true);
    check("{ (service = nobody or service = backend) and !error }", false);
    check("not { error }", false);
    check("{ not error }", true);
    check("not error", true);
    check("! { service = nobody } && trace.spans = 3", true);
}

#[test]
fn texts_equal_and_match_as_in_prometheus() {
    check("http.method = GET", true);
    check("http.method = 'GET'", true);
    check("http.method = get", false);
    check("http.method =~ G.T", true);
    check("http.method =~ G", false);
    check("http.method =~ \"G|X.*\"", false);
    check("http.method =~ \"X|G.*\"", true);
    check("http.method =~ \"\\w+\"", true);
    check("http.method !~ G.*", true);
    check("not { http.method !~ 'G.*' }", false);
    // What is not there is empty.
    check("service = backend and http.method = ''", true);
    check("service = backend and http.method != GET", true);
    check("service = backend and http.method =~ '.*'", true);
    check("service = backend and http.method", false);
    check("annotation =~ 'retry.*'", true);
    check("annotation = 'retry 2'", false);
    check("service = frontend and kind = client and annotation !~ 'retry.*'", false);
}

#[test]
fn names_are_compared_without_case() {
    check("service = FrontEnd", true);
    check("service =~ FRONT.*", true);
    check("name = OP-3", true);
    check("remote = Backend and kind = CLIENT", true);
    check("kind = server and remote", false);
    check("status = error and service = backend", true);
    check("status = unset and kind = server", true);
    check("root.service = frontend and root.name = 'op-1'", true);
    check("root.service = backend", false);
}

#[test]
fn numbers_and_durations_are_compared_as_what_they_are() {
    check("http.status_code = 503", true);
    check("http.status_code = 503.0", true);
    check("http.status_code = '503.0'", false);
    check("http.status_code < 201", true);
    check("http.status_code > 503", false);
    check("ratio <= 0.25", true);
    check("ratio > -1 and ratio < 2.5e-1", false);
    check("ratio < 1ms", false);
    check("\"queue wait\" >= 0.12s", true);
    check("\"queue wait\" = 120000us", true);
    check("\"queue wait\" > 2m", false);
    check("\"queue wait\" > 5", false);
    check("duration = 500ms", true);
    check("duration >= 1m", false);
    check("duration", true);
    check("trace.duration = 540ms", true);
    check("trace.duration > 0.54s", false);
    check("trace.spans >= 3 and trace.errors < 2", true);
    check("{ service = backend and trace.errors != 1 }", false);
}

#[test]
fn each_place_has_its_own_names() {
    check("host.name = node-7", true);
    check("resource.host.name =~ 'node-[0-9]'", true);
    check("resource.http.method", false);
    check("target.zone = eu-1b", true);
    check(".target.zone = eu-1b", false);
    check("\"service\" = frontend", false);
    check(".duration", false);
}

#[test]
fn what_is_no_filter_is_refused_where_it_is_wrong() {
    let check = |text: &str, from: usize, to: usize, message: &str| {
        let error = text.parse::<Filter>().unwrap_err();
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!((error.from, error.to), (from, to), "{text}: {error}");
    };
    check("service =", 9, 9, "expected a value");
    check("service frontend = ", 19, 19, "expected a value");
    check("größe = 1 and", 13, 13, "expected a key");
    check("{ service = a", 13, 13, "expected } for the { at character 1");
    check("( service = a }", 14, 15, "expected ) for the ( at character 1");
    check("service = a }", 12, 13, "closes nothing");
    check("{ { a } }", 2, 3, "do not stand in braces");
    check("service > a", 8, 9, "expected =, !=, =~ or !~ after service");
    check("duration > 5", 11, 12, "with its unit");
    check("duration =~ 5ms", 9, 11, "after duration");
    check("trace.duration", 14, 14, "expected =, !=, <");
    check("http.method > b", 14, 15, "have an order");
    check("kind = clint", 7, 12, "kind is one of client, server, producer, consumer");
    check("x =~ '('", 5, 8, "no regular expression");
    check("x =~ 'a)(b'", 5, 11, "no regular expression");
    check("x =~ '(\\w{500}){500}'", 5, 21, "too much memory");
    check("x = 'a", 4, 6, "never closed");
    check("a & b", 2, 3, "expected &&");
    check("{ a } and b = 1", 10, 15, "needs braces of its own");
    check("and", 0, 3, "expected a key");
    check(&"(".repeat(40), 33, 34, "too deep");
    check(&"not ".repeat(40), 132, 135, "too deep");
    check(&"a=~b ".repeat(17), 83, 84, "at most 16 regular expressions");
    check(&"a ".repeat(70), 128, 129, "at most 64 conditions");
    check(&"a".repeat(9_000), 0, 9_000, "at most 8192 bytes");
}

#[test]
fn spans_are_meant_by_the_braces_that_they_meet() {
    let check = |text: &str, expected: &[u64]| {
        let (trace, filter) = (trace(), filter(text));
        let meant: Vec<u64> = filter.selected(&trace).iter().map(|s| s.id.as_u64()).collect();
        assert_eq!(meant, expected, "{text}");
    };
    check("", &[1, 2, 3]);
    check("service = frontend", &[1, 2]);
    check("{ service = backend } and { kind = client }", &[2, 3]);
    check("{ service = backend } and { service = nobody }", &[]);
    check("{ service = backend } and not { service = nobody }", &[3]);
    check("trace.spans = 3", &[1, 2, 3]);
    check("{ error } and trace.spans = 3", &[3]);
    check("not { service = nobody }", &[1, 2, 3]);
}

#[test]
fn what_a_filter_needs_can_be_looked_up() {
    let check = |text: &str, expected: &[Need<'_>]| {
        let (filter, mut needs) = (filter(text), Vec::new());
        filter.each_need(&mut |need| needs.push(need));
        assert_eq!(needs, expected, "{text}");
    };
    check(
        "service = A and name = b remote = c",
        &[Need::Service("a"), Need::Name("b"), Need::Remote("c")],
    );
    check(
        "{ service = a } and { error } and { status = error }",
        &[Need::Service("a"), Need::Error, Need::Error],
    );
    check("{ service = a } or { service = b }", &[]);
    check("not { service = a }", &[]);
    check("service != a and service = '' and error = '' and status = ok", &[]);
    check("duration > 1.5ms", &[Need::DurationUs(1_500)]);
    check("duration < 1.5ms and http.status_code = 5", &[]);
}

#[test]
fn a_field_reads_back_as_it_is_written() {
    let fields = [
        "service",
        "kind",
        "http.method",
        "resource.a",
        "target.zone",
        ".name",
        ".and",
        ".trace.bogus",
        ".root.name",
        ".target.",
        ".resource.a",
    ];
    for text in fields {
        let field = Field::read(text);
        let read = match &*filter(&field.to_string()).root {
            Tree::Leaf(Outer::Some(Tree::Leaf(Test::Text(read, _)))) => read.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(read, field, "{text}");
    }
    assert_eq!(Field::Tag("name".to_owned()).to_string(), "\"name\"");
    assert_eq!(Field::Tag("a \"b\\".to_owned()).to_string(), r#""a \"b\\""#);
}

#[test]
fn what_looks_like_a_field_of_traces_is_no_tag() {
    let check = |text: &str, from: usize, to: usize, expected: &str| {
        let error = text.parse::<Filter>().unwrap_err();
        assert_eq!((error.from, error.to, error.message.as_str()), (from, to, expected), "{text}");
    };
    check(
        "a and trace.bogus > 2",
        6,
        17,
        "a trace has trace.duration, trace.spans and trace.errors; a tag of this name is written .trace.bogus",
    );
    check(
        "root.bogus = a",
        0,
        10,
        "a root has root.service and root.name; a tag of this name is written .root.bogus",
    );
    check("target. = a", 0, 7, "what follows target. is missing, such as target.zone");
    filter("'trace.bogus' and .root.bogus and trace = 1 and 'target.'");
}

/// Random filters of a few words, and spans that say some of them.
fn any_filter() -> impl Strategy<Value = String> {
    let test = prop::sample::select(vec![
        "service = a",
        "name != b",
        "kind = client",
        "error",
        "duration > 10us",
        "remote =~ 'a|b'",
        "x = 1",
        "annotation != a",
        "trace.spans > 2",
        "trace.errors < 1",
        "root.name = a",
    ]);
    let inner = test.prop_map(str::to_owned).prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("not ({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} or {b})")),
        ]
    });
    inner.prop_map(|text| format!("{{ {text} }}")).prop_recursive(2, 4, 2, |outer| {
        prop_oneof![
            outer.clone().prop_map(|a| format!("not {a}")),
            (outer.clone(), outer.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (outer.clone(), outer).prop_map(|(a, b)| format!("({a} || {b})")),
        ]
    })
}

fn any_trace() -> impl Strategy<Value = Vec<Span>> {
    prop::collection::vec(prop_oneof![arbitrary::plain_span(), arbitrary::span()], 1..6)
}

#[test]
fn filters_of_single_spans_are_told_from_others() {
    let check = |text: &str, expected: Option<bool>| {
        let spans = filter(text).of_spans();
        let asks_only = spans.map(|spans| spans.asks_only(&[Field::Service, Field::Status]));
        assert_eq!(asks_only, expected, "{text}");
    };
    check("", Some(true));
    check("service = shop and not status = ok", Some(true));
    check("{ service = shop } or { error }", Some(true));
    check("error = true", Some(false));
    check("{ duration > 1s }", Some(false));
    check("{ service = shop } and { error }", None);
    check("not { error }", None);
    check("{ error and trace.spans > 3 }", None);
    check("trace.duration > 1s", None);
}

proptest! {
    #[test]
    fn any_text_is_a_filter_or_wrong_somewhere(text in any::<String>()) {
        if let Err(error) = text.parse::<Filter>() {
            prop_assert!(error.from <= error.to && error.to <= text.chars().count());
        }
    }

    #[test]
    fn any_tags_key_can_be_written(key in prop_oneof![
        any::<String>(),
        prop::sample::select(vec!["duration", "trace.spans", "root.name", "kind", ".", "target.a", "or"])
            .prop_map(str::to_owned),
    ]) {
        let written = Field::Tag(key.clone()).to_string();
        match &*filter(&written).root {
            Tree::Leaf(Outer::Some(Tree::Leaf(Test::Text(Field::Tag(read), TextTest::Exists)))) => {
                prop_assert_eq!(read, &key);
            }
            other => prop_assert!(false, "{}: {:?}", written, other),
        }
    }

    #[test]
    fn not_is_the_opposite_and_order_says_nothing(text in any_filter(), mut trace in any_trace()) {
        let (one, not) = (filter(&text), filter(&format!("not ({text})")));
        let matches = one.matches(&trace);
        prop_assert_eq!(not.matches(&trace), !matches);
        prop_assert!(matches || one.selected(&trace).is_empty());
        trace.reverse();
        prop_assert_eq!(one.matches(&trace), matches);
    }

    #[test]
    fn a_filter_of_single_spans_means_the_same_in_any_trace(
        text in any_filter(), trace in any_trace(),
    ) {
        let one = filter(&text);
        if let Some(spans) = one.of_spans() {
            let meant: Vec<&Span> = trace.iter().filter(|span| spans.means(*span)).collect();
            prop_assert_eq!(meant, one.selected(&trace), "{}", text);
        }
    }

    #[test]
    fn duplicates_are_borne_where_it_is_said(text in any_filter(), trace in any_trace()) {
        let one = filter(&text);
        let twice = [trace.clone(), trace.clone()].concat();
        if one.bears_duplicates() && one.matches(&trace) {
            prop_assert!(one.matches(&twice), "{}", text);
        }
    }

    #[test]
    fn needs_are_met_by_whatever_matches(text in any_filter(), trace in any_trace()) {
        let one = filter(&text);
        if !one.matches(&trace) {
            return Ok(());
        }
        let mut all_met = true;
        one.each_need(&mut |need| all_met &= trace.iter().any(|span| match need {
            Need::Service(name) => span.service_name() == Some(name),
            Need::Name(name) => span.name == name,
            Need::Remote(name) => span.remote_service_name() == Some(name),
            Need::Error => span.is_error(),
            Need::DurationUs(us) => span.duration_us().is_some_and(|took| took >= us),
        }));
        prop_assert!(all_met, "{}", text);
    }
}

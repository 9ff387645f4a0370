//! What spans say of themselves.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use sigyn_model::{Kind, Span, StatusCode, Value};
use sigyn_recorder::Options;
use tracing::field::Empty;
use tracing::info_span;

use crate::traced::{Traced, tag, text};

#[test]
fn a_span_takes_as_long_as_it_is_open() {
    let traced = Traced::new();
    traced.run(|| {
        let span = info_span!("GET /cart");
        traced.clock.advance(Duration::from_millis(3));
        span.in_scope(|| traced.clock.advance(Duration::from_millis(4)));
        traced.clock.advance(Duration::from_millis(5));
    });
    let span = traced.span();
    assert_eq!((span.name.as_str(), span.kind, span.parent_id), ("get /cart", None, None));
    assert_eq!(span.timestamp.unwrap().millis(), 1_700_000_000_000);
    assert_eq!(span.duration, Some(Duration::from_millis(12)));
    assert!(span.tags.is_empty());
}

#[test]
fn a_field_has_the_type_it_was_given() {
    let traced = Traced::new();
    let bytes: &[u8] = &[1, 2];
    traced.run(|| {
        drop(info_span!(
            "work",
            text = "a",
            owned = String::from("b"),
            display = %7,
            debug = ?Some(1),
            signed = -5_i32,
            unsigned = 5_u64,
            large = u64::MAX,
            least = i64::MIN,
            larger = i128::MAX,
            largest = u128::MAX,
            double = 0.5,
            yes = true,
            bytes,
            some = Some(3),
            none = None::<i64>,
            empty = Empty,
            r#type = "x",
            http.route = "/cart",
            "with space" = 1,
        ));
    });
    let tags = traced.span().tags;
    let expected = [
        ("text", Value::from("a")),
        ("owned", Value::from("b")),
        ("display", Value::from("7")),
        ("debug", Value::from("Some(1)")),
        ("signed", Value::Int(-5)),
        ("unsigned", Value::Int(5)),
        ("large", Value::from("18446744073709551615")),
        ("least", Value::Int(i64::MIN)),
        ("larger", Value::from("170141183460469231731687303715884105727")),
        ("largest", Value::from("340282366920938463463374607431768211455")),
        ("double", Value::Double(0.5)),
        ("yes", Value::Bool(true)),
        ("bytes", Value::Bytes(vec![1, 2])),
        ("some", Value::Int(3)),
        ("type", Value::from("x")),
        ("http.route", Value::from("/cart")),
        ("with space", Value::Int(1)),
    ];
    for (key, value) in expected {
        assert_eq!(tag(&tags, key), Some(value), "{key}");
    }
    assert_eq!(tags.len(), 17, "{tags:?}");
}

#[derive(Debug)]
struct Failure(&'static str, Option<Box<Failure>>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

/// Its own cause, without end.
#[derive(Debug)]
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("again")
    }
}

impl Error for Endless {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

#[test]
fn an_error_says_what_caused_it() {
    let traced = Traced::new();
    let failure = Failure("cannot load", Some(Box::new(Failure("cannot connect", None))));
    traced.run(|| {
        drop(info_span!("work", cause = &failure as &dyn Error, more = &Endless as &dyn Error));
    });
    let tags = traced.span().tags;
    assert_eq!(tag(&tags, "cause"), text("cannot load: cannot connect"));
    assert_eq!(tag(&tags, "more"), text(&["again"; 17].join(": ")));
}

#[test]
fn the_last_value_of_a_field_counts() {
    let traced = Traced::new();
    traced.run(|| {
        let span = info_span!("work", status = Empty, route = "?", other = 1);
        span.record("status", 200_u16).record("route", "/cart");
        span.record("status", 404_u16);
        span.record("nobody knows it", 1);
    });
    let tags = traced.span().tags;
    assert_eq!(tag(&tags, "status"), Some(Value::Int(404)));
    assert_eq!(tag(&tags, "route"), text("/cart"));
    assert_eq!(tags.len(), 3, "{tags:?}");
}

#[track_caller]
fn check(span: impl FnOnce(), expected: impl FnOnce(&Span)) {
    let traced = Traced::new();
    traced.run(span);
    expected(&traced.span());
}

#[test]
fn the_words_of_opentelemetry_are_no_tags() {
    check(
        || {
            let route = "/cart";
            let name = format!("GET {route}");
            drop(info_span!("request", otel.name = name, otel.kind = "Server", other = 1));
        },
        |span| {
            assert_eq!((span.name.as_str(), span.kind), ("get /cart", Some(Kind::Server)));
            assert_eq!(span.tags, [("other".to_owned(), Value::Int(1))]);
        },
    );
    check(
        || {
            let span = info_span!("request", otel.name = Empty, otel.kind = ?Kind::Client);
            span.record("otel.name", format_args!("GET {}", "/pears"));
        },
        |span| assert_eq!((span.name.as_str(), span.kind), ("get /pears", Some(Kind::Client))),
    );
    check(
        || drop(info_span!("request", otel.kind = "internal")),
        |span| assert_eq!((span.kind, span.tags.len()), (None, 0)),
    );
    check(
        || drop(info_span!("send", otel.kind = "producer", otel.status_code = "OK")),
        |span| {
            assert_eq!((span.kind, span.status.code), (Some(Kind::Producer), StatusCode::Ok));
        },
    );
}

#[test]
fn a_status_is_one_in_whichever_order_it_is_told() {
    let failed = |span: &Span| {
        assert_eq!(span.status.code, StatusCode::Error);
        assert_eq!(span.status.message, "no pears");
        assert!(span.is_error() && span.tags.is_empty());
    };
    check(
        || {
            let code = "ERROR";
            drop(info_span!("a", otel.status_code = code, otel.status_description = "no pears"));
        },
        failed,
    );
    check(
        || {
            let span = info_span!("a", otel.status_description = Empty, otel.status_code = Empty);
            span.record("otel.status_description", "no pears");
            span.record("otel.status_code", format_args!("error"));
        },
        failed,
    );
    check(|| drop(info_span!("a", otel.status_description = %"no pears")), failed);
}

#[test]
fn a_word_that_means_nothing_is_a_tag() {
    check(
        || drop(info_span!("a", otel.kind = "sideways", otel.status_code = 7, otel.scope = "x")),
        |span| {
            assert_eq!(tag(&span.tags, "otel.kind"), text("sideways"));
            assert_eq!(tag(&span.tags, "otel.status_code"), Some(Value::Int(7)));
            assert_eq!(tag(&span.tags, "otel.scope"), text("x"));
        },
    );
}

#[test]
fn where_a_span_stands_is_told_if_that_is_wanted() {
    let traced =
        Traced::with(Options::default(), |layer| layer.with_target(true).with_location(true));
    traced.run(|| {
        let _span = info_span!(target: "shop::cart", "work").entered();
        tracing::info!(target: "shop::db", "asked");
    });
    let span = traced.span();
    assert_eq!(tag(&span.tags, "target"), text("shop::cart"));
    assert_eq!(tag(&span.tags, "code.file.path"), text(file!()));
    assert!(matches!(tag(&span.tags, "code.line.number"), Some(Value::Int(_))));
    let [asked] = span.annotations.as_slice() else { panic!("{span:?}") };
    assert_eq!(tag(&asked.tags, "target"), text("shop::db"));
    assert_eq!(tag(&asked.tags, "code.file.path"), text(file!()));
}

#[test]
fn the_recorders_caps_hold_and_what_is_cut_is_counted() {
    let options = Options { value_bytes_max: 10, span_bytes_max: 1_000, ..Options::default() };
    let traced = Traced::with(options, |layer| layer);
    let long = "ä".repeat(500);
    traced.run(|| {
        let span = info_span!("work", said = long, shown = %long, later = Empty).entered();
        span.record("later", format_args!("{long}{long}"));
        for _ in 0..100 {
            tracing::info!(said = long, "{long}");
            // The same at the same time is the same.
            traced.clock.advance(Duration::from_millis(1));
        }
    });
    let span = traced.span();
    for key in ["said", "shown", "later"] {
        assert_eq!(tag(&span.tags, key), text("äääää"), "{key}");
    }
    let kept = span.annotations.len();
    assert!((1..100).contains(&kept), "{kept}");
    assert_eq!(kept + span.dropped_annotations as usize, 100);
    assert_eq!(span.annotations[0].value, "äääää");
    assert_eq!(traced.recorder.stats().activity.values_cut, 3 + 200);
}

//! Events, and what they make of their spans.

use std::time::Duration;

use sigyn_model::{Annotation, StatusCode, Value};
use sigyn_recorder::Options;
use tracing::field::Empty;
use tracing::{Span, debug, error, info, info_span, warn};

use crate::traced::{Traced, tag, text};

/// The only annotation of the only span.
#[track_caller]
fn only(event: impl FnOnce()) -> Annotation {
    let traced = Traced::new();
    traced.run(|| info_span!("work").in_scope(event));
    let span = traced.span();
    let [annotation] = span.annotations.as_slice() else { panic!("{span:?}") };
    annotation.clone()
}

#[test]
fn an_event_is_an_annotation_with_its_fields() {
    let traced = Traced::new();
    traced.run(|| {
        let span = info_span!("work", own = 1);
        traced.clock.advance(Duration::from_millis(3));
        span.in_scope(|| {
            info!(items = 3, weight = 0.5, ripe = true, kind = "pear", "found {}", "it")
        });
        traced.clock.advance(Duration::from_millis(4));
    });
    let span = traced.span();
    assert_eq!(span.tags, [("own".to_owned(), Value::Int(1))]);
    let [event] = span.annotations.as_slice() else { panic!("{span:?}") };
    assert_eq!((event.value.as_str(), event.tags.len()), ("found it", 5));
    assert_eq!(event.timestamp.millis(), 1_700_000_000_003);
    assert_eq!(tag(&event.tags, "level"), text("INFO"));
    assert_eq!(tag(&event.tags, "items"), Some(Value::Int(3)));
    assert_eq!(tag(&event.tags, "weight"), Some(Value::Double(0.5)));
    assert_eq!(tag(&event.tags, "ripe"), Some(Value::Bool(true)));
    assert_eq!(tag(&event.tags, "kind"), text("pear"));
    assert_eq!(span.status.code, StatusCode::Unset);
}

#[test]
fn an_event_without_a_message_has_a_name_all_the_same() {
    assert_eq!(only(|| info!(name: "cart.loaded", items = 3)).value, "cart.loaded");
    assert_eq!(only(|| warn!(error = "no pears")).value, "no pears");
    assert!(only(|| debug!(items = 3)).value.starts_with("event "));
}

#[test]
fn what_the_crate_log_brings_along_is_no_tag() {
    let tags = only(|| info!(target: "log", { "log.line" = 3, n = 1 }, "said")).tags;
    assert_eq!(tags.len(), 2, "{tags:?}");
    let tags = only(|| info!({ "log.line" = 3 }, "said")).tags;
    assert_eq!(tag(&tags, "log.line"), Some(Value::Int(3)));
}

#[test]
fn an_event_belongs_to_the_span_it_names() {
    let traced = Traced::new();
    traced.run(|| {
        let (outer, inner) = (info_span!("outer"), info_span!("inner"));
        let _inner = inner.enter();
        info!(parent: &outer, "to outer");
        info!(parent: None, "to none");
        info!("to inner");
    });
    traced.run(|| info!("outside of all"));
    let said = |name| traced.named(name).annotations.into_iter().map(|said| said.value);
    assert_eq!(said("outer").collect::<Vec<_>>(), ["to outer"]);
    assert_eq!(said("inner").collect::<Vec<_>>(), ["to inner"]);
}

#[track_caller]
fn check(event: impl FnOnce(), code: StatusCode, message: &str) {
    let traced = Traced::new();
    traced.run(|| info_span!("work", otel.status_code = Empty).in_scope(event));
    let status = traced.span().status;
    assert_eq!((status.code, status.message.as_str()), (code, message));
}

#[test]
fn an_error_event_fails_its_span() {
    check(|| error!("no pears"), StatusCode::Error, "no pears");
    check(|| error!(error = %"refused", "cannot connect"), StatusCode::Error, "cannot connect");
    check(|| error!(error = %"refused"), StatusCode::Error, "refused");
    check(|| error!(items = 3), StatusCode::Error, "");
    check(|| warn!("no pears"), StatusCode::Unset, "");
}

#[test]
fn the_first_error_is_the_one_and_the_program_knows_better() {
    let both = || {
        error!("first");
        error!("second");
    };
    check(both, StatusCode::Error, "first");
    let fine = || {
        error!("first");
        Span::current().record("otel.status_code", "ok");
        error!("second");
    };
    check(fine, StatusCode::Ok, "");
    let fine_already = || {
        Span::current().record("otel.status_code", "OK");
        error!("first");
    };
    check(fine_already, StatusCode::Ok, "");
}

#[test]
fn error_events_fail_nothing_if_that_is_unwanted() {
    let traced = Traced::with(Options::default(), |layer| layer.with_error_events_to_status(false));
    traced.run(|| info_span!("work").in_scope(|| error!("no pears")));
    let span = traced.span();
    assert_eq!((span.status.code, span.annotations.len()), (StatusCode::Unset, 1));
    assert!(!span.is_error());
}

#[test]
fn an_error_fails_its_own_span_alone() {
    let traced = Traced::new();
    traced.run(|| {
        let _outer = info_span!("outer").entered();
        info_span!("inner").in_scope(|| error!("no pears"));
    });
    assert!(traced.named("inner").is_error());
    assert!(!traced.named("outer").is_error());
}

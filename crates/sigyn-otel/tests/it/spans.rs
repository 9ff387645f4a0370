//! Which spans are recorded, and how it ends.

use std::time::Duration;

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use sigyn_model::Span;
use sigyn_model::codec::json_v2;

use crate::world::World;

#[tokio::test]
async fn a_span_is_of_the_service_that_the_provider_says() {
    let world = World::new();
    let tracer = world.provider.tracer("cart");
    let mut span = tracer.start("Load");
    span.set_attribute(KeyValue::new("items", 3));
    span.end();
    let body = world.scrape("application/json").await;
    let spans = json_v2::decode_list(&body).unwrap();
    assert_eq!(spans[0].name, "load");
    assert_eq!(spans[0].local_endpoint.as_ref().unwrap().service_name, "cart");
    let tags = spans[0].zipkin_tags();
    assert_eq!(tags.get("items").map(|it| it.as_ref()), Some("3"));
    assert_eq!(tags.get("otel.scope.name").map(|it| it.as_ref()), Some("cart"));
}

#[tokio::test]
async fn without_a_resource_it_is_of_the_recorders_own() {
    let world = World::with(|builder| {
        builder.with_resource(opentelemetry_sdk::Resource::builder_empty().build())
    });
    world.provider.tracer("").start("load").end();
    let spans = world.spans().await;
    assert_eq!(spans[0].local_endpoint.as_ref().unwrap().service_name, "own");
    assert_eq!(spans[0].scope, None);
}

#[tokio::test]
async fn what_is_not_sampled_is_left_out() {
    let world = World::with(|builder| builder.with_sampler(Sampler::AlwaysOff));
    world.provider.tracer("cart").start("load").end();
    assert!(world.spans().await.is_empty());
}

#[tokio::test]
async fn spans_of_a_trace_belong_together() {
    use opentelemetry::trace::TraceContextExt as _;
    let world = World::new();
    let tracer = world.provider.tracer("cart");
    let parent = Context::new().with_span(tracer.start("parent"));
    tracer.start_with_context("child", &parent).end();
    parent.span().end();
    let spans = world.spans().await;
    assert_eq!(spans[0].parent_id, Some(spans[1].id));
    assert_eq!(spans[0].trace_id, spans[1].trace_id);
    // It is known that the parent is of this process.
    assert_eq!((spans[0].flags, spans[1].flags), (0x101, 0x101));
}

#[tokio::test]
async fn a_shutdown_seals_for_the_last_time() {
    let world = World::new();
    let tracer = world.provider.tracer("cart");
    let mut late = tracer.start("late");
    tracer.start("load").end();
    world.provider.force_flush().unwrap();
    world.provider.shutdown().unwrap();
    late.end();
    assert_eq!(world.spans().await.len(), 1);
    let drain = world.recorder.drained(Duration::ZERO).await;
    assert_eq!(drain.lost, 1);
}

#[tokio::test]
async fn scopes_that_take_turns_are_told_apart() {
    let world = World::new();
    let tracers: Vec<_> = (0..20).map(|n| world.provider.tracer(format!("scope {n}"))).collect();
    for _ in 0..3 {
        tracers.iter().for_each(|tracer| tracer.start("load").end());
    }
    let spans = world.spans().await;
    for n in 0..20 {
        let name = format!("scope {n}");
        let of_it = |span: &&Span| span.scope.as_ref().is_some_and(|scope| scope.name == name);
        assert_eq!(spans.iter().filter(of_it).count(), 3);
    }
}

#[tokio::test]
async fn rules_for_tags_hold_here_too() {
    use sigyn_recorder::{Options, Recorder, TagRules};
    let rules = TagRules { deny: vec!["user.*".to_owned()], ..TagRules::default() };
    let strict = Recorder::new(Options { tag_rules: rules, ..Options::default() });
    let strict_provider = SdkTracerProvider::builder()
        .with_span_processor(sigyn_otel::processor(strict.clone()))
        .build();
    let world = World::new();
    // What a thread keeps of one recorder's spans is no other's.
    for provider in [&world.provider, &strict_provider, &world.provider] {
        let mut span = provider.tracer("cart").start("load");
        span.set_attribute(KeyValue::new("user.name", "x"));
        span.end();
    }
    assert_eq!(strict.stats().activity.tags_denied, 1);
    assert!(world.spans().await.iter().all(|span| span.tags.len() == 1));
}

#[test]
fn a_provider_may_be_made_without_a_runtime() {
    let recorder = sigyn_recorder::Recorder::of_process();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(sigyn_otel::processor(recorder.clone()))
        .build();
    provider.tracer("cart").start("load").end();
    assert_eq!(recorder.stats().finished, 1);
}

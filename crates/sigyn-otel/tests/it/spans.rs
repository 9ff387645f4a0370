//! Which spans are recorded, and how it ends.

use std::time::Duration;

use opentelemetry::trace::{
    Link, Span as _, SpanKind, Status, TraceContextExt as _, TraceId, TraceState, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    Sampler, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample,
};
use sigyn_model::Span;
use sigyn_model::codec::json_v2;
use sigyn_recorder::{Exposition, Options};

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

/// Records everything, and samples nothing.
#[derive(Clone, Debug)]
struct RecordOnly;

impl ShouldSample for RecordOnly {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        SamplingResult {
            decision: SamplingDecision::RecordOnly,
            attributes: Vec::new(),
            trace_state: TraceState::default(),
        }
    }
}

/// With memory for spans that nobody sampled.
fn record_only(cold_bytes_max: usize) -> World {
    let resource = Resource::builder_empty().with_service_name("Cart").build();
    let options = Options { cold_bytes_max, ..Options::default() };
    World::of(options, |builder| builder.with_resource(resource).with_sampler(RecordOnly))
}

#[tokio::test]
async fn what_is_recorded_and_not_sampled_is_put_aside() {
    let world = record_only(1 << 20);
    let tracer = world.provider.tracer("shelf");
    let parent = Context::new().with_span(tracer.start("parent"));
    let mut child = tracer.start_with_context("child", &parent);
    child.set_attribute(KeyValue::new("items", 3));
    child.set_status(Status::error("out of stock"));
    child.end();
    parent.span().end();
    let id = parent.span().span_context().trace_id();
    assert!(world.spans().await.is_empty(), "what fails inside is no reason to keep it");
    assert_eq!(world.recorder.stats().cold_spans, 2);
    let page = String::from_utf8(world.get("/tracez", "*/*").await).unwrap();
    assert!(page.contains("child") && page.contains("2 spans that nobody sampled"), "{page}");

    // A look, and then it is collected: whole, of the service that the provider says.
    let check = |body: &[u8]| {
        let spans = json_v2::decode_list(body).unwrap();
        assert_eq!(spans.len(), 2);
        for span in &spans {
            assert_eq!(span.local_endpoint.as_ref().unwrap().service_name, "cart");
            let tags = span.zipkin_tags();
            assert_eq!(tags.get("otel.scope.name").map(|it| it.as_ref()), Some("shelf"));
        }
        assert!(spans.iter().any(|span| span.is_error() && span.name == "child"));
    };
    check(&world.get(&format!("/traces?trace_id={id}"), "application/json").await);
    let request = http::Request::post(format!("/traces/collect?ids={id}")).body(()).unwrap();
    let exposition = Exposition::new(world.recorder.clone());
    exposition.respond(&request.into_parts().0).await;
    check(&world.scrape("application/json").await);
}

#[tokio::test]
async fn a_trace_that_fails_where_it_begins_is_kept() {
    let world = record_only(1 << 20);
    let tracer = world.provider.tracer("shelf");
    let mut parent = tracer.start("parent");
    parent.set_status(Status::error("out of stock"));
    let parent = Context::new().with_span(parent);
    tracer.start_with_context("child", &parent).end();
    parent.span().end();
    tracer.start("another").end();
    let names: Vec<_> = world.spans().await.into_iter().map(|span| span.name).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(!names.contains(&"another".to_owned()), "{names:?}");
    assert_eq!(world.recorder.stats().activity.kept, 1);

    let without = record_only(0);
    without.provider.tracer("shelf").start("parent").end();
    let stats = without.recorder.stats();
    assert_eq!((stats.finished, stats.cold_spans), (0, 0));
}

#[tokio::test]
async fn ended_spans_are_seen_with_how_long_they_took() {
    let world = World::new();
    let mut span = world.provider.tracer("cart").start("load");
    span.set_status(Status::error("out of stock"));
    span.end();
    let page: serde_json::Value =
        serde_json::from_slice(&world.get("/tracez", "application/json").await).unwrap();
    let row = &page["operations"][0];
    assert_eq!((&row["name"], &row["errors"]), (&"load".into(), &1.into()));
    let buckets = row["buckets"].as_array().unwrap();
    assert_eq!(buckets.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 1);
}

#[tokio::test]
async fn spans_of_a_trace_belong_together() {
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

//! Whatever the SDK has of a span is recorded: it is what OpenTelemetry's own OTLP says of it.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Event, Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
    TraceFlags, TraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanLimits;
use proptest::prelude::*;
use prost::Message as _;
use sigyn_model::codec::otlp;
use sigyn_model::{Scope, Span};

use crate::world::World;

#[derive(Clone, Debug)]
struct Made {
    name: String,
    kind: SpanKind,
    parent: Option<SpanContext>,
    start_ns: u64,
    took_ns: u64,
    attributes: Vec<KeyValue>,
    events: Vec<Event>,
    links: Vec<Link>,
    status: Status,
    scope: usize,
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        (-1e9..1e9).prop_map(Value::F64),
        ".{0,12}".prop_map(|text| Value::String(text.into())),
        prop::collection::vec(any::<i64>(), 0..3).prop_map(|all| Value::Array(Array::I64(all))),
        prop::collection::vec("[a-z]{0,3}", 0..3).prop_map(|all| {
            Value::Array(Array::String(all.into_iter().map(Into::into).collect()))
        }),
        prop::collection::vec(any::<bool>(), 0..3).prop_map(|all| Value::Array(Array::Bool(all))),
        prop::collection::vec(-9.0..9.0, 0..3).prop_map(|all| Value::Array(Array::F64(all))),
    ]
}

/// Each key once: what stands there twice is sent twice by the SDK.
fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    prop::collection::btree_map("[a-e]{1,3}", value(), 0..6)
        .prop_map(|all| all.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect())
}

fn context() -> impl Strategy<Value = SpanContext> {
    let state = prop_oneof![Just(Vec::new()), Just(vec![("ot", "th:8"), ("a", "1")])];
    (1..u128::MAX, 1..u64::MAX, any::<bool>(), state).prop_map(|(trace, span, remote, state)| {
        let state = TraceState::from_key_value(state).unwrap();
        let (trace, span) = (TraceId::from(trace), SpanId::from(span));
        SpanContext::new(trace, span, TraceFlags::SAMPLED, remote, state)
    })
}

const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

fn time(ns: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(ns)
}

fn made() -> impl Strategy<Value = Made> {
    let kind = prop_oneof![
        Just(SpanKind::Client),
        Just(SpanKind::Server),
        Just(SpanKind::Producer),
        Just(SpanKind::Consumer),
        Just(SpanKind::Internal),
    ];
    let status =
        prop_oneof![Just(Status::Unset), Just(Status::Ok), "[a-z ]{0,9}".prop_map(Status::error)];
    let event = ("[a-z]{1,5}", 0..1_000_u64, attributes(), 0..3_u32).prop_map(
        |(name, at, attributes, dropped)| {
            Event::new(name, time(EPOCH_NS + at), attributes, dropped)
        },
    );
    let link = (context(), attributes(), 0..3_u32)
        .prop_map(|(to, attributes, dropped)| Link::new(to, attributes, dropped));
    let lists =
        (attributes(), prop::collection::vec(event, 0..3), prop::collection::vec(link, 0..3));
    let times = (0..1_000_000_u64, 1..1_000_000_000_u64);
    ("[A-Za-z /]{1,9}", kind, prop::option::of(context()), times, lists, status, 0..3_usize)
        .prop_map(
            |(name, kind, parent, (start, took_ns), (attributes, events, links), status, scope)| {
                let start_ns = EPOCH_NS + start;
                Made {
                    name,
                    kind,
                    parent,
                    start_ns,
                    took_ns,
                    attributes,
                    events,
                    links,
                    status,
                    scope,
                }
            },
        )
}

fn scopes() -> [InstrumentationScope; 3] {
    let whole = InstrumentationScope::builder("whole")
        .with_version("1.2")
        .with_schema_url("https://opentelemetry.io/schemas/1.40.0")
        .with_attributes([KeyValue::new("a", 1)]);
    [
        InstrumentationScope::builder("").build(),
        InstrumentationScope::builder("some").build(),
        whole.build(),
    ]
}

fn make(world: &World, made: &Made) {
    let tracer = world.provider.tracer_with_scope(scopes()[made.scope].clone());
    let parent = Context::new();
    let parent = match &made.parent {
        Some(parent) => parent_context(&Context::new(), parent),
        None => parent,
    };
    let mut span = tracer
        .span_builder(made.name.clone())
        .with_kind(made.kind.clone())
        .with_start_time(time(made.start_ns))
        .with_attributes(made.attributes.clone())
        .with_events(made.events.clone())
        .with_links(made.links.clone())
        .start_with_context(&tracer, &parent);
    span.set_status(made.status.clone());
    span.end_with_timestamp(time(made.start_ns + made.took_ns));
}

fn parent_context(context: &Context, parent: &SpanContext) -> Context {
    context.with_remote_span_context(parent.clone())
}

/// What OpenTelemetry would have sent.
fn sent(world: &World, resource: &Resource) -> Vec<Span> {
    let resource = ResourceAttributesWithSchema::from(resource);
    let resource_spans = group_spans_by_resource_and_scope(world.kept.take(), &resource);
    let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let mut spans = otlp::decode(&bytes).unwrap().spans;
    // It sends a scope that says nothing.
    for span in &mut spans {
        span.scope.take_if(|scope| **scope == Scope::default());
    }
    spans
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_span_is_recorded_whole(all in prop::collection::vec(made(), 1..6), attributes in attributes()) {
        let resource = Resource::builder_empty()
            .with_service_name("Cart")
            .with_schema_url(attributes, "https://opentelemetry.io/schemas/1.41.0")
            .build();
        let limits = SpanLimits {
            max_attributes_per_span: 4,
            max_events_per_span: 2,
            max_links_per_span: 2,
            max_attributes_per_event: 3,
            max_attributes_per_link: 3,
        };
        let world = World::with(|builder| {
            builder.with_resource(resource.clone()).with_span_limits(limits)
        });
        all.iter().for_each(|made| make(&world, made));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let order = |span: &Span| (span.trace_id, span.id);
        let mut recorded = runtime.block_on(world.spans());
        recorded.sort_by_key(order);
        let mut expected = sent(&world, &resource);
        expected.sort_by_key(order);
        prop_assert_eq!(recorded, expected);
    }
}

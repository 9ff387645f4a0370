//! Spans for tests: arbitrary ones for properties, with a liking for what is reserved or means
//! something, and sketched ones for tables.

#![expect(clippy::unwrap_used, reason = "only tests call this")]

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::{
    Annotation, Endpoint, Kind, Link, Resource, Scope, Span, SpanId, Status, StatusCode, Tags,
    Timestamp, TraceId, Value, value,
};

/// A trace in a line: spans between semicolons, each as `id parent kind local>remote` and then in any
/// order `@timestamp`, `+duration`, `shared`, `error`. A dash is nothing; what is left out too. The
/// kinds are C, S, P and K for a consumer.
#[cfg(test)]
pub(crate) fn sketch(trace: &str) -> Vec<Span> {
    let id = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
    let spans = trace.split(';').map(str::trim).filter(|span| !span.is_empty()).map(|span| {
        let mut words = span.split_whitespace();
        let own_id = SpanId::new(id(words.next().unwrap())).unwrap();
        let mut span = Span::new(TraceId::new(1).unwrap(), own_id);
        span.parent_id = words.next().and_then(|word| SpanId::new(id(word)));
        for word in words {
            let number = || word[1..].parse().unwrap();
            match word {
                "-" => {}
                "C" => span.kind = Some(Kind::Client),
                "S" => span.kind = Some(Kind::Server),
                "P" => span.kind = Some(Kind::Producer),
                "K" => span.kind = Some(Kind::Consumer),
                "shared" => span.shared = true,
                "error" => span.set_tag("error", ""),
                _ if word.starts_with('@') => span.timestamp = Timestamp::from_micros(number()),
                _ if word.starts_with('+') => span.duration = Some(Duration::from_micros(number())),
                _ => {
                    let (local, remote) = word.split_once('>').unwrap_or((word, "-"));
                    let named = |name: &str| Endpoint::named(name.trim_matches('-')).into_option();
                    (span.local_endpoint, span.remote_endpoint) = (named(local), named(remote));
                }
            }
        }
        span
    });
    spans.collect()
}

const KEYS: &[&str] = &[
    "",
    "error",
    "service.name",
    "peer.service",
    "server.address",
    "server.port",
    "client.address",
    "net.peer.ip",
    "zipkin.shared",
    "zipkin.duration_ns",
    "zipkin.zero_id",
    "zipkin.local.port",
    "zipkin.remote.service_name",
    "zipkin.synthetic",
    "zipkin.archived",
    "zipkin.tag.zipkin.shared",
    "zipkin.tag.x",
];

pub(crate) fn kind() -> impl Strategy<Value = Option<Kind>> {
    use Kind::{Client, Consumer, Producer, Server};
    option::of(prop::sample::select(vec![Client, Server, Producer, Consumer]))
}

/// Few enough ids that spans find parents, and meet others of the same id.
pub(crate) fn small_id() -> impl Strategy<Value = u64> {
    1..12u64
}

pub(crate) fn endpoint() -> impl Strategy<Value = Option<Endpoint>> {
    let fields = (
        prop::sample::select(vec!["", "a", "b", "c", "straße 😀"]),
        option::weighted(0.2, any::<u32>()),
        option::weighted(0.2, any::<u128>()),
        prop_oneof![3 => Just(0), 1 => any::<u16>()],
    );
    option::of(fields).prop_map(|fields| {
        let (name, ipv4, ipv6, port) = fields?;
        let (ipv4, ipv6) = (ipv4.map(Ipv4Addr::from), ipv6.map(Ipv6Addr::from));
        Endpoint { service_name: name.to_owned(), ipv4, ipv6, port }.into_option()
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => prop::sample::select(vec!["", "x", "true", "1.2.3.4", "80"]).prop_map(Value::from),
        1 => any::<String>().prop_map(Value::Str),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => any::<i64>().prop_map(Value::Int),
        1 => any::<f64>().prop_map(Value::Double),
        1 => vec(any::<u8>(), 0..4).prop_map(Value::Bytes),
        1 => Just(Value::Empty),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::List),
            vec((key(), inner), 0..3).prop_map(Value::Map),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(KEYS).prop_map(str::to_owned),
        "[a-z\u{ff5e}😀]{1,3}",
        any::<String>()
    ]
}

pub(crate) fn tags() -> impl Strategy<Value = Tags> {
    vec((key(), any_value()), 0..5).prop_map(|mut tags| {
        value::keep_last_of_each_key(&mut tags);
        tags
    })
}

fn annotation() -> impl Strategy<Value = Annotation> {
    let time = prop_oneof![0..5u64, any::<u64>()].prop_map(Timestamp::from_nanos);
    let value = prop_oneof!["[ab]?", any::<String>()];
    (time, value, tags(), count()).prop_map(|(timestamp, value, tags, dropped_tags)| Annotation {
        timestamp,
        value,
        tags,
        dropped_tags,
    })
}

fn link() -> impl Strategy<Value = Link> {
    (1..=u128::MAX, 1..=u64::MAX, any::<String>(), tags(), (count(), count())).prop_map(
        |(trace_id, span_id, trace_state, tags, (dropped_tags, flags))| Link {
            trace_id: TraceId::new(trace_id).unwrap(),
            span_id: SpanId::new(span_id).unwrap(),
            trace_state,
            tags,
            dropped_tags,
            flags,
        },
    )
}

fn status() -> impl Strategy<Value = Status> {
    let code = prop::sample::select(vec![StatusCode::Unset, StatusCode::Ok, StatusCode::Error]);
    (code, prop_oneof![Just(String::new()), any::<String>()])
        .prop_map(|(code, message)| Status { code, message })
}

fn scope() -> impl Strategy<Value = Arc<Scope>> {
    ("[xy]?", "[12]?", tags(), count(), "[uv]?").prop_map(
        |(name, version, tags, dropped_tags, schema_url)| {
            Arc::new(Scope { name, version, tags, dropped_tags, schema_url })
        },
    )
}

fn resource() -> impl Strategy<Value = Arc<Resource>> {
    (tags(), count(), "[uv]?").prop_map(|(tags, dropped_tags, schema_url)| {
        Arc::new(Resource { tags, dropped_tags, schema_url })
    })
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), any::<u32>()]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (1..5_000_000u64).prop_map(Duration::from_nanos),
        (1..=u64::MAX).prop_map(Duration::from_nanos),
    ]
}

/// A span with Zipkin's fields alone and small ids: what trees and links are made of.
pub(crate) fn plain_span() -> impl Strategy<Value = Span> {
    (
        (small_id(), option::of(small_id()), kind(), "[ÄA-c /]{0,3}"),
        (option::of(0..50u64), option::of(1..50u64)),
        (endpoint(), endpoint(), any::<bool>(), any::<bool>()),
    )
        .prop_map(|(ids, times, rest)| {
            let (id, parent_id, kind, name) = ids;
            let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::new(id).unwrap());
            span.parent_id = parent_id.and_then(SpanId::new);
            span.kind = kind;
            span.name = name.to_lowercase();
            span.timestamp = times.0.map(|us| Timestamp::from_nanos(us * 1_000 + 1));
            span.duration = times.1.map(Duration::from_micros);
            (span.local_endpoint, span.remote_endpoint) = (rest.0, rest.1);
            (span.shared, span.debug) = (rest.2, rest.3);
            span.normalize();
            span
        })
}

/// Any span at all, but for the labels of a target.
pub fn span() -> impl Strategy<Value = Span> {
    (
        plain_span(),
        (1..=u128::MAX, any::<u64>(), option::of(1..=u64::MAX)),
        (option::of(1..=u64::MAX), option::of(duration())),
        (tags(), vec(annotation(), 0..4), vec(link(), 0..3), status(), any::<String>()),
        (count(), count(), count(), count()),
        (option::of(scope()), option::of(resource())),
    )
        .prop_map(|(mut span, ids, times, said, dropped, origin)| {
            span.trace_id = TraceId::new(ids.0).unwrap();
            span.id = SpanId::from_raw(ids.1);
            span.parent_id = ids.2.and_then(SpanId::new);
            span.timestamp = times.0.map(Timestamp::from_nanos);
            span.duration = times.1;
            (span.tags, span.annotations, span.links, span.status, span.trace_state) = said;
            (span.dropped_tags, span.dropped_annotations, span.dropped_links, span.flags) = dropped;
            (span.scope, span.resource) = origin;
            span.normalize();
            span
        })
}

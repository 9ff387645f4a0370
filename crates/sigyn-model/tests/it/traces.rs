//! Zipkin's ten example traces: nothing gets lost on the way in and out, and the links are Zipkin's.

use std::path::PathBuf;

use serde_json::{Map, Value};
use sigyn_model::codec::{json_v2, otlp};
use sigyn_model::{DependencyLink, Linker, Span, SpanTree};

const TRACES: [&str; 10] = [
    "ascend",
    "envoy",
    "messaging",
    "messaging2",
    "messaging-kafka",
    "simple-db-p6",
    "skew",
    "yelp",
    "smartthings-oauth-authorization",
    "smartthings-mobile-web-install",
];

fn body(name: &str) -> Vec<u8> {
    let folder = "../../conformance/zipkin-traces";
    let path = PathBuf::from(folder).join(format!("{name}.json"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn spans(name: &str) -> Vec<Span> {
    json_v2::decode_list(&body(name)).unwrap()
}

fn links(spans: &[Span]) -> Vec<DependencyLink> {
    let mut linker = Linker::default();
    linker.put_trace(spans);
    linker.links()
}

/// A span as its sender wrote it, brought into Zipkin's normal form by other means than ours.
fn normal(span: &Value) -> Value {
    let mut span = span.as_object().unwrap().clone();
    span.retain(|_, value| !value.is_null() && *value != Value::Bool(false));
    for (key, width) in [("traceId", 16), ("id", 16), ("parentId", 16)] {
        if let Some(Value::String(id)) = span.get_mut(key) {
            let width = if id.len() > 16 { 32 } else { width };
            *id = format!("{id:0>width$}");
            if let Some(short) = id.strip_prefix(&"0".repeat(16)) {
                *id = short.to_owned();
            }
        }
    }
    if span.get("parentId") == span.get("id") {
        span.remove("parentId");
    }
    for key in ["localEndpoint", "remoteEndpoint"] {
        let Some(Value::Object(endpoint)) = span.get_mut(key) else { continue };
        endpoint.retain(|_, value| !matches!(value, Value::Null) && *value != 0 && *value != "");
        lower(endpoint, "serviceName");
        if let Some(Value::String(ip)) = endpoint.get_mut("ipv4") {
            // One sender wrote 52.0.0.04.
            let octets = ip.split('.').map(|octet| octet.parse::<u8>().unwrap().to_string());
            *ip = octets.collect::<Vec<_>>().join(".");
        }
        if endpoint.is_empty() {
            span.remove(key);
        }
    }
    lower(&mut span, "name");
    for key in ["timestamp", "duration"] {
        if span.get(key).is_some_and(|value| value.as_i64().is_some_and(|number| number <= 0)) {
            span.remove(key);
        }
    }
    if let Some(Value::Array(annotations)) = span.get_mut("annotations") {
        for annotation in annotations.iter_mut() {
            annotation.as_object_mut().unwrap().retain(|key, _| key != "endpoint");
        }
        annotations.sort_by_key(|a| (a["timestamp"].as_i64(), a["value"].to_string()));
        annotations.dedup();
    }
    span.retain(|_, value| match value {
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    });
    Value::Object(span)
}

fn lower(object: &mut Map<String, Value>, key: &str) {
    if let Some(Value::String(text)) = object.get_mut(key) {
        *text = text.to_lowercase();
    }
}

#[test]
fn what_a_trace_says_is_written_again() {
    for name in TRACES {
        let spans = spans(name);
        let written = json_v2::encode_list(&spans);
        assert_eq!(json_v2::decode_list(written.as_bytes()).unwrap(), spans, "{name}");
        let sent: Vec<Value> = serde_json::from_slice(&body(name)).unwrap();
        let written: Vec<Value> = serde_json::from_str(&written).unwrap();
        assert_eq!(written.len(), sent.len(), "{name}");
        for (written, sent) in written.iter().zip(&sent) {
            assert_eq!(*written, normal(sent), "{name}");
        }
    }
}

#[test]
fn a_trace_passes_through_otlp_unchanged() {
    for name in TRACES {
        let spans = spans(name);
        let decoded = otlp::decode(&otlp::encode(&spans)).unwrap();
        assert_eq!(decoded.problems, Vec::<String>::new(), "{name}");
        // Grouped by service now, but in each group as before.
        let by_service = |spans: &[Span]| {
            let mut spans = spans.to_vec();
            spans.sort_by(|a, b| a.service_name().cmp(&b.service_name()));
            spans
        };
        assert_eq!(by_service(&decoded.spans), by_service(&spans), "{name}");
    }
}

#[test]
fn the_links_of_a_trace_are_those_that_zipkin_finds() {
    let check = |name: &str, sizes: (usize, usize), totals: (usize, u64, u64)| {
        let spans = spans(name);
        let merged = SpanTree::build(&spans).nodes.len();
        assert_eq!((spans.len(), merged), sizes, "{name}");
        let links = links(&spans);
        let calls = links.iter().map(|link| link.call_count).sum();
        let errors = links.iter().map(|link| link.error_count).sum();
        assert_eq!((links.len(), calls, errors), totals, "{name}: {links:?}");
    };
    check("ascend", (8, 8), (2, 2, 0));
    check("envoy", (1, 1), (0, 0, 0));
    check("messaging", (4, 4), (2, 2, 0));
    check("messaging2", (11, 11), (4, 5, 0));
    check("messaging-kafka", (28, 28), (3, 16, 0));
    check("simple-db-p6", (5, 5), (1, 4, 0));
    check("skew", (4, 4), (1, 1, 0));
    check("yelp", (16, 16), (8, 17, 0));
    check("smartthings-oauth-authorization", (175, 172), (12, 123, 1));
    check("smartthings-mobile-web-install", (1041, 1041), (32, 577, 1));
}

#[test]
fn the_links_are_between_the_services_that_zipkin_names() {
    let check = |name: &str, expected: &[(&str, &str, u64)]| {
        let links = links(&spans(name));
        let got: Vec<_> = links
            .iter()
            .map(|link| (link.parent.as_str(), link.child.as_str(), link.call_count))
            .collect();
        assert_eq!(got, expected, "{name}");
    };
    check(
        "ascend",
        &[("mobile-gateway", "auth-service", 1), ("mobile-gateway", "content-service", 1)],
    );
    check("messaging", &[("frontend", "rabbitmq", 1), ("rabbitmq", "backend", 1)]);
    check(
        "messaging-kafka",
        &[("kafka", "servicea", 4), ("kafka", "serviceb", 3), ("servicea", "kafka", 9)],
    );
    check("simple-db-p6", &[("bootifulmeters", "app_db", 4)]);
    check("skew", &[("servicea", "serviceb", 1)]);
}

#[test]
fn every_span_of_a_trace_has_a_row() {
    for name in TRACES {
        let spans = spans(name);
        let tree = SpanTree::build(&spans);
        assert_eq!(tree.rows().len(), tree.nodes.len(), "{name}");
        let sources: usize = tree.nodes.iter().map(|node| node.sources.len()).sum();
        assert_eq!(sources, spans.len(), "{name}");
    }
}

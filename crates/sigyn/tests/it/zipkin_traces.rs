//! Ten real traces, posted and read back: nothing added, nothing lost, links right.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::program::Tracer;

fn folder() -> PathBuf {
    PathBuf::from("../../conformance")
}

fn traces() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(folder().join("zipkin-traces")).unwrap();
    let files = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"));
    let traces: BTreeMap<String, Value> = files
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        })
        .collect();
    assert_eq!(traces.len(), 10);
    traces
}

/// What Zipkin makes of any span it reads, as far as these files need it.
fn normal(span: &Value) -> Value {
    let mut span = span.clone();
    let map = span.as_object_mut().unwrap();
    for field in ["traceId", "id", "parentId"] {
        if let Some(text) = map.get(field).and_then(Value::as_str) {
            let width = if text.len() > 16 { 32 } else { 16 };
            let padded = format!("{text:0>width$}");
            map.insert(field.to_owned(), padded.into());
        }
    }
    let lower = |map: &mut serde_json::Map<String, Value>, field: &str| {
        if let Some(text) = map.get(field).and_then(Value::as_str) {
            let lower = text.to_lowercase();
            map.insert(field.to_owned(), lower.into());
        }
    };
    lower(map, "name");
    for endpoint in ["localEndpoint", "remoteEndpoint"] {
        if let Some(endpoint) = map.get_mut(endpoint).and_then(Value::as_object_mut) {
            lower(endpoint, "serviceName");
            // One of the files writes 52.0.0.04.
            if let Some(ip) = endpoint.get("ipv4").and_then(Value::as_str) {
                let octets: Vec<String> =
                    ip.split('.').map(|n| n.parse::<u8>().unwrap().to_string()).collect();
                endpoint.insert("ipv4".to_owned(), octets.join(".").into());
            }
            endpoint.retain(|_, value| !value.is_null() && *value != "" && *value != 0);
        }
    }
    if let Some(annotations) = map.get_mut("annotations").and_then(Value::as_array_mut) {
        annotations
            .sort_by_key(|a| (a["timestamp"].as_u64(), a["value"].as_str().map(str::to_owned)));
        annotations.dedup();
    }
    map.retain(|_, value| {
        let empty = value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty);
        !(value.is_null() || empty || *value == false || *value == 0 || *value == "")
    });
    span
}

fn sorted(spans: &Value) -> Vec<String> {
    let mut spans: Vec<String> =
        spans.as_array().unwrap().iter().map(|s| normal(s).to_string()).collect();
    spans.sort();
    spans.dedup();
    spans
}

fn first<'a>(spans: &'a Value, field: impl Fn(&'a Value) -> Option<&'a str>) -> Option<&'a str> {
    spans.as_array().unwrap().iter().find_map(field)
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }
        })
        .collect()
}

#[test]
fn real_traces_are_read_back_searched_and_linked() {
    let data = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(data.path());
    let traces = traces();
    for (name, spans) in &traces {
        let answer = tracer.post_spans(spans.to_string().as_bytes());
        assert_eq!(answer.status, 202, "{name}: {}", answer.text());
    }
    check(&tracer, &traces);
    // The same answers from recovered data, after a clean stop and after none.
    let (status, _) = tracer.stop();
    assert!(status.success());
    let tracer = Tracer::start(data.path());
    check(&tracer, &traces);
    tracer.kill();
    check(&Tracer::start(data.path()), &traces);
}

fn check(tracer: &Tracer, traces: &BTreeMap<String, Value>) {
    let expected_links: Value = serde_json::from_slice(
        &std::fs::read(folder().join("expected/dependency-links.json")).unwrap(),
    )
    .unwrap();
    for (name, spans) in traces {
        let id = first(spans, |span| span["traceId"].as_str()).unwrap();
        let (stored, sent) = (sorted(&tracer.json(&format!("/api/v2/trace/{id}"))), sorted(spans));
        assert_eq!(stored.len(), sent.len(), "{name}");
        for (stored, sent) in stored.iter().zip(&sent) {
            assert_eq!(stored, sent, "{name}");
        }

        let times = spans.as_array().unwrap().iter().filter_map(|span| span["timestamp"].as_u64());
        let end = times.clone().max().unwrap() / 1_000 + 1_000;
        let lookback = end - times.min().unwrap() / 1_000 + 1_000;
        let window = format!("endTs={end}&lookback={lookback}&limit=100");
        let found = |query: &str| {
            let answer = tracer.json(&format!("/api/v2/traces?{window}{query}"));
            let ids = answer
                .as_array()
                .unwrap()
                .iter()
                .map(|t| t[0]["traceId"].as_str().unwrap().to_owned());
            ids.collect::<Vec<_>>().contains(&format!("{id:0>16}"))
        };
        assert!(found(""), "{name}");
        if let Some(service) = first(spans, |span| span["localEndpoint"]["serviceName"].as_str()) {
            assert!(found(&format!("&serviceName={}", encode(service))), "{name} by service");
        }
        assert!(!found("&serviceName=nobody"), "{name}");
        if let Some(span) =
            first(spans, |span| span["name"].as_str().filter(|name| !name.is_empty()))
        {
            assert!(found(&format!("&spanName={}", encode(span))), "{name} by span name");
        }
        let tag = spans.as_array().unwrap().iter().find_map(|span| {
            let tags = span["tags"].as_object()?;
            let plain = |text: &str| {
                !text.contains(['=']) && text.trim() == text && !text.contains(" and ")
            };
            tags.iter()
                .find(|(k, v)| plain(k) && v.as_str().is_some_and(|v| !v.is_empty() && plain(v)))
        });
        if let Some((key, value)) = tag {
            let query = encode(&format!("{key}={}", value.as_str().unwrap()));
            assert!(found(&format!("&annotationQuery={query}")), "{name} by tag {key}");
            assert!(found(&format!("&annotationQuery={}", encode(key))), "{name} by tag key {key}");
        }
        let longest =
            spans.as_array().unwrap().iter().filter_map(|span| span["duration"].as_u64()).max();
        if let Some(longest) = longest.filter(|n| *n > 0) {
            assert!(
                found(&format!("&minDuration={longest}&maxDuration={longest}")),
                "{name} by duration"
            );
            assert!(
                !found(&format!("&minDuration={}", longest + 1)),
                "{name} by a longer duration"
            );
        }

        let expected = &expected_links[format!("{name}.json")];
        let links = tracer.json(&format!("/api/v2/dependencies?{window}"));
        let links = links.as_array().unwrap();
        let sum = |field: &str| links.iter().filter_map(|link| link[field].as_u64()).sum::<u64>();
        let got = (links.len() as u64, sum("callCount"), sum("errorCount"));
        let number = |field: &str| expected[field].as_u64().unwrap();
        assert_eq!(got, (number("links"), number("calls"), number("errors")), "{name}: {links:?}");
    }
}

//! Zipkin's contract over HTTP: statuses, texts and headers that clients and operators rely on.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::http;
use crate::program::Tracer;

/// A span now, so that default windows find it.
fn span(trace: &str, id: &str, service: &str) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    json!({
        "traceId": trace, "id": id, "name": "get", "timestamp": u64::try_from(now.as_micros()).unwrap(),
        "duration": 1000, "localEndpoint": {"serviceName": service},
    })
}

fn tracer() -> (tempfile::TempDir, Tracer) {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    (folder, tracer)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_posted_and_what_is_answered() {
    let (_folder, tracer) = tracer();
    let good = json!([span("1", "1", "a")]).to_string();
    let mut bad_batch = json!([span("7", "1", "a"), span("7", "2", "a")]);
    bad_batch[1]["id"] = json!("xyz");
    let v1 = r#"[{"traceId":"1","id":"1","name":"x","annotations":[],"binaryAnnotations":[]}]"#;
    let mut unicode = span("2", "2", "na\u{ef}ve\t\u{1f980}");
    unicode["tags"] = json!({"n": 1, "quote\"": "line\nend", "empty": ""});
    let unicode = json!([unicode]).to_string();
    let check = |headers: &[(&str, &str)], body: &[u8], status: u16, text: &str| {
        let answer = http::request(tracer.address, "POST", "/api/v2/spans", headers, body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
        assert!(answer.text().starts_with(text), "{shown}: {}", answer.text());
    };
    let json_type = [("content-type", "application/json")];
    let gz = [("content-type", "application/json"), ("content-encoding", "gzip")];
    check(&json_type, b"[]", 202, "");
    check(&json_type, b"", 202, "");
    check(&json_type, good.as_bytes(), 202, "");
    check(&[], good.as_bytes(), 202, "");
    check(&[("content-type", "text/plain"), ("b3", "0")], good.as_bytes(), 202, "");
    check(&[("content-type", "application/json; charset=utf-8")], unicode.as_bytes(), 202, "");
    check(&gz, &gzip(good.as_bytes()), 202, "");
    let mut repetitive = span("3", "1", "a");
    repetitive["tags"] = json!({"body": "x".repeat(100_000)});
    check(&gz, &gzip(json!([repetitive]).to_string().as_bytes()), 202, "");
    check(&gz, &gzip(b""), 400, "Cannot gunzip spans");
    check(&gz, b"not gzip at all, and long enough", 400, "Cannot gunzip spans");
    check(&gz, &gzip(good.as_bytes())[..20], 400, "Cannot gunzip spans");
    check(
        &json_type,
        b"{\"traceId\":\"1\",\"id\":\"1\"}",
        400,
        "Expected a JSON_V2 encoded list\n",
    );
    check(&json_type, b"hello", 400, "Expected a JSON_V2 encoded list\n");
    check(
        &json_type,
        v1.as_bytes(),
        400,
        "Expected a JSON_V2 encoded list, but received: JSON_V1\n",
    );
    check(&json_type, b"[{\"id\":\"1\"}]", 400, "Missing : traceId");
    check(
        &json_type,
        bad_batch.to_string().as_bytes(),
        400,
        "xyz should be lower-hex encoded with no prefix",
    );
    assert_eq!(tracer.get("/api/v2/trace/7").status, 404, "one bad span refuses its whole message");
    let services = tracer.json("/api/v2/services");
    assert_eq!(services, json!(["a", "na\u{ef}ve\t\u{1f980}"]));
    let stored = tracer.json("/api/v2/trace/2");
    assert_eq!(stored[0]["tags"], json!({"n": "1", "quote\"": "line\nend", "empty": ""}));
}

#[test]
fn bodies_over_the_limit_are_refused_plain_and_inflated() {
    let (_folder, tracer) = tracer();
    let plain = vec![b' '; (10 << 20) + 1];
    assert_eq!(tracer.post_spans(&plain).status, 413);
    let bomb = gzip(&vec![b' '; (100 << 20) + 1]);
    let headers = [("content-encoding", "gzip")];
    assert_eq!(http::request(tracer.address, "POST", "/api/v2/spans", &headers, &bomb).status, 413);
    assert_eq!(tracer.post_spans(b"[]").status, 202);
    let refused = tracer.metric("sigyn_collect_messages_refused_total", "reason=\"too_large\"");
    assert_eq!(refused, Some(2.0));
}

#[test]
fn what_is_asked_and_what_is_answered() {
    let (_folder, tracer) = tracer();
    let trace_128 = "463ac35c9f6413ad48485a3953bb6124";
    let spans = json!([
        span("0000000000000001", "0000000000000001", "frontend"),
        span("0000000000000000000000000000000b", "2", "backend"),
        span(trace_128, "3", "backend"),
    ]);
    assert_eq!(tracer.post_spans(spans.to_string().as_bytes()).status, 202);
    let check = |path: &str, status: u16, text: &str| {
        let answer = tracer.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{path}");
    };
    let found = |path: &str, status: u16| assert_eq!(tracer.get(path).status, status, "{path}");
    check(
        "/api/v2/trace/0e8b46e1-81b",
        400,
        "0e8b46e1-81b should be lower-hex encoded with no prefix",
    );
    check("/api/v2/trace/ABC", 400, "ABC should be lower-hex encoded with no prefix");
    check("/api/v2/trace/0", 400, "traceId is all zeros");
    check("/api/v2/trace/f", 404, "000000000000000f not found");
    found("/api/v2/trace/1", 200);
    found("/api/v2/trace/0000000000000001%20", 200);
    found("/api/v2/trace/b", 200);
    found("/api/v2/trace/0000000000000000000000000000000b", 200);
    found(&format!("/api/v2/trace/{trace_128}"), 200);
    found("/zipkin/api/v2/trace/1", 200);

    check("/api/v2/spans", 400, "Mandatory parameter/header/attribute is missing: serviceName");
    check("/api/v2/spans?serviceName=", 200, "[]");
    check("/api/v2/spans?serviceName=FrontEnd", 200, r#"["get"]"#);
    check("/api/v2/remoteServices?serviceName=frontend", 200, "[]");
    check("/zipkin/api/v2/services", 200, r#"["backend","frontend"]"#);
    check("/api/v2/services?unknown=1", 200, r#"["backend","frontend"]"#);

    check("/api/v2/traceMany", 400, "Mandatory parameter/header/attribute is missing: traceIds");
    check("/api/v2/traceMany?traceIds=", 400, "traceIds parameter is empty");
    check(
        "/api/v2/traceMany?traceIds=1",
        400,
        "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace",
    );
    check("/api/v2/traceMany?traceIds=1,01", 400, "redundant traceId: 01");
    check("/api/v2/traceMany?traceIds=1,x", 400, "x should be lower-hex encoded with no prefix");
    check("/api/v2/traceMany?traceIds=d,e", 200, "[]");
    assert_eq!(tracer.json("/api/v2/traceMany?traceIds=1,b,e").as_array().unwrap().len(), 2);

    assert_eq!(tracer.json("/api/v2/traces").as_array().unwrap().len(), 3);
    assert_eq!(tracer.json("/api/v2/traces?limit=1").as_array().unwrap().len(), 1);
    assert_eq!(
        tracer.json("/api/v2/traces?serviceName=Backend&spanName=all").as_array().unwrap().len(),
        2
    );
    check("/api/v2/traces?limit=0", 400, "limit <= 0");
    check("/api/v2/traces?lookback=0", 400, "lookback <= 0");
    check("/api/v2/traces?endTs=0", 400, "endTs <= 0");
    check("/api/v2/traces?maxDuration=5", 400, "maxDuration is only valid with minDuration");
    check("/api/v2/traces?minDuration=9&maxDuration=5", 400, "maxDuration < minDuration");
    check("/api/v2/traces?limit=", 400, "Cannot set null to primitive type parameter: limit");
    check("/api/v2/traces?limit=x", 400, "For input string: \"x\"");
    check("/api/v2/dependencies", 400, "Mandatory parameter/header/attribute is missing: endTs");
    check("/api/v2/dependencies?endTs=0", 400, "endTs <= 0");
    check("/api/v2/dependencies?endTs=1&lookback=0", 400, "lookback <= 0");
    check("/api/v2/dependencies?endTs=1", 200, "[]");
    check(
        "/api/v2/autocompleteValues",
        400,
        "Mandatory parameter/header/attribute is missing: key",
    );
    check("/api/v2/autocompleteValues?key=", 400, "key was empty");
    check("/api/v2/autocompleteValues?key=nope", 200, "[]");
    check("/nowhere", 404, "404 Not Found");
    found("/api/v1/spans", 404);
    found("/api/v2/services?a=%zz", 400);
    found("/api/v2/trace/%zz", 400);
    found("/%", 400);
    assert_eq!(tracer.get("/api/v2/spans?serviceName=%zz").status, 400);
    for path in ["/api/v1/keys?prefix=%FF", "/api/v1/search?q=%zz", "/api/v1/%FF"] {
        let refused = tracer.get(path);
        assert_eq!(refused.status, 400, "{path}");
        let told: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!((&told["status"], &told["errorType"]), (&"error".into(), &"bad_data".into()));
    }
}

#[test]
fn headers_for_browsers_caches_and_proxies() {
    let (_folder, tracer) = tracer();
    let origin = [("origin", "http://elsewhere.example")];
    let answer = http::request(tracer.address, "GET", "/api/v2/services", &origin, b"");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let preflight = [
        ("origin", "http://elsewhere.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let answer = http::request(tracer.address, "OPTIONS", "/api/v2/spans", &preflight, b"");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET,POST"));
    for path in ["/", "/info", "/prometheus", "/zipkin/", "/api/v2/spans"] {
        let answer = http::request(tracer.address, "OPTIONS", path, &[], b"");
        assert_eq!(answer.status, 204, "{path}");
    }

    let home = tracer.get("/");
    assert_eq!((home.status, home.header("location")), (302, Some("/zipkin/")));
    assert_eq!(
        tracer.get("/zipkin/").header("content-type").unwrap().split(';').next(),
        Some("text/html")
    );
    let config = tracer.get("/zipkin/config.json");
    assert_eq!(config.header("cache-control"), Some("max-age=600"));
    assert_eq!(config.json()["queryLimit"], 10);
    assert_eq!(tracer.json("/health")["status"], "UP");
    assert!(tracer.json("/info")["zipkin"]["version"].is_string());

    assert_eq!(tracer.get("/api/v2/services").header("cache-control"), None);
    let spans: Vec<Value> =
        (1..=5).map(|n| span(&format!("{n}"), "1", &format!("service {n}"))).collect();
    tracer.post_spans(json!(spans).to_string().as_bytes());
    let cached = tracer.get("/api/v2/services");
    assert_eq!(cached.header("cache-control"), Some("max-age=300, must-revalidate"));

    let accept = [("accept-encoding", "gzip")];
    let many: Vec<Value> = (1..=100).map(|n| span("77", &format!("{n:x}"), "a")).collect();
    tracer.post_spans(json!(many).to_string().as_bytes());
    let packed = http::request(tracer.address, "GET", "/api/v2/trace/77", &accept, b"");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut plain = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut plain)
        .unwrap();
    assert_eq!(plain, tracer.get("/api/v2/trace/77").text());
}

#[test]
fn everything_is_served_under_a_route_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start_with(folder.path(), &["--web.route-prefix=/tracing"]);
    assert_eq!(tracer.get("/tracing/health").status, 200);
    assert_eq!(tracer.get("/tracing/-/ready").status, 200);
    assert_eq!(tracer.get("/tracing/api/v2/services").status, 200);
    let answer = http::post_json(tracer.address, "/tracing/api/v2/spans", b"[]");
    assert_eq!(answer.status, 202);
    assert_eq!(tracer.get("/health").status, 404);
    assert_eq!(tracer.get("/").header("location"), Some("/tracing/zipkin/"));
    assert_eq!(tracer.get("/tracing/").header("location"), Some("/tracing/zipkin/"));
    let page = tracer.get("/tracing/zipkin/");
    assert!(page.text().contains(r#"<base href="/tracing/""#), "{}", page.text());
}

#[test]
fn figures_for_prometheus_and_for_whoever_knew_zipkins() {
    let (_folder, tracer) = tracer();
    let spans = json!([span("1", "1", "a"), span("1", "2", "a")]).to_string();
    assert_eq!(tracer.post_spans(spans.as_bytes()).status, 202);
    assert_eq!(tracer.post_spans(b"[]").status, 202);
    assert_eq!(tracer.post_spans(b"[{}]").status, 400);
    assert_eq!(tracer.get("/zipkin/api/v2/trace/1").status, 200);
    assert_eq!(tracer.get("/api/v2/trace/2").status, 404);

    let page = tracer.get("/metrics");
    assert_eq!(page.header("content-type"), Some("application/json"));
    let figures = page.json();
    let keys: Vec<&str> = figures.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected: Vec<String> = Vec::new();
    for transport in ["http", "grpc"] {
        for name in ["messages", "messages_dropped", "bytes", "spans", "spans_dropped"] {
            expected.push(format!("counter.zipkin_collector.{name}.{transport}"));
        }
        for name in ["message_spans", "message_bytes"] {
            expected.push(format!("gauge.zipkin_collector.{name}.{transport}"));
        }
    }
    expected.sort();
    assert_eq!(keys, expected);
    assert_eq!(figures["counter.zipkin_collector.messages.http"], 3.0);
    assert_eq!(figures["counter.zipkin_collector.messages_dropped.http"], 1.0);
    assert_eq!(figures["counter.zipkin_collector.spans.http"], 2.0);

    let text = tracer.get("/prometheus");
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let is = |name: &str, part: &str, value: f64| {
        assert_eq!(tracer.metric(name, part), Some(value), "{name} {part}");
    };
    is("zipkin_collector_messages_total", "transport=\"http\"", 3.0);
    is("zipkin_collector_messages_total", "transport=\"grpc\"", 0.0);
    is("zipkin_collector_spans_total", "transport=\"http\"", 2.0);
    is("sigyn_store_appended_spans_total", "", 2.0);
    let count = "http_server_requests_seconds_count";
    is(count, "method=\"GET\",status=\"200\",uri=\"/api/v2/trace/{traceId}\"", 1.0);
    is(count, "method=\"GET\",status=\"404\",uri=\"NOT_FOUND\"", 1.0);
    is(count, "method=\"POST\",status=\"202\",uri=\"/api/v2/spans\"", 2.0);
    assert!(!text.text().contains("uri=\"/metrics\""));
    assert!(text.text().contains("http_server_requests_seconds_bucket{"));
    assert_eq!(tracer.get("/actuator/prometheus").status, 200);
    assert_eq!(http::request(tracer.address, "POST", "/prometheus", &[], b"").status, 405);

    let scraper = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.2")];
    let answer = http::request(tracer.address, "GET", "/metrics", &scraper, b"");
    assert!(answer.text().ends_with("# EOF\n"));
}

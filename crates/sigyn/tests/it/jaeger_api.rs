//! Jaeger's query API: what its web UI and Grafana's data source ask for.

use serde_json::{Value, json};

use crate::http;
use crate::program::Tracer;

/// A client and a server in two services, ten seconds ago, one of them failed.
fn tracer() -> (tempfile::TempDir, Tracer, u64) {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let at = u64::try_from(now.as_micros()).unwrap() - 10_000_000;
    let trace = "463ac35c9f6413ad48485a3953bb6124";
    let spans = json!([
        {"traceId": trace, "id": "1", "kind": "CLIENT", "name": "get /cart", "timestamp": at, "duration": 2000,
         "localEndpoint": {"serviceName": "web"}, "tags": {"http.method": "GET", "note": "this and that"}},
        {"traceId": trace, "id": "2", "parentId": "1", "kind": "SERVER", "name": "cart", "timestamp": at + 500,
         "duration": 1000, "localEndpoint": {"serviceName": "shop"}, "tags": {"error": "no such cart"},
         "annotations": [{"timestamp": at + 600, "value": "lookup"}]},
        {"traceId": "b", "id": "b", "name": "tick", "timestamp": at + 5000, "duration": 50,
         "localEndpoint": {"serviceName": "web"}},
    ]);
    assert_eq!(tracer.post_spans(spans.to_string().as_bytes()).status, 202);
    (folder, tracer, at)
}

fn ids(answer: &Value) -> Vec<String> {
    let traces = answer["data"].as_array().unwrap();
    traces.iter().map(|trace| trace["traceID"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn names_are_listed_in_jaegers_envelope() {
    let (_folder, tracer, _) = tracer();
    let services = r#"{"data":["shop","web"],"total":2,"limit":0,"offset":0,"errors":null}"#;
    assert_eq!(tracer.get("/api/services").text(), services);
    let operations = tracer.json("/api/services/web/operations");
    assert_eq!(operations["data"], json!(["get /cart", "tick"]));
    let operations = tracer.json("/api/operations?service=shop&spanKind=server");
    assert_eq!(operations["data"], json!([{"name": "cart", "spanKind": ""}]));
    assert_eq!(tracer.json("/api/services/nobody/operations")["data"], json!([]));
    let refused = tracer.get("/api/operations");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["errors"][0]["msg"], "parameter 'service' is required");
}

#[test]
fn traces_are_found_by_what_they_hold() {
    let (_folder, tracer, at) = tracer();
    let long = "463ac35c9f6413ad48485a3953bb6124";
    let found = |query: &str, expected: &[&str]| {
        assert_eq!(ids(&tracer.json(&format!("/api/traces?{query}"))), expected, "{query}");
    };
    let short = "000000000000000b";
    found("service=web", &[short, long]);
    found("service=web&limit=1", &[short]);
    found("service=web&operation=tick", &[short]);
    found("service=shop&tags=%7B%22error%22%3A%22true%22%7D", &[long]);
    found("service=web&tag=http.method:GET", &[long]);
    found("service=web&tags=%7B%22note%22%3A%22this%20and%20that%22%7D", &[long]);
    found("service=web&tag=http.method:POST", &[]);
    found("service=web&minDuration=1.5ms", &[long]);
    found("service=web&maxDuration=100us", &[short]);
    found(&format!("service=web&start={}&end={}", at, at + 999), &[long]);
    found(&format!("service=web&start={}&end={}&lookback=1h", at - 9_000, at - 8_000), &[]);
    for (query, says) in [
        ("", "parameter 'service' is required"),
        ("service=web&minDuration=x", "unable to parse param 'minDuration'"),
        ("service=web&limit=-1", "'limit' is -1: it must be 1 or more"),
    ] {
        let refused = tracer.get(&format!("/api/traces?{query}"));
        assert_eq!(refused.status, 400, "{query}");
        let text = refused.json()["errors"][0]["msg"].as_str().unwrap().to_owned();
        assert!(text.starts_with(says), "{query}: {text}");
    }
}

#[test]
fn a_trace_that_is_asked_for_twice_is_answered_once() {
    let (_folder, tracer, _) = tracer();
    let answer = tracer.json("/api/traces?traceID=b&traceID=00b&traceID=c&traceID=B&traceID=c");
    assert_eq!(ids(&answer), ["000000000000000b"]);
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(answer["errors"][0]["traceID"], "c");
}

#[test]
fn one_trace_is_read_as_jaeger_shows_it() {
    let (_folder, tracer, at) = tracer();
    let id = "463ac35c9f6413ad48485a3953bb6124";
    let answer = tracer.json(&format!("/api/traces/{id}"));
    assert_eq!(ids(&answer), [id]);
    let trace = &answer["data"][0];
    let server = trace["spans"].as_array().unwrap().iter().find(|s| s["operationName"] == "cart");
    let server = server.unwrap();
    assert_eq!(server["startTime"], at + 500);
    assert_eq!(server["duration"], 1_000);
    assert_eq!(server["references"][0]["refType"], "CHILD_OF");
    assert_eq!(server["references"][0]["spanID"], "0000000000000001");
    assert_eq!(server["logs"][0]["timestamp"], at + 600);
    let process = trace["processes"][server["processID"].as_str().unwrap()].clone();
    assert_eq!(process["serviceName"], "shop");

    let missing = tracer.get("/api/traces/f00");
    assert_eq!(missing.status, 404);
    let text = r#"{"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":404,"msg":"trace not found"}]}"#;
    assert_eq!(missing.text(), text);
    assert_eq!(tracer.get("/api/traces/nonsense").status, 400);
    let several = tracer.json(&format!("/api/traces?traceID={id}&traceID=B&traceID=f00"));
    assert_eq!(ids(&several), [id, "000000000000000b"]);
    assert_eq!(several["errors"][0]["traceID"], "f00");
}

#[test]
fn links_and_what_there_is_not() {
    let (_folder, tracer, at) = tracer();
    let end = at / 1_000 + 60_000;
    let links = tracer.json(&format!("/api/dependencies?endTs={end}&lookback=3600000"));
    assert_eq!(links["data"], json!([{"parent": "web", "child": "shop", "callCount": 1}]));
    let links = tracer.json(&format!("/api/dependencies?endTs={end}&service=nobody"));
    assert_eq!(links["data"], json!([]));
    assert_eq!(tracer.get("/api/metrics/calls").status, 501);
    assert_eq!(tracer.get("/api/dependencies?endTs=x").status, 400);
}

#[test]
fn what_cannot_be_decoded_is_told_in_the_form_of_the_route() {
    let (_folder, tracer, _) = tracer();
    for path in [
        "/api/traces?service=%FF",
        "/api/traces/%FF",
        "/api/services/%zz/operations",
        "/api/operations?service=%",
        "/api/dependencies?endTs=%FF",
    ] {
        let refused = tracer.get(path);
        let answer = refused.json();
        assert_eq!((refused.status, &answer["data"]), (400, &Value::Null), "{path}");
        assert_eq!(answer["errors"][0]["code"], 400, "{path}");
        let message = answer["errors"][0]["msg"].as_str().unwrap();
        assert!(message.contains("bad percent-encoding"), "{path}: {message}");
    }
    let refused = tracer.get("/api/v3/traces?query.service_name=%FF");
    assert_eq!((refused.status, &refused.json()["error"]["httpCode"]), (400, &json!(400)));
    // Zipkin's say it as Zipkin does.
    let refused = tracer.get("/api/v2/traces?serviceName=%FF");
    assert!(refused.text().starts_with("cannot decode"), "{}", refused.text());
}

#[test]
fn version_three_answers_with_otlp() {
    let (_folder, tracer, _) = tracer();
    assert_eq!(tracer.json("/api/v3/services"), json!({"services": ["shop", "web"]}));
    let operations = tracer.json("/api/v3/operations?service=shop");
    assert_eq!(operations, json!({"operations": [{"name": "cart", "spanKind": ""}]}));
    let trace = tracer.json("/api/v3/traces/463ac35c9f6413ad48485a3953bb6124");
    assert_eq!(trace["result"]["resourceSpans"].as_array().unwrap().len(), 2);
    let from = "2001-01-01T00:00:00Z";
    let to = "2101-01-01T00:00:00Z";
    let query = format!(
        "query.service_name=web&query.operation_name=tick&query.start_time_min={from}&query.start_time_max={to}&query.search_depth=5"
    );
    let found = tracer.json(&format!("/api/v3/traces?{query}"));
    assert_eq!(found["result"]["resourceSpans"].as_array().unwrap().len(), 1);
    let missing = tracer.get("/api/v3/traces/f00");
    assert_eq!((missing.status, missing.json()["error"]["httpCode"].clone()), (404, json!(404)));
    assert_eq!(tracer.get("/api/v3/traces?query.start_time_min=soon").status, 400);
}

/// A call over HTTP/1.1 in gRPC-Web's form: status in the answer's last frame.
fn call(tracer: &Tracer, method: &str, message: &[u8]) -> (Vec<Vec<u8>>, String) {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let path = format!("/jaeger.api_v3.QueryService/{method}");
    let headers = [("content-type", "application/grpc-web+proto")];
    let answer = http::request(tracer.address, "POST", &path, &headers, &body);
    let status = answer.header("grpc-status").map(str::to_owned);
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    let mut rest = &answer.body[..];
    while let [flag, a, b, c, d, behind @ ..] = rest {
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap();
        let (frame, behind) = behind.split_at(length);
        match flag & 0x80 {
            0 => messages.push(frame.to_vec()),
            _ => trailers = String::from_utf8_lossy(frame).into_owned(),
        }
        rest = behind;
    }
    (messages, status.unwrap_or(trailers))
}

#[test]
fn version_three_over_grpc() {
    let (_folder, tracer, _) = tracer();
    let (messages, status) = call(&tracer, "GetServices", b"");
    assert_eq!(messages, [b"\x0a\x04shop\x0a\x03web".to_vec()], "{status}");
    assert!(status.contains("grpc-status:0"), "{status}");
    let (messages, _) = call(&tracer, "GetOperations", b"\x0a\x04shop");
    assert_eq!(messages, [b"\x0a\x06\x0a\x04cart".to_vec()]);
    let (messages, _) = call(&tracer, "FindTraces", b"\x0a\x05\x0a\x03web");
    assert_eq!(messages.len(), 2);
    let (messages, _) = call(&tracer, "GetTrace", b"\x0a\x01b");
    let spans = sigyn_model::codec::otlp::decode(&messages[0]).unwrap().spans;
    assert_eq!(spans[0].name, "tick");
    let (messages, status) = call(&tracer, "GetTrace", b"\x0a\x03f00");
    assert_eq!((messages.len(), status.as_str()), (0, "5"));
}

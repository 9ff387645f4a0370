//! Zipkin's environment variables, seen from outside.

use serde_json::{Value, json};

use crate::http;
use crate::program::{Tracer, command};

/// A span now, with a tag, so that default windows find it.
fn spans() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = u64::try_from(now.as_micros()).unwrap();
    let span = |id: &str, service: &str, remote: &str| {
        json!({
            "traceId": "1", "id": id, "name": "get", "kind": "CLIENT", "timestamp": now, "duration": 5,
            "localEndpoint": {"serviceName": service}, "remoteEndpoint": {"serviceName": remote},
            "tags": {"zone": "north", "secret": "x"},
        })
    };
    json!([span("1", "web", "shop")]).to_string()
}

/// A tracer with these variables and one stored span.
fn tracer(variables: &[(&str, &str)]) -> (tempfile::TempDir, Tracer) {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start_in(folder.path(), &[], variables);
    let answer = tracer.post_spans(spans().as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
    (folder, tracer)
}

#[test]
fn a_variable_that_cannot_be_honoured_stops_the_start() {
    let check = |name: &str, value: &str, says: &str| {
        let output = command().args(["serve"]).env(name, value).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}={value}: {stderr}");
        assert!(stderr.contains(name) && stderr.contains(says), "{name}={value}: {stderr}");
    };
    check("STORAGE_TYPE", "elasticsearch", "sigyn import");
    check("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092", "not read from queues");
    check("QUERY_ENABLED", "maybe", "neither true nor false");
    check("COLLECTOR_SAMPLE_RATE", "1.1", "from 0 to 1");
}

#[test]
fn what_has_no_effect_is_in_the_log() {
    let variables = [("STORAGE_TYPE", "mem"), ("JAVA_OPTS", "-Xmx64m")];
    let (_folder, tracer) = tracer(&variables);
    let log = tracer.log();
    assert!(log.contains("JAVA_OPTS is set and not used"), "{log}");
    assert!(log.contains("STORAGE_TYPE=mem"), "{log}");
}

#[test]
fn without_search_names_and_traces_are_empty_and_the_rest_works() {
    let (_folder, tracer) = tracer(&[("SEARCH_ENABLED", "false"), ("AUTOCOMPLETE_KEYS", "zone")]);
    for path in [
        "/api/v2/services",
        "/api/v2/spans?serviceName=web",
        "/api/v2/remoteServices?serviceName=web",
        "/api/v2/traces",
        "/api/v2/autocompleteValues?key=zone",
    ] {
        assert_eq!(tracer.json(path), json!([]), "{path}");
    }
    assert_eq!(tracer.json("/api/services")["data"], json!([]));
    assert_eq!(tracer.json("/api/traces?service=web")["data"], json!([]));
    assert_eq!(tracer.get("/api/v1/search").status, 404);
    assert_eq!(tracer.get("/api/v2/traces?limit=0").status, 400);
    assert_eq!(tracer.json("/api/v2/autocompleteKeys"), json!(["zone"]));
    assert_eq!(tracer.json("/api/v2/trace/1")[0]["name"], "get");
    assert_eq!(tracer.json("/api/v2/traceMany?traceIds=1,2").as_array().unwrap().len(), 1);
    let links = tracer.json("/api/v2/dependencies?endTs=9999999999999&lookback=9999999999999");
    assert_eq!(links[0]["child"], "shop");
    assert_eq!(tracer.json("/zipkin/config.json")["searchEnabled"], json!(false));
}

#[test]
fn every_search_looks_back_as_far_as_is_said() {
    let (_folder, tracer) = tracer(&[("QUERY_LOOKBACK", "60000")]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let soon = now.as_millis() + 120_000;
    let found = |parameters: &str| {
        let ours = tracer.json(&format!("/api/v1/search?{parameters}"));
        let zipkins = tracer.json(&format!("/api/v2/traces?{parameters}"));
        assert_eq!(
            ours["data"]["traces"].as_array().map(Vec::len),
            zipkins.as_array().map(Vec::len)
        );
        zipkins.as_array().unwrap().len()
    };
    assert_eq!(found(""), 1);
    assert_eq!(found(&format!("endTs={soon}")), 0);
    assert_eq!(found(&format!("endTs={soon}&lookback=180000")), 1);
}

#[test]
fn exactly_the_configured_keys_are_completed() {
    let (_folder, tracer) = tracer(&[("AUTOCOMPLETE_KEYS", "zone,colour")]);
    let keys = tracer.get("/api/v2/autocompleteKeys");
    assert_eq!(keys.json(), json!(["colour", "zone"]));
    assert_eq!(keys.header("cache-control"), Some("max-age=300, must-revalidate"));
    assert_eq!(tracer.json("/api/v2/autocompleteValues?key=zone"), json!(["north"]));
    assert_eq!(tracer.json("/api/v2/autocompleteValues?key=colour"), json!([]));
    assert_eq!(tracer.json("/api/v2/autocompleteValues?key=secret"), json!([]));
    // Our own UI completes whatever is stored.
    assert_eq!(tracer.json("/api/v1/tags")["data"], json!(["secret", "zone"]));
    assert_eq!(tracer.json("/api/v1/tags/values?key=secret")["data"], json!(["x"]));
}

#[test]
fn without_queries_only_collecting_and_health_are_left() {
    let (_folder, tracer) = tracer(&[("QUERY_ENABLED", "false")]);
    for path in ["/api/v2/services", "/zipkin/api/v2/services", "/api/v2/trace/1", "/zipkin/", "/"]
    {
        assert_eq!(tracer.get(path).status, 404, "{path}");
    }
    assert_eq!(tracer.get("/zipkin/config.json").status, 404);
    assert_eq!(tracer.get("/health").status, 200);
}

#[test]
fn without_its_ui_the_server_still_answers() {
    let (_folder, tracer) = tracer(&[("UI_ENABLED", "false")]);
    assert_eq!(tracer.get("/zipkin/").status, 404);
    assert_eq!(tracer.get("/").status, 404);
    assert_eq!(tracer.json("/zipkin/api/v2/services"), json!(["web"]));
}

#[test]
fn only_allowed_origins_get_headers_and_everyone_gets_an_answer() {
    let variables = [("ZIPKIN_QUERY_ALLOWED_ORIGINS", "http://a.test,http://b.test")];
    let (_folder, tracer) = tracer(&variables);
    let ask = |origin: &str| {
        http::request(tracer.address, "GET", "/api/v2/services", &[("origin", origin)], b"")
    };
    let allowed = ask("http://b.test");
    assert_eq!(allowed.header("access-control-allow-origin"), Some("http://b.test"));
    assert_eq!(allowed.header("vary"), Some("origin"));
    let headers = allowed.header("access-control-allow-headers");
    assert_eq!(headers, Some("content-type,x-grpc-web"));
    let exposed = "grpc-status,grpc-message,armeria.grpc.throwableproto-bin,sigyn-warning";
    assert_eq!(allowed.header("access-control-expose-headers"), Some(exposed));
    let other = ask("http://c.test");
    assert_eq!((other.status, other.json()), (200, json!(["web"])));
    for name in ["access-control-allow-origin", "access-control-allow-headers", "vary"] {
        assert_eq!(other.header(name), None, "{name}");
    }
}

#[test]
fn the_uis_settings_and_its_place_behind_a_proxy() {
    let variables = [
        ("ZIPKIN_UI_ENVIRONMENT", "stage"),
        ("ZIPKIN_UI_QUERY_LIMIT", "20"),
        ("ZIPKIN_UI_LOGS_URL", "http://logs.test/{traceId}"),
        ("ZIPKIN_UI_BASEPATH", "/admin/zipkin"),
    ];
    let (_folder, tracer) = tracer(&variables);
    let answer = tracer.get("/zipkin/config.json");
    let config: Value = answer.json();
    assert_eq!(config["environment"], "stage");
    assert_eq!(config["queryLimit"], 20);
    assert_eq!(config["logsUrl"], "http://logs.test/{traceId}");
    assert_eq!(config["archiveUrl"], Value::Null);
    let known = [("if-none-match", answer.header("etag").unwrap())];
    let again = http::request(tracer.address, "GET", "/zipkin/config.json", &known, b"");
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert!(tracer.get("/zipkin/").text().contains(r#"<base href="/admin/""#));
}

#[test]
fn a_folder_with_zipkins_ui_is_served_by_zipkins_rules() {
    let folder = tempfile::tempdir().unwrap();
    let ui = folder.path().join("ui");
    std::fs::create_dir_all(ui.join("static/js")).unwrap();
    let page =
        r#"<html><head><base href="/zipkin/"><link href="/zipkin/favicon.ico"></head></html>"#;
    std::fs::write(ui.join("index.html"), page).unwrap();
    std::fs::write(ui.join("favicon.ico"), "icon").unwrap();
    std::fs::write(ui.join("static/js/a.js"), "let a = 1;".repeat(1_000)).unwrap();
    let flag = format!("--web.ui-dir={}", ui.display());
    let tracer = Tracer::start_with(folder.path(), &[&flag]);

    for path in [
        "/zipkin/",
        "/zipkin/index.html",
        "/zipkin/dependency",
        "/zipkin/traceViewer",
        "/zipkin/traces/1",
    ] {
        let answer = tracer.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (200, page), "{path}");
        assert_eq!(answer.header("cache-control"), Some("max-age=60"), "{path}");
    }
    let gzip = [("accept-encoding", "gzip")];
    let script = http::request(tracer.address, "GET", "/zipkin/static/js/a.js", &gzip, b"");
    assert_eq!(script.header("content-type"), Some("application/javascript"));
    assert_eq!(script.header("content-encoding"), Some("gzip"));
    assert_eq!(script.header("cache-control"), Some("max-age=31536000"));
    let known = [("if-none-match", script.header("etag").unwrap())];
    let again = http::request(tracer.address, "GET", "/zipkin/static/js/a.js", &known, b"");
    assert_eq!(again.status, 304);
    let head = http::request(tracer.address, "HEAD", "/zipkin/", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(tracer.get("/zipkin/config.json").json()["queryLimit"], 10);
    assert_eq!(tracer.get("/zipkin/api/v2/services").json(), json!([]));
    for (path, to) in
        [("/", "/zipkin/"), ("/zipkin", "/zipkin/"), ("/favicon.ico", "/zipkin/favicon.ico")]
    {
        let answer = tracer.get(path);
        assert_eq!((answer.status, answer.header("location")), (302, Some(to)), "{path}");
    }
    for path in ["/zipkin/nothing", "/zipkin/..%2f..%2fsigyn.yml", "/zipkin/static", "/targets"] {
        assert_eq!(tracer.get(path).status, 404, "{path}");
    }
    assert_eq!(http::post_json(tracer.address, "/zipkin/api/v2/spans", b"[]").status, 405);
    assert_eq!(http::post_json(tracer.address, "/zipkin/dependency", b"[]").status, 405);
}

#[test]
fn a_folder_without_a_ui_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let flag = format!("--web.ui-dir={}", folder.path().display());
    let listen = "--web.listen-address=127.0.0.1:0";
    let output = command().current_dir(folder.path()).args(["serve", listen, &flag]).output();
    let output = output.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("index.html"));
    assert!(!folder.path().join("data").exists(), "told before the store is opened");
}

#[test]
fn without_strictness_either_form_of_an_id_finds_the_whole_trace() {
    let folder = tempfile::tempdir().unwrap();
    let start = |strict: &str| Tracer::start_in(folder.path(), &[], &[("STRICT_TRACE_ID", strict)]);
    let (long, short) = ("463ac35c9f6413ad48485a3953bb6124", "48485a3953bb6124");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let span = |trace: &str, id: &str| {
        json!({"traceId": trace, "id": id, "timestamp": u64::try_from(now.as_micros()).unwrap(),
               "localEndpoint": {"serviceName": "a"}})
    };
    let tracer = start("false");
    let spans = json!([span(long, "1"), span(short, "2")]).to_string();
    assert_eq!(tracer.post_spans(spans.as_bytes()).status, 202);
    let check = |tracer: &Tracer, by_id: usize, many: usize, found: usize| {
        let count = |path: &str| tracer.json(path).as_array().unwrap().len();
        assert_eq!(count(&format!("/api/v2/trace/{long}")), by_id);
        assert_eq!(count(&format!("/api/v2/trace/{short}")), by_id);
        assert_eq!(count(&format!("/api/v2/traceMany?traceIds={long},{short}")), many);
        assert_eq!(count("/api/v2/traces"), found);
    };
    check(&tracer, 2, 1, 1);
    let other = format!("/api/v2/trace/0000000000000001{short}");
    assert_eq!(tracer.json(&other).as_array().unwrap().len(), 2);
    let ids: Vec<Value> =
        tracer.json(&other).as_array().unwrap().iter().map(|s| s["traceId"].clone()).collect();
    assert!(ids.contains(&json!(long)) && ids.contains(&json!(short)), "spans keep their ids");
    tracer.stop();
    let tracer = start("true");
    check(&tracer, 1, 2, 2);
    assert_eq!(tracer.get(&other).status, 404);
}

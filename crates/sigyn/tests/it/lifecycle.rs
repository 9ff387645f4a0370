//! Starting, reloading and stopping, as operators and their scripts do it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde_json::json;

use crate::http;
use crate::program::{DEADLINE, Tracer, command, until};
use crate::service::Service;

#[test]
fn starts_empty_without_a_file_and_stops_on_sigterm_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    assert!(tracer.log().contains("no configuration file"), "{}", tracer.log());
    assert_eq!(tracer.get("/-/healthy").status, 200);
    assert_eq!(tracer.get("/-/ready").status, 200);
    assert_eq!(tracer.post_spans(br#"[{"traceId":"a","id":"1"}]"#).status, 202);
    let (status, took) = tracer.stop();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let tracer = Tracer::start(folder.path());
    assert_eq!(tracer.get("/api/v2/trace/a").status, 200);
}

#[test]
fn a_scrape_under_way_is_stored_before_the_end_and_readiness_says_that_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let (asked_tx, asked) = sync_channel(0);
    let (answer, wanted) = sync_channel::<()>(0);
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        asked_tx.send(()).unwrap();
        wanted.recv().unwrap();
        let body = r#"[{"traceId":"c","id":"1"}]"#;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
        write!(stream, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 20s, scrape_timeout: 20s}}\nscrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{target}']}}]\n"
    );
    fs::write(folder.path().join("sigyn.yml"), config).unwrap();
    let tracer = Tracer::start(folder.path());
    asked.recv_timeout(DEADLINE).unwrap();
    assert_eq!(tracer.get("/-/ready").status, 200);
    tracer.signal("TERM");
    let stopping = until("it is not ready", || {
        let ready = tracer.get("/-/ready");
        (ready.status == 503).then_some(ready)
    });
    assert_eq!(stopping.header("x-prometheus-stopping"), Some("true"));
    until("told", || tracer.log().contains("waiting for scrapes that are under way").then_some(()));
    answer.send(()).unwrap();
    assert_eq!(tracer.ended().code(), Some(0));
    let tracer = Tracer::start(folder.path());
    assert_eq!(tracer.get("/api/v2/trace/c").status, 200);
}

#[test]
fn damage_is_told_wherever_one_looks_and_the_rest_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    assert_eq!(tracer.get("/-/ready").text(), "Sigyn is Ready.\n");
    for id in ["a", "b"] {
        let body = format!(r#"[{{"traceId":"{id}","id":"1"}}]"#);
        assert_eq!(tracer.post_spans(body.as_bytes()).status, 202);
    }
    tracer.stop();
    let log = folder.path().join("data/wal/00000000000000000001.wal");
    let mut bytes = fs::read(&log).unwrap();
    bytes[85] ^= 1;
    fs::write(&log, bytes).unwrap();
    let tracer = Tracer::start(folder.path());
    let ready = tracer.get("/-/ready");
    let told =
        "Sigyn is Ready.\nWarning: 1 file is damaged in the store, see /api/v1/status/store.\n";
    assert_eq!((ready.status, ready.text().as_str()), (200, told));
    // Every share of the memory for spans is told in both places.
    let memory = tracer.json("/api/v1/status/store")["data"]["memory"].clone();
    let names = ["answers", "cache", "heads", "making", "pushed", "queue", "scraped"];
    assert!(memory["shares"].as_object().unwrap().keys().eq(names), "{memory}");
    for name in names {
        let label = format!("share=\"{name}\"");
        let max = tracer.metric("sigyn_store_share_bytes", &label);
        assert_eq!(max, memory["shares"][name]["maxBytes"].as_f64(), "{name}");
        let used = tracer.metric("sigyn_store_share_used_bytes", &label);
        assert!(used <= max && used.is_some(), "{name}: {used:?} of {max:?}");
    }
    let damaged = tracer.json("/api/v1/status/store")["data"]["damaged"].clone();
    assert_eq!(damaged[0]["file"], "wal/00000000000000000001.wal");
    assert_eq!(tracer.metric("sigyn_store_damaged_files", ""), Some(1.0));
    assert_eq!(tracer.get("/api/v2/trace/a").status, 404);
    assert_eq!(tracer.get("/api/v2/trace/b").status, 200);
}

#[test]
fn an_answer_that_lacks_a_block_says_so_and_no_longer_when_the_block_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start_with(folder.path(), &["--web.enable-admin-api"]);
    let span = |id: &str| {
        format!(
            r#"{{"traceId":"{id}","id":"1","timestamp":1000000,"duration":5,"localEndpoint":{{"serviceName":"shop"}}}}"#
        )
    };
    let body = format!("[{},{}]", span("a"), span("b"));
    assert_eq!(tracer.post_spans(body.as_bytes()).status, 202);
    let seal = "/api/v1/admin/store/seal";
    assert_eq!(http::request(tracer.address, "POST", seal, &[], b"").status, 204);
    let blocks = fs::read_dir(folder.path().join("data/blocks")).unwrap();
    let block = blocks.map(|file| file.unwrap().path()).next().unwrap();
    let away = folder.path().join("away");
    fs::rename(&block, &away).unwrap();
    let search = "/api/v1/search?endTs=2000&lookback=2000";
    let answer = tracer.json(search);
    assert_eq!((&answer["status"], &answer["data"]["traces"]), (&"success".into(), &json!([])));
    let told =
        "1 block cannot be read: its spans are missing from this answer, see /api/v1/status/store";
    for path in [search, "/api/v1/red", "/api/v1/keys", "/api/v1/tags"] {
        assert_eq!(tracer.json(path)["warnings"], json!([told]), "{path}");
    }
    let links = ["/api/v2/dependencies?endTs=2000&lookback=2000", "/api/dependencies?endTs=2000"];
    for path in links {
        assert_eq!(tracer.get(path).header("sigyn-warning"), Some(told), "{path}");
    }
    let server = tracer.address.to_string();
    let output = command().args(["query", "--server", &server, "links"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{output:?}");
    let deleted = http::request(tracer.address, "DELETE", "/api/v1/traces/b", &[], b"");
    assert_eq!(deleted.status, 202);
    assert!(deleted.text().contains("no trace that can be read has the id"), "{}", deleted.text());
    fs::rename(&away, &block).unwrap();
    until("the block is back", || tracer.json(search)["warnings"].is_null().then_some(()));
    assert_eq!(tracer.get(links[0]).header("sigyn-warning"), None);
    assert_eq!(tracer.json(search)["data"]["traces"].as_array().map(Vec::len), Some(1));
    assert_eq!(tracer.get("/api/v2/trace/b").status, 404);
    assert_eq!(tracer.get("/-/ready").text(), "Sigyn is Ready.\n");
    assert_eq!(tracer.metric("sigyn_store_damaged_files", ""), Some(0.0));
}

#[test]
fn a_trace_is_deleted_by_its_id_where_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let delete = |tracer: &Tracer, id: &str| {
        let path = format!("/api/v1/traces/{id}");
        http::request(tracer.address, "DELETE", &path, &[], b"").status
    };
    let tracer = Tracer::start(folder.path());
    for id in ["a", "b"] {
        let body = format!(r#"[{{"traceId":"{id}","id":"1"}}]"#);
        assert_eq!(tracer.post_spans(body.as_bytes()).status, 202);
    }
    assert_eq!(delete(&tracer, "a"), 503);
    assert_eq!(tracer.get("/api/v2/trace/a").status, 200);
    tracer.stop();
    let tracer = Tracer::start_with(folder.path(), &["--web.enable-admin-api"]);
    assert_eq!((delete(&tracer, "x"), delete(&tracer, "c"), delete(&tracer, "a")), (400, 404, 204));
    assert_eq!(tracer.get("/api/v2/trace/a").status, 404);
    assert_eq!(tracer.get("/api/v2/trace/b").status, 200);
    assert_eq!(tracer.metric("sigyn_store_deleted_traces_total", ""), Some(1.0));
    tracer.kill();
    let tracer = Tracer::start(folder.path());
    assert_eq!(tracer.get("/api/v2/trace/a").status, 404);
    assert_eq!(tracer.get("/api/v2/trace/b").status, 200);
    until("the disk is rid of it", || {
        let name = "sigyn_store_block_spans";
        (tracer.metric(name, "").unwrap() < 2.0).then_some(())
    });
}

#[test]
fn a_trace_that_is_too_large_to_be_held_hides_no_other_and_can_be_deleted() {
    const SPANS: u64 = 40_000;
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--web.enable-admin-api", "--storage.memory=96MiB"];
    let tracer = Tracer::start_with(folder.path(), &flags);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let start = now.as_micros() - 1_000_000;
    let push = |trace: &str, from: u64, to: u64| {
        let span = |id| format!(r#"{{"traceId":"{trace}","id":"{id:x}","timestamp":{start}}}"#);
        let spans: Vec<String> = (from..to).map(span).collect();
        let body = format!("[{}]", spans.join(","));
        until("the spans are taken", || {
            let status = tracer.post_spans(body.as_bytes()).status;
            (status == 202).then_some(())
        });
    };
    push("a", 1, 3);
    for from in (1..SPANS).step_by(1_000) {
        push("b", from, from + 1_000);
    }
    for path in ["/api/v1/search?limit=1", "/api/v1/search?q=trace.spans%3C100"] {
        let found = &tracer.json(path)["data"];
        assert_eq!(found["traces"].as_array().unwrap().len(), 1, "{path}: {found}");
        assert_eq!(found["traces"][0]["traceId"], "000000000000000a");
        assert_eq!((&found["tooLarge"], &found["limited"]), (&1.into(), &false.into()));
    }
    assert_eq!(tracer.json("/api/v2/traces").as_array().unwrap().len(), 1);
    // Rows of it are.
    let rows = |range: &str| -> Vec<(u64, String)> {
        let rows = tracer.json(&format!("/api/v1/trace/b/spans?rows={range}"));
        let row = |row: &serde_json::Value| {
            (row["row"].as_u64().unwrap(), row["span"]["id"].as_str().unwrap().to_owned())
        };
        rows.as_array().unwrap().iter().map(row).collect()
    };
    let last = |row: u64| (row, format!("{:016x}", row + 1));
    let of_head = rows("39998-40400");
    assert_eq!(of_head, [last(39_998), last(39_999)]);
    let sealed = http::request(tracer.address, "POST", "/api/v1/admin/store/seal", &[], b"");
    assert_eq!(sealed.status, 204, "{}", sealed.text());
    assert_eq!(rows("39998-40400"), of_head);
    // What would do is told, and does.
    let paths = ["v1/trace/b/columns", "v2/trace/b"].map(|path| format!("/api/{path}"));
    let wanted = |path: &str| -> String {
        let answer = tracer.get(path);
        assert_eq!(answer.status, 413, "{path}");
        let told = answer.text();
        let may = "one answer may take 8 MiB, an eighth of --storage.memory less 32 MiB: ";
        assert!(told.contains(may), "{path}: {told}");
        let wanted = told.split(' ').find(|word| word.starts_with("--storage.memory="));
        wanted.unwrap_or_else(|| panic!("{path}: {told}")).to_owned()
    };
    let wanted = paths.each_ref().map(|path| wanted(path));
    let server = tracer.address.to_string();
    for question in [&["heatmap"][..], &["differences", "--select", "error"]] {
        // No columns tell whether a trace has no such span.
        let filter = ["-w", "not { error }"];
        let mut command = command();
        command.args(["query", "--server", &server]).args(question).args(filter);
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains("Left out: 1 trace that is too large to be held"), "{told}");
    }
    tracer.stop();
    for (path, memory) in paths.iter().zip(&wanted) {
        let tracer = Tracer::start_with(folder.path(), &[memory.as_str()]);
        assert_eq!(tracer.get(path).status, 200, "{path} {memory}");
        tracer.stop();
    }
    let tracer = Tracer::start_with(folder.path(), &flags);
    let deleted = http::request(tracer.address, "DELETE", "/api/v1/traces/b", &[], b"");
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let found = &tracer.json("/api/v1/search")["data"];
    assert_eq!((found["traces"].as_array().unwrap().len(), found.get("tooLarge")), (1, None));
    assert_eq!(tracer.get("/api/v2/trace/b").status, 404);
    assert_eq!(tracer.get("/api/v2/trace/a").status, 200);
}

#[test]
fn a_second_tracer_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _tracer = Tracer::start(folder.path());
    let data = format!("--storage.path={}", folder.path().join("data").display());
    let loopback = ["--web.listen-address=127.0.0.1:0", "--otlp.grpc.listen-address="];
    let mut second = command();
    second.arg("serve").args(loopback).args(["--otlp.http.listen-address=", &data]);
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told.matches("cannot open the store").count(), 1, "{told}");
}

#[test]
fn reload_by_signal_and_by_request_takes_all_or_nothing() {
    let (one, two) = (Service::start("one"), Service::start("two"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sigyn.yml");
    let config = |targets: &[&Service]| {
        let targets: Vec<String> =
            targets.iter().map(|service| format!("'{}'", service.address)).collect();
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: a\n    static_configs:\n      - targets: [{}]\n",
            targets.join(", ")
        )
    };
    fs::write(&file, config(&[&one])).unwrap();
    let tracer = Tracer::start_with(folder.path(), &["--web.enable-lifecycle"]);
    let (first, second) = (one.address.to_string(), two.address.to_string());
    until("the first target is there", || tracer.target(&first));

    fs::write(&file, config(&[&one, &two])).unwrap();
    tracer.signal("HUP");
    until("the second target is there", || tracer.target(&second));

    fs::write(&file, "scrape_configs:\n  - job_nam: a\n").unwrap();
    let answer = http::request(tracer.address, "POST", "/-/reload", &[], b"");
    assert_eq!(answer.status, 500);
    assert!(answer.text().starts_with("failed to reload config: "), "{}", answer.text());
    assert!(answer.text().contains("line 2: field job_nam not found"), "{}", answer.text());
    assert_eq!(tracer.metric("sigyn_config_last_reload_successful", ""), Some(0.0));
    assert!(tracer.target(&second).is_some(), "a configuration with a mistake changes nothing");

    fs::write(&file, config(&[&two])).unwrap();
    assert_eq!(http::request(tracer.address, "POST", "/-/reload", &[], b"").status, 200);
    until("the first target is gone", || tracer.target(&first).is_none().then_some(()));
    assert_eq!(tracer.metric("sigyn_config_last_reload_successful", ""), Some(1.0));
}

#[test]
fn a_file_that_changes_is_loaded_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let main = "scrape_config_files: [jobs-*.yml]\n";
    write("sigyn.yml", main);
    write("jobs-a.yml", "scrape_configs: []");
    let flags = ["--config.auto-reload", "--config.auto-reload-interval=1s"];
    let tracer = Tracer::start_with(folder.path(), &flags);
    let pools = || tracer.json("/api/v1/scrape_pools")["data"]["scrapePools"].clone();
    let told = || tracer.json("/api/v1/notifications")["data"].clone();
    assert_eq!((pools(), told()), (json!([]), json!([])));
    assert_eq!(tracer.json("/api/v1/features")["data"]["prometheus"]["auto_reload_config"], true);

    write("jobs-a.yml", "scrape_configs: [{job_name: a}]");
    until("the job is there", || (pools() == json!(["a"])).then_some(()));
    write("sigyn.yml", "scrape_config_files: [jobs-*.yml]\nbogus: 1\n");
    until("the mistake is told", || (told()[0]["active"] == true).then_some(()));
    assert_eq!(told()[0]["text"], "Configuration reload has failed.");
    assert_eq!(tracer.metric("sigyn_config_last_reload_successful", ""), Some(0.0));
    assert_eq!(pools(), json!(["a"]));
    write("jobs-b.yml", "scrape_configs: [{job_name: b}]");
    write("sigyn.yml", main);
    until("it is mended", || (pools() == json!(["a", "b"]) && told() == json!([])).then_some(()));
    assert_eq!(tracer.metric("sigyn_config_last_reload_successful", ""), Some(1.0));
}

#[test]
fn flags_that_make_no_sense_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let check = |flag: &str, expected: &str| {
        let mut start = command();
        start.args(["serve", flag]).current_dir(folder.path());
        let output = start.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flag}: {told}");
        assert!(told.contains(expected), "{flag}: {told}");
    };
    check("--config.auto-reload-interval=500ms", "--config.auto-reload-interval is less than 1s");
    check("--config.auto-reload-interval=soon", "--config.auto-reload-interval=soon: ");
    check("--web.read-timeout=0", "--web.read-timeout is zero");
    check("--web.external-url=a.test", "\"a.test\" is neither a URL such as https://host/path");
    check("--web.external-url='http://a'", "URL must not begin or end with quotes");
    check("--web.cors.origin=(", "--web.cors.origin=(: error parsing regexp");
}

#[test]
fn features_are_accepted_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--enable-feature=agent,auto-reload-config", "--enable-feature=exemplar-storage"];
    let tracer = Tracer::start_with(folder.path(), &flags);
    let log = tracer.log();
    for feature in ["agent", "exemplar-storage"] {
        assert!(log.contains(&format!("feature={feature}")), "{log}");
    }
    assert!(!log.contains("feature=auto-reload-config"), "{log}");
    assert_eq!(tracer.json("/api/v1/features")["data"]["prometheus"]["auto_reload_config"], true);
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    use std::io::{Read as _, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start_with(folder.path(), &["--web.read-timeout=200ms"]);
    for begin in [&b""[..], b"GET / HT", b"GET /-/healthy HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut stream = http::connect(tracer.address).unwrap();
        stream.write_all(begin).unwrap();
        let mut answer = Vec::new();
        // It ends, and does not wait for the test's own deadline.
        stream.read_to_end(&mut answer).unwrap();
        let is_whole = begin.ends_with(b"\r\n\r\n");
        assert_eq!(answer.starts_with(b"HTTP/1.1 200"), is_whole, "{begin:?}");
    }
}

#[test]
fn lifecycle_routes_are_off_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    let answer = http::request(tracer.address, "POST", "/-/reload", &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (403, "Lifecycle API is not enabled."));
    assert_eq!(http::request(tracer.address, "POST", "/-/quit", &[], b"").status, 403);
    assert_eq!(tracer.get("/-/reload").status, 405);
}

#[test]
fn a_block_is_made_by_request_where_that_is_asked_for() {
    const SEAL: &str = "/api/v1/admin/store/seal";
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    let answer = http::request(tracer.address, "POST", SEAL, &[], b"");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("admin APIs disabled"), "{}", answer.text());
    drop(tracer);

    let tracer = Tracer::start_with(folder.path(), &["--web.enable-admin-api"]);
    let span = br#"[{"traceId":"1","id":"2","name":"sealed"}]"#;
    assert_eq!(http::request(tracer.address, "POST", "/api/v2/spans", &[], span).status, 202);
    assert_eq!(http::request(tracer.address, "POST", SEAL, &[], b"").status, 204);
    assert_eq!(tracer.metric("sigyn_store_blocks", ""), Some(1.0));
    assert!(tracer.get("/api/v2/trace/1").text().contains("sealed"));
}

#[test]
fn the_port_is_zipkins_where_zipkins_variable_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = command()
        .arg("--storage.path=data")
        .env("QUERY_PORT", "not a port")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("QUERY_PORT=not a port is no port"));
}

#[test]
fn help_is_grouped_and_the_version_is_told() {
    let help = command().args(["serve", "--help"]).output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    for part in [
        "Listening:",
        "Storage:",
        "Logging:",
        "--web.listen-address",
        "--storage.retention.time",
        "9411",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let version = command().arg("--version").output().unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("sigyn "));
}

#[test]
fn the_terminal_shows_what_the_api_answers() {
    let service = Service::start("shop");
    service.record(1, 3);
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n  - job_name: shop\n    static_configs:\n      - targets: ['{}']\n",
        service.address
    );
    fs::write(folder.path().join("sigyn.yml"), config).unwrap();
    let tracer = Tracer::start(folder.path());
    until("the spans are there", || (tracer.get("/api/v2/trace/3").status == 200).then_some(()));
    let server = format!("http://{}", tracer.address);
    let query = |args: &[&str]| {
        let output =
            command().arg("query").args(args).args(["--server", &server]).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(query(&["services"]), "shop\n");
    assert!(query(&["services", "shop"]).contains("span 1"));
    let traces = query(&["traces", "--service", "shop"]);
    assert!(traces.contains("0000000000000003") && traces.contains("shop span 3"), "{traces}");
    assert!(!traces.contains('\u{1b}'), "colour is for terminals");
    assert!(query(&["trace", "3"]).contains("3 µs"));
    let targets = query(&["targets"]);
    assert!(targets.contains(&service.address.to_string()) && targets.contains("up"), "{targets}");
    let json: serde_json::Value =
        serde_json::from_str(&query(&["trace", "3", "--output", "json"])).unwrap();
    assert_eq!(json, tracer.json("/api/v2/trace/3"));
    let status = query(&["status"]);
    assert!(status.contains("3 spans: in blocks (0)"), "{status}");
    assert!(status.contains("spans are taken, durability fsync"), "{status}");
    let json: serde_json::Value = serde_json::from_str(&query(&["status", "-o", "json"])).unwrap();
    assert_eq!((&json["data"]["spans"], json["data"].get("refusing")), (&3.into(), None));
    let failed = command().args(["query", "trace", "ff", "--server", &server]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8(failed.stderr).unwrap().contains("no span of trace"));
}

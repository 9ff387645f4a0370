//! What Prometheus answers about targets and about itself, as its readers expect it.

use std::fs;

use serde_json::{Value, json};

use crate::http;
use crate::program::{Tracer, command, until};

const CONFIG: &str = "
scrape_configs:
- job_name: shop
  scrape_interval: 1h
  params: {x: ['1', '2']}
  static_configs:
  - targets: ['127.0.0.1:1', '127.0.0.2:1', '127.0.0.3:1']
    labels: {zone: <a>}
  relabel_configs:
  - {source_labels: [__address__], regex: '127.0.0.3:.*', action: drop}
  - {source_labels: [zone], target_label: where}
- job_name: bank
  scrape_interval: 1h
  static_configs: [{targets: ['127.0.0.4:1']}]
";

fn tracer(folder: &tempfile::TempDir, flags: &[&str]) -> Tracer {
    fs::write(folder.path().join("sigyn.yml"), CONFIG).unwrap();
    let tracer = Tracer::start_with(folder.path(), flags);
    until("all targets are found", || {
        let targets = tracer.json("/api/v1/targets");
        let count = |name: &str| targets["data"][name].as_array().unwrap().len();
        (count("activeTargets") == 3 && count("droppedTargets") == 1).then_some(())
    });
    tracer
}

/// `name=value` of a query, with the value escaped.
fn query(name: &str, value: &str) -> String {
    let escaped: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("{name}={escaped}")
}

#[test]
fn targets_are_listed_as_prometheus_lists_them() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = tracer(&folder, &[]);
    let check = |query: &str, active: &[&str], dropped: &[&str], counts: Value| {
        let answer = tracer.json(&format!("/api/v1/targets{query}"));
        let list = |name: &str, label: &str| -> Vec<String> {
            let targets = answer["data"][name].as_array().unwrap().iter();
            let mut names: Vec<String> = targets
                .map(|target| {
                    format!(
                        "{} {}",
                        target["scrapePool"].as_str().unwrap(),
                        target["discoveredLabels"][label].as_str().unwrap()
                    )
                })
                .collect();
            names.sort();
            names
        };
        assert_eq!(list("activeTargets", "__address__"), active, "{query}");
        assert_eq!(list("droppedTargets", "__address__"), dropped, "{query}");
        assert_eq!(answer["data"]["droppedTargetCounts"], counts, "{query}");
        // By pool.
        let pools = answer["data"]["activeTargets"].as_array().unwrap().iter();
        let pools: Vec<&str> = pools.map(|target| target["scrapePool"].as_str().unwrap()).collect();
        assert!(pools.is_sorted(), "{query}: {pools:?}");
    };
    let all = ["bank 127.0.0.4:1", "shop 127.0.0.1:1", "shop 127.0.0.2:1"];
    let counts = json!({"bank": 0, "shop": 1});
    let dropped = ["shop 127.0.0.3:1"];
    for query in ["", "?state=", "?state=any", "?state=ANY"] {
        check(query, &all, &dropped, counts.clone());
    }
    check("?state=Active", &all, &[], Value::Null);
    check("?state=dropped", &[], &dropped, counts.clone());
    check("?state=bogus", &[], &[], Value::Null);
    check("?scrapePool=bank", &all[..1], &[], counts.clone());
    check("?scrapePool=nobody", &[], &[], counts);

    let recent = |query: &str| -> Vec<bool> {
        let answer = tracer.json(&format!("/api/v1/targets?scrapePool=shop{query}"));
        let targets = answer["data"]["activeTargets"].as_array().unwrap().iter();
        targets.map(|target| target["sigyn"]["recent"].is_array()).collect()
    };
    let one = query("recent", "http://127.0.0.2:1/traces?x=1&x=2");
    for (query, expected) in [
        ("", [false, false]),
        ("&recent=", [false, false]),
        ("&recent=1", [true, true]),
        (&format!("&{one}"), [false, true]),
        (&format!("&{one}&recent=http://127.0.0.1:1/traces"), [false, true]),
    ] {
        let mut told = recent(query);
        told.sort_unstable();
        assert_eq!(told, expected, "{query}");
    }

    let text = tracer.get("/api/v1/targets").text();
    assert!(text.contains(r#""zone":"\u003ca\u003e""#), "{text}");
    assert!(text.contains(r#""scrapeUrl":"http://127.0.0.1:1/traces?x=1\u0026x=2""#), "{text}");
    let global = tracer.target("127.0.0.1:1").unwrap()["globalUrl"].as_str().unwrap().to_owned();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(global, format!("http://{}:1/traces?x=1&x=2", host.trim()));
    let metadata = tracer.get("/api/v1/targets/metadata").text();
    assert_eq!(metadata, r#"{"status":"success","data":[]}"#);
}

#[test]
fn discovery_that_fails_is_told_with_its_pool() {
    let folder = tempfile::tempdir().unwrap();
    let config = "
scrape_configs:
- job_name: a
  file_sd_configs: [{files: ['*.json']}]
- job_name: b
  static_configs: [{targets: ['127.0.0.4:1']}]
";
    fs::write(folder.path().join("sigyn.yml"), config).unwrap();
    let targets = folder.path().join("targets.json");
    fs::write(&targets, r#"[{"targets": ["127.0.0.1:1"]}]"#).unwrap();
    let tracer = Tracer::start(folder.path());
    let pool = |ready: fn(&Value) -> bool| {
        until("a pool is told as expected", || {
            let answer = tracer.json("/api/v1/targets");
            let pools = &answer["data"]["sigyn"]["pools"];
            assert_eq!(pools[1]["failing"].as_array().map_or(0, Vec::len), 0, "{pools}");
            ready(&pools[0]).then(|| pools[0].clone())
        })
    };
    let works = |pool: &Value| pool["active"] == 1 && pool["failing"] == json!([]);
    pool(works);
    fs::write(&targets, r#"[{"targets": "127.0.0.1:1"}]"#).unwrap();
    let failing = pool(|pool| pool["failing"][0]["failures"].as_u64() > Some(0));
    assert_eq!(failing["active"], 1, "what was found stays");
    let failing = &failing["failing"][0];
    assert_eq!((&failing["mechanism"], &failing["keptTargets"]), (&json!("file"), &json!(1)));
    assert!(failing["since"].as_str().is_some() && failing["lastAt"].as_str().is_some());
    let error = failing["error"].as_str().unwrap();
    assert!(error.contains("targets.json: not valid JSON: "), "{error}");
    fs::write(&targets, r#"[{"targets": ["127.0.0.1:1"]}]"#).unwrap();
    pool(works);
}

#[test]
fn rules_are_shown_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = tracer(&folder, &[]);
    let get = |query: &str| tracer.get(&format!("/api/v1/targets/relabel_steps?{query}"));
    let of = |pool: &str, labels: &str| {
        get(&format!("{}&{}", query("scrapePool", pool), query("labels", labels)))
    };
    let answer = of("shop", r#"{"__address__":"127.0.0.1:1","zone":"<b>"}"#);
    let expected = concat!(
        r#"{"status":"success","data":{"steps":["#,
        r#"{"rule":{"source_labels":["__address__"],"separator":";","regex":"127.0.0.3:.*","replacement":"$1","action":"drop"},"#,
        r#""output":{"__address__":"127.0.0.1:1","zone":"\u003cb\u003e"},"keep":true},"#,
        r#"{"rule":{"source_labels":["zone"],"separator":";","regex":"(.*)","target_label":"where","replacement":"$1","action":"replace"},"#,
        r#""output":{"__address__":"127.0.0.1:1","where":"\u003cb\u003e","zone":"\u003cb\u003e"},"keep":true}]}}"#,
    );
    assert_eq!((answer.status, answer.text().as_str()), (200, expected));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let dropped = of("shop", r#"{"__address__":"127.0.0.3:1"}"#).json();
    for step in dropped["data"]["steps"].as_array().unwrap() {
        assert_eq!((&step["output"], &step["keep"]), (&json!({}), &json!(false)), "{dropped}");
    }
    assert_eq!(of("bank", "{}").text(), r#"{"status":"success","data":{"steps":[]}}"#);

    let refused = |query: &str, expected: &str| {
        let answer = get(query);
        let json = answer.json();
        assert_eq!((answer.status, &json["errorType"]), (400, &json!("bad_data")), "{query}");
        let error = json["error"].as_str().unwrap();
        assert!(error.starts_with(expected), "{query}: {error}");
    };
    refused("", "no scrapePool parameter provided");
    refused("labels={}&scrapePool=", "no scrapePool parameter provided");
    refused("scrapePool=shop", "no labels parameter provided");
    refused("scrapePool=shop&labels=x", "error parsing labels: ");
    refused(
        "scrapePool=x&labels={}",
        "error retrieving scrape config: scrape pool \"x\" not found",
    );
}

#[test]
fn what_is_configured_is_shown_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = tracer(&folder, &[]);
    let yaml = |path: &str| tracer.json(path)["data"]["yaml"].as_str().unwrap().to_owned();
    let whole = yaml("/api/v1/status/config");
    assert!(
        whole.starts_with("global:\n  scrape_interval: 1m\n  scrape_timeout: 10s\n"),
        "{whole}"
    );
    assert!(whole.contains("\nscrape_configs:\n- job_name: shop\n"), "{whole}");
    let pool = yaml("/api/v1/scrape_pools/config?scrapePool=bank");
    assert!(pool.starts_with("job_name: bank\nhonor_timestamps: true\n"), "{pool}");
    for (path, expected) in [
        ("/api/v1/scrape_pools/config", "no scrapePool parameter provided"),
        (
            "/api/v1/scrape_pools/config?scrapePool=x",
            "error retrieving scrape config: scrape pool \"x\" not found",
        ),
    ] {
        let answer = tracer.get(path);
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(expected)), "{path}");
    }

    let text = CONFIG.replace("- job_name: bank", "- job_name: vault\n  bearer_token: HUSH");
    fs::write(folder.path().join("sigyn.yml"), text).unwrap();
    tracer.signal("HUP");
    let whole = until("the new job is shown", || {
        Some(yaml("/api/v1/status/config")).filter(|yaml| yaml.contains("job_name: vault"))
    });
    assert!(whole.contains("    credentials: <secret>\n") && !whole.contains("HUSH"), "{whole}");
}

#[test]
fn the_program_tells_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = tracer(&folder, &["--storage.retention.size=5GB", "--web.enable-lifecycle"]);
    let data = |path: &str| tracer.json(path)["data"].clone();
    let flags = data("/api/v1/status/flags");
    for (name, expected) in [
        ("config.file", "sigyn.yml"),
        ("storage.retention.size", "5GB"),
        ("web.enable-lifecycle", "true"),
        ("web.enable-admin-api", "false"),
        ("web.listen-address", "127.0.0.1:0"),
    ] {
        assert_eq!(flags[name], expected, "{name}");
    }
    let runtime = data("/api/v1/status/runtimeinfo");
    let names: Vec<&String> = runtime.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 13, "{names:?}");
    assert_eq!(runtime["reloadConfigSuccess"], true);
    assert_eq!(runtime["corruptionCount"], 0);
    assert_eq!(runtime["storageRetention"], "1w or 5GiB");
    assert_eq!(runtime["CWD"], folder.path().to_str().unwrap());
    assert!(runtime["goroutineCount"].as_u64().unwrap() > 1, "{runtime}");
    assert!(runtime["startTime"].as_str().unwrap() < runtime["serverTime"].as_str().unwrap());

    fs::write(folder.path().join("sigyn.yml"), "bogus: 1").unwrap();
    tracer.signal("HUP");
    until("the reload has failed", || {
        let runtime = data("/api/v1/status/runtimeinfo");
        (runtime["reloadConfigSuccess"] == false).then_some(())
    });
    let build = data("/api/v1/status/buildinfo");
    assert_eq!(build["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(build["goVersion"], "");
    let revision = build["revision"].as_str().unwrap();
    assert!(revision.is_empty() || revision.chars().all(|c| c.is_ascii_alphanumeric()), "{build}");
    let told = command().arg("--version").output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains(revision) && !told.contains("()"), "{told}");
    let features = data("/api/v1/features");
    assert_eq!(features["service_discovery_providers"]["static"], true);
    assert_eq!(features["service_discovery_providers"]["file"], true);
    assert_eq!(features["api"]["lifecycle"], true);
    assert_eq!(features["api"]["admin"], false);
}

#[test]
fn intervals_are_told_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = "
scrape_configs:
- job_name: a
  scrape_interval: 90s
  static_configs:
  - targets: ['127.0.0.1:1']
  - targets: ['127.0.0.2:1']
    labels: {__scrape_interval__: 3600s, __scrape_timeout__: 1000ms}
";
    fs::write(folder.path().join("sigyn.yml"), config).unwrap();
    let tracer = Tracer::start(folder.path());
    let check = |instance: &str, interval: &str, timeout: &str| {
        let target = until("the target is found", || tracer.target(instance));
        assert_eq!(target["scrapeInterval"], interval);
        assert_eq!(target["scrapeTimeout"], timeout);
    };
    check("127.0.0.1:1", "1m30s", "10s");
    check("127.0.0.2:1", "3600s", "1000ms");
}

#[test]
fn the_version_is_told_without_an_envelope() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    let version = tracer.json("/version");
    assert_eq!(version, tracer.json("/api/v1/status/buildinfo")["data"]);
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn whoever_is_reached_by_another_url_is_served_below_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let address = "127.0.0.1:1";
    fs::write(
        folder.path().join("sigyn.yml"),
        format!("scrape_configs: [{{job_name: a, static_configs: [{{targets: ['{address}']}}]}}]"),
    )
    .unwrap();
    let tracer = Tracer::start_with(
        folder.path(),
        &["--web.external-url=https://a.test/sigyn/", "--web.page-title=Our <traces>"],
    );
    let target = until("the target is found", || {
        let targets = tracer.json("/sigyn/api/v1/targets");
        targets["data"]["activeTargets"].get(0).cloned()
    });
    assert_eq!(target["globalUrl"], "http://a.test:1/traces");
    assert_eq!(tracer.get("/api/v1/targets").status, 404);
    assert_eq!(tracer.get("/").header("location"), Some("/sigyn/zipkin/"));
    for page in ["targets", "service-discovery", "config", "flags", "status"] {
        let text = tracer.get(&format!("/sigyn/{page}")).text();
        assert!(text.contains("<base href=\"/sigyn/\">"), "{page}: {text}");
        assert!(text.contains("<title>Our &lt;traces></title>"), "{page}: {text}");
    }
    let flags = tracer.json("/sigyn/api/v1/status/flags");
    assert_eq!(flags["data"]["web.route-prefix"], "/sigyn/");
    drop(tracer);

    // A proxy that takes the path away.
    let flags = ["--web.external-url=/sigyn", "--web.route-prefix=/"];
    let tracer = Tracer::start_with(folder.path(), &flags);
    assert_eq!(tracer.get("/").header("location"), Some("/sigyn/zipkin/"));
    assert!(tracer.get("/targets").text().contains("<base href=\"/sigyn/\">"));
    assert_eq!(tracer.get("/api/v1/targets").status, 200);
}

#[test]
fn pages_of_other_origins_may_ask_where_the_expression_matches() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [r"--web.cors.origin=https?://(a|b)\.test"];
    let variables = [("ZIPKIN_QUERY_ALLOWED_ORIGINS", "http://c.test")];
    let tracer = Tracer::start_in(folder.path(), &flags, &variables);
    let check = |origin: &str, is_allowed: bool| {
        let headers = [("origin", origin)];
        let answer = http::request(tracer.address, "GET", "/api/v1/targets", &headers, b"");
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, is_allowed.then_some(origin), "{origin}");
        assert_eq!(answer.header("vary").is_some_and(|vary| vary.contains("origin")), is_allowed);
    };
    check("https://a.test", true);
    check("http://b.test", true);
    check("http://b.test:80", false);
    check("http://axtest", false);
    check("http://c.test", false);
    drop(tracer);

    let tracer = Tracer::start_in(folder.path(), &["--web.cors.origin=.*"], &variables);
    let headers = [("origin", "http://x.test")];
    let answer = http::request(tracer.address, "GET", "/api/v1/targets", &headers, b"");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn pools_and_intervals_are_counted_under_prometheus_names() {
    let folder = tempfile::tempdir().unwrap();
    let config = "
scrape_configs:
- job_name: a
  scrape_interval: 1s
  scrape_timeout: 1s
  target_limit: 1
  static_configs: [{targets: ['127.0.0.1:1', '127.0.0.2:1', 'http://127.0.0.3:1']}]
  # A rule might have made an address of it.
  relabel_configs: [{target_label: a, replacement: b}]
";
    fs::write(folder.path().join("sigyn.yml"), config).unwrap();
    let tracer = Tracer::start(folder.path());
    until("targets are asked again", || {
        let counted =
            tracer.metric("sigyn_target_interval_length_seconds_count", "interval=\"1s\"");
        counted.filter(|n| *n >= 2.0)
    });
    let pool = "scrape_job=\"a\"";
    for (name, part, expected) in [
        ("sigyn_target_scrape_pools_total", "", 1.0),
        ("sigyn_target_scrape_pool_targets", pool, 2.0),
        ("sigyn_target_scrape_pool_targets_dropped", pool, 0.0),
        ("sigyn_target_scrapes_exceeded_body_size_limit_total", "", 0.0),
        ("sigyn_sd_discovered_targets", "{config=\"a\",name=\"scrape\"}", 3.0),
        ("sigyn_sd_failed_configs", "{name=\"scrape\"}", 0.0),
        ("sigyn_sd_updates_delayed_total", "", 0.0),
    ] {
        assert_eq!(tracer.metric(name, part), Some(expected), "{name}");
    }
    for (name, part) in [
        ("sigyn_target_scrape_pool_sync_total", pool),
        ("sigyn_target_sync_length_seconds_count", pool),
        ("sigyn_target_sync_failed_total", pool),
        ("sigyn_target_scrape_pool_exceeded_target_limit_total", ""),
    ] {
        assert!(tracer.metric(name, part).is_some_and(|n| n >= 1.0), "{name}");
    }
    let at = tracer.metric("sigyn_sd_last_update_timestamp_seconds", "config=\"a\"").unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(at > now.as_secs_f64() - 600.0, "{at}");
}

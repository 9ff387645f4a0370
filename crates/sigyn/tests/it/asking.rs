//! Sigyn's own questions, over HTTP and in a terminal.

use serde_json::{Value, json};

use crate::http;
use crate::program::{Tracer, command};

/// Ten traces of a shop, a second apart and the newest now: each calls the payment, which fails in
/// every fifth trace and is slow then.
struct Shop {
    tracer: Tracer,
    now_us: u64,
    _folder: tempfile::TempDir,
}

const TRACES: u64 = 10;

impl Shop {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tracer = Tracer::start(folder.path());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        // At the beginning of a second, so that steps are full.
        let now_us = now.as_secs() * 1_000_000;
        let spans: Vec<Value> = (1..=TRACES).flat_map(|n| trace(n, now_us)).collect();
        let answer = tracer.post_spans(Value::from(spans).to_string().as_bytes());
        assert_eq!(answer.status, 202, "{}", answer.text());
        Self { tracer, now_us, _folder: folder }
    }

    /// What is asked, in the minute that ends now.
    fn ask(&self, path: &str) -> Value {
        // Just after the last span began.
        let end = self.now_us / 1_000 + 1;
        let joint = if path.contains('?') { '&' } else { '?' };
        self.tracer.json(&format!("/api/v1/{path}{joint}endTs={end}&lookback=60000"))["data"].take()
    }

    fn query(&self, args: &[&str]) -> String {
        self.tracer.query(args)
    }
}

fn trace(n: u64, now_us: u64) -> [Value; 2] {
    let (trace_id, start) = (format!("{n:016x}"), now_us - (TRACES - n) * 1_000_000);
    let fails = n.is_multiple_of(5);
    let status = if fails { "503" } else { "200" };
    let took = if fails { 400_000 } else { 40_000 };
    let mut payment = json!({
        "traceId": trace_id, "id": "2", "parentId": "1", "kind": "SERVER", "name": "pay",
        "timestamp": start + 1_000, "duration": took, "localEndpoint": {"serviceName": "payment"},
        "tags": {"http.status_code": status, "node": if fails { "b2" } else { "a1" }, "order": format!("o-{n}")},
    });
    if fails {
        payment["tags"]["error"] = "declined".into();
    }
    let root = json!({
        "traceId": trace_id, "id": "1", "kind": "CLIENT", "name": "post /checkout",
        "timestamp": start, "duration": took + 2_000, "localEndpoint": {"serviceName": "shop"},
        "remoteEndpoint": {"serviceName": "payment"}, "tags": {"http.method": "POST"},
    });
    [root, payment]
}

fn ids(found: &Value) -> Vec<u64> {
    let traces = found["traces"].as_array().unwrap().iter();
    traces.map(|t| u64::from_str_radix(t["traceId"].as_str().unwrap(), 16).unwrap()).collect()
}

#[test]
fn filters_find_traces_and_pages_follow_each_other() {
    let shop = Shop::open();
    let slow = "search?q=%7B+service+%3D+payment+and+http.status_code+%3E%3D+500+%7D+and+trace.duration+%3E+0.4s";
    assert_eq!(ids(&shop.ask(slow)), [10, 5]);
    assert_eq!(ids(&shop.ask("search?q=not%7Berror%7D&limit=3")), [9, 8, 7]);
    let mut page = shop.ask("search?limit=4");
    let mut seen = ids(&page);
    while let Some(cursor) = page["cursor"].as_str() {
        assert_eq!(page["limited"], true);
        page = shop.ask(&format!("search?limit=4&cursor={cursor}"));
        seen.extend(ids(&page));
    }
    assert_eq!(page["limited"], false);
    assert_eq!(seen, (1..=TRACES).rev().collect::<Vec<_>>());
}

#[test]
fn what_is_no_filter_is_told_with_its_place() {
    let shop = Shop::open();
    let refused = |path: &str, expected: Value| {
        let answer = shop.tracer.get(path);
        assert_eq!((answer.status, answer.json()), (400, expected), "{path}");
    };
    refused(
        "/api/v1/search?q=duration%3E5",
        json!({
            "status": "error", "errorType": "bad_data",
            "error": "q: at character 10: expected a duration with its unit, such as 5ms or 1.5s",
            "at": {"parameter": "q", "from": 9, "to": 10},
        }),
    );
    refused(
        "/api/v1/search?cursor=7",
        json!({
            "status": "error", "errorType": "bad_data",
            "error": "this cursor was not made by a search",
        }),
    );
}

#[test]
fn parameters_that_a_question_does_not_have_or_has_twice_are_refused() {
    let shop = Shop::open();
    let check = |path: &str, expected: &str| {
        let answer = shop.tracer.get(path);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert_eq!(answer.json()["error"], expected, "{path}");
    };
    let none = "there is no parameter \"x\", and no other";
    for path in ["tags", "trace/1/columns", "status/store"] {
        check(&format!("/api/v1/{path}?x=1"), none);
    }
    check("/api/v1/tags?limit=2", "there is no parameter \"limit\", and no other");
    check("/api/v1/tags/values?key=k&x=1", "there is no parameter \"x\", but key");
    check("/api/v1/tags/values", "key is missing");
    check("/api/v1/trace/1/spans?rows=0-0&x=1", "there is no parameter \"x\", but rows, rev");
    check("/api/v1/search?q=error&q=node%3Da1", "q is there more than once");
    check("/api/v1/red?by=service&by=name", "by is there more than once");
    // What is empty is not there.
    assert_eq!(ids(&shop.ask("search?limit=&q=error")), [10, 5]);
    // Zipkin's own routes are Zipkin's.
    let zipkin = shop.tracer.get("/api/v2/traces?limit=");
    assert_eq!(zipkin.text(), "Cannot set null to primitive type parameter: limit");
    assert_eq!(shop.tracer.get("/api/v2/traces?limit=1&limit=2&x=1").status, 200);
}

#[test]
fn a_terminal_asks_for_steps_quantiles_and_boxes() {
    let shop = Shop::open();
    let red = shop.query(&["red", "--step", "2s", "--quantiles", "0,0.999", "--lookback", "1m"]);
    assert!(red.contains(" P0 ") && red.contains(" P99.9 ") && !red.contains("P50"), "{red}");
    let map = ["heatmap", "--step", "10s", "--lookback", "1m"];
    let lines = shop.query(&map).lines().count();
    let finer = shop.query(&[&map[..], &["--per-octave", "8"]].concat());
    assert!(finer.lines().count() > lines && finer.contains("10 s a column"), "{finer}");
    let end = (shop.now_us / 1_000 + 1).to_string();
    let one = ["differences", "--end", &end, "--select-end", &end, "--select-lookback", "500ms"];
    let told = shop.query(&one);
    assert!(told.contains("1 traces selected, against 9 others"), "{told}");
}

#[test]
fn a_terminal_shows_what_a_filter_finds() {
    let shop = Shop::open();
    let table = shop.query(&["traces", "--where", "{ error = declined }", "-n", "1"]);
    assert!(table.contains("000000000000000a") && table.contains("402 ms"), "{table}");
    let (_, cursor) = table.trim_end().rsplit_once("--cursor ").unwrap();
    let next = ["traces", "-w", "error", "-n", "1", "--cursor", cursor, "--format", "json"];
    let found: Value = serde_json::from_str(&shop.query(&next)).unwrap();
    assert_eq!(ids(&found["data"]), [5]);
}

#[test]
fn rate_errors_and_durations_are_told_by_group_and_step() {
    let shop = Shop::open();
    let red = shop.ask("red?by=service,status&step=1000&quantiles=0,1&limit=2");
    let (series, rest) = (&red["series"], &red["rest"]);
    assert_eq!(red["by"], json!(["service", "status"]));
    // Steps are whole seconds, and the last one begins now.
    assert_eq!(red["startUs"].as_u64(), Some(shop.now_us - 60_000_000));
    assert_eq!(red["steps"], 61);
    assert_eq!(series[0]["values"], json!(["shop", "unset"]));
    assert_eq!((&series[0]["spans"], &series[0]["errors"]), (&json!(10), &json!(0)));
    assert_eq!(series[0]["quantilesUs"], json!([42_000.0, 402_000.0]));
    assert_eq!(series[0]["points"]["step"], json!((51..=60).collect::<Vec<u32>>()));
    assert_eq!(series[1]["values"], json!(["payment", "unset"]));
    assert_eq!((&rest["spans"], &rest["errors"]), (&json!(2), &json!(2)));
    assert_eq!(red["looked"], json!({"traces": 0, "spans": 20, "scanned": 20}));
    let slow = shop.ask("red?by=node&q=service%3Dpayment+and+duration%3E%3D400ms");
    assert_eq!(slow["series"].as_array().unwrap().len(), 1);
    assert_eq!(slow["series"][0]["values"], json!(["b2"]));
    // Called by whom: the edges of the map.
    let edges = shop.ask("red?by=service,remote&q=kind%3Dclient");
    assert_eq!(edges["series"][0]["values"], json!(["shop", "payment"]));
}

#[test]
fn a_map_of_durations_names_traces() {
    let shop = Shop::open();
    let map = shop.ask("heatmap?step=60000&perOctave=1");
    let levels: Vec<f64> =
        map["levels"].as_array().unwrap().iter().map(|l| l["fromUs"].as_f64().unwrap()).collect();
    assert_eq!(levels.first().map(|us| us.round()), Some(33_554.0));
    let cells = &map["cells"];
    let total: u64 = cells["count"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
    assert_eq!(total, TRACES);
    let (counts, levels) = (cells["count"].as_array().unwrap(), &cells["level"]);
    let slow = levels.as_array().unwrap().iter().position(|level| *level == 3).unwrap();
    assert_eq!(cells["errors"][slow], counts[slow]);
    assert!(!cells["traces"][slow].as_array().unwrap().is_empty());
    let spans = shop.ask("heatmap?of=spans&q=service%3Dpayment");
    let counts = spans["cells"]["count"].as_array().unwrap();
    assert_eq!(counts.iter().filter_map(Value::as_u64).sum::<u64>(), TRACES);
}

#[test]
fn words_are_told_with_how_often_and_since_when() {
    let shop = Shop::open();
    let names = |found: &Value| -> Vec<(String, u64)> {
        let words = found["words"].as_array().unwrap().iter();
        words
            .map(|w| (w["word"].as_str().unwrap().to_owned(), w["spans"].as_u64().unwrap()))
            .collect()
    };
    let word = |word: &str, spans| (word.to_owned(), spans);
    let keys = shop.ask("keys?q=service%3Dpayment");
    let expected =
        [word("http.status_code", 10), word("node", 10), word("order", 10), word("error", 2)];
    assert_eq!(names(&keys), expected);
    let nodes = shop.ask("values?key=node");
    assert_eq!(names(&nodes), [word("a1", 8), word("b2", 2)]);
    assert_eq!(nodes["words"][1]["lastUs"].as_u64(), Some(shop.now_us + 1_000));
    let orders = shop.ask("values?key=order&prefix=o-1&limit=1");
    assert_eq!(names(&orders), [word("o-1", 1)]);
    assert_eq!(orders["limited"], true);
    assert_eq!(names(&shop.ask("values?key=remote")), [word("payment", 10)]);
}

#[test]
fn differences_are_told_with_their_shares() {
    let shop = Shop::open();
    let found = shop.ask("differences?select=error&limit=100");
    assert_eq!((&found["selected"], &found["others"]), (&json!(2), &json!(8)));
    let node = json!({
        "key": "node", "value": "b2", "selected": 2, "others": 0, "selectedShare": 1.0, "othersShare": 0.0,
    });
    let differences = found["differences"].as_array().unwrap();
    assert!(differences.contains(&node), "{differences:?}");
    assert!(differences.iter().all(|one| one["key"] != "service" || one["othersShare"] == 1.0));
    // Those of some seconds against all others.
    let end = shop.now_us / 1_000;
    let box_ =
        format!("differences?selectEndTs={end}&selectLookback=3500&of=spans&q=service%3Dpayment");
    let found = shop.ask(&box_);
    assert_eq!((&found["selected"], &found["others"]), (&json!(3), &json!(7)));
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let shop = Shop::open();
    let refused = |path: &str, expected: &str| {
        let answer = shop.tracer.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert_eq!(answer.json()["error"], expected, "{path}");
        assert_eq!(answer.json()["errorType"], "bad_data", "{path}");
    };
    refused("red?step=0", "step is 0: it must be 1 or more");
    refused(
        "red?step=1&lookback=20000",
        "more than 10000 steps: ask for longer ones, or for a shorter time",
    );
    refused("red?by=annotation", "a span has many annotations: they do not group it");
    refused(
        "red?quantiles=2",
        "quantiles are numbers from 0 to 1 with commas between, ten at most",
    );
    refused("red?limit=1001", "limit is 1001: it must be 1000 or less");
    refused("red?endTs=0", "endTs is 0: it must be 1 or more");
    refused("search?lookback=-5", "lookback is -5: it must be 1 or more");
    refused("search?limit=2001", "limit is 2001: it must be 2000 or less");
    refused(
        "search?minDuration=10&maxDuration=9",
        "maxDuration is 9: it must be no less than minDuration, 10",
    );
    refused("heatmap?perOctave=3", "perOctave is 1, 2, 4 or 8");
    refused("heatmap?of=services", "of is traces or spans");
    refused("keys?limit=0", "limit is 0: it must be 1 or more");
    refused("values", "key is missing");
    refused("values?key=", "key: expected a key, such as service or http.method");
    refused("values?key=duration", "key: a duration is no text");
    refused(
        "red?by=trace.spans",
        "by: trace.spans is of a whole trace; a tag of this name is written .trace.spans",
    );
    refused("values?key=target.", "key: what follows target. is missing, such as target.zone");
    refused("search?limit=abc", "limit is no whole number: \"abc\"");
    refused("heatmap?step=1.5", "step is no whole number: \"1.5\"");
    refused(
        "keys?bogus=1",
        "there is no parameter \"bogus\", but q, endTs, lookback, prefix, limit",
    );
    refused("differences", "select a part: by select, selectEndTs or selectLookback");
    refused(
        "differences?select=error&against=(",
        "against: at character 2: expected a key, such as service or http.method",
    );
    refused("differences?selectLookback=0", "selectLookback is 0: it must be 1 or more");
}

#[test]
fn what_is_not_there_is_told_in_the_same_form() {
    let shop = Shop::open();
    let told = |method: &str, path: &str, status: u16, body: &str| {
        let answer = http::request(shop.tracer.address, method, path, &[], b"");
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{method} {path}");
    };
    told(
        "GET",
        "/api/v1/bogus",
        404,
        r#"{"status":"error","errorType":"not_found","error":"there is no /api/v1/bogus"}"#,
    );
    told(
        "POST",
        "/api/v1/search",
        405,
        r#"{"status":"error","errorType":"method_not_allowed","error":"/api/v1/search is not answered to POST"}"#,
    );
    told(
        "GET",
        "/api/v1/trace/1/spans?rows=0-1&rev=1",
        409,
        r#"{"status":"error","errorType":"conflict","error":"the trace has changed: read its columns again"}"#,
    );
    told(
        "GET",
        "/api/v1/keys?q=(",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"q: at character 2: expected a key, such as service or http.method","at":{"parameter":"q","from":1,"to":1}}"#,
    );
    for path in ["/api/v1/keys?prefix=%FF", "/api/v1/keys?prefix=%4"] {
        let text = path.split_once('?').unwrap().1;
        let error = format!(
            r#"{{"status":"error","errorType":"bad_data","error":"cannot decode \"{text}\": bad percent-encoding"}}"#
        );
        told("GET", path, 400, &error);
    }
    told(
        "GET",
        "/api/v1/trace/%FF/columns",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"cannot decode \"/api/v1/trace/%FF/columns\": bad percent-encoding"}"#,
    );
    told(
        "TRACE",
        "/api/v1/keys",
        405,
        r#"{"status":"error","errorType":"method_not_allowed","error":"/api/v1/keys is not answered to TRACE"}"#,
    );
    // Zipkin's own.
    told("GET", "/api/v2/services?x=%FF", 400, "cannot decode \"x=%FF\": bad percent-encoding");
    told("GET", "/api/v2/bogus", 404, "404 Not Found");
    told("GET", "/api/v1/spans", 404, "404 Not Found");
}

#[test]
fn a_terminal_says_what_nobody_stored() {
    let shop = Shop::open();
    let server = shop.tracer.address.to_string();
    let output = command().args(["query", "--server", &server, "services", "nope"]).output();
    let output = output.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("no service nope is stored"), "{told}");
    assert!(shop.query(&["services", "SHOP"]).contains("post /checkout"));
    let map = shop.query(&["heatmap", "--lookback", "1h"]);
    assert!(map.contains("1 min a column") && map.contains(".xX# where"), "{map}");
}

#[test]
fn a_terminal_shows_what_is_wrong_in_a_filter() {
    let shop = Shop::open();
    let server = shop.tracer.address.to_string();
    let filter = ["query", "--server", &server, "keys", "-w", "kind = clint"];
    let output = command().args(filter).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(told.contains("\n  kind = clint\n         ^^^^^"), "{told}");
}

#[test]
fn a_terminal_shows_what_is_counted() {
    let shop = Shop::open();
    let red = shop.query(&["red", "--by", "service,name", "--lookback", "5m"]);
    assert!(red.contains("payment  pay") && red.contains("20.0 %") && red.contains('█'), "{red}");
    let map = shop.query(&["heatmap", "--lookback", "5m"]);
    assert!(map.contains("268 ms") && map.contains("5 s a column"), "{map}");
    let keys = shop.query(&["keys", "--prefix", "http"]);
    assert!(keys.contains("http.method") && !keys.contains("node"), "{keys}");
    let links = shop.query(&["links"]);
    let line = links.lines().nth(1).unwrap_or_default();
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells[..8], ["shop", "payment", "10", "20.0", "%", "0.0", "%", "42.2"], "{links}");
    let values = shop.query(&["values", "node"]);
    assert!(values.contains("b2"), "{values}");
    for select in [&["error"][..], &["--select", "error"]] {
        let differences = shop.query(&[&["differences"], select].concat());
        assert!(differences.contains("2 traces selected, against 8 others"), "{differences}");
    }
    let json = shop.query(&["values", "node", "--format", "json"]);
    assert!(json.starts_with("{\"status\":\"success\""), "{json}");
}

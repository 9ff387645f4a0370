//! Sigyn's own questions, over HTTP and in a terminal.

use serde_json::{Value, json};

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
        let end = self.now_us / 1_000;
        let joint = if path.contains('?') { '&' } else { '?' };
        self.tracer.json(&format!("/api/v1/{path}{joint}endTs={end}&lookback=60000"))["data"].take()
    }

    fn query(&self, args: &[&str]) -> String {
        let server = self.tracer.address.to_string();
        let mut command = command();
        let output = command.args(["query", "--server", &server]).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
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
fn a_terminal_shows_what_a_filter_finds() {
    let shop = Shop::open();
    let table = shop.query(&["traces", "--where", "{ error = declined }", "-n", "1"]);
    assert!(table.contains("000000000000000a") && table.contains("402 ms"), "{table}");
    let (_, cursor) = table.trim_end().rsplit_once("--cursor ").unwrap();
    let next = ["traces", "-w", "error", "-n", "1", "--cursor", cursor, "--format", "json"];
    let found: Value = serde_json::from_str(&shop.query(&next)).unwrap();
    assert_eq!(ids(&found["data"]), [5]);
}

//! Which spans belong to a window, whoever asks.

use serde_json::{Value, json};

use crate::program::{Tracer, command};

const END_MS: u64 = 1_700_000_000_000;
const LOOKBACK_MS: u64 = 60_000;
const START_MS: u64 = END_MS - LOOKBACK_MS;

/// At each end of a window, by their distance from it in microseconds.
const OFFSETS: [i64; 5] = [-1, 0, 500, 999, 1_000];

/// The services of spans around both ends, each with the one it calls, and when it does.
fn calls() -> Vec<(String, u64)> {
    let ends = [("start", START_MS), ("end", END_MS)];
    let calls = ends.into_iter().flat_map(|(name, ms)| {
        OFFSETS
            .into_iter()
            .map(move |us| (format!("{name}{us:+}!"), (ms * 1_000).saturating_add_signed(us)))
    });
    calls.collect()
}

fn tracer() -> (tempfile::TempDir, Tracer) {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    let spans = calls().into_iter().zip(1..).map(|((service, at), id): (_, u32)| {
        json!({
            "traceId": id.to_string(), "id": "1", "kind": "CLIENT", "name": "call", "timestamp": at,
            "duration": 10, "localEndpoint": {"serviceName": service},
            "remoteEndpoint": {"serviceName": "called"}, "tags": {"from": service},
        })
    });
    let answer = tracer.post_spans(spans.collect::<Value>().to_string().as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
    (folder, tracer)
}

/// Those of the services that an answer tells of.
fn told(answer: &str) -> Vec<String> {
    let names = calls().into_iter().map(|(name, _)| name);
    names.filter(|name| answer.contains(name.as_str())).collect()
}

#[test]
fn both_milliseconds_belong_to_windows() {
    let (_folder, tracer) = tracer();
    let inside: Vec<String> = calls()
        .into_iter()
        .filter(|(_, at)| (START_MS..=END_MS).contains(&(at / 1_000)))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(inside.len(), 8);
    let window = format!("endTs={END_MS}&lookback={LOOKBACK_MS}");
    for path in [
        "/api/v2/dependencies?",
        "/api/v1/search?limit=100",
        "/api/v1/red?by=service&step=1000",
        "/api/v1/values?key=from",
        "/api/v1/differences?select=kind+%3D+client+and+service+%3D+%22start%2B0!%22&of=spans",
        "/api/dependencies?",
    ] {
        let answer = tracer.get(&format!("{path}&{window}"));
        assert_eq!((told(&answer.text()), answer.status), (inside.clone(), 200), "{path}");
    }
    for of in ["spans", "traces"] {
        let map = tracer.json(&format!("/api/v1/heatmap?of={of}&{window}"));
        let counts = map["data"]["cells"]["count"].as_array().unwrap().iter();
        assert_eq!(counts.filter_map(Value::as_u64).sum::<u64>(), 8, "{map}");
    }
    let server = tracer.address.to_string();
    for (what, more) in [
        ("traces", &["-n", "100", "-w", "kind = client"][..]),
        ("red", &["--step", "1s"]),
        ("links", &[]),
    ] {
        let mut command = command();
        command.args(["query", "--server", &server, "--format", "json", what]);
        command.args(["--end", &END_MS.to_string(), "--lookback", "1m"]);
        command.args(more);
        let output = command.output().unwrap();
        let (answer, error) = (String::from_utf8(output.stdout).unwrap(), output.stderr);
        assert_eq!(told(&answer), inside, "{what}: {}", String::from_utf8_lossy(&error));
    }
}

#[test]
fn zipkins_search_ends_with_the_first_microsecond_of_a_millisecond() {
    let (_folder, tracer) = tracer();
    let window = (START_MS * 1_000)..=(END_MS * 1_000);
    let calls = calls().into_iter().filter(|(_, at)| window.contains(at));
    let inside: Vec<String> = calls.map(|(name, _)| name).collect();
    assert_eq!(inside.len(), 6);
    let path = format!("/api/v2/traces?limit=100&endTs={END_MS}&lookback={LOOKBACK_MS}");
    assert_eq!(told(&tracer.get(&path).text()), inside);
}

#[test]
fn jaegers_windows_are_told_in_microseconds() {
    let (_folder, tracer) = tracer();
    for (first, last) in [(0, 5), (1, 9), (2, 7), (3, 3)] {
        let calls = calls();
        let (start, end) = (calls[first].1, calls[last].1);
        let inside = calls.iter().filter(|(_, at)| (start..=end).contains(at));
        for (name, at) in &calls {
            let service = name.replace('+', "%2B");
            let answer =
                tracer.json(&format!("/api/traces?service={service}&start={start}&end={end}"));
            let found = answer["data"].as_array().unwrap().len();
            assert_eq!(found == 1, (start..=end).contains(at), "{name} {start} {end}");
        }
        assert_eq!(inside.count(), last - first + 1);
    }
}

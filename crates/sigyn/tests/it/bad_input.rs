//! What is broken is named, and disturbs nothing else.

use std::fs;

use crate::program::{Tracer, command, until};
use crate::service::{Parrot, Service};

fn response(head: &str, body: &str) -> Option<Vec<u8>> {
    Some(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes())
}

#[test]
fn bad_targets_are_told_apart_and_good_ones_go_on() {
    let good = Service::start("good");
    let html = Parrot::start(response(
        "200 OK\r\ncontent-type: text/html\r\ncontent-length: 13",
        "<html></html>",
    ));
    let missing = Parrot::start(response("404 Not Found\r\ncontent-length: 0", ""));
    let broken = Parrot::start(response("500 Internal Server Error\r\ncontent-length: 0", ""));
    let silent = Parrot::start(None);
    let cut = Parrot::start(response(
        "200 OK\r\ncontent-type: application/json\r\nsigyn-range: 00000000000000aa:1-1/1\r\nsigyn-next: 00000000000000aa:2\r\ncontent-length: 500",
        "[{\"traceId\":\"cafe\",\"id\":\"c\"}",
    ));
    let garbage = |headers: &str| {
        Parrot::start(response(
            &format!(
                "200 OK\r\ncontent-type: application/x-protobuf\r\n{headers}content-length: 9"
            ),
            "\u{1}garbage\u{2}",
        ))
    };
    let foreign = garbage("");
    let garbage =
        garbage("sigyn-range: 00000000000000bb:1-1/1\r\nsigyn-next: 00000000000000bb:2\r\n");
    let folder = tempfile::tempdir().unwrap();
    let all = [
        good.address,
        html.address,
        missing.address,
        broken.address,
        silent.address,
        cut.address,
        garbage.address,
        foreign.address,
    ];
    let targets: Vec<String> = all.iter().map(|address| format!("'{address}'")).collect();
    fs::write(
        folder.path().join("sigyn.yml"),
        format!(
            "global: {{scrape_interval: 300ms, scrape_timeout: 200ms}}\nscrape_configs:\n  - job_name: mixed\n    static_configs:\n      - targets: [{}, '127.0.0.1:1']\n",
            targets.join(", ")
        ),
    )
    .unwrap();
    let tracer = Tracer::start(folder.path());
    good.record(1, 100);
    until("the good target is read", || {
        (tracer.get("/api/v2/trace/64").status == 200).then_some(())
    });
    let settled = |instance: &str, state: &str, health: &str, error: &str| {
        until(&format!("{instance} is {state}"), || {
            let target = tracer.target(instance)?;
            let told = target["lastError"].as_str().unwrap().contains(error);
            (target["sigyn"]["state"] == state && target["health"] == health && told).then_some(())
        });
    };
    settled(&good.address.to_string(), "up", "up", "");
    settled(&html.address.to_string(), "not traced", "up", "");
    settled(&missing.address.to_string(), "not traced", "up", "");
    settled(
        &broken.address.to_string(),
        "down",
        "down",
        "server returned HTTP status 500 Internal Server Error",
    );
    settled(&silent.address.to_string(), "down", "down", "");
    settled(&cut.address.to_string(), "down", "down", "");
    settled(&garbage.address.to_string(), "down", "down", "");
    settled(&foreign.address.to_string(), "not traced", "up", "");
    settled("127.0.0.1:1", "down", "down", "refused");
    assert_eq!(tracer.get("/api/v2/trace/cafe").status, 404, "nothing of a cut body is kept");
    let failed = |reason: &str, instance: &str| {
        let text = tracer.get("/prometheus").text();
        text.lines()
            .filter(|line| line.starts_with("sigyn_target_scrapes_failed_total{"))
            .filter(|line| {
                line.contains(&format!("reason=\"{reason}\"")) && line.contains(instance)
            })
            .any(|line| !line.ends_with(" 0"))
    };
    let text = tracer.get("/prometheus").text();
    let of = |name: &str| -> Vec<&str> {
        text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).collect()
    };
    for name in ["sigyn_target_scrapes_failed_total", "sigyn_target_spans_lost_total"] {
        let zero = of(name).into_iter().find(|line| line.ends_with(" 0"));
        assert_eq!(zero, None, "what did not happen to a target has no series");
    }
    let jobs = of("sigyn_target_scrape_pool_scrapes_total").len();
    for (name, reasons) in [
        ("sigyn_target_scrape_pool_scrapes_failed_total", 9),
        ("sigyn_target_scrape_pool_spans_lost_total", 6),
    ] {
        assert_eq!(of(name).len(), jobs * reasons, "{name} is there for what did not happen, too");
    }
    let timeouts = "sigyn_target_scrape_pool_scrapes_failed_total";
    assert!(of(timeouts).iter().any(|line| line.contains("timeout") && !line.ends_with(" 0")));
    assert!(failed("status", &broken.address.to_string()));
    assert!(failed("timeout", &silent.address.to_string()));
    assert!(failed("body_cut", &cut.address.to_string()));
    assert!(failed("decode", &garbage.address.to_string()));
    assert!(failed("connect", "127.0.0.1:1"));
    good.record(1_000, 10);
    until("the good target still is read", || {
        (tracer.get("/api/v2/trace/3e8").status == 200).then_some(())
    });
}

#[test]
fn a_broken_configuration_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sigyn.yml");
    let check = |text: &str, line: u32, expected: &str| {
        fs::write(&file, text).unwrap();
        for args in [
            ["check", "config", "sigyn.yml"].as_slice(),
            ["serve", "--web.listen-address=127.0.0.1:0"].as_slice(),
        ] {
            let output = command().args(args).current_dir(folder.path()).output().unwrap();
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(
                output.status.code(),
                Some(if args[0] == "check" { 1 } else { 2 }),
                "{text}: {told}"
            );
            assert!(
                told.contains("sigyn.yml") && told.contains(&format!("line {line}:")),
                "{text}: {told}"
            );
            assert!(told.contains(expected) && told.contains("column "), "{text}: {told}");
        }
    };
    check("bogus: 1\n", 1, "field bogus not found in type config.plain");
    check("global:\n  scrape_interval: 5\n", 2, "5");
    check("global:\n  scrape_interval: 1s\n  scrape_timeout: 2s\n", 3, "timeout");
    check("scrape_configs:\n  - static_configs: []\n", 2, "job_name");
    check("scrape_configs:\n  - job_name: a\n  - job_name: a\n", 3, "a");
    check(
        "scrape_configs:\n  - job_name: a\n    relabel_configs:\n      - action: explode\n",
        4,
        "explode",
    );
    check(
        "scrape_configs:\n  - job_name: a\n    relabel_configs:\n      - regex: '('\n",
        4,
        "regex",
    );
    check("scrape_configs:\n  - job_name: a\n    vultr_sd_configs: []\n", 3, "vultr_sd_configs");
    check("scrape_configs: [\n", 1, "");
    check("sigyn:\n  storage:\n    durability: maybe\n", 3, "maybe");
    check("sigyn:\n  jobs:\n    nobody: {traces_path: /x}\n", 3, "nobody");
}

#[test]
fn good_configurations_are_said_to_be_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("good.yml");
    fs::write(&file, "global:\n  evaluation_interval: 1m\nalerting: {}\nscrape_configs:\n  - job_name: a\n    static_configs:\n      - targets: ['127.0.0.1:9']\nsigyn:\n  jobs:\n    a: {traces_path: /spans}\n").unwrap();
    let output = command().args(["check", "config"]).arg(&file).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("SUCCESS"), "{told}");
    let missing = command()
        .args(["check", "config", "nowhere.yml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("nowhere.yml"));
}

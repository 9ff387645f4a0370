//! A service's recorder, found, scraped, stored and answered: nothing lost that is not counted.

use std::fs;
use std::path::Path;

use crate::program::{Tracer, until};
use crate::service::Service;

/// A configuration that finds `targets` in a file, as an operator's tooling would write it.
fn configure(folder: &Path, targets: &[&Service]) {
    let addresses: Vec<String> =
        targets.iter().map(|service| format!("\"{}\"", service.address)).collect();
    let groups = format!(
        "[{{\"targets\": [{}], \"labels\": {{\"app\": \"shop\", \"zone\": \"eu-1a\"}}}}]",
        addresses.join(",")
    );
    fs::write(folder.join("targets.json"), groups).unwrap();
    fs::write(
        folder.join("sigyn.yml"),
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n  - job_name: file\n    file_sd_configs:\n      - files: [targets.json]\n    relabel_configs:\n      - source_labels: [app]\n        target_label: job\n      - action: labeldrop\n        regex: app\n",
    )
    .unwrap();
}

/// Which of the numbered spans are stored, each told once.
fn stored(tracer: &Tracer, from: u64, to: u64) -> Vec<u64> {
    (from..to)
        .filter(|n| {
            let answer = tracer.get(&format!("/api/v2/trace/{n:x}"));
            if answer.status == 200 {
                assert_eq!(answer.json().as_array().unwrap().len(), 1, "span {n} is stored twice");
            }
            answer.status == 200
        })
        .collect()
}

fn account(tracer: &Tracer, service: &Service, field: &str) -> u64 {
    let target = tracer.target(&service.address.to_string()).unwrap();
    target["sigyn"][field].as_u64().unwrap_or_else(|| panic!("{field} in {target}"))
}

fn wait_for_trace(tracer: &Tracer, n: u64) {
    until(&format!("span {n} is stored"), || {
        (tracer.get(&format!("/api/v2/trace/{n:x}")).status == 200).then_some(())
    });
}

#[test]
fn spans_are_found_scraped_and_joined_with_their_targets_labels() {
    let service = Service::start("Shop");
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &[&service]);
    let tracer = Tracer::start(folder.path());
    service.record(1, 50);
    wait_for_trace(&tracer, 50);
    assert_eq!(stored(&tracer, 1, 51).len(), 50);
    let span = &tracer.json("/api/v2/trace/7")[0];
    assert_eq!((span["name"].as_str(), span["duration"].as_u64()), (Some("span 7"), Some(7)));
    assert_eq!(span["localEndpoint"]["serviceName"], "shop");
    let by_label = tracer.json("/api/v2/traces?annotationQuery=target.zone%3Deu-1a&limit=100");
    assert_eq!(by_label.as_array().unwrap().len(), 50);
    let view = tracer.json("/api/v1/trace/7/spans?rows=0-0");
    assert_eq!(view[0]["target"]["job"], "shop");
    assert_eq!(view[0]["target"]["zone"], "eu-1a");

    let target = tracer.target(&service.address.to_string()).unwrap();
    assert_eq!(target["health"], "up");
    assert_eq!(target["scrapeUrl"], format!("http://{}/traces", service.address));
    assert_eq!(target["labels"]["job"], "shop");
    assert_eq!(target["discoveredLabels"]["app"], "shop");
    assert_eq!(target["sigyn"]["received"], 50);
    let instance = format!("instance=\"{}\"", service.address);
    assert_eq!(tracer.metric("up", &instance), Some(1.0));
    assert_eq!(tracer.metric("sigyn_target_spans_received_total", &instance), Some(50.0));
    assert!(tracer.metric("scrape_duration_seconds", &instance).is_some());
    assert!(tracer.metric("scrape_spans_scraped", &instance).is_some());
}

#[test]
fn a_tracer_that_was_away_catches_up_from_its_cursors() {
    let service = Service::start("shop");
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &[&service]);
    let tracer = Tracer::start(folder.path());
    service.record(1, 20);
    wait_for_trace(&tracer, 20);
    let (status, _) = tracer.stop();
    assert!(status.success());
    // Three intervals' worth of work while nobody asks.
    for n in 0..3 {
        service.record(21 + n * 20, 20);
    }
    let tracer = Tracer::start(folder.path());
    service.record(81, 1);
    wait_for_trace(&tracer, 81);
    assert_eq!(stored(&tracer, 1, 82).len(), 81);
    assert_eq!(account(&tracer, &service, "lost"), 0);
    assert_eq!(account(&tracer, &service, "received"), 81);
    assert_eq!(account(&tracer, &service, "restarts"), 0);
}

#[test]
fn two_tracers_on_one_service_both_get_everything() {
    let service = Service::start("shop");
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    configure(one.path(), &[&service]);
    configure(two.path(), &[&service]);
    let tracers = [Tracer::start(one.path()), Tracer::start(two.path())];
    for n in 0..20 {
        service.record(1 + n * 10, 10);
        std::thread::yield_now();
    }
    for tracer in &tracers {
        wait_for_trace(tracer, 200);
        assert_eq!(stored(tracer, 1, 201).len(), 200);
        assert_eq!(account(tracer, &service, "lost"), 0);
    }
}

#[test]
fn a_killed_service_leaves_a_tail_that_is_counted_as_unknown() {
    let service = Service::start("shop");
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &[&service]);
    let tracer = Tracer::start(folder.path());
    service.record(1, 10);
    wait_for_trace(&tracer, 10);
    let address = service.address;
    service.kill();
    until("the target is down", || {
        (tracer.target(&address.to_string())?["health"] == "down").then_some(())
    });
    let again = Service::start_at("shop", address, 1 << 20);
    again.record(11, 5);
    wait_for_trace(&tracer, 15);
    assert_eq!(account(&tracer, &again, "restarts"), 1);
    assert_eq!(account(&tracer, &again, "received"), 15);
    let instance = format!("instance=\"{address}\"");
    assert_eq!(tracer.metric("sigyn_target_restarts_total", &instance), Some(1.0));
    assert_eq!(stored(&tracer, 1, 16).len(), 15);
}

#[test]
fn spans_evicted_before_they_were_read_are_counted_to_the_last_one() {
    let service = Service::start_at("shop", "127.0.0.1:0".parse().unwrap(), 16 << 10);
    service.record(1, 2_000);
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &[&service]);
    let tracer = Tracer::start(folder.path());
    wait_for_trace(&tracer, 2_000);
    let (received, lost) =
        (account(&tracer, &service, "received"), account(&tracer, &service, "lost"));
    assert_eq!(received + lost, 2_000);
    assert!(lost > 0);
    let target = tracer.target(&service.address.to_string()).unwrap();
    assert_eq!(target["sigyn"]["lostByReason"]["before_first_scrape"], lost);
    service.record(2_001, 2_000);
    wait_for_trace(&tracer, 4_000);
    until("the books are closed", || {
        let sum = account(&tracer, &service, "received") + account(&tracer, &service, "lost");
        (sum == 4_000).then_some(())
    });
    let target = tracer.target(&service.address.to_string()).unwrap();
    assert_eq!(target["sigyn"]["lostByReason"]["unexplained"], 0);
    assert_eq!(target["sigyn"]["state"], "lossy");
    let instance = format!("instance=\"{}\"", service.address);
    assert!(tracer.metric("sigyn_target_spans_lost_total", &instance).is_some());
}

#[test]
fn targets_that_leave_the_file_are_let_go() {
    let (one, two) = (Service::start("one"), Service::start("two"));
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &[&one, &two]);
    let tracer = Tracer::start(folder.path());
    until("both are there", || {
        tracer.target(&one.address.to_string()).and(tracer.target(&two.address.to_string()))
    });
    configure(folder.path(), &[&two]);
    until("the first is gone", || tracer.target(&one.address.to_string()).is_none().then_some(()));
    assert!(tracer.target(&two.address.to_string()).is_some());
}

#[test]
fn targets_that_carry_the_same_labels_are_counted_together() {
    let (one, two, gone) = (Service::start("a"), Service::start("b"), Service::start("c"));
    one.record(1, 5);
    two.record(6, 10);
    let addresses = [one.address, two.address, gone.address].map(|at| format!("'{at}'")).join(",");
    gone.kill();
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 300ms, scrape_timeout: 300ms}}\nscrape_configs:\n- job_name: all\n  static_configs:\n  - targets: [{addresses}]\n    labels: {{instance: same}}\n"
    );
    fs::write(folder.path().join("sigyn.yml"), config).unwrap();
    let tracer = Tracer::start(folder.path());
    let metric = |name: &str, part: &str| tracer.metric(name, part);
    let same = "instance=\"same\"";
    until("all spans are counted", || {
        (metric("sigyn_target_spans_received_total", same) == Some(15.0)).then_some(())
    });
    until("a failure is counted", || {
        metric("sigyn_target_scrapes_failed_total", "reason=\"connect\"").filter(|n| *n > 0.0)
    });
    assert_eq!(metric("up", same), Some(0.0));
    let text = tracer.get("/prometheus").text();
    assert_eq!(text.lines().filter(|line| line.starts_with("up{")).count(), 1, "{text}");
}

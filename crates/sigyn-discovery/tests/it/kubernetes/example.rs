//! The example for Kubernetes as it is shipped: pods become targets by their annotations.

use std::path::Path;

use serde_json::{Value, json};
use sigyn_discovery::config::{self, Job};
use sigyn_discovery::target;
use tokio::time::{Instant, timeout_at};

use super::api::Api;
use crate::rig::{PATIENCE, Rig};

const EXAMPLE: &str = include_str!("../../../../../examples/kubernetes/sigyn.yml");

/// A pod with these annotations, and two containers of which one declares these ports.
fn pod(name: &str, ip: &str, annotations: Value, ports: &[u16]) -> Value {
    let ports: Vec<_> =
        ports.iter().map(|port| json!({"containerPort": port, "protocol": "TCP"})).collect();
    json!({
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "main", "ports": ports}],
            "initContainers": [{"name": "init", "ports": ports}],
        },
        "status": {"podIP": ip, "phase": "Running"},
    })
}

/// URLs and labels of the targets, sorted.
fn targets(rig: &mut Rig, job: &Job) -> Vec<String> {
    let groups = rig.groups.borrow_and_update().clone();
    let Some(groups) = groups.get(&job.name) else { return Vec::new() };
    let populated = target::populate(job, "/traces", groups);
    assert_eq!(populated.errors, [""; 0]);
    let shown = |target: &target::Target| format!("{} {}", target.url, target.public_labels());
    let mut targets: Vec<_> = populated.active.iter().map(shown).collect();
    targets.sort();
    targets
}

#[tokio::test]
async fn an_annotated_pod_becomes_a_target_at_the_right_port_and_path() {
    let api = Api::start().await;
    let all =
        json!({"sigyn.io/scrape": "true", "sigyn.io/port": "9411", "sigyn.io/path": "/spans"});
    let wants = json!({"sigyn.io/scrape": "true"});
    let with_port = json!({"sigyn.io/scrape": "true", "sigyn.io/port": "9411"});
    for pod in [
        pod("all", "127.0.0.2", all, &[8080, 8081]),
        pod("by-ports", "127.0.0.3", wants.clone(), &[8080, 8081]),
        pod("no-ports", "127.0.0.4", with_port.clone(), &[]),
        pod("v6", "::1", with_port.clone(), &[8080]),
        pod("not", "127.0.0.5", json!({"sigyn.io/scrape": "false"}), &[8080]),
        pod("silent", "127.0.0.6", json!({}), &[8080]),
    ] {
        api.put("pods", pod);
    }
    let mut over = pod("over", "127.0.0.7", wants, &[8080]);
    over["status"]["phase"] = "Succeeded".into();
    api.put("pods", over);
    // In the example it is the cluster's own API.
    let role = "- role: pod\n";
    assert_eq!(EXAMPLE.matches(role).count(), 1);
    let text =
        EXAMPLE.replace(role, &format!("- api_server: '{}'\n        role: pod\n", api.url()));
    let job = config::parse(&text, Path::new("/")).unwrap().jobs.pop().unwrap();
    let mut rig = Rig::start(&text, Path::new("/"));
    let expected: Vec<String> = [
        ("127.0.0.2:9411", "/spans", "all"),
        ("127.0.0.3:8080", "/traces", "by-ports"),
        ("127.0.0.3:8081", "/traces", "by-ports"),
        ("127.0.0.4:9411", "/traces", "no-ports"),
        ("[::1]:9411", "/traces", "v6"),
    ]
    .map(|(address, path, pod)| {
        format!(
            r#"http://{address}{path} {{instance="{address}", job="pods", namespace="shop", node="n1", pod="{pod}"}}"#
        )
    })
    .into();
    let deadline = Instant::now() + PATIENCE;
    while targets(&mut rig, &job) != expected {
        let changed = timeout_at(deadline, rig.groups.changed()).await;
        assert!(changed.is_ok(), "{:?} instead of {expected:?}", targets(&mut rig, &job));
        changed.unwrap().unwrap();
    }
    rig.stop().await;
}

//! What discovery keeps in memory: bytes that are allocated and not given back, however the kernel
//! sees it.

#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::System;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cap::Cap;
use serde_json::json;
use sigyn_discovery::{Groups, Manager, config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const PODS: usize = 5_000;
/// What a pod may take: the object as far as it is kept, and its three targets.
const POD_BYTES_MAX: usize = 5_600;
const PATIENCE: Duration = Duration::from_secs(100);

/// A pod as a chart of the usual kind deploys it: what matters of it, and much that does not.
fn pod(number: usize) -> serde_json::Value {
    let app = format!("shop-{}", number / 10);
    let name = format!("{app}-7d4b9c6f5d-{number:05}");
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let container = |name: &str, ports: &[(&str, u16)]| {
        let ports = ports
            .iter()
            .map(|(name, port)| json!({"name": name, "containerPort": port, "protocol": "TCP"}));
        json!({
            "name": name,
            "image": format!("registry.example/{app}/{name}:1.2.3"),
            "ports": ports.collect::<Vec<_>>(),
            "env": [{"name": "LEVEL", "value": "info"}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        })
    };
    let status = |name: &str| {
        json!({
            "name": name,
            "ready": true,
            "containerID": format!("containerd://{number:064x}"),
            "image": format!("registry.example/{app}/{name}:1.2.3"),
        })
    };
    json!({
        "metadata": {
            "name": name,
            "namespace": format!("team-{}", number % 20),
            "uid": format!("{number:08x}-0000-4000-8000-000000000000"),
            "resourceVersion": (1_000 + number).to_string(),
            "labels": {
                "app.kubernetes.io/name": app,
                "app.kubernetes.io/instance": app,
                "app.kubernetes.io/version": "1.2.3",
                "app.kubernetes.io/component": "server",
                "pod-template-hash": "7d4b9c6f5d",
            },
            "annotations": {
                "sigyn.io/scrape": "true",
                "sigyn.io/port": "9464",
                "kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z",
            },
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": format!("{app}-7d4b9c6f5d"),
                "uid": format!("{number:08x}-0000-4000-8000-000000000001"),
                "controller": true,
            }],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:podIP": {}}}}],
        },
        "spec": {
            "nodeName": format!("node-{}", number % 100),
            "containers": [
                container("server", &[("http", 8080), ("traces", 9464)]),
                container("proxy", &[("admin", 15000)]),
            ],
            "volumes": [{"name": "token", "projected": {"sources": []}}],
        },
        "status": {
            "podIP": format!("127.1.{}.{}", number / 250, number % 250),
            "hostIP": format!("127.2.0.{}", number % 100),
            "phase": "Running",
            "conditions": [
                condition("PodReadyToStartContainers"),
                condition("Initialized"),
                condition("Ready"),
                condition("ContainersReady"),
                condition("PodScheduled"),
            ],
            "containerStatuses": [status("server"), status("proxy")],
        },
    })
}

/// An API with these pods, in which nothing happens.
async fn serve(listener: TcpListener, pods: Arc<String>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, Arc::clone(&pods)));
    }
}

async fn answer(mut stream: TcpStream, pods: Arc<String>) {
    loop {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => asked.push(byte),
                Err(_closed) => return,
            }
        }
        let is_watch = String::from_utf8(asked).unwrap().contains("watch=");
        let head = if is_watch {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
        } else {
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", pods.len())
        };
        let body = if is_watch { "" } else { pods.as_str() };
        if stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn what_thousands_of_pods_take() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pods = json!({
        "metadata": {"resourceVersion": "10000"},
        "items": (0..PODS).map(pod).collect::<Vec<_>>(),
    });
    let pods = Arc::new(pods.to_string());
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, Arc::clone(&pods)));
    let config = format!(
        "scrape_configs: [{{job_name: a, kubernetes_sd_configs:
            [{{role: pod, api_server: 'http://{address}'}}]}}]"
    );
    let jobs = config::parse(&config, Path::new("/")).unwrap().jobs;
    let (_jobs_tx, jobs) = watch::channel(Arc::new(jobs));
    let (groups_tx, mut groups) = watch::channel(Arc::new(Groups::new()));

    let before = ALLOCATOR.allocated();
    let shutdown = CancellationToken::new();
    tasks.spawn(Manager::new(jobs, groups_tx).run(shutdown.clone()));
    let all = groups.wait_for(|groups| groups.get("a").is_some_and(|groups| groups.len() == PODS));
    let found = timeout(PATIENCE, all).await.unwrap().unwrap().clone();
    let targets = found["a"].iter().map(|group| group.targets.len()).sum::<usize>();
    assert_eq!(targets, 3 * PODS);
    let taken = ALLOCATOR.allocated() - before;
    eprintln!("{PODS} pods take {taken} bytes, {} each", taken / PODS);
    assert!(taken / PODS <= POD_BYTES_MAX, "{} bytes a pod", taken / PODS);
    shutdown.cancel();
}

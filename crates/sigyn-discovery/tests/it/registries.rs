//! `docker_sd_configs`, `eureka_sd_configs` and `nomad_sd_configs` against fakes: what they are asked,
//! and what their troubles change.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::fake::{Answer, Asked, Fake, Reply, Trouble};
use crate::rig::Rig;

/// What a registry answers if it knows one instance of one service, at this port.
type Answers = fn(&Asked, u16) -> Reply;

fn nomad(asked: &Asked, port: u16) -> Reply {
    let body = match asked.target.split('?').next() {
        Some("/v1/services") => {
            r#"[{"Namespace": "a", "Services": [{"ServiceName": "my/cart", "Tags": []}]},
                {"Namespace": "b", "Services": [{"ServiceName": "my/cart", "Tags": null}]}]"#
                .to_owned()
        }
        Some("/v1/service/my%2Fcart") => {
            format!(r#"[{{"ServiceName": "my/cart", "Address": "127.0.0.1", "Port": {port}}}]"#)
        }
        _ => return Answer::new(404, "").into(),
    };
    Answer::json(&body).into()
}

fn eureka(asked: &Asked, port: u16) -> Reply {
    if asked.target != "/eureka/apps" {
        return Answer::new(404, "").into();
    }
    let body = format!(
        "<applications><application><name>CART</name><instance><hostName>127.0.0.1</hostName>\
         <port enabled='true'>{port}</port></instance></application></applications>"
    );
    Answer::new(200, body).with("Content-Type", "application/xml").into()
}

fn docker(asked: &Asked, port: u16) -> Reply {
    let body = match asked.target.split('?').next() {
        Some("/_ping") => return Answer::new(200, "OK").with("Api-Version", "1.44").into(),
        Some("/v1.44/containers/json") => format!(
            r#"[{{"Id": "c", "Names": ["/cart"], "Ports": [{{"PrivatePort": {port}, "Type": "tcp"}}],
                "NetworkSettings": {{"Networks": {{"x": {{"IPAddress": "127.0.0.1"}}}}}}}}]"#
        ),
        Some("/v1.44/networks") => "[]".to_owned(),
        _ => return Answer::new(404, "").into(),
    };
    Answer::json(&body).into()
}

fn rig(fake: &Fake, kind: &str) -> Rig {
    let (what, path) = match kind {
        "docker" => ("host", ""),
        "eureka" => ("server", "/eureka/"),
        _ => ("server", "/"),
    };
    let url = format!("http://{}{path}", fake.address());
    let section = format!("{kind}_sd_configs: [{{{what}: '{url}', refresh_interval: 300ms}}]");
    Rig::of(&section, Path::new("/"))
}

/// Waits until the one target is at this port.
async fn until(rig: &mut Rig, port: u16) {
    let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
    while !at(rig, port) {
        let changed = tokio::time::timeout_at(deadline, rig.groups.changed()).await;
        changed.expect("the target never came").unwrap();
    }
}

fn at(rig: &mut Rig, port: u16) -> bool {
    let targets = rig.targets("a");
    targets.len() == 1 && targets[0].starts_with(&format!("127.0.0.1:{port} "))
}

#[tokio::test]
async fn nomad_is_asked_for_services_and_then_for_each() {
    let fake = Fake::start(|asked| nomad(asked, 81)).await;
    let mut rig = rig(&fake, "nomad");
    until(&mut rig, 81).await;
    let asked = fake.asked();
    assert_eq!(asked[0].target, "/v1/services?namespace=default&region=global&stale=");
    assert_eq!(asked[1].target, "/v1/service/my%2Fcart?namespace=default&region=global&stale=");
    rig.stop().await;
}

#[tokio::test]
async fn eureka_is_asked_for_all_applications() {
    let fake = Fake::start(|asked| eureka(asked, 81)).await;
    let mut rig = rig(&fake, "eureka");
    until(&mut rig, 81).await;
    assert_eq!(fake.asked()[0].target, "/eureka/apps");
    rig.stop().await;
}

#[tokio::test]
async fn a_docker_daemon_is_asked_over_tcp_and_over_its_socket() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let tcp = Fake::start(|asked| docker(asked, 81)).await;
    let unix = Fake::start_unix(&socket, |asked| docker(asked, 81));
    let hosts = [
        (&tcp, format!("tcp://{}", tcp.address())),
        (&unix, format!("unix://{}", socket.display())),
    ];
    for (fake, host) in hosts {
        let section = format!(
            "docker_sd_configs: [{{host: '{host}', filters: [{{name: label, values: [a=b]}}]}}]"
        );
        let mut rig = Rig::of(&section, Path::new("/"));
        until(&mut rig, 81).await;
        let asked: Vec<_> = fake.asked().into_iter().map(|asked| asked.target).collect();
        let containers =
            "/v1.44/containers/json?filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%7D";
        assert_eq!(asked, ["/_ping", containers, "/v1.44/networks"], "{host}");
        assert!(fake.asked().iter().all(|asked| {
            asked.header("host").is_some()
                && asked.header("user-agent").is_some_and(|agent| agent.starts_with("Sigyn/"))
        }));
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_docker_socket_in_trouble_changes_nothing() {
    let mut tests = JoinSet::new();
    for trouble in Trouble::all(Duration::from_millis(300), (64 << 20) + 1) {
        tests.spawn(async move {
            let dir = tempfile::tempdir().unwrap();
            let socket = dir.path().join("docker.sock");
            let fake = Fake::start_unix(&socket, |asked| docker(asked, 81));
            let mut rig = Rig::of(
                "docker_sd_configs: [{host: 'unix://docker.sock', refresh_interval: 300ms}]"
                    .replace("docker.sock", &socket.display().to_string())
                    .as_str(),
                Path::new("/"),
            );
            until(&mut rig, 81).await;
            fake.change(move |asked| in_containers(asked, trouble));
            rig.until_counted(|now| now.refreshes["docker"].failures_total > 0).await;
            assert!(at(&mut rig, 81), "{trouble:?}");
            fake.change(|asked| docker(asked, 82));
            until(&mut rig, 82).await;
            rig.stop().await;
        });
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap();
    }
}

/// Trouble where containers are asked for. `[]` is a good answer there, so that a type that is not
/// JSON's becomes an answer that is none.
fn in_containers(asked: &Asked, trouble: Trouble) -> Reply {
    if !asked.target.contains("/containers/") {
        return docker(asked, 81);
    }
    Reply::Trouble(if trouble == Trouble::WrongType { Trouble::Malformed } else { trouble })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_trouble_all_stays_as_it_is_until_it_is_over() {
    let mut tests = JoinSet::new();
    let registries: [(&'static str, Answers); 3] =
        [("docker", docker), ("eureka", eureka), ("nomad", nomad)];
    for (kind, answers) in registries {
        for trouble in Trouble::all(Duration::from_millis(300), (64 << 20) + 1) {
            // `[]` is a good answer for those that speak JSON, whatever its type is.
            if kind != "eureka" && trouble == Trouble::WrongType {
                continue;
            }
            tests.spawn(async move {
                let fake = Fake::start(move |asked| answers(asked, 81)).await;
                let mut rig = rig(&fake, kind);
                until(&mut rig, 81).await;
                fake.change(move |asked| match kind {
                    "docker" => in_containers(asked, trouble),
                    _ => Reply::Trouble(trouble),
                });
                rig.until_counted(|now| now.refreshes[kind].failures_total > 0).await;
                assert!(at(&mut rig, 81), "{kind} {trouble:?}");
                fake.change(move |asked| answers(asked, 82));
                until(&mut rig, 82).await;
                rig.stop().await;
            });
        }
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap();
    }
}

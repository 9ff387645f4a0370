//! `kubernetes_sd_configs` against a fake API server: what it is asked, what becomes of its objects,
//! and that its troubles change nothing.

mod api;
mod changes;
mod example;
mod renewal;
mod roles;
mod troubles;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use self::api::{Api, Cut, Question, Trouble};
use crate::rig::{PATIENCE, Rig};

/// One job `a` with this section: `role: pod`.
fn rig(api: &Api, section: &str) -> Rig {
    Rig::of(
        &format!("kubernetes_sd_configs: [{{api_server: '{}', {section}}}]", api.url()),
        Path::new("/"),
    )
}

/// A pod of the namespace `shop` with one container, at the port 8080.
fn pod(name: &str, ip: &str) -> Value {
    pod_in("shop", name, ip)
}

fn pod_in(namespace: &str, name: &str, ip: &str) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "managedFields": [{"manager": "x"}]},
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "main", "ports": [{"containerPort": 8080, "protocol": "TCP"}]}],
        },
        "status": {"podIP": ip, "phase": "Running"},
    })
}

/// The addresses of the job's targets, sorted.
fn addresses(rig: &mut Rig) -> Vec<String> {
    let targets = rig.targets("a").into_iter();
    targets.map(|target| target.split(' ').next().unwrap_or_default().to_owned()).collect()
}

/// Waits until these are the addresses of the job's targets.
#[track_caller]
fn until(rig: &mut Rig, expected: &[&str]) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        while addresses(rig) != expected {
            let changed = timeout_at(deadline, rig.groups.changed()).await;
            assert!(changed.is_ok(), "{caller}: {:?} never became {expected:?}", addresses(rig));
            changed.unwrap().unwrap();
        }
    }
}

/// Waits until one of the targets has this in it.
#[track_caller]
fn until_told(rig: &mut Rig, expected: &str) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        while !rig.targets("a").iter().any(|target| target.contains(expected)) {
            let changed = timeout_at(deadline, rig.groups.changed()).await;
            assert!(changed.is_ok(), "{caller}: {:?} never had {expected}", rig.targets("a"));
            changed.unwrap().unwrap();
        }
    }
}

/// Waits until the API was asked for what `check` wants.
#[track_caller]
fn until_asked(api: &Api, check: impl Fn(&Api) -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        while !check(api) {
            assert!(Instant::now() < deadline, "{caller}: {:?}", api.asked());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn objects_come_and_change_and_go() {
    let api = Api::start().await;
    api.put("pods", pod("cart-0", "127.0.0.2"));
    let mut rig = rig(&api, "role: pod");
    until(&mut rig, &["127.0.0.2:8080"]).await;
    api.put("pods", pod_in("till", "till-0", "127.0.0.3"));
    until(&mut rig, &["127.0.0.2:8080", "127.0.0.3:8080"]).await;
    api.put("pods", pod("cart-0", "127.0.0.4"));
    until(&mut rig, &["127.0.0.3:8080", "127.0.0.4:8080"]).await;
    api.delete("pods", "till", "till-0");
    until(&mut rig, &["127.0.0.4:8080"]).await;
    // All of it in one list, and in one watch.
    assert_eq!((api.lists("pods"), api.watches("pods")), (1, 1));
    let counted = rig.metrics.snapshot();
    let events: Vec<_> = counted.kubernetes_events.into_iter().collect();
    let expected = [(("pod", "add"), 2), (("pod", "delete"), 1), (("pod", "update"), 1)];
    assert_eq!(events, expected);
    assert_eq!(counted.kubernetes_failures_total, 0);
    rig.stop().await;
}

#[tokio::test]
async fn that_there_is_nothing_is_an_answer() {
    let api = Api::start().await;
    let rig = rig(&api, "role: service");
    rig.until_counted(|now| now.received_updates_total == 1).await;
    rig.stop().await;
}

#[tokio::test]
async fn the_questions_are_those_of_the_apis_own_clients() {
    let api = Api::start().await;
    api.put("pods", pod("cart-0", "127.0.0.2"));
    api.put("pods", pod_in("till", "till-0", "127.0.0.3"));
    api.put("nodes", json!({"kind": "Node", "metadata": {"name": "n1"}}));
    let mut rig = rig(
        &api,
        "role: pod, namespaces: {names: [shop]}, bearer_token: t0ken, attach_metadata: {node: true}, \
         selectors: [{role: pod, label: 'app in (a,b)', field: 'spec.nodeName=n1'}, {role: node, label: 'zone=a'}]",
    );
    until(&mut rig, &["127.0.0.2:8080"]).await;
    until_asked(&api, |api| api.watches("pods") == 1 && api.watches("nodes") == 1).await;
    let mut asked: Vec<_> = api
        .asked()
        .into_iter()
        .map(|asked| {
            let seconds: u64 = match asked.parameter("timeoutSeconds") {
                "" => 300,
                seconds => seconds.parse().unwrap(),
            };
            assert!((300..600).contains(&seconds));
            assert_eq!(asked.authorization, "Bearer t0ken");
            asked.target.replace(&format!("timeoutSeconds={seconds}"), "timeoutSeconds=..")
        })
        .collect();
    asked.sort();
    assert_eq!(
        asked,
        [
            "/api/v1/namespaces/shop/pods?limit=500&resourceVersion=0&labelSelector=app+in+%28a%2Cb%29&fieldSelector=spec.nodeName%3Dn1",
            "/api/v1/namespaces/shop/pods?watch=1&allowWatchBookmarks=true&resourceVersion=13&timeoutSeconds=..&labelSelector=app+in+%28a%2Cb%29&fieldSelector=spec.nodeName%3Dn1",
            "/api/v1/nodes?limit=500&resourceVersion=0&labelSelector=zone%3Da",
            "/api/v1/nodes?watch=1&allowWatchBookmarks=true&resourceVersion=13&timeoutSeconds=..&labelSelector=zone%3Da",
        ]
    );
    rig.stop().await;
}

#[tokio::test]
async fn what_several_sections_need_is_watched_once() {
    let api = Api::start().await;
    api.put("pods", pod("cart-0", "127.0.0.2"));
    let url = api.url();
    let job = |name: &str, section: &str| {
        format!("{{job_name: {name}, kubernetes_sd_configs: [{{api_server: '{url}', {section}}}]}}")
    };
    let jobs = [
        job("a", "role: pod"),
        job("b", "role: pod, attach_metadata: {job: true}"),
        job("c", "role: endpoints"),
        job("d", "role: pod, selectors: [{role: pod, label: x}]"),
        job("e", "role: pod, bearer_token: other"),
    ];
    let mut rig = Rig::start(&format!("scrape_configs: [{}]", jobs.join(", ")), Path::new("/"));
    until(&mut rig, &["127.0.0.2:8080"]).await;
    until_asked(&api, |api| api.watches("pods") == 3 && api.watches("endpoints") == 1).await;
    api.put("pods", pod("cart-1", "127.0.0.3"));
    until(&mut rig, &["127.0.0.2:8080", "127.0.0.3:8080"]).await;
    rig.until_counted(|now| now.discovered_targets() == 8).await;
    assert_eq!((api.lists("pods"), api.watches("pods")), (3, 3));
    rig.stop().await;
}

#[tokio::test]
async fn a_namespace_that_may_not_be_looked_into_does_not_hide_the_others() {
    let api = Api::start().await;
    api.put("pods", pod("cart-0", "127.0.0.2"));
    api.put("pods", pod_in("till", "till-0", "127.0.0.3"));
    api.trouble(|asked| (asked.namespace == "till").then_some(Trouble::Status(403)));
    let mut rig = rig(&api, "role: pod, namespaces: {names: [shop, till]}");
    until(&mut rig, &["127.0.0.2:8080"]).await;
    api.put("pods", pod("cart-1", "127.0.0.4"));
    until(&mut rig, &["127.0.0.2:8080", "127.0.0.4:8080"]).await;
    api.recover();
    until(&mut rig, &["127.0.0.2:8080", "127.0.0.3:8080", "127.0.0.4:8080"]).await;
    rig.stop().await;
}

#[tokio::test]
async fn what_is_found_at_first_is_passed_on_together() {
    let api = Api::start().await;
    api.put("pods", pod("cart-0", "127.0.0.2"));
    api.put("pods", pod_in("till", "till-0", "127.0.0.3"));
    let slow = Trouble::Slow(Duration::from_millis(300));
    api.trouble(move |asked| {
        (asked.namespace == "till" && !asked.is_watch()).then(|| slow.clone())
    });
    let mut rig = rig(&api, "role: pod, namespaces: {names: [shop, till]}");
    until(&mut rig, &["127.0.0.2:8080", "127.0.0.3:8080"]).await;
    assert_eq!(rig.metrics.snapshot().received_updates_total, 1);
    rig.stop().await;
}

#[tokio::test]
async fn a_kubeconfig_says_whom_to_ask_and_a_program_as_whom() {
    let api = Api::start().await;
    api.want_token("t1");
    api.put("pods", pod("cart-0", "127.0.0.2"));
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("token", "t1");
    write(
        "login.sh",
        r#"read token < "$1"
echo '{"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": "'$token'"}}'
"#,
    );
    let path = |name: &str| dir.path().join(name).display().to_string();
    write(
        "config",
        &format!(
            "{{current-context: x, contexts: [{{name: x, context: {{cluster: c, user: u}}}}],
              clusters: [{{name: c, cluster: {{server: '{}'}}}}],
              users: [{{name: u, user: {{exec: {{
                apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never,
                command: sh, args: ['{}', '{}']}}}}}}]}}",
            api.url(),
            path("login.sh"),
            path("token"),
        ),
    );
    let mut rig =
        Rig::of("kubernetes_sd_configs: [{role: pod, kubeconfig_file: config}]", dir.path());
    until(&mut rig, &["127.0.0.2:8080"]).await;
    // What the program said is refused from now on: it is asked again at once.
    write("token", "t2");
    api.want_token("t2");
    api.cut(Cut::Normally);
    api.put("pods", pod("cart-1", "127.0.0.3"));
    until(&mut rig, &["127.0.0.2:8080", "127.0.0.3:8080"]).await;
    rig.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_as_written_is_a_section_that_cannot_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("oidc"),
        "{current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}],
          clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}],
          users: [{name: u, user: {auth-provider: {name: oidc}}}]}",
    )
    .unwrap();
    for file in ["none", "oidc"] {
        let section = format!("kubernetes_sd_configs: [{{role: pod, kubeconfig_file: {file}}}]");
        let rig = Rig::of(&section, dir.path());
        rig.until_counted(|now| now.failed_configs == 1).await;
        rig.stop().await;
    }
}

/// Objects that nothing has been said about but their names.
fn named(kind: &str, namespace: &str, name: &str) -> Value {
    json!({"kind": kind, "metadata": {"namespace": namespace, "name": name}})
}

fn is_pods_watch(asked: &Question) -> bool {
    asked.resource == "pods" && asked.is_watch()
}

//! `consul_sd_configs` against a fake Consul: what it is asked, services that come and go, and
//! troubles.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::fake::{Answer, Asked, Fake, Reply, Trouble};
use crate::rig::Rig;

/// What a Consul knows, and what ails it.
#[derive(Default)]
struct Known {
    index: u64,
    /// Names of services to the ports of their instances.
    services: BTreeMap<&'static str, Vec<u16>>,
    trouble: Option<Trouble>,
}

struct Consul {
    fake: Fake,
    known: Arc<Mutex<Known>>,
}

impl Consul {
    async fn start(services: &[(&'static str, &[u16])]) -> Self {
        let known: Arc<Mutex<Known>> = Arc::default();
        let shared = Arc::clone(&known);
        let fake = Fake::start(move |asked| reply(&shared.lock().unwrap(), asked)).await;
        let consul = Self { fake, known };
        consul.set(10, services);
        consul
    }

    fn set(&self, index: u64, services: &[(&'static str, &[u16])]) {
        let mut known = self.known.lock().unwrap();
        known.index = index;
        known.services = services.iter().map(|(name, ports)| (*name, ports.to_vec())).collect();
    }

    fn trouble(&self, trouble: impl Into<Option<Trouble>>) {
        self.known.lock().unwrap().trouble = trouble.into();
    }

    fn rig(&self, more: &str) -> Rig {
        let server = self.fake.address();
        let section =
            format!("consul_sd_configs: [{{server: '{server}', refresh_interval: 100ms{more}}}]");
        Rig::of(&section, Path::new("/"))
    }

    /// What it was asked, without the indices and in order, each question once.
    fn questions(&self) -> Vec<String> {
        let mut asked: Vec<_> = self
            .fake
            .asked()
            .into_iter()
            .map(|asked| asked.target)
            .filter(|target| !target.contains("index="))
            .collect();
        asked.sort();
        asked.dedup();
        asked
    }
}

fn reply(known: &Known, asked: &Asked) -> Reply {
    if let Some(trouble) = known.trouble {
        return Reply::Trouble(trouble);
    }
    let path = asked.target.split('?').next().unwrap_or_default();
    let body = if path.ends_with("/v1/agent/self") {
        r#"{"Config": {"Datacenter": "dc1", "NodeName": "n"}, "Member": {}}"#.to_owned()
    } else if path.ends_with("/v1/catalog/services") {
        let names = known.services.keys().map(|name| format!(r#""{name}": ["v1"]"#));
        format!("{{{}}}", names.collect::<Vec<_>>().join(","))
    } else {
        let name = path.rsplit('/').next().unwrap_or_default();
        let ports = known.services.get(name).into_iter().flatten();
        let instance = |port| {
            format!(
                r#"{{"Node": {{"Node": "n", "Address": "127.0.0.1"}},
                    "Service": {{"ID": "{name}-{port}", "Port": {port}}}, "Checks": []}}"#
            )
        };
        format!("[{}]", ports.map(instance).collect::<Vec<_>>().join(","))
    };
    Answer::json(&body).with("X-Consul-Index", known.index.to_string()).into()
}

/// How a target looks.
fn found(name: &str, port: u16) -> String {
    format!(
        r#"127.0.0.1:{port} {{__meta_consul_address="127.0.0.1", __meta_consul_dc="dc1", __meta_consul_health="passing", __meta_consul_node="n", __meta_consul_service="{name}", __meta_consul_service_id="{name}-{port}", __meta_consul_service_port="{port}", __meta_consul_tags=",,"}}"#
    )
}

async fn until(rig: &mut Rig, expected: &[(&str, u16)]) {
    let expected: Vec<_> = expected.iter().map(|(name, port)| found(name, *port)).collect();
    rig.until(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn services_come_and_go() {
    let consul = Consul::start(&[("cart", &[81, 82]), ("shop", &[83])]).await;
    let mut rig = consul.rig("");
    until(&mut rig, &[("cart", 81), ("cart", 82), ("shop", 83)]).await;
    consul.set(11, &[("cart", &[82]), ("shop", &[83]), ("till", &[84])]);
    until(&mut rig, &[("cart", 82), ("shop", 83), ("till", 84)]).await;
    consul.set(12, &[("cart", &[]), ("till", &[84])]);
    until(&mut rig, &[("till", 84)]).await;
    consul.set(13, &[]);
    until(&mut rig, &[]).await;
    consul.set(14, &[("cart", &[85])]);
    until(&mut rig, &[("cart", 85)]).await;
    rig.stop().await;
}

#[tokio::test]
async fn what_is_found_at_first_is_passed_on_together() {
    let consul = Consul::start(&[("a", &[81]), ("b", &[82]), ("c", &[83])]).await;
    let mut rig = consul.rig("");
    until(&mut rig, &[("a", 81), ("b", 82), ("c", 83)]).await;
    assert_eq!(rig.metrics.snapshot().received_updates_total, 1);
    rig.stop().await;
}

#[tokio::test]
async fn that_there_is_no_service_is_an_answer() {
    let consul = Consul::start(&[("cart", &[81])]).await;
    let rig = consul.rig(", tags: [v2]");
    rig.until_counted(|now| now.received_updates_total == 1).await;
    rig.stop().await;
}

#[tokio::test]
async fn the_questions_are_those_that_prometheus_asks() {
    let consul = Consul::start(&[("cart", &[81])]).await;
    let mut rig = consul.rig(
        ", services: [cart], tags: [v1], node_meta: {rack: r 7}, filter: 'a == \"b\"', \
         health_filter: c, namespace: ns1, partition: p1, token: s3cret, path_prefix: /x",
    );
    until(&mut rig, &[("cart", 81)]).await;
    assert_eq!(
        consul.questions(),
        [
            "/x/v1/agent/self?ns=ns1&partition=p1",
            "/x/v1/catalog/services?filter=a+%3D%3D+%22b%22&node-meta=rack%3Ar+7&ns=ns1&partition=p1&stale=&wait=120000ms",
            "/x/v1/health/service/cart?filter=c&node-meta=rack%3Ar+7&ns=ns1&partition=p1&stale=&tag=v1&wait=120000ms",
        ]
    );
    for asked in consul.fake.asked() {
        assert_eq!(asked.header("x-consul-token").as_deref(), Some("s3cret"));
    }
    rig.until_counted(|_| {
        let asked = consul.fake.asked();
        asked.iter().any(|asked| {
            asked.target.contains("catalog/services?filter=a+%3D%3D+%22b%22&index=10&")
        }) && asked.iter().any(|asked| asked.target.contains("service/cart?filter=c&index=10&"))
    })
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn services_whose_names_are_known_need_no_catalog() {
    let consul = Consul::start(&[("cart", &[81]), ("shop", &[82])]).await;
    let mut rig = consul.rig(", services: [cart, cart], datacenter: dc1, allow_stale: false");
    until(&mut rig, &[("cart", 81)]).await;
    assert_eq!(consul.questions(), ["/v1/health/service/cart?dc=dc1&wait=120000ms"]);
    rig.stop().await;
}

#[tokio::test]
async fn an_index_that_goes_back_is_followed_from_the_beginning() {
    let consul = Consul::start(&[("cart", &[81])]).await;
    let mut rig = consul.rig("");
    until(&mut rig, &[("cart", 81)]).await;
    let follows = |asked: &Asked| {
        asked.target.starts_with("/v1/catalog") && asked.target.contains("index=10")
    };
    let asks = async {
        while !consul.fake.asked().iter().any(follows) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asks).await.unwrap();
    consul.set(3, &[("cart", &[82]), ("shop", &[83])]);
    until(&mut rig, &[("cart", 82), ("shop", 83)]).await;
    let begins = |asked: &&Asked| asked.target.starts_with("/v1/catalog/services?stale=&wait");
    let begins_anew = async {
        while consul.fake.asked().iter().filter(begins).count() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(20), begins_anew).await;
    assert!(within.is_ok(), "{:?}", consul.fake.asked());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_trouble_all_stays_as_it_is_until_it_is_over() {
    let mut troubles = JoinSet::new();
    // An answer that does not come is what Consul does where nothing changes.
    let all = Trouble::all(Duration::from_millis(10), 10_000);
    for trouble in all.into_iter().filter(|trouble| *trouble != Trouble::Hang) {
        troubles.spawn(async move {
            let consul = Consul::start(&[("cart", &[81])]).await;
            let mut rig = consul.rig("");
            until(&mut rig, &[("cart", 81)]).await;
            consul.trouble(trouble);
            rig.until_counted(|now| {
                ["catalog/services", "health/service"]
                    .iter()
                    .all(|call| now.consul_calls[call].failures_total > 0)
            })
            .await;
            assert_eq!(rig.targets("a"), [found("cart", 81)], "{trouble:?}");
            consul.set(11, &[("shop", &[82])]);
            consul.trouble(None);
            until(&mut rig, &[("shop", 82)]).await;
            rig.stop().await;
        });
    }
    while let Some(ended) = troubles.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn the_datacenter_is_asked_for_until_it_is_told() {
    let consul = Consul::start(&[("cart", &[81])]).await;
    consul.trouble(Trouble::Status(500));
    let mut rig = consul.rig("");
    rig.until_counted(|now| {
        now.consul_calls.get("agent/self").is_some_and(|calls| calls.failures_total > 1)
    })
    .await;
    consul.trouble(None);
    until(&mut rig, &[("cart", 81)]).await;
    rig.stop().await;
}

#[tokio::test]
async fn an_answer_without_an_index_is_not_consuls() {
    let consul = Consul::start(&[("cart", &[81])]).await;
    let mut rig = consul.rig("");
    until(&mut rig, &[("cart", 81)]).await;
    consul.fake.change(|_| Answer::json("[]").into());
    rig.until_counted(|now| now.consul_calls["health/service"].failures_total > 0).await;
    assert_eq!(rig.targets("a"), [found("cart", 81)]);
    rig.stop().await;
}

//! The table `tests/data/kubernetes/changes.yml`: what becomes of objects as they come, change and go.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::Value;
use sigyn_discovery::{Labels, yaml};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::api::Api;
use super::rig;
use crate::rig::{PATIENCE, Rig};

const TABLE: &str = include_str!("../../data/kubernetes/changes.yml");
const PREFIX: &str = "__meta_kubernetes_";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// What cases are made of.
    #[serde(rename = "things")]
    _things: Value,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    role: String,
    #[serde(default)]
    section: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(default)]
    put: Vec<Value>,
    #[serde(default)]
    delete: Vec<String>,
    groups: BTreeMap<String, Group>,
}

/// A group of a source, its targets in any order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(deserialize_with = "loosely")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "loosely")]
    targets: Vec<BTreeMap<String, String>>,
}

/// Labels of a file may not stand both in what is merged and beside it. Those of this table may.
fn loosely<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    serde_json::from_value(Value::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl Step {
    fn happen(&self, api: &Api) {
        for object in &self.put {
            let resource = match object["kind"].as_str().unwrap() {
                "Endpoints" => "endpoints".to_owned(),
                "Ingress" => "ingresses".to_owned(),
                kind => format!("{}s", kind.to_lowercase()),
            };
            api.put(&resource, object.clone());
        }
        for name in &self.delete {
            let parts: Vec<&str> = name.split('/').collect();
            let [resource, namespace, name] = parts[..] else { panic!("{name}") };
            api.delete(resource, namespace, name);
        }
    }

    fn expected(&self) -> BTreeMap<String, Group> {
        let mut groups = self.groups.clone();
        groups.values_mut().for_each(|group| group.targets.sort());
        groups
    }
}

/// The groups of the job that have targets.
fn told(rig: &mut Rig) -> BTreeMap<String, Group> {
    let groups = rig.groups.borrow_and_update();
    let groups = groups.get("a").into_iter().flatten().filter(|group| !group.targets.is_empty());
    groups
        .map(|group| {
            let mut targets: Vec<_> = group.targets.iter().map(short).collect();
            targets.sort();
            (group.source.clone(), Group { labels: short(&group.labels), targets })
        })
        .collect()
}

fn short(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.replacen(PREFIX, "~", 1), value.to_owned())).collect()
}

async fn run(case: Case) {
    let api = Api::start().await;
    case.steps[0].happen(&api);
    let mut rig = rig(&api, &format!("role: {}, {}", case.role, case.section));
    for (number, step) in case.steps.iter().enumerate() {
        if number > 0 {
            step.happen(&api);
        }
        let deadline = Instant::now() + PATIENCE;
        let expected = step.expected();
        loop {
            let told = told(&mut rig);
            // That there is nothing is an answer, too.
            let is_answered = rig.metrics.snapshot().received_updates_total > 0;
            if told == expected && is_answered {
                break;
            }
            if timeout_at(deadline, rig.groups.changed()).await.is_err() {
                panic!("{}: step {number}: {told:#?} never became {expected:#?}", case.name);
            }
        }
    }
    rig.stop().await;
}

#[tokio::test]
async fn objects_as_they_come_and_change_and_go() {
    let table: Table = yaml::from_yaml(TABLE).unwrap();
    assert!(table.cases.len() > 30, "the table is cut");
    let mut running = JoinSet::new();
    for case in table.cases {
        running.spawn(run(case));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

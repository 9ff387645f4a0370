//! The machines of a swarm.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::find::PREFIX;
use crate::labels::{Labels, host_port, sanitized};
use crate::mechanism::ask::nullable;

/// A machine.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Node {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Spec", default, deserialize_with = "nullable")]
    spec: Spec,
    #[serde(rename = "Description", default, deserialize_with = "nullable")]
    description: Description,
    #[serde(rename = "Status", default, deserialize_with = "nullable")]
    status: Status,
    #[serde(rename = "ManagerStatus", default)]
    manager: Option<Manager>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Spec {
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    role: String,
    #[serde(deserialize_with = "nullable")]
    availability: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Description {
    #[serde(deserialize_with = "nullable")]
    hostname: String,
    #[serde(deserialize_with = "nullable")]
    platform: Platform,
    #[serde(deserialize_with = "nullable")]
    engine: Engine,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Platform {
    #[serde(rename = "Architecture", deserialize_with = "nullable")]
    architecture: String,
    #[serde(rename = "OS", deserialize_with = "nullable")]
    system: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Engine {
    #[serde(deserialize_with = "nullable")]
    engine_version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Status {
    #[serde(deserialize_with = "nullable")]
    state: String,
    #[serde(deserialize_with = "nullable")]
    addr: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Manager {
    #[serde(deserialize_with = "nullable")]
    leader: bool,
    #[serde(deserialize_with = "nullable")]
    reachability: String,
    #[serde(deserialize_with = "nullable")]
    addr: String,
}

impl Node {
    /// What tasks on it know of it.
    pub(super) fn for_tasks(&self) -> (String, Labels) {
        let mut labels = Labels::new();
        for (label, value) in [
            ("id", self.id.as_str()),
            ("role", &self.spec.role),
            ("address", &self.status.addr),
            ("availability", &self.spec.availability),
            ("hostname", &self.description.hostname),
            ("platform_architecture", &self.description.platform.architecture),
            ("platform_os", &self.description.platform.system),
            ("status", &self.status.state),
        ] {
            labels.set(format!("{PREFIX}node_{label}"), value);
        }
        for (label, value) in &self.spec.labels {
            labels.set(format!("{PREFIX}node_label_{}", sanitized(label)), value);
        }
        (self.id.clone(), labels)
    }
}

/// The machine itself as a target.
pub(super) fn target(node: &Node, port: u64) -> Labels {
    let (_, mut labels) = node.for_tasks();
    labels.set(
        format!("{PREFIX}node_engine_version"),
        node.description.engine.engine_version.as_str(),
    );
    if let Some(manager) = &node.manager {
        let leader = if manager.leader { "true" } else { "false" };
        labels.set(format!("{PREFIX}node_manager_leader"), leader);
        labels.set(format!("{PREFIX}node_manager_reachability"), manager.reachability.as_str());
        labels.set(format!("{PREFIX}node_manager_address"), manager.addr.as_str());
    }
    labels.set("__address__", host_port(&node.status.addr, port));
    labels
}

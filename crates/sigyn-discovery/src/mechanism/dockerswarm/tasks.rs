//! The tasks of a swarm, at the addresses of their own and at those of their machines.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::find::{ById, PREFIX, RefreshFailure, address};
use super::services::{Port, Service};
use crate::labels::{Labels, host_port, sanitized};
use crate::mechanism::ask::nullable;

/// A task.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Task {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Spec", default, deserialize_with = "nullable")]
    spec: Spec,
    #[serde(rename = "ServiceID", default, deserialize_with = "nullable")]
    service: String,
    #[serde(rename = "NodeID", default, deserialize_with = "nullable")]
    node: String,
    #[serde(rename = "Slot", default, deserialize_with = "nullable")]
    slot: u64,
    #[serde(rename = "DesiredState", default, deserialize_with = "nullable")]
    desired_state: String,
    #[serde(rename = "Status", default, deserialize_with = "nullable")]
    status: Status,
    #[serde(rename = "NetworksAttachments", default, deserialize_with = "nullable")]
    attachments: Vec<Attachment>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Spec {
    #[serde(deserialize_with = "nullable")]
    container_spec: ContainerSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerSpec {
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Status {
    #[serde(deserialize_with = "nullable")]
    state: String,
    #[serde(deserialize_with = "nullable")]
    container_status: ContainerStatus,
    #[serde(deserialize_with = "nullable")]
    port_status: PortStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    #[serde(rename = "ContainerID", deserialize_with = "nullable")]
    id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PortStatus {
    #[serde(deserialize_with = "nullable")]
    ports: Vec<Port>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attachment {
    #[serde(deserialize_with = "nullable")]
    network: Network,
    #[serde(deserialize_with = "nullable")]
    addresses: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    #[serde(rename = "ID", deserialize_with = "nullable")]
    id: String,
}

/// What tasks have labels of.
#[derive(Debug)]
pub(super) struct Around<'a> {
    pub(super) services: &'a [Service],
    pub(super) nodes: ById,
    pub(super) networks: ById,
}

impl Task {
    /// What is known of it wherever it is; of service and node after that of the task itself.
    fn labels(&self, service: Option<&Service>, nodes: &ById) -> Labels {
        let mut labels = Labels::new();
        let slot = self.slot.to_string();
        for (label, value) in [
            ("id", &self.id),
            ("container_id", &self.status.container_status.id),
            ("desired_state", &self.desired_state),
            ("slot", &slot),
            ("state", &self.status.state),
        ] {
            labels.set(format!("{PREFIX}task_{label}"), value);
        }
        for (label, value) in &self.spec.container_spec.labels {
            labels.set(format!("{PREFIX}container_label_{}", sanitized(label)), value);
        }
        if let Some(service) = service {
            labels.extend(service.for_tasks().iter());
        }
        labels.extend(nodes.get(&self.node).into_iter().flat_map(Labels::iter));
        labels
    }
}

/// Each task at each TCP port that it publishes on its machine; and at each of its own addresses,
/// once a TCP port of its service, or once if that has none.
pub(super) fn targets(
    tasks: &[Task],
    around: &Around<'_>,
    port: u64,
) -> Result<Vec<Labels>, RefreshFailure> {
    let services: BTreeMap<&str, &Service> =
        around.services.iter().map(|service| (service.id.as_str(), service)).collect();
    let mut targets = Vec::new();
    for task in tasks {
        let service = services.get(task.service.as_str()).copied();
        let common = task.labels(service, &around.nodes);
        let node = common.value("__meta_dockerswarm_node_address");
        for port in task.status.port_status.ports.iter().filter(|port| port.is_tcp()) {
            targets.push(at(&common, node, port));
        }
        for attachment in &task.attachments {
            let mut common = common.clone();
            let network = around.networks.get(&attachment.network.id);
            common.extend(network.into_iter().flat_map(Labels::iter));
            for own in &attachment.addresses {
                let ip = address(own)?;
                let before = targets.len();
                let ports = service.into_iter().flat_map(Service::tcp_ports);
                targets.extend(ports.map(|port| at(&common, &ip, port)));
                if targets.len() == before {
                    let mut labels = common.clone();
                    labels.set("__address__", host_port(&ip, port));
                    targets.push(labels);
                }
            }
        }
    }
    Ok(targets)
}

fn at(common: &Labels, host: &str, port: &Port) -> Labels {
    let mut labels = common.clone();
    labels.set(format!("{PREFIX}task_port_publish_mode"), port.publish_mode.as_str());
    labels.set("__address__", host_port(host, port.published_port));
    labels
}

//! The services of a swarm, at their virtual addresses.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::find::{ById, PREFIX, RefreshFailure, address};
use crate::labels::{Labels, host_port, sanitized};
use crate::mechanism::ask::nullable;

/// A service.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Service {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "Spec", default, deserialize_with = "nullable")]
    spec: Spec,
    #[serde(rename = "Endpoint", default, deserialize_with = "nullable")]
    endpoint: Endpoint,
    #[serde(rename = "UpdateStatus", default, deserialize_with = "nullable")]
    update: UpdateStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Spec {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    mode: Mode,
    #[serde(deserialize_with = "nullable")]
    task_template: Template,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Mode {
    replicated: Option<IgnoredAny>,
    global: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Template {
    #[serde(deserialize_with = "nullable")]
    container_spec: Container,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    #[serde(deserialize_with = "nullable")]
    image: String,
    #[serde(deserialize_with = "nullable")]
    hostname: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "Ports", deserialize_with = "nullable")]
    ports: Vec<Port>,
    #[serde(rename = "VirtualIPs", deserialize_with = "nullable")]
    virtual_ips: Vec<VirtualIp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VirtualIp {
    #[serde(rename = "NetworkID", deserialize_with = "nullable")]
    network: String,
    #[serde(rename = "Addr", deserialize_with = "nullable")]
    address: String,
}

/// A port that others may come to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Port {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    protocol: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) published_port: u16,
    #[serde(deserialize_with = "nullable")]
    pub(super) publish_mode: String,
}

impl Port {
    pub(super) fn is_tcp(&self) -> bool {
        self.protocol == "tcp"
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct UpdateStatus {
    #[serde(deserialize_with = "nullable")]
    state: String,
}

impl Service {
    /// What its tasks know of it.
    pub(super) fn for_tasks(&self) -> Labels {
        let mode = match &self.spec.mode {
            Mode { global: Some(_), .. } => "global",
            Mode { replicated: Some(_), .. } => "replicated",
            Mode { .. } => "",
        };
        let mut labels = Labels::new();
        for (label, value) in [("id", self.id.as_str()), ("name", &self.spec.name), ("mode", mode)]
        {
            labels.set(format!("{PREFIX}service_{label}"), value);
        }
        for (label, value) in &self.spec.labels {
            labels.set(format!("{PREFIX}service_label_{}", sanitized(label)), value);
        }
        labels
    }

    /// Those of its ports that targets may be at.
    pub(super) fn tcp_ports(&self) -> impl Iterator<Item = &Port> {
        self.endpoint.ports.iter().filter(|port| port.is_tcp())
    }

    fn labels(&self) -> Labels {
        let mut labels = self.for_tasks();
        let container = &self.spec.task_template.container_spec;
        for (label, value) in [
            ("task_container_hostname", &container.hostname),
            ("task_container_image", &container.image),
            ("updating_status", &self.update.state),
        ] {
            labels.set(format!("{PREFIX}service_{label}"), value);
        }
        labels
    }
}

/// Each service at each of its virtual addresses: once a published TCP port, or once if it has none.
pub(super) fn targets(
    services: &[Service],
    networks: &ById,
    port: u64,
) -> Result<Vec<Labels>, RefreshFailure> {
    let mut targets = Vec::new();
    for service in services {
        let common = service.labels();
        for virtual_ip in &service.endpoint.virtual_ips {
            let ip = address(&virtual_ip.address)?;
            let mut common = common.clone();
            common.extend(networks.get(&virtual_ip.network).into_iter().flat_map(Labels::iter));
            let before = targets.len();
            for port in service.tcp_ports() {
                let mut labels = common.clone();
                for (label, value) in [("name", &port.name), ("publish_mode", &port.publish_mode)] {
                    labels.set(format!("{PREFIX}service_endpoint_port_{label}"), value);
                }
                labels.set("__address__", host_port(&ip, port.published_port));
                targets.push(labels);
            }
            if targets.len() == before {
                common.set("__address__", host_port(&ip, port));
                targets.push(common);
            }
        }
    }
    Ok(targets)
}

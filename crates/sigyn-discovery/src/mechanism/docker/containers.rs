//! From containers and networks to targets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::Config;
use super::network::Network;
use crate::labels::{Labels, host_port, sanitized};
use crate::mechanism::ask::nullable;

const PREFIX: &str = "__meta_docker_";

/// A container that runs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    id: String,
    #[serde(default, deserialize_with = "nullable")]
    names: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    image: String,
    #[serde(rename = "ImageID", default, deserialize_with = "nullable")]
    image_id: String,
    #[serde(default, deserialize_with = "nullable")]
    ports: Vec<Port>,
    #[serde(default, deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "nullable")]
    host_config: HostConfig,
    #[serde(default, deserialize_with = "nullable")]
    network_settings: NetworkSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    #[serde(rename = "IP", deserialize_with = "nullable")]
    ip: String,
    #[serde(deserialize_with = "nullable")]
    private_port: u16,
    #[serde(deserialize_with = "nullable")]
    public_port: u16,
    #[serde(rename = "Type", deserialize_with = "nullable")]
    protocol: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    #[serde(deserialize_with = "nullable")]
    network_mode: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(deserialize_with = "nullable")]
    networks: BTreeMap<String, Option<Attachment>>,
}

/// A container's place in a network.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attachment {
    #[serde(rename = "NetworkID", deserialize_with = "nullable")]
    network: String,
    #[serde(rename = "IPAddress", deserialize_with = "nullable")]
    ip: String,
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "nullable")]
    ipv6: String,
}

/// The targets of all containers: one for each TCP port in each network that counts.
pub(super) fn targets(
    config: &Config,
    containers: &[Container],
    networks: &[Network],
) -> Vec<Labels> {
    let networks: BTreeMap<&str, Labels> =
        networks.iter().map(|network| (network.id(), network.labels(PREFIX))).collect();
    let by_id: BTreeMap<&str, &Container> =
        containers.iter().map(|container| (container.id.as_str(), container)).collect();
    let mut targets = Vec::new();
    for container in containers {
        let Some(name) = container.names.first() else { continue };
        let common = container.labels(name);
        let attachments = attachments(container, &by_id);
        let is_one = config.match_first_network && attachments.len() > 1;
        let attachments = attachments.values().flatten();
        for attachment in attachments.take(if is_one { 1 } else { usize::MAX }) {
            let mut common = common.clone();
            common.extend(
                networks.get(attachment.network.as_str()).into_iter().flat_map(Labels::iter),
            );
            let ip = attachment.address();
            common.set(format!("{PREFIX}network_ip"), ip.as_str());
            let tcp: Vec<&Port> =
                container.ports.iter().filter(|port| port.protocol == "tcp").collect();
            for port in &tcp {
                let mut labels = common.clone();
                port.describe(&mut labels);
                labels.set("__address__", host_port(&ip, port.private_port));
                targets.push(labels);
            }
            if tcp.is_empty() {
                // So it is with all that share the host's network.
                let address = match container.host_config.network_mode.as_str() {
                    "host" => config.host_networking_host.clone(),
                    _ => host_port(&ip, config.port),
                };
                common.set("__address__", address);
                targets.push(common);
            }
        }
    }
    targets
}

/// Where a container is, which may be where another one is that it shares networks with.
fn attachments<'a>(
    container: &'a Container,
    by_id: &BTreeMap<&str, &'a Container>,
) -> &'a BTreeMap<String, Option<Attachment>> {
    let mut at = container;
    // No more steps than there are containers, lest they go round in a circle.
    for _ in 0..by_id.len() {
        if !at.network_settings.networks.is_empty() {
            break;
        }
        let other = at.host_config.network_mode.strip_prefix("container:");
        let Some(other) = other.and_then(|id| by_id.get(id)) else { break };
        at = other;
    }
    &at.network_settings.networks
}

impl Container {
    fn labels(&self, name: &str) -> Labels {
        let mut labels = Labels::new();
        for (label, value) in [
            ("id", self.id.as_str()),
            ("name", name),
            ("network_mode", &self.host_config.network_mode),
            ("image", &self.image),
            ("image_id", &self.image_id),
        ] {
            labels.set(format!("{PREFIX}container_{label}"), value);
        }
        for (label, value) in &self.labels {
            labels.set(format!("{PREFIX}container_label_{}", sanitized(label)), value);
        }
        labels
    }
}

impl Attachment {
    /// IPv4 if there is one, else IPv6, else nothing.
    fn address(&self) -> String {
        let is_address = |text: &&String| text.parse::<IpAddr>().is_ok();
        [&self.ip, &self.ipv6].into_iter().find(is_address).cloned().unwrap_or_default()
    }
}

impl Port {
    fn describe(&self, labels: &mut Labels) {
        labels.set(format!("{PREFIX}port_private"), self.private_port.to_string());
        if self.public_port > 0 {
            labels.set(format!("{PREFIX}port_public"), self.public_port.to_string());
            labels.set(format!("{PREFIX}port_public_ip"), self.ip.as_str());
        }
    }
}

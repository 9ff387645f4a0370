//! From servers of Hetzner Cloud to targets.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::labels::{Labels, host_port, sanitized};
use crate::mechanism::ask::nullable;

const PREFIX: &str = "__meta_hetzner_";

/// A server.
#[derive(Debug, Deserialize)]
pub(super) struct Server {
    id: u64,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    status: String,
    #[serde(default, deserialize_with = "nullable")]
    public_net: PublicNet,
    #[serde(default, deserialize_with = "nullable")]
    private_net: Vec<PrivateNet>,
    #[serde(default, deserialize_with = "nullable")]
    server_type: ServerType,
    #[serde(default)]
    location: Option<Location>,
    /// Where the location was told until July 2026.
    #[serde(default)]
    datacenter: Option<Datacenter>,
    #[serde(default, deserialize_with = "nullable")]
    image: Image,
    #[serde(default, deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PublicNet {
    #[serde(deserialize_with = "nullable")]
    ipv4: Ip,
    #[serde(deserialize_with = "nullable")]
    ipv6: Ip,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ip {
    #[serde(deserialize_with = "nullable")]
    ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PrivateNet {
    #[serde(deserialize_with = "nullable")]
    network: u64,
    #[serde(deserialize_with = "nullable")]
    ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServerType {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    cores: u64,
    #[serde(deserialize_with = "nullable")]
    cpu_type: String,
    /// In gigabytes, and parts of one.
    #[serde(deserialize_with = "nullable")]
    memory: f64,
    #[serde(deserialize_with = "nullable")]
    disk: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    network_zone: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Datacenter {
    location: Option<Location>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Image {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    description: String,
    #[serde(deserialize_with = "nullable")]
    os_flavor: String,
    #[serde(deserialize_with = "nullable")]
    os_version: String,
}

/// A network that servers may be in.
#[derive(Debug, Deserialize)]
pub(super) struct Network {
    id: u64,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
}

/// A server as a target. One that has no public IPv4 address has no address at all.
pub(super) fn target(server: &Server, networks: &[Network], port: u64) -> Labels {
    let kind = &server.server_type;
    let datacenter = server.datacenter.as_ref().and_then(|datacenter| datacenter.location.as_ref());
    let (location, zone) = server
        .location
        .as_ref()
        .or(datacenter)
        .map_or(("", ""), |location| (location.name.as_str(), location.network_zone.as_str()));
    let mut labels = Labels::new();
    for (label, value) in [
        ("role", "hcloud"),
        ("server_id", &server.id.to_string()),
        ("server_name", &server.name),
        ("server_status", &server.status),
        ("public_ipv4", &server.public_net.ipv4.ip),
        ("public_ipv6_network", &server.public_net.ipv6.ip),
        ("hcloud_location", location),
        ("hcloud_location_network_zone", zone),
        // What they were called before.
        ("hcloud_datacenter_location", location),
        ("hcloud_datacenter_location_network_zone", zone),
        ("hcloud_server_type", &kind.name),
        ("hcloud_cpu_cores", &kind.cores.to_string()),
        ("hcloud_cpu_type", &kind.cpu_type),
        ("hcloud_memory_size_gb", &kind.memory.trunc().to_string()),
        ("hcloud_disk_size_gb", &kind.disk.to_string()),
        ("hcloud_image_name", &server.image.name),
        ("hcloud_image_description", &server.image.description),
        ("hcloud_image_os_version", &server.image.os_version),
        ("hcloud_image_os_flavor", &server.image.os_flavor),
    ] {
        labels.set(format!("{PREFIX}{label}"), value);
    }
    for place in &server.private_net {
        let named = networks.iter().filter(|network| network.id == place.network);
        for network in named {
            let name = sanitized(&network.name);
            labels.set(format!("{PREFIX}hcloud_private_ipv4_{name}"), place.ip.as_str());
        }
    }
    for (label, value) in &server.labels {
        let name = sanitized(label);
        labels.set(format!("{PREFIX}hcloud_label_{name}"), value);
        labels.set(format!("{PREFIX}hcloud_labelpresent_{name}"), "true");
    }
    let ip = &server.public_net.ipv4.ip;
    if !ip.is_empty() {
        labels.set("__address__", host_port(ip, port));
    }
    labels
}

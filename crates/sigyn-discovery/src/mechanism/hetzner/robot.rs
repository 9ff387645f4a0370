//! From dedicated servers to targets.

use std::net::Ipv4Addr;

use serde::Deserialize;

use crate::labels::{Labels, host_port};
use crate::mechanism::ask::nullable;

/// What a list of servers has of one.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    pub(super) server: Server,
}

/// A server.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Server {
    #[serde(default, deserialize_with = "nullable")]
    server_ip: String,
    server_number: u64,
    #[serde(default, deserialize_with = "nullable")]
    server_name: String,
    #[serde(default, deserialize_with = "nullable")]
    dc: String,
    #[serde(default, deserialize_with = "nullable")]
    status: String,
    #[serde(default, deserialize_with = "nullable")]
    product: String,
    #[serde(default, deserialize_with = "nullable")]
    cancelled: bool,
    #[serde(default, deserialize_with = "nullable")]
    subnet: Vec<Subnet>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subnet {
    #[serde(deserialize_with = "nullable")]
    ip: String,
    #[serde(deserialize_with = "nullable")]
    mask: String,
}

/// A server as a target. One that has no IPv4 address has no address at all.
pub(super) fn target(server: &Server, port: u64) -> Labels {
    let datacenter = server.dc.to_lowercase();
    let ipv6 = server.subnet.iter().find(|subnet| subnet.ip.parse::<Ipv4Addr>().is_err());
    let ipv6 = ipv6.map(|subnet| format!("{}/{}", subnet.ip, subnet.mask)).unwrap_or_default();
    let mut labels = Labels::new();
    for (label, value) in [
        ("role", "robot"),
        ("server_id", &server.server_number.to_string()),
        ("server_name", &server.server_name),
        ("server_status", &server.status),
        ("datacenter", &datacenter),
        ("public_ipv4", &server.server_ip),
        ("public_ipv6_network", &ipv6),
        ("robot_datacenter", &datacenter),
        ("robot_product", &server.product),
        ("robot_cancelled", if server.cancelled { "true" } else { "false" }),
    ] {
        labels.set(format!("__meta_hetzner_{label}"), value);
    }
    if !server.server_ip.is_empty() {
        labels.set("__address__", host_port(&server.server_ip, port));
    }
    labels
}

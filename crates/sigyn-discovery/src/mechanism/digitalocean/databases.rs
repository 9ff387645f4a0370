//! From clusters of databases to targets.

use serde::Deserialize;

use crate::labels::{Labels, host_port};
use crate::mechanism::ask::nullable;

/// A cluster.
#[derive(Debug, Deserialize)]
pub(super) struct Cluster {
    pub(super) id: String,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    engine: String,
    #[serde(default, deserialize_with = "nullable")]
    version: String,
    #[serde(default, deserialize_with = "nullable")]
    status: String,
    #[serde(default, deserialize_with = "nullable")]
    region: String,
    #[serde(default, deserialize_with = "nullable")]
    size: String,
    #[serde(default, deserialize_with = "nullable")]
    num_nodes: u64,
    #[serde(default, deserialize_with = "nullable")]
    connection: Connection,
    #[serde(default, deserialize_with = "nullable")]
    private_connection: Connection,
    #[serde(default, deserialize_with = "nullable")]
    tags: Vec<String>,
}

/// Its passwords are not even read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Connection {
    #[serde(deserialize_with = "nullable")]
    host: String,
}

/// A cluster as a target, where it is for its own network if it is in one.
pub(super) fn target(cluster: &Cluster, port: u64) -> Labels {
    let (public, private) = (&cluster.connection.host, &cluster.private_connection.host);
    let mut labels = Labels::new();
    for (label, value) in [
        ("id", &cluster.id),
        ("name", &cluster.name),
        ("engine", &cluster.engine),
        ("version", &cluster.version),
        ("status", &cluster.status),
        ("region", &cluster.region),
        ("size", &cluster.size),
        ("num_nodes", &cluster.num_nodes.to_string()),
        ("host", public),
        ("private_host", private),
    ] {
        labels.set(format!("__meta_digitalocean_db_{label}"), value);
    }
    for tag in &cluster.tags {
        // As it is, as in Prometheus.
        labels.set(format!("__meta_digitalocean_db_tag_{tag}"), "true");
    }
    if let Some(host) = [private, public].into_iter().find(|host| !host.is_empty()) {
        labels.set("__address__", host_port(host, port));
    }
    labels
}

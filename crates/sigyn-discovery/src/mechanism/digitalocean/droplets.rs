//! From droplets to targets.

use serde::Deserialize;

use crate::labels::{Labels, host_port, listed};
use crate::mechanism::ask::nullable;

/// A machine.
#[derive(Debug, Deserialize)]
pub(super) struct Droplet {
    pub(super) id: u64,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    region: Named,
    #[serde(default, deserialize_with = "nullable")]
    image: Named,
    #[serde(default, deserialize_with = "nullable")]
    size_slug: String,
    #[serde(default, deserialize_with = "nullable")]
    status: String,
    #[serde(default, deserialize_with = "nullable")]
    networks: Networks,
    #[serde(default, deserialize_with = "nullable")]
    features: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    tags: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    vpc_uuid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    #[serde(deserialize_with = "nullable")]
    slug: String,
    #[serde(deserialize_with = "nullable")]
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Networks {
    #[serde(deserialize_with = "nullable")]
    v4: Vec<Network>,
    #[serde(deserialize_with = "nullable")]
    v6: Vec<Network>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    #[serde(deserialize_with = "nullable")]
    ip_address: String,
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: String,
}

/// A machine as a target, at its public IPv4 address. One that has no IPv4 address at all is none.
pub(super) fn target(droplet: &Droplet, port: u64) -> Option<Labels> {
    let Networks { v4, v6 } = &droplet.networks;
    if v4.is_empty() {
        return None;
    }
    let first = |networks: &[Network], kind: &str| {
        let network = networks.iter().find(|network| network.kind == kind);
        network.map(|network| network.ip_address.clone()).unwrap_or_default()
    };
    let public = first(v4, "public");
    let mut labels = Labels::new();
    for (label, value) in [
        ("droplet_id", &droplet.id.to_string()),
        ("droplet_name", &droplet.name),
        ("image", &droplet.image.slug),
        ("image_name", &droplet.image.name),
        ("private_ipv4", &first(v4, "private")),
        ("public_ipv4", &public),
        ("public_ipv6", &first(v6, "public")),
        ("region", &droplet.region.slug),
        ("size", &droplet.size_slug),
        ("status", &droplet.status),
        ("vpc", &droplet.vpc_uuid),
        ("features", &listed(&droplet.features, ",")),
        ("tags", &listed(&droplet.tags, ",")),
    ] {
        labels.set(format!("__meta_digitalocean_{label}"), value);
    }
    labels.set("__address__", host_port(&public, port));
    Some(labels)
}

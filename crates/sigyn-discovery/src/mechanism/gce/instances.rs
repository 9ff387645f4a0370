//! From instances to targets.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Config;
use crate::labels::{Labels, listed, sanitized};
use crate::mechanism::ask::nullable;

const PREFIX: &str = "__meta_gce_";

/// An instance.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Instance {
    #[serde(deserialize_with = "text")]
    id: String,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    status: String,
    #[serde(default, deserialize_with = "nullable")]
    zone: String,
    #[serde(default, deserialize_with = "nullable")]
    machine_type: String,
    #[serde(default, deserialize_with = "nullable")]
    network_interfaces: Vec<Interface>,
    #[serde(default, deserialize_with = "nullable")]
    tags: Tags,
    #[serde(default, deserialize_with = "nullable")]
    metadata: Metadata,
    #[serde(default, deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Interface {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    network: String,
    #[serde(deserialize_with = "nullable")]
    subnetwork: String,
    #[serde(rename = "networkIP", deserialize_with = "nullable")]
    ip: String,
    #[serde(rename = "accessConfigs", deserialize_with = "nullable")]
    access: Vec<Access>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Access {
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: String,
    #[serde(rename = "natIP", deserialize_with = "nullable")]
    ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tags {
    #[serde(deserialize_with = "nullable")]
    items: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(deserialize_with = "nullable")]
    items: Vec<Item>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Item {
    #[serde(deserialize_with = "nullable")]
    key: String,
    value: Option<String>,
}

/// Google writes large numbers as texts.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}

/// An instance as a target, at the address of its first interface. One without interfaces is none.
pub(super) fn target(instance: &Instance, config: &Config) -> Option<Labels> {
    let first = instance.network_interfaces.first()?;
    let access = first.access.first().filter(|access| access.kind == "ONE_TO_ONE_NAT");
    let public = access.map(|access| access.ip.as_str()).unwrap_or_default();
    let mut labels = Labels::new();
    for (label, value) in [
        ("project", config.project.as_str()),
        ("zone", &instance.zone),
        ("instance_id", &instance.id),
        ("instance_name", &instance.name),
        ("instance_status", &instance.status),
        ("machine_type", &instance.machine_type),
        ("network", &first.network),
        ("subnetwork", &first.subnetwork),
        ("private_ip", &first.ip),
        ("public_ip", public),
        ("tags", &listed(&instance.tags.items, &config.tag_separator)),
    ] {
        labels.set(format!("{PREFIX}{label}"), value);
    }
    for interface in &instance.network_interfaces {
        let name = sanitized(&interface.name);
        labels.set(format!("{PREFIX}interface_ipv4_{name}"), interface.ip.as_str());
    }
    for item in &instance.metadata.items {
        let value = item.value.as_deref().unwrap_or_default();
        labels.set(format!("{PREFIX}metadata_{}", sanitized(&item.key)), value);
    }
    for (label, value) in &instance.labels {
        labels.set(format!("{PREFIX}label_{}", sanitized(label)), value);
    }
    // Without brackets, whatever it is: so does Prometheus.
    labels.set("__address__", format!("{}:{}", first.ip, config.port));
    Some(labels)
}

//! From virtual machines and their interfaces to targets.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Config;
use crate::labels::{Labels, host_port, sanitized};
use crate::mechanism::ask::nullable;

const PREFIX: &str = "__meta_azure_";

/// A page of any list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) value: Vec<T>,
    /// Where the next page is.
    #[serde(rename = "nextLink", default, deserialize_with = "nullable")]
    pub(super) next: String,
}

/// Machines that are alike.
#[derive(Debug, Deserialize)]
pub(super) struct ScaleSet {
    pub(super) id: String,
    pub(super) name: String,
}

/// A machine.
#[derive(Debug, Deserialize)]
pub(super) struct Machine {
    id: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "nullable")]
    location: String,
    #[serde(default, deserialize_with = "nullable")]
    tags: BTreeMap<String, Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    properties: Properties,
    /// The name of its scale set, if it is of one. Not in the answer.
    #[serde(skip)]
    pub(super) scale_set: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Properties {
    #[serde(deserialize_with = "nullable")]
    hardware_profile: Hardware,
    #[serde(deserialize_with = "nullable")]
    storage_profile: Storage,
    #[serde(deserialize_with = "nullable")]
    os_profile: Os,
    #[serde(deserialize_with = "nullable")]
    network_profile: Network,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Hardware {
    #[serde(deserialize_with = "nullable")]
    vm_size: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Storage {
    #[serde(deserialize_with = "nullable")]
    os_disk: Disk,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Disk {
    #[serde(deserialize_with = "nullable")]
    os_type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Os {
    #[serde(deserialize_with = "nullable")]
    computer_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Network {
    #[serde(deserialize_with = "nullable")]
    network_interfaces: Vec<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    #[serde(deserialize_with = "nullable")]
    id: String,
}

/// An interface of a machine.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Interface {
    /// So that it is not anybody's `{}`.
    #[serde(rename = "id")]
    _id: String,
    #[serde(default)]
    properties: Option<InterfaceProperties>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InterfaceProperties {
    primary: Option<bool>,
    #[serde(deserialize_with = "nullable")]
    ip_configurations: Vec<IpConfiguration>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct IpConfiguration {
    #[serde(deserialize_with = "nullable")]
    properties: IpProperties,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct IpProperties {
    #[serde(rename = "privateIPAddress", deserialize_with = "nullable")]
    private: String,
    #[serde(rename = "publicIPAddress", deserialize_with = "nullable")]
    public: PublicAddress,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PublicAddress {
    #[serde(deserialize_with = "nullable")]
    properties: PublicProperties,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PublicProperties {
    #[serde(deserialize_with = "nullable")]
    ip_address: String,
}

/// What an interface tells of its machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing: the next one may.
    Elsewhere,
    /// The machine is not there, as far as anybody can tell.
    Nowhere,
    /// It is there.
    At { private: String, public: String },
    /// It is there, and cannot be reached: something is wrong.
    Unreachable,
}

/// Why an answer is refused as a whole.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid ID '{0}'")]
pub(super) struct IdError(String);

impl Machine {
    /// The `at`th interface.
    pub(super) fn interface(&self, at: usize) -> Option<&str> {
        let interface = self.properties.network_profile.network_interfaces.get(at)?;
        Some(&interface.id)
    }

    /// What is known of it without its address.
    pub(super) fn labels(&self, config: &Config) -> Result<Labels, IdError> {
        let properties = &self.properties;
        let mut labels = Labels::new();
        for (label, value) in [
            ("subscription_id", config.subscription_id.as_str()),
            ("tenant_id", &config.tenant_id),
            ("machine_id", &self.id),
            ("machine_name", &self.name),
            ("machine_computer_name", &properties.os_profile.computer_name),
            ("machine_os_type", &properties.storage_profile.os_disk.os_type),
            ("machine_location", &self.location),
            ("machine_resource_group", resource_group(&self.id)?),
            ("machine_size", &properties.hardware_profile.vm_size),
            ("machine_scale_set", &self.scale_set),
        ] {
            labels.set(format!("{PREFIX}{label}"), value);
        }
        for (tag, value) in &self.tags {
            let value = value.as_deref().unwrap_or_default();
            labels.set(format!("{PREFIX}machine_tag_{}", sanitized(tag)), value);
        }
        Ok(labels)
    }
}

/// Adds where a machine is.
pub(super) fn settle(labels: &mut Labels, private: &str, public: &str, port: u64) {
    labels.set(format!("{PREFIX}machine_private_ip"), private);
    labels.set(format!("{PREFIX}machine_public_ip"), public);
    labels.set("__address__", host_port(private, port));
}

impl Interface {
    /// The first of its configurations is what counts.
    pub(super) fn place(&self) -> Place {
        let Some(properties) = &self.properties else { return Place::Elsewhere };
        let first = properties.ip_configurations.first();
        match (properties.primary, first) {
            // Machines that are stopped and given back have interfaces that do not tell.
            (None, _) => Place::Nowhere,
            (Some(false), _) | (Some(true), None) => Place::Elsewhere,
            (Some(true), Some(first)) if first.properties.private.is_empty() => Place::Unreachable,
            (Some(true), Some(first)) => Place::At {
                private: first.properties.private.clone(),
                public: first.properties.public.properties.ip_address.clone(),
            },
        }
    }
}

/// The group that a resource is in: `/subscriptions/../resourceGroups/<group>/..`.
pub(super) fn resource_group(id: &str) -> Result<&str, IdError> {
    let mut parts = id.split('/').skip(1);
    let is =
        |part: Option<&str>, name: &str| part.is_some_and(|part| part.eq_ignore_ascii_case(name));
    let group = match (is(parts.next(), "subscriptions"), parts.next()) {
        (true, Some(_)) if is(parts.next(), "resourceGroups") => parts.next(),
        _ => None,
    };
    let group = group.filter(|group| !group.is_empty());
    group.ok_or_else(|| IdError(id.to_owned()))
}

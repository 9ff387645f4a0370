//! From instances and their addresses to targets.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Config;
use crate::labels::{Labels, host_port, listed};
use crate::mechanism::ask::nullable;

/// An instance.
#[derive(Debug, Deserialize)]
pub(super) struct Instance {
    id: u64,
    #[serde(default, deserialize_with = "nullable")]
    label: String,
    #[serde(default, deserialize_with = "nullable")]
    image: String,
    #[serde(default, deserialize_with = "nullable")]
    ipv4: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    ipv6: String,
    #[serde(default, deserialize_with = "nullable")]
    region: String,
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    kind: String,
    #[serde(default, deserialize_with = "nullable")]
    status: String,
    #[serde(default, deserialize_with = "nullable")]
    tags: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    group: String,
    #[serde(default, deserialize_with = "nullable")]
    hypervisor: String,
    #[serde(default, deserialize_with = "nullable")]
    backups: Backups,
    #[serde(default, deserialize_with = "nullable")]
    specs: Specs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Backups {
    #[serde(deserialize_with = "nullable")]
    enabled: bool,
}

/// Sizes in mebibytes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Specs {
    #[serde(deserialize_with = "nullable")]
    disk: u64,
    #[serde(deserialize_with = "nullable")]
    memory: u64,
    #[serde(deserialize_with = "nullable")]
    vcpus: u64,
    #[serde(deserialize_with = "nullable")]
    gpus: u64,
    #[serde(deserialize_with = "nullable")]
    transfer: u64,
}

/// An address of some instance.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Address {
    address: String,
    #[serde(default, deserialize_with = "nullable")]
    public: bool,
    #[serde(default, deserialize_with = "nullable")]
    rdns: String,
}

/// Addresses that lead to some instance.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Range {
    range: String,
    #[serde(default, deserialize_with = "nullable")]
    prefix: u64,
    #[serde(default, deserialize_with = "nullable")]
    route_target: String,
}

/// All addresses, to be looked up.
#[derive(Debug)]
pub(super) struct Addresses<'a> {
    by_address: BTreeMap<&'a str, Vec<&'a Address>>,
    by_target: BTreeMap<&'a str, Vec<&'a Range>>,
}

impl<'a> Addresses<'a> {
    pub(super) fn new(addresses: &'a [Address], ranges: &'a [Range]) -> Self {
        let mut known = Self { by_address: BTreeMap::new(), by_target: BTreeMap::new() };
        for address in addresses {
            known.by_address.entry(&address.address).or_default().push(address);
        }
        for range in ranges {
            known.by_target.entry(&range.route_target).or_default().push(range);
        }
        known
    }

    fn of(&self, address: &str) -> impl Iterator<Item = &'a Address> {
        self.by_address.get(address).into_iter().flatten().copied()
    }
}

/// An address, and the name that it leads back to.
#[derive(Default)]
struct Named {
    address: String,
    name: String,
}

impl From<&Address> for Named {
    fn from(address: &Address) -> Self {
        let name = if address.rdns == "null" { "" } else { &address.rdns };
        Self { address: address.address.clone(), name: name.to_owned() }
    }
}

/// An instance as a target, at its first public IPv4 address. One without IPv4 addresses is none.
pub(super) fn target(
    instance: &Instance,
    known: &Addresses<'_>,
    config: &Config,
) -> Option<Labels> {
    if instance.ipv4.is_empty() {
        return None;
    }
    let (mut public, mut private): (Option<Named>, Option<Named>) = (None, None);
    let mut extra = Vec::new();
    for address in instance.ipv4.iter().flat_map(|own| known.of(own)) {
        let place = if address.public { &mut public } else { &mut private };
        match place {
            None => *place = Some(address.into()),
            Some(_) => extra.push(address.address.as_str()),
        }
    }
    let (public, private) = (public.unwrap_or_default(), private.unwrap_or_default());
    let own6 = instance.ipv6.split('/').next().filter(|own| !own.is_empty());
    let ipv6 = own6.and_then(|own| known.of(own).last()).map(Named::from).unwrap_or_default();
    let ranges = own6.and_then(|own| known.by_target.get(own)).into_iter().flatten();
    let ranges: Vec<_> = ranges.map(|range| format!("{}/{}", range.range, range.prefix)).collect();
    let separator = config.tag_separator.as_str();
    let specs = &instance.specs;
    let bytes = |mebibytes: u64| mebibytes.saturating_mul(1 << 20).to_string();
    let backups = if instance.backups.enabled { "enabled" } else { "disabled" };
    let mut labels = Labels::new();
    for (label, value) in [
        ("backups", backups),
        ("instance_id", &instance.id.to_string()),
        ("instance_label", &instance.label),
        ("image", &instance.image),
        ("private_ipv4", &private.address),
        ("private_ipv4_rdns", &private.name),
        ("public_ipv4", &public.address),
        ("public_ipv4_rdns", &public.name),
        ("public_ipv6", &ipv6.address),
        ("public_ipv6_rdns", &ipv6.name),
        ("region", &instance.region),
        ("type", &instance.kind),
        ("status", &instance.status),
        ("group", &instance.group),
        ("gpus", &specs.gpus.to_string()),
        ("hypervisor", &instance.hypervisor),
        ("specs_disk_bytes", &bytes(specs.disk)),
        ("specs_memory_bytes", &bytes(specs.memory)),
        ("specs_vcpus", &specs.vcpus.to_string()),
        ("specs_transfer_bytes", &bytes(specs.transfer)),
        ("tags", &listed(&instance.tags, separator)),
        ("extra_ips", &listed(&extra, separator)),
        ("ipv6_ranges", &listed(&ranges, separator)),
    ] {
        labels.set(format!("__meta_linode_{label}"), value);
    }
    labels.set("__address__", host_port(&public.address, config.port));
    Some(labels)
}

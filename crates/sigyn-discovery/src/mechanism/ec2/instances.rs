//! From EC2's XML to targets.

use std::collections::{BTreeMap, BTreeSet};

use crate::labels::{Labels, host_port, listed, sanitized};
use crate::mechanism::xml::{Xml, XmlError, child, content, skip, whole};

const PREFIX: &str = "__meta_ec2_";

/// Elements of an instance that become labels as they are.
const TEXTS: [(&str, &str); 12] = [
    ("architecture", "architecture"),
    ("dnsName", "public_dns_name"),
    ("imageId", "ami"),
    ("instanceId", "instance_id"),
    ("instanceLifecycle", "instance_lifecycle"),
    ("instanceType", "instance_type"),
    ("ipAddress", "public_ip"),
    ("platform", "platform"),
    ("privateDnsName", "private_dns_name"),
    ("privateIpAddress", "private_ip"),
    ("subnetId", "primary_subnet_id"),
    ("vpcId", "vpc_id"),
];

/// No machine has more interfaces.
const DEVICES_MAX: usize = 256;

/// Names of availability zones, each with the id that it has for everybody.
pub(super) type Zones = BTreeMap<String, String>;

/// What instances do not tell of themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) region: &'a str,
    pub(super) port: u64,
    pub(super) zones: Option<&'a Zones>,
}

/// A part of an answer.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) targets: Vec<Labels>,
    /// What the next part is asked for with; empty if this is the last one.
    pub(super) next: String,
}

/// Why an answer is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error(transparent)]
    Xml(#[from] XmlError),
    #[error("the answer is no {expected} but a {found:?}")]
    Root { expected: &'static str, found: String },
    #[error("the answer has no {0}")]
    Missing(&'static str),
}

/// An interface of an instance.
#[derive(Debug, Default)]
struct Interface {
    subnet: Option<String>,
    device: Option<usize>,
    /// Each with whether it is the primary one.
    ipv6: Vec<(String, bool)>,
}

/// Names and ids of availability zones.
pub(super) fn zones(text: &str) -> Result<Zones, AnswerError> {
    let mut xml = root(text, "DescribeAvailabilityZonesResponse")?;
    let mut zones = Zones::new();
    while let Some(element) = child(&mut xml)? {
        match element.local_name().as_ref() {
            "availabilityZoneInfo" => items(&mut xml, |xml| {
                let [name, id] = texts(xml, ["zoneName", "zoneId"])?;
                if let (Some(name), Some(id)) = (name, id) {
                    zones.insert(name, id);
                }
                Ok(())
            })?,
            _ => skip(&mut xml, &element)?,
        }
    }
    Ok(zones)
}

/// A part of the list of instances.
pub(super) fn page(text: &str, around: Around<'_>) -> Result<Page, AnswerError> {
    let mut xml = root(text, "DescribeInstancesResponse")?;
    let mut page = Page { targets: Vec::new(), next: String::new() };
    let mut is_there = false;
    while let Some(element) = child(&mut xml)? {
        match element.local_name().as_ref() {
            "reservationSet" => {
                is_there = true;
                items(&mut xml, |xml| {
                    page.targets.extend(reservation(xml, around)?);
                    Ok(())
                })?;
            }
            "nextToken" => page.next = content(&mut xml)?,
            _ => skip(&mut xml, &element)?,
        }
    }
    if is_there { Ok(page) } else { Err(AnswerError::Missing("reservationSet")) }
}

/// Instances that were asked for together.
fn reservation(xml: &mut Xml<'_>, around: Around<'_>) -> Result<Vec<Labels>, XmlError> {
    let mut owner = String::new();
    let mut targets = Vec::new();
    while let Some(element) = child(xml)? {
        match element.local_name().as_ref() {
            "ownerId" => owner = content(xml)?,
            "instancesSet" => items(xml, |xml| {
                targets.extend(instance(xml, around)?);
                Ok(())
            })?,
            _ => skip(xml, &element)?,
        }
    }
    for target in &mut targets {
        target.set(format!("{PREFIX}owner_id"), owner.as_str());
    }
    Ok(targets)
}

/// An instance as a target. One that has no address of its own network is none.
fn instance(xml: &mut Xml<'_>, around: Around<'_>) -> Result<Option<Labels>, XmlError> {
    let mut labels = Labels::from_iter([(format!("{PREFIX}region"), around.region)]);
    let mut interfaces = Vec::new();
    while let Some(element) = child(xml)? {
        let name = element.local_name();
        match name.as_ref() {
            "instanceState" => {
                let [state] = texts(xml, ["name"])?;
                labels.set(format!("{PREFIX}instance_state"), state.unwrap_or_default());
            }
            "placement" => {
                let [zone] = texts(xml, ["availabilityZone"])?;
                let zone = zone.unwrap_or_default();
                let id = around.zones.and_then(|zones| zones.get(&zone));
                let id = id.map(String::as_str).unwrap_or_default();
                labels.set(format!("{PREFIX}availability_zone_id"), id);
                labels.set(format!("{PREFIX}availability_zone"), zone);
            }
            "networkInterfaceSet" => items(xml, |xml| {
                interfaces.push(interface(xml)?);
                Ok(())
            })?,
            "tagSet" => items(xml, |xml| {
                let [key, value] = texts(xml, ["key", "value"])?;
                if let (Some(key), Some(value)) = (key, value) {
                    labels.set(format!("{PREFIX}tag_{}", sanitized(&key)), value);
                }
                Ok(())
            })?,
            name => match TEXTS.iter().find(|(element, _)| *element == name) {
                Some((_, label)) => labels.set(format!("{PREFIX}{label}"), content(xml)?),
                None => skip(xml, &element)?,
            },
        }
    }
    let has = |labels: &Labels, label: &str| labels.get(&format!("{PREFIX}{label}")).is_some();
    if !has(&labels, "public_ip") {
        labels.remove("__meta_ec2_public_dns_name");
    }
    let mut ipv6 = None;
    if has(&labels, "vpc_id") {
        ipv6 = of_network(&interfaces, &mut labels);
    } else {
        labels.remove("__meta_ec2_primary_subnet_id");
    }
    let address = labels.get("__meta_ec2_private_ip").map(str::to_owned).or(ipv6);
    Ok(address.map(|address| {
        labels.set("__address__", host_port(&address, around.port));
        labels
    }))
}

fn interface(xml: &mut Xml<'_>) -> Result<Interface, XmlError> {
    let mut interface = Interface::default();
    while let Some(element) = child(xml)? {
        match element.local_name().as_ref() {
            "subnetId" => interface.subnet = Some(content(xml)?),
            "attachment" => {
                let [device] = texts(xml, ["deviceIndex"])?;
                let device = device.and_then(|device| device.trim().parse().ok());
                interface.device = device.filter(|device| *device < DEVICES_MAX);
            }
            "ipv6AddressesSet" => items(xml, |xml| {
                let [address, primary] = texts(xml, ["ipv6Address", "isPrimaryIpv6"])?;
                let is_primary = primary.is_some_and(|primary| primary.trim() == "true");
                interface.ipv6.extend(address.map(|address| (address, is_primary)));
                Ok(())
            })?,
            _ => skip(xml, &element)?,
        }
    }
    Ok(interface)
}

/// Adds what the interfaces tell. The IPv6 address that is the instance's if it has no other.
fn of_network(interfaces: &[Interface], labels: &mut Labels) -> Option<String> {
    let (mut subnets, mut known) = (Vec::new(), BTreeSet::new());
    let (mut primary, mut all): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for interface in interfaces {
        let Some(subnet) = &interface.subnet else { continue };
        if known.insert(subnet) {
            subnets.push(subnet);
        }
        for (address, is_primary) in &interface.ipv6 {
            all.push(address.clone());
            if let (true, Some(device)) = (*is_primary, interface.device) {
                // Where a device has none, its place is empty.
                if primary.len() <= device {
                    primary.resize(device + 1, String::new());
                }
                primary[device].clone_from(address);
            }
        }
    }
    let subnets = if subnets.is_empty() { ",,".to_owned() } else { listed(&subnets, ",") };
    labels.set(format!("{PREFIX}subnet_id"), subnets);
    labels.set(format!("{PREFIX}primary_ipv6_addresses"), listed(&primary, ","));
    labels.set(format!("{PREFIX}ipv6_addresses"), listed(&all, ","));
    let default = primary.into_iter().chain(all).find(|address| !address.is_empty());
    labels.set(format!("{PREFIX}default_ipv6_address"), default.clone().unwrap_or_default());
    default
}

/// The inside of an answer.
fn root<'a>(text: &'a str, expected: &'static str) -> Result<Xml<'a>, AnswerError> {
    let mut xml = whole(text);
    let root = child(&mut xml)?.ok_or(XmlError::End)?;
    let found = root.local_name().as_ref().to_owned();
    if found == expected { Ok(xml) } else { Err(AnswerError::Root { expected, found }) }
}

/// Reads each `item` of the element that is being read.
fn items<'a>(
    xml: &mut Xml<'a>,
    mut read: impl FnMut(&mut Xml<'a>) -> Result<(), XmlError>,
) -> Result<(), XmlError> {
    while let Some(element) = child(xml)? {
        match element.local_name().as_ref() {
            "item" => read(xml)?,
            _ => skip(xml, &element)?,
        }
    }
    Ok(())
}

/// What some elements inside the one that is being read say.
pub(super) fn texts<const N: usize>(
    xml: &mut Xml<'_>,
    names: [&str; N],
) -> Result<[Option<String>; N], XmlError> {
    let mut found = [const { None }; N];
    while let Some(element) = child(xml)? {
        let name = element.local_name();
        let name: &str = name.as_ref();
        match names.iter().position(|wanted| *wanted == name) {
            Some(at) => found[at] = Some(content(xml)?),
            None => skip(xml, &element)?,
        }
    }
    Ok(found)
}

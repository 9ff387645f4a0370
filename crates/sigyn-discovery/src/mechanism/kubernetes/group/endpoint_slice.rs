//! `EndpointSlice` objects: each address of each endpoint is a target at each port, and so are further
//! ports of the pods behind them.

use super::behind::Behind;
use super::service::describe_service;
use super::{Grouped, attach_namespace, attach_node, describe, set, truth};
use crate::labels::{Labels, host_port, sanitized};
use crate::mechanism::kubernetes::objects::{Endpoint, EndpointPort, EndpointSlice, Service};
use crate::mechanism::kubernetes::resource::Resource;
use crate::mechanism::kubernetes::view::{Objects, View};
use crate::mechanism::kubernetes::{Attach, Role};

/// Names the service that a slice is a part of.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

impl Grouped for EndpointSlice {
    const ROLE: Role = Role::EndpointSlice;

    fn among(view: &View) -> &Objects<Self> {
        &view.endpoint_slices
    }

    fn mentions(&self, attach: Attach, mention: &mut dyn FnMut(Resource, &str, &str)) {
        let namespace = &self.metadata.namespace;
        if let Some(service) = self.service() {
            mention(Resource::Services, namespace, service);
        }
        if attach.namespace {
            mention(Resource::Namespaces, "", namespace);
        }
        for endpoint in &self.endpoints {
            if let Some(reference) =
                endpoint.target_ref.as_ref().filter(|reference| reference.kind == "Pod")
            {
                mention(Resource::Pods, &reference.namespace, &reference.name);
            }
            if attach.node
                && let Some(node) = endpoint.node()
            {
                mention(Resource::Nodes, "", node);
            }
        }
    }

    fn targets(&self, view: &View) -> Option<(Labels, Vec<Labels>)> {
        let namespace = self.metadata.namespace.as_str();
        let mut common = Labels::new();
        set(&mut common, "namespace", namespace);
        describe(&mut common, "endpointslice", &self.metadata);
        set(&mut common, "endpointslice_address_type", self.address_type.as_str());
        let service = self.service().and_then(|name| view.services.get(namespace, name));
        if let Some(service) = &service {
            describe_service(&mut common, service);
        }
        attach_namespace(&mut common, view, namespace);
        let mut targets = Vec::new();
        if service.is_some_and(|service| service.is_elsewhere_at(&self.address_type)) {
            return Some((common, targets));
        }
        let mut behind = Behind::default();
        for endpoint in &self.endpoints {
            for port in &self.ports {
                for address in &endpoint.addresses {
                    targets.push(target(address, endpoint, port, view, &mut behind));
                }
            }
        }
        targets.extend(behind.others(view));
        Some((common, targets))
    }
}

impl EndpointSlice {
    fn service(&self) -> Option<&str> {
        self.metadata.labels.get(SERVICE_NAME)
    }
}

impl Service {
    /// Whether a slice with addresses of this kind doubles another one: a service of both kinds of
    /// addresses has its pods in slices of each.
    fn is_elsewhere_at(&self, address_type: &str) -> bool {
        let has_both =
            matches!(self.spec.ip_family_policy.as_str(), "PreferDualStack" | "RequireDualStack");
        has_both && self.spec.ip_families.first().is_some_and(|first| first != address_type)
    }
}

fn target(
    address: &str,
    endpoint: &Endpoint,
    port: &EndpointPort,
    view: &View,
    behind: &mut Behind,
) -> Labels {
    let mut target = Labels::new();
    match port.port {
        Some(number) => {
            target.set("__address__", host_port(address, number));
            set(&mut target, "endpointslice_port", number.to_string());
        }
        None => target.set("__address__", address),
    }
    set(&mut target, "endpointslice_port_name", port.name.as_str());
    set(&mut target, "endpointslice_port_protocol", port.protocol.as_str());
    set(&mut target, "endpointslice_port_app_protocol", port.app_protocol.as_str());
    let conditions = &endpoint.conditions;
    for (name, condition) in [
        ("ready", conditions.ready),
        ("serving", conditions.serving),
        ("terminating", conditions.terminating),
    ] {
        let condition = condition.map_or("", truth);
        set(&mut target, &format!("endpointslice_endpoint_conditions_{name}"), condition);
    }
    let node = endpoint.node_name.as_deref().unwrap_or_default();
    set(&mut target, "endpointslice_endpoint_hostname", endpoint.hostname.as_str());
    set(&mut target, "endpointslice_endpoint_node_name", node);
    set(&mut target, "endpointslice_endpoint_zone", endpoint.zone.as_str());
    if let Some(reference) = &endpoint.target_ref {
        set(&mut target, "endpointslice_address_target_kind", reference.kind.as_str());
        set(&mut target, "endpointslice_address_target_name", reference.name.as_str());
    }
    for (name, value) in endpoint.deprecated_topology.iter() {
        let name = sanitized(name);
        set(&mut target, &format!("endpointslice_endpoint_topology_{name}"), value);
        set(&mut target, &format!("endpointslice_endpoint_topology_present_{name}"), "true");
    }
    if let Some(node) = endpoint.node() {
        attach_node(&mut target, view, node);
    }
    behind.add(&mut target, view, endpoint.target_ref.as_ref(), port.port, None);
    target
}

impl Endpoint {
    /// The node that it is, or that it is on.
    fn node(&self) -> Option<&str> {
        let reference = self.target_ref.as_ref().filter(|reference| reference.kind == "Node");
        reference.map(|reference| reference.name.as_str()).or(self.node_name.as_deref())
    }
}

//! `Endpoints` objects: each address is a target at each port, and so are further ports of the pods
//! behind them.

use super::behind::Behind;
use super::service::describe_service;
use super::{Grouped, attach_namespace, attach_node, describe, set, truth};
use crate::labels::{Labels, host_port};
use crate::mechanism::kubernetes::objects::{EndpointAddress, Endpoints, ServicePort};
use crate::mechanism::kubernetes::resource::Resource;
use crate::mechanism::kubernetes::view::{Objects, View};
use crate::mechanism::kubernetes::{Attach, Role};

/// Says that there are more than a thousand addresses, of which the others are left out.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

impl Grouped for Endpoints {
    const ROLE: Role = Role::Endpoints;

    fn among(view: &View) -> &Objects<Self> {
        &view.endpoints
    }

    fn mentions(&self, attach: Attach, mention: &mut dyn FnMut(Resource, &str, &str)) {
        let (namespace, name) = (&self.metadata.namespace, &self.metadata.name);
        mention(Resource::Services, namespace, name);
        if attach.namespace {
            mention(Resource::Namespaces, "", namespace);
        }
        for subset in &self.subsets {
            for address in subset.addresses.iter().chain(&subset.not_ready_addresses) {
                if let Some(reference) =
                    address.target_ref.as_ref().filter(|reference| reference.kind == "Pod")
                {
                    mention(Resource::Pods, &reference.namespace, &reference.name);
                }
                if attach.node
                    && let Some(node) = address.node()
                {
                    mention(Resource::Nodes, "", node);
                }
            }
        }
    }

    fn targets(&self, view: &View) -> Option<(Labels, Vec<Labels>)> {
        let (namespace, name) = (&self.metadata.namespace, &self.metadata.name);
        let mut common = Labels::new();
        set(&mut common, "namespace", namespace.as_str());
        describe(&mut common, "endpoints", &self.metadata);
        if let Some(service) = view.services.get(namespace, name) {
            describe_service(&mut common, &service);
        }
        attach_namespace(&mut common, view, namespace);
        if self.metadata.annotations.get(OVER_CAPACITY) == Some("truncated") {
            tracing::warn!(
                config = %view.whose,
                server = view.whose.server,
                namespace,
                name,
                "endpoints are cut off at a thousand addresses, the role endpointslice has all"
            );
        }
        let mut targets = Vec::new();
        let mut behind = Behind::default();
        for subset in &self.subsets {
            for port in &subset.ports {
                for (addresses, is_ready) in
                    [(&subset.addresses, true), (&subset.not_ready_addresses, false)]
                {
                    for address in addresses {
                        targets.push(target(address, port, is_ready, view, &mut behind));
                    }
                }
            }
        }
        targets.extend(behind.others(view));
        Some((common, targets))
    }
}

fn target(
    address: &EndpointAddress,
    port: &ServicePort,
    is_ready: bool,
    view: &View,
    behind: &mut Behind,
) -> Labels {
    let mut target = Labels::new();
    target.set("__address__", host_port(&address.ip, port.port));
    set(&mut target, "endpoint_port_name", port.name.as_str());
    set(&mut target, "endpoint_port_protocol", port.protocol.as_str());
    set(&mut target, "endpoint_ready", truth(is_ready));
    set(&mut target, "endpoint_hostname", address.hostname.as_str());
    if let Some(reference) = &address.target_ref {
        set(&mut target, "endpoint_address_target_kind", reference.kind.as_str());
        set(&mut target, "endpoint_address_target_name", reference.name.as_str());
    }
    if let Some(node) = &address.node_name {
        set(&mut target, "endpoint_node_name", node.as_str());
    }
    if let Some(node) = address.node() {
        attach_node(&mut target, view, node);
    }
    let protocol = Some(port.protocol.as_str());
    behind.add(&mut target, view, address.target_ref.as_ref(), Some(port.port), protocol);
    target
}

impl EndpointAddress {
    /// The node that it is on, or that it is.
    fn node(&self) -> Option<&str> {
        let reference = self.target_ref.as_ref().filter(|reference| reference.kind == "Node");
        self.node_name.as_deref().or_else(|| reference.map(|reference| reference.name.as_str()))
    }
}

//! Nodes: each is a target at its kubelet's port.

use super::{Grouped, describe, set};
use crate::labels::{Labels, host_port, sanitized};
use crate::mechanism::kubernetes::objects::Node;
use crate::mechanism::kubernetes::resource::Resource;
use crate::mechanism::kubernetes::view::{Objects, View};
use crate::mechanism::kubernetes::{Attach, Role};

/// Kinds of addresses, the best first.
const ADDRESSES: [&str; 6] =
    ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

impl Grouped for Node {
    const ROLE: Role = Role::Node;

    fn among(view: &View) -> &Objects<Self> {
        &view.nodes
    }

    fn mentions(&self, _attach: Attach, _mention: &mut dyn FnMut(Resource, &str, &str)) {}

    fn targets(&self, view: &View) -> Option<(Labels, Vec<Labels>)> {
        let address =
            |kind: &&str| self.status.addresses.iter().find(|address| address.kind == *kind);
        let Some(address) = ADDRESSES.iter().find_map(address) else {
            let node = self.metadata.name.as_str();
            let (config, server) = (&*view.whose, &view.whose.server);
            tracing::warn!(%config, server, node, "a node has no address, its target stays as it was");
            return None;
        };
        let mut common = Labels::new();
        describe(&mut common, "node", &self.metadata);
        set(&mut common, "node_provider_id", self.spec.provider_id.as_str());
        for condition in &self.status.conditions {
            let kind = sanitized(&condition.kind.to_lowercase());
            set(&mut common, &format!("node_condition_{kind}"), condition.status.to_lowercase());
        }
        let mut target = Labels::new();
        let port = self.status.daemon_endpoints.kubelet_endpoint.port;
        target.set("__address__", host_port(&address.address, port));
        target.set("instance", self.metadata.name.as_str());
        // The first of a kind counts.
        for address in self.status.addresses.iter().rev() {
            let kind = sanitized(&address.kind);
            set(&mut target, &format!("node_address_{kind}"), address.address.as_str());
        }
        Some((common, vec![target]))
    }
}

//! The pods behind endpoints: what an endpoint is told of its pod, and the ports that no endpoint
//! leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::pod::{describe_container, describe_pod, describe_port};
use super::set;
use crate::labels::{Labels, host_port};
use crate::mechanism::kubernetes::objects::{Name, Object as _, Pod, Reference};
use crate::mechanism::kubernetes::view::View;

/// Pods that endpoints lead to, and at which of their ports.
#[derive(Debug, Default)]
pub(super) struct Behind(BTreeMap<Name, (Arc<Pod>, BTreeSet<i64>)>);

impl Behind {
    /// Tells a target of its pod, if there is one, and of the container that has the port. Its
    /// protocol is the container's word unless `protocol` is given.
    pub(super) fn add(
        &mut self,
        target: &mut Labels,
        view: &View,
        reference: Option<&Reference>,
        port: Option<i64>,
        protocol: Option<&str>,
    ) {
        let Some(pod) = pod(view, reference) else { return };
        describe_pod(target, &pod, view);
        for (container, is_init) in pod.containers() {
            let found = container.ports.iter().find(|known| Some(known.container_port) == port);
            let Some(found) = found else { continue };
            describe_container(target, container, is_init);
            describe_port(target, found);
            if let Some(protocol) = protocol {
                set(target, "pod_container_port_protocol", protocol);
            }
        }
        let (_, ports) = self.0.entry(pod.name()).or_insert_with(|| (pod, BTreeSet::new()));
        ports.extend(port);
    }

    /// A target for each port of a container that no endpoint led to.
    pub(super) fn others(&self, view: &View) -> Vec<Labels> {
        let mut targets = Vec::new();
        // One that starts, or was evicted, is nowhere.
        for (pod, seen) in self.0.values().filter(|(pod, _)| !pod.status.pod_ip.is_empty()) {
            for (container, is_init) in pod.containers() {
                let ports = container.ports.iter();
                for port in ports.filter(|port| !seen.contains(&port.container_port)) {
                    let mut target = Labels::new();
                    let address = host_port(&pod.status.pod_ip, port.container_port);
                    target.set("__address__", address);
                    describe_pod(&mut target, pod, view);
                    describe_container(&mut target, container, is_init);
                    describe_port(&mut target, port);
                    targets.push(target);
                }
            }
        }
        targets
    }
}

fn pod(view: &View, reference: Option<&Reference>) -> Option<Arc<Pod>> {
    let reference = reference.filter(|reference| reference.kind == "Pod")?;
    view.pods.get(&reference.namespace, &reference.name)
}

//! Pods: each port of each container is a target.

use super::{Grouped, attach_namespace, attach_node, describe, set, truth};
use crate::labels::{Labels, host_port};
use crate::mechanism::kubernetes::objects::{Container, ContainerPort, Pod};
use crate::mechanism::kubernetes::resource::Resource;
use crate::mechanism::kubernetes::view::{Objects, View};
use crate::mechanism::kubernetes::{Attach, Role};

impl Grouped for Pod {
    const ROLE: Role = Role::Pod;

    fn among(view: &View) -> &Objects<Self> {
        &view.pods
    }

    fn mentions(&self, attach: Attach, mention: &mut dyn FnMut(Resource, &str, &str)) {
        let namespace = &self.metadata.namespace;
        if attach.node {
            mention(Resource::Nodes, "", &self.spec.node_name);
        }
        if attach.namespace {
            mention(Resource::Namespaces, "", namespace);
        }
        if attach.deployment
            && let Some(name) = self.metadata.controller_of("ReplicaSet")
        {
            mention(Resource::ReplicaSets, namespace, name);
        }
        if attach.cronjob
            && let Some(name) = self.metadata.controller_of("Job")
        {
            mention(Resource::Jobs, namespace, name);
        }
    }

    fn targets(&self, view: &View) -> Option<(Labels, Vec<Labels>)> {
        // One that starts, or was evicted, is nowhere.
        let mut common = Labels::new();
        if self.status.pod_ip.is_empty() {
            return Some((common, Vec::new()));
        }
        // Where nodes are selected, only their pods are.
        if !attach_node(&mut common, view, &self.spec.node_name) {
            return Some((Labels::new(), Vec::new()));
        }
        let namespace = self.metadata.namespace.as_str();
        set(&mut common, "namespace", namespace);
        describe_pod(&mut common, self, view);
        attach_namespace(&mut common, view, namespace);
        let mut targets = Vec::new();
        let statuses = &self.status.container_statuses;
        let init_statuses = &self.status.init_container_statuses;
        for (container, is_init) in self.containers() {
            let mut labels = Labels::new();
            describe_container(&mut labels, container, is_init);
            let statuses = if is_init { init_statuses } else { statuses };
            if let Some(status) = statuses.iter().find(|status| status.name == container.name) {
                set(&mut labels, "pod_container_id", status.container_id.as_str());
            }
            for port in container.ports.iter() {
                let mut labels = labels.clone();
                let address = host_port(&self.status.pod_ip, port.container_port);
                labels.set("__address__", address);
                describe_port(&mut labels, port);
                targets.push(labels);
            }
            if container.ports.is_empty() {
                // Which port it is has to be said by a rule.
                labels.set("__address__", self.status.pod_ip.as_str());
                targets.push(labels);
            }
        }
        Some((common, targets))
    }
}

impl Pod {
    /// All containers, and whether it is one that starts before the others.
    pub(super) fn containers(&self) -> impl Iterator<Item = (&Container, bool)> {
        let spec = &self.spec;
        let init = spec.init_containers.iter().map(|container| (container, true));
        spec.containers.iter().map(|container| (container, false)).chain(init)
    }

    /// Tells because of what the pod is there.
    fn attach_owners(&self, labels: &mut Labels, view: &View) {
        let namespace = self.metadata.namespace.as_str();
        if view.attach.deployment
            && let Some(set_name) = self.metadata.controller_of("ReplicaSet")
            && let Some(replica_set) = view.replica_sets.get(namespace, set_name)
            && let Some(deployment) = replica_set.metadata.controller_of("Deployment")
        {
            set(labels, "pod_deployment_name", deployment);
        }
        let Some(job_name) = self.metadata.controller_of("Job") else { return };
        if view.attach.job {
            set(labels, "pod_job_name", job_name);
        }
        if view.attach.cronjob
            && let Some(job) = view.jobs.get(namespace, job_name)
            && let Some(cronjob) = job.metadata.controller_of("CronJob")
        {
            set(labels, "pod_cronjob_name", cronjob);
        }
    }
}

/// Tells of a pod, whatever found it.
pub(super) fn describe_pod(labels: &mut Labels, pod: &Pod, view: &View) {
    describe(labels, "pod", &pod.metadata);
    let ready = pod.status.conditions.ready.as_deref().unwrap_or("unknown").to_lowercase();
    set(labels, "pod_ready", ready);
    for (name, value) in [
        ("pod_ip", &pod.status.pod_ip),
        ("pod_phase", &pod.status.phase),
        ("pod_node_name", &pod.spec.node_name),
        ("pod_host_ip", &pod.status.host_ip),
        ("pod_uid", &pod.metadata.uid),
    ] {
        set(labels, name, value.as_str());
    }
    if let Some(controller) = pod.metadata.controller() {
        set(labels, "pod_controller_kind", controller.kind.as_str());
        set(labels, "pod_controller_name", controller.name.as_str());
    }
    pod.attach_owners(labels, view);
}

pub(super) fn describe_container(labels: &mut Labels, container: &Container, is_init: bool) {
    set(labels, "pod_container_name", container.name.as_str());
    set(labels, "pod_container_image", container.image.as_str());
    set(labels, "pod_container_init", truth(is_init));
}

pub(super) fn describe_port(labels: &mut Labels, port: &ContainerPort) {
    set(labels, "pod_container_port_name", port.name.as_str());
    set(labels, "pod_container_port_number", port.container_port.to_string());
    set(labels, "pod_container_port_protocol", port.protocol.as_str());
}

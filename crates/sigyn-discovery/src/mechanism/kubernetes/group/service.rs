//! Services: each port is a target, at the name that the cluster's DNS has for the service.

use super::{Grouped, attach_namespace, describe, set};
use crate::labels::Labels;
use crate::mechanism::kubernetes::objects::Service;
use crate::mechanism::kubernetes::resource::Resource;
use crate::mechanism::kubernetes::view::{Objects, View};
use crate::mechanism::kubernetes::{Attach, Role};

impl Grouped for Service {
    const ROLE: Role = Role::Service;

    fn among(view: &View) -> &Objects<Self> {
        &view.services
    }

    fn mentions(&self, attach: Attach, mention: &mut dyn FnMut(Resource, &str, &str)) {
        if attach.namespace {
            mention(Resource::Namespaces, "", &self.metadata.namespace);
        }
    }

    fn targets(&self, view: &View) -> Option<(Labels, Vec<Labels>)> {
        let mut common = Labels::new();
        describe_service(&mut common, self);
        attach_namespace(&mut common, view, &self.metadata.namespace);
        let (name, namespace) = (&self.metadata.name, &self.metadata.namespace);
        let spec = &self.spec;
        let targets = spec.ports.iter().map(|port| {
            let mut target = Labels::new();
            target.set("__address__", format!("{name}.{namespace}.svc:{}", port.port));
            set(&mut target, "service_port_name", port.name.as_str());
            set(&mut target, "service_port_number", port.port.to_string());
            set(&mut target, "service_port_protocol", port.protocol.as_str());
            set(&mut target, "service_type", spec.kind.as_str());
            if spec.kind == "ExternalName" {
                set(&mut target, "service_external_name", spec.external_name.as_str());
            } else {
                set(&mut target, "service_cluster_ip", spec.cluster_ip.as_str());
            }
            if spec.kind == "LoadBalancer" {
                set(&mut target, "service_loadbalancer_ip", spec.load_balancer_ip.as_str());
            }
            target
        });
        Some((common, targets.collect()))
    }
}

/// Tells of a service, whatever found it.
pub(super) fn describe_service(labels: &mut Labels, service: &Service) {
    set(labels, "namespace", service.metadata.namespace.as_str());
    describe(labels, "service", &service.metadata);
}

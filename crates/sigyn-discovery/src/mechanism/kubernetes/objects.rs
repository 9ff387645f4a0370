//! Objects of the API, with the fields that become labels and no others: of a pod of fifteen
//! kilobytes one or two are kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::resource::Resource;
use crate::mechanism::ask::nullable;

/// One kind of object.
pub(super) trait Object:
    DeserializeOwned + PartialEq + Send + Sync + Sized + 'static
{
    const RESOURCE: Resource;

    fn metadata(&self) -> &Metadata;

    fn metadata_mut(&mut self) -> &mut Metadata;

    /// Forgets what is of no use, and returns the version, so that objects that differ by nothing
    /// else are equal.
    fn strip(&mut self) -> String {
        let metadata = self.metadata_mut();
        if matches!(Self::RESOURCE, Resource::ReplicaSets | Resource::Jobs) {
            metadata.labels.clear();
            metadata.annotations.clear();
        }
        std::mem::take(&mut metadata.resource_version)
    }

    fn name(&self) -> Name {
        let metadata = self.metadata();
        Name { namespace: metadata.namespace.clone(), name: metadata.name.clone() }
    }
}

/// What an object of a kind is called. What belongs to no namespace has an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// Declares objects as the API's JSON has them. `null` is as good as nothing.
macro_rules! json {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $kind:ty $(= $key:literal)?,)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
            #[serde(rename_all = "camelCase", default)]
            pub(super) struct $name {
                $(
                    $(#[$field_doc])*
                    #[serde(deserialize_with = "nullable" $(, rename = $key)?)]
                    pub(super) $field: $kind,
                )*
            }
        )*
    };
}

json! {
    /// What every object has.
    Metadata {
        name: String,
        namespace: String,
        uid: String,
        resource_version: String,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        owner_references: Vec<Owner>,
    }

    /// Another object, because of which one is there.
    Owner {
        kind: String,
        name: String,
        controller: bool,
    }

    Node {
        metadata: Metadata,
        spec: NodeSpec,
        status: NodeStatus,
    }

    NodeSpec {
        provider_id: String = "providerID",
    }

    NodeStatus {
        conditions: Vec<Condition>,
        addresses: Vec<NodeAddress>,
        daemon_endpoints: DaemonEndpoints,
    }

    /// How something is, in one respect.
    Condition {
        kind: String = "type",
        status: String,
    }

    NodeAddress {
        kind: String = "type",
        address: String,
    }

    DaemonEndpoints {
        kubelet_endpoint: DaemonEndpoint,
    }

    DaemonEndpoint {
        port: i64 = "Port",
    }

    Namespace {
        metadata: Metadata,
    }

    Pod {
        metadata: Metadata,
        spec: PodSpec,
        status: PodStatus,
    }

    PodSpec {
        node_name: String,
        containers: Vec<Container>,
        init_containers: Vec<Container>,
    }

    Container {
        name: String,
        image: String,
        ports: Vec<ContainerPort>,
    }

    ContainerPort {
        name: String,
        container_port: i64,
        protocol: String,
    }

    PodStatus {
        pod_ip: String = "podIP",
        host_ip: String = "hostIP",
        phase: String,
        conditions: Vec<Condition>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
    }

    ContainerStatus {
        name: String,
        container_id: String = "containerID",
    }

    Service {
        metadata: Metadata,
        spec: ServiceSpec,
    }

    ServiceSpec {
        kind: String = "type",
        ports: Vec<ServicePort>,
        cluster_ip: String = "clusterIP",
        external_name: String,
        load_balancer_ip: String = "loadBalancerIP",
        ip_families: Vec<String>,
        ip_family_policy: String,
    }

    ServicePort {
        name: String,
        port: i64,
        protocol: String,
    }

    Endpoints {
        metadata: Metadata,
        subsets: Vec<Subset>,
    }

    /// Addresses that have the same ports.
    Subset {
        addresses: Vec<EndpointAddress>,
        not_ready_addresses: Vec<EndpointAddress>,
        ports: Vec<ServicePort>,
    }

    EndpointAddress {
        ip: String,
        hostname: String,
        node_name: Option<String>,
        target_ref: Option<Reference>,
    }

    /// Another object, by its name.
    Reference {
        kind: String,
        namespace: String,
        name: String,
    }

    EndpointSlice {
        metadata: Metadata,
        address_type: String,
        endpoints: Vec<Endpoint>,
        ports: Vec<EndpointPort>,
    }

    Endpoint {
        addresses: Vec<String>,
        conditions: EndpointConditions,
        hostname: String,
        node_name: Option<String>,
        zone: String,
        target_ref: Option<Reference>,
        deprecated_topology: BTreeMap<String, String>,
    }

    EndpointConditions {
        ready: Option<bool>,
        serving: Option<bool>,
        terminating: Option<bool>,
    }

    EndpointPort {
        name: String,
        protocol: String,
        port: Option<i64>,
        app_protocol: String,
    }

    Ingress {
        metadata: Metadata,
        spec: IngressSpec,
    }

    IngressSpec {
        ingress_class_name: String,
        tls: Vec<IngressTls>,
        rules: Vec<IngressRule>,
    }

    IngressTls {
        hosts: Vec<String>,
    }

    IngressRule {
        host: String,
        http: Option<IngressPaths>,
    }

    IngressPaths {
        paths: Vec<IngressPath>,
    }

    IngressPath {
        path: String,
    }

    ReplicaSet {
        metadata: Metadata,
    }

    Job {
        metadata: Metadata,
    }
}

macro_rules! objects {
    ($($object:ident of $resource:ident,)*) => {
        $(
            impl Object for $object {
                const RESOURCE: Resource = Resource::$resource;

                fn metadata(&self) -> &Metadata {
                    &self.metadata
                }

                fn metadata_mut(&mut self) -> &mut Metadata {
                    &mut self.metadata
                }
            }
        )*
    };
}

objects! {
    Node of Nodes,
    Namespace of Namespaces,
    Pod of Pods,
    Service of Services,
    Endpoints of Endpoints,
    EndpointSlice of EndpointSlices,
    Ingress of Ingresses,
    ReplicaSet of ReplicaSets,
    Job of Jobs,
}

impl Metadata {
    /// The object that looks after this one, if there is one.
    pub(super) fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    /// The name of the object that looks after this one, if it is of that kind.
    pub(super) fn controller_of(&self, kind: &str) -> Option<&str> {
        self.controller().filter(|owner| owner.kind == kind).map(|owner| owner.name.as_str())
    }
}

//! Objects of the API, with the fields that become labels and no others: of a pod of fifteen
//! kilobytes one or two are kept.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::resource::Resource;
use crate::mechanism::ask::nullable;
use crate::pairs::Pairs;

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
            metadata.labels = Pairs::new();
            metadata.annotations = Pairs::new();
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
        labels: Pairs,
        annotations: Pairs,
        owner_references: Box<[Owner]>,
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
        conditions: Box<[Condition]>,
        addresses: Box<[NodeAddress]>,
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
        containers: Box<[Container]>,
        init_containers: Box<[Container]>,
    }

    Container {
        name: String,
        image: String,
        ports: Box<[ContainerPort]>,
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
        conditions: PodConditions,
        container_statuses: Box<[ContainerStatus]>,
        init_container_statuses: Box<[ContainerStatus]>,
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
        ports: Box<[ServicePort]>,
        cluster_ip: String = "clusterIP",
        external_name: String,
        load_balancer_ip: String = "loadBalancerIP",
        ip_families: Box<[String]>,
        ip_family_policy: String,
    }

    ServicePort {
        name: String,
        port: i64,
        protocol: String,
    }

    Endpoints {
        metadata: Metadata,
        subsets: Box<[Subset]>,
    }

    /// Addresses that have the same ports.
    Subset {
        addresses: Box<[EndpointAddress]>,
        not_ready_addresses: Box<[EndpointAddress]>,
        ports: Box<[ServicePort]>,
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
        endpoints: Box<[Endpoint]>,
        ports: Box<[EndpointPort]>,
    }

    Endpoint {
        addresses: Box<[String]>,
        conditions: EndpointConditions,
        hostname: String,
        node_name: Option<String>,
        zone: String,
        target_ref: Option<Reference>,
        deprecated_topology: Pairs,
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
        tls: Box<[IngressTls]>,
        rules: Box<[IngressRule]>,
    }

    IngressTls {
        hosts: Box<[String]>,
    }

    IngressRule {
        host: String,
        http: Option<IngressPaths>,
    }

    IngressPaths {
        paths: Box<[IngressPath]>,
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

/// The one condition of a pod that becomes a label: whether it is ready, in the API's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Condition>")]
pub(super) struct PodConditions {
    pub(super) ready: Option<String>,
}

impl From<Vec<Condition>> for PodConditions {
    fn from(conditions: Vec<Condition>) -> Self {
        let ready = conditions.into_iter().find(|condition| condition.kind == "Ready");
        Self { ready: ready.map(|ready| ready.status) }
    }
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

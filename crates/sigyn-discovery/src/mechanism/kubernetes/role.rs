//! Roles: which kind of object becomes targets.

use crate::labels::quoted;

/// The kind of object that becomes targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Nodes, each at its kubelet's port.
    Node,
    /// Pods, each at the ports of its containers.
    Pod,
    /// Services, each at its ports.
    Service,
    /// What `Endpoints` objects list, and further ports of the pods among it.
    Endpoints,
    /// The same of `EndpointSlice` objects.
    EndpointSlice,
    /// The hosts and paths of ingresses.
    Ingress,
}

impl Role {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Node, Self::Pod, Self::Service, Self::Endpoints, Self::EndpointSlice, Self::Ingress];

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| format!("unknown Kubernetes SD role {}", quoted(text)))
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Ingress => "ingress",
        }
    }

    /// The objects that may be selected where this is the role.
    pub(super) fn selectable(self) -> &'static [Self] {
        match self {
            Self::Node => &[Self::Node],
            Self::Pod => &[Self::Pod, Self::Node],
            Self::Service => &[Self::Service],
            Self::Endpoints => &[Self::Pod, Self::Service, Self::Endpoints],
            Self::EndpointSlice => &[Self::Pod, Self::Service, Self::EndpointSlice],
            Self::Ingress => &[Self::Ingress],
        }
    }
}

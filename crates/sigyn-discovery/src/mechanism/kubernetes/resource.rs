//! Kinds of objects, as the API names them.

use super::Role;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Resource {
    Nodes,
    Namespaces,
    Pods,
    Services,
    Endpoints,
    EndpointSlices,
    Ingresses,
    ReplicaSets,
    Jobs,
}

impl Resource {
    /// Where its objects are, below the URL of the API: those of one namespace, or all.
    pub(super) fn path(self, namespace: &str) -> Vec<&str> {
        let (group, plural): (&[&str], _) = match self {
            Self::Nodes => (&["api", "v1"], "nodes"),
            Self::Namespaces => (&["api", "v1"], "namespaces"),
            Self::Pods => (&["api", "v1"], "pods"),
            Self::Services => (&["api", "v1"], "services"),
            Self::Endpoints => (&["api", "v1"], "endpoints"),
            Self::EndpointSlices => (&["apis", "discovery.k8s.io", "v1"], "endpointslices"),
            Self::Ingresses => (&["apis", "networking.k8s.io", "v1"], "ingresses"),
            Self::ReplicaSets => (&["apis", "apps", "v1"], "replicasets"),
            Self::Jobs => (&["apis", "batch", "v1"], "jobs"),
        };
        let mut path = group.to_vec();
        if !namespace.is_empty() {
            path.extend(["namespaces", namespace]);
        }
        path.push(plural);
        path
    }

    /// What a list of them calls itself.
    pub(super) fn list_kind(self) -> &'static str {
        match self {
            Self::Nodes => "NodeList",
            Self::Namespaces => "NamespaceList",
            Self::Pods => "PodList",
            Self::Services => "ServiceList",
            Self::Endpoints => "EndpointsList",
            Self::EndpointSlices => "EndpointSliceList",
            Self::Ingresses => "IngressList",
            Self::ReplicaSets => "ReplicaSetList",
            Self::Jobs => "JobList",
        }
    }

    /// The role in which they become targets, if there is one. They are selected by that name.
    pub(super) fn role(self) -> Option<Role> {
        match self {
            Self::Nodes => Some(Role::Node),
            Self::Pods => Some(Role::Pod),
            Self::Services => Some(Role::Service),
            Self::Endpoints => Some(Role::Endpoints),
            Self::EndpointSlices => Some(Role::EndpointSlice),
            Self::Ingresses => Some(Role::Ingress),
            Self::Namespaces | Self::ReplicaSets | Self::Jobs => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (resource, all, of_one) in [
            (Resource::Nodes, "api/v1/nodes", ""),
            (Resource::Namespaces, "api/v1/namespaces", ""),
            (Resource::Pods, "api/v1/pods", "api/v1/namespaces/shop/pods"),
            (
                Resource::EndpointSlices,
                "apis/discovery.k8s.io/v1/endpointslices",
                "apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
            ),
            (
                Resource::Ingresses,
                "apis/networking.k8s.io/v1/ingresses",
                "apis/networking.k8s.io/v1/namespaces/shop/ingresses",
            ),
            (
                Resource::ReplicaSets,
                "apis/apps/v1/replicasets",
                "apis/apps/v1/namespaces/shop/replicasets",
            ),
            (Resource::Jobs, "apis/batch/v1/jobs", "apis/batch/v1/namespaces/shop/jobs"),
        ] {
            assert_eq!(resource.path("").join("/"), all);
            if !of_one.is_empty() {
                assert_eq!(resource.path("shop").join("/"), of_one);
            }
        }
    }
}

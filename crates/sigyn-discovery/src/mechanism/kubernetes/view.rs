//! The objects that one section looks at: some kinds, in some namespaces, or in all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::follower::Follower;
use super::objects::{
    EndpointSlice, Endpoints, Ingress, Job, Name, Namespace, Node, Object, Pod, ReplicaSet, Service,
};
use super::watches::Watched;
use super::{Attach, Role};
use crate::mechanism::Whose;

/// Objects of all kinds. Of those that nobody needs there are none.
#[derive(Debug, Default)]
pub(super) struct View {
    /// For log lines.
    pub(super) whose: Arc<Whose>,
    pub(super) attach: Attach,
    pub(super) nodes: Objects<Node>,
    pub(super) namespaces: Objects<Namespace>,
    pub(super) pods: Objects<Pod>,
    pub(super) services: Objects<Service>,
    pub(super) endpoints: Objects<Endpoints>,
    pub(super) endpoint_slices: Objects<EndpointSlice>,
    pub(super) ingresses: Objects<Ingress>,
    pub(super) replica_sets: Objects<ReplicaSet>,
    pub(super) jobs: Objects<Job>,
}

/// The objects of one kind: of some namespaces, each apart, or all of them under the empty name.
#[derive(Debug)]
pub(super) struct Objects<T> {
    pub(super) watched: BTreeMap<String, Arc<Watched<T>>>,
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self { watched: BTreeMap::new() }
    }
}

/// Where a kind of object is watched from.
pub(super) trait Watch {
    /// The objects of one namespace; of all, if it is empty.
    fn watched<T: Object>(&self, namespace: &str) -> Arc<Watched<T>>;
}

impl View {
    /// What targets of `role` are made of.
    pub(super) fn new(
        role: Role,
        attach: Attach,
        namespaces: &BTreeSet<String>,
        watch: &impl Watch,
        whose: &Arc<Whose>,
    ) -> Self {
        let everywhere = BTreeSet::from([String::new()]);
        let are_pods_named = matches!(role, Role::Endpoints | Role::EndpointSlice);
        let is_pod = role == Role::Pod;
        let tells_of_pods = is_pod || are_pods_named;
        let needs_nodes = role == Role::Node || (attach.node && tells_of_pods);
        let needs_namespaces = attach.namespace && role != Role::Node;
        Self {
            whose: Arc::clone(whose),
            attach,
            nodes: Objects::new(needs_nodes, &everywhere, watch),
            namespaces: Objects::new(needs_namespaces, &everywhere, watch),
            pods: Objects::new(tells_of_pods, namespaces, watch),
            services: Objects::new(role == Role::Service || are_pods_named, namespaces, watch),
            endpoints: Objects::new(role == Role::Endpoints, namespaces, watch),
            endpoint_slices: Objects::new(role == Role::EndpointSlice, namespaces, watch),
            ingresses: Objects::new(role == Role::Ingress, namespaces, watch),
            replica_sets: Objects::new(tells_of_pods && attach.deployment, namespaces, watch),
            jobs: Objects::new(tells_of_pods && attach.cronjob, namespaces, watch),
        }
    }

    /// Whether all is known that targets of a namespace are made of.
    pub(super) fn is_synced(&self, namespace: &str) -> bool {
        self.kinds().iter().all(|kind| kind.is_synced(namespace))
    }

    /// Whether something is no longer kept up to date.
    pub(super) fn has_ended(&self) -> bool {
        self.kinds().iter().any(|kind| kind.has_ended())
    }

    /// Tells `follower` of all that is there, and of all that changes.
    pub(super) fn follow(&self, follower: &Arc<Follower>) {
        for kind in self.kinds() {
            kind.follow(follower);
        }
    }

    fn kinds(&self) -> [&dyn Kind; 9] {
        [
            &self.nodes,
            &self.namespaces,
            &self.pods,
            &self.services,
            &self.endpoints,
            &self.endpoint_slices,
            &self.ingresses,
            &self.replica_sets,
            &self.jobs,
        ]
    }
}

impl<T: Object> Objects<T> {
    fn new(are_needed: bool, namespaces: &BTreeSet<String>, watch: &impl Watch) -> Self {
        let namespaces = namespaces.iter().filter(|_| are_needed);
        let watched =
            namespaces.map(|namespace| (namespace.clone(), watch.watched(namespace))).collect();
        Self { watched }
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        let name = Name { namespace: namespace.to_owned(), name: name.to_owned() };
        self.of(namespace)?.store.get(&name)
    }

    /// What is watched that an object of this namespace is in.
    fn of(&self, namespace: &str) -> Option<&Watched<T>> {
        self.watched.get(namespace).or_else(|| self.watched.get("")).map(|watched| &**watched)
    }
}

/// Objects of one kind, whichever it is.
trait Kind {
    fn is_synced(&self, namespace: &str) -> bool;
    fn has_ended(&self) -> bool;
    fn follow(&self, follower: &Arc<Follower>);
}

impl<T: Object> Kind for Objects<T> {
    fn is_synced(&self, namespace: &str) -> bool {
        self.of(namespace).is_none_or(|watched| watched.store.is_synced())
    }

    fn has_ended(&self) -> bool {
        self.watched.values().any(|watched| watched.store.has_ended())
    }

    fn follow(&self, follower: &Arc<Follower>) {
        for watched in self.watched.values() {
            watched.store.follow(follower);
        }
    }
}

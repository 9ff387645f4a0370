//! A provider's place at the stores: what has changed in them since it last looked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Role;
use super::objects::Name;
use super::resource::Resource;
use crate::metrics::Metrics;

/// Collects what changes while its provider is busy. It holds each object's name once, so that it
/// cannot grow beyond what there is.
#[derive(Debug)]
pub(super) struct Follower {
    role: Role,
    metrics: Arc<Metrics>,
    changed: Mutex<Changed>,
    wake: Notify,
}

/// Names of objects that have come, changed or gone.
#[derive(Debug, Default)]
pub(super) struct Changed(BTreeMap<Resource, BTreeMap<String, BTreeSet<String>>>);

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Add,
    Update,
    Delete,
}

impl Follower {
    pub(super) fn new(role: Role, metrics: Arc<Metrics>) -> Self {
        Self { role, metrics, changed: Mutex::default(), wake: Notify::new() }
    }

    /// Takes note of an event. One after which the object is as it was counts, and is no news.
    pub(super) fn tell(&self, resource: Resource, name: &Name, event: Event, is_news: bool) {
        if let Some(role) = resource.role().filter(|role| self.counts(*role, event)) {
            self.metrics.kubernetes_event(role.as_str(), event.as_str());
        }
        if is_news {
            self.lock().insert(resource, name);
            self.wake.notify_one();
        }
    }

    /// Has its provider look, whether something changed or not.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until there may be something to look at.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// What has changed since this was asked before.
    pub(super) fn take(&self) -> Changed {
        std::mem::take(&mut *self.lock())
    }

    /// Prometheus counts events of the role's own objects, and of some that endpoints depend on.
    fn counts(&self, of: Role, event: Event) -> bool {
        of == self.role
            || match (self.role, of) {
                (Role::Endpoints | Role::EndpointSlice, Role::Service) => true,
                (Role::Endpoints, Role::Pod) => event == Event::Update,
                _ => false,
            }
    }

    // The names are whole after every statement, so that a poisoned lock does no harm.
    fn lock(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changed {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there are any of one kind.
    pub(super) fn has(&self, resource: Resource) -> bool {
        self.0.contains_key(&resource)
    }

    pub(super) fn contains(&self, resource: Resource, namespace: &str, name: &str) -> bool {
        let names = self.0.get(&resource).and_then(|namespaces| namespaces.get(namespace));
        names.is_some_and(|names| names.contains(name))
    }

    /// Takes out the names of one kind.
    pub(super) fn remove(&mut self, resource: Resource) -> Vec<Name> {
        let namespaces = self.0.remove(&resource).unwrap_or_default();
        let names = namespaces.into_iter().flat_map(|(namespace, names)| {
            names.into_iter().map(move |name| Name { namespace: namespace.clone(), name })
        });
        names.collect()
    }

    /// Keeps only some of one kind.
    pub(super) fn retain(&mut self, resource: Resource, keep: impl Fn(&Name) -> bool) {
        for name in self.remove(resource).into_iter().filter(keep) {
            self.insert(resource, &name);
        }
    }

    /// Adds a name.
    pub(super) fn insert(&mut self, resource: Resource, name: &Name) {
        let namespaces = self.0.entry(resource).or_default();
        if let Some(names) = namespaces.get_mut(&name.namespace) {
            if !names.contains(&name.name) {
                names.insert(name.name.clone());
            }
        } else {
            namespaces.insert(name.namespace.clone(), BTreeSet::from([name.name.clone()]));
        }
    }
}

impl Event {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Name {
        Name { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn names_stay_until_they_are_taken() {
        let follower = Follower::new(Role::Pod, Arc::default());
        assert!(follower.take().is_empty());
        follower.tell(Resource::Pods, &named("a"), Event::Add, true);
        follower.tell(Resource::Pods, &named("a"), Event::Update, true);
        follower.tell(Resource::Pods, &named("b"), Event::Update, false);
        follower.tell(Resource::Nodes, &named("n"), Event::Delete, true);
        let mut changed = follower.take();
        assert!(follower.take().is_empty());
        assert!(changed.contains(Resource::Pods, "shop", "a"));
        assert!(!changed.contains(Resource::Pods, "shop", "b"));
        assert!(!changed.contains(Resource::Pods, "till", "a"));
        changed.retain(Resource::Nodes, |_| false);
        assert!(!changed.contains(Resource::Nodes, "shop", "n"));
        assert_eq!(changed.remove(Resource::Pods), [named("a")]);
        assert!(changed.is_empty());
    }

    #[test]
    fn the_events_that_prometheus_counts() {
        let check = |role: Role, expected: &[(&str, &str)]| {
            let metrics: Arc<Metrics> = Arc::default();
            let follower = Follower::new(role, Arc::clone(&metrics));
            for event in [Event::Add, Event::Update, Event::Delete] {
                for resource in [
                    Resource::Nodes,
                    Resource::Namespaces,
                    Resource::Pods,
                    Resource::Services,
                    Resource::Endpoints,
                    Resource::EndpointSlices,
                    Resource::Ingresses,
                ] {
                    follower.tell(resource, &named("a"), event, false);
                }
            }
            let counted = metrics.snapshot().kubernetes_events;
            let counted: Vec<_> =
                counted.iter().filter(|(_, count)| **count > 0).map(|(names, _)| *names).collect();
            assert_eq!(counted, expected);
        };
        let all = |role| [(role, "add"), (role, "delete"), (role, "update")];
        check(Role::Node, &all("node"));
        check(Role::Pod, &all("pod"));
        check(Role::Ingress, &all("ingress"));
        let slices = [all("endpointslice"), all("service")].concat();
        check(Role::EndpointSlice, &slices);
        let endpoints = [&all("endpoints")[..], &[("pod", "update")], &all("service")[..]].concat();
        check(Role::Endpoints, &endpoints);
    }
}

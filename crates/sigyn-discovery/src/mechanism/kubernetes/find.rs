//! Following one section: which groups are to be made anew when something has changed, and telling
//! the manager.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::api::Api;
use super::follower::{Changed, Follower};
use super::group::{Grouped, group, namespace_of, source};
use super::objects::{EndpointSlice, Endpoints, Ingress, Name, Node, Object, Pod, Service};
use super::resource::Resource;
use super::view::{View, Watch};
use super::watches::{Key, Watched};
use super::{Config, Role, connection};
use crate::group::TargetGroup;
use crate::mechanism::{Context, Find, StartError};

/// How long the namespaces wait that are known, at first, for those that are not.
const FIRST_MAX: Duration = Duration::from_secs(5);

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let api = context.kubernetes.api(&self.server, context.options()).await?;
        let mut namespaces = self.namespaces.clone();
        if self.own_namespace {
            namespaces.insert(connection::own_namespace().await?);
        }
        if namespaces.is_empty() {
            // All of them.
            namespaces.insert(String::new());
        }
        let selected = Selected { config: &self, api: &api, context: &context };
        let view = View::new(self.role, self.attach, &namespaces, &selected, &context.whose);
        match self.role {
            Role::Node => follow::<Node>(view, context).await,
            Role::Pod => follow::<Pod>(view, context).await,
            Role::Service => follow::<Service>(view, context).await,
            Role::Endpoints => follow::<Endpoints>(view, context).await,
            Role::EndpointSlice => follow::<EndpointSlice>(view, context).await,
            Role::Ingress => follow::<Ingress>(view, context).await,
        }
        Ok(())
    }
}

/// Watches what a section selects.
struct Selected<'a> {
    config: &'a Config,
    api: &'a Arc<Api>,
    context: &'a Context,
}

impl Watch for Selected<'_> {
    fn watched<T: Object>(&self, namespace: &str) -> Arc<Watched<T>> {
        let role = T::RESOURCE.role();
        let selector = role.and_then(|role| self.config.selectors.get(&role));
        let key = Key {
            server: self.config.server.clone(),
            resource: T::RESOURCE,
            namespace: namespace.to_owned(),
            selector: selector.cloned().unwrap_or_default(),
        };
        self.context.kubernetes.watched(&key, self.api, self.context)
    }
}

/// Follows the objects of a role until told to stop, or until something that is followed has ended.
async fn follow<T: Grouped>(view: View, context: Context) {
    let follower = Arc::new(Follower::new(T::ROLE, Arc::clone(&context.metrics)));
    view.follow(&follower);
    let mut following = Following::new(view, context.known.clone());
    loop {
        let first_until = following.first.as_ref().and_then(|first| first.until);
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = follower.woken() => {}
            () = sleep_until(first_until.unwrap_or_else(Instant::now)), if first_until.is_some() => {}
        }
        if following.view.has_ended() {
            return;
        }
        let groups = following.look::<T>(follower.take());
        if let Some(groups) = following.due::<T>(groups)
            && !context.send(groups).await
        {
            return;
        }
    }
}

/// What a section looks at, and how far the manager was told.
struct Following {
    view: View,
    /// The namespaces of which all is known that there is to know.
    ready: BTreeSet<String>,
    /// Groups that the manager has from before, though nothing is known of them.
    known: BTreeSet<String>,
    first: Option<First>,
}

/// What is found at first is passed on together: a job whose section was edited would lose the
/// targets of the other namespaces as soon as one is known.
#[derive(Default)]
struct First {
    groups: Vec<TargetGroup>,
    until: Option<Instant>,
}

impl Following {
    fn new(view: View, known: BTreeSet<String>) -> Self {
        Self { view, ready: BTreeSet::new(), known, first: Some(First::default()) }
    }

    /// The groups that are not any more what they were. Nothing is told of a namespace before all is
    /// known that its targets are made of.
    fn look<T: Grouped>(&mut self, mut changed: Changed) -> Vec<TargetGroup> {
        let own: BTreeSet<Name> = changed.remove(T::RESOURCE).into_iter().collect();
        // That something goes that targets tell of is not to take labels from them, and so make
        // others of them, a moment before they go themselves. Where it counts, it is told.
        changed.retain(Resource::Pods, |name| self.has_pod(name));
        changed.retain(Resource::Namespaces, |name| self.has_namespace(name));
        if T::RESOURCE != Resource::Pods {
            self.add_owned_pods(&mut changed);
        }
        let mut names = BTreeSet::new();
        let mut gone = Vec::new();
        let watched: Vec<_> = T::among(&self.view)
            .watched
            .iter()
            .map(|(key, of)| (key.clone(), Arc::clone(of)))
            .collect();
        for (namespace, watched) in watched {
            if !self.ready.contains(&namespace) {
                if !self.view.is_synced(&namespace) {
                    continue;
                }
                names.extend(watched.store.list().iter().map(|object| object.name()));
                gone.extend(self.gone::<T>(&namespace, &names));
                self.ready.insert(namespace);
                continue;
            }
            let is_here = |name: &&Name| namespace.is_empty() || name.namespace == namespace;
            names.extend(own.iter().filter(is_here).cloned());
            if changed.is_empty() {
                continue;
            }
            for object in watched.store.list() {
                let mut is_concerned = false;
                object.mentions(self.view.attach, &mut |resource, namespace, name| {
                    is_concerned |= changed.contains(resource, namespace, name);
                });
                if is_concerned {
                    names.insert(object.name());
                }
            }
        }
        gone.extend(names.iter().filter_map(|name| group::<T>(name, &self.view)));
        gone
    }

    /// Empty groups for those of a namespace that the manager knows though they are not there.
    fn gone<T: Grouped>(&mut self, namespace: &str, names: &BTreeSet<Name>) -> Vec<TargetGroup> {
        let there: BTreeSet<String> = names.iter().map(|name| source(T::ROLE, name)).collect();
        let known = self
            .known
            .extract_if(.., |source| namespace.is_empty() || namespace_of(source) == namespace);
        let gone = known.filter(|source| !there.contains(source));
        gone.map(|source| TargetGroup { source, ..TargetGroup::default() }).collect()
    }

    /// What is to be told now. At first that may be nothing, since there is more to wait for; that
    /// there is nothing is an answer then, too.
    fn due<T: Grouped>(&mut self, groups: Vec<TargetGroup>) -> Option<Vec<TargetGroup>> {
        let Some(mut first) = self.first.take() else {
            return Some(groups).filter(|groups| !groups.is_empty());
        };
        first.groups.extend(groups);
        if !self.ready.is_empty() {
            let until = *first.until.get_or_insert_with(|| Instant::now() + FIRST_MAX);
            let is_all = self.ready.len() == T::among(&self.view).watched.len();
            if is_all || until <= Instant::now() {
                return Some(first.groups);
            }
        }
        self.first = Some(first);
        None
    }

    /// What leads to a pod tells why the pod is there.
    fn add_owned_pods(&self, changed: &mut Changed) {
        if !changed.has(Resource::ReplicaSets) && !changed.has(Resource::Jobs) {
            return;
        }
        for watched in self.view.pods.watched.values() {
            for pod in watched.store.list() {
                let mut is_owned = false;
                pod.mentions(self.view.attach, &mut |resource, namespace, name| {
                    is_owned |= matches!(resource, Resource::ReplicaSets | Resource::Jobs)
                        && changed.contains(resource, namespace, name);
                });
                if is_owned {
                    changed.insert(Resource::Pods, &pod.name());
                }
            }
        }
    }

    fn has_pod(&self, name: &Name) -> bool {
        self.view.pods.get(&name.namespace, &name.name).is_some()
    }

    fn has_namespace(&self, name: &Name) -> bool {
        self.view.namespaces.get(&name.namespace, &name.name).is_some()
    }
}

//! The objects of one kind as they are known now. They stay as they are while the API cannot be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::follower::{Event, Follower};
use super::objects::{Name, Object};

/// Objects by name. Only a list of all of them, or word that one was deleted, takes one out.
#[derive(Debug)]
pub(super) struct Store<T>(Mutex<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    objects: BTreeMap<Name, Arc<T>>,
    is_synced: bool,
    has_ended: bool,
    followers: Vec<Weak<Follower>>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            objects: BTreeMap::new(),
            is_synced: false,
            has_ended: false,
            followers: Vec::new(),
        }))
    }
}

impl<T> Store<T> {
    /// Whether there was a list of all objects once.
    pub(super) fn is_synced(&self) -> bool {
        self.lock().is_synced
    }

    /// Nobody keeps it up to date any more.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.has_ended = true;
        inner.wake();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    pub(super) fn get(&self, name: &Name) -> Option<Arc<T>> {
        self.lock().objects.get(name).cloned()
    }

    /// All objects now.
    pub(super) fn list(&self) -> Vec<Arc<T>> {
        self.lock().objects.values().cloned().collect()
    }

    // The objects are whole after every statement, so that a poisoned lock does no harm.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Object> Store<T> {
    /// Tells `follower` of what is there, and of what changes from now on for as long as it lives.
    pub(super) fn follow(&self, follower: &Arc<Follower>) {
        let mut inner = self.lock();
        for name in inner.objects.keys() {
            follower.tell(T::RESOURCE, name, Event::Add, true);
        }
        inner.followers.retain(|follower| follower.strong_count() > 0);
        inner.followers.push(Arc::downgrade(follower));
        follower.wake();
    }

    /// An object as it has become.
    pub(super) fn put(&self, object: T) {
        self.lock().put(object);
    }

    /// An object was deleted.
    pub(super) fn remove(&self, name: &Name) {
        self.lock().remove(name);
    }

    /// These are all there are.
    pub(super) fn replace(&self, objects: Vec<T>) {
        let mut inner = self.lock();
        let mut gone: BTreeSet<Name> = inner.objects.keys().cloned().collect();
        for object in objects {
            gone.remove(&object.name());
            inner.put(object);
        }
        for name in gone {
            inner.remove(&name);
        }
        inner.is_synced = true;
        inner.wake();
    }
}

impl<T> Inner<T> {
    fn wake(&self) {
        for follower in self.followers.iter().filter_map(Weak::upgrade) {
            follower.wake();
        }
    }
}

impl<T: Object> Inner<T> {
    fn put(&mut self, object: T) {
        let name = object.name();
        let (event, is_news) = match self.objects.get_mut(&name) {
            Some(known) if **known == object => (Event::Update, false),
            Some(known) => {
                *known = Arc::new(object);
                (Event::Update, true)
            }
            None => {
                self.objects.insert(name.clone(), Arc::new(object));
                (Event::Add, true)
            }
        };
        self.tell(&name, event, is_news);
    }

    fn remove(&mut self, name: &Name) {
        if self.objects.remove(name).is_some() {
            self.tell(name, Event::Delete, true);
        }
    }

    fn tell(&self, name: &Name, event: Event, is_news: bool) {
        for follower in self.followers.iter().filter_map(Weak::upgrade) {
            follower.tell(T::RESOURCE, name, event, is_news);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::objects::Pod;
    use super::super::resource::Resource;
    use super::*;

    fn pod(name: &str, ip: &str) -> Pod {
        let pod = serde_json::json!({
            "metadata": {"name": name, "namespace": "shop", "resourceVersion": "7"},
            "status": {"podIP": ip, "qosClass": "Burstable"},
        });
        let mut pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(pod.strip(), "7");
        pod
    }

    fn named(name: &str) -> Name {
        Name { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_list_brings_and_takes_and_leaves_what_is_as_it_was() {
        let store = Store::default();
        let follower = Arc::new(Follower::new(Role::Pod, Arc::default()));
        store.follow(&follower);
        let changed = || -> Vec<String> {
            let names = follower.take().remove(Resource::Pods);
            names.iter().map(ToString::to_string).collect()
        };
        assert!(!store.is_synced());
        store.replace(vec![pod("a", "127.0.0.1"), pod("b", "127.0.0.2")]);
        assert!(store.is_synced());
        assert_eq!(changed(), ["shop/a", "shop/b"]);
        store.replace(vec![pod("b", "127.0.0.3"), pod("c", "127.0.0.4")]);
        assert_eq!(changed(), ["shop/a", "shop/b", "shop/c"]);
        store.replace(vec![pod("c", "127.0.0.4"), pod("b", "127.0.0.3")]);
        assert_eq!(changed(), [""; 0]);
        assert_eq!(store.list().len(), 2);
        assert_eq!(store.get(&named("a")), None);
    }

    #[test]
    fn events_that_change_nothing_are_no_news() {
        let store = Store::default();
        let follower = Arc::new(Follower::new(Role::Pod, Arc::default()));
        store.follow(&follower);
        store.put(pod("a", "127.0.0.1"));
        assert!(!follower.take().is_empty());
        store.put(pod("a", "127.0.0.1"));
        store.remove(&named("b"));
        assert!(follower.take().is_empty());
        store.remove(&named("a"));
        assert!(!follower.take().is_empty());
    }

    #[test]
    fn who_comes_late_is_told_of_what_is_there() {
        let store = Store::default();
        store.replace(vec![pod("a", "127.0.0.1")]);
        let follower = Arc::new(Follower::new(Role::Pod, Arc::default()));
        store.follow(&follower);
        assert_eq!(follower.take().remove(Resource::Pods), [named("a")]);
        drop(follower);
        store.put(pod("b", "127.0.0.1"));
        let other = Arc::new(Follower::new(Role::Pod, Arc::default()));
        store.follow(&other);
        assert_eq!(store.lock().followers.len(), 1);
    }
}

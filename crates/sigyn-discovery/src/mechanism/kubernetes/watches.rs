//! Who watches what: one watch for each kind of object of an API, however many sections need it.

use std::any::Any;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::task::JoinSet;

use super::api::Api;
use super::objects::Object;
use super::question::Question;
use super::resource::Resource;
use super::store::Store;
use super::watch::{Times, Watching};
use super::{Selector, Server, connection};
use crate::http::Options;
use crate::mechanism::{Context, Sharers, StartError};

/// The watches that go on, and whom they ask. They end when nobody needs them any more.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    apis: Known<Server, Api>,
    watched: Known<Key, dyn Any + Send + Sync>,
}

type Known<K, V> = Mutex<HashMap<K, Weak<V>>>;

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) server: Server,
    pub(super) resource: Resource,
    /// All if it is empty.
    pub(super) namespace: String,
    pub(super) selector: Selector,
}

/// Objects of one kind, kept up to date for as long as somebody holds this.
#[derive(Debug)]
pub(super) struct Watched<T> {
    pub(super) store: Arc<Store<T>>,
    sharers: Arc<Sharers>,
    _watching: JoinSet<()>,
}

impl Watches {
    /// The API of a server.
    pub(super) async fn api(
        &self,
        server: &Server,
        options: Options,
    ) -> Result<Arc<Api>, StartError> {
        if let Some(api) = known(&self.apis, server) {
            return Ok(api);
        }
        let api = Arc::new(connection::connect(server, options).await?);
        // Another section may have been as fast; two of them do no harm.
        insert(&self.apis, server.clone(), Arc::downgrade(&api));
        Ok(api)
    }

    /// Objects of one kind, watched from now on if they are not already.
    pub(super) fn watched<T: Object>(
        &self,
        key: &Key,
        api: &Arc<Api>,
        context: &Context,
    ) -> Arc<Watched<T>> {
        let shared =
            known(&self.watched, key).and_then(|known| known.downcast::<Watched<T>>().ok());
        let whose = Arc::downgrade(&context.whose);
        if let Some(watched) = shared.filter(|watched| !watched.store.has_ended()) {
            watched.sharers.add(whose);
            return watched;
        }
        let store = Arc::new(Store::default());
        let sharers = Arc::new(Sharers::default());
        sharers.add(whose);
        let watching = Watching::new(
            Arc::clone(api),
            Question::new(key.resource, &key.namespace, &key.selector),
            Arc::clone(&store),
            Arc::clone(&context.metrics),
            Times::default(),
            Arc::clone(&sharers),
        );
        let mut task = JoinSet::new();
        task.spawn(watching.run());
        let watched = Arc::new(Watched { store, sharers, _watching: task });
        let erased: Arc<dyn Any + Send + Sync> = watched.clone();
        insert(&self.watched, key.clone(), Arc::downgrade(&erased));
        watched
    }
}

// A map of weak references is whole after every statement, so that a poisoned lock does no harm.
fn known<K: Eq + Hash, V: ?Sized>(known: &Known<K, V>, key: &K) -> Option<Arc<V>> {
    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.get(key).and_then(Weak::upgrade)
}

fn insert<K: Eq + Hash, V: ?Sized>(known: &Known<K, V>, key: K, value: Weak<V>) {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|_, value| value.strong_count() > 0);
    known.insert(key, value);
}

#[cfg(test)]
impl<T> Watched<T> {
    /// Objects that nobody watches.
    pub(super) fn of(store: Store<T>) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::new(store),
            sharers: Arc::default(),
            _watching: JoinSet::new(),
        })
    }
}

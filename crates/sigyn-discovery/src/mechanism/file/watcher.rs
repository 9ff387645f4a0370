//! One file system watcher for all providers. A watcher each would use up the few that a user may
//! have (128 on most Linux systems).

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode};
use tokio::sync::Notify;

use super::names::Names;
use crate::metrics::Metrics;

/// Who wants to know of changes in a directory.
type Subscribers = HashMap<PathBuf, Vec<Subscriber>>;

#[derive(Debug)]
struct Subscriber {
    notify: Weak<Notify>,
    names: Names,
}

/// Watches directories on behalf of providers. It opens the system's watcher with the first.
pub(crate) struct Watcher {
    subscribers: Arc<Mutex<Subscribers>>,
    system: Mutex<Option<RecommendedWatcher>>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("subscribers", &self.subscribers).finish_non_exhaustive()
    }
}

impl Watcher {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { subscribers: Arc::default(), system: Mutex::new(None), metrics }
    }

    /// Wakes `notify` at changes of `names` in `dir`, and of `dir` itself, from now on and until it is
    /// dropped. Others write their logs there. Subscribing again is cheap, and renews the watch on a
    /// directory that was replaced. What cannot be watched is counted; the provider's refresh
    /// interval remains.
    pub(crate) fn subscribe(&self, dir: &Path, names: Names, notify: &Arc<Notify>) {
        // The real path: one directory under two names would be one watch for the system.
        let watched = dir.canonicalize().map_err(notify::Error::io).and_then(|dir| {
            let unused = self.enter(&dir, names, notify);
            self.watch(&dir, &unused)
        });
        if let Err(error) = watched {
            self.metrics.watcher_errors.increment();
            tracing::debug!(dir = %dir.display(), %error, "cannot watch directory of target files");
        }
    }

    /// Enters a subscriber, and returns the directories that nobody asks for any more.
    fn enter(&self, dir: &Path, names: Names, notify: &Arc<Notify>) -> Vec<PathBuf> {
        let mut subscribers = lock(&self.subscribers);
        for listeners in subscribers.values_mut() {
            listeners.retain(|listener| listener.notify.strong_count() > 0);
        }
        let listeners = subscribers.entry(dir.to_owned()).or_default();
        let notify = Arc::downgrade(notify);
        match listeners.iter_mut().find(|listener| listener.notify.ptr_eq(&notify)) {
            Some(known) => known.names = names,
            None => listeners.push(Subscriber { notify, names }),
        }
        subscribers.extract_if(|_, listeners| listeners.is_empty()).map(|(dir, _)| dir).collect()
    }

    // The system's watcher may wait for its thread, and that one for `subscribers`: so the lock on
    // them must not be held here.
    fn watch(&self, dir: &Path, unused: &[PathBuf]) -> notify::Result<()> {
        use notify::Watcher as _;
        let mut system = lock(&self.system);
        let watcher = match &mut *system {
            Some(watcher) => watcher,
            None => system.insert(self.open()?),
        };
        for dir in unused {
            // It fails if the directory is gone, which is as good.
            let _ = watcher.unwatch(dir);
        }
        watcher.watch(dir, RecursiveMode::NonRecursive)
    }

    fn open(&self) -> notify::Result<RecommendedWatcher> {
        let (subscribers, metrics) = (Arc::clone(&self.subscribers), Arc::clone(&self.metrics));
        notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            Ok(event) if event.need_rescan() => wake_all(&subscribers),
            Ok(event) if is_change(event.kind) => wake(&subscribers, &event.paths),
            Ok(_) => {}
            Err(error) => {
                metrics.watcher_errors.increment();
                tracing::debug!(%error, "watcher of target files failed");
                wake_all(&subscribers);
            }
        })
    }
}

/// Reading files makes events too, and so does a change of mode: neither changes any content.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(modify) => !matches!(modify, ModifyKind::Metadata(_)),
        _ => true,
    }
}

fn wake(subscribers: &Mutex<Subscribers>, paths: &[PathBuf]) {
    let subscribers = lock(subscribers);
    for path in paths {
        let of_dir = subscribers.get(path).into_iter().flatten();
        let name = path.file_name().unwrap_or_default();
        let of_name = path.parent().and_then(|dir| subscribers.get(dir)).into_iter().flatten();
        for subscriber in of_dir.chain(of_name.filter(|known| known.names.contain(name))) {
            subscriber.wake();
        }
    }
}

fn wake_all(subscribers: &Mutex<Subscribers>) {
    lock(subscribers).values().flatten().for_each(Subscriber::wake);
}

impl Subscriber {
    fn wake(&self) {
        if let Some(notify) = self.notify.upgrade() {
            notify.notify_one();
        }
    }
}

/// What the locks guard is whole after every statement, so a panic elsewhere does no harm to it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

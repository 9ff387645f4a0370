//! Those who wait while targets are asked at once: so many at a time, and what came for each of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sigyn_model::TraceId;
use sigyn_model::columns::Columns;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests at a time; more are sent away.
const CALLERS_MAX: usize = 16;
/// Targets that are asked at once, whoever waits and whatever for.
const ASKED_AT_ONCE: usize = 64;

/// As many wait for answers of targets as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{CALLERS_MAX} requests wait for answers of targets already")]
pub struct Busy;

#[derive(Debug)]
pub(crate) struct Callers {
    callers: Arc<Semaphore>,
    /// One for each target while it is asked. It is never closed.
    pub(crate) places: Arc<Semaphore>,
    refused: AtomicU64,
    collections: Mutex<Vec<Arc<Collection>>>,
    are_collecting: AtomicBool,
}

/// Traces that somebody waits for, and how many spans of them are stored by target since then.
#[derive(Debug)]
pub(crate) struct Collection {
    /// By the right halves of their ids.
    ids: HashMap<u64, TraceId>,
    stored: Mutex<HashMap<String, u64>>,
}

/// Counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Collecting<'a> {
    callers: &'a Callers,
    collection: Arc<Collection>,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            callers: Arc::new(Semaphore::new(CALLERS_MAX)),
            places: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            refused: AtomicU64::new(0),
            collections: Mutex::default(),
            are_collecting: AtomicBool::new(false),
        }
    }
}

impl Callers {
    /// A place to wait in, while it is held.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, Busy> {
        Arc::clone(&self.callers).try_acquire_owned().map_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Busy
        })
    }

    /// Requests that were sent away.
    pub(crate) fn refused_total(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// From now on it is counted what is stored of these.
    pub(crate) fn collect(&self, ids: &[TraceId]) -> Collecting<'_> {
        let ids = ids.iter().map(|id| (id.low(), *id)).collect();
        let collection = Arc::new(Collection { ids, stored: Mutex::default() });
        let mut collections = lock(&self.collections);
        collections.push(Arc::clone(&collection));
        self.are_collecting.store(true, Ordering::Release);
        drop(collections);
        Collecting { callers: self, collection }
    }

    /// Who waits for which of these spans, to be told once they are stored.
    pub(crate) fn wanting(&self, spans: &Columns) -> Vec<(Arc<Collection>, u64)> {
        if spans.is_empty() || !self.are_collecting.load(Ordering::Acquire) {
            return Vec::new();
        }
        let collections = lock(&self.collections).clone();
        let counted = collections.into_iter().map(|collection| {
            let wanted = spans.rows().filter(|span| collection.wants(span.trace_id()));
            let count = wanted.count() as u64;
            (collection, count)
        });
        counted.filter(|(_, count)| *count > 0).collect()
    }
}

impl Collection {
    fn wants(&self, id: TraceId) -> bool {
        // A short id means all that end in it.
        self.ids.get(&id.low()).is_some_and(|wanted| *wanted == id || wanted.high() == 0)
    }

    pub(crate) fn stored(&self, target: &str, spans: u64) {
        *lock(&self.stored).entry(target.to_owned()).or_default() += spans;
    }
}

impl Collecting<'_> {
    /// Spans that are stored of a target since it began.
    pub(crate) fn from(&self, target: &str) -> u64 {
        lock(&self.collection.stored).get(target).copied().unwrap_or(0)
    }
}

impl Drop for Collecting<'_> {
    fn drop(&mut self) {
        let mut collections = lock(&self.callers.collections);
        collections.retain(|other| !Arc::ptr_eq(other, &self.collection));
        self.callers.are_collecting.store(!collections.is_empty(), Ordering::Release);
    }
}

/// Whole values are put: a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use sigyn_model::{Span, SpanId};

    use super::*;

    fn spans(ids: &[u128]) -> Columns {
        let mut columns = Columns::default();
        for id in ids {
            columns.push(&Span::new(TraceId::new(*id).unwrap(), SpanId::new(1).unwrap()));
        }
        columns
    }

    #[test]
    fn each_is_told_what_is_stored_of_its_traces_while_it_waits() {
        let callers = Callers::default();
        let long = (5 << 64) | 3;
        assert!(callers.wanting(&spans(&[1, 2])).is_empty());
        let one = callers.collect(&[TraceId::new(1).unwrap(), TraceId::new(3).unwrap()]);
        let other = callers.collect(&[TraceId::new(2).unwrap(), TraceId::new(long).unwrap()]);
        for (collection, count) in callers.wanting(&spans(&[1, 1, 2, 3, 4, long])) {
            collection.stored("till", count);
        }
        assert_eq!((one.from("till"), other.from("till"), one.from("shop")), (4, 2, 0));
        drop(one);
        assert_eq!(callers.wanting(&spans(&[1, 2])).len(), 1);
        drop(other);
        assert!(callers.wanting(&spans(&[1, 2])).is_empty());
    }

    #[test]
    fn so_many_wait_and_others_are_sent_away() {
        let callers = Callers::default();
        let held: Vec<_> = (0..CALLERS_MAX).map(|_| callers.enter().unwrap()).collect();
        assert_eq!(callers.enter().err(), Some(Busy));
        drop(held);
        assert!(callers.enter().is_ok());
        assert_eq!(callers.refused_total(), 1);
    }
}

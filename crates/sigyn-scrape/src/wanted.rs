//! Traces that are wanted of every target, although nobody sampled them: some target kept its part of one, or a person
//! asks. Each target is asked along with its scrapes.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sigyn_model::TraceId;
use sigyn_model::pull::TRACE_IDS_MAX;
use tokio::sync::watch;

use crate::callers::Callers;

/// Traces that are remembered. A target that is behind by more misses some.
const REMEMBERED: usize = 10_000;

/// All that is wanted, in the order in which it was.
#[derive(Debug)]
pub(crate) struct Wanted {
    list: Mutex<List>,
    /// Everything up to this is to be asked for now, and not only with the next scrape.
    call: watch::Sender<u64>,
    /// Who waits for it.
    pub(crate) callers: Callers,
    kept: AtomicU64,
    missed: AtomicU64,
}

#[derive(Debug, Default)]
struct List {
    ids: VecDeque<TraceId>,
    known: HashSet<TraceId>,
    /// How many were forgotten: the first of `ids` has this number.
    first: u64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            list: Mutex::default(),
            call: watch::Sender::new(0),
            callers: Callers::default(),
            kept: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }
    }
}

impl Wanted {
    /// Traces of which a target kept its part.
    pub(crate) fn kept(&self, ids: &[TraceId]) {
        let mut list = self.lock();
        let new = ids.iter().filter(|id| list.add(**id)).count();
        drop(list);
        self.kept.fetch_add(new as u64, Ordering::Relaxed);
    }

    /// Traces that somebody waits for. Returns the number behind the last of them.
    pub(crate) fn call(&self, ids: &[TraceId]) -> u64 {
        let mut list = self.lock();
        for id in ids {
            // Asked for once more, as there may be more of it by now.
            list.known.remove(id);
            list.add(*id);
        }
        let end = list.end();
        drop(list);
        self.call.send_if_modified(|call| std::mem::replace(call, end) != end);
        end
    }

    /// What comes next, and the number behind it.
    pub(crate) fn after(&self, seen: u64) -> (Vec<TraceId>, u64) {
        let list = self.lock();
        let missed = list.first.saturating_sub(seen);
        self.missed.fetch_add(missed, Ordering::Relaxed);
        let skipped = usize::try_from(seen.saturating_sub(list.first)).unwrap_or(usize::MAX);
        let ids: Vec<_> = list.ids.iter().skip(skipped).take(TRACE_IDS_MAX).copied().collect();
        let next = seen.max(list.first) + ids.len() as u64;
        (ids, next)
    }

    /// The number behind everything.
    pub(crate) fn end(&self) -> u64 {
        self.lock().end()
    }

    /// Waits until somebody waits for something beyond this. Returns the number behind it.
    pub(crate) async fn called(&self, seen: u64) -> u64 {
        let mut call = self.call.subscribe();
        let called = call.wait_for(|call| *call > seen).await.map(|call| *call);
        match called {
            Ok(call) => call,
            // The sender is ours.
            Err(_) => std::future::pending().await,
        }
    }

    /// Traces that targets kept although nobody had sampled them.
    pub(crate) fn kept_total(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// How often a trace was forgotten before a target could be asked for it.
    pub(crate) fn missed_total(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// False if it is there already.
    fn add(&mut self, id: TraceId) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.ids.push_back(id);
        if self.ids.len() > REMEMBERED
            && let Some(oldest) = self.ids.pop_front()
        {
            self.known.remove(&oldest);
            self.first += 1;
        }
        true
    }

    fn end(&self) -> u64 {
        self.first + self.ids.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(range: std::ops::Range<u128>) -> Vec<TraceId> {
        range.map(|id| TraceId::new(id).unwrap()).collect()
    }

    #[test]
    fn each_target_is_asked_for_all_of_them_in_turn() {
        let wanted = Wanted::default();
        wanted.kept(&ids(1..201));
        wanted.kept(&ids(1..3));
        assert_eq!(wanted.kept_total(), 200);
        let (first, next) = wanted.after(0);
        assert_eq!((first, next), (ids(1..129), 128));
        let (second, next) = wanted.after(next);
        assert_eq!((second, next), (ids(129..201), 200));
        assert_eq!(wanted.after(next), (Vec::new(), 200));
        assert_eq!(wanted.end(), 200);
    }

    #[test]
    fn a_target_that_is_far_behind_misses_some() {
        let wanted = Wanted::default();
        wanted.kept(&ids(1..10_101));
        let (first, next) = wanted.after(0);
        assert_eq!((first[0], next), (ids(101..102)[0], 228));
        assert_eq!(wanted.missed_total(), 100);
        // What was forgotten is new again.
        wanted.kept(&ids(1..2));
        assert_eq!(wanted.end(), 10_101);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_called_is_called_once() {
        let wanted = Wanted::default();
        wanted.kept(&ids(1..3));
        let second = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(second, wanted.called(0)).await.is_err());
        assert_eq!(wanted.call(&ids(2..3)), 3);
        assert_eq!(wanted.called(0).await, 3);
        assert!(tokio::time::timeout(second, wanted.called(3)).await.is_err());
        assert_eq!(wanted.after(2), (ids(2..3), 3));
    }
}

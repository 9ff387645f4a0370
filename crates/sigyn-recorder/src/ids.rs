//! Ids of traces and spans that begin here.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use sigyn_model::{SpanId, TraceId};

thread_local! {
    static SOURCE: Source = const {
        Source { state: Cell::new(0), thread: Cell::new(0), beginning: Cell::new(0) }
    };
}

/// All threads begin anew when this changes.
static BEGINNING: AtomicU64 = AtomicU64::new(1);

/// Where the ids of a thread come from.
struct Source {
    /// Of the generator.
    state: Cell<u64>,
    /// A number of this thread's own. Two threads of a fleet whose generators come to the same state go on alike from
    /// there, but their traces still have ids of their own.
    thread: Cell<u64>,
    /// The beginning that it knows; zero before its first id.
    beginning: Cell<u64>,
}

/// From here on no thread goes on where it was: this process may have been forked from one that made ids.
pub(crate) fn begin_anew() {
    BEGINNING.fetch_add(1, Ordering::Relaxed);
}

/// Neither half of a trace's id is zero, so that it is an id also for those who keep 64 bits of it.
#[inline]
pub(crate) fn trace_and_span() -> (TraceId, SpanId) {
    numbers(|random, thread| {
        let (high, low) = (random.u64(..) ^ thread, random.u64(..));
        let id = TraceId::new(u128::from(high.max(1)) << 64 | u128::from(low.max(1)));
        Some((id?, span_of(random)))
    })
    .unwrap_or_else(trace_and_span)
}

#[inline]
pub(crate) fn span() -> SpanId {
    numbers(|random, _| span_of(random))
}

/// The same, if the thread has had an id before.
#[inline(always)]
pub(crate) fn span_at_once() -> Option<SpanId> {
    SOURCE.with(|source| source.has_begun().then(|| source.make(|random, _| span_of(random))))
}

/// Which of so many things this thread uses; the first one before its first id.
#[inline(always)]
pub(crate) fn thread_of(count: usize) -> usize {
    SOURCE.with(|source| usize::try_from(source.thread.get() % count as u64).unwrap_or(0))
}

#[inline(always)]
fn span_of(random: &mut Rng) -> SpanId {
    SpanId::from_raw(random.u64(..).max(1))
}

#[inline]
fn numbers<T>(make: impl FnOnce(&mut Rng, u64) -> T) -> T {
    SOURCE.with(|source| {
        if !source.has_begun() {
            source.begin();
        }
        source.make(make)
    })
}

impl Source {
    #[inline(always)]
    fn has_begun(&self) -> bool {
        self.beginning.get() == BEGINNING.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn make<T>(&self, make: impl FnOnce(&mut Rng, u64) -> T) -> T {
        let mut random = Rng::with_seed(self.state.get());
        let made = make(&mut random, self.thread.get());
        self.state.set(random.get_seed());
        made
    }

    #[cold]
    fn begin(&self) {
        let number = || getrandom::u64().unwrap_or_else(|_| fastrand::u64(..));
        self.state.set(number());
        self.thread.set(number());
        self.beginning.set(BEGINNING.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn threads_whose_generators_meet_have_traces_of_their_own() {
        let in_a_thread = || {
            std::thread::spawn(|| {
                span();
                SOURCE.with(|source| source.state.set(7));
                (0..100).map(|_| trace_and_span()).collect::<Vec<_>>()
            })
        };
        let [a, b] = [in_a_thread(), in_a_thread()].map(|thread| thread.join().unwrap());
        let traces: HashSet<_> = a.iter().chain(&b).map(|(trace, _)| *trace).collect();
        assert_eq!(traces.len(), 200);
        let spans: HashSet<_> = a.iter().map(|(_, span)| *span).collect();
        assert_eq!(spans.len(), 100);
    }

    /// As after a fork: the same state in two processes.
    #[test]
    fn whoever_begins_anew_goes_on_nowhere() {
        let state = || SOURCE.with(|source| (source.state.get(), source.thread.get()));
        span();
        let before = state();
        let made = trace_and_span();
        SOURCE.with(|source| source.state.set(before.0));
        begin_anew();
        assert!(span_at_once().is_none());
        assert_ne!(trace_and_span(), made);
        assert_ne!(state().1, before.1);
    }
}

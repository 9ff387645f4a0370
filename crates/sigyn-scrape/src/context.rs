//! Whether a target's spans ever meet those of others: a small memory of recent trace ids.
//!
//! A service that receives no context, or passes none on, starts a trace of its own for every
//! request. Its spans look fine one by one; only beside other targets does it show that nothing is
//! ever shared. The memory is bounded and shared by all targets: trace id to the first target that
//! showed it, oldest forgotten first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sigyn_model::Kind;
use sigyn_model::columns::Columns;
use tokio::time::Instant;

/// Trace ids remembered, over all targets: about 2 MiB.
const TRACES_MAX: usize = 64 << 10;

/// Stands for one target while it is in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Member(u64);

/// Shared by all loops. The lock is held for the spans of one body.
#[derive(Debug, Default)]
pub(crate) struct Context {
    sketch: Mutex<Sketch>,
}

#[derive(Debug, Default)]
struct Sketch {
    first_seen_at: HashMap<u64, Member>,
    order: VecDeque<u64>,
    members: HashMap<Member, Connections>,
    /// How many members of each job have spans.
    speaking: HashMap<Arc<str>, usize>,
    joined: u64,
}

#[derive(Debug)]
struct Connections {
    job: Arc<str>,
    has_spans: bool,
    /// When a trace or a parent last tied this target to another process.
    linked: Option<Instant>,
}

impl Context {
    pub(crate) fn join(&self, job: &str) -> Member {
        let mut sketch = self.lock();
        sketch.joined += 1;
        let member = Member(sketch.joined);
        let connections = Connections { job: job.into(), has_spans: false, linked: None };
        sketch.members.insert(member, connections);
        member
    }

    pub(crate) fn leave(&self, member: Member) {
        let mut sketch = self.lock();
        let left = sketch.members.remove(&member);
        if let Some(Connections { job, has_spans: true, .. }) = left
            && let Some(speaking) = sketch.speaking.get_mut(&job)
        {
            *speaking -= 1;
            if *speaking == 0 {
                sketch.speaking.remove(&job);
            }
        }
    }

    pub(crate) fn observe(&self, member: Member, spans: &Columns, now: Instant) {
        if !spans.is_empty() {
            self.lock().observe(member, spans, now);
        }
    }

    /// True if nothing tied the target to another process within `window`, while targets of other
    /// jobs have spans too. (Replicas of one service do not call each other.)
    pub(crate) fn is_alone(&self, member: Member, window: Duration, now: Instant) -> bool {
        let sketch = self.lock();
        let Some(own) = sketch.members.get(&member) else { return false };
        let is_linked = own.linked.is_some_and(|at| now.saturating_duration_since(at) <= window);
        !is_linked && sketch.speaking.keys().any(|job| *job != own.job)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sketch> {
        // A panic inside leaves counts at worst; the memory is a guess anyway.
        self.sketch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sketch {
    fn observe(&mut self, member: Member, spans: &Columns, now: Instant) {
        let mut linked = false;
        for span in spans.rows() {
            let receives = matches!(span.kind(), Some(Kind::Server | Kind::Consumer));
            linked |= span.shared() || receives && span.parent_id().is_some();
            let trace = span.trace_id().low();
            match self.first_seen_at.get(&trace) {
                Some(first) if *first != member => {
                    linked = true;
                    if let Some(other) = self.members.get_mut(first) {
                        other.linked = Some(now);
                    }
                }
                Some(_) => {}
                None => self.remember(trace, member),
            }
        }
        if let Some(own) = self.members.get_mut(&member) {
            if !own.has_spans {
                own.has_spans = true;
                *self.speaking.entry(Arc::clone(&own.job)).or_default() += 1;
            }
            if linked {
                own.linked = Some(now);
            }
        }
    }

    fn remember(&mut self, trace: u64, member: Member) {
        if self.order.len() >= TRACES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.first_seen_at.remove(&oldest);
        }
        self.order.push_back(trace);
        self.first_seen_at.insert(trace, member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigyn_model::{Span, SpanBatch, SpanId, TraceId};

    fn columns(spans: &[Span]) -> Box<Columns> {
        SpanBatch::of(spans, None).spans
    }

    const WINDOW: Duration = Duration::from_secs(100);

    fn span(trace: u64) -> Span {
        Span::new(TraceId::new(u128::from(trace)).unwrap(), SpanId::new(1).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn targets_that_share_no_trace_are_alone() {
        let context = Context::default();
        let now = Instant::now();
        let (a, b, c) = (context.join("a"), context.join("b"), context.join("c"));
        context.observe(a, &columns(&[span(1)]), now);
        assert!(!context.is_alone(a, WINDOW, now), "no other target has spans");
        context.observe(b, &columns(&[span(2)]), now);
        assert!(context.is_alone(a, WINDOW, now));
        context.observe(c, &columns(&[span(2)]), now);
        assert!(context.is_alone(a, WINDOW, now));
        assert!(!context.is_alone(b, WINDOW, now) && !context.is_alone(c, WINDOW, now));
        assert!(context.is_alone(b, WINDOW, now + 2 * WINDOW), "what was shared is long ago");
    }

    #[tokio::test(start_paused = true)]
    async fn a_received_parent_is_a_connection_and_a_replica_is_none() {
        let context = Context::default();
        let now = Instant::now();
        let (a, b, replica) = (context.join("a"), context.join("b"), context.join("a"));
        context.observe(replica, &columns(&[span(9)]), now);
        context.observe(a, &columns(&[span(1)]), now);
        assert!(!context.is_alone(a, WINDOW, now), "only replicas have spans");
        let mut received = span(3);
        received.kind = Some(Kind::Server);
        received.parent_id = SpanId::new(7);
        context.observe(b, &columns(&[received]), now);
        assert!(context.is_alone(a, WINDOW, now));
        assert!(!context.is_alone(b, WINDOW, now));
        context.leave(b);
        assert!(!context.is_alone(a, WINDOW, now));
    }

    #[test]
    fn the_memory_is_bounded() {
        let context = Context::default();
        let member = context.join("a");
        let spans: Vec<_> = (1..=TRACES_MAX as u64 + 10).map(span).collect();
        context.observe(member, &columns(&spans), Instant::now());
        let sketch = context.lock();
        assert_eq!(sketch.first_seen_at.len(), TRACES_MAX);
        assert_eq!(sketch.order.len(), TRACES_MAX);
        assert!(!sketch.first_seen_at.contains_key(&10) && sketch.first_seen_at.contains_key(&11));
    }
}

//! Which of the traces that begin here budgets leave.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sigyn_model::TraceId;

/// The share of traces that is recorded while those who read want no more. A trace's id decides, so that all who have
/// the same share agree, and of two shares the larger has all traces of the smaller.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Traces up to this are recorded.
    below: AtomicU64,
    /// It holds no longer than those who set it are expected back, in nanoseconds of the clock.
    until_ns: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { below: AtomicU64::new(u64::MAX), until_ns: AtomicU64::new(0) }
    }
}

impl Budget {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float saturates, as wanted"
    )]
    pub(crate) fn set(&self, share: f64, until: Duration) {
        let below = if share >= 1.0 { u64::MAX } else { (share * 2f64.powi(64)) as u64 };
        let until_ns = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
        self.until_ns.store(until_ns, Ordering::Relaxed);
        self.below.store(below, Ordering::Relaxed);
    }

    /// Asks for the time only where it matters.
    pub(crate) fn leaves(&self, trace_id: TraceId, now: impl FnOnce() -> Duration) -> bool {
        let below = self.below.load(Ordering::Relaxed);
        trace_id.low() <= below
            || now().as_nanos() >= u128::from(self.until_ns.load(Ordering::Relaxed))
    }
}

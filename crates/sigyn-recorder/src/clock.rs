//! The one place that reads the time, so that a test can set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a recorder gets the time from.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { started: Instant },
    Manual { nanos: Arc<AtomicU64> },
}

impl Default for Source {
    fn default() -> Self {
        Self::System { started: Instant::now() }
    }
}

impl Clock {
    /// The machine's clocks: wall time for timestamps, a monotonic one for durations and leases.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock for tests that stands still until [`Clock::advance`] moves it.
    pub fn manual(start: SystemTime) -> Self {
        let nanos = nanos_since(start, UNIX_EPOCH);
        Self(Source::Manual { nanos: Arc::new(AtomicU64::new(nanos)) })
    }

    /// Moves a manual clock, and all its clones, forward. The machine's clocks take no orders.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { nanos } = &self.0 {
            nanos.fetch_add(saturating_nanos(by), Ordering::Relaxed);
        }
    }

    /// Wall time in nanoseconds since the Unix epoch.
    pub(crate) fn wall_nanos(&self) -> u64 {
        match &self.0 {
            Source::System { .. } => nanos_since(SystemTime::now(), UNIX_EPOCH),
            Source::Manual { nanos } => nanos.load(Ordering::Relaxed),
        }
    }

    /// Time that never goes back, from a point of no meaning.
    pub(crate) fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { started } => started.elapsed(),
            Source::Manual { nanos } => Duration::from_nanos(nanos.load(Ordering::Relaxed)),
        }
    }
}

fn nanos_since(time: SystemTime, base: SystemTime) -> u64 {
    time.duration_since(base).map_or(0, saturating_nanos)
}

fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

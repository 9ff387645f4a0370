//! The one place that reads the time, so that a test can set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(miri)]
use self::standin::{Anchor, Instant};
#[cfg(not(miri))]
use fastant::{Anchor, Instant};

/// Where a recorder gets the time from.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    /// The processor's counter, where the kernel trusts it, and else the system's monotonic clock. It
    /// starts at wall time and runs at its own pace.
    System {
        anchor: Anchor,
    },
    Manual {
        nanos: Arc<AtomicU64>,
    },
}

impl Default for Source {
    fn default() -> Self {
        Self::System { anchor: Anchor::new() }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System { .. } => f.write_str("System"),
            Self::Manual { nanos } => f.debug_tuple("Manual").field(nanos).finish(),
        }
    }
}

impl Clock {
    /// The machine's clocks: wall time for timestamps, a monotonic one for durations and leases.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock for tests that stands still until [`Clock::advance`] moves it.
    pub fn manual(start: SystemTime) -> Self {
        let nanos = start.duration_since(UNIX_EPOCH).map_or(0, saturating_nanos);
        Self(Source::Manual { nanos: Arc::new(AtomicU64::new(nanos)) })
    }

    /// Moves a manual clock, and all its clones, forward. The machine's clocks take no orders.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { nanos } = &self.0 {
            nanos.fetch_add(saturating_nanos(by), Ordering::Relaxed);
        }
    }

    /// Nanoseconds that never go back. They start at wall time and drift from it: see
    /// [`Clock::wall_offset`].
    #[inline]
    pub(crate) fn ticks(&self) -> u64 {
        match &self.0 {
            Source::System { anchor } => Instant::now().as_unix_nanos(anchor),
            Source::Manual { nanos } => nanos.load(Ordering::Relaxed),
        }
    }

    /// Wall time in nanoseconds since the Unix epoch.
    pub(crate) fn wall_nanos(&self) -> u64 {
        match &self.0 {
            Source::System { .. } => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, saturating_nanos)
            }
            Source::Manual { nanos } => nanos.load(Ordering::Relaxed),
        }
    }

    /// What makes wall time of ticks that are not old.
    pub(crate) fn wall_offset(&self) -> i64 {
        self.wall_nanos().wrapping_sub(self.ticks()).cast_signed()
    }

    /// Time that never goes back, from a point of no meaning.
    pub(crate) fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.ticks())
    }
}

/// Miri cannot ask the processor for its counter.
#[cfg(miri)]
mod standin {
    #[derive(Clone)]
    pub(super) struct Anchor;

    pub(super) struct Instant;

    impl Anchor {
        pub(super) fn new() -> Self {
            Self
        }
    }

    impl Instant {
        pub(super) fn now() -> Self {
            Self
        }

        pub(super) fn as_unix_nanos(&self, _: &Anchor) -> u64 {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(0, super::saturating_nanos)
        }
    }
}

fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

//! The one place that reads the time, so that a test can set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
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
    System { anchor: Anchor },
    Manual {
        nanos: Arc<AtomicU64>,
        /// What wall time is ahead of it.
        wall_ahead: Arc<AtomicI64>,
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
            Self::Manual { nanos, wall_ahead } => {
                f.debug_tuple("Manual").field(nanos).field(wall_ahead).finish()
            }
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
        Self(Source::Manual { nanos: Arc::new(AtomicU64::new(nanos)), wall_ahead: Arc::default() })
    }

    /// Moves a manual clock, and all its clones, forward. The machine's clocks take no orders.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { nanos, .. } = &self.0 {
            nanos.fetch_add(saturating_nanos(by), Ordering::Relaxed);
        }
    }

    /// Sets the wall time of a manual clock, and of all its clones, forward or back, as a person may set
    /// a machine's. Monotonic time goes on as if nothing had been.
    pub fn set_wall(&self, to: SystemTime) {
        if let Source::Manual { nanos, wall_ahead } = &self.0 {
            let to = to.duration_since(UNIX_EPOCH).map_or(0, saturating_nanos);
            let ahead = to.wrapping_sub(nanos.load(Ordering::Relaxed)).cast_signed();
            wall_ahead.store(ahead, Ordering::Relaxed);
        }
    }

    /// Nanoseconds that never go back. They start at wall time and drift from it: see
    /// [`Clock::wall_offset`].
    #[inline]
    pub(crate) fn ticks(&self) -> u64 {
        match &self.0 {
            Source::System { anchor } => Instant::now().as_unix_nanos(anchor),
            Source::Manual { nanos, .. } => nanos.load(Ordering::Relaxed),
        }
    }

    /// Wall time in nanoseconds since the Unix epoch.
    pub(crate) fn wall_nanos(&self) -> u64 {
        match &self.0 {
            Source::System { .. } => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, saturating_nanos)
            }
            Source::Manual { nanos, wall_ahead } => {
                let ahead = wall_ahead.load(Ordering::Relaxed);
                nanos.load(Ordering::Relaxed).wrapping_add_signed(ahead)
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_is_set_back_while_its_monotonic_time_goes_on() {
        let clock = Clock::manual(UNIX_EPOCH + Duration::from_secs(10_000));
        let before = clock.monotonic();
        clock.set_wall(UNIX_EPOCH + Duration::from_secs(6_400));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.wall_nanos(), 6_401_000_000_000);
        assert_eq!(clock.monotonic() - before, Duration::from_secs(1));
        assert_eq!(clock.wall_offset(), -3_600_000_000_000);
    }
}

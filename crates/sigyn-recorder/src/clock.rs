//! The one place that reads the time, so that a test can set it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(miri)]
use self::standin::Instant;
#[cfg(not(miri))]
use fastant::Instant;

/// Where a recorder gets the time from.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    /// The processor's counter, where the kernel trusts it, and else the system's monotonic clock. It
    /// starts at wall time and runs at its own pace.
    System(Pace),
    Manual {
        nanos: Arc<AtomicU64>,
        /// What wall time is ahead of it.
        wall_ahead: Arc<AtomicI64>,
    },
}

impl Default for Source {
    fn default() -> Self {
        Self::System(Pace::measured())
    }
}

/// How the processor's counter goes: of a span two moments are told, and each is one multiplication.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The counter at the beginning, and wall time then.
    first: u64,
    first_nanos: u64,
    /// Nanoseconds for each count, in 2^32 parts.
    per_count: u64,
}

impl Pace {
    fn measured() -> Self {
        const LONG: Duration = Duration::from_secs(1_000);
        let now = Instant::now();
        let first = counter(now);
        let counts = u128::from(counter(now + LONG).saturating_sub(first)).max(1);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            first,
            first_nanos: wall.map_or(0, saturating_nanos),
            per_count: u64::try_from((LONG.as_nanos() << 32) / counts).unwrap_or(u64::MAX),
        }
    }

    /// Of another processor the counter may be a little behind.
    #[inline]
    fn nanos(&self, counter: u64) -> u64 {
        let counts = counter.saturating_sub(self.first);
        let nanos = (u128::from(counts) * u128::from(self.per_count)) >> 32;
        #[expect(clippy::cast_possible_truncation, reason = "it counts for centuries")]
        let nanos = nanos as u64;
        self.first_nanos.wrapping_add(nanos)
    }
}

/// The number in an instant. Only whoever hashes one is told it.
#[inline]
fn counter(instant: Instant) -> u64 {
    let mut told = Told(0);
    instant.hash(&mut told);
    told.0
}

struct Told(u64);

impl Hasher for Told {
    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(number) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*number);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System(_) => f.write_str("System"),
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
            Source::System(pace) => pace.nanos(counter(Instant::now())),
            Source::Manual { nanos, .. } => nanos.load(Ordering::Relaxed),
        }
    }

    /// Wall time in nanoseconds since the Unix epoch.
    pub(crate) fn wall_nanos(&self) -> u64 {
        match &self.0 {
            Source::System(_) => {
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
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[derive(Clone, Copy, Hash)]
    pub(super) struct Instant(u64);

    impl Instant {
        pub(super) fn now() -> Self {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            Self(now.map_or(0, super::saturating_nanos))
        }
    }

    impl std::ops::Add<Duration> for Instant {
        type Output = Self;

        fn add(self, duration: Duration) -> Self {
            Self(self.0 + super::saturating_nanos(duration))
        }
    }
}

fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of the counter by way of a hash is what its own crate makes of it.
    #[cfg(not(miri))]
    #[test]
    fn time_goes_as_the_crate_of_the_counter_has_it() {
        let (clock, anchor) = (Clock::system(), fastant::Anchor::new());
        let Source::System(pace) = &clock.0 else { panic!("{clock:?}") };
        let instant = Instant::now();
        for ahead in [0, 1, 1_000, 86_400, 10_000_000].map(Duration::from_secs) {
            let ours = pace.nanos(counter(instant + ahead)) - pace.nanos(counter(instant));
            let theirs = (instant + ahead).as_unix_nanos(&anchor) - instant.as_unix_nanos(&anchor);
            let difference = ours.abs_diff(theirs);
            assert!(difference <= 2 + theirs / 1_000_000_000, "{ours} {theirs}");
        }
        let wall = saturating_nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        assert!(wall.abs_diff(clock.ticks()) < 1_000_000_000);
    }

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

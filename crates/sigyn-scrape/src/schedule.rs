//! The rhythm of one target: which instants of the clock are its own, and how long a scrape may take.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// How often, and for how long at most. Always `0 < timeout <= interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval: Duration,
    timeout: Duration,
}

/// Why two durations make no [`Schedule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScheduleError {
    #[error("scrape timeout is zero")]
    ZeroTimeout,
    #[error("scrape timeout {timeout:?} is longer than the interval {interval:?}")]
    TimeoutExceedsInterval { interval: Duration, timeout: Duration },
}

impl Schedule {
    /// Errors if `timeout` is zero, or longer than `interval`.
    pub(crate) fn new(interval: Duration, timeout: Duration) -> Result<Self, ScheduleError> {
        if timeout.is_zero() {
            return Err(ScheduleError::ZeroTimeout);
        }
        if interval < timeout {
            return Err(ScheduleError::TimeoutExceedsInterval { interval, timeout });
        }
        Ok(Self { interval, timeout })
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How long to wait at `now` for the target's own instant: the next `t` with
    /// `t mod interval = (hash xor seed) mod interval`, counted from the Unix epoch.
    ///
    /// It follows from the target and the seed alone, so a target keeps its place over a restart,
    /// and two servers with different seeds ask at different times.
    pub(crate) fn until_first(&self, target_hash: u64, seed: u64, now: SystemTime) -> Duration {
        let interval = self.interval.as_nanos();
        let slot = u128::from(target_hash ^ seed) % interval;
        let phase = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() % interval;
        let wait = (interval + slot - phase) % interval;
        // Less than the interval, which is itself a `Duration`; u64 nanoseconds end after 584 years.
        Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// The first instant after `instant`, one of the target's own, that is not before a time.
    pub(crate) fn next(&self, instant: Instant, not_before: Instant) -> Instant {
        let next = instant + self.interval;
        let late = not_before.saturating_duration_since(next).as_nanos();
        let skipped = late.div_ceil(self.interval.as_nanos());
        next + self.interval.saturating_mul(u32::try_from(skipped).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_timeout_is_neither_zero_nor_longer_than_the_interval() {
        assert_eq!(Schedule::new(SECOND, Duration::ZERO), Err(ScheduleError::ZeroTimeout));
        assert!(Schedule::new(SECOND, SECOND).is_ok());
        let error = Schedule::new(SECOND, 2 * SECOND).unwrap_err();
        assert_eq!(error.to_string(), "scrape timeout 2s is longer than the interval 1s");
    }

    #[test]
    fn a_target_waits_for_its_own_instant() {
        let schedule = Schedule::new(10 * SECOND, SECOND).unwrap();
        let check = |hash: u64, seed: u64, now_s: u64, wait_s: u64| {
            let now = UNIX_EPOCH + Duration::from_secs(now_s);
            let hash = hash * 1_000_000_000;
            assert_eq!(schedule.until_first(hash, seed, now), Duration::from_secs(wait_s));
        };
        check(3, 0, 100, 3);
        check(3, 0, 103, 0);
        check(3, 0, 104, 9);
        check(13, 0, 100, 3);
        check(3, 3_000_000_000, 104, 6);
    }

    proptest! {
        #[test]
        fn the_next_instant_is_the_first_of_those_to_come(
            interval_ms in 1..1_000u64, late_ms in 0..20_000u64,
        ) {
            let interval = Duration::from_millis(interval_ms);
            let schedule = Schedule::new(interval, interval).unwrap();
            let instant = Instant::now();
            let not_before = instant + Duration::from_millis(late_ms);
            let mut expected = instant + interval;
            while expected < not_before {
                expected += interval;
            }
            prop_assert_eq!(schedule.next(instant, not_before), expected);
        }

        #[test]
        fn the_wait_is_less_than_an_interval_and_ends_in_the_slot(
            hash: u64, seed: u64, now_ns in 0..u64::MAX / 4, interval_ms in 1..100_000u64,
        ) {
            let interval = Duration::from_millis(interval_ms);
            let schedule = Schedule::new(interval, interval).unwrap();
            let now = UNIX_EPOCH + Duration::from_nanos(now_ns);
            let wait = schedule.until_first(hash, seed, now);
            prop_assert!(wait < interval);
            let at = (u128::from(now_ns) + wait.as_nanos()) % interval.as_nanos();
            prop_assert_eq!(at, u128::from(hash ^ seed) % interval.as_nanos());
        }
    }
}

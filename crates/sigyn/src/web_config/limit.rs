//! How many requests are answered, whoever sends them: a bucket that fills again with time.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::lock;

/// `rate_limit`: so many requests at once, and then one an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) burst: u64,
    /// Longer than zero.
    pub(super) interval: Duration,
}

#[derive(Debug)]
pub(super) struct Limit {
    rate: Rate,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// How much time was not used: each request takes an interval.
    saved: Duration,
    at: Instant,
}

impl Limit {
    /// A bucket that is full.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, bucket: Mutex::new(Bucket { saved: rate.saved_max(), at: now }) }
    }

    /// Whether one more is answered; it counts if it is.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut bucket = lock(&self.bucket);
        let passed = now.saturating_duration_since(bucket.at);
        let saved = bucket.saved.saturating_add(passed).min(self.rate.saved_max());
        let left = saved.checked_sub(self.rate.interval);
        *bucket = Bucket { saved: left.unwrap_or(saved), at: now.max(bucket.at) };
        left.is_some()
    }
}

impl Rate {
    /// What a whole burst takes.
    fn saved_max(self) -> Duration {
        let burst = u32::try_from(self.burst).unwrap_or(u32::MAX);
        self.interval.saturating_mul(burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_an_interval() {
        let start = Instant::now();
        let limit = |burst| Limit::new(Rate { burst, interval: Duration::from_secs(2) }, start);
        let check = |limit: &Limit, at_ms: u64, expected: bool| {
            let now = start + Duration::from_millis(at_ms);
            assert_eq!(limit.admits(now), expected, "at {at_ms} ms");
        };
        let two = limit(2);
        for (at_ms, expected) in [
            (0, true),
            (0, true),
            (1_999, false),
            (2_000, true),
            (2_001, false),
            (3_000, false),
            // What was not used is kept, but no more than the burst.
            (60_000, true),
            (60_000, true),
            (60_000, false),
            // A clock does not go back, and if it did nothing would be given twice.
            (1_000, false),
        ] {
            check(&two, at_ms, expected);
        }
        check(&limit(0), 60_000, false);
    }
}

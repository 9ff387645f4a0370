//! What scraping counts beside its targets: pools, how they follow discovery, and how regular scrapes are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sigyn_discovery::config::format_duration;
use sigyn_model::{LossReason, Losses};

use crate::status::{FailureCause, Failures};

/// Upper ends of the buckets of [`Counts::intervals`], as parts of the interval that was meant.
pub const INTERVAL_PARTS: [f64; 8] = [0.5, 0.9, 0.99, 1.01, 1.1, 1.5, 2.0, 5.0];
/// Upper ends of the buckets of [`PoolCounts::lengths`], in seconds.
pub const SYNC_SECONDS: [f64; 5] = [0.001, 0.01, 0.1, 1.0, 10.0];
/// Intervals that are told apart; targets may be given any by their labels.
const INTERVALS_MAX: usize = 50;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pools: AtomicU64,
    target_limits_exceeded: AtomicU64,
    body_limits_exceeded: AtomicU64,
    filling: AtomicU64,
    /// Requests that wait at targets.
    pub waits: Waits,
    by_pool: Mutex<BTreeMap<String, PoolCounts>>,
    by_interval: Mutex<BTreeMap<Duration, Spread<{ INTERVAL_PARTS.len() + 1 }>>>,
}

/// Requests that wait at their targets until there are spans.
#[derive(Debug, Default)]
pub struct Waits {
    open: AtomicU64,
    pulled: AtomicU64,
    refused: AtomicU64,
    not_kept: AtomicU64,
    failed: AtomicU64,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenWait(Arc<Counts>);

impl Drop for OpenWait {
    fn drop(&mut self) {
        self.0.waits.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waits {
    /// Those that are open now.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Those that brought spans.
    pub fn pulled_total(&self) -> u64 {
        self.pulled.load(Ordering::Relaxed)
    }

    /// Those that there was no place for.
    pub fn refused_total(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Those that were answered at once, with nothing.
    pub fn not_kept_total(&self) -> u64 {
        self.not_kept.load(Ordering::Relaxed)
    }

    /// Those that were not answered, or with an error.
    pub fn failed_total(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn pulled(&self) {
        self.pulled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn not_kept(&self) {
        self.not_kept.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// How one pool followed what discovery found, and how its targets were scraped, also those that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolCounts {
    pub scrapes: u64,
    pub failures: Failures,
    /// As they were found out: what turned out to be explained later stays counted.
    pub lost: Losses,
    /// How often it was brought up to date, in [`Spread::count`], and how long that took.
    pub lengths: Spread<{ SYNC_SECONDS.len() + 1 }>,
    /// Targets that could not be built.
    pub failed: u64,
}

/// Values by bucket: each counts in the first whose upper end it does not exceed, else in the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread<const N: usize> {
    /// Of all values, in seconds.
    pub sum: f64,
    /// Of each bucket.
    pub counts: [u64; N],
}

impl<const N: usize> Default for Spread<N> {
    fn default() -> Self {
        Self { sum: 0.0, counts: [0; N] }
    }
}

impl<const N: usize> Spread<N> {
    fn add(&mut self, seconds: f64, upper_ends: impl IntoIterator<Item = f64>) {
        self.sum += seconds;
        let bucket = upper_ends.into_iter().position(|upper| seconds <= upper);
        self.counts[bucket.unwrap_or(N - 1)] += 1;
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Counts {
    /// Pools that were made.
    pub fn pools_total(&self) -> u64 {
        self.pools.load(Ordering::Relaxed)
    }

    /// How often a pool was found to have more targets than its job allows.
    pub fn target_limits_exceeded_total(&self) -> u64 {
        self.target_limits_exceeded.load(Ordering::Relaxed)
    }

    /// Bodies that were larger than they may be.
    pub fn body_limits_exceeded_total(&self) -> u64 {
        self.body_limits_exceeded.load(Ordering::Relaxed)
    }

    /// Targets that were asked between two instants because their logs fill fast.
    pub fn pulls_of_filling_total(&self) -> u64 {
        self.filling.load(Ordering::Relaxed)
    }

    /// Each pool that there is, by its job.
    pub fn by_pool(&self) -> BTreeMap<String, PoolCounts> {
        lock(&self.by_pool).clone()
    }

    /// The time between two scrapes of a target, by the interval that was meant: in seconds, and as it
    /// is written.
    pub fn intervals(&self) -> Vec<(f64, String, Spread<{ INTERVAL_PARTS.len() + 1 }>)> {
        let intervals = lock(&self.by_interval);
        let told = |(interval, spread): (&Duration, &_)| {
            (interval.as_secs_f64(), format_duration(*interval), *spread)
        };
        intervals.iter().map(told).collect()
    }

    /// A request waits at a target, until what is returned is dropped.
    pub(crate) fn waits(self: &Arc<Self>) -> OpenWait {
        self.waits.open.fetch_add(1, Ordering::Relaxed);
        OpenWait(Arc::clone(self))
    }

    /// A target was asked because its log fills fast.
    pub(crate) fn pulled_filling(&self) {
        self.filling.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn pool_made(&self, job: &str) {
        self.pools.fetch_add(1, Ordering::Relaxed);
        lock(&self.by_pool).entry(job.to_owned()).or_default();
    }

    /// A target of a pool was scraped; a pool that is gone has no counts any more.
    pub(crate) fn scraped(&self, job: &str, failure: Option<FailureCause>) {
        if let Some(pool) = lock(&self.by_pool).get_mut(job) {
            pool.scrapes += 1;
            failure.into_iter().for_each(|cause| pool.failures.count(cause));
        }
    }

    /// A target of a pool lost spans.
    pub(crate) fn lost(&self, job: &str, reason: LossReason, spans: u64) {
        if let Some(pool) = lock(&self.by_pool).get_mut(job) {
            let lost = &mut pool.lost;
            let count = match reason {
                LossReason::Evicted => &mut lost.evicted,
                LossReason::BeforeFirstScrape => &mut lost.before_first_scrape,
                LossReason::Oversize => &mut lost.oversize,
                LossReason::Shutdown => &mut lost.shutdown,
                LossReason::Rejected => &mut lost.rejected,
                LossReason::Unexplained => &mut lost.unexplained,
            };
            // A target that lies may have told any number.
            *count = count.saturating_add(spans);
        }
    }

    pub(crate) fn pool_gone(&self, job: &str) {
        lock(&self.by_pool).remove(job);
    }

    /// A pool was brought up to date.
    pub(crate) fn synced(&self, job: &str, took: Duration, failed: usize, exceeds_limit: bool) {
        if exceeds_limit {
            self.target_limits_exceeded.fetch_add(1, Ordering::Relaxed);
        }
        let mut pools = lock(&self.by_pool);
        let pool = pools.entry(job.to_owned()).or_default();
        pool.lengths.add(took.as_secs_f64(), SYNC_SECONDS);
        pool.failed += u64::try_from(failed).unwrap_or(u64::MAX);
    }

    /// A body was larger than it may be.
    pub(crate) fn body_limit_exceeded(&self) {
        self.body_limits_exceeded.fetch_add(1, Ordering::Relaxed);
    }

    /// A target was scraped, and the scrape before began this long ago.
    pub(crate) fn interval(&self, meant: Duration, passed: Duration) {
        let mut intervals = lock(&self.by_interval);
        if intervals.len() >= INTERVALS_MAX && !intervals.contains_key(&meant) {
            return;
        }
        let ends = INTERVAL_PARTS.map(|part| part * meant.as_secs_f64());
        intervals.entry(meant).or_default().add(passed.as_secs_f64(), ends);
    }
}

/// Counts are whole after every statement, so that a panic elsewhere does no harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_between_scrapes_is_measured_by_what_was_meant() {
        let counts = Counts::default();
        let meant = Duration::from_secs(100);
        for seconds in [1, 50, 51, 90, 100, 101, 102, 200, 10_000] {
            counts.interval(meant, Duration::from_secs(seconds));
        }
        let [(seconds, text, spread)] = counts.intervals().try_into().unwrap();
        assert_eq!((seconds, text.as_str()), (100.0, "1m40s"));
        assert_eq!(spread.counts, [2, 2, 0, 2, 1, 0, 1, 0, 1]);
        assert_eq!((spread.sum, spread.count()), (10_695.0, 9));
        for n in 1..1_000 {
            counts.interval(Duration::from_secs(n), meant);
        }
        assert_eq!(counts.intervals().len(), INTERVALS_MAX);
    }

    #[test]
    fn a_pool_that_is_gone_is_no_longer_counted() {
        let counts = Counts::default();
        counts.pool_made("a");
        counts.synced("a", Duration::from_millis(5), 2, false);
        counts.synced("a", Duration::from_secs(60), 0, true);
        let pool = counts.by_pool()["a"];
        assert_eq!((pool.failed, pool.lengths.counts), (2, [0, 1, 0, 0, 0, 1]));
        assert_eq!(counts.target_limits_exceeded_total(), 1);
        for failure in [None, Some(FailureCause::Timeout), Some(FailureCause::Timeout)] {
            counts.scraped("a", failure);
        }
        for spans in [2, 3] {
            counts.lost("a", LossReason::Evicted, spans);
        }
        let pool = counts.by_pool()["a"];
        assert_eq!((pool.scrapes, pool.failures.timeout, pool.failures.total()), (3, 2, 2));
        assert_eq!((pool.lost.evicted, pool.lost.total()), (5, 5));
        counts.pool_gone("a");
        counts.scraped("a", None);
        assert!(counts.by_pool().is_empty());
        assert_eq!(counts.pools_total(), 1);
    }
}

//! What the manager and its providers count.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only goes up, or is set.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: usize) {
        self.0.store(u64::try_from(value).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of discovery, shared by the manager and its providers.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) providers: Number,
    pub(crate) providers_failed: Number,
    pub(crate) received_updates: Number,
    pub(crate) sent_updates: Number,
    pub(crate) discovered_targets: Number,
    pub(crate) file_reads: Number,
    pub(crate) file_read_errors: Number,
    pub(crate) watcher_errors: Number,
}

/// The values of [`Metrics`] at one moment, each named after the metric it is exported as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// `sigyn_sd_providers`: providers that run now.
    pub providers: u64,
    /// `sigyn_sd_providers_failed_total`: providers that ended though nobody asked them to.
    pub providers_failed_total: u64,
    /// `sigyn_sd_received_updates_total`: updates that providers sent.
    pub received_updates_total: u64,
    /// `sigyn_sd_updates_total`: maps of all groups sent on.
    pub updates_total: u64,
    /// `sigyn_sd_discovered_targets`: targets in the last map, over all jobs.
    pub discovered_targets: u64,
    /// `sigyn_sd_file_reads_total`: target files read.
    pub file_reads_total: u64,
    /// `sigyn_sd_file_read_errors_total`: target files that could not be read or understood.
    pub file_read_errors_total: u64,
    /// `sigyn_sd_file_watcher_errors_total`: directories that could not be watched, and events lost.
    pub file_watcher_errors_total: u64,
}

impl Metrics {
    /// All values now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            providers: self.providers.get(),
            providers_failed_total: self.providers_failed.get(),
            received_updates_total: self.received_updates.get(),
            updates_total: self.sent_updates.get(),
            discovered_targets: self.discovered_targets.get(),
            file_reads_total: self.file_reads.get(),
            file_read_errors_total: self.file_read_errors.get(),
            file_watcher_errors_total: self.watcher_errors.get(),
        }
    }
}

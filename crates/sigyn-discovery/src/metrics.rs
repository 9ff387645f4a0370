//! What the manager and its providers count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

#[cfg(feature = "client")]
use crate::http::Room;

/// A number that only goes up, or is set.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn set(&self, value: usize) {
        self.0.store(u64::try_from(value).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn add(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of discovery, shared by the manager and its providers.
#[derive(Debug, Default)]
pub struct Metrics {
    /// What all answers share that are read at once.
    #[cfg(feature = "client")]
    pub(crate) room: Room,
    pub(crate) providers: Number,
    pub(crate) providers_failed: Number,
    pub(crate) failed_configs: Number,
    pub(crate) received_updates: Number,
    pub(crate) sent_updates: Number,
    pub(crate) file_reads: Number,
    pub(crate) file_read_errors: Number,
    pub(crate) watcher_errors: Number,
    pub(crate) dns_lookups: Number,
    pub(crate) dns_lookup_failures: Number,
    refreshes: Named,
    refresh_failures: Mutex<BTreeMap<(&'static str, String), u64>>,
    consul_calls: Named,
    kubernetes_events: Mutex<BTreeMap<Event, u64>>,
    pub(crate) kubernetes_failures: Number,
    jobs: Mutex<BTreeMap<String, JobSnapshot>>,
}

/// The role in which objects are followed, and what has happened to one: `add`, `delete` or
/// `update`.
type Event = (&'static str, &'static str);

/// What the refreshes of one mechanism, or questions of one kind, came to, over all providers.
#[derive(Debug, Default)]
pub(crate) struct Refreshes {
    failures: Number,
    duration_us: Number,
    durations: [Number; REFRESH_SECONDS.len() + 1],
}

/// Upper ends of the buckets that refreshes are counted in by how long they took.
pub const REFRESH_SECONDS: [f64; 5] = [0.01, 0.1, 1.0, 10.0, 60.0];

/// The values of [`Metrics`] at one moment, each named after the metric it is exported as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// `sigyn_sd_providers`: providers that run now.
    pub providers: u64,
    /// `sigyn_sd_providers_failed_total`: providers that ended though nobody asked them to.
    pub providers_failed_total: u64,
    /// `sigyn_sd_failed_configs`: sections whose discovery cannot be started now.
    pub failed_configs: u64,
    /// `sigyn_sd_received_updates_total`: updates that providers sent.
    pub received_updates_total: u64,
    /// `sigyn_sd_updates_total`: maps of all groups sent on.
    pub updates_total: u64,
    /// `sigyn_sd_*{config}`: of each job in the last map.
    pub jobs: BTreeMap<String, JobSnapshot>,
    /// `sigyn_sd_refresh_duration_seconds{mechanism}`: of each mechanism that polls and has polled.
    pub refreshes: BTreeMap<&'static str, RefreshSnapshot>,
    /// `sigyn_sd_refresh_failures_total{mechanism,config}`: of each job with a section that polls. One
    /// that several jobs have counts for the first.
    pub refresh_failures_total: BTreeMap<(&'static str, String), u64>,
    /// `sigyn_sd_consul_rpc_*{call}`: of each kind of question that Consul was asked.
    pub consul_calls: BTreeMap<&'static str, RefreshSnapshot>,
    /// `sigyn_sd_kubernetes_events_total{role,event}`: objects that Kubernetes told of.
    pub kubernetes_events: BTreeMap<(&'static str, &'static str), u64>,
    /// `sigyn_sd_kubernetes_failures_total`: lists and watches that Kubernetes had no answer for.
    pub kubernetes_failures_total: u64,
    /// `sigyn_sd_dns_lookups_total`: names that name servers were asked about.
    pub dns_lookups_total: u64,
    /// `sigyn_sd_dns_lookup_failures_total`: those of them without an answer of use.
    pub dns_lookup_failures_total: u64,
    /// `sigyn_sd_answers_without_room_total`: answers that were not read, as others took the memory
    /// or they alone would have taken too much.
    pub answers_without_room_total: u64,
    /// `sigyn_sd_file_reads_total`: target files read.
    pub file_reads_total: u64,
    /// `sigyn_sd_file_read_errors_total`: target files that could not be read or understood.
    pub file_read_errors_total: u64,
    /// `sigyn_sd_file_watcher_errors_total`: directories that could not be watched, and events lost.
    pub file_watcher_errors_total: u64,
}

/// What was found for one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobSnapshot {
    /// `sigyn_sd_discovered_targets`: targets before relabelling.
    pub discovered_targets: u64,
    /// `sigyn_sd_last_update_timestamp_seconds`: when what was found last changed and was sent on.
    pub updated_at: SystemTime,
}

/// The refreshes of one mechanism, or the questions of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefreshSnapshot {
    /// How many failed.
    pub failures_total: u64,
    /// How long all of them took.
    pub duration: Duration,
    /// How many took at most each of [`REFRESH_SECONDS`] but longer than the one before; the last
    /// are those that took even longer.
    pub durations: [u64; REFRESH_SECONDS.len() + 1],
}

impl Snapshot {
    /// Targets in the last map, over all jobs.
    pub fn discovered_targets(&self) -> u64 {
        self.jobs.values().map(|job| job.discovered_targets).sum()
    }
}

impl Metrics {
    #[cfg(feature = "client")]
    pub(crate) fn in_room(room: Room) -> Self {
        Self { room, ..Self::default() }
    }

    /// Where a mechanism counts its refreshes.
    pub(crate) fn refreshes(&self, mechanism: &'static str) -> Arc<Refreshes> {
        named(&self.refreshes, mechanism)
    }

    /// From now on, failures of what a mechanism asks for a job are told, if only as none.
    pub(crate) fn tell_refresh_failures(&self, mechanism: &'static str, job: &str) {
        lock(&self.refresh_failures).entry((mechanism, job.to_owned())).or_default();
    }

    /// Counts one, unless nobody is told of it any more.
    pub(crate) fn refresh_failed(&self, mechanism: &'static str, job: &str) {
        if let Some(failures) = lock(&self.refresh_failures).get_mut(&(mechanism, job.to_owned())) {
            *failures += 1;
        }
    }

    /// Tells of the failures of these alone.
    pub(crate) fn keep_refresh_failures(&self, kept: &BTreeSet<(&'static str, &str)>) {
        lock(&self.refresh_failures)
            .retain(|(mechanism, job), _| kept.contains(&(*mechanism, job.as_str())));
    }

    /// Where questions to Consul are counted.
    #[cfg(feature = "consul")]
    pub(crate) fn consul_call(&self, call: &'static str) -> Arc<Refreshes> {
        named(&self.consul_calls, call)
    }

    /// Counts what has happened to an object of Kubernetes.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn kubernetes_event(&self, role: &'static str, event: &'static str) {
        *lock(&self.kubernetes_events).entry((role, event)).or_default() += 1;
    }

    /// Takes over what was found for each job, and whether that has changed.
    pub(crate) fn found(&self, jobs: impl IntoIterator<Item = (String, usize, bool)>) {
        let mut known = lock(&self.jobs);
        let before = std::mem::take(&mut *known);
        for (job, targets, has_changed) in jobs {
            let updated_at = before.get(&job).filter(|_| !has_changed).map(|job| job.updated_at);
            let found = JobSnapshot {
                discovered_targets: u64::try_from(targets).unwrap_or(u64::MAX),
                updated_at: updated_at.unwrap_or_else(SystemTime::now),
            };
            known.insert(job, found);
        }
    }

    /// All values now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            providers: self.providers.get(),
            providers_failed_total: self.providers_failed.get(),
            failed_configs: self.failed_configs.get(),
            received_updates_total: self.received_updates.get(),
            updates_total: self.sent_updates.get(),
            jobs: lock(&self.jobs).clone(),
            refreshes: snapshots(&self.refreshes),
            refresh_failures_total: lock(&self.refresh_failures).clone(),
            consul_calls: snapshots(&self.consul_calls),
            kubernetes_events: lock(&self.kubernetes_events).clone(),
            kubernetes_failures_total: self.kubernetes_failures.get(),
            dns_lookups_total: self.dns_lookups.get(),
            dns_lookup_failures_total: self.dns_lookup_failures.get(),
            #[cfg(feature = "client")]
            answers_without_room_total: self.room.refused(),
            #[cfg(not(feature = "client"))]
            answers_without_room_total: 0,
            file_reads_total: self.file_reads.get(),
            file_read_errors_total: self.file_read_errors.get(),
            file_watcher_errors_total: self.watcher_errors.get(),
        }
    }
}

type Named = Mutex<BTreeMap<&'static str, Arc<Refreshes>>>;

fn named(map: &Named, name: &'static str) -> Arc<Refreshes> {
    Arc::clone(lock(map).entry(name).or_default())
}

fn snapshots(map: &Named) -> BTreeMap<&'static str, RefreshSnapshot> {
    lock(map).iter().map(|(name, counts)| (*name, counts.snapshot())).collect()
}

// A map of counters is whole after every statement, so that a poisoned lock does no harm.
fn lock<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Refreshes {
    /// Counts one that has ended.
    pub(crate) fn count(&self, took: Duration, failed: bool) {
        if failed {
            self.failures.increment();
        }
        self.duration_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let bucket = REFRESH_SECONDS.iter().position(|upper| took.as_secs_f64() <= *upper);
        self.durations[bucket.unwrap_or(REFRESH_SECONDS.len())].increment();
    }

    fn snapshot(&self) -> RefreshSnapshot {
        RefreshSnapshot {
            failures_total: self.failures.get(),
            duration: Duration::from_micros(self.duration_us.get()),
            durations: self.durations.each_ref().map(Number::get),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_counts_in_the_first_bucket_that_holds_it() {
        let metrics = Metrics::default();
        for (milliseconds, failed) in
            [(0, false), (10, false), (11, true), (60_000, true), (60_001, false)]
        {
            metrics.refreshes("dns").count(Duration::from_millis(milliseconds), failed);
        }
        let counted = metrics.snapshot().refreshes["dns"];
        assert_eq!(counted.durations, [2, 1, 0, 0, 1, 1]);
        assert_eq!((counted.failures_total, counted.duration), (2, Duration::from_millis(120_022)));
    }

    #[test]
    fn failures_are_told_of_jobs_that_are_there() {
        let metrics = Metrics::default();
        metrics.tell_refresh_failures("dns", "a");
        metrics.tell_refresh_failures("http", "b");
        for job in ["a", "a", "gone"] {
            metrics.refresh_failed("dns", job);
        }
        let told = || metrics.snapshot().refresh_failures_total.into_iter().collect::<Vec<_>>();
        assert_eq!(told(), [(("dns", "a".to_owned()), 2), (("http", "b".to_owned()), 0)]);
        metrics.keep_refresh_failures(&BTreeSet::from([("dns", "a"), ("http", "a")]));
        assert_eq!(told(), [(("dns", "a".to_owned()), 2)]);
    }
}

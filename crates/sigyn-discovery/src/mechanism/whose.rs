//! Whose a provider is, for log lines: the jobs that have its section, and whom it asks.

use std::collections::BTreeSet;
use std::fmt;
#[cfg(feature = "kubernetes")]
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::trouble::{Failing, Part, Summary, Trouble};

/// The jobs that a provider works for now, and whom it asks for them.
#[derive(Debug, Default)]
pub(crate) struct Whose {
    jobs: Mutex<BTreeSet<String>>,
    /// [`super::Config::kind`].
    pub(crate) kind: &'static str,
    /// [`super::Config::server`].
    pub(crate) server: String,
    failing: Mutex<Failing>,
    kept_targets: AtomicUsize,
}

impl Whose {
    /// That of a provider which `job` is the first to need.
    pub(crate) fn new(config: &super::Config, job: &str) -> Self {
        let jobs = Mutex::new(BTreeSet::from([job.to_owned()]));
        Self { jobs, kind: config.kind(), server: config.server(), ..Self::default() }
    }

    #[cfg(test)]
    pub(crate) fn of(job: &str, kind: &'static str, server: &str) -> std::sync::Arc<Self> {
        let jobs = Mutex::new(BTreeSet::from([job.to_owned()]));
        std::sync::Arc::new(Self { jobs, kind, server: server.to_owned(), ..Self::default() })
    }

    /// From now on it is for these.
    pub(crate) fn set_jobs(&self, jobs: &BTreeSet<String>) {
        lock(&self.jobs).clone_from(jobs);
    }

    /// So many targets are known of it, and stay if it fails.
    pub(crate) fn set_kept(&self, targets: usize) {
        self.kept_targets.store(targets, Ordering::Relaxed);
    }

    pub(crate) fn kept(&self) -> usize {
        self.kept_targets.load(Ordering::Relaxed)
    }

    /// A part of it failed. `error` has its causes in it.
    pub(crate) fn failed(&self, part: Part, error: impl Into<String>) {
        lock(&self.failing).failed(part, error.into(), SystemTime::now());
    }

    /// A part of it works.
    pub(crate) fn works(&self, part: &Part) {
        lock(&self.failing).works(part);
    }

    /// Nothing is said any more of parts that are not kept.
    pub(crate) fn keep_failing(&self, is_kept: impl Fn(&Part) -> bool) {
        lock(&self.failing).keep(is_kept);
    }

    /// What fails, if anything does.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let Summary { error, parts, since, last_at, failures } = lock(&self.failing).summary()?;
        Some(Trouble {
            jobs: lock(&self.jobs).clone(),
            mechanism: self.kind,
            server: self.server.clone(),
            error,
            parts,
            since,
            last_at,
            failures,
            kept_targets: self.kept(),
        })
    }
}

impl fmt::Display for Whose {
    /// The names of the jobs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_names(&lock(&self.jobs), f)
    }
}

/// Several providers that share something.
#[cfg(feature = "kubernetes")]
#[derive(Debug, Default)]
pub(crate) struct Sharers(Mutex<Vec<Weak<Whose>>>);

#[cfg(feature = "kubernetes")]
impl Sharers {
    pub(crate) fn add(&self, whose: Weak<Whose>) {
        let mut sharers = lock(&self.0);
        sharers.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&whose));
        sharers.push(whose);
    }

    /// What they share failed.
    pub(crate) fn failed(&self, part: &Part, error: &str) {
        for whose in lock(&self.0).iter().filter_map(Weak::upgrade) {
            whose.failed(part.clone(), error);
        }
    }

    /// What is known to all of them.
    pub(crate) fn kept(&self) -> usize {
        lock(&self.0).iter().filter_map(Weak::upgrade).map(|whose| whose.kept()).sum()
    }

    /// What they share works.
    pub(crate) fn works(&self, part: &Part) {
        for whose in lock(&self.0).iter().filter_map(Weak::upgrade) {
            whose.works(part);
        }
    }
}

#[cfg(feature = "kubernetes")]
impl fmt::Display for Sharers {
    /// The names of all their jobs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = BTreeSet::new();
        for whose in lock(&self.0).iter().filter_map(Weak::upgrade) {
            names.extend(lock(&whose.jobs).iter().cloned());
        }
        write_names(&names, f)
    }
}

fn write_names(names: &BTreeSet<String>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, name) in names.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{name}")?;
    }
    Ok(())
}

// What is locked is whole after every statement, so that a poisoned lock does no harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

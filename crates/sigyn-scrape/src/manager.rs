//! Keeps one pool a job in step with the configuration and with what discovery finds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sigyn_discovery::target::{Populated, populate};
use sigyn_discovery::{Groups, TargetGroup};
use sigyn_model::TargetProgress;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::books::Books;
use crate::clients::Clients;
use crate::commit::Commit;
use crate::context::Context;
use crate::failure_log::FailureLogs;
use crate::options::Options;
use crate::pool::{Pool, ScrapeJob, Shared};
use crate::scrape::Fetcher;
use crate::status::Status;

/// Loops that do nothing end in less than this: those that have not ended by then are told of.
const IDLE_ENDS: Duration = Duration::from_millis(250);

/// Owns all pools and all loops.
#[derive(Debug)]
pub struct Manager {
    jobs: watch::Receiver<Arc<Vec<ScrapeJob>>>,
    groups: watch::Receiver<Arc<Groups>>,
    books: Books,
    pools: BTreeMap<String, Pool>,
    applied: Applied,
    shared: Shared,
    loops: JoinSet<()>,
    status: Status,
}

/// What the pools follow at the moment.
#[derive(Debug, Default)]
struct Applied {
    jobs: BTreeMap<String, ScrapeJob>,
    groups: Arc<Groups>,
}

impl Manager {
    /// `progress` is what the store holds of every target. Loops send their spans to `commits`.
    pub fn new(
        options: Options,
        jobs: watch::Receiver<Arc<Vec<ScrapeJob>>>,
        groups: watch::Receiver<Arc<Groups>>,
        progress: Vec<TargetProgress>,
        commits: mpsc::Sender<Commit>,
    ) -> (Self, Status) {
        let fetcher = Fetcher::new(options.memory_bytes_max, options.spares.clone());
        let status = Status::of(fetcher.memory());
        let shared = Shared {
            clients: Clients::default(),
            fetcher,
            waits: Arc::new(Semaphore::new(options.long_polls_max.min(Semaphore::MAX_PERMITS))),
            options,
            failure_logs: FailureLogs::default(),
            context: Arc::new(Context::default()),
            counts: status.counts(),
            wanted: status.wanted(),
            commits,
            stop: CancellationToken::new(),
        };
        let manager = Self {
            jobs,
            groups,
            books: Books::new(progress),
            pools: BTreeMap::new(),
            applied: Applied::default(),
            shared,
            loops: JoinSet::new(),
            status: status.clone(),
        };
        (manager, status)
    }

    /// Runs until `shutdown`, or until nobody sends configuration any more.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let (mut repairs, mut is_reload) = (false, false);
        loop {
            // One that came while this loop waited for more changes is not looked at yet.
            is_reload |= self.jobs.has_changed().unwrap_or(false);
            if std::mem::take(&mut is_reload) {
                self.reopen_failure_logs();
            }
            self.sync(std::mem::take(&mut repairs)).await;
            let next_sync = Instant::now() + self.shared.options.sync_pause;
            let changed = loop {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => break false,
                    Some(ended) = self.loops.join_next() => {
                        if broken(ended) {
                            repairs = true;
                            break true;
                        }
                    }
                    changed = self.jobs.changed() => {
                        is_reload = true;
                        break changed.is_ok();
                    }
                    changed = self.groups.changed() => break changed.is_ok(),
                }
            };
            if !changed {
                break;
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep_until(next_sync) => {}
            }
        }
        self.stop().await;
    }

    /// Those that jobs name after a reload; whether it changed anything in them does not matter.
    fn reopen_failure_logs(&mut self) {
        let jobs = self.jobs.borrow();
        self.shared.failure_logs.reopen(|path| {
            jobs.iter().any(|job| job.job.failure_log_file.as_deref() == Some(path))
        });
    }

    /// Brings every pool whose job, or whose groups, are not those of before up to date.
    async fn sync(&mut self, all: bool) {
        let jobs = Arc::clone(&self.jobs.borrow_and_update());
        let groups = Arc::clone(&self.groups.borrow_and_update());
        let before = std::mem::take(&mut self.applied);
        self.applied.groups = Arc::clone(&groups);

        for job in jobs.iter() {
            let name = &job.job.name;
            let known = before.jobs.get(name);
            self.applied.jobs.insert(name.clone(), job.clone());
            let same_groups = before.groups.get(name) == groups.get(name);
            if !all && same_groups && known == Some(job) {
                continue;
            }
            let started = Instant::now();
            let job_changed = known.is_some_and(|known| known != job);
            let populated = match populate_off_thread(job, &groups).await {
                Ok(populated) => populated,
                Err(error) => {
                    // Stale targets beat none.
                    error!(job = %name, %error, "building targets panicked, keeping the old ones");
                    continue;
                }
            };
            for problem in &populated.errors {
                warn!(job = %name, %problem, "discovered target cannot be used");
            }
            let (failed, limited) = (populated.errors.len(), populated.limit_exceeded.is_some());
            let counts = &self.shared.counts;
            let pool = self.pools.entry(name.clone()).or_insert_with(|| {
                counts.pool_made(name);
                Pool::default()
            });
            let view = pool.sync(
                job,
                job_changed,
                populated,
                &mut self.shared,
                &mut self.books,
                &mut self.loops,
            );
            self.shared.counts.synced(name, started.elapsed(), failed, limited);
            debug!(job = %name, active = view.active.len(), dropped = view.dropped_count, "pool synchronised");
            self.status.publish(name, view);
        }

        let gone: Vec<String> = self
            .pools
            .keys()
            .filter(|name| !self.applied.jobs.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            self.status.remove(&name);
            self.shared.counts.pool_gone(&name);
            if let Some(pool) = self.pools.remove(&name) {
                pool.stop(&mut self.books);
            }
        }
        let jobs = &self.applied.jobs;
        self.shared.clients.retain(|config| jobs.values().any(|job| job.job.http == *config));
    }

    /// Begins no further scrape, and lets those that are under way finish: what a foreign target has given
    /// away it does not give again. Of targets with cursors, what is cut off at last is asked for again.
    async fn stop(mut self) {
        let patience = self.shared.options.stop_patience;
        let until = Instant::now() + patience;
        self.shared.stop.cancel();
        if self.ended_by(until.min(Instant::now() + IDLE_ENDS)).await {
            return;
        }
        info!(scrapes = self.loops.len(), at_most = ?patience, "waiting for scrapes that are under way");
        if !self.ended_by(until).await {
            warn!(scrapes = self.loops.len(), "scrapes are cut off by the shutdown");
            self.loops.shutdown().await;
        }
    }

    async fn ended_by(&mut self, until: Instant) -> bool {
        let ended = async { while self.loops.join_next().await.is_some() {} };
        tokio::time::timeout_at(until, ended).await.is_ok()
    }
}

/// Relabelling thousands of targets takes long enough to keep other tasks waiting.
async fn populate_off_thread(
    job: &ScrapeJob,
    groups: &Arc<Groups>,
) -> Result<Populated, JoinError> {
    let (job, groups) = (job.clone(), Arc::clone(groups));
    let work = move || {
        let of_job: &[Arc<TargetGroup>] = groups.get(&job.job.name).map_or(&[], Vec::as_slice);
        populate(&job.job, &job.traces_path, of_job)
    };
    tokio::task::spawn_blocking(work).await
}

/// A loop that panicked is missing from its pool until the next sync.
fn broken(ended: Result<(), JoinError>) -> bool {
    match ended {
        Err(error) if error.is_panic() => {
            error!(%error, "a scrape loop panicked and is started again");
            true
        }
        _ => false,
    }
}

//! One job's targets and their loops: started, stopped and kept as discovery and configuration change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sigyn_discovery::Labels;
use sigyn_discovery::config::Job;
use sigyn_discovery::target::{Populated, Target};
use sigyn_model::Labels as ModelLabels;
use sigyn_model::pull::Sampling;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::books::Books;
use crate::clients::Clients;
use crate::commit::Commit;
use crate::context::Context;
use crate::counts::Counts;
use crate::decode::Origin;
use crate::early::Early;
use crate::failure_log::FailureLogs;
use crate::memory::Memory;
use crate::options::Options;
use crate::request::Ask;
use crate::schedule::Schedule;
use crate::scrape::Fetcher;
use crate::scrape_error::chain;
use crate::scrape_loop::ScrapeLoop;
use crate::siblings::Siblings;
use crate::status::{FailureCause, PoolView};
use crate::target::Tracked;
use crate::trouble::Trouble;
use crate::wanted::Wanted;

/// Dropped targets shown where a job keeps them all. The count is exact in any case.
const DROPPED_SHOWN_MAX: usize = 10_000;

/// With a tenth of an interval between two of them there are no more.
const EARLY_PULLS: u32 = 10;

/// A job as it is scraped: what Prometheus' configuration says, and Sigyn's own part.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeJob {
    pub job: Job,
    /// Where spans are, unless a target's `__traces_path__` says otherwise.
    pub traces_path: String,
    /// Whether a request waits at each target between its instants, until there are spans.
    pub long_poll: bool,
    /// How often at most a target gives spans between two of its instants.
    pub early_pulls: u32,
    /// Spans that each target is to finish in a second, at most: it samples where it has more.
    pub span_budget: Option<u32>,
    /// What is wanted of traces that begin at its targets; where it is empty, what these are set to.
    pub sampling: Sampling,
}

impl ScrapeJob {
    /// A job of which nothing is said but how Prometheus would scrape it.
    pub fn new(job: Job, traces_path: impl Into<String>) -> Self {
        let traces_path = traces_path.into();
        Self {
            job,
            traces_path,
            long_poll: false,
            early_pulls: EARLY_PULLS,
            span_budget: None,
            sampling: Sampling::default(),
        }
    }
}

/// What every loop is started with.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) clients: Clients,
    pub(crate) fetcher: Fetcher,
    pub(crate) context: Arc<Context>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) wanted: Arc<Wanted>,
    pub(crate) failure_logs: FailureLogs,
    /// A place for each request that waits.
    pub(crate) waits: Arc<Semaphore>,
    pub(crate) commits: mpsc::Sender<Commit>,
    /// Ends all loops.
    pub(crate) stop: CancellationToken,
}

/// One job's active targets, by their hash.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    entries: HashMap<u64, Entry>,
    /// Keys of the active targets: no two share one.
    keys: HashSet<String>,
}

#[derive(Debug)]
struct Entry {
    tracked: Arc<Tracked>,
    stop: CancellationToken,
    task: AbortHandle,
}

impl Pool {
    /// Makes the loops follow `populated`. A target that is known keeps its loop and its health; if
    /// the job itself has changed, its loops start anew, with the same health and cursor.
    pub(crate) fn sync(
        &mut self,
        job: &ScrapeJob,
        job_changed: bool,
        populated: Populated,
        shared: &mut Shared,
        books: &mut Books,
        loops: &mut JoinSet<()>,
    ) -> PoolView {
        let Populated { active, mut dropped, dropped_count, errors, limit_exceeded } = populated;
        let wanted: HashSet<u64> = active.iter().map(|target| target.hash).collect();
        // Keys become free before new targets ask for them.
        self.entries.retain(|hash, entry| {
            let keeps = wanted.contains(hash);
            if !keeps {
                entry.stop.cancel();
                self.keys.remove(&entry.tracked.key);
                books.vanish(entry.tracked.key.clone());
            }
            keeps
        });

        let mut keys = self.new_keys(&active);
        let mut shown = Vec::with_capacity(active.len());
        for target in active {
            let hash = target.hash;
            let tracked = match self.entries.get(&hash) {
                Some(entry) => {
                    entry.tracked.rediscovered(target.discovered_labels);
                    Arc::clone(&entry.tracked)
                }
                None => {
                    let key = keys.remove(&hash).unwrap_or_else(|| own_key(&target));
                    let silent_after = shared.options.silent_after;
                    let context = Arc::clone(&shared.context);
                    let end = shared.wanted.end();
                    Arc::new(Tracked::new(target, key, context, silent_after, end))
                }
            };
            tracked.refuse(limit_exceeded.clone());
            shown.push(Arc::clone(&tracked));
            match self.entries.get(&hash) {
                Some(entry) if !job_changed && !entry.task.is_finished() => continue,
                // The new loop waits until the old one has closed the books.
                Some(entry) => entry.stop.cancel(),
                None => {}
            }
            if let Some(entry) = start(job, tracked, shared, books, loops) {
                self.entries.insert(hash, entry);
            }
        }

        dropped.truncate(DROPPED_SHOWN_MAX);
        PoolView { active: shown, dropped, dropped_count, errors }
    }

    /// The job is gone.
    pub(crate) fn stop(self, books: &mut Books) {
        for entry in self.entries.into_values() {
            entry.stop.cancel();
            books.vanish(entry.tracked.key.clone());
        }
    }

    /// Keys of the targets that have none yet. Two with one URL differ by their hashes, and the lower
    /// one has the plain key whatever order they are found in: they must not swap their cursors.
    fn new_keys(&mut self, active: &[Target]) -> HashMap<u64, String> {
        let mut new: Vec<_> =
            active.iter().filter(|target| !self.entries.contains_key(&target.hash)).collect();
        new.sort_by_key(|target| target.hash);
        new.into_iter()
            .map(|target| {
                let plain = format!("{}|{}", target.job, target.url);
                let key = if self.keys.contains(&plain) { own_key(target) } else { plain };
                self.keys.insert(key.clone());
                (target.hash, key)
            })
            .collect()
    }
}

/// Job and URL stay the same when labels change, so that a cursor outlives relabelling. This is the
/// key of a target whose URL is another's, too.
fn own_key(target: &Target) -> String {
    format!("{}|{}|#{:016x}", target.job, target.url, target.hash)
}

fn start(
    job: &ScrapeJob,
    tracked: Arc<Tracked>,
    shared: &mut Shared,
    books: &mut Books,
    loops: &mut JoinSet<()>,
) -> Option<Entry> {
    let target = &tracked.target;
    let schedule = match Schedule::new(target.scrape_interval, target.scrape_timeout) {
        Ok(schedule) => schedule,
        Err(error) => {
            // Discovery has checked both already.
            error!(target = %tracked.key, %error, "target cannot be scheduled");
            return None;
        }
    };
    let options = &shared.options;
    let body_limit = match job.job.body_size_limit {
        0 => options.body_bytes_max,
        limit => limit,
    };
    // One that could never have its place is too large, whatever the job allows.
    let fits = Memory::body_bytes_max(options.memory_bytes_max);
    let memory_setting = (fits < body_limit).then_some(options.memory_setting);
    let body_limit = body_limit.min(fits);
    let told = |error: &dyn std::error::Error| (FailureCause::Connect, chain(error));
    let client = shared.clients.of(&job.job.http).map_err(|error| told(&error));
    let ask = client.and_then(|client| {
        let compressed = job.job.enable_compression;
        let (name, agent) = (&options.scraper_name, &options.user_agent);
        Ask::new(
            client,
            &target.url,
            schedule,
            name,
            agent,
            compressed,
            body_limit,
            job.span_budget,
            &job.sampling,
        )
        .map_err(|error| told(&error))
    });
    let service_name = tracked.labels().get("job").unwrap_or(&target.job).to_owned();
    let origin = Origin { labels: Arc::new(model_labels(tracked.labels())), service_name };
    let scrape_loop = ScrapeLoop {
        book: books.open(&tracked.key),
        fetcher: shared.fetcher.clone(),
        commits: shared.commits.clone(),
        schedule,
        early: Early::new(job.long_poll, job.early_pulls, schedule.interval(), schedule.timeout()),
        span_budget: job.span_budget,
        waits: Arc::clone(&shared.waits),
        ask,
        origin,
        body_limit,
        memory_setting,
        seed: options.seed,
        failure_log: job.job.failure_log_file.as_deref().map(|path| shared.failure_logs.of(path)),
        trouble: Trouble::default(),
        siblings: Siblings::default(),
        counts: Arc::clone(&shared.counts),
        wanted: Arc::clone(&shared.wanted),
        target: Arc::clone(&tracked),
    };
    let stop = shared.stop.child_token();
    let task = loops.spawn(scrape_loop.run(stop.clone()));
    Some(Entry { tracked, stop, task })
}

fn model_labels(labels: &Labels) -> ModelLabels {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

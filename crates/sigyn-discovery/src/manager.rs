//! The manager: runs what the jobs need to find their targets, and passes on what is found.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::Job;
use crate::error_chain::chain;
use crate::group::{Groups, TargetGroup};
#[cfg(feature = "client")]
use crate::http::Room;
use crate::mechanism::{self, Context, Part, StartError, Troubles, Update, Whose, file};
use crate::metrics::Metrics;

/// Updates that wait for the manager. A provider that finds the queue full waits.
const UPDATES_CAPACITY: usize = 64;

/// How long the first change waits for company; each further one waits longer, up to the maximum.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How long the first restart of a provider that failed waits; each further one twice as long, up to
/// the maximum. A provider that ran for that long begins anew.
const RESTART_MIN: Duration = Duration::from_secs(1);
const RESTART_MAX: Duration = Duration::from_secs(5 * 60);

/// Runs one provider for each distinct section of the jobs' discovery, and sends all target groups
/// of all jobs whenever something changed.
///
/// - Jobs with equal sections share a provider, and a provider whose section stands unchanged in
///   a new configuration goes on as it is.
/// - Changes are sent together: about 100 ms after the first, and ever later, up to 5 s, while they
///   go on.
/// - A job whose section was edited keeps the targets of the old one until all that is new in the
///   job has answered, or until twice its refresh interval has passed without an answer.
///   Prometheus drops them at once; a tracer would lose spans by that.
/// - A provider that fails, or that cannot start, is started again, ever more rarely; its targets
///   stay meanwhile.
///
/// ```
/// # use std::sync::Arc;
/// # use tokio::{sync::watch, task::JoinSet};
/// # use tokio_util::sync::CancellationToken;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use sigyn_discovery::{Groups, Manager, config};
///
/// let config = config::parse("
/// scrape_configs:
/// - job_name: shop
///   static_configs: [{targets: ['127.0.0.1:8080']}]
/// ", ".".as_ref()).unwrap();
/// let (_jobs_tx, jobs) = watch::channel(Arc::new(config.jobs));
/// let (groups_tx, mut groups) = watch::channel(Arc::new(Groups::new()));
/// let shutdown = CancellationToken::new();
/// let mut tasks = JoinSet::new();
/// tasks.spawn(Manager::new(jobs, groups_tx).run(shutdown.clone()));
///
/// groups.changed().await.unwrap();
/// assert_eq!(groups.borrow()["shop"][0].targets.len(), 1);
/// shutdown.cancel();
/// tasks.join_all().await;
/// # }
/// ```
#[derive(Debug)]
pub struct Manager {
    jobs: watch::Receiver<Arc<Vec<Job>>>,
    groups: watch::Sender<Arc<Groups>>,
    metrics: Arc<Metrics>,
    troubles: Troubles,
    watcher: Arc<file::Watcher>,
    #[cfg(feature = "kubernetes")]
    kubernetes: Arc<mechanism::kubernetes::Watches>,
    updates_tx: mpsc::Sender<Update>,
    updates: mpsc::Receiver<Update>,
    tasks: JoinSet<Result<(), StartError>>,
    run: Run,
    providers: BTreeMap<u64, Provider>,
    held: Vec<Held>,
    next_provider: u64,
    job_names: BTreeSet<String>,
    pacer: Pacer,
}

/// Finds the targets of one section until told to stop: [`mechanism::Config::run`], but for tests of
/// what happens if it fails.
type Run = fn(mechanism::Config, Context) -> Running;
type Running = Pin<Box<dyn Future<Output = Result<(), StartError>> + Send>>;

/// One running section, and what it has found.
#[derive(Debug)]
struct Provider {
    config: mechanism::Config,
    /// The job that it was started for, and counts for.
    job: String,
    jobs: BTreeSet<String>,
    /// The same, for log lines.
    whose: Arc<Whose>,
    groups: BTreeMap<String, Arc<TargetGroup>>,
    answered: bool,
    shutdown: CancellationToken,
    state: State,
}

/// What a provider is doing. `failures` counts those in a row.
#[derive(Clone, Copy, Debug)]
enum State {
    /// All is known that there is to know.
    Fixed,
    Running {
        task: task::Id,
        since: Instant,
        failures: u32,
    },
    Failed {
        restart: Instant,
        failures: u32,
        /// Whether it could not even begin.
        at_start: bool,
    },
}

/// What a job keeps of a section that it no longer has.
#[derive(Debug)]
struct Held {
    job: String,
    groups: Vec<Arc<TargetGroup>>,
    /// The job's providers that have not answered yet.
    successors: BTreeSet<u64>,
    until: Instant,
}

impl Manager {
    /// A manager for `jobs`, as they are and as they become. It does nothing until it is run.
    /// Answers that are read at once share 256 MiB.
    pub fn new(jobs: watch::Receiver<Arc<Vec<Job>>>, groups: watch::Sender<Arc<Groups>>) -> Self {
        Self::counting(jobs, groups, Metrics::default())
    }

    /// The same with another room for the answers that are read at once.
    #[cfg(feature = "client")]
    pub fn with_room(
        jobs: watch::Receiver<Arc<Vec<Job>>>,
        groups: watch::Sender<Arc<Groups>>,
        room: Room,
    ) -> Self {
        Self::counting(jobs, groups, Metrics::in_room(room))
    }

    fn counting(
        jobs: watch::Receiver<Arc<Vec<Job>>>,
        groups: watch::Sender<Arc<Groups>>,
        metrics: Metrics,
    ) -> Self {
        let metrics = Arc::new(metrics);
        let (updates_tx, updates) = mpsc::channel(UPDATES_CAPACITY);
        Self {
            jobs,
            groups,
            watcher: Arc::new(file::Watcher::new(Arc::clone(&metrics))),
            #[cfg(feature = "kubernetes")]
            kubernetes: Arc::default(),
            metrics,
            troubles: Troubles::default(),
            updates_tx,
            updates,
            tasks: JoinSet::new(),
            run: |config, context| Box::pin(config.run(context)),
            providers: BTreeMap::new(),
            held: Vec::new(),
            next_provider: 0,
            job_names: BTreeSet::new(),
            pacer: Pacer::new(|| 0.5 + fastrand::f64()),
        }
    }

    /// The counters, to keep while the manager runs.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// What fails now, to look at while the manager runs.
    pub fn troubles(&self) -> Troubles {
        self.troubles.clone()
    }

    /// Works until `shutdown`, then stops all providers.
    pub async fn run(mut self, shutdown: CancellationToken) {
        self.apply(&shutdown);
        let mut jobs_open = true;
        loop {
            let released = self.held.iter().map(|held| held.until).min();
            let restart = self.providers.values().filter_map(Provider::restart).min();
            tokio::select! {
                () = shutdown.cancelled() => break,
                changed = self.jobs.changed(), if jobs_open => match changed {
                    Ok(()) => self.apply(&shutdown),
                    // Nobody can change the jobs any more; those there are go on.
                    Err(_closed) => jobs_open = false,
                },
                Some(update) = self.updates.recv() => self.receive(update),
                Some(ended) = self.tasks.join_next_with_id() => self.reap(ended),
                () = at(restart) => self.restart(),
                () = at(released) => self.release(),
                () = at(self.pacer.due()) => self.send(),
            }
        }
        // Each provider listens to a child of `shutdown`.
        while self.tasks.join_next().await.is_some() {}
    }

    /// Takes over the newest jobs.
    fn apply(&mut self, shutdown: &CancellationToken) {
        let jobs = Arc::clone(&self.jobs.borrow_and_update());
        let before: BTreeMap<u64, BTreeSet<String>> = self
            .providers
            .iter_mut()
            .map(|(id, provider)| (*id, std::mem::take(&mut provider.jobs)))
            .collect();
        self.job_names = jobs.iter().map(|job| job.name.clone()).collect();
        for job in jobs.iter() {
            for config in &job.mechanisms {
                let id = self.provider(config, &job.name, shutdown);
                if let Some(provider) = self.providers.get_mut(&id) {
                    provider.jobs.insert(job.name.clone());
                }
            }
        }
        self.hold(&before);
        let unused = self.providers.extract_if(.., |_, provider| provider.jobs.is_empty());
        for (_, provider) in unused {
            provider.shutdown.cancel();
        }
        for provider in self.providers.values() {
            provider.whose.set_jobs(&provider.jobs);
        }
        let all = self.providers.values();
        self.troubles.follow(all.map(|provider| Arc::clone(&provider.whose)).collect());
        let polling = self.providers.values();
        let polling = polling.map(|provider| (provider.config.kind(), provider.job.as_str()));
        self.metrics.keep_refresh_failures(&polling.collect());
        self.count();
        self.pacer.change();
    }

    /// The provider of `config`, started if there is none.
    fn provider(
        &mut self,
        config: &mechanism::Config,
        job: &str,
        shutdown: &CancellationToken,
    ) -> u64 {
        if let Some((id, _)) =
            self.providers.iter().find(|(_, provider)| provider.config == *config)
        {
            return *id;
        }
        let id = self.next_provider;
        self.next_provider += 1;
        let mut provider = Provider {
            config: config.clone(),
            job: job.to_owned(),
            jobs: BTreeSet::new(),
            whose: Arc::new(Whose::new(config, job)),
            groups: BTreeMap::new(),
            answered: false,
            shutdown: shutdown.child_token(),
            state: State::Fixed,
        };
        if let mechanism::Config::Static(groups) = config {
            // Known at once: no need of a task.
            provider.groups =
                groups.iter().map(|group| (group.source.clone(), Arc::clone(group))).collect();
            provider.answered = true;
        } else {
            provider.state = self.start(id, &provider, 0);
        }
        self.providers.insert(id, provider);
        id
    }

    /// Starts a provider, perhaps not for the first time: then it is told what is known already.
    fn start(&mut self, id: u64, provider: &Provider, failures: u32) -> State {
        let context = Context {
            provider: id,
            whose: Arc::clone(&provider.whose),
            job: provider.job.clone(),
            known: provider.groups.keys().cloned().collect(),
            updates: self.updates_tx.clone(),
            watcher: Arc::clone(&self.watcher),
            #[cfg(feature = "kubernetes")]
            kubernetes: Arc::clone(&self.kubernetes),
            metrics: Arc::clone(&self.metrics),
            shutdown: provider.shutdown.clone(),
        };
        let task = self.tasks.spawn((self.run)(provider.config.clone(), context)).id();
        State::Running { task, since: Instant::now(), failures }
    }

    /// Starts the failed providers whose time has come.
    fn restart(&mut self) {
        let now = Instant::now();
        let mut providers = std::mem::take(&mut self.providers);
        for (id, provider) in &mut providers {
            if let State::Failed { restart, failures, .. } = provider.state
                && restart <= now
            {
                // What the one before it had failed at is the new one's to find out.
                provider.whose.keep_failing(|part| *part == Part::Start);
                provider.state = self.start(*id, provider, failures);
            }
        }
        self.providers = providers;
        self.count();
    }

    fn count(&self) {
        let running = self.providers.values().filter(|provider| provider.restart().is_none());
        self.metrics.providers.set(running.count());
        let failed = self
            .providers
            .values()
            .filter(|provider| matches!(provider.state, State::Failed { at_start: true, .. }));
        self.metrics.failed_configs.set(failed.count());
    }

    /// Keeps what a section had found that a job has lost, while the job has others that have not
    /// answered yet. `before` says which jobs each provider served until now.
    fn hold(&mut self, before: &BTreeMap<u64, BTreeSet<String>>) {
        let mut lost = Vec::new();
        for (id, jobs) in before {
            let Some(provider) = self.providers.get(id) else { continue };
            for job in jobs.difference(&provider.jobs) {
                lost.push(Held {
                    job: job.clone(),
                    groups: provider.groups.values().cloned().collect(),
                    successors: BTreeSet::new(),
                    until: Instant::now(),
                });
            }
        }
        // A successor that was itself replaced before it answered passes on what it waits with.
        let held = std::mem::take(&mut self.held);
        for mut held in held.into_iter().chain(lost) {
            let successors = self
                .providers
                .iter()
                .filter(|(_, provider)| !provider.answered && provider.jobs.contains(&held.job));
            let mut wait = Duration::ZERO;
            let mut ids = BTreeSet::new();
            for (id, provider) in successors {
                wait = wait.max(2 * provider.config.refresh_interval());
                ids.insert(*id);
            }
            if ids.is_empty() || held.groups.is_empty() {
                continue;
            }
            if ids != held.successors {
                held.until = Instant::now() + wait;
                held.successors = ids;
            }
            self.held.push(held);
        }
        self.tell_kept();
    }

    /// What is held for those that have not answered is what they keep as yet.
    fn tell_kept(&self) {
        for (id, provider) in self.providers.iter().filter(|(_, provider)| !provider.answered) {
            let held = self.held.iter().filter(|held| held.successors.contains(id));
            let groups = held.flat_map(|held| &held.groups);
            provider.whose.set_kept(groups.map(|group| group.targets.len()).sum());
        }
    }

    /// Lets go of what was held for long enough.
    fn release(&mut self) {
        let now = Instant::now();
        for held in self.held.extract_if(.., |held| held.until <= now) {
            let targets: usize = held.groups.iter().map(|group| group.targets.len()).sum();
            tracing::warn!(
                config = held.job,
                targets,
                "an edited section has not answered in time, the targets of the old one are given up"
            );
        }
        self.tell_kept();
        self.pacer.change();
    }

    fn receive(&mut self, update: Update) {
        self.metrics.received_updates.increment();
        let Some(provider) = self.providers.get_mut(&update.provider) else {
            // Its last words, from before it was stopped.
            return;
        };
        let mut changed = !provider.answered;
        provider.answered = true;
        for mut group in update.groups {
            if group.targets.is_empty() {
                changed |= provider.groups.remove(&group.source).is_some();
            } else if provider.groups.get(&group.source).is_none_or(|known| **known != group) {
                group.shrink_to_fit();
                provider.groups.insert(group.source.clone(), Arc::new(group));
                changed = true;
            }
        }
        let found = provider.groups.values().map(|group| group.targets.len());
        provider.whose.set_kept(found.sum());
        provider.whose.works(&Part::Start);
        for held in &mut self.held {
            held.successors.remove(&update.provider);
        }
        self.held.retain(|held| !held.successors.is_empty());
        if changed {
            self.pacer.change();
        }
    }

    /// Takes note of a provider that has ended, and of when to start it again.
    fn reap(&mut self, ended: Result<(task::Id, Result<(), StartError>), JoinError>) {
        let (ended, start_error, error) = match ended {
            Ok((id, Ok(()))) => (id, None, None),
            Ok((id, Err(error))) => (id, Some(error), None),
            Err(error) => (error.id(), None, Some(error.to_string())),
        };
        let failed = self.providers.values_mut().find_map(|provider| match provider.state {
            State::Running { task, since, failures } if task == ended => {
                Some((provider, since, failures))
            }
            _ => None,
        });
        let Some((provider, since, failures)) = failed else { return };
        // The shutdown reaches providers and manager at the same time.
        if provider.shutdown.is_cancelled() {
            return;
        }
        let now = Instant::now();
        let failures = if now - since >= RESTART_MAX { 0 } else { failures };
        let wait = RESTART_MIN.saturating_mul(1 << failures.min(16)).min(RESTART_MAX);
        provider.state = State::Failed {
            restart: now + wait,
            failures: failures + 1,
            at_start: start_error.is_some(),
        };
        let whose = Arc::clone(&provider.whose);
        let (config, discovery, server) = (&*whose, whose.kind, &whose.server);
        if let Some(error) = start_error {
            let error = chain(&error);
            whose.failed(Part::Start, error.as_str());
            tracing::warn!(%config, discovery, server, error, retry_in = ?wait, kept_targets = whose.kept(), "discovery cannot start");
        } else {
            self.metrics.providers_failed.increment();
            whose.failed(Part::Start, error.as_deref().unwrap_or("it ended by itself"));
            tracing::error!(%config, discovery, server, error, retry_in = ?wait, "a discovery provider has failed, its targets stay as they are");
        }
        self.count();
    }

    fn send(&mut self) {
        let mut groups: Groups =
            self.job_names.iter().map(|name| (name.clone(), Vec::new())).collect();
        for provider in self.providers.values() {
            for job in &provider.jobs {
                groups.entry(job.clone()).or_default().extend(provider.groups.values().cloned());
            }
        }
        for held in &self.held {
            groups.entry(held.job.clone()).or_default().extend(held.groups.iter().cloned());
        }
        self.metrics.sent_updates.increment();
        let groups = Arc::new(groups);
        let before = self.groups.send_replace(Arc::clone(&groups));
        self.metrics.found(groups.iter().map(|(job, groups)| {
            let targets = groups.iter().map(|group| group.targets.len()).sum();
            let is_same = before.get(job).is_some_and(|before| are_the_same(before, groups));
            (job.clone(), targets, !is_same)
        }));
        self.pacer.sent();
    }
}

impl Provider {
    /// When to start it again, if it failed.
    fn restart(&self) -> Option<Instant> {
        match self.state {
            State::Failed { restart, .. } => Some(restart),
            State::Fixed | State::Running { .. } => None,
        }
    }
}

/// Whether nothing has changed: a group that changes is another one.
fn are_the_same(before: &[Arc<TargetGroup>], now: &[Arc<TargetGroup>]) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(a, b)| Arc::ptr_eq(a, b))
}

/// Sleeps until `instant`, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Decides when to send: soon after a lone change, rarely amid many.
#[derive(Debug)]
struct Pacer {
    /// What each wait is multiplied by, so that servers that follow the same do not move together.
    jitter: fn() -> f64,
    backoff: Duration,
    due: Option<Instant>,
    sent: Option<Instant>,
}

impl Pacer {
    fn new(jitter: fn() -> f64) -> Self {
        Self { jitter, backoff: BACKOFF_MIN, due: None, sent: None }
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn change(&mut self) {
        let now = Instant::now();
        if self.sent.is_none_or(|sent| now - sent >= BACKOFF_MAX) {
            self.backoff = BACKOFF_MIN;
        }
        if self.due.is_none() {
            let wait = self.backoff.mul_f64((self.jitter)());
            self.due = Some(now + wait.min(BACKOFF_MAX));
        }
    }

    fn sent(&mut self) {
        self.due = None;
        self.sent = Some(Instant::now());
        self.backoff = (self.backoff * 3 / 2).min(BACKOFF_MAX);
    }
}

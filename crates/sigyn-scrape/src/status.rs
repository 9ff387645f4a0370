//! What is known of every target right now, as the API, the metrics and the pages show it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sigyn_discovery::Labels;
use sigyn_model::pull::{Cursor, Log, Sampled};
use sigyn_model::{Account, LossReason};

use crate::counts::Counts;
use crate::memory::Memory;
use crate::target::Tracked;
use crate::wanted::Wanted;

/// A view of all pools. Cheap to clone; reading it takes short locks only.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pools: Arc<Mutex<BTreeMap<String, PoolView>>>,
    counts: Arc<Counts>,
    memory: Option<Memory>,
    wanted: Arc<Wanted>,
}

/// One job's targets.
#[derive(Clone, Debug)]
pub struct PoolStatus {
    pub job: String,
    pub active: Vec<TargetStatus>,
    /// Discovered labels of dropped targets; bounded by the job's `keep_dropped_targets`.
    pub dropped: Vec<Labels>,
    pub dropped_count: u64,
    /// Targets that could not be built, each with its reason.
    pub errors: Vec<String>,
}

/// One target: what it is, how the last scrapes went, and its books.
#[derive(Clone, Debug, Default)]
pub struct TargetStatus {
    pub discovered_labels: Labels,
    /// Without those that begin with `__`.
    pub labels: Labels,
    pub url: String,
    pub health: Health,
    pub state: State,
    /// Of the last scrape; of a target that is not traced, why it is not.
    pub last_error: Option<String>,
    /// What is wrong with it although it answers: spans that were refused, segments that could not
    /// be read, counters that contradict each other, several processes behind its address.
    pub last_problem: Option<String>,
    pub last_scrape: Option<SystemTime>,
    /// Whatever it finished before this is stored, or counted as lost. Of a foreign target: what it
    /// gave. It stays behind while scrapes fail, spans cannot be stored, or more waits than is read.
    pub read_through: Option<SystemTime>,
    pub last_duration: Duration,
    pub last_spans: u64,
    /// Body bytes, unpacked.
    pub last_bytes: u64,
    /// As it is written.
    pub scrape_interval: String,
    /// As it is written.
    pub scrape_timeout: String,
    pub failures_in_a_row: u32,
    pub failing_since: Option<SystemTime>,
    /// The last scrape that failed, also after others that did not.
    pub last_failure: Option<LastFailure>,
    pub cursor: Option<Cursor>,
    pub account: Account,
    /// The target's clock minus ours; off by at most half a round trip, the shortest of late. What the
    /// newest answer contradicts does not count any more.
    pub clock_offset_ns: Option<i64>,
    pub last_span_at: Option<SystemTime>,
    /// Over the last scrapes.
    pub spans_per_second: f64,
    /// Spans of each scrape, newest last.
    pub history: Vec<u32>,
    /// The last scrapes, newest last.
    pub recent: Vec<Arc<ScrapeRecord>>,
    /// When spans were lost, newest last.
    pub loss_windows: Vec<LossWindow>,
    pub scrapes_total: u64,
    /// How often it gave spans between two of its instants.
    pub early_pulls: u64,
    pub waiting: Waiting,
    /// The target's own next instant at which it is asked.
    pub next_scrape: Option<SystemTime>,
    /// When it is asked before that, because its log fills.
    pub next_pull: Option<SystemTime>,
    /// How full its log was when it was asked last, if it says so.
    pub log: Option<Log>,
    /// Spans a second that its job wants of it, at most.
    pub span_budget: Option<u32>,
    /// What it leaves out for its budget, if it says so.
    pub sampled: Option<Sampled>,
    pub failures: Failures,
}

/// Prometheus' health: whether the last scrape was answered. A target whose answer found no memory keeps
/// what it had, and so does one that wants to be asked later, for less than three intervals. Spans that
/// could not be stored are not held against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Unknown,
    Up,
    Down,
}

/// Whether a request waits at a target until it has spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waiting {
    /// It is asked at its instants alone.
    #[default]
    No,
    Open,
    /// One did, and another one will.
    Between,
    /// The target answers at once.
    NotKept,
    /// Too many wait elsewhere.
    Refused,
}

/// What a person needs to know of a target, the most pressing first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not scraped yet.
    #[default]
    Unknown,
    Up,
    /// Answers, but has had no span for a while.
    Silent,
    /// Answers, but not with spans.
    NotTraced,
    /// Has spans, and none of them belongs to a trace of another process.
    ContextLost,
    /// Lost spans lately. What was gone before the first scrape is not held against it.
    Lossy,
    Down,
}

/// One scrape, all its pages together.
#[derive(Clone, Debug)]
pub struct ScrapeRecord {
    pub at: SystemTime,
    pub took: Duration,
    /// `200 OK`; empty if there was no answer.
    pub status: String,
    pub bytes: u64,
    pub spans: u64,
    /// The cursor after it.
    pub next: Option<Cursor>,
    /// It was at no instant of the target's own.
    pub is_early: bool,
    pub error: Option<String>,
}

/// How a scrape failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    pub at: SystemTime,
    pub cause: FailureCause,
    pub error: String,
}

/// Spans that a target lost between two scrapes.
#[derive(Clone, Debug)]
pub struct LossWindow {
    pub from: SystemTime,
    pub to: SystemTime,
    pub spans: u64,
    pub reason: LossReason,
}

/// Why scrapes failed. Also the label of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    Timeout,
    Connect,
    Status,
    BodyCut,
    BodyLimit,
    Decode,
    Protocol,
    /// The target answered, and there was no room for its spans.
    Commit,
    /// The job has more targets than its `target_limit`.
    TargetLimit,
}

/// Failed scrapes by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    pub timeout: u64,
    pub connect: u64,
    pub status: u64,
    pub body_cut: u64,
    pub body_limit: u64,
    pub decode: u64,
    pub protocol: u64,
    pub commit: u64,
    pub target_limit: u64,
}

/// What the manager publishes of one pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolView {
    pub(crate) active: Vec<Arc<Tracked>>,
    pub(crate) dropped: Vec<Labels>,
    pub(crate) dropped_count: u64,
    pub(crate) errors: Vec<String>,
}

impl Status {
    /// Every pool with every target, by job. A copy: nothing waits for its reader.
    pub fn pools(&self) -> Vec<PoolStatus> {
        // The views are taken first, so that no target's lock is asked for under this one.
        let views: Vec<_> =
            self.lock().iter().map(|(job, view)| (job.clone(), view.clone())).collect();
        let now = tokio::time::Instant::now();
        let status = |(job, view): (String, PoolView)| PoolStatus {
            job,
            active: view.active.iter().map(|target| target.status(now)).collect(),
            dropped: view.dropped,
            dropped_count: view.dropped_count,
            errors: view.errors,
        };
        views.into_iter().map(status).collect()
    }

    /// With the memory that scrapes share.
    pub(crate) fn of(memory: &Memory) -> Self {
        Self { memory: Some(memory.clone()), ..Self::default() }
    }

    /// What is taken now by all bodies and their spans, until they are stored.
    pub fn memory_bytes(&self) -> u64 {
        self.memory.as_ref().map_or(0, Memory::used)
    }

    pub(crate) fn wanted(&self) -> Arc<Wanted> {
        Arc::clone(&self.wanted)
    }

    /// All targets.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Arc<Tracked>> + use<> {
        // The views are taken first, so that no target's lock is asked for under this one.
        let views: Vec<_> = self.lock().values().map(|view| view.active.clone()).collect();
        views.into_iter().flatten()
    }

    /// Traces that targets kept although nobody had sampled them, and for which all others are asked.
    pub fn kept_traces_total(&self) -> u64 {
        self.wanted.kept_total()
    }

    /// How often such a trace was forgotten before a target could be asked for it.
    pub fn asks_missed_total(&self) -> u64 {
        self.wanted.missed_total()
    }

    /// What is counted beside the targets.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    pub(crate) fn publish(&self, job: &str, view: PoolView) {
        self.lock().insert(job.to_owned(), view);
    }

    pub(crate) fn remove(&self, job: &str) {
        self.lock().remove(job);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, PoolView>> {
        // Every writer puts whole values: a panic elsewhere leaves nothing half done.
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailureCause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Status => "status",
            Self::BodyCut => "body_cut",
            Self::BodyLimit => "body_limit",
            Self::Decode => "decode",
            Self::Protocol => "protocol",
            Self::Commit => "commit",
            Self::TargetLimit => "target_limit",
        }
    }
}

impl Failures {
    /// Every cause with its count, in the order in which they are shown.
    pub fn by_cause(&self) -> [(FailureCause, u64); 9] {
        [
            (FailureCause::Timeout, self.timeout),
            (FailureCause::Connect, self.connect),
            (FailureCause::Status, self.status),
            (FailureCause::BodyCut, self.body_cut),
            (FailureCause::BodyLimit, self.body_limit),
            (FailureCause::Decode, self.decode),
            (FailureCause::Protocol, self.protocol),
            (FailureCause::Commit, self.commit),
            (FailureCause::TargetLimit, self.target_limit),
        ]
    }

    /// Those of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            timeout: self.timeout + other.timeout,
            connect: self.connect + other.connect,
            status: self.status + other.status,
            body_cut: self.body_cut + other.body_cut,
            body_limit: self.body_limit + other.body_limit,
            decode: self.decode + other.decode,
            protocol: self.protocol + other.protocol,
            commit: self.commit + other.commit,
            target_limit: self.target_limit + other.target_limit,
        }
    }

    pub fn total(&self) -> u64 {
        self.by_cause().iter().map(|(_, count)| count).sum()
    }

    pub(crate) fn count(&mut self, cause: FailureCause) {
        *match cause {
            FailureCause::Timeout => &mut self.timeout,
            FailureCause::Connect => &mut self.connect,
            FailureCause::Status => &mut self.status,
            FailureCause::BodyCut => &mut self.body_cut,
            FailureCause::BodyLimit => &mut self.body_limit,
            FailureCause::Decode => &mut self.decode,
            FailureCause::Protocol => &mut self.protocol,
            FailureCause::Commit => &mut self.commit,
            FailureCause::TargetLimit => &mut self.target_limit,
        } += 1;
    }
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl Waiting {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Open => "open",
            Self::Between => "between",
            Self::NotKept => "not_kept",
            Self::Refused => "refused",
        }
    }
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Silent => "silent",
            Self::NotTraced => "not_traced",
            Self::ContextLost => "context_lost",
            Self::Lossy => "lossy",
            Self::Down => "down",
        }
    }
}

//! One active target: who it is, its books, and how its last scrapes went.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sigyn_discovery::Labels;
use sigyn_discovery::target::Target;
use sigyn_model::pull::{Cold, Log, Sampled};
use sigyn_model::{Account, LossReason, TargetProgress};
use tokio::time::Instant;

use crate::asking::NotAskedWhy;
use crate::context::{Context, Member};
use crate::door::Door;
use crate::scrape::ClockSample;
use crate::scrape_error::shortened;
use crate::status::{
    FailureCause, Failures, Health, LastFailure, LossWindow, ScrapeRecord, State, TargetStatus,
    Waiting,
};

const HISTORY_MAX: usize = 60;
const RECENT_MAX: usize = 20;
/// Half an hour at the usual interval: how far back a trace's gaps can be explained.
const LOSS_WINDOWS_MAX: usize = 128;
const CLOCK_SAMPLES_MAX: usize = 8;
/// Intervals in a row in which a target may want to be asked later, and nothing else. One that goes on
/// is down: nothing comes from it, whatever it says.
const BUSY_INTERVALS_MAX: u32 = 3;
/// Fewer spans say nothing about whether context is passed on.
const CONTEXT_SPANS_MIN: u64 = 20;

/// A target while it is in its pool. Its loop writes, [`crate::Status`] reads.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) target: Target,
    /// How storage knows it; see [`TargetProgress::target`].
    pub(crate) key: String,
    public_labels: Labels,
    context: Arc<Context>,
    member: Member,
    /// What "lately" means for its states.
    window: Duration,
    /// How far it was asked for traces that nobody sampled; see [`Wanted`](crate::wanted::Wanted).
    sent: AtomicU64,
    asked: AtomicU64,
    called: AtomicU64,
    /// How it is asked for anything else; there is none while it cannot be asked at all.
    door: Mutex<Option<Door>>,
    inner: Mutex<Inner>,
}

/// What one scrape, with all its pages, came to.
#[derive(Debug)]
pub(crate) struct Tick {
    pub(crate) at: SystemTime,
    pub(crate) took: Duration,
    pub(crate) status: String,
    pub(crate) bytes: u64,
    pub(crate) spans: u64,
    /// Nothing more was waiting at the target.
    pub(crate) read_to_end: bool,
    pub(crate) end: End,
}

#[derive(Debug)]
pub(crate) enum End {
    Done,
    /// We did not wait for the answer.
    Left,
    NotTraced(String),
    /// The target wants to be asked later.
    Busy(String),
    /// The target answered, and what it said could not be kept: no fault of its own.
    NotStored(String),
    /// There was no memory to read its answer, which may be a good one or not.
    Crowded(String),
    Failed(FailureCause, String),
}

/// What is wrong with a target that answers all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Problem {
    SeveralProcesses,
    Contradiction,
    SteppedOver,
    RefusedSpans,
}

#[derive(Debug, Default)]
struct Inner {
    /// Of the newest discovery: they may change without making another target.
    discovered_labels: Labels,
    /// Why it must not be scraped.
    refusal: Option<String>,
    progress: TargetProgress,
    health: Health,
    not_traced: bool,
    last_error: Option<String>,
    problems: BTreeMap<Problem, String>,
    failures: Failures,
    failures_in_a_row: u32,
    /// Whether people were told that it is down.
    is_told: bool,
    /// Intervals in a row in which it wanted to be asked later.
    busy_intervals: u32,
    failing_since: Option<SystemTime>,
    last_failure: Option<LastFailure>,
    scrapes_total: u64,
    first_scrape: Option<Instant>,
    last_spans: Option<(Instant, SystemTime)>,
    history: VecDeque<(Instant, u32)>,
    /// Spans that came since the last scrape, and how often any did.
    early_spans: u64,
    early_pulls: u64,
    waiting: Waiting,
    next_scrape: Option<Instant>,
    next_pull: Option<Instant>,
    log: Option<Log>,
    span_budget: Option<u32>,
    sampled: Option<Sampled>,
    cold: Option<Cold>,
    recent: VecDeque<Arc<ScrapeRecord>>,
    last_success: Option<SystemTime>,
    read_through: Option<SystemTime>,
    losses: VecDeque<(Instant, LossWindow)>,
    clock: VecDeque<ClockSample>,
}

impl Tracked {
    pub(crate) fn new(
        target: Target,
        key: String,
        context: Arc<Context>,
        silent_after: u32,
        wanted_end: u64,
    ) -> Self {
        // The label, not the pool: relabelling often makes many services of one pool.
        let member = context.join(target.labels.get("job").unwrap_or(&target.job));
        let inner =
            Inner { discovered_labels: target.discovered_labels.clone(), ..Inner::default() };
        Self {
            public_labels: target.public_labels(),
            window: target.scrape_interval.saturating_mul(silent_after),
            member,
            context,
            key,
            inner: Mutex::new(inner),
            sent: AtomicU64::new(wanted_end),
            asked: AtomicU64::new(wanted_end),
            called: AtomicU64::new(wanted_end),
            door: Mutex::default(),
            target,
        }
    }

    pub(crate) fn rediscovered(&self, discovered_labels: Labels) {
        self.lock().discovered_labels = discovered_labels;
    }

    pub(crate) fn refuse(&self, refusal: Option<String>) {
        self.lock().refusal = refusal;
    }

    pub(crate) fn refusal(&self) -> Option<String> {
        self.lock().refusal.clone()
    }

    pub(crate) fn labels(&self) -> &Labels {
        &self.public_labels
    }

    pub(crate) fn observe(&self, spans: &sigyn_model::columns::Columns) {
        self.context.observe(self.member, spans, Instant::now());
    }

    /// The loop has the target's books.
    pub(crate) fn opened(&self, progress: &TargetProgress) {
        self.lock().progress = progress.clone();
    }

    pub(crate) fn measured(&self, sample: ClockSample) {
        let mut inner = self.lock();
        // Both cannot be true: the clock was set, or has drifted.
        inner.clock.retain(|older| older.agrees_with(sample));
        push_bounded(&mut inner.clock, sample, CLOCK_SAMPLES_MAX);
    }

    /// Shows a problem, in place of what was shown of its kind. True the first time.
    pub(crate) fn note(&self, problem: Problem, text: String) -> bool {
        self.lock().problems.insert(problem, shortened(text)).is_none()
    }

    /// The problem is over.
    pub(crate) fn clear(&self, problem: Problem) {
        self.lock().problems.remove(&problem);
    }

    /// An answer is durable: the books moved, perhaps by losses, which are returned.
    pub(crate) fn committed(
        &self,
        after: &TargetProgress,
        asked_at: SystemTime,
    ) -> Vec<(LossReason, u64)> {
        let (now, to) = (Instant::now(), SystemTime::now());
        let mut inner = self.lock();
        let from = inner.last_success.unwrap_or(asked_at).min(to);
        let lost: Vec<_> = grown(&inner.progress.account, &after.account).collect();
        for &(reason, spans) in &lost {
            let window = LossWindow { from, to, spans, reason };
            push_bounded(&mut inner.losses, (now, window), LOSS_WINDOWS_MAX);
        }
        inner.progress = after.clone();
        inner.last_success = Some(to);
        lost
    }

    /// A scrape ended. Returns how many failed in a row until now.
    pub(crate) fn scraped(&self, tick: Tick) -> u32 {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.scrapes_total += 1;
        inner.first_scrape.get_or_insert(now);
        if tick.spans > 0 {
            inner.last_spans = Some((now, SystemTime::now()));
        }
        let spans = tick.spans + std::mem::take(&mut inner.early_spans);
        let count = u32::try_from(spans).unwrap_or(u32::MAX);
        push_bounded(&mut inner.history, (now, count), HISTORY_MAX);
        // Of several processes, those that did not answer may have more.
        if tick.read_to_end && !inner.problems.contains_key(&Problem::SeveralProcesses) {
            inner.read_through = Some(tick.at);
        }
        let failure = tick.end.failure().map(|(cause, _)| cause);
        if let Some(cause) = failure {
            inner.failures.count(cause);
        }
        match &tick.end {
            // It says nothing of how it is, unless a page came before it.
            End::Crowded(_) if tick.bytes == 0 => {}
            End::Busy(_) if tick.bytes == 0 => {
                inner.failed(tick.at);
                inner.busy();
            }
            End::Failed(..) => {
                inner.failed(tick.at);
                inner.health = Health::Down;
            }
            end => {
                inner.not_traced = matches!(end, End::NotTraced(_));
                inner.health = Health::Up;
                inner.failures_in_a_row = 0;
                inner.is_told = false;
                inner.busy_intervals = 0;
                inner.failing_since = None;
            }
        }
        let error = match tick.end {
            End::Done | End::Left => None,
            End::NotTraced(text)
            | End::Busy(text)
            | End::NotStored(text)
            | End::Crowded(text)
            | End::Failed(_, text) => Some(shortened(text)),
        };
        if let (Some(cause), Some(error)) = (failure, &error) {
            let failure = LastFailure { at: tick.at, cause, error: error.clone() };
            inner.last_failure = Some(failure);
        }
        inner.last_error.clone_from(&error);
        let record = ScrapeRecord {
            at: tick.at,
            took: tick.took,
            status: tick.status,
            bytes: tick.bytes,
            spans: tick.spans,
            next: inner.progress.cursor,
            is_early: false,
            error,
        };
        push_bounded(&mut inner.recent, Arc::new(record), RECENT_MAX);
        inner.failures_in_a_row
    }

    /// An instant passed at which it was not asked. True if it is down from now on, because it has
    /// wanted that for too long, and nobody was told.
    pub(crate) fn left_alone(&self) -> bool {
        let mut inner = self.lock();
        let before = inner.health;
        if inner.busy_intervals > 0 {
            inner.busy();
        }
        before != inner.health && inner.tell()
    }

    /// Whether people were told that it is down.
    pub(crate) fn is_told(&self) -> bool {
        self.lock().is_told
    }

    /// True if it is down and nobody was told: from now on somebody was.
    pub(crate) fn tell(&self) -> bool {
        self.lock().tell()
    }

    /// Wanted traces below this were named to it, and it answered.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn set_sent(&self, sent: u64) {
        self.sent.store(sent, Ordering::Relaxed);
    }

    /// What it has of wanted traces below this is stored.
    pub(crate) fn asked(&self, asked: u64) {
        self.asked.store(asked, Ordering::Release);
    }

    pub(crate) fn public_labels(&self) -> &Labels {
        &self.public_labels
    }

    pub(crate) fn set_door(&self, door: Option<Door>) {
        *self.door.lock().unwrap_or_else(PoisonError::into_inner) = door;
    }

    pub(crate) fn door(&self) -> Option<Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it can be asked for anything, which takes that it speaks the protocol and is up; or else why not, and
    /// what went wrong last.
    pub(crate) fn can_be_asked(&self) -> Result<(), (NotAskedWhy, Option<String>)> {
        let inner = self.lock();
        let why = match inner.health {
            Health::Down => NotAskedWhy::Down,
            Health::Unknown => NotAskedWhy::Unknown,
            Health::Up if inner.not_traced => NotAskedWhy::NotTraced,
            Health::Up if inner.progress.cursor.is_none() => NotAskedWhy::Foreign,
            Health::Up => return Ok(()),
        };
        Err((why, inner.last_error.clone()))
    }

    pub(crate) fn has_given(&self, call: u64) -> bool {
        self.asked.load(Ordering::Acquire) >= call
    }

    /// Calls up to this are done with, whatever came of them.
    pub(crate) fn calls(&self) -> u64 {
        self.called.load(Ordering::Acquire)
    }

    pub(crate) fn called(&self, call: u64) {
        self.called.store(call, Ordering::Release);
    }

    /// What the target says of its log, and of what it leaves out.
    pub(crate) fn told(&self, log: Option<Log>, sampled: Option<Sampled>) {
        let mut inner = self.lock();
        (inner.log, inner.sampled) = (log, sampled);
    }

    /// What it said of its memory for traces that nobody sampled when it was asked for some last; `None` if it did not.
    pub(crate) fn cold(&self) -> Option<Cold> {
        self.lock().cold
    }

    pub(crate) fn set_cold(&self, cold: Option<Cold>) {
        self.lock().cold = cold;
    }

    /// A loop begins, of a job that wants no more spans a second than this.
    pub(crate) fn begins(&self, span_budget: Option<u32>) {
        let mut inner = self.lock();
        (inner.span_budget, inner.waiting) = (span_budget, Waiting::No);
        (inner.next_scrape, inner.next_pull) = (None, None);
    }

    /// Whether a request waits at the target.
    pub(crate) fn waits(&self, waiting: Waiting) {
        self.lock().waiting = waiting;
    }

    /// At which instant of its own it is asked next.
    pub(crate) fn scraped_next(&self, at: Instant) {
        self.lock().next_scrape = Some(at);
    }

    /// When it is asked before that, if it is.
    pub(crate) fn pulled_next(&self, at: Option<Instant>) {
        self.lock().next_pull = at;
    }

    /// It was asked between two of its instants. What came then counts with the next scrape; whether it
    /// is up does not follow.
    pub(crate) fn pulled(&self, tick: Tick) {
        if tick.spans == 0 {
            return;
        }
        let mut inner = self.lock();
        inner.early_spans += tick.spans;
        inner.early_pulls += 1;
        inner.last_spans = Some((Instant::now(), SystemTime::now()));
        let record = ScrapeRecord {
            at: tick.at,
            took: tick.took,
            status: tick.status,
            bytes: tick.bytes,
            spans: tick.spans,
            next: inner.progress.cursor,
            is_early: true,
            error: None,
        };
        push_bounded(&mut inner.recent, Arc::new(record), RECENT_MAX);
    }

    pub(crate) fn failures_in_a_row(&self) -> u32 {
        self.lock().failures_in_a_row
    }

    pub(crate) fn status(&self, now: Instant) -> TargetStatus {
        let inner = self.lock();
        let last = inner.recent.iter().rev().find(|record| !record.is_early);
        let (scrape_interval, scrape_timeout) = self.target.rhythm_texts();
        TargetStatus {
            discovered_labels: inner.discovered_labels.clone(),
            labels: self.public_labels.clone(),
            url: self.target.url.clone(),
            health: inner.health,
            state: self.state(&inner, now),
            last_error: inner.last_error.clone(),
            last_problem: told(&inner.problems),
            last_scrape: last.map(|record| record.at),
            read_through: inner.read_through,
            last_duration: last.map_or(Duration::ZERO, |record| record.took),
            last_spans: last.map_or(0, |record| record.spans),
            last_bytes: last.map_or(0, |record| record.bytes),
            scrape_interval: scrape_interval.to_owned(),
            scrape_timeout: scrape_timeout.to_owned(),
            failures_in_a_row: inner.failures_in_a_row,
            failing_since: inner.failing_since,
            last_failure: inner.last_failure.clone(),
            cursor: inner.progress.cursor,
            account: inner.progress.account.clone(),
            clock_offset_ns: best_offset(&inner.clock),
            last_span_at: inner.last_spans.map(|(_, at)| at),
            spans_per_second: rate(&inner.history),
            history: inner.history.iter().map(|(_, spans)| *spans).collect(),
            recent: inner.recent.iter().cloned().collect(),
            loss_windows: inner.losses.iter().map(|(_, window)| window.clone()).collect(),
            scrapes_total: inner.scrapes_total,
            early_pulls: inner.early_pulls,
            waiting: inner.waiting,
            next_scrape: inner.next_scrape.map(|at| on_the_clock(at, now)),
            next_pull: inner.next_pull.map(|at| on_the_clock(at, now)),
            log: inner.log,
            span_budget: inner.span_budget,
            sampled: inner.sampled,
            failures: inner.failures,
        }
    }

    fn state(&self, inner: &Inner, now: Instant) -> State {
        let lately = |at: Instant| now.saturating_duration_since(at) < self.window;
        let lost = |(at, window): &(Instant, LossWindow)| {
            lately(*at) && window.reason != LossReason::BeforeFirstScrape
        };
        let last_spans = inner.last_spans.map(|(at, _)| at);
        match inner.health {
            Health::Unknown => State::Unknown,
            Health::Down => State::Down,
            Health::Up if inner.not_traced => State::NotTraced,
            Health::Up if inner.losses.iter().any(lost) => State::Lossy,
            Health::Up => {
                let spans: u64 = inner
                    .history
                    .iter()
                    .filter(|(at, _)| lately(*at))
                    .map(|(_, spans)| u64::from(*spans))
                    .sum();
                if spans >= CONTEXT_SPANS_MIN
                    && self.context.is_alone(self.member, self.window, now)
                {
                    State::ContextLost
                } else if last_spans.or(inner.first_scrape).is_some_and(|at| !lately(at)) {
                    State::Silent
                } else {
                    State::Up
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Only this file writes, and only whole values.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn failed(&mut self, at: SystemTime) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.failing_since.get_or_insert(at);
    }

    fn tell(&mut self) -> bool {
        self.health == Health::Down && !std::mem::replace(&mut self.is_told, true)
    }

    fn busy(&mut self) {
        self.busy_intervals = self.busy_intervals.saturating_add(1);
        if self.busy_intervals >= BUSY_INTERVALS_MAX {
            self.health = Health::Down;
        }
    }
}

impl End {
    /// Why it counts as a failure, if it does.
    pub(crate) fn failure(&self) -> Option<(FailureCause, &str)> {
        match self {
            Self::Done | Self::Left | Self::NotTraced(_) => None,
            Self::Busy(text) => Some((FailureCause::Status, text)),
            Self::NotStored(text) | Self::Crowded(text) => Some((FailureCause::Commit, text)),
            Self::Failed(cause, text) => Some((*cause, text)),
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.context.leave(self.member);
    }
}

fn told(problems: &BTreeMap<Problem, String>) -> Option<String> {
    let texts: Vec<_> = problems.values().map(String::as_str).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

fn push_bounded<T>(items: &mut VecDeque<T>, item: T, max: usize) {
    if items.len() >= max {
        items.pop_front();
    }
    items.push_back(item);
}

/// What the clock says at an instant to come.
fn on_the_clock(at: Instant, now: Instant) -> SystemTime {
    SystemTime::now() + at.saturating_duration_since(now)
}

/// Losses that are more than before.
fn grown(before: &Account, after: &Account) -> impl Iterator<Item = (LossReason, u64)> + use<> {
    let before = before.lost.by_reason();
    after
        .lost
        .by_reason()
        .into_iter()
        .zip(before)
        .map(|((reason, now), (_, then))| (reason, now.saturating_sub(then)))
        .filter(|(_, spans)| *spans > 0)
}

/// The offset measured with the shortest round trip: the one with the smallest error.
fn best_offset(samples: &VecDeque<ClockSample>) -> Option<i64> {
    samples.iter().min_by_key(|sample| sample.round_trip).map(|sample| sample.offset_ns)
}

/// What the first scrape brought was made before it, at an unknown time: it only starts the clock.
fn rate(history: &VecDeque<(Instant, u32)>) -> f64 {
    let (Some((first, _)), Some((last, _))) = (history.front(), history.back()) else { return 0.0 };
    let seconds = last.saturating_duration_since(*first).as_secs_f64();
    let spans: f64 = history.iter().skip(1).map(|(_, spans)| f64::from(*spans)).sum();
    if seconds > 0.0 { spans / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests;

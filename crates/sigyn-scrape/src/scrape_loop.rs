//! One target's loop: scrape at its own instants, follow its pages, and move its cursor with each commit.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sigyn_model::codec::sink::BadSpan;
use sigyn_model::columns::Columns;
use sigyn_model::{SpanBatch, TargetProgress};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::account::{self, Arrived, Settled};
use crate::answer::Answer;
use crate::books::{Book, Ledger};
use crate::commit::{Commit, CommitError, NotCommitted, commit};
use crate::counts::Counts;
use crate::decode::Origin;
use crate::early::{Early, Wait};
use crate::failure_log::FailureLog;
use crate::request::Ask;
use crate::schedule::Schedule;
use crate::scrape::{Fetcher, Outcome, Question, Scraped};
use crate::scrape_error::{ScrapeError, chain, shortened};
use crate::siblings::Siblings;
use crate::status::FailureCause;
use crate::target::{End, Problem, Tick, Tracked};
use crate::trouble::{Trouble, Turn};
use crate::wanted::Wanted;

/// Pages followed in one scrape. What waits beyond them waits for the next one.
const PAGES_MAX: u32 = 64;
/// However long a busy target asks us to stay away, it is asked again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Everything a loop needs, moved into its task.
#[derive(Debug)]
pub(crate) struct ScrapeLoop {
    pub(crate) target: Arc<Tracked>,
    pub(crate) book: Book,
    pub(crate) fetcher: Fetcher,
    pub(crate) commits: mpsc::Sender<Commit>,
    pub(crate) schedule: Schedule,
    /// What is asked between its instants.
    pub(crate) early: Early,
    /// Spans a second that the job wants of the target, at most.
    pub(crate) span_budget: Option<u32>,
    /// A place for each request that waits.
    pub(crate) waits: Arc<Semaphore>,
    /// Why there is nothing to ask with, told at every tick: a target that cannot be asked is down.
    pub(crate) ask: Result<Ask, (FailureCause, String)>,
    pub(crate) origin: Origin,
    pub(crate) body_limit: u64,
    /// What would have to be raised for larger bodies, where that is not the job's own limit.
    pub(crate) memory_setting: Option<&'static str>,
    pub(crate) seed: u64,
    /// Where it is written that a scrape failed.
    pub(crate) failure_log: Option<Arc<FailureLog>>,
    pub(crate) trouble: Trouble,
    /// Other epochs that the target can tell, by the last answer.
    pub(crate) siblings: Siblings,
    pub(crate) counts: Arc<Counts>,
    /// Traces that are wanted although nobody sampled them.
    pub(crate) wanted: Arc<Wanted>,
}

/// What to do after one page.
pub(crate) enum Next {
    /// More waits.
    Page,
    /// The process waits for our acknowledgement before it ends. It may be gone before it answers.
    Farewell,
    /// More waits, and not for us.
    Enough,
    Stop(End),
}

/// How a scrape begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// With a request that is answered at once.
    Now,
    /// With one that may wait.
    Waits(Wait),
}

impl ScrapeLoop {
    /// Runs until `stop`; a scrape that is under way then is finished.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ledger = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            ledger = Arc::clone(&self.book).lock_owned() => ledger,
        };
        self.target.opened(&ledger.progress);
        let wait = self.schedule.until_first(self.target.target.hash, self.seed, SystemTime::now());
        let mut ticks = tokio::time::interval_at(Instant::now() + wait, self.schedule.interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut not_before = Instant::now();
        let mut before = None;
        self.target.begins(self.span_budget);
        self.target.set_door(self.ask.as_ref().ok().map(Ask::door));
        self.target.scraped_next(not_before + wait);
        loop {
            let wanted = Arc::clone(&self.wanted);
            let instant = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                instant = ticks.tick() => instant,
                call = wanted.called(self.target.calls()), if Instant::now() >= not_before => {
                    if let Some(pause) = self.answer_call(call, &mut ledger, &stop).await {
                        not_before = Instant::now() + pause.min(RETRY_AFTER_MAX);
                    }
                    continue;
                }
            };
            let now = Instant::now();
            if now < not_before {
                // What is left out on purpose is no irregularity.
                before = None;
                if self.target.left_alone() {
                    warn!(target = %self.target.key, "target goes on wanting to be asked later: it is down");
                }
                continue;
            }
            if let Some(before) = before.replace(now) {
                self.counts.interval(self.schedule.interval(), now - before);
            }
            let (tick, pause) = self.scrape(&mut ledger, &stop).await;
            let is_whole = tick.read_to_end;
            self.report(tick);
            if let Some(pause) = pause {
                not_before = Instant::now() + pause.min(RETRY_AFTER_MAX);
            }
            self.target.scraped_next(self.schedule.next(instant, not_before.max(Instant::now())));
            let answers = is_whole && pause.is_none();
            self.early.begin(ledger.progress.cursor.filter(|_| answers).map(|c| c.epoch));
            if let Some(waiting) = self.early.rests() {
                self.target.waits(waiting);
            }
            if let Some(pause) = self.between(&mut ledger, instant, &stop).await {
                not_before = Instant::now() + pause.min(RETRY_AFTER_MAX);
                self.target
                    .scraped_next(self.schedule.next(instant, not_before.max(Instant::now())));
            }
        }
    }

    /// One scrape with all its pages, and how long the target is to be left alone after it.
    async fn scrape(
        &mut self,
        ledger: &mut Ledger,
        stop: &CancellationToken,
    ) -> (Tick, Option<Duration>) {
        if self.trouble.begin() {
            self.target.clear(Problem::SeveralProcesses);
        }
        let (mut tick, mut pause) = self.pages(ledger, Call::Now, stop).await;
        if tick.read_to_end && pause.is_none() {
            pause = self.visit_siblings(ledger, &mut tick, stop).await;
        }
        (tick, pause)
    }

    /// Asks, and follows the pages.
    pub(crate) async fn pages(
        &mut self,
        ledger: &mut Ledger,
        mut call: Call,
        stop: &CancellationToken,
    ) -> (Tick, Option<Duration>) {
        let started = Instant::now();
        let mut tick = Tick {
            at: SystemTime::now(),
            took: Duration::ZERO,
            status: String::new(),
            bytes: 0,
            spans: 0,
            read_to_end: false,
            end: End::Done,
        };
        let mut pause = None;
        let mut is_farewell = false;
        for _ in 0..PAGES_MAX {
            let next = self.page(ledger, &mut tick, &mut pause, call, stop).await;
            call = Call::Now;
            match next {
                Next::Stop(End::Failed(_, error)) if is_farewell => {
                    debug!(target = %self.target.key, %error, "target ended before it answered our last request");
                    break;
                }
                Next::Stop(End::Done) if self.asks_for_more(ledger) => is_farewell = false,
                Next::Stop(end) => {
                    tick.read_to_end = matches!(end, End::Done);
                    tick.end = end;
                    break;
                }
                Next::Enough => break,
                Next::Page => is_farewell = false,
                Next::Farewell => (is_farewell, tick.read_to_end) = (true, true),
            }
            if stop.is_cancelled() {
                break;
            }
        }
        if matches!(tick.end, End::NotStored(_) | End::Crowded(_)) {
            pause = Some(self.trouble.not_stored(self.schedule.interval()));
        } else {
            self.trouble.stored();
        }
        if tick.read_to_end {
            self.target.asked(self.target.sent());
        }
        tick.took = started.elapsed();
        (tick, pause)
    }

    /// Whether there are traces that it was not asked for yet.
    fn asks_for_more(&self, ledger: &Ledger) -> bool {
        ledger.progress.cursor.is_some() && self.target.sent() < self.wanted.end()
    }

    async fn page(
        &mut self,
        ledger: &mut Ledger,
        tick: &mut Tick,
        pause: &mut Option<Duration>,
        call: Call,
        stop: &CancellationToken,
    ) -> Next {
        if let Some(refusal) = self.target.refusal() {
            return Next::Stop(End::Failed(FailureCause::TargetLimit, refusal));
        }
        let ask = match &self.ask {
            Ok(ask) => ask,
            Err((cause, error)) => return Next::Stop(End::Failed(*cause, error.clone())),
        };
        let asked_at = SystemTime::now();
        // One that never spoke the protocol is not asked for anything else either.
        let (collect, sent) = match ledger.progress.cursor {
            Some(_) => self.wanted.after(self.target.sent()),
            None => (Vec::new(), self.target.sent()),
        };
        let question = Question {
            ask,
            collect: &collect,
            cursor: ledger.progress.cursor,
            wait: call.lasts(),
            lives: &ledger.lives,
            timeout: self.schedule.timeout(),
            patience: Instant::now() + self.schedule.interval(),
            body_limit: self.body_limit,
            origin: &self.origin,
        };
        let fetched = self.fetcher.scrape(question);
        let fetched = match call {
            Call::Now => fetched.await,
            // Nothing of it is committed yet, so it may be left at any time.
            Call::Waits(wait) => tokio::select! {
                biased;
                () = stop.cancelled() => return Next::Stop(End::Left),
                () = tokio::time::sleep_until(wait.until) => return Next::Stop(End::Left),
                _ = self.wanted.called(self.target.calls()) => return Next::Stop(End::Left),
                fetched = fetched => fetched,
            },
        };
        match fetched {
            Ok(Outcome::Spans(scraped)) => {
                self.trouble.right_process();
                self.target.set_sent(sent);
                if !collect.is_empty() {
                    let told = scraped.answer.as_ref().and_then(|answer| answer.cold);
                    self.target.set_cold(told);
                }
                self.keep(*scraped, ledger, tick, asked_at).await
            }
            Ok(Outcome::NotTraced { status, reason }) => {
                tick.status = status.to_string();
                Next::Stop(End::NotTraced(reason))
            }
            Ok(Outcome::OtherProcess { status, epoch, is_shared }) => {
                tick.status = status.to_string();
                if self.siblings.is_visit {
                    // The sibling is over, and told to its end.
                    return Next::Stop(End::Done);
                }
                if is_shared {
                    ledger.turn_to(epoch);
                    return Next::Page;
                }
                self.turn(epoch, ledger)
            }
            Ok(Outcome::Unreadable { status, answer, error }) => {
                tick.status = status.to_string();
                if error.cause() == FailureCause::BodyLimit {
                    self.counts.body_limit_exceeded();
                }
                self.unreadable(&answer, &error, ledger, asked_at).await
            }
            Err(error @ ScrapeError::Crowded) => Next::Stop(End::Crowded(not_stored_text(&error))),
            Err(error) => {
                tick.status = error.status().map(|status| status.to_string()).unwrap_or_default();
                if let ScrapeError::Busy { retry_after } = error {
                    *pause = retry_after;
                    return Next::Stop(End::Busy(chain(&error)));
                }
                if error.cause() == FailureCause::BodyLimit {
                    self.counts.body_limit_exceeded();
                }
                if error.cause() == FailureCause::BodyLimit
                    && let Ok(ask) = &mut self.ask
                {
                    // A foreign target may have let go of these spans. The next body shall fit.
                    ask.shrink();
                }
                Next::Stop(End::Failed(error.cause(), self.words(&error)))
            }
        }
    }

    /// The error with its causes, and where a limit comes from that stands in no configuration.
    fn words(&self, error: &ScrapeError) -> String {
        let text = chain(error);
        match self.memory_setting {
            Some(setting) if error.cause() == FailureCause::BodyLimit => {
                format!("{text}, which is all that one body may take of {setting}: raise that")
            }
            _ => text,
        }
    }

    /// Another process answered than the one that was asked.
    fn turn(&mut self, epoch: u64, ledger: &mut Ledger) -> Next {
        let text = "several processes answer at this address: \
            what is read of each depends on chance, and a restart of the tracer stores spans twice";
        if self.target.note(Problem::SeveralProcesses, text.to_owned()) {
            warn!(target = %self.target.key, "several processes answer at one address, find them by their own");
        }
        match self.trouble.other_process() {
            Turn::TheOneThatAnswered => {
                ledger.turn_to(epoch);
                Next::Page
            }
            Turn::TheOneThatWasAsked => Next::Page,
            Turn::GiveUp => Next::Enough,
        }
    }

    /// A body of a target with cursors is of no use. It is asked for again in smaller pages, until one
    /// segment stands alone; if that cannot be read time and again, it is stepped over.
    async fn unreadable(
        &mut self,
        answer: &Answer,
        error: &ScrapeError,
        ledger: &mut Ledger,
        asked_at: SystemTime,
    ) -> Next {
        let cause = error.cause();
        if self.shrink(answer, cause) {
            debug!(target = %self.target.key, %error, "body cannot be read, asking for less at a time");
            return Next::Page;
        }
        if !self.trouble.strike(answer.next) {
            return Next::Stop(End::Failed(cause, self.words(error)));
        }
        let segments = answer.range.map_or(1, |range| range.last - range.first + 1);
        // Each holds one span at least. The others are found once the law closes.
        let arrived = Arrived { kept: 0, rejected: segments, uncounted: true };
        self.step_over(answer, arrived, self.words(error), ledger, asked_at).await
    }

    /// Asks for less at a time. False if the answer holds as little as can be asked for.
    fn shrink(&mut self, answer: &Answer, cause: FailureCause) -> bool {
        let Ok(ask) = &mut self.ask else { return false };
        if answer.range.is_none_or(|range| range.first == range.last) {
            return false;
        }
        match cause {
            FailureCause::Decode => ask.shrink_to_one_segment(),
            _ => ask.shrink(),
        }
    }

    /// Moves the cursor past segments whose spans are given up, and counts them.
    async fn step_over(
        &mut self,
        answer: &Answer,
        arrived: Arrived,
        error: String,
        ledger: &mut Ledger,
        asked_at: SystemTime,
    ) -> Next {
        let settled = account::settle(&ledger.progress, ledger.uncounted, answer, arrived);
        let batch = SpanBatch { spans: Box::default(), progress: Some(settled.progress.clone()) };
        if let Err(error) = self.commit(batch).await {
            return not_stored(&error);
        }
        let cursor = ledger.progress.cursor.map(tracing::field::display);
        warn!(target = %self.target.key, cursor, %error, "segment stepped over, its spans are rejected");
        self.target.note(Problem::SteppedOver, format!("a segment was stepped over: {error}"));
        self.settle(settled, Some(answer), ledger, asked_at)
    }

    /// Commits one answer, and moves the books with it.
    async fn keep(
        &mut self,
        scraped: Scraped,
        ledger: &mut Ledger,
        tick: &mut Tick,
        asked_at: SystemTime,
    ) -> Next {
        let Scraped { status, answer, siblings, spans, bytes, clock, share } = scraped;
        self.siblings.told(siblings);
        tick.status = status.to_string();
        tick.bytes += bytes;
        if let Some(sample) = clock {
            self.target.measured(sample);
        }
        // Told once; how many they are is in the books.
        let rejected = spans.rejected();
        if let Some(problem) = spans.problems().first().map(BadSpan::to_string)
            && self.target.note(Problem::RefusedSpans, problem.clone())
        {
            warn!(target = %self.target.key, count = rejected, %problem, "target sent spans that cannot be kept");
        }
        let (kept, rejected) = (spans.len() as u64, rejected as u64);
        let arrived = Arrived { kept, rejected, uncounted: false };
        if let Some(answer) = &answer {
            self.early.told(answer.log.and_then(|log| log.lasts));
            self.target.told(answer.log, answer.sampled);
            self.wanted.kept(&answer.kept);
        }
        let settled = match &answer {
            Some(answer) => account::settle(&ledger.progress, ledger.uncounted, answer, arrived),
            None => account::settle_foreign(&ledger.progress, ledger.uncounted, arrived),
        };
        let wanting = self.wanted.callers.wanting(&spans);
        match self.commit_if_new(spans, &settled.progress, &ledger.progress).await {
            Ok(()) => {
                for (collection, spans) in wanting {
                    collection.stored(&self.target.key, spans);
                }
            }
            Err(NotCommitted::Refused(CommitError::TooLarge)) => {
                let all = Arrived { kept: 0, rejected: kept + rejected, uncounted: false };
                return self.too_large(answer.as_ref(), all, ledger, asked_at).await;
            }
            Err(error) => return not_stored(&error),
        }
        drop(share);
        if let Ok(ask) = &mut self.ask {
            ask.fitted();
        }
        tick.spans += kept;
        self.settle(settled, answer.as_ref(), ledger, asked_at)
    }

    async fn commit_if_new(
        &self,
        spans: Box<Columns>,
        after: &TargetProgress,
        before: &TargetProgress,
    ) -> Result<(), NotCommitted> {
        if spans.is_empty() && after == before {
            return Ok(());
        }
        self.target.observe(&spans);
        self.commit(SpanBatch { spans, progress: Some(after.clone()) }).await
    }

    /// The store will never take these spans at once.
    async fn too_large(
        &mut self,
        answer: Option<&Answer>,
        all: Arrived,
        ledger: &mut Ledger,
        asked_at: SystemTime,
    ) -> Next {
        let error = chain(&CommitError::TooLarge);
        let Some(answer) = answer else {
            // A foreign target does not give them again.
            let settled = account::settle_foreign(&ledger.progress, ledger.uncounted, all);
            let batch =
                SpanBatch { spans: Box::default(), progress: Some(settled.progress.clone()) };
            if let Err(error) = self.commit(batch).await {
                return not_stored(&error);
            }
            warn!(target = %self.target.key, %error, spans = all.rejected, "spans rejected");
            self.target.note(Problem::SteppedOver, format!("spans were rejected: {error}"));
            return self.settle(settled, None, ledger, asked_at);
        };
        if self.shrink(answer, FailureCause::BodyLimit) {
            debug!(target = %self.target.key, "page too large for the store, asking for less at a time");
            return Next::Page;
        }
        self.step_over(answer, all, error, ledger, asked_at).await
    }

    /// The answer is committed: the books follow it. Says what is to be asked next.
    fn settle(
        &self,
        settled: Settled,
        answer: Option<&Answer>,
        ledger: &mut Ledger,
        asked_at: SystemTime,
    ) -> Next {
        let (before, after) = (&ledger.progress, &settled.progress);
        let advanced = after.cursor != before.cursor;
        if after.account.restarts > before.account.restarts {
            // What the old process finished after our last scrape went with it.
            let cursor = after.cursor.map(tracing::field::display);
            info!(target = %self.target.key, cursor, "target restarted, the end of its old log is unknown");
        }
        match settled.surplus {
            None => {}
            Some(0) => self.target.clear(Problem::Contradiction),
            Some(spans) => {
                let text = format!("counts {spans} spans fewer than came from it or are lost");
                if self.target.note(Problem::Contradiction, text) {
                    warn!(target = %self.target.key, spans, "target counts fewer spans than came from it");
                }
            }
        }
        for (reason, spans) in self.target.committed(after, asked_at) {
            self.counts.lost(&self.target.target.job, reason, spans);
        }
        ledger.settled(settled);
        match answer {
            // Where there are several, it is told at once that we have all: the store remembers one cursor alone.
            Some(_) if self.siblings.are_several() && advanced => Next::Page,
            Some(answer) if answer.more && advanced => Next::Page,
            // Without a step forward the next page would be this one again.
            Some(answer) if answer.more => Next::Enough,
            Some(answer) if answer.is_final && advanced => Next::Farewell,
            _ => Next::Stop(End::Done),
        }
    }

    async fn commit(&self, batch: SpanBatch) -> Result<(), NotCommitted> {
        commit(&self.commits, batch, self.schedule.interval()).await
    }

    fn report(&self, tick: Tick) {
        let key = &self.target.key;
        let failure = tick.end.failure().map(|(cause, error)| (cause, error.to_owned()));
        let is_ours = matches!(tick.end, End::NotStored(_) | End::Crowded(_));
        // Once is a moment of load; twice in a row deserves an operator's eye.
        if let Some((_, error)) = &failure
            && is_ours
            && self.trouble.not_stored_in_a_row() == 2
        {
            warn!(target = %key, %error, "spans wait at their target");
        }
        debug!(target = %key, spans = tick.spans, bytes = tick.bytes, took = ?tick.took, end = ?tick.end, "scraped");
        // Prometheus writes nothing of targets that it does not ask, for there are too many.
        if let (Some((cause, error)), Some(log)) = (&failure, &self.failure_log)
            && *cause != FailureCause::TargetLimit
        {
            log.write(tick.at, error, &self.target.target.job, &self.target.target.url);
        }
        self.counts.scraped(&self.target.target.job, failure.as_ref().map(|(cause, _)| *cause));
        let (before, was_told) = (self.target.failures_in_a_row(), self.target.is_told());
        let failures = self.target.scraped(tick);
        match failure {
            // One missed scrape is a restart; two in a row deserve an operator's eye. One that wants
            // to be asked later may say so more often.
            Some((cause, error)) if failures >= 2 && !is_ours && self.target.tell() => {
                warn!(target = %key, cause = cause.as_str(), %error, "target keeps failing");
            }
            _ if was_told && failures == 0 => {
                info!(target = %key, failures = before, "target is back");
            }
            _ => {}
        }
    }
}

impl Call {
    fn lasts(self) -> Option<Duration> {
        match self {
            Self::Now => None,
            Self::Waits(wait) => Some(wait.lasts),
        }
    }
}

/// It was answered, and the cursor stays: the same page is asked for again.
fn not_stored(error: &dyn std::error::Error) -> Next {
    Next::Stop(End::NotStored(not_stored_text(error)))
}

fn not_stored_text(error: &dyn std::error::Error) -> String {
    shortened(format!("cannot store what was scraped: {}", chain(error)))
}

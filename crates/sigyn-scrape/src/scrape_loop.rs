//! One target's loop: scrape at its own instants, follow its pages, and move its cursor with each commit.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sigyn_model::{SpanBatch, TargetProgress};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::account::{self, Arrived};
use crate::books::Book;
use crate::decode::Origin;
use crate::request::Ask;
use crate::schedule::Schedule;
use crate::scrape::{Fetcher, Outcome, Scraped};
use crate::scrape_error::{ScrapeError, chain};
use crate::status::FailureCause;
use crate::target::{End, Tick, Tracked};

/// Pages followed in one scrape. What waits beyond them waits for the next one.
const PAGES_MAX: u32 = 64;
/// However long a busy target asks us to stay away, it is asked again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Spans on their way to the store, and who waits for its answer.
///
/// The store answers once they are durable. Only then does the target's cursor move; after an error,
/// or if `done` is dropped, the same segments are asked for again.
#[derive(Debug)]
pub struct Commit {
    pub batch: SpanBatch,
    pub done: oneshot::Sender<Result<(), CommitError>>,
}

/// Why the store did not keep a batch. Nothing of it is durable then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// It will never fit as it is: the target is asked for less at a time.
    #[error("a batch is larger than the store takes at once")]
    TooLarge,
    #[error("{0}")]
    Failed(String),
}

/// Why a batch is not known to be durable.
#[derive(Debug, thiserror::Error)]
enum NotCommitted {
    #[error("the store is behind: it took no spans within {0:?}")]
    Behind(Duration),
    #[error("the store did not keep the spans")]
    Refused(#[source] CommitError),
    #[error("the store is closed")]
    Closed,
}

/// Everything a loop needs, moved into its task.
#[derive(Debug)]
pub(crate) struct ScrapeLoop {
    pub(crate) target: Arc<Tracked>,
    pub(crate) book: Book,
    pub(crate) fetcher: Fetcher,
    pub(crate) commits: mpsc::Sender<Commit>,
    pub(crate) schedule: Schedule,
    /// Why there is nothing to ask with, told at every tick: a target that cannot be asked is down.
    pub(crate) ask: Result<Ask, (FailureCause, String)>,
    pub(crate) origin: Origin,
    pub(crate) body_limit: u64,
    pub(crate) seed: u64,
}

/// What to do after one page.
enum Next {
    /// More waits.
    Page,
    /// The process waits for our acknowledgement before it ends. It may be gone before it answers.
    Farewell,
    Stop(End),
}

impl ScrapeLoop {
    /// Runs until `stop`; a scrape that is under way then is finished.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut progress = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            progress = Arc::clone(&self.book).lock_owned() => progress,
        };
        self.target.opened(&progress);
        let wait = self.schedule.until_first(self.target.target.hash, self.seed, SystemTime::now());
        let mut ticks = tokio::time::interval_at(Instant::now() + wait, self.schedule.interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut not_before = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if Instant::now() < not_before {
                continue;
            }
            if let Some(pause) = self.scrape(&mut progress, &stop).await {
                not_before = Instant::now() + pause.min(RETRY_AFTER_MAX);
            }
        }
    }

    /// One scrape with all its pages. Returns how long the target wants to be left alone.
    async fn scrape(
        &mut self,
        progress: &mut TargetProgress,
        stop: &CancellationToken,
    ) -> Option<Duration> {
        let started = Instant::now();
        let mut tick = Tick {
            at: SystemTime::now(),
            took: Duration::ZERO,
            status: String::new(),
            bytes: 0,
            spans: 0,
            end: End::Done,
        };
        let mut pause = None;
        let mut is_farewell = false;
        for _ in 0..PAGES_MAX {
            match self.page(progress, &mut tick, &mut pause).await {
                Next::Stop(End::Failed(_, error)) if is_farewell => {
                    debug!(target = %self.target.key, %error, "target ended before it answered our last request");
                    break;
                }
                Next::Stop(end) => {
                    tick.end = end;
                    break;
                }
                Next::Page => is_farewell = false,
                Next::Farewell => is_farewell = true,
            }
            if stop.is_cancelled() {
                break;
            }
        }
        tick.took = started.elapsed();
        self.report(tick);
        pause
    }

    async fn page(
        &mut self,
        progress: &mut TargetProgress,
        tick: &mut Tick,
        pause: &mut Option<Duration>,
    ) -> Next {
        if let Some(refusal) = self.target.refusal() {
            return Next::Stop(End::Failed(FailureCause::TargetLimit, refusal));
        }
        let ask = match &mut self.ask {
            Ok(ask) => ask,
            Err((cause, error)) => return Next::Stop(End::Failed(*cause, error.clone())),
        };
        let asked_at = SystemTime::now();
        let timeout = self.schedule.timeout();
        let outcome =
            self.fetcher.scrape(ask, progress.cursor, timeout, self.body_limit, &self.origin).await;
        match outcome {
            Ok(Outcome::Spans(scraped)) => self.keep(*scraped, progress, tick, asked_at).await,
            Ok(Outcome::NotTraced { status, reason }) => {
                tick.status = status.to_string();
                Next::Stop(End::NotTraced(reason))
            }
            Err(error) => {
                if let ScrapeError::Busy { retry_after } = error {
                    *pause = retry_after;
                }
                let cause = error.cause();
                let shrinks = cause == FailureCause::BodyLimit && ask.shrink();
                // A target with cursors gives the same spans again, in smaller pages. A foreign one
                // may have let go of them: it is left alone until its next turn.
                if shrinks && progress.cursor.is_some() {
                    debug!(target = %self.target.key, "body over its limit, asking for less at a time");
                    return Next::Page;
                }
                tick.status = error.status().map(|status| status.to_string()).unwrap_or_default();
                Next::Stop(End::Failed(cause, chain(&error)))
            }
        }
    }

    /// Commits one answer, and moves the books with it.
    async fn keep(
        &self,
        scraped: Scraped,
        progress: &mut TargetProgress,
        tick: &mut Tick,
        asked_at: SystemTime,
    ) -> Next {
        let Scraped { status, answer, spans, problems, bytes, clock, place } = scraped;
        tick.status = status.to_string();
        tick.bytes += bytes;
        if let Some(sample) = clock {
            self.target.measured(sample);
        }
        // Told once; how many they are is in the books.
        if let Some(problem) = problems.first()
            && self.target.refused(problem)
        {
            let count = problems.len();
            warn!(target = %self.target.key, count, %problem, "target sent spans that cannot be kept");
        }
        let arrived = Arrived { kept: spans.len() as u64, rejected: problems.len() as u64 };
        let after = match &answer {
            Some(answer) => account::settle(progress, answer, arrived),
            None => account::settle_foreign(progress, arrived),
        };
        let advanced = after.cursor != progress.cursor;
        if !spans.is_empty() || after != *progress {
            self.target.observe(&spans);
            let batch = SpanBatch { spans, progress: Some(after.clone()) };
            if let Err(error) = self.commit(batch).await {
                return Next::Stop(End::Failed(FailureCause::Commit, chain(&error)));
            }
        }
        drop(place);
        if after.account.restarts > progress.account.restarts {
            // What the old process finished after our last scrape went with it.
            info!(target = %self.target.key, cursor = ?after.cursor, "target restarted, the end of its old log is unknown");
        }
        tick.spans += arrived.kept;
        self.target.committed(&after, asked_at);
        *progress = after;
        match answer {
            // Without a step forward the next page would be this one again.
            Some(answer) if answer.more && advanced => Next::Page,
            Some(answer) if answer.is_final && advanced => Next::Farewell,
            _ => Next::Stop(End::Done),
        }
    }

    async fn commit(&self, batch: SpanBatch) -> Result<(), NotCommitted> {
        // A full queue holds the target back, for one interval at most: then the batch is dropped,
        // and asked for again. Once it is handed over there is no way but to wait for the answer:
        // asking again before it might store the same spans twice.
        let patience = self.schedule.interval();
        let slot = tokio::time::timeout(patience, self.commits.reserve())
            .await
            .map_err(|_| NotCommitted::Behind(patience))?
            .map_err(|_| NotCommitted::Closed)?;
        let (done, answer) = oneshot::channel();
        slot.send(Commit { batch, done });
        answer.await.map_err(|_| NotCommitted::Closed)?.map_err(NotCommitted::Refused)
    }

    fn report(&self, tick: Tick) {
        let key = &self.target.key;
        let failed = match &tick.end {
            End::Failed(cause, error) => Some((cause.as_str(), error.clone())),
            End::Done | End::NotTraced(_) => None,
        };
        debug!(target = %key, spans = tick.spans, bytes = tick.bytes, took = ?tick.took, end = ?tick.end, "scraped");
        let before = self.target.failures_in_a_row();
        let failures = self.target.scraped(tick);
        match failed {
            // One missed scrape is a restart; two in a row deserve an operator's eye.
            Some((cause, error)) if failures == 2 => {
                warn!(target = %key, cause, %error, "target keeps failing");
            }
            None if before >= 2 => info!(target = %key, failures = before, "target is back"),
            _ => {}
        }
    }
}

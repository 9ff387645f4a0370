//! Targets are asked because somebody waits for it: for traces that nobody sampled, and for what lies beside their spans.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sigyn_model::TraceId;
use sigyn_model::pull::Cold;
use tokio::task::JoinSet;

use crate::callers::Busy;
use crate::door::AskError;
use crate::status::Status;
use crate::target::Tracked;

/// How often it is looked whether all targets were asked.
const COLLECT_POLL: Duration = Duration::from_millis(20);
/// How long a target waits for its turn to be asked, while many are.
const TURN: Duration = Duration::from_secs(5);

/// What one target tells when it is asked for something beside its spans.
#[derive(Debug)]
pub struct TargetAnswer {
    /// The label `job`.
    pub job: String,
    /// The label `pod`, or else `instance`.
    pub name: String,
    pub url: String,
    pub body: Result<Bytes, AskError>,
}

/// What came of asking all targets for traces that nobody sampled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// One for each target that speaks the protocol and is up.
    pub from: Vec<CollectedFrom>,
    /// The others.
    pub not_asked: Vec<NotAsked>,
}

/// A target that could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAsked {
    /// The label `job`.
    pub job: String,
    /// The label `pod`, or else `instance`.
    pub name: String,
    pub url: String,
    pub why: NotAskedWhy,
    /// Of its last scrape.
    pub error: Option<String>,
}

/// Why a target could not be asked; those that may have spans nevertheless come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotAskedWhy {
    Down,
    /// It was not scraped yet.
    Unknown,
    /// It answers, but not with spans.
    NotTraced,
    /// It gives spans, and does not speak the protocol.
    Foreign,
}

/// What came of asking one target for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectedFrom {
    /// The label `job`.
    pub job: String,
    /// The label `pod`, or else `instance`.
    pub name: String,
    pub url: String,
    pub outcome: CollectOutcome,
    /// Spans of the traces that came from it meanwhile, and are stored.
    pub spans: u64,
    /// What it keeps of traces that nobody sampled, as it says itself in its answer; `None` if it does not.
    pub cold: Option<Cold>,
}

/// How far one target came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectOutcome {
    /// It was asked, and what it gave is stored.
    Given,
    /// It could not be asked, or did not answer as it ought to.
    Failed,
    /// It had not answered when the time was over.
    Waiting,
}

impl Collected {
    /// Targets with this outcome.
    pub fn count(&self, outcome: CollectOutcome) -> usize {
        self.from.iter().filter(|from| from.outcome == outcome).count()
    }
}

impl NotAskedWhy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::NotTraced => "not_traced",
            Self::Foreign => "foreign",
        }
    }
}

impl Status {
    /// Asks all targets that are up for traces that nobody sampled: what they still have of them is stored then. Ends when
    /// all were asked, or after `timeout`; they are asked on even so. Those that cannot be asked now are told.
    pub async fn collect(&self, ids: &[TraceId], timeout: Duration) -> Result<Collected, Busy> {
        let wanted = self.wanted();
        let _caller = wanted.callers.enter()?;
        let counting = wanted.callers.collect(ids);
        let call = wanted.call(ids);
        let (mut targets, mut not_asked) = (Vec::new(), Vec::new());
        for target in self.targets() {
            match target.can_be_asked() {
                Ok(()) => targets.push(target),
                Err((why, error)) => {
                    let (job, name) = job_and_name(&target);
                    let url = target.target.url.clone();
                    not_asked.push(NotAsked { job, name, url, why, error });
                }
            }
        }
        let done = async {
            let mut poll = tokio::time::interval(COLLECT_POLL);
            while targets.iter().any(|target| target.calls() < call) {
                poll.tick().await;
            }
        };
        // Either way it is told how far they came.
        let _ = tokio::time::timeout(timeout, done).await;
        let from = targets.iter().map(|target| {
            let outcome = match (target.has_given(call), target.calls() >= call) {
                (true, _) => CollectOutcome::Given,
                (false, true) => CollectOutcome::Failed,
                (false, false) => CollectOutcome::Waiting,
            };
            let (job, name) = job_and_name(target);
            CollectedFrom {
                job,
                name,
                url: target.target.url.clone(),
                outcome,
                spans: counting.from(&target.key),
                // What it said when it was asked for something else may not be true any more.
                cold: target.cold().filter(|_| outcome == CollectOutcome::Given),
            }
        });
        Ok(Collected { from: from.collect(), not_asked })
    }

    /// Asks targets that are up for what lies beside their spans (`tracez?…`): `max` of them at most, those that are
    /// of these jobs first, in lower case. Hands over each answer as it comes, and returns how many targets there are in all.
    pub async fn ask(
        &self,
        beside: &str,
        jobs: &[String],
        max: usize,
        timeout: Duration,
        mut each: impl FnMut(TargetAnswer),
    ) -> Result<usize, Busy> {
        let wanted = self.wanted();
        let _caller = wanted.callers.enter()?;
        let mut targets: Vec<_> =
            self.targets().filter(|target| target.can_be_asked().is_ok()).collect();
        let job = |target: &Tracked| target.public_labels().get("job").unwrap_or("").to_lowercase();
        if !jobs.is_empty() {
            targets.sort_by_cached_key(|target| !jobs.contains(&job(target)));
        }
        let total = targets.len();
        targets.truncate(max);
        let beside: Arc<str> = beside.into();
        let mut asking = JoinSet::new();
        for target in targets {
            let (places, beside) = (Arc::clone(&wanted.callers.places), Arc::clone(&beside));
            asking.spawn(async move {
                let turn = tokio::time::timeout(TURN, places.acquire_owned()).await;
                let body = match (turn, target.door()) {
                    (Err(_), _) => Err(AskError::Crowded(TURN)),
                    (Ok(_), None) => Err(AskError::Closed),
                    (Ok(_place), Some(door)) => door.get(&beside, timeout).await,
                };
                let (job, name) = job_and_name(&target);
                TargetAnswer { job, name, url: target.target.url.clone(), body }
            });
        }
        // One at a time: all bodies together may be large.
        while let Some(answer) = asking.join_next().await {
            answer.into_iter().for_each(&mut each);
        }
        Ok(total)
    }

    /// Requests that were sent away, as too many waited for answers of targets already.
    pub fn asks_refused_total(&self) -> u64 {
        self.wanted().callers.refused_total()
    }
}

fn job_and_name(target: &Tracked) -> (String, String) {
    let labels = target.public_labels();
    let name = labels.get("pod").or_else(|| labels.get("instance"));
    let job = labels.get("job").unwrap_or("");
    (job.to_owned(), name.unwrap_or(&target.target.url).to_owned())
}

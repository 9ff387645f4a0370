//! Following the objects of one kind: a list, then what changes, and another list when it is no
//! longer known what has changed.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::api::{Api, ApiError, Refusal, Status};
use super::list::{self, Paging};
use super::objects::{Metadata, Object};
use super::question::Question;
use super::store::Store;
use crate::error_chain::chain;
use crate::go_url::shown;
use crate::mechanism::{Part, Sharers};
use crate::metrics::Metrics;

/// An object has a megabyte and a half at most, where the API stores it.
const LINE_BYTES_MAX: usize = 8 << 20;

/// A watch that lived for so long has worked, whether anything was heard or not.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

/// How long to wait for what.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// A page of a list.
    pub(super) list: Duration,
    /// The beginning of a watch.
    pub(super) open: Duration,
    /// How long a watch is asked to go on, in seconds, so that not all end together.
    pub(super) watch: Range<u64>,
    /// How long a watch may be silent. About once a minute the API tells its version; where it does
    /// not, it is asked again for no good reason, which does no harm.
    pub(super) silence: Duration,
    /// After the first failure, at most. Each further one in a row takes twice as long.
    pub(super) pause_min: Duration,
    pub(super) pause_max: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            list: Duration::from_secs(90),
            open: Duration::from_secs(30),
            watch: 300..600,
            silence: Duration::from_secs(150),
            pause_min: Duration::from_millis(800),
            pause_max: Duration::from_secs(30),
        }
    }
}

/// Keeps a store up to date.
#[derive(Debug)]
pub(super) struct Watching<T> {
    api: Arc<Api>,
    question: Question,
    store: Arc<Store<T>>,
    metrics: Arc<Metrics>,
    times: Times,
    paging: Paging,
    /// Who needs it, for log lines.
    sharers: Arc<Sharers>,
}

/// Why a watch does not go on.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    /// What has changed since the version that is known is no longer known.
    #[error("the version is too old")]
    Gone,
    #[error(transparent)]
    Ask(ApiError),
    #[error("the watch broke off")]
    Lost(#[source] hyper::Error),
    #[error("the watch broke off amid an event")]
    Cut,
    #[error("an event is larger than {} bytes", LINE_BYTES_MAX)]
    TooLarge,
    #[error("an event is none")]
    Json(#[source] serde_json::Error),
    #[error("an event is about an object without a name")]
    Name,
    #[error("the watch failed{0}")]
    Refused(Refusal),
}

/// A line of a watch.
#[derive(Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
enum Said<T> {
    Added(T),
    Modified(T),
    Deleted(T),
    /// Nothing has changed up to this version.
    Bookmark(Bookmark),
    Error(Status),
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: Metadata,
}

impl<T: Object> Watching<T> {
    pub(super) fn new(
        api: Arc<Api>,
        question: Question,
        store: Arc<Store<T>>,
        metrics: Arc<Metrics>,
        times: Times,
        sharers: Arc<Sharers>,
    ) -> Self {
        Self { api, question, store, metrics, times, paging: Paging::default(), sharers }
    }

    /// Works for as long as it is let.
    pub(super) async fn run(mut self) {
        let _end = End(Arc::clone(&self.store));
        let mut pauses = Pauses::new(&self.times);
        loop {
            let listed = list::list(&self.api, &self.question, &mut self.paging, &self.times).await;
            match listed {
                Ok(listed) => {
                    self.paging.want_newest();
                    self.sharers.works(&self.part());
                    self.store.replace(listed.objects);
                    self.follow(listed.version, &mut pauses).await;
                }
                Err(error) => {
                    self.failed(&error);
                    pauses.pause().await;
                }
            }
        }
    }

    /// Watches, again and again, until there has to be another list.
    async fn follow(&self, mut version: String, pauses: &mut Pauses) {
        loop {
            let begun = Instant::now();
            let mut has_heard = false;
            let ended = self.watch(&mut version, &mut has_heard).await;
            let has_worked = has_heard || begun.elapsed() >= LONG_ENOUGH;
            if has_worked {
                pauses.reset();
            }
            let needs_list = match &ended {
                Ok(()) => false,
                Err(error) => error.needs_list(),
            };
            match ended {
                Ok(()) | Err(WatchError::Gone) if has_worked => {}
                Ok(()) | Err(WatchError::Gone) => pauses.pause().await,
                Err(error) => {
                    self.failed(&error);
                    pauses.pause().await;
                }
            }
            if needs_list {
                return;
            }
        }
    }

    /// One watch, to its end. `version` is kept up to date.
    async fn watch(&self, version: &mut String, has_heard: &mut bool) -> Result<(), WatchError> {
        let seconds = fastrand::u64(self.times.watch.clone());
        let url = self.question.watch(&self.api.base, version, seconds);
        let opened = self.api.open(&url, Instant::now() + self.times.open).await;
        let mut body = opened.map_err(WatchError::from)?;
        self.sharers.works(&self.part());
        // One that does not end when it should is ended here.
        let end = Instant::now() + Duration::from_secs(seconds) + self.times.open;
        let mut lines = Lines::default();
        loop {
            let silent_until = end.min(Instant::now() + self.times.silence);
            let Ok(frame) = timeout_at(silent_until, body.frame()).await else { return Ok(()) };
            let Some(frame) = frame else { break };
            let Ok(data) = frame.map_err(WatchError::Lost)?.into_data() else { continue };
            lines.push(&data)?;
            while let Some(line) = lines.next() {
                self.hear(&line, version)?;
                *has_heard = true;
            }
        }
        if lines.is_empty() { Ok(()) } else { Err(WatchError::Cut) }
    }

    fn hear(&self, line: &[u8], version: &mut String) -> Result<(), WatchError> {
        let said = serde_json::from_slice::<Said<T>>(line).map_err(WatchError::Json)?;
        let newer = match said {
            Said::Added(object) | Said::Modified(object) => {
                let (object, newer) = stripped::<T>(object)?;
                self.store.put(object);
                newer
            }
            Said::Deleted(object) => {
                let (object, newer) = stripped::<T>(object)?;
                self.store.remove(&object.name());
                newer
            }
            Said::Bookmark(bookmark) => bookmark.metadata.resource_version,
            Said::Error(status) if status.is_gone() => return Err(WatchError::Gone),
            Said::Error(status) => return Err(WatchError::Refused(status.refusal())),
        };
        if !newer.is_empty() {
            *version = newer;
        }
        Ok(())
    }

    /// As the API names it.
    fn part(&self) -> Part {
        let resource = self.question.resource;
        Part::Named(match self.question.namespace.as_str() {
            "" => format!("{resource:?}"),
            namespace => format!("{resource:?} in {namespace}"),
        })
    }

    fn failed(&self, error: &dyn std::error::Error) {
        self.metrics.kubernetes_failures.increment();
        let error = chain(error);
        self.sharers.failed(&self.part(), &error);
        tracing::warn!(
            config = %self.sharers,
            discovery = "kubernetes",
            server = shown(self.api.base.as_str()),
            resource = ?self.question.resource,
            namespace = self.question.namespace,
            kept_targets = self.sharers.kept(),
            error,
            "cannot learn from Kubernetes what there is"
        );
    }
}

fn stripped<T: Object>(mut object: T) -> Result<(T, String), WatchError> {
    let version = object.strip();
    if object.metadata().name.is_empty() {
        return Err(WatchError::Name);
    }
    Ok((object, version))
}

impl WatchError {
    /// Whether it is no longer known what there is. A connection that breaks off loses nothing: the
    /// next watch begins where it ended.
    fn needs_list(&self) -> bool {
        match self {
            Self::Ask(error) => error.is_misunderstood(),
            Self::Lost(_) | Self::Cut => false,
            Self::Gone | Self::TooLarge | Self::Json(_) | Self::Name | Self::Refused(_) => true,
        }
    }
}

impl From<ApiError> for WatchError {
    fn from(error: ApiError) -> Self {
        if error.is_gone() { Self::Gone } else { Self::Ask(error) }
    }
}

/// Tells the store when nobody works any more, which takes a fault.
struct End<T>(Arc<Store<T>>);

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What has come of lines.
#[derive(Default)]
struct Lines {
    read: BytesMut,
    /// Up to here there is no end of a line.
    searched: usize,
}

impl Lines {
    fn push(&mut self, data: &[u8]) -> Result<(), WatchError> {
        if self.read.len() + data.len() > LINE_BYTES_MAX {
            return Err(WatchError::TooLarge);
        }
        self.read.extend_from_slice(data);
        Ok(())
    }

    /// The next whole line that is not blank.
    fn next(&mut self) -> Option<BytesMut> {
        loop {
            let end = self.read[self.searched..].iter().position(|byte| *byte == b'\n');
            let Some(end) = end else {
                self.searched = self.read.len();
                return None;
            };
            let line = self.read.split_to(self.searched + end);
            self.read.advance(1);
            self.searched = 0;
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
    }

    /// Whether nothing is left.
    fn is_empty(&self) -> bool {
        self.read.trim_ascii().is_empty()
    }
}

/// How long to leave an API alone that does not answer: ever longer.
struct Pauses {
    next: Duration,
    min: Duration,
    max: Duration,
}

impl Pauses {
    fn new(times: &Times) -> Self {
        Self { next: times.pause_min, min: times.pause_min, max: times.pause_max }
    }

    fn reset(&mut self) {
        self.next = self.min;
    }

    /// Between half the time and all of it, so that not all come back together.
    async fn pause(&mut self) {
        sleep(self.next.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.next = self.max.min(self.next * 2);
    }
}

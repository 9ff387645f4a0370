//! The store: open, append, query, close. All that a caller sees.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sigyn_model::{DependencyLink, Span, SpanBatch, TargetProgress, TraceId, TraceQuery};

use crate::clock::Clock;
use crate::commit::{self, Encoded};
use crate::disk::{Disk, Lock};
use crate::queries::Queries;
use crate::query::QueryFailed;
use crate::recovery::{self, Recovered};
use crate::shared::Shared;
use crate::stats::Stats;
use crate::stop::Stop;
use crate::worker;

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    pub path: PathBuf,
    pub durability: Durability,
    /// Blocks whose newest batch arrived longer ago are deleted.
    pub retention_time: Option<Duration>,
    /// Blocks are deleted, the oldest first, while log and blocks together take more.
    pub retention_bytes: Option<u64>,
    /// A head that takes more memory is sealed.
    pub head_bytes_max: u64,
    /// A head whose first batch arrived longer ago is sealed.
    pub seal_after: Duration,
}

/// What "acknowledged" means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On the disk: it survives a loss of power.
    #[default]
    Fsync,
    /// With the operating system: it survives an end of the process.
    Os,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot open the store in {}: another process has it open", path.display())]
    Locked { path: PathBuf },
    #[error("cannot {attempt} {}", path.display())]
    Io { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot use {}: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
}

/// Why a batch was not stored. Nothing of it was, and its cursor neither, unless the store is
/// poisoned: then what became of it is known after the next open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("too many spans wait to be stored")]
    Overloaded,
    #[error("a batch, or a resource of its spans, is larger than the log takes in one record")]
    TooLarge,
    /// As on a full disk. Later ones may be stored.
    #[error("the spans are not stored: {cause}")]
    Io { cause: Arc<str> },
    #[error("the store takes no more spans until it is opened again: {cause}")]
    Poisoned { cause: Arc<str> },
    #[error("the store is closed")]
    Closed,
}

/// Why the head was not sealed. It stays, and so does the log; sealing is tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("cannot seal the head: {cause}")]
    Failed { cause: Arc<str> },
    #[error("the store is closed")]
    Closed,
}

/// What closing could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    #[error("the store was poisoned: {cause}")]
    Poisoned { cause: Arc<str> },
    #[error("a thread of the store panicked")]
    Panicked,
}

/// A cheap handle to one open store. The last one that is dropped closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    committer: JoinHandle<()>,
    worker: JoinHandle<()>,
    events: SyncSender<worker::Event>,
    /// Released after both threads ended.
    _lock: Lock,
}

impl fmt::Debug for Store {
    /// Without the spans.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.0.shared.options.path;
        f.debug_struct("Store").field("path", path).finish_non_exhaustive()
    }
}

impl Options {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            retention_time: None,
            retention_bytes: None,
            head_bytes_max: 128 << 20,
            seal_after: Duration::from_secs(15 * 60),
        }
    }
}

impl Store {
    /// Opens a store, or makes one where there is none. Whatever was acknowledged before is there.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let disk = Disk::real(&options.path).map_err(|source| OpenError::Io {
            attempt: "make the directory",
            path: options.path.clone(),
            source,
        })?;
        Self::open_on(disk, options, Clock::System)
    }

    pub(crate) fn open_on(disk: Disk, options: Options, clock: Clock) -> Result<Self, OpenError> {
        let Recovered { shared, writer, catalog, lock } = recovery::recover(disk, options, clock)?;
        let shared = Arc::new(shared);
        let (events, events_rx) = sync_channel(worker::EVENTS_MAX);
        let for_committer = shared.clone();
        let committer = spawn("sigyn-store-log", &shared.options.path, move || {
            commit::run(writer, &for_committer);
        })?;
        let for_worker = shared.clone();
        let worker = spawn("sigyn-store-seal", &shared.options.path, move || {
            worker::run(&events_rx, catalog, &for_worker);
        })
        .inspect_err(|_| shared.queue.close())?;
        let running = Running { committer, worker, events, _lock: lock };
        Ok(Self(Arc::new(Inner { shared, running: Mutex::new(Some(running)) })))
    }

    /// Stores a batch: its spans and its progress, or nothing. Returns once it is durable and
    /// visible. A caller that stops waiting leaves open which of the two it is.
    ///
    /// Refuses at once when too much waits already: for spans whose sender can come again.
    pub async fn append(&self, batch: SpanBatch) -> Result<(), AppendError> {
        let shared = &self.0.shared;
        // Before the work of encoding.
        shared.room_for(0)?;
        let encoded = Encoded::of(batch, &shared.clock)?;
        let answer = shared.room_for(encoded.bytes)?.put(encoded)?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// The same, but waits for room instead of refusing, however long that takes: for spans whose
    /// sender is held back by it. Whoever came first goes first.
    ///
    /// A caller that stops waiting before there is room has appended nothing.
    pub async fn append_waiting(&self, batch: SpanBatch) -> Result<(), AppendError> {
        let shared = &self.0.shared;
        let answer = {
            let turn = shared.queue.turn().await;
            let encoded = Encoded::of(batch, &shared.clock)?;
            let claim = turn.claim(encoded.bytes);
            let room = loop {
                match shared.room_for_claim(&claim) {
                    Err(AppendError::Overloaded) => claim.changed().await,
                    answer => break answer?,
                }
            };
            room.put(encoded)?
        };
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// A reader's view, as of now.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> crate::view::Parts {
        self.0.shared.view.parts()
    }

    /// Drawn at random when the store was made, and kept with the data.
    pub fn instance_id(&self) -> u64 {
        self.0.shared.instance
    }

    /// The newest progress of every target.
    pub fn progress(&self) -> Vec<TargetProgress> {
        self.0.shared.view.progress()
    }

    /// Queries that can be ended. Those of the store itself run to their end.
    pub fn queries(&self, stop: Stop) -> Queries {
        Queries::new(self.0.shared.clone(), stop)
    }

    fn whole_queries(&self) -> Queries {
        self.queries(Stop::default())
    }

    /// See [`Queries::trace`].
    pub fn trace(&self, id: TraceId) -> Result<Vec<Span>, QueryFailed> {
        self.whole_queries().trace(id)
    }

    /// See [`Queries::traces`].
    pub fn traces(&self, query: &TraceQuery) -> Result<Vec<Vec<Span>>, QueryFailed> {
        self.whole_queries().traces(query)
    }

    /// See [`Queries::service_names`].
    pub fn service_names(&self) -> Result<Vec<String>, QueryFailed> {
        self.whole_queries().service_names()
    }

    /// See [`Queries::span_names`].
    pub fn span_names(&self, service: &str) -> Result<Vec<String>, QueryFailed> {
        self.whole_queries().span_names(service)
    }

    /// See [`Queries::remote_service_names`].
    pub fn remote_service_names(&self, service: &str) -> Result<Vec<String>, QueryFailed> {
        self.whole_queries().remote_service_names(service)
    }

    /// See [`Queries::dependencies`].
    pub fn dependencies(
        &self,
        end_ms: u64,
        lookback_ms: u64,
    ) -> Result<Vec<DependencyLink>, QueryFailed> {
        self.whole_queries().dependencies(end_ms, lookback_ms)
    }

    /// See [`Queries::tag_keys`].
    pub fn tag_keys(&self) -> Result<Vec<String>, QueryFailed> {
        self.whole_queries().tag_keys()
    }

    /// See [`Queries::tag_values`].
    pub fn tag_values(&self, key: &str) -> Result<Vec<String>, QueryFailed> {
        self.whole_queries().tag_values(key)
    }

    pub fn stats(&self) -> Stats {
        Stats::of(&self.0.shared)
    }

    /// Makes a block of the head now, and applies retention. Blocks the calling thread.
    pub fn seal(&self) -> Result<(), SealError> {
        let (done, answer) = sync_channel(1);
        let events = {
            let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.as_ref().map(|running| running.events.clone()).ok_or(SealError::Closed)?
        };
        events.send(worker::Event::Seal(done)).map_err(|_| SealError::Closed)?;
        answer.recv().unwrap_or(Err(SealError::Closed))
    }

    /// Writes what waits, and ends the threads. Queries still answer; the data stay in the log, and
    /// are there again after the next open. Closing twice does nothing.
    pub fn close(&self) -> Result<(), CloseError> {
        self.0.close()
    }
}

impl Inner {
    fn close(&self) -> Result<(), CloseError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Running { committer, worker, events, _lock }) = running.take() else {
            return Ok(());
        };
        self.shared.queue.close();
        self.shared.stop();
        drop(events);
        let joined = [committer.join(), worker.join()];
        if joined.iter().any(Result::is_err) {
            return Err(CloseError::Panicked);
        }
        match self.shared.queue.poison_cause() {
            Some(cause) => Err(CloseError::Poisoned { cause }),
            None => Ok(()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "cannot close the store well");
        }
    }
}

fn spawn(
    name: &str,
    path: &Path,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|source| OpenError::Io {
        attempt: "start a thread for",
        path: path.to_owned(),
        source,
    })
}

//! The store: open, append, query, close. All that a caller sees.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sigyn_model::columns::Spares;
use sigyn_model::{DependencyLink, Span, SpanBatch, TargetProgress, TraceId, TraceQuery};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::block::QueryFailed;
use crate::clock::Clock;
use crate::commit;
use crate::disk::{Disk, Lock};
use crate::error::{AppendError, CloseError, DeleteError, OpenError, SealError};
use crate::incoming::Incoming;
use crate::options::Options;
use crate::queries::Queries;
use crate::recovery::{self, Recovered, io_error};
use crate::shared::Shared;
use crate::stats::Stats;
use crate::stop::Stop;
use crate::worker;

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

impl Store {
    /// Opens a store, or makes one where there is none. Whatever was acknowledged before is there.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let disk = Disk::real(&options.path).map_err(io_error("making", ""))?;
        Self::open_on(disk, options, Clock::System)
    }

    pub(crate) fn open_on(disk: Disk, options: Options, clock: Clock) -> Result<Self, OpenError> {
        let Recovered { shared, writer, head, catalog, lock } =
            recovery::recover(disk, options, clock)?;
        let shared = Arc::new(shared);
        let (events, events_rx) = sync_channel(worker::EVENTS_MAX);
        let (for_committer, told) = (shared.clone(), events.clone());
        let committer = spawn("sigyn-store-log", move || {
            commit::run(writer, head, told, &for_committer);
        })?;
        let for_worker = shared.clone();
        let worker = spawn("sigyn-store-seal", move || {
            worker::run(&events_rx, catalog, &for_worker);
        })
        .inspect_err(|_| shared.queue.close())?;
        let running = Running { committer, worker, events, _lock: lock };
        Ok(Self(Arc::new(Inner { shared, running: Mutex::new(Some(running)) })))
    }

    /// Stores a batch: its spans and its progress, or nothing. Returns once it is durable and
    /// visible. A caller that stops waiting leaves open which of the two it is.
    ///
    /// Where there is no room it waits its turn, however large the batch is, and refuses after
    /// [`Options::append_timeout`]: for spans whose sender can come again.
    pub async fn append(&self, batch: impl Into<SpanBatch>) -> Result<(), AppendError> {
        let batch = batch.into();
        let deadline = Instant::now().checked_add(self.0.shared.options.append_timeout);
        let appended = self.append_until(batch, Patience { deadline, is_first_come: false }).await;
        if appended == Err(AppendError::Overloaded) {
            self.0.shared.counters.overloads.add(1);
        }
        appended
    }

    /// The same, but waits for room instead of refusing, however long that takes: for spans whose
    /// sender is held back by it. Whoever came first goes first.
    ///
    /// A caller that stops waiting before there is room has appended nothing.
    pub async fn append_waiting(&self, batch: impl Into<SpanBatch>) -> Result<(), AppendError> {
        let batch = batch.into();
        self.append_until(batch, Patience { deadline: None, is_first_come: true }).await
    }

    async fn append_until(&self, batch: SpanBatch, patience: Patience) -> Result<(), AppendError> {
        let answer = self.put(batch, patience).await?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Puts a batch into the queue; the answer comes once it is stored.
    async fn put(
        &self,
        batch: SpanBatch,
        patience: Patience,
    ) -> Result<oneshot::Receiver<Result<(), AppendError>>, AppendError> {
        let shared = &self.0.shared;
        // Where there is no room at all, even the work of preparing it waits.
        let mut turn = match shared.room_for(0) {
            Ok(_) if !patience.is_first_come => None,
            Ok(_) | Err(AppendError::Overloaded) => Some(patience.wait(shared.queue.turn()).await?),
            Err(error) => return Err(error),
        };
        let batch = Incoming::of(batch, &shared.clock)?;
        let at_once = match turn {
            None => shared.room_for(batch.bytes),
            Some(_) => Err(AppendError::Overloaded),
        };
        let room = match at_once {
            Err(AppendError::Overloaded) => {
                let waiting = async {
                    let turn = match &mut turn {
                        Some(turn) => turn,
                        none => none.insert(shared.queue.turn().await),
                    };
                    let claim = turn.claim(batch.bytes);
                    loop {
                        match shared.room_for_claim(&claim) {
                            Err(AppendError::Overloaded) => claim.changed().await,
                            room => return room,
                        }
                    }
                };
                patience.wait(waiting).await.flatten()
            }
            room => room,
        };
        // The turn ends after that: who came first is first in the queue.
        match room {
            Ok(room) => room.put(batch),
            Err(error) => Err(error),
        }
    }

    /// Columns to read spans into that are to be appended: those of batches that were stored come back
    /// to be filled again.
    pub fn spares(&self) -> &Spares {
        &self.0.shared.spares
    }

    #[cfg(test)]
    pub(crate) fn queue(&self) -> &crate::queue::Queue {
        &self.0.shared.queue
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
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

    /// Calls `each` with all spans that are stored, some at a time, the oldest first. One that came twice
    /// may come twice here, too, until its blocks are merged. Of a damaged block come those before the damage;
    /// it is set aside, as it is by a query.
    pub fn each_spans(
        &self,
        stop: &Stop,
        mut each: impl FnMut(Vec<Span>),
    ) -> Result<(), QueryFailed> {
        let shared = &self.0.shared;
        shared.view.parts().each_spans(stop, &mut each, |block, source| {
            shared.set_aside(block, source);
        })
    }

    /// How many blocks cannot be read at present: answers are without their spans.
    pub fn unreadable_blocks(&self) -> u64 {
        self.0.shared.counters.unreadable_blocks.get()
    }

    /// Whether answers are without spans of the log that memory had no room for, for no blocks can be made.
    pub fn is_log_unread(&self) -> bool {
        self.0.shared.unread().is_some()
    }

    /// What spans may take in memory, in all.
    pub fn memory_bytes(&self) -> u64 {
        self.0.shared.options.memory.bytes
    }

    pub fn stats(&self) -> Stats {
        Stats::of(&self.0.shared)
    }

    /// Makes a block of the head now, and applies retention. Blocks the calling thread.
    pub fn seal(&self) -> Result<(), SealError> {
        self.seal_some(worker::Sealed::All)
    }

    /// Makes a block of what is over, as the store does it by itself.
    #[cfg(test)]
    pub(crate) fn seal_over(&self) -> Result<(), SealError> {
        self.seal_some(worker::Sealed::Over)
    }

    fn seal_some(&self, sealed: worker::Sealed) -> Result<(), SealError> {
        let (done, answer) = sync_channel(1);
        self.ask(worker::Event::Seal(sealed, done), &answer).unwrap_or(Err(SealError::Closed))
    }

    /// Merges the blocks that are due, as far as nothing else is more urgent. The store does that by
    /// itself, too. Blocks the calling thread.
    pub fn compact(&self) {
        let (done, answer) = sync_channel(1);
        if self.send(worker::Event::Compact(done)).is_some() {
            // Whoever closes the store meanwhile ends this, too.
            let _ = answer.recv();
        }
    }

    /// Deletes what is stored of these traces, and returns how many of them there were. No query sees
    /// them from now on; the disk is rid of them soon after. What comes later of such a trace is stored.
    /// Blocks the calling thread.
    pub fn delete_traces(&self, ids: &[TraceId]) -> Result<u64, DeleteError> {
        let (done, answer) = sync_channel(1);
        let event = worker::Event::Delete(ids.to_vec(), done);
        self.ask(event, &answer).unwrap_or(Err(DeleteError::Closed))
    }

    /// Puts something to the thread that makes blocks, ahead of what it does by itself.
    fn ask<T>(&self, event: worker::Event, answer: &Receiver<T>) -> Option<T> {
        let _asking = self.0.shared.ask();
        self.send(event)?;
        answer.recv().ok()
    }

    fn send(&self, event: worker::Event) -> Option<()> {
        let events = {
            let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.as_ref().map(|running| running.events.clone())?
        };
        events.send(event).ok()
    }

    /// Writes what waits, and ends the threads. Queries still answer; the data stay in the log, and
    /// are there again after the next open. Closing twice does nothing.
    pub fn close(&self) -> Result<(), CloseError> {
        self.0.close()
    }
}

/// How long an append waits for room.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// None: for as long as it takes.
    deadline: Option<Instant>,
    /// Whether it waits its turn even where there is room, behind those who came before.
    is_first_come: bool,
}

impl Patience {
    async fn wait<T>(self, future: impl Future<Output = T>) -> Result<T, AppendError> {
        let Some(deadline) = self.deadline else { return Ok(future.await) };
        let waited = tokio::time::timeout_at(deadline, future).await;
        waited.map_err(|_| AppendError::Overloaded)
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
        // Nothing but room, and nobody needs it while the store is closed.
        self.shared.segments.spares.give_up(&self.shared.disk);
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

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(io_error("starting the thread", name))
}

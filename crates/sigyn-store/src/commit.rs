//! The thread that commits: takes the batches that wait, makes them durable together, then visible.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sigyn_model::SpanBatch;
use tokio::sync::oneshot;

use crate::progress::Progress;
use crate::shared::Shared;
use crate::store::AppendError;
use crate::view::SharedHead;
use crate::wal::writer::Writer;

/// Batches that wait take no more memory than this; whoever comes then is told to come later.
const QUEUE_BYTES_MAX: u64 = 64 << 20;
/// One write takes no more than this, except for a single batch that is larger.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Batches on their way to the log.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: u64,
    closed: bool,
    /// Why nothing is written any more.
    poison: Option<Arc<str>>,
}

#[derive(Debug)]
enum Item {
    Append(Box<Waiting>),
    Rotate(SyncSender<Result<Rotated, Arc<str>>>),
}

/// A batch, its bytes, and who waits for it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) payload: Vec<u8>,
    pub(crate) batch: SpanBatch,
    pub(crate) arrival_ms: u64,
    /// What it takes while it waits.
    pub(crate) bytes: u64,
    pub(crate) done: oneshot::Sender<Result<(), AppendError>>,
}

/// A head that gets no more spans, for a block to be made of it.
#[derive(Debug)]
pub(crate) struct Rotated {
    pub(crate) head: SharedHead,
    /// The last frame whose spans are in this head or before it.
    pub(crate) last_seq: u64,
    /// As of that frame.
    pub(crate) progress: Progress,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn append(&self, waiting: Waiting) -> Result<(), AppendError> {
        let mut state = self.lock();
        if let Some(cause) = &state.poison {
            return Err(AppendError::Poisoned { cause: cause.clone() });
        }
        if state.closed {
            return Err(AppendError::Closed);
        }
        // A batch that is larger than the whole budget passes when it is alone.
        if state.bytes > 0 && state.bytes + waiting.bytes > QUEUE_BYTES_MAX {
            return Err(AppendError::Overloaded);
        }
        state.bytes += waiting.bytes;
        state.items.push_back(Item::Append(Box::new(waiting)));
        self.ready.notify_one();
        Ok(())
    }

    /// Asks for a new head. The answer comes over `done`; nothing comes if the queue is closed.
    pub(crate) fn rotate(&self, done: SyncSender<Result<Rotated, Arc<str>>>) {
        let mut state = self.lock();
        if !state.closed {
            state.items.push_back(Item::Rotate(done));
            self.ready.notify_one();
        }
    }

    /// Takes no more batches. Those that wait are still written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// Takes no more batches for good, and says why.
    pub(crate) fn poison(&self, cause: Arc<str>) {
        self.lock().poison.get_or_insert(cause);
    }

    pub(crate) fn poison_cause(&self) -> Option<Arc<str>> {
        self.lock().poison.clone()
    }

    /// What goes next: a group of batches, or one other item. `None` once closed and empty.
    fn take(&self) -> Option<Group> {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed {
                return None;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut group: Vec<Waiting> = Vec::new();
        let mut group_bytes = 0;
        loop {
            match state.items.front() {
                Some(Item::Append(next))
                    if group.is_empty() || group_bytes + next.payload.len() <= GROUP_BYTES_MAX =>
                {
                    group_bytes += next.payload.len();
                }
                Some(Item::Rotate(_)) if group.is_empty() => {}
                _ => return Some(Group::Append(group)),
            }
            match state.items.pop_front() {
                Some(Item::Append(waiting)) => {
                    state.bytes -= waiting.bytes;
                    group.push(*waiting);
                }
                Some(Item::Rotate(done)) => return Some(Group::Rotate(done)),
                None => return Some(Group::Append(group)),
            }
        }
    }
}

/// Whatever ends the committing thread, a panic included, nobody waits for it any more.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.close();
        self.0.lock().items.clear();
    }
}

enum Group {
    Append(Vec<Waiting>),
    Rotate(SyncSender<Result<Rotated, Arc<str>>>),
}

/// Runs until the queue is closed and empty, and leaves the log durable.
pub(crate) fn run(mut writer: Writer, shared: &Shared) {
    let _ended = Ended(&shared.queue);
    while let Some(group) = shared.queue.take() {
        match group {
            Group::Append(group) => append(&mut writer, group, shared),
            Group::Rotate(done) => {
                // Nobody may listen any more; then the head waits for the next seal.
                let _ = done.send(rotate(&mut writer, shared));
            }
        }
    }
    if shared.queue.poison_cause().is_none()
        && let Err(error) = writer.end_segment()
    {
        poison(shared, "cannot make the log durable", &error);
    }
}

fn append(writer: &mut Writer, group: Vec<Waiting>, shared: &Shared) {
    let written = match shared.queue.poison_cause() {
        Some(cause) => Err(cause),
        None => {
            let payloads = group.iter().map(|waiting| waiting.payload.as_slice());
            let written = writer.write(payloads, &shared.segments);
            written.map_err(|error| poison(shared, "cannot write to the log", &error))
        }
    };
    if let Err(cause) = written {
        for waiting in group {
            // Whoever no longer waits need not know.
            let _ = waiting.done.send(Err(AppendError::Poisoned { cause: cause.clone() }));
        }
        return;
    }
    shared.counters.commits.add(1);
    let head = shared.view.active_head();
    for Waiting { batch, arrival_ms, done, .. } in group {
        shared.counters.appended_spans.add(batch.spans.len() as u64);
        let mut head = head.write().unwrap_or_else(PoisonError::into_inner);
        head.insert(batch.spans, arrival_ms);
        shared.note_head_bytes(head.bytes());
        drop(head);
        if let Some(one) = batch.progress {
            shared.view.put_progress(one, arrival_ms);
        }
        let _ = done.send(Ok(()));
    }
}

fn rotate(writer: &mut Writer, shared: &Shared) -> Result<Rotated, Arc<str>> {
    if let Some(cause) = shared.queue.poison_cause() {
        return Err(cause);
    }
    writer.end_segment().map_err(|error| poison(shared, "cannot make the log durable", &error))?;
    // Only this thread changes either, so the three belong together.
    let head = shared.view.rotate();
    let progress = shared.view.remembered_progress(shared.clock.now_ms());
    shared.note_head_bytes(0);
    Ok(Rotated { head, last_seq: writer.last_seq(), progress })
}

fn poison(shared: &Shared, attempt: &str, error: &io::Error) -> Arc<str> {
    let cause: Arc<str> = format!("{attempt}: {error}").into();
    tracing::error!(%error, attempt, "the store takes no more spans until it is opened again");
    shared.queue.poison(cause.clone());
    cause
}

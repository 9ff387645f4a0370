//! The thread that commits: takes the batches that wait, makes them durable together, then visible.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use crate::closed;
use crate::error::AppendError;
use crate::head::{Chapter, HeadWriter};
use crate::queue::{Group, Queue, Rotated, Waiting};
use crate::shared::Shared;
use crate::wal::writer::{WriteError, Writer};
use crate::worker;

/// Whatever ends the committing thread, a panic included, nobody waits for it any more.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        poison_if_panicking(self.0, "log");
        self.0.abandon();
    }
}

/// A store one of whose threads is gone must not look healthy.
pub(crate) fn poison_if_panicking(queue: &Queue, thread: &str) {
    if std::thread::panicking() {
        tracing::error!(thread, "a thread of the store panicked; it takes no more spans");
        queue.poison(format!("its thread for the {thread} panicked").into());
    }
}

/// What the thread works with.
struct Committer<'a> {
    writer: Writer,
    head: HeadWriter,
    chapter: Chapter,
    is_failing: bool,
    /// The last frame that was there when the store was opened.
    opened_through: u64,
    /// Whether the one who seals was told that this head is full.
    is_full_told: bool,
    events: SyncSender<worker::Event>,
    shared: &'a Shared,
}

/// Runs until the queue is closed and empty, and leaves the log durable.
pub(crate) fn run(
    writer: Writer,
    head: HeadWriter,
    events: SyncSender<worker::Event>,
    shared: &Shared,
) {
    let _ended = Ended(&shared.queue);
    let chapter = Chapter::default();
    let opened_through = writer.last_seq();
    let mut committer = Committer {
        writer,
        head,
        chapter,
        is_failing: false,
        is_full_told: false,
        opened_through,
        events,
        shared,
    };
    while let Some(group) = shared.queue.take(committer.writer.sync_due()) {
        match group {
            Group::Append(group) => committer.append(group),
            Group::Rotate(done) => {
                // Nobody may listen any more; then the head waits for the next seal.
                let _ = done.send(committer.rotate());
            }
            Group::Due => {
                if let Err(error) = committer.writer.sync() {
                    poison(shared, "cannot make the log durable", &error);
                }
            }
        }
    }
    if shared.queue.poison_cause().is_none() {
        committer.close();
    }
}

impl Committer<'_> {
    fn append(&mut self, mut group: Vec<Waiting>) {
        let shared = self.shared;
        if let Err(error) = self.write(&mut group) {
            self.head.discard();
            self.chapter.end();
            for waiting in group {
                // Whoever no longer waits need not know.
                let _ = waiting.done.send(Err(error.clone()));
            }
            return;
        }
        if std::mem::take(&mut self.is_failing) {
            shared.note_refusal(None);
            tracing::info!("spans are stored again");
        }
        shared.counters.commits.add(1);
        let arrivals = || group.iter().map(|waiting| waiting.batch.arrival_ms);
        if let (Some(first), Some(last)) = (arrivals().min(), arrivals().max()) {
            match group.iter().any(|waiting| waiting.batch.is_again) {
                true => self.head.publish_again(first, last),
                false => self.head.publish(first, last),
            }
        }
        shared.counters.unlisted_names.add(self.head.take_unlisted_names());
        shared.counters.unique_tags.add(self.head.take_unique_tags());
        let head_bytes = self.head.head().bytes();
        shared.note_head_bytes(head_bytes);
        if head_bytes >= shared.options.memory.head && !self.is_full_told {
            // Where there is no room, somebody has asked for enough; and it is looked for time and again.
            let _ = self.events.try_send(worker::Event::Full);
            self.is_full_told = true;
        }
        for Waiting { batch, done } in group {
            if !batch.is_again {
                shared.counters.appended_spans.add(batch.span_count as u64);
            }
            if let Some(one) = batch.progress {
                shared.view.put_progress(one, batch.arrival_ms);
            }
            let _ = done.send(Ok(()));
        }
    }

    /// Stages the group's spans in the head, and writes them to the log.
    fn write(&mut self, group: &mut [Waiting]) -> Result<(), AppendError> {
        let attempt = "cannot write to the log";
        let shared = self.shared;
        if let Some(cause) = shared.queue.poison_cause() {
            return Err(AppendError::Poisoned { cause });
        }
        let _alone = shared.write_alone();
        let is_again = group.iter().any(|waiting| waiting.batch.is_again);
        let write = || {
            if self.writer.begin(&shared.segments)? {
                self.chapter.end();
            }
            for Waiting { batch, .. } in group {
                let spans = batch.spans.take().unwrap_or_default();
                let rows = self.head.bring(&spans);
                // Free for the next ones while these are written.
                shared.spares.give_back(spans);
                let (head, chapter) = (&self.head, &mut self.chapter);
                self.writer.put(batch.is_again, |out, seq| {
                    let progress = batch.progress.as_ref();
                    chapter.put(out, seq, head, rows, batch.arrival_ms, progress);
                })?;
            }
            self.writer.write(&shared.segments)
        };
        write().map_err(|error| match error {
            WriteError::Unknown(error) => {
                AppendError::Poisoned { cause: poison(shared, attempt, &error) }
            }
            WriteError::Refused(error) => {
                shared.counters.failed_commits.add(1);
                let cause: Arc<str> = format!("{attempt}: {error}").into();
                // These stay where they are, and nobody's spans are refused.
                if is_again {
                    return AppendError::Io { cause };
                }
                // Once, and not for every group until there is room again.
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(%error, attempt, "spans are refused");
                }
                shared.note_refusal(Some(cause.clone()));
                AppendError::Io { cause }
            }
        })
    }

    /// Ends the log, and says how far it goes.
    fn close(&mut self) {
        let shared = self.shared;
        let last_seq = self.writer.last_seq();
        match self.writer.close(&shared.segments) {
            Ok(()) => {}
            // It has all frames, and is cut when the store is opened.
            Err(WriteError::Refused(_)) => return,
            Err(WriteError::Unknown(error)) => {
                poison(shared, "cannot make the log durable", &error);
                return;
            }
        }
        if last_seq > 0
            && let Err(error) = closed::write(&shared.disk, shared.instance, last_seq)
        {
            tracing::debug!(%error, "cannot say how far the log goes");
        }
    }

    /// Goes on with a new head and a new segment.
    fn rotate(&mut self) -> Result<Rotated, Arc<str>> {
        let shared = self.shared;
        if let Some(cause) = shared.queue.poison_cause() {
            return Err(cause);
        }
        self.writer.end_segment(&shared.segments).map_err(|error| match error {
            WriteError::Unknown(error) => poison(shared, "cannot make the log durable", &error),
            WriteError::Refused(error) => {
                format!("cannot end a segment of the log: {error}").into()
            }
        })?;
        // Only this thread changes either, so the three belong together.
        self.head = HeadWriter::new();
        self.is_full_told = false;
        self.chapter = Chapter::default();
        let head = shared.view.rotate(self.head.head().clone());
        let progress = shared.view.remembered_progress();
        shared.note_sealing_bytes(shared.head_bytes());
        shared.note_head_bytes(0);
        // What is not read is in no head.
        let last_seq = shared.unread().map_or(self.writer.last_seq(), |unread| unread.after);
        Ok(Rotated { head, last_seq, progress, is_new: last_seq > self.opened_through })
    }
}

fn poison(shared: &Shared, attempt: &str, error: &io::Error) -> Arc<str> {
    let cause: Arc<str> = format!("{attempt}: {error}").into();
    tracing::error!(%error, attempt, "the store takes no more spans until it is opened again");
    shared.queue.poison(cause.clone());
    cause
}

//! The thread that commits: takes the batches that wait, makes them durable together, then visible.

use std::io;
use std::sync::Arc;

use crate::encoded::Encoded;
use crate::error::AppendError;
use crate::head::HeadWriter;
use crate::queue::{Group, Queue, Rotated, Waiting};
use crate::shared::Shared;
use crate::wal::writer::{WriteError, Writer};

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

/// Runs until the queue is closed and empty, and leaves the log durable.
pub(crate) fn run(mut writer: Writer, mut head: HeadWriter, shared: &Shared) {
    let _ended = Ended(&shared.queue);
    let mut is_failing = false;
    while let Some(group) = shared.queue.take() {
        match group {
            Group::Append(group) => append(&mut writer, &mut head, group, &mut is_failing, shared),
            Group::Rotate(done) => {
                // Nobody may listen any more; then the head waits for the next seal.
                let _ = done.send(rotate(&mut writer, &mut head, shared));
            }
        }
    }
    if shared.queue.poison_cause().is_none()
        && let Err(error) = writer.end_segment()
    {
        poison(shared, "cannot make the log durable", &error);
    }
}

fn append(
    writer: &mut Writer,
    head: &mut HeadWriter,
    group: Vec<Waiting>,
    is_failing: &mut bool,
    shared: &Shared,
) {
    let attempt = "cannot write to the log";
    for waiting in &group {
        head.stage_spans(&waiting.encoded.batch.spans);
    }
    let written = match shared.queue.poison_cause() {
        Some(cause) => Err(AppendError::Poisoned { cause }),
        None => {
            let payloads = group.iter().map(|waiting| waiting.encoded.payload.as_slice());
            writer.write(payloads, &shared.segments).map_err(|error| match error {
                WriteError::Unknown(error) => {
                    AppendError::Poisoned { cause: poison(shared, attempt, &error) }
                }
                WriteError::Refused(error) => {
                    shared.counters.failed_commits.add(1);
                    // Once, and not for every group until there is room again.
                    if !std::mem::replace(is_failing, true) {
                        tracing::error!(%error, attempt, "spans are refused");
                    }
                    let cause: Arc<str> = format!("{attempt}: {error}").into();
                    shared.note_refusal(Some(cause.clone()));
                    AppendError::Io { cause }
                }
            })
        }
    };
    if let Err(error) = written {
        head.discard();
        for waiting in group {
            // Whoever no longer waits need not know.
            let _ = waiting.done.send(Err(error.clone()));
        }
        return;
    }
    if std::mem::take(is_failing) {
        shared.note_refusal(None);
        tracing::info!("spans are stored again");
    }
    shared.counters.commits.add(1);
    let arrivals = || group.iter().map(|waiting| waiting.encoded.arrival_ms);
    if let (Some(first), Some(last)) = (arrivals().min(), arrivals().max()) {
        head.publish(first, last);
    }
    shared.counters.unlisted_names.add(head.take_unlisted_names());
    shared.counters.unique_tags.add(head.take_unique_tags());
    shared.note_head_bytes(head.head().bytes());
    for Waiting { encoded: Encoded { batch, arrival_ms, .. }, done } in group {
        shared.counters.appended_spans.add(batch.spans.len() as u64);
        if let Some(one) = batch.progress {
            shared.view.put_progress(one, arrival_ms);
        }
        let _ = done.send(Ok(()));
    }
}

fn rotate(
    writer: &mut Writer,
    head: &mut HeadWriter,
    shared: &Shared,
) -> Result<Rotated, Arc<str>> {
    if let Some(cause) = shared.queue.poison_cause() {
        return Err(cause);
    }
    writer.end_segment().map_err(|error| poison(shared, "cannot make the log durable", &error))?;
    // Only this thread changes either, so the three belong together.
    *head = HeadWriter::new();
    let head = shared.view.rotate(head.head().clone());
    let progress = shared.view.remembered_progress();
    shared.note_head_bytes(0);
    Ok(Rotated { head, last_seq: writer.last_seq(), progress })
}

fn poison(shared: &Shared, attempt: &str, error: &io::Error) -> Arc<str> {
    let cause: Arc<str> = format!("{attempt}: {error}").into();
    tracing::error!(%error, attempt, "the store takes no more spans until it is opened again");
    shared.queue.poison(cause.clone());
    cause
}

//! What the store's handle and its threads share.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sigyn_model::columns::Spares;

use crate::block::{self, BlockFailed};
use crate::clock::Clock;
use crate::damage::{Damages, sentence};
use crate::disk::Disk;
use crate::error::AppendError;
use crate::options::Options;
use crate::queue::{Claim, Queue, Room};
use crate::room::Rooms;
use crate::unread::Unread;
use crate::view::View;
use crate::wal::writer::Segments;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) instance: u64,
    pub(crate) queue: Queue,
    /// For answers.
    pub(crate) rooms: Arc<Rooms>,
    /// Columns for the next batches.
    pub(crate) spares: Spares,
    pub(crate) segments: Segments,
    pub(crate) view: View,
    pub(crate) counters: Counters,
    /// What the block takes that is made of a head, and what those take that are made of others, for a head may
    /// be sealed while others wait to be merged.
    pub(crate) sealed_bytes: AtomicU64,
    pub(crate) merged_bytes: AtomicU64,
    head_bytes: AtomicU64,
    /// Of heads that blocks are made of.
    sealing_bytes: AtomicU64,
    stopping: AtomicBool,
    /// See [`Shared::write_alone`].
    writing: Mutex<()>,
    /// Whether a test wants nothing to be done that nobody asked for.
    #[cfg(test)]
    pub(crate) is_passive: AtomicBool,
    /// How many wait for the thread that makes blocks.
    asking: AtomicU32,
    /// When the last write to the log was refused, and why; nothing after one that was not.
    refusal: Mutex<Option<(Instant, Arc<str>)>>,
    /// Why no block could be made the last time; nothing once one was made.
    unsealable: Mutex<Option<Arc<str>>>,
    unread: Mutex<Option<Unread>>,
}

/// How long a refused write counts as how the store is: where nobody sends spans because of that, nobody
/// would ever learn that they are taken again.
const REFUSAL_COUNTS: Duration = Duration::from_secs(10);

/// Columns that wait to be filled are not among the shares: they take no more than batches that wait.
fn spares_within(queue_bytes: u64) -> Spares {
    const BYTES_MAX: u64 = 32 << 20;
    Spares::within(usize::try_from(queue_bytes.min(BYTES_MAX)).unwrap_or(0))
}

/// What happened since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) appended_spans: Counter,
    pub(crate) commits: Counter,
    pub(crate) failed_commits: Counter,
    pub(crate) overloads: Counter,
    pub(crate) unlisted_names: Counter,
    pub(crate) unique_tags: Counter,
    pub(crate) seals: Counter,
    pub(crate) seal_failures: Counter,
    pub(crate) retired_blocks: Counter,
    pub(crate) retired_spans: Counter,
    pub(crate) compactions: Counter,
    pub(crate) merged_blocks: Counter,
    pub(crate) compaction_failures: Counter,
    pub(crate) deleted_traces: Counter,
    pub(crate) unreadable_blocks: Counter,
    pub(crate) damaged_spots: Counter,
    pub(crate) quarantined_files: Counter,
    pub(crate) damages: Damages,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// That somebody waits for an answer.
#[derive(Debug)]
pub(crate) struct Asking<'a>(&'a AtomicU32);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counter {
    /// Of what may become less.
    pub(crate) fn take(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        disk: Disk,
        clock: Clock,
        instance: u64,
        segments: Segments,
        view: View,
        counters: Counters,
    ) -> Self {
        let head_bytes = AtomicU64::new(view.active_head_bytes());
        Self {
            queue: Queue::new(options.memory.queue),
            spares: spares_within(options.memory.queue),
            rooms: Rooms::new(options.memory.answers),
            options,
            disk,
            clock,
            instance,
            segments,
            view,
            counters,
            sealed_bytes: AtomicU64::new(0),
            merged_bytes: AtomicU64::new(0),
            head_bytes,
            sealing_bytes: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            writing: Mutex::new(()),
            #[cfg(test)]
            is_passive: AtomicBool::new(false),
            asking: AtomicU32::new(0),
            refusal: Mutex::new(None),
            unsealable: Mutex::new(None),
            unread: Mutex::new(None),
        }
    }

    pub(crate) fn note_refusal(&self, cause: Option<Arc<str>>) {
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        *refusal = cause.map(|cause| (Instant::now(), cause));
    }

    /// Why writes to the log are refused at present, if they are.
    pub(crate) fn refusal(&self) -> Option<Arc<str>> {
        if let Some(unread) = self.unread() {
            return Some(unread.refusal(self.unsealable().as_deref()));
        }
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, cause) = refusal.as_ref()?;
        (at.elapsed() < REFUSAL_COUNTS).then(|| cause.clone())
    }

    pub(crate) fn note_unsealable(&self, cause: Option<Arc<str>>) {
        *self.unsealable.lock().unwrap_or_else(PoisonError::into_inner) = cause;
    }

    /// Why no blocks can be made at present, if that is so.
    pub(crate) fn unsealable(&self) -> Option<Arc<str>> {
        self.unsealable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What of the log is neither in a block nor in memory.
    pub(crate) fn unread(&self) -> Option<Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note_unread(&self, unread: Option<Unread>) {
        *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = unread;
        self.queue.tell_changed();
    }

    /// Leaves a damaged block out of answers from now on, if it is not out already.
    pub(crate) fn set_aside(&self, name: &str, error: &BlockFailed) {
        let cause = format!("{}; its spans are missing from answers", sentence(error));
        let path = format!("{}/{name}", block::DIR);
        if self.counters.damages.add_if(&path, &cause, || self.view.take_out(name)) {
            self.counters.unreadable_blocks.add(1);
        }
    }

    /// So many blocks that could not be read are served again, or are gone for good; among these.
    pub(crate) fn note_readable<'a>(&self, count: u64, names: impl IntoIterator<Item = &'a str>) {
        self.counters.unreadable_blocks.take(count);
        for name in names {
            self.counters.damages.heal(&format!("{}/{name}", block::DIR));
        }
    }

    pub(crate) fn note_head_bytes(&self, bytes: u64) {
        if self.head_bytes.swap(bytes, Ordering::Relaxed) > bytes {
            self.queue.tell_changed();
        }
    }

    /// What the heads take that blocks are made of.
    pub(crate) fn sealing_bytes(&self) -> u64 {
        self.sealing_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn note_sealing_bytes(&self, bytes: u64) {
        if self.sealing_bytes.swap(bytes, Ordering::Relaxed) > bytes {
            self.queue.tell_changed();
        }
    }

    /// Room for a batch on its way to the log, now or not at all.
    pub(crate) fn room_for(&self, bytes: u64) -> Result<Room<'_>, AppendError> {
        self.head_has_room()?;
        self.queue.room_for(bytes)
    }

    /// Room for whoever waits for it, now or not yet.
    pub(crate) fn room_for_claim(&self, claim: &Claim<'_>) -> Result<Room<'_>, AppendError> {
        self.head_has_room()?;
        self.queue.room_for_claim(claim)
    }

    /// Sealing that cannot keep up, or fails, must not cost all memory, and the caller must know.
    fn head_has_room(&self) -> Result<(), AppendError> {
        // A store that is closed says so, however full it is.
        self.queue.is_open()?;
        if let Some(unread) = self.unread() {
            let cause = unread.refusal(self.unsealable().as_deref());
            return Err(AppendError::Io { cause });
        }
        let bytes = self.head_bytes().saturating_add(self.sealing_bytes());
        let is_full = bytes >= self.options.memory.heads();
        if is_full { Err(AppendError::Overloaded) } else { Ok(()) }
    }

    /// What the head that is written to takes.
    pub(crate) fn head_bytes(&self) -> u64 {
        self.head_bytes.load(Ordering::Relaxed)
    }

    /// Somebody asks the thread that makes blocks for something, until what this returns is dropped.
    pub(crate) fn ask(&self) -> Asking<'_> {
        self.asking.fetch_add(1, Ordering::Relaxed);
        Asking(&self.asking)
    }

    pub(crate) fn is_asked_for(&self) -> bool {
        self.asking.load(Ordering::Relaxed) > 0
    }

    /// Tells long work to end early.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// For whoever writes to the log, and for whoever gives back room that the log must not take.
    pub(crate) fn write_alone(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

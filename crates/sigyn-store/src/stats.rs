//! What a store holds and what became of it, for metrics and health.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::damage::Damage;
use crate::memory::{Memory, Share};
use crate::shared::Shared;

/// Sizes now, and counts since the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    pub head_spans: u64,
    pub head_traces: u64,
    /// Memory of spans that are in no block yet, estimated.
    pub head_bytes: u64,
    /// What memory is shared by, as it was set.
    pub memory: Memory,
    /// Memory of batches that wait for the log, of blocks that are being made, of what was read of blocks, and of
    /// answers that are being given, estimated.
    pub queue_bytes: u64,
    pub making_bytes: u64,
    pub cache_bytes: u64,
    pub answer_bytes: u64,
    pub blocks: u64,
    pub block_spans: u64,
    pub block_bytes: u64,
    /// Memory of the blocks' indexes, estimated: it grows with the traces that are stored.
    pub index_bytes: u64,
    pub wal_bytes: u64,
    pub appended_spans_total: u64,
    /// Writes to the log, each of one or more batches; with [`Durability::Fsync`](crate::Durability)
    /// as many syncs.
    pub commits_total: u64,
    /// Writes to the log that failed and left no trace: on a full disk, most likely.
    pub failed_commits_total: u64,
    pub overloads_total: u64,
    /// How often a name of a service or a span was left out of the lists of names, because it is too long
    /// or there are too many.
    pub unlisted_names_total: u64,
    /// Tags whose key had so many values that they are no longer looked for: each is kept apart.
    pub unique_tags_total: u64,
    pub seals_total: u64,
    pub seal_failures_total: u64,
    /// Deleted by retention.
    pub retired_blocks_total: u64,
    pub retired_spans_total: u64,
    /// How often blocks were made of others, of how many in all, and how often that failed.
    pub compactions_total: u64,
    pub merged_blocks_total: u64,
    pub compaction_failures_total: u64,
    /// Deleted by their ids.
    pub deleted_traces_total: u64,
    /// Blocks that turned out to be damaged, at open or later; they are kept, and not asked.
    pub unreadable_blocks: u64,
    /// Stretches of the log that were no records, when the store was opened.
    pub damaged_spots: u64,
    pub quarantined_files: u64,
    /// Files that turned out to be damaged, at open or later, and are so still.
    pub damaged_files: u64,
    /// The first of them.
    pub damages: Vec<Damage>,
    /// Why writes to the log are refused at present, if they are: for lack of space, say. The next
    /// may succeed.
    pub refusing: Option<Arc<str>>,
    /// Why no blocks can be made at present, if that is so: for lack of space or of inodes, say. It is tried again
    /// every few seconds; until it succeeds spans stay in memory and in the log, as long as there is room.
    pub unsealable: Option<Arc<str>>,
    /// Frames of the log that no block could be made of when the store was opened, and memory had no room for: their
    /// spans are missing from answers until there is room for blocks.
    pub unread_frames: u64,
    /// Why no more spans are taken, if that is so.
    pub poisoned: Option<Arc<str>>,
}

impl Stats {
    /// The store's shares of memory.
    pub fn shares(&self) -> [Share; 5] {
        let share = |name, max, used| Share { name, max, used };
        [
            share("heads", self.memory.heads(), self.head_bytes),
            share("queue", self.memory.queue, self.queue_bytes),
            share("making", self.memory.making, self.making_bytes),
            share("cache", self.memory.cache, self.cache_bytes),
            share("answers", self.memory.answers, self.answer_bytes),
        ]
    }

    pub(crate) fn of(shared: &Shared) -> Self {
        let counters = &shared.counters;
        let (damaged_files, damages) = counters.damages.all();
        let mut stats = Self {
            memory: shared.options.memory,
            queue_bytes: shared.queue.bytes(),
            making_bytes: shared.sealed_bytes.load(Ordering::Relaxed)
                + shared.merged_bytes.load(Ordering::Relaxed),
            cache_bytes: shared.view.cache().bytes(),
            answer_bytes: shared.rooms.taken(),
            wal_bytes: shared.segments.bytes(),
            appended_spans_total: counters.appended_spans.get(),
            commits_total: counters.commits.get(),
            failed_commits_total: counters.failed_commits.get(),
            overloads_total: counters.overloads.get(),
            unlisted_names_total: counters.unlisted_names.get(),
            unique_tags_total: counters.unique_tags.get(),
            seals_total: counters.seals.get(),
            seal_failures_total: counters.seal_failures.get(),
            retired_blocks_total: counters.retired_blocks.get(),
            retired_spans_total: counters.retired_spans.get(),
            compactions_total: counters.compactions.get(),
            merged_blocks_total: counters.merged_blocks.get(),
            compaction_failures_total: counters.compaction_failures.get(),
            deleted_traces_total: counters.deleted_traces.get(),
            unreadable_blocks: counters.unreadable_blocks.get(),
            damaged_spots: counters.damaged_spots.get(),
            quarantined_files: counters.quarantined_files.get(),
            damaged_files,
            damages,
            refusing: shared.refusal(),
            unsealable: shared.unsealable(),
            unread_frames: shared.unread().map_or(0, |unread| unread.frames()),
            poisoned: shared.queue.poison_cause(),
            ..Self::default()
        };
        let parts = shared.view.parts();
        for (number, head) in parts.heads.iter().enumerate() {
            let (again_spans, again_traces) = if number > 0 { head.again() } else { (0, 0) };
            stats.head_spans += head.span_count() - u64::from(again_spans);
            stats.head_traces += head.trace_count() - u64::from(again_traces);
            stats.head_bytes += head.bytes();
        }
        stats.blocks = parts.blocks.len() as u64;
        for block in parts.blocks.iter() {
            stats.block_spans += block.entry().spans;
            stats.block_bytes += block.entry().bytes;
            stats.index_bytes += block.index_bytes();
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use crate::crash_tests::{Model, open_with, options};
    use crate::disk::faulty::FaultyDisk;
    use std::sync::atomic::Ordering;

    #[test]
    fn what_a_seal_takes_and_what_a_merge_takes_is_told_together() {
        let store = open_with(&FaultyDisk::default(), options(), Model::default().clock()).unwrap();
        // Nobody else says anything of it any more.
        store.close().unwrap();
        store.shared().merged_bytes.store(5, Ordering::Relaxed);
        store.shared().sealed_bytes.store(7, Ordering::Relaxed);
        assert_eq!(store.stats().making_bytes, 12);
        store.shared().sealed_bytes.store(0, Ordering::Relaxed);
        assert_eq!(store.stats().making_bytes, 5, "a merge waits while a head is sealed");
    }
}

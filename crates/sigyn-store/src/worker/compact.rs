//! Making few blocks of many, and rid of what was deleted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sigyn_model::TraceId;

use super::{RETRY_TICKS, TICK, Worker};
use crate::block::Block;
use crate::buried::Buried;
use crate::catalog::Change;
use crate::compaction::{self, Rules};
use crate::damage::sentence;
use crate::facts::Strictness;
use crate::merge::{self, Merge, MergeError, Merging, Parting};

/// What is kept of each trace until a block is finished, about: its place in the index.
const TRACE_BYTES: u64 = 64;
/// So many are merged however little memory there is.
const TRACES_MIN: u64 = 64 << 10;
/// A block that is made may be so many times as large as what it is made with.
const BLOCK_PER_MAKING: u64 = 4;
/// Blocks that are merged at once have so much memory each, to be read with.
const BLOCK_BYTES: u64 = 3 << 20;

/// Until it is looked again whether anything is due: not long after a stretch of time is over.
pub(super) fn pause_ticks(window: Duration) -> u32 {
    let ticks = window.as_millis() / 4 / TICK.as_millis();
    u32::try_from(ticks).unwrap_or(u32::MAX).clamp(1, RETRY_TICKS)
}

/// What became of one step of merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Done,
    /// These blocks are not tried again for now.
    Failed,
    /// It goes on the next time: something else is more urgent, or must have its turn.
    Paused,
    /// The store is being closed.
    Stopped,
    /// Nothing is due.
    Idle,
}

impl<'a> Worker<'a> {
    /// Merges what is due, for about a tick's time. Half of one core is the most that it takes while
    /// anything is asked: the rest of the time is for whoever asks.
    pub(super) fn compact(&mut self) -> Step {
        let step = self.step();
        let bytes = self.merging.as_ref().map_or(0, Merging::bytes);
        self.shared.merged_bytes.store(bytes, Ordering::Relaxed);
        step
    }

    fn step(&mut self) -> Step {
        if self.shared.queue.poison_cause().is_some() {
            self.merging = None;
            return Step::Idle;
        }
        let mut merging = match self.merging.take() {
            Some(merging) if self.are_there(merging.blocks()) => merging,
            // Some of its blocks have had their time meanwhile, or turned out to be damaged.
            Some(_) => return Step::Done,
            None if self.compact_wait_ticks > 0 => return Step::Idle,
            None => {
                let Some((blocks, parting)) = self.due() else {
                    self.forget();
                    self.compact_wait_ticks = pause_ticks(self.merge_window());
                    return Step::Idle;
                };
                match self.begin(&blocks, parting) {
                    Ok(merging) => merging,
                    Err(error) => return self.note_failure(&blocks, &error),
                }
            }
        };
        let (shared, started) = (self.shared, Instant::now());
        let stop = || shared.is_stopping();
        loop {
            if self.is_wanted_elsewhere() || started.elapsed() >= TICK {
                self.merging = Some(merging);
                return Step::Paused;
            }
            match merging.step(&stop) {
                Ok(true) => break,
                Ok(false) => shared.merged_bytes.store(merging.bytes(), Ordering::Relaxed),
                Err(error) => return self.note_failure(merging.blocks(), &error),
            }
        }
        let blocks = merging.blocks().to_vec();
        match self.finish(merging, &blocks) {
            Ok(()) => Step::Done,
            Err(error) => self.note_failure(&blocks, &error),
        }
    }

    /// How long until the next tick.
    pub(super) fn rest(&self) -> Duration {
        let is_busy = self.merging.is_some() && !self.is_wanted_elsewhere();
        if is_busy && !self.shared.rooms.are_open() { Duration::ZERO } else { TICK }
    }

    pub(super) fn are_there(&self, blocks: &[Arc<Block>]) -> bool {
        let there = self.shared.view.blocks();
        blocks.iter().all(|block| there.iter().any(|other| Arc::ptr_eq(block, other)))
    }

    fn note_failure(&mut self, blocks: &[Arc<Block>], error: &MergeError) -> Step {
        self.compact_wait_ticks = RETRY_TICKS;
        if error.is_stopped() {
            return Step::Stopped;
        }
        match error {
            MergeError::Read(crate::QueryFailed::Block { block, source })
                if blocks.iter().any(|other| other.entry().name == *block) =>
            {
                if source.is_damage() {
                    self.shared.set_aside(block, source);
                    return Step::Failed;
                }
                self.put_off.put(block);
            }
            // Which of them is at fault nobody knows.
            _ => blocks.iter().for_each(|block| self.put_off.put(&block.entry().name)),
        }
        self.shared.segments.spares.give_up(&self.shared.disk);
        let state = self.catalog.state();
        self.put_off.retain(|name| state.blocks.iter().any(|entry| entry.name == name));
        self.shared.counters.compaction_failures.add(1);
        tracing::error!(error = sentence(error), "cannot merge blocks yet");
        Step::Failed
    }

    /// Which blocks are to be read and replaced, and what is parted meanwhile.
    fn due(&mut self) -> Option<(Vec<Arc<Block>>, Parting)> {
        let shared = self.shared;
        let state = self.catalog.state();
        let parts = shared.view.parts();
        // What was deleted goes first.
        self.looked.begin(&parts.blocks);
        let (put_off, looked) = (&self.put_off, &mut self.looked);
        let mut has_buried = |block: &&Arc<Block>| {
            !put_off.has(&block.entry().name) && looked.has_any(block, &parts.buried)
        };
        if let Some(block) = parts.blocks.iter().find(|block| has_buried(block)) {
            return Some((vec![block.clone()], Parting::No));
        }
        let options = &shared.options;
        let rules = Rules {
            window: self.merge_window(),
            traces_max: (options.memory.making / TRACE_BYTES).max(TRACES_MIN),
            blocks_max: usize::try_from(options.memory.making / BLOCK_BYTES).unwrap_or(usize::MAX),
            bytes_max: options.memory.making.saturating_mul(BLOCK_PER_MAKING),
            splits_errors: options.retention_errors.is_some(),
        };
        let named = parts.blocks.iter().map(|block| (block.entry().name.as_str(), block));
        let open: HashMap<&str, &Arc<Block>> = named.collect();
        let is_readable = |entry: &crate::catalog::BlockEntry| {
            open.contains_key(&*entry.name) && !self.put_off.has(&entry.name)
        };
        let now_ms = shared.clock.now_ms();
        let due = compaction::due(&state.blocks, is_readable, rules, now_ms)?;
        let blocks =
            state.blocks[due].iter().filter_map(|entry| open.get(&*entry.name).copied().cloned());
        let parting = if rules.splits_errors { Parting::LateAndErrors } else { Parting::Late };
        Some((blocks.collect(), parting))
    }

    /// Shorter where the retention is short, for a block goes as a whole.
    fn merge_window(&self) -> Duration {
        let options = &self.shared.options;
        let longest = options.merge_window;
        options.retention_time.map_or(longest, |time| (time / 4).min(longest)).max(TICK)
    }

    fn begin(&self, blocks: &[Arc<Block>], parting: Parting) -> Result<Merging<'a>, MergeError> {
        let merge = Merge {
            disk: &self.shared.disk,
            instance: self.shared.instance,
            // Others may be committed before, and none of these makes a block with such a number.
            number: self.catalog.next_number(),
            blocks: blocks.to_vec(),
            buried: self.shared.view.parts().buried,
            parting,
            bytes_max: self.shared.options.memory.making,
        };
        merge.begin()
    }

    /// The order is what makes a crash harmless at any point: the new files are durable, then one commit
    /// names them and no longer the old ones, and only then do those go, each after its last reader.
    fn finish(&mut self, merging: Merging<'_>, blocks: &[Arc<Block>]) -> Result<(), MergeError> {
        let shared = self.shared;
        let made = merging.finish(&|| shared.is_stopping())?;
        let opened: Result<Vec<Arc<Block>>, _> = made
            .iter()
            .map(|entry| match Block::open(&shared.disk, entry, shared.view.cache()) {
                Ok(block) => Ok(Arc::new(block)),
                Err(error) => Err(crate::QueryFailed::block(&entry.name, error)),
            })
            .collect();
        let opened = opened.inspect_err(|_| merge::discard(&shared.disk, &made))?;
        let change = Change {
            add: made.clone(),
            remove: blocks.iter().map(|block| block.entry().name.clone()).collect(),
            ..Change::default()
        };
        if let Err(error) = self.commit(change) {
            if shared.queue.poison_cause().is_none() {
                merge::discard(&shared.disk, &made);
            }
            let error = std::io::Error::other(sentence(&error));
            return Err(MergeError::Write(error.into()));
        }
        let spans =
            |blocks: &[Arc<Block>]| -> u64 { blocks.iter().map(|block| block.entry().spans).sum() };
        tracing::info!(
            blocks = blocks.len(),
            spans = spans(blocks),
            into = opened.len(),
            spans_left = spans(&opened),
            "merged blocks"
        );
        // Those that were set aside meanwhile are gone, too.
        let gone = shared.view.replace_blocks(blocks, opened);
        shared.note_readable(gone, blocks.iter().map(|block| block.entry().name.as_str()));
        blocks.iter().for_each(|block| block.doom());
        shared.counters.compactions.add(1);
        shared.counters.merged_blocks.add(blocks.len() as u64);
        Ok(())
    }

    /// Whether merging has to wait, because something else may not.
    pub(super) fn is_wanted_elsewhere(&self) -> bool {
        self.shared.is_stopping()
            || self.shared.is_asked_for()
            || self.shared.head_bytes() >= self.shared.options.memory.head
    }

    /// Tombstones go when nothing is left under them, and nothing that cannot be read may be.
    fn forget(&mut self) {
        let state = self.catalog.state();
        if state.tombstones.is_empty() {
            return;
        }
        let blocks = self.shared.view.blocks();
        let open: HashSet<&str> = blocks.iter().map(|block| block.entry().name.as_str()).collect();
        // Whatever may be in one that cannot be read: no index need be asked.
        let unreadable = state.blocks.iter().filter(|entry| !open.contains(&*entry.name));
        let unreadable_from = unreadable.map(|entry| entry.last_seq).min().unwrap_or(u64::MAX);
        let is_needed = |id: TraceId, through: u64| {
            let mut old = blocks.iter().filter(|block| block.entry().last_seq <= through);
            unreadable_from <= through
                || old.any(|block| {
                    let found = block.group(id.into(), Strictness::Strict);
                    !found.is_ok_and(|found| found.is_empty())
                })
        };
        let forget: Vec<TraceId> = state
            .tombstones
            .iter()
            .filter(|one| !is_needed(one.trace_id, one.through))
            .map(|one| one.trace_id)
            .collect();
        if forget.is_empty() {
            return;
        }
        match self.commit(Change { forget, ..Change::default() }) {
            Ok(()) => self.show_buried(),
            Err(error) => tracing::warn!(error = sentence(&error), "cannot forget deletions yet"),
        }
    }

    /// Lets queries see what the catalog says of what was deleted.
    pub(super) fn show_buried(&self) {
        self.shared.view.set_buried(Buried::new(&self.catalog.state().tombstones));
    }
}

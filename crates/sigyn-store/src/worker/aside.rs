//! Blocks that could not be read: when the disk can read them again, they are back in answers.

use std::collections::HashSet;
use std::sync::Arc;

use super::Worker;
use crate::block::{Block, BlockError};
use crate::catalog::BlockEntry;

/// How often it is looked for them.
pub(super) const EVERY_TICKS: u32 = 20;

impl Worker<'_> {
    /// Looks for them, if it is time; for each of them less often the more often it was tried.
    pub(super) fn look_for_unreadable(&mut self) {
        self.aside_wait_ticks = self.aside_wait_ticks.saturating_sub(1);
        self.aside.tick();
        if self.aside_wait_ticks > 0 {
            return;
        }
        self.aside_wait_ticks = EVERY_TICKS;
        let shared = self.shared;
        let blocks = shared.view.blocks();
        let open: HashSet<&str> = blocks.iter().map(|block| block.entry().name.as_str()).collect();
        let state = self.catalog.state();
        self.aside.retain(|name| state.blocks.iter().any(|entry| entry.name == name));
        let is_due =
            |entry: &&BlockEntry| !open.contains(&*entry.name) && !self.aside.has(&entry.name);
        let due: Vec<BlockEntry> = state.blocks.iter().filter(is_due).cloned().collect();
        for entry in due {
            let read = self.read_all_of(&entry);
            if matches!(read, Ok(None)) {
                // It goes on at the next tick: nothing was found out yet.
                self.aside_wait_ticks = 0;
                return;
            }
            // Whatever came of it: one that comes and goes must not do so all the time.
            self.aside.put(&entry.name);
            match read {
                Ok(Some(block)) => {
                    tracing::info!(block = entry.name, "a block can be read again");
                    shared.view.put_back(Arc::new(block));
                    shared.note_readable(1, [entry.name.as_str()]);
                }
                Ok(None) => {}
                Err(error) => {
                    // Why was told when it was set aside. It may be so of all of them.
                    tracing::debug!(block = entry.name, %error, "a block is still unreadable");
                    return;
                }
            }
        }
    }

    /// The block, if all of it is as it was written; nothing yet if something else is more urgent.
    fn read_all_of(&mut self, entry: &BlockEntry) -> Result<Option<Block>, BlockError> {
        let (block, mut part) = match self.half_read.take() {
            Some((block, part)) if block.entry().name == entry.name => (block, part),
            _ => (Block::open(&self.shared.disk, entry, self.shared.view.cache())?, 0),
        };
        while block.check(part)?.is_some() {
            part += 1;
            if self.is_wanted_elsewhere() {
                self.half_read = Some((block, part));
                return Ok(None);
            }
        }
        Ok(Some(block))
    }
}

//! A slow look at everything that is stored, so that damage is found before somebody asks for it.

use std::time::Duration;

use crate::block::{Block, BlockFailed};
use crate::damage::sentence;
use crate::shared::Shared;

/// How much is read: so little that queries do not notice.
const BYTES_PER_SECOND: u64 = 4 << 20;
/// From the end of a pass to the next one.
const PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Where a pass over the blocks is.
#[derive(Debug, Default)]
pub(crate) struct Check {
    /// The block that is being read, by its place in the order of frames, and which part is next.
    at: Option<(u64, String)>,
    part: usize,
    /// Until when nothing is read.
    wait: Duration,
}

impl Check {
    /// Reads one part of one block, if it is time; `passed` is how long ago this was last called.
    pub(crate) fn step(&mut self, shared: &Shared, passed: Duration) {
        self.wait = self.wait.saturating_sub(passed);
        if !self.wait.is_zero() {
            return;
        }
        let blocks = shared.view.blocks();
        let place = |block: &Block| {
            let entry = block.entry();
            (entry.last_seq, entry.name.clone())
        };
        // This one, or if it is gone the one after it. One that was made anew may stand elsewhere.
        let left =
            blocks.iter().filter(|block| self.at.as_ref().is_none_or(|at| place(block) >= *at));
        let next = left.min_by_key(|block| place(block));
        let Some(block) = next else {
            *self = Self { wait: PAUSE, ..Self::default() };
            return;
        };
        let here = place(block);
        if self.at.as_ref() != Some(&here) {
            self.part = 0;
        }
        match block.check(self.part) {
            Ok(Some(bytes)) => {
                self.part += 1;
                self.wait = Duration::from_millis(bytes * 1_000 / BYTES_PER_SECOND);
                self.at = Some(here);
            }
            done => {
                if let Err(error) = done {
                    let error = BlockFailed::from(error);
                    if error.is_damage() {
                        shared.set_aside(&here.1, &error);
                    } else {
                        // It may be readable in the next pass.
                        let cause = sentence(&error);
                        tracing::warn!(block = here.1, cause, "cannot check a block");
                    }
                }
                // Nothing has this place: it is just behind the block.
                self.at = Some((here.0, here.1 + "\0"));
                self.part = 0;
            }
        }
    }
}

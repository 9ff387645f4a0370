//! Several processes behind one address: where each of them was read to.
//!
//! A process draws its epoch once and never has another's. So an epoch that comes back is no restart:
//! a balancer, or a server of several workers, answers with one process now and with another then.
//! Each has a log of its own, and each is read from where it was left.
//!
//! The store keeps the cursor of the process that was read last, and no other. After a restart of
//! this process the others are new to it: what they still hold is stored once more, and each counts
//! as a restart. Targets should be found by the addresses of their processes, or share a spool: then
//! each of them answers for all, and remembers how far we are.

use std::collections::VecDeque;

use crate::account::Life;
use crate::answer::SIBLINGS_MAX;

/// Processes remembered of one target, beside the one that was read last.
const LIVES_MAX: usize = SIBLINGS_MAX;

/// The processes that a target was read from before, the one left last at the end.
#[derive(Debug, Default)]
pub(crate) struct Lives(VecDeque<Life>);

impl Lives {
    pub(crate) fn knows(&self, epoch: u64) -> bool {
        self.0.iter().any(|life| life.cursor.epoch == epoch)
    }

    pub(crate) fn remember(&mut self, life: Life) {
        self.0.retain(|known| known.cursor.epoch != life.cursor.epoch);
        if self.0.len() >= LIVES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(life);
    }

    pub(crate) fn take(&mut self, epoch: u64) -> Option<Life> {
        let at = self.0.iter().position(|life| life.cursor.epoch == epoch)?;
        self.0.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigyn_model::EpochAccount;
    use sigyn_model::pull::Cursor;

    fn life(epoch: u64, seq: u64) -> Life {
        let cursor = Cursor { epoch, seq };
        Life { cursor, account: EpochAccount::default(), uncounted: false, joined: false }
    }

    #[test]
    fn the_newest_lives_are_remembered_once_each() {
        let mut lives = Lives::default();
        for epoch in 1..=LIVES_MAX as u64 + 2 {
            lives.remember(life(epoch, 1));
        }
        lives.remember(life(5, 9));
        assert_eq!(lives.0.len(), LIVES_MAX);
        assert!(!lives.knows(2) && lives.knows(3));
        assert_eq!(lives.take(5), Some(life(5, 9)));
        assert_eq!(lives.take(5), None);
    }
}

//! How long it is waited after a block could not be made.

use super::RETRY_TICKS;
use crate::disk::Free;

/// After a failure for lack of room, ticks until it is looked whether there is more.
const ROOM_TICKS: u32 = 4;

/// None of it is left at first.
#[derive(Debug, Default)]
pub(super) struct Pause {
    ticks: u32,
    /// What was free on the disk when there was too little.
    free: Option<Free>,
}

impl Pause {
    /// After a failure: for lack of room if it is told what was free.
    pub(super) fn begin(&mut self, free: Option<Free>) {
        *self = Self { ticks: RETRY_TICKS, free };
    }

    pub(super) fn is_over(&self) -> bool {
        self.ticks == 0
    }

    /// One tick of it is over, or all of it: where there is more room than before nothing is waited for.
    pub(super) fn tick(&mut self, free: impl FnOnce() -> Option<Free>) {
        self.ticks = self.ticks.saturating_sub(1);
        if (1..=RETRY_TICKS - ROOM_TICKS).contains(&self.ticks)
            && let Some(before) = self.free
            && free().is_some_and(|now| now.is_more_than(before))
        {
            self.ticks = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Free = Free { bytes: 4 << 10, files: 9 };
    const ROOM: Free = Free { bytes: 50 << 20, files: 9 };

    /// Ticks until the next try, where so much is free then, and what was free before.
    fn ticks(before: Option<Free>, now: Option<Free>) -> u32 {
        let mut pause = Pause::default();
        assert!(pause.is_over());
        pause.begin(before);
        let mut ticks = 0;
        while !pause.is_over() {
            pause.tick(|| now);
            ticks += 1;
        }
        ticks
    }

    #[test]
    fn a_pause_ends_soon_after_there_is_room_again() {
        assert_eq!(ticks(Some(FULL), Some(ROOM)), ROOM_TICKS);
        assert_eq!(ticks(Some(FULL), Some(FULL)), RETRY_TICKS);
        assert_eq!(ticks(Some(ROOM), Some(FULL)), RETRY_TICKS);
        assert_eq!(ticks(Some(FULL), None), RETRY_TICKS);
        // It failed for another reason.
        assert_eq!(ticks(None, Some(ROOM)), RETRY_TICKS);
    }
}

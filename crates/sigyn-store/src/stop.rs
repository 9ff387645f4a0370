//! A word to long work that nobody waits for its result any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::room::{NoRoom, Opened, Room};

/// Ends queries early. All clones are one: stopped is stopped, for good.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    is_stopped: Arc<AtomicBool>,
    /// Where what is opened for it counts.
    room: Option<Arc<Room>>,
    /// So often it may be asked; for tests.
    #[cfg(test)]
    checks: Option<Arc<std::sync::atomic::AtomicUsize>>,
}

impl Stop {
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// The same, for a question with a room of its own.
    pub(crate) fn with_room(self, room: &Arc<Room>) -> Self {
        Self { room: Some(room.clone()), ..self }
    }

    /// Counts what a question holds for a while.
    pub(crate) fn open(&self, bytes: usize) -> Result<Option<Opened>, NoRoom> {
        self.room.as_ref().map(|room| room.open(bytes as u64)).transpose()
    }

    /// The same for a list that has grown.
    pub(crate) fn keep(&self, opened: &mut Option<Opened>, bytes: usize) -> Result<(), NoRoom> {
        match opened {
            Some(opened) => opened.resize(bytes as u64),
            none => self.open(bytes).map(|opened| *none = opened),
        }
    }

    /// Stops by itself when it was asked so often.
    #[cfg(test)]
    pub(crate) fn after(checks: usize) -> Self {
        Self { checks: Some(Arc::new(checks.into())), ..Self::default() }
    }

    /// Asked wherever a query has gone on for a while.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        #[cfg(test)]
        if let Some(checks) = &self.checks {
            let left =
                checks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
            if left.is_err() {
                self.stop();
            }
        }
        if self.is_stopped() { Err(Stopped) } else { Ok(()) }
    }
}

/// What a check says to who is stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped;

//! How far it is, on standard error, of whatever takes longer than a second.

use std::time::{Duration, Instant};

/// From one line to the next, and before the first.
const LINE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Progress {
    /// What is done, as it is told.
    what: &'static str,
    last: Instant,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, last: Instant::now() }
    }

    /// `done` of `all`, in whatever unit.
    pub(super) fn at(&mut self, done: u64, all: u64) {
        if self.last.elapsed() >= LINE_EVERY {
            self.last = Instant::now();
            let percent = u128::from(done) * 100 / u128::from(all.max(1));
            eprintln!("sigyn store: {}, {percent} %", self.what);
        }
    }
}

//! Processes that share a spool: whichever is asked tells the spans of all, each under its own epoch.

use std::time::Duration;

use sigyn_model::pull::Cursor;
use tokio_util::sync::CancellationToken;

use crate::books::Ledger;
use crate::scrape_loop::{Call, ScrapeLoop};
use crate::target::Tick;

/// Epochs beside the one that a target is read from.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    told: Vec<Cursor>,
    /// One of them is being read.
    pub(crate) is_visit: bool,
}

impl Siblings {
    /// The target can tell more epochs than one.
    pub(crate) fn are_several(&self) -> bool {
        self.is_visit || !self.told.is_empty()
    }

    /// What an answer says of them. During visits the list stays that of the epoch that was read first.
    pub(crate) fn told(&mut self, siblings: Vec<Cursor>) {
        if !self.is_visit {
            self.told = siblings;
        }
    }
}

impl ScrapeLoop {
    /// Reads each of them to its end, and counts what came with the scrape. Returns how long the target is to be left alone.
    pub(crate) async fn visit_siblings(
        &mut self,
        ledger: &mut Ledger,
        tick: &mut Tick,
        stop: &CancellationToken,
    ) -> Option<Duration> {
        let home = ledger.progress.cursor?.epoch;
        let mut pause = None;
        for sibling in std::mem::take(&mut self.siblings.told) {
            if sibling.epoch == home || stop.is_cancelled() {
                continue;
            }
            ledger.visit(sibling);
            self.siblings.is_visit = true;
            let (visit, asked) = self.pages(ledger, Call::Now, stop).await;
            self.siblings.is_visit = false;
            tick.spans += visit.spans;
            tick.bytes += visit.bytes;
            tick.took += visit.took;
            tick.read_to_end &= visit.read_to_end;
            if visit.end.failure().is_some() {
                tick.end = visit.end;
                pause = asked;
                break;
            }
        }
        ledger.turn_to(home);
        self.target.opened(&ledger.progress);
        pause
    }
}

//! Between two instants of a target: it is asked because its log fills fast, or a request waits there until it has spans.
//!
//! Nothing of it counts as a scrape. Whether a target is up, and how regularly it is asked, is told by its instants.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::books::Ledger;
use crate::early::{Step, Wait};
use crate::scrape_loop::{Call, ScrapeLoop};
use crate::status::Waiting;
use crate::target::{End, Tick};

impl ScrapeLoop {
    /// Asks until the next instant comes near. Returns how long the target is to be left alone.
    pub(crate) async fn between(
        &mut self,
        ledger: &mut Ledger,
        instant: Instant,
        stop: &CancellationToken,
    ) -> Option<Duration> {
        let next = instant + self.schedule.interval();
        while let Some(step) = self.early.step(next) {
            let (Step::Pull(at) | Step::Wait(Wait { at, .. })) = step;
            self.target.pulled_next(matches!(step, Step::Pull(_)).then_some(at));
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = tokio::time::sleep_until(at) => {}
                // Somebody waits for something else: that comes first.
                _ = self.wanted.called(self.target.calls()) => return None,
            }
            self.target.pulled_next(None);
            let Step::Wait(wait) = step else {
                let pause = self.pull(ledger, stop).await;
                if pause.is_some() {
                    return pause;
                }
                continue;
            };
            let waits = Arc::clone(&self.waits);
            let Ok(_place) = waits.try_acquire_owned() else {
                self.counts.waits.refused();
                self.target.waits(Waiting::Refused);
                self.early.without_waits();
                continue;
            };
            self.target.waits(Waiting::Open);
            let open = self.counts.waits();
            let (tick, pause) = self.pages(ledger, Call::Waits(wait), stop).await;
            drop(open);
            self.waited(wait, tick, ledger);
            if pause.is_some() {
                return pause;
            }
        }
        None
    }

    /// Asks, because the log would be full before the next instant.
    async fn pull(&mut self, ledger: &mut Ledger, stop: &CancellationToken) -> Option<Duration> {
        self.counts.pulled_filling();
        self.early.pulled();
        let (tick, pause) = self.pages(ledger, Call::Now, stop).await;
        debug!(target = %self.target.key, spans = tick.spans, took = ?tick.took, end = ?tick.end, "pulled early");
        if !matches!(tick.end, End::Done) {
            // The scrape at the next instant finds out what it is.
            self.early.over();
        }
        self.target.pulled(tick);
        pause
    }

    /// What follows from the end of a wait.
    fn waited(&mut self, wait: Wait, tick: Tick, ledger: &Ledger) {
        debug!(target = %self.target.key, spans = tick.spans, took = ?tick.took, end = ?tick.end, "waited");
        let epoch = ledger.progress.cursor.map_or(0, |cursor| cursor.epoch);
        let mut state = Waiting::Between;
        match &tick.end {
            End::Done => {
                if !self.early.answered(wait, tick.took, tick.spans, epoch) {
                    self.counts.waits.not_kept();
                    state = Waiting::NotKept;
                }
            }
            End::Left => self.early.over(),
            // The scrape at the next instant finds out what it is.
            End::NotTraced(_)
            | End::Busy(_)
            | End::NotStored(_)
            | End::Crowded(_)
            | End::Failed(..) => {
                self.counts.waits.failed();
                self.early.over();
            }
        }
        if tick.spans > 0 {
            self.counts.waits.pulled();
        }
        self.target.waits(state);
        self.target.pulled(tick);
    }
}

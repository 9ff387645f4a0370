//! A target is asked at once, because somebody waits for traces that nobody sampled.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::books::Ledger;
use crate::scrape_loop::{Call, ScrapeLoop};

impl ScrapeLoop {
    /// Waits until it is to be asked, and asks. Returns how long it is to be left alone after that.
    pub(crate) async fn answer_call(
        &mut self,
        call: u64,
        ledger: &mut Ledger,
        stop: &CancellationToken,
    ) -> Option<Duration> {
        let mut pause = None;
        // One that was never read has no cursor and no books yet; its first scrape asks as well.
        if ledger.progress.cursor.is_some() && !self.target.has_given(call) {
            // Only so many at a time, as all targets are called at once.
            let places = Arc::clone(&self.wanted.callers.places);
            let _place = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                place = places.acquire() => place,
            };
            let (tick, wants_pause) = self.pages(ledger, Call::Now, stop).await;
            debug!(target = %self.target.key, spans = tick.spans, took = ?tick.took, end = ?tick.end, "asked for traces");
            self.target.pulled(tick);
            pause = wants_pause;
        }
        self.target.called(call);
        pause
    }
}

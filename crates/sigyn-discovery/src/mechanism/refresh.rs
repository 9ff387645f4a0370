//! The loop of a mechanism that asks again and again: at once, then once an interval.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Context, Part};
use crate::error_chain::chain;
use crate::group::TargetGroup;

/// An interval of zero is accepted, as by Prometheus, and means this.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Why a mechanism has no answer this time.
pub(crate) type RefreshError = Box<dyn Error + Send + Sync>;

/// A mechanism that finds all there is by asking once.
pub(crate) trait Refresh: Send {
    /// Whether an answer names every source there is: then a source that it lacks is gone. Where
    /// an answer leaves out what could not be asked, it is not.
    const COMPLETE: bool = true;

    /// Asks. Whatever it waits for has a timeout.
    fn refresh(&mut self) -> impl Future<Output = Result<Vec<TargetGroup>, RefreshError>> + Send;
}

/// The interval that a section means by what it says.
pub(super) fn interval_of(written: Duration) -> Duration {
    if written.is_zero() { INTERVAL_MIN } else { written }
}

/// Asks at once and then every `interval` until told to stop. What takes longer than the interval
/// is not asked twice to catch up. A failure is counted and logged, and changes nothing.
pub(crate) async fn run<R: Refresh>(mut mechanism: R, every: Duration, context: Context) {
    let whose = Arc::clone(&context.whose);
    let refreshes = context.metrics.refreshes(whose.kind);
    context.metrics.tell_refresh_failures(whose.kind, &context.job);
    let mut ticks = interval(interval_of(every));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sources = context.known.clone();
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let begun = Instant::now();
        let answer = tokio::select! {
            () = context.shutdown.cancelled() => return,
            answer = mechanism.refresh() => answer,
        };
        refreshes.count(begun.elapsed(), answer.is_err());
        let mut groups = match answer {
            Ok(groups) => {
                whose.works(&Part::Whole);
                groups
            }
            Err(error) => {
                context.metrics.refresh_failed(whose.kind, &context.job);
                let error = chain(&*error);
                whose.failed(Part::Whole, error.as_str());
                tracing::warn!(
                    config = %whose,
                    discovery = whose.kind,
                    server = whose.server,
                    error,
                    "Unable to refresh target groups"
                );
                continue;
            }
        };
        if R::COMPLETE {
            let answered: BTreeSet<String> =
                groups.iter().map(|group| group.source.clone()).collect();
            let gone = sources.difference(&answered);
            groups.extend(
                gone.map(|source| TargetGroup { source: source.clone(), ..Default::default() }),
            );
            sources = answered;
        }
        if !context.send(groups).await {
            return;
        }
    }
}

//! Traces that are not over when a head is sealed: they go to the next head, so that few are split.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use sigyn_model::columns::Columns;

use super::Worker;
use crate::error::{AppendError, SealError};
use crate::facts::TraceKey;
use crate::head::HeadView;
use crate::incoming::Incoming;
use crate::queue::{Held, Rotated};

/// A trace to which something came within so much time may not be over.
const YOUNG: Duration = Duration::from_secs(10);
/// One row of so many stays at most: sealing must free memory, and what stays is written to the log again.
const ROWS_PER_KEPT: u32 = if cfg!(test) { 2 } else { 16 };
/// A trace that alone has one of so many of the rows that may stay is cut.
const TRACES_MIN: u32 = if cfg!(test) { 1 } else { 4 };

/// And so much memory, or so much of what a head may take, whichever is less: while they are written again
/// they are held beside both heads.
const BYTES_MAX: u64 = 16 << 20;
const OF_HEAD: u64 = 16;

/// How many rows the head had when, and what stayed in memory the last time.
#[derive(Debug, Default)]
pub(super) struct Carry {
    samples: VecDeque<(u64, u32)>,
    last: HashSet<TraceKey>,
}

impl Carry {
    /// Notes how many rows the active head has by now.
    pub(super) fn note(&mut self, rows: u64, uptime_ms: u64) {
        self.samples.push_back((uptime_ms, u32::try_from(rows).unwrap_or(u32::MAX)));
        // The newest of those that are old enough is enough.
        while self.samples.get(1).is_some_and(|(at_ms, _)| is_old(*at_ms, uptime_ms)) {
            self.samples.pop_front();
        }
    }

    /// What was noted is of another head.
    pub(super) fn forget(&mut self) {
        self.samples.clear();
    }

    /// Which traces of a head that gets no more spans stay in memory, by their numbers, in order; and their
    /// spans.
    fn young(
        &mut self,
        view: &HeadView,
        uptime_ms: u64,
        head_bytes_max: u64,
    ) -> (Vec<u32>, Columns) {
        let bytes_max = BYTES_MAX.min(head_bytes_max / OF_HEAD);
        let rows = u32::try_from(view.span_count()).unwrap_or(u32::MAX);
        let old = self.samples.front().filter(|(at_ms, _)| is_old(*at_ms, uptime_ms));
        let since = rows.saturating_sub(old.map_or(0, |(_, rows)| *rows));
        let kept_max = rows / ROWS_PER_KEPT;
        let (mut kept, mut sum) = (Vec::new(), 0);
        let (mut spans, last) = (Columns::default(), std::mem::take(&mut self.last));
        for (trace, count) in view.last_traces(since.min(kept_max)) {
            // One that stayed before is cut: it may never end.
            let key = view.trace_numbered(trace).0;
            if last.contains(&key) || count > kept_max / TRACES_MIN || sum + count > kept_max {
                continue;
            }
            // Intake waits while they are copied.
            let before = spans.mark();
            let fits = view.trace_numbered(trace).1.spans().all(|span| {
                spans.push(&span);
                spans.bytes() as u64 <= bytes_max
            });
            if !fits {
                spans.truncate(before);
                break;
            }
            sum += count;
            kept.push(trace);
            self.last.insert(key);
        }
        kept.sort_unstable();
        (kept, spans)
    }
}

fn is_old(at_ms: u64, now_ms: u64) -> bool {
    u128::from(now_ms.saturating_sub(at_ms)) >= YOUNG.as_millis()
}

impl Worker<'_> {
    /// Puts young traces of a head that is about to be sealed into the next one, durably. If that is refused
    /// they are sealed with the others. Errors if it is unknown what became of them.
    pub(super) fn carry_over(
        &mut self,
        rotated: &Rotated,
        held: &Held<'_>,
    ) -> Result<(), SealError> {
        // A block of just the frames that were there before may have been made already, of all that is in
        // them, and be found when the store is opened again.
        if !rotated.is_new {
            return Ok(());
        }
        let view = rotated.head.view();
        let head_bytes_max = self.shared.options.memory.head;
        let uptime_ms = self.shared.clock.uptime_ms();
        let (young, spans) = self.carry.young(&view, uptime_ms, head_bytes_max);
        if young.is_empty() {
            return Ok(());
        }
        let arrivals_ms = view.arrivals_ms();
        let batch = Incoming {
            bytes: spans.bytes() as u64,
            span_count: spans.len(),
            spans: Some(Box::new(spans)),
            progress: None,
            arrival_ms: arrivals_ms.map_or_else(|| self.shared.clock.now_ms(), |(_, last)| last),
            is_again: true,
        };
        match held.put_again(batch).map(|answer| answer.blocking_recv()) {
            Ok(Ok(Ok(()))) => {
                rotated.head.leave_out(young);
                Ok(())
            }
            Ok(Err(_)) => Err(SealError::Closed),
            Ok(Ok(Err(AppendError::Poisoned { cause }))) => {
                Err(SealError::Failed { cause, is_full: false })
            }
            Ok(Ok(Err(error))) | Err(error) => {
                tracing::debug!(%error, "traces that may not be over are sealed all the same");
                Ok(())
            }
        }
    }
}

//! How fast spans finish, what follows for the log, and which share of traces a budget leaves.

use std::time::Duration;

/// Readings closer together than this are one.
const WINDOW_MIN: Duration = Duration::from_secs(1);
/// A budget is left in steps no larger than this, so that one quiet moment does not let everything in.
const GROWTH_MAX: f64 = 4.0;
/// However small the budget: the share of traces that is left is never zero.
const SHARE_MIN: f64 = 1.0 / 65_536.0;

/// What was counted at one moment: totals that never fall.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    at: Duration,
    spans: u64,
    bytes: u64,
}

/// The pace of a log, read whenever somebody scrapes it.
#[derive(Debug)]
pub(crate) struct Pace {
    last: Reading,
    bytes_per_second: f64,
    /// The share of traces begun here that is recorded.
    share: f64,
}

impl Pace {
    /// Of a log that begins now.
    pub(crate) fn from(now: Duration) -> Self {
        let last = Reading { at: now, ..Reading::default() };
        Self { last, bytes_per_second: 0.0, share: 1.0 }
    }

    /// Compares totals with those of the last reading. `budget` is how many spans may finish in a second.
    pub(crate) fn read(&mut self, at: Duration, spans: u64, bytes: u64, budget: Option<f64>) {
        let window = at.saturating_sub(self.last.at);
        if window >= WINDOW_MIN {
            let per_second =
                |now: u64, then: u64| now.saturating_sub(then) as f64 / window.as_secs_f64();
            self.bytes_per_second = per_second(bytes, self.last.bytes);
            let recorded = per_second(spans, self.last.spans);
            self.last = Reading { at, spans, bytes };
            if let Some(budget) = budget {
                // Of fewer traces as many spans fewer are recorded.
                let fits = if recorded > 0.0 { budget / recorded } else { GROWTH_MAX };
                self.share = (self.share * fits.min(GROWTH_MAX)).clamp(SHARE_MIN, 1.0);
            }
        }
        if budget.is_none() {
            self.share = 1.0;
        }
    }

    pub(crate) fn share(&self) -> f64 {
        self.share
    }

    /// In how much time so many bytes of spans finish.
    pub(crate) fn lasts(&self, bytes: usize) -> Option<Duration> {
        let seconds = bytes as f64 / self.bytes_per_second;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_log_lasts_as_long_as_it_takes_to_fill() {
        let mut pace = Pace::from(Duration::ZERO);
        assert_eq!(pace.lasts(1_000), None, "nothing is known");
        pace.read(10 * SECOND, 0, 5_000, None);
        assert_eq!(pace.lasts(1_000), Some(2 * SECOND));
        pace.read(10 * SECOND + SECOND / 2, 0, 1 << 40, None);
        assert_eq!(pace.lasts(1_000), Some(2 * SECOND), "too soon");
        pace.read(20 * SECOND, 0, 5_000, None);
        assert_eq!(pace.lasts(1_000), None, "for ever");
    }

    #[test]
    fn a_budget_leaves_the_share_that_fits_it() {
        let mut pace = Pace::from(Duration::ZERO);
        let (mut spans, budget) = (0, Some(100.0));
        let mut check = |second: u32, finished: u64, budget, expected: f64| {
            spans += finished;
            pace.read(SECOND * second, spans, 0, budget);
            assert!((pace.share() - expected).abs() < 1e-9, "{second}: {}", pace.share());
        };
        check(1, 50, budget, 1.0);
        check(2, 1_000, budget, 0.1);
        check(3, 100, budget, 0.1);
        check(4, 50, budget, 0.2);
        check(5, 0, budget, 0.8);
        check(6, 0, budget, 1.0);
        check(7, u64::MAX / 4, budget, SHARE_MIN);
        check(8, 0, None, 1.0);
    }
}

//! What time it is for whoever deletes by age: a clock that jumps ahead is not believed at once.

use std::time::Duration;

/// How long a clock that is ahead must stay so. One that is wrong at boot is set right by then.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// How far ahead a clock may be at any rate, if the retention is long.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The time, as far as it is believed.
#[derive(Debug)]
pub(crate) struct Present {
    believed_ms: u64,
    /// What was the uptime then.
    at_ms: u64,
    /// At which uptime the clock began to be ahead.
    doubted_at_ms: Option<u64>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Present {
    /// When this was stored last it was not later. `uptime_ms` counts evenly, from whenever.
    pub(crate) fn since(last_arrival_ms: u64, uptime_ms: u64) -> Self {
        Self { believed_ms: last_arrival_ms, at_ms: uptime_ms, doubted_at_ms: None }
    }

    /// The time by which spans are deleted that are to stay for `retention`.
    pub(crate) fn now_ms(&mut self, clock_ms: u64, uptime_ms: u64, retention: Duration) -> u64 {
        let expected_ms = self.believed_ms.saturating_add(uptime_ms.saturating_sub(self.at_ms));
        let ahead_ms = clock_ms.saturating_sub(expected_ms);
        if ahead_ms <= millis((retention / 8).min(AHEAD_MAX)) {
            self.doubted_at_ms = None;
        } else {
            let doubted_at_ms = *self.doubted_at_ms.get_or_insert_with(|| {
                let (ahead_s, patience_s) = (ahead_ms / 1_000, PATIENCE.as_secs());
                tracing::warn!(
                    ahead_s,
                    patience_s,
                    "the clock is ahead of what is stored and of how long this runs; unless it is set right, spans are deleted by it after a while"
                );
                uptime_ms
            });
            if uptime_ms.saturating_sub(doubted_at_ms) < millis(PATIENCE) {
                return expected_ms;
            }
            self.doubted_at_ms = None;
        }
        (self.believed_ms, self.at_ms) = (clock_ms, uptime_ms);
        clock_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 60 * 60 * 1_000;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;

    /// What is believed, where the last batch arrived at day 10 and these are clock and uptime.
    fn check(retention_days: u32, seen: &[(u64, u64, u64)]) {
        let mut present = Present::since(10 * DAY, 7);
        let retention = Duration::from_secs(24 * 60 * 60) * retention_days;
        for (at, (clock_ms, uptime_ms, expected)) in seen.iter().enumerate() {
            let now_ms = present.now_ms(*clock_ms, 7 + uptime_ms, retention);
            assert_eq!(now_ms, *expected, "{at} of {seen:?}");
        }
    }

    #[test]
    fn a_clock_that_goes_on_is_believed() {
        check(7, &[(10 * DAY + 20 * HOUR, 0, 10 * DAY + 20 * HOUR)]);
        check(
            7,
            &[(10 * DAY, 0, 10 * DAY), (11 * DAY, DAY, 11 * DAY), (13 * DAY, 3 * DAY, 13 * DAY)],
        );
        check(30, &[(11 * DAY, 0, 11 * DAY), (12 * DAY, HOUR, 12 * DAY)]);
        // It was ahead before, or is behind now.
        check(7, &[(DAY, 0, DAY), (DAY + HOUR, HOUR, DAY + HOUR)]);
    }

    #[test]
    fn one_that_jumps_ahead_is_believed_after_an_hour() {
        let wrong = YEAR;
        check(
            7,
            &[
                (wrong, 0, 10 * DAY),
                (wrong + HOUR - 1, HOUR - 1, 10 * DAY + HOUR - 1),
                (wrong + HOUR, HOUR, wrong + HOUR),
                (wrong + HOUR + 1, HOUR + 1, wrong + HOUR + 1),
            ],
        );
        // It is set right in time, and later wrong again.
        check(
            7,
            &[
                (wrong, 0, 10 * DAY),
                (10 * DAY + 9, HOUR - 1, 10 * DAY + 9),
                (wrong, HOUR, 10 * DAY + 10),
                (wrong, 2 * HOUR - 1, 10 * DAY + 9 + HOUR),
                (wrong, 2 * HOUR, wrong),
            ],
        );
        // Of a short retention little is a lot.
        check(
            1,
            &[(10 * DAY + 4 * HOUR, 0, 10 * DAY), (10 * DAY + 2 * HOUR, 1, 10 * DAY + 2 * HOUR)],
        );
    }
}

//! When a target is asked between two of its instants: how long a request may wait there, and after which answer
//! nobody asks again.

use std::time::Duration;

use tokio::time::Instant;

/// After an early answer a target is left alone for so large a part of its interval.
const GAP_PART: u32 = 10;
/// No wait begins or ends within this part of the interval before the next instant.
const MARGIN_PART: u32 = 20;
/// Intervals without waiting, after a target answered at once although it had nothing.
const WITHOUT: u32 = 10;

/// A request that the target may keep until it has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// When to ask.
    pub(crate) at: Instant,
    /// How long the target may wait.
    pub(crate) lasts: Duration,
    /// When the answer is no longer of use.
    pub(crate) until: Instant,
}

/// What one loop remembers of it.
#[derive(Debug)]
pub(crate) struct Early {
    is_wanted: bool,
    interval: Duration,
    timeout: Duration,
    /// Early answers with spans in one interval, at most.
    pulls_max: u32,
    pulls: u32,
    not_before: Instant,
    /// Not until the next instant.
    is_over: bool,
    /// A process that does not wait, and for how many intervals that is believed.
    unkept: Option<(u64, u32)>,
}

impl Early {
    pub(crate) fn new(
        is_wanted: bool,
        pulls_max: u32,
        interval: Duration,
        timeout: Duration,
    ) -> Self {
        Self {
            is_wanted,
            interval,
            timeout,
            pulls_max,
            pulls: 0,
            not_before: Instant::now(),
            is_over: true,
            unkept: None,
        }
    }

    /// The scrape at an instant is over. `epoch` is the process that answered it whole, if it speaks the protocol.
    pub(crate) fn begin(&mut self, epoch: Option<u64>) {
        self.unkept = match (self.unkept, epoch) {
            (Some((known, left)), Some(epoch)) if known == epoch && left > 1 => {
                Some((known, left - 1))
            }
            _ => None,
        };
        (self.pulls, self.not_before) = (0, Instant::now());
        self.is_over = !self.is_wanted || epoch.is_none() || self.unkept.is_some();
    }

    /// The next wait that ends before `next`, the target's own next instant.
    pub(crate) fn wait(&self, next: Instant) -> Option<Wait> {
        if self.is_over || self.pulls >= self.pulls_max {
            return None;
        }
        let at = self.not_before.max(Instant::now());
        let margin = self.interval / MARGIN_PART;
        let until = next.checked_sub(margin)?;
        // Part of the time is for the way there and back.
        let lasts = until.saturating_duration_since(at).min(self.timeout) * 4 / 5;
        (lasts >= margin).then_some(Wait { at, lasts, until })
    }

    /// A wait was answered, so long after it began. False if the target does not wait.
    pub(crate) fn answered(&mut self, wait: Wait, took: Duration, spans: u64, epoch: u64) -> bool {
        self.not_before = Instant::now();
        if spans > 0 {
            self.pulls += 1;
            self.not_before += self.interval / GAP_PART;
            return true;
        }
        if took * 2 < wait.lasts {
            self.unkept = Some((epoch, WITHOUT));
            self.is_over = true;
            return false;
        }
        true
    }

    /// Nothing more until the next instant.
    pub(crate) fn over(&mut self) {
        self.is_over = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn early() -> Early {
        let mut early = Early::new(true, 2, 20 * SECOND, 10 * SECOND);
        early.begin(Some(7));
        early
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_within_the_timeout_and_before_the_next_instant() {
        let early = early();
        let check = |left: u32, expected: Option<u32>| {
            let wait = early.wait(Instant::now() + SECOND * left);
            assert_eq!(wait.map(|wait| wait.lasts), expected.map(|s| SECOND * s), "{left}");
        };
        check(20, Some(8));
        check(11, Some(8));
        check(6, Some(4));
        check(2, None);
        check(0, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_with_spans_is_left_alone_for_a_while_and_after_some_of_them() {
        let mut early = early();
        let next = Instant::now() + 20 * SECOND;
        for _ in 0..2 {
            let wait = early.wait(next).unwrap();
            assert!(early.answered(wait, Duration::ZERO, 5, 7));
            let pause = early.wait(next).map(|wait| wait.at - Instant::now());
            assert!(pause.is_none_or(|pause| pause == 2 * SECOND), "{pause:?}");
        }
        assert_eq!(early.wait(next), None, "two of two");
        early.begin(Some(7));
        assert!(early.wait(next).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_wait_is_asked_as_usual_until_another_process_is_there() {
        let mut early = early();
        let next = Instant::now() + 20 * SECOND;
        let wait = early.wait(next).unwrap();
        assert!(early.answered(wait, 4 * SECOND, 0, 7), "it waited for half of the time");
        assert!(!early.answered(wait, SECOND, 0, 7));
        assert_eq!(early.wait(next), None);
        for _ in 1..WITHOUT {
            early.begin(Some(7));
            assert_eq!(early.wait(next), None);
        }
        early.begin(Some(7));
        let wait = early.wait(next).unwrap();
        assert!(!early.answered(wait, SECOND, 0, 7));
        early.begin(Some(8));
        assert!(early.wait(next).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_at_a_target_that_fails_or_is_foreign() {
        let mut early = early();
        early.begin(None);
        assert_eq!(early.wait(Instant::now() + 20 * SECOND), None);
        let mut unwanted = Early::new(false, 2, 20 * SECOND, 10 * SECOND);
        unwanted.begin(Some(7));
        assert_eq!(unwanted.wait(Instant::now() + 20 * SECOND), None);
    }
}

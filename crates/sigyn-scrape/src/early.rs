//! When a target is asked between two of its instants: because its log would be full before the next one, or so that a
//! request waits there until it has spans.

use std::time::Duration;

use tokio::time::Instant;

use crate::status::Waiting;

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

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Wait(Wait),
    /// Ask, at this time: the log is half full then.
    Pull(Instant),
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
    /// Not until the next instant: nothing, and no request that waits.
    is_over: bool,
    no_waits: bool,
    /// When the target was read last, and in how much time its log is full after that.
    read_at: Instant,
    lasts: Option<Duration>,
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
            no_waits: true,
            read_at: Instant::now(),
            lasts: None,
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
        self.is_over = epoch.is_none();
        self.no_waits = !self.is_wanted || self.unkept.is_some();
    }

    /// Why no request waits at the target until its next instant; `None` if one will.
    pub(crate) fn rests(&self) -> Option<Waiting> {
        match self.unkept {
            Some(_) if self.is_wanted => Some(Waiting::NotKept),
            _ => (self.is_over || !self.is_wanted).then_some(Waiting::No),
        }
    }

    /// An answer says how long the target's log lasts.
    pub(crate) fn told(&mut self, lasts: Option<Duration>) {
        (self.read_at, self.lasts) = (Instant::now(), lasts);
    }

    /// What to do before `next`, the target's own next instant.
    pub(crate) fn step(&self, next: Instant) -> Option<Step> {
        if self.is_over || self.pulls >= self.pulls_max {
            return None;
        }
        if self.no_waits {
            self.pull(next).map(Step::Pull)
        } else {
            // A wait ends when there are many spans.
            self.wait(next).map(Step::Wait)
        }
    }

    fn pull(&self, next: Instant) -> Option<Instant> {
        let after = (self.lasts? / 2).max(self.interval / GAP_PART);
        let at = self.read_at.checked_add(after)?.max(Instant::now());
        (at < next.checked_sub(self.interval / MARGIN_PART)?).then_some(at)
    }

    fn wait(&self, next: Instant) -> Option<Wait> {
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
            self.no_waits = true;
            return false;
        }
        true
    }

    /// The target was asked because its log fills.
    pub(crate) fn pulled(&mut self) {
        self.pulls += 1;
    }

    /// No request waits until the next instant.
    pub(crate) fn without_waits(&mut self) {
        self.no_waits = true;
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

    impl Early {
        fn waits(&self, next: Instant) -> Option<Wait> {
            match self.step(next) {
                Some(Step::Wait(wait)) => Some(wait),
                _ => None,
            }
        }
    }

    fn early() -> Early {
        let mut early = Early::new(true, 2, 20 * SECOND, 10 * SECOND);
        early.begin(Some(7));
        early
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_within_the_timeout_and_before_the_next_instant() {
        let early = early();
        let check = |left: u32, expected: Option<u32>| {
            let wait = early.waits(Instant::now() + SECOND * left);
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
            let wait = early.waits(next).unwrap();
            assert!(early.answered(wait, Duration::ZERO, 5, 7));
            let pause = early.waits(next).map(|wait| wait.at - Instant::now());
            assert!(pause.is_none_or(|pause| pause == 2 * SECOND), "{pause:?}");
        }
        assert_eq!(early.waits(next), None, "two of two");
        early.begin(Some(7));
        assert!(early.waits(next).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_wait_is_asked_as_usual_until_another_process_is_there() {
        let mut early = early();
        let next = Instant::now() + 20 * SECOND;
        let wait = early.waits(next).unwrap();
        assert!(early.answered(wait, 4 * SECOND, 0, 7), "it waited for half of the time");
        assert_eq!(early.rests(), None);
        assert!(!early.answered(wait, SECOND, 0, 7));
        assert_eq!((early.waits(next), early.rests()), (None, Some(Waiting::NotKept)));
        for _ in 1..WITHOUT {
            early.begin(Some(7));
            assert_eq!(early.waits(next), None);
        }
        early.begin(Some(7));
        let wait = early.waits(next).unwrap();
        assert!(!early.answered(wait, SECOND, 0, 7));
        early.begin(Some(8));
        assert!(early.waits(next).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_fills_before_the_next_instant_is_read_when_it_is_half_full() {
        let mut early = Early::new(false, 2, 20 * SECOND, 10 * SECOND);
        early.begin(Some(7));
        let start = Instant::now();
        let mut check = |lasts: Option<u32>, expected: Option<u32>| {
            early.told(lasts.map(|lasts| SECOND * lasts));
            let at = early.step(start + 20 * SECOND);
            let expected = expected.map(|after| Step::Pull(start + SECOND * after));
            assert_eq!(at, expected, "{lasts:?}");
        };
        check(None, None);
        check(Some(3_600), None);
        check(Some(38), None);
        check(Some(36), Some(18));
        check(Some(10), Some(5));
        check(Some(1), Some(2));
        check(Some(0), Some(2));
        (0..2).for_each(|_| early.pulled());
        assert_eq!(early.step(start + 20 * SECOND), None, "two of two");
        early.begin(Some(7));
        assert!(early.step(start + 20 * SECOND).is_some());
        early.over();
        assert_eq!(early.step(start + 20 * SECOND), None);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_at_a_target_that_fails_or_is_foreign() {
        let mut early = early();
        early.begin(None);
        let waits = early.waits(Instant::now() + 20 * SECOND);
        assert_eq!((waits, early.rests()), (None, Some(Waiting::No)));
        let mut unwanted = Early::new(false, 2, 20 * SECOND, 10 * SECOND);
        unwanted.begin(Some(7));
        let waits = unwanted.waits(Instant::now() + 20 * SECOND);
        assert_eq!((waits, unwanted.rests()), (None, Some(Waiting::No)));
    }
}

//! Which window is asked for next, and with which limit: small where there is much, wide where there
//! is little. Pure: it is told what an answer held and knows nothing of servers.
//!
//! A search finds the traces whose start lies in its window, both ends included, in whole
//! milliseconds. So windows share their edges, and a trace that starts exactly on one is found twice:
//! [`Window::owns`] says which of the two it is counted in.

/// However little there is, no window is wider: 30 days.
const WIDTH_MAX_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Answers of more bytes make the following windows smaller.
const ANSWER_BYTES_WANTED: usize = 16 << 20;
/// A millisecond with more traces than the limit is asked for with higher ones, up to this.
const LIMIT_MAX: u32 = 1_000_000;
/// A source that fails may be overwhelmed: so many times in a row it is asked for less.
const FAILURES_MAX: u32 = 8;
/// Asking a failing source for less than this does not help it.
const FAILING_WIDTH_MIN_MS: u64 = 1_000;

/// From and to, both included, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
}

/// What is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) window: Window,
    pub(super) limit: u32,
    /// No further window follows.
    pub(super) last: bool,
}

/// What an answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All there is.
    Whole,
    /// The least that can be asked for, and there may be more.
    Part,
    /// Possibly not all: to be thrown away, since a better question comes next.
    Again,
}

/// Walks from the oldest to the newest, since what is oldest is what a source forgets first.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    next_ms: u64,
    end_ms: u64,
    width_ms: u64,
    limit: u32,
    /// Higher than `limit` only within a millisecond that holds more.
    raised_limit: u32,
    failures: u32,
}

impl Window {
    fn width_ms(self) -> u64 {
        self.to_ms - self.from_ms
    }

    /// Whether a trace that this window's answer holds is taken here, and not left to the next one,
    /// which is certain to find it: better taken twice than never.
    pub(super) fn owns(self, start_us: Option<u64>, last: bool) -> bool {
        last || start_us != Some(self.to_ms.saturating_mul(1_000))
    }
}

impl Plan {
    /// `from_ms < end_ms`; the width of the first window and the limit are at least one.
    pub(super) fn new(from_ms: u64, end_ms: u64, width_ms: u64, limit: u32) -> Self {
        let width_ms = width_ms.clamp(1, WIDTH_MAX_MS);
        Self { next_ms: from_ms, end_ms, width_ms, limit, raised_limit: limit, failures: 0 }
    }

    /// Everything before is done.
    pub(super) fn next_ms(&self) -> u64 {
        self.next_ms
    }

    pub(super) fn width_ms(&self) -> u64 {
        self.width_ms
    }

    pub(super) fn ask(&self) -> Option<Ask> {
        let to_ms = self.next_ms.saturating_add(self.width_ms).min(self.end_ms);
        let window = Window { from_ms: self.next_ms, to_ms };
        let last = to_ms == self.end_ms;
        (self.next_ms < self.end_ms).then_some(Ask { window, limit: self.raised_limit, last })
    }

    /// The answer to `ask` held so much.
    pub(super) fn answered(&mut self, ask: Ask, traces: usize, bytes: usize) -> Verdict {
        self.failures = 0;
        let at_limit = traces >= usize::try_from(ask.limit).unwrap_or(usize::MAX);
        if at_limit && self.ask_for_less(ask.window) {
            return Verdict::Again;
        }
        if at_limit && ask.limit < LIMIT_MAX {
            self.raised_limit = ask.limit.saturating_mul(10).min(LIMIT_MAX);
            return Verdict::Again;
        }
        self.advance(ask.window);
        let few = traces.saturating_mul(4) <= usize::try_from(self.limit).unwrap_or(usize::MAX);
        if bytes > ANSWER_BYTES_WANTED {
            self.width_ms = (self.width_ms / 2).max(1);
        } else if few && bytes <= ANSWER_BYTES_WANTED / 4 {
            self.width_ms = (self.width_ms * 2).min(WIDTH_MAX_MS);
        }
        if at_limit { Verdict::Part } else { Verdict::Whole }
    }

    /// The answer to `ask` was more than is read.
    pub(super) fn too_large(&mut self, ask: Ask) -> Verdict {
        self.failures = 0;
        if self.ask_for_less(ask.window) {
            return Verdict::Again;
        }
        self.advance(ask.window);
        Verdict::Part
    }

    /// The source could not answer `ask`. Whether it makes sense to ask it for less.
    pub(super) fn failed(&mut self, ask: Ask) -> bool {
        self.failures += 1;
        self.failures <= FAILURES_MAX
            && ask.window.width_ms() > FAILING_WIDTH_MIN_MS
            && self.ask_for_less(ask.window)
    }

    fn ask_for_less(&mut self, window: Window) -> bool {
        let smaller = window.width_ms() > 1;
        if smaller {
            self.width_ms = window.width_ms() / 2;
        }
        smaller
    }

    fn advance(&mut self, window: Window) {
        self.next_ms = window.to_ms;
        self.raised_limit = self.limit;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The most requests that an import of so many windows may need in these tests.
    const REQUESTS_MAX: usize = 20_000;

    /// Answers as Zipkin does: starts within the window, both ends included, newest first.
    fn search(starts_us: &[u64], ask: Ask) -> Vec<usize> {
        let (from_us, to_us) = (ask.window.from_ms * 1_000, ask.window.to_ms * 1_000);
        let mut found: Vec<usize> =
            (0..starts_us.len()).filter(|i| (from_us..=to_us).contains(&starts_us[*i])).collect();
        found.sort_by_key(|i| std::cmp::Reverse(starts_us[*i]));
        found.truncate(ask.limit as usize);
        found
    }

    /// How often each trace was taken, and how many windows were taken in part.
    fn walk(mut plan: Plan, starts_us: &[u64]) -> (BTreeMap<usize, u32>, u32) {
        let (mut taken, mut parts) = (BTreeMap::new(), 0);
        for _ in 0..REQUESTS_MAX {
            let Some(ask) = plan.ask() else { return (taken, parts) };
            let found = search(starts_us, ask);
            match plan.answered(ask, found.len(), found.len() * 500) {
                Verdict::Again => continue,
                Verdict::Part => parts += 1,
                Verdict::Whole => {}
            }
            for i in found.into_iter().filter(|i| ask.window.owns(Some(starts_us[*i]), ask.last)) {
                *taken.entry(i).or_insert(0) += 1;
            }
        }
        panic!("does not come to an end");
    }

    proptest! {
        #[test]
        fn every_trace_is_taken_once(
            from_ms in 0u64..1_000,
            span_ms in 1u64..5_000,
            width_ms in 1u64..10_000,
            limit in 1u32..20,
            // Many of them on whole milliseconds and many at once, as clocks and bursts have it.
            starts in prop::collection::vec((0u64..5_000, prop::sample::select(vec![0u64, 0, 1, 500, 999])), 0..200),
        ) {
            let end_ms = from_ms + span_ms;
            let starts_us: Vec<u64> = starts
                .iter()
                .map(|(ms, us)| (from_ms + ms % (span_ms + 1)) * 1_000 + us)
                .filter(|us| *us <= end_ms * 1_000)
                .collect();
            let (taken, parts) = walk(Plan::new(from_ms, end_ms, width_ms, limit), &starts_us);
            prop_assert_eq!(parts, 0);
            prop_assert_eq!(taken, (0..starts_us.len()).map(|i| (i, 1)).collect());
        }

        #[test]
        fn it_can_stop_anywhere_and_go_on(
            cut in 0usize..50,
            starts_us in prop::collection::vec(0u64..2_000_000, 0..200),
        ) {
            let mut plan = Plan::new(0, 2_000, 300, 5);
            let mut taken: Vec<usize> = Vec::new();
            for _ in 0..cut {
                let Some(ask) = plan.ask() else { break };
                let found = search(&starts_us, ask);
                if plan.answered(ask, found.len(), 0) != Verdict::Again {
                    taken.extend(found.into_iter().filter(|i| ask.window.owns(Some(starts_us[*i]), ask.last)));
                }
            }
            let rest = Plan::new(plan.next_ms(), 2_000, plan.width_ms(), 5);
            taken.extend(walk(rest, &starts_us).0.into_keys());
            taken.sort_unstable();
            prop_assert_eq!(taken, (0..starts_us.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_millisecond_over_the_limit_is_asked_for_with_a_higher_one() {
        let mut plan = Plan::new(7, 8, 1, 10);
        for limit in [10, 100, 1_000] {
            let ask = plan.ask().unwrap();
            assert_eq!(ask.limit, limit);
            assert_eq!(plan.answered(ask, limit as usize, 0), Verdict::Again);
        }
        let ask = plan.ask().unwrap();
        assert_eq!(plan.answered(ask, 2_000, 0), Verdict::Whole);
        assert_eq!(plan.ask(), None);
    }

    #[test]
    fn what_stays_at_the_highest_limit_is_taken_in_part() {
        let mut plan = Plan::new(7, 9, 1, LIMIT_MAX);
        let ask = plan.ask().unwrap();
        assert_eq!(plan.answered(ask, LIMIT_MAX as usize, 0), Verdict::Part);
        let ask = plan.ask().unwrap();
        assert_eq!(ask.window, Window { from_ms: 8, to_ms: 9 });
        assert_eq!(plan.too_large(ask), Verdict::Part);
        assert_eq!(plan.ask(), None);
    }

    #[test]
    fn windows_grow_where_there_is_little() {
        let mut plan = Plan::new(0, 1 << 50, 1_000, 100);
        for _ in 0..100 {
            let ask = plan.ask().unwrap();
            assert_eq!(plan.answered(ask, 0, 2), Verdict::Whole);
        }
        assert_eq!(plan.width_ms(), WIDTH_MAX_MS);
        let ask = plan.ask().unwrap();
        assert_eq!(plan.answered(ask, 60, ANSWER_BYTES_WANTED + 1), Verdict::Whole);
        assert_eq!(plan.width_ms(), WIDTH_MAX_MS / 2);
    }

    #[test]
    fn a_failing_source_is_asked_for_less_but_not_for_ever() {
        let mut plan = Plan::new(0, 1 << 40, 1 << 30, 100);
        let tries = (0..1_000).take_while(|_| {
            let ask = plan.ask().unwrap();
            plan.failed(ask)
        });
        assert_eq!(tries.count(), FAILURES_MAX as usize);
        let mut plan = Plan::new(0, 500, 1_000, 100);
        let ask = plan.ask().unwrap();
        assert!(!plan.failed(ask));
    }
}

//! How long an answer is looked for before it is given as far as it came.

use std::time::Instant;

use crate::sweep::Swept;

/// When it is enough: at some time, or after so many traces. Something is looked at in any case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    pub(crate) at: Option<Instant>,
    pub(crate) traces: u64,
}

impl Until {
    /// All is looked at, however long that takes.
    pub(crate) const ALL: Self = Self { at: None, traces: u64::MAX };

    /// Whether this is enough, and something is left.
    pub(crate) fn is_over(self, swept: &Swept) -> bool {
        let is_late = || self.at.is_some_and(|at| at <= Instant::now());
        swept.spans + swept.too_large > 0 && (swept.traces >= self.traces || is_late())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_looked_at_before_it_is_over() {
        let late = Some(Instant::now());
        let check = |at: Option<Instant>, most: u64, looked: [u64; 2], expected: bool| {
            let [traces, spans] = looked;
            let swept = Swept { traces, spans, ..Swept::default() };
            assert_eq!(Until { at, traces: most }.is_over(&swept), expected, "{looked:?}");
            // One that is too large was looked at, too.
            let swept = Swept { traces, too_large: spans, ..Swept::default() };
            assert_eq!(Until { at, traces: most }.is_over(&swept), expected, "{looked:?}");
        };
        check(late, u64::MAX, [0, 0], false);
        check(late, u64::MAX, [1, 3], true);
        check(late, u64::MAX, [0, 3], true);
        check(None, u64::MAX, [1, 3], false);
        check(None, 2, [1, 3], false);
        check(None, 2, [2, 3], true);
    }
}

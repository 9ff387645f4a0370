//! The books of one target: every span it finished was received, or lost for a reason that is counted.

/// Totals of one target since it was first scraped, and of the epoch that is being read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub received: u64,
    pub lost: Losses,
    /// Each restart of the target: what it finished after our last scrape is unknown.
    pub restarts: u64,
    pub epoch: EpochAccount,
}

/// The same, for the current epoch alone: what the law of the pull protocol is checked with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochAccount {
    pub received: u64,
    /// Evicted before we read it, at the start of the epoch or later.
    pub lost: u64,
    /// The target's own counts, as it last reported them.
    pub finished: u64,
    pub oversize: u64,
    pub shutdown: u64,
    /// What the law leaves over, as last computed.
    pub unexplained: u64,
}

/// Spans of a target that will never be here, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    pub evicted: u64,
    pub before_first_scrape: u64,
    pub oversize: u64,
    pub shutdown: u64,
    pub rejected: u64,
    pub unexplained: u64,
}

/// Names of [`Losses`], as metrics and the API spell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    Evicted,
    BeforeFirstScrape,
    Oversize,
    Shutdown,
    Rejected,
    Unexplained,
}

impl Losses {
    /// Every reason with its count, in the order in which they are shown.
    pub fn by_reason(&self) -> [(LossReason, u64); 6] {
        [
            (LossReason::Evicted, self.evicted),
            (LossReason::BeforeFirstScrape, self.before_first_scrape),
            (LossReason::Oversize, self.oversize),
            (LossReason::Shutdown, self.shutdown),
            (LossReason::Rejected, self.rejected),
            (LossReason::Unexplained, self.unexplained),
        ]
    }

    /// Those of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            evicted: self.evicted.saturating_add(other.evicted),
            before_first_scrape: self.before_first_scrape.saturating_add(other.before_first_scrape),
            oversize: self.oversize.saturating_add(other.oversize),
            shutdown: self.shutdown.saturating_add(other.shutdown),
            rejected: self.rejected.saturating_add(other.rejected),
            unexplained: self.unexplained.saturating_add(other.unexplained),
        }
    }

    pub fn total(&self) -> u64 {
        // A target that lies may have told any number.
        self.by_reason().iter().fold(0, |total: u64, (_, n)| total.saturating_add(*n))
    }
}

impl LossReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::BeforeFirstScrape => "before_first_scrape",
            Self::Oversize => "oversize",
            Self::Shutdown => "shutdown",
            Self::Rejected => "rejected",
            Self::Unexplained => "unexplained",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_of_losses_ends_where_numbers_end() {
        let lost = Losses { evicted: u64::MAX, oversize: 1, ..Losses::default() };
        assert_eq!(lost.total(), u64::MAX);
        assert_eq!(Losses { evicted: 2, rejected: 1, ..Losses::default() }.total(), 3);
    }
}

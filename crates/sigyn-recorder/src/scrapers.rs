//! Who reads: named scrapers, their leases, and how far each has acknowledged.

use std::sync::Arc;
use std::time::Duration;

use sigyn_model::pull::Sampling;

use crate::sampler::Wish;

/// How many scrapers may hold a lease at once; one more is served as a peek.
pub(crate) const LEASES_MAX: usize = 8;
/// The shortest lease.
pub(crate) const LEASE_MIN: Duration = Duration::from_secs(5 * 60);
/// The longest: whatever interval a scraper claims, its place is free again after a day.
const LEASE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How many scrapers are remembered, those without a lease included.
const REMEMBERED_MAX: usize = 64;
/// A longer name is none: its request is refused.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// A point in the log: everything below a segment, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) seq: u64,
    pub(crate) spans_before: u64,
}

/// One named scraper.
#[derive(Debug)]
pub(crate) struct Scraper {
    pub(crate) name: Box<str>,
    /// Segments below this are acknowledged; it never falls.
    pub(crate) acked_below: u64,
    pub(crate) lease_until: Duration,
    /// How many spans it wants in a second at most; `None` wants all.
    pub(crate) budget: Option<f64>,
    /// What it wants of traces that begin here; `None` wants what is set.
    pub(crate) sampling: Option<Arc<Sampling>>,
    /// The cursor it last sent and the one it was last told: one of the two is what it comes back
    /// with, and its loss must be exact then, however long it was away.
    pub(crate) sent: Mark,
    pub(crate) told: Mark,
}

impl Scraper {
    pub(crate) fn wish(&self) -> Wish {
        let until = u64::try_from(self.lease_until.as_nanos()).unwrap_or(u64::MAX);
        Wish { until, sampling: self.sampling.clone() }
    }

    /// Whether it has ever come back for more: whoever has not does not follow.
    pub(crate) fn follows(&self) -> bool {
        self.acked_below > 1
    }
}

/// All named scrapers, those that lost their lease lately included.
#[derive(Debug, Default)]
pub(crate) struct Scrapers {
    known: Vec<Scraper>,
}

impl Scrapers {
    /// Gives a scraper its lease, or renews it. `None` if there is no place, or the name is none.
    pub(crate) fn admit(
        &mut self,
        name: &str,
        interval: Option<Duration>,
        now: Duration,
    ) -> Option<&mut Scraper> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return None;
        }
        let lease = interval
            .map_or(LEASE_MIN, |interval| interval.saturating_mul(3).clamp(LEASE_MIN, LEASE_MAX));
        let others = self.leased(now).filter(|scraper| &*scraper.name != name).count();
        if others >= LEASES_MAX {
            return None;
        }
        let at = self.known.iter().position(|scraper| &*scraper.name == name);
        let at = at.unwrap_or_else(|| {
            if self.known.len() >= REMEMBERED_MAX {
                let oldest = (0..self.known.len()).min_by_key(|at| self.known[*at].lease_until);
                oldest.map(|at| self.known.swap_remove(at));
            }
            self.known.push(Scraper {
                name: name.into(),
                acked_below: 1,
                lease_until: Duration::ZERO,
                budget: None,
                sampling: None,
                sent: Mark::default(),
                told: Mark::default(),
            });
            self.known.len() - 1
        });
        let scraper = &mut self.known[at];
        // A scraper may ask once without its interval; that takes nothing away.
        scraper.lease_until = scraper.lease_until.max(now.saturating_add(lease));
        Some(scraper)
    }

    pub(crate) fn find(&mut self, name: &str) -> Option<&mut Scraper> {
        self.known.iter_mut().find(|scraper| &*scraper.name == name)
    }

    /// Spans before `seq`, if that is a cursor this scraper last sent or was last told.
    pub(crate) fn mark(&self, name: &str, seq: u64) -> Option<u64> {
        let scraper = self.known.iter().find(|scraper| &*scraper.name == name)?;
        let mark = [scraper.sent, scraper.told].into_iter().find(|mark| mark.seq == seq)?;
        Some(mark.spans_before)
    }

    /// What all scrapers with a lease agree to have no more of: the largest budget, if each has one.
    pub(crate) fn budget(&self, now: Duration) -> Option<f64> {
        let mut budgets = self.leased(now).map(|scraper| scraper.budget);
        let first = budgets.next()??;
        budgets.try_fold(first, |most, budget| Some(most.max(budget?)))
    }

    pub(crate) fn leased(&self, now: Duration) -> impl Iterator<Item = &Scraper> {
        self.known.iter().filter(move |scraper| scraper.lease_until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn a_ninth_scraper_gets_no_lease_until_one_is_over() {
        let mut scrapers = Scrapers::default();
        for i in 0..8 {
            assert!(scrapers.admit(&format!("s{i}"), None, NOW).is_some());
        }
        assert!(scrapers.admit("s8", None, NOW).is_none());
        assert!(scrapers.admit("s7", None, NOW + LEASE_MIN / 2).is_some(), "who has one keeps it");
        assert!(scrapers.admit("s8", None, NOW + LEASE_MIN).is_some());
        assert_eq!(scrapers.leased(NOW + LEASE_MIN).count(), 2);
    }

    #[test]
    fn a_lease_lasts_five_minutes_or_three_intervals() {
        let check = |interval: Option<u64>, expected: u64| {
            let mut scrapers = Scrapers::default();
            let scraper = scrapers.admit("a", interval.map(Duration::from_secs), NOW).unwrap();
            assert_eq!(scraper.lease_until - NOW, Duration::from_secs(expected), "{interval:?}");
        };
        check(None, 300);
        check(Some(15), 300);
        check(Some(100), 300);
        check(Some(101), 303);
        check(Some(600), 1_800);
        check(Some(u64::MAX), 86_400);
    }

    #[test]
    fn a_budget_holds_if_every_scraper_has_one() {
        let check = |budgets: &[Option<f64>], expected: Option<f64>| {
            let mut scrapers = Scrapers::default();
            for (n, budget) in budgets.iter().enumerate() {
                scrapers.admit(&n.to_string(), None, NOW).unwrap().budget = *budget;
            }
            assert_eq!(scrapers.budget(NOW), expected, "{budgets:?}");
            assert_eq!(scrapers.budget(NOW + LEASE_MIN), None, "it ends with the lease");
        };
        check(&[], None);
        check(&[Some(5.0)], Some(5.0));
        check(&[Some(5.0), Some(9.0), Some(7.0)], Some(9.0));
        check(&[Some(5.0), None], None);
    }

    #[test]
    fn memory_of_scrapers_is_bounded() {
        let mut scrapers = Scrapers::default();
        for i in 0..1_000_u32 {
            assert!(scrapers.admit(&format!("s{i}"), None, LEASE_MIN * i).is_some());
        }
        assert!(scrapers.known.len() <= REMEMBERED_MAX);
        assert!(scrapers.admit("", None, NOW).is_none());
        assert!(scrapers.admit(&"x".repeat(129), None, NOW).is_none());
    }
}

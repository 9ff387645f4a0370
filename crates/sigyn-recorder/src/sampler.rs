//! Which traces that begin here are recorded, and which spans of the others are kept all the same.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sigyn_model::TraceId;
use sigyn_model::pull::Sampling;

use crate::operations::{Key, Operation, Operations};
use crate::share::Threshold;

/// What is set when the recorder is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set {
    pub(crate) rate: f64,
    pub(crate) guaranteed_every: Option<Duration>,
    pub(crate) keep_slow: bool,
}

/// What scrapers with a lease want, one each.
pub(crate) type Wishes = Vec<Wish>;

/// `None` wants what the recorder is set to.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// The end of its lease, in the clock's nanoseconds.
    pub(crate) until: u64,
    pub(crate) sampling: Option<Arc<Sampling>>,
}

#[derive(Debug)]
pub(crate) struct Sampler {
    set: Set,
    own: Threshold,
    guaranteed_every: Option<u64>,
    wishes: Mutex<Wishes>,
    /// What scrapers want of operations that they do not name.
    rate: AtomicU64,
    /// Whether what they want concerns single operations.
    has_operations: AtomicBool,
    /// What their budgets leave.
    budget: AtomicU64,
    /// Both hold no longer than scrapers are expected back, in the clock's nanoseconds.
    until: AtomicU64,
    operations: OnceLock<Operations>,
}

/// What becomes of a trace that begins here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Recorded, as all others that this leaves.
    Recorded(Threshold),
    /// Recorded, as none had been of its operation for a while.
    Guaranteed,
    LeftOut,
    /// Left out, because of budgets or of a log that fills.
    OverBudget,
}

/// The name of a span where a trace begins, if anybody asks for it.
pub(crate) trait Named {
    fn key(&self) -> Key;
    fn text(&self) -> String;
}

impl Sampler {
    pub(crate) fn new(set: Set) -> Self {
        let own = Threshold::of_share(set.rate);
        Self {
            set,
            own,
            guaranteed_every: set
                .guaranteed_every
                .map(|every| u64::try_from(every.as_nanos()).unwrap_or(u64::MAX)),
            wishes: Mutex::default(),
            rate: AtomicU64::new(own.raw()),
            has_operations: AtomicBool::new(false),
            budget: AtomicU64::new(0),
            until: AtomicU64::new(0),
            operations: OnceLock::new(),
        }
    }

    /// Whether all traces that begin here are recorded, whatever becomes of those who want it so.
    #[inline]
    pub(crate) fn takes_everything(&self, pressure: Threshold) -> bool {
        let left_out = self.own.raw()
            | self.rate.load(Ordering::Relaxed)
            | self.budget.load(Ordering::Relaxed)
            | pressure.raw()
            | u64::from(self.has_operations.load(Ordering::Relaxed));
        left_out == 0
    }

    /// Whether no trace that begins here is recorded, and nobody wants it otherwise.
    #[inline]
    pub(crate) fn takes_nothing(&self) -> bool {
        self.own == Threshold::NOTHING
            && self.rate.load(Ordering::Relaxed) == Threshold::NOTHING.raw()
            && !self.has_operations.load(Ordering::Relaxed)
    }

    /// `pressure`: what a log leaves that fills faster than it is read.
    #[inline]
    pub(crate) fn decide(
        &self,
        trace_id: TraceId,
        name: &impl Named,
        pressure: Threshold,
        now: impl Fn() -> u64,
    ) -> Verdict {
        if self.takes_everything(pressure) {
            return Verdict::Recorded(Threshold::EVERYTHING);
        }
        self.weigh(trace_id, name, pressure, now)
    }

    #[cold]
    fn weigh(
        &self,
        trace_id: TraceId,
        name: &impl Named,
        pressure: Threshold,
        now: impl Fn() -> u64,
    ) -> Verdict {
        // The time is asked for where it matters: that is most of what leaving a trace out costs.
        let mut time = None;
        if self.is_followed() {
            let now = *time.get_or_insert_with(&now);
            if now >= self.until.load(Ordering::Relaxed) {
                self.stop_following(now);
            }
        }
        let load = |word: &AtomicU64| Threshold::from_raw(word.load(Ordering::Relaxed));
        let wanted = match self.has_operations.load(Ordering::Relaxed) {
            true => {
                let operations = self.operations.get_or_init(Operations::default);
                let generation = operations.generation();
                match operations.own(name.key()) {
                    Some(it) => it.wanted(generation, || self.look_up(&name.text())),
                    // What all others share is not known of one of them.
                    None => self.look_up(&name.text()),
                }
            }
            false => load(&self.rate),
        };
        let bound = wanted.max(load(&self.budget)).max(pressure);
        if bound.leaves(trace_id) {
            return Verdict::Recorded(bound);
        }
        let is_due = match self.guaranteed_every.filter(|_| wanted != Threshold::NOTHING) {
            Some(every) => self.operation(name).is_due(time.unwrap_or_else(now), every),
            None => false,
        };
        if is_due { Verdict::Guaranteed } else { left_out(wanted, trace_id) }
    }

    /// Whether anything is otherwise than it is set, because scrapers want it.
    fn is_followed(&self) -> bool {
        self.rate.load(Ordering::Relaxed) != self.own.raw()
            || self.budget.load(Ordering::Relaxed) != Threshold::EVERYTHING.raw()
            || self.has_operations.load(Ordering::Relaxed)
    }

    /// Somebody is not expected back any more.
    #[cold]
    fn stop_following(&self, now: u64) {
        let mut known = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        // Unless somebody has just come.
        if now >= self.until.load(Ordering::Relaxed) {
            known.retain(|wish| wish.until > now);
            if known.is_empty() {
                self.budget.store(Threshold::EVERYTHING.raw(), Ordering::Relaxed);
            }
            self.heed(&known, true);
        }
    }

    /// Whether an operation that nobody sampled took unusually long.
    pub(crate) fn is_slow(&self, name: &impl Named, nanos: u64) -> bool {
        self.set.keep_slow && self.operation(name).is_slow(nanos)
    }

    /// Takes over what scrapers want, and what their budgets leave.
    pub(crate) fn follow(&self, wishes: Wishes, share: f64) {
        let mut known = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        self.budget.store(Threshold::of_share(share).raw(), Ordering::Relaxed);
        let samplings =
            |of: &Wishes| of.iter().map(|wish| wish.sampling.clone()).collect::<Vec<_>>();
        let is_new = samplings(&known) != samplings(&wishes);
        *known = wishes;
        self.heed(&known, is_new);
    }

    fn heed(&self, known: &Wishes, is_new: bool) {
        let until = known.iter().map(|wish| wish.until).min().unwrap_or(0);
        self.until.store(until, Ordering::Relaxed);
        if !is_new {
            return;
        }
        let mut samplings = known.iter().filter_map(|wish| wish.sampling.as_deref());
        let has_operations = samplings.any(|wish| !wish.operations.is_empty());
        self.rate.store(self.most(known, |wish| wish.rate).raw(), Ordering::Relaxed);
        if let Some(operations) = self.operations.get() {
            operations.forget_wanted();
        }
        self.has_operations.store(has_operations, Ordering::Relaxed);
    }

    /// What is wanted of operations that nobody names, and how many are named.
    pub(crate) fn applied(&self) -> (f64, u64) {
        let known = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = known
            .iter()
            .filter_map(|wish| wish.sampling.as_deref())
            .flat_map(|wish| wish.operations.iter().map(|(name, _)| name.as_str()))
            .collect();
        names.sort_unstable();
        names.dedup();
        let rates = known
            .iter()
            .map(|wish| wish.sampling.as_ref().and_then(|it| it.rate).unwrap_or(self.set.rate));
        let rate = rates.reduce(f64::max).unwrap_or(self.set.rate);
        (rate.clamp(0.0, 1.0), names.len() as u64)
    }

    pub(crate) fn operations_known(&self) -> u64 {
        self.operations.get().map_or(0, Operations::known)
    }

    fn look_up(&self, operation: &str) -> Threshold {
        let known = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        self.most(&known, |wish| wish.rate_of(operation))
    }

    /// The largest share that anybody wants: whoever wants less takes no harm.
    fn most(&self, wishes: &Wishes, of: impl Fn(&Sampling) -> Option<f64>) -> Threshold {
        let wanted = wishes.iter().map(|wish| {
            let rate = wish.sampling.as_deref().and_then(&of);
            rate.map_or(self.own, Threshold::of_share)
        });
        wanted.min().unwrap_or(self.own)
    }

    fn operation(&self, name: &impl Named) -> &Operation {
        self.operations.get_or_init(Operations::default).of(name.key())
    }
}

/// Why a trace is left out: nobody wants it, or there is no room for all that is wanted.
fn left_out(wanted: Threshold, trace_id: TraceId) -> Verdict {
    if wanted.leaves(trace_id) { Verdict::OverBudget } else { Verdict::LeftOut }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Name(&'static str);

    impl Named for Name {
        fn key(&self) -> Key {
            Key::of(None, self.0)
        }

        fn text(&self) -> String {
            self.0.to_owned()
        }
    }

    const GUARANTEED: Set =
        Set { rate: 0.25, guaranteed_every: Some(Duration::from_secs(60)), keep_slow: true };
    const PLAIN: Set = Set { guaranteed_every: None, ..GUARANTEED };
    const MINUTE: u64 = 60_000_000_000;

    /// Its randomness is this share of all there is.
    fn trace(share: f64) -> TraceId {
        let left_out = Threshold::of_share(1.0 - share);
        TraceId::new((1 << 64) | u128::from(left_out.raw())).unwrap()
    }

    fn wish(text: &str) -> Option<Arc<Sampling>> {
        Some(Arc::new(text.parse().unwrap()))
    }

    fn follow(sampler: &Sampler, wishes: &[Option<Arc<Sampling>>], share: f64, until: Duration) {
        let until = u64::try_from(until.as_nanos()).unwrap();
        let of = |sampling: &Option<_>| Wish { until, sampling: sampling.clone() };
        sampler.follow(wishes.iter().map(of).collect(), share);
    }

    fn decide(sampler: &Sampler, at: f64, name: &'static str, now: u64) -> Verdict {
        sampler.decide(trace(at), &Name(name), Threshold::EVERYTHING, || now)
    }

    fn share(sampler: &Sampler, name: &'static str, now: u64) -> f64 {
        let recorded = (0..1_000).filter(|at| {
            let verdict = decide(sampler, (f64::from(*at) + 0.5) / 1_000.0, name, now);
            matches!(verdict, Verdict::Recorded(_))
        });
        recorded.count() as f64 / 1_000.0
    }

    #[test]
    fn a_trace_is_guaranteed_for_each_operation_and_while() {
        let sampler = Sampler::new(GUARANTEED);
        let verdict = |name, now| decide(&sampler, 0.1, name, now);
        assert_eq!(verdict("a", 0), Verdict::Guaranteed);
        assert_eq!(verdict("a", MINUTE - 1), Verdict::LeftOut);
        assert_eq!(verdict("b", MINUTE - 1), Verdict::Guaranteed);
        assert_eq!(verdict("a", MINUTE), Verdict::Guaranteed);
        let quarter = Threshold::of_share(0.25);
        assert_eq!(decide(&sampler, 0.9, "a", 0), Verdict::Recorded(quarter));
        // What nobody wants at all is not wanted once in a while either.
        let never = Sampler::new(Set { rate: 0.0, ..GUARANTEED });
        assert_eq!(decide(&never, 0.9, "a", 0), Verdict::LeftOut);
    }

    #[test]
    fn the_most_that_any_scraper_wants_is_recorded() {
        let sampler = Sampler::new(PLAIN);
        let until = Duration::from_secs(60);
        assert_eq!(share(&sampler, "a", 0), 0.25);
        follow(&sampler, &[wish("rate=0.1,operation:a=0.5")], 1.0, until);
        assert_eq!((share(&sampler, "a", 0), share(&sampler, "b", 0)), (0.5, 0.1));
        assert_eq!(sampler.applied(), (0.1, 1));
        // One that says nothing wants what is set.
        follow(&sampler, &[wish("rate=0.1,operation:a=0.5"), None], 1.0, until);
        assert_eq!((share(&sampler, "a", 0), share(&sampler, "b", 0)), (0.5, 0.25));
        follow(&sampler, &[wish("operation:a=0"), wish("rate=0.1")], 1.0, until);
        assert_eq!((share(&sampler, "a", 0), share(&sampler, "b", 0)), (0.1, 0.25));
        // None is expected back.
        assert_eq!(share(&sampler, "a", MINUTE), 0.25);
        follow(&sampler, &[], 1.0, until);
        assert_eq!((share(&sampler, "a", 0), sampler.applied()), (0.25, (0.25, 0)));
    }

    #[test]
    fn each_wish_ends_with_its_own_lease() {
        let sampler = Sampler::new(PLAIN);
        let wish = |until, text| Wish { until, sampling: wish(text) };
        sampler.follow(vec![wish(MINUTE, "rate=1"), wish(9 * MINUTE, "rate=0.1")], 1.0);
        assert_eq!(share(&sampler, "a", MINUTE - 1), 1.0);
        assert_eq!(share(&sampler, "a", MINUTE), 0.1);
        assert_eq!(share(&sampler, "a", 9 * MINUTE), 0.25);
    }

    #[test]
    fn operations_that_are_not_told_apart_have_no_wish_in_common() {
        let sampler = Sampler::new(PLAIN);
        let wishes = [wish("rate=0.5,operation:zero=0,operation:one=1")];
        follow(&sampler, &wishes, 1.0, Duration::from_secs(60));
        for n in 0..3 * crate::operations::OPERATIONS_MAX {
            let name = Name(Box::leak(n.to_string().into_boxed_str()));
            sampler.decide(trace(0.1), &name, Threshold::EVERYTHING, || 0);
        }
        for _ in 0..2 {
            let shares = ["zero", "one", "other"].map(|name| share(&sampler, name, 0));
            assert_eq!(shares, [0.0, 1.0, 0.5]);
        }
    }

    #[test]
    fn budgets_and_a_filling_log_leave_less_of_what_is_wanted() {
        let sampler = Sampler::new(PLAIN);
        follow(&sampler, &[None], 0.125, Duration::from_secs(60));
        assert_eq!(share(&sampler, "a", 0), 0.125);
        let over = |at| decide(&sampler, at, "a", 0);
        assert_eq!((over(0.8), over(0.1)), (Verdict::OverBudget, Verdict::LeftOut));
        assert_eq!(share(&sampler, "a", MINUTE), 0.25);
        let pressed =
            |at| sampler.decide(trace(at), &Name("a"), Threshold::of_share(0.0625), || MINUTE);
        assert_eq!(pressed(0.93), Verdict::OverBudget);
        assert_eq!(pressed(0.94), Verdict::Recorded(Threshold::of_share(0.0625)));
    }

    #[test]
    fn slow_is_what_takes_longer_than_others_of_its_name() {
        let sampler = Sampler::new(GUARANTEED);
        for _ in 0..200 {
            assert!(!sampler.is_slow(&Name("a"), 1_000_000));
        }
        assert!(sampler.is_slow(&Name("a"), 2_000_000));
        assert!(!sampler.is_slow(&Name("b"), 2_000_000), "nothing is known of it");
        let never = Sampler::new(Set { keep_slow: false, ..GUARANTEED });
        assert!(!(0..200).any(|n| never.is_slow(&Name("a"), n * n)));
    }
}

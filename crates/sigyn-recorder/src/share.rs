//! Which share of traces is recorded. A trace's id decides, so that all who have the same share agree, and of two
//! shares the larger has all traces of the smaller.
//!
//! It is OpenTelemetry's consistent probability sampling: the last 56 bits of the id are its randomness, and `ot=th` of
//! W3C's `tracestate` says below which of them traces were left out.

use sigyn_model::TraceId;

const BITS: u32 = 56;
const ALL: u64 = 1 << BITS;

/// Traces whose randomness is below it are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Threshold(u64);

impl Threshold {
    pub(crate) const EVERYTHING: Self = Self(0);
    pub(crate) const NOTHING: Self = Self(ALL);

    /// Leaves so much, from 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float saturates, as wanted"
    )]
    pub(crate) fn of_share(share: f64) -> Self {
        Self((((1.0 - share) * ALL as f64) as u64).min(ALL))
    }

    #[inline]
    pub(crate) fn from_raw(raw: u64) -> Self {
        Self(raw.min(ALL))
    }

    #[inline]
    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn leaves(self, trace_id: TraceId) -> bool {
        trace_id.low() & (ALL - 1) >= self.0
    }

    /// Says in a `tracestate` what is left out, in front of what others have put there.
    pub(crate) fn tell(self, state: &mut String) {
        // Half of what somebody else has said under this name would be a lie.
        let is_told = state.split(',').any(|member| member.trim_start().starts_with("ot="));
        if let Some(told) = self.trace_state().filter(|_| !is_told) {
            let comma = if state.is_empty() { "" } else { "," };
            state.insert_str(0, &format!("{told}{comma}"));
        }
    }

    /// `None` if nothing is left out, or everything.
    fn trace_state(self) -> Option<String> {
        if self.0 == 0 || self.0 >= ALL {
            return None;
        }
        let digits = format!("{:014x}", self.0);
        Some(format!("ot=th:{}", digits.trim_end_matches('0')))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_told_as_opentelemetry_tells_it() {
        let told = |share| Threshold::of_share(share).trace_state();
        assert_eq!(told(1.0), None);
        assert_eq!(told(2.0), None);
        assert_eq!(told(0.5).as_deref(), Some("ot=th:8"));
        assert_eq!(told(0.25).as_deref(), Some("ot=th:c"));
        assert_eq!(told(0.01).as_deref(), Some("ot=th:fd70a3d70a3d7"));
        assert_eq!(told(0.0), None);
        assert_eq!(told(-1.0), None);
    }

    #[test]
    fn it_is_told_in_front_of_others_and_once() {
        let told = |state: &str| {
            let mut state = state.to_owned();
            Threshold::of_share(0.5).tell(&mut state);
            state
        };
        assert_eq!(told(""), "ot=th:8");
        assert_eq!(told("a=1,b=2"), "ot=th:8,a=1,b=2");
        assert_eq!(told("a=1, ot=rv:1"), "a=1, ot=rv:1");
    }

    proptest! {
        #[test]
        fn a_larger_share_has_all_of_a_smaller_one(id in 1..u128::MAX, a in 0.0..1.0f64, b in 0.0..1.0f64) {
            let id = TraceId::new(id).unwrap();
            let leaves = |share| Threshold::of_share(share).leaves(id);
            let (small, large) = (a.min(b), a.max(b));
            prop_assert!(leaves(large) || !leaves(small));
            prop_assert!(Threshold::EVERYTHING.leaves(id));
            prop_assert!(!Threshold::NOTHING.leaves(id));
        }
    }
}

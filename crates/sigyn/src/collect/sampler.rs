//! Which spans are kept of those that are pushed: the same share of traces in every process.

use sigyn_model::TraceId;

/// Zipkin's sampler: of a trace id it looks at the lower half alone, so that both widths of an id fare
/// alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sampler {
    boundary: i64,
}

impl Sampler {
    /// `rate` is from 0 to 1, which whoever reads it checks.
    #[expect(clippy::cast_possible_truncation, reason = "the fraction is what Zipkin cuts off too")]
    pub(crate) fn new(rate: f32) -> Self {
        // In single precision, as Zipkin computes it: the boundary is part of the contract.
        Self { boundary: (i64::MAX as f32 * rate) as i64 }
    }

    /// Whoever asked for a span to be traced by hand gets it.
    pub(crate) fn keeps(self, trace_id: TraceId, debug: bool) -> bool {
        debug || self.keeps_id(trace_id.low())
    }

    fn keeps_id(self, low: u64) -> bool {
        // The smallest number has no positive twin: it counts as the largest.
        low.cast_signed().saturating_abs() <= self.boundary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_is_zipkins() {
        let check = |rate, expected| assert_eq!(Sampler::new(rate).boundary, expected, "{rate}");
        check(0.0, 0);
        check(0.0001, 922_337_180_385_280);
        check(0.1, 922_337_217_429_372_928);
        check(0.5, 4_611_686_018_427_387_904);
        check(1.0, i64::MAX);
    }

    #[test]
    fn an_id_is_kept_at_these_rates() {
        let check = |low: u64, expected: [bool; 4]| {
            let kept = [0.0001, 0.1, 0.5, 1.0].map(|rate| Sampler::new(rate).keeps_id(low));
            assert_eq!(kept, expected, "{low:016x}");
        };
        check(0xffff_ffff_ffff_ffff, [true, true, true, true]);
        check(0x8000_0000_0000_0000, [false, false, false, true]);
        check(0x4000_0000_0000_0000, [false, false, true, true]);
        check(0xc000_0000_0000_0000, [false, false, true, true]);
        check(0x4000_0000_0000_0001, [false, false, false, true]);
    }

    #[test]
    fn debug_spans_are_always_kept() {
        let id = TraceId::new(0x4000_0000_0000_0001).unwrap();
        let sampler = Sampler::new(0.0);
        assert_eq!((sampler.keeps(id, false), sampler.keeps(id, true)), (false, true));
    }

    #[test]
    fn the_upper_half_of_an_id_does_not_count() {
        let keeps = |id| Sampler::new(0.5).keeps(TraceId::new(id).unwrap(), false);
        assert!(keeps(u128::MAX << 64 | 1));
        assert!(!keeps(1 << 64 | 0x7fff_ffff_ffff_ffff));
    }
}

//! What `endTs` and `lookback` mean: here alone, for whoever takes them.

/// The window from `lookback` before `endTs` to `endTs`, in microseconds, both ends included.
///
/// Of both milliseconds all belongs to it: whoever asks for what there is until now means what has just begun, too.
pub fn window_us(end_ts_ms: u64, lookback_ms: u64) -> (u64, u64) {
    let start_ms = end_ts_ms.saturating_sub(lookback_ms);
    (start_ms.saturating_mul(1_000), end_ts_ms.saturating_mul(1_000).saturating_add(999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_milliseconds_belong_to_a_window() {
        let check = |end_ts_ms, lookback_ms, expected| {
            assert_eq!(window_us(end_ts_ms, lookback_ms), expected, "{end_ts_ms} {lookback_ms}");
        };
        check(1_000, 400, (600_000, 1_000_999));
        check(1_000, 1_000, (0, 1_000_999));
        check(1_000, 2_000, (0, 1_000_999));
        check(u64::MAX, 1, (u64::MAX, u64::MAX));
        check(1, u64::MAX, (0, 1_999));
    }
}

//! Which blocks are to be made one: small ones of one stretch of time that is over.

use std::ops::Range;
use std::time::Duration;

use crate::catalog::BlockEntry;

/// How long after its end a stretch of time counts as over.
const GRACE: Duration = Duration::from_secs(5 * 60);
/// No block becomes larger, if it is merged.
const BYTES_MAX: u64 = 256 << 20;
/// However little memory there is.
const BYTES_MIN: u64 = 16 << 20;
/// So many are merged at once however little memory there is.
const BLOCKS_MIN: usize = 8;

/// What is merged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Blocks of one stretch of so much arrival time become one.
    pub(crate) window: Duration,
    /// How many traces are merged at a time, and how many blocks: something of each is in memory meanwhile.
    pub(crate) traces_max: u64,
    pub(crate) blocks_max: usize,
    /// Nor are they larger together: of each row group something is in memory until the block is done.
    pub(crate) bytes_max: u64,
    /// Whether traces with errors get blocks of their own.
    pub(crate) splits_errors: bool,
}

/// Which blocks are due, by their places in `blocks`: some that stand together, in the order of their
/// frames. What cannot be read is not merged with others, and neither is what was split before.
pub(crate) fn due(
    blocks: &[BlockEntry],
    is_readable: impl Fn(&BlockEntry) -> bool,
    rules: Rules,
    now_ms: u64,
) -> Option<Range<usize>> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let (window_ms, grace_ms) = (millis(rules.window), millis(GRACE.min(rules.window)));
    let window_of = |block: &BlockEntry| block.last_arrival_ms / window_ms;
    let is_over = |block: &BlockEntry| {
        now_ms >= (window_of(block) + 1).saturating_mul(window_ms).saturating_add(grace_ms)
    };
    let is_fit = |block: &BlockEntry| block.is_whole() && is_over(block) && is_readable(block);
    let bytes_max = rules.bytes_max.clamp(BYTES_MIN, BYTES_MAX);
    let mut start = 0;
    while let Some(first) = blocks.get(start) {
        let (mut bytes, mut traces) = (0, 0);
        let run =
            blocks[start..].iter().take(rules.blocks_max.max(BLOCKS_MIN)).take_while(|block| {
                bytes += block.bytes;
                traces += block.traces;
                let is_small = bytes <= bytes_max && traces <= rules.traces_max;
                is_fit(block) && window_of(block) == window_of(first) && is_small
            });
        let count = run.count();
        // One alone is split, too, however large it is, and where only what came late is in it.
        let is_unsplit = first.errors.is_none() && is_over(first) && is_readable(first);
        let is_split_due = rules.splits_errors && is_unsplit;
        if count > 1 || is_split_due {
            return Some(start..start + count.max(1));
        }
        start += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    /// Blocks that arrived at these minutes, of so many traces; at the minute `now`.
    fn check(blocks: &[(u64, u64)], now: u64, splits_errors: bool, expected: Option<Range<usize>>) {
        let entry = |(minute, traces): &(u64, u64)| BlockEntry {
            traces: *traces,
            last_arrival_ms: minute * MINUTE_MS,
            // One that cannot be read.
            name: if *traces == 13 { "damaged".to_owned() } else { String::new() },
            is_late: *traces == 17,
            ..BlockEntry::default()
        };
        let entries: Vec<BlockEntry> = blocks.iter().map(entry).collect();
        let window = Duration::from_secs(60 * 60);
        let (traces_max, blocks_max, bytes_max) = (100, 9, 0);
        let rules = Rules { window, traces_max, blocks_max, bytes_max, splits_errors };
        let due = due(&entries, |block| block.name.is_empty(), rules, now * MINUTE_MS);
        assert_eq!(due, expected, "{blocks:?} at {now}");
    }

    #[test]
    fn small_blocks_of_an_hour_that_is_over_are_due_as_far_as_they_fit() {
        check(&[(1, 1), (2, 1), (59, 1)], 64, false, None);
        check(&[(1, 1), (2, 1), (59, 1)], 65, false, Some(0..3));
        check(&[(1, 1), (60, 1), (61, 1)], 65, false, None);
        check(&[(1, 1), (60, 1), (61, 1)], 125, false, Some(1..3));
        check(&[(1, 60), (2, 40), (3, 1)], 65, false, Some(0..2));
        check(&[(1, 100), (2, 40), (3, 1)], 65, false, Some(1..3));
        check(&[(1, 100), (2, 100)], 65, false, None);
        check(&[(1, 1), (2, 13), (3, 1), (4, 1)], 65, false, Some(2..4));
        check(&[(1, 1), (2, 17), (3, 1)], 65, false, None);
        check(&[(1, 1); 12], 65, false, Some(0..9));
        check(&[(1, 1)], 65, false, None);
        check(&[], 65, false, None);
    }

    #[test]
    fn one_alone_is_due_where_traces_with_errors_go_elsewhere() {
        check(&[(1, 500)], 65, true, Some(0..1));
        check(&[(1, 500)], 64, true, None);
        check(&[(1, 13), (2, 17)], 65, true, Some(1..2));
        check(&[(1, 13), (2, 17)], 65, false, None);
    }
}

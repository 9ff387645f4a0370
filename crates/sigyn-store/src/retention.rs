//! Which blocks have had their time.

use std::time::Duration;

use crate::catalog::BlockEntry;

/// What is kept: by age, by size, or for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) time: Option<Duration>,
    /// Of traces with errors, if it is longer.
    pub(crate) errors: Option<Duration>,
    pub(crate) bytes: Option<u64>,
}

/// Blocks that must go, by their place in `blocks`. `log_bytes` count towards the limit of bytes.
///
/// A block's age is that of its newest *arrival*. Spans arrive when they end, or soon after, so this
/// is the age of its newest span, too; but traces imported with old timestamps are not deleted at
/// once, and a timestamp in the far future does not keep a block for ever. Of a block that is yet to
/// arrive, because the clock was wrong for a while, the oldest arrival counts.
pub(crate) fn expired(
    blocks: &[&BlockEntry],
    limits: Limits,
    log_bytes: u64,
    now_ms: u64,
) -> Vec<usize> {
    let arrival_ms = |block: &BlockEntry| match block.last_arrival_ms {
        last_ms if last_ms > now_ms => block.first_arrival_ms,
        last_ms => last_ms,
    };
    let mut by_age: Vec<usize> = (0..blocks.len()).collect();
    by_age.sort_by_key(|i| arrival_ms(blocks[*i]));
    let mut bytes: u64 = log_bytes + blocks.iter().map(|block| block.bytes).sum::<u64>();
    let mut expired = Vec::new();
    for i in by_age {
        let age_ms = u128::from(now_ms.saturating_sub(arrival_ms(blocks[i])));
        // Nobody knows of one that has not been split yet, so it is taken for one with errors.
        let longer = limits.errors.filter(|_| blocks[i].errors != Some(false)).unwrap_or_default();
        let too_old = limits.time.is_some_and(|time| age_ms > time.max(longer).as_millis());
        let too_much = limits.bytes.is_some_and(|max| bytes > max);
        if too_old || too_much {
            bytes -= blocks[i].bytes;
            expired.push(i);
        }
    }
    expired
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 100 bytes that arrived at these times; at 1000 ms, with 50 bytes of log.
    fn check(arrivals_ms: &[u64], time_ms: Option<u64>, bytes: Option<u64>, expected: &[usize]) {
        let block = |at: &u64| BlockEntry {
            bytes: 100,
            first_arrival_ms: *at,
            last_arrival_ms: *at,
            ..BlockEntry::default()
        };
        let blocks: Vec<BlockEntry> = arrivals_ms.iter().map(block).collect();
        let limits = Limits { time: time_ms.map(Duration::from_millis), errors: None, bytes };
        let blocks: Vec<&BlockEntry> = blocks.iter().collect();
        assert_eq!(expired(&blocks, limits, 50, 1_000), expected, "{arrivals_ms:?} {limits:?}");
    }

    #[test]
    fn blocks_go_by_age_and_by_size_the_oldest_first() {
        check(&[1, 2, 3], None, None, &[]);
        check(&[899, 900, 901], Some(100), None, &[0]);
        check(&[30, 10, 20], None, Some(350), &[]);
        check(&[30, 10, 20], None, Some(349), &[1]);
        check(&[30, 10, 20], None, Some(200), &[1, 2]);
        check(&[30, 10, 20], None, Some(0), &[1, 2, 0]);
        check(&[5_000], Some(0), None, &[]);
        check(&[1, 990], Some(100), Some(100), &[0, 1]);
    }

    #[test]
    fn a_block_from_the_future_goes_by_its_oldest_arrival() {
        let block = |first_arrival_ms, last_arrival_ms| BlockEntry {
            first_arrival_ms,
            last_arrival_ms,
            ..BlockEntry::default()
        };
        let blocks = [block(800, 9_000), block(950, 9_000), block(800, 1_000), block(5_000, 9_000)];
        let blocks: Vec<&BlockEntry> = blocks.iter().collect();
        let limits = Limits { time: Some(Duration::from_millis(100)), ..Limits::default() };
        assert_eq!(expired(&blocks, limits, 0, 1_000), [0]);
    }

    #[test]
    fn traces_with_errors_stay_longer_but_not_where_there_is_no_room() {
        let block = |errors| BlockEntry { bytes: 100, errors, ..BlockEntry::default() };
        let blocks = [block(None), block(Some(false)), block(Some(true))];
        let blocks: Vec<&BlockEntry> = blocks.iter().collect();
        let check = |errors_ms: u64, bytes, expected: &[usize]| {
            let errors = Some(Duration::from_millis(errors_ms));
            let limits = Limits { time: Some(Duration::from_millis(100)), errors, bytes };
            assert_eq!(expired(&blocks, limits, 0, 1_000), expected, "{errors_ms} {bytes:?}");
        };
        check(2_000, None, &[1]);
        check(999, None, &[0, 1, 2]);
        check(50, None, &[0, 1, 2]);
        check(2_000, Some(99), &[0, 1, 2]);
    }
}

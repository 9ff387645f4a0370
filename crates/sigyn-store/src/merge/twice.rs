//! Which traces stand in more than one of the blocks that are merged.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::block::{Block, QueryFailed};
use crate::facts::TraceKey;

/// A trace, and where it is: rows of a block, in the order of the blocks.
#[derive(Debug)]
pub(super) struct Twice {
    pub(super) key: TraceKey,
    pub(super) parts: Vec<(usize, Range<u64>)>,
}

impl Twice {
    pub(super) fn rows(&self) -> u64 {
        self.parts.iter().map(|(_, rows)| rows.end - rows.start).sum()
    }
}

/// All of them, those in the same blocks one after another, in the order of their first rows: so those that are read
/// together stand together.
pub(super) fn find(blocks: &[Arc<Block>]) -> Result<Vec<Twice>, QueryFailed> {
    let mut ids: Vec<Vec<(u32, u32)>> = Vec::with_capacity(blocks.len());
    for block in blocks {
        ids.push(block.mixed_ids()?);
    }
    let wanted = common(&ids);
    let mut parts: BTreeMap<TraceKey, Vec<(usize, Range<u64>)>> = BTreeMap::new();
    for (number, (block, ids)) in blocks.iter().zip(ids).enumerate() {
        let is_wanted = |(mixed, _): &&(u32, u32)| wanted.binary_search(mixed).is_ok();
        let mut numbers: Vec<u32> =
            ids.iter().filter(is_wanted).map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        block.each_numbered(&numbers, &mut |entry| {
            let first = u64::from(entry.first_row);
            let rows = first..first + u64::from(entry.rows);
            parts.entry(entry.key).or_default().push((number, rows));
        })?;
    }
    let twice = parts.into_iter().filter(|(_, parts)| parts.len() > 1);
    let mut twice: Vec<Twice> = twice.map(|(key, parts)| Twice { key, parts }).collect();
    twice.sort_unstable_by_key(|one| {
        let block = |nth: usize| one.parts.get(nth).map(|(block, _)| *block);
        (block(0), block(1), one.parts.first().map(|(_, rows)| rows.start))
    });
    Ok(twice)
}

/// What is in more than one of these lists, each of which is in order.
fn common(lists: &[Vec<(u32, u32)>]) -> Vec<u32> {
    let mut all: Vec<u32> = Vec::with_capacity(lists.iter().map(Vec::len).sum());
    for list in lists {
        // In one block different ids may be mixed to the same: they are no reason to look.
        all.extend(list.chunk_by(|a, b| a.0 == b.0).filter_map(|same| Some(same.first()?.0)));
    }
    all.sort_unstable();
    let common = all.chunk_by(|a, b| a == b).filter(|same| same.len() > 1);
    common.filter_map(|same| same.first().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_lists_have_is_common() {
        let check = |lists: &[&[u32]], expected: &[u32]| {
            let numbered = |list: &&[u32]| list.iter().map(|id| (*id, 7)).collect();
            assert_eq!(common(&lists.iter().map(numbered).collect::<Vec<_>>()), expected);
        };
        check(&[], &[]);
        check(&[&[1, 1, 2]], &[]);
        check(&[&[1, 1, 2], &[0, 3]], &[]);
        check(&[&[1, 1, 2, 9], &[2, 2, 3], &[0, 3, 9]], &[2, 3, 9]);
    }
}

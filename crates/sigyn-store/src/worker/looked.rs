//! In which blocks it was looked for which deleted traces, and none was there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::block::Block;
use crate::buried::Buried;
use crate::facts::Strictness;

/// Of deletions that stay for long, because a block cannot be read or be made anew, no block is asked twice.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// What it was looked for, by a block's number.
    by_block: HashMap<u64, Arc<Buried>>,
    /// What came since one of these, as most blocks were looked into at the same time.
    since: Option<[Arc<Buried>; 2]>,
}

impl Looked {
    /// Whether spans of deleted traces are in a block.
    pub(super) fn has_any(&mut self, block: &Block, buried: &Arc<Buried>) -> bool {
        let before = self.by_block.get(&block.number());
        if before.is_some_and(|before| Arc::ptr_eq(before, buried)) {
            return false;
        }
        let wanted = match (before.cloned(), &self.since) {
            (None, _) => buried.clone(),
            (Some(before), Some([since, new])) if Arc::ptr_eq(&before, since) => new.clone(),
            (Some(before), _) => {
                let new = Arc::new(buried.since(&before));
                self.since = Some([before, new.clone()]);
                new
            }
        };
        let mut is_asked = true;
        let has_any = wanted.of(block.entry().last_seq).any(|key| {
            // One that cannot be read is found by others.
            let found = block.group(key, Strictness::Strict);
            is_asked &= found.is_ok();
            found.is_ok_and(|found| !found.is_empty())
        });
        if !has_any && is_asked {
            self.by_block.insert(block.number(), buried.clone());
        }
        has_any
    }

    /// Deletions are these now, and blocks.
    pub(super) fn begin(&mut self, blocks: &[Arc<Block>]) {
        self.since = None;
        let there: HashSet<u64> = blocks.iter().map(|block| block.number()).collect();
        self.by_block.retain(|number, _| there.contains(number));
    }
}

#[cfg(test)]
mod tests {
    use sigyn_model::TraceId;

    use super::*;
    use crate::block::tests::sealed;
    use crate::catalog::Tombstone;
    use crate::disk::Disk;
    use crate::testing;

    #[test]
    fn each_deletion_is_looked_for_once_in_each_block() {
        let mut random = fastrand::Rng::with_seed(1);
        let span = testing::span(&mut random);
        let (disk, entry) = sealed(vec![span.clone()]);
        let (disk, cache) = (Disk::Faulty(disk), Arc::default());
        let open = |()| Arc::new(Block::open(&disk, &entry, &cache).unwrap());
        let blocks = [(); 2].map(open);
        let other = |n: u128| TraceId::new((1 << 100) + n).unwrap();
        let bury = |ids: &[(TraceId, u64)]| {
            let tombstone = |(trace_id, through): &(_, u64)| Tombstone {
                trace_id: *trace_id,
                through: *through,
            };
            Arc::new(Buried::new(&ids.iter().map(tombstone).collect::<Vec<_>>()))
        };
        let mut looked = Looked::default();
        let mut check = |ids: &[(TraceId, u64)], expected: bool| {
            let buried = bury(ids);
            looked.begin(&blocks);
            for block in &blocks {
                assert_eq!(looked.has_any(block, &buried), expected, "{ids:?}");
            }
            looked.by_block.values().filter(|one| Arc::ptr_eq(one, &buried)).count()
        };
        assert_eq!(check(&[(other(1), 9)], false), 2);
        assert_eq!(check(&[(other(1), 9), (span.trace_id, 0)], false), 2);
        // What was deleted once more, up to a later frame, is new.
        assert_eq!(check(&[(other(1), 9), (span.trace_id, 1)], true), 0);
        assert_eq!(check(&[(other(1), 9), (other(2), 9)], false), 2);
        let ids = [(other(1), 9), (other(2), 9)];
        let (one, same) = (bury(&ids), bury(&ids));
        assert!(one.since(&same).is_empty() && same.since(&Buried::default()).of(0).count() == 2);
    }
}

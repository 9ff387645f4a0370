//! Where every span is to be found: in these blocks and heads, at any time. What stays in memory while the head
//! it came to becomes a block is in both heads, and the older one says that it is left out.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sigyn_model::TargetProgress;

use crate::block::{Block, Cache};
use crate::buried::Buried;
use crate::head::{Head, HeadView};
use crate::progress::Progress;
use crate::twins::Twins;

/// The store's contents. Its lock is held for a few pointers at a time.
#[derive(Debug)]
pub(crate) struct View {
    parts: RwLock<Kept>,
    progress: RwLock<Progress>,
    cache: Arc<Cache>,
    twins: Twins,
}

#[derive(Debug)]
struct Kept {
    /// In the order of their frames.
    blocks: Arc<Vec<Arc<Block>>>,
    buried: Arc<Buried>,
    /// Those being sealed, then the active one.
    heads: Vec<Arc<Head>>,
}

/// All parts as they were at one moment. A head that is sealed meanwhile stays readable here.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// In the order of their frames.
    pub(crate) blocks: Arc<Vec<Arc<Block>>>,
    /// What of the blocks nobody sees.
    pub(crate) buried: Arc<Buried>,
    /// Those being sealed, then the active one.
    pub(crate) heads: Vec<HeadView>,
}

impl View {
    pub(crate) fn new(
        cache: Arc<Cache>,
        blocks: Vec<Arc<Block>>,
        buried: Buried,
        head: Arc<Head>,
        progress: Progress,
    ) -> Self {
        let heads = vec![head];
        Self {
            parts: RwLock::new(Kept { blocks: Arc::new(blocks), buried: Arc::new(buried), heads }),
            progress: RwLock::new(progress),
            cache,
            twins: Twins::default(),
        }
    }

    /// What was read of blocks.
    pub(crate) fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// What is known of traces and spans that several blocks have.
    pub(crate) fn twins(&self) -> &Twins {
        &self.twins
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.parts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.parts.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn parts(&self) -> Parts {
        let kept = self.read();
        Parts {
            blocks: kept.blocks.clone(),
            buried: kept.buried.clone(),
            heads: kept.heads.iter().map(Head::view).collect(),
        }
    }

    pub(crate) fn blocks(&self) -> Arc<Vec<Arc<Block>>> {
        self.read().blocks.clone()
    }

    pub(crate) fn active_head(&self) -> Arc<Head> {
        match self.read().heads.last() {
            Some(head) => head.clone(),
            None => unreachable!("there is always an active head"),
        }
    }

    pub(crate) fn active_head_bytes(&self) -> u64 {
        self.active_head().bytes()
    }

    /// Goes on with this head; returns the one that was active.
    pub(crate) fn rotate(&self, head: Arc<Head>) -> Arc<Head> {
        let rotated = self.active_head();
        self.write().heads.push(head);
        rotated
    }

    /// Puts a block in place of the head that it was made of. `None` if there was nothing in it.
    pub(crate) fn replace_head(&self, head: &Arc<Head>, block: Option<Arc<Block>>) {
        let mut parts = self.write();
        parts.heads.retain(|other| !Arc::ptr_eq(head, other));
        if let Some(block) = block {
            Arc::make_mut(&mut parts.blocks).push(block);
        }
    }

    /// Takes a block out; whether it was there, and nobody else took it out first.
    pub(crate) fn take_out(&self, name: &str) -> bool {
        let mut parts = self.write();
        let before = parts.blocks.len();
        if parts.blocks.iter().any(|block| block.entry().name == name) {
            Arc::make_mut(&mut parts.blocks).retain(|block| block.entry().name != name);
        }
        parts.blocks.len() < before
    }

    /// Puts a block to its place among the others.
    pub(crate) fn put_back(&self, block: Arc<Block>) {
        let mut parts = self.write();
        let blocks = Arc::make_mut(&mut parts.blocks);
        let is_after = |other: &Arc<Block>| other.entry().last_seq > block.entry().last_seq;
        let at = blocks.iter().position(is_after).unwrap_or(blocks.len());
        blocks.insert(at, block);
    }

    /// Takes the blocks of these names out, as many as are there, and returns them.
    pub(crate) fn remove_blocks(&self, names: &[String]) -> Vec<Arc<Block>> {
        let mut parts = self.write();
        let is_removed = |block: &mut Arc<Block>| names.contains(&block.entry().name);
        Arc::make_mut(&mut parts.blocks).extract_if(.., is_removed).collect()
    }

    /// Puts blocks in the place of others that stand together, both at once. Returns how many of those were
    /// not there any more.
    pub(crate) fn replace_blocks(&self, old: &[Arc<Block>], new: Vec<Arc<Block>>) -> u64 {
        let mut parts = self.write();
        let blocks = Arc::make_mut(&mut parts.blocks);
        let is_old = |block: &Arc<Block>| old.iter().any(|other| Arc::ptr_eq(block, other));
        // Where they stood, though none of them may be there.
        let first_seq = old.iter().map(|block| block.entry().last_seq).min().unwrap_or(u64::MAX);
        let is_after = |block: &Arc<Block>| block.entry().last_seq >= first_seq;
        let at = blocks.iter().position(is_old).or_else(|| blocks.iter().position(is_after));
        let at = at.unwrap_or(blocks.len());
        let before = blocks.len();
        blocks.retain(|block| !is_old(block));
        let there = before - blocks.len();
        blocks.splice(at..at, new);
        (old.len() - there) as u64
    }

    pub(crate) fn set_buried(&self, buried: Buried) {
        self.write().buried = Arc::new(buried);
    }

    pub(crate) fn put_progress(&self, progress: TargetProgress, at_ms: u64) {
        self.progress.write().unwrap_or_else(PoisonError::into_inner).put(progress, at_ms);
    }

    pub(crate) fn progress(&self) -> Vec<TargetProgress> {
        self.progress.read().unwrap_or_else(PoisonError::into_inner).all()
    }

    /// Forgets the oldest of too many targets; returns the others.
    pub(crate) fn remembered_progress(&self) -> Progress {
        let mut progress = self.progress.write().unwrap_or_else(PoisonError::into_inner);
        progress.forget_surplus();
        progress.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::tests::{open, sealed};
    use crate::head::HeadWriter;
    use crate::testing;

    #[test]
    fn what_was_taken_out_meanwhile_is_told_to_who_replaces_it() {
        let mut random = fastrand::Rng::with_seed(1);
        let block = |seq: u64| {
            let (disk, mut entry) = sealed(vec![testing::span(&mut random)]);
            let block = open(&disk, &entry).unwrap();
            drop(block);
            let old = format!("blocks/{}", entry.name);
            (entry.last_seq, entry.name) = (seq, format!("block {seq}"));
            crate::disk::Disk::Faulty(disk.clone())
                .rename(&old, &format!("blocks/{}", entry.name))
                .unwrap();
            Arc::new(open(&disk, &entry).unwrap())
        };
        let all: Vec<Arc<Block>> = (1..6).map(block).collect();
        let view = View::new(
            Arc::default(),
            all[..4].to_vec(),
            Buried::default(),
            HeadWriter::new().head().clone(),
            Progress::default(),
        );
        let seqs =
            || -> Vec<u64> { view.blocks().iter().map(|block| block.entry().last_seq).collect() };
        assert!(view.take_out("block 2") && !view.take_out("block 2"));
        assert_eq!(view.replace_blocks(&all[1..3], vec![all[4].clone()]), 1);
        assert_eq!(seqs(), [1, 5, 4]);
        assert!(view.take_out("block 5"));
        assert_eq!(view.replace_blocks(&all[4..], vec![all[2].clone()]), 1);
        let names = ["block 1", "block 2"].map(str::to_owned);
        assert_eq!(view.remove_blocks(&names).len(), 1);
        assert_eq!(seqs(), [4, 3]);
    }
}

//! Where every span is to be found: in exactly one of these blocks and heads, at any time.

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

    pub(crate) fn remove_blocks(&self, removed: &[Arc<Block>]) {
        let mut parts = self.write();
        let is_removed = |block: &Arc<Block>| removed.iter().any(|other| Arc::ptr_eq(block, other));
        Arc::make_mut(&mut parts.blocks).retain(|block| !is_removed(block));
    }

    /// Puts blocks in the place of others that stand together, both at once.
    pub(crate) fn replace_blocks(&self, old: &[Arc<Block>], new: Vec<Arc<Block>>) {
        let mut parts = self.write();
        let blocks = Arc::make_mut(&mut parts.blocks);
        let is_old = |block: &Arc<Block>| old.iter().any(|other| Arc::ptr_eq(block, other));
        let at = blocks.iter().position(is_old).unwrap_or(blocks.len());
        blocks.retain(|block| !is_old(block));
        blocks.splice(at..at, new);
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

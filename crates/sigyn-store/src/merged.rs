//! What merging costs without a store: for measurements.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::block::writer::{self, Origin};
use crate::block::{self, Block, Cache};
use crate::catalog::BlockEntry;
use crate::disk::Disk;
use crate::memory::Memory;
use crate::merge::{self, Merge, Parting};
use crate::taken_in::TakenIn;

/// Blocks in a directory, that become one as often as it is wanted.
#[derive(Debug)]
pub struct Merged {
    disk: Disk,
    blocks: Vec<BlockEntry>,
}

impl Merged {
    /// None yet, below this directory.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let disk = Disk::real(directory)?;
        disk.create_dir(block::DIR)?;
        Ok(Self { disk, blocks: Vec::new() })
    }

    /// Makes one more block, of all that was taken in. Returns how many bytes it has.
    pub fn seal(&mut self, taken_in: &TakenIn, memory: Memory) -> io::Result<u64> {
        let number = self.blocks.len() as u64 + 1;
        let origin = Origin::sealed(0, number, number);
        let entry = writer::write(&self.disk, origin, &taken_in.view(), memory.group(), || false);
        self.blocks.push(entry.map_err(io::Error::other)?);
        Ok(self.blocks.last().map_or(0, |entry| entry.bytes))
    }

    /// Makes one of them all, and forgets that again. Returns how many spans it has.
    pub fn merge(&self, memory: Memory) -> io::Result<u64> {
        let cache = Arc::new(Cache::new(memory.cache));
        let open = |entry| Block::open(&self.disk, entry, &cache).map(Arc::new);
        let blocks: Result<Vec<_>, _> = self.blocks.iter().map(open).collect();
        let merge = Merge {
            disk: &self.disk,
            instance: 0,
            number: 1,
            blocks: blocks.map_err(io::Error::other)?,
            buried: Arc::default(),
            parting: Parting::Late,
            bytes_max: memory.making,
        };
        let made = || {
            let mut merging = merge.begin()?;
            while !merging.step(&|| false)? {}
            merging.finish(&|| false)
        };
        let made = made().map_err(io::Error::other)?;
        merge::discard(&self.disk, &made);
        Ok(made.iter().map(|entry| entry.spans).sum())
    }
}

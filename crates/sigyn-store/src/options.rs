//! What a store is told when it is opened.

use std::path::PathBuf;
use std::time::Duration;

use crate::memory::Memory;

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    pub path: PathBuf,
    pub durability: Durability,
    /// Blocks whose newest batch arrived longer ago are deleted.
    pub retention_time: Option<Duration>,
    /// Traces with errors are kept for this long, if that is longer.
    pub retention_errors: Option<Duration>,
    /// Blocks are deleted, the oldest first, while log and blocks together take more.
    pub retention_bytes: Option<u64>,
    pub memory: Memory,
    /// A log segment that has so many bytes is followed by the next.
    pub segment_bytes: u64,
    /// A head whose first batch arrived longer ago is sealed.
    pub seal_after: Duration,
    /// Blocks that arrived in one stretch of so much time become one, once it is over.
    pub merge_window: Duration,
    /// How long [`Store::append`](crate::Store::append) waits for room before it refuses.
    pub append_timeout: Duration,
}

/// What "acknowledged" means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On the disk: it survives a loss of power.
    #[default]
    Fsync,
    /// With the operating system, and on the disk so long after that at most: a loss of power takes what
    /// came since.
    Interval(Duration),
    /// With the operating system: it survives an end of the process.
    Os,
}

impl Options {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            retention_time: None,
            retention_errors: None,
            retention_bytes: None,
            memory: Memory::default(),
            segment_bytes: 64 << 20,
            seal_after: Duration::from_secs(15 * 60),
            merge_window: Duration::from_secs(60 * 60),
            append_timeout: Duration::from_secs(2),
        }
    }
}

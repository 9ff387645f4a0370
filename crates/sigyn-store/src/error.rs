//! What the store could not do, in words for its callers.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process has {} open", path.display())]
    Locked { path: PathBuf },
    #[error("cannot {attempt} {}", path.display())]
    Io { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot use {}: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
}

/// Why a batch was not stored. Nothing of it was, and its cursor neither, unless the store is
/// poisoned: then what became of it is known after the next open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("too many spans wait to be stored")]
    Overloaded,
    #[error("a batch, or a resource of its spans, is larger than the log takes in one record")]
    TooLarge,
    /// As on a full disk. Later ones may be stored.
    #[error("the spans are not stored: {cause}")]
    Io { cause: Arc<str> },
    #[error("the store takes no more spans until it is opened again: {cause}")]
    Poisoned { cause: Arc<str> },
    #[error("the store is closed")]
    Closed,
}

/// Why the head was not sealed. It stays, and so does the log; sealing is tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("cannot seal the head: {cause}")]
    Failed { cause: Arc<str> },
    #[error("the store is closed")]
    Closed,
}

/// Why traces were not deleted. All of them are still there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    #[error("cannot delete traces: {cause}")]
    Failed { cause: Arc<str> },
    #[error("the store is closed")]
    Closed,
}

/// What closing could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    #[error("the store was poisoned: {cause}")]
    Poisoned { cause: Arc<str> },
    #[error("a thread of the store panicked")]
    Panicked,
}

//! What the store could not do, in words for its callers.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a store cannot be opened. Whoever tells it says where the store is: paths are those in its folder.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process has it open")]
    Locked,
    #[error("{attempt} {} failed", named(path))]
    Io { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error("{}{reason}", of(path))]
    Unusable { path: PathBuf, reason: String },
}

impl OpenError {
    /// Whether something would have to be written where nothing can be.
    pub fn is_read_only(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), ReadOnlyFilesystem | PermissionDenied)
    }
}

fn named(path: &Path) -> Cow<'_, str> {
    if path.as_os_str().is_empty() { "its folder".into() } else { path.to_string_lossy() }
}

/// What stands before a reason that is about a file.
fn of(path: &Path) -> String {
    if path.as_os_str().is_empty() { String::new() } else { format!("{}: ", path.display()) }
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
    Failed {
        cause: Arc<str>,
        /// Whether it is for lack of room on the disk.
        is_full: bool,
    },
    #[error("the store is closed")]
    Closed,
}

/// Why traces were not deleted. All of them are still there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    #[error("cannot delete traces: {cause}")]
    Failed {
        cause: Arc<str>,
        /// Whether it is for lack of room on the disk.
        is_full: bool,
    },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::{io_error, unusable};

    /// As it is told by whoever says where the store is.
    fn told(error: OpenError) -> String {
        format!("cannot open the store in data: {}", crate::damage::sentence(&error))
    }

    #[test]
    fn what_is_wrong_is_told_once() {
        let check = |error: OpenError, expected: &str| {
            assert_eq!(told(error), format!("cannot open the store in data: {expected}"));
        };
        check(OpenError::Locked, "another process has it open");
        check(unusable("", "there is no store"), "there is no store");
        check(unusable("wal/1.wal", "it is of another store"), "wal/1.wal: it is of another store");
        let read_only = || io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        let system = read_only().to_string();
        check(io_error("locking", "LOCK")(read_only()), &format!("locking LOCK failed: {system}"));
        check(io_error("making", "")(read_only()), &format!("making its folder failed: {system}"));
        assert!(io_error("locking", "LOCK")(read_only()).is_read_only());
        assert!(!OpenError::Locked.is_read_only());
    }
}

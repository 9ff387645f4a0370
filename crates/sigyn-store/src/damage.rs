//! What turned out to be damaged, for a person to look at.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many are named; further ones are counted.
const NAMED_MAX: usize = 100;

/// A file that is not what was written. What else is stored is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Its path in the store's directory.
    pub file: String,
    /// What is wrong with it, and what that costs.
    pub cause: String,
}

/// All that is damaged, as far as it was found since the store was opened: no more than there are files.
#[derive(Debug, Default)]
pub(crate) struct Damages(Mutex<Vec<Damage>>);

impl Damages {
    /// Tells whoever reads the log, and remembers it for whoever asks.
    pub(crate) fn add(&self, file: &str, cause: &str) {
        self.add_if(file, cause, || true);
    }

    /// The same, if this is what comes out; whether it is. Nobody heals anything meanwhile.
    pub(crate) fn add_if(&self, file: &str, cause: &str, is_so: impl FnOnce() -> bool) -> bool {
        let mut found = self.lock();
        if !is_so() {
            return false;
        }
        let one = found.iter_mut().find(|one| one.file == file);
        if one.as_ref().is_some_and(|one| one.cause.contains(cause)) {
            return true;
        }
        tracing::error!(file, cause, "a file of the store is damaged");
        match one {
            Some(one) => one.cause.push_str(&format!("; {cause}")),
            None => found.push(Damage { file: file.to_owned(), cause: cause.to_owned() }),
        }
        true
    }

    /// A file is as it was written again, or nobody needs it any more.
    pub(crate) fn heal(&self, file: &str) {
        let mut found = self.lock();
        let before = found.len();
        found.retain(|one| one.file != file);
        if found.len() < before {
            tracing::info!(file, "a file of the store is damaged no longer, or needed no longer");
        }
    }

    /// How many files, and the first of them.
    pub(crate) fn all(&self) -> (u64, Vec<Damage>) {
        let found = self.lock();
        (found.len() as u64, found.iter().take(NAMED_MAX).cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Damage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error and its causes.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        sentence.push_str(&format!(": {error}"));
        source = error.source();
    }
    sentence
}

/// Whether a disk that is full is what it comes from.
pub(crate) fn is_full(error: &(dyn Error + 'static)) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let io_error = error.downcast_ref::<std::io::Error>();
    io_error.is_some_and(|error| matches!(error.kind(), StorageFull | QuotaExceeded))
        || error.source().is_some_and(is_full)
}

/// So many of something, in words: `one` of it, or `many`.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_once_whatever_is_wrong_with_it_and_until_it_is_healed() {
        let damages = Damages::default();
        damages.add("wal", "frame 2 is nowhere");
        damages.add("wal", "frame 5 is nowhere");
        damages.add("wal", "frame 2 is nowhere");
        damages.add("blocks/a", "gone");
        assert!(!damages.add_if("blocks/b", "gone", || false));
        let (count, named) = damages.all();
        assert_eq!((count, named[0].cause.as_str()), (2, "frame 2 is nowhere; frame 5 is nowhere"));
        damages.heal("blocks/a");
        damages.heal("blocks/c");
        assert_eq!(damages.all().0, 1);
    }
}

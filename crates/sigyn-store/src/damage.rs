//! What turned out to be damaged, for a person to look at.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

/// So many are named; further ones are only counted.
const NAMED_MAX: usize = 100;

/// A file that is not what was written. What else is stored is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Its path in the store's directory.
    pub file: String,
    /// What is wrong with it, and what that costs.
    pub cause: String,
}

/// All that was found since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Damages(Mutex<Found>);

#[derive(Clone, Debug, Default)]
struct Found {
    count: u64,
    named: Vec<Damage>,
}

impl Damages {
    /// Tells whoever reads the log, and remembers it for whoever asks.
    pub(crate) fn add(&self, file: &str, cause: &str) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It came back meanwhile, and went again.
        if found.named.iter().any(|named| named.file == file && named.cause == cause) {
            return;
        }
        tracing::error!(file, cause, "a file of the store is damaged");
        found.count += 1;
        if found.named.len() < NAMED_MAX {
            found.named.push(Damage { file: file.to_owned(), cause: cause.to_owned() });
        }
    }

    /// How many there are, and the first of them.
    pub(crate) fn all(&self) -> (u64, Vec<Damage>) {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (found.count, found.named)
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

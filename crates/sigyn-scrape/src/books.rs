//! How far every target has been read, also of those that are gone for now.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sigyn_model::TargetProgress;
use tokio::sync::Mutex;

/// Progress of targets that are in no pool; the oldest beyond it are forgotten. One that comes back
/// after that is read from its oldest segment, and what was stored already is stored once.
const VANISHED_MAX: usize = 100_000;

/// One target's progress. Whoever holds the lock scrapes the target: that is what keeps a loop from
/// starting while its predecessor still commits.
pub(crate) type Book = Arc<Mutex<TargetProgress>>;

#[derive(Debug, Default)]
pub(crate) struct Books {
    by_target: HashMap<String, Book>,
    /// Keys of targets that left their pool, in that order. Some may be back.
    vanished: VecDeque<String>,
}

impl Books {
    pub(crate) fn new(progress: Vec<TargetProgress>) -> Self {
        let mut books = Self::default();
        for progress in progress {
            let key = progress.target.clone();
            books.by_target.insert(key.clone(), Arc::new(Mutex::new(progress)));
            books.vanish(key);
        }
        books
    }

    pub(crate) fn open(&mut self, key: &str) -> Book {
        let book = self.by_target.entry(key.to_owned()).or_insert_with(|| {
            let progress = TargetProgress { target: key.to_owned(), ..TargetProgress::default() };
            Arc::new(Mutex::new(progress))
        });
        Arc::clone(book)
    }

    /// The target left its pool. Its progress stays for when it comes back.
    pub(crate) fn vanish(&mut self, key: String) {
        self.vanished.push_back(key);
        while self.vanished.len() > VANISHED_MAX {
            let Some(oldest) = self.vanished.pop_front() else { break };
            // A loop has its own handle: a target that is back, or not done yet, is kept.
            if self.by_target.get(&oldest).is_some_and(|book| Arc::strong_count(book) == 1) {
                self.by_target.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_vanished_are_forgotten_and_those_in_use_are_not() {
        let named = |n: usize| TargetProgress { target: n.to_string(), ..Default::default() };
        let mut books = Books::new((0..VANISHED_MAX).map(named).collect());
        let held = books.open("0");
        for n in ["x", "y"] {
            books.open(n);
            books.vanish(n.to_owned());
        }
        assert_eq!(books.by_target.len(), VANISHED_MAX + 1);
        assert!(books.by_target.contains_key("0") && !books.by_target.contains_key("1"));
        assert_eq!(held.blocking_lock().target, "0");
    }
}

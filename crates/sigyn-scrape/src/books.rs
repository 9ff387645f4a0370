//! How far every target has been read, also of those that are gone for now.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sigyn_model::pull::Cursor;
use sigyn_model::{EpochAccount, TargetProgress};
use tokio::sync::Mutex;

use crate::account::{self, Life, Settled};
use crate::lives::Lives;

/// Progress of targets that are in no pool; the oldest beyond it are forgotten. One that comes back
/// after that is read from its oldest segment, and what was stored already is stored once.
const VANISHED_MAX: usize = 100_000;

/// One target's ledger. Whoever holds the lock scrapes the target: that is what keeps a loop from
/// starting while its predecessor still commits.
pub(crate) type Book = Arc<Mutex<Ledger>>;

/// What is known of one target: its progress as it was committed, and what only this process knows.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) progress: TargetProgress,
    /// Of the process that is being read; see [`Life::uncounted`].
    pub(crate) uncounted: bool,
    /// Of it, too; see [`Life::joined`].
    pub(crate) joined: bool,
    pub(crate) lives: Lives,
}

impl Ledger {
    pub(crate) fn new(progress: TargetProgress) -> Self {
        Self { progress, ..Self::default() }
    }

    /// The answer is committed.
    pub(crate) fn settled(&mut self, settled: Settled) {
        let before = self.progress.cursor.map(|cursor| cursor.epoch);
        self.progress = settled.progress;
        self.uncounted = settled.uncounted;
        self.joined &= before == self.progress.cursor.map(|cursor| cursor.epoch);
        self.joined |= settled.joined;
        if self.joined && settled.surplus.is_some() {
            account::join(&mut self.progress.account);
            self.joined = false;
        }
        if let Some(life) = settled.left {
            self.lives.remember(life);
        }
    }

    /// Goes on with a process that was read before. False if it is not known.
    pub(crate) fn turn_to(&mut self, epoch: u64) -> bool {
        let Some(life) = self.lives.take(epoch) else { return false };
        self.turn(life);
        true
    }

    /// Goes on with an epoch that the target can tell: where it was left, or else where the target says.
    pub(crate) fn visit(&mut self, told: Cursor) {
        if !self.turn_to(told.epoch) {
            let account = EpochAccount::default();
            self.turn(Life { cursor: told, account, uncounted: false, joined: told.seq > 1 });
        }
    }

    fn turn(&mut self, life: Life) {
        let Life { cursor, account, uncounted, joined } = life;
        let before = self.progress.cursor.replace(cursor);
        let account = std::mem::replace(&mut self.progress.account.epoch, account);
        let uncounted = std::mem::replace(&mut self.uncounted, uncounted);
        let joined = std::mem::replace(&mut self.joined, joined);
        if let Some(cursor) = before {
            self.lives.remember(Life { cursor, account, uncounted, joined });
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    by_target: HashMap<String, Book>,
    /// Keys of targets that left their pool, each with the number of its leaving, in that order. Some
    /// may be back, or have left once more since.
    vanished: VecDeque<(u64, String)>,
    left_last: HashMap<String, u64>,
    leavings: u64,
}

impl Books {
    pub(crate) fn new(progress: Vec<TargetProgress>) -> Self {
        let mut books = Self::default();
        for progress in progress {
            let key = progress.target.clone();
            books.by_target.insert(key.clone(), Arc::new(Mutex::new(Ledger::new(progress))));
            books.vanish(key);
        }
        books
    }

    pub(crate) fn open(&mut self, key: &str) -> Book {
        let book = self.by_target.entry(key.to_owned()).or_insert_with(|| {
            let progress = TargetProgress { target: key.to_owned(), ..TargetProgress::default() };
            Arc::new(Mutex::new(Ledger::new(progress)))
        });
        Arc::clone(book)
    }

    /// The target left its pool. Its progress stays for when it comes back.
    pub(crate) fn vanish(&mut self, key: String) {
        self.leavings += 1;
        self.left_last.insert(key.clone(), self.leavings);
        self.vanished.push_back((self.leavings, key));
        while self.vanished.len() > VANISHED_MAX {
            let Some((leaving, oldest)) = self.vanished.pop_front() else { break };
            if self.left_last.get(&oldest) != Some(&leaving) {
                continue;
            }
            self.left_last.remove(&oldest);
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
    fn each_process_behind_an_address_keeps_its_cursor_and_its_books() {
        let epoch = |received| EpochAccount { received, ..EpochAccount::default() };
        let life = |id, received| Life {
            cursor: Cursor { epoch: id, seq: 10 * id },
            account: epoch(received),
            uncounted: id == 2,
            joined: false,
        };
        let mut ledger = Ledger::default();
        ledger.progress.cursor = Some(life(1, 5).cursor);
        ledger.progress.account.epoch = epoch(5);
        ledger.progress.account.received = 12;
        ledger.lives.remember(life(2, 7));
        assert!(ledger.turn_to(2) && !ledger.turn_to(3));
        assert_eq!(ledger.progress.cursor, Some(Cursor { epoch: 2, seq: 20 }));
        assert_eq!((ledger.progress.account.epoch.received, ledger.uncounted), (7, true));
        assert!(ledger.turn_to(1));
        assert_eq!(ledger.progress.cursor, Some(Cursor { epoch: 1, seq: 10 }));
        assert_eq!((ledger.progress.account.epoch.received, ledger.uncounted), (5, false));
        assert_eq!(ledger.progress.account.received, 12, "totals are those of the target");
    }

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
        assert_eq!(held.blocking_lock().progress.target, "0");
    }

    #[test]
    fn a_target_that_comes_and_goes_is_as_old_as_its_last_leaving() {
        let mut books = Books::default();
        for n in 0..VANISHED_MAX {
            books.open(&n.to_string());
            books.vanish(n.to_string());
        }
        books.open("0");
        books.vanish("0".to_owned());
        books.vanish("1".to_owned());
        assert!(["0", "1"].iter().all(|key| books.by_target.contains_key(*key)));
        books.vanish("x".to_owned());
        assert!(!books.by_target.contains_key("2"));
    }
}

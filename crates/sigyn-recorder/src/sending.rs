//! How much of answers is on its way: whoever reads slowly must not make the process grow, nor keep others out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Less than this is never too much.
const BYTES_MIN: usize = 1024 * 1024;
/// An answer is no longer, however large the log: whoever wants it all asks again, and no single piece of memory is so
/// large that to give it back holds up threads that want some.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Scrapers of whom is known how much is on its way to them; of more those are forgotten to whom nothing is.
const KNOWN_MAX: usize = 32;

/// Whom an answer is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader<'a> {
    /// A scraper with a lease.
    Leased(&'a str),
    /// Whoever else reads the log.
    Peek,
    /// Whoever looks at one trace.
    Look,
}

/// Bytes of bodies that somebody has not taken yet: each scraper with a lease has an account of its own, and all others
/// have one together for each thing that they do.
#[derive(Debug)]
pub(crate) struct Sending {
    max: usize,
    peeks: Account,
    looks: Account,
    leased: Mutex<HashMap<String, Account>>,
}

type Account = Arc<AtomicUsize>;

/// A body, counted for as long as anybody holds a part of it.
struct Counted {
    body: Bytes,
    account: Account,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.account.fetch_sub(self.body.len(), Ordering::Relaxed);
    }
}

impl Sending {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max: max.max(BYTES_MIN),
            peeks: Account::default(),
            looks: Account::default(),
            leased: Mutex::default(),
        }
    }

    /// The longest answer; the rest comes with the next one. Those who cannot know that there is more come back late: they
    /// get more at once.
    pub(crate) fn answer_bytes_max(&self, asks_again: bool) -> usize {
        if asks_again { self.max.min(ANSWER_BYTES_MAX) } else { self.max }
    }

    /// Whether there is room for one more body for that scraper, or for anybody else.
    pub(crate) fn has_room(&self, reader: Reader<'_>) -> bool {
        self.account(reader).load(Ordering::Relaxed) < self.max
    }

    pub(crate) fn count(&self, reader: Reader<'_>, body: Bytes) -> Bytes {
        if body.is_empty() {
            return body;
        }
        let account = self.account(reader);
        account.fetch_add(body.len(), Ordering::Relaxed);
        Bytes::from_owner(Counted { body, account })
    }

    fn account(&self, reader: Reader<'_>) -> Account {
        let name = match reader {
            Reader::Leased(name) => name,
            Reader::Peek => return Arc::clone(&self.peeks),
            Reader::Look => return Arc::clone(&self.looks),
        };
        let mut known = self.leased.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = known.get(name) {
            return Arc::clone(account);
        }
        if known.len() >= KNOWN_MAX {
            known.retain(|_, account| Arc::strong_count(account) > 1);
        }
        Arc::clone(known.entry(name.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_counts_until_its_last_part_is_gone() {
        let sending = Sending::new(0);
        let mut body = sending.count(Reader::Peek, Bytes::from(vec![1; BYTES_MIN]));
        assert!(!sending.has_room(Reader::Peek));
        let part = body.split_to(10);
        drop(body);
        assert!(!sending.has_room(Reader::Peek));
        drop(part);
        assert!(sending.has_room(Reader::Peek));
    }

    #[test]
    fn nobody_has_less_room_because_of_somebody_else() {
        let sending = Sending::new(0);
        let body = || Bytes::from(vec![1; 3 * BYTES_MIN]);
        let _others = sending.count(Reader::Peek, body());
        assert!(sending.has_room(Reader::Leased("a")));
        let slow = sending.count(Reader::Leased("a"), body());
        assert!(!sending.has_room(Reader::Leased("a")) && sending.has_room(Reader::Leased("b")));
        for n in 0..2 * KNOWN_MAX {
            assert!(sending.has_room(Reader::Leased(&format!("scraper {n}"))));
        }
        assert!(!sending.has_room(Reader::Leased("a")), "it is not forgotten while it reads");
        assert!(sending.leased.lock().unwrap().len() <= KNOWN_MAX);
        drop(slow);
        assert!(sending.has_room(Reader::Leased("a")));
    }
}

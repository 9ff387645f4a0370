//! How much of answers is on its way: whoever reads slowly must not make the process grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Less than this is never too much.
const BYTES_MIN: usize = 1024 * 1024;

/// Bytes of bodies that somebody has not taken yet.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    bytes: Arc<AtomicUsize>,
    max: usize,
}

/// A body, counted for as long as anybody holds a part of it.
struct Counted {
    body: Bytes,
    bytes: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.body.len(), Ordering::Relaxed);
    }
}

impl Sending {
    pub(crate) fn new(max: usize) -> Self {
        Self { bytes: Arc::default(), max: max.max(BYTES_MIN) }
    }

    /// Whether there is room for one more body. Half of it is for scrapers with a lease alone, so that nobody else can keep
    /// them out.
    pub(crate) fn has_room(&self, is_leased: bool) -> bool {
        let max = if is_leased { 2 * self.max } else { self.max };
        self.bytes.load(Ordering::Relaxed) < max
    }

    pub(crate) fn count(&self, body: Bytes) -> Bytes {
        if body.is_empty() {
            return body;
        }
        self.bytes.fetch_add(body.len(), Ordering::Relaxed);
        Bytes::from_owner(Counted { body, bytes: Arc::clone(&self.bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_counts_until_its_last_part_is_gone() {
        let sending = Sending::new(0);
        let mut body = sending.count(Bytes::from(vec![1; BYTES_MIN]));
        assert!(!sending.has_room(false) && sending.has_room(true));
        let part = body.split_to(10);
        drop(body);
        assert!(!sending.has_room(false));
        let more = sending.count(Bytes::from(vec![1; BYTES_MIN]));
        assert!(!sending.has_room(true));
        drop((part, more));
        assert!(sending.has_room(false));
    }
}

//! The memory that scrapes may take, over all targets: bodies as they come in, and what they become.
//!
//! Whoever finds none waits, for a time that ends. Nobody waits for a share of what he already has a
//! part of, so waiting cannot go in a circle: a body that turns out to be larger than was thought
//! gives its share back before it takes a larger one, and on the wire has a second one of another part.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Shares are counted in pieces of this many bytes.
const PIECE: u64 = 1 << 10;

/// The bounds. Bodies on the wire have a part of their own: spans that wait for the store must not
/// keep those that are there from being read to their end. So have large bodies: whoever waits for
/// much holds up all behind him, and a target may send what unpacks to a thousand times its size.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) wire: Part,
    /// On the wire, too: what bodies have beyond a page. It is asked for by those that have a page.
    pub(crate) long: Part,
    pub(crate) spans: Part,
    pub(crate) large: Part,
}

#[derive(Clone, Debug)]
pub(crate) struct Part {
    pieces: Arc<Semaphore>,
    total: u32,
}

/// Bytes that nobody else has. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    part: Part,
    pieces: OwnedSemaphorePermit,
}

impl Memory {
    pub(crate) fn new(bytes: u64) -> Self {
        let (wire, large) = (bytes / 8, bytes / 16 * 7);
        let (spans, long) = (bytes - wire - large, wire / 4);
        let [wire, long, spans, large] = [wire - long, long, spans, large].map(Part::new);
        Self { wire, long, spans, large }
    }

    /// What one body may have at most, unpacked, where all there is are so many bytes.
    pub(crate) fn body_bytes_max(bytes: u64) -> u64 {
        bytes / 3
    }

    /// What of it is taken now.
    pub(crate) fn used(&self) -> u64 {
        [&self.wire, &self.long, &self.spans, &self.large].map(Part::used).iter().sum()
    }

    /// Where a body goes that may take so much.
    pub(crate) fn part_for(&self, bytes: u64) -> &Part {
        if bytes > self.spans.bytes() / 3 { &self.large } else { &self.spans }
    }
}

impl Part {
    fn new(bytes: u64) -> Self {
        // A semaphore of tokio's counts further than u32 on every platform that matters.
        let total = pieces(bytes).clamp(1, u32::MAX >> 3);
        Self { pieces: Arc::new(Semaphore::new(total as usize)), total }
    }

    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.total) * PIECE
    }

    fn used(&self) -> u64 {
        self.bytes() - self.pieces.available_permits() as u64 * PIECE
    }

    #[cfg(test)]
    pub(crate) fn free(&self) -> u64 {
        self.pieces.available_permits() as u64 * PIECE
    }

    /// What is there now, if it is enough. More than there is means all of it.
    pub(crate) fn take_now(&self, bytes: u64) -> Option<Share> {
        let wanted = pieces(bytes).min(self.total);
        let pieces = Arc::clone(&self.pieces).try_acquire_many_owned(wanted).ok()?;
        Some(Share { part: self.clone(), pieces })
    }

    /// Waits until `until` at most. More than there is means all of it.
    pub(crate) async fn take(&self, bytes: u64, until: Instant) -> Option<Share> {
        let wanted = pieces(bytes).min(self.total);
        let taking = Arc::clone(&self.pieces).acquire_many_owned(wanted);
        // The semaphore is never closed.
        let pieces = tokio::time::timeout_at(until, taking).await.ok()?.ok()?;
        Some(Share { part: self.clone(), pieces })
    }
}

impl Share {
    /// Trues the share up to what is really taken. More is taken only if it is there: what is in
    /// memory already cannot wait.
    pub(crate) fn true_up(&mut self, bytes: u64) {
        let needed = pieces(bytes).min(self.part.total) as usize;
        let held = self.pieces.num_permits();
        if let Some(spare) = held.checked_sub(needed) {
            drop(self.pieces.split(spare));
        } else if let Ok(missing) = u32::try_from(needed - held)
            && let Ok(more) = Arc::clone(&self.part.pieces).try_acquire_many_owned(missing)
        {
            self.pieces.merge(more);
        }
    }
}

fn pieces(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shares_are_bounded_waited_for_and_trued_up() {
        let part = Part::new(100 * PIECE);
        let soon = || Instant::now() + Duration::from_secs(1);
        let mut first = part.take(60 * PIECE, soon()).await.unwrap();
        assert!(part.take(41 * PIECE, soon()).await.is_none(), "and the wait ends");
        first.true_up(10 * PIECE);
        let second = part.take(90 * PIECE, soon()).await.unwrap();
        first.true_up(50 * PIECE);
        assert_eq!(part.pieces.available_permits(), 0, "there is no more to be had");
        drop(second);
        first.true_up(50 * PIECE);
        assert_eq!(part.pieces.available_permits(), 50);
        drop(first);
        let all = part.take(u64::MAX, soon()).await.unwrap();
        assert_eq!(part.pieces.available_permits(), 0);
        drop(all);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_much_does_not_hold_up_the_others() {
        let memory = Memory::new(1 << 20);
        let parts = [&memory.wire, &memory.long, &memory.spans, &memory.large];
        assert_eq!(parts.map(Part::bytes), [96 << 10, 32 << 10, 448 << 10, 448 << 10]);
        let soon = Instant::now() + Duration::from_secs(1);
        let _held = memory.part_for(400 << 10).take(400 << 10, soon).await.unwrap();
        assert_eq!(memory.used(), 400 << 10);
        let mut waiting = std::pin::pin!(memory.part_for(300 << 10).take(300 << 10, soon));
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut waiting).await.is_err());
        assert!(memory.part_for(100 << 10).take(100 << 10, soon).await.is_some());
    }
}

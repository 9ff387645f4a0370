//! How much memory pushed messages may take: each of them, and all together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Cause, refusal::Refusal};

/// How long a message waits for memory before its sender is asked to come back.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Memory is handed out in pieces of this size, since a semaphore counts in 32 bits.
pub(super) const PIECE_BYTES: usize = 1 << 10;

/// Bodies of one connection that arrive at once. Further ones wait on the other side.
const ARRIVING_MAX: usize = 8;
/// How long a body waits for those before it: as long as they may take.
const TURN_TIMEOUT: Duration = Duration::from_secs(11);
/// What the messages of one connection may take while they are unpacked, decoded and stored: as much as
/// the largest of all messages, 100 MiB and its spans.
const CONNECTION_BYTES_MAX: usize = 356 << 20;

/// Bytes that are there for all messages at one stage.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    /// All of it, in pieces.
    total: usize,
    /// What is said of whoever finds no room.
    full: Cause,
}

/// Bytes that nobody else has; given back when they are dropped.
#[derive(Debug)]
pub(crate) struct Held(OwnedSemaphorePermit);

impl Held {
    /// A part of it; the other one stays. `None` if there is less than that.
    pub(crate) fn split(&mut self, bytes: usize) -> Option<Self> {
        self.0.split(bytes / PIECE_BYTES).map(Self)
    }
}

impl Budget {
    pub(crate) fn new(bytes: usize, full: Cause) -> Self {
        let total = bytes / PIECE_BYTES;
        Self { free: Arc::new(Semaphore::new(total)), total, full }
    }

    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.total * PIECE_BYTES
    }

    /// What others have of it now.
    pub(super) fn used(&self) -> usize {
        (self.total - self.free.available_permits()) * PIECE_BYTES
    }

    /// Waits for memory, within reason; not for what will never be there.
    pub(crate) async fn hold(&self, bytes: usize) -> Result<Held, Refusal> {
        if pieces(bytes) as usize > self.total {
            let limit = self.total * PIECE_BYTES;
            let message = format!("the message takes more than the {limit} bytes that there are");
            return Err(Refusal::new(Cause::TooLarge, message));
        }
        let held = Arc::clone(&self.free).acquire_many_owned(pieces(bytes));
        match tokio::time::timeout(TIMEOUT, held).await {
            Ok(Ok(held)) => Ok(Held(held)),
            _ => Err(Refusal::overloaded(self.full)),
        }
    }

    /// Memory that is there now, or none.
    pub(crate) fn try_hold(&self, bytes: usize) -> Option<Held> {
        Arc::clone(&self.free).try_acquire_many_owned(pieces(bytes)).ok().map(Held)
    }
}

/// What small messages and large ones have, each for themselves: however many large ones wait, a small
/// one finds its place.
#[derive(Clone, Debug)]
pub(super) struct Lanes<T> {
    pub(super) small: T,
    pub(super) large: T,
    /// The most that a small one takes. Alone it finds that much in its lane, whatever it holds there
    /// already: what may not fit goes to the other lane, which has room for the largest.
    pub(super) small_max: usize,
}

impl<T> Lanes<T> {
    /// The lane of whoever takes so many bytes.
    pub(super) fn of(&self, bytes: usize) -> &T {
        if bytes <= self.small_max { &self.small } else { &self.large }
    }
}

/// What one connection may take of the budgets, so that the others find some: HTTP/2 has many requests
/// open at once. Stands in the extensions of each request.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    arriving: Arc<Semaphore>,
    working: Budget,
}

impl Connection {
    pub(crate) fn new() -> Self {
        let arriving = Arc::new(Semaphore::new(ARRIVING_MAX));
        Self { arriving, working: Budget::new(CONNECTION_BYTES_MAX, Cause::Connection) }
    }

    /// Waits until another body of this connection may arrive.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let turn = Arc::clone(&self.arriving).acquire_owned();
        match tokio::time::timeout(TURN_TIMEOUT, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Refusal::overloaded(Cause::Connection)),
        }
    }

    pub(super) async fn hold(&self, bytes: usize) -> Result<Held, Refusal> {
        self.working.hold(bytes).await
    }
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_waited_for_and_given_back() {
        let budget = Budget::new(10 * PIECE_BYTES, Cause::Working);
        let first = budget.hold(4 * PIECE_BYTES).await.unwrap();
        let second = budget.try_hold(PIECE_BYTES + 1).unwrap();
        assert!(budget.try_hold(5 * PIECE_BYTES).is_none());
        assert_eq!(budget.used(), 6 * PIECE_BYTES);
        let refused = budget.hold(5 * PIECE_BYTES).await.unwrap_err();
        assert_eq!(refused.cause, Cause::Working);
        let refused = budget.hold(10 * PIECE_BYTES + 1).await.unwrap_err();
        assert_eq!(refused.cause, Cause::TooLarge, "nobody need come again for that");
        drop((first, second));
        assert!(budget.hold(10 * PIECE_BYTES).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_does_not_wait_for_ever_for_its_own_bodies() {
        let connection = Connection::new();
        let mut turns = Vec::new();
        for _ in 0..ARRIVING_MAX {
            turns.push(connection.turn().await.unwrap());
        }
        assert_eq!(connection.turn().await.unwrap_err().cause, Cause::Connection);
        turns.pop();
        assert!(connection.turn().await.is_ok());
    }
}

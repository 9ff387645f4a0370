//! How much memory pushed messages may take: each of them, and all together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;

/// How long a message waits for memory before its sender is asked to come back.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Memory is handed out in pieces of this size, since a semaphore counts in 32 bits.
const PIECE_BYTES: usize = 1 << 10;

/// Bodies of one connection that arrive at once. Further ones wait on the other side.
const ARRIVING_MAX: usize = 8;
/// What the messages of one connection may take while they are decoded and stored: as much as the
/// largest of all messages.
const CONNECTION_BYTES_MAX: usize = 256 << 20;

/// Bytes that are there for all messages at one stage.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

/// Bytes that nobody else has; given back when they are dropped.
#[derive(Debug)]
pub(crate) struct Held(OwnedSemaphorePermit);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / PIECE_BYTES)))
    }

    /// Waits for memory, within reason.
    pub(crate) async fn hold(&self, bytes: usize) -> Result<Held, Refusal> {
        let held = Arc::clone(&self.0).acquire_many_owned(pieces(bytes));
        match tokio::time::timeout(TIMEOUT, held).await {
            Ok(Ok(held)) => Ok(Held(held)),
            _ => Err(Refusal::overloaded()),
        }
    }

    /// Memory that is there now, or none.
    pub(crate) fn try_hold(&self, bytes: usize) -> Option<Held> {
        Arc::clone(&self.0).try_acquire_many_owned(pieces(bytes)).ok().map(Held)
    }
}

impl Held {
    pub(crate) fn add(&mut self, more: Self) {
        self.0.merge(more.0);
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
        Self { arriving, working: Budget::new(CONNECTION_BYTES_MAX) }
    }

    /// Waits until another body of this connection may arrive.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.arriving).acquire_owned().await.ok()
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
    use crate::collect::Cause;

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_waited_for_and_given_back() {
        let budget = Budget::new(10 * PIECE_BYTES);
        let mut first = budget.hold(4 * PIECE_BYTES).await.unwrap();
        first.add(budget.try_hold(PIECE_BYTES + 1).unwrap());
        assert!(budget.try_hold(5 * PIECE_BYTES).is_none());
        let refused = budget.hold(5 * PIECE_BYTES).await.unwrap_err();
        assert_eq!(refused.cause, Cause::Overloaded);
        drop(first);
        assert!(budget.hold(10 * PIECE_BYTES).await.is_ok());
    }
}

//! The way to the store: spans and their cursor leave together, and the answer is waited for.

use std::time::Duration;

use sigyn_model::SpanBatch;
use tokio::sync::{mpsc, oneshot};

/// Spans on their way to the store, and who waits for its answer.
///
/// The store answers once they are durable. Only then does the target's cursor move; after an error,
/// or if `done` is dropped, the same segments are asked for again.
#[derive(Debug)]
pub struct Commit {
    pub batch: SpanBatch,
    pub done: oneshot::Sender<Result<(), CommitError>>,
}

/// Why the store did not keep a batch. Nothing of it is durable then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// It will never fit as it is: the target is asked for less at a time.
    #[error("a batch is larger than the store takes at once")]
    TooLarge,
    #[error("{0}")]
    Failed(String),
}

/// Why a batch is not known to be durable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCommitted {
    #[error("the store is behind: it took no spans within {0:?}")]
    Behind(Duration),
    #[error("the store did not keep the spans")]
    Refused(#[source] CommitError),
    #[error("the store is closed")]
    Closed,
}

/// Hands a batch to the store. A full queue holds the target back, for `patience` at most: then the
/// batch is dropped, and asked for again. Once it is handed over there is no way but to wait for the
/// answer: asking again before it might store the same spans twice.
pub(crate) async fn commit(
    commits: &mpsc::Sender<Commit>,
    batch: SpanBatch,
    patience: Duration,
) -> Result<(), NotCommitted> {
    let slot = tokio::time::timeout(patience, commits.reserve())
        .await
        .map_err(|_| NotCommitted::Behind(patience))?
        .map_err(|_| NotCommitted::Closed)?;
    let (done, answer) = oneshot::channel();
    slot.send(Commit { batch, done });
    answer.await.map_err(|_| NotCommitted::Closed)?.map_err(NotCommitted::Refused)
}

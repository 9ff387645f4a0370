//! Asking the store: so many queries at once, each so long, and none for nobody.

use std::time::Duration;

use http::StatusCode;
use sigyn_store::{Queries, Stop, Store};
use tokio::sync::Semaphore;

use crate::reply::ApiError;

/// Zipkin's default for `QUERY_TIMEOUT`.
const QUERY_TIMEOUT: Duration = Duration::from_secs(11);
/// Queries that run at once. More would only slow each other down, and hold the threads that
/// collecting and scraping need; they wait, and time spent waiting counts.
const QUERIES_MAX: usize = 8;

static QUERIES: Semaphore = Semaphore::const_new(QUERIES_MAX);

/// Runs a query on a thread that may block. It is ended when its time is up, and when whoever asked
/// has gone; its place is free once it has really ended.
pub(crate) async fn ask<T, E>(
    store: &Store,
    query: impl FnOnce(&Queries) -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let failed = |message: &str| ApiError {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        message: message.to_owned(),
    };
    let stop = StopOnDrop(Stop::default());
    let queries = store.queries(stop.0.clone());
    let run = async {
        let place = QUERIES.acquire().await;
        tokio::task::spawn_blocking(move || {
            let _place = place;
            query(&queries)
        })
        .await
    };
    match tokio::time::timeout(QUERY_TIMEOUT, run).await {
        Ok(Ok(outcome)) => outcome.map_err(ApiError::failed),
        Ok(Err(_)) => Err(failed("the query ended without an answer")),
        Err(_) => Err(failed("the query took longer than 11 s")),
    }
}

struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

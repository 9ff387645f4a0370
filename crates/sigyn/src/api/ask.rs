//! Asking the store: so many queries at once, each so long, and none for nobody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use http::{HeaderValue, StatusCode};
use sigyn_model::TraceId;
use sigyn_store::{Queries, Stop, Store, Strictness};
use tokio::sync::Semaphore;

use super::answer::AnswerError;
use crate::reply::{self, ApiError};

/// Queries that run at once. More would only slow each other down, and hold the threads that
/// collecting and scraping need; they wait, and time spent waiting counts.
const QUERIES_MAX: usize = 8;
const QUERIES_MIN: usize = 2;
/// What a query takes in memory beside its answer: pages of blocks, as they are read.
const QUERY_BYTES: u64 = 32 << 20;
/// Those that go through all that is stored leave so many places to those that look for something, one in
/// so many.
const COUNTING: usize = 2;

/// The store, for whoever answers from it.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    store: Store,
    /// Zipkin's `QUERY_TIMEOUT`; `None` lets a query take as long as it likes.
    timeout: Option<Duration>,
    strictness: Strictness,
    places: Arc<Semaphore>,
    counting: Arc<Semaphore>,
}

impl Asker {
    /// Clones share the places in which queries run.
    pub(crate) fn new(store: Store, timeout: Option<Duration>, strictness: Strictness) -> Self {
        let places = places(store.memory_bytes());
        let counting = Arc::new(Semaphore::new(places / COUNTING));
        Self { store, timeout, strictness, places: Arc::new(Semaphore::new(places)), counting }
    }

    /// An answer in Prometheus' envelope, which says if something of what is stored is missing in it.
    pub(crate) fn answer(&self, data: &impl serde::Serialize) -> Response {
        self.answer_but(data, None)
    }

    /// The same for an answer in which something else may be missing.
    pub(crate) fn answer_but(
        &self,
        data: &impl serde::Serialize,
        missing: Option<String>,
    ) -> Response {
        let warnings: Vec<String> = self.missing().into_iter().chain(missing).collect();
        reply::success_but(data, &warnings)
    }

    /// Who calls whom, in a form that has no place for what is missing in it: a header says it. So many traces
    /// were not counted whole.
    pub(crate) fn linked(&self, mut response: Response, too_large: u64) -> Response {
        let of_traces = match too_large {
            0 => None,
            1 => Some("1 trace is too large to be counted whole: calls in it may be".to_owned()),
            n => {
                let traces = "traces are too large to be counted whole: calls in them may be";
                Some(format!("{n} {traces}"))
            }
        };
        let of_traces =
            of_traces.map(|text| text + " missing from this answer (more --storage.memory helps)");
        let warnings: Vec<String> = self.missing().into_iter().chain(of_traces).collect();
        if let (false, Ok(value)) =
            (warnings.is_empty(), HeaderValue::try_from(warnings.join("; ")))
        {
            response.headers_mut().insert(reply::WARNING, value);
        }
        response
    }

    /// What is missing in all answers.
    fn missing(&self) -> Option<String> {
        let warning = match self.store.unreadable_blocks() {
            0 => None,
            1 => Some("1 block cannot be read: its spans are missing from this answer".to_owned()),
            n => {
                Some(format!("{n} blocks cannot be read: their spans are missing from this answer"))
            }
        };
        let unread = (self.store.is_log_unread()).then(|| {
            "the log is not read to its end: its spans are missing from this answer".to_owned()
        });
        let warning = warning.into_iter().chain(unread).reduce(|one, other| one + "; " + &other);
        warning.map(|text| text + ", see /api/v1/status/store")
    }

    /// What two ids share that find one and the same trace.
    pub(crate) fn trace_key(&self, id: TraceId) -> u128 {
        match self.strictness {
            Strictness::Strict => id.as_u128(),
            Strictness::Lenient => id.low().into(),
        }
    }

    /// The same as [`Asker::ask`] for what goes through all that is stored: few of these run at once, so that
    /// whoever looks for something need not wait for them.
    pub(crate) async fn ask_counting<T, E>(
        &self,
        query: impl FnOnce(&Queries) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<AnswerError> + Send + 'static,
    {
        self.ask_in(&[&self.counting, &self.places], query).await
    }

    /// Runs a query on a thread that may block. It is ended when its time is up, and when whoever
    /// asked has gone; its place is free once it has really ended.
    pub(crate) async fn ask<T, E>(
        &self,
        query: impl FnOnce(&Queries) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<AnswerError> + Send + 'static,
    {
        self.ask_in(&[&self.places], query).await
    }

    async fn ask_in<T, E>(
        &self,
        places: &[&Arc<Semaphore>],
        query: impl FnOnce(&Queries) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<AnswerError> + Send + 'static,
    {
        let stop = StopOnDrop(Stop::default());
        let mut queries = self.store.queries(stop.0.clone()).with_strictness(self.strictness);
        if let Some(until) =
            self.timeout.and_then(|timeout| Instant::now().checked_add(timeout / 4 * 3))
        {
            queries = queries.with_until(until);
        }
        let run = async {
            let mut held = Vec::new();
            for place in places {
                held.push(Arc::clone(place).acquire_owned().await);
            }
            tokio::task::spawn_blocking(move || {
                let _held = held;
                query(&queries)
            })
            .await
        };
        let ended = match self.timeout {
            None => run.await,
            Some(timeout) => match tokio::time::timeout(timeout, run).await {
                Ok(ended) => ended,
                Err(_) => {
                    let message = format!("the query took longer than {timeout:?}");
                    return Err(ApiError::timed_out(message));
                }
            },
        };
        match ended {
            Ok(outcome) => outcome.map_err(|error| ApiError::from(error.into())),
            Err(_) => {
                let message = "the query ended without an answer";
                Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message))
            }
        }
    }
}

/// How many queries run at once in so much memory.
fn places(memory_bytes: u64) -> usize {
    usize::try_from(memory_bytes / QUERY_BYTES)
        .unwrap_or(QUERIES_MAX)
        .clamp(QUERIES_MIN, QUERIES_MAX)
}

struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_memory_has_few_queries_at_once() {
        for (mib, expected) in [(64, 2), (128, 4), (256, 8), (2_048, 8)] {
            assert_eq!(places(mib << 20), expected, "{mib} MiB");
        }
    }

    #[test]
    fn whatever_asks_the_store_is_known_to_be_told_that_there_is_no_room() {
        let document = "../../docs/openapi.yaml";
        let text = std::fs::read_to_string(document).unwrap();
        // What is asked may fail, and what may fail so may find no room, but for what asks no store.
        let is_failure = |status: &str| {
            let ends = ["Failed\"}", "Error\"}", "jaegerV3Error"];
            status.starts_with("\"500\"") && ends.iter().any(|end| status.ends_with(end))
        };
        let mut path = "";
        let mut asked: Vec<(&str, bool)> = Vec::new();
        for line in text.lines() {
            let status = line.trim_start();
            if line.starts_with("  /") {
                path = line.trim();
            } else if is_failure(status) {
                asked.push((path, false));
            } else if status.starts_with("\"503\"")
                && let Some((of, is_told)) = asked.last_mut()
            {
                *is_told |= *of == path;
            }
        }
        let untold = asked.iter().filter(|(_, is_told)| !is_told).map(|(path, _)| *path);
        assert_eq!(untold.collect::<Vec<_>>(), ["/api/v1/targets:"]);
        assert!(asked.len() > 20, "{}", asked.len());
    }
}

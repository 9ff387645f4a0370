//! The Zipkin that spans come from.

use anyhow::Context as _;

use super::peer::{Peer, PeerError};
use super::plan::Ask;
use super::trace::{Trace, read_traces};

/// A running Zipkin, or whatever answers as it does.
#[derive(Clone, Debug)]
pub(super) struct Source(Peer);

/// What one search found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) traces: Vec<Trace>,
    pub(super) bytes: usize,
}

impl Source {
    pub(super) fn new(peer: Peer) -> Self {
        Self(peer)
    }

    /// One look whether a Zipkin is there.
    pub(super) async fn probe(&self) -> anyhow::Result<()> {
        let body = self.0.once("/api/v2/services").await?;
        let names: Result<Vec<String>, _> = serde_json::from_slice(&body);
        names.map(drop).with_context(|| format!("{} does not answer as Zipkin does", self.0.base()))
    }

    pub(super) async fn search(&self, ask: Ask) -> Result<Found, SearchError> {
        let path = format!(
            "/api/v2/traces?endTs={}&lookback={}&limit={}",
            ask.window.to_ms,
            ask.window.to_ms - ask.window.from_ms,
            ask.limit
        );
        let body = self.0.get(&path).await?.ok_or(SearchError::Absent)?;
        let traces = read_traces(&body).map_err(SearchError::Unreadable)?;
        Ok(Found { traces, bytes: body.len() })
    }
}

/// Why a search has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum SearchError {
    #[error("cannot search the source")]
    Peer(#[from] PeerError),
    #[error("the source has no /api/v2/traces")]
    Absent,
    #[error("cannot read what the source found")]
    Unreadable(#[source] anyhow::Error),
}

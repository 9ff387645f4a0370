//! What was refused at the doors, by reason.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    refused: [AtomicU64; Refusal::ALL.len()],
    handshakes_failed: AtomicU64,
}

/// Why a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 401: no user, or another password.
    Unauthorized,
    /// 429.
    RateLimit,
    /// 500: the file of the configuration is not what it should be.
    Configuration,
}

impl Refusal {
    const ALL: [Self; 3] = [Self::Unauthorized, Self::RateLimit, Self::Configuration];

    fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::RateLimit => "rate_limit",
            Self::Configuration => "configuration",
        }
    }
}

impl Counts {
    pub(super) fn refused(&self, why: Refusal) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that were refused, by reason.
    pub(crate) fn refused_total(&self) -> [(&'static str, u64); Refusal::ALL.len()] {
        let count = |why: Refusal| self.refused[why as usize].load(Ordering::Relaxed);
        Refusal::ALL.map(|why| (why.as_str(), count(why)))
    }

    /// Connections that ended before TLS was agreed upon.
    pub(crate) fn handshakes_failed_total(&self) -> u64 {
        self.handshakes_failed.load(Ordering::Relaxed)
    }
}

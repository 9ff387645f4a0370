//! When batches arrive: the only clock of this crate. It judges retention, never spans.

#[cfg(test)]
use std::sync::Arc;
use std::sync::LazyLock;
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time in milliseconds: the system's, or (in tests) what the test says.
#[derive(Clone, Debug, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    #[cfg(test)]
    Manual(Arc<AtomicU64>),
    /// One that somebody sets, and how long it has been running.
    #[cfg(test)]
    Set { now: Arc<AtomicU64>, uptime: Arc<AtomicU64> },
}

impl Clock {
    pub(crate) fn now_ms(&self) -> u64 {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
            #[cfg(test)]
            Self::Manual(now) | Self::Set { now, .. } => now.load(Ordering::SeqCst),
        }
    }

    /// Milliseconds that count evenly, whoever sets the wall clock; from whenever.
    pub(crate) fn uptime_ms(&self) -> u64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Self::System => u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX),
            // Nobody sets it but by waiting.
            #[cfg(test)]
            Self::Manual(now) => now.load(Ordering::SeqCst),
            #[cfg(test)]
            Self::Set { uptime, .. } => uptime.load(Ordering::SeqCst),
        }
    }
}

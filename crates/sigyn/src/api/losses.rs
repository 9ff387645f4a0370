//! What the targets tell about a trace: where spans were lost, and how far everything has been read.

use std::time::SystemTime;

use serde::Serialize;
use sigyn_scrape::{Health, State, Status, TargetStatus};

/// What the targets tell about a trace: where spans were lost, and how far everything has been read.
#[derive(Clone, Debug)]
pub(crate) struct Known(Status);

/// A time in which a target lost spans.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    /// The target's job, which is its service's name unless it says otherwise.
    pub(crate) service: String,
    pub(crate) target: String,
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
    pub(crate) spans: u64,
    pub(crate) reason: &'static str,
}

/// How far the targets have been read.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Completeness {
    /// Whatever the targets that were ever read finished before this is here, or counted as lost.
    pub(crate) through_us: Option<u64>,
    pub(crate) up: usize,
    pub(crate) targets: usize,
}

impl Known {
    pub(crate) fn new(status: Status) -> Self {
        Self(status)
    }

    /// Losses that fall into a stretch of time.
    pub(crate) fn losses(&self, from_us: u64, to_us: u64) -> Vec<Loss> {
        let pools = self.0.pools();
        let targets = pools.iter().flat_map(|pool| &pool.active);
        let losses = targets.flat_map(|target| {
            let label = |name: &str| target.labels.get(name).unwrap_or("").to_owned();
            let name = target.labels.get("pod").or_else(|| target.labels.get("instance"));
            target.loss_windows.iter().map(move |window| Loss {
                service: label("job").to_lowercase(),
                target: name.unwrap_or(&target.url).to_owned(),
                from_us: unix_us(window.from),
                to_us: unix_us(window.to),
                spans: window.spans,
                reason: window.reason.as_str(),
            })
        });
        losses.filter(|loss| loss.overlaps(from_us, to_us)).collect()
    }

    pub(crate) fn completeness(&self) -> Completeness {
        let pools = self.0.pools();
        let traced: Vec<&TargetStatus> = pools
            .iter()
            .flat_map(|pool| &pool.active)
            .filter(|t| t.state != State::NotTraced)
            .collect();
        let up = traced.iter().filter(|target| target.health == Health::Up);
        Completeness {
            through_us: traced.iter().filter_map(|target| target.read_through).min().map(unix_us),
            up: up.count(),
            targets: traced.len(),
        }
    }
}

impl Loss {
    pub(crate) fn overlaps(&self, from_us: u64, to_us: u64) -> bool {
        self.from_us <= to_us && from_us <= self.to_us
    }

    /// The reason as a person reads it.
    pub(crate) fn explained(&self) -> &'static str {
        match self.reason {
            "evicted" => "evicted before they were scraped",
            "before_first_scrape" => "evicted before the first scrape",
            "oversize" => "too large to record",
            "shutdown" => "still buffered when it stopped",
            "rejected" => "could not be read or stored",
            _ => "unexplained",
        }
    }
}

fn unix_us(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

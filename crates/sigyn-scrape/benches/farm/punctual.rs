//! When a target was asked, beside when it was to be: the tracer's schedule, worked out from outside.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sigyn_discovery::config::Job;
use sigyn_discovery::target::populate;
use sigyn_discovery::{Labels, TargetGroup};

use crate::{Plan, Problem};

/// The job of the tracer's configuration.
pub(crate) const JOB: &str = "farm";

/// Each target's hash, from which its instants follow.
pub(crate) fn instants(addresses: &[SocketAddr], plan: &Plan) -> Result<Vec<u64>, Problem> {
    let mut job = Job::new(JOB);
    (job.scrape_interval, job.scrape_timeout) = (plan.interval, plan.timeout);
    let labels = |address: &SocketAddr| Labels::from_iter([("__address__", address.to_string())]);
    let group = TargetGroup {
        source: JOB.to_owned(),
        labels: Labels::default(),
        targets: addresses.iter().map(labels).collect(),
    };
    let populated = populate(&job, "/traces", &[Arc::new(group)]);
    let hashes: HashMap<String, u64> =
        populated.active.into_iter().map(|target| (target.url, target.hash)).collect();
    let hash = |address: &SocketAddr| {
        let hash = hashes.get(&format!("http://{address}/traces")).copied();
        hash.ok_or_else(|| format!("{address} is no target").into())
    };
    addresses.iter().map(hash).collect()
}

/// How regularly one target is asked, while that is measured.
#[derive(Debug)]
pub(crate) struct Punctual {
    interval_ns: u128,
    hash: u64,
    is_measured: bool,
    /// The tick of the last scrape, counted from the epoch.
    tick: Option<u128>,
    pub(crate) scrapes: u64,
    pub(crate) missed: u64,
    /// Scrapes at no instant of the schedule.
    pub(crate) between: u64,
    /// How late each scrape was, in microseconds.
    pub(crate) late_us: Vec<u32>,
}

impl Punctual {
    pub(crate) fn new(hash: u64, interval: Duration) -> Self {
        Self {
            interval_ns: interval.as_nanos().max(1),
            hash,
            is_measured: false,
            tick: None,
            scrapes: 0,
            missed: 0,
            between: 0,
            late_us: Vec::new(),
        }
    }

    pub(crate) fn measure(&mut self, on: bool, seed: Option<u64>) {
        let now = SystemTime::now();
        if on {
            // What came last before it is the tick that is there already.
            self.tick = Some(self.tick_at(seed.unwrap_or(0), now).0);
        } else if let Some(before) = self.tick {
            // The last one may be on its way.
            let (tick, _) = self.tick_at(seed.unwrap_or(0), now);
            self.missed += u64::try_from(tick.saturating_sub(before + 1)).unwrap_or(u64::MAX);
        }
        self.is_measured = on;
    }

    /// The tracer asks, with this number in its name.
    pub(crate) fn asked(&mut self, seed: u64) {
        if !self.is_measured {
            return;
        }
        self.scrapes += 1;
        let (tick, late_ns) = self.tick_at(seed, SystemTime::now());
        let Some(before) = self.tick.filter(|before| tick > *before) else {
            self.between += 1;
            return;
        };
        self.missed += u64::try_from(tick - before - 1).unwrap_or(u64::MAX);
        self.tick = Some(tick);
        self.late_us.push(u32::try_from(late_ns / 1_000).unwrap_or(u32::MAX));
    }

    /// The last instant of the target's own, and how long ago it was.
    fn tick_at(&self, seed: u64, now: SystemTime) -> (u128, u128) {
        let slot = u128::from(self.hash ^ seed) % self.interval_ns;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let since = now + self.interval_ns - slot;
        (since / self.interval_ns, since % self.interval_ns)
    }
}

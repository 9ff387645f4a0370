//! `--lint` of `sigyn check config`: what is valid, and hardly meant.

use std::time::Duration;

use sigyn_discovery::config::{Job, format_duration};

use super::{complain, say};

/// How far Prometheus looks back for a value.
const LOOKBACK: Duration = Duration::from_secs(300);

/// Which of promtool's lints are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lints {
    too_long_interval: bool,
}

impl Lints {
    /// Names with commas between. What is unknown is told, and does nothing. Rules of metrics are not
    /// looked at, whatever is wanted.
    pub(super) fn parse(names: &str) -> Self {
        let mut lints = Self::default();
        for name in names.split(',') {
            match name {
                "all" | "too-long-scrape-interval" => lints.too_long_interval = true,
                "none" | "duplicate-rules" => {}
                unknown => say(format_args!("WARNING: unknown lint option: {unknown:?}")),
            }
        }
        lints
    }

    /// Whether nothing is found. Only the first finding is told.
    pub(super) fn pass(self, jobs: &[Job]) -> bool {
        let is_too_long = |job: &&Job| self.too_long_interval && job.scrape_interval >= LOOKBACK;
        let Some(job) = jobs.iter().find(is_too_long) else { return true };
        complain(format_args!(
            "  FAILED: too long scrape interval found, data point will be marked as stale - job: {}, interval: {}",
            job.name,
            format_duration(job.scrape_interval)
        ));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_too_long_where_that_is_asked_for() {
        let check = |names: &str, seconds: u64, expected: bool| {
            let mut job = Job::new("a");
            job.scrape_interval = Duration::from_secs(seconds);
            assert_eq!(Lints::parse(names).pass(&[job]), expected, "{names} {seconds}");
        };
        check("all", 299, true);
        check("all", 300, false);
        check("too-long-scrape-interval", 600, false);
        check("duplicate-rules,too-long-scrape-interval", 600, false);
        check("duplicate-rules", 600, true);
        check("none", 600, true);
        check("bogus", 600, true);
    }
}

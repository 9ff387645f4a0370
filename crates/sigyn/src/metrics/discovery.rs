//! Figures of service discovery.

use sigyn_discovery::Metrics;

use super::{Family, counter, gauge};

pub(crate) fn families(metrics: &Metrics) -> Vec<Family> {
    let now = metrics.snapshot();
    vec![
        gauge("sigyn_sd_providers", "Providers of targets that run now", now.providers as f64),
        gauge(
            "sigyn_sd_discovered_targets",
            "Targets found, over all jobs, before relabelling",
            now.discovered_targets as f64,
        ),
        counter(
            "sigyn_sd_providers_failed_total",
            "Providers that ended though nobody asked them to",
            now.providers_failed_total,
        ),
        counter(
            "sigyn_sd_received_updates_total",
            "Updates that providers sent",
            now.received_updates_total,
        ),
        counter(
            "sigyn_sd_updates_total",
            "Updates that were sent on to scraping",
            now.updates_total,
        ),
        counter("sigyn_sd_file_reads_total", "Target files read", now.file_reads_total),
        counter(
            "sigyn_sd_file_read_errors_total",
            "Target files that could not be read or understood; their last targets stay",
            now.file_read_errors_total,
        ),
        counter(
            "sigyn_sd_file_watcher_errors_total",
            "Directories that could not be watched, and events lost",
            now.file_watcher_errors_total,
        ),
    ]
}

//! Figures of service discovery.

use std::time::{SystemTime, UNIX_EPOCH};

use sigyn_discovery::{Metrics, REFRESH_SECONDS, RefreshSnapshot};

use super::{Distribution, Family, LabelPairs, Series, counter, gauge};

pub(crate) fn families(metrics: &Metrics) -> Vec<Family> {
    let now = metrics.snapshot();
    let refreshes = || now.refreshes.iter().map(|(name, refreshes)| (mechanism(name), refreshes));
    let jobs = || now.jobs.iter().map(|(job, found)| (scrape([("config", job.clone())]), found));
    let consul_calls = || now.consul_calls.iter().map(|(name, calls)| (call(name), calls));
    vec![
        gauge("sigyn_sd_providers", "Providers of targets that run now", now.providers as f64),
        Family {
            name: "sigyn_sd_discovered_targets",
            help: "Targets found for a job, before relabelling",
            series: Series::Gauge(
                jobs().map(|(labels, job)| (labels, job.discovered_targets as f64)).collect(),
            ),
        },
        Family {
            name: "sigyn_sd_last_update_timestamp_seconds",
            help: "When what was found for a job last changed and was sent on to scraping",
            series: Series::Gauge(
                jobs().map(|(labels, job)| (labels, unix_seconds(job.updated_at))).collect(),
            ),
        },
        counter(
            "sigyn_sd_providers_failed_total",
            "Providers that ended though nobody asked them to",
            now.providers_failed_total,
        ),
        Family {
            name: "sigyn_sd_failed_configs",
            help: "Sections whose discovery cannot be started now, and is tried again",
            series: Series::Gauge(vec![(scrape([]), now.failed_configs as f64)]),
        },
        counter(
            "sigyn_sd_answers_without_room_total",
            "Answers that were not read, as others took the memory or they alone would have taken too much",
            now.answers_without_room_total,
        ),
        Family {
            name: "sigyn_sd_refresh_failures_total",
            help: "Times that a mechanism asked and got no answer of use; what it had found stays",
            series: Series::Counter(
                now.refresh_failures_total
                    .iter()
                    .map(|((name, job), failures)| (asking(name, job), *failures))
                    .collect(),
            ),
        },
        Family {
            name: "sigyn_sd_refresh_duration_seconds",
            help: "How long a mechanism took to ask for all targets",
            series: Series::Histogram(
                refreshes().map(|(labels, refreshes)| (labels, durations(refreshes))).collect(),
            ),
        },
        Family {
            name: "sigyn_sd_consul_rpc_failures_total",
            help: "Questions that Consul did not answer, or not as Consul does; what was found stays",
            series: Series::Counter(
                consul_calls().map(|(labels, calls)| (labels, calls.failures_total)).collect(),
            ),
        },
        Family {
            name: "sigyn_sd_consul_rpc_duration_seconds",
            help: "How long answers of Consul took, which waits for changes up to two minutes",
            series: Series::Histogram(
                consul_calls().map(|(labels, calls)| (labels, durations(calls))).collect(),
            ),
        },
        Family {
            name: "sigyn_sd_kubernetes_events_total",
            help: "Objects of Kubernetes that came, changed or went",
            series: Series::Counter(
                now.kubernetes_events
                    .iter()
                    .map(|((role, event), count)| (happened(role, event), *count))
                    .collect(),
            ),
        },
        counter(
            "sigyn_sd_kubernetes_failures_total",
            "Lists and watches that Kubernetes had no answer for; what was found stays",
            now.kubernetes_failures_total,
        ),
        counter(
            "sigyn_sd_dns_lookups_total",
            "Names that name servers were asked about",
            now.dns_lookups_total,
        ),
        counter(
            "sigyn_sd_dns_lookup_failures_total",
            "Names about which no name server had an answer; their last targets stay",
            now.dns_lookup_failures_total,
        ),
        updates(
            "sigyn_sd_received_updates_total",
            "Updates that providers sent",
            now.received_updates_total,
        ),
        updates(
            "sigyn_sd_updates_total",
            "Updates that were sent on to scraping",
            now.updates_total,
        ),
        // Scraping always takes the newest map, and nothing waits for it.
        updates("sigyn_sd_updates_delayed_total", "Updates that could not be sent on at once", 0),
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

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn mechanism(name: &str) -> LabelPairs {
    vec![("mechanism", name.to_owned())]
}

fn asking(name: &str, job: &str) -> LabelPairs {
    vec![("mechanism", name.to_owned()), ("config", job.to_owned())]
}

/// What Prometheus tells of each of its two managers, one of which is for notifications: ours is the
/// one for scraping.
fn scrape<const N: usize>(labels: [(&'static str, String); N]) -> LabelPairs {
    labels.into_iter().chain([("name", "scrape".to_owned())]).collect()
}

fn updates(name: &'static str, help: &'static str, value: u64) -> Family {
    Family { name, help, series: Series::Counter(vec![(scrape([]), value)]) }
}

fn call(name: &str) -> LabelPairs {
    vec![("call", name.to_owned())]
}

fn happened(role: &str, event: &str) -> LabelPairs {
    vec![("role", role.to_owned()), ("event", event.to_owned())]
}

fn durations(refreshes: &RefreshSnapshot) -> Distribution {
    let upper_ends = REFRESH_SECONDS.into_iter().chain([f64::INFINITY]);
    Distribution {
        sum: refreshes.duration.as_secs_f64(),
        buckets: upper_ends.zip(refreshes.durations).collect(),
    }
}

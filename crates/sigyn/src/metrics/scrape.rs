//! Figures of every target: Prometheus' names for what Prometheus has, ours for the rest.

use std::collections::HashSet;

use sigyn_scrape::{Health, PoolStatus, TargetStatus};

use super::{Family, LabelPairs, Series, counter};

pub(crate) fn families(pools: &[PoolStatus]) -> Vec<Family> {
    // Two targets of a pool may carry the same job and instance; a series stands once.
    let mut seen = HashSet::new();
    let targets: Vec<(LabelPairs, &TargetStatus)> = pools
        .iter()
        .flat_map(|pool| pool.active.iter().map(|target| (labels(pool, target), target)))
        .filter(|(labels, _)| seen.insert(labels.clone()))
        .collect();
    let gauge = |name, help, value: &dyn Fn(&TargetStatus) -> f64| Family {
        name,
        help,
        series: Series::Gauge(
            targets.iter().map(|(labels, t)| (labels.clone(), value(t))).collect(),
        ),
    };
    let totals = |name, help, value: &dyn Fn(&TargetStatus) -> u64| Family {
        name,
        help,
        series: Series::Counter(
            targets.iter().map(|(labels, t)| (labels.clone(), value(t))).collect(),
        ),
    };
    vec![
        gauge("up", "1 if the target's last scrape succeeded", &|t| {
            f64::from(u8::from(t.health == Health::Up))
        }),
        gauge("scrape_duration_seconds", "How long the last scrape took", &|t| {
            t.last_duration.as_secs_f64()
        }),
        gauge("scrape_spans_scraped", "Spans that the last scrape brought", &|t| {
            t.last_spans as f64
        }),
        gauge("scrape_body_size_bytes", "Size of its bodies, decompressed", &|t| {
            t.last_bytes as f64
        }),
        totals("sigyn_target_scrapes_total", "Scrapes of the target", &|t| t.scrapes_total),
        totals("sigyn_target_spans_received_total", "Spans received and stored", &|t| {
            t.account.received
        }),
        totals(
            "sigyn_target_restarts_total",
            "Restarts of the target: what it finished after the last scrape is unknown",
            &|t| t.account.restarts,
        ),
        by_reason(
            "sigyn_target_spans_lost_total",
            "Spans that the target finished and that will never be here, by reason",
            &targets,
            &|t| t.account.lost.by_reason().map(|(reason, n)| (reason.as_str(), n)).to_vec(),
        ),
        by_reason(
            "sigyn_target_scrapes_failed_total",
            "Scrapes that failed, by reason",
            &targets,
            &|t| t.failures.by_cause().map(|(cause, n)| (cause.as_str(), n)).to_vec(),
        ),
        Family {
            name: "sigyn_scrape_pool_targets",
            help: "Targets of a pool",
            series: Series::Gauge(per_pool(pools, |pool| pool.active.len() as f64)),
        },
        Family {
            name: "sigyn_scrape_pool_targets_dropped",
            help: "Targets that relabelling dropped",
            series: Series::Gauge(per_pool(pools, |pool| pool.dropped_count as f64)),
        },
        counter("sigyn_scrape_pools_total", "Pools, one a job", pools.len() as u64),
    ]
}

fn by_reason(
    name: &'static str,
    help: &'static str,
    targets: &[(LabelPairs, &TargetStatus)],
    counts: &dyn Fn(&TargetStatus) -> Vec<(&'static str, u64)>,
) -> Family {
    let series = targets.iter().flat_map(|(labels, target)| {
        counts(target).into_iter().map(|(reason, n)| {
            let mut labels = labels.clone();
            labels.push(("reason", reason.to_owned()));
            (labels, n)
        })
    });
    Family { name, help, series: Series::Counter(series.collect()) }
}

fn per_pool(pools: &[PoolStatus], value: impl Fn(&PoolStatus) -> f64) -> Vec<(LabelPairs, f64)> {
    let label = |pool: &PoolStatus| vec![("scrape_job", pool.job.clone())];
    pools.iter().map(|pool| (label(pool), value(pool))).collect()
}

fn labels(pool: &PoolStatus, target: &TargetStatus) -> LabelPairs {
    let label = |name: &str| target.labels.get(name).unwrap_or("").to_owned();
    vec![("job", label("job")), ("instance", label("instance")), ("scrape_job", pool.job.clone())]
}

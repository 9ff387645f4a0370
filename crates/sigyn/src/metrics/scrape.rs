//! Figures of every target: Prometheus' names for what Prometheus has, ours for the rest.

use std::collections::BTreeMap;

use sigyn_model::pull::Sampled;
use sigyn_scrape::{
    Counts, Health, INTERVAL_PARTS, PoolCounts, PoolStatus, SYNC_SECONDS, Spread, Status,
    TargetStatus,
};

use super::together::together;
use super::{Distribution, Family, LabelPairs, Series, counter, gauge};

pub(crate) fn families(status: &Status) -> Vec<Family> {
    let mut families = of_targets(&status.pools());
    families.extend(of_pools(&status.counts()));
    families.extend(of_wanted(status));
    families
}

/// Traces that targets are asked for.
fn of_wanted(status: &Status) -> [Family; 3] {
    [
        counter(
            "sigyn_kept_traces_total",
            "Traces that targets kept although nobody had sampled them, and for which all others are asked",
            status.kept_traces_total(),
        ),
        counter(
            "sigyn_kept_traces_missed_total",
            "Times that such a trace was forgotten before a target could be asked for it",
            status.asks_missed_total(),
        ),
        counter(
            "sigyn_target_asks_refused_total",
            "Requests that would have asked targets at once, and were sent away as too many did",
            status.asks_refused_total(),
        ),
    ]
}

/// What is counted beside the targets.
fn of_pools(counts: &Counts) -> Vec<Family> {
    let pools = counts.by_pool();
    let pool = |job: &String| vec![("scrape_job", job.clone())];
    vec![
        counter(
            "sigyn_target_scrape_pools_total",
            "Pools that were made, one a job",
            counts.pools_total(),
        ),
        Family {
            name: "sigyn_target_scrape_pool_scrapes_total",
            help: "Scrapes of the pool's targets",
            series: Series::Counter(
                pools.iter().map(|(job, counts)| (pool(job), counts.scrapes)).collect(),
            ),
        },
        of_pool_by_reason(
            "sigyn_target_scrape_pool_scrapes_failed_total",
            "Scrapes of the pool's targets that failed, by reason",
            &pools,
            |counts| counts.failures.by_cause().map(|(cause, n)| (cause.as_str(), n)).to_vec(),
        ),
        of_pool_by_reason(
            "sigyn_target_scrape_pool_spans_lost_total",
            "Spans that the pool's targets finished and that will never be here, by reason",
            &pools,
            |counts| counts.lost.by_reason().map(|(reason, n)| (reason.as_str(), n)).to_vec(),
        ),
        Family {
            name: "sigyn_target_scrape_pool_sync_total",
            help: "Times that a pool was brought up to date with what was found",
            series: Series::Counter(
                pools.iter().map(|(job, counts)| (pool(job), counts.lengths.count())).collect(),
            ),
        },
        Family {
            name: "sigyn_target_sync_length_seconds",
            help: "How long that took",
            series: Series::Histogram(
                pools
                    .iter()
                    .map(|(job, counts)| (pool(job), spread(&counts.lengths, SYNC_SECONDS)))
                    .collect(),
            ),
        },
        Family {
            name: "sigyn_target_sync_failed_total",
            help: "Targets that were found and can be none, each time a pool was brought up to date",
            series: Series::Counter(
                pools.iter().map(|(job, counts)| (pool(job), counts.failed)).collect(),
            ),
        },
        counter(
            "sigyn_target_scrape_pool_exceeded_target_limit_total",
            "Times that a pool was found to have more targets than its job allows",
            counts.target_limits_exceeded_total(),
        ),
        counter(
            "sigyn_target_scrapes_exceeded_body_size_limit_total",
            "Bodies that were larger than they may be",
            counts.body_limits_exceeded_total(),
        ),
        gauge(
            "sigyn_target_long_polls",
            "Requests that wait at targets until there are spans",
            counts.waits.open() as f64,
        ),
        counter(
            "sigyn_target_long_polls_refused_total",
            "Targets that were asked at their instants alone, because too many requests waited elsewhere",
            counts.waits.refused_total(),
        ),
        counter(
            "sigyn_target_long_polls_not_kept_total",
            "Requests that a target was to keep until it had spans, and answered at once with none",
            counts.waits.not_kept_total(),
        ),
        counter(
            "sigyn_target_long_polls_failed_total",
            "Requests that waited and were not answered as they ought to be",
            counts.waits.failed_total(),
        ),
        Family {
            name: "sigyn_target_early_pulls_total",
            help: "Times that a target gave spans between two of its instants, by why it was asked then",
            series: Series::Counter(
                [
                    ("waited", counts.waits.pulled_total()),
                    ("filling", counts.pulls_of_filling_total()),
                ]
                .map(|(why, count)| (vec![("why", why.to_owned())], count))
                .into(),
            ),
        },
        Family {
            name: "sigyn_target_interval_length_seconds",
            help: "Time between two scrapes of a target, by the interval that was meant",
            series: Series::Histogram(
                counts
                    .intervals()
                    .into_iter()
                    .map(|(seconds, interval, passed)| {
                        let ends = INTERVAL_PARTS.map(|part| part * seconds);
                        (vec![("interval", interval)], spread(&passed, ends))
                    })
                    .collect(),
            ),
        },
    ]
}

fn of_pool_by_reason(
    name: &'static str,
    help: &'static str,
    pools: &BTreeMap<String, PoolCounts>,
    counts: impl Fn(&PoolCounts) -> Vec<(&'static str, u64)>,
) -> Family {
    let series = pools.iter().flat_map(|(job, pool)| {
        counts(pool).into_iter().map(|(reason, n)| {
            (vec![("scrape_job", job.clone()), ("reason", reason.to_owned())], n)
        })
    });
    Family { name, help, series: Series::Counter(series.collect()) }
}

fn spread<const N: usize, const M: usize>(spread: &Spread<N>, ends: [f64; M]) -> Distribution {
    let upper_ends = ends.into_iter().chain([f64::INFINITY]);
    Distribution { sum: spread.sum, buckets: upper_ends.zip(spread.counts).collect() }
}

fn of_targets(pools: &[PoolStatus]) -> Vec<Family> {
    // Several targets of a pool may carry the same job and instance.
    let all = pools.iter().flat_map(|pool| pool.active.iter().map(move |t| (labels(pool, t), t)));
    let series = together(all);
    let targets: Vec<(LabelPairs, &TargetStatus)> =
        series.iter().map(|(labels, target)| (labels.clone(), &**target)).collect();
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
        gauge(
            "up",
            "1 if the last scrape of the target, or of each with these labels, succeeded",
            &|t| f64::from(u8::from(t.health == Health::Up)),
        ),
        gauge("scrape_duration_seconds", "How long the last scrape took", &|t| {
            t.last_duration.as_secs_f64()
        }),
        gauge("scrape_spans_scraped", "Spans that the last scrape brought", &|t| {
            t.last_spans as f64
        }),
        gauge("scrape_body_size_bytes", "Size of its bodies, decompressed", &|t| {
            t.last_bytes as f64
        }),
        totals("sigyn_target_spans_received_total", "Spans received and stored", &|t| {
            t.account.received
        }),
        Family {
            name: "sigyn_target_restarts_total",
            help: "Restarts of the target, if there were any: what it finished after the last scrape is unknown",
            series: Series::Counter(
                targets
                    .iter()
                    .filter(|(_, target)| target.account.restarts > 0)
                    .map(|(labels, target)| (labels.clone(), target.account.restarts))
                    .collect(),
            ),
        },
        Family {
            name: "sigyn_target_traces_left_out_total",
            help: "Traces that would have begun at the target and were not recorded for its budget",
            series: Series::Counter(
                left_out(&targets).map(|(labels, sampled)| (labels, sampled.traces)).collect(),
            ),
        },
        Family {
            name: "sigyn_target_share",
            help: "The share of the traces which begin at the target that it records for its budget",
            series: Series::Gauge(
                left_out(&targets).map(|(labels, sampled)| (labels, sampled.share)).collect(),
            ),
        },
        by_reason(
            "sigyn_target_spans_lost_total",
            "Spans that the target finished and that will never be here, by reason, where there are any",
            &targets,
            &|t| t.account.lost.by_reason().map(|(reason, n)| (reason.as_str(), n)).to_vec(),
        ),
        by_reason(
            "sigyn_target_scrapes_failed_total",
            "Scrapes that failed, by reason, where any did",
            &targets,
            &|t| t.failures.by_cause().map(|(cause, n)| (cause.as_str(), n)).to_vec(),
        ),
        Family {
            name: "sigyn_target_scrape_pool_targets",
            help: "Targets of a pool",
            series: Series::Gauge(per_pool(pools, |pool| pool.active.len() as f64)),
        },
        Family {
            name: "sigyn_target_scrape_pool_targets_dropped",
            help: "Targets that relabelling dropped",
            series: Series::Gauge(per_pool(pools, |pool| pool.dropped_count as f64)),
        },
    ]
}

/// Targets that leave traces out, or did; others are not worth a series.
fn left_out(
    targets: &[(LabelPairs, &TargetStatus)],
) -> impl Iterator<Item = (LabelPairs, Sampled)> {
    targets.iter().filter_map(|(labels, target)| {
        let sampled = target.sampled.filter(|sampled| sampled.traces > 0 || sampled.share < 1.0)?;
        Some((labels.clone(), sampled))
    })
}

/// Of thousands of targets nearly all counts are zero, and a zero for each reason would be most of the page: those of
/// pools are always there.
fn by_reason(
    name: &'static str,
    help: &'static str,
    targets: &[(LabelPairs, &TargetStatus)],
    counts: &dyn Fn(&TargetStatus) -> Vec<(&'static str, u64)>,
) -> Family {
    let series = targets.iter().flat_map(|(labels, target)| {
        counts(target).into_iter().filter(|(_, n)| *n > 0).map(|(reason, n)| {
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

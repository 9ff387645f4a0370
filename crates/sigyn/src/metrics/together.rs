//! Targets that carry the same labels: one series stands for all of them.

use std::borrow::Cow;
use std::collections::HashMap;

use sigyn_model::pull::Sampled;
use sigyn_scrape::{Health, TargetStatus};

use super::LabelPairs;

/// Each series once, in the order of its first target. What is counted is summed, and of states the worst is told.
pub(crate) fn together<'a>(
    targets: impl Iterator<Item = (LabelPairs, &'a TargetStatus)>,
) -> Vec<(LabelPairs, Cow<'a, TargetStatus>)> {
    let mut places = HashMap::new();
    let mut series: Vec<(LabelPairs, Cow<'a, TargetStatus>)> = Vec::new();
    for (labels, target) in targets {
        let place = *places.entry(labels.clone()).or_insert(series.len());
        match series.get_mut(place) {
            Some((_, sum)) => add(sum.to_mut(), target),
            None => series.push((labels, Cow::Borrowed(target))),
        }
    }
    series
}

fn add(sum: &mut TargetStatus, target: &TargetStatus) {
    sum.health = match (sum.health, target.health) {
        (Health::Down, _) | (_, Health::Down) => Health::Down,
        (Health::Unknown, _) | (_, Health::Unknown) => Health::Unknown,
        (Health::Up, Health::Up) => Health::Up,
    };
    sum.last_duration = sum.last_duration.max(target.last_duration);
    sum.last_spans = sum.last_spans.saturating_add(target.last_spans);
    sum.last_bytes = sum.last_bytes.saturating_add(target.last_bytes);
    sum.scrapes_total = sum.scrapes_total.saturating_add(target.scrapes_total);
    sum.failures = sum.failures.plus(target.failures);
    let (account, other) = (&mut sum.account, &target.account);
    account.received = account.received.saturating_add(other.received);
    account.restarts = account.restarts.saturating_add(other.restarts);
    account.lost = account.lost.plus(other.lost);
    sum.sampled = match (sum.sampled, target.sampled) {
        (Some(one), Some(other)) => Some(Sampled {
            traces: one.traces.saturating_add(other.traces),
            share: one.share.min(other.share),
            // What single targets apply is told of each; there is no sum of it.
            rate: None,
            operations: None,
        }),
        (one, other) => one.or(other),
    };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sigyn_model::{Account, Losses};
    use sigyn_scrape::Failures;

    use super::*;

    fn sampled(traces: u64, share: f64) -> Sampled {
        Sampled { traces, share, rate: None, operations: None }
    }

    fn target(health: Health, n: u64, share: Option<f64>) -> TargetStatus {
        let lost = Losses { evicted: n, rejected: u64::MAX, ..Losses::default() };
        TargetStatus {
            health,
            last_duration: Duration::from_secs(n),
            last_spans: n,
            last_bytes: n,
            scrapes_total: n,
            failures: Failures { timeout: n, target_limit: 1, ..Failures::default() },
            account: Account { received: n, restarts: n, lost, ..Account::default() },
            sampled: share.map(|share| sampled(n, share)),
            ..TargetStatus::default()
        }
    }

    #[test]
    fn one_series_stands_for_all_targets_of_its_labels() {
        let of = |job: &str| vec![("job", job.to_owned())];
        let [a, b, c, alone] = [
            target(Health::Up, 1, Some(0.5)),
            target(Health::Unknown, 7, None),
            target(Health::Up, 2, Some(0.25)),
            target(Health::Up, 9, None),
        ];
        let targets = [("x", &a), ("y", &alone), ("x", &b), ("x", &c)];
        let series = together(targets.into_iter().map(|(job, target)| (of(job), target)));
        assert_eq!(
            series.iter().map(|(labels, _)| labels).collect::<Vec<_>>(),
            [&of("x"), &of("y")]
        );
        let sum = &series[0].1;
        assert_eq!((sum.health, sum.last_duration), (Health::Unknown, Duration::from_secs(7)));
        assert_eq!((sum.last_spans, sum.last_bytes, sum.scrapes_total), (10, 10, 10));
        assert_eq!((sum.failures.timeout, sum.failures.target_limit), (10, 3));
        let lost = Losses { evicted: 10, rejected: u64::MAX, ..Losses::default() };
        assert_eq!((sum.account.received, sum.account.restarts, sum.account.lost), (10, 10, lost));
        assert_eq!(sum.sampled, Some(sampled(3, 0.25)));
        let alone = &series[1].1;
        assert_eq!((alone.health, alone.account.received), (Health::Up, 9));
        let down = target(Health::Down, 0, None);
        for pair in [[&down, &a], [&a, &down], [&b, &down]] {
            let series = together(pair.into_iter().map(|target| (of("x"), target)));
            assert_eq!(series[0].1.health, Health::Down);
        }
    }
}

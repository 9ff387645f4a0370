//! Targets: what remains of discovered label sets once defaults, relabelling and checks are done.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh64::Xxh64;

use crate::config::{Job, UnitError, format_duration, parse_duration};
use crate::group::TargetGroup;
use crate::labels::{Labels, quoted};
use crate::relabel;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const TRACES_PATH: &str = "__traces_path__";
const SCRAPE_INTERVAL: &str = "__scrape_interval__";
const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";

/// Something to scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The job it belongs to, by `job_name`; its label `job` may differ.
    pub job: String,
    /// The labels before relabelling, defaults included.
    pub discovered_labels: Labels,
    /// The labels after relabelling, without `__meta_*` but with all other `__*`.
    pub labels: Labels,
    /// What to ask for.
    pub url: String,
    /// The target's identity within its job; the same after a restart.
    pub hash: u64,
    /// From the label `__scrape_interval__`.
    pub scrape_interval: Duration,
    /// From the label `__scrape_timeout__`; not zero, and at most the interval.
    pub scrape_timeout: Duration,
}

impl Target {
    /// Interval and timeout as their labels have them: `1m30s` may be written `90s`.
    pub fn rhythm_texts(&self) -> (&str, &str) {
        (self.labels.value(SCRAPE_INTERVAL), self.labels.value(SCRAPE_TIMEOUT))
    }

    /// The labels a user sees: without `__*`.
    pub fn public_labels(&self) -> Labels {
        self.labels.public()
    }
}

/// What became of one discovered label set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is a target.
    Active(Target),
    /// A rule dropped it.
    Dropped {
        /// The labels before relabelling, defaults included.
        discovered_labels: Labels,
    },
    /// It can be no target.
    Failed {
        /// The labels before relabelling, defaults included.
        discovered_labels: Labels,
        /// Why.
        error: TargetError,
    },
}

/// What became of a job's target groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Populated {
    /// The targets, each identity once.
    pub active: Vec<Target>,
    /// The discovered labels of dropped targets, at most `keep_dropped_targets` of them.
    pub dropped: Vec<Labels>,
    /// How many targets were dropped, kept here or not.
    pub dropped_count: u64,
    /// Why targets are neither: `instance 0 in group /etc/sd.yml:0: no address`.
    pub errors: Vec<String>,
    /// Set if there are more targets than `target_limit`. No target of the job may be scraped
    /// then; each is down, with this text as its error.
    pub limit_exceeded: Option<String>,
}

/// Why a label set is no target. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There is no `__address__`.
    #[error("no address")]
    NoAddress,
    /// The address holds a `/`: most likely it is a URL.
    #[error("{} is not a valid hostname", quoted(.0))]
    Address(String),
    /// `__scrape_interval__` is no duration.
    #[error("error parsing scrape interval: {0}")]
    Interval(UnitError),
    /// `__scrape_interval__` is zero.
    #[error("scrape interval cannot be 0")]
    ZeroInterval,
    /// `__scrape_timeout__` is no duration.
    #[error("error parsing scrape timeout: {0}")]
    Timeout(UnitError),
    /// `__scrape_timeout__` is zero.
    #[error("scrape timeout cannot be 0")]
    ZeroTimeout,
    /// The timeout outlasts the interval.
    #[error("scrape timeout cannot be greater than scrape interval ({} > {})", quoted(.timeout), quoted(.interval))]
    TimeoutExceedsInterval {
        /// `__scrape_timeout__`.
        timeout: String,
        /// `__scrape_interval__`.
        interval: String,
    },
}

/// Turns a job's target groups into targets: sets defaults, relabels, checks, and removes doubles.
///
/// `traces_path` is the path to ask for; a label `__traces_path__` goes before it.
///
/// ```
/// use sigyn_discovery::{config, target};
///
/// let config = config::parse("
/// scrape_configs:
/// - job_name: shop
///   static_configs:
///   - targets: ['127.0.0.1:8080']
/// ", "/etc/sigyn".as_ref()).unwrap();
/// let job = &config.jobs[0];
/// let populated = target::populate(job, "/traces", &job.static_groups());
/// let target = &populated.active[0];
/// assert_eq!(target.url, "http://127.0.0.1:8080/traces");
/// assert_eq!(target.public_labels().to_string(), r#"{instance="127.0.0.1:8080", job="shop"}"#);
/// ```
pub fn populate(job: &Job, traces_path: &str, groups: &[Arc<TargetGroup>]) -> Populated {
    let defaults = defaults(job);
    let mut populated = Populated::default();
    let mut seen = HashSet::new();
    for group in groups {
        for (index, discovered) in group.targets.iter().enumerate() {
            match outcome(job, &defaults, traces_path, group, discovered) {
                Outcome::Active(target) => {
                    if seen.insert(target.hash) {
                        populated.active.push(target);
                    }
                }
                Outcome::Dropped { discovered_labels } => {
                    populated.dropped_count += 1;
                    if job.keep_dropped_targets == 0
                        || populated.dropped_count <= job.keep_dropped_targets
                    {
                        populated.dropped.push(discovered_labels);
                    }
                }
                Outcome::Failed { error, .. } => {
                    populated
                        .errors
                        .push(format!("instance {index} in group {}: {error}", group.source));
                }
            }
        }
    }
    let count = populated.active.len();
    if job.target_limit > 0 && u64::try_from(count).unwrap_or(u64::MAX) > job.target_limit {
        populated.limit_exceeded = Some(format!(
            "target_limit exceeded (number of targets: {count}, limit: {})",
            job.target_limit
        ));
    }
    populated
}

/// What becomes of each label set of one of a job's groups, in its order. Doubles are not removed,
/// and no limit counts: this shows what happens, where [`populate`] says what is to be asked.
pub fn outcomes(job: &Job, traces_path: &str, group: &TargetGroup) -> Vec<Outcome> {
    let defaults = defaults(job);
    let outcome = |discovered| outcome(job, &defaults, traces_path, group, discovered);
    group.targets.iter().map(outcome).collect()
}

/// Sets defaults, relabels and checks.
fn outcome(
    job: &Job,
    defaults: &Labels,
    traces_path: &str,
    group: &TargetGroup,
    discovered: &Labels,
) -> Outcome {
    let mut discovered_labels = discovered.clone();
    for (name, value) in group.labels.iter().chain(defaults.iter()) {
        discovered_labels.set_default(name, value);
    }
    let Some(labels) = relabel::process(&discovered_labels, &job.relabel_configs) else {
        return Outcome::Dropped { discovered_labels };
    };
    match target(job, traces_path, labels) {
        Ok(target) => Outcome::Active(Target { discovered_labels, ..target }),
        Err(error) => Outcome::Failed { discovered_labels, error },
    }
}

/// What a label set of the job is given where it says nothing itself.
fn defaults(job: &Job) -> Labels {
    let mut defaults = Labels::from_iter([
        ("job", job.name.clone()),
        (SCRAPE_INTERVAL, format_duration(job.scrape_interval)),
        (SCRAPE_TIMEOUT, format_duration(job.scrape_timeout)),
        (METRICS_PATH, job.metrics_path.clone()),
        (SCHEME, job.scheme.clone()),
    ]);
    for (name, values) in &job.params {
        if let Some(first) = values.first() {
            defaults.set(format!("{PARAM_PREFIX}{name}"), first.as_str());
        }
    }
    defaults
}

/// The target, without its discovered labels.
fn target(job: &Job, traces_path: &str, mut labels: Labels) -> Result<Target, TargetError> {
    let address = labels.get(ADDRESS).ok_or(TargetError::NoAddress)?.to_owned();
    check_address(&address)?;
    let (scrape_interval, scrape_timeout) = rhythm(&labels)?;
    labels.retain(|name, _| !name.starts_with(META_PREFIX));
    labels.set_default("instance", &address);
    let url = url(&labels, traces_path, &job.params);
    let hash = hash(&labels, &url);
    Ok(Target {
        job: job.name.clone(),
        discovered_labels: Labels::new(),
        labels,
        url,
        hash,
        scrape_interval,
        scrape_timeout,
    })
}

/// Refuses an address that is a URL.
pub(crate) fn check_address(address: &str) -> Result<(), TargetError> {
    if address.contains('/') {
        return Err(TargetError::Address(address.to_owned()));
    }
    Ok(())
}

fn rhythm(labels: &Labels) -> Result<(Duration, Duration), TargetError> {
    let (interval_text, timeout_text) =
        (labels.value(SCRAPE_INTERVAL), labels.value(SCRAPE_TIMEOUT));
    let interval = parse_duration(interval_text).map_err(TargetError::Interval)?;
    if interval.is_zero() {
        return Err(TargetError::ZeroInterval);
    }
    let timeout = parse_duration(timeout_text).map_err(TargetError::Timeout)?;
    if timeout.is_zero() {
        return Err(TargetError::ZeroTimeout);
    }
    if timeout > interval {
        return Err(TargetError::TimeoutExceedsInterval {
            timeout: timeout_text.to_owned(),
            interval: interval_text.to_owned(),
        });
    }
    Ok((interval, timeout))
}

/// Scheme, address, path and parameters in one, escaped as Go's `net/url` does it.
fn url(labels: &Labels, traces_path: &str, job_params: &BTreeMap<String, Vec<String>>) -> String {
    let mut params = job_params.clone();
    for (name, value) in labels.iter() {
        let Some(name) = name.strip_prefix(PARAM_PREFIX) else { continue };
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => value.clone_into(first),
            None => values.push(value.to_owned()),
        }
    }

    let mut url = String::new();
    if let Some(scheme) = labels.get(SCHEME) {
        url.push_str(scheme);
        url.push(':');
    }
    url.push_str("//");
    escape(&mut url, labels.value(ADDRESS), "-_.~!$&'()*+,;=:[]<>\"");
    let path = labels.get(TRACES_PATH).unwrap_or(traces_path);
    if !path.is_empty() && !path.starts_with('/') {
        url.push('/');
    }
    escape(&mut url, path, "-_.~$&+,/:;=@");
    let mut separator = '?';
    for (name, values) in &params {
        for value in values {
            url.push(separator);
            separator = '&';
            escape_query(&mut url, name);
            url.push('=');
            escape_query(&mut url, value);
        }
    }
    url
}

fn escape(out: &mut String, text: &str, allowed: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || (c.is_ascii() && allowed.contains(c)) {
            out.push(c);
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn escape_query(out: &mut String, text: &str) {
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            out.push('+');
        }
        escape(out, word, "-_.~");
    }
}

/// A target's identity: FNV-1a over the hash of all its labels, and the URL.
fn hash(labels: &Labels, url: &str) -> u64 {
    let mut all = Xxh64::new(0);
    for (name, value) in labels.iter() {
        for part in [name, value] {
            all.update(part.as_bytes());
            all.update(&[0xff]);
        }
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in format!("{:016}", all.digest()).bytes().chain(url.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

#[cfg(test)]
mod tests;

//! `sigyn check service-discovery`: finds a job's targets as the server would, and shows what becomes
//! of each.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use sigyn_discovery::config::{Job, parse_duration};
use sigyn_discovery::http::{Client, ClientError, Options};
use sigyn_discovery::target::{self, Outcome};
use sigyn_discovery::{Groups, Labels, Manager, TargetGroup, mechanism};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{chain, complain};
use crate::cli::{LogFormat, LogLevel, ServiceDiscoveryFlags};
use crate::config::Config;
use crate::{go_json, logging};

/// How often to look whether something cannot start.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Whether the job is there and could be asked.
pub(super) fn run(flags: &ServiceDiscoveryFlags) -> bool {
    // What a mechanism complains of is what whoever asks wants to know.
    logging::start(LogLevel::Warn, LogFormat::Logfmt);
    match found(flags) {
        Ok(json) => {
            // As promtool has it: without an end of line.
            let _ = write!(std::io::stdout(), "{json}");
            true
        }
        Err(error) => {
            complain(error);
            false
        }
    }
}

fn found(flags: &ServiceDiscoveryFlags) -> Result<String, String> {
    let timeout = parse_duration(&flags.timeout)
        .with_context(|| format!("--timeout={}", flags.timeout))
        .map_err(|error| format!("{error:#}"))?;
    let read = Config::read(&flags.file);
    let (config, _) = read.map_err(|error| format!("Cannot load config {}", chain(error)))?;
    let job = super::job(&config, &flags.job)?;
    for http in job.mechanisms.iter().filter_map(mechanism::Config::http) {
        let client = Client::new(http, Options::default());
        client.and_then(|client| client.check_files()).map_err(no_discoverer)?;
    }
    let groups = groups(&job, timeout).map_err(|error| format!("{error:#}"))?;
    let results: Vec<Found> = groups.iter().flat_map(|group| results(&job, group)).collect();
    serde_json::to_string_pretty(&results).map(go_json::escaped).map_err(chain)
}

fn no_discoverer(error: ClientError) -> String {
    format!("Could not create new discoverer: {}", chain(error))
}

/// What is found until the time is over. What stands in the configuration itself needs no time.
fn groups(job: &Job, timeout: Duration) -> anyhow::Result<Vec<Arc<TargetGroup>>> {
    let is_static = |mechanism: &_| matches!(mechanism, mechanism::Config::Static(_));
    if job.mechanisms.iter().all(is_static) {
        return Ok(job.static_groups());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let groups = runtime.block_on(async {
        let (jobs_tx, jobs) = watch::channel(Arc::new(vec![job.clone()]));
        let (groups_tx, groups) = watch::channel(Arc::new(Groups::new()));
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let manager = Manager::new(jobs, groups_tx);
        let (metrics, troubles) = (manager.metrics(), manager.troubles());
        tasks.spawn(manager.run(shutdown.clone()));
        let until = Instant::now() + timeout;
        let cannot_start = || metrics.snapshot().failed_configs > 0;
        // What cannot start now is not waited for.
        while Instant::now() < until && !cannot_start() {
            sleep_until(until.min(Instant::now() + LOOK_AGAIN)).await;
        }
        let found = groups.borrow().get(&job.name).cloned().unwrap_or_default();
        let cannot_start = cannot_start();
        let troubles = troubles.now();
        shutdown.cancel();
        tasks.join_all().await;
        drop(jobs_tx);
        let why = || troubles.into_iter().next().map(|trouble| trouble.error).unwrap_or_default();
        anyhow::ensure!(!cannot_start, "Could not create new discoverer: {}", why());
        Ok(found)
    });
    runtime.shutdown_background();
    groups
}

/// What became of one discovered label set. `labels` is empty if a rule dropped it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    discovered_labels: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    /// promtool writes `{}` here, whatever is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// In the order of the group, each once.
fn results(job: &Job, group: &TargetGroup) -> Vec<Found> {
    let map = |labels: &Labels| {
        labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for outcome in target::outcomes(job, "", group) {
        let (discovered, labels, error) = match outcome {
            Outcome::Active(target) => (target.discovered_labels, target.labels, None),
            Outcome::Dropped { discovered_labels } => (discovered_labels, Labels::new(), None),
            Outcome::Failed { discovered_labels, error } => {
                (discovered_labels, Labels::new(), Some(error.to_string()))
            }
        };
        // Equal labels come to the same.
        if seen.insert(discovered.clone()) {
            found.push(Found { discovered_labels: map(&discovered), labels: map(&labels), error });
        }
    }
    found
}

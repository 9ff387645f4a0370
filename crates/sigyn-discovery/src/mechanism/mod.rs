//! The mechanisms that find targets, one file each. This is the only list of them.
//!
//! A new one is a file here, a variant of [`Config`], an arm in each `match` below, and its key in
//! [`SUPPORTED`].

pub mod file;
pub mod static_sd;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::group::TargetGroup;
use crate::metrics::Metrics;

/// One section of a job that finds targets, checked. Jobs with equal sections share one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// `static_configs`: all of a job's in one.
    Static(static_sd::Config),
    /// An entry of `file_sd_configs`.
    File(file::Config),
}

/// The keys of a job that find targets and that this version knows how to follow.
pub const SUPPORTED: &[&str] = &["static_configs", "file_sd_configs"];

/// The keys of a job that find targets in Prometheus, but not yet here.
pub const UNSUPPORTED: &[&str] = &[
    "aws_sd_configs",
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "docker_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "ecs_sd_configs",
    "elasticache_sd_configs",
    "eureka_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "http_sd_configs",
    "ionos_sd_configs",
    "kubernetes_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "msk_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "oci_sd_configs",
    "openstack_sd_configs",
    "outscale_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "rds_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];

/// What a provider needs from the manager.
#[derive(Debug)]
pub(crate) struct Context {
    /// Says who speaks, in every update.
    pub(crate) provider: u64,
    pub(crate) updates: mpsc::Sender<Update>,
    pub(crate) watcher: Arc<file::Watcher>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: CancellationToken,
}

/// What a provider has found. Each group replaces that of the same source; an empty one removes
/// it. An update without groups says that there is nothing, and that this is the answer.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) provider: u64,
    pub(crate) groups: Vec<TargetGroup>,
}

impl Context {
    /// Hands groups to the manager, and waits while it is busy. `false` if it is time to stop.
    pub(crate) async fn send(&self, groups: Vec<TargetGroup>) -> bool {
        let update = Update { provider: self.provider, groups };
        tokio::select! {
            sent = self.updates.send(update) => sent.is_ok(),
            () = self.shutdown.cancelled() => false,
        }
    }
}

impl Config {
    /// The mechanism's name, as in log lines and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Static(_) => "static",
            Self::File(_) => "file",
        }
    }

    /// How often the mechanism looks again of its own accord.
    pub(crate) fn refresh_interval(&self) -> Duration {
        match self {
            Self::Static(_) => Duration::ZERO,
            Self::File(config) => config.refresh_interval,
        }
    }

    /// Finds targets until told to stop.
    pub(crate) async fn run(self, context: Context) {
        match self {
            Self::Static(config) => static_sd::run(config, context).await,
            Self::File(config) => file::run(config, context).await,
        }
    }
}

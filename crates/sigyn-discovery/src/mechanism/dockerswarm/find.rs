//! Asking a manager for the lists that a role needs.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::nodes::{self, Node};
use super::services::{self, Service};
use super::tasks::{self, Task};
use super::{Config, Role};
use crate::group::TargetGroup;
use crate::labels::Labels;
use crate::mechanism::docker::daemon::{Daemon, DaemonError, as_json};
use crate::mechanism::docker::network::Network;
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, StartError};

/// What the names of all labels begin with.
pub(super) const PREFIX: &str = "__meta_dockerswarm_";

/// Labels of services, nodes or networks, by whatever others name them by.
pub(super) type ById = BTreeMap<String, Labels>;

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let every = refresh::interval_of(self.refresh_interval);
        let daemon = Daemon::new(&self.host, &self.client, context.options(), every)?;
        refresh::run(Asking { daemon, config: self }, every, context).await;
        Ok(())
    }
}

/// One manager.
struct Asking {
    daemon: Daemon,
    config: Config,
}

/// Why there are no targets this time.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefreshFailure {
    #[error("error while listing swarm services")]
    Services(#[source] DaemonError),
    #[error("error while listing swarm tasks")]
    Tasks(#[source] DaemonError),
    #[error("error while listing swarm nodes")]
    Nodes(#[source] DaemonError),
    #[error("error while computing services labels and ports")]
    ServiceLabels(#[source] DaemonError),
    #[error("error while computing nodes labels and ports")]
    NodeLabels(#[source] DaemonError),
    #[error("error while computing swarm network labels")]
    NetworkLabels(#[source] DaemonError),
    #[error("error while parsing address {0}")]
    Address(String),
}

impl Refresh for Asking {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let own = match self.config.role {
            Role::Services => RefreshFailure::Services,
            Role::Tasks => RefreshFailure::Tasks,
            Role::Nodes => RefreshFailure::Nodes,
        };
        let version = self.daemon.version().await.map_err(own)?;
        let version = version.as_deref();
        let port = self.config.port;
        let targets = match self.config.role {
            Role::Nodes => {
                let nodes: Vec<Node> = self.selected(version, "nodes").await.map_err(own)?;
                nodes.iter().map(|node| nodes::target(node, port)).collect()
            }
            Role::Services => {
                let services: Vec<Service> =
                    self.selected(version, "services").await.map_err(own)?;
                services::targets(&services, &self.networks(version).await?, port)?
            }
            Role::Tasks => {
                let tasks: Vec<Task> = self.selected(version, "tasks").await.map_err(own)?;
                let services: Vec<Service> =
                    self.all(version, "services").await.map_err(RefreshFailure::ServiceLabels)?;
                let nodes: Vec<Node> =
                    self.all(version, "nodes").await.map_err(RefreshFailure::NodeLabels)?;
                let around = tasks::Around {
                    services: &services,
                    nodes: nodes.iter().map(Node::for_tasks).collect(),
                    networks: self.networks(version).await?,
                };
                tasks::targets(&tasks, &around, port)?
            }
        };
        let source = "DockerSwarm".to_owned();
        Ok(vec![TargetGroup { source, targets, ..TargetGroup::default() }])
    }
}

impl Asking {
    /// The role's own list.
    async fn selected<T: DeserializeOwned>(
        &self,
        version: Option<&str>,
        list: &str,
    ) -> Result<Vec<T>, DaemonError> {
        self.daemon.list(version, &[list], as_json(&self.config.filters).as_deref()).await
    }

    async fn all<T: DeserializeOwned>(
        &self,
        version: Option<&str>,
        list: &str,
    ) -> Result<Vec<T>, DaemonError> {
        self.daemon.list(version, &[list], None).await
    }

    async fn networks(&self, version: Option<&str>) -> Result<ById, RefreshFailure> {
        let networks: Vec<Network> =
            self.all(version, "networks").await.map_err(RefreshFailure::NetworkLabels)?;
        Ok(networks
            .iter()
            .map(|network| (network.id().to_owned(), network.labels(PREFIX)))
            .collect())
    }
}

/// The address of `127.0.0.2/24`.
pub(super) fn address(cidr: &str) -> Result<String, RefreshFailure> {
    let parsed = cidr.split_once('/').and_then(|(address, bits)| {
        let address: std::net::IpAddr = address.parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        bits.parse::<u8>().ok().filter(|bits| *bits <= bits_max).map(|_| address.to_string())
    });
    parsed.ok_or_else(|| RefreshFailure::Address(cidr.to_owned()))
}

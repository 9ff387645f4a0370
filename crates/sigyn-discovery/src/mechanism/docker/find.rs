//! Asking a daemon for its containers and networks.

use super::Config;
use super::containers::{Container, targets};
use super::daemon::{Daemon, DaemonError, as_json};
use super::network::Network;
use crate::group::TargetGroup;
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, StartError};

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let every = refresh::interval_of(self.refresh_interval);
        let daemon = Daemon::new(&self.host, &self.client, context.options(), every)?;
        refresh::run(Asking { daemon, config: self }, every, context).await;
        Ok(())
    }
}

/// One daemon.
struct Asking {
    daemon: Daemon,
    config: Config,
}

/// Which question had no answer of use.
#[derive(Debug, thiserror::Error)]
enum RefreshFailure {
    #[error("error while listing containers")]
    Containers(#[source] DaemonError),
    #[error("error while computing network labels")]
    Networks(#[source] DaemonError),
}

impl Refresh for Asking {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let version = self.daemon.version().await.map_err(RefreshFailure::Containers)?;
        let version = version.as_deref();
        let filters = as_json(&self.config.filters);
        let containers: Vec<Container> = self
            .daemon
            .list(version, &["containers", "json"], filters.as_deref())
            .await
            .map_err(RefreshFailure::Containers)?;
        let networks: Vec<Network> = self
            .daemon
            .list(version, &["networks"], None)
            .await
            .map_err(RefreshFailure::Networks)?;
        let targets = targets(&self.config, &containers, &networks);
        Ok(vec![TargetGroup { source: "Docker".to_owned(), targets, ..TargetGroup::default() }])
    }
}

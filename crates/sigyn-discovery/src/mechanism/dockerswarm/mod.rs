//! `dockerswarm_sd_configs`: the services, tasks or nodes of a swarm, as one of its managers lists
//! them.

#[cfg(feature = "docker")]
mod find;
#[cfg(feature = "docker")]
mod nodes;
#[cfg(feature = "docker")]
mod services;
#[cfg(feature = "docker")]
mod tasks;
#[cfg(feature = "docker")]
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::docker::{self, FILTER, Filter};
use super::{Mechanism, server};
use crate::config::{CLIENT, Form, Key, parse_duration};
use crate::http::{self, ClientConfig};
use crate::yaml::{Entry, Item, Section};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_PORT: u64 = 80;

/// An entry of `dockerswarm_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerSwarmConfig {
    host: String,
    role: String,
    port: Option<u64>,
    filters: Vec<Item<Filter>>,
    refresh_interval: Option<Duration>,
    client: ClientConfig,
}

impl Section for DockerSwarmConfig {
    const NAME: &'static str = "moby.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "host" => self.host = entry.text()?,
            "role" => self.role = entry.text()?,
            "port" => self.port = Some(entry.integer_of("int")?),
            "filters" => self.filters = entry.sections()?,
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// What of a swarm becomes targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Each service at each of its virtual addresses.
    Services,
    /// Each task at each of its addresses.
    Tasks,
    /// Each machine.
    Nodes,
}

/// An entry of `dockerswarm_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where a manager listens: `unix:///var/run/docker.sock`, `tcp://127.0.0.1:2375`.
    pub host: String,
    /// What becomes targets.
    pub role: Role,
    /// The port of nodes, and of whatever publishes none.
    pub port: u64,
    /// What the role's own list is selected by: names to values.
    pub filters: BTreeMap<String, BTreeSet<String>>,
    /// How often to ask, and how long an answer may take.
    pub refresh_interval: Duration,
    /// How to ask a manager that is named by `http://`.
    pub client: http::Config,
}

impl Mechanism for Config {
    const KEY: &'static str = "dockerswarm_sd_configs";
    const KIND: &'static str = "dockerswarm";
    type Written = DockerSwarmConfig;
    const SHOWN: &'static [Key] = &[
        CLIENT,
        Key::new("host", Form::Server),
        Key::new("role", Form::Text),
        Key::new("port", Form::Number).or("80"),
        Key::new("filters", Form::Sections(FILTER)),
        Key::new("refresh_interval", Form::Duration).or("60s"),
    ];

    fn check(written: &DockerSwarmConfig, dir: &Path) -> Result<Self, String> {
        if written.host.is_empty() {
            return Err("host missing".to_owned());
        }
        server::url_parts(&written.host)?;
        let role = match written.role.as_str() {
            "services" => Role::Services,
            "tasks" => Role::Tasks,
            "nodes" => Role::Nodes,
            "" => return Err("role missing (one of: tasks, services, nodes)".to_owned()),
            role => {
                return Err(format!("invalid role {role}, expected tasks, services, or nodes"));
            }
        };
        Ok(Self {
            host: written.host.clone(),
            role,
            port: written.port.unwrap_or(DEFAULT_PORT),
            filters: docker::filters(&written.filters),
            refresh_interval: written.refresh_interval.unwrap_or(DEFAULT_REFRESH_INTERVAL),
            client: server::client(&written.client, dir)?,
        })
    }

    fn refresh_interval(&self) -> Duration {
        self.refresh_interval
    }

    fn server(&self) -> String {
        server::shown(&self.host)
    }

    fn http(&self) -> Option<&http::Config> {
        Some(&self.client)
    }
}

//! `docker_sd_configs`: running containers, as their Docker daemon lists them.

#[cfg(feature = "docker")]
mod containers;
#[cfg(feature = "docker")]
pub(super) mod daemon;
#[cfg(feature = "docker")]
mod find;
#[cfg(feature = "docker")]
pub(super) mod network;
#[cfg(feature = "docker")]
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::{Mechanism, server};
use crate::config::{CLIENT, Form, Key, parse_duration};
use crate::http::{self, ClientConfig};
use crate::yaml::{Entry, Item, Section};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_PORT: u64 = 80;

/// An entry of `docker_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerConfig {
    host: String,
    port: Option<u64>,
    filters: Vec<Item<Filter>>,
    host_networking_host: Option<String>,
    match_first_network: Option<bool>,
    refresh_interval: Option<Duration>,
    client: ClientConfig,
}

/// What a daemon is to select by, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    name: String,
    values: Vec<String>,
}

impl Section for DockerConfig {
    const NAME: &'static str = "moby.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "host" => self.host = entry.text()?,
            "port" => self.port = Some(entry.integer_of("int")?),
            "filters" => self.filters = entry.sections()?,
            "host_networking_host" => self.host_networking_host = Some(entry.text()?),
            "match_first_network" => self.match_first_network = Some(entry.read()?),
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

impl Section for Filter {
    const NAME: &'static str = "moby.Filter";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "name" => self.name = entry.text()?,
            "values" => self.values = entry.texts()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// What a daemon is to select by: names to values.
pub(super) type Filters = BTreeMap<String, BTreeSet<String>>;

/// The filters of a section.
pub(super) fn filters(written: &[Item<Filter>]) -> Filters {
    let mut filters = Filters::new();
    for filter in written.iter().filter_map(|filter| filter.value.as_ref()) {
        // One without values selects nothing.
        if !filter.values.is_empty() {
            let values = filters.entry(filter.name.clone()).or_default();
            values.extend(filter.values.iter().cloned());
        }
    }
    filters
}

/// An entry of `docker_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the daemon listens: `unix:///var/run/docker.sock`, `tcp://127.0.0.1:2375`.
    pub host: String,
    /// The port of containers that expose none.
    pub port: u64,
    /// What containers are selected by: names to values.
    pub filters: BTreeMap<String, BTreeSet<String>>,
    /// The address of containers in the host's own network.
    pub host_networking_host: String,
    /// Whether a container that is in several networks is one target, in the first of them by name.
    pub match_first_network: bool,
    /// How often to ask, and how long an answer may take.
    pub refresh_interval: Duration,
    /// How to ask a daemon that is named by `http://`.
    pub client: http::Config,
}

/// Of a filter, as it is shown.
pub(super) const FILTER: &[Key] = &[Key::new("name", Form::Text), Key::new("values", Form::Texts)];

impl Mechanism for Config {
    const KEY: &'static str = "docker_sd_configs";
    const KIND: &'static str = "docker";
    type Written = DockerConfig;
    const SHOWN: &'static [Key] = &[
        CLIENT,
        Key::new("host", Form::Server),
        Key::new("port", Form::Number).or("80"),
        Key::new("filters", Form::Sections(FILTER)),
        Key::new("host_networking_host", Form::Text).or("localhost"),
        Key::new("refresh_interval", Form::Duration).or("60s"),
        Key::new("match_first_network", Form::Switch).or("true"),
    ];

    fn check(written: &DockerConfig, dir: &Path) -> Result<Self, String> {
        if written.host.is_empty() {
            return Err("host missing".to_owned());
        }
        server::url_parts(&written.host)?;
        let host_networking_host = written.host_networking_host.clone();
        Ok(Self {
            host: written.host.clone(),
            port: written.port.unwrap_or(DEFAULT_PORT),
            filters: filters(&written.filters),
            host_networking_host: host_networking_host.unwrap_or_else(|| "localhost".to_owned()),
            match_first_network: written.match_first_network.unwrap_or(true),
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

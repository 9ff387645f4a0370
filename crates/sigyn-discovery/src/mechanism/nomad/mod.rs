//! `nomad_sd_configs`: services that are registered with Nomad itself.

#[cfg(feature = "nomad")]
mod find;
#[cfg(feature = "nomad")]
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::{Mechanism, server};
use crate::config::{CLIENT, Form, Key, parse_duration};
use crate::http::{self, ClientConfig};
use crate::yaml::{Entry, Section};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// An entry of `nomad_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NomadConfig {
    server: Option<String>,
    namespace: Option<String>,
    region: Option<String>,
    allow_stale: Option<bool>,
    tag_separator: Option<String>,
    refresh_interval: Option<Duration>,
    client: ClientConfig,
}

impl Section for NomadConfig {
    const NAME: &'static str = "nomad.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "server" => self.server = Some(entry.text()?),
            "namespace" => self.namespace = Some(entry.text()?),
            "region" => self.region = Some(entry.text()?),
            "allow_stale" => self.allow_stale = Some(entry.read()?),
            "tag_separator" => self.tag_separator = Some(entry.text()?),
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// An entry of `nomad_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the API begins: `http://localhost:4646`.
    pub server: String,
    /// The namespace that is asked about; `*` for all.
    pub namespace: String,
    /// The region that is asked about.
    pub region: String,
    /// Whether any server may answer, not only the leader.
    pub allow_stale: bool,
    /// Stands between the tags in the label that has all of them, and at both ends.
    pub tag_separator: String,
    /// How often to ask, and how long an answer may take.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: http::Config,
}

impl Mechanism for Config {
    const KEY: &'static str = "nomad_sd_configs";
    const KIND: &'static str = "nomad";
    type Written = NomadConfig;
    const SHOWN: &'static [Key] = &[
        Key::new("allow_stale", Form::Switch).or("true"),
        CLIENT,
        Key::new("namespace", Form::Text).or("default"),
        Key::new("refresh_interval", Form::Duration).or("60s"),
        Key::new("region", Form::Text).or("global"),
        Key::new("server", Form::Server).or("http://localhost:4646"),
        Key::new("tag_separator", Form::Text).or(",").unless_empty(),
    ];

    fn check(written: &NomadConfig, dir: &Path) -> Result<Self, String> {
        let server = written.server.as_deref().unwrap_or("http://localhost:4646");
        if server.trim().is_empty() {
            return Err("nomad SD configuration requires a server address".to_owned());
        }
        server::http_url(server).map_err(|error| error.to_string())?;
        let or = |text: &Option<String>, default: &str| {
            text.clone().unwrap_or_else(|| default.to_owned())
        };
        Ok(Self {
            server: server.to_owned(),
            namespace: or(&written.namespace, "default"),
            region: or(&written.region, "global"),
            allow_stale: written.allow_stale.unwrap_or(true),
            tag_separator: or(&written.tag_separator, ","),
            refresh_interval: written.refresh_interval.unwrap_or(DEFAULT_REFRESH_INTERVAL),
            client: server::client(&written.client, dir)?,
        })
    }

    fn refresh_interval(&self) -> Duration {
        self.refresh_interval
    }

    fn server(&self) -> String {
        server::shown(&self.server)
    }

    fn http(&self) -> Option<&http::Config> {
        Some(&self.client)
    }
}

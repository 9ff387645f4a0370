//! `linode_sd_configs`: instances of Linode.

#[cfg(feature = "linode")]
mod events;
#[cfg(feature = "linode")]
mod find;
#[cfg(feature = "linode")]
mod instances;
#[cfg(feature = "linode")]
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
const DEFAULT_PORT: u64 = 80;

/// An entry of `linode_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinodeConfig {
    region: String,
    port: Option<u64>,
    tag_separator: Option<String>,
    refresh_interval: Option<Duration>,
    client: ClientConfig,
}

impl Section for LinodeConfig {
    const NAME: &'static str = "linode.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "region" => self.region = entry.text()?,
            "port" => self.port = Some(entry.integer_of("int")?),
            "tag_separator" => self.tag_separator = Some(entry.text()?),
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// An entry of `linode_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whose instances to find; empty for those of all regions.
    pub region: String,
    /// Their port.
    pub port: u64,
    /// Stands between tags, and between addresses, in labels that have several, and at both ends.
    pub tag_separator: String,
    /// How often to ask, and how long an answer may take.
    pub refresh_interval: Duration,
    /// Where the API begins. No key says so.
    pub api: String,
    /// How to ask.
    pub client: http::Config,
}

impl Mechanism for Config {
    const KEY: &'static str = "linode_sd_configs";
    const KIND: &'static str = "linode";
    type Written = LinodeConfig;
    const SHOWN: &'static [Key] = &[
        CLIENT,
        Key::new("refresh_interval", Form::Duration).or("60s"),
        Key::new("port", Form::Number).or("80"),
        Key::new("tag_separator", Form::Text).or(",").unless_empty(),
        Key::new("region", Form::Text).unless_empty(),
    ];

    fn check(written: &LinodeConfig, dir: &Path) -> Result<Self, String> {
        Ok(Self {
            region: written.region.clone(),
            port: written.port.unwrap_or(DEFAULT_PORT),
            tag_separator: written.tag_separator.clone().unwrap_or_else(|| ",".to_owned()),
            refresh_interval: written.refresh_interval.unwrap_or(DEFAULT_REFRESH_INTERVAL),
            api: "https://api.linode.com/v4".to_owned(),
            client: server::client(&written.client, dir)?,
        })
    }

    fn refresh_interval(&self) -> Duration {
        self.refresh_interval
    }

    fn server(&self) -> String {
        self.api.clone()
    }

    fn http(&self) -> Option<&http::Config> {
        Some(&self.client)
    }
}

//! `digitalocean_sd_configs`: droplets, or clusters of databases, of DigitalOcean.

#[cfg(feature = "digitalocean")]
mod databases;
#[cfg(feature = "digitalocean")]
mod droplets;
#[cfg(feature = "digitalocean")]
mod find;
#[cfg(feature = "digitalocean")]
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::{Mechanism, server};
use crate::config::{CLIENT, Form, Key, parse_duration};
use crate::http::{self, ClientConfig};
use crate::labels::quoted;
use crate::yaml::{Entry, Section};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_PORT: u64 = 80;

/// An entry of `digitalocean_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigitalOceanConfig {
    role: Option<String>,
    port: Option<u64>,
    refresh_interval: Option<Duration>,
    client: ClientConfig,
}

impl Section for DigitalOceanConfig {
    const NAME: &'static str = "digitalocean.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "role" => self.role = Some(entry.text()?),
            "port" => self.port = Some(entry.integer_of("int")?),
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// What there is to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Machines.
    Droplets,
    /// Clusters of databases.
    Databases,
}

/// An entry of `digitalocean_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What there is to find.
    pub role: Role,
    /// Its port.
    pub port: u64,
    /// How often to ask, and how long an answer may take.
    pub refresh_interval: Duration,
    /// Where the API begins. No key says so.
    pub api: String,
    /// How to ask.
    pub client: http::Config,
}

impl Mechanism for Config {
    const KEY: &'static str = "digitalocean_sd_configs";
    const KIND: &'static str = "digitalocean";
    type Written = DigitalOceanConfig;
    const SHOWN: &'static [Key] = &[
        CLIENT,
        Key::new("refresh_interval", Form::Duration).or("60s"),
        Key::new("port", Form::Number).or("80"),
        Key::new("role", Form::Text).or("droplets"),
        // Prometheus shows a part of its own here.
        Key::new("httpclient", Form::Any),
    ];

    fn check(written: &DigitalOceanConfig, dir: &Path) -> Result<Self, String> {
        let role = match written.role.as_deref() {
            Some("droplets") | None => Role::Droplets,
            Some("databases") => Role::Databases,
            Some("") => return Err("role missing (one of: droplets, databases)".to_owned()),
            Some(role) => return Err(format!("unknown DigitalOcean SD role {}", quoted(role))),
        };
        Ok(Self {
            role,
            port: written.port.unwrap_or(DEFAULT_PORT),
            refresh_interval: written.refresh_interval.unwrap_or(DEFAULT_REFRESH_INTERVAL),
            api: "https://api.digitalocean.com/v2".to_owned(),
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

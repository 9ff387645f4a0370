//! `hetzner_sd_configs`: servers of Hetzner Cloud, or dedicated ones that Hetzner Robot knows.

#[cfg(feature = "hetzner")]
mod cloud;
#[cfg(feature = "hetzner")]
mod find;
#[cfg(feature = "hetzner")]
mod robot;
#[cfg(feature = "hetzner")]
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::{Mechanism, server};
use crate::config::{CLIENT, Form, Key, parse_duration};
use crate::http::{self, ClientConfig};
use crate::labels::quoted;
use crate::yaml::{Entry, Section, Text};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_PORT: u64 = 80;

/// An entry of `hetzner_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HetznerConfig {
    role: Option<Text>,
    port: Option<u64>,
    label_selector: String,
    refresh_interval: Option<Duration>,
    client: ClientConfig,
}

impl Section for HetznerConfig {
    const NAME: &'static str = "hetzner.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "role" => self.role = entry.read_option()?,
            "port" => self.port = Some(entry.integer_of("int")?),
            "label_selector" => self.label_selector = entry.text()?,
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// Which servers there are to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Those of Hetzner Cloud.
    Cloud,
    /// Dedicated ones.
    Robot,
}

/// An entry of `hetzner_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which servers there are to find.
    pub role: Role,
    /// Their port.
    pub port: u64,
    /// What Hetzner Cloud is to select by; empty for all.
    pub label_selector: String,
    /// How often to ask, and how long an answer may take.
    pub refresh_interval: Duration,
    /// Where the API begins. No key says so: it is the role's.
    pub api: String,
    /// How to ask.
    pub client: http::Config,
}

impl Mechanism for Config {
    const KEY: &'static str = "hetzner_sd_configs";
    const KIND: &'static str = "hetzner";
    type Written = HetznerConfig;
    const SHOWN: &'static [Key] = &[
        CLIENT,
        Key::new("refresh_interval", Form::Duration).or("60s"),
        Key::new("port", Form::Number).or("80"),
        Key::new("role", Form::Text),
        Key::new("label_selector", Form::Text).unless_empty(),
    ];

    fn check(written: &HetznerConfig, dir: &Path) -> Result<Self, String> {
        let (role, api) = match written.role.as_ref().map(|role| role.0.as_str()) {
            Some("hcloud") => (Role::Cloud, "https://api.hetzner.cloud/v1"),
            Some("robot") => (Role::Robot, "https://robot-ws.your-server.de"),
            Some(role) => return Err(format!("unknown role {}", quoted(role))),
            None => return Err("role missing (one of: robot, hcloud)".to_owned()),
        };
        Ok(Self {
            role,
            port: written.port.unwrap_or(DEFAULT_PORT),
            label_selector: written.label_selector.clone(),
            refresh_interval: written.refresh_interval.unwrap_or(DEFAULT_REFRESH_INTERVAL),
            api: api.to_owned(),
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

//! `eureka_sd_configs`: the instances of all applications that are registered with a Eureka server.

#[cfg(feature = "eureka")]
mod applications;
#[cfg(feature = "eureka")]
mod find;
#[cfg(feature = "eureka")]
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::{Mechanism, server};
use crate::config::{CLIENT, Form, Key, parse_duration};
use crate::http::{self, ClientConfig};
use crate::yaml::{Entry, Section};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// An entry of `eureka_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EurekaConfig {
    server: String,
    refresh_interval: Option<Duration>,
    client: ClientConfig,
}

impl Section for EurekaConfig {
    const NAME: &'static str = "eureka.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "server" => self.server = entry.text()?,
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// An entry of `eureka_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the API begins: `http://127.0.0.1:8761/eureka`.
    pub server: String,
    /// How often to ask, and how long an answer may take.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: http::Config,
}

impl Mechanism for Config {
    const KEY: &'static str = "eureka_sd_configs";
    const KIND: &'static str = "eureka";
    type Written = EurekaConfig;
    const SHOWN: &'static [Key] = &[
        Key::new("server", Form::Server).unless_empty(),
        CLIENT,
        Key::new("refresh_interval", Form::Duration).or("30s").unless_empty(),
    ];

    fn check(written: &EurekaConfig, dir: &Path) -> Result<Self, String> {
        if written.server.is_empty() {
            return Err("eureka_sd: empty or null eureka server".to_owned());
        }
        let (scheme, host) = server::url_parts(&written.server)?;
        if scheme.is_empty() || host.is_empty() {
            return Err("eureka_sd: invalid eureka server URL".to_owned());
        }
        server::http_url(&written.server).map_err(|error| error.to_string())?;
        Ok(Self {
            server: written.server.clone(),
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

//! `http_sd_configs`: target groups in JSON that a server answers with.

#[cfg(feature = "client")]
mod find;
#[cfg(feature = "client")]
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::Mechanism;
use super::server::{self, HttpUrlError};
use crate::config::{CLIENT, Form, Key, parse_duration};
use crate::http::{self, ClientConfig};
use crate::yaml::{Entry, Section};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// An entry of `http_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpConfig {
    /// `url`: what to ask for.
    pub url: String,
    /// `refresh_interval`.
    pub refresh_interval: Option<Duration>,
    /// The keys of the HTTP client.
    pub client: ClientConfig,
}

impl Section for HttpConfig {
    const NAME: &'static str = "http.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "url" => self.url = entry.text()?,
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// An entry of `http_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What to ask for, as written: targets carry it as a label.
    pub url: String,
    /// How often to ask, and how long an answer may take.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: http::Config,
}

impl Mechanism for Config {
    const KEY: &'static str = "http_sd_configs";
    const KIND: &'static str = "http";
    type Written = HttpConfig;
    const SHOWN: &'static [Key] = &[
        CLIENT,
        Key::new("refresh_interval", Form::Duration).or("60s").unless_empty(),
        Key::new("url", Form::Server),
    ];

    fn check(written: &HttpConfig, dir: &Path) -> Result<Self, String> {
        if written.url.is_empty() {
            return Err("URL is missing".to_owned());
        }
        server::http_url(&written.url).map_err(|error| match error {
            HttpUrlError::Scheme { .. } => "URL scheme must be 'http' or 'https'".to_owned(),
            HttpUrlError::Host(_) => "host is missing in URL".to_owned(),
            HttpUrlError::NoUrl(why) => why,
        })?;
        Ok(Self {
            url: written.url.clone(),
            refresh_interval: written.refresh_interval.unwrap_or(DEFAULT_REFRESH_INTERVAL),
            client: server::client(&written.client, dir)?,
        })
    }

    fn refresh_interval(&self) -> Duration {
        self.refresh_interval
    }

    fn server(&self) -> String {
        server::shown(&self.url)
    }

    fn http(&self) -> Option<&http::Config> {
        Some(&self.client)
    }
}

//! `gce_sd_configs`: instances of Google Compute Engine in one zone.

#[cfg(feature = "gcp")]
mod credentials;
#[cfg(feature = "gcp")]
mod find;
#[cfg(feature = "gcp")]
mod instances;
#[cfg(feature = "gcp")]
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::{Environment, Mechanism};
use crate::config::{Form, Key, parse_duration};
use crate::yaml::{Entry, Section};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_PORT: u64 = 80;

/// An entry of `gce_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GceConfig {
    project: String,
    zone: String,
    filter: String,
    port: Option<u64>,
    tag_separator: Option<String>,
    refresh_interval: Option<Duration>,
}

impl Section for GceConfig {
    const NAME: &'static str = "gce.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "project" => self.project = entry.text()?,
            "zone" => self.zone = entry.text()?,
            "filter" => self.filter = entry.text()?,
            "port" => self.port = Some(entry.integer_of("int")?),
            "tag_separator" => self.tag_separator = Some(entry.text()?),
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// An entry of `gce_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whose instances to find.
    pub project: String,
    /// Where they are.
    pub zone: String,
    /// What Google is to select by; empty for all.
    pub filter: String,
    /// Their port.
    pub port: u64,
    /// Stands between the tags in the label that has all of them, and at both ends.
    pub tag_separator: String,
    /// How often to ask, and how long an answer may take.
    pub refresh_interval: Duration,
    /// Where the API begins. No key says so.
    pub api: String,
    /// Where credentials are looked for. No key says so.
    pub environment: Environment,
}

impl Mechanism for Config {
    const KEY: &'static str = "gce_sd_configs";
    const KIND: &'static str = "gce";
    type Written = GceConfig;
    const SHOWN: &'static [Key] = &[
        Key::new("project", Form::Text),
        Key::new("zone", Form::Text),
        Key::new("filter", Form::Text).unless_empty(),
        Key::new("refresh_interval", Form::Duration).or("60s").unless_empty(),
        Key::new("port", Form::Number).or("80"),
        Key::new("tag_separator", Form::Text).or(",").unless_empty(),
    ];

    fn check(written: &GceConfig, _dir: &Path) -> Result<Self, String> {
        if written.project.is_empty() {
            return Err("GCE SD configuration requires a project".to_owned());
        }
        if written.zone.is_empty() {
            return Err("GCE SD configuration requires a zone".to_owned());
        }
        Ok(Self {
            project: written.project.clone(),
            zone: written.zone.clone(),
            filter: written.filter.clone(),
            port: written.port.unwrap_or(DEFAULT_PORT),
            tag_separator: written.tag_separator.clone().unwrap_or_else(|| ",".to_owned()),
            refresh_interval: written.refresh_interval.unwrap_or(DEFAULT_REFRESH_INTERVAL),
            api: "https://compute.googleapis.com/compute/v1".to_owned(),
            environment: Environment::default(),
        })
    }

    fn refresh_interval(&self) -> Duration {
        self.refresh_interval
    }

    fn server(&self) -> String {
        format!("{}/projects/{}/zones/{}", self.api, self.project, self.zone)
    }
}

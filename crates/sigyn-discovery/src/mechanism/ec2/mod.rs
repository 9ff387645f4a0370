//! `ec2_sd_configs`: instances of Amazon EC2 in one region.

#[cfg(feature = "aws")]
mod api;
#[cfg(feature = "aws")]
mod credentials;
#[cfg(feature = "aws")]
mod find;
#[cfg(feature = "aws")]
mod instances;
#[cfg(feature = "aws")]
mod sign;
#[cfg(feature = "aws")]
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::{Environment, Mechanism, server};
use crate::config::{CLIENT, Form, Key, parse_duration};
use crate::http::{self, ClientConfig, Secret};
use crate::yaml::{Entry, Item, Section};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_PORT: u64 = 80;

/// An entry of `ec2_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ec2Config {
    endpoint: String,
    region: String,
    access_key: String,
    secret_key: Secret,
    profile: String,
    role_arn: String,
    external_id: String,
    port: Option<u64>,
    filters: Vec<Item<FilterConfig>>,
    refresh_interval: Option<Duration>,
    client: ClientConfig,
}

/// What instances are selected by, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FilterConfig {
    name: String,
    values: Vec<String>,
}

impl Section for Ec2Config {
    const NAME: &'static str = "aws.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "endpoint" => self.endpoint = entry.text()?,
            "region" => self.region = entry.text()?,
            "access_key" => self.access_key = entry.text()?,
            "secret_key" => self.secret_key = entry.text()?.into(),
            "profile" => self.profile = entry.text()?,
            "role_arn" => self.role_arn = entry.text()?,
            "external_id" => self.external_id = entry.text()?,
            "port" => self.port = Some(entry.integer_of("int")?),
            "filters" => self.filters = entry.sections()?,
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

impl Section for FilterConfig {
    const NAME: &'static str = "aws.EC2Filter";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "name" => self.name = entry.text()?,
            "values" => self.values = entry.texts()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// What instances are selected by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What of an instance: `tag:env`.
    pub name: String,
    /// One of these it has to be.
    pub values: Vec<String>,
}

/// An entry of `ec2_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the API is; empty for the region's own.
    pub endpoint: String,
    /// Where the instances are; empty for what the environment, or the machine that this runs on,
    /// says.
    pub region: String,
    /// The name of a key; empty for what else there is.
    pub access_key: String,
    /// The key itself.
    pub secret_key: Secret,
    /// A profile of the files of AWS' own tools; empty for what else there is.
    pub profile: String,
    /// A role to take on before asking; empty for none.
    pub role_arn: String,
    /// What the role's owner wants to hear.
    pub external_id: String,
    /// The port of all instances.
    pub port: u64,
    /// What instances are selected by.
    pub filters: Vec<Filter>,
    /// How often to ask, and how long an answer may take.
    pub refresh_interval: Duration,
    /// Where else credentials and the region are looked for. No key says so.
    pub environment: Environment,
    /// How to ask.
    pub client: http::Config,
}

const FILTER: &[Key] = &[Key::new("name", Form::Text), Key::new("values", Form::Texts)];

impl Mechanism for Config {
    const KEY: &'static str = "ec2_sd_configs";
    const KIND: &'static str = "ec2";
    type Written = Ec2Config;
    const SHOWN: &'static [Key] = &[
        Key::new("endpoint", Form::Server),
        Key::new("region", Form::Text),
        Key::new("access_key", Form::Text).unless_empty(),
        Key::new("secret_key", Form::Secret).unless_empty(),
        Key::new("profile", Form::Text).unless_empty(),
        Key::new("role_arn", Form::Text).unless_empty(),
        Key::new("external_id", Form::Text).unless_empty(),
        Key::new("refresh_interval", Form::Duration).or("60s").unless_empty(),
        Key::new("port", Form::Number).or("80"),
        Key::new("filters", Form::Sections(FILTER)),
        CLIENT,
    ];

    fn check(written: &Ec2Config, dir: &Path) -> Result<Self, String> {
        let mut filters = Vec::new();
        for filter in written.filters.iter().filter_map(|filter| filter.value.as_ref()) {
            if filter.values.is_empty() {
                return Err("EC2 SD configuration filter values cannot be empty".to_owned());
            }
            filters.push(Filter { name: filter.name.clone(), values: filter.values.clone() });
        }
        // What has no scheme is a host.
        if written.endpoint.contains("://") {
            server::http_url(&written.endpoint).map_err(|error| error.to_string())?;
        }
        Ok(Self {
            endpoint: written.endpoint.clone(),
            region: written.region.clone(),
            access_key: written.access_key.clone(),
            secret_key: written.secret_key.clone(),
            profile: written.profile.clone(),
            role_arn: written.role_arn.clone(),
            external_id: written.external_id.clone(),
            port: written.port.unwrap_or(DEFAULT_PORT),
            filters,
            refresh_interval: written.refresh_interval.unwrap_or(DEFAULT_REFRESH_INTERVAL),
            environment: Environment::default(),
            client: server::client(&written.client, dir)?,
        })
    }

    fn refresh_interval(&self) -> Duration {
        self.refresh_interval
    }

    fn server(&self) -> String {
        match (self.endpoint.as_str(), self.region.as_str()) {
            ("", "") => "ec2 of our own region".to_owned(),
            ("", region) => format!("ec2 of {region}"),
            (endpoint, _) => server::shown(endpoint),
        }
    }

    fn http(&self) -> Option<&http::Config> {
        Some(&self.client)
    }
}

//! `azure_sd_configs`: virtual machines of one Azure subscription, those of scale sets among them.

#[cfg(feature = "azure")]
mod cloud;
#[cfg(feature = "azure")]
mod credentials;
#[cfg(feature = "azure")]
mod find;
#[cfg(feature = "azure")]
mod interfaces;
#[cfg(feature = "azure")]
mod machines;
#[cfg(feature = "azure")]
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::{Environment, Mechanism, server};
use crate::config::{CLIENT, Form, Key, parse_duration};
use crate::http::{self, ClientConfig, Secret};
use crate::labels::quoted;
use crate::yaml::{Entry, Section};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(300);
const DEFAULT_PORT: u64 = 80;

/// An entry of `azure_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureConfig {
    environment: Option<String>,
    port: Option<u64>,
    subscription_id: String,
    tenant_id: String,
    client_id: String,
    client_secret: Secret,
    authentication_method: Option<String>,
    resource_group: String,
    refresh_interval: Option<Duration>,
    client: ClientConfig,
}

impl Section for AzureConfig {
    const NAME: &'static str = "azure.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "environment" => self.environment = Some(entry.text()?),
            "port" => self.port = Some(entry.integer_of("int")?),
            "subscription_id" => self.subscription_id = entry.text()?,
            "tenant_id" => self.tenant_id = entry.text()?,
            "client_id" => self.client_id = entry.text()?,
            "client_secret" => self.client_secret = entry.text()?.into(),
            "authentication_method" => self.authentication_method = Some(entry.text()?),
            "resource_group" => self.resource_group = entry.text()?,
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// How we say who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By a secret in the section.
    OAuth,
    /// By the identity that the machine, or the service that this runs in, has.
    ManagedIdentity,
    /// By whatever the environment has: a secret, a federated token, the machine's identity.
    Sdk,
    /// By a federated token in a file.
    WorkloadIdentity,
}

/// An entry of `azure_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cloud: `AzurePublicCloud`.
    pub cloud: String,
    /// The port of all machines.
    pub port: u64,
    /// Whose machines to find.
    pub subscription_id: String,
    /// Where we are known.
    pub tenant_id: String,
    /// By which name.
    pub client_id: String,
    /// And what only we know.
    pub client_secret: Secret,
    /// How we say who we are.
    pub method: Method,
    /// The only group whose machines to find; empty for all.
    pub resource_group: String,
    /// How often to ask, and how long an answer may take.
    pub refresh_interval: Duration,
    /// Where tokens are, and where the API begins; empty for the cloud's own. No key says so.
    pub login: String,
    /// See `login`.
    pub api: String,
    /// Where the machine's metadata are. No key says so.
    pub metadata: String,
    /// Where else credentials are looked for. No key says so.
    pub environment: Environment,
    /// How to ask for machines; tokens are asked for without it.
    pub client: http::Config,
}

impl Mechanism for Config {
    const KEY: &'static str = "azure_sd_configs";
    const KIND: &'static str = "azure";
    type Written = AzureConfig;
    const SHOWN: &'static [Key] = &[
        Key::new("environment", Form::Text).or("AzurePublicCloud").unless_empty(),
        Key::new("port", Form::Number).or("80"),
        Key::new("subscription_id", Form::Text),
        Key::new("tenant_id", Form::Text).unless_empty(),
        Key::new("client_id", Form::Text).unless_empty(),
        Key::new("client_secret", Form::Secret).unless_empty(),
        Key::new("refresh_interval", Form::Duration).or("5m").unless_empty(),
        Key::new("authentication_method", Form::Text).or("OAuth").unless_empty(),
        Key::new("resource_group", Form::Text).unless_empty(),
        CLIENT,
    ];

    fn check(written: &AzureConfig, dir: &Path) -> Result<Self, String> {
        let required = |value: &str, name: &str| match value {
            "" => Err(format!("azure SD configuration requires a {name}")),
            _ => Ok(()),
        };
        required(&written.subscription_id, "subscription_id")?;
        let method = match written.authentication_method.as_deref().unwrap_or("OAuth") {
            "OAuth" => {
                required(&written.tenant_id, "tenant_id")?;
                required(&written.client_id, "client_id")?;
                required(written.client_secret.reveal(), "client_secret")?;
                Method::OAuth
            }
            "ManagedIdentity" => Method::ManagedIdentity,
            "SDK" => Method::Sdk,
            "WorkloadIdentity" => Method::WorkloadIdentity,
            other => {
                return Err(format!(
                    "unknown authentication_type {}. Supported types are \"OAuth\", \
                     \"ManagedIdentity\", \"SDK\" or \"WorkloadIdentity\"",
                    quoted(other)
                ));
            }
        };
        let cloud = written.environment.clone();
        Ok(Self {
            cloud: cloud.unwrap_or_else(|| "AzurePublicCloud".to_owned()),
            port: written.port.unwrap_or(DEFAULT_PORT),
            subscription_id: written.subscription_id.clone(),
            tenant_id: written.tenant_id.clone(),
            client_id: written.client_id.clone(),
            client_secret: written.client_secret.clone(),
            method,
            resource_group: written.resource_group.clone(),
            refresh_interval: written.refresh_interval.unwrap_or(DEFAULT_REFRESH_INTERVAL),
            login: String::new(),
            api: String::new(),
            metadata: "http://169.254.169.254".to_owned(),
            environment: Environment::default(),
            client: server::client(&written.client, dir)?,
        })
    }

    fn refresh_interval(&self) -> Duration {
        self.refresh_interval
    }

    fn server(&self) -> String {
        format!("subscription {}", self.subscription_id)
    }

    fn http(&self) -> Option<&http::Config> {
        Some(&self.client)
    }
}

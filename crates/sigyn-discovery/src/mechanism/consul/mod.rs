//! `consul_sd_configs`: services of a Consul catalog, followed by questions that Consul answers when
//! something has changed.

#[cfg(feature = "consul")]
mod api;
#[cfg(feature = "consul")]
mod find;
#[cfg(feature = "consul")]
mod group;
#[cfg(feature = "consul")]
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::{Mechanism, server};
use crate::config::{CLIENT, Form, Key, parse_duration};
use crate::http::{self, Authorization, ClientConfig, Secret, Source};
use crate::labels::quoted;
use crate::yaml::{Entry, Section, Text};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// An entry of `consul_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsulConfig {
    server: Option<String>,
    scheme: Option<String>,
    path_prefix: String,
    token: Secret,
    datacenter: String,
    namespace: String,
    partition: String,
    username: String,
    password: Secret,
    services: Vec<String>,
    tags: Vec<String>,
    node_meta: BTreeMap<Text, Text>,
    filter: String,
    health_filter: String,
    tag_separator: Option<String>,
    allow_stale: Option<bool>,
    refresh_interval: Option<Duration>,
    client: ClientConfig,
}

impl Section for ConsulConfig {
    const NAME: &'static str = "consul.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "server" => self.server = Some(entry.text()?),
            "scheme" => self.scheme = Some(entry.text()?),
            "path_prefix" => self.path_prefix = entry.text()?,
            "token" => self.token = entry.text()?.into(),
            "datacenter" => self.datacenter = entry.text()?,
            "namespace" => self.namespace = entry.text()?,
            "partition" => self.partition = entry.text()?,
            "username" => self.username = entry.text()?,
            "password" => self.password = entry.text()?.into(),
            "services" => self.services = entry.texts()?,
            "tags" => self.tags = entry.texts()?,
            "node_meta" => self.node_meta = entry.read()?,
            "filter" => self.filter = entry.text()?,
            "health_filter" => self.health_filter = entry.text()?,
            "tag_separator" => self.tag_separator = Some(entry.text()?),
            "allow_stale" => self.allow_stale = Some(entry.read()?),
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// An entry of `consul_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the API begins, without a `/` at its end: `http://localhost:8500`.
    pub server: String,
    /// Consul's own credentials; empty for none.
    pub token: Secret,
    /// What is asked about; empty for the datacenter of the server.
    pub datacenter: String,
    /// The namespace that is asked about; empty for the token's.
    pub namespace: String,
    /// The partition that is asked about; empty for the server's.
    pub partition: String,
    /// The services to follow; empty for all.
    pub services: BTreeSet<String>,
    /// Tags that a service has to have, all of them.
    pub tags: Vec<String>,
    /// What a node has to have in its metadata.
    pub node_meta: BTreeMap<String, String>,
    /// What Consul is to select services by.
    pub filter: String,
    /// What Consul is to select a service's instances by.
    pub health_filter: String,
    /// Stands between the tags in the label that has all of them, and at both ends.
    pub tag_separator: String,
    /// Whether any server may answer, not only the leader.
    pub allow_stale: bool,
    /// How long to wait at least until the same question is asked again.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: http::Config,
}

impl Mechanism for Config {
    const KEY: &'static str = "consul_sd_configs";
    const KIND: &'static str = "consul";
    type Written = ConsulConfig;
    const SHOWN: &'static [Key] = &[
        Key::new("server", Form::Server).or("localhost:8500").unless_empty(),
        Key::new("path_prefix", Form::Text).unless_empty(),
        Key::new("token", Form::Secret).unless_empty(),
        Key::new("datacenter", Form::Text).unless_empty(),
        Key::new("namespace", Form::Text).unless_empty(),
        Key::new("partition", Form::Text).unless_empty(),
        Key::new("tag_separator", Form::Text).or(",").unless_empty(),
        Key::new("scheme", Form::Text).or("http").unless_empty(),
        Key::new("username", Form::Text).unless_empty(),
        Key::new("password", Form::Secret).unless_empty(),
        Key::new("allow_stale", Form::Switch).or("true"),
        Key::new("refresh_interval", Form::Duration).or("30s").unless_empty(),
        Key::new("services", Form::Texts).unless_empty(),
        Key::new("tags", Form::Texts).unless_empty(),
        Key::new("node_meta", Form::Words).unless_empty(),
        Key::new("filter", Form::Text).unless_empty(),
        Key::new("health_filter", Form::Text).unless_empty(),
        CLIENT,
    ];

    fn check(written: &ConsulConfig, dir: &Path) -> Result<Self, String> {
        let address = written.server.as_deref().unwrap_or("localhost:8500");
        if address.trim().is_empty() {
            return Err("consul SD configuration requires a server address".to_owned());
        }
        let mut client = server::client(&written.client, dir)?;
        if !written.username.is_empty() || !written.password.is_empty() {
            match client.authorization {
                None => {}
                Some(Authorization::Basic { .. }) => {
                    return Err("at most one of consul SD configuration username and password \
                                and basic auth can be configured"
                        .to_owned());
                }
                Some(_) => {
                    return Err("at most one of basic_auth, oauth2 & authorization must be \
                                configured"
                        .to_owned());
                }
            }
            let source = |text: Secret| (!text.is_empty()).then_some(Source::Inline(text));
            client.authorization = Some(Authorization::Basic {
                username: source(written.username.as_str().into()),
                password: source(written.password.clone()),
            });
        }
        if !written.token.is_empty() && written.client.names_authorization() {
            let message =
                "at most one of consul SD token, authorization, or oauth2 can be configured";
            return Err(message.to_owned());
        }
        let pairs = written.node_meta.iter();
        Ok(Self {
            server: base(address, written.scheme.as_deref(), &written.path_prefix)?,
            token: written.token.clone(),
            datacenter: written.datacenter.clone(),
            namespace: written.namespace.clone(),
            partition: written.partition.clone(),
            services: written.services.iter().cloned().collect(),
            tags: written.tags.clone(),
            node_meta: pairs.map(|(name, value)| (name.0.clone(), value.0.clone())).collect(),
            filter: written.filter.clone(),
            health_filter: written.health_filter.clone(),
            tag_separator: written.tag_separator.clone().unwrap_or_else(|| ",".to_owned()),
            allow_stale: written.allow_stale.unwrap_or(true),
            refresh_interval: written.refresh_interval.unwrap_or(DEFAULT_REFRESH_INTERVAL),
            client,
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

/// Where the API begins. An address may be a whole URL: then scheme and path in it count, as for
/// Consul's own tools.
fn base(address: &str, scheme: Option<&str>, prefix: &str) -> Result<String, String> {
    // An empty one is none to Consul's tools.
    let scheme = scheme.filter(|scheme| !scheme.is_empty()).unwrap_or("http");
    let (scheme, address) = match address.split_once("://") {
        // Who asks for TLS is not to lose it by this.
        Some(("http", address)) if scheme == "https" => (scheme, address),
        Some((own, address)) => (own, address),
        None => (scheme, address),
    };
    let (host, prefix) = match address.split_once('/') {
        Some((host, path)) => (host, format!("/{path}")),
        None => (address, prefix.to_owned()),
    };
    let base = format!("{scheme}://{host}/{}", prefix.trim_matches('/'));
    let (_, host) = server::url_parts(&base)?;
    if !["http", "https"].contains(&scheme) || host.is_empty() {
        return Err(format!("consul cannot be asked at {}", quoted(&base)));
    }
    Ok(base.trim_end_matches('/').to_owned())
}

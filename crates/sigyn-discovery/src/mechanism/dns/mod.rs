//! `dns_sd_configs`: names that a name server is asked about again and again.

#[cfg(feature = "dns")]
mod ask;
#[cfg(feature = "dns")]
mod find;
#[cfg(feature = "dns")]
mod resolv;
#[cfg(feature = "dns")]
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;

use super::Mechanism;
use crate::config::{Form, Key, parse_duration};
use crate::yaml::{Entry, Section};

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// An entry of `dns_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsConfig {
    names: Vec<String>,
    kind: Option<String>,
    port: u64,
    refresh_interval: Option<Duration>,
}

impl Section for DnsConfig {
    const NAME: &'static str = "dns.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "names" => self.names = entry.texts()?,
            "type" => self.kind = Some(entry.text()?),
            "port" => self.port = entry.integer_of("int")?,
            "refresh_interval" => self.refresh_interval = entry.parsed(parse_duration)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// What a name server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail servers.
    Mx,
    /// Name servers.
    Ns,
    /// Hosts and ports of a service.
    Srv,
}

/// An entry of `dns_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What to ask about.
    pub names: Vec<String>,
    /// What to ask for.
    pub kind: Kind,
    /// The port of what has none in its records.
    pub port: u64,
    /// How often to ask.
    pub refresh_interval: Duration,
}

impl Mechanism for Config {
    const KEY: &'static str = "dns_sd_configs";
    const KIND: &'static str = "dns";
    type Written = DnsConfig;
    const SHOWN: &'static [Key] = &[
        Key::new("names", Form::Texts),
        Key::new("refresh_interval", Form::Duration).or("30s").unless_empty(),
        Key::new("type", Form::Text).or("SRV"),
        Key::new("port", Form::Number),
    ];

    fn check(written: &DnsConfig, _dir: &Path) -> Result<Self, String> {
        if written.names.is_empty() {
            return Err("DNS-SD config must contain at least one SRV record name".to_owned());
        }
        let kind = written.kind.as_deref().unwrap_or("SRV");
        let kind = match kind.to_ascii_uppercase().as_str() {
            "A" => Kind::A,
            "AAAA" => Kind::Aaaa,
            "MX" => Kind::Mx,
            "NS" => Kind::Ns,
            "SRV" => Kind::Srv,
            _ => return Err(format!("invalid DNS-SD records type {kind}")),
        };
        if kind != Kind::Srv && written.port == 0 {
            return Err(
                "a port is required in DNS-SD configs for all record types except SRV".to_owned()
            );
        }
        Ok(Self {
            names: written.names.clone(),
            kind,
            port: written.port,
            refresh_interval: written.refresh_interval.unwrap_or(DEFAULT_REFRESH_INTERVAL),
        })
    }

    fn refresh_interval(&self) -> Duration {
        self.refresh_interval
    }

    fn server(&self) -> String {
        self.names.join(", ")
    }
}

//! Which proxy to go through, and what it is told.

use std::collections::BTreeMap;

use serde::de::MapAccess;

use super::config::ClientConfigError;
use super::headers::Header;
use super::secret::{Secret, Source};
use crate::go_url::url_parts;
use crate::yaml::{Entry, Text};

/// `proxy_url` and what belongs to it, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// The proxy. The URL may hold a password.
    pub url: Option<Secret>,
    /// Whom to ask without it, separated by commas.
    pub no_proxy: String,
    /// Whether variables like `HTTPS_PROXY` say which proxy to take for whom.
    pub from_environment: bool,
    /// What the proxy is told when it is to open a tunnel.
    pub connect_headers: Vec<Header>,
}

/// The keys about proxies of a section, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProxyConfig {
    url: Secret,
    no_proxy: String,
    from_environment: bool,
    connect_header: BTreeMap<String, Vec<Secret>>,
}

impl ProxyConfig {
    /// Takes one key's value, or gives the entry back.
    pub(super) fn field<'a, 'de, A: MapAccess<'de>>(
        &mut self,
        entry: Entry<'a, A>,
    ) -> Result<Option<Entry<'a, A>>, A::Error> {
        match entry.key() {
            "proxy_url" => self.url = entry.text()?.into(),
            "no_proxy" => self.no_proxy = entry.text()?,
            "proxy_from_environment" => {
                self.from_environment = entry.boolean()?.unwrap_or_default()
            }
            "proxy_connect_header" => {
                let written: BTreeMap<Text, Option<Vec<Text>>> = entry.read()?;
                let secrets = |values: Option<Vec<Text>>| {
                    values.into_iter().flatten().map(|value| Secret::from(value.0)).collect()
                };
                self.connect_header =
                    written.into_iter().map(|(name, values)| (name.0, secrets(values))).collect();
            }
            _ => return Ok(Some(entry)),
        }
        Ok(None)
    }

    /// Refuses a URL that is none, wherever it stands.
    pub(super) fn check_url(&self) -> Result<(), ClientConfigError> {
        url_parts(self.url.reveal()).map(|_| ()).map_err(ClientConfigError)
    }

    /// Checks what goes together.
    pub(super) fn check(&self) -> Result<(), ClientConfigError> {
        let has_url = !self.url.is_empty();
        let refusal = if !self.connect_header.is_empty() && !self.from_environment && !has_url {
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured"
        } else if self.from_environment && has_url {
            "if proxy_from_environment is configured, proxy_url must not be configured"
        } else if self.from_environment && !self.no_proxy.is_empty() {
            "if proxy_from_environment is configured, no_proxy must not be configured"
        } else if !has_url && !self.no_proxy.is_empty() {
            "if no_proxy is configured, proxy_url must also be configured"
        } else {
            return Ok(());
        };
        Err(ClientConfigError(refusal.to_owned()))
    }

    /// What the keys come to.
    pub(super) fn proxy(&self) -> Proxy {
        let header = |(name, values): (&String, &Vec<Secret>)| Header {
            name: name.clone(),
            plain: Vec::new(),
            secret: values.iter().cloned().map(Source::Inline).collect(),
        };
        Proxy {
            url: (!self.url.is_empty()).then(|| self.url.clone()),
            no_proxy: self.no_proxy.clone(),
            from_environment: self.from_environment,
            connect_headers: self.connect_header.iter().map(header).collect(),
        }
    }
}

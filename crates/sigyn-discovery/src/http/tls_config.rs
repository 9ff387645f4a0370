//! `tls_config`: whom to believe, and who we are.

use std::path::Path;

use serde::de::MapAccess;

use super::config::{ClientConfigError, at_most_one};
use super::secret::{Secret, Source};
use crate::yaml::{Entry, Section};

/// `tls_config`, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Whose signature counts, in PEM; the system's authorities if it is `None`.
    pub ca: Option<Source>,
    /// Our certificate and what goes with it, in PEM. It is there if the key is.
    pub cert: Option<Source>,
    /// The key to it, in PEM.
    pub key: Option<Source>,
    /// The name that a server's certificate must have; the one it was asked by if it is empty.
    pub server_name: String,
    /// Whether to believe any server.
    pub insecure_skip_verify: bool,
    /// The oldest version to speak.
    pub min_version: Option<TlsVersion>,
    /// The newest version to speak.
    pub max_version: Option<TlsVersion>,
}

/// A version of TLS, as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// `TLS10`.
    Tls10,
    /// `TLS11`.
    Tls11,
    /// `TLS12`.
    Tls12,
    /// `TLS13`.
    Tls13,
}

impl TlsVersion {
    fn parse(text: &str) -> Result<Self, ClientConfigError> {
        match text {
            "TLS10" => Ok(Self::Tls10),
            "TLS11" => Ok(Self::Tls11),
            "TLS12" => Ok(Self::Tls12),
            "TLS13" => Ok(Self::Tls13),
            _ => Err(ClientConfigError(format!("unknown TLS version: {text}"))),
        }
    }
}

/// `tls_config`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsConfig {
    ca: Secret,
    cert: Secret,
    key: Secret,
    ca_file: String,
    cert_file: String,
    key_file: String,
    ca_ref: String,
    cert_ref: String,
    key_ref: String,
    server_name: String,
    insecure_skip_verify: bool,
    min_version: Option<TlsVersion>,
    max_version: Option<TlsVersion>,
}

impl Section for TlsConfig {
    const NAME: &'static str = "config.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "ca" => self.ca = entry.text()?.into(),
            "cert" => self.cert = entry.text()?.into(),
            "key" => self.key = entry.text()?.into(),
            "ca_file" => self.ca_file = entry.text()?,
            "cert_file" => self.cert_file = entry.text()?,
            "key_file" => self.key_file = entry.text()?,
            "ca_ref" => self.ca_ref = entry.text()?,
            "cert_ref" => self.cert_ref = entry.text()?,
            "key_ref" => self.key_ref = entry.text()?,
            "server_name" => self.server_name = entry.text()?,
            "insecure_skip_verify" => {
                self.insecure_skip_verify = entry.boolean()?.unwrap_or_default()
            }
            "min_version" => self.min_version = entry.parsed(TlsVersion::parse)?,
            "max_version" => self.max_version = entry.parsed(TlsVersion::parse)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

impl TlsConfig {
    /// Checks what goes together. Relative paths are joined to `dir`.
    pub(super) fn validate(&self, dir: &Path) -> Result<Tls, ClientConfigError> {
        at_most_one(
            [!self.ca.is_empty(), !self.ca_file.is_empty(), !self.ca_ref.is_empty()],
            "at most one of ca, ca_file & ca_ref must be configured",
        )?;
        at_most_one(
            [!self.cert.is_empty(), !self.cert_file.is_empty(), !self.cert_ref.is_empty()],
            "at most one of cert, cert_file & cert_ref must be configured",
        )?;
        at_most_one(
            [!self.key.is_empty(), !self.key_file.is_empty(), !self.key_ref.is_empty()],
            "at most one of key and key_file must be configured",
        )?;
        let cert = Source::of(&self.cert, &self.cert_file, &self.cert_ref, dir);
        let key = Source::of(&self.key, &self.key_file, &self.key_ref, dir);
        let missing = match (&cert, &key) {
            (Some(_), None) => Some(("key or key_file", "certificate")),
            (None, Some(_)) => Some(("cert or cert_file", "key")),
            (Some(_), Some(_)) | (None, None) => None,
        };
        if let Some((missing, there)) = missing {
            return Err(ClientConfigError(format!(
                "exactly one of {missing} must be configured when a client {there} is configured"
            )));
        }
        Ok(Tls {
            ca: Source::of(&self.ca, &self.ca_file, &self.ca_ref, dir),
            cert,
            key,
            server_name: self.server_name.clone(),
            insecure_skip_verify: self.insecure_skip_verify,
            min_version: self.min_version,
            max_version: self.max_version,
        })
    }
}

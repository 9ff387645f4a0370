//! The file's keys, as exporter-toolkit has them, and what goes together.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::de::MapAccess;
use sigyn_discovery::http::{Secret, Source};
use sigyn_discovery::yaml::{self, Entry, Section, YamlError};

use super::headers::Headers;
use super::limit::Rate;
use super::tls::{Cipher, ClientAuth, Curve, Tls, Version};
use super::{go_duration, hash};

/// A file, checked as far as it can be without a look at others.
#[derive(Debug)]
pub(super) struct File {
    /// `None` is plain HTTP.
    pub(super) tls: Option<Tls>,
    pub(super) http2: bool,
    pub(super) headers: Headers,
    pub(super) rate_limit: Option<Rate>,
    /// Hashes by name.
    pub(super) users: BTreeMap<String, Secret>,
}

/// What is wrong with the file itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Yaml(#[from] YamlError),
    #[error("{0}")]
    Invalid(String),
}

impl File {
    /// Relative paths are joined to `dir`.
    pub(super) fn parse(text: &str, dir: &Path) -> Result<Self, FileError> {
        let written: Written = yaml::section(text)?;
        let rate_limit = written.rate_limit;
        Ok(Self {
            headers: Headers::new(&written.http.headers.0).map_err(FileError::Invalid)?,
            tls: written.tls.check(dir).map_err(FileError::Invalid)?,
            http2: written.http.http2.unwrap_or(true),
            rate_limit: rate_limit
                .interval
                .map(|interval| Rate { burst: rate_limit.burst, interval }),
            users: written.users.0.into_iter().map(|(user, hash)| (user, hash.into())).collect(),
        })
    }

    /// Whether all users could have a password. It is looked at when a server starts; later, one who
    /// could not is kept out alone.
    pub(super) fn check_users(&self) -> Result<(), FileError> {
        self.users.values().try_for_each(hash::check).map_err(FileError::Invalid)
    }

    /// What is accepted and has no effect.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.tls.as_ref().map(Tls::warnings).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Written {
    tls: TlsSection,
    http: HttpSection,
    rate_limit: RateSection,
    users: Texts,
}

impl Section for Written {
    const NAME: &'static str = "web.Config";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "tls_server_config" => self.tls = entry.section()?,
            "http_server_config" => self.http = entry.section()?,
            "rate_limit" => self.rate_limit = entry.section()?,
            "basic_auth_users" => self.users = entry.section()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// `tls_server_config`, as written.
#[derive(Debug, Default)]
struct TlsSection {
    cert: String,
    cert_file: String,
    key: Secret,
    key_file: String,
    client_ca: String,
    client_ca_file: String,
    client_auth_type: String,
    client_allowed_sans: Option<Vec<String>>,
    cipher_suites: Vec<String>,
    curve_preferences: Vec<String>,
    min_version: Option<Version>,
    max_version: Option<Version>,
    prefer_server_cipher_suites: Option<bool>,
}

impl Section for TlsSection {
    const NAME: &'static str = "web.TLSConfig";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "cert" => self.cert = entry.text()?,
            "cert_file" => self.cert_file = entry.text()?,
            "key" => self.key = entry.text()?.into(),
            "key_file" => self.key_file = entry.text()?,
            "client_ca" => self.client_ca = entry.text()?,
            "client_ca_file" => self.client_ca_file = entry.text()?,
            "client_auth_type" => self.client_auth_type = entry.text()?,
            "client_allowed_sans" => {
                let names = entry.read_option::<Vec<yaml::Text>>()?;
                self.client_allowed_sans =
                    names.map(|names| names.into_iter().map(|name| name.0).collect());
            }
            "cipher_suites" => self.cipher_suites = entry.texts()?,
            "curve_preferences" => self.curve_preferences = entry.texts()?,
            "min_version" => self.min_version = entry.parsed(Version::parse)?,
            "max_version" => self.max_version = entry.parsed(Version::parse)?,
            "prefer_server_cipher_suites" => self.prefer_server_cipher_suites = entry.boolean()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

impl TlsSection {
    /// There is TLS as soon as one of these keys is there, so that nobody is without it by a slip.
    fn is_there(&self) -> bool {
        !self.key.is_empty()
            || [
                &self.cert,
                &self.cert_file,
                &self.key_file,
                &self.client_ca,
                &self.client_ca_file,
                &self.client_auth_type,
            ]
            .into_iter()
            .any(|text| !text.is_empty())
    }

    fn check(self, dir: &Path) -> Result<Option<Tls>, String> {
        let ciphers: Vec<Cipher> =
            self.cipher_suites.iter().map(|name| Cipher::parse(name)).collect::<Result<_, _>>()?;
        let curves: Vec<Curve> = self
            .curve_preferences
            .iter()
            .map(|name| Curve::parse(name))
            .collect::<Result<_, _>>()?;
        if !self.is_there() {
            return Ok(None);
        }
        let source = |file: &str, inline: Secret| match file {
            "" if inline.is_empty() => None,
            "" => Some(Source::Inline(inline)),
            file => Some(Source::File(dir.join(file))),
        };
        let cert = source(&self.cert_file, self.cert.into());
        let cert = cert.ok_or("missing one of cert or cert_file")?;
        let key = source(&self.key_file, self.key).ok_or("missing one of key or key_file")?;
        let client_auth = ClientAuth::parse(&self.client_auth_type)?;
        let client_ca = source(&self.client_ca_file, self.client_ca.into());
        if client_ca.is_some() && client_auth == ClientAuth::None {
            return Err("client CA's have been configured without a Client Auth Policy".to_owned());
        }
        if self.client_allowed_sans.is_some() && !client_auth.is_required() {
            return Err(
                "client_allowed_sans requires client_auth_type to be one of RequireAnyClientCert or RequireAndVerifyClientCert"
                    .to_owned(),
            );
        }
        Ok(Some(Tls {
            cert,
            key,
            client_ca,
            client_auth,
            allowed_names: self.client_allowed_sans,
            ciphers,
            curves,
            min_version: self.min_version.unwrap_or(Version::Tls12),
            max_version: self.max_version.unwrap_or(Version::Tls13),
            prefers_own_order: self.prefer_server_cipher_suites.unwrap_or(true),
        }))
    }
}

/// `http_server_config`, as written.
#[derive(Debug, Default)]
struct HttpSection {
    http2: Option<bool>,
    headers: Texts,
}

impl Section for HttpSection {
    const NAME: &'static str = "web.HTTPConfig";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "http2" => self.http2 = entry.boolean()?,
            "headers" => self.headers = entry.section()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// `rate_limit`, as written.
#[derive(Debug, Default)]
struct RateSection {
    burst: u64,
    interval: Option<Duration>,
}

impl Section for RateSection {
    const NAME: &'static str = "web.RateLimiterConfig";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "burst" => self.burst = entry.integer_of("int")?,
            "interval" => self.interval = entry.parsed(go_duration::parse)?.flatten(),
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// Texts by name, whatever the names are.
#[derive(Debug, Default)]
struct Texts(BTreeMap<String, String>);

impl Section for Texts {
    const NAME: &'static str = "map[string]string";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let name = entry.key().to_owned();
        self.0.insert(name, entry.text()?);
        Ok(())
    }
}

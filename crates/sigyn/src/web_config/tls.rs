//! TLS as `tls_server_config` says, made of certificates and keys that may change under way.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, NamedGroup, ServerConfig, SupportedProtocolVersion, version};
use sigyn_discovery::http::{IdentityError, Secret, Source, certificates, identity, provider};

use super::clients::Clients;

/// `tls_server_config`, checked as far as it can be without a look at other files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) cert: Source,
    pub(super) key: Source,
    pub(super) client_ca: Option<Source>,
    pub(super) client_auth: ClientAuth,
    /// Of the names of a client's certificate, one has to be here.
    pub(super) allowed_names: Option<Vec<String>>,
    /// Empty is all there are.
    pub(super) ciphers: Vec<Cipher>,
    /// Empty is all there are.
    pub(super) curves: Vec<Curve>,
    pub(super) min_version: Version,
    pub(super) max_version: Version,
    pub(super) prefers_own_order: bool,
}

/// Why there is no TLS with what is in the files. The texts are exporter-toolkit's where it has one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("failed to read {key} ({})", path.display())]
    Read { key: &'static str, path: PathBuf, source: std::io::Error },
    #[error("failed to load X509KeyPair")]
    KeyPair(#[from] IdentityError),
    #[error("there is no certificate in {0}")]
    Authorities(String),
    #[error("max_version is older than min_version")]
    Versions,
    #[error("none of cipher_suites is offered: leave it out, or name one with GCM or CHACHA20")]
    Ciphers,
    #[error("none of curve_preferences is offered: leave it out, or name X25519")]
    Curves,
}

/// `client_auth_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// Nobody is asked.
    None,
    /// Who has a certificate may show it, and it does not matter which it is.
    Request,
    /// Everybody has to show one, and it does not matter who has signed it.
    RequireAny,
    /// Who shows one has to show a good one.
    VerifyIfGiven,
    /// Everybody has to show a good one.
    RequireAndVerify,
}

impl ClientAuth {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "NoClientCert" => Ok(Self::None),
            "RequestClientCert" => Ok(Self::Request),
            "RequireAnyClientCert" | "RequireClientCert" => Ok(Self::RequireAny),
            "VerifyClientCertIfGiven" => Ok(Self::VerifyIfGiven),
            "RequireAndVerifyClientCert" => Ok(Self::RequireAndVerify),
            _ => Err(format!("invalid ClientAuth: {text}")),
        }
    }

    /// Whether nobody gets in without a certificate.
    pub(super) fn is_required(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }

    /// Whether a certificate that is shown has to be a good one.
    pub(super) fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    /// Whether it keeps strangers out.
    pub(super) fn verifies_all(self) -> bool {
        self.is_required() && self.verifies()
    }
}

/// A version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    Tls12,
    Tls13,
}

impl Version {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "TLS12" => Ok(Self::Tls12),
            "TLS13" => Ok(Self::Tls13),
            "TLS10" | "TLS11" => Err(format!("{text} is not supported: use TLS12 or TLS13")),
            _ => Err(format!("unknown TLS version: {text}")),
        }
    }
}

/// A cipher by Go's name. Those of TLS 1.3 cannot be chosen: all of them are always offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cipher {
    name: &'static str,
    offered: Option<CipherSuite>,
}

const CIPHERS: [(&str, Option<CipherSuite>); 19] = [
    ("TLS_AES_128_GCM_SHA256", Some(CipherSuite::TLS13_AES_128_GCM_SHA256)),
    ("TLS_AES_256_GCM_SHA384", Some(CipherSuite::TLS13_AES_256_GCM_SHA384)),
    ("TLS_CHACHA20_POLY1305_SHA256", Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256)),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    // What nobody should speak any more: names that files may have, and that are not offered.
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", None),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", None),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", None),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", None),
];

impl Cipher {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let known = CIPHERS.into_iter().find(|(name, _)| *name == text);
        let (name, offered) = known.ok_or_else(|| format!("unknown cipher: {text}"))?;
        Ok(Self { name, offered })
    }
}

/// A curve by Go's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Curve {
    name: &'static str,
    offered: Option<NamedGroup>,
}

const CURVES: [(&str, Option<NamedGroup>); 4] = [
    ("CurveP256", Some(NamedGroup::secp256r1)),
    ("CurveP384", Some(NamedGroup::secp384r1)),
    ("CurveP521", None),
    ("X25519", Some(NamedGroup::X25519)),
];

impl Curve {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let known = CURVES.into_iter().find(|(name, _)| *name == text);
        let (name, offered) = known.ok_or_else(|| format!("unknown curve: {text}"))?;
        Ok(Self { name, offered })
    }
}

impl Tls {
    /// What is accepted and has no effect.
    pub(super) fn warnings(&self) -> Vec<String> {
        let not_offered = |key: &str, name: &str| format!("{key}: {name} is not offered");
        let ciphers = self.ciphers.iter().filter(|cipher| cipher.offered.is_none());
        let curves = self.curves.iter().filter(|curve| curve.offered.is_none());
        ciphers
            .map(|cipher| not_offered("cipher_suites", cipher.name))
            .chain(curves.map(|curve| not_offered("curve_preferences", curve.name)))
            .collect()
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let spoken = [(Version::Tls12, &version::TLS12), (Version::Tls13, &version::TLS13)];
        let wanted = self.min_version..=self.max_version;
        spoken
            .into_iter()
            .filter(|(version, _)| wanted.contains(version))
            .map(|(_, version)| version)
            .collect()
    }

    fn provider(&self) -> Result<CryptoProvider, TlsError> {
        let mut provider = CryptoProvider::clone(&provider());
        if !self.ciphers.is_empty() {
            let is_wanted = |suite: CipherSuite| {
                self.ciphers.iter().any(|cipher| cipher.offered == Some(suite))
            };
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || is_wanted(suite.suite()));
        }
        if !self.curves.is_empty() {
            let is_wanted =
                |group: NamedGroup| self.curves.iter().any(|curve| curve.offered == Some(group));
            provider.kx_groups.retain(|group| is_wanted(group.name()));
        }
        if provider.kx_groups.is_empty() {
            return Err(TlsError::Curves);
        }
        Ok(provider)
    }
}

/// How TLS is spoken, and what that was made of.
#[derive(Debug)]
pub(super) struct Served {
    tls: Tls,
    material: Material,
    config: Arc<ServerConfig>,
}

/// Certificates and keys as they were read, in PEM.
#[derive(Debug, PartialEq, Eq)]
struct Material {
    cert: Secret,
    key: Secret,
    client_ca: Option<Secret>,
}

impl Material {
    fn read(tls: &Tls) -> Result<Self, TlsError> {
        let client_ca = tls.client_ca.as_ref();
        Ok(Self {
            cert: read("cert_file", &tls.cert)?,
            key: read("key_file", &tls.key)?,
            client_ca: client_ca.map(|source| read("client_ca_file", source)).transpose()?,
        })
    }
}

impl Served {
    pub(super) fn new(tls: &Tls, http2: bool) -> Result<Self, TlsError> {
        let material = Material::read(tls)?;
        let config = Arc::new(server_config(tls, &material, http2)?);
        Ok(Self { tls: tls.clone(), material, config })
    }

    /// How TLS is spoken now. It blocks as long as small files take; as long as nothing changes,
    /// clients that come again are known.
    pub(super) fn current(
        &mut self,
        tls: &Tls,
        http2: bool,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let material = Material::read(tls)?;
        if *tls != self.tls || material != self.material {
            let config = Arc::new(server_config(tls, &material, http2)?);
            *self = Self { tls: tls.clone(), material, config };
        }
        Ok(Arc::clone(&self.config))
    }
}

fn read(key: &'static str, source: &Source) -> Result<Secret, TlsError> {
    match source {
        Source::File(path) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.into()),
            Err(source) => Err(TlsError::Read { key, path: path.clone(), source }),
        },
        Source::Inline(text) => Ok(text.clone()),
        // No key of this file makes one.
        Source::Reference(_) => Ok(Secret::default()),
    }
}

fn server_config(tls: &Tls, material: &Material, http2: bool) -> Result<ServerConfig, TlsError> {
    let (chain, key) = identity(&material.cert, &material.key)?;
    let authorities = match (&material.client_ca, &tls.client_ca) {
        (Some(pem), Some(source)) => {
            let certificates = certificates(pem);
            if certificates.is_empty() {
                return Err(TlsError::Authorities(place(source.file())));
            }
            Some(certificates)
        }
        _ => None,
    };
    let clients = Clients::new(tls.client_auth, authorities, tls.allowed_names.clone());
    let versions = tls.versions();
    if versions.is_empty() {
        return Err(TlsError::Versions);
    }
    let builder = ServerConfig::builder_with_provider(Arc::new(tls.provider()?))
        .with_protocol_versions(&versions)
        .map_err(|_| TlsError::Ciphers)?
        .with_client_cert_verifier(Arc::new(clients));
    let mut config = builder.with_single_cert(chain, key).map_err(IdentityError::from)?;
    config.ignore_client_order = tls.prefers_own_order;
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(config)
}

fn place(file: Option<&Path>) -> String {
    file.map_or_else(
        || "client_ca".to_owned(),
        |file| format!("client_ca_file ({})", file.display()),
    )
}

//! `oauth2`: where to get tokens, and what to show for them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::MapAccess;
use serde_json::Value;

use super::config::{ClientConfigError, at_most_one};
use super::proxy_config::{Proxy, ProxyConfig};
use super::secret::{Secret, Source};
use super::tls_config::{Tls, TlsConfig};
use crate::go_url::http_url;
use crate::yaml::{Entry, Section, Text};

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// `oauth2`, checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OAuth2 {
    /// Who we are.
    pub client_id: String,
    /// What we show for it.
    pub grant: Grant,
    /// Where tokens are.
    pub token_url: String,
    /// What the token is to be good for.
    pub scopes: Vec<String>,
    /// Further parameters of the request for a token.
    pub endpoint_params: BTreeMap<String, String>,
    /// How to speak to the token's server.
    pub tls: Tls,
    /// How to get to the token's server.
    pub proxy: Proxy,
}

/// What a token is given for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// A secret.
    ClientCredentials {
        /// Without one no token is asked for: the request fails, and says so.
        secret: Option<Source>,
    },
    /// A statement that is signed with a key.
    JwtBearer {
        /// An RSA key in PEM.
        key: Option<Source>,
        /// Which key it is.
        key_id: String,
        /// How to sign.
        algorithm: SignatureAlgorithm,
        /// Who says so.
        issuer: String,
        /// To whom.
        audience: String,
        /// What else to say.
        claims: BTreeMap<String, Value>,
    },
}

/// How a statement is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    Rs512,
}

/// `oauth2`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OAuth2Config {
    client_id: String,
    client_secret: Secret,
    client_secret_file: String,
    client_secret_ref: String,
    client_certificate_key_id: String,
    client_certificate_key: Secret,
    client_certificate_key_file: String,
    client_certificate_key_ref: String,
    grant_type: String,
    signature_algorithm: String,
    iss: String,
    audience: String,
    claims: BTreeMap<Text, Value>,
    scopes: Vec<String>,
    token_url: String,
    endpoint_params: BTreeMap<Text, Text>,
    tls_config: TlsConfig,
    proxy: ProxyConfig,
}

impl Section for OAuth2Config {
    const NAME: &'static str = "config.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.proxy.field(entry)? else { return Ok(()) };
        match entry.key() {
            "client_id" => self.client_id = entry.text()?,
            "client_secret" => self.client_secret = entry.text()?.into(),
            "client_secret_file" => self.client_secret_file = entry.text()?,
            "client_secret_ref" => self.client_secret_ref = entry.text()?,
            "client_certificate_key_id" => self.client_certificate_key_id = entry.text()?,
            "client_certificate_key" => self.client_certificate_key = entry.text()?.into(),
            "client_certificate_key_file" => self.client_certificate_key_file = entry.text()?,
            "client_certificate_key_ref" => self.client_certificate_key_ref = entry.text()?,
            "grant_type" => self.grant_type = entry.text()?,
            "signature_algorithm" => self.signature_algorithm = entry.text()?,
            "iss" => self.iss = entry.text()?,
            "audience" => self.audience = entry.text()?,
            "claims" => self.claims = entry.read()?,
            "scopes" => self.scopes = entry.texts()?,
            "token_url" => self.token_url = entry.text()?,
            "endpoint_params" => self.endpoint_params = entry.read()?,
            "tls_config" => self.tls_config = entry.section()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

impl OAuth2Config {
    /// Its `tls_config`, which is checked before all else.
    pub(super) fn tls(&self, dir: &Path) -> Result<Tls, ClientConfigError> {
        self.tls_config.validate(dir)
    }

    /// Checks the rest. Relative paths are joined to `dir`.
    pub(super) fn validate(&self, tls: Tls, dir: &Path) -> Result<OAuth2, ClientConfigError> {
        self.proxy.check_url()?;
        self.proxy.check()?;
        for (key, value) in [("client_id", &self.client_id), ("token_url", &self.token_url)] {
            if value.is_empty() {
                return Err(ClientConfigError(format!("oauth2 {key} must be configured")));
            }
        }
        http_url(&self.token_url).map_err(|error| ClientConfigError(error.to_string()))?;
        let grant = if self.grant_type == JWT_BEARER {
            self.jwt_bearer(dir)?
        } else {
            self.client_credentials(dir)?
        };
        let params = self.endpoint_params.iter();
        Ok(OAuth2 {
            client_id: self.client_id.clone(),
            grant,
            token_url: self.token_url.clone(),
            scopes: self.scopes.clone(),
            endpoint_params: params.map(|(key, value)| (key.0.clone(), value.0.clone())).collect(),
            tls,
            proxy: self.proxy.proxy(),
        })
    }

    fn client_credentials(&self, dir: &Path) -> Result<Grant, ClientConfigError> {
        let (inline, file, reference) =
            (&self.client_secret, &self.client_secret_file, &self.client_secret_ref);
        at_most_one(
            [!inline.is_empty(), !file.is_empty(), !reference.is_empty()],
            "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials",
        )?;
        Ok(Grant::ClientCredentials { secret: Source::of(inline, file, reference, dir) })
    }

    fn jwt_bearer(&self, dir: &Path) -> Result<Grant, ClientConfigError> {
        let (inline, file, reference) = (
            &self.client_certificate_key,
            &self.client_certificate_key_file,
            &self.client_certificate_key_ref,
        );
        at_most_one(
            [!inline.is_empty(), !file.is_empty(), !reference.is_empty()],
            "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
        )?;
        let algorithm = match self.signature_algorithm.as_str() {
            "" | "RS256" => SignatureAlgorithm::Rs256,
            "RS384" => SignatureAlgorithm::Rs384,
            "RS512" => SignatureAlgorithm::Rs512,
            _ => {
                return Err(ClientConfigError(
                    "valid signature algorithms are RS256, RS384 and RS512".to_owned(),
                ));
            }
        };
        let or = |written: &String, default: &String| {
            if written.is_empty() { default.clone() } else { written.clone() }
        };
        let claims = self.claims.iter();
        Ok(Grant::JwtBearer {
            key: Source::of(inline, file, reference, dir),
            key_id: self.client_certificate_key_id.clone(),
            algorithm,
            issuer: or(&self.iss, &self.client_id),
            audience: or(&self.audience, &self.token_url),
            claims: claims.map(|(name, value)| (name.0.clone(), value.clone())).collect(),
        })
    }
}

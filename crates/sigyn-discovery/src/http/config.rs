//! The client's keys: as a section has them, and checked.

#[cfg(test)]
mod tests;

use std::path::Path;

use serde::de::MapAccess;

use super::headers::{self, Header, HeadersConfig};
use super::oauth2_config::{OAuth2, OAuth2Config};
use super::proxy_config::{Proxy, ProxyConfig};
use super::secret::{Secret, Source};
use super::tls_config::{Tls, TlsConfig};
use crate::yaml::{Entry, Section};

/// How a server is asked. Equal ones can share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Who we say we are.
    pub authorization: Option<Authorization>,
    /// Whom to believe, and who we are on the level below.
    pub tls: Tls,
    /// Which way to go.
    pub proxy: Proxy,
    /// What else each request says.
    pub headers: Vec<Header>,
    /// Whether to go where a server sends us.
    pub follow_redirects: bool,
    /// Whether to offer HTTP/2 where there is TLS.
    pub enable_http2: bool,
}

/// Prometheus' defaults: no credentials, redirects are followed, HTTP/2 is offered.
impl Default for Config {
    fn default() -> Self {
        Self {
            authorization: None,
            tls: Tls::default(),
            proxy: Proxy::default(),
            headers: Vec::new(),
            follow_redirects: true,
            enable_http2: true,
        }
    }
}

/// What goes into the header `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Authorization {
    /// `basic_auth`. What is not written is sent empty.
    Basic {
        /// Who.
        username: Option<Source>,
        /// And what only they know.
        password: Option<Source>,
    },
    /// `authorization`, and `bearer_token` and its file.
    Credentials {
        /// The header's first word.
        kind: String,
        /// The rest. What is not written is sent empty.
        credentials: Option<Source>,
    },
    /// `oauth2`: a token that has to be asked for.
    OAuth2(Box<OAuth2>),
}

/// Why a section's client keys are refused. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClientConfigError(pub(super) String);

/// The client's keys of a section, as written.
///
/// A [`Section`] hands each entry to [`ClientConfig::field`] before it looks at it:
///
/// ```
/// use serde::de::MapAccess;
/// use sigyn_discovery::http::ClientConfig;
/// use sigyn_discovery::yaml::{self, Entry, Section};
///
/// #[derive(Default)]
/// struct Written { url: String, client: ClientConfig }
///
/// impl Section for Written {
///     const NAME: &'static str = "http.plain";
///     fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
///         let Some(entry) = self.client.field(entry)? else { return Ok(()) };
///         match entry.key() {
///             "url" => self.url = entry.text()?,
///             _ => return entry.unknown(),
///         }
///         Ok(())
///     }
/// }
///
/// let written: Written = yaml::section("{url: http://127.0.0.1, follow_redirects: no}").unwrap();
/// let client = written.client.validate("/etc/sigyn".as_ref()).unwrap();
/// assert!(!client.follow_redirects && client.enable_http2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientConfig {
    basic_auth: Option<BasicAuthConfig>,
    authorization: Option<AuthorizationConfig>,
    oauth2: Option<OAuth2Config>,
    bearer_token: Secret,
    bearer_token_file: String,
    tls_config: TlsConfig,
    proxy: ProxyConfig,
    http_headers: HeadersConfig,
    follow_redirects: Option<bool>,
    enable_http2: Option<bool>,
}

impl ClientConfig {
    /// Takes one key's value, or gives the entry back if the key is not the client's.
    pub fn field<'a, 'de, A: MapAccess<'de>>(
        &mut self,
        entry: Entry<'a, A>,
    ) -> Result<Option<Entry<'a, A>>, A::Error> {
        let Some(entry) = self.proxy.field(entry)? else { return Ok(None) };
        match entry.key() {
            "basic_auth" => self.basic_auth = entry.section_onto(self.basic_auth.take())?,
            "authorization" => {
                self.authorization = entry.section_onto(self.authorization.take())?
            }
            "oauth2" => self.oauth2 = entry.section_onto(self.oauth2.take())?,
            "bearer_token" => self.bearer_token = entry.text()?.into(),
            "bearer_token_file" => self.bearer_token_file = entry.text()?,
            "tls_config" => {
                let before = std::mem::take(&mut self.tls_config);
                self.tls_config = entry.section_onto(Some(before))?.unwrap_or_default();
            }
            "http_headers" => self.http_headers = entry.read()?,
            "follow_redirects" => self.follow_redirects = entry.boolean()?,
            "enable_http2" => self.enable_http2 = entry.boolean()?,
            _ => return Ok(Some(entry)),
        }
        Ok(None)
    }

    /// Checks what goes together, in Prometheus' order. Relative paths are joined to `dir`. No file
    /// is looked at: that it cannot be read is the request's failure.
    pub fn validate(&self, dir: &Path) -> Result<Config, ClientConfigError> {
        let tls = self.tls_config.validate(dir)?;
        let oauth2 = match &self.oauth2 {
            Some(oauth2) => Some((oauth2, oauth2.tls(dir)?)),
            None => None,
        };
        let authorization = self.authorization(oauth2, dir)?;
        self.proxy.check_url()?;
        self.proxy.check()?;
        Ok(Config {
            authorization,
            tls,
            proxy: self.proxy.proxy(),
            headers: headers::validate(&self.http_headers, dir)?,
            follow_redirects: self.follow_redirects.unwrap_or(true),
            enable_http2: self.enable_http2.unwrap_or(true),
        })
    }

    /// Whether `authorization` or `oauth2` is written.
    pub(crate) fn names_authorization(&self) -> bool {
        self.authorization.is_some() || self.oauth2.is_some()
    }

    fn authorization(
        &self,
        oauth2: Option<(&OAuth2Config, Tls)>,
        dir: &Path,
    ) -> Result<Option<Authorization>, ClientConfigError> {
        let bearer = [!self.bearer_token.is_empty(), !self.bearer_token_file.is_empty()];
        let has_bearer = bearer.contains(&true);
        at_most_one(bearer, "at most one of bearer_token & bearer_token_file must be configured")?;
        let has_other = self.basic_auth.is_some() || oauth2.is_some();
        at_most_one(
            [has_other, has_bearer],
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        )?;
        let basic = self.basic_auth.as_ref().map(|basic| basic.validate(dir)).transpose()?;
        let credentials = match &self.authorization {
            Some(authorization) => {
                at_most_one(
                    [true, has_bearer],
                    "authorization is not compatible with bearer_token & bearer_token_file",
                )?;
                let credentials = authorization.validate(dir)?;
                at_most_one([true, has_other], ONE_AUTHORIZATION)?;
                Some(credentials)
            }
            None if has_bearer => Some(Authorization::Credentials {
                kind: BEARER.to_owned(),
                credentials: Source::of(&self.bearer_token, &self.bearer_token_file, "", dir),
            }),
            None => None,
        };
        let oauth2 = match oauth2 {
            Some((oauth2, tls)) => {
                at_most_one([true, basic.is_some()], ONE_AUTHORIZATION)?;
                Some(Authorization::OAuth2(Box::new(oauth2.validate(tls, dir)?)))
            }
            None => None,
        };
        Ok(basic.or(credentials).or(oauth2))
    }
}

const BEARER: &str = "Bearer";
const ONE_AUTHORIZATION: &str =
    "at most one of basic_auth, oauth2 & authorization must be configured";

/// Refuses with `message` if more than one of them is there.
pub(super) fn at_most_one<const N: usize>(
    there: [bool; N],
    message: &str,
) -> Result<(), ClientConfigError> {
    if there.into_iter().filter(|there| *there).count() > 1 {
        return Err(ClientConfigError(message.to_owned()));
    }
    Ok(())
}

/// `basic_auth`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct BasicAuthConfig {
    username: String,
    username_file: String,
    username_ref: String,
    password: Secret,
    password_file: String,
    password_ref: String,
}

impl Section for BasicAuthConfig {
    const NAME: &'static str = "config.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "username" => self.username = entry.text()?,
            "username_file" => self.username_file = entry.text()?,
            "username_ref" => self.username_ref = entry.text()?,
            "password" => self.password = entry.text()?.into(),
            "password_file" => self.password_file = entry.text()?,
            "password_ref" => self.password_ref = entry.text()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

impl BasicAuthConfig {
    fn validate(&self, dir: &Path) -> Result<Authorization, ClientConfigError> {
        let there = |inline: &str, file: &str, reference: &str| {
            [inline, file, reference].map(|text| !text.is_empty())
        };
        at_most_one(
            there(&self.username, &self.username_file, &self.username_ref),
            "at most one of basic_auth username, username_file & username_ref must be configured",
        )?;
        at_most_one(
            there(self.password.reveal(), &self.password_file, &self.password_ref),
            "at most one of basic_auth password, password_file & password_ref must be configured",
        )?;
        let username = Secret::from(self.username.as_str());
        Ok(Authorization::Basic {
            username: Source::of(&username, &self.username_file, &self.username_ref, dir),
            password: Source::of(&self.password, &self.password_file, &self.password_ref, dir),
        })
    }
}

/// `authorization`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AuthorizationConfig {
    kind: String,
    credentials: Secret,
    credentials_file: String,
    credentials_ref: String,
}

impl Section for AuthorizationConfig {
    const NAME: &'static str = "config.Authorization";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "type" => self.kind = entry.text()?,
            "credentials" => self.credentials = entry.text()?.into(),
            "credentials_file" => self.credentials_file = entry.text()?,
            "credentials_ref" => self.credentials_ref = entry.text()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

impl AuthorizationConfig {
    fn validate(&self, dir: &Path) -> Result<Authorization, ClientConfigError> {
        let (inline, file, reference) =
            (&self.credentials, &self.credentials_file, &self.credentials_ref);
        at_most_one(
            [!inline.is_empty(), !file.is_empty(), !reference.is_empty()],
            "at most one of authorization credentials & credentials_file must be configured",
        )?;
        let kind = match self.kind.trim() {
            "" => BEARER,
            kind => kind,
        };
        if kind.eq_ignore_ascii_case("basic") {
            return Err(ClientConfigError(
                r#"authorization type cannot be set to "basic", use "basic_auth" instead"#
                    .to_owned(),
            ));
        }
        Ok(Authorization::Credentials {
            kind: kind.to_owned(),
            credentials: Source::of(inline, file, reference, dir),
        })
    }
}

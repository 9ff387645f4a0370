//! Who we are to Azure, in each of the ways to say so.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::task;
use url::Url;

use super::cloud::Cloud;
use super::{Config, Method};
use crate::http::{self as client, Options, Proxy, Secret};
use crate::mechanism::StartError;
use crate::mechanism::ask::{self, Asker};
use crate::mechanism::bearer::{Token, TokenError};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What is next to this machine is there at once or not at all.
const NEAR_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error("cannot read {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("nobody says {0}")]
    Missing(&'static str),
    #[error(
        "AZURE_CLIENT_CERTIFICATE_PATH is set, and Sigyn cannot say who it is by a certificate: give \
         it a secret or a federated token"
    )]
    Certificate,
    #[error("{0:?} is no URL")]
    Url(String),
    #[error("cannot get a token for {0}")]
    Token(String, #[source] TokenError),
    #[error("cannot get a token of this machine's")]
    Machine(#[source] TokenError),
}

/// Gets tokens, and keeps the last one for as long as it holds.
#[derive(Debug)]
pub(super) struct Credentials {
    config: Config,
    far: Asker,
    near: Asker,
    token: Option<Token>,
}

/// A name, and where it is known.
struct Client {
    tenant: String,
    id: String,
}

impl Credentials {
    /// Nothing is looked for yet.
    pub(super) fn new(
        config: &Config,
        options: Options,
        timeout: Duration,
    ) -> Result<Self, StartError> {
        // What is asked with secrets is not to be sent on.
        let near = client::Config { follow_redirects: false, ..client::Config::default() };
        let from_environment = Proxy { from_environment: true, ..Proxy::default() };
        let far = client::Config { proxy: from_environment, ..near.clone() };
        let asker = |config: &client::Config, timeout| {
            Asker::new(config, options.clone(), HeaderMap::new(), timeout)
        };
        Ok(Self {
            config: config.clone(),
            far: asker(&far, timeout)?,
            near: asker(&near, timeout.min(NEAR_TIMEOUT))?,
            token: None,
        })
    }

    /// A token that holds.
    pub(super) async fn token(&mut self, cloud: Cloud) -> Result<Token, CredentialsError> {
        if let Some(token) = &self.token
            && token.holds()
        {
            return Ok(token.clone());
        }
        let Config { tenant_id, client_id, client_secret, method, environment, .. } = &self.config;
        let is_set = |name: &str| environment.get(name).is_some();
        let token = match method {
            Method::OAuth => {
                let client = Client { tenant: tenant_id.clone(), id: client_id.clone() };
                self.by_secret(cloud, &client, client_secret).await?
            }
            Method::WorkloadIdentity => self.by_file(cloud).await?,
            Method::ManagedIdentity => self.of_machine(cloud, client_id).await?,
            Method::Sdk if is_set("AZURE_CLIENT_SECRET") => {
                let secret = environment.get("AZURE_CLIENT_SECRET").unwrap_or_default();
                self.by_secret(cloud, &self.client()?, &secret.into()).await?
            }
            Method::Sdk if is_set("AZURE_CLIENT_CERTIFICATE_PATH") => {
                return Err(CredentialsError::Certificate);
            }
            Method::Sdk if is_set("AZURE_FEDERATED_TOKEN_FILE") => self.by_file(cloud).await?,
            Method::Sdk => {
                let id = environment.get("AZURE_CLIENT_ID").unwrap_or_default();
                self.of_machine(cloud, &id).await?
            }
        };
        Ok(self.token.insert(token).clone())
    }

    /// It is of no use: the next time another one is asked for.
    pub(super) fn forget(&mut self) {
        self.token = None;
    }

    /// What the section says of us, or else the environment.
    fn client(&self) -> Result<Client, CredentialsError> {
        let said = |key: &str, variable| match key {
            "" => self.config.environment.get(variable).ok_or(CredentialsError::Missing(variable)),
            key => Ok(key.to_owned()),
        };
        Ok(Client {
            tenant: said(&self.config.tenant_id, "AZURE_TENANT_ID")?,
            id: said(&self.config.client_id, "AZURE_CLIENT_ID")?,
        })
    }

    async fn by_secret(
        &self,
        cloud: Cloud,
        client: &Client,
        secret: &Secret,
    ) -> Result<Token, CredentialsError> {
        let form = [("client_secret", secret.reveal())];
        self.by_form(cloud, client, &form, secret).await
    }

    /// By a token that somebody puts into a file again and again.
    async fn by_file(&self, cloud: Cloud) -> Result<Token, CredentialsError> {
        const VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";
        let path = self.config.environment.get(VARIABLE);
        let path = PathBuf::from(path.ok_or(CredentialsError::Missing(VARIABLE))?);
        let client = self.client()?;
        let file = path.clone();
        let wrong = |source| CredentialsError::File { path, source };
        let text = match task::spawn_blocking(move || std::fs::read_to_string(file)).await {
            Ok(text) => text.map_err(wrong)?,
            // Only the runtime's end gets in the way, and then nobody waits for a token.
            Err(error) => return Err(wrong(io::Error::other(error))),
        };
        let token = Secret::from(text.trim());
        let form =
            [("client_assertion", token.reveal()), ("client_assertion_type", ASSERTION_TYPE)];
        self.by_form(cloud, &client, &form, &token).await
    }

    async fn by_form(
        &self,
        cloud: Cloud,
        client: &Client,
        more: &[(&str, &str)],
        secret: &Secret,
    ) -> Result<Token, CredentialsError> {
        let login = if self.config.login.is_empty() { cloud.login } else { &self.config.login };
        let mut url = parsed(login)?;
        // Only a URL without a host has no path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend([client.tenant.as_str(), "oauth2", "v2.0", "token"]);
        }
        let scope = format!("{}/.default", cloud.audience);
        let mut form = vec![
            ("client_id", client.id.as_str()),
            ("grant_type", "client_credentials"),
            ("scope", scope.as_str()),
        ];
        form.extend_from_slice(more);
        let token = Token::by(&self.far, &url, ask::form(&form), &[secret]).await;
        token.map_err(|source| CredentialsError::Token(client.id.clone(), source))
    }

    /// `client_id` is empty if the machine has one identity only.
    async fn of_machine(&self, cloud: Cloud, client_id: &str) -> Result<Token, CredentialsError> {
        let environment = &self.config.environment;
        let service = environment.get("IDENTITY_ENDPOINT").zip(environment.get("IDENTITY_HEADER"));
        let mut request = Request::new(Bytes::new());
        let (mut url, version, secret) = match service {
            Some((endpoint, header)) => {
                let value = HeaderValue::try_from(&header);
                let mut value = value.map_err(|_| CredentialsError::Missing("IDENTITY_HEADER"))?;
                value.set_sensitive(true);
                request.headers_mut().insert(HeaderName::from_static("x-identity-header"), value);
                (parsed(&endpoint)?, "2019-08-01", Secret::from(header))
            }
            None => {
                let value = HeaderValue::from_static("true");
                request.headers_mut().insert(HeaderName::from_static("metadata"), value);
                let mut url = parsed(&self.config.metadata)?;
                url.set_path("/metadata/identity/oauth2/token");
                (url, "2018-02-01", Secret::default())
            }
        };
        url.query_pairs_mut()
            .append_pair("api-version", version)
            .append_pair("resource", cloud.audience);
        if !client_id.is_empty() {
            url.query_pairs_mut().append_pair("client_id", client_id);
        }
        let token = Token::by(&self.near, &url, request, &[&secret]).await;
        token.map_err(CredentialsError::Machine)
    }
}

fn parsed(text: &str) -> Result<Url, CredentialsError> {
    text.parse().map_err(|_| CredentialsError::Url(text.to_owned()))
}

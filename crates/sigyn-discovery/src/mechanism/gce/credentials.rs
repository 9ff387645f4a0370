//! Who we are to Google: what a file says, or the machine that this runs on.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::task;
use url::Url;

use crate::http::{self as client, Options, Proxy, Secret, SignatureAlgorithm, signed_jwt};
use crate::mechanism::ask::{self, Asker};
use crate::mechanism::bearer::{Token, TokenError};
use crate::mechanism::{Environment, StartError};

/// All that a token has to be good for.
const SCOPE: &str = "https://www.googleapis.com/auth/compute.readonly";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// For so long a signed statement holds.
const STATEMENT_HOLDS: Duration = Duration::from_secs(3600);
/// What is next to this machine is there at once or not at all.
const NEAR_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error("cannot read {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    // What else is in there may be secret.
    #[error("{} holds no credentials", .0.display())]
    NoCredentials(PathBuf),
    #[error(
        "{} holds credentials of the type {kind:?}, which Sigyn does not speak: it speaks \
         service_account and authorized_user",
        .path.display()
    )]
    Kind { path: PathBuf, kind: String },
    #[error("the private key of {0} cannot be used")]
    Key(String),
    #[error("{0:?} is no URL")]
    Url(String),
    #[error("cannot get a token for {0}")]
    Token(String, #[source] TokenError),
    #[error("cannot get a token of this machine's, and no file has credentials")]
    Machine(#[source] TokenError),
}

/// What a file holds. Not to be shown.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum File {
    #[serde(rename = "service_account")]
    ServiceAccount {
        client_email: String,
        private_key: String,
        #[serde(default)]
        private_key_id: String,
        token_uri: Option<String>,
    },
    #[serde(rename = "authorized_user")]
    AuthorizedUser {
        client_id: String,
        client_secret: String,
        refresh_token: String,
        token_uri: Option<String>,
    },
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

/// Finds credentials, gets tokens for them, and keeps the last one for as long as it holds.
#[derive(Debug)]
pub(super) struct Credentials {
    environment: Environment,
    far: Asker,
    near: Asker,
    token: Option<Token>,
}

impl Credentials {
    /// Errors if there is a file, and nothing in it can be used.
    pub(super) async fn new(
        environment: &Environment,
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
        let credentials = Self {
            environment: environment.clone(),
            far: asker(&far, timeout)?,
            near: asker(&near, timeout.min(NEAR_TIMEOUT))?,
            token: None,
        };
        credentials.file().await.map_err(crate::mechanism::ask::boxed)?;
        Ok(credentials)
    }

    /// A token that holds.
    pub(super) async fn token(&mut self) -> Result<Token, CredentialsError> {
        if let Some(token) = &self.token
            && token.holds()
        {
            return Ok(token.clone());
        }
        let token = match self.file().await? {
            None => self.of_machine().await?,
            Some(File::ServiceAccount { client_email, private_key, private_key_id, token_uri }) => {
                let uri = token_uri.unwrap_or_else(|| TOKEN_URI.to_owned());
                let key = Secret::from(private_key);
                let statement = statement(&client_email, &key, &private_key_id, &uri)?;
                let form = [("grant_type", JWT_BEARER), ("assertion", statement.reveal())];
                self.by_form(&uri, &form, &[&statement], client_email.clone()).await?
            }
            Some(File::AuthorizedUser { client_id, client_secret, refresh_token, token_uri }) => {
                let uri = token_uri.unwrap_or_else(|| TOKEN_URI.to_owned());
                let (secret, refresh) = (Secret::from(client_secret), Secret::from(refresh_token));
                let form = [
                    ("grant_type", "refresh_token"),
                    ("client_id", client_id.as_str()),
                    ("client_secret", secret.reveal()),
                    ("refresh_token", refresh.reveal()),
                ];
                self.by_form(&uri, &form, &[&secret, &refresh], client_id.clone()).await?
            }
        };
        Ok(self.token.insert(token).clone())
    }

    /// It is of no use: the next time another one is asked for.
    pub(super) fn forget(&mut self) {
        self.token = None;
    }

    async fn by_form(
        &self,
        uri: &str,
        form: &[(&str, &str)],
        secrets: &[&Secret],
        whose: String,
    ) -> Result<Token, CredentialsError> {
        let url: Url = uri.parse().map_err(|_| CredentialsError::Url(uri.to_owned()))?;
        let token = Token::by(&self.far, &url, ask::form(form), secrets).await;
        token.map_err(|source| CredentialsError::Token(whose, source))
    }

    async fn of_machine(&self) -> Result<Token, CredentialsError> {
        let host = self.environment.get("GCE_METADATA_HOST");
        let host = host.unwrap_or_else(|| "169.254.169.254".to_owned());
        let text =
            format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
        let mut url: Url = text.parse().map_err(|_| CredentialsError::Url(text.clone()))?;
        url.query_pairs_mut().append_pair("scopes", SCOPE);
        let mut request = Request::new(Bytes::new());
        request
            .headers_mut()
            .insert(HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));
        Token::by(&self.near, &url, request, &[]).await.map_err(CredentialsError::Machine)
    }

    /// What a file says, if there is one. It is read each time.
    async fn file(&self) -> Result<Option<File>, CredentialsError> {
        let environment = self.environment.clone();
        let read = task::spawn_blocking(move || read(&environment)).await;
        // Only the runtime's end gets in the way, and then nobody waits for a token.
        read.unwrap_or(Ok(None))
    }
}

fn read(environment: &Environment) -> Result<Option<File>, CredentialsError> {
    let named = environment.get("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
    let is_named = named.is_some();
    let usual = || {
        let home = environment.get("HOME")?;
        Some(Path::new(&home).join(".config/gcloud/application_default_credentials.json"))
    };
    let Some(path) = named.or_else(usual) else { return Ok(None) };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if !is_named && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CredentialsError::File { path, source }),
    };
    if let Ok(file) = serde_json::from_str(&text) {
        return Ok(Some(file));
    }
    match serde_json::from_str::<Kind>(&text) {
        Ok(Kind { kind }) if !["service_account", "authorized_user"].contains(&kind.as_str()) => {
            Err(CredentialsError::Kind { path, kind })
        }
        _ => Err(CredentialsError::NoCredentials(path)),
    }
}

/// That we are who we say, signed with the account's key.
fn statement(
    email: &str,
    key: &Secret,
    key_id: &str,
    audience: &str,
) -> Result<Secret, CredentialsError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims: Map<String, Value> = [
        ("iss", json!(email)),
        ("scope", json!(SCOPE)),
        ("aud", json!(audience)),
        ("iat", json!(now.as_secs())),
        ("exp", json!((now + STATEMENT_HOLDS).as_secs())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    signed_jwt(key, key_id, SignatureAlgorithm::Rs256, &claims)
        .map(Secret::from)
        .map_err(|_| CredentialsError::Key(email.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_what_they_hold() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        let given = |name: &str, path: &Path| {
            let variables = [(name.to_owned(), path.display().to_string())];
            read(&Environment::Given(variables.into()))
        };
        let named = || given("GOOGLE_APPLICATION_CREDENTIALS", &path);
        let error = named().map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, format!("cannot read {}", path.display()));
        let check = |text: &str, expected: &str| {
            std::fs::write(&path, text).unwrap();
            let error = named().map(|_| ()).unwrap_err().to_string();
            assert_eq!(error, format!("{} {expected}", path.display()));
        };
        check("hidden", "holds no credentials");
        check("{}", "holds no credentials");
        check(r#"{"type": "service_account", "private_key": "hidden"}"#, "holds no credentials");
        check(
            r#"{"type": "external_account", "audience": "hidden"}"#,
            "holds credentials of the type \"external_account\", which Sigyn does not speak: it \
             speaks service_account and authorized_user",
        );
        let user = r#"{"type": "authorized_user", "client_id": "me", "client_secret": "hidden",
            "refresh_token": "hidden", "quota_project_id": "p"}"#;
        std::fs::write(&path, user).unwrap();
        assert!(matches!(named(), Ok(Some(File::AuthorizedUser { .. }))));
        // Where Google's own tools leave it.
        assert!(matches!(given("HOME", dir.path()), Ok(None)));
        let usual = dir.path().join(".config/gcloud");
        std::fs::create_dir_all(&usual).unwrap();
        std::fs::rename(&path, usual.join("application_default_credentials.json")).unwrap();
        assert!(matches!(given("HOME", dir.path()), Ok(Some(File::AuthorizedUser { .. }))));
        assert!(matches!(read(&Environment::Given([].into())), Ok(None)));
    }

    #[test]
    fn a_key_that_is_none_is_not_shown() {
        let error = statement("me@shop", &"hidden".into(), "", TOKEN_URI).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the private key of me@shop cannot be used");
    }
}

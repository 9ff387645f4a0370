//! Credentials that a program says: the `exec` of a kubeconfig's user.

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use http::header::HeaderValue;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::api::Session;
use crate::http::{Client, ClientError, Config, Options, Source};
use crate::mechanism::ask::nullable;

/// How long the program may take. Some ask a server of their own.
const TIME_MAX: Duration = Duration::from_secs(60);
/// How much of what it says is read.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;
/// How much of its complaints is shown.
const COMPLAINT_MAX: usize = 200;

/// A program that says credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exec {
    /// Its name, or its path.
    pub(super) command: String,
    pub(super) arguments: Vec<String>,
    /// Variables beside our own.
    pub(super) environment: Vec<(String, String)>,
    /// The version of what it is told and says.
    pub(super) api_version: String,
    /// What it is told of the cluster, if it wants to be told.
    pub(super) cluster: Option<serde_json::Value>,
    /// Where its path begins if it is relative.
    pub(super) dir: PathBuf,
}

/// Who we are by what a program says, until that expires or is refused.
#[derive(Debug)]
pub(super) struct Login {
    exec: Exec,
    config: Config,
    options: Options,
    client: Client,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    session: Option<Session>,
    expires: Option<Timestamp>,
    /// How many there were.
    number: u64,
}

/// Why there are no credentials. What the program says is in none of them, but for its complaints.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecError {
    #[error("cannot run {command}")]
    Start { command: String, source: io::Error },
    #[error("{command} took longer than {} s", TIME_MAX.as_secs())]
    Time { command: String },
    #[error("{command} failed with {status}: {complaint}")]
    Failed { command: String, status: ExitStatus, complaint: String },
    #[error("{command} did not say an ExecCredential of {api_version}")]
    Foreign { command: String, api_version: String },
    #[error("{command} said an ExecCredential without {what}")]
    Incomplete { command: String, what: &'static str },
    #[error("{command} said credentials that cannot be used")]
    Client { command: String, source: Box<ClientError> },
}

/// What the program says. It has no `Debug`, since it is secret.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    #[serde(deserialize_with = "nullable")]
    kind: String,
    #[serde(deserialize_with = "nullable")]
    api_version: String,
    #[serde(deserialize_with = "nullable")]
    status: Credentials,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Credentials {
    #[serde(deserialize_with = "nullable")]
    token: String,
    #[serde(deserialize_with = "nullable")]
    client_certificate_data: String,
    #[serde(deserialize_with = "nullable")]
    client_key_data: String,
    #[serde(deserialize_with = "nullable")]
    expiration_timestamp: String,
}

impl Login {
    /// `config` is all but who we are.
    pub(super) fn new(exec: Exec, config: Config, options: Options) -> Result<Self, ClientError> {
        let client = Client::new(&config, options.clone())?;
        Ok(Self { exec, config, options, client, held: Mutex::default() })
    }

    /// A way in. The program is run if what it said has expired.
    pub(super) async fn session(&self) -> Result<Session, ExecError> {
        let mut held = self.held.lock().await;
        self.current(&mut held).await
    }

    /// A way in that is another than the refused one. The program is run unless that is done.
    pub(super) async fn renewed(&self, refused: &Session) -> Result<Session, ExecError> {
        let mut held = self.held.lock().await;
        if held.number == refused.number {
            held.session = None;
        }
        self.current(&mut held).await
    }

    async fn current(&self, held: &mut Held) -> Result<Session, ExecError> {
        let has_expired = held.expires.is_some_and(|expires| expires <= Timestamp::now());
        if let Some(session) = held.session.as_ref().filter(|_| !has_expired) {
            return Ok(session.clone());
        }
        let credentials = self.exec.run().await?;
        held.session = None;
        held.expires = self.expires(&credentials)?;
        held.number += 1;
        let session = Session {
            client: self.client(&credentials)?,
            authorization: self.authorization(&credentials)?,
            number: held.number,
        };
        Ok(held.session.insert(session).clone())
    }

    fn expires(&self, credentials: &Credentials) -> Result<Option<Timestamp>, ExecError> {
        match credentials.expiration_timestamp.as_str() {
            "" => Ok(None),
            text => match text.parse() {
                Ok(expires) => Ok(Some(expires)),
                Err(_) => Err(self.exec.incomplete("a time in expirationTimestamp")),
            },
        }
    }

    fn client(&self, credentials: &Credentials) -> Result<Client, ExecError> {
        let cert = credentials.client_certificate_data.as_str();
        let key = credentials.client_key_data.as_str();
        if cert.is_empty() && key.is_empty() {
            return Ok(self.client.clone());
        }
        let mut config = self.config.clone();
        config.tls.cert = Some(Source::Inline(cert.into()));
        config.tls.key = Some(Source::Inline(key.into()));
        Client::new(&config, self.options.clone()).map_err(|source| ExecError::Client {
            command: self.exec.command.clone(),
            source: Box::new(source),
        })
    }

    fn authorization(&self, credentials: &Credentials) -> Result<Option<HeaderValue>, ExecError> {
        if credentials.token.is_empty() {
            return Ok(None);
        }
        let value = HeaderValue::try_from(format!("Bearer {}", credentials.token));
        let mut value =
            value.map_err(|_| self.exec.incomplete("a token that can stand in a header"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl Exec {
    async fn run(&self) -> Result<Credentials, ExecError> {
        let mut info = json!({
            "kind": "ExecCredential",
            "apiVersion": self.api_version,
            "spec": {"interactive": false},
        });
        if let Some(cluster) = &self.cluster {
            info["spec"]["cluster"] = cluster.clone();
        }
        let mut command = Command::new(self.path());
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("KUBERNETES_EXEC_INFO", info.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let name = || self.command.clone();
        let said = timeout(TIME_MAX, output(command)).await;
        let said = said.map_err(|_| ExecError::Time { command: name() })?;
        let (status, said, complaint) =
            said.map_err(|source| ExecError::Start { command: name(), source })?;
        if !status.success() {
            return Err(ExecError::Failed { command: name(), status, complaint: last(&complaint) });
        }
        self.understood(&said)
    }

    fn understood(&self, said: &[u8]) -> Result<Credentials, ExecError> {
        // What is wrong with it would be told with a piece of it.
        let said: Said = serde_json::from_slice(said).unwrap_or_default();
        if said.kind != "ExecCredential" || said.api_version != self.api_version {
            return Err(ExecError::Foreign {
                command: self.command.clone(),
                api_version: self.api_version.clone(),
            });
        }
        let credentials = said.status;
        let has_cert = !credentials.client_certificate_data.is_empty();
        let has_key = !credentials.client_key_data.is_empty();
        if has_cert != has_key {
            return Err(self.incomplete("both clientCertificateData and clientKeyData"));
        }
        if !has_cert && credentials.token.is_empty() {
            return Err(self.incomplete("a token or a clientCertificateData"));
        }
        Ok(credentials)
    }

    /// A name is looked for where programs are; a relative path begins where the kubeconfig is.
    fn path(&self) -> PathBuf {
        let path = Path::new(&self.command);
        if self.command.contains('/') { self.dir.join(path) } else { path.to_owned() }
    }

    fn incomplete(&self, what: &'static str) -> ExecError {
        ExecError::Incomplete { command: self.command.clone(), what }
    }
}

/// Runs a program to its end; what it says, and what it complains.
async fn output(mut command: Command) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let mut child = command.spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (said, complaint, status) = tokio::join!(read(out), read(err), child.wait());
    Ok((status?, said?, complaint?))
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    if let Some(stream) = stream {
        stream.take(OUTPUT_BYTES_MAX).read_to_end(&mut read).await?;
    }
    Ok(read)
}

/// The last line of a text, which usually says what went wrong.
fn last(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().take(COMPLAINT_MAX).collect()
}

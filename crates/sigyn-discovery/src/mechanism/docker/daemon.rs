//! Asking a Docker daemon, over TCP or a unix socket.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::Filters;
use crate::go_url::shown;
use crate::http::{Config, Options};
use crate::labels::quoted;
use crate::mechanism::StartError;
use crate::mechanism::ask::{ANSWER_BYTES_MAX, AskError, Asker, boxed, parsed};

/// Where a daemon listens.
#[derive(Debug)]
pub(in crate::mechanism) enum Daemon {
    Tcp { asker: Asker, base: Url },
    Unix { socket: PathBuf, options: Options, timeout: Duration },
}

/// Why there is no answer of use.
#[derive(Debug, thiserror::Error)]
pub(in crate::mechanism) enum DaemonError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("cannot connect to {}", .socket.display())]
    Connect { socket: PathBuf, source: io::Error },
    #[error("the daemon broke off")]
    Broken(#[source] hyper::Error),
    #[error("the answer cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no whole answer in time")]
    Timeout,
    #[error("the answer is not what Docker answers")]
    Json(#[from] serde_json::Error),
}

/// Why a daemon cannot even be asked. No login is in it.
#[derive(Debug, thiserror::Error)]
#[error("unable to parse docker host {}", quoted(.0))]
struct HostError(String);

impl Daemon {
    /// `client` says how to ask one that is named by `http://`.
    pub(in crate::mechanism) fn new(
        host: &str,
        client: &Config,
        options: Options,
        timeout: Duration,
    ) -> Result<Self, StartError> {
        let refused = || boxed(HostError(shown(host)));
        let (scheme, rest) = host.split_once("://").ok_or_else(refused)?;
        let (client, base) = match scheme.to_ascii_lowercase().as_str() {
            "unix" => {
                return Ok(Self::Unix { socket: PathBuf::from(rest), options, timeout });
            }
            "http" | "https" => (client.clone(), host.to_owned()),
            // The client's keys are about HTTP, for Prometheus too.
            "tcp" => (Config::default(), format!("http://{rest}")),
            _ => return Err(refused()),
        };
        let mut asker = Asker::new(&client, options, HeaderMap::new(), timeout)?;
        let mut base = parsed(&base)?;
        asker.log_in(&mut base)?;
        Ok(Self::Tcp { asker, base })
    }

    /// The newest version of the API that the daemon speaks, as the beginning of paths: `v1.44`.
    pub(in crate::mechanism) async fn version(&self) -> Result<Option<String>, DaemonError> {
        let (headers, _) = self.get(&["_ping"], None).await?;
        let version = headers.get("api-version").and_then(|version| version.to_str().ok());
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        Ok(version.filter(|version| version.chars().all(is_number)).map(|own| format!("v{own}")))
    }

    /// A list, if it is one.
    pub(in crate::mechanism) async fn list<T: DeserializeOwned>(
        &self,
        version: Option<&str>,
        path: &[&str],
        filters: Option<&str>,
    ) -> Result<Vec<T>, DaemonError> {
        let path: Vec<&str> = version.into_iter().chain(path.iter().copied()).collect();
        let (_, body) = self.get(&path, filters).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    async fn get(
        &self,
        path: &[&str],
        filters: Option<&str>,
    ) -> Result<(HeaderMap, Bytes), DaemonError> {
        match self {
            Self::Tcp { asker, base } => Ok(asker.get(&question(base, path, filters)).await?),
            Self::Unix { socket, options, timeout } => {
                // The host has to be one, and does not matter.
                let base = Url::parse("http://docker").map_err(body_error)?;
                let url = question(&base, path, filters);
                let deadline = Instant::now() + *timeout;
                let answer = ask_socket(socket, &url, options, deadline);
                timeout_at(deadline, answer).await.map_err(|_| DaemonError::Timeout)?
            }
        }
    }
}

/// Filters as Docker reads them, if there are any: `{"name":{"value":true}}`.
pub(in crate::mechanism) fn as_json(filters: &Filters) -> Option<String> {
    let filter = |(name, values): (&String, &BTreeSet<String>)| {
        let values = values.iter().map(|value| (value.clone(), true.into()));
        (name.clone(), serde_json::Value::Object(values.collect()))
    };
    let filters: serde_json::Map<_, _> = filters.iter().map(filter).collect();
    (!filters.is_empty()).then(|| serde_json::Value::Object(filters).to_string())
}

fn body_error(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DaemonError {
    DaemonError::Body(error.into())
}

fn question(base: &Url, path: &[&str], filters: Option<&str>) -> Url {
    let mut url = base.clone();
    // Only a URL without a host has no path.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    if let Some(filters) = filters {
        url.query_pairs_mut().append_pair("filters", filters);
    }
    url
}

/// One question over a connection of its own.
async fn ask_socket(
    socket: &Path,
    url: &Url,
    options: &Options,
    deadline: Instant,
) -> Result<(HeaderMap, Bytes), DaemonError> {
    let stream = UnixStream::connect(socket).await;
    let stream =
        stream.map_err(|source| DaemonError::Connect { socket: socket.to_owned(), source })?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(DaemonError::Broken)?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = url[url::Position::BeforePath..].parse().map_err(body_error)?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    request.headers_mut().insert(USER_AGENT, options.user_agent.clone());
    let answer = async {
        let answer = sender.send_request(request).await.map_err(DaemonError::Broken)?;
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::OK {
            return Err(AskError::Status(head.status).into());
        }
        let body = options.room.read(body, ANSWER_BYTES_MAX, deadline).await;
        Ok((head.headers, body.map_err(body_error)?))
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        // Whoever reads the answer hears of it if the connection ends.
        answer = &mut answer => answer,
        _ended = &mut connection => answer.await,
    }
}

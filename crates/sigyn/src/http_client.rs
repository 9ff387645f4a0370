//! An HTTP client for asking a running tracer, or another server that a person names, and for the demo's own
//! calls.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, Uri, Version};
use http_body_util::BodyExt as _;
use serde::de::MapAccess;
use sigyn_discovery::http::{Client, ClientConfig, ClientError, Config, Options};
use sigyn_discovery::yaml::{self, Entry, Section};
use tokio::time::Instant;

/// An answer that is larger than this is not read to its end, unless its reader says otherwise.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// How much longer than the whole the client below may wait, so that it is here that time runs out.
const MARGIN: Duration = Duration::from_secs(1);

/// Connections are kept and reused; every request has a deadline.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client,
    timeout: Duration,
    answer_bytes_max: usize,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("{url:?} is no URL")]
    Url { url: String, source: http::Error },
    #[error("cannot ask {url}: only http:// and https:// are supported")]
    Scheme { url: String },
    #[error("cannot ask {url}")]
    Request { url: String, source: Box<ClientError> },
    #[error("cannot read the answer of {url}")]
    Body { url: String, source: hyper::Error },
    #[error("{url} did not answer within {timeout:?}")]
    Timeout { url: String, timeout: Duration },
    #[error("the answer of {url} is larger than {} MiB", .bytes_max >> 20)]
    TooLarge { url: String, bytes_max: usize },
}

impl HttpClient {
    /// Without credentials, and without following redirects.
    pub(crate) fn new(timeout: Duration) -> Self {
        let config = Config { follow_redirects: false, ..Config::default() };
        let client = Client::new(&config, Options::default());
        Self::over(client.expect("nothing is configured that could be wrong"), timeout)
    }

    /// As a file says that has what a job has for its client, such as `basic_auth` and `tls_config`.
    pub(crate) fn configured(file: Option<&Path>, timeout: Duration) -> anyhow::Result<Self> {
        let Some(file) = file else { return Ok(Self::new(timeout)) };
        let client = client_config(file)
            .and_then(|config| Ok(Client::new(&config, Options::default())?))
            .with_context(|| format!("failed to load HTTP config file {}", file.display()))?;
        Ok(Self::over(client, timeout))
    }

    fn over(client: Client, timeout: Duration) -> Self {
        Self { client, timeout, answer_bytes_max: ANSWER_BYTES_MAX }
    }

    /// The same client for answers of no more than so many bytes.
    pub(crate) fn with_answer_bytes_max(self, answer_bytes_max: usize) -> Self {
        Self { answer_bytes_max, ..self }
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Answer, HttpError> {
        self.send("GET", url, HeaderMap::new(), Bytes::new()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, HttpError> {
        let no_url = |source| HttpError::Url { url: url.to_owned(), source };
        let uri: Uri = url.parse().map_err(|error| no_url(http::Error::from(error)))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(HttpError::Scheme { url: url.to_owned() });
        }
        let request = Request::builder().method(method).uri(uri).body(body);
        let mut request = request.map_err(no_url)?;
        *request.headers_mut() = headers;
        let (timeout, bytes_max) = (self.timeout, self.answer_bytes_max);
        let url = short(url);
        let exchange = async {
            let asked = self.client.send(request, Instant::now() + timeout + MARGIN).await;
            let response = asked.map_err(|source| HttpError::Request {
                url: url.to_owned(),
                source: Box::new(source),
            })?;
            let (parts, mut incoming) = response.into_parts();
            let mut body = BytesMut::new();
            while let Some(frame) = incoming.frame().await {
                let frame =
                    frame.map_err(|source| HttpError::Body { url: url.to_owned(), source })?;
                let Ok(data) = frame.into_data() else { continue };
                if body.len() + data.len() > bytes_max {
                    return Err(HttpError::TooLarge { url: url.to_owned(), bytes_max });
                }
                body.extend_from_slice(&data);
            }
            let http::response::Parts { status, version, headers, .. } = parts;
            Ok(Answer { status, version, headers, body: body.freeze() })
        };
        let answer = tokio::time::timeout(timeout, exchange).await;
        answer.unwrap_or_else(|_| Err(HttpError::Timeout { url: url.to_owned(), timeout }))
    }
}

fn client_config(file: &Path) -> anyhow::Result<Config> {
    #[derive(Default)]
    struct Written(ClientConfig);

    impl Section for Written {
        const NAME: &'static str = "config.HTTPClientConfig";

        fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
            match self.0.field(entry)? {
                Some(entry) => entry.unknown(),
                None => Ok(()),
            }
        }
    }

    let written: Written = yaml::section(&std::fs::read_to_string(file)?)?;
    let dir = file.parent().map(PathBuf::from).unwrap_or_default();
    Ok(written.0.validate(&dir)?)
}

/// A URL as a message quotes it: one that lists a thousand ids tells no more than its beginning.
fn short(url: &str) -> &str {
    const BYTES_MAX: usize = 200;
    let mut end = url.len().min(BYTES_MAX);
    while !url.is_char_boundary(end) {
        end -= 1;
    }
    &url[..end]
}

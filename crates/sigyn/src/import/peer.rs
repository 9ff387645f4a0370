//! One of the two servers of an import: asked patiently, within bounds, and by the hints it gives.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::otlp;
use super::progress::Progress;
use crate::http_client::{Answer, HttpClient, HttpError};
use crate::unpack::{Encoding, UnpackError, unpack};

/// How often one request is tried.
const TRIES_MAX: u32 = 8;
/// How long the second try waits; each further one waits twice as long.
const WAIT_FIRST: Duration = Duration::from_millis(500);
/// No server is waited for longer at a time, whatever it says.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long one answer may take: Zipkin gives its own queries 11 s, and the way may be slow.
const TIMEOUT: Duration = Duration::from_secs(60);
/// No larger answer is read, neither as it comes nor inflated.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// A message quotes no more of what a server says.
const TOLD_CHARS_MAX: usize = 300;

/// A server and how it is asked.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    base: String,
    client: HttpClient,
    progress: Arc<Progress>,
}

/// Why a server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("the answer is larger than {} MiB", ANSWER_BYTES_MAX >> 20)]
    TooLarge,
    /// It says that the request is at fault: asking again does not help.
    #[error("{base} answers {status}: {told}")]
    Refused { base: String, status: StatusCode, told: String },
    #[error("{base} answers {status}, and did so {TRIES_MAX} times: {told}")]
    Failing { base: String, status: StatusCode, told: String },
    #[error("there is no answer, after {TRIES_MAX} tries")]
    Silent(#[source] HttpError),
    #[error(transparent)]
    Address(HttpError),
    #[error("cannot unpack the answer of {base}")]
    Unpack { base: String, source: UnpackError },
}

impl Peer {
    /// `config` is a file that says how to ask it.
    pub(super) fn new(
        base: String,
        config: Option<&Path>,
        progress: Arc<Progress>,
    ) -> anyhow::Result<Self> {
        let client = HttpClient::configured(config, TIMEOUT)?;
        Ok(Self { base, client: client.with_answer_bytes_max(ANSWER_BYTES_MAX), progress })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The body of a successful answer; `None` if there is nothing at this path (404).
    pub(super) async fn get(&self, path: &str) -> Result<Option<Bytes>, PeerError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        match self.ask("GET", path, &headers, &Bytes::new()).await {
            Ok(answer) => self.unpacked(&answer).map(Some),
            Err(PeerError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            // It knows by itself that the answer would be too large.
            Err(PeerError::Refused { status: StatusCode::PAYLOAD_TOO_LARGE, .. }) => {
                Err(PeerError::TooLarge)
            }
            Err(error) => Err(error),
        }
    }

    /// The same, tried once: whether anybody is there at all.
    pub(super) async fn once(&self, path: &str) -> anyhow::Result<Bytes> {
        let answer = self.client.get(&format!("{}{path}", self.base)).await?;
        if !answer.status.is_success() {
            return Err(self.refusal(&answer).into());
        }
        Ok(answer.body)
    }

    /// Sends a body, compressed.
    pub(super) async fn post(
        &self,
        path: &str,
        content_type: &'static str,
        body: &[u8],
    ) -> Result<Answer, PeerError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        self.ask("POST", path, &headers, &Bytes::from(gzip(body))).await
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Answer, PeerError> {
        let url = format!("{}{path}", self.base);
        let mut wait = WAIT_FIRST;
        let mut tries = 1;
        loop {
            let (error, hint) =
                match self.client.send(method, &url, headers.clone(), body.clone()).await {
                    Ok(answer) if answer.status.is_success() => return Ok(answer),
                    Ok(answer) => {
                        let hint = retry_after(&answer.headers);
                        let error = self.refusal(&answer);
                        if matches!(error, PeerError::Refused { .. }) {
                            return Err(error);
                        }
                        (error, hint)
                    }
                    Err(HttpError::TooLarge { .. }) => return Err(PeerError::TooLarge),
                    Err(error @ (HttpError::Url { .. } | HttpError::Scheme { .. })) => {
                        return Err(PeerError::Address(error));
                    }
                    Err(error) => (PeerError::Silent(error), None),
                };
            if tries == TRIES_MAX {
                return Err(error);
            }
            let pause = hint.unwrap_or_default().max(wait).min(WAIT_MAX);
            let cause = match error {
                PeerError::Failing { status, .. } => format!("{} answers {status}", self.base),
                PeerError::Silent(error) => format!("{:#}", anyhow::Error::new(error)),
                error => error.to_string(),
            };
            self.progress.tell(&format!(
                "{cause}: trying again in {} ms (try {} of {TRIES_MAX})",
                pause.as_millis(),
                tries + 1
            ));
            tokio::time::sleep(pause).await;
            tries += 1;
            wait *= 2;
        }
    }

    /// What an answer without success means, in the server's words.
    fn refusal(&self, answer: &Answer) -> PeerError {
        let (base, status) = (self.base.clone(), answer.status);
        let body = plain(answer).unwrap_or_default();
        let type_ = answer.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let told = match type_ {
            Some(b"application/x-protobuf") => otlp::status_message(&body),
            _ => String::from_utf8_lossy(&body).into_owned(),
        };
        let told = told.trim().chars().take(TOLD_CHARS_MAX);
        let told = told.map(|c| if c.is_control() { ' ' } else { c }).collect();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            PeerError::Failing { base, status, told }
        } else {
            PeerError::Refused { base, status, told }
        }
    }

    fn unpacked(&self, answer: &Answer) -> Result<Bytes, PeerError> {
        plain(answer).map_err(|source| match source {
            UnpackError::TooLarge { .. } => PeerError::TooLarge,
            source => PeerError::Unpack { base: self.base.clone(), source },
        })
    }
}

impl PeerError {
    /// Whether the request itself may have been too much, rather than the server being away.
    pub(super) fn is_overwhelmed(&self) -> bool {
        matches!(
            self,
            Self::Failing { .. } | Self::Silent(HttpError::Timeout { .. } | HttpError::Body { .. })
        )
    }
}

/// An answer's body as it was before compression.
fn plain(answer: &Answer) -> Result<Bytes, UnpackError> {
    let encoding = answer.headers.get(CONTENT_ENCODING);
    if encoding.is_none_or(|value| !value.as_bytes().eq_ignore_ascii_case(b"gzip")) {
        return Ok(answer.body.clone());
    }
    let unpacked = unpack(Encoding::Gzip, &answer.body, ANSWER_BYTES_MAX)?;
    Ok(unpacked.unwrap_or_default().into())
}

/// Compressed quickly: the network is rarely as slow as thorough compression.
fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // A Vec takes everything.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// In seconds; the other form of the header, a date, is as rare as it is useless here.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

//! Requests to the API of a cluster: which answers are of use, and what the others say.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use super::exec::{ExecError, Login};
use crate::http::{Client, ClientError};
use crate::mechanism::ask::nullable;

/// What an API says about a request that it refuses is read up to here, and shown up to there.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
const REFUSAL_SHOWN_MAX: usize = 300;

/// The API of one cluster, asked as somebody.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) base: Url,
    pub(super) access: Access,
}

/// How to ask it.
#[derive(Debug)]
pub(super) enum Access {
    /// With what the client has.
    Client(Client),
    /// With what a program says.
    Exec(Box<Login>),
}

/// One request's way in.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) authorization: Option<HeaderValue>,
    /// Which of several that followed each other it is.
    pub(super) number: u64,
}

/// Why there is no answer of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("cannot ask {url}")]
    Request { url: String, source: Box<ClientError> },
    #[error("there are no credentials")]
    Login(#[from] ExecError),
    #[error("server returned HTTP status {0}{1}")]
    Status(StatusCode, Refusal),
}

/// What the API says about what it refuses, as far as it does.
#[derive(Debug, Default)]
pub(super) struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            "" => Ok(()),
            said => write!(f, ": {said}"),
        }
    }
}

/// An answer, or an event, that says that something is wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    #[serde(deserialize_with = "nullable")]
    message: String,
    #[serde(deserialize_with = "nullable")]
    reason: String,
    #[serde(deserialize_with = "nullable")]
    code: u16,
}

impl Status {
    /// Whether what was asked for is too old to be known.
    pub(super) fn is_gone(&self) -> bool {
        self.code == StatusCode::GONE.as_u16() || matches!(self.reason.as_str(), "Expired" | "Gone")
    }

    pub(super) fn refusal(&self) -> Refusal {
        let said = if self.message.is_empty() { &self.reason } else { &self.message };
        Refusal(said.chars().take(REFUSAL_SHOWN_MAX).collect())
    }
}

impl ApiError {
    fn refused(status: StatusCode, body: &[u8]) -> Self {
        let said: Status = serde_json::from_slice(body).unwrap_or_default();
        Self::Status(status, said.refusal())
    }

    /// Whether what was asked for is too old to be known.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Status(StatusCode::GONE, _))
    }

    /// Whether the answer is larger than it may be.
    pub(super) fn is_too_large(&self) -> bool {
        let Self::Request { source, .. } = self else { return false };
        matches!(**source, ClientError::TooLarge { .. } | ClientError::NoRoom { .. })
    }

    /// Whether the API has not understood: asking the same again brings the same.
    pub(super) fn is_misunderstood(&self) -> bool {
        let Self::Status(status, _) = self else { return false };
        let may_pass = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        status.is_client_error() && !may_pass.contains(status)
    }
}

impl Api {
    /// A whole answer of `limit` bytes at most.
    pub(super) async fn get(
        &self,
        url: &Url,
        limit: usize,
        deadline: Instant,
    ) -> Result<Bytes, ApiError> {
        let mut session = self.session().await?;
        let mut may_renew = true;
        loop {
            let headers = session.headers();
            let answer = session.client.get(url.as_str(), headers, limit, deadline).await;
            let (head, body) = answer.map_err(|source| failed(url, source))?;
            if head.status == StatusCode::OK {
                return Ok(body);
            }
            match self.renewed(&session, head.status, &mut may_renew).await? {
                Some(renewed) => session = renewed,
                None => return Err(ApiError::refused(head.status, &body)),
            }
        }
    }

    /// An answer that is to be read for as long as it goes on. It has begun by the `deadline`.
    pub(super) async fn open(&self, url: &Url, deadline: Instant) -> Result<Incoming, ApiError> {
        let mut session = self.session().await?;
        let mut may_renew = true;
        loop {
            let mut request = Request::new(Bytes::new());
            *request.uri_mut() = uri(url).map_err(|source| failed(url, source))?;
            *request.headers_mut() = session.headers();
            let answer = session.client.send(request, deadline).await;
            let answer = answer.map_err(|source| failed(url, source))?;
            let status = answer.status();
            if status == StatusCode::OK {
                return Ok(answer.into_body());
            }
            let body = beginning(answer.into_body(), deadline).await;
            match self.renewed(&session, status, &mut may_renew).await? {
                Some(renewed) => session = renewed,
                None => return Err(ApiError::refused(status, &body)),
            }
        }
    }

    async fn session(&self) -> Result<Session, ApiError> {
        match &self.access {
            Access::Client(client) => {
                Ok(Session { client: client.clone(), authorization: None, number: 0 })
            }
            Access::Exec(login) => Ok(login.session().await?),
        }
    }

    /// Another way in after one that was refused, if there may be one. A request has one more try.
    async fn renewed(
        &self,
        refused: &Session,
        status: StatusCode,
        may_renew: &mut bool,
    ) -> Result<Option<Session>, ApiError> {
        match &self.access {
            Access::Exec(login) if status == StatusCode::UNAUTHORIZED && *may_renew => {
                *may_renew = false;
                Ok(Some(login.renewed(refused).await?))
            }
            Access::Client(_) | Access::Exec(_) => Ok(None),
        }
    }
}

impl Session {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        headers
    }
}

fn uri(url: &Url) -> Result<Uri, ClientError> {
    let uri = url.as_str().parse();
    uri.map_err(|source| ClientError::Url { url: url[..Position::AfterPath].to_owned(), source })
}

fn failed(url: &Url, source: ClientError) -> ApiError {
    ApiError::Request { url: url[..Position::AfterPath].to_owned(), source: Box::new(source) }
}

/// As much of a body as there is in time, up to a limit.
async fn beginning(mut body: Incoming, deadline: Instant) -> BytesMut {
    let mut read = BytesMut::new();
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > REFUSAL_BYTES_MAX {
            break;
        }
        read.extend_from_slice(&data);
    }
    read
}

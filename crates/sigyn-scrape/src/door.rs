//! What a target is asked beside its scrapes, in the same way: with its job's client, and within bounds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use sigyn_discovery::http::{Client, ClientError};
use tokio::time::Instant;

use crate::body::{self, BodyError};

/// An answer is no longer than this.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Where a target is asked, and how.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    client: Client,
    traces: Uri,
    headers: HeaderMap,
}

/// Why a target does not tell.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("the target cannot be asked")]
    Closed,
    #[error("the target's URL has no such place")]
    Url,
    #[error("the target was not reached")]
    Request(#[source] Box<ClientError>),
    #[error("the target answers {0}")]
    Status(StatusCode),
    #[error("the target's answer cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("others were asked for {0:?}, and it had no turn")]
    Crowded(Duration),
    #[error("the target did not answer within {0:?}")]
    Timeout(Duration),
}

impl From<BodyError> for AskError {
    fn from(error: BodyError) -> Self {
        Self::Body(Box::new(error))
    }
}

impl Door {
    pub(crate) fn new(client: Client, traces: Uri, headers: &HeaderMap) -> Self {
        // Whatever proves who we are is the client's.
        let agent = headers.get(USER_AGENT).map(|agent| (USER_AGENT, agent.clone()));
        let accept = (ACCEPT, HeaderValue::from_static("application/json"));
        Self { client, traces, headers: agent.into_iter().chain([accept]).collect() }
    }

    /// `GET` of what lies beside the target's spans.
    pub(crate) async fn get(&self, beside: &str, timeout: Duration) -> Result<Bytes, AskError> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.beside(beside).ok_or(AskError::Url)?;
        *request.headers_mut() = self.headers.clone();
        let exchange = async {
            let asked = self.client.send(request, Instant::now() + timeout).await;
            let response = asked.map_err(|error| AskError::Request(Box::new(error)))?;
            let (head, mut incoming) = response.into_parts();
            if head.status != StatusCode::OK {
                return Err(AskError::Status(head.status));
            }
            let mut read = BytesMut::new();
            while body::read_on(&mut incoming, &mut read, ANSWER_BYTES_MAX).await?.is_some() {}
            Ok(read.freeze())
        };
        tokio::time::timeout(timeout, exchange).await.map_err(|_| AskError::Timeout(timeout))?
    }

    /// Another last part of the path, with its query.
    fn beside(&self, name: &str) -> Option<Uri> {
        let folder = self.traces.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut parts = self.traces.clone().into_parts();
        parts.path_and_query = Some(format!("{folder}/{name}").parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

#[cfg(test)]
mod tests {
    use sigyn_discovery::http::{Config, Options};

    use super::*;

    #[test]
    fn what_lies_beside_the_spans() {
        let check = |traces: &str, expected: &str| {
            let client = Client::new(&Config::default(), Options::default()).unwrap();
            let door = Door::new(client, traces.parse().unwrap(), &HeaderMap::new());
            assert_eq!(door.beside("tracez?trace_id=1").unwrap().to_string(), expected);
        };
        check("http://h:1/traces", "http://h:1/tracez?trace_id=1");
        check("https://h/a/b/traces?x=y", "https://h/a/b/tracez?trace_id=1");
        check("http://h:1", "http://h:1/tracez?trace_id=1");
    }
}

//! The client: a request with all that the configuration adds to it, sent on where servers say so.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT,
};
use http::{Method, Request, Response, Uri, request, response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task;
use tokio::time::{Instant, timeout_at};

use super::auth::Additions;
use super::config::Config;
use super::error::ClientError;
use super::redirect::Chain;

/// As long as Prometheus keeps an idle connection: longer than any usual interval.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// Asks servers as a [`Config`] says. Clones share connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    user_agent: HeaderValue,
    /// What is added to each request, unless it has to be read each time.
    additions: Option<Additions>,
    transport: legacy::Client<HttpConnector, Full<Bytes>>,
}

/// What the configuration does not say.
#[derive(Clone, Debug)]
pub struct Options {
    /// What we call ourselves where a request does not.
    pub user_agent: HeaderValue,
    /// How long a connection may lie idle.
    pub idle_max: Duration,
    /// How many idle connections to one server are kept.
    pub idle_per_host_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user_agent: HeaderValue::from_static(concat!("Sigyn/", env!("CARGO_PKG_VERSION"))),
            idle_max: IDLE_MAX,
            idle_per_host_max: 4,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Client {
    /// Errors if the configuration names what can never be had.
    pub fn new(config: &Config, options: Options) -> Result<Self, ClientError> {
        Additions::check(config)?;
        let additions =
            if Additions::may_change(config) { None } else { Some(Additions::read(config)?) };
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let transport = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.idle_max)
            .pool_max_idle_per_host(options.idle_per_host_max)
            .build(connector);
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            user_agent: options.user_agent,
            additions,
            transport,
        })))
    }

    /// Sends a request, and sends it on where it is sent on. The answer's body is still to be read,
    /// and no longer has a deadline.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, ClientError> {
        timeout_at(deadline, self.follow(request)).await.map_err(|_| ClientError::Timeout)?
    }

    /// GETs a URL and reads the whole answer, whatever its status is: `limit` bytes at most.
    pub async fn get(
        &self,
        url: &str,
        headers: HeaderMap,
        limit: usize,
        deadline: Instant,
    ) -> Result<(response::Parts, Bytes), ClientError> {
        let uri: Uri =
            url.parse().map_err(|source| ClientError::Url { url: url.to_owned(), source })?;
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let whole = async {
            let (head, body) = self.follow(request).await?.into_parts();
            Ok((head, read(body, limit).await?))
        };
        timeout_at(deadline, whole).await.map_err(|_| ClientError::Timeout)?
    }

    async fn follow(&self, request: Request<Bytes>) -> Result<Response<Incoming>, ClientError> {
        let additions = self.additions().await?;
        let (mut head, mut body) = request.into_parts();
        head.headers.entry(USER_AGENT).or_insert_with(|| self.0.user_agent.clone());
        let mut chain = Chain::new(&head.uri);
        loop {
            let address = head.uri.authority().map_or("", |authority| authority.as_str());
            let request = dressed(&head, &body, &additions, chain.has_left());
            let answer = self.0.transport.request(request).await;
            let answer = answer.map_err(|error| ClientError::of_request(&error, address))?;
            if !self.0.config.follow_redirects {
                return Ok(answer);
            }
            let hop = chain.next(&head.method, &head.uri, answer.status(), answer.headers())?;
            let Some(hop) = hop else { return Ok(answer) };
            if hop.uri.authority() != head.uri.authority() {
                head.headers.remove(HOST);
            }
            if !hop.same_request {
                head.method = Method::GET;
                body = Bytes::new();
                for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING] {
                    head.headers.remove(name);
                }
            }
            head.uri = hop.uri;
        }
    }

    async fn additions(&self) -> Result<Additions, ClientError> {
        if let Some(additions) = &self.0.additions {
            return Ok(additions.clone());
        }
        let inner = Arc::clone(&self.0);
        let read = task::spawn_blocking(move || Additions::read(&inner.config)).await;
        // Only the runtime's end gets in the way, and then nobody waits for an answer.
        read.unwrap_or(Err(ClientError::Timeout))
    }
}

/// A request as it goes out.
fn dressed(
    head: &request::Parts,
    body: &Bytes,
    additions: &Additions,
    left: bool,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    additions.add_to(request.headers_mut(), left);
    request
}

async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, ClientError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| ClientError::Cut { source })?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > limit {
            return Err(ClientError::TooLarge { limit });
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

//! The client: a request with all that the configuration adds to it, sent on where servers say so.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{Method, Request, Response, Uri, request, response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task;
use tokio::time::{Instant, timeout_at};

use super::auth::Additions;
use super::config::{Authorization, Config};
use super::connect::{Dial, address};
use super::error::ClientError;
use super::oauth2::Tokens;
use super::proxy::Proxies;
use super::redirect::Chain;
use super::room::Room;
use super::tls::{self, Material};
use crate::go_url::shown;

/// As long as Prometheus keeps an idle connection: longer than any usual interval.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// When a connection of HTTP/2 is silent for so long, the other end is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(60);

/// What the head of an answer may take. A connection may keep as much for what it reads next, so it is
/// not the mebibyte that Go allows.
const HEAD_BYTES_MAX: u32 = 256 << 10;
pub(super) const HEADERS_MAX: usize = 1000;

/// Asks servers as a [`Config`] says. Clones share connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    options: Options,
    /// What is added to each request, unless it has to be read each time.
    additions: Option<Additions>,
    tokens: Option<Tokens>,
    proxies: Arc<Proxies>,
    /// Whether certificates and keys have to be read each time.
    rereads_material: bool,
    transport: Mutex<Option<Transport>>,
}

/// Connections, and the certificates and keys that they are made with.
struct Transport {
    material: Material,
    connections: Connections,
}

type Connections = legacy::Client<Dial, Full<Bytes>>;

/// What the configuration does not say.
#[derive(Clone, Debug)]
pub struct Options {
    /// What we call ourselves where a request does not.
    pub user_agent: HeaderValue,
    /// How long a connection may lie idle.
    pub idle_max: Duration,
    /// How many idle connections to one server are kept.
    pub idle_per_host_max: usize,
    /// What whole answers share that are read at once.
    pub room: Room,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user_agent: HeaderValue::from_static(concat!("Sigyn/", env!("CARGO_PKG_VERSION"))),
            idle_max: IDLE_MAX,
            idle_per_host_max: 4,
            room: Room::default(),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Client {
    /// Errors if the configuration names what can never be had, or is of no use as it is. What is
    /// in files is each request's matter.
    pub fn new(config: &Config, options: Options) -> Result<Self, ClientError> {
        Additions::check(config)?;
        tls::check(&config.tls)?;
        let additions =
            if Additions::may_change(config) { None } else { Some(Additions::read(config)?) };
        let tokens = match &config.authorization {
            Some(Authorization::OAuth2(oauth2)) => Some(Tokens::new(oauth2, &options)?),
            _ => None,
        };
        let proxies = Arc::new(Proxies::new(&config.proxy, |name| std::env::var(name).ok())?);
        let rereads_material = Material::may_change(&config.tls);
        let transport = if rereads_material {
            None
        } else {
            Some(Transport::new(config, &options, &proxies, Material::read(&config.tls)?)?)
        };
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            options,
            additions,
            tokens,
            proxies,
            rereads_material,
            transport: Mutex::new(transport),
        })))
    }

    /// Reads certificates and keys as the next request will, and says why it cannot. It blocks as
    /// long as small files take.
    pub fn check_files(&self) -> Result<(), ClientError> {
        self.0.connections().map(drop)
    }

    /// Sends a request, and sends it on where it is sent on. The answer's body is still to be read,
    /// and no longer has a deadline.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, ClientError> {
        timeout_at(deadline, self.follow(request, deadline))
            .await
            .map_err(|_| ClientError::Timeout)?
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
            url.parse().map_err(|source| ClientError::Url { url: shown(url), source })?;
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.ask(request, limit, deadline).await
    }

    /// Sends a request and reads the whole answer, whatever its status is: `limit` bytes at most.
    pub async fn ask(
        &self,
        request: Request<Bytes>,
        limit: usize,
        deadline: Instant,
    ) -> Result<(response::Parts, Bytes), ClientError> {
        let whole = async {
            let (head, body) = self.follow(request, deadline).await?.into_parts();
            Ok((head, self.0.options.room.read(body, limit, deadline).await?))
        };
        timeout_at(deadline, whole).await.map_err(|_| ClientError::Timeout)?
    }

    /// Sends a request as if no token had to be asked for, and reads the whole answer.
    pub(super) async fn ask_without_token(
        &self,
        request: Request<Bytes>,
        limit: usize,
        deadline: Instant,
    ) -> Result<(response::Parts, Bytes), ClientError> {
        let whole = async {
            let (additions, connections) = self.current().await?;
            let answer = self.send_on(request, &additions, &connections).await?;
            let (head, body) = answer.into_parts();
            Ok((head, read(body, limit).await?))
        };
        timeout_at(deadline, whole).await.map_err(|_| ClientError::Timeout)?
    }

    async fn follow(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, ClientError> {
        let (mut additions, connections) = self.current().await?;
        if let Some(tokens) = &self.0.tokens
            && !request.headers().contains_key(AUTHORIZATION)
        {
            additions.authorize(tokens.authorization(deadline).await?);
        }
        self.send_on(request, &additions, &connections).await
    }

    async fn send_on(
        &self,
        request: Request<Bytes>,
        additions: &Additions,
        connections: &Connections,
    ) -> Result<Response<Incoming>, ClientError> {
        let (mut head, mut body) = request.into_parts();
        head.headers.entry(USER_AGENT).or_insert_with(|| self.0.options.user_agent.clone());
        let mut chain = Chain::new(&head.uri);
        loop {
            let mut request = dressed(&head, &body, additions, chain.has_left());
            if let Some(value) = self.0.proxies.authorization(&head.uri) {
                request.headers_mut().insert(PROXY_AUTHORIZATION, value.clone());
            }
            let answer = connections.request(request).await;
            let answer =
                answer.map_err(|error| ClientError::of_request(&error, address(&head.uri)))?;
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

    /// What the next request is sent with.
    async fn current(&self) -> Result<(Additions, Connections), ClientError> {
        let inner = Arc::clone(&self.0);
        if inner.additions.is_some() && !inner.rereads_material {
            return inner.current();
        }
        let read = task::spawn_blocking(move || inner.current()).await;
        // Only the runtime's end gets in the way, and then nobody waits for an answer.
        read.unwrap_or(Err(ClientError::Timeout))
    }
}

impl Inner {
    /// It blocks as long as small files take, where there are any.
    fn current(&self) -> Result<(Additions, Connections), ClientError> {
        let additions = match &self.additions {
            Some(additions) => additions.clone(),
            None => Additions::read(&self.config)?,
        };
        Ok((additions, self.connections()?))
    }

    /// Connections that were made with what is in the files now. Those of before end when nobody
    /// uses them any more; if the files cannot be read, they stay.
    fn connections(&self) -> Result<Connections, ClientError> {
        let material =
            if self.rereads_material { Some(Material::read(&self.config.tls)?) } else { None };
        // It is whole after every statement, so a panic elsewhere does no harm to it.
        let mut transport = self.transport.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*transport
            && material.as_ref().is_none_or(|material| *material == known.material)
        {
            return Ok(known.connections.clone());
        }
        let material = material.unwrap_or_default();
        let new = Transport::new(&self.config, &self.options, &self.proxies, material)?;
        Ok(transport.insert(new).connections.clone())
    }
}

impl Transport {
    fn new(
        config: &Config,
        options: &Options,
        proxies: &Arc<Proxies>,
        material: Material,
    ) -> Result<Self, ClientError> {
        let tls = tls::client_config(&config.tls, &material, config.enable_http2)?;
        let dial = Dial::new(tls, tls::server_name(&config.tls)?, Arc::clone(proxies));
        let connections = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.idle_max)
            .pool_max_idle_per_host(options.idle_per_host_max)
            .http1_max_headers(HEADERS_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX as usize)
            .http2_max_header_list_size(HEAD_BYTES_MAX)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_while_idle(true)
            .build(dial);
        Ok(Self { material, connections })
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

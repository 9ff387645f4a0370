//! Listening: addresses are bound before anything is served, and serving ends within a grace time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::collect;
use crate::connection::Client;
use crate::web_config::WebConfig;

/// How long requests that are running at shutdown may take to end.
const GRACE: Duration = Duration::from_millis(400);
/// How long a client may take to send the head of a request, unless somebody says otherwise.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// What the head of a request may take. A thousand trace ids in a path are 33 KiB.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// Requests that one connection of HTTP/2 may have open.
const STREAMS_MAX: u32 = 32;
/// Bytes of a body that a connection of HTTP/2 may send before someone reads them: as many as every
/// client reckons with from the start.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// Enough for all of its requests: one whose body waits to be read must not hold up the others.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * (STREAMS_MAX + 1);

/// Binds an address.
pub(crate) async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    bind_with(address, TcpListener::bind)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

/// The same for datagrams.
pub(crate) async fn bind_udp(address: &str) -> anyhow::Result<UdpSocket> {
    bind_with(address, UdpSocket::bind)
        .await
        .with_context(|| format!("cannot listen on {address}/udp"))
}

async fn bind_with<T>(
    address: &str,
    bind: impl AsyncFn(String) -> std::io::Result<T>,
) -> std::io::Result<T> {
    match address.strip_prefix(':') {
        // Prometheus' form ":9411" means every interface; without IPv6, every one of IPv4.
        Some(port) => match bind(format!("[::]:{port}")).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(error),
            Err(_) => bind(format!("0.0.0.0:{port}")).await,
            bound => bound,
        },
        None => bind(address.to_owned()).await,
    }
}

/// What stands between connections and answers, at all addresses alike.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// Every connection holds one of these.
    pub(crate) places: Arc<Semaphore>,
    /// TLS, users and the like, if there are any.
    pub(crate) web: Option<Arc<WebConfig>>,
    /// How long a client may take to send the head of a request, and to answer a ping.
    pub(crate) head_timeout: Duration,
}

impl Door {
    /// One that nothing guards, for so many connections.
    pub(crate) fn open(connections_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(connections_max));
        Self { places, web: None, head_timeout: HEAD_TIMEOUT }
    }
}

/// Serves until `shutdown`, then lets running requests end within [`GRACE`].
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    door: Door,
    shutdown: CancellationToken,
) {
    let places = &door.places;
    let graceful = GracefulShutdown::new();
    let (mut connections, requests) = (JoinSet::new(), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = shutdown.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: give others time to close theirs.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if places.available_permits() == 0 {
            tracing::warn!("a connection waits until another one ends: --web.max-connections");
        }
        let place = tokio::select! {
            place = Arc::clone(places).acquire_owned() => place,
            () = shutdown.cancelled() => break,
        };
        let streams = Streams { tasks: requests.clone(), end: CancellationToken::new() };
        let connection = Connection {
            peer,
            router: router.clone(),
            streams,
            watcher: graceful.watcher(),
            web: door.web.clone(),
            head_timeout: door.head_timeout,
        };
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            connection.serve(stream, shutdown).await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::info!(open = connections.len(), "closing connections that did not end in time");
    }
    connections.shutdown().await;
    requests.close();
    requests.wait().await;
}

/// Runs the requests of one connection of HTTP/2, which end when it does.
#[derive(Clone, Debug)]
struct Streams {
    tasks: TaskTracker,
    end: CancellationToken,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        self.tasks.spawn(self.end.clone().run_until_cancelled_owned(stream));
    }
}

/// One connection, and what serves it.
struct Connection {
    peer: SocketAddr,
    router: Router,
    streams: Streams,
    watcher: Watcher,
    web: Option<Arc<WebConfig>>,
    head_timeout: Duration,
}

impl Connection {
    /// Until it ends or the server stops.
    async fn serve(self, stream: TcpStream, shutdown: CancellationToken) {
        let _end = self.streams.end.clone().drop_guard();
        // Small answers must not wait for more to fill a packet.
        let _ = stream.set_nodelay(true);
        let Some(web) = self.web.clone().filter(|web| web.speaks_tls()) else {
            return self.converse(stream, true, shutdown).await;
        };
        let agreed = tokio::select! {
            agreed = web.handshake(stream, self.head_timeout) => agreed,
            () = shutdown.cancelled() => return,
        };
        match agreed {
            Ok(stream) => self.converse(stream, web.offers_http2(), shutdown).await,
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::debug!(peer = %self.peer, error, "a connection ended early");
            }
        }
    }

    /// The same where it is known what carries the bytes.
    async fn converse<S>(self, stream: S, takes_http2: bool, shutdown: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, router, streams, watcher, web, head_timeout } = self;
        let client = tokio::select! {
            begun = tokio::time::timeout(head_timeout, Client::begin(stream)) => match begun {
                Ok(Ok(client)) => client,
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "a connection ended early"),
                Err(_) => return tracing::debug!(%peer, "a connection said nothing"),
            },
            () = shutdown.cancelled() => return,
        };
        let http2 = client.speaks_http2();
        if http2 && !takes_http2 {
            return tracing::debug!(%peer, "a client speaks HTTP/2, which is turned off");
        }
        let connection = collect::Connection::new();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(connection.clone());
            request.extensions_mut().insert(peer);
            let (router, web) = (router.clone(), web.clone());
            async move {
                match web {
                    Some(web) => web.answer(request, router).await,
                    None => router.oneshot(request).await,
                }
            }
        });
        let io = TokioIo::new(client);
        let ended = if http2 {
            let connection = http2::Builder::new(streams)
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_concurrent_streams(STREAMS_MAX)
                .max_header_list_size(HEAD_BYTES_MAX)
                .keep_alive_interval(head_timeout)
                .serve_connection(io, service);
            watcher.watch(connection).await
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head_timeout)
                .max_buf_size(HEAD_BYTES_MAX as usize)
                .serve_connection(io, service);
            watcher.watch(connection).await
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended with an error");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_end_with_their_connection() {
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let streams = Streams { tasks: tasks.clone(), end: end.clone() };
        streams.execute(std::future::pending::<()>());
        let connection = end.drop_guard();
        tokio::task::yield_now().await;
        assert_eq!(tasks.len(), 1);
        drop(connection);
        tasks.close();
        tasks.wait().await;
    }
}

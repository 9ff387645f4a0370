//! Listening: addresses are bound before anything is served, and serving ends within a grace time.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::collect::Connection;

/// How long requests that are running at shutdown may take to end.
const GRACE: Duration = Duration::from_millis(400);
/// How long a client may take to send the head of a request, and to answer a ping.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// What the head of a request may take. A thousand trace ids in a path are 33 KiB.
const HEAD_BYTES_MAX: u32 = 256 << 10;
/// Requests that one connection of HTTP/2 may have open.
const STREAMS_MAX: u32 = 100;
/// Bytes of a body that a connection of HTTP/2 may send before someone reads them.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// Enough for all of its requests: one whose body waits to be read must not hold up the others.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * (STREAMS_MAX + 1);

/// Binds an address.
pub(crate) async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    let listener = match address.strip_prefix(':') {
        // Prometheus' form ":9411" means every interface; without IPv6, every one of IPv4.
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(error),
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
            bound => bound,
        },
        None => TcpListener::bind(address).await,
    };
    listener.with_context(|| format!("cannot listen on {address}"))
}

/// Serves until `shutdown`, then lets running requests end within [`GRACE`].
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    shutdown: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < connections_max => match accepted {
                Ok((stream, peer)) => {
                    let (router, graceful) = (router.clone(), graceful.watcher());
                    let connection = serve_connection(stream, peer, router, graceful, shutdown.clone());
                    connections.spawn(connection);
                    if connections.len() == connections_max {
                        tracing::warn!(connections_max, "no further connection is accepted until one ends: --web.max-connections");
                    }
                }
                Err(error) => {
                    // Out of file descriptors, most likely: give others time to close theirs.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = shutdown.cancelled() => break,
        }
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::info!(open = connections.len(), "closing connections that did not end in time");
    }
    connections.shutdown().await;
}

/// One connection, until it ends or the server stops.
async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    graceful: Watcher,
    shutdown: CancellationToken,
) {
    // Small answers must not wait for more to fill a packet.
    let _ = stream.set_nodelay(true);
    let http2 = tokio::select! {
        begun = tokio::time::timeout(HEAD_TIMEOUT, begins_http2(&stream)) => match begun {
            Ok(Ok(http2)) => http2,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "a connection ended early"),
            Err(_) => return tracing::debug!(%peer, "a connection said nothing"),
        },
        () = shutdown.cancelled() => return,
    };
    let connection = Connection::new();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        router.clone().oneshot(request)
    });
    let io = TokioIo::new(stream);
    let ended = if http2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX)
            .keep_alive_interval(HEAD_TIMEOUT)
            .serve_connection(io, service);
        graceful.watch(connection).await
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX as usize)
            .serve_connection(io, service);
        graceful.watch(connection).await
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended with an error");
    }
}

/// Whether a client begins with the preface of HTTP/2: gRPC's clients do, and whoever knows that this
/// server takes it. No method of HTTP/1 begins like that.
async fn begins_http2(stream: &TcpStream) -> std::io::Result<bool> {
    const PREFACE: &[u8; 4] = b"PRI ";
    let mut begin = [0; PREFACE.len()];
    loop {
        let read = stream.peek(&mut begin).await?;
        if read == PREFACE.len() || read == 0 || !PREFACE.starts_with(&begin[..read]) {
            return Ok(&begin == PREFACE);
        }
        // The rest of these bytes is on its way, and a peek does not wait for it.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

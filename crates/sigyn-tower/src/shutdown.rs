//! The end of a service that is scraped: no new requests, then those that run, then what they have recorded.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use sigyn_recorder::{Body, Drain, Recorder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tower_service::Service as _;

use crate::traces::Traces;

/// Connections at once when nothing but scrapes is answered any more.
const CONNECTIONS_MAX: usize = 64;
/// The last acknowledgement is answered in so much time.
const FAREWELL: Duration = Duration::from_secs(1);
/// What cannot be accepted just now may be in a moment.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// Ends a service in an order that loses nothing. [`shutdown`](crate::shutdown()) makes one.
#[derive(Debug)]
pub struct Shutdown {
    recorder: Recorder,
    traces: Traces,
    /// The server's own socket once more: it goes on listening when the server has ended.
    socket: std::net::TcpListener,
    /// The first is for the server, the second for whoever waits for its end.
    signals: Arc<Mutex<Signals>>,
    begun: watch::Sender<bool>,
}

impl Shutdown {
    pub(crate) fn new(recorder: Recorder, listener: &TcpListener) -> io::Result<Self> {
        Ok(Self {
            traces: crate::traces(recorder.clone()),
            recorder,
            socket: again(listener)?,
            signals: Arc::new(Mutex::new(Signals::new()?)),
            begun: watch::Sender::new(false),
        })
    }

    /// Answers the last scrapes like this, where they are not at `/traces` or need a token.
    pub fn with_traces(self, traces: impl Into<Traces>) -> Self {
        Self { traces: traces.into(), ..self }
    }

    /// Ends when the process is told to end, by SIGTERM or Ctrl-C: for the server's graceful shutdown. Scrapers that wait
    /// for spans are answered then, as the server would wait for them. To be asked for once.
    pub fn signal(&mut self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (signals, recorder) = (Arc::clone(&self.signals), self.recorder.clone());
        let begun = self.begun.clone();
        async move {
            signals.lock().await.wait().await;
            recorder.stop_waiting();
            begun.send_replace(true);
        }
    }

    /// Runs a server until it has ended; what it still answers `requests` after the signal is given up. Then the recorder
    /// seals for the last time, and every scraper that has a lease is waited for until it has everything, or for `scrapes`
    /// at most.
    ///
    /// From the signal on, who connects gets scrapes answered, and 503 for everything else. A second signal ends all of it
    /// at once. What was not read in time can be pushed: [`Recorder::leftover`].
    pub async fn drain<E>(
        self,
        server: impl IntoFuture<Output = Result<(), E>>,
        requests: Duration,
        scrapes: Duration,
    ) -> Result<Drain, E> {
        let (recorder, signals) = (self.recorder.clone(), Arc::clone(&self.signals));
        let mut begun = self.begun.subscribe();
        let told_again = async {
            // It is told by `self`, which goes on until this is dropped.
            let _ = begun.wait_for(|begun| *begun).await;
            signals.lock().await.wait().await;
        };
        tokio::select! {
            drain = self.in_order(server, requests, scrapes) => drain,
            () = told_again => Ok(recorder.drained(Duration::ZERO).await),
        }
    }

    async fn in_order<E>(
        self,
        server: impl IntoFuture<Output = Result<(), E>>,
        requests: Duration,
        scrapes: Duration,
    ) -> Result<Drain, E> {
        // The server is dropped in here, with all that it was still to record.
        let mut door = {
            let mut server = pin!(server.into_future());
            let mut begun = self.begun.subscribe();
            let has_ended = tokio::select! {
                ended = &mut server => {
                    ended?;
                    true
                }
                _ = begun.wait_for(|begun| *begun) => false,
            };
            let mut door = Door::new(self.socket, self.traces);
            if !has_ended {
                tokio::select! {
                    ended = server => ended?,
                    () = tokio::time::sleep(requests) => {}
                    never = door.answer() => match never {},
                }
            }
            door
        };
        let drain = tokio::select! {
            drain = self.recorder.drained(scrapes) => drain,
            never = door.answer() => match never {},
        };
        // It is the acknowledgement that ended the drain which is still to be answered.
        let _ = tokio::time::timeout(FAREWELL, door.close()).await;
        Ok(drain)
    }
}

/// Answers scrapes, and nothing else, where a server no longer accepts anybody.
struct Door {
    /// None if it cannot be listened to.
    listener: Option<TcpListener>,
    traces: Traces,
    connections: JoinSet<Result<(), hyper::Error>>,
    graceful: GracefulShutdown,
}

impl Door {
    fn new(socket: std::net::TcpListener, traces: Traces) -> Self {
        Self {
            listener: TcpListener::from_std(socket).ok(),
            traces,
            connections: JoinSet::new(),
            graceful: GracefulShutdown::new(),
        }
    }

    /// May be dropped and called again: connections go on meanwhile.
    async fn answer(&mut self) -> Infallible {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        loop {
            tokio::select! {
                Some(_) = self.connections.join_next() => {}
                accepted = listener.accept(), if self.connections.len() < CONNECTIONS_MAX => {
                    let Ok((stream, from)) = accepted else {
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                        continue;
                    };
                    let connection = connection(stream, from, &self.traces);
                    self.connections.spawn(self.graceful.watch(connection));
                }
            }
        }
    }

    /// Ends when those that are being answered are. Whoever is not is cut off when this is dropped.
    async fn close(self) {
        let Self { connections: _connections, graceful, .. } = self;
        graceful.shutdown().await;
    }
}

fn connection(
    stream: TcpStream,
    from: SocketAddr,
    traces: &Traces,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + use<> {
    let traces = traces.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let mut traces = traces.clone();
        async move {
            if !traces.is_at(request.uri().path()) {
                return Ok(gone());
            }
            request.extensions_mut().insert(from);
            traces.call(request).await
        }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service)
}

/// Another instance may answer.
fn gone() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The same socket, which stays open when the other handle is closed.
fn again(listener: &TcpListener) -> io::Result<std::net::TcpListener> {
    #[cfg(unix)]
    let again = std::os::fd::AsFd::as_fd(listener).try_clone_to_owned()?;
    #[cfg(windows)]
    let again = std::os::windows::io::AsSocket::as_socket(listener).try_clone_to_owned()?;
    Ok(again.into())
}

/// What tells a process to end.
#[derive(Debug)]
struct Signals {
    #[cfg(unix)]
    list: Vec<tokio::signal::unix::Signal>,
}

impl Signals {
    /// From now on they do not end the process.
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { list: vec![signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?] })
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(unix)]
    async fn wait(&mut self) {
        std::future::poll_fn(|task| {
            let is_ready = |signal: &mut tokio::signal::unix::Signal| {
                matches!(signal.poll_recv(task), std::task::Poll::Ready(Some(())))
            };
            match self.list.iter_mut().any(is_ready) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

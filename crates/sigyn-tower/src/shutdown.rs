//! The end of a service that is scraped: no new requests, then those that run, then what they have recorded.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
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
use tokio::sync::watch;
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
    signals: Signals,
    begun: watch::Sender<bool>,
}

impl Shutdown {
    pub(crate) fn new(recorder: Recorder, listener: &TcpListener) -> io::Result<Self> {
        Ok(Self {
            traces: crate::traces(recorder.clone()),
            recorder,
            socket: again(listener)?,
            signals: Signals::new()?,
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
        let (mut signals, recorder) = (self.signals.take(), self.recorder.clone());
        let begun = self.begun.clone();
        async move {
            signals.wait().await;
            recorder.stop_waiting();
            begun.send_replace(true);
        }
    }

    /// Runs a server until it has ended; what it still answers `requests` after the signal is given up. Then nothing but
    /// scrapes is answered at its address, until every scraper that has a lease has everything, or for `scrapes` at most.
    ///
    /// Whoever else connects meanwhile gets 503. What was not read in time can be pushed: [`Recorder::leftover`].
    pub async fn drain<E>(
        self,
        server: impl IntoFuture<Output = Result<(), E>>,
        requests: Duration,
        scrapes: Duration,
    ) -> Result<Drain, E> {
        let mut begun = self.begun.subscribe();
        let given_up = async {
            // It is told by `self`, which is here.
            let _ = begun.wait_for(|begun| *begun).await;
            tokio::time::sleep(requests).await;
        };
        tokio::select! {
            ended = server.into_future() => ended?,
            () = given_up => {}
        }
        Ok(self.last_scrapes(scrapes).await)
    }

    async fn last_scrapes(self, patience: Duration) -> Drain {
        let mut drained = pin!(self.recorder.drained(patience));
        let Ok(listener) = TcpListener::from_std(self.socket) else { return drained.await };
        let (mut connections, graceful) = (JoinSet::new(), GracefulShutdown::new());
        let drain = loop {
            tokio::select! {
                drain = &mut drained => break drain,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    let Ok((stream, from)) = accepted else {
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                        continue;
                    };
                    connections.spawn(graceful.watch(connection(stream, from, &self.traces)));
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, graceful.shutdown()).await;
        drain
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
#[derive(Debug, Default)]
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
        Ok(Self::default())
    }

    fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Never ends if there are none to wait for.
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

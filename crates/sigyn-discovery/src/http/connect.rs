//! Connections: to whom, in which way, and with TLS where the URL says so.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper::rt;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::error::{ClientError, innermost};
use super::tls_error::TlsError;

/// As long as Prometheus waits for a handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Connects to whatever a URL names.
#[derive(Clone)]
pub(super) struct Dial(Arc<Inner>);

struct Inner {
    tcp: HttpConnector,
    tls: Arc<ClientConfig>,
    /// The name that a certificate must have, if it is not the URL's.
    server_name: Option<ServerName<'static>>,
}

/// Bytes that go both ways.
trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// A connection, over whatever it may be.
pub(super) struct Stream {
    io: TokioIo<Box<dyn Both>>,
    is_http2: bool,
}

impl Dial {
    pub(super) fn new(tls: ClientConfig, server_name: Option<ServerName<'static>>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self(Arc::new(Inner { tcp, tls: Arc::new(tls), server_name }))
    }
}

impl Inner {
    async fn connect(&self, uri: &Uri) -> Result<Stream, ClientError> {
        let tcp = self.tcp(uri).await?;
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Stream::new(Box::new(tcp), false));
        }
        let tls = self.handshake(tcp, uri).await?;
        let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Stream::new(Box::new(tls), is_http2))
    }

    async fn tcp(&self, uri: &Uri) -> Result<tokio::net::TcpStream, ClientError> {
        let mut tcp = self.tcp.clone();
        let connected = async {
            poll_fn(|context| tcp.poll_ready(context)).await?;
            tcp.call(uri.clone()).await
        };
        match connected.await {
            Ok(stream) => Ok(stream.into_inner()),
            Err(error) => {
                Err(ClientError::Connect { address: address(uri), source: innermost(&error) })
            }
        }
    }

    async fn handshake<T: Both>(&self, io: T, uri: &Uri) -> Result<TlsStream<T>, ClientError> {
        let failed = |source| ClientError::Tls { address: address(uri), source };
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => {
                let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
                let name = ServerName::try_from(host.to_owned());
                name.map_err(|_| failed(TlsError::no_name(host)))?
            }
        };
        let handshake = TlsConnector::from(Arc::clone(&self.tls)).connect(name, io);
        match timeout(HANDSHAKE_MAX, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(failed(TlsError::of_handshake(&error))),
            Err(_) => Err(failed(TlsError::timeout())),
        }
    }
}

/// `host:port`, as the URL has it.
fn address(uri: &Uri) -> String {
    uri.authority().map_or_else(String::new, ToString::to_string)
}

impl Service<Uri> for Dial {
    type Response = Stream;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, NoConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.connect(&uri).await.map_err(NoConnection::new) })
    }
}

/// Carries an error out of the pool of connections, which keeps what a connector says to itself.
#[derive(Debug)]
pub(super) struct NoConnection(Mutex<Option<ClientError>>);

impl NoConnection {
    fn new(error: ClientError) -> Self {
        Self(Mutex::new(Some(error)))
    }

    /// What it carries. There is nothing the second time.
    pub(super) fn take(&self) -> Option<ClientError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")
    }
}

impl std::error::Error for NoConnection {}

impl Stream {
    fn new(io: Box<dyn Both>, is_http2: bool) -> Self {
        Self { io: TokioIo::new(io), is_http2 }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        if self.is_http2 { connected.negotiated_h2() } else { connected }
    }
}

impl rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        rt::Read::poll_read(Pin::new(&mut self.io), context, buffer)
    }
}

impl rt::Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        rt::Write::poll_write(Pin::new(&mut self.io), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        rt::Write::poll_flush(Pin::new(&mut self.io), context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        rt::Write::poll_shutdown(Pin::new(&mut self.io), context)
    }

    fn is_write_vectored(&self) -> bool {
        rt::Write::is_write_vectored(&self.io)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        rt::Write::poll_write_vectored(Pin::new(&mut self.io), context, bytes)
    }
}

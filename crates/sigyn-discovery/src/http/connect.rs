//! Connections: to whom, in which way, and with TLS where the URL says so.

use std::fmt;
use std::future::{self, Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper::rt;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::error::{ClientError, innermost};
use super::proxy::{Proxies, Server};
use super::tls_error::TlsError;
use super::tunnel::{self, TunnelError};

/// As long as Prometheus waits for a handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// As long as Go waits for a tunnel.
const TUNNEL_MAX: Duration = Duration::from_secs(60);

/// Connects to whatever a URL names.
#[derive(Clone)]
pub(super) struct Dial(Arc<Inner>);

struct Inner {
    tcp: HttpConnector,
    tls: Arc<ClientConfig>,
    /// The same, but that HTTP/2 is not offered.
    tls_to_proxy: Arc<ClientConfig>,
    /// The name that a certificate must have, if it is not the URL's.
    server_name: Option<ServerName<'static>>,
    proxies: Arc<Proxies>,
}

/// Bytes that go both ways.
trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// A connection, over whatever it may be.
pub(super) struct Stream {
    io: TokioIo<Box<dyn Both>>,
    is_http2: bool,
    /// Whether at its other end is a proxy, which wants to know whom to ask.
    is_proxied: bool,
}

impl Dial {
    pub(super) fn new(
        tls: ClientConfig,
        server_name: Option<ServerName<'static>>,
        proxies: Arc<Proxies>,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let mut tls_to_proxy = tls.clone();
        tls_to_proxy.alpn_protocols.clear();
        let (tls, tls_to_proxy) = (Arc::new(tls), Arc::new(tls_to_proxy));
        Self(Arc::new(Inner { tcp, tls, tls_to_proxy, server_name, proxies }))
    }
}

impl Inner {
    async fn connect(&self, uri: &Uri) -> Result<Stream, ClientError> {
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let io: Box<dyn Both> = match self.proxies.of(uri) {
            None => Box::new(self.tcp(uri).await?),
            Some(proxy) if proxy.is_socks => Box::new(self.socks(proxy, uri).await?),
            Some(proxy) => {
                let io = self.to_proxy(proxy).await?;
                if !is_https {
                    return Ok(Stream { io: TokioIo::new(io), is_http2: false, is_proxied: true });
                }
                self.tunnel(proxy, io, uri).await?
            }
        };
        if !is_https {
            return Ok(Stream { io: TokioIo::new(io), is_http2: false, is_proxied: false });
        }
        let tls = self.handshake(&self.tls, io, uri).await?;
        let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Stream { io: TokioIo::new(Box::new(tls)), is_http2, is_proxied: false })
    }

    async fn to_proxy(&self, proxy: &Server) -> Result<Box<dyn Both>, ClientError> {
        let tcp = self.tcp(&proxy.uri).await?;
        if proxy.uri.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Box::new(tcp));
        }
        Ok(Box::new(self.handshake(&self.tls_to_proxy, tcp, &proxy.uri).await?))
    }

    async fn tunnel(
        &self,
        proxy: &Server,
        mut io: Box<dyn Both>,
        uri: &Uri,
    ) -> Result<Box<dyn Both>, ClientError> {
        let with_port = with_port(uri);
        let opening = tunnel::open(&mut io, &with_port, &proxy.connect_headers);
        match timeout(TUNNEL_MAX, opening).await.unwrap_or(Err(TunnelError::Timeout)) {
            Ok(()) => Ok(io),
            Err(source) => Err(no_tunnel(proxy, uri, source)),
        }
    }

    async fn socks(&self, proxy: &Server, uri: &Uri) -> Result<TcpStream, ClientError> {
        let tcp = Some(TokioIo::new(self.tcp(&proxy.uri).await?));
        let mut socks = SocksV5::new(proxy.uri.clone(), Ready(tcp));
        if let Some((name, password)) = proxy.user.clone() {
            socks = socks.with_auth(name, password);
        }
        let failed = |source| no_tunnel(proxy, uri, source);
        // Without a port it would take that of HTTPS.
        let to = format!("http://{}", with_port(uri)).parse::<Uri>();
        let to = to.map_err(|_| failed(TunnelError::Socks("no host".to_owned())))?;
        match timeout(TUNNEL_MAX, socks.call(to)).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(error)) => Err(failed(TunnelError::Socks(error.to_string()))),
            Err(_) => Err(failed(TunnelError::Timeout)),
        }
    }

    async fn tcp(&self, uri: &Uri) -> Result<TcpStream, ClientError> {
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

    async fn handshake<T: Both>(
        &self,
        tls: &Arc<ClientConfig>,
        io: T,
        uri: &Uri,
    ) -> Result<TlsStream<T>, ClientError> {
        let failed = |source| ClientError::Tls { address: address(uri), source };
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => {
                let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
                let name = ServerName::try_from(host.to_owned());
                name.map_err(|_| failed(TlsError::no_name(host)))?
            }
        };
        let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, io);
        match timeout(HANDSHAKE_MAX, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(failed(TlsError::of_handshake(&error))),
            Err(_) => Err(failed(TlsError::timeout())),
        }
    }
}

/// A connection for somebody who wants to make one.
struct Ready(Option<TokioIo<TcpStream>>);

impl Service<Uri> for Ready {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = future::Ready<io::Result<TokioIo<TcpStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        future::ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

/// `host:port`, or `host` where the URL has no port.
pub(super) fn address(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// `host:port` in any case.
fn with_port(uri: &Uri) -> String {
    let port = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(port))
}

fn no_tunnel(proxy: &Server, uri: &Uri, source: TunnelError) -> ClientError {
    ClientError::Tunnel { proxy: address(&proxy.uri), address: address(uri), source }
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

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.is_proxied);
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

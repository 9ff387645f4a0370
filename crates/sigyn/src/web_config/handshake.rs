//! How a connection begins where there is TLS.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{WebConfig, WebConfigError, lock};

/// What is said to whoever does not begin with TLS, but with a request.
const PLAIN: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// How long, and how much, such a client may go on: a connection that is closed on unread bytes is
/// reset, and what was said is lost.
const LEAVE_TIME: Duration = Duration::from_secs(1);
const LEAVE_BYTES_MAX: usize = 64 << 10;

/// Why a connection ended before TLS was agreed upon.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the client speaks HTTP without TLS")]
    Plain,
    #[error("TLS handshake error")]
    Failed(#[source] std::io::Error),
    #[error("no TLS handshake in time")]
    Timeout,
    #[error("TLS handshake error")]
    Configuration(#[from] WebConfigError),
}

impl WebConfig {
    /// Agrees upon TLS with a client, as file, certificates and key are now.
    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
        within: Duration,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let agreed = tokio::time::timeout(within, self.agree(stream)).await;
        let agreed = agreed.unwrap_or(Err(HandshakeError::Timeout));
        if agreed.is_err() {
            self.counts.handshake_failed();
        }
        agreed
    }

    async fn agree(&self, mut stream: TcpStream) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let mut first = [0; 1];
        let peeked = stream.peek(&mut first).await.map_err(HandshakeError::Failed)?;
        // TLS begins with a record of type 22, and methods with a capital letter.
        if peeked == 1 && first[0].is_ascii_uppercase() {
            let _ = tokio::time::timeout(LEAVE_TIME, refuse(&mut stream)).await;
            return Err(HandshakeError::Plain);
        }
        let config = self.server_config();
        self.told_of_tls.tell(&self.path, config.as_ref().err());
        let acceptor = TlsAcceptor::from(config?);
        acceptor.accept(stream).await.map_err(HandshakeError::Failed)
    }

    fn server_config(&self) -> Result<Arc<ServerConfig>, WebConfigError> {
        let file = self.reread()?;
        let (Some(tls), Some(served)) = (&file.tls, &self.tls) else {
            return Err(WebConfigError::TlsGone);
        };
        Ok(lock(served).current(tls, self.http2)?)
    }
}

async fn refuse(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(PLAIN).await?;
    stream.shutdown().await?;
    let (mut left, mut buffer) = (LEAVE_BYTES_MAX, [0; 1 << 10]);
    while left > 0 {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

//! Tunnels through proxies: a server is reached as if there were none.

use std::io;

use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// More than any proxy has to say.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Why a proxy opens no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// It does not want to, or cannot.
    #[error("the proxy answers HTTP status {0}")]
    Status(StatusCode),
    /// It is none, it seems.
    #[error("the proxy's answer is not HTTP")]
    NotHttp,
    /// It ends the connection.
    #[error("the proxy ends the connection")]
    Lost(#[from] io::Error),
    /// It does not want to, or cannot, in the words of SOCKS.
    #[error("{0}")]
    Socks(String),
    /// It says nothing.
    #[error("the proxy does not answer in time")]
    Timeout,
}

/// Has an HTTP proxy connect to `address`. What is read and written then is the other end's.
pub(super) async fn open(
    proxy: &mut (impl AsyncRead + AsyncWrite + Unpin),
    address: &str,
    headers: &HeaderMap,
) -> Result<(), TunnelError> {
    let mut head = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n").into_bytes();
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    proxy.write_all(&head).await?;
    proxy.flush().await?;

    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if read.len() > HEAD_BYTES_MAX {
            return Err(TunnelError::NotHttp);
        }
        if proxy.read_buf(&mut read).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    };
    match status(&read).ok_or(TunnelError::NotHttp)? {
        // With TLS the other end waits for us to begin.
        StatusCode::OK if read.len() == end => Ok(()),
        StatusCode::OK => Err(TunnelError::NotHttp),
        status => Err(TunnelError::Status(status)),
    }
}

fn status(head: &[u8]) -> Option<StatusCode> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    StatusCode::from_bytes(rest.get(2..5)?).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    async fn opened(answer: &[u8]) -> (String, Result<(), TunnelError>) {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
        theirs.write_all(answer).await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-a", HeaderValue::from_static("b"));
        let reading = async {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                theirs.read_buf(&mut asked).await.unwrap();
            }
            drop(theirs);
            String::from_utf8(asked).unwrap()
        };
        let (asked, opened) = tokio::join!(reading, open(&mut ours, "a.test:443", &headers));
        (asked, opened)
    }

    #[tokio::test]
    async fn a_proxy_is_asked_and_answers() {
        let (asked, answer) = opened(b"HTTP/1.0 200 Connection established\r\nA: b\r\n\r\n").await;
        assert_eq!(asked, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nx-a: b\r\n\r\n");
        answer.unwrap();
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(HEAD_BYTES_MAX));
        for (answer, expected) in [
            ("HTTP/1.1 403 No\r\n\r\nbody", "the proxy answers HTTP status 403 Forbidden"),
            ("HTTP/1.1 200 OK\r\n\r\nx", "the proxy's answer is not HTTP"),
            ("SSH-2.0-x\r\n\r\n", "the proxy's answer is not HTTP"),
            (&long, "the proxy's answer is not HTTP"),
            ("HTTP/1.1 200 OK\r\n", "the proxy ends the connection"),
        ] {
            let (_, opened) = opened(answer.as_bytes()).await;
            assert_eq!(opened.unwrap_err().to_string(), expected);
        }
    }
}

//! The bytes of one client's connection: those that were looked at already come first, and a client
//! that does not take what is written to it is let go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a write may wait for a client to take something of it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How HTTP/2 begins: gRPC's clients do so, and whoever knows that this server takes it. No method of
/// HTTP/1 begins like that.
const PREFACE: [u8; 4] = *b"PRI ";

/// A connection whose first bytes are known.
#[derive(Debug)]
pub(crate) struct Client<S> {
    stream: S,
    begin: [u8; PREFACE.len()],
    /// What of `begin` was received, and what of that was handed on.
    received: usize,
    handed_on: usize,
    /// Set while a write waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> Client<S> {
    /// Waits until it is known which protocol the client speaks.
    pub(crate) async fn begin(mut stream: S) -> io::Result<Self> {
        let (mut begin, mut received) = ([0; PREFACE.len()], 0);
        while received < PREFACE.len() && PREFACE.starts_with(&begin[..received]) {
            match stream.read(&mut begin[received..]).await? {
                0 => break,
                read => received += read,
            }
        }
        Ok(Self { stream, begin, received, handed_on: 0, until: None })
    }

    pub(crate) fn speaks_http2(&self) -> bool {
        self.begin == PREFACE
    }
}

impl<S> Client<S> {
    /// `written`, unless the client has taken nothing for too long.
    fn within_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.until = None;
            return written;
        }
        let until = self.until.get_or_insert_with(|| {
            Box::pin(tokio::time::sleep_until(Instant::now() + WRITE_TIMEOUT))
        });
        ready!(until.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Client<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let known = &self.begin[self.handed_on..self.received];
        if known.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = known.len().min(buffer.remaining());
        buffer.put_slice(&known[..length]);
        self.handed_on += length;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Client<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buffer);
        self.within_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.within_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.within_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.within_time(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_looked_at_is_read_all_the_same() {
        let check = async |pieces: &[&[u8]], http2: bool| {
            let (mut theirs, ours) = duplex(1 << 10);
            let write = async {
                for piece in pieces {
                    theirs.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
                drop(theirs);
            };
            let read = async {
                let mut client = Client::begin(ours).await.unwrap();
                assert_eq!(client.speaks_http2(), http2, "{pieces:?}");
                let mut all = Vec::new();
                client.read_to_end(&mut all).await.unwrap();
                assert_eq!(all, pieces.concat());
            };
            tokio::join!(write, read);
        };
        check(&[b"PRI * HTTP/2.0\r\n"], true).await;
        check(&[b"P", b"R", b"I", b" ", b"*"], true).await;
        check(&[b"P", b"OST / HTTP/1.1\r\n"], false).await;
        check(&[b"GET"], false).await;
        check(&[b"PRI"], false).await;
        check(&[], false).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_let_go() {
        let (mut theirs, ours) = duplex(1 << 10);
        theirs.write_all(b"GET /").await.unwrap();
        let mut client = Client::begin(ours).await.unwrap();
        let started = Instant::now();
        let error = client.write_all(&[0; 2 << 10]).await.unwrap_err();
        assert_eq!((error.kind(), started.elapsed()), (io::ErrorKind::TimedOut, WRITE_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_be_slow() {
        let (mut theirs, ours) = duplex(1);
        theirs.write_all(b"?").await.unwrap();
        let mut client = Client::begin(ours).await.unwrap();
        let read = async {
            let mut byte = [0];
            for _ in 0..5 {
                tokio::time::sleep(WRITE_TIMEOUT - Duration::from_secs(1)).await;
                theirs.read_exact(&mut byte).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(client.write_all(&[0; 5]), read);
        written.unwrap();
    }
}

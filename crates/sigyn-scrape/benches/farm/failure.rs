//! The ways in which targets fail, until they are well again.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::serve::Answer;

/// How large a body is that is too large, and how often a slow target sends a byte.
const HUGE_BYTES: usize = 64 << 20;
const SLOW_EVERY: Duration = Duration::from_secs(1);

/// Made once: it takes so long that all other targets would be late.
static HUGE: LazyLock<Vec<u8>> =
    LazyLock::new(|| zstd::bulk::compress(&vec![0; HUGE_BYTES], 1).unwrap_or_default());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody listens.
    Refused,
    /// No answer.
    Hangs,
    Status500,
    /// Headers as they ought to be, and a body that is no spans.
    Garbage,
    /// Half a body, and the end of the connection.
    Truncated,
    /// A small body that is a large one.
    Huge,
    /// A byte now and then.
    Slow,
}

pub(crate) const ALL: [Failure; 7] = [
    Failure::Refused,
    Failure::Hangs,
    Failure::Status500,
    Failure::Garbage,
    Failure::Truncated,
    Failure::Huge,
    Failure::Slow,
];

/// Makes what takes long, before anybody is asked.
pub(crate) fn prepare() {
    LazyLock::force(&HUGE);
}

impl Failure {
    /// Answers so that it is of no use. True if the connection may be used again.
    pub(crate) async fn answer(
        self,
        stream: &mut TcpStream,
        answer: Answer,
    ) -> std::io::Result<bool> {
        match self {
            Self::Refused => Ok(false),
            Self::Hangs => {
                // Until whoever asked gives up.
                let _ = stream.read_u8().await;
                Ok(false)
            }
            Self::Status500 => {
                let text = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(text).await.map(|()| true)
            }
            Self::Garbage => {
                let noise = zstd::bulk::compress(&[0x07; 4_000], 1)?;
                answer.with(noise).write(stream).await.map(|()| true)
            }
            Self::Truncated => {
                let half = answer.bytes().len() / 2;
                stream.write_all(&answer.bytes()[..half]).await.map(|()| false)
            }
            Self::Huge => answer.with(HUGE.clone()).write(stream).await.map(|()| true),
            Self::Slow => {
                for byte in answer.bytes() {
                    stream.write_all(&[byte]).await?;
                    tokio::time::sleep(SLOW_EVERY).await;
                }
                Ok(true)
            }
        }
    }
}

//! A scrape as it arrives: of HTTP/1.1 no more than a scraper needs.

use std::time::Duration;

use sigyn_model::pull::{self, Cursor};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const HEAD_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) cursor: Option<Cursor>,
    /// The number in the scraper's name.
    pub(crate) seed: Option<u64>,
    pub(crate) wait: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) bytes_max: Option<usize>,
}

impl Request {
    /// The next one of a connection; `None` at its end.
    pub(crate) async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Self>> {
        let mut head = Vec::with_capacity(1 << 10);
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(Self::parse(&String::from_utf8_lossy(&head))))
    }

    fn parse(head: &str) -> Self {
        let mut lines = head.lines();
        let bytes_max = lines.next().and_then(|line| {
            let (_, after) = line.split_once("max_bytes=")?;
            after.split([' ', '&']).next()?.parse().ok()
        });
        let mut request = Self { bytes_max, ..Self::default() };
        let seconds = |text: &str| {
            let seconds: f64 = text.parse().ok()?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                pull::CURSOR => request.cursor = value.parse().ok(),
                pull::SCRAPER => {
                    let number = value.strip_prefix("sigyn-");
                    request.seed = number.and_then(|text| u64::from_str_radix(text, 16).ok());
                }
                pull::SCRAPE_TIMEOUT => request.timeout = seconds(value),
                "prefer" => request.wait = value.strip_prefix("wait=").and_then(seconds),
                _ => {}
            }
        }
        request
    }
}

//! As little of HTTP/1.1 as it takes: one connection that is kept, one question at a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(120);

/// A connection to the server.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

/// What the server says.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream: BufReader::new(stream), host: to })
    }

    pub(crate) fn post(&mut self, path: &str, kind: &str, body: &[u8]) -> io::Result<Answer> {
        let Self { stream, host } = self;
        let len = body.len();
        write!(
            stream.get_mut(),
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\r\n"
        )?;
        stream.get_mut().write_all(body)?;
        self.answer()
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        let Self { stream, host } = self;
        write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
        self.answer()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_ascii_lowercase())
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| bad("no status"))?;
        let (mut len, mut is_chunked) = (0, false);
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some(("content-length", value)) => {
                    len = value.trim().parse().map_err(|_| bad("no length"))?;
                }
                Some(("transfer-encoding", value)) => is_chunked = value.trim() == "chunked",
                Some(_) => {}
                None => break,
            }
        }
        let mut body = Vec::new();
        if !is_chunked {
            self.read(len, &mut body)?;
            return Ok(Answer { status, body });
        }
        loop {
            let line = self.line()?;
            let len = usize::from_str_radix(&line, 16).map_err(|_| bad("no length of a chunk"))?;
            self.read(len, &mut body)?;
            self.line()?;
            if len == 0 {
                return Ok(Answer { status, body });
            }
        }
    }

    fn read(&mut self, len: usize, body: &mut Vec<u8>) -> io::Result<()> {
        let at = body.len();
        body.resize(at + len, 0);
        self.stream.read_exact(&mut body[at..])
    }
}

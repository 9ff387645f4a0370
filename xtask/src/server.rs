//! A server to check or to measure: started on free ports, and held to a quick, clean end.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command;

/// How long a server may take until it answers, and from SIGTERM to its end.
const READY_WITHIN: Duration = Duration::from_secs(10);
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// How much of a server's log is shown when its check fails.
const LOG_LINES_SHOWN: usize = 50;

/// A `sigyn serve`: its own ports, its own store, its own log. The folder holds the last two.
pub(crate) struct Server {
    child: Child,
    pub(crate) doors: Doors,
    folder: PathBuf,
}

/// Where a server of a check takes spans: each door on a port of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doors {
    web: SocketAddr,
    otlp_grpc: SocketAddr,
    otlp_http: SocketAddr,
    jaeger_compact: SocketAddr,
    jaeger_binary: SocketAddr,
}

/// What differs from one server to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    /// Lines of its configuration.
    pub(crate) config: &'a str,
    pub(crate) flags: &'a [String],
    /// How long it may take until it answers.
    pub(crate) ready_within: Duration,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { config: "scrape_configs: []\n", flags: &[], ready_within: READY_WITHIN }
    }
}

/// Where the server of a folder keeps its spans.
pub(crate) fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

impl Doors {
    fn free() -> Result<Self> {
        Ok(Self {
            web: free_address()?,
            otlp_grpc: free_address()?,
            otlp_http: free_address()?,
            jaeger_compact: free_udp_address()?,
            jaeger_binary: free_udp_address()?,
        })
    }

    fn flags(&self) -> [String; 5] {
        [
            format!("--web.listen-address={}", self.web),
            format!("--otlp.grpc.listen-address={}", self.otlp_grpc),
            format!("--otlp.http.listen-address={}", self.otlp_http),
            format!("--jaeger.udp.compact.listen-address={}", self.jaeger_compact),
            format!("--jaeger.udp.binary.listen-address={}", self.jaeger_binary),
        ]
    }

    /// What scripts and clients read.
    pub(crate) fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("SIGYN_URL", format!("http://{}", self.web)),
            ("SIGYN_OTLP_GRPC", self.otlp_grpc.to_string()),
            ("SIGYN_OTLP_HTTP", self.otlp_http.to_string()),
            ("SIGYN_JAEGER_COMPACT", self.jaeger_compact.to_string()),
            ("SIGYN_JAEGER_BINARY", self.jaeger_binary.to_string()),
        ]
    }
}

impl Server {
    pub(crate) fn start(binary: &Path, folder: &Path) -> Result<Self> {
        Self::start_as(Setup::default(), binary, folder)
    }

    pub(crate) fn start_as(setup: Setup<'_>, binary: &Path, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let doors = Doors::free()?;
        let config = folder.join("sigyn.yml");
        std::fs::write(&config, setup.config)?;
        let log = File::create(folder.join("log"))?;
        let child = Command::new(binary)
            .arg("serve")
            .arg(format!("--config.file={}", config.display()))
            .args(doors.flags())
            .arg(format!("--storage.path={}", data(folder).display()))
            .arg("--web.enable-admin-api")
            .args(setup.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut server = Self { child, doors, folder: folder.to_path_buf() };
        server.wait_until_ready(setup.ready_within)?;
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while !answers(self.doors.web) {
            if let Some(status) = self.child.try_wait()? {
                bail!("sigyn ended at once: {status}\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("sigyn does not answer after {within:?}\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Where HTTP is answered.
    pub(crate) fn web(&self) -> SocketAddr {
        self.doors.web
    }

    /// Where the store is kept.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where OTLP over HTTP is taken.
    pub(crate) fn otlp_http(&self) -> SocketAddr {
        self.doors.otlp_http
    }

    /// Ends the server as [`Self::end`] does, and removes its folder.
    pub(crate) fn stop(self) -> Result<()> {
        let folder = self.folder.clone();
        self.end()?;
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))
    }

    /// Asks the server to end, by its own process id, and holds it to its promise: exit code 0, in time.
    pub(crate) fn end(mut self) -> Result<()> {
        command::run(Command::new("kill").arg("-TERM").arg(self.child.id().to_string()))?;
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if asked.elapsed() > ENDS_WITHIN {
                bail!("sigyn is still there {ENDS_WITHIN:?} after SIGTERM\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.must_have_succeeded(status)
    }

    /// Ends the server as a crash does. What it stored stays.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill the server")?;
        self.child.wait().context("cannot wait for the server")?;
        Ok(())
    }

    fn must_have_succeeded(&self, status: ExitStatus) -> Result<()> {
        if !status.success() {
            bail!("sigyn ended with {status} after SIGTERM\n{}", self.log());
        }
        Ok(())
    }

    /// The end of what the server said.
    pub(crate) fn log(&self) -> String {
        match std::fs::read_to_string(self.folder.join("log")) {
            Ok(log) => log
                .lines()
                .skip(log.lines().count().saturating_sub(LOG_LINES_SHOWN))
                .collect::<Vec<_>>()
                .join("\n"),
            Err(error) => format!("(no log: {error})"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` both find nothing to do; after an error nobody may be left running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago. Nothing else on this machine takes ports in such a hurry.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn free_udp_address() -> Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Whether `GET /health` is answered with 200.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let timeout = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.write_all(
            format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )?;
        let mut answer = Vec::new();
        stream.take(1 << 16).read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.") && answer.get(8..12) == Some(b" 200"))
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_where_nobody_listens_does_not_answer() -> Result<()> {
        assert!(!answers(free_address()?));
        Ok(())
    }
}

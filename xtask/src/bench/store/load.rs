//! The program that sends and asks, and what it is given to ask.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bench::built_bench;
use crate::command;

/// How long sealing may take.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The program.
pub(super) struct Load(PathBuf);

/// What it sends.
pub(super) struct Push<'a> {
    pub(super) to: SocketAddr,
    pub(super) path: &'a str,
    pub(super) format: &'a str,
    pub(super) corpus: &'a str,
    pub(super) spans: u64,
    /// `before` they are sent, or `meanwhile`; or so that they are of `now`.
    pub(super) made: &'a str,
    pub(super) samples: &'a Path,
}

pub(super) struct Pushed {
    pub(super) spans: u64,
    pub(super) seconds: f64,
}

pub(super) struct Asked {
    pub(super) asked: u64,
    pub(super) found: u64,
    /// Answered with an error: not in time, mostly.
    pub(super) failed: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Load {
    pub(super) fn build(profile: &str) -> Result<Self> {
        built_bench("sigyn-store", "load", profile).map(Self)
    }

    pub(super) fn push(&self, push: &Push<'_>) -> Result<Pushed> {
        let Push { to, path, format, corpus, spans, made, samples } = push;
        let output = Command::new(&self.0)
            .arg("push")
            .args([format!("--to={to}"), format!("--path={path}"), format!("--format={format}")])
            .args([format!("--corpus={corpus}"), format!("--spans={spans}")])
            .args([format!("--made={made}"), "--connections=2".to_owned()])
            .arg(format!("--samples={}", samples.display()))
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start the sender")?;
        if !output.status.success() {
            bail!("the sender ended with {}", output.status);
        }
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(Pushed { spans: figure(&said, "spans")?, seconds: figure(&said, "seconds")? })
    }

    /// Writes the same spans as rows for a database.
    pub(super) fn rows(&self, corpus: &str, spans: u64, out: &Path) -> Result<()> {
        let [corpus, spans] = [format!("--corpus={corpus}"), format!("--spans={spans}")];
        let out = format!("--out={}", out.display());
        command::run(Command::new(&self.0).args(["rows", &corpus, &spans, &out]))
    }

    /// Makes a store whose log is so long, and leaves it as a kill does. Returns how many spans are in it.
    pub(super) fn grow(&self, path: &Path, bytes: u64) -> Result<u64> {
        let output = Command::new(&self.0)
            .arg("grow")
            .args([format!("--path={}", path.display()), format!("--bytes={bytes}")])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start what makes a log")?;
        if !output.status.success() {
            bail!("what makes a log ended with {}", output.status);
        }
        figure(&String::from_utf8_lossy(&output.stdout), "spans")
    }

    /// Asks one after the other, for so many seconds at most.
    pub(super) fn ask(&self, to: SocketAddr, seconds: u64, paths: &[String]) -> Result<Asked> {
        let mut asking = Command::new(&self.0)
            .arg("ask")
            .arg(format!("--to={to}"))
            .arg(format!("--seconds={seconds}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the asker")?;
        let mut stdin = asking.stdin.take().context("no way to the asker")?;
        // It stops listening when its time is over.
        match stdin.write_all(paths.join("\n").as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
            _ => drop(stdin),
        }
        let output = asking.wait_with_output()?;
        if !output.status.success() {
            bail!("the asker ended with {}", output.status);
        }
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(Asked {
            asked: figure(&said, "asked")?,
            found: figure(&said, "found")?,
            failed: figure(&said, "failed")?,
            p50_ms: figure(&said, "p50_ms")?,
            p99_ms: figure(&said, "p99_ms")?,
            max_ms: figure(&said, "max_ms")?,
        })
    }
}

/// One of the figures in `name=value name=value`.
pub(in crate::bench) fn figure<T: std::str::FromStr>(said: &str, name: &str) -> Result<T> {
    let mut words = said.split_whitespace().filter_map(|word| word.split_once('='));
    let value = words.find_map(|(other, value)| (other == name).then_some(value));
    value.and_then(|value| value.parse().ok()).with_context(|| format!("no {name} in `{said}`"))
}

/// Asks for something to be done; the answer as it comes.
pub(super) fn post(to: SocketAddr, path: &str) -> Result<String> {
    send("POST", to, path, "*/*")
}

/// What is at a path, as it comes.
pub(in crate::bench) fn get(to: SocketAddr, path: &str) -> Result<String> {
    send("GET", to, path, "*/*")
}

/// The same as text, where there are several forms.
pub(in crate::bench) fn get_text(to: SocketAddr, path: &str) -> Result<String> {
    send("GET", to, path, "text/plain")
}

fn send(method: &str, to: SocketAddr, path: &str, accept: &str) -> Result<String> {
    let mut stream = TcpStream::connect(to).context("cannot reach the server")?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nAccept: {accept}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("no answer")?;
    Ok(answer)
}

/// A number in JSON, by the name before it.
pub(in crate::bench) fn figure_of<T: std::str::FromStr>(json: &str, name: &str) -> Result<T> {
    let after = json.split_once(&format!("\"{name}\":")).map(|(_, after)| after);
    let digits = after.map(|after| after.split([',', '}']).next().unwrap_or_default().trim());
    digits.and_then(|digits| digits.parse().ok()).with_context(|| format!("no {name} in `{json}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_their_names() -> Result<()> {
        let said = "spans=12 seconds=0.5\n";
        assert_eq!(figure::<u64>(said, "spans")?, 12);
        assert!(figure::<u64>(said, "span").is_err());
        assert!(figure::<u64>(said, "seconds").is_err());
        let said = "{\"data\":{\"spans\":12,\"walBytes\": 7}}";
        assert_eq!(
            (figure_of::<u64>(said, "spans")?, figure_of::<u64>(said, "walBytes")?),
            (12, 7)
        );
        assert!(figure_of::<u64>(said, "data").is_err());
        Ok(())
    }
}

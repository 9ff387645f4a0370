//! The program that sends and asks, and what it is given to ask.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bench::built_bench;
use crate::command;

/// How long sealing may take.
const TIMEOUT: Duration = Duration::from_secs(300);
/// A search asks for traces of this long before a known one, and a second after it.
const LOOKBACK_MS: u64 = 3_600_000;

/// The program.
pub(super) struct Load(PathBuf);

/// What it sends.
pub(super) struct Push<'a> {
    pub(super) to: SocketAddr,
    pub(super) path: &'a str,
    pub(super) format: &'a str,
    pub(super) corpus: &'a str,
    pub(super) spans: u64,
    /// `before` they are sent, or `meanwhile`.
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
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Load {
    pub(super) fn build() -> Result<Self> {
        built_bench("load").map(Self)
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

    pub(super) fn ask(&self, to: SocketAddr, paths: &[String]) -> Result<Asked> {
        let mut asking = Command::new(&self.0)
            .arg("ask")
            .arg(format!("--to={to}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the asker")?;
        let mut stdin = asking.stdin.take().context("no way to the asker")?;
        stdin.write_all(paths.join("\n").as_bytes())?;
        drop(stdin);
        let output = asking.wait_with_output()?;
        if !output.status.success() {
            bail!("the asker ended with {}", output.status);
        }
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(Asked {
            asked: figure(&said, "asked")?,
            found: figure(&said, "found")?,
            p50_ms: figure(&said, "p50_ms")?,
            p99_ms: figure(&said, "p99_ms")?,
            max_ms: figure(&said, "max_ms")?,
        })
    }
}

/// One of the figures in `name=value name=value`.
pub(super) fn figure<T: std::str::FromStr>(said: &str, name: &str) -> Result<T> {
    let mut words = said.split_whitespace().filter_map(|word| word.split_once('='));
    let value = words.find_map(|(other, value)| (other == name).then_some(value));
    value.and_then(|value| value.parse().ok()).with_context(|| format!("no {name} in `{said}`"))
}

/// Something to ask, many times over.
pub(super) struct Question {
    pub(super) name: &'static str,
    pub(super) gate: &'static str,
    pub(super) paths: Vec<String>,
}

/// Questions about the traces that the sender wrote down.
pub(super) fn questions(samples: &Path) -> Result<Vec<Question>> {
    let text = std::fs::read_to_string(samples).context("cannot read what was sent")?;
    let samples: Vec<Vec<&str>> =
        text.lines().map(|line| line.split(' ').collect::<Vec<_>>()).collect();
    // Spread over all that is stored.
    let some = |most: usize| samples.iter().step_by((samples.len() / most).max(1));
    let ends_at = |at: &str| at.parse::<u64>().unwrap_or(0) + 1_000;
    let (mut traces, mut searches, mut needles) = (Vec::new(), Vec::new(), Vec::new());
    for sample in some(1_000) {
        let [id, service, at, _] = sample[..] else { bail!("a sample of other parts") };
        let end = ends_at(at);
        traces.push(format!("/api/v2/trace/{id}"));
        searches.push(format!(
            "/api/v2/traces?serviceName={service}&annotationQuery=http.request.method%3DGET&minDuration=1000&limit=20&endTs={end}&lookback={LOOKBACK_MS}"
        ));
    }
    let last = samples.last().context("nothing was sent")?;
    let end = ends_at(last.get(2).copied().unwrap_or_default());
    for sample in &samples {
        if let Some(needle) = sample.get(3).filter(|needle| **needle != "-") {
            needles.push(format!(
                "/api/v2/traces?annotationQuery=bench.needle%3D{needle}&limit=20&endTs={end}&lookback={end}"
            ));
        }
    }
    let question = |name, gate, paths| Question { name, gate, paths };
    Ok(vec![
        question("trace by id", "p50 2, p99 5", traces),
        question("search: service, tag, duration; newest 20", "p99 20", searches),
        question("a tag value that one trace has, anywhere", "50", needles),
        question("names of services", "-", vec!["/api/v2/services".to_owned(); 100]),
    ])
}

/// Asks for something to be done; the answer as it comes.
pub(super) fn post(to: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(to).context("cannot reach the server")?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("no answer")?;
    Ok(answer)
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
        Ok(())
    }
}

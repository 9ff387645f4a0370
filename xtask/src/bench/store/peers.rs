//! Others on the same bodies, in the same run: Zipkin's own server.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Bench, FEEDS, load, median};
use crate::bench::process;
use crate::conformance::client::Client;
use crate::{command, repo};

const READY_WITHIN: Duration = Duration::from_secs(120);
/// How many times Zipkin's spans per CPU second ours are to be.
const GATE: f64 = 5.0;

pub(super) fn run(bench: &Bench) -> Result<()> {
    let client = Client::Maven("zipkin_server");
    let missing: Vec<&str> =
        client.needs().iter().copied().filter(|tool| !command::is_installed(tool)).collect();
    if !missing.is_empty() {
        println!("\nZipkin's server is not measured: not installed: {}", missing.join(", "));
        return Ok(());
    }
    client.install(&repo::root(), bench.scratch.path())?;
    let feed = &FEEDS[1];
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    let zipkin = Zipkin::start(&bench.scratch.path().join("zipkin_server/lib"))?;
    let push = || {
        bench.load.push(&load::Push {
            to: zipkin.address,
            path: feed.path,
            format: feed.format,
            corpus: feed.corpus,
            spans: bench.options.spans,
            made: "before",
            samples: &bench.samples(),
        })
    };
    // Until its code is compiled and its heap is full.
    push()?;
    for _ in 0..bench.options.rounds {
        let before = process::cpu_seconds(zipkin.child.id())?;
        let pushed = push()?;
        theirs.push(pushed.spans as f64 / (process::cpu_seconds(zipkin.child.id())? - before));
        ours.push(bench.round(feed)?.spans_per_cpu_second);
    }
    drop(zipkin);
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours / theirs;
    println!(
        "\n## Beside Zipkin's own server, by turns: {} spans of {}\n",
        bench.options.spans, feed.name
    );
    println!("| server | spans per CPU second |\n|---|---|");
    println!("| Zipkin, in memory, warm, 6 GB of heap, nothing durable | {theirs:.0} |");
    println!("| Sigyn, durable and sealed | {ours:.0} |");
    let verdict = if ratio >= GATE { "holds" } else { "does NOT hold" };
    println!("\n{ratio:.2} times; {GATE} {verdict}");
    Ok(())
}

struct Zipkin {
    child: Child,
    address: SocketAddr,
}

impl Zipkin {
    fn start(jars: &Path) -> Result<Self> {
        let mut found = std::fs::read_dir(jars).context("Zipkin's jar is not there")?;
        let jar = found
            .find_map(|entry| {
                let path = entry.ok()?.path();
                path.to_str().is_some_and(|path| path.ends_with("-exec.jar")).then_some(path)
            })
            .context("Zipkin's jar is not there")?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let child = Command::new("java")
            .args(["-Xmx6g", "-jar"])
            .arg(jar)
            .arg("--armeria.ports[0].ip=127.0.0.1")
            .arg(format!("--armeria.ports[0].port={}", address.port()))
            .arg("--armeria.ports[0].protocols[0]=http")
            .env("MEM_MAX_SPANS", "1000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start Zipkin")?;
        let mut zipkin = Self { child, address };
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(address).is_err() {
            if zipkin.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("Zipkin does not listen");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(zipkin)
    }
}

impl Drop for Zipkin {
    fn drop(&mut self) {
        // It keeps nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

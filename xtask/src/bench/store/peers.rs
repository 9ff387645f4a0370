//! Others on the same spans, in the same run: Zipkin's own server, and ClickHouse's engine in a process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::load::figure;
use super::{Bench, FEEDS, load, median};
use crate::bench::process;
use crate::conformance::client::Client;
use crate::{command, repo};

const READY_WITHIN: Duration = Duration::from_secs(120);
/// How many times their spans per CPU second ours are to be.
const ZIPKIN_GATE: f64 = 5.0;
const CHDB_GATE: f64 = 4.0;

/// Whether it could be had; says so if not.
fn install(client: Client, what: &str, bench: &Bench) -> Result<bool> {
    let missing: Vec<&str> =
        client.needs().iter().copied().filter(|tool| !command::is_installed(tool)).collect();
    if !missing.is_empty() {
        println!("\nSKIPPED: {what} is not measured: not installed: {}", missing.join(", "));
        return Ok(false);
    }
    client.install(&repo::root(), bench.scratch.path())?;
    Ok(true)
}

fn compare(title: &str, theirs_is: &str, theirs: Vec<f64>, ours: Vec<f64>, gate: f64) {
    let (theirs, ours) = (median(theirs), median(ours));
    let ratio = ours / theirs;
    let verdict = if ratio >= gate { "holds" } else { "does NOT hold" };
    println!("\n## {title}\n");
    println!("| | spans per CPU second |\n|---|---|");
    println!("| {theirs_is} | {theirs:.0} |");
    println!("| Sigyn's server, durable and sealed | {ours:.0} |");
    println!("\n{ratio:.2} times; {gate} {verdict}");
}

pub(super) fn zipkin(bench: &Bench) -> Result<()> {
    if !install(Client::Maven("zipkin_server"), "Zipkin's server", bench)? {
        return Ok(());
    }
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
    compare(
        &format!(
            "Beside Zipkin's server, by turns: {} spans of {}",
            bench.options.spans, feed.name
        ),
        "Zipkin's server, in memory, warm, 6 GB of heap, nothing durable",
        theirs,
        ours,
        ZIPKIN_GATE,
    );
    Ok(())
}

pub(super) fn chdb(bench: &Bench) -> Result<()> {
    if !install(Client::Python("chdb"), "ClickHouse's engine", bench)? {
        return Ok(());
    }
    let scratch = bench.scratch.path();
    let rows = scratch.join("rows.json");
    bench.load.rows(FEEDS[0].corpus, bench.options.spans, &rows)?;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds {
        let folder = repo::TempFolder::new("bench-chdb")?;
        let output = Command::new(scratch.join("chdb/venv/bin/python"))
            .arg(repo::root().join("xtask/src/bench/store/chdb_peer.py"))
            .args([rows.as_path(), folder.path()])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start python")?;
        if !output.status.success() {
            bail!("the script around ClickHouse's engine ended with {}", output.status);
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let of = |name| figure::<f64>(&said, name);
        theirs.push(of("rows")? / (of("insert_s")? + of("merge_s")?));
        ours.push(bench.round(&FEEDS[0])?.spans_per_cpu_second);
    }
    compare(
        &format!(
            "Beside ClickHouse's engine (chDB), by turns: {} spans of {}",
            bench.options.spans, FEEDS[0].name
        ),
        "MergeTree, insert and one merge of rows that are parsed already",
        theirs,
        ours,
        CHDB_GATE,
    );
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

//! What a server does first that was killed: it reads a long log.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::load::{self, figure_of};
use super::{Bench, bytes_in};
use crate::bench::process;
use crate::server::{Server, Setup};

/// How long it may take for that, beyond any goal.
const READY_WITHIN: Duration = Duration::from_secs(300);
const GATE_SECONDS: f64 = 10.0;
/// Which part of what a server may use in memory its log takes at most, before spans of it become blocks. A
/// log that is longer was left by a server that had more memory.
const LOG_PART: u64 = 12;

pub(super) fn run(bench: &Bench) -> Result<()> {
    let folder = bench.scratch.path().join("recovery");
    let data = crate::server::data(&folder);
    std::fs::create_dir_all(&folder)?;
    let spans = bench.load.grow(&data, bench.options.log_bytes)?;
    let log_bytes = bytes_in(&data.join("wal"))?;
    let memory_gib = (log_bytes * LOG_PART).div_ceil(1 << 30).max(2);
    println!(
        "\n## After a kill: {spans} spans in a log of {} MB, --storage.memory={memory_gib}GB\n",
        log_bytes / 1_000_000
    );
    println!(
        "| start | to ready, s | gate | most memory, MiB | CPU s | spans there | of them in blocks |"
    );
    println!("|---|---|---|---|---|---|---|");
    // The second one finds what the first one, killed at once, has left.
    for start in ["after the kill", "and after another one"] {
        let started = Instant::now();
        let flags = [format!("--storage.memory={memory_gib}GB")];
        let setup = Setup { ready_within: READY_WITHIN, flags: &flags, ..Setup::default() };
        let server = Server::start_as(setup, &bench.sigyn, &folder)?;
        let seconds = started.elapsed().as_secs_f64();
        let peak_mib = process::memory_mib(server.pid(), "VmHWM")?;
        let cpu = process::cpu_seconds(server.pid())?;
        let status = load::get(server.web(), "/api/v1/status/store")?;
        let there: u64 = figure_of(&status, "spans")?;
        let in_blocks = there - figure_of::<u64>(&status, "headSpans")?;
        let holds = if seconds <= GATE_SECONDS { "holds" } else { "does NOT hold" };
        println!(
            "| {start} | {seconds:.2} | {GATE_SECONDS:.0} {holds} | {peak_mib:.0} | {cpu:.1} | {there} | {in_blocks} |"
        );
        ensure!(there == spans, "{spans} spans were stored");
        server.kill()?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

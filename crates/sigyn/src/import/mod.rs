//! `sigyn import`: moves what a running Zipkin knows, or what stands in files, into a running tracer.
//!
//! It speaks with both by their public HTTP API alone, so any of the two may be elsewhere, and the
//! tracer may be a Zipkin, too.

mod content;
mod file;
mod otlp;
mod peer;
mod plan;
mod progress;
mod source;
mod state;
mod tally;
mod trace;
mod tracer;
mod windows;

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;

use crate::Failure;
use crate::cli::ImportFlags;
use crate::query::base_url;
use peer::Peer;
use progress::Progress;
use tally::Tally;
use tracer::Tracer;

pub(crate) fn run(flags: &ImportFlags) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let progress = Arc::new(Progress::new(flags.progress, flags.dry_run));
    let outcome = runtime.block_on(import(flags, &progress));
    progress.end();
    let tally = outcome?;
    let closing = tally.closing(flags.dry_run);
    // Whoever closed the pipe learns from the status.
    let _ = std::io::stdout().lock().write_all(closing.as_bytes());
    if tally.is_complete() {
        return Ok(());
    }
    Err(Failure::work(anyhow::anyhow!("not everything could be imported")))
}

async fn import(flags: &ImportFlags, progress: &Arc<Progress>) -> Result<Tally, Failure> {
    if flags.from.is_none() && flags.files.is_empty() {
        let how = "nothing to import: name a running Zipkin (--from URL) or files (FILE ...)";
        return Err(Failure::usage(anyhow::anyhow!(how)));
    }
    let address = |flag, url: &str| base_url(url).context(flag).map_err(Failure::usage);
    let to = address("--to", &flags.to)?;
    let tracer = Peer::new(to.clone(), flags.http_config_file.as_deref(), Arc::clone(progress));
    let tracer = Tracer::new(tracer.map_err(Failure::usage)?, flags.dry_run);
    match &flags.from {
        Some(from) => {
            let from = address("--from", from)?;
            if from.eq_ignore_ascii_case(&to) {
                let same = anyhow::anyhow!("--from and --to are the same server, {to}");
                return Err(Failure::usage(same));
            }
            windows::import(flags, (from, to), &tracer, progress).await
        }
        None => file::import(flags, &tracer, progress).await,
    }
}

/// Returns at the first SIGINT or SIGTERM. What is under way is dropped: nothing is lost by it, since
/// whatever has not been confirmed is asked for again.
async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

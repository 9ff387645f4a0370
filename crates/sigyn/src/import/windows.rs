//! From a running Zipkin, window by window: one is asked for while the one before is stored.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::interrupted;
use super::peer::{Peer, PeerError};
use super::plan::{Ask, Plan, Verdict};
use super::progress::Progress;
use super::source::{SearchError, Source};
use super::state::{self, Order, State};
use super::tally::Tally;
use super::trace::{Part, Trace};
use super::tracer::Tracer;
use crate::Failure;
use crate::cli::ImportFlags;
use crate::query::time::{clock, duration_us, end_ms, now_us};

/// Windows that wait to be stored. Full means that the source is not asked meanwhile.
const WINDOWS_WAITING_MAX: usize = 1;

/// A window's traces, and where the plan stood after it.
#[derive(Debug)]
struct Fetched {
    traces: Vec<Trace>,
    partial: bool,
    next_ms: u64,
    width_ms: u64,
}

pub(super) async fn import(
    flags: &ImportFlags,
    addresses: (String, String),
    tracer: &Tracer,
    progress: &Arc<Progress>,
) -> Result<Tally, Failure> {
    let order = order(flags, addresses).map_err(Failure::usage)?;
    let width_ms = at_least_a_millisecond("window", &flags.window).map_err(Failure::usage)?;
    let path = flags.state.clone().unwrap_or_else(|| state::default_path(&order.from));
    let unfinished = match flags.restart || flags.dry_run {
        true => None,
        false => State::load(&path, &order).map_err(Failure::usage)?,
    };
    let mut state = match unfinished {
        Some(state) => {
            progress.tell(&format!(
                "goes on from {} with what {} remembers",
                clock(state.next_ms * 1_000),
                path.display()
            ));
            state
        }
        None => State::new(order, now_us() / 1_000, width_ms),
    };
    let config = flags.from_http_config_file.as_deref();
    let source = Peer::new(state.order.from.clone(), config, Arc::clone(progress));
    let source = Source::new(source.map_err(Failure::usage)?);
    source.probe().await.context("cannot ask the source")?;
    tracer.probe().await.context("cannot ask the tracer")?;

    let file = (!flags.dry_run).then_some(path.as_path());
    let outcome = tokio::select! {
        outcome = move_all(&source, tracer, &mut state, flags.limit, file, progress) => outcome,
        outcome = interrupted() => outcome.and_then(|()| Err(anyhow::anyhow!("interrupted"))),
    };
    match (outcome, file) {
        (Ok(()), Some(file)) => state::remove(file)?,
        (Ok(()), None) => {}
        (Err(error), Some(file)) if file.exists() => {
            let at = clock(state.next_ms * 1_000);
            progress.tell(&format!(
                "stops at {at}: {}. The same command goes on from there, as {} remembers.",
                state.tally.brief(false),
                file.display()
            ));
            return Err(Failure::work(error));
        }
        (Err(error), _) => return Err(Failure::work(error)),
    }
    Ok(state.tally)
}

fn order(flags: &ImportFlags, (from, to): (String, String)) -> anyhow::Result<Order> {
    /// Servers calculate with it in microseconds, in 63 bits.
    const END_MS_MAX: u64 = i64::MAX as u64 / 1_000;
    let end_ms = flags.end.as_deref().map(end_ms).transpose().context("--end")?;
    anyhow::ensure!(end_ms.is_none_or(|ms| ms <= END_MS_MAX), "--end is beyond all time");
    let lookback_ms = at_least_a_millisecond("lookback", &flags.lookback)?;
    Ok(Order { from, to, lookback_ms, end_ms })
}

fn at_least_a_millisecond(flag: &str, text: &str) -> anyhow::Result<u64> {
    let us = duration_us(text).with_context(|| format!("--{flag}"))?;
    anyhow::ensure!(us >= 1_000, "--{flag} is shorter than a millisecond");
    Ok(us / 1_000)
}

async fn move_all(
    source: &Source,
    tracer: &Tracer,
    state: &mut State,
    limit: u32,
    file: Option<&Path>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let plan = Plan::new(state.next_ms, state.last_ms, state.width_ms, limit);
    let (fetched_tx, fetched) = mpsc::channel(WINDOWS_WAITING_MAX);
    let mut storing = std::pin::pin!(store(fetched, tracer, state, file, progress));
    tokio::select! {
        // Ends first only if it fails.
        stored = &mut storing => stored,
        asked = fetch(source, plan, fetched_tx, progress) => {
            // What was found before the source failed is worth keeping.
            storing.await?;
            asked
        }
    }
}

/// Asks for window after window, as small as it takes to get each whole.
async fn fetch(
    source: &Source,
    mut plan: Plan,
    fetched: mpsc::Sender<Fetched>,
    progress: &Progress,
) -> anyhow::Result<()> {
    while let Some(ask) = plan.ask() {
        let (verdict, traces) = match source.search(ask).await {
            Ok(found) => (plan.answered(ask, found.traces.len(), found.bytes), found.traces),
            Err(SearchError::Peer(PeerError::TooLarge)) => (plan.too_large(ask), Vec::new()),
            Err(SearchError::Peer(error)) if error.is_overwhelmed() && plan.failed(ask) => {
                progress.tell(&format!("{:#}: asking for less", anyhow::Error::new(error)));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if verdict == Verdict::Again {
            continue;
        }
        let partial = verdict == Verdict::Part;
        if partial {
            progress.tell(&format!(
                "the millisecond from {} holds {} traces or more: it may not be complete",
                clock(ask.window.from_ms * 1_000),
                traces.len()
            ));
        }
        let traces = owned(traces, ask);
        let (next_ms, width_ms) = (plan.next_ms(), plan.width_ms());
        if fetched.send(Fetched { traces, partial, next_ms, width_ms }).await.is_err() {
            // Storing has ended, and says why.
            break;
        }
    }
    Ok(())
}

/// Without those that the next window finds, too.
fn owned(traces: Vec<Trace>, ask: Ask) -> Vec<Trace> {
    traces.into_iter().filter(|trace| ask.window.owns(trace.start_us, ask.last)).collect()
}

/// Stores window after window and remembers each that is done.
async fn store(
    mut fetched: mpsc::Receiver<Fetched>,
    tracer: &Tracer,
    state: &mut State,
    file: Option<&Path>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let all = state.last_ms - state.first_ms;
    progress.begin(state.next_ms - state.first_ms, all, &state.tally);
    while let Some(window) = fetched.recv().await {
        // Counted only once it is done, so that what is done twice is not counted twice.
        let mut tally = state.tally.clone();
        tally.windows += 1;
        tally.partial += u64::from(window.partial);
        tally.traces += window.traces.len() as u64;
        let mut part = Part::default();
        for trace in window.traces {
            part.items.extend(trace.part.items);
            part.refused.extend(trace.part.refused);
        }
        tracer.deliver(part, &mut tally).await?;
        state.tally = tally;
        (state.next_ms, state.width_ms) = (window.next_ms, window.width_ms);
        if let Some(file) = file {
            state.save(file)?;
        }
        progress.at(state.next_ms - state.first_ms, all, &state.tally);
    }
    Ok(())
}

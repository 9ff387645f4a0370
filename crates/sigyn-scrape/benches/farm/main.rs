//! Many targets that finish spans and are scraped: the half of `cargo xtask bench scrape` that is not the tracer.
//!
//! It says `listening`, is told where the tracer answers, says `measuring` and `measured`, lets every target be well
//! again and finish no more, waits until all has been fetched, and says what came of it.

mod failure;
mod figures;
mod log;
mod punctual;
mod request;
mod serve;
mod spans;

use std::collections::HashMap;
use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::serve::Farmed;

type Problem = Box<dyn Error + Send + Sync>;

/// How long the tracer may take to start asking.
const FIRST_WITHIN: Duration = Duration::from_secs(60);
/// Intervals until everything has been fetched once no target finishes anything.
const REST_INTERVALS: u32 = 4;

/// Options by their name.
struct Options(HashMap<String, String>);

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, Problem> {
        let mut options = HashMap::new();
        for argument in arguments {
            let option = argument.strip_prefix("--").and_then(|option| option.split_once('='));
            let (name, value) = option.ok_or_else(|| format!("`{argument}` is no --name=value"))?;
            options.insert(name.to_owned(), value.to_owned());
        }
        Ok(Self(options))
    }

    fn text(&self, name: &str) -> Result<&str, Problem> {
        Ok(self.0.get(name).ok_or_else(|| format!("--{name}=… is missing"))?)
    }

    fn number(&self, name: &str) -> Result<u32, Problem> {
        let text = self.text(name)?;
        text.parse().map_err(|_| format!("--{name}={text} is no number").into())
    }
}

/// What all targets of this process have in common.
#[derive(Debug)]
struct Plan {
    interval: Duration,
    timeout: Duration,
    /// That each target finishes in an interval.
    spans: u32,
    /// Intervals that are measured.
    rounds: u32,
}

#[expect(clippy::print_stdout, reason = "the figures go to whoever started it")]
fn main() -> Result<(), Problem> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    if std::env::args().skip(1).all(|argument| argument == "--bench") {
        println!("`cargo xtask bench scrape` runs this");
        return Ok(());
    }
    let options = Options::parse(&mut arguments)?;
    let plan = Plan {
        interval: Duration::from_millis(options.number("interval-ms")?.into()),
        timeout: Duration::from_millis(options.number("timeout-ms")?.into()),
        spans: options.number("spans")?,
        rounds: options.number("rounds")?,
    };
    let addresses = std::fs::read_to_string(options.text("addresses")?)?;
    let addresses: Vec<SocketAddr> = addresses.lines().map(str::parse).collect::<Result<_, _>>()?;
    if let Some(other) = addresses.iter().find(|address| !address.ip().is_loopback()) {
        return Err(format!("{other} is not of this machine").into());
    }
    let failing = options.number("failing")?;
    let late = PathBuf::from(options.text("late")?);
    raise_files();
    failure::prepare();
    let farmed = farm(&addresses, failing, &plan)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    runtime.block_on(tasks.run_until(run(farmed, &plan, &late)))
}

/// A listener and a connection for each target take more files than a process has unless it asks.
fn raise_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Without them a target says that it cannot listen.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Of each hundred targets so many fail, each in its own way.
fn farm(addresses: &[SocketAddr], failing: u32, plan: &Plan) -> Result<Vec<Rc<Farmed>>, Problem> {
    let instants = punctual::instants(addresses, plan)?;
    let mut failures = failure::ALL.into_iter().cycle();
    let target = |(at, (address, hash)): (usize, (&SocketAddr, u64))| {
        let fails = at % 100 < failing as usize;
        let failure = if fails { failures.next() } else { None };
        Rc::new(Farmed::new(*address, hash, failure, plan))
    };
    Ok(addresses.iter().zip(instants).enumerate().map(target).collect())
}

#[expect(clippy::print_stdout, reason = "the figures go to whoever started it")]
async fn run(farmed: Vec<Rc<Farmed>>, plan: &Plan, late: &std::path::Path) -> Result<(), Problem> {
    let say = |what: &str| {
        println!("{what}");
        std::io::stdout().flush()
    };
    let (healing, healed) = watch::channel(false);
    let mut serving = JoinSet::new();
    for target in &farmed {
        serving.spawn_local(serve::run(Rc::clone(target), healed.clone()));
    }
    while !farmed.iter().all(|target| target.is_up()) {
        if let Some(ended) = serving.try_join_next() {
            return Err(format!("a target cannot listen: {ended:?}").into());
        }
        tokio::task::yield_now().await;
    }
    say("listening")?;
    let tracer: SocketAddr = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    })
    .await??
    .trim()
    .parse()
    .map_err(|_| "whoever started this has gone")?;

    let deadline = Instant::now() + FIRST_WITHIN;
    while !farmed.iter().any(|target| target.was_asked()) {
        if Instant::now() > deadline {
            return Err("the tracer asks nobody".into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Everybody's first scrape, and the connections that it takes.
    tokio::time::sleep(plan.interval + plan.interval / 2).await;
    farmed.iter().for_each(|target| target.measure(true));
    say("measuring")?;
    tokio::time::sleep(plan.interval * plan.rounds).await;
    farmed.iter().for_each(|target| target.measure(false));
    say("measured")?;

    farmed.iter().for_each(|target| target.retire());
    healing.send_replace(true);
    let deadline = Instant::now() + plan.interval * REST_INTERVALS + plan.timeout;
    while !farmed.iter().all(|target| target.is_empty()) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What was fetched last is being stored.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let books = tokio::task::spawn_blocking(move || figures::books(tracer)).await??;
    say(&figures::told(&farmed, &books))?;
    figures::write_late(&farmed, late)?;
    drop(serving);
    Ok(())
}

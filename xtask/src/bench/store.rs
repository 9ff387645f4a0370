//! The whole server, measured from outside: what it takes in per CPU second, what that takes on the disk, how fast
//! it answers from many spans, and how others do on the same bodies.

pub(super) mod load;
mod peers;
mod questions;
mod recovery;
pub(crate) mod soak;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use self::load::{Asked, Load, Pushed};
use self::questions::{Question, verdict};
use super::{PROFILE, build, process};
use crate::repo;
use crate::server::Server;

/// What is sent, in which format, and to which of the server's doors.
struct Feed {
    name: &'static str,
    corpus: &'static str,
    format: &'static str,
    path: &'static str,
    /// Spans per CPU second that are to be reached, where something is.
    gate: Option<f64>,
}

const FEEDS: [Feed; 6] = [
    Feed::new("OTLP, shop", "shop", "otlp", Some(300e3)),
    Feed::new("Zipkin v2 JSON, shop", "shop", "zipkin-json", Some(250e3)),
    Feed::new("OTLP, six random ids a span", "ids", "otlp", None),
    Feed::new("OTLP, tiny spans", "tiny", "otlp", None),
    Feed::new("OTLP, 60 tags a span", "wide", "otlp", None),
    Feed::new("Zipkin v2 JSON, real traces", "real", "zipkin-json", None),
];

impl Feed {
    const fn new(
        name: &'static str,
        corpus: &'static str,
        format: &'static str,
        gate: Option<f64>,
    ) -> Self {
        let path = if format.len() == "otlp".len() { "/v1/traces" } else { "/api/v2/spans" };
        Self { name, corpus, format, path, gate }
    }
}

/// How often something is asked before it is measured.
const WARM_UP: usize = 1_000;
/// How long one thing is asked at most.
const ASK_SECONDS: u64 = 10;

struct Options {
    filter: String,
    /// Of each round of taking in.
    spans: u64,
    rounds: usize,
    /// In the store that is asked.
    stored: u64,
    /// Of the log that a killed server leaves.
    log_bytes: u64,
    /// What is measured is built with this.
    profile: String,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            filter: String::new(),
            spans: 2_000_000,
            rounds: 5,
            stored: 50_000_000,
            log_bytes: 2_000_000_000,
            profile: PROFILE.to_owned(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut number = || -> Result<u64> {
                let text =
                    arguments.next().with_context(|| format!("{argument} needs a number"))?;
                text.parse().with_context(|| format!("{argument} {text}"))
            };
            match argument.as_str() {
                "--profile" => {
                    arguments
                        .next()
                        .context("--profile needs a name")?
                        .clone_into(&mut options.profile);
                }
                "--spans" => options.spans = number()?,
                "--log" => options.log_bytes = number()? * 1_000_000,
                "--stored" => options.stored = number()?,
                "--rounds" => options.rounds = usize::try_from(number()?)?.max(1),
                flag if flag.starts_with('-') => bail!("unknown flag {flag}"),
                filter => filter.clone_into(&mut options.filter),
            }
        }
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        part.contains(&self.filter)
    }
}

/// Everything that measuring takes.
struct Bench {
    options: Options,
    sigyn: PathBuf,
    load: Load,
    scratch: repo::TempFolder,
}

pub(super) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let root = repo::root();
    let scratch = repo::TempFolder::new("bench-store")?;
    let (sigyn, load) = (build(&root, &options.profile)?, Load::build(&options.profile)?);
    let bench = Bench { options, sigyn, load, scratch };
    println!(
        "\nMachine: {} CPUs, {}. Durability: fsync.",
        std::thread::available_parallelism()?,
        process::cpu_model()
    );
    if bench.options.wants("ingest") {
        bench.ingest()?;
    }
    if bench.options.wants("zipkin") {
        peers::zipkin(&bench)?;
    }
    if bench.options.wants("chdb") {
        peers::chdb(&bench)?;
    }
    if bench.options.wants("recovery") {
        recovery::run(&bench)?;
    }
    if bench.options.wants("queries") {
        bench.queries()?;
    }
    Ok(())
}

/// One round of taking in.
struct Round {
    spans_per_cpu_second: f64,
    spans_per_second: f64,
    bytes_per_span: f64,
    peak_mib: f64,
}

impl Bench {
    fn ingest(&self) -> Result<()> {
        println!(
            "\n## Taking in: {} spans, 2 connections, requests of at most 512 spans, sealed at the end; median of {}\n",
            self.options.spans, self.options.rounds
        );
        println!(
            "| what | spans per CPU second of the server | gate | spans per second | bytes/span on disk | most memory, MiB |"
        );
        println!("|---|---|---|---|---|---|");
        for feed in &FEEDS {
            let rounds: Vec<Round> =
                (0..self.options.rounds).map(|_| self.round(feed)).collect::<Result<_>>()?;
            let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
            let per_cpu = of(|round| round.spans_per_cpu_second);
            let gate = feed.gate.map_or("-".to_owned(), |gate| {
                format!("{gate:.0} {}", if per_cpu >= gate { "holds" } else { "does NOT hold" })
            });
            println!(
                "| {} | {per_cpu:.0} | {gate} | {:.0} | {:.1} | {:.0} |",
                feed.name,
                of(|round| round.spans_per_second),
                of(|round| round.bytes_per_span),
                of(|round| round.peak_mib),
            );
        }
        Ok(())
    }

    fn round(&self, feed: &Feed) -> Result<Round> {
        let server = Server::start(&self.sigyn, &self.scratch.path().join("ingest"))?;
        let cpu_before = process::cpu_seconds(server.pid())?;
        let pushed = self.push(&server, feed, self.options.spans, "before")?;
        seal(&server)?;
        let cpu = process::cpu_seconds(server.pid())? - cpu_before;
        let peak_mib = process::memory_mib(server.pid(), "VmHWM")?;
        let bytes = bytes_in(&server.data().join("blocks"))?;
        server.stop()?;
        let spans = pushed.spans as f64;
        Ok(Round {
            spans_per_cpu_second: spans / cpu,
            spans_per_second: spans / pushed.seconds,
            bytes_per_span: bytes as f64 / spans,
            peak_mib,
        })
    }

    fn push(&self, server: &Server, feed: &Feed, spans: u64, made: &str) -> Result<Pushed> {
        let to = if feed.format == "otlp" { server.otlp_http() } else { server.web() };
        self.load.push(&load::Push {
            to,
            path: feed.path,
            format: feed.format,
            corpus: feed.corpus,
            spans,
            made,
            samples: &self.samples(),
        })
    }

    fn samples(&self) -> PathBuf {
        self.scratch.path().join("samples")
    }

    fn queries(&self) -> Result<()> {
        let folder = self.scratch.path().join("queries");
        let server = Server::start(&self.sigyn, &folder)?;
        let pushed = self.push(&server, &FEEDS[0], self.options.stored, "meanwhile")?;
        seal(&server)?;
        let bytes = bytes_in(&server.data())?;
        server.end()?;
        let started = Instant::now();
        let server = Server::start(&self.sigyn, &folder)?;
        let ready = started.elapsed();
        println!("\n## Answers from {} spans in {} MB\n", pushed.spans, bytes / 1_000_000);
        println!("Start to ready: {:.3} s. ", ready.as_secs_f64());
        println!(
            "Resident before the first question: {:.0} MiB.\n",
            process::memory_mib(server.pid(), "VmRSS")?
        );
        ask_all(&self.load, &server, &questions::questions(&self.samples())?)?;
        println!("\nResident after that: {:.0} MiB.", process::memory_mib(server.pid(), "VmRSS")?);
        server.stop()
    }
}

/// Asks each question for some seconds, and prints how long answers took.
fn ask_all(load: &Load, server: &Server, questions: &[Question]) -> Result<()> {
    println!(
        "| question | asked | answered with something | failed | p50 ms | gate | p99 ms | gate | most ms | CPU ms of the server, each |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for question in questions.iter().filter(|question| !question.paths.is_empty()) {
        // Some to warm up, and then all to measure.
        let few = &question.paths[..question.paths.len().min(WARM_UP)];
        load.ask(server.web(), ASK_SECONDS, few)?;
        let cpu_before = process::cpu_seconds(server.pid())?;
        let Asked { asked, found, failed, p50_ms, p99_ms, max_ms } =
            load.ask(server.web(), ASK_SECONDS, &question.paths)?;
        // Unlike the others this is the same on a machine that has more to do.
        let cpu_ms = (process::cpu_seconds(server.pid())? - cpu_before) * 1e3 / asked as f64;
        println!(
            "| {} | {asked} | {found} | {failed} | {p50_ms:.2} | {} | {p99_ms:.2} | {} | {max_ms:.2} | {cpu_ms:.2} |",
            question.name,
            verdict(p50_ms, question.p50_max_ms),
            verdict(p99_ms, question.p99_max_ms),
        );
    }
    Ok(())
}

/// Has everything made into blocks.
fn seal(server: &Server) -> Result<()> {
    let answer = load::post(server.web(), "/api/v1/admin/store/seal")?;
    if answer.starts_with("HTTP/1.1 2") {
        return Ok(());
    }
    bail!("the server does not seal: {}", answer.lines().next().unwrap_or("no answer"))
}

fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            bytes_in(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }
}

//! A server under load for a long time: spans come in, blocks are made and merged, questions are asked all along; then
//! everything is counted, and what lies on the disk is what belongs there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::load::{self, Asked, Load, Push, figure_of};
use super::questions::{self, along};
use super::{FEEDS, ask_all, bytes_in, seal};
use crate::bench::{PROFILE, build, process};
use crate::repo;
use crate::server::{Server, Setup};

/// Blocks of some seconds, merged a little later.
const CONFIG: &str = "sigyn: { storage: { seal_after: 2s, merge_window: 10s } }\n";
/// How many merges there are to be, and for how many spans each, where these are fewer.
const COMPACTIONS_MIN: u64 = 3;
const SPANS_OF_COMPACTION: u64 = 5_000_000;
const COMPACTIONS_WITHIN: Duration = Duration::from_secs(120);
/// Between two rows of the table.
const ROW_EVERY: Duration = Duration::from_secs(10);
/// How often each question is asked before a row, at most, and for how long.
const ASK_TIMES: usize = 10;
const ASK_SECONDS: u64 = 2;

struct Options {
    spans: u64,
    /// What the server is told it may take, if anything.
    memory_mib: Option<u64>,
    profile: String,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { spans: 50_000_000, memory_mib: None, profile: PROFILE.to_owned() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut text =
                || arguments.next().with_context(|| format!("`{argument}` needs a value"));
            match argument.as_str() {
                "--spans" => options.spans = text()?.parse()?,
                "--profile" => text()?.clone_into(&mut options.profile),
                "--memory" => options.memory_mib = Some(text()?.parse()?),
                other => bail!("unknown argument `{other}`"),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let scratch = repo::TempFolder::new("soak")?;
    let profile = &options.profile;
    let (sigyn, load) = (build(&repo::root(), profile)?, Load::build(profile)?);
    let folder = scratch.path().join("server");
    let told = options.memory_mib.map(|mib| format!("--storage.memory={mib}MB"));
    let setup = Setup { config: CONFIG, flags: told.as_slice(), ..Setup::default() };
    let server = Server::start_as(setup, &sigyn, &folder)?;
    let status = load::get(server.web(), "/api/v1/status/store")?;
    let memory_mib = figure_of::<u64>(&status, "maxBytes")? as f64 / f64::from(1 << 20);
    let samples = scratch.path().join("samples");
    println!("\n## {} spans of the shop, two connections, questions all along\n", options.spans);
    let under_load = under_load(&load, &server, options.spans, &samples)?;
    let sent = under_load.sent;
    seal(&server)?;
    let deadline = Instant::now() + COMPACTIONS_WITHIN;
    let compactions_min = (1 + options.spans / SPANS_OF_COMPACTION).min(COMPACTIONS_MIN);
    while Look::at(&server)?.compactions < compactions_min && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    let last = Look::at(&server)?;
    println!("\n## What is asked when all is there\n");
    ask_all(&load, &server, &questions::questions(&samples)?)?;
    let peak_mib = process::memory_mib(server.pid(), "VmHWM")?;
    let bytes = bytes_in(&server.data())?;
    server.end()?;
    let strangers = strangers(&sigyn, &crate::server::data(&folder))?;
    println!("\n## In the end\n\n| what | measured | must be | |\n|---|---|---|---|");
    let rows = [
        ("spans in the store", last.spans as f64, sent as f64, last.spans == sent),
        (
            "merges",
            last.compactions as f64,
            compactions_min as f64,
            last.compactions >= compactions_min,
        ),
        ("most memory, MiB", peak_mib, memory_mib, peak_mib <= memory_mib),
        ("questions that failed", under_load.failed as f64, 0.0, under_load.failed == 0),
        ("damaged files", last.damaged as f64, 0.0, last.damaged == 0),
        ("files that belong to nobody", strangers.len() as f64, 0.0, strangers.is_empty()),
    ];
    for (what, measured, bound, holds) in rows {
        let verdict = if holds { "holds" } else { "does NOT hold" };
        println!("| {what} | {measured:.0} | {bound:.0} | {verdict} |");
    }
    println!("\n{:.1} bytes a span on disk.", bytes as f64 / sent as f64);
    for stranger in &strangers {
        println!("left behind: {stranger}");
    }
    ensure!(rows.iter().all(|(.., holds)| *holds), "not everything holds");
    Ok(())
}

struct UnderLoad {
    sent: u64,
    failed: u64,
}

/// Sends, and asks until everything is sent. Prints a row of what it sees now and then.
fn under_load(load: &Load, server: &Server, spans: u64, samples: &Path) -> Result<UnderLoad> {
    let feed = &FEEDS[0];
    let push = Push {
        to: server.otlp_http(),
        path: feed.path,
        format: feed.format,
        corpus: feed.corpus,
        spans,
        made: "now",
        samples,
    };
    println!(
        "| after s | spans | memory MiB | blocks | merges | log MB | disk MB | asked | failed | trace p50 ms | trace p99 ms | search p50 ms | search p99 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let began = Instant::now();
    let (mut failed, mut unanswered) = (0, Vec::new());
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| load.push(&push));
        let mut next_row = began + ROW_EVERY;
        while !pushing.is_finished() {
            if Instant::now() < next_row {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            next_row += ROW_EVERY;
            let mut answers: Vec<Asked> = Vec::new();
            for question in along(samples, ASK_TIMES)? {
                let asked = load.ask(server.web(), ASK_SECONDS, &question.paths)?;
                if asked.failed > 0 {
                    let after = began.elapsed().as_secs();
                    unanswered
                        .push(format!("{}, {} times, {after} s", question.name, asked.failed));
                }
                answers.push(asked);
            }
            let sum = |figure: fn(&Asked) -> u64| answers.iter().map(figure).sum::<u64>();
            failed += sum(|asked| asked.failed);
            let look = Look::at(server)?;
            println!(
                "| {:.0} | {} | {:.0} | {} | {} | {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
                began.elapsed().as_secs_f64(),
                look.spans,
                look.memory_mib,
                look.blocks,
                look.compactions,
                look.log_bytes / 1_000_000,
                bytes_in(&server.data()).unwrap_or(0) / 1_000_000,
                sum(|asked| asked.asked),
                sum(|asked| asked.failed),
                answers[0].p50_ms,
                answers[0].p99_ms,
                answers[1].p50_ms,
                answers[1].p99_ms,
            );
        }
        let pushed = pushing.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        let seconds = began.elapsed().as_secs_f64();
        println!("\nSent in {seconds:.0} s.");
        for question in &unanswered {
            println!("Not answered: {question} after the beginning.");
        }
        Ok(UnderLoad { sent: pushed.spans, failed })
    })
}

/// What a server says of itself.
struct Look {
    spans: u64,
    blocks: u64,
    log_bytes: u64,
    compactions: u64,
    damaged: u64,
    memory_mib: f64,
}

impl Look {
    fn at(server: &Server) -> Result<Self> {
        let status = load::get(server.web(), "/api/v1/status/store")?;
        let metrics = load::get_text(server.web(), "/metrics")?;
        Ok(Self {
            spans: figure_of(&status, "spans")?,
            blocks: figure_of(&status, "blocks")?,
            log_bytes: figure_of(&status, "walBytes")?,
            compactions: metric(&metrics, "sigyn_store_compactions_total")?,
            damaged: metric(&metrics, "sigyn_store_damaged_files")?,
            memory_mib: process::memory_mib(server.pid(), "VmRSS")?,
        })
    }
}

/// A figure in Prometheus' text.
fn metric(text: &str, name: &str) -> Result<u64> {
    let value = text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.strip_prefix("{}").unwrap_or(rest).strip_prefix(' ')
    });
    let value: f64 = value.with_context(|| format!("no {name}"))?.trim().parse()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    Ok(value as u64)
}

/// Files in a store's folder that none of its parts knows, and what reading all of it finds damaged.
fn strangers(sigyn: &Path, data: &Path) -> Result<Vec<String>> {
    let of_store = |command: &str| -> Result<String> {
        let path = format!("--storage.path={}", data.display());
        let mut asked = Command::new(sigyn);
        asked.args(["store", command, &path, "--output", "json"]);
        let output = asked.output().context("cannot start sigyn")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "sigyn store {command} ends with {said}{errors}");
        Ok(said)
    };
    of_store("verify")?;
    let inspected = of_store("inspect")?;
    let mut found = BTreeSet::new();
    files_in(data, Path::new(""), &mut found)?;
    found.retain(|file| match file.split_once('/') {
        None => !["IDENTITY", "LOCK", "CLOSED", "TIME", "RESERVE"].contains(&file.as_str()),
        Some(("blocks", _)) => !inspected.contains(&format!("\"{file}\"")),
        Some(("wal", name)) => !name.ends_with(".wal") && !name.ends_with(".spare"),
        Some(("cat", name)) => !name.ends_with(".commit") && !name.ends_with(".checkpoint"),
        Some(_) => true,
    });
    Ok(found.into_iter().collect())
}

fn files_in(top: &Path, below: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(top.join(below))? {
        let entry = entry?;
        let path: PathBuf = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            files_in(top, &path, found)?;
        } else {
            found.insert(path.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let parse = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Options::parse(&words).map(|options| (options.spans, options.memory_mib)).ok()
        };
        assert_eq!(parse(""), Some((50_000_000, None)));
        assert_eq!(parse("--spans 7 --memory 100"), Some((7, Some(100))));
        assert_eq!(parse("--spans"), None);
        assert_eq!(parse("more"), None);
    }

    #[test]
    fn a_metric_is_found_by_its_whole_name() -> Result<()> {
        let text = "# HELP a_b two\na_b_c{} 3\na_b{} 2\nd 4.0\n";
        assert_eq!((metric(text, "a_b")?, metric(text, "d")?), (2, 4));
        assert!(metric(text, "a").is_err());
        Ok(())
    }
}

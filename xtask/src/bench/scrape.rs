//! The whole server as it scrapes: many targets, each at its own instant, some of which fail; what that takes, how late
//! scrapes are, and where every span went.

mod farm;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::farm::{Came, Farm};
use super::store::load;
use super::{PROFILE, build, built_bench, process};
use crate::repo;
use crate::server::{Server, Setup};

/// Prometheus' own bound on an answer's time.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

struct Options {
    targets: u32,
    /// Of each hundred targets.
    failing: u32,
    /// That each target finishes in an interval.
    spans: u32,
    interval: Duration,
    rounds: u32,
    /// Targets at which a request may wait between two instants.
    long_polls: u32,
    profile: String,
    /// What is measured, instead of what is built.
    bin: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            targets: 10_000,
            failing: 0,
            spans: 100,
            interval: Duration::from_secs(15),
            rounds: 8,
            long_polls: 0,
            profile: PROFILE.to_owned(),
            bin: None,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let text = arguments.next().with_context(|| format!("{argument} needs a value"))?;
            let number = || -> Result<u32> {
                text.parse().with_context(|| format!("{argument} {text} is no number"))
            };
            match argument.as_str() {
                "--targets" => options.targets = number()?,
                "--failing" => options.failing = number()?,
                "--spans" => options.spans = number()?,
                "--interval" => options.interval = Duration::from_secs(number()?.into()),
                "--rounds" => options.rounds = number()?,
                "--long-polls" => options.long_polls = number()?,
                "--profile" => text.clone_into(&mut options.profile),
                "--bin" => options.bin = Some(PathBuf::from(text)),
                other => bail!("unknown argument `{other}`"),
            }
        }
        ensure!((1..=farm::TARGETS_MAX).contains(&options.targets), "--targets is out of bounds");
        ensure!(options.failing <= 100, "--failing is a part of a hundred");
        ensure!(options.spans > 0 && options.rounds > 0, "nothing is to be measured");
        ensure!(!options.interval.is_zero(), "--interval is zero");
        Ok(options)
    }

    fn timeout(&self) -> Duration {
        self.interval.min(TIMEOUT_MAX)
    }

    fn config(&self) -> String {
        format!(
            "global: {{scrape_interval: {}s, scrape_timeout: {}s}}\n\
             scrape_configs:\n\
             - job_name: farm\n  \
               body_size_limit: 8MB\n  \
               file_sd_configs: [{{files: [targets.json]}}]\n\
             sigyn: {{jobs: {{farm: {{long_poll: {}}}}}}}\n",
            self.interval.as_secs(),
            self.timeout().as_secs(),
            self.long_polls > 0
        )
    }
}

/// What the server took while that was measured.
struct Took {
    seconds: f64,
    cores: f64,
    farm_cores: f64,
    resident_mib: f64,
    peak_mib: f64,
    /// Of `/metrics`.
    metrics_mib: f64,
}

pub(super) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let scratch = repo::TempFolder::new("bench-scrape")?;
    let sigyn = match &options.bin {
        Some(bin) => bin.clone(),
        None => build(&repo::root(), &options.profile)?,
    };
    let program = built_bench("sigyn-scrape", "farm", &options.profile)?;
    println!(
        "\nMachine: {} CPUs, {}; load when it began: {}.",
        std::thread::available_parallelism()?,
        process::cpu_model(),
        process::load()
    );
    println!(
        "{} targets, {} % of them failing, asked every {:?}, {} spans each; {} intervals are measured.\n",
        options.targets, options.failing, options.interval, options.spans, options.rounds
    );
    let folder = scratch.path().join("server");
    std::fs::create_dir_all(&folder)?;
    let mut farm = Farm::start(&program, &options, scratch.path())?;
    std::fs::write(folder.join("targets.json"), farm.targets_file())?;
    farm.heard("listening")?;
    let config = options.config();
    let flags = [format!("--scrape.long-polls-max={}", options.long_polls)];
    let setup = Setup { config: &config, flags: &flags, ..Setup::default() };
    let server = Server::start_as(setup, &sigyn, &folder)?;
    farm.tell(&server.web().to_string())?;
    farm.heard("measuring")?;
    let took = measure(&server, &mut farm)?;
    let came = farm.end()?;
    let status = load::get(server.web(), "/api/v1/status/store")?;
    let rows: u64 = load::figure_of(&status, "spans")?;
    let is_well = tell(&took, &came, rows);
    server.stop()?;
    ensure!(is_well, "not everything holds");
    Ok(())
}

fn measure(server: &Server, farm: &mut Farm) -> Result<Took> {
    let (cpu, farm_cpu) = (process::cpu_seconds(server.pid())?, farm.cpu_seconds()?);
    let began = Instant::now();
    farm.heard("measured")?;
    let seconds = began.elapsed().as_secs_f64();
    let metrics = load::get_text(server.web(), "/metrics")?;
    Ok(Took {
        metrics_mib: metrics.len() as f64 / f64::from(1 << 20),
        seconds,
        cores: (process::cpu_seconds(server.pid())? - cpu) / seconds,
        farm_cores: (farm.cpu_seconds()? - farm_cpu) / seconds,
        resident_mib: process::memory_mib(server.pid(), "VmRSS")?,
        peak_mib: process::memory_mib(server.pid(), "VmHWM")?,
    })
}

/// Prints what came of it. False if something is not as it ought to be.
fn tell(took: &Took, came: &Came, rows: u64) -> bool {
    println!("\n| what | measured |\n|---|---|");
    println!("| measured for, s | {:.0} |", took.seconds);
    println!("| cores of the server | {:.2} |", took.cores);
    println!("| cores of the farm | {:.2} |", took.farm_cores);
    println!("| memory of the server then, MiB | {:.0} |", took.resident_mib);
    println!("| most memory, MiB | {:.0} |", took.peak_mib);
    println!("| `/metrics`, MiB | {:.1} |", took.metrics_mib);
    println!("| load when it ended | {} |", process::load());
    println!("| scrapes of targets that are well | {} |", came.scrapes);
    println!("| .. of which between two instants of the schedule | {} |", came.between);
    for (part, name) in [(50, "p50"), (99, "p99"), (100, "most")] {
        println!("| late, {name}, ms | {:.1} |", came.late_ms(part));
    }
    println!(
        "\n| targets | | spans finished | stored | lost, and counted | by reason | not accounted for | twice |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (who, books) in [("well", &came.well), ("failing", &came.failing)] {
        if books.targets > 0 {
            println!(
                "| {who} | {} | {} | {} | {} | {} | {} | {} |",
                books.targets,
                books.finished,
                books.stored,
                books.lost,
                books.reasons(),
                books.unaccounted,
                books.twice
            );
        }
    }
    let books = [&came.well, &came.failing];
    let sum = |figure: fn(&farm::Books) -> u64| books.iter().map(|books| figure(books)).sum();
    let stored: u64 = sum(|books| books.stored);
    println!("\n| what | measured | must be | |\n|---|---|---|---|");
    let gates: [(&str, u64, u64); 6] = [
        ("instants of the schedule without a scrape", came.missed, 0),
        ("spans lost by targets that are well", came.well.lost, 0),
        ("spans not accounted for", sum(|books| books.unaccounted), 0),
        ("spans that came twice", sum(|books| books.twice), 0),
        ("spans in the store", rows, stored),
        ("targets not read to their end", came.unread, 0),
    ];
    for (what, measured, bound) in gates {
        let verdict = if measured == bound { "holds" } else { "does NOT hold" };
        println!("| {what} | {measured} | {bound} | {verdict} |");
    }
    gates.iter().all(|(_, measured, bound)| measured == bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let parse = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Options::parse(&words).map(|o| (o.targets, o.failing, o.interval.as_secs())).ok()
        };
        assert_eq!(parse(""), Some((10_000, 0, 15)));
        assert_eq!(parse("--targets 7 --failing 20 --interval 2"), Some((7, 20, 2)));
        for wrong in ["--targets", "--targets 0", "--failing 101", "--interval 0", "more 1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}

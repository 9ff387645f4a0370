//! Many more lives of a store on a disk that fails than the tests have: see `crates/sigyn-store/src/crash_runs.rs`.

use anyhow::{Context, Result, bail};

use crate::{command, repo};

const TEST: &str = "crash_runs::nothing_acknowledged_is_lost_and_nothing_is_there_twice";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Options { runs, seed } = Options::parse(arguments)?;
    // Optimised, but with all checks.
    let profile = ["--release", "--config", "profile.release.debug-assertions=true"];
    command::run(
        command::cargo()
            .args(["test", "--package", "sigyn-store", "--lib"])
            .args(profile)
            .args(["--", "--exact", TEST, "--nocapture"])
            .env("SIGYN_CRASH_RUNS", runs.to_string())
            .env("SIGYN_CRASH_SEED", seed.to_string())
            .current_dir(repo::root()),
    )
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    runs: u64,
    seed: u64,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { runs: 10_000, seed: 0 };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let text =
                    arguments.next().with_context(|| format!("`{argument}` needs a number"))?;
                text.parse().with_context(|| format!("`{argument} {text}` is no number"))
            };
            match argument.as_str() {
                "--runs" => options.runs = number()?,
                "--seed" => options.seed = number()?,
                other => bail!("unknown argument `{other}`"),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let parse = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Options::parse(&words).map_err(|error| error.to_string())
        };
        assert_eq!(parse(""), Ok(Options { runs: 10_000, seed: 0 }));
        assert_eq!(parse("--seed 7 --runs 1"), Ok(Options { runs: 1, seed: 7 }));
        assert_eq!(parse("--runs"), Err("`--runs` needs a number".to_owned()));
        assert_eq!(parse("--runs x"), Err("`--runs x` is no number".to_owned()));
        assert_eq!(parse("more"), Err("unknown argument `more`".to_owned()));
    }
}

//! Fuzzing every reader of spans against one that others wrote: see `fuzz/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, repo};

/// The tool that builds and runs fuzz targets, and which one of it.
const CARGO_FUZZ: &str = "cargo-fuzz";
const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// A target in `fuzz/fuzz_targets/`, and the words that its format knows.
const TARGETS: [(&str, &str); 12] = [
    ("zipkin_json_v2", "zipkin_json.dict"),
    ("zipkin_proto3", "words.dict"),
    ("zipkin_json_v1", "zipkin_json.dict"),
    ("zipkin_thrift", "words.dict"),
    ("zipkin_thrift_compact", "words.dict"),
    ("otlp_proto", "words.dict"),
    ("otlp_json", "otlp_json.dict"),
    ("jaeger_proto", "words.dict"),
    ("jaeger_thrift", "words.dict"),
    ("jaeger_thrift_compact", "words.dict"),
    ("prometheus_config", "prometheus.dict"),
    ("relabelling", "prometheus.dict"),
];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let root = repo::root();
    let chosen: Vec<_> =
        TARGETS.iter().filter(|(name, _)| name.contains(&options.filter)).collect();
    if chosen.is_empty() {
        bail!("no target's name contains `{}`", options.filter);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |folder| root.join(folder))
        .join("fuzz");
    let tool = install(&target)?;
    // All at once, so that two of them compile side by side.
    command::run(&mut cargo_fuzz(&tool, "build", &root, &target))?;
    for (name, words) in &chosen {
        let corpus = target.join("corpus").join(name);
        std::fs::create_dir_all(&corpus)
            .with_context(|| format!("cannot create {}", corpus.display()))?;
        let folder = root.join("fuzz");
        command::run(
            cargo_fuzz(&tool, "run", &root, &target)
                .arg(name)
                .args([&corpus, &folder.join("seeds").join(name)])
                .arg("--")
                .arg(format!("-max_total_time={}", options.seconds))
                .arg(format!("-dict={}", folder.join("dictionaries").join(words).display()))
                .args(["-timeout=10", "-rss_limit_mb=2048", "-max_len=8192"])
                .args(["-print_final_stats=1", "-verbosity=0"]),
        )
        .with_context(|| {
            format!("{name}: the input stands in {}", folder.join("artifacts").display())
        })?;
    }
    println!("fuzz: {} targets, {} s each, no disagreement", chosen.len(), options.seconds);
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    filter: String,
    seconds: u32,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { filter: String::new(), seconds: 600 };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--seconds" => {
                    let seconds = arguments.next().context("`--seconds` needs a number")?;
                    options.seconds = seconds.parse().context("`--seconds` needs a number")?;
                }
                flag if flag.starts_with('-') => bail!("unknown flag {flag}"),
                filter if options.filter.is_empty() => filter.clone_into(&mut options.filter),
                extra => bail!("one filter at most, not also {extra}"),
            }
        }
        Ok(options)
    }
}

/// The folder that holds `cargo-fuzz`, which is installed there if it is not on the path.
fn install(target: &Path) -> Result<Option<PathBuf>> {
    if command::is_installed(CARGO_FUZZ) {
        return Ok(None);
    }
    let root = target.join("tools");
    let bin = root.join("bin");
    if !bin.join(CARGO_FUZZ).exists() {
        command::run(
            command::cargo()
                .args(["install", "--quiet", "--locked", "--version", CARGO_FUZZ_VERSION])
                .args([CARGO_FUZZ.as_ref(), "--root".as_ref(), root.as_os_str()]),
        )?;
    }
    Ok(Some(bin))
}

fn cargo_fuzz(tool: &Option<PathBuf>, verb: &str, root: &Path, target: &Path) -> Command {
    let mut fuzz = match tool {
        Some(bin) => Command::new(bin.join(CARGO_FUZZ)),
        None => Command::new(CARGO_FUZZ),
    };
    fuzz.args(["fuzz", verb, "--sanitizer=none"])
        .current_dir(root.join("fuzz"))
        // Coverage is asked of the compiler by flags that a stable one takes only so.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", target)
        .env_remove("CARGO_INCREMENTAL");
    fuzz
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_and_a_time_come_in_any_order() -> Result<()> {
        let parse = |arguments: &[&str]| {
            Options::parse(&arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
        };
        let wanted = || Options { filter: "otlp".into(), seconds: 20 };
        assert_eq!(parse(&["otlp", "--seconds", "20"])?, wanted());
        assert_eq!(parse(&["--seconds", "20", "otlp"])?, wanted());
        assert_eq!(parse(&[])?, Options { filter: String::new(), seconds: 600 });
        assert!(parse(&["--seconds"]).is_err());
        assert!(parse(&["--fast"]).is_err());
        Ok(())
    }

    #[test]
    fn every_target_has_its_file_its_words_and_its_seeds() {
        let folder = repo::root().join("fuzz");
        for (name, words) in TARGETS {
            assert!(folder.join("fuzz_targets").join(format!("{name}.rs")).is_file(), "{name}");
            assert!(folder.join("dictionaries").join(words).is_file(), "{words}");
            let seeds = std::fs::read_dir(folder.join("seeds").join(name));
            assert!(seeds.is_ok_and(|mut seeds| seeds.next().is_some()), "{name} has no seeds");
        }
    }
}

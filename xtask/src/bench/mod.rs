//! Measurements: what they need, and one table of what came out.

mod count;
mod decode;
mod process;
mod scrape;
mod store;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

pub(crate) use self::store::soak;
use crate::{command, repo};

/// What is measured is built with this, if nothing else is said.
const PROFILE: &str = "dist";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [what] if what == "decode" => decode::run(),
        [what] if what == "count" => count::run(false),
        [what, flag] if what == "count" && flag == "--check" => count::run(true),
        [what, options @ ..] if what == "scrape" => scrape::run(options),
        [what, options @ ..] if what == "store" => store::run(options),
        _ => bail!(
            "usage: cargo xtask bench decode | count [--check] | store [filter] [--spans N] [--rounds N] [--stored N] [--log MB] [--profile NAME] \
             | scrape [--targets N] [--failing PERCENT] [--spans N] [--interval SECONDS] [--rounds N] \
             [--long-polls N] [--profile NAME] [--bin PATH]"
        ),
    }
}

/// Builds the program that is measured.
fn build(root: &Path, profile: &str) -> Result<PathBuf> {
    let mut cargo = command::cargo();
    cargo.args(["build", "--profile", profile, "--package", "sigyn"]).current_dir(root);
    command::run(&mut cargo)?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |folder| root.join(folder));
    // Where cargo puts what the profile of that name makes.
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(target.join(folder).join("sigyn"))
}

/// Builds a bench of a crate; returns the program.
fn built_bench(package: &str, name: &str, profile: &str) -> Result<PathBuf> {
    let mut cargo = command::cargo();
    cargo.args(["bench", "-p", package, "--bench", name, "--no-run", "--profile", profile]);
    cargo.arg("--message-format=json").current_dir(repo::root());
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut program = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        rest.split_once('"').map(|(path, _)| PathBuf::from(path))
    });
    program.next_back().context("the bench does not build")
}

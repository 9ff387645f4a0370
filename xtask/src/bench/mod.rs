//! Measurements: what they need, and one table of what came out.

mod decode;
mod process;
mod store;

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

pub(crate) use self::store::soak;
use crate::{command, repo};

/// What is measured is built with this, if nothing else is said.
const PROFILE: &str = "dist";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [what] if what == "decode" => decode::run(),
        [what, options @ ..] if what == "store" => store::run(options),
        _ => bail!(
            "usage: cargo xtask bench decode | store [filter] [--spans N] [--rounds N] [--stored N] [--log MB] [--profile NAME]"
        ),
    }
}

/// Builds a bench of the store; returns the program.
fn built_bench(name: &str, profile: &str) -> Result<PathBuf> {
    let mut cargo = command::cargo();
    cargo.args(["bench", "-p", "sigyn-store", "--bench", name, "--no-run", "--profile", profile]);
    cargo.arg("--message-format=json").current_dir(repo::root());
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut program = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        rest.split_once('"').map(|(path, _)| PathBuf::from(path))
    });
    program.next_back().context("the bench does not build")
}

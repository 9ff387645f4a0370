//! What CI runs, here: `.ci/run` with this checkout's own target folder.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{command, repo};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("takes no arguments");
    }
    let root = repo::root();
    let mut script = Command::new("bash");
    script.arg(".ci/run").current_dir(&root);
    if std::env::var_os("CARGO_TARGET_DIR").is_none() {
        script.env("CARGO_TARGET_DIR", root.join("target"));
    }
    command::run(&mut script)
}

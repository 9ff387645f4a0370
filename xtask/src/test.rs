//! Every test of the workspace, doc tests included, by plain `cargo test`.

use anyhow::Result;

use crate::{command, repo};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    println!(
        "one crate: cargo test -p sigyn-store    one test: cargo test -p sigyn-store <part of its name>"
    );
    command::run(
        command::cargo().args(["test", "--workspace"]).args(arguments).current_dir(repo::root()),
    )
}

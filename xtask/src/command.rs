//! Running other programs: echoed, checked, and missing ones told apart from failing ones.

use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// Lets a run succeed although a foreign program is missing. What it would have checked is then unchecked.
pub(crate) const ALLOW_MISSING: &str = "SIGYN_CI_ALLOW_NO_NODE";

/// The cargo that runs us, so that a toolchain chosen on the command line stays chosen.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_this_run) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// What cargo tells a program that it runs. A build script that asks for it, as some do, is run again wherever it
/// differs, and all is built again that needs its crate: as often as somebody calls cargo and this program by turns.
fn is_of_this_run(name: &str) -> bool {
    [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_BIN_",
        "CARGO_PRIMARY_",
        "JEMALLOC_SYS_",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

/// Echoes a command, runs it to its end, and errors unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Echoes a command, runs it to its end, and says how it ended.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    let line = shown(command);
    println!("$ {line}");
    command.status().with_context(|| format!("cannot start `{line}`"))
}

/// Whether a program can be started at all.
pub(crate) fn is_installed(program: &str) -> bool {
    // Everybody's flag, except Go's.
    let flag = if program == "go" { "version" } else { "--version" };
    let version = Command::new(program)
        .arg(flag)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

/// Says loudly that something stays unchecked because programs are missing. An error, unless [`ALLOW_MISSING`] is 1.
pub(crate) fn skip(what: &str, missing: &[&str]) -> Result<()> {
    let missing = missing.join(", ");
    println!("SKIPPED: {what}: not installed: {missing}");
    if std::env::var_os(ALLOW_MISSING).is_some_and(|value| value == "1") {
        return Ok(());
    }
    bail!("{what}: not installed: {missing} (set {ALLOW_MISSING}=1 to go on without)")
}

fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/usr/lib/toolchains/bin/cargo");
        command.args(["test", "--workspace"]);
        assert_eq!(shown(&command), "cargo test --workspace");
    }

    #[test]
    fn a_program_that_nobody_has_is_not_installed() {
        assert!(!is_installed("sigyn-no-such-program"));
    }
}

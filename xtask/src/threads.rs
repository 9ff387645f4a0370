//! Threads of the recorder in every order, and what sanitizers say of them and of its mapping: loom, Miri, ThreadSanitizer.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{command, repo};

const PACKAGE: &str = "sigyn-recorder";
/// Tests that run in threads, and those of the mapping.
const TESTS: [&str; 2] = ["interleavings::", "spool::map::"];

/// Every order in which threads may meet at the recorder's shards and log.
pub(crate) fn loom(arguments: &[String]) -> Result<()> {
    let [] = arguments else { bail!("takes no arguments") };
    // Only this crate is built with the models: all others stay as they are.
    let mut build = command::cargo();
    build
        .args(["rustc", "--package", PACKAGE, "--lib", "--profile", "test", "--locked"])
        .args(["--message-format", "json-render-diagnostics", "--", "--cfg", "sigyn_loom"])
        .current_dir(repo::root())
        .stderr(Stdio::inherit());
    println!("$ cargo rustc --package {PACKAGE} --lib --profile test -- --cfg sigyn_loom");
    let output = build.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the models cannot be built: {}", output.status);
    }
    let told = String::from_utf8_lossy(&output.stdout);
    let program = executable(&told).context("cargo does not say what it has built")?;
    command::run(Command::new(program).arg(TESTS[0]).current_dir(repo::root()))
}

/// Undefined behaviour and data races, where the tests happen to come by.
pub(crate) fn miri(arguments: &[String]) -> Result<()> {
    let [] = arguments else { bail!("takes no arguments") };
    if !nightly(&["miri", "--version"]) {
        return command::skip("miri", &["miri of a nightly toolchain"]);
    }
    command::run(
        Command::new("cargo")
            .args(["+nightly", "miri", "test", "--package", PACKAGE, "--lib", "--"])
            .args(TESTS)
            // The standard library's own cells are read in a test of them.
            .env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-ignore-leaks")
            .env_remove("RUSTUP_TOOLCHAIN")
            .current_dir(repo::root()),
    )
}

/// Data races, on real threads.
pub(crate) fn tsan(arguments: &[String]) -> Result<()> {
    let [] = arguments else { bail!("takes no arguments") };
    let sources = "lib/rustlib/src/rust/library/std/Cargo.toml";
    let root = Command::new("rustc").args(["+nightly", "--print", "sysroot"]).output();
    let root = root.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    if !root.is_ok_and(|root| std::path::Path::new(&root).join(sources).is_file()) {
        return command::skip("tsan", &["rust-src of a nightly toolchain"]);
    }
    let target = "x86_64-unknown-linux-gnu";
    command::run(
        Command::new("cargo")
            .args(["+nightly", "test", "-Zbuild-std", "--target", target])
            .args(["--package", PACKAGE, "--lib", "--"])
            .args(TESTS)
            .env("RUSTFLAGS", "-Zsanitizer=thread")
            .env_remove("RUSTUP_TOOLCHAIN")
            .current_dir(repo::root()),
    )
}

/// Whether a nightly cargo can do something.
fn nightly(arguments: &[&str]) -> bool {
    let mut cargo = Command::new("cargo");
    cargo.arg("+nightly").args(arguments).env_remove("RUSTUP_TOOLCHAIN");
    cargo.stdout(Stdio::null()).stderr(Stdio::null());
    cargo.status().is_ok_and(|status| status.success())
}

/// The program among cargo's messages, which are JSON, one a line.
fn executable(messages: &str) -> Option<String> {
    let marked = messages.rsplit("\"executable\":\"").next()?;
    let end = marked.find('"')?;
    (marked.len() < messages.len()).then(|| marked[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_program_that_was_built_is_meant() {
        let messages = "{\"executable\":null}\n{\"executable\":\"/a/b-1\",\"fresh\":true}\n{}\n";
        assert_eq!(executable(messages).as_deref(), Some("/a/b-1"));
        assert_eq!(executable("{\"executable\":null}"), None);
        assert_eq!(executable(""), None);
    }
}

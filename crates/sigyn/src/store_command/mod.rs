//! `sigyn store`: what an operator does with a store that no server has open.

mod delete;
mod export;
mod inspect;
mod progress;
mod verify;

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use sigyn_store::{Offline, OpenError, Options, Store};

use crate::Failure;
use crate::cli::{StoreCommand, StoreFlags};

pub(crate) fn run(flags: &StoreFlags) -> Result<(), Failure> {
    match &flags.what {
        StoreCommand::Inspect { output } => inspect::run(&flags.path, *output),
        StoreCommand::Verify { output } => verify::run(&flags.path, *output),
        StoreCommand::Export(export) => export::run(&flags.path, export),
        StoreCommand::Delete { ids } => delete::run(&flags.path, ids),
    }
}

/// The store as it lies there.
fn offline(path: &Path) -> anyhow::Result<Offline> {
    opened(path, Offline::open(path))
}

/// The store, ready to be asked and changed. One that is not there is not made.
fn online(path: &Path) -> anyhow::Result<Store> {
    drop(offline(path)?);
    opened(path, Store::open(Options::new(path)))
}

fn opened<T>(path: &Path, opened: Result<T, OpenError>) -> anyhow::Result<T> {
    let is_locked = matches!(opened, Err(OpenError::Locked { .. }));
    let opened = opened.with_context(|| format!("cannot open the store in {}", path.display()));
    if is_locked {
        return opened.context("a running server has it open: stop that, or ask it over HTTP");
    }
    opened
}

/// So many of something, in words: `one` of it, or `many`.
fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Prints an answer.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // `sigyn store inspect | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the answer").map_err(Failure::work),
    }
}

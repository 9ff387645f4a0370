//! `sigyn store`: what an operator does with a store that no server has open.

mod delete;
mod export;
mod inspect;
mod output;
mod progress;
mod verify;

use std::path::Path;

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
    Offline::open(path).map_err(|error| match error {
        OpenError::Locked => locked(path),
        error => cannot_open(path, error),
    })
}

/// The store, ready to be asked and changed. One that is not there is not made.
fn online(path: &Path) -> anyhow::Result<Store> {
    drop(offline(path)?);
    Store::open(Options::new(path)).map_err(|error| match error {
        OpenError::Locked => locked(path),
        error => cannot_change(path, error),
    })
}

fn locked(path: &Path) -> anyhow::Error {
    let hint = "a running server has it open: stop that, or ask it over HTTP";
    cannot_open(path, OpenError::Locked).context(hint)
}

fn cannot_open(path: &Path, error: OpenError) -> anyhow::Error {
    anyhow::Error::from(error).context(format!("cannot open the store in {}", path.display()))
}

/// The same where something would be written, with what can be done where nothing can be.
pub(crate) fn cannot_change(path: &Path, error: OpenError) -> anyhow::Error {
    let is_read_only = error.is_read_only();
    let error = cannot_open(path, error);
    if !is_read_only {
        return error;
    }
    error.context(
        "nothing can be written there: `sigyn store inspect`, `verify` and `export` read it as it is",
    )
}

/// So many of something, in words: `one` of it, or `many`.
fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn who_cannot_write_is_told_what_can_be_read() {
        let check = |kind: io::ErrorKind, has_hint: bool| {
            let source = io::Error::from(kind);
            let error = OpenError::Io { attempt: "locking", path: "LOCK".into(), source };
            let told = format!("{:#}", cannot_change(Path::new("data"), error));
            assert_eq!(told.starts_with("nothing can be written there"), has_hint, "{told}");
            assert!(
                told.contains("cannot open the store in data: locking LOCK failed: "),
                "{told}"
            );
        };
        check(io::ErrorKind::ReadOnlyFilesystem, true);
        check(io::ErrorKind::PermissionDenied, true);
        check(io::ErrorKind::StorageFull, false);
    }
}

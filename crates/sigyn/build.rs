//! Tells the program which commit it is built from, where that is known.

use std::path::Path;
use std::process::Command;

/// For whoever builds from sources that are no repository.
const GIVEN: &str = "SIGYN_REVISION";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={GIVEN}");
    let given = std::env::var(GIVEN).ok().filter(|given| !given.is_empty());
    let revision = given.or_else(of_repository).unwrap_or_default();
    println!("cargo::rustc-env={GIVEN}={revision}");
}

/// The commit that is checked out, if the workspace is a repository of its own: sources that were
/// unpacked within another one are not of its commits.
fn of_repository() -> Option<String> {
    let workspace = Path::new("../..").canonicalize().ok()?;
    let top =
        Path::new(&git(&workspace, &["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    if top != workspace {
        return None;
    }
    // The log of HEAD grows with every commit and checkout; HEAD itself is there without one, too.
    for file in ["HEAD", "logs/HEAD"] {
        let path = workspace.join(git(&workspace, &["rev-parse", "--git-path", file])?);
        // Cargo would build again each time for the sake of a file that is not there.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(&workspace, &["rev-parse", "HEAD"])
}

/// What git says, if there is git and it says something.
fn git(dir: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(dir).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

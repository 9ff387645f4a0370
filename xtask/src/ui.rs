//! Building and testing the web UI, and proof that what is committed is what its sources build.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, repo};

/// The crate that embeds the UI. The build writes below it and nowhere else.
const CRATE: &str = "crates/sigyn-ui/";
const DIST: &str = "crates/sigyn-ui/dist/";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let check = match arguments {
        [] => false,
        [argument] if argument == "--check" => true,
        _ => bail!("takes at most `--check`"),
    };
    let missing: Vec<&str> =
        ["node", "npm"].into_iter().filter(|tool| !command::is_installed(tool)).collect();
    match (check, missing.as_slice()) {
        (true, []) => check_dist(),
        (true, missing) => command::skip("the web UI is not rebuilt and compared", missing),
        (false, []) => build(&repo::root()),
        (false, missing) => bail!("not installed: {}", missing.join(", ")),
    }
}

/// Builds in `root`, a checkout or a copy of the parts that concern the UI.
fn build(root: &Path) -> Result<()> {
    let folder = root.join("ui");
    // No package's install script runs: none of ours needs one, and it could do anything.
    command::run(
        Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder),
    )?;
    command::run(Command::new("npm").args(["run", "build"]).current_dir(&folder))
}

fn check_dist() -> Result<()> {
    let root = repo::root();
    let copy = repo::TempFolder::new("ui-check")?;
    let concerned = |path: &&String| path.starts_with("ui/") || path.starts_with(CRATE);
    let files: Vec<String> = repo::files(&root)?.iter().filter(concerned).cloned().collect();
    let sources = files.iter().filter(|path| !path.starts_with(DIST));
    repo::copy(&root, copy.path(), sources)?;
    build(copy.path())?;
    command::run(Command::new("npm").arg("test").current_dir(copy.path().join("ui")))?;

    let committed = read_all(&root, files.iter().filter(|path| path.starts_with(CRATE)).cloned())?;
    let built = read_all(copy.path(), files_below(copy.path(), CRATE)?)?;
    let differences = differences(&committed, &built);
    if !differences.is_empty() {
        bail!("{}\nrun `cargo xtask ui` and commit what it builds", differences.join("\n"));
    }
    println!("the web UI's {} files are what its sources build", committed.len());
    Ok(())
}

fn differences(
    committed: &BTreeMap<String, Vec<u8>>,
    built: &BTreeMap<String, Vec<u8>>,
) -> Vec<String> {
    let mut differences = Vec::new();
    for (path, bytes) in committed {
        match built.get(path) {
            None => differences.push(format!("{path}: committed, but not built")),
            Some(other) if other != bytes => {
                differences.push(format!("{path}: differs from what is built"))
            }
            Some(_) => {}
        }
    }
    for path in built.keys().filter(|path| !committed.contains_key(*path)) {
        differences.push(format!("{path}: built, but not committed"));
    }
    differences
}

fn read_all(
    root: &Path,
    files: impl IntoIterator<Item = String>,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let read = |path: String| {
        let bytes =
            std::fs::read(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
        Ok((path, bytes))
    };
    files.into_iter().map(read).collect()
}

/// All files below a folder of `root`, relative to `root`.
fn files_below(root: &Path, folder: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.trim_end_matches('/').to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))
            .with_context(|| format!("cannot list {folder}"))?
        {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_a_missing_and_a_stray_file_are_differences() {
        let tree = |files: &[(&str, &str)]| {
            files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
                .collect()
        };
        let committed = tree(&[("dist/a.js", "1"), ("dist/b.js", "2"), ("dist/old.js", "3")]);
        let built = tree(&[("dist/a.js", "1"), ("dist/b.js", "2 "), ("dist/new.js", "3")]);
        assert_eq!(
            differences(&committed, &built),
            [
                "dist/b.js: differs from what is built",
                "dist/old.js: committed, but not built",
                "dist/new.js: built, but not committed",
            ]
        );
        assert!(differences(&committed, &committed).is_empty());
    }
}

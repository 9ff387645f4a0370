//! The foreign programs that checks run, and how each language's own tool installs what they need.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// A folder in `conformance/clients/` and how its packages are installed, always in the versions its files name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    None,
    /// `requirements.txt`, into a virtual environment `venv` beside it.
    Python(&'static str),
    /// `package-lock.json`, into `node_modules` beside it.
    Npm(&'static str),
    /// `go.mod` and `go.sum`, built into a program `senders`.
    Go(&'static str),
    /// `pom.xml`, whose jars go to `lib` beside it.
    Maven(&'static str),
}

impl Client {
    pub(crate) fn folder(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Python(name) | Self::Npm(name) | Self::Go(name) | Self::Maven(name) => Some(name),
        }
    }

    /// The programs without which the check cannot run.
    pub(crate) fn needs(self) -> &'static [&'static str] {
        match self {
            Self::None | Self::Python(_) => &["python3"],
            Self::Npm(_) => &["python3", "node", "npm"],
            Self::Go(_) => &["python3", "go"],
            Self::Maven(_) => &["python3", "java", "mvn"],
        }
    }

    /// Copies the folder into `scratch`, so that nothing is built in the checkout, and installs there.
    pub(crate) fn install(self, root: &Path, scratch: &Path) -> Result<()> {
        let Some(name) = self.folder() else { return Ok(()) };
        let (from, to) = (root.join("conformance/clients").join(name), scratch.join(name));
        std::fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
        for entry in
            std::fs::read_dir(&from).with_context(|| format!("cannot list {}", from.display()))?
        {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        let run = |program: &mut Command| command::run(program.current_dir(&to));
        match self {
            Self::None => Ok(()),
            Self::Python(_) => {
                run(Command::new("python3").args(["-m", "venv", "venv"]))?;
                run(Command::new(to.join("venv/bin/python")).args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--requirement",
                    "requirements.txt",
                ]))
            }
            Self::Npm(_) => {
                run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))
            }
            Self::Go(_) => run(Command::new("go").args(["mod", "download"])),
            Self::Maven(_) => {
                run(Command::new("mvn").args(["-q", "-B", "dependency:copy-dependencies"]))
            }
        }
    }

    /// Builds what is installed, where it is a program that has to be built.
    pub(crate) fn build(self, scratch: &Path) -> Result<()> {
        let Self::Go(name) = self else { return Ok(()) };
        let go = ["build", "-buildvcs=false", "-o", "senders", "."];
        command::run(Command::new("go").args(go).current_dir(scratch.join(name)))
    }
}

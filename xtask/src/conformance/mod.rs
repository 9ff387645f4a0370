//! Checks against programs that others wrote: each gets a fresh `sigyn serve` and must find it right.

pub(crate) mod client;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use self::client::Client;
use crate::server::Server;
use crate::{command, repo};

/// One check: a script in `conformance/checks/`, and the foreign client it runs, if any.
struct Check {
    name: &'static str,
    script: &'static str,
    client: Client,
}

/// All checks. A new one is a file and a line here.
const CHECKS: &[Check] = &[
    Check { name: "zipkin-traces", script: "zipkin_traces.py", client: Client::None },
    Check { name: "py-zipkin", script: "py_zipkin.py", client: Client::Python("py_zipkin") },
    Check { name: "zipkin-js", script: "zipkin_js.py", client: Client::Npm("zipkin_js") },
    Check { name: "blocks", script: "blocks.py", client: Client::Python("blocks") },
    Check { name: "openapi", script: "openapi.py", client: Client::Python("schemathesis") },
    Check { name: "kills", script: "kills.py", client: Client::None },
    Check { name: "disk-full", script: "disk_full.py", client: Client::None },
    Check { name: "import", script: "import_zipkin.py", client: Client::Maven("zipkin_server") },
    Check { name: "contract", script: "contract/__main__.py", client: Client::None },
    Check { name: "discovery-configs", script: "discovery_configs.py", client: Client::None },
    Check {
        name: "discovery-relabelling",
        script: "discovery_relabelling.py",
        client: Client::None,
    },
    Check { name: "discovery-regex", script: "discovery_regex.py", client: Client::None },
    Check { name: "discovery-targets", script: "discovery_targets.py", client: Client::None },
    Check {
        name: "failure-log",
        script: "failure_log.py",
        client: Client::Go("prometheus_scrape"),
    },
    Check {
        name: "discovery-shown",
        script: "discovery_shown.py",
        client: Client::Go("prometheus_config"),
    },
    Check { name: "discovery-victoria", script: "discovery_victoria.py", client: Client::None },
    Check {
        name: "jaeger-query",
        script: "jaeger_query.py",
        client: Client::Python("jaeger_query"),
    },
    Check { name: "loki", script: "loki.py", client: Client::Go("pull_go") },
    Check { name: "decoders-go", script: "decoders.py", client: Client::Go("pull_go") },
    Check { name: "decoders-python", script: "decoders.py", client: Client::Python("pull_python") },
    Check { name: "decoders-node", script: "decoders.py", client: Client::Npm("pull_node") },
    Check { name: "decoders-java", script: "decoders.py", client: Client::Maven("pull_java") },
    Check { name: "lens", script: "lens.py", client: Client::Npm("lens") },
    Check { name: "java", script: "java.py", client: Client::Maven("java") },
    Check { name: "go", script: "go.py", client: Client::Go("go") },
    Check { name: "node", script: "node.py", client: Client::Npm("node") },
    Check { name: "python", script: "python.py", client: Client::Python("python") },
    Check { name: "mixed-load", script: "mixed_load.py", client: Client::Python("python") },
    Check {
        name: "python-thrift",
        script: "python_thrift.py",
        client: Client::Python("python_thrift"),
    },
];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let root = repo::root();
    let temp;
    let scratch = match std::env::var_os("SIGYN_SCRATCH") {
        Some(kept) => {
            std::fs::create_dir_all(&kept).context("cannot create SIGYN_SCRATCH")?;
            std::path::absolute(kept)?
        }
        None => {
            temp = repo::TempFolder::new("conformance")?;
            temp.path().to_path_buf()
        }
    };
    let chosen: Vec<&Check> =
        CHECKS.iter().filter(|check| check.name.contains(&options.filter)).collect();
    if chosen.is_empty() {
        bail!("no check's name contains `{}`", options.filter);
    }
    let binary = match options.binary {
        Some(path) => std::path::absolute(path)?,
        None => build(&root)?,
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for check in chosen {
        let missing: Vec<&str> = check
            .client
            .needs()
            .iter()
            .copied()
            .filter(|tool| !command::is_installed(tool))
            .collect();
        if !missing.is_empty() {
            command::skip(check.name, &missing)?;
            skipped += 1;
            continue;
        }
        let started = Instant::now();
        match check.run(&root, &scratch, &binary) {
            Ok(Outcome::Passed) => passed += 1,
            Ok(Outcome::Skipped(why)) => {
                skipped += 1;
                println!("SKIPPED: {}: {why}", check.name);
            }
            Err(error) => {
                failed += 1;
                println!("{}: {error:#}", check.name);
            }
        }
        println!("conformance {}: {:.1} s", check.name, started.elapsed().as_secs_f64());
    }
    println!("conformance: {passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 {
        bail!("{failed} of {} checks failed", passed + failed);
    }
    Ok(())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    filter: String,
    binary: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bin" => {
                    options.binary = Some(arguments.next().context("`--bin` needs a path")?.into())
                }
                flag if flag.starts_with('-') => bail!("unknown flag {flag}"),
                filter if options.filter.is_empty() => filter.clone_into(&mut options.filter),
                extra => bail!("one filter at most, not also {extra}"),
            }
        }
        Ok(options)
    }
}

/// How a check ended that did not fail.
enum Outcome {
    Passed,
    /// What it needs cannot be had here: what it would have checked is unchecked.
    Skipped(String),
}

/// The exit code of a script that cannot check anything here; it has said why.
const EXIT_SKIPPED: i32 = 77;

impl Check {
    fn run(&self, root: &Path, scratch: &Path, binary: &Path) -> Result<Outcome> {
        // A registry may be out of reach for a moment; what it then does not give is nobody's fault.
        let installed = self.client.install(root, scratch);
        let installed = installed.or_else(|_| self.client.install(root, scratch));
        if let Err(error) = installed {
            return Ok(Outcome::Skipped(format!("its packages cannot be installed: {error:#}")));
        }
        self.client.build(scratch)?;
        let folder = scratch.join(format!("{}-{}", self.name, std::process::id()));
        let server = Server::start(binary, &folder)?;
        let script = root.join("conformance/checks").join(self.script);
        let checked = command::status(
            Command::new("python3")
                .arg(script)
                .envs(server.doors.environment())
                .env("SIGYN_BIN", binary)
                .env("SIGYN_CHECK", self.name)
                .env("SIGYN_PID", server.pid().to_string())
                .env("SIGYN_SCRATCH", scratch)
                .env("SIGYN_DATA", crate::server::data(&folder))
                // Leaves no __pycache__ in the checkout, and reads and writes UTF-8 whatever the locale.
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .env("PYTHONUTF8", "1"),
        );
        let outcome = match checked {
            Ok(status) if status.success() => Ok(Outcome::Passed),
            Ok(status) if status.code() == Some(EXIT_SKIPPED) => {
                Ok(Outcome::Skipped("see above".to_owned()))
            }
            Ok(status) => Err(anyhow!("{} ended with {status}", self.script)),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            println!("sigyn's log of {}:\n{}", self.name, server.log());
        }
        let stopped = server.stop();
        outcome.and_then(|outcome| stopped.map(|()| outcome))
    }
}

/// Builds `sigyn` as the tests do and says where it is.
fn build(root: &Path) -> Result<PathBuf> {
    command::run(command::cargo().args(["build", "--package", "sigyn"]).current_dir(root))?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |folder| root.join(folder));
    Ok(target.join("debug").join(format!("sigyn{}", std::env::consts::EXE_SUFFIX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_filter_and_a_binary_come_in_any_order() -> Result<()> {
        let wanted = Options { filter: "py".into(), binary: Some("target/release/sigyn".into()) };
        assert_eq!(parse(&["py", "--bin", "target/release/sigyn"])?, wanted);
        assert_eq!(parse(&["--bin", "target/release/sigyn", "py"])?, wanted);
        assert_eq!(parse(&[])?, Options::default());
        Ok(())
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for arguments in [&["--bin"][..], &["--fast"], &["py", "js"]] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn every_check_has_its_script_and_its_client() {
        let folder = repo::root().join("conformance");
        for check in CHECKS {
            assert!(folder.join("checks").join(check.script).is_file(), "{}", check.script);
            if let Some(name) = check.client.folder() {
                assert!(folder.join("clients").join(name).is_dir(), "{name}");
            }
        }
    }
}

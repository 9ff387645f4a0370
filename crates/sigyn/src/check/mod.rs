//! `sigyn check`: what promtool's verbs say of a file, with its exit statuses.

mod agent;
mod config;
mod lint;
mod relabel;
mod relabel_test;
mod server;
mod service_discovery;
mod target;
mod web_config;

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use sigyn_discovery::config::Job;

use crate::cli::{CheckCommand, CheckFlags};
use crate::config::Config;

/// promtool's statuses: all is well, something is not as it should be, and something is valid but
/// hardly meant (with `--lint-fatal`).
const VALID: u8 = 0;
const INVALID: u8 = 1;
const LINTED: u8 = 3;

pub(crate) fn run(flags: &CheckFlags) -> ExitCode {
    let is_valid = match &flags.what {
        CheckCommand::Config(flags) => return ExitCode::from(config::run(flags)),
        CheckCommand::Target(flags) => return ExitCode::from(target::run(flags)),
        CheckCommand::WebConfig(flags) => web_config::run(flags),
        CheckCommand::ServiceDiscovery(flags) => service_discovery::run(flags),
        CheckCommand::Relabel(flags) => relabel::run(flags),
        CheckCommand::Healthy(flags) => server::run(flags, "/-/healthy"),
        CheckCommand::Ready(flags) => server::run(flags, "/-/ready"),
    };
    ExitCode::from(if is_valid { VALID } else { INVALID })
}

/// A line on standard output. A closed pipe does not change what the status says.
fn say(line: impl fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The same on standard error.
fn complain(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// An error with its causes in one line.
fn chain(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

/// The job of this name, or which there are.
fn job(config: &Config, name: &str) -> Result<Job, String> {
    let jobs = config.discovery_jobs();
    let names: String = jobs.iter().map(|job| format!("\n\t{}", job.name)).collect();
    let found = jobs.into_iter().find(|job| job.name == name);
    found.ok_or_else(|| format!("Job {name} not found. Select one of:{names}"))
}

//! Flags of `sigyn check`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Args, Clone, Debug)]
pub(crate) struct CheckFlags {
    #[command(subcommand)]
    pub(crate) what: CheckCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CheckCommand {
    /// Check configuration files: status 0 if all are valid, 1 if one is not
    Config(CheckConfigFlags),
    /// Find a job's targets as the server would, and show what its rules make of them
    ServiceDiscovery(ServiceDiscoveryFlags),
    /// Show what relabelling rules make of labels, or test that they do what they should
    Relabel(RelabelFlags),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CheckConfigFlags {
    /// Look at the files alone, not at those that they name
    #[arg(long)]
    pub(crate) syntax_only: bool,
    /// Files to check
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ServiceDiscoveryFlags {
    /// How long to wait for what is found, such as 5s
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) timeout: String,
    /// Configuration file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A job_name of it
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
}

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Status: 0 if all is as it should be, 1 if a file is not valid or a test fails, 2 if the flags make no sense."
)]
pub(crate) struct RelabelFlags {
    /// Labels, such as '__address__=127.0.0.1:80,env=prod'
    #[arg(value_name = "LABELS", required_unless_present_any = ["json", "tests"])]
    pub(crate) labels: Option<String>,
    /// Labels as a JSON object
    #[arg(long = "labels", value_name = "JSON", conflicts_with = "labels")]
    pub(crate) json: Option<String>,
    /// Take the rules of a job of this configuration
    #[arg(long, value_name = "FILE", requires = "job", required_unless_present_any = ["rules", "tests"])]
    pub(crate) config: Option<PathBuf>,
    /// Its job_name
    #[arg(long, value_name = "JOB", requires = "config")]
    pub(crate) job: Option<String>,
    /// Take the rules of this file: a list, as it stands in relabel_configs
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) rules: Option<PathBuf>,
    /// Run the tests of this file; may be given more than once
    #[arg(long = "test", value_name = "FILE", conflicts_with_all = ["labels", "json", "config", "rules"])]
    pub(crate) tests: Vec<PathBuf>,
}

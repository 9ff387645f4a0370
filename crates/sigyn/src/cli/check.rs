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
    /// Check files with TLS, users and headers for --web.config.file
    WebConfig(WebConfigFlags),
    /// Find a job's targets as the server would, and show what its rules make of them
    ServiceDiscovery(ServiceDiscoveryFlags),
    /// Show what relabelling rules make of labels, or test that they do what they should
    Relabel(RelabelFlags),
    /// Ask a target for its spans in every way there is, and tell what it does other than the protocol says
    Target(TargetFlags),
    /// Ask a running server whether it lives
    Healthy(ServerFlags),
    /// Ask a running server whether it can store spans
    Ready(ServerFlags),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CheckConfigFlags {
    /// Look at the files alone, not at those that they name
    #[arg(long)]
    pub(crate) syntax_only: bool,
    /// Look for what is valid and hardly meant: names with commas between, of all,
    /// too-long-scrape-interval, duplicate-rules (of which there is nothing here) and none
    #[arg(long, value_name = "NAMES", default_value = "duplicate-rules")]
    pub(crate) lint: String,
    /// End with status 3 if something is found by --lint
    #[arg(long)]
    pub(crate) lint_fatal: bool,
    /// Refuse what Prometheus' agent mode does not allow
    #[arg(long)]
    pub(crate) agent: bool,
    /// Files to check
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct WebConfigFlags {
    /// Files to check
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ServerFlags {
    /// Where the server answers
    #[arg(long, value_name = "URL", default_value = "http://localhost:9411")]
    pub(crate) url: String,
    /// How to ask it: a file with what a job has for its client, such as basic_auth and tls_config
    #[arg(long = "http.config.file", value_name = "FILE")]
    pub(crate) http_config_file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "It asks as two scrapers that hold leases for 5 minutes and want everything. The scraper that wants most decides, so budgets of others, and their wishes for fewer traces, do not hold until then: check an instance outside of the hot path.\nStatus: 0 if the target keeps the protocol, 1 if it does not or cannot be asked, 2 if the flags make no sense; with --lint-fatal 3 if it does only what it should not."
)]
pub(crate) struct TargetFlags {
    /// How long to follow the target first, such as 1m: much can only be seen while spans come
    #[arg(long = "for", value_name = "DURATION", default_value = "10s")]
    pub(crate) time: String,
    /// How to ask it: a file with what a job has for its client, such as basic_auth and tls_config
    #[arg(long = "http.config.file", value_name = "FILE")]
    pub(crate) http_config_file: Option<PathBuf>,
    /// Ask many times at once, too, until one is sent away, as others may be for that moment; and as nine scrapers, which leaves
    /// no lease for others for 5 minutes
    #[arg(long)]
    pub(crate) burst: bool,
    /// Print what is found as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// End with status 3 if there are warnings
    #[arg(long)]
    pub(crate) lint_fatal: bool,
    /// Where its spans are; without a path at /traces
    #[arg(value_name = "URL")]
    pub(crate) url: String,
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

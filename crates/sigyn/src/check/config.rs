//! `sigyn check config`: whether files can be used, and whether what they name is there.
//!
//! Standard output has what promtool writes there, word for word; what it does not know, such as the
//! keys that are ignored, goes to standard error.

use std::io;
use std::path::Path;
use std::sync::Arc;

use sigyn_discovery::config::Job;
use sigyn_discovery::http::{self, Authorization, Source};
use sigyn_discovery::mechanism::{self, file};
use sigyn_discovery::{TargetGroup, target};

use super::lint::Lints;
use super::{INVALID, LINTED, VALID, agent, chain, complain, say};
use crate::cli::CheckConfigFlags;
use crate::config::Config;

/// Checks each file, and says with which status to end.
pub(super) fn run(flags: &CheckConfigFlags) -> u8 {
    if let Some(missing) = flags.files.iter().find(|file| !file.exists()) {
        complain(format_args!(
            "sigyn: error: path '{}' does not exist, try --help",
            missing.display()
        ));
        return INVALID;
    }
    let lints = Lints::parse(&flags.lint);
    let (mut are_valid, mut are_meant) = (true, true);
    for file in &flags.files {
        let name = file.display();
        say(format_args!("Checking {name}"));
        let checked = check(file, flags);
        match &checked {
            Ok(_) => say(format_args!(" SUCCESS: {name} is valid prometheus config file syntax")),
            Err(error) => {
                are_valid = false;
                complain(format_args!("  FAILED: {error}"));
            }
        }
        say("");
        if let Ok(jobs) = checked
            && !flags.syntax_only
        {
            are_meant &= lints.pass(&jobs);
        }
    }
    match (are_valid, are_meant || !flags.lint_fatal) {
        (false, _) => INVALID,
        (true, false) => LINTED,
        (true, true) => VALID,
    }
}

/// The jobs of a file that is valid.
fn check(file: &Path, flags: &CheckConfigFlags) -> Result<Vec<Job>, String> {
    let syntax_only = flags.syntax_only;
    let read = if syntax_only { Config::read_alone(file) } else { Config::read(file) };
    let (config, warnings) = read.map_err(chain)?;
    if flags.agent {
        agent::check(&std::fs::read_to_string(file).map_err(chain)?)?;
    }
    for warning in warnings {
        complain(format_args!("  WARNING: {warning}"));
    }
    let jobs = config.discovery_jobs();
    jobs.iter().try_for_each(|job| check_job(job, syntax_only))?;
    Ok(jobs)
}

/// What a server would notice when it runs only: files that are not there, targets that are none.
fn check_job(job: &Job, syntax_only: bool) -> Result<(), String> {
    if !syntax_only {
        check_client(&job.http)?;
    }
    for mechanism in &job.mechanisms {
        if let Some(client) = mechanism.http()
            && !syntax_only
        {
            let warning = check_mechanism(mechanism.kind(), client)?;
            if let Some(warning) = warning {
                complain(format_args!("  WARNING: scrape job \"{}\": {warning}", job.name));
            }
        }
        match mechanism {
            mechanism::Config::Static(groups) => check_groups(job, groups)?,
            mechanism::Config::File(config) if !syntax_only => check_target_files(job, config)?,
            _ => {}
        }
    }
    Ok(())
}

/// Of the files that mechanisms name, promtool looks at Kubernetes' certificates alone. What else is
/// missing is told, and is no mistake: it may be there in time.
fn check_mechanism(kind: &str, client: &http::Config) -> Result<Option<String>, String> {
    if kind == "kubernetes" {
        check_identity(client)?;
    }
    Ok(check_client(client).err().map(|error| format!("{kind}_sd_configs: {error}")))
}

/// promtool looks at these files alone, and not into them.
fn check_client(client: &http::Config) -> Result<(), String> {
    let credentials = match &client.authorization {
        Some(Authorization::Credentials { credentials, .. }) => credentials.as_ref(),
        _ => None,
    };
    check_exists("authorization credentials or bearer token file", credentials)?;
    check_identity(client)
}

fn check_identity(client: &http::Config) -> Result<(), String> {
    check_exists("client cert file", client.tls.cert.as_ref())?;
    check_exists("client key file", client.tls.key.as_ref())
}

fn check_exists(what: &str, source: Option<&Source>) -> Result<(), String> {
    let Some(path) = source.and_then(Source::file) else { return Ok(()) };
    let Err(error) = path.metadata() else { return Ok(()) };
    let cause = match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    let path = path.display();
    Err(format!("error checking {what} \"{path}\": stat {path}: {cause}"))
}

fn check_target_files(job: &Job, config: &file::Config) -> Result<(), String> {
    for pattern in &config.patterns {
        let paths = file::matches(pattern);
        if paths.is_empty() {
            say(format_args!(
                "  WARNING: file \"{}\" for file_sd in scrape job \"{}\" does not exist",
                pattern.display(),
                job.name
            ));
        }
        for path in paths {
            let wrong =
                |error| format!("checking SD file \"{}\": {}", path.display(), chain(error));
            let groups = file::read_file(&path).map_err(wrong)?;
            check_groups(job, &groups.into_iter().map(Arc::new).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

fn check_groups(job: &Job, groups: &[Arc<TargetGroup>]) -> Result<(), String> {
    let first = target::populate(job, "", groups).errors.into_iter().next();
    first.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use sigyn_discovery::http::Tls;

    use super::*;

    #[test]
    fn what_mechanisms_name_is_a_mistake_or_a_warning() {
        let missing = Some(Source::File("/none/x".into()));
        let certificates = http::Config {
            tls: Tls { cert: missing.clone(), key: missing.clone(), ..Tls::default() },
            ..http::Config::default()
        };
        let kind = "Bearer".to_owned();
        let token = http::Config {
            authorization: Some(Authorization::Credentials { kind, credentials: missing }),
            ..http::Config::default()
        };
        let told = |what: &str| {
            format!("error checking {what} \"/none/x\": stat /none/x: no such file or directory")
        };
        let warning =
            |kind: &str, what: &str| Ok(Some(format!("{kind}_sd_configs: {}", told(what))));
        let (cert, bearer) = ("client cert file", "authorization credentials or bearer token file");
        assert_eq!(check_mechanism("kubernetes", &certificates), Err(told(cert)));
        assert_eq!(check_mechanism("kubernetes", &token), warning("kubernetes", bearer));
        assert_eq!(check_mechanism("consul", &certificates), warning("consul", cert));
        assert_eq!(check_mechanism("consul", &token), warning("consul", bearer));
        assert_eq!(check_mechanism("consul", &http::Config::default()), Ok(None));
    }
}

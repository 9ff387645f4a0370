//! `sigyn check`: what promtool's verbs say of a file, with its exit statuses.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::{CheckCommand, CheckFlags};
use crate::config::Config;

/// promtool's status for a file that is not valid.
const INVALID: u8 = 1;

pub(crate) fn run(flags: &CheckFlags) -> ExitCode {
    let CheckCommand::Config { files } = &flags.what;
    let mut failed = false;
    for file in files {
        failed |= !check_config(file);
    }
    if failed { ExitCode::from(INVALID) } else { ExitCode::SUCCESS }
}

/// Success goes to standard output, what is wrong to standard error. True if the file is valid.
fn check_config(file: &Path) -> bool {
    let name = file.display();
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    // A closed pipe on either side does not change what the status says.
    let _ = writeln!(out, "Checking {name}");
    match Config::read(file) {
        Ok((config, warnings)) => {
            for warning in warnings {
                let _ = writeln!(err, "  WARNING: {warning}");
            }
            for problem in config.target_problems() {
                let _ = writeln!(err, "  WARNING: {problem}");
            }
            let _ = writeln!(out, " SUCCESS: {name} is valid prometheus config file syntax");
            let _ = writeln!(out);
            true
        }
        Err(error) => {
            let _ = writeln!(err, "  FAILED: {:#}", anyhow::Error::new(error));
            let _ = writeln!(err);
            false
        }
    }
}

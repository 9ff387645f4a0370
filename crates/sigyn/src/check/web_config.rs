//! `sigyn check web-config`: whether files of `--web.config.file` can be used, with all that they name.

use super::complain;
use crate::cli::WebConfigFlags;
use crate::web_config;

/// Checks each file; whether all are valid. As with promtool, all of it goes to standard error.
pub(super) fn run(flags: &WebConfigFlags) -> bool {
    let mut are_valid = true;
    for file in &flags.files {
        let name = file.display();
        match web_config::check(file) {
            Ok(warnings) => {
                for warning in warnings {
                    complain(format_args!("  WARNING: {warning}"));
                }
                complain(format_args!("{name} SUCCESS"));
            }
            Err(error) => {
                are_valid = false;
                complain(format_args!("{name} FAILED: {}", super::chain(error)));
            }
        }
    }
    are_valid
}

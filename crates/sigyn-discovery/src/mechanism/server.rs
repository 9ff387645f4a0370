//! What the sections of mechanisms that ask a server have in common: its URL, and how to ask it.

use std::path::Path;

pub(super) use crate::go_url::{HttpUrlError, http_url, shown, url_parts};
use crate::http::{ClientConfig, Config};

/// Checks the client's keys of a section.
pub(super) fn client(written: &ClientConfig, dir: &Path) -> Result<Config, String> {
    written.validate(dir).map_err(|error| error.to_string())
}

//! `sigyn check healthy` and `sigyn check ready`: what a running server says of itself, for probes that
//! have no `curl`.

use std::time::Duration;

use anyhow::bail;
use http::StatusCode;

use super::complain;
use crate::cli::ServerFlags;
use crate::http_client::HttpClient;

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An answer is one line.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Whether the server answers at `path` that all is well.
pub(super) fn run(flags: &ServerFlags, path: &str) -> bool {
    match ask(flags, path) {
        Ok(answer) => {
            complain(format_args!("  SUCCESS:  {answer}"));
            true
        }
        Err(error) => {
            complain(format_args!("{error:#}"));
            false
        }
    }
}

fn ask(flags: &ServerFlags, path: &str) -> anyhow::Result<String> {
    let client = HttpClient::configured(flags.http_config_file.as_deref(), TIMEOUT)?;
    let client = client.with_answer_bytes_max(ANSWER_BYTES_MAX);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let url = format!("{}{path}", flags.url.trim_end_matches('/'));
    let answer = runtime.block_on(client.get(&url))?;
    match answer.status {
        StatusCode::OK => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        status => bail!("check failed: URL={}, status={}", flags.url, status.as_u16()),
    }
}

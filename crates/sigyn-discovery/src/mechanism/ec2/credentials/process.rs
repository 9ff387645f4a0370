//! Keys that a program tells.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::{CredentialsError, Keys};

/// As long as AWS' own tools wait.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);
/// More than keys can take.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

const WHOSE: &str = "credential_process";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: u64,
}

/// Runs a command as a shell does.
pub(super) async fn run(command: &str) -> Result<Keys, CredentialsError> {
    let output = timeout(TIMEOUT, output(command)).await;
    let output = output.map_err(|_| CredentialsError::Slow)??;
    let version = serde_json::from_slice(&output).map(|told: Version| told.version);
    if version.ok() != Some(1) {
        return Err(CredentialsError::Answer(WHOSE));
    }
    Keys::told(&output, WHOSE)
}

/// What it writes. It ends with whoever waits for it.
async fn output(command: &str) -> Result<Vec<u8>, CredentialsError> {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // What it says there is for people, who may not be meant to read it in our log.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(CredentialsError::Run)?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = stdout.take(OUTPUT_BYTES_MAX);
        stdout.read_to_end(&mut output).await.map_err(CredentialsError::Run)?;
    }
    let status = child.wait().await.map_err(CredentialsError::Run)?;
    if status.success() { Ok(output) } else { Err(CredentialsError::Failed(status)) }
}

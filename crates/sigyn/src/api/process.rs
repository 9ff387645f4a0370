//! Prometheus' `/api/v1/status/{buildinfo,runtimeinfo,flags}` and `/api/v1/features`: which program this
//! is, and how it was started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::json;
use sigyn_discovery::mechanism;

use super::admin::Healthy;
use super::rfc3339;
use crate::metrics::ReloadState;
use crate::reply::{self, ApiError, prometheus};

/// What is known since the start, and whom to ask for the rest.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) started: SystemTime,
    pub(crate) hostname: Arc<str>,
    /// By name, as they were given.
    pub(crate) flags: Arc<BTreeMap<&'static str, String>>,
    /// What spans may take in memory.
    pub(crate) memory_bytes: u64,
    /// Such as `1w or 50GiB`.
    pub(crate) retention: Arc<str>,
    pub(crate) lifecycle: bool,
    pub(crate) admin_api: bool,
    /// Whether the configuration is loaded again when its files change.
    pub(crate) auto_reload: bool,
    pub(crate) reloads: Arc<ReloadState>,
    pub(crate) healthy: Healthy,
}

pub(crate) fn router(process: Process) -> Router {
    Router::new()
        .route("/api/v1/status/buildinfo", get(build_info))
        .route("/api/v1/status/runtimeinfo", get(runtime_info))
        .route("/api/v1/status/flags", get(flags))
        .route("/api/v1/features", get(features))
        .route("/version", get(version))
        .with_state(process)
}

/// The first six are Prometheus'; an empty text is what does not apply, or is not known.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildInfo {
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
    rust_version: &'static str,
}

/// The commit that this is built from; empty if nobody knows.
const REVISION: &str = env!("SIGYN_REVISION");

const BUILD: BuildInfo = BuildInfo {
    version: env!("CARGO_PKG_VERSION"),
    revision: REVISION,
    branch: "",
    build_user: "",
    build_date: "",
    go_version: "",
    rust_version: env!("CARGO_PKG_RUST_VERSION"),
};

async fn build_info() -> Response {
    prometheus(&BUILD)
}

/// The same without an envelope, as programs ask who this is.
async fn version() -> Response {
    match serde_json::to_string(&BUILD) {
        Ok(text) => reply::json(text),
        Err(error) => ApiError::failed(error).into_response(),
    }
}

/// Prometheus' names, with what comes nearest in this program: threads are its goroutines, damaged
/// files its corruptions, and what spans may take its limit of memory.
#[derive(Serialize)]
struct RuntimeInfo<'a> {
    #[serde(rename = "startTime")]
    started: String,
    #[serde(rename = "CWD")]
    directory: String,
    hostname: &'a str,
    #[serde(rename = "serverTime")]
    now: String,
    #[serde(rename = "reloadConfigSuccess")]
    reloaded: bool,
    #[serde(rename = "lastConfigTime")]
    configured: String,
    #[serde(rename = "corruptionCount")]
    damaged_files: u64,
    #[serde(rename = "goroutineCount")]
    threads: u64,
    #[serde(rename = "GOMAXPROCS")]
    cores: usize,
    #[serde(rename = "GOMEMLIMIT")]
    memory_bytes: u64,
    #[serde(rename = "GOGC")]
    gogc: &'static str,
    #[serde(rename = "GODEBUG")]
    godebug: &'static str,
    #[serde(rename = "storageRetention")]
    retention: &'a str,
}

async fn runtime_info(State(process): State<Process>) -> Response {
    let configured_s = process.reloads.success_at_s.load(Ordering::Relaxed);
    let directory = std::env::current_dir().map(|dir| dir.display().to_string());
    prometheus(&RuntimeInfo {
        started: rfc3339(process.started),
        directory: directory.unwrap_or_default(),
        hostname: &process.hostname,
        now: rfc3339(SystemTime::now()),
        reloaded: process.reloads.successful.load(Ordering::Relaxed) == 1,
        configured: rfc3339(UNIX_EPOCH + Duration::from_secs(configured_s)),
        damaged_files: (process.healthy.0)().damaged_files,
        threads: threads(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: process.memory_bytes,
        gogc: "",
        godebug: "",
        retention: &process.retention,
    })
}

/// How many threads the kernel counts; 0 if it does not tell.
fn threads() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// The name by which others know this machine.
pub(crate) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = Some(name.trim()).filter(|name| !name.is_empty());
    name.unwrap_or("localhost").to_owned()
}

async fn flags(State(process): State<Process>) -> Response {
    prometheus(&*process.flags)
}

async fn features(State(process): State<Process>) -> Response {
    let providers: BTreeMap<&str, bool> =
        mechanism::KINDS.iter().map(|kind| (*kind, true)).collect();
    prometheus(&json!({
        "api": { "admin": process.admin_api, "lifecycle": process.lifecycle },
        "prometheus": { "agent_mode": false, "auto_reload_config": process.auto_reload, "server_mode": true },
        "scrape": { "spans": true },
        "service_discovery_providers": providers,
        "ui": { "relabel_steps": true },
    }))
}

//! `sigyn demo`: a small traced shop on loopback, visitors, and a tracer that finds and scrapes it.

mod banner;
mod load;
mod scene;
mod service;
mod shop;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::cli::{DemoFlags, LogFormat, LogLevel};
use crate::config::{Config, Listen, Settings};
use crate::environment::Environment;
use crate::external_url::ExternalUrl;
use crate::http_client::HttpClient;
use crate::{Failure, logging, server};
use scene::Scene;

/// Ports that are tried after the one asked for.
const PORTS_TRIED: u16 = 20;

pub(crate) fn run(flags: &DemoFlags) -> Result<(), Failure> {
    logging::start(LogLevel::Error, LogFormat::Logfmt);
    let run_for = flags.run_for.as_deref().map(sigyn_discovery::config::parse_duration).transpose();
    let run_for = run_for.context("--for").map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(demo(flags, run_for));
    runtime.shutdown_background();
    outcome.map_err(Failure::work)
}

async fn demo(flags: &DemoFlags, run_for: Option<Duration>) -> anyhow::Result<()> {
    // Removed with everything in it when the demo ends, however it ends.
    let folder =
        tempfile::Builder::new().prefix("sigyn-demo-").tempdir().context("cannot make a folder")?;
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();

    let scene = Scene::open(&mut tasks, &shutdown).await?;
    let config_file = scene.write_config(folder.path())?;
    let app = tracer(flags.port, &config_file, folder.path(), &shutdown).await?;
    let address = *app.addresses().first().context("the tracer has no address")?;
    let (ended_tx, ended) = tokio::sync::oneshot::channel();
    tasks.spawn(async move {
        let _ = ended_tx.send(app.run().await);
    });
    let base = format!("http://{address}");
    load::start(&mut tasks, &scene, flags.rate, &shutdown);

    banner::opening(&scene, &base, flags.port, address.port(), &config_file);
    let watching = async {
        banner::sights(&HttpClient::new(Duration::from_secs(5)), &base).await;
        match run_for {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        () = watching => Ok(()),
        signal = tokio::signal::ctrl_c() => signal.context("cannot watch for Ctrl-C"),
        () = terminated() => Ok(()),
        ended = ended => ended.unwrap_or_else(|_| Err(anyhow::anyhow!("the tracer ended by itself"))),
    };
    banner::closing();
    shutdown.cancel();
    while tasks.join_next().await.is_some() {}
    folder.close().context("cannot remove the demo's folder")?;
    outcome
}

/// The tracer, as `sigyn serve` would build it, on the first free port.
async fn tracer(
    port: u16,
    config_file: &Path,
    folder: &Path,
    shutdown: &CancellationToken,
) -> anyhow::Result<App> {
    let config = Config::load(Some(config_file))?;
    let settings = |port: u16| Settings {
        config_file: Some(config_file.to_owned()),
        auto_reload: None,
        flags: BTreeMap::new(),
        listen: vec![SocketAddr::from(([127, 0, 0, 1], port)).to_string()],
        // Another tracer on this machine keeps the well-known ports.
        otlp_grpc: Listen::Nowhere,
        otlp_http: Listen::Nowhere,
        jaeger_udp_compact: None,
        jaeger_udp_binary: None,
        max_connections: 512,
        web_config_file: None,
        read_timeout: server::HEAD_TIMEOUT,
        external_url: ExternalUrl::default(),
        route_prefix: "/".to_owned(),
        page_title: None,
        ui_dir: None,
        lifecycle: false,
        admin_api: false,
        sync_interval: Duration::from_millis(100),
        long_polls_max: 0,
        storage_memory: None,
        storage_path: folder.join("data"),
        retention_errors: None,
        retention_time: None,
        retention_bytes: Some(1 << 30),
        environment: Environment::default(),
    };
    let last = port.saturating_add(PORTS_TRIED);
    // Port 0, at last, is any free one.
    for candidate in (port..=last).chain([0]) {
        match App::build(settings(candidate), config.clone(), shutdown.clone()).await {
            Err(error) if is_in_use(&error) && candidate != 0 => {}
            built => return built,
        }
    }
    anyhow::bail!("no port from {port} to {last} is free on 127.0.0.1")
}

fn is_in_use(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::AddrInUse)
}

/// SIGTERM, or SIGHUP: the terminal that the demo ran in is closed.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::hangup())) {
        (Ok(mut terminate), Ok(mut hangup)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

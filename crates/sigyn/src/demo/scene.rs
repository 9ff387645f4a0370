//! The shop's cast: which services there are, where they listen, and how the tracer finds them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sigyn_model::Value;
use sigyn_recorder::{Options, Recorder};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::service::{self, Service};
use super::shop;
use crate::http_client::HttpClient;

/// How often the demo's tracer scrapes: often enough that a person need not wait.
const SCRAPE_INTERVAL: &str = "2s";
/// Enough for inventory's daily work between two scrapes, and far too small for a stocktake.
const TINY_LOG_BYTES: usize = 128 << 10;
/// How long it is between two stocktakes, and how long each lasts.
const STOCKTAKE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_millis(600));
const STOCKTAKE_FROM: Duration = Duration::from_secs(2);

/// Every instance, in the order of the list that is printed.
const CAST: [(&str, &str, &str, Ipv4Addr); 11] = [
    ("storefront", "storefront-7xk2p", "eu-1a", Ipv4Addr::new(127, 0, 0, 11)),
    ("cart", "cart-4fd9c", "eu-1a", Ipv4Addr::new(127, 0, 0, 12)),
    ("catalog", "catalog-5b6d8", "eu-1a", Ipv4Addr::new(127, 0, 0, 13)),
    ("catalog", "catalog-9ms4t", "eu-1b", Ipv4Addr::new(127, 0, 0, 14)),
    ("pricing", "pricing-6c7fz", "eu-1a", Ipv4Addr::new(127, 0, 0, 15)),
    ("payment", "payment-1av7q", "eu-1a", Ipv4Addr::new(127, 0, 0, 16)),
    ("payment", "payment-6p2hn", "eu-1b", Ipv4Addr::new(127, 0, 0, 17)),
    ("inventory", "inventory-kk7fp", "eu-1b", Ipv4Addr::new(127, 0, 0, 18)),
    ("shipping", "shipping-m8dzt", "eu-1a", Ipv4Addr::new(127, 0, 0, 19)),
    ("mailer", "mailer-2zjxw", "eu-1b", Ipv4Addr::new(127, 0, 0, 20)),
    ("legacy-auth", "legacy-auth-0", "eu-1a", Ipv4Addr::new(127, 0, 0, 21)),
];

/// All instances, bound and serving.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) services: Arc<[Arc<Service>]>,
    opened: Instant,
    /// A target that discovery still lists although nobody listens there any more.
    pub(super) gone: SocketAddr,
}

/// The shop's own address book. Handlers are plain functions, so it is one for the process.
static SCENE: OnceLock<Scene> = OnceLock::new();

impl Scene {
    /// Binds every service, then starts them.
    pub(super) async fn open(
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let client = HttpClient::new(Duration::from_secs(5));
        let mut services = Vec::new();
        let mut listeners = Vec::new();
        for (name, pod, zone, ip) in CAST {
            let listener = bind(ip).await?;
            services.push(Arc::new(Service {
                name,
                pod: pod.to_owned(),
                zone,
                address: listener.local_addr()?,
                recorder: recorder(name, pod, zone),
                client: client.clone(),
            }));
            listeners.push(listener);
        }
        // Bound and let go: a port where surely nobody listens now.
        let gone = bind(Ipv4Addr::new(127, 0, 0, 22)).await?.local_addr()?;
        let scene = Self { services: services.into(), opened: Instant::now(), gone };
        let scene = SCENE.get_or_init(|| scene).clone();
        for (service, listener) in scene.services.iter().zip(listeners) {
            let (service, shutdown) = (Arc::clone(service), shutdown.clone());
            tasks.spawn(service::serve(service, listener, shop::handle, shutdown));
        }
        Ok(scene)
    }

    /// Any instance of a service.
    pub(super) fn any(&self, name: &str) -> Option<&Arc<Service>> {
        let instances: Vec<_> =
            self.services.iter().filter(|service| service.name == name).collect();
        fastrand::choice(instances)
    }

    /// Whether inventory counts the whole warehouse now.
    pub(super) fn counts_everything(&self) -> bool {
        let (every, time) = STOCKTAKE;
        let into =
            Duration::from_secs_f64(self.opened.elapsed().as_secs_f64() % every.as_secs_f64());
        // Early in each stretch, so that the first is over before anybody has opened a page.
        into > STOCKTAKE_FROM && into < STOCKTAKE_FROM + time
    }

    /// The scene of this process, once it is open.
    pub(super) fn current() -> Option<&'static Self> {
        SCENE.get()
    }

    /// Writes what an operator would: a configuration, and the files in which targets are found.
    pub(super) fn write_config(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let targets = folder.join("targets");
        std::fs::create_dir(&targets).context("cannot make the folder for targets")?;
        let group = |address: SocketAddr, app: &str, pod: &str, zone: &str| {
            serde_json::json!({
                "targets": [address.to_string()],
                "labels": {"app": app, "pod": pod, "zone": zone},
            })
        };
        let mut groups: Vec<_> = self
            .services
            .iter()
            .map(|service| group(service.address, service.name, &service.pod, service.zone))
            .collect();
        groups.push(group(self.gone, "search", "search-old-4hq", "eu-1c"));
        groups.push(group(self.gone, "nightly-batch", "nightly-batch-1", "eu-1c"));
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write(&targets.join("shop.json"), &serde_json::to_string_pretty(&groups)?)?;
        let config = folder.join("sigyn.yml");
        write(
            &config,
            &format!(
                "global:
  scrape_interval: {SCRAPE_INTERVAL}
  scrape_timeout: 1s
scrape_configs:
  - job_name: shop
    file_sd_configs:
      - files: [targets/*.json]
        refresh_interval: 5s
    relabel_configs:
      # Batch jobs are not scraped.
      - source_labels: [app]
        regex: nightly-.*
        action: drop
      # A service is its own job.
      - source_labels: [app]
        target_label: job
      - regex: app
        action: labeldrop
"
            ),
        )?;
        Ok(config)
    }
}

/// An address of its own for each service, where the system gives all of 127.0.0.0/8 to loopback.
async fn bind(ip: Ipv4Addr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind((ip, 0)).await {
        Ok(listener) => Ok(listener),
        Err(_) => {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")
        }
    }
}

fn recorder(name: &str, pod: &str, zone: &str) -> Option<Recorder> {
    if name == "legacy-auth" {
        return None;
    }
    let default = Options::default();
    let options = Options {
        service_name: name.to_owned(),
        resource: vec![
            ("service.instance.id".to_owned(), Value::from(pod)),
            ("cloud.availability_zone".to_owned(), Value::from(zone)),
        ],
        hot_bytes_max: if name == "inventory" { TINY_LOG_BYTES } else { default.hot_bytes_max },
        ..default
    };
    Some(Recorder::new(options))
}

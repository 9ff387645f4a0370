//! Knows whom to ask: Prometheus' service discovery and relabelling, with Prometheus 3.14's
//! semantics.
//!
//! A prometheus.yml goes in, and targets come out, now and whenever they change:
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use sigyn_discovery::{Groups, Manager, config, target};
//! use tokio::{sync::watch, task::JoinSet};
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), config::ConfigError> {
//! // What the user wrote. `config::load(path)` reads it from a file.
//! let config = config::parse(
//!     "
//! global:
//!   scrape_interval: 15s
//! scrape_configs:
//! - job_name: shop
//!   static_configs:
//!   - targets: ['127.0.0.1:8080', '127.0.0.2:8080']
//!     labels: {env: prod}
//!   relabel_configs:
//!   - source_labels: [__address__]
//!     regex: ([^:]+):.*
//!     target_label: instance
//! ",
//!     Path::new("/etc/sigyn"),
//! )?;
//!
//! // The manager follows all mechanisms of all jobs. New jobs are sent, not restarted.
//! let jobs = Arc::new(config.jobs);
//! let (_jobs_tx, jobs_rx) = watch::channel(Arc::clone(&jobs));
//! let (groups_tx, mut groups_rx) = watch::channel(Arc::new(Groups::new()));
//! let manager = Manager::new(jobs_rx, groups_tx);
//! let shutdown = CancellationToken::new();
//! let mut tasks = JoinSet::new();
//! tasks.spawn(manager.run(shutdown.clone()));
//!
//! // Whenever something changed: what was found becomes what is to be asked.
//! if groups_rx.changed().await.is_ok() {
//!     let groups = groups_rx.borrow_and_update().clone();
//!     for job in jobs.iter() {
//!         let populated = target::populate(job, "/traces", &groups[&job.name]);
//!         let urls: Vec<_> = populated.active.iter().map(|target| &target.url).collect();
//!         assert_eq!(urls, ["http://127.0.0.1:8080/traces", "http://127.0.0.2:8080/traces"]);
//!         let labels = populated.active[0].public_labels();
//!         assert_eq!(labels.to_string(), r#"{env="prod", instance="127.0.0.1", job="shop"}"#);
//!     }
//! }
//! shutdown.cancel();
//! tasks.join_all().await;
//! # Ok(())
//! # }
//! ```
//!
//! The parts work alone, too: [`relabel`] and [`target`] are pure functions over [`Labels`] and
//! [`TargetGroup`]s, [`config`] needs no runtime, and [`yaml`] reads any file of this kind.
//!
//! What differs from Prometheus, on purpose: a job whose discovery was edited keeps its old targets
//! until the new ones are there ([`Manager`]); all files are watched through one inotify instance;
//! and of two labels that `labelmap` gives one name, the one that sorts last wins.

pub mod config;
mod error_chain;
mod go_url;
mod group;
pub mod http;
mod labels;
mod manager;
pub mod mechanism;
mod metrics;
mod pairs;
pub mod relabel;
pub mod target;
#[cfg(test)]
mod test_log;
pub mod yaml;

pub use group::{Groups, TargetGroup};
pub use labels::{Labels, is_legacy_name};
pub use manager::Manager;
pub use mechanism::{Trouble, Troubles};
pub use metrics::{JobSnapshot, Metrics, REFRESH_SECONDS, RefreshSnapshot, Snapshot};

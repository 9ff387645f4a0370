//! Knows whom to ask: Prometheus' service discovery and relabelling.

pub mod config;
mod group;
mod labels;
mod manager;
pub mod mechanism;
mod metrics;
pub mod relabel;
pub mod target;
pub mod yaml;

pub use group::{Groups, TargetGroup};
pub use labels::{Labels, is_legacy_name};
pub use manager::Manager;
pub use metrics::{Metrics, Snapshot};

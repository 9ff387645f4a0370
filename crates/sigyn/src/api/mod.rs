//! What the tracer answers over HTTP: one file an API, each a router over the one part that it asks.

pub(crate) mod admin;
mod answer;
pub(crate) mod ask;
mod asked;
pub(crate) mod collect;
pub(crate) mod config_view;
mod cursor;
pub(crate) mod differences;
pub(crate) mod global_url;
pub(crate) mod health;
pub(crate) mod heatmap;
pub(crate) mod jaeger;
pub(crate) mod losses;
pub(crate) mod notifications;
mod params;
pub(crate) mod process;
pub(crate) mod red;
pub(crate) mod relabel_steps;
pub(crate) mod running;
pub(crate) mod search;
pub(crate) mod status;
pub(crate) mod store_admin;
pub(crate) mod tags;
pub(crate) mod targets;
pub(crate) mod trace_view;
pub(crate) mod ui;
pub(crate) mod ui_config;
pub(crate) mod ui_folder;
pub(crate) mod words;
pub(crate) mod zipkin;

use std::time::SystemTime;

pub(crate) use params::{Params, percent_decode};

/// RFC 3339 with nanoseconds, as Prometheus writes times.
fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|time| time.to_string()).unwrap_or_default()
}

//! prometheus.yml's discovery part as it is written, each section with the places of its keys.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, MapAccess};

use super::metrics_only::MetricsOnly;
use super::{parse_duration, parse_size};
use crate::http::ClientConfig;
use crate::labels::Labels;
use crate::mechanism;
use crate::relabel::RuleConfig;
use crate::yaml::{self, Entry, Item, LabelMap, Place, Section, Text, Texts};

/// Top-level keys of prometheus.yml that are about what Sigyn does not do. They are accepted with
/// any content.
pub const OPAQUE_KEYS: &[&str] = &[
    "alerting",
    "otlp",
    "remote_read",
    "remote_write",
    "rule_files",
    "runtime",
    "storage",
    "tracing",
];

/// Keys under `global` that concern metrics only.
const GLOBAL_METRICS_KEYS: &[&str] = &[
    "always_scrape_classic_histograms",
    "convert_classic_histograms_to_nhcb",
    "evaluation_interval",
    "extra_scrape_metrics",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "metric_name_escaping_scheme",
    "query_log_file",
    "rule_query_offset",
    "sample_limit",
    "scrape_classic_histograms",
    "scrape_native_histograms",
    "scrape_protocols",
];

/// Keys of a job that concern metrics only.
const JOB_METRICS_KEYS: &[&str] = &[
    "always_scrape_classic_histograms",
    "convert_classic_histograms_to_nhcb",
    "extra_scrape_metrics",
    "fallback_scrape_protocol",
    "honor_timestamps",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "metric_name_escaping_scheme",
    "metric_relabel_configs",
    "native_histogram_bucket_limit",
    "native_histogram_min_bucket_factor",
    "sample_limit",
    "scrape_classic_histograms",
    "scrape_native_histograms",
    "scrape_protocols",
    "track_timestamps_staleness",
];

/// The whole file, as far as it is Prometheus'.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// `global`.
    pub global: GlobalConfig,
    /// `scrape_configs`.
    pub scrape_configs: Vec<Item<ScrapeConfig>>,
    /// `scrape_config_files`: further files with `scrape_configs`.
    pub scrape_config_files: Vec<Item<Text>>,
    /// Which of [`OPAQUE_KEYS`] are there.
    pub opaque: Vec<Item<String>>,
}

impl Section for File {
    const NAME: &'static str = "config.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "global" => self.global = entry.section()?,
            "scrape_configs" => self.scrape_configs = entry.sections()?,
            "scrape_config_files" => self.scrape_config_files = entry.read()?,
            key if OPAQUE_KEYS.contains(&key) => {
                self.opaque.push(Item { place: entry.place(), value: Some(key.to_owned()) });
                entry.skip()?;
            }
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// A file named by `scrape_config_files`.
#[derive(Clone, Debug, Default)]
pub(super) struct JobsFile {
    pub(super) scrape_configs: Vec<Item<ScrapeConfig>>,
}

impl Section for JobsFile {
    const NAME: &'static str = "config.ScrapeConfigs";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "scrape_configs" => self.scrape_configs = entry.sections()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// Limits that a job inherits where it sets none. 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `body_size_limit`, in bytes.
    pub body_size: u64,
    /// `target_limit`.
    pub targets: u64,
    /// `keep_dropped_targets`.
    pub keep_dropped_targets: u64,
}

/// `global`, as written. A zero duration was not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobalConfig {
    /// `scrape_interval`.
    pub scrape_interval: Duration,
    /// `scrape_timeout`.
    pub scrape_timeout: Duration,
    /// `external_labels`, variables not yet expanded.
    pub external_labels: Labels,
    /// Limits for all jobs.
    pub limits: Limits,
    /// `scrape_failure_log_file`; empty is none.
    pub failure_log_file: String,
    /// `metric_name_validation_scheme`: `utf8`, `legacy` or nothing.
    pub name_scheme: String,
    /// What is read only to be checked.
    pub(super) metrics: MetricsOnly,
    /// Where each key stands.
    pub places: Places,
}

/// Where the keys of a section stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    /// Where `key` stands, if it is there.
    pub fn get(&self, key: &str) -> Option<Place> {
        self.0.get(key).copied()
    }

    /// Keys that are there but of no use for spans.
    pub(super) fn ignored(&self) -> impl Iterator<Item = (&str, Place)> {
        let is_ignored =
            |key: &str| GLOBAL_METRICS_KEYS.contains(&key) || JOB_METRICS_KEYS.contains(&key);
        self.0
            .iter()
            .map(|(key, place)| (key.as_str(), *place))
            .filter(move |(key, _)| is_ignored(key))
    }

    fn insert(&mut self, key: &str, place: Place) {
        self.0.insert(key.to_owned(), place);
    }
}

impl Section for GlobalConfig {
    const NAME: &'static str = "config.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        self.places.insert(entry.key(), entry.place());
        match entry.key() {
            "scrape_interval" => {
                self.scrape_interval = entry.parsed(parse_duration)?.unwrap_or_default()
            }
            "scrape_timeout" => {
                self.scrape_timeout = entry.parsed(parse_duration)?.unwrap_or_default()
            }
            "external_labels" => self.external_labels = entry.read::<LabelMap>()?.0,
            "body_size_limit" => {
                self.limits.body_size = entry.parsed(parse_size)?.unwrap_or_default()
            }
            "target_limit" => self.limits.targets = entry.integer()?,
            "keep_dropped_targets" => self.limits.keep_dropped_targets = entry.integer()?,
            "scrape_failure_log_file" => self.failure_log_file = entry.text()?,
            "metric_name_validation_scheme" => self.name_scheme = entry.text()?,
            key if GLOBAL_METRICS_KEYS.contains(&key) => return self.metrics.field(entry),
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// An entry of `scrape_configs`, as written. A zero duration was not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeConfig {
    /// `job_name`.
    pub job_name: String,
    /// `scrape_interval`.
    pub scrape_interval: Duration,
    /// `scrape_timeout`.
    pub scrape_timeout: Duration,
    /// `metrics_path`.
    pub metrics_path: Option<String>,
    /// `scheme`.
    pub scheme: Option<String>,
    /// `params`.
    pub params: BTreeMap<String, Vec<String>>,
    /// `honor_labels`.
    pub honor_labels: bool,
    /// `enable_compression`.
    pub enable_compression: Option<bool>,
    /// `basic_auth`, `follow_redirects` and the other keys of the HTTP client.
    pub client: ClientConfig,
    /// Limits of the job's own.
    pub limits: Limits,
    /// `scrape_failure_log_file`; empty is the global one.
    pub failure_log_file: String,
    /// `metric_name_validation_scheme`: `utf8`, `legacy` or nothing.
    pub name_scheme: String,
    /// `relabel_configs`.
    pub relabel_configs: Vec<Item<RuleConfig>>,
    /// `static_configs` and `*_sd_configs`.
    pub sections: mechanism::Sections,
    /// What is read only to be checked.
    pub(super) metrics: MetricsOnly,
    /// Where each key stands.
    pub places: Places,
}

impl Section for ScrapeConfig {
    const NAME: &'static str = "config.ScrapeConfig";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        self.places.insert(entry.key(), entry.place());
        match entry.key() {
            "job_name" => self.job_name = entry.text()?,
            "scrape_interval" => {
                self.scrape_interval = entry.parsed(parse_duration)?.unwrap_or_default()
            }
            "scrape_timeout" => {
                self.scrape_timeout = entry.parsed(parse_duration)?.unwrap_or_default()
            }
            "metrics_path" => self.metrics_path = Some(entry.text()?),
            "scheme" => self.scheme = Some(entry.text()?),
            "params" => entry.map_onto(&mut self.params, values)?,
            "honor_labels" => self.honor_labels = entry.boolean()?.unwrap_or_default(),
            "enable_compression" => self.enable_compression = entry.boolean()?,
            "body_size_limit" => {
                self.limits.body_size = entry.parsed(parse_size)?.unwrap_or_default()
            }
            "target_limit" => self.limits.targets = entry.integer()?,
            "keep_dropped_targets" => self.limits.keep_dropped_targets = entry.integer()?,
            "scrape_failure_log_file" => self.failure_log_file = entry.text()?,
            "metric_name_validation_scheme" => self.name_scheme = entry.text()?,
            "relabel_configs" => self.relabel_configs = entry.sections()?,
            key if JOB_METRICS_KEYS.contains(&key) => return self.metrics.field(entry),
            _ => {
                let Some(entry) = self.client.field(entry)? else { return Ok(()) };
                return self.sections.field(entry);
            }
        }
        Ok(())
    }
}

fn values(written: Option<Texts>) -> Vec<String> {
    written.unwrap_or_default().0
}

macro_rules! deserialize_as_section {
    ($($section:ty),*) => {$(
        impl<'de> Deserialize<'de> for $section {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                yaml::deserialize_section(deserializer)
            }
        }
    )*};
}

deserialize_as_section!(File, GlobalConfig, ScrapeConfig);

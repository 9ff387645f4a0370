//! A configuration as it is told to whoever asks: in Prometheus' order, with its defaults, without
//! secrets.

mod client;
mod key;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub(crate) use self::client::CLIENT;
use self::key::told;
pub(crate) use self::key::{Key, Kind};
use super::{Config, Job, OPAQUE_KEYS, format_duration, parse_duration};
use crate::mechanism;
use crate::yaml::{Node, YamlError};

/// What there is to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The file itself, without its jobs, and with what is ignored left out.
    main: Vec<(String, Node)>,
    /// Which jobs stand in the file itself.
    own: Vec<String>,
    /// `global`, for the jobs.
    global: Node,
    /// All jobs.
    jobs: BTreeMap<String, Node>,
}

/// Keys of `global`, with the defaults that are filled in where some is written.
const GLOBAL: &[Key] = &[
    Key::new("scrape_interval", Kind::Duration),
    Key::new("scrape_timeout", Kind::Duration),
    Key::new("scrape_protocols", Kind::Texts).unless_empty(),
    Key::new("evaluation_interval", Kind::Duration).or("1m"),
    Key::new("rule_query_offset", Kind::Duration).unless_empty(),
    Key::new("query_log_file", Kind::Path).unless_empty(),
    Key::new("scrape_failure_log_file", Kind::Path).unless_empty(),
    Key::new("external_labels", Kind::Words).unless_empty(),
    Key::new("body_size_limit", Kind::Size).unless_empty(),
    Key::new("sample_limit", Kind::Number).unless_empty(),
    Key::new("target_limit", Kind::Number).unless_empty(),
    Key::new("label_limit", Kind::Number).unless_empty(),
    Key::new("label_name_length_limit", Kind::Number).unless_empty(),
    Key::new("label_value_length_limit", Kind::Number).unless_empty(),
    Key::new("keep_dropped_targets", Kind::Number).unless_empty(),
    Key::new("metric_name_validation_scheme", Kind::Text).or("utf8"),
    Key::new("metric_name_escaping_scheme", Kind::Text).unless_empty(),
    Key::new("scrape_native_histograms", Kind::Switch).or("false"),
    Key::new("convert_classic_histograms_to_nhcb", Kind::Switch).unless_empty(),
    Key::new("always_scrape_classic_histograms", Kind::Switch).unless_empty(),
    Key::new("extra_scrape_metrics", Kind::Switch).or("false"),
];

/// Keys of a job. What finds targets follows by name.
const JOB: &[Key] = &[
    Key::new("job_name", Kind::Text),
    Key::new("honor_labels", Kind::Switch).unless_empty(),
    Key::new("honor_timestamps", Kind::Switch).or("true"),
    Key::new("track_timestamps_staleness", Kind::Switch),
    Key::new("params", Kind::Lists).unless_empty(),
    Key::new("scrape_interval", Kind::Duration),
    Key::new("scrape_timeout", Kind::Duration),
    Key::new("scrape_protocols", Kind::Texts),
    Key::new("fallback_scrape_protocol", Kind::Text).unless_empty(),
    Key::new("scrape_native_histograms", Kind::Switch),
    Key::new("always_scrape_classic_histograms", Kind::Switch),
    Key::new("convert_classic_histograms_to_nhcb", Kind::Switch),
    Key::new("scrape_failure_log_file", Kind::Path).unless_empty(),
    Key::new("metrics_path", Kind::Text).or("/metrics").unless_empty(),
    Key::new("scheme", Kind::Text).or("http").unless_empty(),
    Key::new("enable_compression", Kind::Switch).or("true"),
    Key::new("body_size_limit", Kind::Size).unless_empty(),
    Key::new("sample_limit", Kind::Number).unless_empty(),
    Key::new("target_limit", Kind::Number).unless_empty(),
    Key::new("label_limit", Kind::Number).unless_empty(),
    Key::new("label_name_length_limit", Kind::Number).unless_empty(),
    Key::new("label_value_length_limit", Kind::Number).unless_empty(),
    Key::new("native_histogram_bucket_limit", Kind::Number).unless_empty(),
    Key::new("native_histogram_min_bucket_factor", Kind::Float).unless_empty(),
    Key::new("keep_dropped_targets", Kind::Number).unless_empty(),
    Key::new("metric_name_validation_scheme", Kind::Text),
    Key::new("metric_name_escaping_scheme", Kind::Text),
    Key::new("extra_scrape_metrics", Kind::Switch),
    CLIENT,
    Key::new("relabel_configs", Kind::Sections(RULE)).unless_empty(),
    Key::new("metric_relabel_configs", Kind::Sections(RULE)).unless_empty(),
];

const RULE: &[Key] = &[
    Key::new("source_labels", Kind::Line).unless_empty(),
    Key::new("separator", Kind::Text).or(";"),
    Key::new("regex", Kind::Text).if_given(),
    Key::new("modulus", Kind::Number).unless_empty(),
    Key::new("target_label", Kind::Text).unless_empty(),
    Key::new("replacement", Kind::Text).or("$1"),
    Key::new("action", Kind::Lower).or("replace").unless_empty(),
];

/// Keys of Sigyn's own whose values nobody may see.
const SECRETS: [&str; 5] = ["bearer_token", "credentials", "password", "secret_key", "token"];

/// What a job has from `global` where it does not say.
const INHERITED: &[&str] = &[
    "always_scrape_classic_histograms",
    "body_size_limit",
    "convert_classic_histograms_to_nhcb",
    "extra_scrape_metrics",
    "keep_dropped_targets",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "metric_name_validation_scheme",
    "sample_limit",
    "scrape_failure_log_file",
    "scrape_native_histograms",
    "target_limit",
];

const PROTOCOLS: [&str; 5] = [
    "PrometheusProto",
    "OpenMetricsText1.0.0",
    "OpenMetricsText0.0.1",
    "PrometheusText1.0.0",
    "PrometheusText0.0.4",
];

impl Shown {
    /// Tells of a file in `dir` and of its jobs, which have been checked. Files that it names follow by
    /// [`Shown::add`].
    pub(super) fn of(
        text: &str,
        (interval, timeout): (Duration, Duration),
        config: &Config,
        dir: &Path,
    ) -> Result<Self, YamlError> {
        let file = Node::read(text)?;
        let written = file.get("global").unwrap_or(&Node::Null);
        let mut entries = written.entries().to_vec();
        if *written == Node::Null {
            put(&mut entries, "metric_name_escaping_scheme", plain("allow-utf-8"));
        }
        put(&mut entries, "scrape_interval", plain(&format_duration(interval)));
        put(&mut entries, "scrape_timeout", plain(&format_duration(timeout)));
        // Nothing and no time are as good as not written.
        entries.retain(|(key, value)| match key.as_str() {
            "evaluation_interval" => !parse_duration(value.text()).is_ok_and(|d| d.is_zero()),
            "metric_name_validation_scheme" => !value.is_empty(),
            _ => true,
        });
        // Those without a value are shown, too.
        let labels = written.get("external_labels").map_or(&[][..], Node::entries).iter();
        let labels = labels.map(|(name, _)| {
            let value = config.external_labels.get(name).unwrap_or_default();
            (name.clone(), Node::Text(value.to_owned()))
        });
        put(&mut entries, "external_labels", Node::Map(labels.collect()));
        let global = Node::Map(entries);
        let mut shown = Self {
            main: vec![("global".to_owned(), Node::Map(told(GLOBAL, &global, dir)))],
            own: config.jobs.iter().map(|job| job.name.clone()).collect(),
            global,
            jobs: BTreeMap::new(),
        };
        shown.add_jobs(&file, config, dir);
        let files = Key::new("scrape_config_files", Kind::Paths).unless_empty();
        shown.main.extend(told(&[files], &file, dir));
        let further = file.entries().iter().filter(|(key, value)| {
            !["global", "scrape_configs", "scrape_config_files"].contains(&key.as_str())
                && !OPAQUE_KEYS.contains(&key.as_str())
                && !value.is_empty()
        });
        shown.main.extend(further.cloned().map(|(key, mut value)| {
            hide(&mut value);
            (key, value)
        }));
        Ok(shown)
    }

    /// Adds the jobs of a further file, which is in `dir`.
    pub(super) fn add(&mut self, text: &str, config: &Config, dir: &Path) -> Result<(), YamlError> {
        self.add_jobs(&Node::read(text)?, config, dir);
        Ok(())
    }

    fn add_jobs(&mut self, file: &Node, config: &Config, dir: &Path) {
        for node in file.get("scrape_configs").map_or(&[][..], Node::items) {
            let name = node.get("job_name").map_or("", Node::text);
            if let Some(job) = config.jobs.iter().find(|job| job.name == name) {
                self.jobs.insert(name.to_owned(), of_job(node, job, &self.global, dir));
            }
        }
    }

    /// The whole file.
    pub fn yaml(&self) -> String {
        let mut entries = self.main.clone();
        let own: Vec<Node> =
            self.own.iter().filter_map(|job| self.jobs.get(job)).cloned().collect();
        if !own.is_empty() {
            // Where Prometheus has them: before what only Sigyn knows.
            let at = entries.iter().position(|(key, _)| key == "sigyn").unwrap_or(entries.len());
            entries.insert(at, ("scrape_configs".to_owned(), Node::List(own)));
        }
        Node::Map(entries).to_string()
    }

    /// A job, whichever file it stands in.
    pub fn job(&self, name: &str) -> Option<String> {
        self.jobs.get(name).map(ToString::to_string)
    }
}

fn plain(text: &str) -> Node {
    Node::Plain(text.to_owned())
}

/// Puts a value in place of whatever stands behind the key.
fn put(entries: &mut Vec<(String, Node)>, key: &str, value: Node) {
    entries.retain(|(name, _)| name != key);
    entries.push((key.to_owned(), value));
}

/// A job with what it has from elsewhere, and from nobody.
fn of_job(written: &Node, job: &Job, global: &Node, dir: &Path) -> Node {
    let mut entries = written.entries().to_vec();
    put(&mut entries, "scrape_interval", plain(&format_duration(job.scrape_interval)));
    put(&mut entries, "scrape_timeout", plain(&format_duration(job.scrape_timeout)));
    if written.get("metric_name_escaping_scheme").is_none_or(Node::is_empty) {
        put(&mut entries, "metric_name_escaping_scheme", plain(escaping(written, global)));
    }
    for key in JOB.iter().filter(|key| INHERITED.contains(&key.name())) {
        if let Some(value) = global.get(key.name()).filter(|_| !key.is_said_in(written, dir)) {
            put(&mut entries, key.name(), value.clone());
        }
    }
    let mut effective = Node::Map(entries);
    if effective.get("metric_name_validation_scheme").is_none_or(Node::is_empty) {
        set(&mut effective, "metric_name_validation_scheme", plain("utf8"));
    }
    if written.get("scrape_protocols").is_none_or(|own| *own == Node::Null) {
        let with_histograms = effective.get("scrape_native_histograms");
        let skipped = usize::from(with_histograms.and_then(Node::boolean) != Some(true));
        let all = || Node::List(PROTOCOLS[skipped..].iter().map(|name| plain(name)).collect());
        let given = global.get("scrape_protocols").filter(|given| **given != Node::Null);
        set(&mut effective, "scrape_protocols", given.cloned().unwrap_or_else(all));
    }
    let mut shown = told(JOB, &effective, dir);
    let mut found: Vec<_> = written
        .entries()
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(key, value)| {
            let keys = mechanism::shown(key)?;
            Some((key.clone(), Kind::Sections(keys).of(value, dir)))
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    shown.extend(found);
    Node::Map(shown)
}

fn set(section: &mut Node, key: &str, value: Node) {
    if let Node::Map(entries) = section {
        put(entries, key, value);
    }
}

/// How names are escaped where a job does not say.
fn escaping<'a>(job: &Node, global: &'a Node) -> &'a str {
    let scheme =
        |section: &Node| section.get("metric_name_validation_scheme").map(|s| s.text() == "legacy");
    let given = |section: &'a Node| {
        section.get("metric_name_escaping_scheme").map(Node::text).filter(|text| !text.is_empty())
    };
    let own = job.get("metric_name_validation_scheme").filter(|own| !own.is_empty());
    let of_scheme = |is_legacy: Option<bool>| {
        if is_legacy == Some(true) { "underscores" } else { "allow-utf-8" }
    };
    match own {
        Some(_) => of_scheme(scheme(job)),
        None => given(global).unwrap_or_else(|| of_scheme(scheme(global))),
    }
}

/// Takes secrets out of what only Sigyn knows.
fn hide(node: &mut Node) {
    match node {
        Node::Map(entries) => {
            for (name, value) in entries {
                if SECRETS.contains(&name.as_str()) && !value.is_empty() {
                    *value = Node::Text("<secret>".to_owned());
                } else {
                    hide(value);
                }
            }
        }
        Node::List(items) => items.iter_mut().for_each(hide),
        Node::Text(text) => *text = key::without_password(text),
        Node::Null | Node::Plain(_) | Node::Flow(_) => {}
    }
}

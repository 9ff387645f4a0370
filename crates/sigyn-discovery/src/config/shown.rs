//! A configuration as it is told to whoever asks: in Prometheus' order, with its defaults, without
//! secrets.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Config, Job, OPAQUE_KEYS, format_duration, format_size};
use crate::relabel::Rule;
use crate::yaml::{Node, YamlError};

/// What there is to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The file itself, without its jobs, and with what is ignored left out.
    main: Vec<(String, Node)>,
    /// Which jobs stand in the file itself.
    own: Vec<String>,
    /// All jobs.
    jobs: BTreeMap<String, Node>,
}

/// Instead of a secret.
const HIDDEN: &str = "<secret>";

/// Keys of `global` in Prometheus' order, with the defaults that it fills in.
const GLOBAL: &[(&str, Option<&str>)] = &[
    ("scrape_interval", None),
    ("scrape_timeout", None),
    ("scrape_protocols", None),
    ("evaluation_interval", Some("1m")),
    ("rule_query_offset", None),
    ("query_log_file", None),
    ("scrape_failure_log_file", None),
    ("external_labels", None),
    ("body_size_limit", None),
    ("sample_limit", None),
    ("target_limit", None),
    ("label_limit", None),
    ("label_name_length_limit", None),
    ("label_value_length_limit", None),
    ("keep_dropped_targets", None),
    ("metric_name_validation_scheme", Some("utf8")),
    ("metric_name_escaping_scheme", None),
    ("scrape_native_histograms", Some("false")),
    ("convert_classic_histograms_to_nhcb", None),
    ("always_scrape_classic_histograms", None),
    ("extra_scrape_metrics", Some("false")),
];

/// Keys of a job in Prometheus' order, with the defaults that it fills in. What finds targets follows
/// by name.
const JOB: &[(&str, Option<&str>)] = &[
    ("job_name", None),
    ("honor_labels", None),
    ("honor_timestamps", Some("true")),
    ("track_timestamps_staleness", Some("false")),
    ("params", None),
    ("scrape_interval", None),
    ("scrape_timeout", None),
    ("scrape_protocols", None),
    ("fallback_scrape_protocol", None),
    ("scrape_native_histograms", None),
    ("always_scrape_classic_histograms", None),
    ("convert_classic_histograms_to_nhcb", None),
    ("scrape_failure_log_file", None),
    ("metrics_path", None),
    ("scheme", None),
    ("enable_compression", Some("true")),
    ("body_size_limit", None),
    ("sample_limit", None),
    ("target_limit", None),
    ("label_limit", None),
    ("label_name_length_limit", None),
    ("label_value_length_limit", None),
    ("native_histogram_bucket_limit", None),
    ("native_histogram_min_bucket_factor", None),
    ("keep_dropped_targets", None),
    ("metric_name_validation_scheme", None),
    ("metric_name_escaping_scheme", None),
    ("extra_scrape_metrics", None),
    ("basic_auth", None),
    ("authorization", None),
    ("oauth2", None),
    ("tls_config", None),
    ("follow_redirects", Some("true")),
    ("enable_http2", Some("true")),
    ("proxy_url", None),
    ("no_proxy", None),
    ("proxy_from_environment", None),
    ("proxy_connect_header", None),
    ("http_headers", None),
    ("relabel_configs", None),
    ("metric_relabel_configs", None),
];

/// Keys whose values nobody may see.
const SECRETS: [&str; 7] = [
    "bearer_token",
    "client_certificate_key",
    "client_secret",
    "credentials",
    "password",
    "secret_key",
    "token",
];

impl Shown {
    /// Tells of a file and of its jobs, which have been checked. Files that it names follow by
    /// [`Shown::add`].
    pub(super) fn of(
        text: &str,
        (interval, timeout): (Duration, Duration),
        config: &Config,
    ) -> Result<Self, YamlError> {
        let mut shown = Self::default();
        let file = Node::read(text)?;
        shown.own = config.jobs.iter().map(|job| job.name.clone()).collect();
        shown.add_jobs(&file, config);
        let entries = match file {
            Node::Map(entries) => entries,
            _ => Vec::new(),
        };
        let of_file = |key: &str| entries.iter().find(|(name, _)| name == key);
        let global = of_file("global").map_or(&Node::Null, |(_, global)| global);
        let labels = config.external_labels.iter();
        let labels = labels.map(|(name, value)| (name.to_owned(), Node::Text(value.to_owned())));
        let known = [
            ("scrape_interval", Node::Plain(format_duration(interval))),
            ("scrape_timeout", Node::Plain(format_duration(timeout))),
            ("external_labels", Node::Map(labels.collect())),
        ];
        shown.main.push(("global".to_owned(), with_defaults(global, GLOBAL, &known)));
        for (key, value) in &entries {
            let is_shown = !["global", "scrape_configs"].contains(&key.as_str())
                && !OPAQUE_KEYS.contains(&key.as_str())
                && !value.is_empty();
            if is_shown {
                shown.main.push((key.clone(), value.clone()));
            }
        }
        for (key, value) in &mut shown.main {
            hide(value, key);
        }
        Ok(shown)
    }

    /// Adds the jobs of a further file.
    pub(super) fn add(&mut self, text: &str, config: &Config) -> Result<(), YamlError> {
        self.add_jobs(&Node::read(text)?, config);
        Ok(())
    }

    fn add_jobs(&mut self, file: &Node, config: &Config) {
        let Some(Node::List(written)) = file.get("scrape_configs") else { return };
        for node in written {
            let name = match node.get("job_name") {
                Some(Node::Text(name) | Node::Plain(name)) => name,
                _ => continue,
            };
            if let Some(job) = config.jobs.iter().find(|job| job.name == *name) {
                self.jobs.insert(name.clone(), of_job(node, job));
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

/// A job with what it has from elsewhere, and from nobody.
fn of_job(written: &Node, job: &Job) -> Node {
    let plain = |text: &str| Node::Plain(text.to_owned());
    let number = |number: u64| match number {
        0 => Node::Null,
        number => Node::Plain(number.to_string()),
    };
    let size = match job.body_size_limit {
        0 => Node::Null,
        bytes => Node::Plain(format_size(bytes)),
    };
    let rules = job.relabel_configs.iter().map(of_rule).collect();
    let known = [
        ("job_name", Node::Text(job.name.clone())),
        ("scrape_interval", plain(&format_duration(job.scrape_interval))),
        ("scrape_timeout", plain(&format_duration(job.scrape_timeout))),
        ("metrics_path", Node::Text(job.metrics_path.clone())),
        ("scheme", Node::Text(job.scheme.clone())),
        ("body_size_limit", size),
        ("target_limit", number(job.target_limit)),
        ("keep_dropped_targets", number(job.keep_dropped_targets)),
        ("authorization", authorization(written)),
        ("relabel_configs", Node::List(rules)),
    ];
    let mut shown = with_defaults(written, JOB, &known);
    if let (Node::Map(shown), Node::Map(written)) = (&mut shown, written) {
        let mut found: Vec<_> = written
            .iter()
            .filter(|(key, value)| key.ends_with("_configs") && !value.is_empty())
            .filter(|(key, _)| !JOB.iter().any(|(known, _)| known == key))
            .cloned()
            .collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        shown.extend(found);
    }
    hide(&mut shown, "");
    sort(&mut shown, "");
    shown
}

/// `authorization`, which `bearer_token` is a short form of.
fn authorization(written: &Node) -> Node {
    let kind = |node: Option<&Node>| match node {
        Some(kind) if !kind.is_empty() => kind.clone(),
        _ => Node::Text("Bearer".to_owned()),
    };
    if let Some(Node::Map(entries)) = written.get("authorization") {
        let rest = entries.iter().filter(|(key, _)| key != "type").cloned();
        let first =
            ("type".to_owned(), kind(written.get("authorization").and_then(|a| a.get("type"))));
        return Node::Map(std::iter::once(first).chain(rest).collect());
    }
    for (key, name) in [("bearer_token", "credentials"), ("bearer_token_file", "credentials_file")]
    {
        if let Some(value) = written.get(key).filter(|value| !value.is_empty()) {
            let first = ("type".to_owned(), kind(None));
            return Node::Map(vec![first, (name.to_owned(), value.clone())]);
        }
    }
    Node::Null
}

/// A rule in Prometheus' order, with its defaults but for the regex.
fn of_rule(rule: &Rule) -> Node {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(rule) else {
        return Node::Null;
    };
    let node = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Node::Text(text.clone()),
        serde_json::Value::Array(items) => {
            Node::Flow(items.iter().filter_map(|item| item.as_str()).map(str::to_owned).collect())
        }
        other => Node::Plain(other.to_string()),
    };
    let order =
        ["source_labels", "separator", "regex", "modulus", "target_label", "replacement", "action"];
    let field = |key: &&str| Some(((*key).to_owned(), node(fields.get(*key)?)));
    Node::Map(
        order
            .iter()
            .filter_map(field)
            .filter(|(key, value)| key != "regex" || *value != Node::Text("(.*)".to_owned()))
            .collect(),
    )
}

/// The keys of a section in order: what is `known`, else what is `written`, else the default.
fn with_defaults(written: &Node, order: &[(&str, Option<&str>)], known: &[(&str, Node)]) -> Node {
    let value = |key: &str, default: Option<&str>| {
        let known = known.iter().find(|(name, _)| *name == key).map(|(_, value)| value);
        // An empty login is one, too.
        let is_told = |value: &&Node| {
            !value.is_empty() || (key == "basic_auth" && matches!(value, Node::Map(_)))
        };
        let value = known.or_else(|| written.get(key)).filter(is_told);
        value.cloned().or_else(|| default.map(|text| Node::Plain(text.to_owned())))
    };
    let entries =
        order.iter().filter_map(|(key, default)| Some(((*key).to_owned(), value(key, *default)?)));
    Node::Map(entries.collect())
}

/// Takes secrets out of what stands behind `key`.
fn hide(node: &mut Node, key: &str) {
    match node {
        // Names in these are the user's own.
        _ if ["external_labels", "labels", "params"].contains(&key) => {}
        Node::Map(entries) => {
            for (name, value) in entries {
                let is_secret = SECRETS.contains(&name.as_str())
                    || (key == "tls_config" && name == "key")
                    || name == "secrets"
                    || key == "proxy_connect_header";
                if is_secret {
                    cover(value);
                } else {
                    hide(value, name);
                }
            }
        }
        Node::List(items) => items.iter_mut().for_each(|item| hide(item, key)),
        Node::Text(text) => {
            if let Some(redacted) = redacted(text) {
                *text = redacted;
            }
        }
        Node::Null | Node::Plain(_) | Node::Flow(_) => {}
    }
}

/// Puts the names that are the user's own in order, where Prometheus keeps them in a map.
fn sort(node: &mut Node, key: &str) {
    match node {
        Node::Map(entries) => {
            if ["labels", "params", "endpoint_params", "node_meta", "http_headers"].contains(&key) {
                entries.sort_by(|one, other| one.0.cmp(&other.0));
            }
            entries.iter_mut().for_each(|(name, value)| sort(value, name));
        }
        Node::List(items) => items.iter_mut().for_each(|item| sort(item, key)),
        Node::Null | Node::Text(_) | Node::Plain(_) | Node::Flow(_) => {}
    }
}

/// Puts a lid on each value.
fn cover(node: &mut Node) {
    match node {
        Node::List(items) => items.iter_mut().for_each(cover),
        Node::Map(entries) => entries.iter_mut().for_each(|(_, value)| cover(value)),
        scalar if !scalar.is_empty() => *scalar = Node::Text(HIDDEN.to_owned()),
        _ => {}
    }
}

/// A URL without its password, if it has one.
fn redacted(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (user, host) = rest[..end].rsplit_once('@')?;
    let (user, _) = user.split_once(':')?;
    Some(format!("{scheme}://{user}:xxxxx@{host}{}", &rest[end..]))
}

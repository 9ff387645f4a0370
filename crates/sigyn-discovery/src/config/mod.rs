//! prometheus.yml's discovery part: read strictly, checked, and turned into [`Job`]s.
//!
//! [`load`] and [`parse`] do it all in one step. A program with keys of its own reads [`File`] (or
//! a section that hands on to it, see [`Section`](crate::yaml::Section)) and calls [`resolve`].

mod duration;
mod expand;
mod metrics_only;
mod raw;
mod shown;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::MapAccess;

pub use self::duration::{UnitError, format_duration, format_size, parse_duration, parse_size};
use self::metrics_only::{MetricsOnly, Names};
pub use self::raw::{File, GlobalConfig, Limits, OPAQUE_KEYS, Places, ScrapeConfig};
pub use self::shown::Shown;
pub(crate) use self::shown::{CLIENT, Key, Kind as Form};
use crate::group::TargetGroup;
use crate::http;
use crate::labels::{Labels, quoted};
use crate::mechanism::{self, file};
use crate::relabel::{NameScheme, Rule, RuleConfig};
use crate::yaml::{self, Entry, Item, Place, Section, Text, YamlError};

/// What the file says, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The jobs, in the order of the file.
    pub jobs: Vec<Job>,
    /// `global.external_labels`, variables expanded.
    pub external_labels: Labels,
    /// `scrape_failure_log_file` of `global`, for jobs that name none.
    failure_log_file: Option<PathBuf>,
    /// What was accepted but will not do what its author hopes, one sentence each.
    pub warnings: Vec<String>,
    /// What of it may be shown to whoever asks.
    pub shown: Shown,
}

/// A job: how to find its targets, and how to ask them.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// `job_name`, unique.
    pub name: String,
    /// How often to scrape a target, unless its label `__scrape_interval__` says otherwise.
    pub scrape_interval: Duration,
    /// How long a scrape may take, unless the label `__scrape_timeout__` says otherwise.
    pub scrape_timeout: Duration,
    /// `metrics_path`: where metrics are. It becomes the label `__metrics_path__` and no more.
    pub metrics_path: String,
    /// `scheme`: `http` or `https`.
    pub scheme: String,
    /// `params`: parameters of the URL.
    pub params: BTreeMap<String, Vec<String>>,
    /// Whether what a target says of itself goes before what is known of it.
    pub honor_labels: bool,
    /// Whether to ask for compressed answers.
    pub enable_compression: bool,
    /// How targets are asked: credentials, headers, redirects.
    pub http: http::Config,
    /// How many bytes an answer may have, decompressed. 0 is no limit.
    pub body_size_limit: u64,
    /// How many targets the job may have. 0 is no limit.
    pub target_limit: u64,
    /// How many dropped targets to remember. 0 is all.
    pub keep_dropped_targets: u64,
    /// `scrape_failure_log_file`: where failed scrapes are written to.
    pub failure_log_file: Option<PathBuf>,
    /// Applied to each discovered label set.
    pub relabel_configs: Vec<Rule>,
    /// Where targets come from.
    pub mechanisms: Vec<mechanism::Config>,
}

impl Job {
    /// A job with Prometheus' defaults that finds nothing.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            scrape_interval: DEFAULT_INTERVAL,
            scrape_timeout: DEFAULT_TIMEOUT,
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            params: BTreeMap::new(),
            honor_labels: false,
            enable_compression: true,
            http: http::Config::default(),
            body_size_limit: 0,
            target_limit: 0,
            keep_dropped_targets: 0,
            failure_log_file: None,
            relabel_configs: Vec::new(),
            mechanisms: Vec::new(),
        }
    }

    /// The groups of the job's `static_configs`.
    pub fn static_groups(&self) -> Vec<Arc<TargetGroup>> {
        let groups = self.mechanisms.iter().filter_map(|mechanism| match mechanism {
            mechanism::Config::Static(groups) => Some(groups),
            _ => None,
        });
        groups.flatten().cloned().collect()
    }
}

const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is wrong with a configuration, and where.
///
/// It prints as `prometheus.yml:3:5: job_name is empty`, without what is not known. Where only the
/// text was given, the file's name is the caller's to add ([`ConfigError::in_file`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, if it was read here.
    pub file: Option<PathBuf>,
    /// Line and column; `None` only for a file that cannot be read at all.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What else is wrong of which the reader can tell at once: keys that nobody knows.
    pub further: Vec<(Place, String)>,
}

impl ConfigError {
    pub(crate) fn at(place: Option<Place>, message: impl fmt::Display) -> Self {
        Self { file: None, place, message: message.to_string(), further: Vec::new() }
    }

    /// Names the file, unless one is named already.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file.get_or_insert_with(|| file.into());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.place) {
            (Some(file), Some(place)) => write!(f, "{}:{place}: {}", file.display(), self.message),
            (Some(file), None) => write!(f, "{}: {}", file.display(), self.message),
            (None, Some(place)) => {
                write!(f, "line {}: {} (column {})", place.line, self.message, place.column)
            }
            (None, None) => f.write_str(&self.message),
        }?;
        self.further.iter().try_for_each(|(place, message)| match &self.file {
            Some(file) => write!(f, "\n  {}:{place}: {message}", file.display()),
            None => write!(f, "\n  line {}: {message} (column {})", place.line, place.column),
        })
    }
}

impl std::error::Error for ConfigError {}

impl From<YamlError> for ConfigError {
    fn from(error: YamlError) -> Self {
        let place = Some(error.place());
        Self { file: None, place, message: error.message, further: error.further }
    }
}

/// Reads and checks a file. Paths in it are relative to its directory.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = read(path)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    parse(&text, dir).map_err(|error| error.in_file(path))
}

/// Reads and checks a text. Paths in it are relative to `dir`.
pub fn parse(text: &str, dir: &Path) -> Result<Config, ConfigError> {
    resolve(text, &yaml::section(text)?, dir)
}

/// Checks a file that was read, and reads and checks those it names in `scrape_config_files`.
pub fn resolve(text: &str, file: &File, dir: &Path) -> Result<Config, ConfigError> {
    let mut config = resolve_alone(file, dir)?;
    let defaults = Defaults::new(&file.global)?;
    let rhythm = (defaults.interval, defaults.timeout);
    // That something cannot be shown is no reason not to do it.
    config.shown = Shown::of(text, rhythm, &config, dir).unwrap_or_default();
    for pattern in file.scrape_config_files.iter().filter_map(|item| item.value.as_ref()) {
        for path in file::matches(&joined(dir, &pattern.0)) {
            include(&path, &file.global, &mut config).map_err(|error| error.in_file(&path))?;
        }
    }
    Ok(config)
}

/// The files that a text names and that are there, each once, in the order of their names, behind
/// the key that names them: `rule_files` or `scrape_config_files`. A text that cannot be understood
/// names none.
pub fn files_of(text: &str, dir: &Path) -> Vec<(&'static str, PathBuf)> {
    #[derive(Default)]
    struct Patterns(Vec<Text>, Vec<Text>);

    impl Section for Patterns {
        const NAME: &'static str = "config.plain";

        fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
            match entry.key() {
                "rule_files" => self.0 = entry.read()?,
                "scrape_config_files" => self.1 = entry.read()?,
                _ => entry.skip()?,
            }
            Ok(())
        }
    }

    let Patterns(rules, jobs) = yaml::section(text).unwrap_or_default();
    let named = [("rule_files", rules), ("scrape_config_files", jobs)];
    let files = named.iter().flat_map(|(key, patterns)| {
        let patterns = patterns.iter().filter(|pattern| file::is_pattern(&pattern.0));
        let files = patterns.flat_map(|pattern| file::matches(&joined(dir, &pattern.0)));
        files.map(|path| (*key, path))
    });
    files.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The same without a look at any other file.
pub fn resolve_alone(file: &File, dir: &Path) -> Result<Config, ConfigError> {
    let mut config = validate(&file.global, &file.scrape_configs, dir)?;
    let opaque = file.opaque.iter().filter_map(|item| Some((item.value.as_deref()?, item.place)));
    for (key, place) in opaque {
        config.warnings.push(format!("line {}: {key} is ignored by Sigyn", place.line));
    }
    for pattern in &file.scrape_config_files {
        let text = pattern.value.as_ref().map(|text| text.0.as_str()).unwrap_or_default();
        if !file::is_pattern(text) {
            let message = format!("invalid scrape config file path {}", quoted(text));
            return Err(ConfigError::at(Some(pattern.place), message));
        }
    }
    Ok(config)
}

/// Adds the jobs of a further file.
fn include(path: &Path, global: &GlobalConfig, config: &mut Config) -> Result<(), ConfigError> {
    let text = read(path)?;
    let file: raw::JobsFile = yaml::section(&text)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let warnings = config.add_jobs(&Defaults::new(global)?, &file.scrape_configs, dir)?;
    config
        .warnings
        .extend(warnings.into_iter().map(|warning| format!("{}: {warning}", path.display())));
    let mut shown = std::mem::take(&mut config.shown);
    let _ = shown.add(&text, config, dir);
    config.shown = shown;
    Ok(())
}

fn read(path: &Path) -> Result<String, ConfigError> {
    yaml::read_file(path).map_err(|error| {
        ConfigError::at(None, format!("cannot read the file: {error}")).in_file(path)
    })
}

/// Checks what was read. Relative paths in it are joined to `dir`.
pub fn validate(
    global: &GlobalConfig,
    scrape_configs: &[Item<ScrapeConfig>],
    dir: &Path,
) -> Result<Config, ConfigError> {
    let failure_log_file = path_of(dir, &global.failure_log_file);
    let mut config = Config { failure_log_file, ..Config::default() };
    let defaults = Defaults::new(global)?;
    let mut labels = global.external_labels.iter();
    if let Some((name, _)) = labels.find(|(name, _)| !defaults.names.is_valid(name)) {
        let message = format!("{} is not a valid label name", quoted(name));
        return Err(ConfigError::at(global.places.get("external_labels"), message));
    }
    config.external_labels = external_labels(global, &mut config.warnings);
    config.warnings.extend(global.places.ignored().map(|(key, place)| ignored(key, place)));
    let warnings = config.add_jobs(&defaults, scrape_configs, dir)?;
    config.warnings.extend(warnings);
    Ok(config)
}

impl Config {
    /// Adds the jobs of one file; returns warnings, one for each key that is ignored.
    fn add_jobs(
        &mut self,
        defaults: &Defaults<'_>,
        scrape_configs: &[Item<ScrapeConfig>],
        dir: &Path,
    ) -> Result<Vec<String>, ConfigError> {
        let mut names: HashSet<String> = self.jobs.iter().map(|job| job.name.clone()).collect();
        let mut ignored_keys: BTreeMap<&str, Place> = BTreeMap::new();
        for item in scrape_configs {
            let Some(raw) = &item.value else {
                return Err(ConfigError::at(
                    Some(item.place),
                    "empty or null scrape config section",
                ));
            };
            let mut job = defaults.job(raw, item.place, dir)?;
            let own_log = path_of(dir, &raw.failure_log_file);
            job.failure_log_file = own_log.or_else(|| self.failure_log_file.clone());
            if !names.insert(job.name.clone()) {
                let place = raw.places.get("job_name").or(Some(item.place));
                let message =
                    format!("found multiple scrape configs with job name {}", quoted(&job.name));
                return Err(ConfigError::at(place, message));
            }
            for (key, place) in raw.places.ignored() {
                ignored_keys.entry(key).or_insert(place);
            }
            self.jobs.push(job);
        }
        Ok(ignored_keys.into_iter().map(|(key, place)| ignored(key, place)).collect())
    }
}

fn ignored(key: &str, place: Place) -> String {
    format!("line {}: {key} is ignored by Sigyn: it concerns metrics only", place.line)
}

fn external_labels(global: &GlobalConfig, warnings: &mut Vec<String>) -> Labels {
    let place = global.places.get("external_labels").unwrap_or_default();
    let mut values = HashMap::new();
    let mut lookup = |name: &str| -> String {
        let value = values.entry(name.to_owned()).or_insert_with(|| {
            std::env::var(name).unwrap_or_else(|_unset| {
                warnings.push(format!(
                    "line {}: external_labels name the unset variable {name}",
                    place.line
                ));
                String::new()
            })
        });
        value.clone()
    };
    global
        .external_labels
        .iter()
        .map(|(name, value)| (name, expand::expand(value, &mut lookup)))
        .collect()
}

/// What `global` gives to each job.
struct Defaults<'a> {
    interval: Duration,
    timeout: Duration,
    limits: Limits,
    names: NameScheme,
    metrics: &'a MetricsOnly,
}

impl<'a> Defaults<'a> {
    fn new(global: &'a GlobalConfig) -> Result<Self, ConfigError> {
        let interval = or_default(global.scrape_interval, DEFAULT_INTERVAL);
        if global.scrape_timeout > interval {
            let place = global.places.get("scrape_timeout");
            return Err(ConfigError::at(
                place,
                "global scrape timeout greater than scrape interval",
            ));
        }
        global.metrics.check_global(&global.places)?;
        Ok(Self {
            interval,
            timeout: or_default(global.scrape_timeout, DEFAULT_TIMEOUT.min(interval)),
            limits: global.limits,
            names: name_scheme(&global.name_scheme, &global.places)?.unwrap_or_default(),
            metrics: &global.metrics,
        })
    }

    fn job(&self, raw: &ScrapeConfig, place: Place, dir: &Path) -> Result<Job, ConfigError> {
        if raw.job_name.is_empty() {
            return Err(ConfigError::at(
                raw.places.get("job_name").or(Some(place)),
                "job_name is empty",
            ));
        }
        let http = raw.client.validate(dir).map_err(|error| ConfigError::at(Some(place), error))?;
        let scrape_interval = or_default(raw.scrape_interval, self.interval);
        if raw.scrape_timeout > scrape_interval {
            let message = format!(
                "scrape timeout greater than scrape interval for scrape config with job name {}",
                quoted(&raw.job_name)
            );
            return Err(ConfigError::at(raw.places.get("scrape_timeout"), message));
        }
        let own = name_scheme(&raw.name_scheme, &raw.places)?;
        let both = Names { global: self.names, own };
        raw.metrics.check_job(self.metrics, &raw.job_name, both, &raw.places)?;
        let names = own.unwrap_or(self.names);
        Ok(Job {
            scrape_interval,
            scrape_timeout: or_default(raw.scrape_timeout, self.timeout.min(scrape_interval)),
            metrics_path: raw.metrics_path.clone().unwrap_or_else(|| "/metrics".to_owned()),
            scheme: raw.scheme.clone().unwrap_or_else(|| "http".to_owned()),
            params: raw.params.clone(),
            honor_labels: raw.honor_labels,
            enable_compression: raw.enable_compression.unwrap_or(true),
            http,
            body_size_limit: limit(raw.limits.body_size, self.limits.body_size),
            target_limit: limit(raw.limits.targets, self.limits.targets),
            keep_dropped_targets: limit(
                raw.limits.keep_dropped_targets,
                self.limits.keep_dropped_targets,
            ),
            relabel_configs: rules(&raw.relabel_configs, names)?,
            mechanisms: raw.sections.validate(raw.relabel_configs.is_empty(), dir)?,
            ..Job::new(raw.job_name.as_str())
        })
    }
}

fn path_of(dir: &Path, text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| joined(dir, text))
}

fn or_default(written: Duration, default: Duration) -> Duration {
    if written.is_zero() { default } else { written }
}

fn limit(written: u64, default: u64) -> u64 {
    if written == 0 { default } else { written }
}

fn name_scheme(text: &str, places: &Places) -> Result<Option<NameScheme>, ConfigError> {
    match text {
        "" => Ok(None),
        "utf8" => Ok(Some(NameScheme::Utf8)),
        "legacy" => Ok(Some(NameScheme::Legacy)),
        other => {
            let message = format!("unrecognized ValidationScheme: {}", quoted(other));
            Err(ConfigError::at(places.get("metric_name_validation_scheme"), message))
        }
    }
}

/// Checks and compiles the rules of a `relabel_configs`.
pub fn rules(written: &[Item<RuleConfig>], names: NameScheme) -> Result<Vec<Rule>, ConfigError> {
    rules_or(written, names, "empty or null target relabeling rule in scrape config")
}

/// The same; `null` is what is said of a rule that is not there.
fn rules_or(
    written: &[Item<RuleConfig>],
    names: NameScheme,
    null: &str,
) -> Result<Vec<Rule>, ConfigError> {
    let rule = |item: &Item<_>| {
        let missing = || ConfigError::at(Some(item.place), null);
        let rule = item.value.as_ref().ok_or_else(missing)?;
        Rule::with_names(rule, names).map_err(|error| ConfigError::at(Some(item.place), error))
    };
    written.iter().map(rule).collect()
}

/// A path of the file, seen from the file's directory, without `.` and `..` where that can be.
pub(crate) fn joined(dir: &Path, path: &str) -> PathBuf {
    if path.is_empty() {
        return PathBuf::new();
    }
    let mut clean = PathBuf::new();
    for component in dir.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(clean.components().next_back(), Some(Component::Normal(_))) =>
            {
                clean.pop();
            }
            Component::ParentDir if clean.has_root() => {}
            other => clean.push(other),
        }
    }
    clean
}

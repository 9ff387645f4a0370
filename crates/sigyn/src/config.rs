//! The configuration file: prometheus.yml's schema, and Sigyn's own settings under `sigyn:`.

mod jobs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::de::MapAccess;
use sigyn_discovery::config as prometheus;
pub(crate) use sigyn_discovery::config::parse_duration;
use sigyn_discovery::config::{ConfigError as Mistake, File, Job, format_duration, parse_size};
use sigyn_discovery::relabel::Regex;
use sigyn_discovery::yaml::{self, Entry, Section};
use sigyn_scrape::ScrapeJob;
use sigyn_store::{Durability, Memory};

use self::jobs::{JobSection, JobsSection};
use crate::checksum::{Checksum, checksum};
use crate::cli::ServeFlags;
use crate::environment::{Environment, Origins};
use crate::external_url::ExternalUrl;
use crate::memory;

/// Read from the working directory if it is there and no file is named.
const DEFAULT_FILE: &str = "sigyn.yml";
const DEFAULT_TRACES_PATH: &str = "/traces";
const DEFAULT_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const SYNC_INTERVAL_MIN: Duration = Duration::from_millis(1);
const SYNC_INTERVAL_MAX: Duration = Duration::from_secs(60);
const DEFAULT_PORT: u16 = 9411;
const DEFAULT_OTLP_GRPC_PORT: u16 = 4317;
const DEFAULT_OTLP_HTTP_PORT: u16 = 4318;
/// More often makes no sense: somebody may still be writing.
const AUTO_RELOAD_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// What Prometheus called `--config.auto-reload` at first.
const AUTO_RELOAD_FEATURE: &str = "auto-reload-config";

/// What the flags and Zipkin's variables say, checked. Needs a restart to change.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config_file: Option<PathBuf>,
    /// How often to look whether the configuration's files have changed, if at all.
    pub(crate) auto_reload: Option<Duration>,
    /// All flags by name, as they were given.
    pub(crate) flags: BTreeMap<&'static str, String>,
    pub(crate) listen: Vec<String>,
    pub(crate) otlp_grpc: Listen,
    pub(crate) otlp_http: Listen,
    pub(crate) jaeger_udp_compact: Option<String>,
    pub(crate) jaeger_udp_binary: Option<String>,
    pub(crate) max_connections: usize,
    /// TLS, users and the like.
    pub(crate) web_config_file: Option<PathBuf>,
    /// How long a client may take to begin a request.
    pub(crate) read_timeout: Duration,
    pub(crate) external_url: ExternalUrl,
    /// Starts and ends with a slash.
    pub(crate) route_prefix: String,
    /// What pages are called instead of Sigyn.
    pub(crate) page_title: Option<String>,
    /// A UI of Zipkin's to serve in place of our own.
    pub(crate) ui_dir: Option<PathBuf>,
    pub(crate) lifecycle: bool,
    pub(crate) admin_api: bool,
    /// Changes of targets that come within this time of others are taken together.
    pub(crate) sync_interval: Duration,
    pub(crate) long_polls_max: usize,
    pub(crate) storage_path: PathBuf,
    pub(crate) storage_memory: Option<u64>,
    pub(crate) retention_time: Option<Duration>,
    pub(crate) retention_errors: Option<Duration>,
    pub(crate) retention_bytes: Option<u64>,
    /// Zipkin's variables; a flag goes before one.
    pub(crate) environment: Environment,
}

/// Whether a door has an address of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Nowhere,
    /// Nobody asked for it: if the address is taken, the door is open on the main one all the same.
    Perhaps(String),
    At(String),
}

impl Listen {
    /// Where nobody said anything, it is beside the main address, unless doors of its kind are shut.
    fn or_beside(address: Option<String>, main: &str, port: u16, is_open: bool) -> Self {
        match address {
            None if is_open => {
                let host = main.rsplit_once(':').map_or(main, |(host, _)| host);
                Self::Perhaps(format!("{host}:{port}"))
            }
            None => Self::Nowhere,
            Some(address) if address.is_empty() => Self::Nowhere,
            Some(address) => Self::At(address),
        }
    }
}

/// What the file says, checked. Its jobs reload without a restart; `sigyn.storage` and
/// `sigyn.scraper_name` are read at start alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    jobs: Vec<Job>,
    /// What of it may be shown to whoever asks.
    pub(crate) shown: Arc<prometheus::Shown>,
    /// Of its files, from before they were read: what changes meanwhile is noticed the next time.
    pub(crate) checksum: Option<Checksum>,
    sigyn: SigynSection,
}

/// What is wrong with a configuration file, and where.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("parsing YAML file {}", path.display())]
    Invalid { path: PathBuf, source: Mistake },
}

impl Settings {
    pub(crate) fn from_flags(
        flags: ServeFlags,
        mut environment: Environment,
    ) -> anyhow::Result<Self> {
        let mut texts = flags.texts();
        let auto_reload = auto_reload(&flags)?;
        let read_timeout = duration("--web.read-timeout", &flags.read_timeout)?;
        anyhow::ensure!(!read_timeout.is_zero(), "--web.read-timeout is zero");
        let sync_interval =
            duration("--scrape.discovery-reload-interval", &flags.discovery_reload_interval)?;
        let url = flags.external_url.as_str();
        let external_url =
            ExternalUrl::parse(url).with_context(|| format!("--web.external-url={url}"))?;
        if let Some(pattern) = &flags.cors_origin {
            let regex = Regex::new(pattern);
            let regex = regex.with_context(|| format!("--web.cors.origin={pattern}"))?;
            environment.allowed_origins = match pattern.as_str() {
                ".*" => Origins::Any,
                _ => Origins::Like(regex),
            };
        }
        // Whoever says where it is reached says under which path it is, unless a proxy takes that away.
        let route_prefix = match &flags.route_prefix {
            Some(prefix) => route_prefix(prefix),
            None => external_url.path.clone().unwrap_or_else(|| "/".to_owned()),
        };
        texts.insert("web.route-prefix", route_prefix.clone());
        let config_file = flags.config_file.or_else(|| {
            let default = PathBuf::from(DEFAULT_FILE);
            default.exists().then_some(default)
        });
        let retention_time = flags.retention_time.as_deref().map(|text| {
            parse_duration(text).with_context(|| format!("--storage.retention.time={text}"))
        });
        let retention_errors = flags.retention_errors.as_deref().map(|text| {
            parse_duration(text).with_context(|| format!("--storage.retention.errors={text}"))
        });
        let retention_bytes = flags.retention_size.as_deref().map(|text| {
            parse_size(text).with_context(|| format!("--storage.retention.size={text}"))
        });
        let memory = flags
            .storage_memory
            .as_deref()
            .map(|text| parse_size(text).with_context(|| format!("--storage.memory={text}")));
        let listen = listen_addresses(flags.listen, environment.query_port);
        let main = listen.first().map_or("", String::as_str);
        // What these two are by default depends on more than the flags.
        let file = config_file.as_deref().map(|file| file.display().to_string());
        texts.insert("config.file", file.unwrap_or_default());
        texts.insert("web.listen-address", listen.join(","));
        let otlp_grpc = Listen::or_beside(
            flags.otlp_grpc_listen,
            main,
            DEFAULT_OTLP_GRPC_PORT,
            environment.collector_grpc,
        );
        let otlp_http = Listen::or_beside(
            flags.otlp_http_listen,
            main,
            DEFAULT_OTLP_HTTP_PORT,
            environment.collector_http,
        );
        Ok(Self {
            config_file,
            auto_reload,
            flags: texts,
            listen,
            otlp_grpc,
            otlp_http,
            jaeger_udp_compact: Some(flags.jaeger_udp_compact_listen).filter(|a| !a.is_empty()),
            jaeger_udp_binary: Some(flags.jaeger_udp_binary_listen).filter(|a| !a.is_empty()),
            max_connections: usize::try_from(flags.max_connections)?,
            web_config_file: flags.web_config_file.filter(|file| !file.as_os_str().is_empty()),
            read_timeout,
            external_url,
            route_prefix,
            page_title: Some(flags.page_title).filter(|title| !title.is_empty()),
            ui_dir: flags.ui_dir,
            lifecycle: flags.enable_lifecycle,
            admin_api: flags.enable_admin_api,
            sync_interval,
            long_polls_max: usize::try_from(flags.long_polls_max)?,
            storage_path: flags.storage_path,
            storage_memory: memory.transpose()?,
            retention_time: retention_time.transpose()?,
            retention_errors: retention_errors.transpose()?,
            retention_bytes: retention_bytes.transpose()?,
            environment,
        })
    }

    /// The path under which a browser sees everything. Starts and ends with a slash.
    pub(crate) fn outside_path(&self) -> String {
        self.external_url.path.clone().unwrap_or_else(|| self.route_prefix.clone())
    }

    /// Where a browser sees Zipkin's UI, if that is not `/zipkin`.
    pub(crate) fn ui_base_path(&self) -> Option<String> {
        let outside = self.outside_path();
        let prefix = outside.trim_end_matches('/');
        let under_prefix = (!prefix.is_empty()).then(|| format!("{prefix}/zipkin"));
        self.environment.ui.base_path.clone().or(under_prefix)
    }

    /// Where a browser sees our own UI, which has pages beside `/zipkin`. Ends with a slash.
    pub(crate) fn ui_base(&self) -> String {
        let above = self.environment.ui.base_path.as_deref();
        let above =
            above.and_then(|path| path.strip_suffix("/zipkin")).map(|path| format!("{path}/"));
        above.unwrap_or_else(|| self.outside_path())
    }

    /// A base path that our own UI cannot follow.
    pub(crate) fn unusable_base_path(&self) -> Option<&str> {
        let path = self.environment.ui.base_path.as_deref();
        path.filter(|path| !path.ends_with("/zipkin"))
    }

    /// How the store is opened. A flag goes before the file.
    pub(crate) fn store_options(&self, config: &Config) -> sigyn_store::Options {
        let storage = &config.sigyn.storage;
        let time = self.retention_time.or(storage.retention_time).unwrap_or(DEFAULT_RETENTION);
        let bytes = self.retention_bytes.or(storage.retention_bytes);
        let mut options = sigyn_store::Options::new(&self.storage_path);
        options.durability = storage.durability;
        let there_is = memory::there_is();
        if let Some(warning) = odd_memory("--storage.memory", self.storage_memory, there_is) {
            tracing::warn!("{warning}");
        }
        options.memory = given_memory(self.storage_memory.or(storage.memory), there_is);
        options.seal_after =
            storage.seal_after.filter(|t| !t.is_zero()).unwrap_or(options.seal_after);
        options.merge_window =
            storage.merge_window.filter(|t| !t.is_zero()).unwrap_or(options.merge_window);
        options.retention_time = Some(time).filter(|time| !time.is_zero());
        let errors = self.retention_errors.or(storage.retention_errors);
        options.retention_errors = errors.filter(|errors| !errors.is_zero());
        options.retention_bytes = bytes.filter(|bytes| *bytes > 0);
        options
    }
}

/// How often to look for changes, if at all.
fn auto_reload(flags: &ServeFlags) -> anyhow::Result<Option<Duration>> {
    const FLAG: &str = "--config.auto-reload-interval";
    let every = duration(FLAG, &flags.auto_reload_interval)?;
    anyhow::ensure!(every >= AUTO_RELOAD_INTERVAL_MIN, "{FLAG} is less than 1s");
    let features = flags.features.iter().flat_map(|list| list.split(','));
    let mut is_wanted = flags.auto_reload;
    for feature in features.filter(|feature| !feature.is_empty()) {
        match feature {
            AUTO_RELOAD_FEATURE => is_wanted = true,
            feature => tracing::warn!(feature, "--enable-feature: there is no such choice here"),
        }
    }
    Ok(is_wanted.then_some(every))
}

fn duration(flag: &str, text: &str) -> anyhow::Result<Duration> {
    parse_duration(text).with_context(|| format!("{flag}={text}"))
}

/// The flag, else Zipkin's `QUERY_PORT`, else all interfaces at 9411.
fn listen_addresses(flags: Vec<String>, query_port: Option<u16>) -> Vec<String> {
    if flags.is_empty() {
        vec![format!("0.0.0.0:{}", query_port.unwrap_or(DEFAULT_PORT))]
    } else {
        flags
    }
}

fn route_prefix(text: &str) -> String {
    match text.trim_matches('/') {
        "" => "/".to_owned(),
        path => format!("/{path}/"),
    }
}

/// The memory that a setting asks for, as far as it is there. Nothing and 0 are the default.
fn given_memory(bytes: Option<u64>, there_is: Option<u64>) -> Memory {
    let bytes = bytes.filter(|bytes| *bytes > 0).unwrap_or_else(memory::default_bytes);
    Memory::within(bytes.min(there_is.unwrap_or(u64::MAX)))
}

/// What is said of a setting that asks for less memory than there has to be, or for more than there is.
/// Nothing and 0 are the default.
fn odd_memory(name: &str, bytes: Option<u64>, there_is: Option<u64>) -> Option<String> {
    let bytes = bytes.filter(|bytes| *bytes > 0)?;
    if bytes < Memory::BYTES_MIN {
        let min = Memory::BYTES_MIN >> 20;
        return Some(format!(
            "{name} is {bytes} bytes, which is too little: it is taken as {min} MiB"
        ));
    }
    let there_is = there_is.filter(|there_is| bytes > *there_is)? >> 20;
    Some(format!(
        "{name} is {bytes} bytes, and there are {there_is} MiB: it is taken as that, and this process may be \
         ended before it has as much"
    ))
}

/// How long after it is acknowledged a span is on the disk, at most.
fn sync_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    if (SYNC_INTERVAL_MIN..=SYNC_INTERVAL_MAX).contains(&interval) {
        return Ok(interval);
    }
    let [min, max] = [SYNC_INTERVAL_MIN, SYNC_INTERVAL_MAX].map(format_duration);
    Err(format!(
        "interval:{text} is not between {min} and {max}: fsync waits for the disk, os leaves it to the system"
    ))
}

/// As `storage.durability` says it in the file.
pub(crate) fn durability_text(durability: Durability) -> String {
    match durability {
        Durability::Fsync => "fsync".to_owned(),
        Durability::Interval(interval) => format!("interval:{}", format_duration(interval)),
        Durability::Os => "os".to_owned(),
    }
}

impl Config {
    /// Reads and checks a file; without one, the empty configuration. Warnings go to the log.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let checksum = Some(checksum(path));
        let (config, warnings) = Self::read(path)?;
        for warning in warnings {
            tracing::warn!(file = %path.display(), "{warning}");
        }
        Ok(Self { checksum, ..config })
    }

    /// The same, with the warnings as data.
    pub(crate) fn read(path: &Path) -> Result<(Self, Vec<String>), ConfigError> {
        Self::read_as(path, Self::parse)
    }

    /// The same without a look at any other file: jobs that are in one are not there.
    pub(crate) fn read_alone(path: &Path) -> Result<(Self, Vec<String>), ConfigError> {
        Self::read_as(path, Self::parse_alone)
    }

    fn read_as(
        path: &Path,
        parse: impl FnOnce(&str, &Path) -> Result<(Self, Vec<String>), Mistake>,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let text = yaml::read_file(path).map_err(read)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let invalid = |source| ConfigError::Invalid { path: path.to_owned(), source };
        parse(&text, dir).map_err(invalid)
    }

    fn parse(text: &str, dir: &Path) -> Result<(Self, Vec<String>), Mistake> {
        let file: WholeFile = yaml::section(text)?;
        let validated = prometheus::resolve(text, &file.prometheus, dir)?;
        Self::checked(validated, file.sigyn, true)
    }

    fn parse_alone(text: &str, dir: &Path) -> Result<(Self, Vec<String>), Mistake> {
        let file: WholeFile = yaml::section(text)?;
        let validated = prometheus::resolve_alone(&file.prometheus, dir)?;
        let has_all_jobs = file.prometheus.scrape_config_files.is_empty();
        Self::checked(validated, file.sigyn, has_all_jobs)
    }

    fn checked(
        validated: prometheus::Config,
        sigyn: SigynSection,
        has_all_jobs: bool,
    ) -> Result<(Self, Vec<String>), Mistake> {
        let known = |name: &str| !has_all_jobs || validated.jobs.iter().any(|job| job.name == name);
        if let Some((name, settings)) = sigyn.jobs.iter().find(|(name, _)| !known(name)) {
            let message =
                format!("sigyn.jobs names {name:?}, which is no job_name of scrape_configs");
            return Err(Mistake {
                file: None,
                place: Some(settings.place),
                message,
                further: Vec::new(),
            });
        }
        let mut warnings = validated.warnings;
        let (memory, there_is) = (sigyn.storage.memory, memory::there_is());
        warnings.extend(odd_memory("storage.memory", memory, there_is));
        let shown = Arc::new(validated.shown);
        Ok((Self { jobs: validated.jobs, shown, checksum: None, sigyn }, warnings))
    }

    pub(crate) fn discovery_jobs(&self) -> Vec<Job> {
        self.jobs.clone()
    }

    pub(crate) fn scrape_jobs(&self) -> Vec<ScrapeJob> {
        let nothing = JobSection::default();
        let scrape_job = |job: &Job| {
            let own = self.sigyn.jobs.get(&job.name).unwrap_or(&nothing);
            let path = match own.traces_path.as_str() {
                "" => DEFAULT_TRACES_PATH,
                path => path,
            };
            let plain = ScrapeJob::new(job.clone(), path);
            ScrapeJob {
                long_poll: own.long_poll,
                early_pulls: own.early_pulls.unwrap_or(plain.early_pulls),
                span_budget: own.span_budget,
                sampling: own.sampling.clone(),
                ..plain
            }
        };
        self.jobs.iter().map(scrape_job).collect()
    }

    /// `instance` is the random number that is kept with the data: two tracers never share a name.
    pub(crate) fn scrape_options(&self, instance: u64, memory: &Memory) -> sigyn_scrape::Options {
        let name = match self.sigyn.scraper_name.as_str() {
            "" => format!("sigyn-{instance:016x}"),
            name => name.to_owned(),
        };
        sigyn_scrape::Options {
            scraper_name: name,
            seed: instance,
            memory_bytes_max: memory.scraped,
            memory_setting: "--storage.memory",
            ..sigyn_scrape::Options::default()
        }
    }
}

/// The file as written.
#[derive(Debug, Default)]
struct WholeFile {
    prometheus: File,
    sigyn: SigynSection,
}

impl Section for WholeFile {
    const NAME: &'static str = "config.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "sigyn" => self.sigyn = entry.section()?,
            _ => self.prometheus.field(entry)?,
        }
        Ok(())
    }
}

/// Everything that Prometheus does not know.
#[derive(Clone, Debug, Default)]
struct SigynSection {
    scraper_name: String,
    storage: StorageSection,
    jobs: BTreeMap<String, JobSection>,
}

impl Section for SigynSection {
    const NAME: &'static str = "sigyn.Config";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "scraper_name" => self.scraper_name = entry.parsed(scraper_name)?.unwrap_or_default(),
            "storage" => self.storage = entry.section()?,
            "jobs" => self.jobs = entry.section::<JobsSection>()?.0,
            _ => entry.unknown()?,
        }
        Ok(())
    }
}

/// A name travels in a header of every scrape, so it is short and plain.
fn scraper_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.len() <= 128 && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("scraper_name {text:?} must be at most 128 letters, digits, '-', '_' or '.'"))
    }
}

#[derive(Clone, Debug, Default)]
struct StorageSection {
    durability: Durability,
    memory: Option<u64>,
    /// How long spans stay in memory, and in the log, before they are sealed into a block.
    seal_after: Option<Duration>,
    /// Blocks that arrived in one stretch of so much time become one.
    merge_window: Option<Duration>,
    retention_time: Option<Duration>,
    retention_errors: Option<Duration>,
    retention_bytes: Option<u64>,
}

impl Section for StorageSection {
    const NAME: &'static str = "sigyn.Storage";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "durability" => {
                let read = |text: &str| match text {
                    "fsync" => Ok(Durability::Fsync),
                    "os" => Ok(Durability::Os),
                    other => match other.strip_prefix("interval:") {
                        Some(interval) => sync_interval(interval).map(Durability::Interval),
                        None => Err(format!(
                            "unknown durability {other:?}: expected fsync, interval:100ms or os"
                        )),
                    },
                };
                self.durability = entry.parsed(read)?.unwrap_or_default();
            }
            "memory" => self.memory = entry.parsed(parse_size)?,
            "merge_window" => self.merge_window = entry.parsed(parse_duration)?,
            "seal_after" => self.seal_after = entry.parsed(parse_duration)?,
            "retention" => {
                let retention: RetentionSection = entry.section()?;
                self.retention_time = retention.time;
                self.retention_errors = retention.errors;
                self.retention_bytes = retention.size;
            }
            _ => entry.unknown()?,
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
struct RetentionSection {
    time: Option<Duration>,
    errors: Option<Duration>,
    size: Option<u64>,
}

impl Section for RetentionSection {
    const NAME: &'static str = "sigyn.Retention";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "time" => self.time = entry.parsed(parse_duration)?,
            "errors" => self.errors = entry.parsed(parse_duration)?,
            "size" => self.size = entry.parsed(parse_size)?,
            _ => entry.unknown()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_told_in_the_words_of_the_file() {
        for words in ["fsync", "os", "interval:1ms", "interval:100ms", "interval:1m"] {
            let text = format!("sigyn:\n  storage:\n    durability: {words}\n");
            let (config, warnings) = Config::parse(&text, Path::new(".")).unwrap();
            assert_eq!(durability_text(config.sigyn.storage.durability), words);
            assert_eq!(warnings, Vec::<String>::new());
        }
    }

    #[test]
    fn intervals_that_nobody_means_are_refused() {
        for interval in ["0", "0s", "1h", "61s", "soon"] {
            let text = format!("sigyn:\n  storage:\n    durability: interval:{interval}\n");
            Config::parse(&text, Path::new(".")).unwrap_err();
        }
    }

    #[test]
    fn more_memory_than_there_is_is_warned_of_and_not_given() {
        let warning = |bytes, there_is| odd_memory("storage.memory", Some(bytes), there_is);
        let given = |bytes, there_is| given_memory(Some(bytes), there_is).bytes;
        assert_eq!(
            (warning(2 << 30, Some(2 << 30)), given(2 << 30, Some(2 << 30))),
            (None, 2 << 30)
        );
        assert_eq!((warning(2 << 40, None), given(2 << 40, None)), (None, 2 << 40));
        let expected = "storage.memory is 2147483649 bytes, and there are 2048 MiB: it is taken as that, and \
            this process may be ended before it has as much";
        assert_eq!(warning((2 << 30) + 1, Some(2 << 30)).as_deref(), Some(expected));
        let most = parse_size("99999EB").unwrap();
        assert_eq!(given(most, Some(2 << 30)), 2 << 30);
        assert_eq!(given(0, Some(128 << 20)), memory::default_bytes().min(128 << 20));
    }

    #[test]
    fn too_little_memory_is_warned_of() {
        let check = |size: &str, expected: &[&str]| {
            let text = format!("sigyn:\n  storage:\n    memory: {size}\n");
            let (_, warnings) = Config::parse(&text, Path::new(".")).unwrap();
            assert_eq!(warnings, expected, "{size}");
        };
        check("96MB", &[]);
        check("0", &[]);
        let warning =
            "storage.memory is 99614720 bytes, which is too little: it is taken as 96 MiB";
        check("95MB", &[warning]);
    }

    #[test]
    fn otlp_is_taken_beside_the_main_address() {
        let check = |address: Option<&str>, main: &str, is_open: bool, expected: Listen| {
            let listen = Listen::or_beside(address.map(str::to_owned), main, 4317, is_open);
            assert_eq!(listen, expected, "{address:?} beside {main}");
        };
        let perhaps = |address: &str| Listen::Perhaps(address.to_owned());
        let at = |address: &str| Listen::At(address.to_owned());
        check(None, "0.0.0.0:9411", true, perhaps("0.0.0.0:4317"));
        check(None, "127.0.0.1:9411", true, perhaps("127.0.0.1:4317"));
        check(None, "[::1]:9411", true, perhaps("[::1]:4317"));
        check(None, ":9411", true, perhaps(":4317"));
        check(None, "127.0.0.1:9411", false, Listen::Nowhere);
        check(Some(""), "127.0.0.1:9411", true, Listen::Nowhere);
        check(Some("127.0.0.2:1"), "127.0.0.1:9411", true, at("127.0.0.2:1"));
        check(Some("127.0.0.2:1"), "127.0.0.1:9411", false, at("127.0.0.2:1"));
    }
}

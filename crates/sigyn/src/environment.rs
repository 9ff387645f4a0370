//! Zipkin's environment variables: the one place that reads them.
//!
//! An operator who replaces a Zipkin server keeps its variables. Those that make sense here work as
//! they did. Those that would bring spans from elsewhere, or keep them elsewhere, stop the start with
//! a sentence that says what to do instead: to ignore them would be to lose spans.

use std::collections::BTreeMap;
use std::time::Duration;

use sigyn_discovery::relabel::Regex;

/// What the variables say, checked. Needs a restart to change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Environment {
    /// `QUERY_PORT`; a flag goes before it.
    pub(crate) query_port: Option<u16>,
    pub(crate) query_enabled: bool,
    pub(crate) ui_enabled: bool,
    pub(crate) search_enabled: bool,
    /// `None`: a query may take as long as it likes.
    pub(crate) query_timeout: Option<Duration>,
    pub(crate) query_lookback: Duration,
    /// How long clients may keep lists of names; zero means not at all.
    pub(crate) names_max_age: Duration,
    pub(crate) allowed_origins: Origins,
    pub(crate) strict_trace_id: bool,
    /// Sorted, each once.
    pub(crate) autocomplete_keys: Vec<String>,
    /// Share of traces that is kept, from 0 to 1.
    pub(crate) sample_rate: f32,
    pub(crate) collector_http: bool,
    pub(crate) collector_grpc: bool,
    pub(crate) ui: UiSettings,
    /// One line for each variable that is set and has no effect, or another one than in Zipkin, or that
    /// makes spans or answers fewer.
    pub(crate) notes: Vec<String>,
}

/// Which pages of other servers may ask this one from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origins {
    Any,
    These(Vec<String>),
    /// `--web.cors.origin`.
    Like(Regex),
}

/// `ZIPKIN_UI_*`: what Zipkin's web UI is told in its `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UiSettings {
    pub(crate) environment: String,
    pub(crate) query_limit: u32,
    pub(crate) default_lookback_ms: u64,
    pub(crate) search_enabled: bool,
    pub(crate) logs_url: Option<String>,
    pub(crate) support_url: Option<String>,
    pub(crate) archive_post_url: Option<String>,
    pub(crate) archive_url: Option<String>,
    pub(crate) dependency_enabled: bool,
    pub(crate) low_error_rate: f64,
    pub(crate) high_error_rate: f64,
    /// Where a proxy serves the UI, such as `/admin/zipkin`, without a slash at the end.
    pub(crate) base_path: Option<String>,
}

/// Why the program does not start with these variables.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvironmentError {
    #[error("{name}={value} is {problem}")]
    Invalid { name: String, value: String, problem: &'static str },
    /// Without the value: it may hold a password.
    #[error("{name} is set: {advice}")]
    Unsupported { name: &'static str, advice: &'static str },
    #[error("STORAGE_TYPE={0}: spans are kept by sigyn itself, in --storage.path; {IMPORT}")]
    ForeignStorage(String),
}

/// Zipkin's default for `QUERY_LOOKBACK`.
const QUERY_LOOKBACK: Duration = Duration::from_secs(24 * 60 * 60);

const IMPORT: &str = "unset the variable, and bring what another Zipkin holds with `sigyn import --from http://HOST:9411`";

/// Doors that are none here: the variable that opens one, the one that shuts it all the same, and
/// what to do.
const QUEUES: [(&str, &str, &str); 5] = [
    ("KAFKA_BOOTSTRAP_SERVERS", "COLLECTOR_KAFKA_ENABLED", QUEUE),
    ("RABBIT_ADDRESSES", "COLLECTOR_RABBITMQ_ENABLED", QUEUE),
    ("RABBIT_URI", "COLLECTOR_RABBITMQ_ENABLED", QUEUE),
    ("ACTIVEMQ_URL", "COLLECTOR_ACTIVEMQ_ENABLED", QUEUE),
    ("PULSAR_SERVICE_URL", "COLLECTOR_PULSAR_ENABLED", QUEUE),
];
const QUEUE: &str = "spans are not read from queues; let their senders post to /api/v2/spans, or be scraped, and unset the variable";
const SCRIBE: &str = "spans are not taken over Scribe; let their senders post to /api/v1/spans, and unset the variable";
const EUREKA: &str = "this server does not register itself with Eureka; give its address to the senders, and unset the variable";

/// Variables of Zipkin's server that have nothing to act on here: whole names, or with a star the
/// beginning of one.
const UNUSED: [&str; 15] = [
    "AUTOCOMPLETE_TTL",
    "JAVA_OPTS",
    "QUERY_NAMES_MAX_AGE",
    "SELF_TRACING_*",
    "STORAGE_THROTTLE_*",
    "CASSANDRA_*",
    "ES_*",
    "MYSQL_*",
    "KAFKA_*",
    "RABBIT_*",
    "ACTIVEMQ_*",
    "PULSAR_*",
    "SCRIBE_*",
    "EUREKA_*",
    "ZIPKIN_*",
];

impl Environment {
    /// Reads the variables of this process.
    pub(crate) fn of_process() -> Result<Self, EnvironmentError> {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        Self::read(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    /// Reads variables. One that is set to nothing counts as not set.
    pub(crate) fn read(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, EnvironmentError> {
        let trimmed = variables.into_iter().map(|(name, value)| (name, value.trim().to_owned()));
        let set = trimmed.filter(|(_, value)| !value.is_empty()).collect();
        let mut variables = Variables { set, read: Vec::new() };
        refuse_foreign(&mut variables)?;
        let mut notes = Vec::new();
        if let Some(type_) = variables.text("STORAGE_TYPE") {
            if !type_.eq_ignore_ascii_case("mem") {
                return Err(EnvironmentError::ForeignStorage(type_));
            }
            notes.push("STORAGE_TYPE=mem: spans are kept on disk all the same, in --storage.path, and are there after a restart".to_owned());
        }
        if variables.text("MEM_MAX_SPANS").is_some() {
            notes.push("MEM_MAX_SPANS is not used: --storage.retention.time and --storage.retention.size say how much is kept".to_owned());
        }
        // A service named "collector" gives it another form in Kubernetes.
        if variables.text("COLLECTOR_PORT").is_some_and(|port| port.parse::<u16>().is_ok()) {
            notes.push(
                "COLLECTOR_PORT is set and not used: spans are not taken over Scribe".to_owned(),
            );
        }
        let query_enabled = variables.flag(&["QUERY_ENABLED"], true)?;
        let search_enabled = variables.flag(&["SEARCH_ENABLED"], true)?;
        let mut environment = Self {
            query_port: variables.parsed("QUERY_PORT", "no port", |text| text.parse().ok())?,
            query_enabled,
            ui_enabled: variables.flag(&["UI_ENABLED"], query_enabled)?,
            search_enabled,
            query_timeout: variables
                .parsed("QUERY_TIMEOUT", "no duration such as 11s, 500ms or PT11S", duration)?
                .map_or(Some(Duration::from_secs(11)), |timeout| {
                    Some(timeout).filter(|timeout| !timeout.is_zero())
                }),
            query_lookback: variables
                .parsed("QUERY_LOOKBACK", "no number of milliseconds above zero", |text| {
                    text.parse().ok().filter(|ms| *ms > 0).map(Duration::from_millis)
                })?
                .unwrap_or(QUERY_LOOKBACK),
            names_max_age: variables
                .parsed("ZIPKIN_QUERY_NAMES_MAX_AGE", "no number of seconds", |text| {
                    text.parse().ok().map(Duration::from_secs)
                })?
                .unwrap_or(Duration::from_secs(300)),
            allowed_origins: origins(&variables.list("ZIPKIN_QUERY_ALLOWED_ORIGINS")),
            strict_trace_id: variables.flag(&["STRICT_TRACE_ID"], true)?,
            autocomplete_keys: variables.list("AUTOCOMPLETE_KEYS"),
            sample_rate: variables
                .parsed("COLLECTOR_SAMPLE_RATE", "no share from 0 to 1", |text| {
                    text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate))
                })?
                .unwrap_or(1.0),
            collector_http: variables
                .flag(&["COLLECTOR_HTTP_ENABLED", "HTTP_COLLECTOR_ENABLED"], true)?,
            collector_grpc: variables.flag(&["COLLECTOR_GRPC_ENABLED"], true)?,
            ui: UiSettings::read(&mut variables, search_enabled)?,
            notes,
        };
        environment.autocomplete_keys.sort_unstable();
        environment.autocomplete_keys.dedup();
        environment.notes.extend(environment.restrictions());
        environment.notes.extend(variables.unused());
        Ok(environment)
    }

    /// A line for whatever makes spans, or answers, fewer than somebody may expect.
    fn restrictions(&self) -> Vec<String> {
        let rate = self.sample_rate;
        let restrictions = [
            (rate != 1.0, format!("COLLECTOR_SAMPLE_RATE={rate} holds: of the traces that are pushed, only this share is kept, and spans marked as debug")),
            (!self.query_enabled, "QUERY_ENABLED=false holds: spans are taken and kept, and nobody can ask for them".to_owned()),
            (!self.search_enabled, "SEARCH_ENABLED=false holds: lists of names and searches are empty".to_owned()),
            (!self.strict_trace_id, "STRICT_TRACE_ID=false holds: traces are one if the right 16 digits of their ids are".to_owned()),
        ];
        restrictions.into_iter().filter_map(|(holds, line)| holds.then_some(line)).collect()
    }
}

impl Default for Environment {
    /// What holds where no variable is set.
    fn default() -> Self {
        Self {
            query_port: None,
            query_enabled: true,
            ui_enabled: true,
            search_enabled: true,
            query_timeout: Some(Duration::from_secs(11)),
            query_lookback: QUERY_LOOKBACK,
            names_max_age: Duration::from_secs(300),
            allowed_origins: Origins::Any,
            strict_trace_id: true,
            autocomplete_keys: Vec::new(),
            sample_rate: 1.0,
            collector_http: true,
            collector_grpc: true,
            ui: UiSettings::default(),
            notes: Vec::new(),
        }
    }
}

impl Default for UiSettings {
    fn default() -> Self {
        Self {
            environment: String::new(),
            query_limit: 10,
            default_lookback_ms: 15 * 60 * 1_000,
            search_enabled: true,
            logs_url: None,
            support_url: None,
            archive_post_url: None,
            archive_url: None,
            dependency_enabled: true,
            low_error_rate: 0.5,
            high_error_rate: 0.75,
            base_path: None,
        }
    }
}

impl UiSettings {
    fn read(variables: &mut Variables, search_enabled: bool) -> Result<Self, EnvironmentError> {
        // Both spellings are in use: the one with all the underscores, and the platform's own.
        let aliases = [
            ("ZIPKIN_UI_QUERYLIMIT", "ZIPKIN_UI_QUERY_LIMIT"),
            ("ZIPKIN_UI_DEFAULTLOOKBACK", "ZIPKIN_UI_DEFAULT_LOOKBACK"),
            ("ZIPKIN_UI_SEARCHENABLED", "ZIPKIN_UI_SEARCH_ENABLED"),
            ("ZIPKIN_UI_LOGSURL", "ZIPKIN_UI_LOGS_URL"),
            ("ZIPKIN_UI_SUPPORTURL", "ZIPKIN_UI_SUPPORT_URL"),
            ("ZIPKIN_UI_ARCHIVEPOSTURL", "ZIPKIN_UI_ARCHIVE_POST_URL"),
            ("ZIPKIN_UI_ARCHIVEURL", "ZIPKIN_UI_ARCHIVE_URL"),
            ("ZIPKIN_UI_DEPENDENCY_LOWERRORRATE", "ZIPKIN_UI_DEPENDENCY_LOW_ERROR_RATE"),
            ("ZIPKIN_UI_DEPENDENCY_HIGHERRORRATE", "ZIPKIN_UI_DEPENDENCY_HIGH_ERROR_RATE"),
        ];
        for (short, long) in aliases {
            if let Some(value) = variables.set.remove(short) {
                variables.set.entry(long.to_owned()).or_insert(value);
            }
        }
        let default = Self::default();
        let share = |text: &str| text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
        let base_path = variables.text("ZIPKIN_UI_BASEPATH");
        let base_path = base_path.map(|path| path.trim_end_matches('/').to_owned());
        Ok(Self {
            environment: variables.text("ZIPKIN_UI_ENVIRONMENT").unwrap_or_default(),
            query_limit: variables
                .parsed("ZIPKIN_UI_QUERY_LIMIT", "no number above zero", |text| {
                    text.parse().ok().filter(|limit| *limit > 0)
                })?
                .unwrap_or(default.query_limit),
            default_lookback_ms: variables
                .parsed("ZIPKIN_UI_DEFAULT_LOOKBACK", "no number of milliseconds", |text| {
                    text.parse().ok()
                })?
                .unwrap_or(default.default_lookback_ms),
            search_enabled: variables.flag(&["ZIPKIN_UI_SEARCH_ENABLED"], search_enabled)?,
            logs_url: variables.text("ZIPKIN_UI_LOGS_URL"),
            support_url: variables.text("ZIPKIN_UI_SUPPORT_URL"),
            archive_post_url: variables.text("ZIPKIN_UI_ARCHIVE_POST_URL"),
            archive_url: variables.text("ZIPKIN_UI_ARCHIVE_URL"),
            dependency_enabled: variables.flag(&["ZIPKIN_UI_DEPENDENCY_ENABLED"], true)?,
            low_error_rate: variables
                .parsed("ZIPKIN_UI_DEPENDENCY_LOW_ERROR_RATE", "no share from 0 to 1", share)?
                .unwrap_or(default.low_error_rate),
            high_error_rate: variables
                .parsed("ZIPKIN_UI_DEPENDENCY_HIGH_ERROR_RATE", "no share from 0 to 1", share)?
                .unwrap_or(default.high_error_rate),
            base_path,
        })
    }
}

/// What is set, and which of it was asked for.
struct Variables {
    set: BTreeMap<String, String>,
    read: Vec<&'static str>,
}

impl Variables {
    fn text(&mut self, name: &'static str) -> Option<String> {
        self.read.push(name);
        self.set.get(name).cloned()
    }

    fn parsed<T>(
        &mut self,
        name: &'static str,
        problem: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, EnvironmentError> {
        let Some(value) = self.text(name) else { return Ok(None) };
        match parse(&value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(EnvironmentError::Invalid { name: name.to_owned(), value, problem }),
        }
    }

    /// A truth by the first of these names that is set.
    fn flag(&mut self, names: &[&'static str], default: bool) -> Result<bool, EnvironmentError> {
        let mut said = None;
        for name in names {
            let value = self.parsed(name, "neither true nor false", truth)?;
            said = said.or(value);
        }
        Ok(said.unwrap_or(default))
    }

    fn list(&mut self, name: &'static str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(str::to_owned).collect()
    }

    /// A line for each variable of Zipkin's that is set and that nobody asked for.
    fn unused(&self) -> Vec<String> {
        let zipkins = |name: &str| {
            UNUSED.iter().any(|known| match known.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == *known,
            })
        };
        // In Kubernetes, a service named "es" or "zipkin" gives every container such variables.
        let of_kubernetes = |name: &str| name.contains("_SERVICE_") || name.contains("_PORT");
        let names = self.set.keys().filter(|name| {
            zipkins(name) && !of_kubernetes(name) && !self.read.contains(&name.as_str())
        });
        names.map(|name| format!("{name} is set and not used")).collect()
    }
}

/// Whatever would bring spans from elsewhere, or keep them elsewhere.
fn refuse_foreign(variables: &mut Variables) -> Result<(), EnvironmentError> {
    for (name, enabled, advice) in QUEUES {
        let wanted = variables.flag(&[enabled], true)?;
        if wanted && variables.text(name).is_some() {
            return Err(EnvironmentError::Unsupported { name, advice });
        }
    }
    for name in ["COLLECTOR_SCRIBE_ENABLED", "SCRIBE_ENABLED"] {
        if variables.flag(&[name], false)? {
            return Err(EnvironmentError::Unsupported { name, advice: SCRIBE });
        }
    }
    match variables.text("EUREKA_SERVICE_URL") {
        Some(_) => {
            Err(EnvironmentError::Unsupported { name: "EUREKA_SERVICE_URL", advice: EUREKA })
        }
        None => Ok(()),
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

fn origins(list: &[String]) -> Origins {
    if list.is_empty() || list.iter().any(|origin| origin == "*") {
        Origins::Any
    } else {
        Origins::These(list.to_vec())
    }
}

/// A duration as Zipkin's platform reads it: a number with a unit, or ISO 8601; a number alone means
/// milliseconds.
fn duration(text: &str) -> Option<Duration> {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with('p') {
        return iso_duration(&lower);
    }
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let n: u64 = lower[..digits].parse().ok()?;
    match &lower[digits..] {
        "" | "ms" => Some(Duration::from_millis(n)),
        "ns" => Some(Duration::from_nanos(n)),
        "us" => Some(Duration::from_micros(n)),
        "s" => Some(Duration::from_secs(n)),
        "m" => n.checked_mul(60).map(Duration::from_secs),
        "h" => n.checked_mul(60 * 60).map(Duration::from_secs),
        "d" => n.checked_mul(24 * 60 * 60).map(Duration::from_secs),
        _ => None,
    }
}

/// `p1dt2h3m4.5s`, in lower case.
fn iso_duration(text: &str) -> Option<Duration> {
    let duration = text.parse::<jiff::SignedDuration>().ok().or_else(|| {
        // Days are no part of an absolute duration; in Zipkin's platform they are 24 hours.
        let (days, rest) = text.strip_prefix('p')?.split_once('d')?;
        let days: i64 = days.parse().ok()?;
        let rest = match rest {
            "" => jiff::SignedDuration::ZERO,
            rest => format!("p{rest}").parse().ok()?,
        };
        jiff::SignedDuration::from_hours(days.checked_mul(24)?).checked_add(rest)
    });
    Duration::try_from(duration?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, EnvironmentError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Environment::read(variables.iter().map(owned))
    }

    fn refused(name: &str, value: &str) -> String {
        read(&[(name, value)]).unwrap_err().to_string()
    }

    #[test]
    fn without_variables_everything_is_as_in_zipkin() {
        assert_eq!(read(&[]), Ok(Environment::default()));
        let empty = ["QUERY_PORT", "STORAGE_TYPE", "SEARCH_ENABLED", "ZIPKIN_UI_BASEPATH"];
        for name in empty {
            assert_eq!(read(&[(name, "")]), Ok(Environment::default()), "{name}");
        }
    }

    #[test]
    fn variables_are_read_as_zipkins_platform_reads_them() {
        let environment = read(&[
            ("QUERY_PORT", "9412"),
            ("QUERY_ENABLED", "off"),
            ("SEARCH_ENABLED", "FALSE"),
            ("QUERY_LOOKBACK", "3600000"),
            ("ZIPKIN_QUERY_NAMES_MAX_AGE", "5"),
            ("ZIPKIN_QUERY_ALLOWED_ORIGINS", "http://a, http://b"),
            ("STRICT_TRACE_ID", "no"),
            ("AUTOCOMPLETE_KEYS", "zone, environment,zone"),
            ("COLLECTOR_SAMPLE_RATE", "0.1"),
            ("HTTP_COLLECTOR_ENABLED", "false"),
            ("ZIPKIN_UI_LOGS_URL", "http://logs/{traceId}"),
            ("ZIPKIN_UI_SUPPORTURL", "http://help"),
            ("ZIPKIN_UI_DEPENDENCY_LOW_ERROR_RATE", "0.2"),
            ("ZIPKIN_UI_BASEPATH", "/admin/zipkin/"),
        ]);
        let expected = Environment {
            query_port: Some(9412),
            query_enabled: false,
            ui_enabled: false,
            search_enabled: false,
            query_lookback: Duration::from_secs(3_600),
            names_max_age: Duration::from_secs(5),
            allowed_origins: Origins::These(vec!["http://a".to_owned(), "http://b".to_owned()]),
            strict_trace_id: false,
            autocomplete_keys: vec!["environment".to_owned(), "zone".to_owned()],
            sample_rate: 0.1,
            collector_http: false,
            ui: UiSettings {
                search_enabled: false,
                logs_url: Some("http://logs/{traceId}".to_owned()),
                support_url: Some("http://help".to_owned()),
                low_error_rate: 0.2,
                base_path: Some("/admin/zipkin".to_owned()),
                ..UiSettings::default()
            },
            ..Environment::default()
        };
        let environment = environment.unwrap();
        assert_eq!(environment.notes.len(), 4, "{:?}", environment.notes);
        assert_eq!(Environment { notes: Vec::new(), ..environment }, expected);
    }

    #[test]
    fn the_newer_of_two_names_counts() {
        let pairs = [("HTTP_COLLECTOR_ENABLED", "false"), ("COLLECTOR_HTTP_ENABLED", "true")];
        assert!(read(&pairs).unwrap().collector_http);
    }

    #[test]
    fn bad_values_name_their_variable() {
        let check = |name, value, expected| assert_eq!(refused(name, value), expected);
        check("QUERY_ENABLED", "maybe", "QUERY_ENABLED=maybe is neither true nor false");
        check("COLLECTOR_SAMPLE_RATE", "2", "COLLECTOR_SAMPLE_RATE=2 is no share from 0 to 1");
        check("COLLECTOR_SAMPLE_RATE", "NaN", "COLLECTOR_SAMPLE_RATE=NaN is no share from 0 to 1");
        check("QUERY_PORT", "http", "QUERY_PORT=http is no port");
        let problem = "QUERY_LOOKBACK=0 is no number of milliseconds above zero";
        check("QUERY_LOOKBACK", "0", problem);
        assert!(refused("QUERY_TIMEOUT", "soon").starts_with("QUERY_TIMEOUT=soon is no duration"));
    }

    #[test]
    fn what_would_bring_or_keep_spans_elsewhere_stops_the_start() {
        for (name, value) in [
            ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"),
            ("RABBIT_ADDRESSES", "127.0.0.1"),
            ("RABBIT_URI", "amqp://guest:secret@127.0.0.1"),
            ("ACTIVEMQ_URL", "tcp://127.0.0.1"),
            ("PULSAR_SERVICE_URL", "pulsar://127.0.0.1"),
            ("COLLECTOR_SCRIBE_ENABLED", "true"),
            ("SCRIBE_ENABLED", "true"),
            ("EUREKA_SERVICE_URL", "http://127.0.0.1"),
        ] {
            let message = refused(name, value);
            assert!(message.starts_with(name) && !message.contains("secret"), "{message}");
        }
        for storage in ["cassandra3", "elasticsearch", "mysql", "other"] {
            let message = refused("STORAGE_TYPE", storage);
            assert!(message.contains(storage) && message.contains("sigyn import"), "{message}");
        }
    }

    #[test]
    fn a_queue_that_is_shut_does_not_stop_the_start() {
        let pairs = [("KAFKA_BOOTSTRAP_SERVERS", "x"), ("COLLECTOR_KAFKA_ENABLED", "false")];
        assert!(read(&pairs).is_ok());
        assert!(read(&[("COLLECTOR_SCRIBE_ENABLED", "false")]).is_ok());
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let notes = |name, value| read(&[(name, value)]).unwrap().notes;
        assert_eq!(notes("JAVA_OPTS", "-Xmx1g"), ["JAVA_OPTS is set and not used"]);
        assert_eq!(notes("ES_HOSTS", "http://es"), ["ES_HOSTS is set and not used"]);
        assert_eq!(notes("STORAGE_TYPE", "MEM").len(), 1);
        assert_eq!(notes("QUERY_NAMES_MAX_AGE", "5"), ["QUERY_NAMES_MAX_AGE is set and not used"]);
        assert_eq!(notes("COLLECTOR_PORT", "9410").len(), 1);
        assert_eq!(notes("COLLECTOR_PORT", "tcp://127.0.0.1:9410"), [""; 0]);
        assert!(
            notes("COLLECTOR_SAMPLE_RATE", "0")[0].starts_with("COLLECTOR_SAMPLE_RATE=0 holds")
        );
        assert_eq!(notes("COLLECTOR_SAMPLE_RATE", "1"), [""; 0]);
        assert_eq!(notes("MEM_MAX_SPANS", "1000").len(), 1);
        for name in ["HOME", "ES_PORT", "ZIPKIN_SERVICE_HOST", "ZIPKIN_PORT_9411_TCP"] {
            assert_eq!(notes(name, "x"), [""; 0], "{name}");
        }
    }

    #[test]
    fn durations_have_units_or_are_milliseconds() {
        let check = |text, expected: Option<u64>| {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text}");
        };
        check("11s", Some(11_000));
        check("500ms", Some(500));
        check("250", Some(250));
        check("2m", Some(120_000));
        check("PT11S", Some(11_000));
        check("pt1m0.5s", Some(60_500));
        check("P1DT1H", Some(90_000_000));
        check("0", Some(0));
        for text in ["", "s", "1 s", "-1s", "PT", "-PT1S", "1w", "9999999999999999999999s"] {
            check(text, None);
        }
        assert_eq!(read(&[("QUERY_TIMEOUT", "0")]).unwrap().query_timeout, None);
    }
}

//! Flags and subcommands. Names are Prometheus', so that a hand that knows those knows these.

mod check;
mod negatable;
mod store;
mod texts;

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

pub(crate) use check::{
    CheckCommand, CheckConfigFlags, CheckFlags, RelabelFlags, ServerFlags, ServiceDiscoveryFlags,
    TargetFlags, WebConfigFlags,
};
pub(crate) use store::{ExportFlags, ExportFormat, StoreCommand, StoreFlags};

const LISTENING: &str = "Listening";
const STORAGE: &str = "Storage";
const LOGGING: &str = "Logging";

/// Pull-based distributed tracing: finds services like Prometheus, scrapes their spans, speaks Zipkin.
#[derive(Debug, Parser)]
#[command(
    name = "sigyn",
    version = version(),
    args_conflicts_with_subcommands = true,
    after_help = "Without a subcommand, sigyn serves. `sigyn demo` shows a small traced system in ten seconds."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeFlags,
}

impl Cli {
    /// What the program was called with. Ends it if that makes no sense, or if it only asks for help.
    pub(crate) fn read() -> Self {
        let matches = negatable::negatable(Self::command()).try_get_matches();
        let matches = matches.unwrap_or_else(|error| negatable::exit(&error));
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// With the commit, where it is known.
fn version() -> &'static str {
    match env!("SIGYN_REVISION") {
        "" => env!("CARGO_PKG_VERSION"),
        _ => concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("SIGYN_REVISION"), ")"),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Discover, scrape, store and answer (the default)
    Serve(Box<ServeFlags>),
    /// Run a small traced system on loopback, with a tracer that scrapes it
    Demo(DemoFlags),
    /// Ask a running tracer from the terminal
    Query(QueryFlags),
    /// Move a Zipkin's traces, or those of files, into a running tracer
    Import(ImportFlags),
    /// Look into, check, export or delete from a store that no server has open
    Store(StoreFlags),
    /// Check files before a server reads them
    Check(CheckFlags),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ServeFlags {
    /// Configuration file, in prometheus.yml's form [default: sigyn.yml if it exists]
    #[arg(long = "config.file", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// Load the configuration again whenever its files have changed
    #[arg(long = "config.auto-reload")]
    pub(crate) auto_reload: bool,
    /// How often to look whether they have (with --config.auto-reload); 1s at least
    #[arg(long = "config.auto-reload-interval", value_name = "DURATION", default_value = "30s")]
    pub(crate) auto_reload_interval: String,
    /// Changes of targets that come within this time of others are taken together
    #[arg(
        long = "scrape.discovery-reload-interval",
        value_name = "DURATION",
        default_value = "100ms"
    )]
    pub(crate) discovery_reload_interval: String,
    /// Requests that wait at targets at once, where jobs want that; a target that would be one more is
    /// asked as any other
    #[arg(long = "scrape.long-polls-max", value_name = "NUMBER", default_value_t = 1000)]
    pub(crate) long_polls_max: u32,
    /// Names of Prometheus' features, with commas between. There is no choice here but
    /// auto-reload-config, which is --config.auto-reload; others are warned of
    #[arg(long = "enable-feature", value_name = "NAMES")]
    pub(crate) features: Vec<String>,

    /// Address to listen on; may be given more than once [default: 0.0.0.0:9411, or the port in
    /// QUERY_PORT]
    #[arg(long = "web.listen-address", value_name = "HOST:PORT", help_heading = LISTENING)]
    pub(crate) listen: Vec<String>,
    /// Connections that are open at once, at all addresses together; further ones wait
    #[arg(long = "web.max-connections", value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..), help_heading = LISTENING)]
    pub(crate) max_connections: u32,
    /// File with TLS, users, headers and a limit of requests, in the form of Prometheus' web
    /// configuration; it holds for every address but those for datagrams
    #[arg(long = "web.config.file", value_name = "FILE", help_heading = LISTENING)]
    pub(crate) web_config_file: Option<PathBuf>,
    /// How long a client may take to begin a request, and a connection may lie idle
    #[arg(long = "web.read-timeout", value_name = "DURATION", default_value = "30s", help_heading = LISTENING)]
    pub(crate) read_timeout: String,
    /// URL under which this server is reached from outside; a path of it is where everything is served,
    /// unless --web.route-prefix says otherwise
    #[arg(long = "web.external-url", value_name = "URL", default_value = "", hide_default_value = true, help_heading = LISTENING)]
    pub(crate) external_url: String,
    /// Path under which everything is served [default: the path of --web.external-url]
    #[arg(long = "web.route-prefix", value_name = "PATH", help_heading = LISTENING)]
    pub(crate) route_prefix: Option<String>,
    /// Regular expression for the origins of pages that may ask from a browser, such as
    /// 'https?://(a|b)\.example\.com' [default: ZIPKIN_QUERY_ALLOWED_ORIGINS, or any]
    #[arg(long = "web.cors.origin", value_name = "REGEX", help_heading = LISTENING)]
    pub(crate) cors_origin: Option<String>,
    /// What the pages of the web UI are called in a browser [default: Sigyn]
    #[arg(long = "web.page-title", value_name = "TEXT", default_value = "", hide_default_value = true, help_heading = LISTENING)]
    pub(crate) page_title: String,
    /// Folder with an unpacked web UI of Zipkin, served at /zipkin/ in place of Sigyn's own
    #[arg(long = "web.ui-dir", value_name = "DIR", help_heading = LISTENING)]
    pub(crate) ui_dir: Option<PathBuf>,
    /// Allow POST /-/reload and /-/quit
    #[arg(long = "web.enable-lifecycle", help_heading = LISTENING)]
    pub(crate) enable_lifecycle: bool,
    /// Allow what changes the store: POST /api/v1/admin/store/... and DELETE /api/v1/traces/...
    #[arg(long = "web.enable-admin-api", help_heading = LISTENING)]
    pub(crate) enable_admin_api: bool,
    /// One more address for OTLP over gRPC; empty means none [default: port 4317, if it is free, where
    /// the first --web.listen-address is]
    #[arg(long = "otlp.grpc.listen-address", value_name = "HOST:PORT", help_heading = LISTENING)]
    pub(crate) otlp_grpc_listen: Option<String>,
    /// One more address for OTLP over HTTP; empty means none [default: port 4318, if it is free, where
    /// the first --web.listen-address is]
    #[arg(long = "otlp.http.listen-address", value_name = "HOST:PORT", help_heading = LISTENING)]
    pub(crate) otlp_http_listen: Option<String>,
    /// UDP address for Jaeger's clients, compact thrift, such as 0.0.0.0:6831 [default: none]
    #[arg(long = "jaeger.udp.compact.listen-address", value_name = "HOST:PORT", default_value = "", hide_default_value = true, help_heading = LISTENING)]
    pub(crate) jaeger_udp_compact_listen: String,
    /// UDP address for Jaeger's clients, binary thrift, such as 0.0.0.0:6832 [default: none]
    #[arg(long = "jaeger.udp.binary.listen-address", value_name = "HOST:PORT", default_value = "", hide_default_value = true, help_heading = LISTENING)]
    pub(crate) jaeger_udp_binary_listen: String,

    /// Folder for everything that is kept
    #[arg(long = "storage.path", value_name = "DIR", default_value = "data/", help_heading = STORAGE)]
    pub(crate) storage_path: PathBuf,
    /// How much memory spans may take, such as 512MB: while they come in, wait to be written, are merged, and
    /// are read; 96MB at least, 0 is the default [default: a quarter of what there is, 2GB at most]
    #[arg(long = "storage.memory", value_name = "SIZE", value_parser = size, help_heading = STORAGE)]
    pub(crate) storage_memory: Option<String>,
    /// How long spans are kept, such as 7d; 0 keeps them for ever [default: 7d]
    #[arg(long = "storage.retention.time", value_name = "DURATION", help_heading = STORAGE)]
    pub(crate) retention_time: Option<String>,
    /// How long traces with errors are kept, if that is longer, such as 30d [default: as long as others]
    #[arg(long = "storage.retention.errors", value_name = "DURATION", help_heading = STORAGE)]
    pub(crate) retention_errors: Option<String>,
    /// How many bytes are kept, such as 50GB; the oldest spans go first [default: no limit]
    #[arg(long = "storage.retention.size", value_name = "SIZE", value_parser = size, help_heading = STORAGE)]
    pub(crate) retention_size: Option<String>,

    /// How much is logged
    #[arg(long = "log.level", value_enum, default_value_t = LogLevel::Info, help_heading = LOGGING)]
    pub(crate) log_level: LogLevel,
    /// How it is written
    #[arg(long = "log.format", value_enum, default_value_t = LogFormat::Logfmt, help_heading = LOGGING)]
    pub(crate) log_format: LogFormat,
}

/// Checked here, where a hint helps more than Prometheus' words for it.
fn size(text: &str) -> Result<String, &'static str> {
    let read = sigyn_discovery::config::parse_size(text);
    read.map(|_| text.to_owned())
        .map_err(|_| "a size is a number and a unit, such as 50GB or 512MB")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Logfmt,
    Json,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DemoFlags {
    /// Port of the tracer on 127.0.0.1; the next free one is taken if it is in use
    #[arg(long, value_name = "PORT", default_value_t = 9411)]
    pub(crate) port: u16,
    /// Visits to the shop per second
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) rate: u32,
    /// Stop by itself after this long, such as 30s [default: until Ctrl-C]
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) run_for: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct QueryFlags {
    /// Where the tracer answers
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SIGYN_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:9411"
    )]
    pub(crate) server: String,
    /// How to ask it: a file with what a job has for its client, such as basic_auth and tls_config
    #[arg(long = "http.config.file", global = true, value_name = "FILE")]
    pub(crate) http_config_file: Option<PathBuf>,
    /// What is printed
    #[arg(long, short, global = true, visible_alias = "format", value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto)]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) what: QueryCommand,
}

/// `sigyn query collect`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CollectFlags {
    /// Trace ids: 1 to 32 hexadecimal digits each
    #[arg(required = true, num_args = 1..=1000)]
    pub(crate) ids: Vec<String>,
    /// How long targets are waited for, 60s at most
    #[arg(long, default_value = "10s")]
    pub(crate) timeout: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Table,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum QueryCommand {
    /// Find traces, newest first
    Traces(Box<TracesFlags>),
    /// Show one trace as a tree
    Trace {
        /// Trace id: 1 to 32 lower-case hexadecimal digits
        id: String,
        /// Also print the tags of each span
        #[arg(long)]
        tags: bool,
    },
    /// Fetch traces that nobody sampled from every target that may still have them
    Collect(CollectFlags),
    /// Rate, errors and durations of spans, by group
    Red(RedFlags),
    /// Durations over time as a map
    Heatmap(HeatmapFlags),
    /// Keys that a filter may ask for, and how many spans have them
    Keys(WordsFlags),
    /// Values of a key, and how many spans have them
    Values {
        /// Such as service, name or http.method
        key: String,
        #[command(flatten)]
        flags: WordsFlags,
    },
    /// What sets some traces apart from the others
    Differences(Box<DifferencesFlags>),
    /// Who calls whom, how often, and how long callers wait
    Links(AboutLinks),
    /// List services; with a name, its span names and remote services
    Services {
        /// One service
        name: Option<String>,
    },
    /// List scrape targets and how they are
    Targets {
        /// Only those that are not simply up
        #[arg(long)]
        problems: bool,
    },
    /// Show what the store has, what it takes in memory, and what is wrong with it
    Status,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TracesFlags {
    /// Local service that must take part
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Name of a span
    #[arg(long = "span", value_name = "NAME")]
    pub(crate) span_name: Option<String>,
    /// Remote service that must have been called
    #[arg(long, value_name = "NAME")]
    pub(crate) remote_service: Option<String>,
    /// Zipkin's annotationQuery, such as 'error and http.method=GET'
    #[arg(long, short = 'q', value_name = "TERMS")]
    pub(crate) query: Option<String>,
    /// A filter, such as '{ service = shop and http.status_code >= 500 and duration > 100ms }'
    #[arg(long = "where", short = 'w', value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// Shortest duration of a span, such as 250ms
    #[arg(long, value_name = "DURATION")]
    pub(crate) min_duration: Option<String>,
    /// Longest duration of a span (with --min-duration)
    #[arg(long, value_name = "DURATION", requires = "min_duration")]
    pub(crate) max_duration: Option<String>,
    /// How far to look back, such as 2h
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(crate) lookback: String,
    /// End of the search: RFC 3339, or milliseconds since 1970 [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) end: Option<String>,
    /// How many traces at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    pub(crate) limit: u32,
    /// The next page, as the last one names it
    #[arg(long, value_name = "TEXT")]
    pub(crate) cursor: Option<String>,
}

/// What a question is about.
#[derive(Args, Clone, Debug)]
pub(crate) struct AboutFlags {
    /// A filter, such as '{ service = shop and duration > 100ms }' [default: everything]
    #[arg(long = "where", short = 'w', value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// How far to look back, such as 2h
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(crate) lookback: String,
    /// Until when: RFC 3339, or milliseconds since 1970 [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) end: Option<String>,
}

/// Which links are meant.
#[derive(Args, Clone, Debug)]
pub(crate) struct AboutLinks {
    /// How far to look back, such as 2h
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(crate) lookback: String,
    /// Until when: RFC 3339, or milliseconds since 1970 [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) end: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RedFlags {
    #[command(flatten)]
    pub(crate) about: AboutFlags,
    /// What spans are grouped by: keys with commas between, such as service,name or http.route
    #[arg(long, value_name = "KEYS", default_value = "service")]
    pub(crate) by: String,
    /// How long a step of time is, such as 5m [default: a thirtieth of the time that is looked at]
    #[arg(long, value_name = "DURATION")]
    pub(crate) step: Option<String>,
    /// Which quantiles of durations, with commas between
    #[arg(long, value_name = "LIST", default_value = "0.5,0.95,0.99")]
    pub(crate) quantiles: String,
    /// How many groups at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct HeatmapFlags {
    #[command(flatten)]
    pub(crate) about: AboutFlags,
    /// Count spans, each by its own duration, and not traces
    #[arg(long)]
    pub(crate) spans: bool,
    /// How long a column is, such as 5m [default: a sixtieth of the time that is looked at]
    #[arg(long, value_name = "DURATION")]
    pub(crate) step: Option<String>,
    /// How many lines there are between a duration and its double: 1, 2, 4 or 8
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) per_octave: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct WordsFlags {
    #[command(flatten)]
    pub(crate) about: AboutFlags,
    /// Those that begin so
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// How many at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub(crate) limit: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DifferencesFlags {
    #[command(flatten)]
    pub(crate) about: AboutFlags,
    /// Which of them: a filter, such as 'error' or 'trace.duration > 1s'
    #[arg(
        value_name = "FILTER",
        required_unless_present_any = ["select", "select_end", "select_lookback"]
    )]
    pub(crate) selected: Option<String>,
    /// The same, by the name that it has over HTTP
    #[arg(long, value_name = "FILTER", conflicts_with = "selected")]
    pub(crate) select: Option<String>,
    /// Of these, only those until then: RFC 3339, or milliseconds since 1970 [default: --end]
    #[arg(long, value_name = "TIME")]
    pub(crate) select_end: Option<String>,
    /// Of these, only those so long before that, such as 5m [default: --lookback]
    #[arg(long, value_name = "DURATION")]
    pub(crate) select_lookback: Option<String>,
    /// Apart from which: a filter [default: the others]
    #[arg(long, value_name = "FILTER")]
    pub(crate) against: Option<String>,
    /// Count spans, and not traces
    #[arg(long)]
    pub(crate) spans: bool,
    /// How many at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
}

const FROM_ZIPKIN: &str = "From a Zipkin";

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Spans that the tracer has already are not sent again, so that an import may be repeated.\nStatus: 0 if everything is there, 1 if something is not, 2 if the flags make no sense."
)]
pub(crate) struct ImportFlags {
    /// Files with spans, plain or compressed; - is standard input
    #[arg(value_name = "FILE", conflicts_with = "from")]
    pub(crate) files: Vec<PathBuf>,
    /// Format of all files [default: by name and content]
    #[arg(long, value_enum, requires = "files")]
    pub(crate) format: Option<ImportFormat>,
    /// The tracer that takes the spans
    #[arg(
        long,
        visible_alias = "server",
        value_name = "URL",
        env = "SIGYN_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:9411"
    )]
    pub(crate) to: String,
    /// How to ask it: a file with what a job has for its client, such as basic_auth and tls_config
    #[arg(long = "http.config.file", value_name = "FILE")]
    pub(crate) http_config_file: Option<PathBuf>,
    /// Count only: ask both sides, send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How progress is told: auto is a bar on a terminal and lines elsewhere
    #[arg(long, value_enum, default_value_t = ProgressChoice::Auto)]
    pub(crate) progress: ProgressChoice,

    /// Where the Zipkin answers, such as http://zipkin:9411
    #[arg(long, value_name = "URL", help_heading = FROM_ZIPKIN)]
    pub(crate) from: Option<String>,
    /// How to ask it, likewise
    #[arg(long = "from.http.config.file", value_name = "FILE", requires = "from", help_heading = FROM_ZIPKIN)]
    pub(crate) from_http_config_file: Option<PathBuf>,
    /// How far to look back, such as 30d
    #[arg(long, value_name = "DURATION", default_value = "7d", help_heading = FROM_ZIPKIN)]
    pub(crate) lookback: String,
    /// Traces that start later are left out: RFC 3339, or milliseconds since 1970 [default: now]
    #[arg(long, value_name = "TIME", help_heading = FROM_ZIPKIN)]
    pub(crate) end: Option<String>,
    /// How much time the first search covers; further ones by what is found
    #[arg(long, value_name = "DURATION", default_value = "15m", help_heading = FROM_ZIPKIN)]
    pub(crate) window: String,
    /// Traces asked for at once; a search that finds so many is split
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = FROM_ZIPKIN)]
    pub(crate) limit: u32,
    /// Remembers how far it came [default: sigyn-import-HOST-PORT.json in the current folder]
    #[arg(long, value_name = "FILE", help_heading = FROM_ZIPKIN)]
    pub(crate) state: Option<PathBuf>,
    /// Begin anew, whatever an earlier run left undone
    #[arg(long, help_heading = FROM_ZIPKIN)]
    pub(crate) restart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressChoice {
    Auto,
    Lines,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    /// Zipkin v2 JSON: spans, lists of spans, lists of traces
    ZipkinJson,
    /// Zipkin v1 JSON, likewise
    ZipkinJsonV1,
    /// Zipkin v2 protobuf: ListOfSpans
    ZipkinProto,
    /// Zipkin v1 thrift: a list in the binary protocol
    ZipkinThrift,
    /// OTLP JSON: one request, or one a line
    OtlpJson,
    /// OTLP protobuf: one request
    OtlpProto,
    /// Jaeger's JSON: an answer of its query API, or a trace of it
    JaegerJson,
}

//! All wiring: builds every part in order, joins them by bounded channels, runs them, and stops them.
//!
//! The only file that knows discovery, scraping, the store and the answers at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use http::{HeaderMap, Uri};
use sigyn_scrape::{Commit, CommitError};
use sigyn_store::{AppendError, Durability, Share, Store, Strictness};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::admin::{Admin, Health, Healthy, ReloadRequest};
use crate::api::ask::Asker;
use crate::api::global_url::External;
use crate::api::losses::Known;
use crate::api::process::Process;
use crate::api::store_admin::StoreAdmin;
use crate::api::ui_folder::UiFolder;
use crate::cli::ServeFlags;
use crate::collect::{Counters, Intake};
use crate::config::{Config, Settings, durability_text};
use crate::environment::Environment;
use crate::listeners::Listeners;
use crate::metrics::requests::{Requests, measure};
use crate::metrics::{ReloadState, Source};
use crate::reload::Reloader;
use crate::server::Door;
use crate::store_command::cannot_change;
use crate::web_config::WebConfig;
use crate::{Failure, api, collect, grpc, logging, metrics, reply, server};

/// Scrapes that wait for the store. Full means that the scrape loops wait: pull's natural brake.
const COMMITS_WAITING_MAX: usize = 64;
/// Commits that the store works on at once; it groups them into one write.
const COMMITS_AT_ONCE: usize = 256;
/// Answers of discovery that are read at once share the memory for spans divided by this, beside it.
const ANSWERS_SHARE: u64 = 8;
/// Reloads that wait their turn; a further one waits to be queued.
const RELOADS_WAITING_MAX: usize = 4;

/// `sigyn serve`.
pub(crate) fn serve(flags: ServeFlags) -> Result<(), Failure> {
    logging::start(flags.log_level, flags.log_format);
    raise_file_limit();
    let environment = Environment::of_process().map_err(Failure::usage)?;
    for note in &environment.notes {
        tracing::info!("{note}");
    }
    let settings = Settings::from_flags(flags, environment).map_err(Failure::usage)?;
    let config = Config::load(settings.config_file.as_deref()).map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let app = App::build(settings, config, shutdown.clone()).await?;
        app.announce();
        let signals = stop_on_signal(shutdown.clone());
        tokio::select! {
            outcome = app.run() => outcome,
            outcome = signals => outcome,
        }
    });
    // A query that still runs on a blocking thread must not hold up the end.
    runtime.shutdown_background();
    outcome.map_err(Failure::work)
}

/// A thousand targets are a thousand open connections; the usual soft limit is 1024 files, and the
/// hard one is meant to be used.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised =
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    match raised {
        Ok(()) => tracing::debug!(files = limit.maximum, "raised the limit of open files"),
        Err(error) => {
            tracing::warn!(%error, files = limit.current, "cannot raise the limit of open files")
        }
    }
}

/// A supervisor may signal the process and then its group: what comes so soon is the same signal.
const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// Cancels `shutdown` at SIGTERM or SIGINT and never returns then; the second signal ends the process.
async fn stop_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let signal = next().await;
    tracing::info!(signal, "stopping");
    shutdown.cancel();
    let signal = second_signal(next).await;
    anyhow::bail!("stopped by a second {signal} before everything had ended")
}

/// The first signal that is not the one that has just come.
async fn second_signal(mut next: impl AsyncFnMut() -> &'static str) -> &'static str {
    let first = Instant::now();
    loop {
        let signal = next().await;
        if first.elapsed() >= SAME_SIGNAL {
            return signal;
        }
    }
}

/// What is answered at each kind of address.
#[derive(Debug)]
struct Routers {
    main: Router,
    otlp_grpc: Router,
    otlp_http: Router,
}

/// An unknown path, or an unknown method of gRPC.
async fn not_found(headers: HeaderMap, uri: Uri) -> Response {
    match grpc::unknown_method(&headers, uri.path()) {
        Some(response) => response,
        None => reply::not_found(&uri),
    }
}

/// The tracer, built and bound, not yet running.
#[derive(Debug)]
pub(crate) struct App {
    store: Store,
    durability: Durability,
    discovery: sigyn_discovery::Manager,
    scraping: sigyn_scrape::Manager,
    commits: mpsc::Receiver<Commit>,
    reloader: Reloader,
    listeners: Listeners,
    routers: Routers,
    intake: Intake,
    door: Door,
    /// How many jobs are configured at the start.
    jobs: usize,
    /// Whether spans are taken at the main address, and whether they can be read there.
    is_pushed_to: bool,
    is_asked: bool,
    shutdown: CancellationToken,
}

impl App {
    /// Opens the store (which recovers), builds every part, and binds every address.
    pub(crate) async fn build(
        settings: Settings,
        config: Config,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        // Told before the store, whose recovery takes time, is opened.
        let ui_folder = ui_folder(&settings)?;
        let web = web_config(&settings)?;
        let listeners = Listeners::bind(&settings).await?;
        let options = settings.store_options(&config);
        let (path, durability, memory) = (options.path.clone(), options.durability, options.memory);
        let retention = retention_text(&options);
        let store = tokio::task::spawn_blocking(move || Store::open(options)).await?;
        let store = store.map_err(|error| cannot_change(&path, error))?;

        let (jobs_tx, jobs) = watch::channel(Arc::new(config.discovery_jobs()));
        let jobs_now = jobs.clone();
        let (shown_tx, shown) = watch::channel(Arc::clone(&config.shown));
        let (scrape_jobs_tx, scrape_jobs) = watch::channel(Arc::new(config.scrape_jobs()));
        let (groups_tx, groups) = watch::channel(Arc::default());
        let (commits_tx, commits) = mpsc::channel(COMMITS_WAITING_MAX);
        let (reload_tx, reload_rx) = mpsc::channel::<ReloadRequest>(RELOADS_WAITING_MAX);

        let room =
            sigyn_discovery::http::Room::set_by("--storage.memory", memory.bytes / ANSWERS_SHARE);
        let discovery = sigyn_discovery::Manager::with_room(jobs, groups_tx, room);
        let (sd_metrics, troubles) = (discovery.metrics(), discovery.troubles());
        let scraping = config.scrape_options(store.instance_id(), &memory);
        let options = sigyn_scrape::Options {
            spares: store.spares().clone(),
            sync_pause: settings.sync_interval,
            long_polls_max: settings.long_polls_max,
            ..scraping
        };
        let progress = store.progress();
        let (scraping, status) =
            sigyn_scrape::Manager::new(options, scrape_jobs, groups, progress, commits_tx);

        let reload_state = Arc::new(ReloadState::default());
        reload_state.record(true);
        let counters = Arc::new(Counters::default());
        let healthy = Healthy(Arc::new({
            let store = store.clone();
            move || {
                let stats = store.stats();
                let refusing = stats.poisoned.or(stats.refusing);
                let (unsealable, damaged_files) = (stats.unsealable, stats.damaged_files);
                Health { refusing, unsealable, damaged_files }
            }
        }));
        let hostname = api::process::hostname();
        let port = listeners.addresses().first().map_or(0, SocketAddr::port);
        let is_tls = web.as_ref().is_some_and(|web| web.speaks_tls());
        let external = External::new(&settings.external_url, &hostname, port, is_tls);
        let process = Process {
            started: SystemTime::now(),
            hostname: hostname.into(),
            flags: Arc::new(settings.flags.clone()),
            memory_bytes: memory.bytes,
            retention: retention.into(),
            lifecycle: settings.lifecycle,
            admin_api: settings.admin_api,
            auto_reload: settings.auto_reload.is_some(),
            reloads: Arc::clone(&reload_state),
            healthy: healthy.clone(),
        };
        let admin = Admin {
            lifecycle: settings.lifecycle,
            healthy,
            reload: reload_tx,
            shutdown: shutdown.clone(),
        };
        let store_admin = StoreAdmin {
            store: store.clone(),
            strictness: strictness(&settings.environment),
            is_enabled: settings.admin_api,
        };
        let requests = Arc::new(Requests::new(&settings.route_prefix));
        let sample_rate = settings.environment.sample_rate;
        let intake = Intake::new(store.clone(), Arc::clone(&counters), sample_rate, &memory);
        let shares: api::status::Shares = Arc::new({
            let (intake, status) = (intake.clone(), status.clone());
            move |stats| {
                let mut shares = stats.shares().to_vec();
                let share = |name, max, used| Share { name, max, used };
                shares.push(share("pushed", memory.pushed, intake.memory_bytes()));
                shares.push(share("scraped", memory.scraped, status.memory_bytes()));
                shares
            }
        });
        let sources: Vec<Source> = vec![
            Arc::new({
                let requests = Arc::clone(&requests);
                move || requests.families()
            }),
            Arc::new({
                let state = Arc::clone(&reload_state);
                move || state.families()
            }),
            Arc::new({
                let (store, shares) = (store.clone(), Arc::clone(&shares));
                move || {
                    let stats = store.stats();
                    metrics::store::families(&stats, &shares(&stats))
                }
            }),
            Arc::new({
                let status = status.clone();
                move || metrics::scrape::families(&status)
            }),
            Arc::new(move || metrics::discovery::families(&sd_metrics)),
            Arc::new({
                let counters = Arc::clone(&counters);
                move || metrics::collect::families(&counters)
            }),
        ];
        let of_doors = web.as_ref().map(|web| web.counts());
        let sources = sources.into_iter().chain(
            of_doors.map(|counts| -> Source { Arc::new(move || metrics::web::families(&counts)) }),
        );
        let zipkins = Arc::new({
            let counters = Arc::clone(&counters);
            move || metrics::zipkin::transports(&counters)
        });
        let known = Known::new(status.clone());
        let asker = asker(&settings.environment, &store);
        let router = Router::new()
            .merge(answers(&settings, &asker, known, ui_folder))
            .merge(collect::http_router(&intake, &settings.environment))
            .merge(api::health::router(store.clone()))
            .merge(api::status::router(store.clone(), durability_text(durability), shares))
            .merge(api::store_admin::router(store_admin))
            .merge(api::config_view::router(shown))
            .merge(api::notifications::router(Arc::clone(&reload_state)))
            .merge(api::process::router(process))
            .merge(api::relabel_steps::router(jobs_now))
            .merge(api::collect::router(status.clone()))
            .merge(api::running::router(status.clone()))
            .merge(api::targets::router(status, troubles, external))
            .merge(api::admin::router(admin))
            .merge(metrics::router(sources.collect(), zipkins))
            .method_not_allowed_fallback(reply::other_method)
            .fallback(not_found);
        let router = match settings.route_prefix.trim_end_matches('/') {
            "" => router,
            prefix => Router::new()
                .nest(prefix, router.clone())
                .merge(api::ui::home_router(&settings.route_prefix, settings.outside_path()))
                .fallback(not_found),
        };
        // A gRPC client knows no prefix.
        let router = router.merge(collect::grpc_router(&intake, &settings.environment));
        let Environment { query_enabled, search_enabled, collector_http, collector_grpc, .. } =
            settings.environment;
        let router = match query_enabled {
            true => router.merge(api::jaeger::grpc_router(asker, search_enabled)),
            false => router,
        };
        let origins = Arc::new(settings.environment.allowed_origins.clone());
        let with_headers = |router: Router| {
            router
                .layer(from_fn(reply::compress))
                .layer(from_fn_with_state(Arc::clone(&origins), reply::headers))
        };
        let routers = Routers {
            main: with_headers(router).layer(from_fn_with_state(requests, measure)),
            otlp_grpc: with_headers(collect::otlp_grpc(intake.clone()).fallback(not_found)),
            otlp_http: with_headers(collect::otlp_http(intake.clone()).fallback(not_found)),
        };
        let jobs = jobs_tx.borrow().len();
        let apply = move |config: &Config| {
            scrape_jobs_tx.send_replace(Arc::new(config.scrape_jobs()));
            jobs_tx.send_replace(Arc::new(config.discovery_jobs()));
            shown_tx.send_replace(Arc::clone(&config.shown));
        };
        let reloader = Reloader {
            config_file: settings.config_file,
            apply: Box::new(apply),
            requests: reload_rx,
            state: reload_state,
            every: settings.auto_reload,
            loaded: config.checksum,
        };
        let door = Door {
            places: Arc::new(Semaphore::new(settings.max_connections)),
            web,
            head_timeout: settings.read_timeout,
        };
        Ok(Self {
            store,
            durability,
            discovery,
            scraping,
            commits,
            reloader,
            listeners,
            routers,
            intake,
            door,
            jobs,
            is_pushed_to: collector_http || collector_grpc,
            is_asked: query_enabled,
            shutdown,
        })
    }

    /// The addresses that are bound, with their real ports.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.addresses()
    }

    /// Says what a person needs to know at start.
    fn announce(&self) {
        let stats = self.store.stats();
        tracing::info!(
            blocks = stats.blocks,
            block_spans = stats.block_spans,
            head_spans = stats.head_spans,
            durability = durability_text(self.durability),
            memory_mib = stats.memory.bytes >> 20,
            "the store is open"
        );
        match &self.reloader.config_file {
            Some(path) => tracing::info!(
                file = %path.display(),
                jobs = self.jobs,
                "the configuration is loaded"
            ),
            None if self.is_pushed_to => {
                tracing::info!("no configuration file: nothing is scraped, spans can be pushed")
            }
            None => tracing::info!("no configuration file: nothing is scraped"),
        }
        for address in self.addresses() {
            tracing::info!(%address, "listening");
        }
        let others = self.listeners.others();
        for (protocol, address) in &others {
            tracing::info!(protocol, %address, "taking spans");
        }
        if self.door.web.as_ref().is_some_and(|web| web.keeps_strangers_out()) {
            return;
        }
        let warn = |addresses: Vec<SocketAddr>, what: &str| {
            let reachable = addresses.iter().filter(|address| !address.ip().is_loopback());
            let addresses = reachable.map(ToString::to_string).collect::<Vec<_>>().join(" ");
            if !addresses.is_empty() {
                tracing::warn!(
                    addresses,
                    "everyone who reaches these addresses can {what}: no authentication is configured"
                );
            }
        };
        match (self.is_pushed_to, self.is_asked) {
            (true, true) => warn(self.addresses(), "send spans, and read them"),
            (true, false) => warn(self.addresses(), "send spans"),
            (false, true) => warn(self.addresses(), "read spans"),
            (false, false) => {}
        }
        warn(others.into_iter().map(|(_, address)| address).collect(), "send spans");
    }

    /// Runs until `shutdown` is cancelled or a part fails; returns when everything has stopped.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let Self {
            store,
            discovery,
            scraping,
            commits,
            reloader,
            listeners,
            routers,
            intake,
            door,
            shutdown,
            ..
        } = self;
        let _stop_all = shutdown.clone().drop_guard();
        // While scrapes that are under way end, there is somebody who says that the program stops.
        let closing = CancellationToken::new();
        let until_scraped = closing.clone().drop_guard();
        let mut tasks: JoinSet<&'static str> = JoinSet::new();
        let main = listeners.main.into_iter().map(|listener| (listener, routers.main.clone()));
        let otlp_grpc = listeners.otlp_grpc.map(|listener| (listener, routers.otlp_grpc.clone()));
        let otlp_http = listeners.otlp_http.map(|listener| (listener, routers.otlp_http.clone()));
        for (listener, router) in main.chain(otlp_grpc).chain(otlp_http) {
            let serving = server::serve(listener, router, door.clone(), closing.clone());
            tasks.spawn(async move {
                serving.await;
                "serving"
            });
        }
        for socket in listeners.jaeger_udp {
            let receiving = collect::jaeger_udp(intake.clone(), socket, closing.clone());
            tasks.spawn(named("receiving", receiving));
        }
        // The routers hold handles to every part; the last one must go before the end.
        drop((routers, intake, door));
        tasks.spawn(named("discovery", discovery.run(shutdown.clone())));
        let scraping = scraping.run(shutdown.clone());
        tasks.spawn(named("scraping", async move {
            let _until_scraped = until_scraped;
            scraping.await;
        }));
        tasks.spawn(named("committing", commit(commits, store.clone())));
        tasks.spawn(named("reloading", reloader.run(shutdown.clone())));
        let mut failed = None;
        while let Some(ended) = tasks.join_next().await {
            // A part that ends before shutdown takes the program with it: running without it would
            // lose spans silently.
            let wanted = shutdown.is_cancelled();
            shutdown.cancel();
            match ended {
                Ok(_) if wanted => {}
                Ok(part) => failed = failed.or(Some(anyhow::anyhow!("{part} ended by itself"))),
                Err(error) => {
                    failed = failed.or(Some(anyhow::Error::new(error).context("a part failed")))
                }
            }
        }
        // On a thread of its own: those for blocking work may all be held by queries.
        let (closed_tx, closed) = oneshot::channel();
        std::thread::Builder::new().name("close".to_owned()).spawn(move || {
            let _ = closed_tx.send(store.close());
        })?;
        closed.await?.context("cannot close the store")?;
        failed.map_or(Ok(()), Err)
    }
}

/// What guards the doors, if there is such a file.
fn web_config(settings: &Settings) -> anyhow::Result<Option<Arc<WebConfig>>> {
    let Some(path) = &settings.web_config_file else { return Ok(None) };
    let mut warnings = Vec::new();
    let web = WebConfig::open(path, &mut warnings);
    let web = web.with_context(|| format!("--web.config.file={}", path.display()))?;
    for warning in warnings {
        tracing::warn!(file = %path.display(), "{warning}");
    }
    let (tls, http2) = (web.speaks_tls(), web.offers_http2());
    tracing::info!(file = %path.display(), tls, http2, "the web configuration is loaded");
    if tls && !http2 {
        tracing::warn!("http2 is turned off: gRPC, which needs it, is not answered");
    }
    Ok(Some(Arc::new(web)))
}

/// How long spans are kept, in Prometheus' words: `1w or 50GiB`. Empty is for ever.
fn retention_text(options: &sigyn_store::Options) -> String {
    let time = options.retention_time.map(sigyn_discovery::config::format_duration);
    let size = options.retention_bytes.map(sigyn_discovery::config::format_size);
    time.into_iter().chain(size).collect::<Vec<_>>().join(" or ")
}

/// The store as the variables let it be asked.
fn asker(environment: &Environment, store: &Store) -> Asker {
    Asker::new(store.clone(), environment.query_timeout, strictness(environment))
}

fn strictness(environment: &Environment) -> Strictness {
    match environment.strict_trace_id {
        true => Strictness::Strict,
        false => Strictness::Lenient,
    }
}

/// The UI of Zipkin's that is to be served in place of our own.
fn ui_folder(settings: &Settings) -> anyhow::Result<Option<UiFolder>> {
    let folder = settings.ui_dir.as_deref().filter(|_| settings.environment.ui_enabled);
    Ok(folder.map(|folder| UiFolder::open(folder, settings.ui_base_path())).transpose()?)
}

/// Whatever answers with what is stored, as far as it is turned on.
fn answers(
    settings: &Settings,
    asker: &Asker,
    known: Known,
    ui_folder: Option<UiFolder>,
) -> Router {
    let environment = Arc::new(settings.environment.clone());
    let mut router = Router::new();
    if environment.query_enabled {
        router = router
            .merge(api::zipkin::router(asker.clone(), Arc::clone(&environment)))
            .merge(api::jaeger::router(asker.clone(), environment.search_enabled))
            .merge(api::search::router(asker, &environment))
            .merge(api::red::router(asker, &environment))
            .merge(api::heatmap::router(asker, &environment))
            .merge(api::words::router(asker, &environment))
            .merge(api::differences::router(asker, &environment))
            .merge(api::tags::router(asker.clone()))
            .merge(api::trace_view::router(asker.clone(), known));
    }
    if environment.ui_enabled {
        router = router
            .merge(api::ui_config::router(&environment.ui))
            .merge(api::ui::redirects(settings.outside_path()));
        router = match ui_folder {
            Some(folder) => router.merge(api::ui_folder::router(folder)),
            None => {
                if let Some(path) = settings.unusable_base_path() {
                    tracing::warn!(
                        ZIPKIN_UI_BASEPATH = path,
                        "this path does not end in zipkin: it has no effect on Sigyn's own UI"
                    );
                }
                router.merge(api::ui::router(settings.ui_base(), settings.page_title.clone()))
            }
        };
    }
    router
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

/// Hands scraped batches to the store and tells the scraper what became of each. Ends when the
/// scraper has ended and everything it handed over is answered.
async fn commit(mut commits: mpsc::Receiver<Commit>, store: Store) {
    let permits = Arc::new(Semaphore::new(COMMITS_AT_ONCE));
    let mut appends = JoinSet::new();
    while let Some(Commit { batch, done }) = commits.recv().await {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
        let store = store.clone();
        appends.spawn(async move {
            let outcome = store.append_waiting(batch).await;
            let outcome = outcome.map_err(|error| match error {
                AppendError::TooLarge => CommitError::TooLarge,
                error => CommitError::Failed(format!("{:#}", anyhow::Error::new(error))),
            });
            // The scraper may have given up on this target meanwhile; the commit stands.
            let _ = done.send(outcome);
            drop(permit);
        });
        while appends.try_join_next().is_some() {}
    }
    while appends.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn signals_at_once_are_one_signal() {
        let (mut signals, mut n) = ([0, 5, 194, 1].into_iter(), 0);
        second_signal(async || {
            tokio::time::sleep(Duration::from_millis(signals.next().unwrap())).await;
            n += 1;
            "SIGTERM"
        })
        .await;
        assert_eq!(n, 4);
    }
}

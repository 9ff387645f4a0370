//! Reads the configuration again: at SIGHUP, on request, and where that is asked for whenever its files
//! have changed.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::api::admin::ReloadRequest;
use crate::checksum::{Checksum, checksum};
use crate::config::Config;
use crate::metrics::ReloadState;

/// Tells every part what is configured.
pub(crate) struct Reloader {
    pub(crate) config_file: Option<PathBuf>,
    /// Hands a configuration without a mistake to whoever follows it.
    pub(crate) apply: Box<dyn Fn(&Config) + Send + Sync>,
    pub(crate) requests: mpsc::Receiver<ReloadRequest>,
    pub(crate) state: Arc<ReloadState>,
    /// How often to look whether files have changed, if at all.
    pub(crate) every: Option<Duration>,
    /// Of the configuration that it begins with.
    pub(crate) loaded: Option<Checksum>,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("config_file", &self.config_file).finish_non_exhaustive()
    }
}

impl Reloader {
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => Some(hangup),
            Err(error) => {
                tracing::error!(%error, "cannot watch for SIGHUP: reload by POST /-/reload");
                None
            }
        };
        let every = self.every.filter(|_| self.config_file.is_some());
        let mut ticks = every.map(|every| {
            let mut ticks = interval_at(Instant::now() + every, every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            let tick = async {
                match &mut ticks {
                    Some(ticks) => ticks.tick().await,
                    None => std::future::pending().await,
                }
            };
            let answer = tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hung_up => None,
                request = self.requests.recv() => match request {
                    Some(answer) => Some(answer),
                    // The routes are gone: the program is stopping.
                    None => return,
                },
                _ = tick => {
                    // Small files are read: it blocks no longer than a reload does.
                    if self.config_file.as_deref().map(checksum) == self.loaded {
                        continue;
                    }
                    tracing::info!("the configuration has changed, reloading it");
                    None
                }
            };
            let outcome = self.reload().map(|checksum| self.loaded = checksum);
            self.state.record(outcome.is_ok());
            match &outcome {
                Ok(()) => {
                    tracing::info!("the configuration is reloaded");
                }
                Err(error) => {
                    tracing::error!(%error, "cannot reload the configuration: the old one stays")
                }
            }
            if let Some(answer) = answer {
                let _ = answer.send(outcome);
            }
        }
    }

    /// All or nothing: a configuration with a mistake changes nothing.
    fn reload(&self) -> Result<Option<Checksum>, String> {
        let path = self.config_file.as_deref();
        let config =
            Config::load(path).map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
        (self.apply)(&config);
        Ok(config.checksum)
    }
}

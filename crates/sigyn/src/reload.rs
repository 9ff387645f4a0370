//! Reads the configuration again: at SIGHUP, on request, and where that is asked for whenever its files
//! have changed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sigyn_discovery::config::files_of;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::api::admin::ReloadRequest;
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
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("config_file", &self.config_file).finish_non_exhaustive()
    }
}

/// Of what files say.
type Checksum = [u8; 32];

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
        let mut loaded = self.checksum();
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
                    if self.checksum() == loaded {
                        continue;
                    }
                    tracing::info!("the configuration has changed, reloading it");
                    None
                }
            };
            // Taken before the files are read: what changes meanwhile is noticed the next time.
            let read = self.checksum();
            let outcome = self.reload();
            self.state.record(outcome.is_ok());
            match &outcome {
                Ok(()) => {
                    loaded = read;
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
    fn reload(&self) -> Result<(), String> {
        let path = self.config_file.as_deref();
        let config =
            Config::load(path).map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
        (self.apply)(&config);
        Ok(())
    }

    /// `None` if nobody wants to know. Small files are read: it blocks no longer than a reload does.
    fn checksum(&self) -> Option<Checksum> {
        self.every?;
        Some(checksum(self.config_file.as_deref()?))
    }
}

/// Of the file and of those that it names in `scrape_config_files`: names and content. One that cannot
/// be read counts as empty, so that a change back is a change, too. Files with targets, and with
/// secrets, are followed by others.
fn checksum(path: &Path) -> Checksum {
    let mut sum = Sha256::new();
    let mut add = |kind: &[u8], path: &Path, content: &[u8]| {
        for part in [kind, path.as_os_str().as_encoded_bytes(), content] {
            sum.update(part);
            sum.update([0]);
        }
    };
    let text = std::fs::read(path).unwrap_or_default();
    add(b"", path, &text);
    let dir = path.parent().unwrap_or(Path::new(""));
    for path in files_of(&String::from_utf8_lossy(&text), dir) {
        add(b"s", &path, &std::fs::read(&path).unwrap_or_default());
    }
    sum.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_in_any_of_the_files_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sigyn.yml");
        let mut seen = vec![checksum(&path)];
        let mut changed = |what: &str| {
            let now = checksum(&path);
            assert_eq!(now, checksum(&path), "{what}");
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        let text = "scrape_config_files: ['jobs/*.yml']\n";
        fs::write(&path, text).unwrap();
        changed("the file is there");
        fs::create_dir(folder.path().join("jobs")).unwrap();
        fs::write(folder.path().join("jobs/a.yml"), "").unwrap();
        changed("a file that it names is there");
        fs::write(folder.path().join("jobs/a.yml"), "scrape_configs: []").unwrap();
        changed("a file that it names says something else");
        fs::rename(folder.path().join("jobs/a.yml"), folder.path().join("jobs/b.yml")).unwrap();
        changed("a file that it names has another name");
        fs::write(&path, format!("{text}global: [")).unwrap();
        changed("the file cannot be understood");
        fs::write(folder.path().join("jobs/c.txt"), "").unwrap();
        fs::write(&path, text).unwrap();
        assert_eq!(checksum(&path), seen[4], "what it does not name does not matter");
    }
}

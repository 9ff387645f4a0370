//! `file_sd_configs`: target groups from YAML and JSON files, read again whenever they change.

mod names;
mod read;
#[cfg(test)]
mod tests;
mod watcher;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::de::MapAccess;
use tokio::sync::Notify;
use tokio::task;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::read::Reader;
pub use self::read::{ReadError, read_file};
pub(crate) use self::watcher::Watcher;
use super::{Context, Find, Mechanism, StartError};
use crate::config::{Form, Key, joined, parse_duration};
use crate::labels::quoted;
use crate::yaml::{Entry, Section};

/// How long a change is left to settle: writing a file is several events.
const SETTLE: Duration = Duration::from_millis(50);

/// How long after a look the next one begins at the earliest, however often something changes.
const PAUSE: Duration = Duration::from_millis(500);

const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(300);

const EXTENSIONS: [&str; 6] = [".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"];

/// An entry of `file_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileConfig {
    /// `files`: paths, with `*` in the last element at most.
    pub files: Vec<String>,
    /// `refresh_interval`; zero was not written.
    pub refresh_interval: Duration,
}

impl Section for FileConfig {
    const NAME: &'static str = "file.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "files" => self.files = entry.texts()?,
            "refresh_interval" => {
                self.refresh_interval = entry.parsed(parse_duration)?.unwrap_or_default()
            }
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// Why an entry is refused. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileConfigError {
    /// `files` is missing or empty.
    #[error("file service discovery config must contain at least one path name")]
    NoFiles,
    /// A path with another extension, or with a `*` before its last element.
    #[error("path name {} is not valid for file discovery", quoted(.0))]
    Path(String),
}

impl FileConfig {
    fn validate(&self, dir: &Path) -> Result<Config, FileConfigError> {
        if self.files.is_empty() {
            return Err(FileConfigError::NoFiles);
        }
        let is_valid = |path: &str| {
            EXTENSIONS.iter().any(|end| path.strip_suffix(end).is_some_and(is_pattern))
        };
        if let Some(path) = self.files.iter().find(|path| !is_valid(path)) {
            return Err(FileConfigError::Path(path.clone()));
        }
        let refresh_interval = if self.refresh_interval.is_zero() {
            DEFAULT_REFRESH_INTERVAL
        } else {
            self.refresh_interval
        };
        Ok(Config {
            patterns: self.files.iter().map(|path| joined(dir, path)).collect(),
            refresh_interval,
        })
    }
}

/// An entry of `file_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The files, joined to the directory of the configuration.
    pub patterns: Vec<PathBuf>,
    /// How often to look even if nothing seems to have changed.
    pub refresh_interval: Duration,
}

impl Mechanism for Config {
    const KEY: &'static str = "file_sd_configs";
    const KIND: &'static str = "file";
    type Written = FileConfig;
    const SHOWN: &'static [Key] = &[
        Key::new("files", Form::Paths),
        Key::new("refresh_interval", Form::Duration).or("5m").unless_empty(),
    ];

    fn check(written: &FileConfig, dir: &Path) -> Result<Self, String> {
        written.validate(dir).map_err(|error| error.to_string())
    }

    fn refresh_interval(&self) -> Duration {
        self.refresh_interval
    }

    fn server(&self) -> String {
        let patterns = self.patterns.iter().map(|pattern| pattern.display().to_string());
        patterns.collect::<Vec<_>>().join(", ")
    }
}

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        follow(self, context).await;
        Ok(())
    }
}

/// Whether a `*`, if any, stands in the last element of the path.
pub(crate) fn is_pattern(path: &str) -> bool {
    path.split_once('*').is_none_or(|(_, after)| !after.contains('/'))
}

/// The files that a pattern stands for, sorted. What cannot be listed is not there.
pub fn matches(pattern: &Path) -> Vec<PathBuf> {
    let text = pattern.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        let exists = pattern.symlink_metadata().is_ok();
        return exists.then(|| pattern.to_owned()).into_iter().collect();
    }
    glob::glob(&text).map(|paths| paths.flatten().collect()).unwrap_or_default()
}

/// Reads the files whenever they change, and once an interval.
async fn follow(config: Config, context: Context) {
    let changed = Arc::new(Notify::new());
    let mut ticks = interval(config.refresh_interval.max(SETTLE));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reader = Reader::new(config.patterns, &context);
    let mut pause_until = Instant::now();
    loop {
        let settled = async {
            changed.notified().await;
            sleep_until(pause_until.max(Instant::now() + SETTLE)).await;
            // What follows from the same write is looked at with it.
            pin!(changed.notified()).enable();
        };
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            _ = ticks.tick() => {}
            () = settled => {}
        }
        let (watcher, notify) = (Arc::clone(&context.watcher), Arc::clone(&changed));
        let read = task::spawn_blocking(move || {
            // Watched first, so that no change falls between the look and the watch.
            for (dir, names) in reader.directories() {
                watcher.subscribe(&dir, names, &notify);
            }
            let groups = reader.read();
            (reader, groups)
        });
        let Ok((back, groups)) = read.await else {
            // Only a panic or the runtime's end gets here; the manager counts it, and starts anew.
            return;
        };
        reader = back;
        pause_until = Instant::now() + PAUSE;
        if let Some(groups) = groups
            && !context.send(groups).await
        {
            return;
        }
    }
}

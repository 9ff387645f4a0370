//! How far an import came, in a small file, so that the next run goes on from there.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::tally::Tally;

const VERSION: u32 = 1;

/// What was asked for, which is what must be asked for again to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) lookback_ms: u64,
    /// `None` if it was "now".
    pub(super) end_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    version: u32,
    pub(super) order: Order,
    /// The order's whole range, fixed when the import began.
    pub(super) first_ms: u64,
    pub(super) last_ms: u64,
    /// Everything before is done.
    pub(super) next_ms: u64,
    pub(super) width_ms: u64,
    pub(super) tally: Tally,
}

impl State {
    /// An import that begins.
    pub(super) fn new(order: Order, now_ms: u64, width_ms: u64) -> Self {
        let last_ms = order.end_ms.unwrap_or(now_ms);
        let first_ms = last_ms.saturating_sub(order.lookback_ms);
        let tally = Tally::default();
        Self { version: VERSION, order, first_ms, last_ms, next_ms: first_ms, width_ms, tally }
    }

    /// The unfinished import that a file tells of, if there is one. An error if it is another one.
    pub(super) fn load(path: &Path, order: &Order) -> anyhow::Result<Option<Self>> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let state: Self = serde_json::from_slice(&text).with_context(|| {
            format!("{} is no state of an import: --restart replaces it", path.display())
        })?;
        if state.version != VERSION || state.order != *order {
            bail!(
                "{} belongs to an unfinished import with other flags (from {} to {}): repeat those, or begin anew with --restart",
                path.display(),
                state.order.from,
                state.order.to
            );
        }
        Ok(Some(state))
    }

    /// Replaces the file, so that a kill leaves either the old or the new one.
    pub(super) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let save = || -> anyhow::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.persist(path)?;
            Ok(())
        };
        save().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A finished import leaves nothing behind.
pub(super) fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// In the current folder, named for the source.
pub(super) fn default_path(from: &str) -> PathBuf {
    let host = from.split_once("://").map_or(from, |(_, host)| host);
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '-' };
    PathBuf::from(format!("sigyn-import-{}.json", host.chars().map(plain).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        let (from, to) = ("http://127.0.0.2:9411".to_owned(), "http://127.0.0.1:9411".to_owned());
        Order { from, to, lookback_ms: 1_000, end_ms: None }
    }

    #[test]
    fn an_import_goes_on_only_as_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(State::load(&path, &order()).unwrap(), None);
        let mut state = State::new(order(), 5_000, 10);
        assert_eq!((state.first_ms, state.last_ms, state.next_ms), (4_000, 5_000, 4_000));
        state.next_ms = 4_500;
        state.tally.refuse(3, "id is empty");
        state.save(&path).unwrap();
        assert_eq!(State::load(&path, &order()).unwrap(), Some(state));
        let other = Order { end_ms: Some(5_000), ..order() };
        assert!(State::load(&path, &other).unwrap_err().to_string().contains("--restart"));
        std::fs::write(&path, "{").unwrap();
        assert!(State::load(&path, &order()).unwrap_err().to_string().contains("--restart"));
        remove(&path).unwrap();
        remove(&path).unwrap();
    }

    #[test]
    fn the_file_is_named_for_the_source() {
        let check = |from: &str, name: &str| assert_eq!(default_path(from), Path::new(name));
        check("http://127.0.0.2:9411", "sigyn-import-127.0.0.2-9411.json");
        check("http://[::1]:9411/zipkin", "sigyn-import----1--9411-zipkin.json");
    }
}

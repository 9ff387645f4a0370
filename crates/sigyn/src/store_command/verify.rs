//! Whether a store is what was written.

use std::path::Path;

use serde_json::json;
use sigyn_store::Looked;

use super::progress::Progress;
use super::{counted, offline};
use crate::Failure;
use crate::cli::OutputFormat;
use crate::stdout::print;

pub(super) fn run(path: &Path, output: OutputFormat) -> Result<(), Failure> {
    let store = offline(path)?;
    let mut progress = Progress::new("reading");
    let damages = store.verify(|Looked { bytes, of_bytes }| progress.at(bytes, of_bytes));
    let damaged = damages.iter();
    print(&match output {
        OutputFormat::Json => {
            let damaged = damaged.map(|one| json!({"file": one.file, "cause": one.cause}));
            format!("{:#}\n", json!({"damaged": damaged.collect::<Vec<_>>()}))
        }
        OutputFormat::Table if damages.is_empty() => "everything is as it was written\n".to_owned(),
        OutputFormat::Table => {
            damaged.map(|one| format!("{}: {}\n", one.file, one.cause)).collect()
        }
    })?;
    if damages.is_empty() {
        return Ok(());
    }
    Err(Failure::work(anyhow::anyhow!(
        counted(damages.len() as u64, "file is", "files are") + " damaged"
    )))
}

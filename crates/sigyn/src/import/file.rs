//! From files: one after the other, each in pieces.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::content;
use super::progress::Progress;
use super::tally::Tally;
use super::tracer::Tracer;
use crate::Failure;
use crate::cli::{ImportFlags, ImportFormat};

/// A file is held in memory, and so is what it unpacks to: neither is larger.
const FILE_BYTES_MAX: usize = 2 << 30;
/// The name of standard input.
const STDIN: &str = "-";
/// How finely progress within a file is told.
const PARTS_OF_FILE: u64 = 1_000;

pub(super) async fn import(
    flags: &ImportFlags,
    tracer: &Tracer,
    progress: &Arc<Progress>,
) -> Result<Tally, Failure> {
    tracer.probe().await.context("cannot ask the tracer")?;
    let mut files = Files { tracer, progress, traces: HashSet::new(), tally: Tally::default() };
    let all = flags.files.len() as u64 * PARTS_OF_FILE;
    for (n, path) in (0..).zip(&flags.files) {
        files.import(path, flags.format, (n * PARTS_OF_FILE, all)).await?;
    }
    Ok(files.tally)
}

#[derive(Debug)]
struct Files<'a> {
    tracer: &'a Tracer,
    progress: &'a Progress,
    /// All that were seen, since a trace may stand in many pieces.
    traces: HashSet<sigyn_model::TraceId>,
    tally: Tally,
}

impl Files<'_> {
    /// What cannot be read is told, counted and passed over; an error means that the tracer fails.
    async fn import(
        &mut self,
        path: &Path,
        format: Option<ImportFormat>,
        (done, all): (u64, u64),
    ) -> anyhow::Result<()> {
        let name = path.display().to_string();
        let body = match read(path) {
            Ok(body) => body,
            Err(error) => {
                self.unread(&name, &error);
                return Ok(());
            }
        };
        if body.trim_ascii().is_empty() {
            return Ok(());
        }
        let Some(format) = format.or_else(|| content::detect(&body, &name)) else {
            self.unread(&name, &content::ContentError::Unknown.into());
            return Ok(());
        };
        let text = match format.is_json() {
            true => String::from_utf8_lossy(&body),
            false => "".into(),
        };
        for (at, piece) in content::pieces(&body, &text, format) {
            let part = match piece {
                Ok(part) => part,
                Err(error) => {
                    self.unread(&name, &error.into());
                    continue;
                }
            };
            self.traces.extend(part.items.iter().map(|item| item.trace_id));
            self.tally.traces = self.traces.len() as u64;
            let sent = self.tracer.deliver(part, &mut self.tally).await;
            sent.with_context(|| format!("cannot import {name}"))?;
            let within = at as u64 * PARTS_OF_FILE / body.len() as u64;
            self.progress.at(done + within, all, &self.tally);
        }
        Ok(())
    }

    fn unread(&mut self, name: &str, error: &anyhow::Error) {
        self.tally.unread += 1;
        self.progress.tell(&format!("{name}: {error:#}"));
    }
}

/// The plain bytes of a file.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut reader: Box<dyn Read> = match path.to_str() {
        Some(STDIN) => Box::new(std::io::stdin().lock()),
        _ => Box::new(File::open(path).context("cannot be opened")?),
    };
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    reader.by_ref().take(limit).read_to_end(&mut bytes).context("cannot be read")?;
    anyhow::ensure!(bytes.len() <= FILE_BYTES_MAX, "is larger than {} GiB", FILE_BYTES_MAX >> 30);
    Ok(content::plain(bytes, FILE_BYTES_MAX)?)
}

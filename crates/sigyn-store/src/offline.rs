//! A store that no program runs, as it lies on the disk: what there is, and whether it is what was written.

use std::collections::HashSet;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use sigyn_model::{Span, TraceId};
use tracing::subscriber::{NoSubscriber, with_default};

use crate::block::audit::AuditError;
use crate::block::writer::{self, Origin};
use crate::block::{self, Block, QueryFailed};
use crate::catalog::{self, BlockEntry};
use crate::clock::Clock;
use crate::damage::{Damage, sentence};
use crate::disk::Disk;
use crate::error::OpenError;
use crate::facts::Strictness;
use crate::identify;
use crate::memory::Memory;
use crate::merge::{Merge, Parting};
use crate::options::Options;
use crate::quarantine;
use crate::recovery::{self, Recovered, io_error, unusable};
use crate::stop::Stop;
use crate::wal::frame;

/// A store as a program would have it that opened it now. Nothing of it is changed, and it may be on read-only
/// media; where it is not, no program can open it for as long as this lives.
#[derive(Debug)]
pub struct Offline {
    recovered: Recovered,
}

/// A block, as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockSummary {
    /// Its path in the store's directory.
    pub file: String,
    pub bytes: u64,
    pub spans: u64,
    pub traces: u64,
    /// When the first and the last of its batches arrived.
    pub arrivals_ms: (u64, u64),
    /// The earliest and the latest timestamp, if there is any.
    pub starts_ns: Option<(u64, u64)>,
    /// Whether it has what came late, and only that.
    pub is_late: bool,
    /// Whether it has the traces with errors, or those without; nothing if it has both.
    pub errors: Option<bool>,
    /// What its columns take, and what else is in the file.
    pub columns: Result<Vec<(String, u64)>, String>,
}

/// Files of one sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub count: u64,
    pub bytes: u64,
}

/// How far a look at everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    pub bytes: u64,
    pub of_bytes: u64,
}

/// Spans that are in no block yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSummary {
    pub files: Files,
    pub spans: u64,
    pub traces: u64,
    /// When the first and the last of its batches arrived.
    pub arrivals_ms: Option<(u64, u64)>,
    /// The earliest and the latest timestamp, if there is any.
    pub starts_ns: Option<(u64, u64)>,
}

/// A block that was made elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    pub file: String,
    pub spans: u64,
}

/// So many blocks are compared with what they tell at once: each takes as much memory as what it tells, twice.
const BLOCKS_AT_ONCE: usize = 2;

impl Offline {
    /// Errors if there is no store, or if a program has it open.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let disk = Disk::Still(path.to_owned());
        if !identify::is_there(&disk)? {
            return Err(unusable("", "there is no store"));
        }
        let mut options = Options::new(path);
        // No block can be made of what the log has, however much that is.
        options.memory = Memory { head: u64::MAX, ..options.memory };
        // What would be done, and is not, nobody should be told as done.
        let opened = || recovery::recover(disk, options, Clock::System);
        Ok(Self { recovered: with_default(NoSubscriber::default(), opened)? })
    }

    pub fn instance_id(&self) -> u64 {
        self.recovered.shared.instance
    }

    fn disk(&self) -> &Disk {
        &self.recovered.shared.disk
    }

    fn entries(&self) -> &[BlockEntry] {
        &self.recovered.catalog.state().blocks
    }

    /// In the order in which they arrived.
    pub fn blocks(&self) -> impl Iterator<Item = BlockSummary> {
        self.entries().iter().map(|entry| BlockSummary {
            file: path(entry),
            bytes: entry.bytes,
            spans: entry.spans,
            traces: entry.traces,
            arrivals_ms: (entry.first_arrival_ms, entry.last_arrival_ms),
            starts_ns: entry.starts_ns,
            is_late: entry.is_late,
            errors: entry.errors,
            columns: Block::open(self.disk(), entry, &Arc::default())
                .and_then(|block| block.columns())
                .map_err(|error| sentence(&error)),
        })
    }

    pub fn log(&self) -> Result<LogSummary, OpenError> {
        let head = self.recovered.head.view();
        let mut starts_ns: Option<(u64, u64)> = None;
        for (_, trace) in head.traces() {
            let facts = trace.facts();
            if let (Some(start), Some(latest)) = (facts.start, facts.latest) {
                let (start, latest) = (start.nanos(), latest.nanos());
                let (first, last) = starts_ns.unwrap_or((start, latest));
                starts_ns = Some((first.min(start), last.max(latest)));
            }
        }
        Ok(LogSummary {
            files: self.files(frame::DIR, ".wal")?,
            spans: head.span_count(),
            traces: head.trace_count(),
            arrivals_ms: head.arrivals_ms(),
            starts_ns,
        })
    }

    /// What was set aside because it is damaged, or nobody knows it.
    pub fn quarantine(&self) -> Result<Files, OpenError> {
        self.files(quarantine::DIR, "")
    }

    /// How many targets' progress is known as of the last block.
    pub fn targets(&self) -> u64 {
        self.recovered.catalog.state().progress.all().len() as u64
    }

    /// Traces that were deleted, and of which something may still be in a block.
    pub fn deleted_traces(&self) -> u64 {
        self.recovered.catalog.state().tombstones.len() as u64
    }

    /// Files whose names end like this.
    fn files(&self, dir: &str, end: &str) -> Result<Files, OpenError> {
        let files = self.disk().list(dir).map_err(io_error("listing", dir))?;
        let bytes = files.into_iter().filter(|(name, _)| name.ends_with(end));
        let bytes = bytes.map(|(_, bytes)| bytes);
        Ok(bytes.fold(Files::default(), |all, bytes| Files {
            count: all.count + 1,
            bytes: all.bytes + bytes,
        }))
    }

    /// How many spans there are, if all can be read.
    pub fn spans(&self) -> u64 {
        let in_blocks: u64 = self.entries().iter().map(|entry| entry.spans).sum();
        in_blocks + self.recovered.head.view().span_count()
    }

    /// How many files turned out to be damaged so far, and the first of them.
    pub fn damages(&self) -> (u64, Vec<Damage>) {
        self.recovered.shared.counters.damages.all()
    }

    /// As [`Store::each_spans`](crate::Store::each_spans).
    pub fn each_spans(
        &self,
        stop: &Stop,
        mut each: impl FnMut(Vec<Span>),
    ) -> Result<(), QueryFailed> {
        let shared = &self.recovered.shared;
        shared.view.parts().each_spans(stop, &mut each, |block, source| {
            shared.set_aside(block, source);
        })
    }

    /// Whether a trace is there; `None` if it is not in what can be read, and that is not all.
    pub fn has(&self, id: TraceId) -> Option<bool> {
        let parts = self.recovered.shared.view.parts();
        let mut is_all_readable = parts.blocks.len() == self.entries().len();
        let in_heads = parts.heads.iter().any(|head| head.trace(id.into()).is_some());
        let mut seen = parts.blocks.iter();
        let is_there = in_heads
            || seen.any(|block| {
                let found = block.group(id.into(), Strictness::Strict);
                is_all_readable &= found.is_ok();
                !parts.buried.hides(block.entry().last_seq, id)
                    && found.is_ok_and(|found| !found.is_empty())
            });
        (is_there || is_all_readable).then_some(is_there)
    }

    /// Makes blocks of what was not deleted of a block, in a folder that is there: one, or none where nothing
    /// is left. `None` if nothing was deleted of it, and a copy of its file is as good.
    pub fn copy_undeleted(&self, file: &str, to: &Path) -> Result<Option<Vec<Copied>>, OpenError> {
        let parts = self.recovered.shared.view.parts();
        let entry = self.entries().iter().position(|entry| path(entry) == file);
        let Some((nth, entry)) = entry.map(|nth| (nth, &self.entries()[nth])) else {
            return Ok(None);
        };
        let mut gone = parts.buried.of(entry.last_seq).peekable();
        if gone.peek().is_none() {
            return Ok(None);
        }
        let failed = |error: &dyn std::error::Error| unusable(file, sentence(error));
        let block = Block::open(self.disk(), entry, &Arc::default());
        let block = block.map_err(|error| failed(&error))?;
        let mut has_any = false;
        for key in gone {
            let found = block.group(key, Strictness::Strict).map_err(|error| failed(&error))?;
            has_any |= !found.is_empty();
        }
        if !has_any {
            return Ok(None);
        }
        let disk = Disk::Real(to.to_owned());
        disk.create_dir(block::DIR).map_err(io_error("making", block::DIR))?;
        let merge = Merge {
            disk: &disk,
            instance: self.instance_id(),
            // No two of them may get the same name.
            number: self.recovered.catalog.next_number() + nth as u64,
            blocks: vec![Arc::new(block)],
            buried: parts.buried.clone(),
            parting: Parting::No,
            bytes_max: self.recovered.shared.options.memory.making,
        };
        let made = merge.begin().and_then(|mut merging| {
            while !merging.step(&|| false)? {}
            merging.finish(&|| false)
        });
        let made = made.map_err(|error| {
            // Only if nothing else is in it.
            let _ = std::fs::remove_dir(disk.locate(block::DIR));
            failed(&error)
        })?;
        put_beside(&disk, made).map(Some)
    }

    /// Makes a block of what is in no block yet, in a folder that is there; `None` if there is nothing.
    pub fn copy_log(&self, to: &Path) -> Result<Option<Copied>, OpenError> {
        let head = self.recovered.head.view();
        if head.is_empty() {
            return Ok(None);
        }
        let disk = Disk::Real(to.to_owned());
        let last_seq = self.recovered.writer.last_seq();
        let first_seq = self.recovered.catalog.state().sealed_through + 1;
        let origin = Origin::sealed(self.instance_id(), first_seq, last_seq);
        disk.create_dir(block::DIR).map_err(io_error("making", block::DIR))?;
        let written = writer::write(&disk, origin, &head, u64::MAX, || false);
        let entry = written.map_err(|error| unusable(frame::DIR, sentence(&error)))?;
        Ok(put_beside(&disk, vec![entry])?.pop())
    }

    /// Reads everything, and compares checksums, and what blocks tell beside their rows with what these say.
    /// `looked` is called now and then.
    pub fn verify(&self, mut looked: impl FnMut(Looked)) -> Vec<Damage> {
        // Of all else that was found when it was opened.
        let (_, mut damages) = self.damages();
        let of_catalog = catalog::look(self.disk(), self.instance_id()).unwrap_or_else(|error| {
            vec![Damage { file: catalog::DIR.to_owned(), cause: sentence(&error) }]
        });
        let is_new = |one: &Damage| !damages.iter().any(|other| other.file == one.file);
        let of_catalog: Vec<Damage> = of_catalog.into_iter().filter(is_new).collect();
        damages.extend(of_catalog);
        let told: HashSet<String> = damages.iter().map(|one| one.file.clone()).collect();
        let left: Vec<&BlockEntry> =
            self.entries().iter().filter(|entry| !told.contains(&path(entry))).collect();
        let of_bytes = left.iter().map(|entry| entry.bytes).sum();
        let (disk, next, mut bytes) = (self.disk(), AtomicUsize::new(0), 0);
        let mut found: Vec<(usize, String)> = Vec::new();
        looked(Looked { bytes, of_bytes });
        thread::scope(|scope| {
            let (done, dones) = mpsc::sync_channel(BLOCKS_AT_ONCE);
            let cores = thread::available_parallelism().map_or(1, NonZero::get);
            for _ in 0..cores.min(BLOCKS_AT_ONCE) {
                let (done, left, next) = (done.clone(), &left, &next);
                scope.spawn(move || {
                    while let at = next.fetch_add(1, Ordering::Relaxed)
                        && let Some(entry) = left.get(at)
                        && done.send((at, verify_block(disk, entry))).is_ok()
                    {}
                });
            }
            drop(done);
            for (at, verified) in dones {
                bytes += left[at].bytes;
                looked(Looked { bytes, of_bytes });
                found.extend(verified.err().map(|cause| (at, cause)));
            }
        });
        found.sort_unstable();
        let damage = |(at, cause): (usize, String)| Damage { file: path(left[at]), cause };
        damages.extend(found.into_iter().map(damage));
        damages
    }
}

fn verify_block(disk: &Disk, entry: &BlockEntry) -> Result<(), String> {
    let block = Block::open(disk, entry, &Arc::default()).map_err(|error| sentence(&error))?;
    let mut part = 0;
    while block.check(part).map_err(|error| sentence(&error))?.is_some() {
        part += 1;
    }
    block.audit().map_err(|error| match error {
        AuditError::Read(QueryFailed::Block { source, .. }) => sentence(&source),
        other => sentence(&other),
    })
}

/// Moves blocks out of the folder that they were made in, and removes that.
fn put_beside(disk: &Disk, made: Vec<BlockEntry>) -> Result<Vec<Copied>, OpenError> {
    for entry in &made {
        let is_there = disk.exists(&entry.name).map_err(io_error("looking for", &entry.name))?;
        if is_there {
            return Err(unusable(&entry.name, "there is such a file already"));
        }
        let renamed = disk.rename(&path(entry), &entry.name);
        renamed.map_err(io_error("writing", &entry.name))?;
    }
    let removed = std::fs::remove_dir(disk.locate(block::DIR));
    removed.and_then(|()| disk.sync_dir("")).map_err(io_error("removing", block::DIR))?;
    Ok(made.into_iter().map(|entry| Copied { file: entry.name, spans: entry.spans }).collect())
}

fn path(entry: &BlockEntry) -> String {
    format!("{}/{}", block::DIR, entry.name)
}

#[cfg(test)]
mod tests;

//! A store that no program runs, as it lies on the disk: what there is, and whether it is what was written.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use sigyn_model::Span;

use crate::block::{self, Block, QueryFailed};
use crate::catalog::{BlockEntry, Opened, State};
use crate::damage::{Damage, sentence};
use crate::disk::{Disk, Lock};
use crate::error::OpenError;
use crate::facts::{Strictness, TraceKey};
use crate::identify::{self, Identified};
use crate::identity;
use crate::misnamed;
use crate::recovery::{LOCK, QUARANTINE, io_error, unusable};
use crate::stop::Stop;
use crate::wal::frame::{self, Header};
use crate::wal::reader;
use crate::wal::spare;

/// Keeps programs from opening the store for as long as it lives. Nothing of the store is changed, but
/// that files of the catalog go that were never finished.
#[derive(Debug)]
pub struct Offline {
    disk: Disk,
    instance: u64,
    state: State,
    /// Of the catalog.
    damages: Vec<Damage>,
    _lock: Lock,
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

impl Offline {
    /// Errors if there is no store, or if a program has it open.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let disk = Disk::Real(path.to_owned());
        let none = || unusable(&disk, "", "there is no store");
        if !identify::is_there(&disk)? {
            return Err(none());
        }
        let lock = disk.lock(LOCK).map_err(io_error(&disk, "lock", LOCK))?;
        let lock = lock.ok_or_else(|| OpenError::Locked { path: disk.locate("") })?;
        let Identified { instance, opened, damage, .. } =
            identify::find(&disk)?.ok_or_else(none)?;
        let Opened { catalog, damaged, .. } = opened;
        let damages = damaged.into_iter().map(|(file, cause)| (file, sentence(&cause)));
        let identity = damage.map(|cause| (identity::PATH.to_owned(), cause));
        let damages = identity.into_iter().chain(damages);
        let damages = damages.map(|(file, cause)| Damage { file, cause });
        Ok(Self {
            instance,
            state: catalog.state().clone(),
            damages: damages.collect(),
            disk,
            _lock: lock,
        })
    }

    pub fn instance_id(&self) -> u64 {
        self.instance
    }

    /// In the order in which they arrived.
    pub fn blocks(&self) -> impl Iterator<Item = BlockSummary> {
        self.state.blocks.iter().map(|entry| BlockSummary {
            file: path(entry),
            bytes: entry.bytes,
            spans: entry.spans,
            traces: entry.traces,
            arrivals_ms: (entry.first_arrival_ms, entry.last_arrival_ms),
            starts_ns: entry.starts_ns,
            is_late: entry.is_late,
            errors: entry.errors,
            columns: Block::open(&self.disk, entry, &Arc::default())
                .and_then(|block| block.columns())
                .map_err(|error| sentence(&error)),
        })
    }

    /// Spans that are in no block yet are in these.
    pub fn log(&self) -> Result<Files, OpenError> {
        self.files(frame::DIR, ".wal")
    }

    /// What was set aside because it is damaged, or nobody knows it.
    pub fn quarantine(&self) -> Result<Files, OpenError> {
        self.files(QUARANTINE, "")
    }

    /// How many targets' progress is known as of the last block.
    pub fn targets(&self) -> u64 {
        self.state.progress.all().len() as u64
    }

    /// Traces that were deleted, and of which something may still be in a block.
    pub fn deleted_traces(&self) -> u64 {
        self.state.tombstones.len() as u64
    }

    /// Files whose names end like this.
    fn files(&self, dir: &str, end: &str) -> Result<Files, OpenError> {
        let files = self.disk.list(dir).map_err(io_error(&self.disk, "list", dir))?;
        let bytes = files.into_iter().filter(|(name, _)| name.ends_with(end));
        let bytes = bytes.map(|(_, bytes)| bytes);
        Ok(bytes.fold(Files::default(), |all, bytes| Files {
            count: all.count + 1,
            bytes: all.bytes + bytes,
        }))
    }

    /// Reads everything, and compares checksums, and what indexes say with what there is. `looked` is
    /// called now and then.
    pub fn verify(&self, mut looked: impl FnMut(Looked)) -> Result<Vec<Damage>, OpenError> {
        let mut damages = self.damages.clone();
        let mut log =
            self.disk.list(frame::DIR).map_err(io_error(&self.disk, "list", frame::DIR))?;
        log.retain(|(name, _)| !name.ends_with(spare::SUFFIX));
        let blocks = || self.state.blocks.iter().map(|entry| entry.bytes);
        let of_bytes = log.iter().map(|(_, bytes)| *bytes).chain(blocks()).sum();
        let mut bytes = 0;
        for (number, (name, len)) in log.iter().enumerate() {
            looked(Looked { bytes, of_bytes });
            bytes += len;
            let file = format!("{}/{name}", frame::DIR);
            if let Some(cause) = self.log_damage(&file, number + 1 == log.len())? {
                damages.push(Damage { file, cause });
            }
        }
        for entry in &self.state.blocks {
            looked(Looked { bytes, of_bytes });
            if let Err(cause) = self.verify_block(entry) {
                damages.push(Damage { file: path(entry), cause });
            }
            bytes += entry.bytes;
        }
        looked(Looked { bytes, of_bytes });
        Ok(damages)
    }

    fn log_damage(&self, path: &str, is_last: bool) -> Result<Option<String>, OpenError> {
        let read = self.disk.read_what_is_left(path);
        let (bytes, lost_bytes) = read.map_err(io_error(&self.disk, "read", path))?;
        let header = match Header::decode(&bytes) {
            Ok(header) => header,
            // A crash may have been faster than the first header.
            Err(_) if is_last && bytes.len() <= frame::HEADER_BYTES && lost_bytes == 0 => {
                return Ok(None);
            }
            Err(error) => return Ok(Some(sentence(&error))),
        };
        if let Some(cause) = misnamed::cause(path, &header) {
            return Ok(Some(cause));
        }
        if lost_bytes > 0 {
            return Ok(Some(format!("{lost_bytes} bytes of it cannot be read")));
        }
        let bytes = if is_last { reader::without_torn_end(&bytes, &header) } else { &bytes };
        let outcome = reader::read(bytes, &header, |_| {});
        let spots = outcome.damaged_spots(is_last);
        Ok((spots > 0).then(|| format!("{spots} spots are no frames")))
    }

    fn verify_block(&self, entry: &BlockEntry) -> Result<(), String> {
        let block =
            Block::open(&self.disk, entry, &Arc::default()).map_err(|error| sentence(&error))?;
        let mut part = 0;
        while block.check(part).map_err(|error| sentence(&error))?.is_some() {
            part += 1;
        }
        let mut spans = 0u64;
        let mut traces: HashMap<TraceKey, u64> = HashMap::new();
        let read = block.read_all(&Stop::default(), &mut |span: Span| {
            spans += 1;
            *traces.entry(span.trace_id.into()).or_default() += 1;
        });
        read.map_err(|error| match error {
            QueryFailed::Block { source, .. } => sentence(&source),
            other => sentence(&other),
        })?;
        let found = (spans, traces.len() as u64);
        if found != (entry.spans, entry.traces) {
            return Err(format!(
                "it has {} spans of {} traces, and the catalog says {} of {}",
                found.0, found.1, entry.spans, entry.traces
            ));
        }
        // The same again, but by way of the index.
        let mut keys: Vec<TraceKey> = traces.keys().copied().collect();
        keys.sort_unstable();
        let read = block.read(&keys, Strictness::Strict, &Stop::default(), &mut |span| {
            if let Some(rows) = traces.get_mut(&span.trace_id.into()) {
                *rows = rows.wrapping_sub(1);
            }
        });
        read.map_err(|error| sentence(&error))?;
        match traces.iter().find(|(_, rows)| **rows != 0) {
            Some((TraceKey { high, low }, _)) => {
                Err(format!("its index does not find trace {high:016x}{low:016x} as it is"))
            }
            None => Ok(()),
        }
    }
}

fn path(entry: &BlockEntry) -> String {
    format!("{}/{}", block::DIR, entry.name)
}

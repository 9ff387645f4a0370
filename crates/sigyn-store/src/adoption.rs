//! Blocks that the catalog does not name: what a crash left, and what a damaged catalog has forgotten.

use std::cmp::Ordering;

use crate::block::Block;
use crate::block::{self, description};
use crate::catalog::{self, BlockEntry, Catalog, Change};
use crate::damage::sentence;
use crate::disk::{Disk, TEMPORARY};
use crate::error::OpenError;
use crate::head::Replayed;
use crate::progress::Progress;
use crate::recovery::{io_error, quarantine};
use crate::shared::Counters;
use crate::wal::frame::{self, Header};
use crate::wal::reader;

/// Whoever goes through the blocks that the catalog does not name.
#[derive(Debug)]
pub(crate) struct Adoption<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) instance: u64,
    pub(crate) counters: &'a Counters,
    pub(crate) catalog: &'a mut Catalog,
    /// Whether the catalog may have forgotten blocks.
    pub(crate) is_torn: bool,
}

impl Adoption<'_> {
    /// Only what surely is nothing goes for good. What has spans that nobody else has is taken in,
    /// and what might be something is set aside.
    pub(crate) fn run(mut self) -> Result<(), OpenError> {
        let files = self.disk.list(block::DIR);
        let files = files.map_err(io_error(self.disk, "list", block::DIR))?;
        let is_missing = |entry: &&BlockEntry| {
            files.binary_search_by(|(name, _)| name.cmp(&entry.name)).is_err()
        };
        let named = self.catalog.state().blocks.iter();
        // A copy of the directory may be of more than one moment, and so may what a repaired file
        // system has: then others have what is in these.
        let missing: Vec<BlockEntry> = named.filter(is_missing).cloned().collect();
        for (name, bytes) in &files {
            if self.catalog.state().blocks.iter().any(|block| block.name == *name) {
                continue;
            }
            let path = format!("{}/{name}", block::DIR);
            let finished = name.strip_suffix(TEMPORARY);
            let Some((last_seq, _)) = block::origin_of(finished.unwrap_or(name)) else {
                tracing::warn!(path, "a file among the blocks is none of ours; it stays");
                continue;
            };
            let is_retired = last_seq <= self.catalog.state().sealed_through && !self.is_torn;
            if finished.is_some() || (is_retired && missing.is_empty()) {
                // Never finished, or retired while somebody read it.
                self.remove(&path)?;
                continue;
            }
            match description::examine(self.disk, name, *bytes, self.instance) {
                Ok(block)
                    if is_retired && !missing.iter().any(|other| overlap(block.entry(), other)) =>
                {
                    self.remove(&path)?;
                }
                Ok(block) => match self.place_of(block.entry())? {
                    Some(replaced) => self.take_in(&path, &block, replaced)?,
                    None => self.set_aside(&path, "others have what is in it")?,
                },
                Err(error) => self.set_aside(&path, &sentence(&error))?,
            }
        }
        let (sealed, begins) = (self.catalog.state().sealed_through, self.log_begins()?);
        if begins != u64::MAX && begins > sealed + 1 {
            let cause = format!(
                "frames {} to {} are neither in the log nor in a block; their spans are missing",
                sealed + 1,
                begins - 1
            );
            self.counters.damages.add(frame::DIR, &cause);
        }
        Ok(())
    }

    /// Which blocks a block stands for, if no block that is there has what is in it, or the log alone and
    /// nothing before it.
    fn place_of(&self, found: &BlockEntry) -> Result<Option<Vec<String>>, OpenError> {
        let state = self.catalog.state();
        if found.last_seq > state.sealed_through {
            let is_next = found.first_seq == state.sealed_through + 1;
            let is_first =
                found.first_seq > state.sealed_through && self.log_begins()? >= found.first_seq;
            return Ok((is_next || is_first).then(Vec::new));
        }
        let mut replaced = Vec::new();
        let (mut has_kin, mut is_kin_missing) = (false, false);
        for other in &state.blocks {
            let age = commit_of(found).cmp(&commit_of(other));
            let is_kin = match age {
                // Those made by the same commit share its spans, and none has those of another.
                Ordering::Equal if commit_of(found).is_some() => false,
                Ordering::Greater => may_have(found, other),
                Ordering::Equal | Ordering::Less => may_have(other, found),
            };
            if !is_kin {
                continue;
            }
            let path = format!("{}/{}", block::DIR, other.name);
            let is_there = self.disk.exists(&path);
            let is_there = is_there.map_err(io_error(self.disk, "look for", &path))?;
            has_kin = true;
            is_kin_missing |= !is_there;
            let is_inside = found.first_seq <= other.first_seq && other.last_seq <= found.last_seq;
            // Blocks that stand together are merged, and of those all that are whole.
            let is_merged = age == Ordering::Greater && other.is_whole();
            if is_inside && (!is_there || is_merged) {
                replaced.push(other.name.clone());
            }
        }
        // It was made of them, or they of it, and they are gone; or they are there, and it may go.
        Ok((!has_kin || is_kin_missing).then_some(replaced))
    }

    fn take_in(&mut self, path: &str, block: &Block, remove: Vec<String>) -> Result<(), OpenError> {
        let entry = block.entry().clone();
        let progress = self.progress_through(entry.last_seq)?;
        let change = Change {
            sealed_through: entry.last_seq,
            progress: progress.since(&self.catalog.state().progress),
            add: vec![entry],
            remove,
            ..Change::default()
        };
        match self.catalog.commit(change) {
            Ok(()) => tracing::warn!(path, "took in a block that the catalog did not know"),
            // As on a full disk. Where the log has it all, that will do.
            Err(error) if !error.is_final() && self.log_begins()? <= block.entry().first_seq => {
                tracing::warn!(path, error = %sentence(&error), "cannot take in a block yet");
            }
            Err(error) => {
                return Err(io_error(self.disk, "write", catalog::DIR)(error.into()));
            }
        }
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), OpenError> {
        self.disk.remove(path).map_err(io_error(self.disk, "remove", path))
    }

    fn set_aside(&self, path: &str, cause: &str) -> Result<(), OpenError> {
        self.counters.quarantined_files.add(1);
        tracing::warn!(path, cause, "the catalog does not know a block; it goes to the quarantine");
        quarantine(self.disk, path).map_err(io_error(self.disk, "set aside", path))
    }

    fn segments(&self) -> Result<Vec<String>, OpenError> {
        let files = self.disk.list(frame::DIR).map_err(io_error(self.disk, "list", frame::DIR))?;
        Ok(files.into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".wal")).collect())
    }

    /// The number of the first frame that the log may have.
    fn log_begins(&self) -> Result<u64, OpenError> {
        let segments = self.segments()?;
        let first = segments.first().and_then(|name| name.strip_suffix(".wal")?.parse().ok());
        Ok(first.unwrap_or(u64::MAX))
    }

    /// Progress as of this frame, as far as the catalog and the log say it.
    fn progress_through(&self, last_seq: u64) -> Result<Progress, OpenError> {
        let state = self.catalog.state();
        let mut progress = state.progress.clone();
        for name in self.segments()? {
            let path = format!("{}/{name}", frame::DIR);
            let bytes = self.disk.read(&path).map_err(io_error(self.disk, "read", &path))?;
            let bytes = bytes.unwrap_or_default();
            let Ok(header) = Header::decode(&bytes) else { continue };
            if header.instance != self.instance {
                continue;
            }
            reader::read(&bytes, &header, |frame| {
                if frame.seq > last_seq || frame.seq <= state.sealed_through {
                    return;
                }
                if let Ok(Replayed { progress: Some(one), arrival_ms }) =
                    Replayed::of(frame.payload)
                {
                    progress.put(one, arrival_ms);
                }
            });
        }
        Ok(progress)
    }
}

/// Of which commit a merged block is.
fn commit_of(entry: &BlockEntry) -> Option<u64> {
    block::origin_of(&entry.name).and_then(|(_, merged)| merged).map(|(commit, _)| commit)
}

fn overlap(one: &BlockEntry, other: &BlockEntry) -> bool {
    other.first_seq <= one.last_seq && one.first_seq <= other.last_seq
}

/// Whether spans of an older block may be in a newer one. What was parted once stays so.
fn may_have(newer: &BlockEntry, older: &BlockEntry) -> bool {
    overlap(newer, older)
        && (newer.is_late || !older.is_late)
        && older.errors.is_none_or(|errors| newer.errors == Some(errors))
}

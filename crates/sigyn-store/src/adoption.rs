//! Blocks that the catalog does not name: what a crash left, and what a damaged catalog has forgotten.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::block::{self, description};
use crate::catalog::{self, BlockEntry, Catalog, Change};
use crate::damage::sentence;
use crate::disk::{Disk, TEMPORARY};
use crate::error::OpenError;
use crate::head::Replayed;
use crate::progress::Progress;
use crate::quarantine;
use crate::recovery::io_error;
use crate::shared::Counters;
use crate::wal::frame::{self, HEADER_BYTES, Header};
use crate::wal::reader;
use crate::wal::window::Window;

/// Whoever goes through the blocks that the catalog does not name.
#[derive(Debug)]
pub(crate) struct Adoption<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) instance: u64,
    pub(crate) counters: &'a Counters,
    pub(crate) catalog: &'a mut Catalog,
    /// Whether the catalog may have forgotten blocks.
    pub(crate) is_torn: bool,
    /// Whether all that it knew at first is lost: then nobody knows what others were made of.
    pub(crate) is_base_lost: bool,
}

/// Blocks that one commit would have named: all of a merge that can be read, or one that was sealed.
#[derive(Debug)]
struct Found {
    first_seq: u64,
    last_seq: u64,
    parts: Vec<BlockEntry>,
}

/// What becomes of such blocks.
#[derive(Debug)]
enum Place {
    /// They are taken in, instead of these.
    In(Vec<String>),
    /// Frames before them are nowhere, unless in blocks that are not taken in yet.
    AfterGap,
    /// Others have what is in them.
    Out,
}

impl Adoption<'_> {
    /// Only what surely is nothing goes for good. What has spans that nobody else has is taken in,
    /// and what might be something is set aside.
    pub(crate) fn run(mut self) -> Result<(), OpenError> {
        let found = self.find()?;
        let mut after_gaps = Vec::new();
        for found in found {
            match self.place_of(&found)? {
                Place::In(replaced) => self.take_in(&found, replaced)?,
                Place::AfterGap => after_gaps.push(found),
                Place::Out => self.set_aside_all(&found)?,
            }
        }
        after_gaps.sort_by_key(|found| (found.first_seq, found.last_seq));
        for found in after_gaps {
            match self.place_of(&found)? {
                Place::In(replaced) => self.take_in(&found, replaced)?,
                // The log has them, and what is before them.
                Place::AfterGap if self.log_begins()? < found.first_seq => {
                    self.set_aside_all(&found)?;
                }
                Place::AfterGap => {
                    self.tell_gap(found.first_seq);
                    self.take_in(&found, Vec::new())?;
                }
                Place::Out => self.set_aside_all(&found)?,
            }
        }
        let begins = self.log_begins()?;
        if begins != u64::MAX {
            self.tell_gap(begins);
        }
        Ok(())
    }

    /// Blocks that may have spans that nobody else has: those that were sealed, then those that were
    /// merged, each in the order in which they were made. What has none goes.
    fn find(&self) -> Result<Vec<Found>, OpenError> {
        let files = self.disk.list(block::DIR);
        let files = files.map_err(io_error("listing", block::DIR))?;
        let state = self.catalog.state();
        let is_missing = |entry: &&BlockEntry| {
            files.binary_search_by(|(name, _)| name.cmp(&entry.name)).is_err()
        };
        // A copy of the directory may be of more than one moment, and so may what a repaired file
        // system has: then others have what is in these.
        let missing: Vec<&BlockEntry> = state.blocks.iter().filter(is_missing).collect();
        let is_log_whole = self.log_begins()? <= state.sealed_through + 1;
        let mut found: BTreeMap<(Option<u64>, u64), Vec<BlockEntry>> = BTreeMap::new();
        for (name, bytes) in &files {
            if state.blocks.iter().any(|block| block.name == *name) {
                continue;
            }
            let path = path_of(name);
            let finished = name.strip_suffix(TEMPORARY);
            let Some((last_seq, merged)) = block::origin_of(finished.unwrap_or(name)) else {
                tracing::warn!(path, "a file among the blocks is none of ours; it stays");
                continue;
            };
            let is_retired = last_seq <= state.sealed_through && !self.is_torn;
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
                Ok(block) => {
                    let key = (merged.map(|(commit, _)| commit), last_seq);
                    found.entry(key).or_default().push(block.entry().clone());
                }
                Err(error) => {
                    let cause = sentence(&error);
                    if last_seq > state.sealed_through && !is_log_whole {
                        let cause = format!("{cause}; its spans may be nowhere else");
                        self.counters.damages.add(&path, &cause);
                    }
                    self.set_aside(&path, &cause)?;
                }
            }
        }
        let found = found.into_iter().map(|((_, last_seq), parts)| Found {
            first_seq: parts.iter().map(|part| part.first_seq).min().unwrap_or(last_seq),
            last_seq,
            parts,
        });
        Ok(found.collect())
    }

    /// What becomes of blocks, by those that are named. What is there stays, unless the found ones
    /// surely have all of it; what is not goes if they may have it.
    fn place_of(&self, found: &Found) -> Result<Place, OpenError> {
        let state = self.catalog.state();
        if found.first_seq > state.sealed_through + 1 {
            return Ok(Place::AfterGap);
        }
        let mut inside = Vec::new();
        let (mut has_kin, mut is_kin_missing) = (false, false);
        for other in &state.blocks {
            if !found.parts.iter().any(|part| are_kin(part, other)) {
                continue;
            }
            let path = path_of(&other.name);
            let is_there = self.disk.exists(&path);
            let is_there = is_there.map_err(io_error("looking for", &path))?;
            has_kin = true;
            is_kin_missing |= !is_there;
            if found.first_seq <= other.first_seq && other.last_seq <= found.last_seq {
                inside.push((other, is_there));
            }
        }
        // Of what is newer than the last block that is named the log may have nothing any more.
        let is_only =
            found.last_seq > state.sealed_through && self.log_begins()? > state.sealed_through + 1;
        // Where nobody knows, what is in both is shown once.
        if has_kin && !is_kin_missing && !is_only && !self.is_base_lost {
            return Ok(Place::Out);
        }
        // A merge adds nothing: if those inside are all that it was made of, as many spans are the
        // same ones.
        let spans: u64 = found.parts.iter().map(|part| part.spans).sum();
        let through =
            inside.iter().fold(found.first_seq.saturating_sub(1), |through, (other, _)| {
                if other.first_seq <= through + 1 { through.max(other.last_seq) } else { through }
            });
        let is_all =
            through == found.last_seq && spans >= inside.iter().map(|(other, _)| other.spans).sum();
        let stands_for = |other: &BlockEntry| {
            // Whoever is newer has what was late apart: a part of it may be all that is left.
            let has_rest = |part: &BlockEntry| {
                are_kin(part, other) && (!is_newer(part, other) || part.is_late == other.is_late)
            };
            found.parts.iter().any(has_rest)
        };
        let replaced = inside.into_iter();
        let replaced =
            replaced.filter(|(other, is_there)| is_all || (!is_there && stands_for(other)));
        Ok(Place::In(replaced.map(|(other, _)| other.name.clone()).collect()))
    }

    fn take_in(&mut self, found: &Found, remove: Vec<String>) -> Result<(), OpenError> {
        let progress = self.progress_through(found.last_seq)?;
        let change = Change {
            sealed_through: found.last_seq,
            progress: progress.since(&self.catalog.state().progress),
            add: found.parts.clone(),
            remove,
            ..Change::default()
        };
        let names = || found.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>();
        match self.catalog.commit(change) {
            Ok(()) => {
                tracing::warn!(blocks = ?names(), "took in blocks that the catalog did not know");
            }
            // As on a full disk. Where the log has it all that will do, and so it will if no frame of the
            // log gets a number that is in them.
            Err(error)
                if !error.is_final()
                    && (found.last_seq <= self.catalog.state().sealed_through
                        || self.log_begins()? <= found.first_seq) =>
            {
                tracing::warn!(blocks = ?names(), error = %sentence(&error), "cannot take in blocks yet");
            }
            Err(error) => {
                return Err(io_error("writing", catalog::DIR)(error.into()));
            }
        }
        Ok(())
    }

    /// Says which frames before this one are lost, if any are.
    fn tell_gap(&self, next_seq: u64) {
        let first_seq = self.catalog.state().sealed_through + 1;
        // What came before the first block of all may have had its time.
        let is_known = !self.is_base_lost || first_seq > 1;
        if first_seq < next_seq && is_known {
            let cause = format!(
                "frames {first_seq} to {} are neither in the log nor in a block; their spans are missing",
                next_seq - 1
            );
            self.counters.damages.add(frame::DIR, &cause);
        }
    }

    fn set_aside_all(&self, found: &Found) -> Result<(), OpenError> {
        let mut parts = found.parts.iter();
        parts.try_for_each(|part| self.set_aside(&path_of(&part.name), "others have what is in it"))
    }

    fn remove(&self, path: &str) -> Result<(), OpenError> {
        self.disk.remove(path).map_err(io_error("removing", path))
    }

    fn set_aside(&self, path: &str, cause: &str) -> Result<(), OpenError> {
        self.counters.quarantined_files.add(1);
        tracing::warn!(path, cause, "the catalog does not know a block; it goes to the quarantine");
        quarantine::put(self.disk, path).map_err(io_error("setting aside", path))
    }

    /// Their names, and how many bytes they have.
    fn segments(&self) -> Result<Vec<(String, u64)>, OpenError> {
        let files = self.disk.list(frame::DIR).map_err(io_error("listing", frame::DIR))?;
        Ok(files.into_iter().filter(|(name, _)| name.ends_with(".wal")).collect())
    }

    /// The number of the first frame that the log may have.
    fn log_begins(&self) -> Result<u64, OpenError> {
        let segments = self.segments()?;
        let first = segments.first().and_then(|(name, _)| name.strip_suffix(".wal")?.parse().ok());
        Ok(first.unwrap_or(u64::MAX))
    }

    /// Progress as of this frame, as far as the catalog and the log say it.
    fn progress_through(&self, last_seq: u64) -> Result<Progress, OpenError> {
        let state = self.catalog.state();
        let mut progress = state.progress.clone();
        for (name, file_bytes) in self.segments()? {
            let path = format!("{}/{name}", frame::DIR);
            let mut bytes = Window::new(self.disk, &path, file_bytes);
            let header = bytes.from(0, HEADER_BYTES).map_err(io_error("reading", &path))?;
            let Ok(header) = Header::decode(header) else { continue };
            if header.instance != self.instance {
                continue;
            }
            let read = reader::read(&mut bytes, &header, |frame| {
                if frame.seq <= last_seq
                    && frame.seq > state.sealed_through
                    && let Ok(Replayed { progress: Some(one), arrival_ms }) =
                        Replayed::of(frame.payload)
                {
                    progress.put(one, arrival_ms);
                }
                Ok::<_, std::io::Error>(())
            });
            read.map_err(io_error("reading", &path))?;
        }
        Ok(progress)
    }
}

fn path_of(name: &str) -> String {
    format!("{}/{name}", block::DIR)
}

/// Of which commit a merged block is.
fn commit_of(entry: &BlockEntry) -> Option<u64> {
    block::origin_of(&entry.name).and_then(|(_, merged)| merged).map(|(commit, _)| commit)
}

fn is_newer(one: &BlockEntry, other: &BlockEntry) -> bool {
    commit_of(one) > commit_of(other)
}

fn overlap(one: &BlockEntry, other: &BlockEntry) -> bool {
    other.first_seq <= one.last_seq && one.first_seq <= other.last_seq
}

/// Whether one may have been made of the other.
fn are_kin(one: &BlockEntry, other: &BlockEntry) -> bool {
    match commit_of(one).cmp(&commit_of(other)) {
        // Those made by the same commit share its spans, and none has those of another.
        Ordering::Equal if commit_of(one).is_some() => false,
        Ordering::Greater => may_have(one, other),
        Ordering::Equal | Ordering::Less => may_have(other, one),
    }
}

/// Whether spans of an older block may be in a newer one. What was parted once stays so.
fn may_have(newer: &BlockEntry, older: &BlockEntry) -> bool {
    overlap(newer, older)
        && (newer.is_late || !older.is_late)
        && older.errors.is_none_or(|errors| newer.errors == Some(errors))
}

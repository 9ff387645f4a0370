//! Finished spans in files of a tmpfs, where they outlive the process: `docs/formats/spool.md`.
//!
//! A process writes its own file, through a mapping, and nobody else's but for acknowledgements. It reads the files of
//! others, dead or alive, by system calls, and trusts nothing in them.

#[cfg(not(target_os = "linux"))]
compile_error!("the feature `spool` needs Linux");

mod bell;
mod directory;
mod foreign;
mod layout;
mod map;
mod names;
pub(crate) mod origin;
pub(crate) mod serve;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;
use crate::room::{Room, Sealed};
use crate::shards::Chunk;
use crate::stats::SpoolStats;
use crate::whole::Own;

pub(crate) use bell::listen;
use directory::Directory;
use foreign::Foreign;
use layout::{Header, Kind};
pub(crate) use map::Slot;
use map::Slots;
pub(crate) use names::Names;

/// Whatever the options say, a slot has room for this.
const STRIDE_MIN: usize = 1024;

/// Where finished spans lie so that they outlive the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolOptions {
    /// A directory of a tmpfs, which is made if it is not there. Processes that have the same one serve each other's spans.
    pub dir: PathBuf,
    /// What all files in it may take. For more, files of processes that are gone are deleted, the oldest first; if that does
    /// not help, a process has no spool.
    pub bytes_max: u64,
}

impl SpoolOptions {
    /// In this directory, up to 256 MiB.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), bytes_max: 256 << 20 }
    }

    /// The directory that `SIGYN_SPOOL` names, if it names one.
    pub fn from_environment() -> Option<Self> {
        let dir = std::env::var_os("SIGYN_SPOOL").filter(|dir| !dir.is_empty())?;
        Some(Self::at(dir))
    }
}

/// A process' own file, and the directory it lies in.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: Directory,
    header: Header,
    /// Locked for as long as the process lives.
    file: File,
    slots: Arc<Slots>,
    names: Arc<Names>,
    bell: bell::Bell,
    /// Rows that could not be written, after which nothing more is spooled.
    rows_unwritten: AtomicU64,
    answered: Mutex<u64>,
    discarded: u64,
}

impl Spool {
    /// A file for an epoch, with room for so many bytes of chunks of so many.
    pub(crate) fn create(
        options: &SpoolOptions,
        epoch: u64,
        own: &Own,
        bytes: usize,
        chunk_bytes: usize,
    ) -> io::Result<Self> {
        let stride = chunk_bytes.max(STRIDE_MIN).next_multiple_of(layout::RUN_HEAD);
        let count = bytes / stride;
        let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let header = Header::new(
            epoch,
            u32::try_from(stride).map_err(too_large)?,
            u32::try_from(count).map_err(too_large)?,
        );
        let directory = Directory::open(options)?;
        let mut discarded = directory.make_room((stride * count) as u64)?;
        loop {
            match Self::begin(directory.clone(), header, own, discarded) {
                // A full file system is like a full directory: the oldest goes that nobody lives in.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    directory.abandon(epoch);
                    discarded += u64::from(!directory.discard_oldest().ok_or(error)?);
                }
                Err(error) => {
                    directory.abandon(epoch);
                    return Err(error);
                }
                begun => return begun,
            }
        }
    }

    fn begin(directory: Directory, header: Header, own: &Own, discarded: u64) -> io::Result<Self> {
        let epoch = header.epoch;
        let (stride, count) = (header.stride as usize, header.slots as usize);
        let file = directory.create(&header)?;
        let (identity, at) = (foreign::identity(own), layout::IDENTITY_AT);
        file.write_all_at(&identity, at)?;
        let slots = Slots::map(file.try_clone()?, header.slots_at, stride, count)?;
        let names = Names::begin(file.try_clone()?, header.names_at)?;
        let bell = bell::Bell::hang(&directory, epoch)?;
        directory.publish(epoch)?;
        Ok(Self {
            directory,
            header,
            file,
            slots: Arc::new(slots),
            names,
            bell,
            rows_unwritten: AtomicU64::new(0),
            answered: Mutex::new(0),
            discarded,
        })
    }

    pub(crate) fn room_bytes_max(&self) -> usize {
        self.slots.room_bytes_max()
    }

    pub(crate) fn room(&self, len: usize, clock: &Clock) -> Option<Slot> {
        let broken = self.rows_unwritten.load(Ordering::Relaxed) > 0;
        if broken || len > self.room_bytes_max() {
            self.slots.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.slots.take(Kind::Plain, clock.wall_offset())
    }

    /// These chunks are a segment from now on: whoever finds the file takes them for one once its row is there, which is
    /// written last. Half-full ones become one, or each scrape would take a slot for every shard.
    pub(crate) fn seal(&self, chunks: Vec<Chunk>, sealed: &Sealed) -> Vec<Chunk> {
        let (mut kept, copied) = self.merge(chunks, sealed);
        for chunk in &mut kept {
            if let Room::Slot(slot) = &mut chunk.bytes {
                let kind = if chunk.is_copy { Kind::Copy } else { Kind::Plain };
                slot.set_segment(kind, sealed.seq);
            }
        }
        let row = sealed.seq % u64::from(self.header.rows);
        let at = layout::ROWS_AT + row * layout::ROW as u64;
        if self.file.write_all_at(&sealed.to_bytes(), at).is_err() {
            self.rows_unwritten.fetch_add(1, Ordering::Relaxed);
        }
        drop(copied);
        kept
    }

    /// The chunks of a segment, and those whose spans are in others of them now.
    fn merge(&self, chunks: Vec<Chunk>, sealed: &Sealed) -> (Vec<Chunk>, Vec<Chunk>) {
        let room = self.room_bytes_max();
        let is_small = |chunk: &Chunk| {
            matches!(chunk.bytes, Room::Slot(_))
                && chunk.origins.is_empty()
                && chunk.bytes.len() < room / 8 * 7
        };
        if chunks.iter().filter(|chunk| is_small(chunk)).count() < 2 {
            return (chunks, Vec::new());
        }
        let (small, mut kept): (Vec<_>, Vec<_>) = chunks.into_iter().partition(is_small);
        let mut copied = Vec::new();
        let mut whole: Option<Chunk> = None;
        for mut chunk in small {
            let has_room = |whole: &Chunk| whole.bytes.len() + chunk.bytes.len() <= room;
            if !whole.as_ref().is_some_and(has_room) {
                kept.extend(whole.take());
                // Of all spans in it, as good as any.
                let slot = self.slots.take(Kind::Copy, sealed.wall_offset);
                whole = slot.map(Chunk::copy_into);
            }
            let Some(into) = &mut whole else {
                kept.push(chunk);
                continue;
            };
            into.add_all(&chunk);
            if let Room::Slot(slot) = &mut chunk.bytes {
                slot.set_segment(Kind::Copied, sealed.seq);
            }
            copied.push(chunk);
        }
        kept.extend(whole);
        for chunk in &mut kept {
            if let Room::Slot(slot) = &mut chunk.bytes {
                slot.close();
            }
        }
        (kept, copied)
    }

    /// Seals were made for whoever rang.
    pub(crate) fn answer(&self) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        *answered += 1;
        // Whoever waits does so for a moment only.
        let _ = self.file.write_all_at(&answered.to_le_bytes(), layout::ANSWERED_AT);
    }

    /// The log ends, and all that is in it is for those who come after.
    pub(crate) fn leave(&self) {
        self.slots.is_left.store(true, Ordering::Relaxed);
    }

    /// Another epoch of the directory.
    pub(crate) fn foreign(&self, epoch: u64) -> Option<Foreign> {
        if epoch == self.header.epoch { None } else { self.directory.foreign(epoch).ok() }
    }

    /// Where a scraper goes on in the own epoch.
    pub(crate) fn next_for(&self, name: &str) -> u64 {
        foreign::acked(&self.file, name)
    }

    /// Notes in the own file how far a scraper has acknowledged.
    pub(crate) fn acknowledge(&self, name: &str, below: u64) {
        foreign::acknowledge(&self.file, name, below);
    }

    /// What siblings were told by scrapers of ours.
    pub(crate) fn acknowledged_below(&self) -> u64 {
        foreign::acks(&self.file).map(|ack| ack.below).max().unwrap_or(0)
    }

    pub(crate) fn stats(&self) -> SpoolStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SpoolStats {
            is_on: load(&self.rows_unwritten) == 0,
            error: None,
            chunks_in_memory: load(&self.slots.refused) + load(&self.slots.left),
            names_unwritten: self.names.unwritten(),
            files_discarded: self.discarded,
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.bell.ring();
    }
}

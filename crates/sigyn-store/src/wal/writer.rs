//! Writes frames to segment files, and knows which segments there are.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::frame::{self, Header};
use crate::disk::{Appender, Disk, parent};
use crate::options::Durability;

/// A segment that has this many bytes is followed by the next.
const SEGMENT_BYTES: u64 = 64 << 20;

/// The end of the log. Owned by the thread that commits.
#[derive(Debug)]
pub(crate) struct Writer {
    disk: Disk,
    instance: u64,
    durability: Durability,
    next_seq: u64,
    current: Option<Current>,
    /// Frames that are written next, and how many they are.
    buffer: Vec<u8>,
    buffered: u64,
    /// When the first of the frames was written that are not synced yet.
    unsynced: Option<Instant>,
}

#[derive(Debug)]
struct Current {
    file: Appender,
    header: Header,
    bytes: u64,
}

/// Frames that were not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The log is as it was before; later writes may succeed.
    #[error("{0}")]
    Refused(io::Error),
    /// What the log holds is unknown, and nothing more may be written.
    #[error("{0}")]
    Unknown(io::Error),
}

/// Segments on disk by their first number, shared with whoever trims them.
#[derive(Debug, Default)]
pub(crate) struct Segments(Mutex<BTreeMap<u64, Segment>>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) last_seq: u64,
    pub(crate) bytes: u64,
    /// Kept for a person to look at when it is no longer needed.
    pub(crate) is_damaged: bool,
}

impl Segments {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Segment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, first_seq: u64, segment: Segment) {
        self.lock().insert(first_seq, segment);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.lock().values().map(|segment| segment.bytes).sum()
    }

    /// Takes out the segments all of whose frames are `through` this number or before.
    pub(crate) fn take_through(&self, through: u64) -> Vec<(u64, Segment)> {
        self.lock().extract_if(.., |_, segment| segment.last_seq <= through).collect()
    }
}

/// Some file systems find room for what is written only when it is synced.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn not_begun() -> WriteError {
    WriteError::Refused(io::Error::other("no segment was begun"))
}

impl Writer {
    pub(crate) fn new(disk: Disk, instance: u64, durability: Durability, next_seq: u64) -> Self {
        Self {
            disk,
            instance,
            durability,
            next_seq,
            current: None,
            buffer: Vec::new(),
            buffered: 0,
            unsynced: None,
        }
    }

    /// The number of the last frame written; zero if none ever was.
    pub(crate) fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Makes sure that there is a segment, for frames that are written together. Says whether it is a new one.
    pub(crate) fn begin(&mut self) -> Result<bool, WriteError> {
        self.buffer.clear();
        self.buffered = 0;
        if self.current.is_some() {
            return Ok(false);
        }
        self.current = Some(self.start_segment()?);
        Ok(true)
    }

    /// Adds a frame to what is written next. `payload` gets its number.
    pub(crate) fn put(
        &mut self,
        payload: impl FnOnce(&mut Vec<u8>, u64),
    ) -> Result<(), WriteError> {
        let Some(current) = &self.current else { return Err(not_begun()) };
        let seq = self.next_seq + self.buffered;
        let put = frame::put(&mut self.buffer, &current.header, seq, |out| payload(out, seq));
        put.map_err(|error| WriteError::Refused(io::Error::other(error)))?;
        self.buffered += 1;
        Ok(())
    }

    /// Writes the frames that were put since it began, at once, and makes them durable.
    pub(crate) fn write(&mut self, segments: &Segments) -> Result<(), WriteError> {
        // Gone until it is known what the file holds.
        let Some(mut current) = self.current.take() else { return Err(not_begun()) };
        if let Err(error) = current.file.write_all(&self.buffer) {
            // Durably: what was refused must not be there after a crash, and its numbers go to others.
            current.file.roll_back(current.bytes).map_err(WriteError::Unknown)?;
            self.current = Some(current);
            return Err(WriteError::Refused(error));
        }
        let first_unsynced = self.unsynced.unwrap_or_else(Instant::now);
        let is_due = match self.durability {
            Durability::Fsync => true,
            Durability::Interval(interval) => first_unsynced.elapsed() >= interval,
            Durability::Os => false,
        };
        if is_due && let Err(error) = current.file.sync() {
            // What was told before is synced already, and what may be lost is cut: nothing is unknown.
            if self.durability == Durability::Fsync && is_full(&error) {
                current.file.roll_back(current.bytes).map_err(WriteError::Unknown)?;
                self.current = Some(current);
                return Err(WriteError::Refused(error));
            }
            return Err(WriteError::Unknown(error));
        }
        self.unsynced = (!is_due).then_some(first_unsynced);
        self.next_seq += self.buffered;
        current.bytes += self.buffer.len() as u64;
        let segment =
            Segment { last_seq: self.last_seq(), bytes: current.bytes, is_damaged: false };
        segments.put(current.header.first_seq, segment);
        self.current = Some(current);
        // One huge batch must not hold its memory for ever.
        self.buffer.shrink_to(8 << 20);
        if segment.bytes >= SEGMENT_BYTES {
            self.end_segment().map_err(WriteError::Unknown)?;
        }
        Ok(())
    }

    /// Durable before its first frame is, so that a crash never leaves frames in a file without a name.
    fn start_segment(&self) -> Result<Current, WriteError> {
        let path = frame::path(self.next_seq);
        let create = || {
            let salt = getrandom::u64().map_err(io::Error::other)?;
            let (bytes, header) = Header::encode(self.instance, self.next_seq, salt);
            let mut file = self.disk.create(&path)?;
            file.write_all(&bytes)?;
            Ok(Current { file, header, bytes: bytes.len() as u64 })
        };
        // Nothing is in it yet: the next try, or the next open, makes a new one of it.
        let current = create().map_err(WriteError::Refused)?;
        let synced = current.file.sync().and_then(|()| self.disk.sync_dir(parent(&path)));
        synced.map_err(WriteError::Unknown)?;
        Ok(current)
    }

    /// When what was written has to be synced, if it has to be.
    pub(crate) fn sync_due(&self) -> Option<Instant> {
        let Durability::Interval(interval) = self.durability else { return None };
        self.unsynced?.checked_add(interval)
    }

    /// Makes what was written durable. After an error nothing is known of it.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.unsynced = None;
        self.current.as_ref().map_or(Ok(()), |current| current.file.sync())
    }

    /// Makes the current segment durable in any mode; the next frame starts a new one.
    pub(crate) fn end_segment(&mut self) -> io::Result<()> {
        self.unsynced = None;
        self.current.take().map_or(Ok(()), |current| current.file.sync())
    }
}

//! Writes frames to segment files, and knows which segments there are.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::frame::{
    self, HEADER_BYTES, Header, TYPE_AGAIN, TYPE_BATCH, TYPE_BATCH_BESIDE, TYPE_END,
};
use super::spare::{Spare, Spares};
use crate::disk::{Appender, Disk, parent};
use crate::options::{Durability, Options};

/// The end of the log. Owned by the thread that commits.
#[derive(Debug)]
pub(crate) struct Writer {
    disk: Disk,
    instance: u64,
    durability: Durability,
    segment_bytes: u64,
    next_seq: u64,
    current: Option<Current>,
    /// Frames that are written next, how many they are, and whether they are to be durable in any mode.
    buffer: Vec<u8>,
    buffered: u64,
    must_sync: bool,
    /// When the first of the frames was written that are not synced yet.
    unsynced: Option<Instant>,
}

#[derive(Debug)]
struct Current {
    file: Appender,
    header: Header,
    bytes: u64,
    /// What the file takes: more, if it was a spare.
    file_bytes: u64,
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
#[derive(Debug)]
pub(crate) struct Segments {
    by_first_seq: Mutex<BTreeMap<u64, Segment>>,
    /// What the file of the last one takes beyond its frames.
    ahead_bytes: AtomicU64,
    pub(crate) spares: Spares,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) last_seq: u64,
    pub(crate) bytes: u64,
    /// Kept for a person to look at when it is no longer needed.
    pub(crate) is_damaged: bool,
}

impl Segments {
    pub(crate) fn new(spares: Spares) -> Self {
        Self { by_first_seq: Mutex::default(), ahead_bytes: AtomicU64::new(0), spares }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Segment>> {
        self.by_first_seq.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, first_seq: u64, segment: Segment) {
        self.lock().insert(first_seq, segment);
    }

    /// What they take, with room that was made ahead.
    pub(crate) fn bytes(&self) -> u64 {
        let ahead_bytes = self.ahead_bytes.load(Ordering::Relaxed) + self.spares.bytes();
        ahead_bytes + self.lock().values().map(|segment| segment.bytes).sum::<u64>()
    }

    fn note_ahead(&self, current: &Current) {
        self.ahead_bytes.store(current.file_bytes - current.bytes, Ordering::Relaxed);
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

/// A segment without a frame could not be synced: if there was only no room for it, the next try makes it anew.
fn not_durable(error: io::Error) -> WriteError {
    if is_full(&error) { WriteError::Refused(error) } else { WriteError::Unknown(error) }
}

fn not_begun() -> WriteError {
    WriteError::Refused(io::Error::other("no segment was begun"))
}

impl Writer {
    pub(crate) fn new(disk: Disk, instance: u64, options: &Options, next_seq: u64) -> Self {
        Self {
            disk,
            instance,
            durability: options.durability,
            segment_bytes: options.segment_bytes,
            next_seq,
            current: None,
            buffer: Vec::new(),
            buffered: 0,
            must_sync: false,
            unsynced: None,
        }
    }

    /// The number of the last frame written; zero if none ever was.
    pub(crate) fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Makes sure that there is a segment, for frames that are written together. Says whether it is a new one.
    pub(crate) fn begin(&mut self, segments: &Segments) -> Result<bool, WriteError> {
        self.buffer.clear();
        self.buffered = 0;
        self.must_sync = false;
        if self.current.is_some() {
            return Ok(false);
        }
        self.current = Some(self.start_segment(&segments.spares)?);
        Ok(true)
    }

    /// Adds a frame to what is written next. `payload` gets its number. What is there again comes first in a
    /// segment.
    pub(crate) fn put(
        &mut self,
        is_again: bool,
        payload: impl FnOnce(&mut Vec<u8>, u64),
    ) -> Result<(), WriteError> {
        let is_first = self.buffered == 0 && self.unsynced.is_none();
        let frame_type = match (is_again, is_first) {
            (true, _) => TYPE_AGAIN,
            (false, true) => TYPE_BATCH,
            (false, false) => TYPE_BATCH_BESIDE,
        };
        // What stood first goes with the block.
        self.must_sync |= is_again;
        self.put_frame(frame_type, payload)
    }

    fn put_frame(
        &mut self,
        frame_type: u8,
        payload: impl FnOnce(&mut Vec<u8>, u64),
    ) -> Result<(), WriteError> {
        let Some(current) = &self.current else { return Err(not_begun()) };
        let seq = self.next_seq + self.buffered;
        let (out, header) = (&mut self.buffer, &current.header);
        let put = frame::put(out, header, frame_type, seq, |out| payload(out, seq));
        put.map_err(|error| WriteError::Refused(io::Error::other(error)))?;
        self.buffered += 1;
        Ok(())
    }

    /// Writes the frames that were put since it began, at once, and makes them durable as the mode says; those
    /// that are there again in any mode.
    pub(crate) fn write(&mut self, segments: &Segments) -> Result<(), WriteError> {
        // Gone until it is known what the file holds.
        let Some(mut current) = self.current.take() else { return Err(not_begun()) };
        while let Err(error) = current.file.write_all(&self.buffer) {
            // Durably: what was refused must not be there after a crash, and its numbers go to others.
            current.cut().map_err(WriteError::Unknown)?;
            segments.note_ahead(&current);
            if !(is_full(&error) && segments.spares.give_up(&self.disk)) {
                self.current = Some(current);
                return Err(WriteError::Refused(error));
            }
        }
        let first_unsynced = self.unsynced.unwrap_or_else(Instant::now);
        let is_due = match self.durability {
            Durability::Fsync => true,
            Durability::Interval(interval) => {
                self.must_sync || first_unsynced.elapsed() >= interval
            }
            Durability::Os => self.must_sync,
        };
        if is_due && let Err(error) = current.file.sync() {
            // What was told before is synced already, and what may be lost is cut: nothing is unknown.
            if self.unsynced.is_none() && is_full(&error) {
                current.cut().map_err(WriteError::Unknown)?;
                segments.note_ahead(&current);
                segments.spares.give_up(&self.disk);
                self.current = Some(current);
                return Err(WriteError::Refused(error));
            }
            return Err(WriteError::Unknown(error));
        }
        self.unsynced = (!is_due).then_some(first_unsynced);
        self.next_seq += self.buffered;
        current.bytes += self.buffer.len() as u64;
        current.file_bytes = current.file_bytes.max(current.bytes);
        let segment =
            Segment { last_seq: self.last_seq(), bytes: current.bytes, is_damaged: false };
        segments.put(current.header.first_seq, segment);
        segments.note_ahead(&current);
        self.current = Some(current);
        // One huge batch must not hold its memory for ever.
        self.buffer.shrink_to(8 << 20);
        if segment.bytes >= self.segment_bytes {
            segments.spares.want();
            match self.end_segment(segments) {
                // All that was told is durable: it goes on, and ends with a later write.
                Err(WriteError::Refused(error)) => {
                    tracing::debug!(%error, "cannot end a segment of the log yet");
                }
                ended => ended?,
            }
        }
        Ok(())
    }

    /// Durable before its first frame is, so that a crash never leaves frames in a file without a name.
    fn start_segment(&self, spares: &Spares) -> Result<Current, WriteError> {
        loop {
            match self.new_segment(spares) {
                Err(WriteError::Refused(error))
                    if is_full(&error) && spares.give_up(&self.disk) => {}
                begun => return begun,
            }
        }
    }

    fn new_segment(&self, spares: &Spares) -> Result<Current, WriteError> {
        let path = frame::path(self.next_seq);
        let salt = getrandom::u64().map_err(io::Error::other).map_err(WriteError::Refused)?;
        let (bytes, header) = Header::encode(self.instance, self.next_seq, salt);
        if let Some(spare) = spares.take() {
            match self.recycle(&spare, &path, &bytes) {
                Ok(file) => {
                    self.disk.sync_dir(parent(&path)).map_err(not_durable)?;
                    let (bytes, file_bytes) = (bytes.len() as u64, spare.bytes);
                    return Ok(Current { file, header, bytes, file_bytes });
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot use a spare segment");
                    // Nothing is in it. If it is in place all the same, it is emptied now.
                    let _ = self.disk.remove(&spare.path);
                }
            }
        }
        let create = || {
            let mut file = self.disk.create(&path)?;
            file.write_all(&bytes)?;
            let bytes = bytes.len() as u64;
            Ok(Current { file, header, bytes, file_bytes: bytes })
        };
        // Nothing is in it yet: the next try, or the next open, makes a new one of it.
        let current = create().map_err(WriteError::Refused)?;
        let synced = current.file.sync().and_then(|()| self.disk.sync_dir(parent(&path)));
        synced.map_err(not_durable)?;
        Ok(current)
    }

    /// Makes a segment of a spare. Its header is durable before its name is that of a segment: under the
    /// header of before, frames that are long in blocks would be valid.
    fn recycle(&self, spare: &Spare, path: &str, header: &[u8]) -> io::Result<Appender> {
        let mut file = self.disk.open_start(&spare.path)?;
        file.write_all(header)?;
        file.sync()?;
        self.disk.rename(&spare.path, path)?;
        Ok(file)
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

    /// Makes the log durable in any mode, and says at its end that it is whole. Where there is no room for
    /// that, it is as if the store had been killed.
    pub(crate) fn close(&mut self, segments: &Segments) -> Result<(), WriteError> {
        if self.current.as_ref().is_some_and(|current| current.bytes > HEADER_BYTES as u64) {
            if self.unsynced.is_some() {
                self.sync().map_err(WriteError::Unknown)?;
            }
            self.begin(segments)?;
            self.put_frame(TYPE_END, |_, _| {})?;
            match self.write(segments) {
                Err(WriteError::Refused(error)) => {
                    tracing::debug!(%error, "cannot mark the end of the log");
                }
                written => written?,
            }
        }
        self.end_segment(segments)
    }

    /// Makes the current segment durable in any mode; the next frame starts a new one. If that is refused, all
    /// frames are durable, and the next one goes to the same segment.
    pub(crate) fn end_segment(&mut self, segments: &Segments) -> Result<(), WriteError> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        if self.unsynced.take().is_some() || current.file_bytes == current.bytes {
            current.file.sync().map_err(WriteError::Unknown)?;
        }
        // What is not the last segment has nothing behind its frames, or it is damaged.
        while current.file_bytes > current.bytes
            && let Err(error) = current.cut()
        {
            // Some file systems need room to cut a file.
            if !is_full(&error) {
                return Err(WriteError::Unknown(error));
            }
            if !segments.spares.give_up(&self.disk) {
                self.current = Some(current);
                return Err(WriteError::Refused(error));
            }
        }
        segments.note_ahead(&current);
        Ok(())
    }
}

impl Current {
    /// Leaves nothing behind what was written well, durably.
    fn cut(&mut self) -> io::Result<()> {
        self.file.roll_back(self.bytes)?;
        self.file_bytes = self.bytes;
        Ok(())
    }
}

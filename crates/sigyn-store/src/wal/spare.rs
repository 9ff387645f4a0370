//! Files for the next segments: those of segments that are no longer needed, as large as a segment gets.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::frame::DIR;
use crate::disk::{Appender, Disk};

/// How the names of spares end. Whoever opens a store removes them: nothing in them is data.
pub(crate) const SUFFIX: &str = ".spare";
const SPARES_MAX: u64 = 2;
/// They may take this part of the bytes that a store is kept within.
const PART_OF_RETENTION: u64 = 16;
/// What is written of one at a time, so that the log's own writes need not wait for it.
const PIECE_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(crate) struct Spares {
    segment_bytes: u64,
    max: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ready: Vec<Spare>,
    /// Not as large yet as it is to be.
    making: Option<Making>,
    /// Of what is in neither of the two, because it is worked on.
    bytes_away: u64,
    named: u64,
    /// Whether a segment was ever filled: a small store has no use for them.
    is_wanted: bool,
    /// Whether the disk was full: nothing may be in the way of what is needed more.
    is_barred: bool,
}

/// A file that a segment can be made of.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) path: String,
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Making {
    spare: Spare,
    file: Appender,
}

impl Spares {
    pub(crate) fn new(segment_bytes: u64, retention_bytes: Option<u64>) -> Self {
        let most = retention_bytes.map_or(u64::MAX, |max| max / PART_OF_RETENTION);
        let max = (most / segment_bytes.max(1)).min(SPARES_MAX);
        Self { segment_bytes, max, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn want(&self) {
        self.lock().is_wanted = true;
    }

    pub(crate) fn bytes(&self) -> u64 {
        let state = self.lock();
        let making = state.making.as_ref().map_or(0, |making| making.spare.bytes);
        state.bytes_away + making + state.ready.iter().map(|spare| spare.bytes).sum::<u64>()
    }

    /// One to make a segment of.
    pub(crate) fn take(&self) -> Option<Spare> {
        self.lock().ready.pop()
    }

    /// Makes a spare of a segment that nobody needs, if there is use for one. If it returns false the
    /// segment is still there.
    pub(crate) fn keep(&self, disk: &Disk, segment: &str, bytes: u64) -> io::Result<bool> {
        let Some(path) = self.next_path(|state| state.making.is_none()) else { return Ok(false) };
        // One huge batch must not take its room for ever.
        if bytes > self.segment_bytes.saturating_mul(2) {
            return Ok(false);
        }
        disk.rename(segment, &path)?;
        // Before a byte of it is changed: after a crash it must not be a segment again.
        let kept = disk.sync_dir(DIR).and_then(|()| disk.open_end(&path));
        match kept {
            Ok(file) => {
                self.put(disk, Making { spare: Spare { path, bytes }, file });
                Ok(true)
            }
            Err(error) => {
                let _ = disk.remove(&path);
                Err(error)
            }
        }
    }

    /// Does a piece of what is to be done for spares. Whether there is more.
    pub(crate) fn step(&self, disk: &Disk) -> bool {
        let taken = {
            let mut state = self.lock();
            let making = state.making.take();
            state.bytes_away = making.as_ref().map_or(0, |making| making.spare.bytes);
            making
        };
        let making = match taken {
            Some(making) => Ok(Some(making)),
            None => self.begin(disk),
        };
        let mut making = match making {
            Ok(Some(making)) => making,
            Ok(None) => return false,
            Err(error) => {
                tracing::debug!(%error, "the log goes without a spare segment");
                self.lock().is_barred = true;
                return false;
            }
        };
        let written = self.fill(&mut making);
        self.lock().bytes_away = 0;
        match written {
            Ok(()) => self.put(disk, making),
            Err(error) => {
                tracing::debug!(%error, "the log goes without a spare segment");
                self.lock().is_barred = true;
                let _ = disk.remove(&making.spare.path);
                false
            }
        }
    }

    /// One that there was no segment for: made ahead, where none is ready.
    fn begin(&self, disk: &Disk) -> io::Result<Option<Making>> {
        let Some(path) = self.next_path(|state| state.ready.is_empty()) else { return Ok(None) };
        let file = disk.create(&path)?;
        Ok(Some(Making { spare: Spare { path, bytes: 0 }, file }))
    }

    fn next_path(&self, is_so: impl FnOnce(&State) -> bool) -> Option<String> {
        let mut state = self.lock();
        let has_room = (state.ready.len() as u64) < self.max;
        if !state.is_wanted || state.is_barred || !has_room || !is_so(&state) {
            return None;
        }
        state.named += 1;
        Some(format!("{DIR}/{:020}{SUFFIX}", state.named))
    }

    /// Writes zeros at its end: what is written into it later changes neither its length nor where it is.
    fn fill(&self, making: &mut Making) -> io::Result<()> {
        let left = self.segment_bytes.saturating_sub(making.spare.bytes);
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        if piece > 0 {
            making.file.write_all(&vec![0; piece])?;
            making.file.sync()?;
            making.spare.bytes += piece as u64;
        }
        Ok(())
    }

    /// Whether there is more to do for it.
    fn put(&self, disk: &Disk, making: Making) -> bool {
        let mut state = self.lock();
        if state.is_barred {
            // The disk was full meanwhile.
            let _ = disk.remove(&making.spare.path);
            return false;
        }
        let is_whole = making.spare.bytes >= self.segment_bytes;
        if is_whole {
            state.ready.push(making.spare);
        } else {
            state.making = Some(making);
        }
        !is_whole
    }

    /// Gives their room back, and makes no more of them until the store is opened again. Whether there
    /// was any.
    pub(crate) fn give_up(&self, disk: &Disk) -> bool {
        let (ready, making) = {
            let mut state = self.lock();
            state.is_barred = true;
            (std::mem::take(&mut state.ready), state.making.take())
        };
        let making = making.map(|making| making.spare);
        let mut has_room = false;
        for spare in ready.into_iter().chain(making) {
            // The next open removes it otherwise.
            has_room |= disk.remove(&spare.path).is_ok();
        }
        has_room
    }
}

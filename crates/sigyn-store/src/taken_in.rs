//! What taking spans in costs without a disk: for measurements.

use std::io;
use std::path::Path;

use crate::block;
use crate::block::writer::{self, Origin};
use crate::disk::Disk;
use crate::head::{Chapter, HeadView, HeadWriter, Replay};
use sigyn_model::columns::Columns;

/// Spans as the store takes them in, with nobody waiting and nothing written.
#[derive(Debug)]
pub struct TakenIn {
    head: HeadWriter,
    chapter: Chapter,
    replay: Replay,
    frames: u64,
}

impl Default for TakenIn {
    fn default() -> Self {
        let (chapter, replay) = (Chapter::default(), Replay::default());
        Self { head: HeadWriter::new(), chapter, replay, frames: 0 }
    }
}

impl TakenIn {
    /// Appends the payload that the log would get, and puts the spans into a head.
    pub fn take_in(&mut self, batch: &Columns, out: &mut Vec<u8>) {
        self.frames += 1;
        let rows = self.head.bring(batch);
        self.chapter.put(out, self.frames, &self.head, rows, 0, None);
        self.head.publish(0, 0);
    }

    /// Puts the spans of such a payload into a head, as when a store is opened: those of one that was
    /// taken in, in their order. False if it cannot be read.
    pub fn replay(&mut self, payload: &[u8]) -> bool {
        self.frames += 1;
        self.replay.read(self.frames, payload, &mut self.head).is_ok()
    }

    /// Makes a block of all that was taken in, below this directory. Returns how many bytes it has.
    pub fn seal(&self, directory: &Path, number: u64) -> io::Result<u64> {
        let disk = Disk::real(directory)?;
        disk.create_dir(block::DIR)?;
        let origin = Origin::sealed(0, 1, number);
        let entry = writer::write(&disk, origin, &self.head.view(), u64::MAX, || false);
        entry.map(|entry| entry.bytes).map_err(io::Error::other)
    }

    pub(crate) fn view(&self) -> HeadView {
        self.head.view()
    }

    /// How many spans were taken in.
    pub fn spans(&self) -> u64 {
        self.head.view().span_count()
    }

    /// What the head takes in memory.
    pub fn head_bytes(&self) -> u64 {
        self.head.head().bytes()
    }
}

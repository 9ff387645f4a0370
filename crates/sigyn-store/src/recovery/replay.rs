//! Reads the log into a head, and into blocks where it is more than a head takes.

mod sealing;
mod segment;

use std::sync::Arc;

use super::{io_error, is_spare};
use crate::block::{Block, Cache};
use crate::catalog::Catalog;
use crate::damage::counted;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::head::{HeadWriter, Replay as Words, Replayed};
use crate::memory::Memory;
use crate::progress::Progress;
use crate::shared::{Counters, Shared};
use crate::wal::frame::{self, Frame, HEADER_BYTES, Header};
use crate::wal::reader::{self, Outcome};
use crate::wal::window::Window;
use crate::wal::writer::Segments;

/// A log, and what goes with it.
pub(super) struct Log<'a> {
    pub(super) disk: &'a Disk,
    pub(super) cache: &'a Arc<Cache>,
    pub(super) instance: u64,
    pub(super) counters: &'a Counters,
    pub(super) segments: &'a Segments,
}

/// Reads the log into a head, and into blocks where it is more than a head takes.
pub(crate) struct Replay<'a> {
    disk: &'a Disk,
    cache: &'a Arc<Cache>,
    instance: u64,
    counters: &'a Counters,
    segments: &'a Segments,
    pub(super) blocks: Vec<Arc<Block>>,
    pub(super) head: HeadWriter,
    /// What words of the log are called in this head.
    words: Words,
    /// With so much it is made a block where a chapter begins, and before it has more than the other, wherever it may be.
    head_bytes_enough: u64,
    head_bytes_max: u64,
    group_bytes_max: u64,
    pub(super) progress: Progress,
    pub(super) last_seq: u64,
    /// What was in blocks before it began.
    sealed_before: u64,
    /// Whether frames could not be read since some had spans again.
    pub(crate) is_any_lost: bool,
    /// Whether the last segment was read to its end, so that the next one goes on from there.
    is_whole_so_far: bool,
    /// Whether it was told that the last segment is damaged.
    pub(super) is_end_told: bool,
    /// Why no block could be made the last time.
    pub(crate) unsealable: Option<Unsealable>,
    /// The last frame that was read when memory had no room for more: of those after it progress counts alone.
    pub(super) unread_after: Option<u64>,
    pub(crate) is_catalog_unknown: bool,
    /// Who has what a start made of the log, and wants the rest in blocks.
    reads_on: Option<&'a Shared>,
    catalog: &'a mut Catalog,
}

/// Why no block could be made, and whether it is for lack of room on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Unsealable {
    pub(crate) cause: Arc<str>,
    pub(crate) is_full: bool,
}

/// How much of the log is read into memory before it is made a block, which takes seconds. What was killed while it
/// sealed has hardly more than two heads; only what is killed again and again has more, or what had more memory
/// before.
fn head_bytes_enough(memory: &Memory) -> u64 {
    memory.heads() - memory.head / 2
}

impl<'a> Replay<'a> {
    /// Of what is in no block, beside these blocks.
    pub(super) fn to_open(
        log: Log<'a>,
        memory: &Memory,
        blocks: Vec<Arc<Block>>,
        catalog: &'a mut Catalog,
    ) -> Self {
        Self { blocks, ..Self::new(log, memory, catalog) }
    }

    /// Of what a start left unread, all before which is in blocks.
    pub(crate) fn to_read_on(
        shared: &'a Shared,
        catalog: &'a mut Catalog,
        is_any_lost: bool,
    ) -> Self {
        let log = Log {
            disk: &shared.disk,
            cache: shared.view.cache(),
            instance: shared.instance,
            counters: &shared.counters,
            segments: &shared.segments,
        };
        Self {
            // That of all frames is known.
            progress: shared.view.remembered_progress(),
            is_any_lost,
            reads_on: Some(shared),
            ..Self::new(log, &shared.options.memory, catalog)
        }
    }

    fn new(log: Log<'a>, memory: &Memory, catalog: &'a mut Catalog) -> Self {
        let Log { disk, cache, instance, counters, segments } = log;
        Self {
            disk,
            cache,
            instance,
            counters,
            segments,
            blocks: Vec::new(),
            head: HeadWriter::new(),
            words: Words::default(),
            head_bytes_enough: head_bytes_enough(memory),
            head_bytes_max: memory.heads(),
            group_bytes_max: memory.group(),
            progress: catalog.state().progress.clone(),
            last_seq: catalog.state().sealed_through,
            sealed_before: catalog.state().sealed_through,
            is_any_lost: false,
            is_whole_so_far: false,
            is_end_told: false,
            unsealable: None,
            unread_after: None,
            is_catalog_unknown: false,
            reads_on: None,
            catalog,
        }
    }

    /// Makes blocks of all frames after those in blocks, until that fails. What is to be cut or set aside was already.
    pub(crate) fn read_on(&mut self) -> Result<(), OpenError> {
        let files = self.disk.list(frame::DIR).map_err(io_error("listing", frame::DIR))?;
        for (name, file_bytes) in files.iter().filter(|(name, _)| name.ends_with(".wal")) {
            let path = &format!("{}/{name}", frame::DIR);
            let mut bytes = Window::new(self.disk, path, *file_bytes);
            let header = bytes.from(0, HEADER_BYTES).map_err(io_error("reading", path))?;
            let Ok(header) = Header::decode(header) else { continue };
            self.words = Words::default();
            let unreadable = self.read_frames(&mut bytes, path, &header)?.1;
            if unreadable > 0 {
                self.tell_damaged(path, unreadable);
            }
            if self.unread_after.is_some() {
                return Ok(());
            }
        }
        if !self.head.head().is_empty() {
            self.seal()?;
        }
        Ok(())
    }

    pub(super) fn run(&mut self) -> Result<(), OpenError> {
        let files = self.disk.list(frame::DIR).map_err(io_error("listing", frame::DIR))?;
        let mut paths = Vec::new();
        for (name, bytes) in &files {
            let path = format!("{}/{name}", frame::DIR);
            if name.ends_with(".wal") {
                paths.push((path, *bytes));
            } else if is_spare(name) {
                self.disk.remove(&path).map_err(io_error("removing", &path))?;
            }
        }
        for (i, (path, bytes)) in paths.iter().enumerate() {
            self.segment(path, *bytes, i + 1 == paths.len())?;
            let is_due = self.has_enough() && self.unsealable.is_none();
            if is_due && self.may_seal_before(paths.get(i + 1)) {
                self.seal()?;
            }
        }
        if self.head.head().is_empty() {
            // There may be words in it, of what blocks have.
            self.head = HeadWriter::new();
        }
        Ok(())
    }

    /// And how many could not be read.
    fn read_frames(
        &mut self,
        bytes: &mut Window<'_>,
        path: &str,
        header: &Header,
    ) -> Result<(Outcome, u64), OpenError> {
        let mut unreadable = 0;
        let outcome = reader::read(bytes, header, |frame| {
            unreadable += u64::from(!self.frame(&frame)?);
            Ok(())
        });
        let outcome = outcome.map_err(|failed| match failed {
            Failed::Read(error) => io_error("reading", path)(error),
            Failed::Seal(error) => error,
        })?;
        Ok((outcome, unreadable))
    }

    fn tell_damaged(&self, path: &str, spots: u64) {
        self.counters.damaged_spots.add(spots);
        let spots = counted(spots, "spot is no frame", "spots are no frames");
        let cause = format!("{spots}; some of its spans are missing");
        self.counters.damages.add(path, &cause);
    }

    /// Reads a frame, after a block was made of those before it if they are many. Returns whether it could be read.
    fn frame(&mut self, frame: &Frame<'_>) -> Result<bool, OpenError> {
        if frame.frame_type == frame::TYPE_END {
            self.is_any_lost |= frame.seq > self.last_seq + 1;
            self.last_seq = self.last_seq.max(frame.seq);
            return Ok(true);
        }
        let goes_on = self.words.goes_on_with(frame.seq, frame.payload);
        // It is in a block, or it was read before.
        if frame.seq <= self.last_seq {
            // Those of another chapter nobody uses any more.
            if !goes_on && self.head.head().is_empty() {
                self.head = HeadWriter::new();
            }
            // What uses words that cannot be read tells so.
            let _ = self.words.learn(frame.seq, frame.payload, &mut self.head);
            return Ok(true);
        }
        if self.unread_after.is_none() && self.is_due(frame, goes_on) && self.may_seal_at(frame) {
            if !goes_on {
                self.words = Words::default();
            }
            if !self.seal()? && self.is_too_much(frame) {
                self.unread_after = Some(self.last_seq);
            }
        }
        if self.unread_after.is_some() {
            self.last_seq = frame.seq;
            // What is damaged is told once it is read.
            if let Ok(Replayed { progress: Some(progress), arrival_ms }) =
                Replayed::of(frame.payload)
            {
                self.progress.put(progress, arrival_ms);
            }
            return Ok(true);
        }
        self.is_any_lost |= frame.seq > self.last_seq + 1;
        self.last_seq = frame.seq;
        let is_wanted = match frame.frame_type {
            frame::TYPE_BATCH | frame::TYPE_BATCH_BESIDE => Some(true),
            // They were read where they stood first, unless they are in no block, or some of those were lost.
            frame::TYPE_AGAIN => {
                let is_any_lost = std::mem::take(&mut self.is_any_lost);
                Some(is_any_lost || frame.seq == self.sealed_before + 1)
            }
            _ => None,
        };
        let (words, head) = (&mut self.words, &mut self.head);
        let replayed = is_wanted.and_then(|is_wanted| {
            let read = match is_wanted {
                true => words.read(frame.seq, frame.payload, head),
                false => words.read_words_alone(frame.seq, frame.payload, head),
            };
            read.ok()
        });
        let Some(replayed) = replayed else {
            self.is_any_lost = true;
            return Ok(false);
        };
        if let (Some(progress), None) = (replayed.progress, self.reads_on) {
            self.progress.put(progress, replayed.arrival_ms);
        }
        Ok(true)
    }
}

/// Why a segment was not read to its end.
enum Failed {
    Read(std::io::Error),
    Seal(OpenError),
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<OpenError> for Failed {
    fn from(error: OpenError) -> Self {
        Self::Seal(error)
    }
}

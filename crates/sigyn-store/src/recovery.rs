//! Opens what a store left behind, however it ended: blocks by the catalog, the rest from the log.

use std::sync::Arc;

use crate::adoption::Adoption;
use crate::block::writer::{self, Origin};
use crate::block::{self, Block, Cache};
use crate::buried::Buried;
use crate::catalog::{self, Catalog, Change, DamagedFile, Opened, State};
use crate::clock::Clock;
use crate::closed;
use crate::damage::{counted, is_full, sentence};
use crate::disk::{Disk, Lock, TEMPORARY};
use crate::error::OpenError;
use crate::head::{HeadWriter, Replay as Words, Replayed};
use crate::identify::{self, Identified};
use crate::identity;
use crate::memory::Memory;
use crate::misnamed;
use crate::options::Options;
use crate::present;
use crate::progress::Progress;
use crate::reserve;
use crate::shared::{Counters, Shared};
use crate::unread::Unread;
use crate::view::View;
use crate::wal::frame::{self, Frame, HEADER_BYTES, Header, HeaderError};
use crate::wal::reader::{self, Outcome};
use crate::wal::spare::{self, Spares};
use crate::wal::window::Window;
use crate::wal::writer::{Segment, Segments, Writer};

pub(crate) const LOCK: &str = "LOCK";
/// Where damaged files go, for a person to look at.
pub(crate) const QUARANTINE: &str = "quarantine";

/// A store ready to run.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) shared: Shared,
    pub(crate) writer: Writer,
    pub(crate) head: HeadWriter,
    pub(crate) catalog: Catalog,
    pub(crate) lock: Lock,
}

pub(crate) fn recover(disk: Disk, options: Options, clock: Clock) -> Result<Recovered, OpenError> {
    let lock = disk.lock(LOCK).map_err(io_error("locking", LOCK))?;
    let lock = lock.ok_or(OpenError::Locked)?;
    // First of all, for what follows may need the room: on a full disk, too, a store is opened.
    remove_spares(&disk);
    for dir in [frame::DIR, block::DIR, catalog::DIR] {
        disk.create_dir(dir).map_err(io_error("making", dir))?;
    }
    let counters = Counters::default();
    let identified = match identify::find(&disk)? {
        Some(identified) => identified,
        None => identify::make(&disk)?,
    };
    counters.quarantined_files.add(u64::from(identified.keep(&disk)));
    let Identified { instance, opened, damage, .. } = identified;
    if let Some(cause) = damage {
        counters.damages.add(identity::PATH, &cause);
    }
    let Opened { mut catalog, damaged, is_torn, is_without_checkpoint } = opened;
    let is_base_lost = is_torn && is_without_checkpoint;
    for (path, source) in &damaged {
        let lost = match (is_torn, is_base_lost) {
            (_, true) => "; blocks say what is in them, and nobody which traces were deleted",
            (true, false) => "; what it changed may be undone",
            (false, false) => "",
        };
        counters.damages.add(path, &format!("{}{lost}", sentence(source)));
    }
    misnamed::put_right(&disk, instance, &counters)?;
    if let Some(cause) = present::damage(&disk) {
        let lost = "what time it was believed to be is not known any more";
        counters.damages.add(present::PATH, &format!("{cause}; {lost}"));
    }
    let counters_of = &counters;
    let catalog_of = &mut catalog;
    Adoption {
        disk: &disk,
        instance,
        counters: counters_of,
        catalog: catalog_of,
        is_torn,
        is_base_lost,
    }
    .run()?;
    settle(&disk, &mut catalog, damaged, &counters);
    let cache = Arc::new(Cache::new(options.memory.cache));
    let segments = Segments::new(Spares::new(options.segment_bytes, options.retention_bytes));
    let mut replay = Replay {
        disk: &disk,
        cache: &cache,
        instance,
        counters: &counters,
        segments: &segments,
        blocks: open_blocks(&disk, &cache, catalog.state(), &counters),
        head: HeadWriter::new(),
        words: Words::default(),
        head_bytes_enough: head_bytes_enough(&options.memory),
        head_bytes_max: options.memory.heads(),
        group_bytes_max: options.memory.group(),
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
        catalog: &mut catalog,
    };
    replay.run()?;
    let is_end_told = replay.is_end_told;
    let Replay { blocks, head, progress, last_seq, is_any_lost, unsealable, unread_after, .. } =
        replay;
    if !is_end_told {
        tell_shortened(&disk, instance, last_seq, &counters);
    }
    closed::remove(&disk);
    reserve::keep(&disk);
    tracing::info!(
        path = %disk.locate("").display(),
        blocks = blocks.len(),
        head_spans = head.view().span_count(),
        last_seq,
        "opened the store"
    );
    let writer = Writer::new(disk.clone(), instance, &options, last_seq + 1);
    let buried = Buried::new(&catalog.state().tombstones);
    let view = View::new(cache, blocks, buried, head.head().clone(), progress);
    let shared = Shared::new(options, disk, clock, instance, segments, view, counters);
    shared.note_unsealable(unsealable.map(|unsealable| unsealable.cause));
    shared.note_unread(unread_after.map(|after| Unread { after, through: last_seq, is_any_lost }));
    Ok(Recovered { shared, writer, head, catalog, lock })
}

/// Tells if the log went further when the store was closed.
fn tell_shortened(disk: &Disk, instance: u64, last_seq: u64, counters: &Counters) {
    let Some(last) = closed::last_seq(disk, instance).filter(|last| *last > last_seq) else {
        return;
    };
    counters.damaged_spots.add(1);
    let cause = format!(
        "frames {} to {last}, which were there when the store was closed, are neither in the log nor in a block; \
         their spans are missing",
        last_seq + 1
    );
    counters.damages.add(frame::DIR, &cause);
}

/// How much of the log is read into memory before it is made a block, which takes seconds. What was killed while it
/// sealed has hardly more than two heads; only what is killed again and again has more, or what had more memory
/// before.
fn head_bytes_enough(memory: &Memory) -> u64 {
    memory.heads() - memory.head / 2
}

/// Removes files of the log that have nothing in them. What cannot be removed now is, when the log is read.
fn remove_spares(disk: &Disk) {
    for (name, _) in disk.list(frame::DIR).unwrap_or_default() {
        if is_spare(&name) {
            let _ = disk.remove(&format!("{}/{name}", frame::DIR));
        }
    }
}

fn is_spare(name: &str) -> bool {
    name.ends_with(TEMPORARY) || name.ends_with(spare::SUFFIX)
}

/// What is damaged is needed no more once there is a checkpoint after it.
fn settle(
    disk: &Disk,
    catalog: &mut Catalog,
    damaged: Vec<(String, DamagedFile)>,
    counters: &Counters,
) {
    if damaged.is_empty() {
        return;
    }
    if let Err(error) = catalog.settle() {
        // The next open finds what this one found, and does the same again.
        tracing::warn!(%error, "cannot write a checkpoint of the catalog yet");
        return;
    }
    for (path, source) in damaged {
        if matches!(source, DamagedFile::Missing) {
            continue;
        }
        match quarantine(disk, &path) {
            Ok(()) => counters.quarantined_files.add(1),
            Err(error) => tracing::warn!(path, %error, "cannot set aside a damaged file yet"),
        }
    }
}

pub(crate) fn io_error(
    attempt: &'static str,
    path: &str,
) -> impl FnOnce(std::io::Error) -> OpenError {
    move |source| OpenError::Io { attempt, path: path.into(), source }
}

pub(crate) fn unusable(path: &str, reason: impl Into<String>) -> OpenError {
    OpenError::Unusable { path: path.into(), reason: reason.into() }
}

/// Opens the blocks that the catalog names.
fn open_blocks(
    disk: &Disk,
    cache: &Arc<Cache>,
    state: &State,
    counters: &Counters,
) -> Vec<Arc<Block>> {
    let mut blocks = Vec::new();
    for entry in &state.blocks {
        match Block::open(disk, entry, cache) {
            Ok(block) => blocks.push(Arc::new(block)),
            Err(error) => {
                counters.unreadable_blocks.add(1);
                let cause = format!("{}; its spans are missing", sentence(&error));
                counters.damages.add(&format!("{}/{}", block::DIR, entry.name), &cause);
            }
        }
    }
    blocks
}

/// Reads the log into a head, and into blocks where it is more than a head takes.
pub(crate) struct Replay<'a> {
    disk: &'a Disk,
    cache: &'a Arc<Cache>,
    instance: u64,
    counters: &'a Counters,
    segments: &'a Segments,
    blocks: Vec<Arc<Block>>,
    head: HeadWriter,
    /// What words of the log are called in this head.
    words: Words,
    /// With so much it is made a block where a chapter begins, and before it has more than the other, wherever it may be.
    head_bytes_enough: u64,
    head_bytes_max: u64,
    group_bytes_max: u64,
    progress: Progress,
    last_seq: u64,
    /// What was in blocks before it began.
    sealed_before: u64,
    /// Whether frames could not be read since some had spans again.
    pub(crate) is_any_lost: bool,
    /// Whether the last segment was read to its end, so that the next one goes on from there.
    is_whole_so_far: bool,
    /// Whether it was told that the last segment is damaged.
    is_end_told: bool,
    /// Why no block could be made the last time.
    pub(crate) unsealable: Option<Unsealable>,
    /// The last frame that was read when memory had no room for more: of those after it progress counts alone.
    unread_after: Option<u64>,
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

impl<'a> Replay<'a> {
    /// Of what a start left unread, all before which is in blocks.
    pub(crate) fn to_read_on(
        shared: &'a Shared,
        catalog: &'a mut Catalog,
        is_any_lost: bool,
    ) -> Self {
        Self {
            disk: &shared.disk,
            cache: shared.view.cache(),
            instance: shared.instance,
            counters: &shared.counters,
            segments: &shared.segments,
            blocks: Vec::new(),
            head: HeadWriter::new(),
            words: Words::default(),
            head_bytes_enough: head_bytes_enough(&shared.options.memory),
            head_bytes_max: shared.options.memory.heads(),
            group_bytes_max: shared.options.memory.group(),
            // That of all frames is known.
            progress: shared.view.remembered_progress(),
            last_seq: catalog.state().sealed_through,
            sealed_before: catalog.state().sealed_through,
            is_any_lost,
            is_whole_so_far: false,
            is_end_told: false,
            unsealable: None,
            unread_after: None,
            is_catalog_unknown: false,
            reads_on: Some(shared),
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

    fn run(&mut self) -> Result<(), OpenError> {
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

    /// A store that is killed again and again before it has sealed would come back with ever more in
    /// memory, and be killed for that.
    fn has_enough(&self) -> bool {
        self.head.head().bytes() >= self.head_bytes_enough
    }

    /// Where that failed it is tried once more when nothing else is left.
    fn is_due(&self, frame: &Frame<'_>, goes_on: bool) -> bool {
        let must_be = goes_on || self.unsealable.is_some();
        if must_be { self.is_too_much(frame) } else { self.has_enough() }
    }

    /// Whether a frame might be more than there is room for beside what was read.
    fn is_too_much(&self, frame: &Frame<'_>) -> bool {
        let bytes = self.head.head().bytes();
        let max = bytes.saturating_add(Replayed::head_bytes(frame.payload));
        bytes > 0 && max > self.head_bytes_max
    }

    /// Whether that could be done.
    fn seal(&mut self) -> Result<bool, OpenError> {
        let first_seq = self.catalog.state().sealed_through + 1;
        let origin = Origin::sealed(self.instance, first_seq, self.last_seq);
        let view = self.head.view();
        let stop = || self.reads_on.is_some_and(Shared::is_stopping);
        let entry = match writer::write(self.disk, origin, &view, self.group_bytes_max, stop) {
            Ok(entry) => entry,
            Err(error) => return Ok(self.cannot("write the block", &error)),
        };
        let opened = match Block::open(self.disk, &entry, self.cache) {
            Ok(opened) => opened,
            Err(error) => return Ok(self.cannot("read the block", &error)),
        };
        let change = Change {
            add: vec![entry],
            sealed_through: self.last_seq,
            progress: self.progress.since(&self.catalog.state().progress),
            ..Change::default()
        };
        if let Err(error) = self.catalog.commit(change) {
            if error.is_final() {
                self.is_catalog_unknown = true;
                return Err(io_error("writing", catalog::DIR)(error.into()));
            }
            // It is made again, and until then the disk may need the room.
            opened.doom();
            return Ok(self.cannot("write the catalog", &std::io::Error::from(error)));
        }
        self.counters.seals.add(1);
        self.unsealable = None;
        match self.reads_on {
            Some(shared) => shared.view.put_back(Arc::new(opened)),
            None => self.blocks.push(Arc::new(opened)),
        }
        let sealed = std::mem::replace(&mut self.head, HeadWriter::new());
        // Only frames that are read next use them, if they are of the same chapter.
        self.words.go_on_in(&mut self.head, sealed.head());
        Ok(true)
    }

    /// Notes why no block could be made.
    fn cannot(&mut self, attempt: &str, error: &(dyn std::error::Error + 'static)) -> bool {
        let cause = format!("cannot {attempt}: {}", sentence(error));
        tracing::warn!(cause, "no block can be made of the log yet");
        self.unsealable = Some(Unsealable { cause: cause.into(), is_full: is_full(error) });
        false
    }

    fn may_seal_before(&self, next: Option<&(String, u64)>) -> bool {
        let Some((path, file_bytes)) = next else { return true };
        reader::with_first_frame(self.disk, path, *file_bytes, |frame| self.may_seal_at(frame))
            .unwrap_or(false)
    }

    /// Not between spans and the same spans again: whoever then reads on takes it that a block leaves them
    /// out. What cannot be read now may be just these, and readable later.
    fn may_seal_at(&self, frame: &Frame<'_>) -> bool {
        frame.seq == self.last_seq + 1 && frame.frame_type != frame::TYPE_AGAIN
    }

    fn segment(&mut self, path: &str, file_bytes: u64, is_last: bool) -> Result<(), OpenError> {
        let mut bytes = Window::new(self.disk, path, file_bytes);
        let header = bytes.from(0, HEADER_BYTES).map_err(io_error("reading", path))?;
        let header = match Header::decode(header) {
            Ok(header) => header,
            Err(error @ HeaderError::Version { .. }) => {
                return Err(unusable(path, error.to_string()));
            }
            // The header is durable before the first frame, so nothing was in it yet.
            Err(HeaderError::Damaged)
                if is_last && !bytes.is_any_lost() && bytes.len() <= HEADER_BYTES =>
            {
                return self.disk.remove(path).map_err(io_error("removing", path));
            }
            Err(HeaderError::Damaged) => {
                self.counters.damaged_spots.add(1);
                let cause = "the segment's header is damaged; its spans are missing";
                self.counters.damages.add(path, cause);
                self.is_end_told |= is_last;
                return self.quarantine(path);
            }
        };
        if header.instance != self.instance {
            return Err(unusable(path, "it belongs to another store"));
        }
        if self.is_whole_so_far && header.first_seq > self.last_seq + 1 {
            let (first, last) = (self.last_seq + 1, header.first_seq - 1);
            self.counters.damaged_spots.add(1);
            let cause = format!(
                "frames {first} to {last}, before those of this segment, are neither in the log nor in a block; \
                 their spans are missing"
            );
            self.counters.damages.add(path, &cause);
        }
        let file_bytes = bytes.len();
        if is_last {
            let len = reader::without_torn_end(&mut bytes, &header);
            let len = len.map_err(io_error("reading", path))?;
            // What was lost is no crash's doing.
            if !bytes.is_any_lost() {
                bytes.truncate(len);
            }
        }
        // Words of another segment are none of this one's.
        self.words = Words::default();
        let (outcome, unreadable) = self.read_frames(&mut bytes, path, &header)?;
        let may_be_torn = is_last && !bytes.is_any_lost();
        let damaged = outcome.damaged_spots(may_be_torn) + unreadable;
        if damaged > 0 {
            self.tell_damaged(path, damaged);
            self.is_end_told |= is_last;
        }
        let left_bytes = file_bytes - outcome.valid_bytes;
        if left_bytes > 0 && may_be_torn && !outcome.gave_up {
            tracing::warn!(path, bytes = left_bytes, "cut what a crash left at the log's end");
            let len = outcome.valid_bytes as u64;
            self.disk.truncate(path, len).map_err(io_error("cutting", path))?;
        }
        match outcome.last_seq {
            // The number after the last is free again, and so must be the name made of it.
            None if damaged == 0 => self.disk.remove(path).map_err(io_error("removing", path)),
            None => self.quarantine(path),
            Some(last_seq) => {
                let bytes = outcome.valid_bytes as u64;
                let segment = Segment { last_seq, bytes, is_damaged: damaged > 0 };
                self.is_whole_so_far = damaged == 0;
                self.segments.put(header.first_seq, segment);
                Ok(())
            }
        }
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

    fn quarantine(&mut self, path: &str) -> Result<(), OpenError> {
        self.is_whole_so_far = false;
        self.counters.quarantined_files.add(1);
        quarantine(self.disk, path).map_err(io_error("setting aside", path))
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

/// Moves a file out of the way.
pub(crate) fn quarantine(disk: &Disk, path: &str) -> std::io::Result<()> {
    disk.create_dir(QUARANTINE)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut to = format!("{QUARANTINE}/{name}");
    let mut copies = 1..1_000;
    while disk.exists(&to)?
        && let Some(copy) = copies.next()
    {
        to = format!("{QUARANTINE}/{name}.{copy}");
    }
    disk.rename(path, &to)
}

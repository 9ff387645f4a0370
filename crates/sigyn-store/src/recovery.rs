//! Opens what a store left behind, however it ended: blocks by the catalog, the rest from the log.

pub(crate) mod replay;

use std::sync::Arc;

use self::replay::{Log, Replay};
use crate::adoption::Adoption;
use crate::block::{self, Block, Cache};
use crate::buried::Buried;
use crate::catalog::{self, Catalog, DamagedFile, Opened, State};
use crate::clock::Clock;
use crate::closed;
use crate::damage::sentence;
use crate::disk::{Disk, Lock, TEMPORARY};
use crate::error::OpenError;
use crate::head::HeadWriter;
use crate::identify::{self, Identified};
use crate::identity;
use crate::misnamed;
use crate::options::Options;
use crate::present;
use crate::quarantine;
use crate::reserve;
use crate::shared::{Counters, Shared};
use crate::unread::Unread;
use crate::view::View;
use crate::wal::frame;
use crate::wal::spare::{self, Spares};
use crate::wal::writer::{Segments, Writer};

pub(crate) const LOCK: &str = "LOCK";

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
    let (counters_of, segments_of) = (&counters, &segments);
    let log =
        Log { disk: &disk, cache: &cache, instance, counters: counters_of, segments: segments_of };
    let mut replay = Replay::to_open(
        log,
        &options.memory,
        open_blocks(&disk, &cache, catalog.state(), &counters),
        &mut catalog,
    );
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
        match quarantine::put(disk, &path) {
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

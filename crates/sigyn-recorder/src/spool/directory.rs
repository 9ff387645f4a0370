//! The directory of spool files: which there are, whose process lives, and how much room they take.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FallocateFlags, FileType, Mode, OFlags};

use super::SpoolOptions;
use super::foreign::Foreign;
use super::layout::{ACKS_AT, HEADER, Header, ROWS_AT};

const SPOOL: &str = "spool";
const BELL: &str = "bell";
/// A file that has no name yet that anybody looks for.
const UNFINISHED: &str = "new";
/// A file that somebody has read whole is kept for those who come less often, as long as a lease lasts.
const READ_KEPT: Duration = Duration::from_secs(5 * 60);
/// One that nobody reads.
const UNREAD_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug)]
pub(super) struct Directory {
    path: PathBuf,
    bytes_max: u64,
}

impl Directory {
    /// Makes it if it is not there. It must be this user's alone, and no link: `/dev/shm` is everybody's.
    pub(super) fn open(options: &SpoolOptions) -> io::Result<Self> {
        let path = options.dir.clone();
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let found = fs::symlink_metadata(&path)?;
        let is_ours = found.uid() == rustix::process::geteuid().as_raw();
        if !found.is_dir() || !is_ours || found.mode() & 0o077 != 0 {
            let text = "the spool must be a directory of this user alone (mode 0700), and no link";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(Self { path, bytes_max: options.bytes_max })
    }

    fn file(&self, epoch: u64, ending: &str) -> PathBuf {
        self.path.join(format!("{epoch:016x}.{ending}"))
    }

    /// Which epochs there are, in no order.
    pub(super) fn epochs(&self) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(&self.path) else { return Vec::new() };
        let names = entries.filter_map(|entry| Some(PathBuf::from(entry.ok()?.file_name())));
        names
            .filter(|name| name.extension().is_some_and(|ending| ending == SPOOL))
            .filter_map(|name| u64::from_str_radix(name.file_stem()?.to_str()?, 16).ok())
            .filter(|epoch| *epoch != 0)
            .collect()
    }

    /// A file of this layout, locked, with memory for all but names and slots. Nobody looks at it yet.
    pub(super) fn create(&self, header: &Header) -> io::Result<File> {
        let path = self.file(header.epoch, UNFINISHED);
        let file = open(&path, OpenOptions::new().create_new(true))?;
        let made = (|| {
            file.try_lock()?;
            file.set_len(header.file_len())?;
            let fixed = ROWS_AT + u64::from(header.rows) * super::layout::ROW as u64;
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, fixed)?;
            file.write_all_at(&header.to_bytes(), 0)
        })();
        if let Err(error) = made {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(file)
    }

    /// Gives a file the name under which others look for it.
    pub(super) fn publish(&self, epoch: u64) -> io::Result<()> {
        fs::rename(self.file(epoch, UNFINISHED), self.file(epoch, SPOOL))
    }

    pub(super) fn foreign(&self, epoch: u64) -> io::Result<Foreign> {
        let file = open(&self.file(epoch, SPOOL), &mut OpenOptions::new())?;
        // The lock of a process ends with it, whatever ends it. Held shared: nobody deletes the file meanwhile.
        let is_orphan = file.try_lock_shared().is_ok();
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)?;
        let header = Header::read(&header).filter(|header| header.epoch == epoch);
        let header = header.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Foreign::new(file, header, is_orphan))
    }

    /// Where a process hears that it is to seal.
    pub(super) fn make_bell(&self, epoch: u64) -> io::Result<File> {
        let path = self.file(epoch, BELL);
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
        open(&path, &mut OpenOptions::new())
    }

    pub(super) fn bell(&self, epoch: u64) -> io::Result<File> {
        let path = self.file(epoch, BELL);
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
        if file.metadata()?.file_type().is_fifo() {
            Ok(file)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// Deletes what nobody needs any more, and of the rest what must go so that a new file may take so many bytes. Says how
    /// many files went of which not everything was read.
    pub(super) fn make_room(&self, bytes: u64) -> io::Result<u64> {
        let mut discarded = 0;
        let mut taken = bytes;
        let mut orphans = Vec::new();
        for epoch in self.epochs() {
            match self.foreign(epoch) {
                Ok(foreign) if foreign.is_orphan => orphans.push((epoch, foreign)),
                Ok(foreign) => taken += foreign.bytes_max(),
                Err(_) => taken += size(&self.file(epoch, SPOOL)),
            }
        }
        // Those that somebody has read first, then the oldest.
        orphans.sort_by_key(|(_, foreign)| (!foreign.is_read(), foreign.header.started_ns));
        if taken > self.bytes_max {
            let text = format!("the spool directory would take {taken} bytes");
            return Err(io::Error::new(io::ErrorKind::StorageFull, text));
        }
        taken += orphans.iter().map(|(epoch, _)| size(&self.file(*epoch, SPOOL))).sum::<u64>();
        for (epoch, foreign) in orphans {
            let (is_read, is_due) = (foreign.is_read(), self.is_due(epoch, &foreign));
            if is_due || taken > self.bytes_max {
                taken -= size(&self.file(epoch, SPOOL));
                drop(foreign);
                self.delete(epoch);
                discarded += u64::from(!is_read);
            }
        }
        Ok(discarded)
    }

    /// Deletes one file of a process that is gone, read ones first. Says whether somebody had read it; `None`: there is none.
    pub(super) fn discard_oldest(&self) -> Option<bool> {
        let foreign = self.epochs().into_iter().filter_map(|epoch| self.foreign(epoch).ok());
        let oldest = foreign
            .filter(|foreign| foreign.is_orphan)
            .min_by_key(|foreign| (!foreign.is_read(), foreign.header.started_ns))?;
        let (epoch, is_read) = (oldest.epoch(), oldest.is_read());
        drop(oldest);
        self.delete(epoch);
        (!self.file(epoch, SPOOL).exists()).then_some(is_read)
    }

    /// Removes a file that was not finished.
    pub(super) fn abandon(&self, epoch: u64) {
        let _ = fs::remove_file(self.file(epoch, UNFINISHED));
        let _ = fs::remove_file(self.file(epoch, BELL));
    }

    /// Nobody is expected to ask for it any more.
    pub(super) fn is_due(&self, epoch: u64, foreign: &Foreign) -> bool {
        let age = |since: SystemTime| since.elapsed().unwrap_or_default();
        let touched = fs::metadata(self.file(epoch, SPOOL)).and_then(|found| found.modified());
        match foreign.read_at() {
            Some(read_at) => age(read_at) >= READ_KEPT,
            None => touched.is_ok_and(|touched| age(touched) >= UNREAD_KEPT),
        }
    }

    pub(super) fn delete(&self, epoch: u64) {
        let path = self.file(epoch, SPOOL);
        let Ok(file) = open(&path, &mut OpenOptions::new()) else { return };
        // Somebody may be reading it right now.
        if file.try_lock().is_ok() {
            let _ = fs::remove_file(path);
            let _ = fs::remove_file(self.file(epoch, BELL));
        }
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let file = options.read(true).write(true).mode(0o600).custom_flags(flags).open(path)?;
    Ok(file)
}

/// What a file takes, which is less than its length: most of it has no memory.
fn size(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |found| found.blocks() * 512)
}

const _: () = assert!(ACKS_AT < ROWS_AT);

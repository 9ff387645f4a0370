//! A disk in memory for crash tests: it loses what was not synced, tears writes, and fails on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::parent;

/// Shared by everyone who holds a clone, as a disk is.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk {
    state: Arc<Mutex<State>>,
    locked: Arc<AtomicBool>,
    /// Whoever next creates a file panics.
    panics: Arc<AtomicBool>,
    /// Whoever next gives a file a second name hears that it has it already.
    links_twice: Arc<AtomicBool>,
}

#[derive(Clone, Debug, Default)]
struct State {
    files: Vec<Inode>,
    /// What programs see.
    names: BTreeMap<String, usize>,
    /// What a crash leaves.
    durable_names: BTreeMap<String, usize>,
    dirs: BTreeSet<String>,
    durable_dirs: BTreeSet<String>,
    /// The n-th change from now fails, and so does everything after it: the machine is off.
    changes_until_crash: Option<u64>,
    /// The n-th change from now fails once, and is not made.
    changes_until_failure: Option<u64>,
    /// The n-th sync from now fails once, and what it should have kept is lost.
    syncs_until_failure: Option<(u64, io::ErrorKind)>,
    /// Pieces of this file cannot be read, for now.
    unreadable: Option<String>,
    changes: u64,
    /// Files of which so many more reads fail of what has any of these bytes.
    bad_reads: BTreeMap<String, (u64, Range<usize>)>,
    /// What all files together may take.
    capacity: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
}

impl Inode {
    /// Writes over what is there, and beyond.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        let over = bytes.len().min(self.content.len() - at);
        self.content[at..at + over].copy_from_slice(&bytes[..over]);
        self.content.extend_from_slice(&bytes[over..]);
    }

    /// Power went while it was written over: how much of that got to the disk. Whether all of it did.
    fn keep_written_over(&mut self, random: &mut fastrand::Rng) -> bool {
        let both = self.content.len().min(self.durable.len());
        let (new, old) = (&self.content[..both], &mut self.durable[..both]);
        if new == old {
            return true;
        }
        match random.u8(0..3) {
            0 => {
                let end = random.usize(0..=both);
                old[..end].copy_from_slice(&new[..end]);
            }
            // In any order.
            1 => {
                for (new, old) in new.chunks(64).zip(old.chunks_mut(64)) {
                    if random.bool() {
                        old.copy_from_slice(new);
                    }
                }
            }
            _ => old.copy_from_slice(new),
        }
        self.content[..both] == self.durable[..both]
    }
}

#[derive(Debug)]
pub(crate) struct FaultyAppender {
    disk: FaultyDisk,
    file: usize,
    at: usize,
}

#[derive(Debug)]
pub(crate) struct FaultyLock(Arc<AtomicBool>);

impl Drop for FaultyLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl State {
    /// Counts a change, and fails it if the machine is off or goes off now.
    /// One of a file or of a directory.
    fn sync(&mut self) -> io::Result<()> {
        match &mut self.syncs_until_failure {
            Some((0, error)) => {
                let error = *error;
                self.syncs_until_failure = None;
                return Err(io::Error::new(error, "input/output error"));
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
        Ok(())
    }

    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match &mut self.changes_until_failure {
            Some(0) => {
                self.changes_until_failure = None;
                return Err(io::Error::other("input/output error"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        match &mut self.changes_until_crash {
            Some(0) => Err(io::Error::other("the machine is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Fails a read of these bytes, if there is a bad sector.
    fn fail_read(&mut self, path: &str, bytes: Range<usize>) -> io::Result<()> {
        match self.bad_reads.get_mut(path) {
            Some((left, bad)) if *left > 0 && bad.start < bytes.end && bytes.start < bad.end => {
                *left -= 1;
                Err(io::Error::from_raw_os_error(5))
            }
            _ => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        // A file may have two names.
        let files: BTreeSet<usize> = self.names.values().copied().collect();
        files.into_iter().map(|file| self.files[file].content.len() as u64).sum()
    }

    fn file(&self, path: &str) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl FaultyDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Another disk with the same on it.
    pub(crate) fn copy(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state().clone())), ..Self::default() }
    }

    /// How many changes were made so far.
    pub(crate) fn changes(&self) -> u64 {
        self.state().changes
    }

    pub(crate) fn crash_after(&self, changes: u64) {
        self.state().changes_until_crash = Some(changes);
    }

    pub(crate) fn fail_after(&self, changes: u64) {
        self.state().changes_until_failure = Some(changes);
    }

    /// All that is there, for whoever compares.
    pub(crate) fn files(&self) -> Vec<(String, usize)> {
        let state = self.state();
        let len = |file: &usize| state.files[*file].content.len();
        state.names.iter().map(|(name, file)| (name.clone(), len(file))).collect()
    }

    /// No file grows beyond what fits into so many bytes, all files taken together.
    pub(crate) fn limit(&self, capacity: Option<u64>) {
        self.state().capacity = capacity;
    }

    pub(crate) fn used(&self) -> u64 {
        self.state().used()
    }

    pub(crate) fn free(&self) -> u64 {
        let state = self.state();
        state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used()))
    }

    pub(crate) fn refuse_to_read(&self, path: Option<&str>) {
        self.state().unreadable = path.map(str::to_owned);
    }

    pub(crate) fn panic_once(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    pub(crate) fn link_twice(&self) {
        self.links_twice.store(true, Ordering::SeqCst);
    }

    pub(crate) fn fail_sync_after(&self, syncs: u64) {
        self.fail_sync_with(syncs, io::ErrorKind::Other);
    }

    pub(crate) fn fail_sync_with(&self, syncs: u64, error: io::ErrorKind) {
        self.state().syncs_until_failure = Some((syncs, error));
    }

    /// Whether a sync that was to fail did not yet.
    pub(crate) fn awaits_failing_sync(&self) -> bool {
        self.state().syncs_until_failure.is_some()
    }

    /// Power comes back: of what was not synced, each file keeps a prefix of random length, maybe
    /// with a torn end or a hole; each name that was not synced is there or not.
    pub(crate) fn restart(&self, random: &mut fastrand::Rng) {
        let mut state = self.state();
        state.changes_until_crash = None;
        state.changes_until_failure = None;
        state.syncs_until_failure = None;
        state.capacity = None;
        for file in &mut state.files {
            // A file is longer once what it has before that is there.
            if file.keep_written_over(random) && file.content.len() > file.durable.len() {
                let written = &file.content[file.durable.len()..];
                let mut kept = written[..random.usize(0..=written.len())].to_vec();
                if random.bool() && !kept.is_empty() {
                    let torn = random.usize(0..kept.len());
                    kept[torn..].iter_mut().for_each(|byte| *byte = random.u8(..));
                } else if random.u8(0..4) == 0 && kept.len() > 1 {
                    // A page in the middle that did not get there, while those after it did.
                    let from = random.usize(0..kept.len() - 1);
                    let to = random.usize(from..kept.len());
                    kept[from..to].fill(0);
                }
                file.durable.extend(kept);
            }
            file.content = file.durable.clone();
        }
        let names = std::mem::take(&mut state.names);
        let mut left = state.durable_names.clone();
        for (name, file) in &names {
            if left.get(name) != Some(file) && random.bool() {
                left.insert(name.clone(), *file);
            }
        }
        left.retain(|name, _| names.contains_key(name) || random.bool());
        // A directory that is not there has nothing in it, synced or not.
        let dirs = std::mem::take(&mut state.dirs);
        let mut left_dirs = state.durable_dirs.clone();
        left_dirs.extend(dirs.into_iter().filter(|_| random.bool()));
        left.retain(|name, _| parent(name).is_empty() || left_dirs.contains(parent(name)));
        state.durable_dirs = left_dirs.clone();
        state.dirs = left_dirs;
        state.durable_names = left.clone();
        state.names = left;
    }

    /// Changes bytes of a file as a bad disk would, durably.
    pub(crate) fn corrupt(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let file = state.file(path).unwrap();
        change(&mut state.files[file].content);
        state.files[file].durable = state.files[file].content.clone();
    }

    /// Fails reads of a file, so many of them.
    pub(crate) fn fail_reads(&self, path: &str, count: u64) {
        self.state().bad_reads.insert(path.to_owned(), (count, 0..usize::MAX));
    }

    /// Fails reads of these bytes of a file for good.
    pub(crate) fn lose(&self, path: &str, bytes: Range<usize>) {
        self.state().bad_reads.insert(path.to_owned(), (u64::MAX, bytes));
    }

    pub(crate) fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        let files = state.names.iter().filter(|(path, _)| parent(path) == dir);
        Ok(files
            .map(|(path, file)| {
                let name = path.rsplit('/').next().unwrap().to_owned();
                (name, state.files[*file].content.len() as u64)
            })
            .collect())
    }

    /// A directory is a name like any other, without a file's contents.
    pub(crate) fn create_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.dirs.insert(dir.to_owned());
        Ok(())
    }

    pub(super) fn create(&self, path: &str) -> io::Result<FaultyAppender> {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "a test wants this panic");
        let mut state = self.state();
        state.change()?;
        if !parent(path).is_empty() && !state.dirs.contains(parent(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.files.push(Inode::default());
        let file = state.files.len() - 1;
        state.names.insert(path.to_owned(), file);
        Ok(FaultyAppender { disk: self.clone(), file, at: 0 })
    }

    pub(super) fn open_start(&self, path: &str) -> io::Result<FaultyAppender> {
        let file = self.state().file(path)?;
        Ok(FaultyAppender { disk: self.clone(), file, at: 0 })
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.state().file(path).is_ok()
    }

    pub(crate) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        let file = state.file(path)?;
        let bytes = state.files[file].content.len();
        state.fail_read(path, 0..bytes)?;
        Ok(state.files[file].content.clone())
    }

    pub(super) fn read_at(&self, path: &str, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut state = self.state();
        if state.unreadable.as_deref() == Some(path) {
            return Err(io::Error::other("the cable is loose"));
        }
        let start = usize::try_from(offset).unwrap();
        state.fail_read(path, start..start + len)?;
        let content = &state.files[state.file(path)?].content;
        let bytes = content.get(start..start + len).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Bytes::copy_from_slice(bytes))
    }

    pub(super) fn truncate(&self, path: &str, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let file = state.file(path)?;
        state.files[file].content.truncate(usize::try_from(len).unwrap());
        state.files[file].durable = state.files[file].content.clone();
        Ok(())
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    pub(super) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let file = state.file(from)?;
        if state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.names.insert(to.to_owned(), file);
        match self.links_twice.swap(false, Ordering::SeqCst) {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => Ok(()),
        }
    }

    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    pub(super) fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.sync()?;
        let State { names, durable_names, dirs, durable_dirs, .. } = &mut *state;
        durable_dirs.extend(dirs.iter().filter(|path| parent(path) == dir).cloned());
        durable_names.retain(|path, _| parent(path) != dir);
        let of_dir = names.iter().filter(|(path, _)| parent(path) == dir);
        durable_names.extend(of_dir.map(|(path, file)| (path.clone(), *file)));
        Ok(())
    }

    pub(super) fn lock(&self) -> Option<FaultyLock> {
        let free = !self.locked.swap(true, Ordering::SeqCst);
        free.then(|| FaultyLock(self.locked.clone()))
    }
}

impl FaultyAppender {
    pub(super) fn seek_end(&mut self) {
        self.at = self.disk.state().files[self.file].content.len();
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        if let Err(error) = state.change() {
            // The write that is cut may have got anywhere.
            state.files[self.file].put(self.at, bytes);
            return Err(error);
        }
        // Short writes are legal, and whoever forgets that is found out.
        let written = if bytes.len() > 100 { bytes.len() / 2 } else { bytes.len() };
        let free =
            state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used()));
        // What is there already is written over.
        let free = free.saturating_add((state.files[self.file].content.len() - self.at) as u64);
        let written = written.min(usize::try_from(free).unwrap_or(usize::MAX));
        if written == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.files[self.file].put(self.at, &bytes[..written]);
        self.at += written;
        Ok(written)
    }

    pub(super) fn roll_back(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.change()?;
        let content = &mut state.files[self.file].content;
        self.at = usize::try_from(len).unwrap();
        assert!(content.len() >= self.at);
        content.truncate(self.at);
        drop(state);
        self.sync()
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.change()?;
        let synced = state.sync();
        let file = &mut state.files[self.file];
        if synced.is_err() {
            // As Linux does: the pages count as clean and are gone.
            file.content = file.durable.clone();
            return synced;
        }
        file.durable = file.content.clone();
        Ok(())
    }
}

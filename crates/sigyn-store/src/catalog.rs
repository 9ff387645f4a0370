//! The catalog: which blocks there are, which part of the log they replace, and all progress up to there.
//!
//! A numbered list of changes, each a file of its own that is made once and never changed, and now
//! and then the sum of all of them. `docs/formats/catalog.md` has the bytes.

mod change;
mod file;
mod look;

use std::io;

use crate::block;
use crate::codec::Malformed;
use crate::disk::{self, Disk, PutError, TEMPORARY};
pub(crate) use change::{BlockEntry, Change, State, Tombstone};
use file::{FileError, Kind};
pub(crate) use file::{OLDEST_VERSION, VERSION};
pub(crate) use look::look;

/// The directory of commits and checkpoints.
pub(crate) const DIR: &str = "cat";
/// What the catalog was in formats 1 and 2: one file, replaced as a whole.
pub(crate) const OLD_PATH: &str = "CATALOG";
/// So many commits are read at open at most, where nothing is damaged.
const CHECKPOINT_EVERY: u64 = 64;

/// The catalog of an open store. There is one writer at a time.
#[derive(Debug)]
pub(crate) struct Catalog {
    disk: Disk,
    instance: u64,
    /// Drawn for as long as the store is open.
    writer: u64,
    state: State,
    /// Of the last commit.
    number: u64,
    /// The last checkpoint, and the one before it, which stays in case that the last is damaged.
    checkpoint: u64,
    checkpoint_before: u64,
}

/// A catalog, and what of it could not be read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) catalog: Catalog,
    /// By their paths.
    pub(crate) damaged: Vec<(String, DamagedFile)>,
    /// Whether some of what was committed is not known.
    pub(crate) is_torn: bool,
    /// Whether no checkpoint could be read, and what is known is of commits alone.
    pub(crate) is_without_checkpoint: bool,
}

/// Why there is no usable catalog.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    #[error("input or output failed")]
    Io(#[from] io::Error),
    #[error("format {found}, and this program knows {OLDEST_VERSION} to {VERSION}")]
    Version { found: u32 },
    #[error("it belongs to another store")]
    Foreign,
    #[error("{path} is damaged")]
    Damaged { path: String, source: DamagedFile },
}

/// What is wrong with a file of the catalog.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DamagedFile {
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it is not what its name says")]
    Name,
    #[error("it is missing")]
    Missing,
    #[error("the disk has lost it")]
    Lost(#[source] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A change that was not committed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    #[error("nothing was changed")]
    Unchanged(#[source] io::Error),
    /// A crash may leave either.
    #[error("it is unknown whether the change is in place")]
    Unknown(#[source] io::Error),
    #[error("somebody else writes to this catalog")]
    Taken,
}

impl CommitError {
    /// Whether nothing can be built on what is known of the catalog any more.
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, Self::Unchanged(_))
    }
}

impl From<CommitError> for io::Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Unchanged(source) | CommitError::Unknown(source) => source,
            CommitError::Taken => Self::other(error.to_string()),
        }
    }
}

/// A random number, for whom nobody else is taken.
fn random() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}

impl Catalog {
    /// The catalog of a new store: a checkpoint of nothing.
    pub(crate) fn create(disk: &Disk, instance: u64) -> io::Result<Self> {
        let catalog = Self {
            disk: disk.clone(),
            instance,
            writer: random()?,
            state: State::default(),
            number: 0,
            checkpoint: 0,
            checkpoint_before: 0,
        };
        catalog.put_checkpoint(0)?;
        Ok(catalog)
    }

    /// Reads the newest checkpoint that can be read, and what was committed after it; without any, what was
    /// committed at all, as far as that is there. What cannot be read is left out, and told.
    pub(crate) fn open(disk: &Disk, instance: u64) -> Result<Opened, CatalogError> {
        let mut commits = Vec::new();
        let mut checkpoints = Vec::new();
        for (name, _) in disk.list(DIR)? {
            match file::number_of(&name) {
                Some((Kind::Commit, number)) => commits.push(number),
                Some((Kind::Checkpoint, number)) => checkpoints.push(number),
                None if name.ends_with(TEMPORARY) => disk.remove(&format!("{DIR}/{name}"))?,
                None => tracing::warn!(name, "a file in the catalog is none of ours; it stays"),
            }
        }
        let mut newest = commits.iter().chain(&checkpoints).copied().max().unwrap_or_default();
        let (mut damaged, mut is_torn) = (Vec::new(), false);
        let (checkpoint, state, is_without_checkpoint) = loop {
            let Some(number) = checkpoints.pop() else { break (0, State::default(), true) };
            let state = read(disk, Kind::Checkpoint, instance, number, State::decode);
            if let Some(state) = sound(state, &mut damaged)? {
                break (number, state, false);
            }
        };
        if is_without_checkpoint {
            if damaged.is_empty() {
                damaged.push((file::path(Kind::Checkpoint, 0), DamagedFile::Missing));
                // Nobody knows of any commit then, nor that there was none.
                is_torn = commits.is_empty();
            }
            // Blocks are named by the commits that made them, and none may get a name that is there.
            newest = newest.max(block::last_commit(disk)?);
        }
        let mut catalog = Self {
            disk: disk.clone(),
            instance,
            writer: random()?,
            state,
            number: newest,
            checkpoint,
            checkpoint_before: checkpoints.pop().unwrap_or(checkpoint),
        };
        let mut next = checkpoint + 1;
        for number in commits.into_iter().filter(|number| *number > checkpoint) {
            if next < number {
                // Before the first one is what the checkpoints knew, and that is told of these.
                if !is_without_checkpoint || next > 1 {
                    damaged.push((file::path(Kind::Commit, next), DamagedFile::Missing));
                }
                is_torn = true;
            }
            next = number + 1;
            let commit = read(disk, Kind::Commit, instance, number, change::Commit::decode);
            match sound(commit, &mut damaged)? {
                Some(commit) => catalog.state.apply(commit.change),
                None => is_torn = true,
            }
        }
        // A checkpoint that cannot be read is the only place of commits that are gone.
        is_torn |= next <= newest;
        Ok(Opened { catalog, damaged, is_torn, is_without_checkpoint })
    }

    /// Makes what is known now what counts, whatever is damaged: a checkpoint that needs none of it.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        let number = self.next_number();
        self.put_checkpoint(number)?;
        self.number = number;
        self.checkpoint_before = std::mem::replace(&mut self.checkpoint, number);
        Ok(())
    }

    /// Whether a file is all that the catalog of a new store is, or an unfinished one of that.
    pub(crate) fn is_of_nothing(name: &str) -> bool {
        let name = name.strip_suffix(TEMPORARY).unwrap_or(name);
        file::number_of(name) == Some((Kind::Checkpoint, 0))
    }

    /// As of the last commit.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The number that the next commit has.
    pub(crate) fn next_number(&self) -> u64 {
        self.number + 1
    }

    /// Makes a change, durably. Where names are made only if they are not there yet, as here, a writer
    /// whose answer was lost finds out what became of its commit: by a number that only it has drawn.
    pub(crate) fn commit(&mut self, change: Change) -> Result<(), CommitError> {
        let number = self.next_number();
        let nonce = random().map_err(CommitError::Unchanged)?;
        let mut commit = change::Commit { writer: self.writer, nonce, change };
        commit.change.sealed_through = commit.change.sealed_through.max(self.state.sealed_through);
        let path = file::path(Kind::Commit, number);
        let bytes = file::frame(Kind::Commit, self.instance, number, &commit.encode());
        match self.disk.put_new(&path, &bytes) {
            Ok(()) => {}
            Err(PutError::Exists) => self.find_own(number, nonce)?,
            Err(PutError::Unchanged(error)) => return Err(CommitError::Unchanged(error)),
            Err(PutError::Unknown(error)) => return Err(CommitError::Unknown(error)),
        }
        self.number = number;
        self.state.apply(commit.change);
        if self.number - self.checkpoint >= CHECKPOINT_EVERY {
            self.checkpoint();
        }
        Ok(())
    }

    /// There is a commit of this number: it is this one, or nobody knows what is true any more.
    fn find_own(&self, number: u64, nonce: u64) -> Result<(), CommitError> {
        let there = read(&self.disk, Kind::Commit, self.instance, number, change::Commit::decode);
        let commit = there.map_err(|_| CommitError::Taken)?;
        if (commit.writer, commit.nonce) != (self.writer, nonce) {
            return Err(CommitError::Taken);
        }
        self.disk.sync_dir(DIR).map_err(CommitError::Unknown)
    }

    /// Sums up what was committed. If that fails, the commits are still there, and the next one
    /// tries again.
    fn checkpoint(&mut self) {
        let number = self.number;
        if let Err(error) = self.put_checkpoint(number) {
            tracing::warn!(number, %error, "cannot write a checkpoint of the catalog yet");
            return;
        }
        self.checkpoint_before = std::mem::replace(&mut self.checkpoint, number);
        if let Err(error) = self.tidy() {
            tracing::warn!(%error, "cannot remove old commits of the catalog yet");
        }
    }

    fn put_checkpoint(&self, number: u64) -> io::Result<()> {
        let bytes = file::frame(Kind::Checkpoint, self.instance, number, &self.state.encode());
        Ok(self.disk.put_new(&file::path(Kind::Checkpoint, number), &bytes)?)
    }

    /// Removes what even the checkpoint before the last does without.
    fn tidy(&self) -> io::Result<()> {
        for (name, _) in self.disk.list(DIR)? {
            let is_old = match file::number_of(&name) {
                Some((Kind::Commit, number)) => number <= self.checkpoint_before,
                Some((Kind::Checkpoint, number)) => number < self.checkpoint_before,
                None => false,
            };
            if is_old {
                self.disk.remove(&format!("{DIR}/{name}"))?;
            }
        }
        Ok(())
    }
}

/// Whose a file of the catalog is, if that can be read.
pub(crate) fn instance_in(disk: &Disk, name: &str) -> io::Result<Option<u64>> {
    if file::number_of(name).is_none() {
        return Ok(None);
    }
    match disk.read(&format!("{DIR}/{name}")) {
        Err(error) if disk::is_lost(&error) => Ok(None),
        read => Ok(read?.and_then(|bytes| file::instance_of(&bytes))),
    }
}

/// What a file of the catalog says.
fn read<T>(
    disk: &Disk,
    kind: Kind,
    instance: u64,
    number: u64,
    decode: impl Fn(&[u8]) -> Result<T, Malformed>,
) -> Result<T, CatalogError> {
    let path = file::path(kind, number);
    let bytes = match disk.read(&path) {
        Err(source) if disk::is_lost(&source) => {
            return Err(CatalogError::Damaged { path, source: DamagedFile::Lost(source) });
        }
        read => read?,
    };
    let source = match bytes.as_deref().map(|bytes| file::unframe(kind, instance, number, bytes)) {
        None => DamagedFile::Missing,
        Some(Ok(payload)) => match decode(payload) {
            Ok(decoded) => return Ok(decoded),
            Err(error) => error.into(),
        },
        Some(Err(FileError::Version { found })) => return Err(CatalogError::Version { found }),
        Some(Err(FileError::Foreign)) => return Err(CatalogError::Foreign),
        Some(Err(FileError::Checksum)) => DamagedFile::Checksum,
        Some(Err(FileError::Name)) => DamagedFile::Name,
    };
    Err(CatalogError::Damaged { path, source })
}

/// What was read, if it was not damaged.
fn sound<T>(
    read: Result<T, CatalogError>,
    damaged: &mut Vec<(String, DamagedFile)>,
) -> Result<Option<T>, CatalogError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(CatalogError::Damaged { path, source }) => {
            damaged.push((path, source));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;

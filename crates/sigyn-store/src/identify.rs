//! Which store a directory holds, and its catalog: as they say themselves, or else as all other files say.

use std::collections::BTreeMap;
use std::io;

use crate::block::{self, description};
use crate::catalog::{self, Catalog, CatalogError, Opened};
use crate::damage::{counted, sentence};
use crate::disk::{self, Disk};
use crate::error::OpenError;
use crate::identity::{self, Identity, IdentityError};
use crate::quarantine;
use crate::recovery::{io_error, unusable};
use crate::wal::frame::{self, HEADER_BYTES, Header};

/// A store that is there.
#[derive(Debug)]
pub(crate) struct Identified {
    pub(crate) instance: u64,
    pub(crate) opened: Opened,
    /// What is wrong with its identity, where other files had to say it.
    pub(crate) damage: Option<String>,
    /// Whether the identity is to be written anew.
    is_to_write: bool,
}

/// Whether there is a store, or what is left of one.
pub(crate) fn is_there(disk: &Disk) -> Result<bool, OpenError> {
    let is_named = disk.exists(identity::PATH).map_err(io_error("looking into", ""))?;
    Ok(is_named || has_data(disk)?)
}

/// What a directory holds. `None` if there is no store, or one whose making was cut short.
pub(crate) fn find(disk: &Disk) -> Result<Option<Identified>, OpenError> {
    refuse_old_catalog(disk)?;
    let read = match identity::read(disk) {
        Ok(Some(identity)) => Ok(identity),
        Ok(None) if !has_data(disk)? => return Ok(None),
        Ok(None) => Err("it is missing".to_owned()),
        Err(error @ IdentityError::Damaged) => Err(sentence(&error)),
        Err(IdentityError::Io(source)) if disk::is_lost(&source) => {
            Err(format!("the disk has lost it: {source}"))
        }
        Err(IdentityError::Io(source)) => {
            return Err(io_error("reading", identity::PATH)(source));
        }
        Err(error) => return Err(unusable(identity::PATH, sentence(&error))),
    };
    if let Ok(Identity { instance, is_summed: true }) = read {
        let opened = open_catalog(disk, instance)?;
        return Ok(Some(Identified { instance, opened, damage: None, is_to_write: false }));
    }
    let told = told_by_others(disk).map_err(io_error("looking into", ""))?;
    let unanimous = told.iter().next().filter(|_| told.len() == 1);
    let (instance, damage) = match (read, unanimous) {
        (Ok(identity), None) => (identity.instance, None),
        (Ok(identity), Some((instance, _))) if *instance == identity.instance => (*instance, None),
        // What has no checksum counts less than all others together.
        (read, Some((instance, files))) => {
            let cause = read.err().unwrap_or_else(|| "it is that of another store".to_owned());
            let files = counted(*files, "other file", "other files");
            (*instance, Some(format!("{cause}; {files} told which store this is")))
        }
        (Err(cause), None) => {
            let cause = format!("{cause}, and no other files agree which store this is");
            return Err(unusable(identity::PATH, cause));
        }
    };
    let opened = open_catalog(disk, instance)?;
    Ok(Some(Identified { instance, opened, damage, is_to_write: true }))
}

/// Makes a store where none is; its identity last: where it is, the catalog must be.
pub(crate) fn make(disk: &Disk) -> Result<Identified, OpenError> {
    // What is left where making one was cut short.
    let files = disk.list(catalog::DIR).map_err(io_error("listing", catalog::DIR))?;
    for (name, _) in &files {
        let path = format!("{}/{name}", catalog::DIR);
        disk.remove(&path).map_err(io_error("removing", &path))?;
    }
    let instance = identity::draw();
    let instance = instance.map_err(|error| unusable(identity::PATH, sentence(&error)))?;
    let catalog = Catalog::create(disk, instance);
    let catalog = catalog.map_err(io_error("writing", catalog::DIR))?;
    identity::create(disk, instance).map_err(io_error("writing", identity::PATH))?;
    let opened =
        Opened { catalog, damaged: Vec::new(), is_torn: false, is_without_checkpoint: false };
    Ok(Identified { instance, opened, damage: None, is_to_write: false })
}

impl Identified {
    /// Writes down what is known of the identity, if it is not there; whether a damaged one was set aside.
    pub(crate) fn keep(&self, disk: &Disk) -> bool {
        if !self.is_to_write {
            return false;
        }
        let is_set_aside = self.damage.is_some() && quarantine::put(disk, identity::PATH).is_ok();
        if let Err(error) = identity::create(disk, self.instance) {
            // The next open finds what this one found.
            tracing::warn!(%error, "cannot write which store this is yet");
        }
        is_set_aside
    }
}

fn open_catalog(disk: &Disk, instance: u64) -> Result<Opened, OpenError> {
    Catalog::open(disk, instance).map_err(|error| match error {
        CatalogError::Io(source) => io_error("reading", catalog::DIR)(source),
        other => unusable(catalog::DIR, sentence(&other)),
    })
}

/// Whether anything is there that a new store would disown. A catalog of nothing is what is left where making a
/// store was cut short.
fn has_data(disk: &Disk) -> Result<bool, OpenError> {
    for dir in [frame::DIR, block::DIR, catalog::DIR] {
        let files = disk.list(dir).map_err(io_error("listing", dir))?;
        if files.iter().any(|(name, _)| dir != catalog::DIR || !Catalog::is_of_nothing(name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whose all other files are, by how many of them. Blocks are asked if nothing else is left.
fn told_by_others(disk: &Disk) -> io::Result<BTreeMap<u64, u64>> {
    let mut told: BTreeMap<u64, u64> = BTreeMap::new();
    for (name, _) in disk.list(catalog::DIR)? {
        if let Some(instance) = catalog::instance_in(disk, &name)? {
            *told.entry(instance).or_default() += 1;
        }
    }
    for (name, bytes) in disk.list(frame::DIR)? {
        if !name.ends_with(".wal") || bytes < HEADER_BYTES as u64 {
            continue;
        }
        let header = disk.read_at(&format!("{}/{name}", frame::DIR), 0, HEADER_BYTES);
        match header.map(|bytes| Header::decode(&bytes)) {
            Ok(Ok(header)) => *told.entry(header.instance).or_default() += 1,
            Ok(Err(_)) => {}
            Err(error) if disk::is_lost(&error) => {}
            Err(error) => return Err(error),
        }
    }
    if told.is_empty() {
        for (name, bytes) in disk.list(block::DIR)? {
            if let Some(instance) = description::instance_in(disk, &name, bytes) {
                *told.entry(instance).or_default() += 1;
            }
        }
    }
    Ok(told)
}

/// Formats 1 and 2 had the catalog in one file.
fn refuse_old_catalog(disk: &Disk) -> Result<(), OpenError> {
    let old = disk.read(catalog::OLD_PATH).map_err(io_error("reading", catalog::OLD_PATH))?;
    let Some(old) = old else { return Ok(()) };
    let version = old.get(8..12).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let version = version.unwrap_or(0);
    let (oldest, newest) = (catalog::OLDEST_VERSION, catalog::VERSION);
    let reason = format!(
        "the catalog has format {version}, and this program knows {oldest} to {newest}: begin a new store elsewhere, or use the program that made this one"
    );
    Err(unusable(catalog::OLD_PATH, reason))
}

//! Which store a directory holds: its format's version and its instance id, made when it was first opened.

use std::io;

use crate::disk::Disk;

pub(crate) const PATH: &str = "IDENTITY";
const VERSION: u32 = 1;

/// Why a directory's identity cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("input or output failed")]
    Io(#[from] io::Error),
    #[error("not a store's identity")]
    Damaged,
    #[error("format {found}, and this program knows {VERSION}")]
    Version { found: u32 },
    #[error("no random number for a new instance id: {0}")]
    Random(getrandom::Error),
}

/// Reads the instance id; `None` if nothing was ever stored here.
pub(crate) fn read(disk: &Disk) -> Result<Option<u64>, IdentityError> {
    let Some(bytes) = disk.read(PATH)? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|_| IdentityError::Damaged)?;
    let mut words = text.split_ascii_whitespace();
    if (words.next(), words.next()) != (Some("sigyn-store"), Some("version")) {
        return Err(IdentityError::Damaged);
    }
    let found = words.next().and_then(|word| word.parse().ok()).ok_or(IdentityError::Damaged)?;
    if found != VERSION {
        return Err(IdentityError::Version { found });
    }
    match (words.next(), words.next()) {
        (Some("instance"), Some(id)) => {
            u64::from_str_radix(id, 16).map(Some).map_err(|_| IdentityError::Damaged)
        }
        _ => Err(IdentityError::Damaged),
    }
}

pub(crate) fn draw() -> Result<u64, IdentityError> {
    getrandom::u64().map_err(IdentityError::Random)
}

/// Writes an instance id: the last step of making a store.
pub(crate) fn create(disk: &Disk, instance: u64) -> io::Result<()> {
    let text = format!("sigyn-store version {VERSION}\ninstance {instance:016x}\n");
    disk.replace(PATH, text.as_bytes())
}

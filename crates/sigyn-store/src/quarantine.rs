//! Where damaged files go, for a person to look at.

use crate::disk::Disk;

pub(crate) const DIR: &str = "quarantine";

/// Moves a file out of the way.
pub(crate) fn put(disk: &Disk, path: &str) -> std::io::Result<()> {
    disk.create_dir(DIR)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut to = format!("{DIR}/{name}");
    let mut copies = 1..1_000;
    while disk.exists(&to)?
        && let Some(copy) = copies.next()
    {
        to = format!("{DIR}/{name}.{copy}");
    }
    disk.rename(path, &to)
}

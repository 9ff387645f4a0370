//! Segments that have the name of another one: a file may have become the next segment while it was copied.

use crate::disk::{Disk, parent};
use crate::error::OpenError;
use crate::quarantine;
use crate::recovery::io_error;
use crate::shared::Counters;
use crate::wal::frame::{self, HEADER_BYTES, Header};

/// What is wrong with a segment of this name, if it has another one's.
pub(crate) fn cause(path: &str, header: &Header) -> Option<String> {
    let own_path = frame::path(header.first_seq);
    (own_path != path).then(|| format!("it is {own_path}; what it was before is missing"))
}

/// Gives such segments of this store their own names, as far as no other has them.
pub(crate) fn put_right(disk: &Disk, instance: u64, counters: &Counters) -> Result<(), OpenError> {
    let files = disk.list(frame::DIR).map_err(io_error("listing", frame::DIR))?;
    for (name, _) in files.iter().filter(|(name, _)| name.ends_with(".wal")) {
        let path = format!("{}/{name}", frame::DIR);
        // Whoever reads all of it finds out what is wrong with one that has no header.
        let header = disk.read_at(&path, 0, HEADER_BYTES).ok();
        let Some(header) = header.and_then(|bytes| Header::decode(&bytes).ok()) else { continue };
        let Some(cause) = cause(&path, &header).filter(|_| header.instance == instance) else {
            continue;
        };
        counters.damaged_spots.add(1);
        counters.damages.add(&path, &cause);
        let own_path = frame::path(header.first_seq);
        if disk.exists(&own_path).map_err(io_error("looking for", &own_path))? {
            counters.quarantined_files.add(1);
            quarantine::put(disk, &path).map_err(io_error("setting aside", &path))?;
        } else {
            let renamed = disk.rename(&path, &own_path).and_then(|()| disk.sync_dir(parent(&path)));
            renamed.map_err(io_error("renaming", &path))?;
        }
    }
    Ok(())
}

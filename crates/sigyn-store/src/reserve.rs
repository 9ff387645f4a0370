//! Room that is kept free for a commit that makes room: on a full disk nothing else could be deleted.

use crate::disk::Disk;

/// What takes the room meanwhile.
pub(crate) const PATH: &str = "RESERVE";
/// More than any commit that only removes blocks takes, and its name in a directory.
const BYTES: usize = 64 << 10;

/// Sets the room aside, if that is not done yet and there is any.
pub(crate) fn keep(disk: &Disk) {
    if !matches!(disk.exists(PATH), Ok(false)) {
        return;
    }
    // Of bytes that no file system packs.
    let mut bytes = vec![0; BYTES];
    let filled = getrandom::fill(&mut bytes).map_err(std::io::Error::other);
    if let Err(error) = filled.and_then(|()| disk.replace(PATH, &bytes)) {
        tracing::debug!(%error, "no room can be set aside for deleting what is old");
    }
}

/// Gives the room back; whether there was any.
pub(crate) fn release(disk: &Disk) -> bool {
    disk.remove(PATH).is_ok()
}

//! What a store that was closed says of its log: how far it goes. A log that ends sooner is no crash's doing.

use std::io;

use crate::disk::Disk;

pub(crate) const PATH: &str = "CLOSED";

fn encode(instance: u64, last_seq: u64) -> String {
    let mut text = format!("sigyn-store closed\ninstance {instance:016x}\nlast frame {last_seq}\n");
    text.push_str(&format!("crc32c {:08x}\n", crc32c::crc32c(text.as_bytes())));
    text
}

/// Says that all frames up to this one are durable.
pub(crate) fn write(disk: &Disk, instance: u64, last_seq: u64) -> io::Result<()> {
    disk.replace(PATH, encode(instance, last_seq).as_bytes())
}

/// The last frame that there was; `None` if the store was not closed, or nobody can tell.
pub(crate) fn last_seq(disk: &Disk, instance: u64) -> Option<u64> {
    let bytes = disk.read(PATH).ok().flatten()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let last_seq = text.lines().nth(2)?.strip_prefix("last frame ")?.parse().ok()?;
    (encode(instance, last_seq) == text).then_some(last_seq)
}

/// It is open again. One that stays says too little of a longer log, and no harm is done.
pub(crate) fn remove(disk: &Disk) {
    if let Err(error) = disk.remove(PATH)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, path = PATH, "cannot remove what was said when the store was closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::faulty::FaultyDisk;

    #[test]
    fn what_was_written_reads_back_and_whatever_else_is_there_says_nothing() {
        let faulty = FaultyDisk::default();
        let disk = Disk::Faulty(faulty.clone());
        assert_eq!(last_seq(&disk, 7), None);
        write(&disk, 7, 42).unwrap();
        assert_eq!((last_seq(&disk, 7), last_seq(&disk, 8)), (Some(42), None));
        let good = faulty.read(PATH).unwrap();
        for bit in 0..good.len() * 8 {
            faulty.corrupt(PATH, |bytes| {
                *bytes = good.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
            });
            assert_eq!(last_seq(&disk, 7), None, "bit {bit}");
        }
        remove(&disk);
        remove(&disk);
        assert_eq!(last_seq(&disk, 7), None);
    }
}

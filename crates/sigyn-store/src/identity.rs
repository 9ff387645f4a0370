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
    #[error("it is not what was written")]
    Damaged,
    #[error("format {found}, and this program knows {VERSION}")]
    Version { found: u32 },
    #[error("no random number for a new instance id: {0}")]
    Random(getrandom::Error),
}

/// Which store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) instance: u64,
    /// Whether a checksum says so, too. At first there was none.
    pub(crate) is_summed: bool,
}

/// Reads it; `None` if nothing was ever stored here.
pub(crate) fn read(disk: &Disk) -> Result<Option<Identity>, IdentityError> {
    disk.read(PATH)?.map(|bytes| decode(&bytes)).transpose()
}

fn encode(Identity { instance, is_summed }: Identity) -> String {
    let mut text = format!("sigyn-store version {VERSION}\ninstance {instance:016x}\n");
    if is_summed {
        text.push_str(&format!("crc32c {:08x}\n", crc32c::crc32c(text.as_bytes())));
    }
    text
}

/// What has no checksum, and is not what was written before there was one, is damaged; and so is that of
/// another version: whatever the version, the checksum stands where it stands.
fn decode(bytes: &[u8]) -> Result<Identity, IdentityError> {
    let text = std::str::from_utf8(bytes).map_err(|_| IdentityError::Damaged)?;
    let content = text.rfind("crc32c ").map(|at| &text[..at]);
    let is_summed = content.is_some_and(|content| {
        text[content.len()..] == format!("crc32c {:08x}\n", crc32c::crc32c(content.as_bytes()))
    });
    let mut words = text.split_ascii_whitespace();
    if (words.next(), words.next()) != (Some("sigyn-store"), Some("version")) {
        return Err(IdentityError::Damaged);
    }
    let found = words.next().and_then(|word| word.parse().ok()).ok_or(IdentityError::Damaged)?;
    if found != VERSION && is_summed {
        return Err(IdentityError::Version { found });
    }
    let id = words.nth(1).and_then(|id| u64::from_str_radix(id, 16).ok());
    let identity = Identity { instance: id.ok_or(IdentityError::Damaged)?, is_summed };
    if encode(identity) == text { Ok(identity) } else { Err(IdentityError::Damaged) }
}

pub(crate) fn draw() -> Result<u64, IdentityError> {
    getrandom::u64().map_err(IdentityError::Random)
}

/// Writes an instance id: the last step of making a store.
pub(crate) fn create(disk: &Disk, instance: u64) -> io::Result<()> {
    disk.replace(PATH, encode(Identity { instance, is_summed: true }).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_back_and_any_flipped_bit_is_noticed_where_there_is_a_checksum() {
        for is_summed in [false, true] {
            let identity = Identity { instance: 0xab_cdef, is_summed };
            let good = encode(identity).into_bytes();
            assert_eq!(decode(&good).unwrap(), identity);
            for bit in (0..good.len() * 8).filter(|_| is_summed) {
                let mut bytes = good.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(matches!(decode(&bytes), Err(IdentityError::Damaged)), "bit {bit}");
            }
        }
        assert!(matches!(decode(b"hello"), Err(IdentityError::Damaged)));
    }

    #[test]
    fn another_version_is_told_from_damage_by_its_checksum() {
        let text = "sigyn-store version 7\nwhatever\n";
        let sum = crc32c::crc32c(text.as_bytes());
        let error = decode(format!("{text}crc32c {sum:08x}\n").as_bytes()).unwrap_err();
        assert!(matches!(error, IdentityError::Version { found: 7 }));
        assert!(matches!(decode(text.as_bytes()), Err(IdentityError::Damaged)));
    }
}

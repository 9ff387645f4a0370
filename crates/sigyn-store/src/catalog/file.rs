//! How a file of the catalog is framed: whose it is, which number it has, and a checksum.

const MAGIC: &[u8; 8] = b"SIGYNCAT";
/// Goes up with that of the blocks, too: a program must not serve less than it stores.
pub(crate) const VERSION: u32 = 4;
/// Files of the versions since differ in that of the blocks that they name.
pub(crate) const OLDEST_VERSION: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One change.
    Commit,
    /// What all changes up to this number come to.
    Checkpoint,
}

/// Why bytes are no file of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileError {
    Checksum,
    Version {
        found: u32,
    },
    /// Of another store.
    Foreign,
    /// Of another kind or number.
    Name,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Checkpoint => "checkpoint",
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Commit => 1,
            Self::Checkpoint => 2,
        }
    }
}

pub(super) fn name(kind: Kind, number: u64) -> String {
    format!("{number:020}.{}", kind.extension())
}

pub(super) fn path(kind: Kind, number: u64) -> String {
    format!("{}/{}", super::DIR, name(kind, number))
}

/// What a file's name says, if it is one of ours.
pub(super) fn number_of(file_name: &str) -> Option<(Kind, u64)> {
    let (digits, extension) = file_name.split_once('.')?;
    let kind = [Kind::Commit, Kind::Checkpoint].into_iter().find(|k| k.extension() == extension)?;
    let number = digits.parse().ok()?;
    (name(kind, number) == file_name).then_some((kind, number))
}

/// `magic | version u32 | kind u8 | instance u64 | number u64 | payload | crc32c u32`, little endian.
pub(super) fn frame(kind: Kind, instance: u64, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.push(kind.byte());
    bytes.extend_from_slice(&instance.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// The payload of a file of this kind and number.
pub(super) fn unframe(
    kind: Kind,
    instance: u64,
    number: u64,
    bytes: &[u8],
) -> Result<&[u8], FileError> {
    let (content, crc) = bytes.split_last_chunk().ok_or(FileError::Checksum)?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
        return Err(FileError::Checksum);
    }
    let rest = content.strip_prefix(MAGIC).ok_or(FileError::Name)?;
    let (version, rest) = rest.split_first_chunk().ok_or(FileError::Name)?;
    let found = u32::from_le_bytes(*version);
    if !(OLDEST_VERSION..=VERSION).contains(&found) {
        return Err(FileError::Version { found });
    }
    let (kind_found, rest) = rest.split_first().ok_or(FileError::Name)?;
    let (instance_found, rest) = rest.split_first_chunk().ok_or(FileError::Name)?;
    let (number_found, payload) = rest.split_first_chunk().ok_or(FileError::Name)?;
    if u64::from_le_bytes(*instance_found) != instance {
        return Err(FileError::Foreign);
    }
    if (*kind_found, u64::from_le_bytes(*number_found)) != (kind.byte(), number) {
        return Err(FileError::Name);
    }
    Ok(payload)
}

/// Whose a file is, of whatever kind and number.
pub(super) fn instance_of(bytes: &[u8]) -> Option<u64> {
    let (content, crc) = bytes.split_last_chunk()?;
    let is_whole = crc32c::crc32c(content) == u32::from_le_bytes(*crc);
    // Behind the letters, the version and the kind.
    let instance = content.strip_prefix(MAGIC)?.get(5..)?.first_chunk()?;
    is_whole.then(|| u64::from_le_bytes(*instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_kind_and_number_and_no_name_says_them_otherwise() {
        for kind in [Kind::Commit, Kind::Checkpoint] {
            for number in [0, 7, u64::MAX] {
                assert_eq!(number_of(&name(kind, number)), Some((kind, number)));
            }
        }
        for other in ["7.commit", "00000000000000000007.commit.tmp", "00000000000000000007", "x"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_frame_is_what_it_says_and_any_flipped_bit_is_noticed() {
        let good = frame(Kind::Commit, 5, 9, b"payload");
        let check = |bytes: &[u8]| unframe(Kind::Commit, 5, 9, bytes).map(<[u8]>::to_vec);
        assert_eq!(check(&good), Ok(b"payload".to_vec()));
        assert_eq!((instance_of(&good), instance_of(&good[1..])), (Some(5), None));
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(&bytes), Err(FileError::Checksum), "bit {bit}");
        }
        assert_eq!(check(&good[..3]), Err(FileError::Checksum));
        assert_eq!(check(&frame(Kind::Commit, 6, 9, b"")), Err(FileError::Foreign));
        assert_eq!(check(&frame(Kind::Commit, 5, 8, b"")), Err(FileError::Name));
        assert_eq!(check(&frame(Kind::Checkpoint, 5, 9, b"")), Err(FileError::Name));
        let mut other = good;
        other.truncate(other.len() - 4);
        other[8] = 2;
        other.extend_from_slice(&crc32c::crc32c(&other).to_le_bytes());
        assert_eq!(check(&other), Err(FileError::Version { found: 2 }));
    }
}

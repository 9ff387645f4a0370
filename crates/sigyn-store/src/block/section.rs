//! Our own sections of a block's file, between the last row group and Parquet's footer.

use std::fmt;
use std::str::FromStr;

/// The key in the footer's metadata under which the sections' places stand.
pub(crate) const METADATA_KEY: &str = "sigyn.index";
const VERSION: u32 = 2;
/// No section is larger when it is decompressed.
const RAW_BYTES_MAX: usize = 1 << 30;

/// Where a section stands, and what its bytes must add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) crc: u32,
}

/// Both sections, as the footer's metadata spells them:
/// `<version> <offset> <bytes> <raw bytes> <crc32c> <offset> <bytes> <raw bytes> <crc32c>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sections {
    pub(crate) tags: Section,
    pub(crate) index: Section,
}

/// A section that is not what its place says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SectionError {
    #[error("the file has no index of ours")]
    Missing,
    #[error("the index has another format than this program knows")]
    Version,
    #[error("a section's checksum is wrong")]
    Damaged,
}

impl Section {
    /// Compresses a section that will stand at `offset`.
    pub(crate) fn pack(raw: &[u8], offset: u64) -> std::io::Result<(Self, Vec<u8>)> {
        let packed = zstd::bulk::compress(raw, 1)?;
        let section = Self {
            offset,
            bytes: packed.len() as u64,
            raw_bytes: raw.len() as u64,
            crc: crc32c::crc32c(&packed),
        };
        Ok((section, packed))
    }

    pub(crate) fn unpack(&self, packed: &[u8]) -> Result<Vec<u8>, SectionError> {
        let raw_bytes = usize::try_from(self.raw_bytes).unwrap_or(usize::MAX);
        if crc32c::crc32c(packed) != self.crc || raw_bytes > RAW_BYTES_MAX {
            return Err(SectionError::Damaged);
        }
        zstd::bulk::decompress(packed, raw_bytes).map_err(|_| SectionError::Damaged)
    }
}

impl fmt::Display for Sections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}")?;
        for Section { offset, bytes, raw_bytes, crc } in [self.tags, self.index] {
            write!(f, " {offset} {bytes} {raw_bytes} {crc:08x}")?;
        }
        Ok(())
    }
}

impl FromStr for Sections {
    type Err = SectionError;

    fn from_str(text: &str) -> Result<Self, SectionError> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(SectionError::Damaged);
        if word()?.parse() != Ok(VERSION) {
            return Err(SectionError::Version);
        }
        let mut section = || {
            let mut number = || word()?.parse().map_err(|_| SectionError::Damaged);
            let (offset, bytes, raw_bytes) = (number()?, number()?, number()?);
            let crc = u32::from_str_radix(word()?, 16).map_err(|_| SectionError::Damaged)?;
            Ok(Section { offset, bytes, raw_bytes, crc })
        };
        Ok(Self { tags: section()?, index: section()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back_as_written() {
        let (tags, _) = Section::pack(b"tags", 4).unwrap();
        let (index, packed) = Section::pack(b"index", 99).unwrap();
        let sections = Sections { tags, index };
        assert_eq!(sections.to_string().parse(), Ok(sections));
        assert_eq!(index.unpack(&packed).unwrap(), b"index");
        assert_eq!(tags.unpack(&packed), Err(SectionError::Damaged));
        assert_eq!("1 1 1 1 1".parse::<Sections>(), Err(SectionError::Version));
        assert_eq!("2 1 1".parse::<Sections>(), Err(SectionError::Damaged));
    }
}

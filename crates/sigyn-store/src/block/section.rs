//! Our own sections of a block's file, between the last row group and Parquet's footer.

use super::unpack;
use crate::codec::{Decoder, Encoder, Malformed};

/// The key in the footer's metadata under which the version and the place of the root stand.
pub(crate) const METADATA_KEY: &str = "sigyn.index";
pub(crate) const VERSION: u32 = 4;
/// What older programs wrote, and this one still reads.
pub(crate) const OLDEST_VERSION: u32 = 3;
/// No section is larger when it is decompressed.
const RAW_BYTES_MAX: usize = 1 << 30;

/// Where a section stands, and what its bytes must add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) crc: u32,
}

/// A section that is not what its place says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SectionError {
    #[error("the file has no index of ours")]
    Missing,
    #[error("its index has format {0}, and this program knows {OLDEST_VERSION} to {VERSION}")]
    Version(u32),
    #[error("a section's checksum is wrong")]
    Damaged,
}

impl Section {
    /// Compresses a section that will stand at `offset`. Errors if nobody would read it.
    pub(crate) fn pack(raw: &[u8], offset: u64) -> std::io::Result<(Self, Vec<u8>)> {
        if raw.len() > RAW_BYTES_MAX {
            return Err(std::io::Error::other("a section of its index is larger than 1 GiB"));
        }
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
        unpack::decompress(packed, raw_bytes).map_err(|_| SectionError::Damaged)
    }

    pub(super) fn encode(&self, encoder: &mut Encoder<'_>) {
        let Self { offset, bytes, raw_bytes, crc } = *self;
        [offset, bytes, raw_bytes, u64::from(crc)].iter().for_each(|number| encoder.uint(*number));
    }

    pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            offset: decoder.uint()?,
            bytes: decoder.uint()?,
            raw_bytes: decoder.uint()?,
            crc: decoder.uint_as()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_would_read_is_not_written() {
        let error = Section::pack(&vec![0; RAW_BYTES_MAX + 1], 0).unwrap_err();
        assert_eq!(error.to_string(), "a section of its index is larger than 1 GiB");
    }

    #[test]
    fn sections_read_back_as_written() {
        let (section, packed) = Section::pack(b"index", 99).unwrap();
        let mut encoder = Encoder::default();
        section.encode(&mut encoder);
        let bytes = encoder.into_bytes();
        let read = Section::decode(&mut Decoder::new(&bytes)).unwrap();
        assert_eq!(read, section);
        assert_eq!(read.unpack(&packed).unwrap(), b"index");
        assert_eq!(
            Section::pack(b"tags", 4).unwrap().0.unpack(&packed),
            Err(SectionError::Damaged)
        );
    }
}

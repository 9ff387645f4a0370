//! The catalog: which blocks there are, which part of the log they replace, and all progress up to there.
//!
//! One file, replaced as a whole: a crash leaves the old one or the new one. `docs/formats/block.md`
//! has its bytes.

use std::io;

use crate::codec::{Decoder, Encoder, Malformed};
use crate::disk::{Disk, ReplaceError};
use crate::progress::Progress;

pub(crate) const PATH: &str = "CATALOG";
const MAGIC: &[u8; 8] = b"SIGYNCAT";
/// Goes up with that of the blocks, too: a program must not serve less than it stores.
const VERSION: u32 = 2;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Catalog {
    /// Frames up to this one are in blocks, and were there anything of them in the log, it is skipped.
    pub(crate) sealed_through: u64,
    /// In the order of their frames.
    pub(crate) blocks: Vec<BlockEntry>,
    /// As of `sealed_through`.
    pub(crate) progress: Progress,
}

/// A block as the catalog has it: enough to open it, and to delete it unopened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    /// The file's name in the directory of blocks.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// How many bytes at the file's end are index and footer, and what they must add up to.
    pub(crate) tail_bytes: u64,
    pub(crate) tail_crc: u32,
    pub(crate) spans: u64,
    /// When the first and the last of its batches arrived.
    pub(crate) first_arrival_ms: u64,
    pub(crate) last_arrival_ms: u64,
}

/// Why there is no usable catalog.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    #[error("input or output failed")]
    Io(#[from] io::Error),
    #[error("its checksum is wrong")]
    Damaged,
    #[error("format {found}, and this program knows {VERSION}")]
    Version { found: u32 },
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Catalog {
    /// `None` if there is no catalog yet.
    pub(crate) fn read(disk: &Disk) -> Result<Option<Self>, CatalogError> {
        disk.read(PATH)?.map(|bytes| Self::decode(&bytes)).transpose()
    }

    pub(crate) fn write(&self, disk: &Disk) -> Result<(), ReplaceError> {
        disk.replace(PATH, &self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.uint(self.sealed_through);
        encoder.count(self.blocks.len());
        for block in &self.blocks {
            encoder.string(&block.name);
            encoder.uint(block.bytes);
            encoder.uint(block.tail_bytes);
            encoder.uint(u64::from(block.tail_crc));
            encoder.uint(block.spans);
            encoder.uint(block.first_arrival_ms);
            encoder.uint(block.last_arrival_ms);
        }
        self.progress.encode(&mut encoder);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&encoder.into_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, CatalogError> {
        let (content, crc) = bytes.split_last_chunk().ok_or(CatalogError::Damaged)?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return Err(CatalogError::Damaged);
        }
        let payload = content.strip_prefix(MAGIC).ok_or(CatalogError::Damaged)?;
        let (version, payload) = payload.split_first_chunk().ok_or(CatalogError::Damaged)?;
        let found = u32::from_le_bytes(*version);
        if found != VERSION {
            return Err(CatalogError::Version { found });
        }
        let mut decoder = Decoder::new(payload);
        let catalog = Self {
            sealed_through: decoder.uint()?,
            blocks: decoder.list(|decoder| {
                Ok(BlockEntry {
                    name: decoder.string()?,
                    bytes: decoder.uint()?,
                    tail_bytes: decoder.uint()?,
                    tail_crc: decoder.uint_as()?,
                    spans: decoder.uint()?,
                    first_arrival_ms: decoder.uint()?,
                    last_arrival_ms: decoder.uint()?,
                })
            })?,
            progress: Progress::decode(&mut decoder)?,
        };
        decoder.end()?;
        Ok(catalog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn catalog() -> Catalog {
        let mut random = fastrand::Rng::with_seed(3);
        let mut catalog = Catalog { sealed_through: 99, ..Catalog::default() };
        for n in 0..3 {
            let name = format!("B-{n}.parquet");
            let tail_crc = random.u32(..);
            catalog.blocks.push(BlockEntry { name, spans: n, tail_crc, ..BlockEntry::default() });
            catalog.progress.put(testing::progress(&mut random), n);
        }
        catalog
    }

    #[test]
    fn a_catalog_reads_back_as_written() {
        assert_eq!(Catalog::decode(&catalog().encode()).unwrap(), catalog());
        let empty = Catalog::default();
        assert_eq!(Catalog::decode(&empty.encode()).unwrap(), empty);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let good = catalog().encode();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Catalog::decode(&bytes).is_err(), "bit {bit}");
        }
        assert!(Catalog::decode(&good[..7]).is_err());
    }

    #[test]
    fn a_newer_catalog_is_refused_by_its_version() {
        let mut bytes = catalog().encode();
        bytes.truncate(bytes.len() - 4);
        bytes[8] = 9;
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        assert_eq!(
            Catalog::decode(&bytes).unwrap_err().to_string(),
            "format 9, and this program knows 2"
        );
    }
}

//! The root of a block's own sections: where everything else is.

use super::BlockError;
use super::index::{EntryPage, IdPage, PageTimes, Places};
use super::schema::{TAG_SORTS, TagColumn};
use super::section::{OLDEST_VERSION, Section, SectionError, VERSION};
use crate::codec::{Decoder, Encoder, Malformed};

/// Before the root, uncompressed: letters, the version, how many bytes follow, and how many they become.
const LETTERS: &[u8; 8] = b"SIGYNBLK";
const HEADER_BYTES: usize = LETTERS.len() + 4 + 8 + 8;
const RAW_BYTES_MAX: u64 = 1 << 30;

/// What must be known of a block before anything of it is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Root {
    /// Whether the block is of version 3.
    pub(super) is_of_3: bool,
    pub(super) tag_columns: Vec<TagColumn>,
    pub(super) groups: Vec<Group>,
    pub(super) tags: Section,
    /// Where the index is.
    pub(super) places: Places,
    /// What only answers sooner, and what blocks of version 3 do not have.
    pub(super) extras: Vec<Extra>,
}

/// A section that a reader may do without. Who does not know its kind passes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extra {
    pub(super) kind: u8,
    pub(super) section: Section,
}

/// A row group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) rows: u32,
    pub(super) offset: u64,
    /// Where its pages are.
    pub(super) pages: Section,
}

impl Root {
    pub(super) fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut encoder = Encoder::default();
        encoder.count(self.tag_columns.len());
        for column in &self.tag_columns {
            encoder.string(&column.key);
            encoder.byte(column.sort as u8);
            encoder.byte(u8::from(column.is_second));
        }
        encoder.count(self.groups.len());
        for group in &self.groups {
            encoder.uint(u64::from(group.rows));
            encoder.uint(group.offset);
            group.pages.encode(&mut encoder);
        }
        let Places { words, names, filter, entries, ids } = &self.places;
        for section in [&self.tags, words, names, filter] {
            section.encode(&mut encoder);
        }
        encoder.count(entries.len());
        for page in entries {
            page.section.encode(&mut encoder);
            encoder.optional(page.times, |encoder, times| {
                let PageTimes { oldest, newest, latest_ms } = times;
                [oldest, newest, latest_ms].into_iter().for_each(|time| encoder.uint(time));
            });
        }
        encoder.count(ids.len());
        for page in ids {
            encoder.uint(u64::from(page.first));
            page.section.encode(&mut encoder);
        }
        encoder.count(self.extras.len());
        for extra in &self.extras {
            encoder.byte(extra.kind);
            extra.section.encode(&mut encoder);
        }
        let raw = encoder.into_bytes();
        let packed = zstd::bulk::compress(&raw, 1)?;
        let mut bytes = LETTERS.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(packed.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(raw.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&packed);
        Ok(bytes)
    }

    /// Reads the root at the beginning of these bytes, whose checksum is right.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        let damaged = SectionError::Damaged;
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(damaged)?;
        let (letters, numbers) = header.split_first_chunk::<8>().ok_or(damaged)?;
        let (version, numbers) = numbers.split_first_chunk::<4>().ok_or(damaged)?;
        let (sizes, _) = numbers.as_chunks::<8>();
        let [packed, raw] = sizes else { return Err(damaged.into()) };
        let (packed, raw) = (u64::from_le_bytes(*packed), u64::from_le_bytes(*raw));
        let version = u32::from_le_bytes(*version);
        // Before version 3 there were no letters.
        if letters != LETTERS {
            return Err(SectionError::Version(2).into());
        }
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(SectionError::Version(version).into());
        }
        let packed = usize::try_from(packed).ok().and_then(|len| rest.get(..len)).ok_or(damaged)?;
        let raw = usize::try_from(raw.min(RAW_BYTES_MAX)).unwrap_or(0);
        let raw = zstd::bulk::decompress(packed, raw).map_err(|_| damaged)?;
        Ok(Self::decode_raw(&raw, version)?)
    }

    fn decode_raw(raw: &[u8], version: u32) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(raw);
        let tag_columns = decoder.list(|decoder| {
            let (key, sort) = (decoder.string()?, decoder.byte()?);
            let sort = TAG_SORTS.into_iter().find(|known| *known as u8 == sort);
            let sort = sort.ok_or(Malformed { what: "an unknown sort of column" })?;
            Ok(TagColumn { key, sort, is_second: decoder.byte()? != 0 })
        })?;
        let groups = decoder.list(|decoder| {
            Ok(Group {
                rows: decoder.uint_as()?,
                offset: decoder.uint()?,
                pages: Section::decode(decoder)?,
            })
        })?;
        let mut root = Self {
            is_of_3: version == 3,
            tag_columns,
            groups,
            tags: Section::decode(&mut decoder)?,
            places: Places {
                words: Section::decode(&mut decoder)?,
                names: Section::decode(&mut decoder)?,
                filter: Section::decode(&mut decoder)?,
                entries: decoder.list(|decoder| {
                    Ok(EntryPage {
                        section: Section::decode(decoder)?,
                        times: decoder.optional(|decoder| {
                            Ok(PageTimes {
                                oldest: decoder.uint()?,
                                newest: decoder.uint()?,
                                latest_ms: decoder.uint()?,
                            })
                        })?,
                    })
                })?,
                ids: decoder.list(|decoder| {
                    Ok(IdPage { first: decoder.uint_as()?, section: Section::decode(decoder)? })
                })?,
            },
            extras: Vec::new(),
        };
        if version > 3 {
            root.extras = decoder.list(|decoder| {
                Ok(Extra { kind: decoder.byte()?, section: Section::decode(decoder)? })
            })?;
        }
        decoder.end()?;
        Ok(root)
    }

    /// What it takes in memory, estimated.
    pub(super) fn bytes(&self) -> usize {
        let columns = self.tag_columns.iter().map(|column| 48 + column.key.len()).sum::<usize>();
        let pages = self.places.entries.capacity() * size_of::<EntryPage>()
            + self.places.ids.capacity() * size_of::<IdPage>()
            + self.extras.capacity() * size_of::<Extra>();
        size_of::<Self>() + columns + self.groups.capacity() * size_of::<Group>() + pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::schema::TagSort;

    #[test]
    fn a_root_reads_back_as_written_and_others_are_refused() {
        let section = Section { offset: 1 << 40, bytes: 2, raw_bytes: 3, crc: u32::MAX };
        let column = |sort| TagColumn { key: "a".to_owned(), sort, is_second: true };
        let root = Root {
            is_of_3: false,
            tag_columns: vec![column(TagSort::Text), column(TagSort::Bool)],
            groups: vec![Group { rows: 7, offset: 4, pages: section }; 2],
            tags: section,
            places: Places {
                words: section,
                entries: vec![
                    EntryPage { section, times: None },
                    EntryPage {
                        section,
                        times: Some(PageTimes { oldest: 1, newest: u64::MAX, latest_ms: 2 }),
                    },
                ],
                ids: vec![IdPage { first: u32::MAX, section }],
                ..Places::default()
            },
            extras: vec![Extra { kind: 200, section }],
        };
        let mut bytes = root.to_bytes().unwrap();
        bytes.extend_from_slice(b"footer");
        assert_eq!(Root::decode(&bytes).unwrap(), root);
        assert!((0..bytes.len() - 6).all(|len| Root::decode(&bytes[..len]).is_err()));
        for version in [2, 5] {
            bytes[8] = version;
            let error = Root::decode(&bytes).unwrap_err().to_string();
            let expected = format!("its index has format {version}, and this program knows 3 to 4");
            assert_eq!(error, expected);
        }
        assert!(matches!(
            Root::decode(&[0; 100]),
            Err(BlockError::Section(SectionError::Version(2)))
        ));
    }
}

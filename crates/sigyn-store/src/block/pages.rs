//! Where the pages of a row group are, and what their bytes must add up to.

use super::hybrid::{put_uint, take, take_array, take_uint};
use crate::codec::Malformed;

/// A page with its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PagePlace {
    pub(super) bytes: u32,
    pub(super) crc: u32,
}

/// Pages of one column, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ColumnPages {
    /// Of the whole chunk.
    pub(super) bytes: u64,
    /// Whether no row has a value: nothing need be read to know that.
    pub(super) is_absent: bool,
    pub(super) dictionary: Option<PagePlace>,
    pub(super) pages: Vec<PagePlace>,
}

/// Pages of a row group, and where the chunk of each column begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupPages {
    columns: Vec<(u64, ColumnPages)>,
}

impl GroupPages {
    /// Bytes that [`GroupPages::decode`] reads.
    pub(super) fn encode(columns: &[ColumnPages]) -> Vec<u8> {
        let mut out = Vec::new();
        put_uint(&mut out, columns.len() as u64);
        for column in columns {
            put_uint(&mut out, column.bytes);
            let bits = u64::from(column.is_absent) << 1 | u64::from(column.dictionary.is_some());
            put_uint(&mut out, (column.pages.len() as u64) << 2 | bits);
            for page in column.dictionary.iter().chain(&column.pages) {
                put_uint(&mut out, u64::from(page.bytes));
                out.extend_from_slice(&page.crc.to_le_bytes());
            }
        }
        out
    }

    /// Of a row group that begins at `offset`.
    pub(super) fn decode(mut bytes: &[u8], offset: u64) -> Result<Self, Malformed> {
        const TOO_LARGE: Malformed = Malformed { what: "a page of impossible size" };
        let bytes = &mut bytes;
        let count = take_uint(bytes)?;
        let mut columns = Vec::new();
        let mut begin = offset;
        for _ in 0..count {
            let chunk_bytes = take_uint(bytes)?;
            let has = take_uint(bytes)?;
            let mut place = || -> Result<PagePlace, Malformed> {
                let size = u32::try_from(take_uint(bytes)?).map_err(|_| TOO_LARGE)?;
                Ok(PagePlace { bytes: size, crc: u32::from_le_bytes(take_array(bytes)?) })
            };
            let dictionary = if has & 1 == 1 { Some(place()?) } else { None };
            let pages = (0..has >> 2).map(|_| place()).collect::<Result<_, _>>()?;
            columns.push((
                begin,
                ColumnPages { bytes: chunk_bytes, is_absent: has & 2 != 0, dictionary, pages },
            ));
            begin = begin.checked_add(chunk_bytes).ok_or(TOO_LARGE)?;
        }
        take(bytes, 0)?;
        if bytes.is_empty() { Ok(Self { columns }) } else { Err(TOO_LARGE) }
    }

    /// How many bytes all of them take.
    pub(super) fn file_bytes(&self) -> u64 {
        self.columns.iter().map(|(_, pages)| pages.bytes).sum()
    }

    /// Whether these are the group's bytes, of which every one belongs to a page.
    pub(super) fn are_right(&self, mut bytes: &[u8]) -> bool {
        for (_, column) in &self.columns {
            for place in column.dictionary.iter().chain(&column.pages) {
                let Some((page, rest)) = bytes.split_at_checked(place.bytes as usize) else {
                    return false;
                };
                if crc32c::crc32c(page) != place.crc {
                    return false;
                }
                bytes = rest;
            }
        }
        bytes.is_empty()
    }

    pub(super) fn column(&self, column: usize) -> Option<&ColumnPages> {
        self.columns.get(column).map(|(_, pages)| pages)
    }

    /// Where a column's dictionary stands.
    pub(super) fn dictionary(&self, column: usize) -> Option<(u64, PagePlace)> {
        let (begin, pages) = self.columns.get(column)?;
        pages.dictionary.map(|place| (*begin, place))
    }

    /// Where a page of a column stands.
    pub(super) fn page(&self, column: usize, page: usize) -> Option<(u64, PagePlace)> {
        let (begin, pages) = self.columns.get(column)?;
        let before = pages.dictionary.iter().chain(pages.pages.get(..page)?);
        let before: u64 = before.map(|place| u64::from(place.bytes)).sum();
        Some((begin + before, *pages.pages.get(page)?))
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let pages = |pages: &ColumnPages| pages.pages.capacity() * size_of::<PagePlace>();
        self.columns.iter().map(|(_, of)| size_of::<ColumnPages>() + pages(of)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back_as_written() {
        let place = |bytes, crc| PagePlace { bytes, crc };
        let columns = [
            ColumnPages {
                bytes: 1_000,
                is_absent: false,
                dictionary: Some(place(10, 7)),
                pages: vec![place(490, u32::MAX), place(500, 0)],
            },
            ColumnPages { bytes: 30, is_absent: true, dictionary: None, pages: vec![place(30, 0)] },
            ColumnPages {
                bytes: 70,
                is_absent: false,
                dictionary: None,
                pages: vec![place(70, 1)],
            },
        ];
        let bytes = GroupPages::encode(&columns);
        let pages = GroupPages::decode(&bytes, 4).unwrap();
        assert_eq!(pages.dictionary(0), Some((4, place(10, 7))));
        assert_eq!(pages.page(0, 1), Some((504, place(500, 0))));
        assert_eq!(pages.page(1, 1), None);
        assert_eq!(pages.page(2, 0), Some((1_034, place(70, 1))));
        assert_eq!((pages.column(1), pages.column(3)), (Some(&columns[1]), None));
        assert!((0..bytes.len()).all(|len| GroupPages::decode(&bytes[..len], 4).is_err()));
    }
}

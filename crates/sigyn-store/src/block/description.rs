//! What a block says of itself: enough for a catalog that has lost it.

use std::sync::Arc;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use sigyn_model::Span;

use super::block_file::MAGIC;
use super::section::{
    METADATA_KEY, OLDEST_VERSION, Section, SectionError, VERSION as BLOCK_VERSION,
};
use super::{Block, BlockError, DIR, QueryFailed, index};
use crate::catalog::BlockEntry;
use crate::disk::Disk;
use crate::stop::Stop;

/// The key in the footer's metadata under which it stands.
pub(super) const DESCRIPTION_KEY: &str = "sigyn.block";
const VERSION: u32 = 1;
/// What is in a file beside columns, where these are named.
const INDEX: &str = "(indexes)";

/// `<version> <instance> <first frame> <last frame> <spans> <traces> <first arrival> <last arrival>
/// <flags> [<earliest timestamp> <latest timestamp>]`.
pub(super) fn describe(instance: u64, entry: &BlockEntry) -> String {
    let BlockEntry { first_seq, last_seq, spans, traces, starts_ns, .. } = entry;
    let BlockEntry { first_arrival_ms, last_arrival_ms, .. } = entry;
    let mut text = format!(
        "{VERSION} {instance:016x} {first_seq} {last_seq} {spans} {traces} {first_arrival_ms} {last_arrival_ms} {}",
        entry.flags()
    );
    if let Some((earliest, latest)) = starts_ns {
        text.push_str(&format!(" {earliest} {latest}"));
    }
    text
}

/// The entry of a block that is described so; but for what its file alone tells.
fn read(text: &str, instance: u64) -> Option<BlockEntry> {
    let mut words = text.split(' ');
    if words.next()?.parse() != Ok(VERSION)
        || u64::from_str_radix(words.next()?, 16) != Ok(instance)
    {
        return None;
    }
    let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    let (fixed, starts) = numbers.split_first_chunk()?;
    let [first_seq, last_seq, spans, traces, first_arrival_ms, last_arrival_ms, flags] = *fixed;
    let starts_ns = match *starts {
        [] => None,
        [earliest, latest] => Some((earliest, latest)),
        _ => return None,
    };
    let mut entry = BlockEntry {
        first_seq,
        last_seq,
        spans,
        traces,
        first_arrival_ms,
        last_arrival_ms,
        starts_ns,
        ..BlockEntry::default()
    };
    entry.set_flags(flags);
    Some(entry)
}

/// What a finished file of `bytes` bytes says of itself, if it is a block of this store. All of it is
/// read, so that nobody relies on a damaged one.
pub(crate) fn examine(
    disk: &Disk,
    name: &str,
    bytes: u64,
    instance: u64,
) -> Result<Block, BlockError> {
    let metadata = metadata_of(disk, name, bytes)?;
    let root = root_offset(&metadata)?;
    let description = value(&metadata, DESCRIPTION_KEY).and_then(|text| read(text, instance));
    let entry = BlockEntry {
        name: name.to_owned(),
        bytes,
        tail_bytes: bytes.saturating_sub(root),
        tail_crc: crc32c::crc32c(&read_end(disk, name, bytes, root)?),
        ..description.ok_or(BlockError::Stranger)?
    };
    let block = Block::open(disk, &entry, &Arc::default())?;
    let mut part = 0;
    while block.check(part)?.is_some() {
        part += 1;
    }
    Ok(block)
}

/// Whose block a finished file says to be.
pub(crate) fn instance_in(disk: &Disk, name: &str, bytes: u64) -> Option<u64> {
    super::origin_of(name)?;
    let metadata = metadata_of(disk, name, bytes).ok()?;
    let instance = value(&metadata, DESCRIPTION_KEY)?.split(' ').nth(1)?;
    u64::from_str_radix(instance, 16).ok()
}

/// Parquet's account of a file of `bytes` bytes.
fn metadata_of(disk: &Disk, name: &str, bytes: u64) -> Result<ParquetMetaData, BlockError> {
    let end = read_end(disk, name, bytes, bytes.checked_sub(8).ok_or(BlockError::Schema)?)?;
    let footer_bytes = match end.first_chunk::<4>() {
        Some(len) if end.ends_with(MAGIC) => u64::from(u32::from_le_bytes(*len)) + 8,
        _ => return Err(BlockError::Schema),
    };
    let from = bytes.checked_sub(footer_bytes).ok_or(BlockError::Schema)?;
    let tail = read_end(disk, name, bytes, from)?;
    Ok(ParquetMetaDataReader::decode_metadata(footer(&tail)?)?)
}

/// What stands in a file of `bytes` bytes from here on.
fn read_end(disk: &Disk, name: &str, bytes: u64, from: u64) -> Result<bytes::Bytes, BlockError> {
    let len = bytes.checked_sub(from).and_then(|len| usize::try_from(len).ok());
    Ok(disk.read_at(&format!("{DIR}/{name}"), from, len.ok_or(BlockError::Schema)?)?)
}

/// Where the root of our sections is: `<version> <offset>`.
fn root_offset(metadata: &ParquetMetaData) -> Result<u64, SectionError> {
    let place = value(metadata, METADATA_KEY).ok_or(SectionError::Missing)?;
    let (version, offset) = place.split_once(' ').ok_or(SectionError::Damaged)?;
    match version.parse() {
        Ok(OLDEST_VERSION..=BLOCK_VERSION) => offset.parse().map_err(|_| SectionError::Damaged),
        Ok(version) => Err(SectionError::Version(version)),
        Err(_) => Err(SectionError::Damaged),
    }
}

/// The footer's metadata in a file's last bytes: before its length and four letters.
fn footer(tail: &[u8]) -> Result<&[u8], BlockError> {
    let (rest, letters) = tail.split_last_chunk::<4>().ok_or(BlockError::Schema)?;
    let (rest, len) = rest.split_last_chunk::<4>().ok_or(BlockError::Schema)?;
    let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let from = rest.len().checked_sub(len).filter(|_| letters == b"PAR1");
    from.and_then(|from| rest.get(from..)).ok_or(BlockError::Schema)
}

fn value<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let pairs = metadata.file_metadata().key_value_metadata().map_or(&[][..], Vec::as_slice);
    pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref())
}

impl Block {
    /// Calls `each` with every span.
    pub(crate) fn read_all(
        &self,
        stop: &Stop,
        each: &mut impl FnMut(Span),
    ) -> Result<(), QueryFailed> {
        let rows = self.root.groups.iter().map(|group| u64::from(group.rows)).sum();
        self.read_rows(&[(0..rows, None)], stop, each)
    }

    /// What its columns take on the disk, and what is no column.
    pub(crate) fn columns(&self) -> Result<Vec<(String, u64)>, BlockError> {
        let tail = Self::read_tail(&self.disk, &self.path, &self.entry)?;
        let metadata = ParquetMetaDataReader::decode_metadata(footer(&tail)?)?;
        let mut columns: Vec<(String, u64)> = Vec::new();
        for group in metadata.row_groups() {
            for column in group.columns() {
                // Lists and maps have several; what stands first is the name that one asks for.
                let name = column.column_path().parts().first().map_or("", String::as_str);
                let bytes = u64::try_from(column.compressed_size()).unwrap_or_default();
                match columns.iter_mut().find(|(other, _)| other == name) {
                    Some((_, sum)) => *sum += bytes,
                    None => columns.push((name.to_owned(), bytes)),
                }
            }
        }
        let in_columns: u64 = columns.iter().map(|(_, bytes)| bytes).sum();
        columns.push((INDEX.to_owned(), self.entry.bytes.saturating_sub(in_columns)));
        Ok(columns)
    }

    /// Reads one part of the file and compares checksums; returns how many bytes that were. `None` if
    /// there are no more parts.
    pub(crate) fn check(&self, part: usize) -> Result<Option<u64>, BlockError> {
        let groups = self.root.groups.len();
        if let Some(group) = self.root.groups.get(part) {
            let pages = self.pages(part)?;
            let bytes = pages.file_bytes();
            let len = usize::try_from(bytes).map_err(|_| BlockError::Entry)?;
            if !pages.are_right(&self.disk.read_at(&self.path, group.offset, len)?) {
                return Err(BlockError::Checksum("rows"));
            }
            return Ok(Some(bytes));
        }
        match part - groups {
            0 => {
                let index::Places { words, names, filter, entries, ids } = &self.root.places;
                let pages = entries.iter().map(|page| &page.section);
                let sections = [&self.root.tags, words, names, filter].into_iter().chain(pages);
                let sections = sections.chain(ids.iter().map(|page| &page.section));
                let extras = self.root.extras.iter().map(|extra| &extra.section);
                let sections: Vec<&Section> = sections.chain(extras).collect();
                sections.iter().try_for_each(|section| self.section(section).map(drop))?;
                let bytes: u64 = sections.iter().map(|section| section.bytes).sum();
                Ok(Some(bytes + self.value_sections()?))
            }
            1 => {
                Self::read_tail(&self.disk, &self.path, &self.entry)?;
                // Nobody but other programs reads it.
                if &*self.disk.read_at(&self.path, 0, MAGIC.len())? != MAGIC {
                    return Err(BlockError::Beginning);
                }
                Ok(Some(self.entry.tail_bytes))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_reads_back_as_written() {
        for starts_ns in [None, Some((1, u64::MAX))] {
            let entry = BlockEntry {
                first_seq: 1,
                last_seq: 2,
                spans: 3,
                traces: 4,
                first_arrival_ms: 5,
                last_arrival_ms: 6,
                starts_ns,
                is_late: starts_ns.is_some(),
                errors: starts_ns.map(|_| false),
                ..BlockEntry::default()
            };
            let text = describe(0xab, &entry);
            assert_eq!(read(&text, 0xab), Some(entry), "{text}");
            assert_eq!(read(&text, 0xac), None);
        }
        for bad in
            ["", "1", "2 ab 1 2 3 4 5 6 0", "1 ab 1 2 3 4 5 6", "1 ab 1 2 3 4 5 6 0 7", "1 ab x"]
        {
            assert_eq!(read(bad, 0xab), None, "{bad}");
        }
    }
}

//! A block's file while it grows: row groups, our sections, the root, Parquet's footer.

use std::io::{self, BufWriter, Write};

use parquet::basic::ColumnOrder;
use parquet::file::metadata::{
    FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::schema::types::SchemaDescPtr;

use super::chunk::ChunkEncoder;
use super::description::DESCRIPTION_KEY;
use super::group_writer::GroupBuilder;
use super::pages::{ColumnPages, GroupPages};
use super::root::{Group, Root};
use super::section::{METADATA_KEY, Section, VERSION};
use super::writer::WriteError;
use crate::disk::{Appender, Disk};

pub(super) struct BlockFile {
    file: Summed,
    schema: SchemaDescPtr,
    encoder: ChunkEncoder,
    /// A group's bytes, before they are written.
    out: Vec<u8>,
    groups: Vec<RowGroupMetaData>,
    pages: Vec<(u64, Vec<ColumnPages>)>,
}

/// What a catalog must know of a file.
pub(super) struct Finished {
    pub(super) bytes: u64,
    pub(super) tail_bytes: u64,
    pub(super) tail_crc: u32,
}

/// What Parquet files begin and end with.
pub(super) const MAGIC: &[u8] = b"PAR1";

impl BlockFile {
    pub(super) fn create(
        disk: &Disk,
        path: &str,
        schema: SchemaDescPtr,
    ) -> Result<Self, WriteError> {
        let mut file = Summed { file: BufWriter::new(disk.create(path)?), bytes: 0, crc: 0 };
        file.write_all(MAGIC)?;
        Ok(Self {
            file,
            schema,
            encoder: ChunkEncoder::new()?,
            out: Vec::new(),
            groups: Vec::new(),
            pages: Vec::new(),
        })
    }

    /// Appends a row group, asking often whether to go on.
    pub(super) fn write_group(
        &mut self,
        group: &mut GroupBuilder,
        go_on: impl Fn() -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        self.out.clear();
        let offset = self.file.bytes;
        let encoder = &mut self.encoder;
        let (group, pages) = group.finish(&self.schema, encoder, &mut self.out, offset, go_on)?;
        self.file.write_all(&self.out)?;
        self.groups.push(group);
        self.pages.push((offset, pages));
        Ok(())
    }

    /// Appends a section.
    pub(super) fn section(&mut self, raw: &[u8]) -> Result<Section, WriteError> {
        #[cfg(test)]
        let raw = &tests::wrong(raw, self.file.bytes)[..];
        let (section, packed) = Section::pack(raw, self.file.bytes)?;
        self.file.write_all(&packed)?;
        Ok(section)
    }

    /// Appends what is left, with the root as the first of it that is not a section, and makes all durable.
    pub(super) fn finish(
        mut self,
        mut root: Root,
        spans: u64,
        description: String,
    ) -> Result<Finished, WriteError> {
        for (at, (offset, pages)) in std::mem::take(&mut self.pages).into_iter().enumerate() {
            let rows = u32::try_from(self.groups[at].num_rows()).unwrap_or(u32::MAX);
            let pages = self.section(&GroupPages::encode(&pages))?;
            root.groups.push(Group { rows, offset, pages });
        }
        let tail_offset = self.file.bytes;
        self.file.crc = 0;
        self.file.write_all(&root.to_bytes()?)?;
        let place = format!("{VERSION} {tail_offset}");
        let pairs = [(METADATA_KEY, place), (DESCRIPTION_KEY, description)];
        let pairs = pairs.map(|(key, value)| KeyValue::new(key.to_owned(), value)).to_vec();
        let rows = i64::try_from(spans).unwrap_or(i64::MAX);
        let orders = self.schema.columns().iter().map(|column| {
            ColumnOrder::TYPE_DEFINED_ORDER(ColumnOrder::sort_order_for_type(
                column.logical_type_ref(),
                column.converted_type(),
                column.physical_type(),
            ))
        });
        let metadata = FileMetaData::new(
            2,
            rows,
            Some("sigyn".to_owned()),
            Some(pairs),
            self.schema.clone(),
            Some(orders.collect()),
        );
        let metadata = ParquetMetaData::new(metadata, self.groups);
        let mut footer = Vec::new();
        ParquetMetaDataWriter::new(&mut footer, &metadata).finish()?;
        self.file.write_all(&footer)?;
        let Summed { file, bytes, crc } = self.file;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync()?;
        Ok(Finished { bytes, tail_bytes: bytes - tail_offset, tail_crc: crc })
    }
}

/// Counts and sums what is written.
struct Summed {
    file: BufWriter<Appender>,
    bytes: u64,
    /// Since it was last set to zero.
    crc: u32,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        self.crc = crc32c::crc32c_append(self.crc, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Into the buffer is enough: only `bytes` and `crc` must be up to date.
        Ok(())
    }
}

#[cfg(test)]
pub(super) use tests::{WRONG, Wrong};

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::cell::Cell;

    /// A byte of a section that is to be another than it should.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::block) struct Wrong {
        pub(in crate::block) offset: u64,
        pub(in crate::block) byte: usize,
    }

    thread_local! {
        /// As if whoever collects what a block tells were mistaken: the checksum is that of what is written.
        pub(in crate::block) static WRONG: Cell<Option<Wrong>> = const { Cell::new(None) };
    }

    pub(super) fn wrong(raw: &[u8], offset: u64) -> Cow<'_, [u8]> {
        let Some(wrong) = WRONG.get().filter(|wrong| wrong.offset == offset) else {
            return Cow::Borrowed(raw);
        };
        WRONG.set(None);
        let mut raw = raw.to_vec();
        raw[wrong.byte] ^= 1;
        Cow::Owned(raw)
    }
}

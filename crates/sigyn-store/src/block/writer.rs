//! Makes a block of a source: one Parquet file, whole and durable before anyone hears of it.

use std::io::{self, BufWriter, Write};

use parquet::basic::ColumnOrder;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::schema::types::SchemaDescPtr;

use super::chunk::ChunkEncoder;
use super::description::{DESCRIPTION_KEY, describe};
use super::group_writer::GroupBuilder;
use super::index::IndexBuilder;
use super::order::{Order, Trace};
use super::pages::{ColumnPages, GroupPages};
use super::plan::Plan;
use super::root::{Group, Root};
use super::schema::schema;
use super::section::{METADATA_KEY, Section, VERSION};
use super::source::Source;
use super::tags::{TagSummary, TagSummaryBuilder};
use super::{DIR, name_of};
use crate::catalog::BlockEntry;
use crate::disk::{Appender, Disk, TEMPORARY};

/// Why a block was not written. Nothing is lost by it: the log still has its spans.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("input or output failed")]
    Io(#[from] io::Error),
    #[error("the encoder failed")]
    Parquet(#[from] ParquetError),
    #[error("a page of more than {} bytes", i32::MAX)]
    TooLarge,
    #[error("the store is being closed")]
    Stopped,
}

/// Where a block's spans come from: the frames of a store's log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) instance: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    /// If they come from other blocks: by which commit these are replaced, and which of those in their
    /// place this is.
    pub(crate) merged: Option<(u64, u32)>,
    pub(crate) is_late: bool,
    pub(crate) errors: Option<bool>,
}

impl Origin {
    /// Straight from these frames.
    pub(crate) fn sealed(instance: u64, first_seq: u64, last_seq: u64) -> Self {
        Self { instance, first_seq, last_seq, merged: None, is_late: false, errors: None }
    }
}

/// Writes spans to a block, named by the last of the frames. `stop` is asked often, and what takes long
/// between two answers is bounded by the size of a row group, or of one trace.
pub(crate) fn write(
    disk: &Disk,
    origin: Origin,
    source: &dyn Source,
    stop: impl Fn() -> bool,
) -> Result<BlockEntry, WriteError> {
    let name = name_of(origin.last_seq, origin.merged);
    let path = format!("{DIR}/{name}");
    let temporary = format!("{path}{TEMPORARY}");
    write_file(disk, name, origin, &temporary, source, stop)
        .and_then(|entry| {
            disk.rename(&temporary, &path)?;
            disk.sync_dir(DIR)?;
            Ok(entry)
        })
        .inspect_err(|_| {
            // If that fails, too, the next open removes it. On a full disk it is most of the trouble.
            let _ = disk.remove(&temporary);
        })
}

/// Rows that are looked up together.
const ROWS_AT_ONCE: usize = 512;

fn write_file(
    disk: &Disk,
    name: String,
    origin: Origin,
    temporary: &str,
    source: &dyn Source,
    stop: impl Fn() -> bool,
) -> Result<BlockEntry, WriteError> {
    let order = Order::of(source, &|| !stop()).ok_or(WriteError::Stopped)?;
    go_on(&stop)?;
    let plan = Plan::of(source);
    go_on(&stop)?;
    let mut file = BlockFile::create(disk, temporary, schema(&plan.tag_columns)?)?;
    let mut index = IndexBuilder::new(source);
    let mut tags = TagSummaryBuilder::new(source, &plan);
    let mut group = GroupBuilder::new(source, &plan);
    let mut traces = order.traces.iter().peekable();
    let (mut spans, mut said) = (Vec::new(), Vec::new());
    let mut trace = None;
    for (first, rows) in (0..).step_by(ROWS_AT_ONCE).zip(order.rows.chunks(ROWS_AT_ONCE)) {
        go_on(&stop)?;
        source.rows_into(rows, &mut spans);
        for (row, (from, span)) in (first..).zip(rows.iter().zip(&spans)) {
            if traces.peek().is_some_and(|next| next.first == row) {
                trace = traces.next();
                group.begin_trace();
                said.clear();
            }
            tags.see(*from, span);
            said.push(group.push(*from, *span));
            if group.is_full() {
                file.write_group(&mut group, &stop)?;
            }
            if let Some(Trace { key, first, rows }) = trace
                && row + 1 == first + rows
            {
                index.add(*key, &said, &group);
            }
        }
    }
    if group.rows() > 0 {
        file.write_group(&mut group, &stop)?;
    }
    let tags = tags.finish();
    go_on(&stop)?;
    let (first_arrival_ms, last_arrival_ms) = source.arrivals_ms().unwrap_or_default();
    let entry = BlockEntry {
        name,
        first_seq: origin.first_seq,
        last_seq: origin.last_seq,
        spans: order.rows.len() as u64,
        traces: order.traces.len() as u64,
        first_arrival_ms,
        last_arrival_ms,
        starts_ns: index.starts_ns(),
        is_late: origin.is_late,
        errors: origin.errors,
        ..BlockEntry::default()
    };
    let root = Root { tag_columns: plan.tag_columns.clone(), ..Root::default() };
    let description = describe(origin.instance, &entry);
    let Finished { bytes, tail_bytes, tail_crc } =
        file.finish(root, index, &tags, entry.spans, description)?;
    Ok(BlockEntry { bytes, tail_bytes, tail_crc, ..entry })
}

fn go_on(stop: &impl Fn() -> bool) -> Result<(), WriteError> {
    if stop() { Err(WriteError::Stopped) } else { Ok(()) }
}

/// A block's file while it grows.
struct BlockFile {
    file: Summed,
    schema: SchemaDescPtr,
    encoder: ChunkEncoder,
    /// A group's bytes, before they are written.
    out: Vec<u8>,
    groups: Vec<RowGroupMetaData>,
    pages: Vec<(u64, Vec<ColumnPages>)>,
}

struct Finished {
    bytes: u64,
    tail_bytes: u64,
    tail_crc: u32,
}

/// What Parquet files begin and end with.
const MAGIC: &[u8] = b"PAR1";

impl BlockFile {
    fn create(disk: &Disk, path: &str, schema: SchemaDescPtr) -> Result<Self, WriteError> {
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

    fn write_group(
        &mut self,
        group: &mut GroupBuilder<'_>,
        stop: &impl Fn() -> bool,
    ) -> Result<(), WriteError> {
        self.out.clear();
        let offset = self.file.bytes;
        let encoder = &mut self.encoder;
        let (group, pages) =
            group.finish(&self.schema, encoder, &mut self.out, offset, || go_on(stop))?;
        self.file.write_all(&self.out)?;
        self.groups.push(group);
        self.pages.push((offset, pages));
        Ok(())
    }

    fn section(&mut self, raw: &[u8]) -> Result<Section, WriteError> {
        let (section, packed) = Section::pack(raw, self.file.bytes)?;
        self.file.write_all(&packed)?;
        Ok(section)
    }

    fn finish(
        mut self,
        mut root: Root,
        index: IndexBuilder<'_>,
        tags: &TagSummary,
        spans: u64,
        description: String,
    ) -> Result<Finished, WriteError> {
        for (at, (offset, pages)) in std::mem::take(&mut self.pages).into_iter().enumerate() {
            let rows = u32::try_from(self.groups[at].num_rows()).unwrap_or(u32::MAX);
            let pages = self.section(&GroupPages::encode(&pages))?;
            root.groups.push(Group { rows, offset, pages });
        }
        root.tags = self.section(&tags.encode())?;
        root.places = index.finish(|raw| self.section(raw))?;
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

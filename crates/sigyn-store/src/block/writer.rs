//! Makes a block of a head: one Parquet file, whole and durable before anyone hears of it.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;
use sigyn_model::{Span, Timestamp};

use super::description::{DESCRIPTION_KEY, describe};
use super::group_writer::{GroupBuilder, RESOURCE_TAGS_MAX};
use super::index::{IndexBuilder, RowGroup};
use super::schema::{GROUP_BYTES, GROUP_ROWS, properties, schema};
use super::section::{METADATA_KEY, Section, Sections};
use super::tags::TagSummary;
use super::{DIR, name_of};
use crate::catalog::BlockEntry;
use crate::disk::{Appender, Disk, TEMPORARY};
use crate::facts::{Facts, TraceKey};
use crate::head::HeadView;
use crate::size::span_bytes;
use crate::trace::assemble;

/// Why a block was not written. Nothing is lost by it: the log still has its spans.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("input or output failed")]
    Io(#[from] io::Error),
    #[error("the encoder failed")]
    Parquet(#[from] ParquetError),
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

/// Writes the head's spans to a block, named by the last of the frames. `stop` is asked often, and what takes long
/// between two answers is bounded by the size of a row group, or of one trace.
pub(crate) fn write(
    disk: &Disk,
    origin: Origin,
    head: &HeadView,
    stop: impl Fn() -> bool,
) -> Result<BlockEntry, WriteError> {
    let name = name_of(origin.last_seq, origin.merged);
    let path = format!("{DIR}/{name}");
    let temporary = format!("{path}{TEMPORARY}");
    write_file(disk, name, origin, &temporary, head, stop)
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

fn write_file(
    disk: &Disk,
    name: String,
    origin: Origin,
    temporary: &str,
    head: &HeadView,
    stop: impl Fn() -> bool,
) -> Result<BlockEntry, WriteError> {
    let mut file = BlockFile::create(disk, temporary)?;
    // Rows in order of start: what a search reads together stands together.
    let mut order: Vec<(Option<Timestamp>, TraceKey)> =
        head.traces().map(|(key, trace)| (trace.facts().start, key)).collect();
    order.sort_unstable();
    let times = |at: fn(&Facts) -> Option<Timestamp>| {
        head.traces().filter_map(move |(_, trace)| at(&trace.facts()).map(Timestamp::nanos))
    };
    let earliest = times(|facts| facts.start).min();
    let starts_ns = earliest.zip(times(|facts| facts.latest).max());
    let mut index = IndexBuilder::default();
    let mut tags = TagSummary::default();
    let mut group: Vec<Span> = Vec::with_capacity(GROUP_ROWS);
    let mut group_bytes = 0;
    let mut spans_written = 0;
    let mut traces_written = 0;
    for (_, key) in order {
        go_on(&stop)?;
        let Some(trace) = head.trace(key) else { continue };
        let spans = assemble(trace.spans().collect());
        index.add(key, &spans);
        spans_written += spans.len() as u64;
        traces_written += 1;
        for span in spans {
            group_bytes += span_bytes(&span) + shared_bytes(&span);
            group.push(span);
            if group.len() == GROUP_ROWS || group_bytes >= GROUP_BYTES {
                file.write_group(&group, &mut tags, &stop)?;
                group.clear();
                group_bytes = 0;
            }
        }
    }
    if !group.is_empty() {
        file.write_group(&group, &mut tags, &stop)?;
    }
    let (first_arrival_ms, last_arrival_ms) = head.arrivals_ms().unwrap_or_default();
    let entry = BlockEntry {
        name,
        first_seq: origin.first_seq,
        last_seq: origin.last_seq,
        spans: spans_written,
        traces: traces_written,
        first_arrival_ms,
        last_arrival_ms,
        starts_ns,
        is_late: origin.is_late,
        errors: origin.errors,
        ..BlockEntry::default()
    };
    let Finished { bytes, tail_bytes, tail_crc } =
        file.finish(index, &tags, describe(origin.instance, &entry))?;
    Ok(BlockEntry { bytes, tail_bytes, tail_crc, ..entry })
}

fn go_on(stop: &impl Fn() -> bool) -> Result<(), WriteError> {
    if stop() { Err(WriteError::Stopped) } else { Ok(()) }
}

/// Roughly what a span's columns say again that others say, too.
fn shared_bytes(span: &Span) -> u64 {
    const TAG_BYTES: u64 = 64;
    let resource = span.resource.as_ref().map_or(0, |resource| resource.tags.len());
    resource.min(RESOURCE_TAGS_MAX) as u64 * TAG_BYTES
}

/// A block's file while it grows.
struct BlockFile {
    writer: SerializedFileWriter<Summed>,
    row_groups: Vec<RowGroup>,
}

struct Finished {
    bytes: u64,
    tail_bytes: u64,
    tail_crc: u32,
}

impl BlockFile {
    fn create(disk: &Disk, path: &str) -> Result<Self, WriteError> {
        let file = Summed { file: BufWriter::new(disk.create(path)?), bytes: 0, crc: 0 };
        let mut writer = SerializedFileWriter::new(file, schema()?, Arc::new(properties()?))?;
        writer.flush()?;
        writer.inner_mut().crc = 0;
        Ok(Self { writer, row_groups: Vec::new() })
    }

    fn write_group(
        &mut self,
        spans: &[Span],
        tags: &mut TagSummary,
        stop: &impl Fn() -> bool,
    ) -> Result<(), WriteError> {
        let mut columns = GroupBuilder::default();
        for span in spans {
            go_on(stop)?;
            columns.push(span, tags);
        }
        let offset = self.writer.inner().bytes;
        let mut group = self.writer.next_row_group()?;
        columns.write(&mut group, || go_on(stop))?;
        group.close()?;
        self.writer.flush()?;
        let file = self.writer.inner_mut();
        let rows = u32::try_from(spans.len()).unwrap_or(u32::MAX);
        let crc = std::mem::take(&mut file.crc);
        self.row_groups.push(RowGroup { rows, offset, bytes: file.bytes - offset, crc });
        Ok(())
    }

    fn finish(
        mut self,
        index: IndexBuilder,
        tags: &TagSummary,
        description: String,
    ) -> Result<Finished, WriteError> {
        let index = index.finish(&self.row_groups);
        let (tags, packed) = Section::pack(&tags.encode(), self.writer.inner().bytes)?;
        self.writer.write_all(&packed)?;
        self.writer.flush()?;
        let file = self.writer.inner_mut();
        file.crc = 0;
        let tail_offset = file.bytes;
        let (index, packed) = Section::pack(&index, tail_offset)?;
        self.writer.write_all(&packed)?;
        let places = Sections { tags, index }.to_string();
        self.writer.append_key_value_metadata(KeyValue::new(METADATA_KEY.to_owned(), places));
        let description = KeyValue::new(DESCRIPTION_KEY.to_owned(), description);
        self.writer.append_key_value_metadata(description);
        let Summed { file, bytes, crc } = self.writer.into_inner()?;
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

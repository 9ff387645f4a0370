//! Makes a block of one source after another: one Parquet file, whole and durable before anyone hears of it.

use std::hint::black_box;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use parquet::errors::ParquetError;

use super::beside::Beside;
use super::block_file::{BlockFile, Finished};
use super::description::describe;
use super::group_writer::GroupBuilder;
use super::order::Order;
use super::plan::Plan;
use super::root::Root;
use super::schema::schema;
use super::source::Source;
use super::{DIR, name_of};
use crate::catalog::BlockEntry;
use crate::disk::{Disk, TEMPORARY};
use crate::facts::TraceKey;

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

/// Writes the spans of one source to a block, named by the last of the frames, with row groups that take about
/// `group_bytes_max` at most while they are filled, and a few times that when they are written; what is collected
/// beside them takes half of that. `stop` is asked often, and what takes long between two answers is bounded by the size of a column of a row group, or of one trace.
pub(crate) fn write(
    disk: &Disk,
    origin: Origin,
    source: &dyn Source,
    group_bytes_max: u64,
    stop: impl Fn() -> bool,
) -> Result<BlockEntry, WriteError> {
    write_told(disk, origin, source, group_bytes_max, &AtomicU64::new(0), stop)
}

/// The same, and tells in `bytes` what it takes meanwhile, and after that nothing.
pub(crate) fn write_told(
    disk: &Disk,
    origin: Origin,
    source: &dyn Source,
    group_bytes_max: u64,
    bytes: &AtomicU64,
    stop: impl Fn() -> bool,
) -> Result<BlockEntry, WriteError> {
    let _ended = Ended(bytes);
    let mut writer = BlockWriter::create(disk, origin, Plan::of(source))?;
    writer.told = Some(bytes);
    writer.group.bound(group_bytes_max);
    writer.beside_bytes_max = group_bytes_max / 2;
    writer.add(source, &stop)?;
    writer.finish(&stop)
}

/// Nothing is taken any more, however it ended.
struct Ended<'a>(&'a AtomicU64);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// After so many rows it is looked whether too much is collected beside them.
const ROWS_TO_MAKE_ROOM: u32 = 2_048;
/// Rows that are looked up together: so few that what is known of them stays near.
const ROWS_AT_ONCE: usize = 128;

/// A block that is being written. Dropped before it is finished, it leaves nothing behind.
pub(crate) struct BlockWriter<'a> {
    origin: Origin,
    temporary: Temporary<'a>,
    file: BlockFile,
    root: Root,
    group: GroupBuilder,
    beside: Beside,
    /// Of a block that is made alone.
    beside_bytes_max: u64,
    /// Who wants to know what it takes.
    told: Option<&'a AtomicU64>,
    /// That of the last row, and its rows may go on.
    trace: Option<TraceKey>,
    spans: u64,
    traces: u64,
    arrivals_ms: Option<(u64, u64)>,
}

impl<'a> BlockWriter<'a> {
    pub(crate) fn create(disk: &'a Disk, origin: Origin, plan: Plan) -> Result<Self, WriteError> {
        let schema = schema(&plan.tag_columns)?;
        let path = format!("{DIR}/{}", name_of(origin.last_seq, origin.merged));
        // Some of a file may be there even if it could not be begun.
        let temporary = Temporary { disk, path };
        Ok(Self {
            origin,
            file: BlockFile::create(disk, &temporary.name(), schema)?,
            temporary,
            root: Root { tag_columns: plan.tag_columns.clone(), ..Root::default() },
            group: GroupBuilder::new(plan),
            beside: Beside::default(),
            beside_bytes_max: u64::MAX,
            told: None,
            trace: None,
            spans: 0,
            traces: 0,
            arrivals_ms: None,
        })
    }

    /// Adds all spans of a source, each once. Traces of one source stand together in the block; so it is
    /// small if neighbours come to it together, in the order that [`Order`] has. Each trace stands in
    /// one source, or in several that follow one another, last in each and first in the next one, with
    /// different spans in order.
    pub(crate) fn add(
        &mut self,
        source: &dyn Source,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), WriteError> {
        let order = Order::of(source, &|| !stop()).ok_or(WriteError::Stopped)?;
        self.arrivals_ms = match (self.arrivals_ms, source.arrivals_ms()) {
            (Some((first, last)), Some((other_first, other_last))) => {
                Some((first.min(other_first), last.max(other_last)))
            }
            (one, other) => one.or(other),
        };
        self.group.begin_source(source.says_again());
        self.beside.begin_source();
        let mut traces = order.traces.iter().peekable();
        let (mut spans, mut tags, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (first, rows) in (0..).step_by(ROWS_AT_ONCE).zip(order.rows.chunks(ROWS_AT_ONCE)) {
            go_on(stop)?;
            if let Some(told) = self.told {
                told.store(self.group_bytes() + self.beside_bytes(), Ordering::Relaxed);
            }
            if first % ROWS_TO_MAKE_ROOM == 0 && self.beside_bytes() > self.beside_bytes_max {
                // What follows is as good as another source.
                while self.beside_bytes() > self.beside_bytes_max && self.beside.make_room() {}
                self.group.begin_source(source.says_again());
                self.beside.begin_source();
            }
            source.rows_into(rows, &mut spans);
            source.tags_into(rows, &mut tags, &mut ends);
            // Or the compiler would find that nobody needs it.
            black_box(self.group.look_ahead(&tags) + self.beside.look_ahead(&tags));
            let mut tags_from = 0;
            for (row, ((from, span), end)) in (first..).zip(rows.iter().zip(&spans).zip(&ends)) {
                if let Some(trace) = traces.next_if(|next| next.first == row) {
                    self.begin_trace(trace.key);
                }
                self.beside.row(&self.group.push(source, *from, span, &tags[tags_from..*end]));
                tags_from = *end;
                if self.group.is_full() {
                    self.write_group(stop)?;
                }
            }
        }
        self.spans += order.rows.len() as u64;
        Ok(())
    }

    /// Unless it goes on.
    fn begin_trace(&mut self, key: TraceKey) {
        if self.trace == Some(key) {
            return;
        }
        self.end_trace();
        self.trace = Some(key);
        self.traces += 1;
        self.group.begin_trace();
    }

    fn end_trace(&mut self) {
        if let Some(key) = self.trace.take() {
            self.beside.end_trace(key);
        }
    }

    /// About what the row group takes that is being filled.
    pub(crate) fn group_bytes(&self) -> u64 {
        self.group.bytes()
    }

    /// What is collected beside the columns and could be less, about.
    pub(crate) fn beside_bytes(&self) -> u64 {
        self.beside.bytes() as u64
    }

    /// Collects less of it from here on; returns whether that helps.
    pub(crate) fn make_room(&mut self) -> bool {
        self.beside.make_room()
    }

    /// Ends the row group that is being filled, however little there is in it.
    pub(crate) fn write_group(&mut self, stop: &dyn Fn() -> bool) -> Result<(), WriteError> {
        if self.group.rows() == 0 {
            return Ok(());
        }
        self.file.write_group(&mut self.group, || go_on(stop))?;
        self.beside.end_group();
        Ok(())
    }

    /// Makes the block durable, and says what it is.
    pub(crate) fn finish(mut self, stop: &dyn Fn() -> bool) -> Result<BlockEntry, WriteError> {
        self.end_trace();
        self.write_group(stop)?;
        go_on(stop)?;
        let Self {
            origin, temporary, mut file, mut root, beside, spans, traces, arrivals_ms, ..
        } = self;
        let (first_arrival_ms, last_arrival_ms) = arrivals_ms.unwrap_or_default();
        let entry = BlockEntry {
            name: name_of(origin.last_seq, origin.merged),
            first_seq: origin.first_seq,
            last_seq: origin.last_seq,
            spans,
            traces,
            first_arrival_ms,
            last_arrival_ms,
            starts_ns: beside.starts_ns(),
            is_late: origin.is_late,
            errors: origin.errors,
            ..BlockEntry::default()
        };
        beside.finish(&mut root, |raw| file.section(raw))?;
        let description = describe(origin.instance, &entry);
        let Finished { bytes, tail_bytes, tail_crc } = file.finish(root, spans, description)?;
        temporary.keep()?;
        Ok(BlockEntry { bytes, tail_bytes, tail_crc, ..entry })
    }
}

fn go_on(stop: &dyn Fn() -> bool) -> Result<(), WriteError> {
    if stop() { Err(WriteError::Stopped) } else { Ok(()) }
}

/// A file that nobody knows of yet, and nobody will if it is not kept.
#[derive(Debug)]
struct Temporary<'a> {
    disk: &'a Disk,
    path: String,
}

impl Temporary<'_> {
    fn name(&self) -> String {
        format!("{}{TEMPORARY}", self.path)
    }

    /// Gives it the name that it is known by.
    fn keep(self) -> io::Result<()> {
        self.disk.rename(&self.name(), &self.path)?;
        self.disk.sync_dir(DIR).inspect_err(|_| {
            // Nobody will name it. If this fails, too, the next open removes it.
            let _ = self.disk.remove(&self.path);
        })
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // If that fails, the next open removes it. On a full disk it is most of the trouble.
        let _ = self.disk.remove(&self.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::faulty::FaultyDisk;
    use crate::head::HeadWriter;
    use crate::testing;

    #[test]
    fn a_block_that_may_not_be_durable_is_not_left_behind() {
        let mut random = fastrand::Rng::with_seed(1);
        let disk = FaultyDisk::default();
        disk.create_dir(DIR).unwrap();
        let mut head = HeadWriter::new();
        head.insert(&[testing::span(&mut random)], 1);
        for syncs in 0..2 {
            disk.fail_sync_after(syncs);
            let origin = Origin::sealed(1, 1, 1);
            write(&Disk::Faulty(disk.clone()), origin, &head.view(), u64::MAX, || false)
                .unwrap_err();
            assert_eq!(disk.list(DIR).unwrap(), [], "after {syncs} syncs");
        }
        let origin = Origin::sealed(1, 1, 1);
        write(&Disk::Faulty(disk.clone()), origin, &head.view(), u64::MAX, || false).unwrap();
    }
}

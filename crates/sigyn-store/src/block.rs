//! Sealed blocks: immutable Parquet files with an index of ours.

pub(crate) mod across;
mod annotations;
pub(crate) mod audit;
mod beside;
mod bits;
mod block_file;
mod cache;
mod chunk;
mod delta;
pub(crate) mod description;
mod dictionary;
mod endpoints;
pub(crate) mod entry;
mod errors;
mod ext;
mod filter;
mod fixed_words;
mod group_chunks;
mod group_reader;
mod group_writer;
mod hybrid;
pub(crate) mod index;
mod json;
mod least_texts;
mod linked;
pub(crate) mod links;
pub(crate) mod merging;
mod order;
mod outlined;
mod page;
mod page_reader;
pub(crate) mod page_row;
pub(crate) mod page_rows;
mod pages;
mod per_source;
pub(crate) mod piece;
pub(crate) mod piece_reader;
pub(crate) mod plan;
pub(crate) mod rollup;
mod root;
pub(crate) mod scan;
mod schema;
mod section;
pub(crate) mod source;
mod sparse;
mod tag_builder;
mod tag_columns;
pub(crate) mod tags;
mod unpack;
mod value_builder;
mod value_pages;
pub(crate) mod values;
pub(crate) mod writer;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parquet::errors::ParquetError;
use sigyn_model::{Span, TraceId};

use crate::catalog::BlockEntry;
use crate::codec::Malformed;
use crate::disk::{self, Disk};
use crate::facts::{Strictness, TraceKey};
use crate::query::Bounds;
use crate::room::NoRoom;
use crate::size::Weight;
use crate::stop::{Stop, Stopped};
pub(crate) use cache::Cache;
use entry::{Entry, Place, Placed};
use filter::Filter;
use group_reader::{PageSet, RowReader, Rows};
use page_reader::PageReader;
use page_row::PageRow;
use pages::GroupPages;
use root::Root;
use section::{Section, SectionError};
use tags::TagSummary;
pub(crate) use tags::{KEYS_MAX, VALUES_MAX, is_listed};

/// The directory of blocks.
pub(crate) const DIR: &str = "blocks";

/// A block's name, by the last frame of the log that is in it. If it was made of other blocks, then
/// by the commit that replaced those, and which of the blocks in their place it is.
pub(crate) fn name_of(last_seq: u64, merged: Option<(u64, u32)>) -> String {
    match merged {
        None => format!("B-{last_seq:020}.parquet"),
        Some((commit, part)) => format!("B-{last_seq:020}-{commit:020}-{part}.parquet"),
    }
}

/// What a name is made of, if it is one of ours.
pub(crate) fn origin_of(name: &str) -> Option<(u64, Option<(u64, u32)>)> {
    let words = name.strip_prefix("B-")?.strip_suffix(".parquet")?;
    let mut words = words.splitn(3, '-');
    let last_seq = words.next()?.parse().ok()?;
    let merged = match words.next() {
        None => None,
        Some(commit) => Some((commit.parse().ok()?, words.next()?.parse().ok()?)),
    };
    (name_of(last_seq, merged) == name).then_some((last_seq, merged))
}

/// The greatest number of a commit that made any of the blocks that are there, by their names.
pub(crate) fn last_commit(disk: &Disk) -> io::Result<u64> {
    let commits = disk.list(DIR)?.into_iter().filter_map(|(name, _)| origin_of(&name)?.1);
    Ok(commits.map(|(commit, _)| commit).max().unwrap_or_default())
}

/// One sealed block: its index in memory, its rows on disk.
#[derive(Debug)]
pub(crate) struct Block {
    disk: Disk,
    path: String,
    entry: BlockEntry,
    root: Root,
    /// Ids of traces, the right halves of them.
    filter: Filter,
    cache: Arc<Cache>,
    /// In the cache.
    number: u64,
    /// The file goes when the last reader does.
    is_doomed: AtomicBool,
}

/// Why a block cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlockError {
    #[error("input or output failed")]
    Io(#[from] io::Error),
    #[error("the checksum of its {0} is wrong")]
    Checksum(&'static str),
    #[error("it does not begin as a Parquet file does")]
    Beginning,
    #[error("the catalog's account of it cannot be true")]
    Entry,
    #[error("its columns are not those this program knows")]
    Schema,
    #[error("it does not say that it is a block of this store")]
    Stranger,
    #[error("its columns do not fit together: {0}")]
    Row(&'static str),
    #[error(transparent)]
    Section(#[from] SectionError),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the decoder failed")]
    Parquet(#[from] ParquetError),
    /// Nothing is wrong with it.
    #[error("it is not read: {0}")]
    NoRoom(#[from] NoRoom),
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryFailed {
    #[error("cannot read block {block}")]
    Block { block: String, source: BlockFailed },
    /// Whoever asked no longer wants to know.
    #[error("the query was stopped")]
    Stopped,
    /// There is more than may be held for one answer.
    #[error("the answer is larger than {} MiB", bytes_max >> 20)]
    TooLarge { bytes_max: u64 },
    /// One trace alone takes so much, about, and that is more.
    #[error("the trace takes about {} MiB, and an answer may take {}", bytes.div_ceil(1 << 20), bytes_max >> 20)]
    TraceTooLarge { bytes: u64, bytes_max: u64 },
    /// It may be asked again when others are answered.
    #[error("other answers take the memory that there is for them")]
    NoRoom,
}

/// Why a block that should answer cannot.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct BlockFailed(Arc<BlockError>);

impl BlockFailed {
    /// Whether the file itself is at fault: trying again would not help.
    pub(crate) fn is_damage(&self) -> bool {
        match &*self.0 {
            BlockError::NoRoom(_) => false,
            // Its file goes after its last reader, so one that is gone was taken away.
            BlockError::Io(error) => {
                matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
                    || disk::is_lost(error)
            }
            _ => true,
        }
    }
}

impl From<BlockError> for BlockFailed {
    fn from(error: BlockError) -> Self {
        Self(Arc::new(error))
    }
}

impl QueryFailed {
    pub(crate) fn block(block: &str, error: BlockError) -> Self {
        match error {
            BlockError::NoRoom(no_room) => no_room.into(),
            error => Self::Block { block: block.to_owned(), source: error.into() },
        }
    }
}

impl From<NoRoom> for QueryFailed {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::TooLarge { bytes_max } => Self::TooLarge { bytes_max },
            NoRoom::Taken => Self::NoRoom,
        }
    }
}

impl From<Stopped> for QueryFailed {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl Block {
    /// Reads a block's end: index and footer. The rows are read when they are asked for.
    pub(crate) fn open(
        disk: &Disk,
        entry: &BlockEntry,
        cache: &Arc<Cache>,
    ) -> Result<Self, BlockError> {
        let path = format!("{DIR}/{}", entry.name);
        let tail = Self::read_tail(disk, &path, entry)?;
        let mut block = Self {
            disk: disk.clone(),
            path,
            entry: entry.clone(),
            root: Root::decode(&tail)?,
            filter: Filter::default(),
            cache: cache.clone(),
            number: cache.next_block(),
            is_doomed: AtomicBool::new(false),
        };
        block.filter = Filter::decode(&block.section(&block.root.places.filter)?)?;
        Ok(block)
    }

    /// A section's bytes, checked and decompressed.
    fn section(&self, section: &Section) -> Result<Vec<u8>, BlockError> {
        let end = section.offset.checked_add(section.bytes);
        let len = usize::try_from(section.bytes).ok();
        let len = len.filter(|_| end.is_some_and(|end| end <= self.entry.bytes));
        let packed =
            self.disk.read_at(&self.path, section.offset, len.ok_or(BlockError::Entry)?)?;
        Ok(section.unpack(&packed)?)
    }

    /// Where the pages of a row group are.
    fn pages(&self, group: usize) -> Result<Arc<GroupPages>, BlockError> {
        let group = self.root.groups.get(group).ok_or(BlockError::Schema)?;
        self.cache.get((self.number, group.pages.offset), || {
            let pages = GroupPages::decode(&self.section(&group.pages)?, group.offset)?;
            let bytes = pages.bytes();
            Ok((pages, bytes))
        })
    }

    /// What it takes in memory for as long as it is open.
    pub(crate) fn index_bytes(&self) -> u64 {
        (self.filter.bytes() + self.root.bytes()) as u64
    }

    fn read_tail(disk: &Disk, path: &str, entry: &BlockEntry) -> Result<Bytes, BlockError> {
        let offset = entry.bytes.checked_sub(entry.tail_bytes).ok_or(BlockError::Entry)?;
        let len = usize::try_from(entry.tail_bytes).map_err(|_| BlockError::Entry)?;
        let tail = disk.read_at(path, offset, len)?;
        if crc32c::crc32c(&tail) != entry.tail_crc {
            return Err(BlockError::Checksum("index and footer"));
        }
        Ok(tail)
    }

    pub(crate) fn entry(&self) -> &BlockEntry {
        &self.entry
    }

    /// No other block has it for as long as this program runs.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// In which milliseconds, both ends included, its spans start; `None` if in none.
    pub(crate) fn starts_ms(&self) -> Option<(u64, u64)> {
        self.entry.starts_ns.map(|(first, last)| (first / 1_000_000, last / 1_000_000))
    }

    /// In which milliseconds, both ends included, spans of both start; `None` if in none.
    pub(crate) fn common_ms(&self, other: &Self) -> Option<(u64, u64)> {
        let (ours, theirs) = (self.entry.starts_ns?, other.entry.starts_ns?);
        let (start, end) = (ours.0.max(theirs.0), ours.1.min(theirs.1));
        (start <= end).then_some((start / 1_000_000, end / 1_000_000))
    }

    /// Lets the file go once nobody reads it any more.
    pub(crate) fn doom(&self) {
        self.is_doomed.store(true, Ordering::Release);
    }

    /// Calls `each` with every span of these groups of traces that this block has.
    pub(crate) fn read(
        &self,
        groups: &[TraceKey],
        strictness: Strictness,
        stop: &Stop,
        each: &mut impl FnMut(Span),
    ) -> Result<(), QueryFailed> {
        let mut rows: Vec<(Range<u64>, Option<TraceId>)> = Vec::new();
        for group in groups {
            rows.extend(self.group(*group, strictness)?.iter().map(|entry| {
                let first = u64::from(entry.first_row);
                (first..first + u64::from(entry.rows), entry.key.trace_id())
            }));
        }
        rows.sort_unstable_by_key(|(range, _)| range.start);
        self.read_rows_by(PageReader::keeping, &rows, stop, each)
    }

    fn failed(&self, error: BlockError) -> QueryFailed {
        QueryFailed::block(&self.entry.name, error)
    }

    /// Reads rows, given in order, and of which trace they are if that is known; ranges may not overlap.
    pub(crate) fn read_rows(
        &self,
        rows: &[(Range<u64>, Option<TraceId>)],
        stop: &Stop,
        each: &mut impl FnMut(Span),
    ) -> Result<(), QueryFailed> {
        self.read_rows_by(PageReader::new, rows, stop, each)
    }

    fn read_rows_by<'a>(
        &'a self,
        reader: fn(&'a Self, &Stop) -> Result<PageReader<'a>, BlockError>,
        rows: &[(Range<u64>, Option<TraceId>)],
        stop: &Stop,
        each: &mut impl FnMut(Span),
    ) -> Result<(), QueryFailed> {
        // Which rows of which row group.
        let mut wanted: BTreeMap<usize, Vec<Rows>> = BTreeMap::new();
        let mut first = 0;
        for (number, group) in self.root.groups.iter().enumerate() {
            let end = first + u64::from(group.rows);
            let from = rows.partition_point(|(range, _)| range.end <= first);
            for (range, trace_id) in rows[from..].iter().take_while(|(range, _)| range.start < end)
            {
                let in_group = |row: u64| usize::try_from(row.clamp(first, end) - first);
                if let (Ok(start), Ok(end)) = (in_group(range.start), in_group(range.end)) {
                    let rows = Rows { rows: start..end, trace_id: *trace_id };
                    wanted.entry(number).or_default().push(rows);
                }
            }
            first = end;
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let reader = reader(self, stop).map_err(|error| self.failed(error))?;
        let reader = RowReader::new(reader, &self.root.tag_columns);
        for (number, rows) in wanted {
            stop.check()?;
            let count = self.root.groups.get(number).map_or(0, |group| group.rows as usize);
            reader.read(number, count, &rows, each).map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    /// Those of the traces, given in the order of their rows, whose rows pass: of these no more is read
    /// than is looked at.
    pub(crate) fn passing(
        &self,
        traces: &[Entry],
        stop: &Stop,
        passes: &dyn Fn(&[PageRow<'_, '_>]) -> bool,
    ) -> Result<Vec<Entry>, QueryFailed> {
        let mut passing = Vec::new();
        self.each_trace(traces, stop, &mut |trace, rows| {
            if passes(rows) {
                passing.push(*trace);
            }
            Ok(())
        })?;
        Ok(passing)
    }

    /// Calls `each` with the spans of these traces, given in the order of their rows; with nothing for one whose
    /// spans take more than an answer may.
    pub(crate) fn read_traces(
        &self,
        traces: &[Entry],
        bounds: Bounds<'_>,
        each: &mut dyn FnMut(Option<Vec<Span>>) -> Result<(), QueryFailed>,
    ) -> Result<(), QueryFailed> {
        self.each_trace(traces, bounds.stop, &mut |_, rows| {
            let (mut spans, mut weight) = (Vec::new(), Weight::default());
            for row in rows {
                let span = row.span().map_err(|error| self.failed(error))?;
                weight.add(&span);
                // What one span says may be said by all of them, and stand there once.
                if weight.bytes > bounds.bytes_max {
                    return each(None);
                }
                spans.push(span);
            }
            each(Some(spans))
        })
    }

    /// Calls `each` with the rows of these traces, given in the order of these: of them no more is read than
    /// is looked at.
    pub(crate) fn each_trace<T: Placed>(
        &self,
        traces: &[T],
        stop: &Stop,
        each: &mut impl FnMut(&T, &[PageRow<'_, '_>]) -> Result<(), QueryFailed>,
    ) -> Result<(), QueryFailed> {
        let failed = |error: BlockError| self.failed(error);
        let reader = PageReader::keeping(self, stop).map_err(failed)?;
        let reader = RowReader::new(reader, &self.root.tag_columns);
        // Pages are kept from one trace to the next.
        let mut sets: Vec<PageSet> = Vec::new();
        for trace in traces {
            stop.check()?;
            let Place { key, first_row, rows } = trace.place();
            let trace_id = key.trace_id().ok_or(BlockError::Row("a trace without id"));
            let trace_id = trace_id.map_err(failed)?;
            let places = self.pages_of(first_row, rows);
            sets.retain(|set| places.iter().any(|(group, _, page, _)| set.is_at(*group, *page)));
            for (group, count, page, _) in &places {
                if !sets.iter().any(|set| set.is_at(*group, *page)) {
                    sets.push(reader.page_set(*group, *count, *page));
                }
            }
            let error = RefCell::new(None);
            let _opened = stop.open(rows as usize * size_of::<PageRow<'_, '_>>())?;
            let mut rows = Vec::with_capacity(rows as usize);
            for (group, _, page, in_page) in places {
                if let Some(set) = sets.iter().find(|set| set.is_at(group, page)) {
                    let row = |row| PageRow::new(&reader, set, row, Some(trace_id), &error);
                    rows.extend(in_page.map(row));
                }
            }
            each(trace, &rows)?;
            drop(rows);
            if let Some(error) = error.into_inner() {
                return Err(failed(error));
            }
            let are_right = sets.iter().try_for_each(PageSet::check);
            are_right.map_err(|error| failed(error.into()))?;
        }
        Ok(())
    }

    /// Whether the rows of two traces begin on one page.
    pub(crate) fn are_near(&self, one: &Entry, other: &Entry) -> bool {
        let page = |entry: &Entry| {
            let places = self.pages_of(entry.first_row, 1);
            places.first().map(|(group, _, page, _)| (*group, *page))
        };
        page(one) == page(other)
    }

    /// Where a trace's rows are: group, how many rows that has, page, and which rows of the page.
    fn pages_of(&self, first_row: u32, rows: u32) -> Vec<(usize, usize, usize, Range<usize>)> {
        let (begin, end) = (first_row as usize, first_row as usize + rows as usize);
        let mut places = Vec::new();
        let mut first = 0;
        for (number, group) in self.root.groups.iter().enumerate() {
            let count = group.rows as usize;
            let mut row = begin.max(first);
            while row < end.min(first + count) {
                let page = (row - first) / schema::PAGE_ROWS;
                let page_begin = first + page * schema::PAGE_ROWS;
                let page_end = end.min(first + count).min(page_begin + schema::PAGE_ROWS);
                places.push((number, count, page, row - page_begin..page_end - page_begin));
                row = page_end;
            }
            first += count;
        }
        places
    }

    /// Keys and values for completion, read from the disk.
    pub(crate) fn tags(&self) -> Result<TagSummary, QueryFailed> {
        let read = || Ok(TagSummary::decode(&self.section(&self.root.tags)?)?);
        read().map_err(|error| self.failed(error))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.is_doomed.load(Ordering::Acquire)
            && let Err(error) = self.disk.remove(&self.path)
        {
            // The catalog no longer names it, so the next open removes it.
            tracing::warn!(path = self.path, %error, "cannot remove a retired block yet");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::IpAddr;

    use parquet::file::metadata::ParquetMetaDataReader;
    use sigyn_model::{Endpoint, Resource, Scope};

    use super::writer::BlockWriter;
    use super::*;
    use crate::disk::faulty::FaultyDisk;
    use crate::head::HeadWriter;
    use crate::testing;
    use crate::trace::assemble;

    pub(crate) fn sealed(spans: Vec<Span>) -> (FaultyDisk, BlockEntry) {
        let disk = FaultyDisk::default();
        let mut head = HeadWriter::new();
        head.insert(&spans, 1);
        disk.create_dir(DIR).unwrap();
        let origin = writer::Origin::sealed(1, 1, 1);
        let entry =
            writer::write(&Disk::Faulty(disk.clone()), origin, &head.view(), u64::MAX, || false)
                .unwrap();
        (disk, entry)
    }

    pub(crate) fn open(disk: &FaultyDisk, entry: &BlockEntry) -> Result<Block, BlockError> {
        Block::open(&Disk::Faulty(disk.clone()), entry, &Arc::default())
    }

    fn read_all(block: &Block) -> Result<Vec<Span>, QueryFailed> {
        let keys = block.keys().map_err(|error| block.failed(error))?;
        let mut spans = Vec::new();
        block.read(&keys, Strictness::Strict, &Stop::default(), &mut |span| spans.push(span))?;
        Ok(spans)
    }

    #[test]
    fn a_block_reads_back_as_it_was_sealed() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut spans: Vec<Span> =
                (0..random.usize(1..80)).map(|_| testing::span(&mut random)).collect();
            // Tags that say what a column of the peer would, or nearly.
            for span in &mut spans {
                let peer = span.remote_endpoint.clone().unwrap_or_default();
                let address = peer.ipv4.map(IpAddr::V4).or(peer.ipv6.map(IpAddr::V6));
                if let (Some(address), true) = (address, random.bool()) {
                    let more = if random.u8(0..5) == 0 { "0" } else { "" };
                    span.set_tag("peer.address", format!("{address}{more}"));
                }
                if random.bool() {
                    span.set_tag("peer.port", i64::from(peer.port) + random.i64(0..2));
                }
            }
            let (disk, entry) = sealed(spans.clone());
            let block = open(&disk, &entry).unwrap();
            assert_eq!(assemble(read_all(&block).unwrap()), assemble(spans.clone()), "seed {seed}");
            // One trace, without its neighbours.
            let id = spans[0].trace_id;
            let mut one = Vec::new();
            block
                .read(&[id.into()], Strictness::Strict, &Stop::default(), &mut |span| {
                    one.push(span)
                })
                .unwrap();
            let of_id = spans.into_iter().filter(|span| span.trace_id == id).collect();
            assert_eq!(one, assemble(of_id), "seed {seed}");
            let keys: Vec<String> = block.tags().unwrap().keys().map(str::to_owned).collect();
            let all = read_all(&block).unwrap();
            assert!(
                all.iter().all(|s| s.zipkin_tags().keys().all(|k| keys.iter().any(|o| o == k)))
            );
        }
    }

    #[test]
    fn many_small_sources_make_the_block_that_a_large_one_makes() {
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            let spans: Vec<Span> =
                (0..random.usize(1..400)).map(|_| testing::span(&mut random)).collect();
            let mut traces: Vec<Span> = assemble(spans.clone());
            traces.sort_by_key(|span| span.trace_id);
            let (disk, entry) = sealed(spans);
            let whole = open(&disk, &entry).unwrap();
            let head_of = |spans: &[Span]| {
                let mut head = HeadWriter::new();
                head.insert(spans, 1);
                head
            };
            let (origin, plan) = (writer::Origin::sealed(1, 1, 2), head_of(&traces));
            let (disk, plan) = (Disk::Faulty(disk), plan::Plan::of(&plan.view()));
            let mut writer = BlockWriter::create(&disk, origin, plan).unwrap();
            let mut waiting: Vec<Span> = Vec::new();
            for trace in traces.chunk_by(|a, b| a.trace_id == b.trace_id) {
                let (many, few) = (random.u8(0..3) == 0, random.usize(1..=trace.len()));
                if !many {
                    waiting.extend_from_slice(trace);
                    continue;
                }
                // Those before it, and then this one, which goes on from one source to the next.
                for spans in [&waiting[..]].into_iter().chain(trace.chunks(few)) {
                    writer.add(&head_of(spans).view(), &|| false).unwrap();
                }
                waiting.clear();
            }
            writer.add(&head_of(&waiting).view(), &|| false).unwrap();
            let entry = writer.finish(&|| false).unwrap();
            let many = Block::open(&disk, &entry, &Arc::default()).unwrap();
            assert_eq!(entry.traces, whole.entry().traces, "seed {seed}");
            assert_eq!(entry.starts_ns, whole.entry().starts_ns, "seed {seed}");
            let mut read = assemble(read_all(&many).unwrap());
            read.sort_by_key(|span| span.trace_id);
            assert!(read == traces, "seed {seed}");
            assert_eq!(many.tags().unwrap(), whole.tags().unwrap(), "seed {seed}");
            assert_eq!(many.names().unwrap(), whole.names().unwrap(), "seed {seed}");
            for trace in traces.chunk_by(|a, b| a.trace_id == b.trace_id) {
                let key = trace[0].trace_id.into();
                let [one, other] = [&whole, &many].map(|block| {
                    let found = block.group(key, Strictness::Strict).unwrap();
                    let [found] = found[..] else { panic!("{found:?}") };
                    (found.facts(), found.longest_us, found.rows)
                });
                assert_eq!(one, other, "seed {seed}");
            }
        }
    }

    #[test]
    fn traces_that_span_row_groups_are_read_whole() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut spans = Vec::new();
        for n in 0..(schema::GROUP_ROWS * 2 + 1_000) as u64 {
            let mut span = Span::new(
                sigyn_model::TraceId::new(u128::from(n % 7) + 1).unwrap(),
                sigyn_model::SpanId::from_raw(n),
            );
            span.timestamp = Some(sigyn_model::Timestamp::from_nanos(n));
            span.set_tag("n", random.i64(..));
            spans.push(span);
        }
        let (disk, entry) = sealed(spans.clone());
        let block = open(&disk, &entry).unwrap();
        assert_eq!(block.root.groups.len(), 3);
        for low in [2, 4, 7] {
            let key = TraceKey { low, high: 0 };
            let mut read = Vec::new();
            block
                .read(&[key], Strictness::Strict, &Stop::default(), &mut |span| read.push(span))
                .unwrap();
            let expected = spans.iter().filter(|span| span.trace_id.low() == low);
            assert!(read.iter().eq(expected), "trace {low}");
        }
    }

    #[test]
    fn row_groups_are_bounded_by_bytes_too() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut check = |what: &str, say: fn(&mut Span, String)| {
            let mut spans: Vec<Span> = (0..5).map(|_| testing::span(&mut random)).collect();
            let half = usize::try_from(schema::GROUP_BYTES / 2).unwrap();
            for (n, span) in spans.iter_mut().enumerate() {
                say(span, n.to_string().repeat(half));
            }
            let (disk, entry) = sealed(spans.clone());
            let block = open(&disk, &entry).unwrap();
            assert_eq!(block.root.groups.len(), 3, "{what}");
            assert!(assemble(read_all(&block).unwrap()) == assemble(spans), "{what}");
        };
        check("names", |span, text| span.name = text);
        check("tags", |span, text| span.set_tag("key", text));
        check("services", |span, text| {
            span.local_endpoint = Some(Endpoint::named(&text));
        });
        check("resources", |span, text| {
            span.resource = Some(Arc::new(Resource { schema_url: text, ..Resource::default() }));
        });
        check("scopes", |span, text| {
            span.scope = Some(Arc::new(Scope { name: text, ..Scope::default() }));
        });
    }

    #[test]
    fn what_spans_share_is_written_once_however_many_share_it() {
        let resources: Vec<_> = (0..40)
            .map(|n| Resource {
                schema_url: format!("{n}").repeat(16 << 10),
                ..Resource::default()
            })
            .map(Arc::new)
            .collect();
        let mut random = fastrand::Rng::with_seed(1);
        let mut spans: Vec<Span> = (0..900).map(|_| testing::span(&mut random)).collect();
        for (n, span) in spans.iter_mut().enumerate() {
            span.resource = Some(resources[n % resources.len()].clone());
        }
        let (disk, entry) = sealed(spans.clone());
        let file = Bytes::from(disk.read(&format!("{DIR}/{}", entry.name)).unwrap());
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
        let [group] = metadata.row_groups() else { panic!("groups of one block") };
        let column = group.column(schema::place::RESOURCE);
        let once: usize = resources.iter().map(|resource| resource.schema_url.len()).sum();
        let raw = usize::try_from(column.uncompressed_size()).unwrap();
        assert!((once..once * 11 / 10).contains(&raw), "{raw} bytes for {once}");
        assert_eq!(assemble(read_all(&open(&disk, &entry).unwrap()).unwrap()), assemble(spans));
    }

    #[test]
    fn values_are_found_wherever_they_are_and_rare_ones_only_there() {
        let filters = [
            "n = 7",
            "n = '7'",
            "n = 3.0",
            "n >= 3",
            "long = 2",
            "http.method = get",
            "error = get",
            "http.method",
            "annotation = frontend",
            "target.pod = 1",
            "resource.get = frontend",
            "needle = x",
            "nowhere = x",
            "text =~ '1.*'",
        ];
        let (mut entries, mut pages, mut rooms) = (0, 0, 0);
        for seed in 0..120 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut spans: Vec<Span> =
                (0..random.usize(1..400)).map(|_| testing::span(&mut random)).collect();
            for span in &mut spans {
                span.trace_id = TraceId::new(u128::from(random.u64(1..60))).unwrap();
                span.set_tag("n", random.i64(0..40));
                span.set_tag("text", random.u8(0..20).to_string());
                if random.bool() {
                    span.set_tag("long", format!("{}{:0>20}", random.u8(0..9), ""));
                }
            }
            spans[0].set_tag("needle", "x");
            // Made of a few sources, between which there may be too little room for all that is told.
            let (disk, _) = sealed(Vec::new());
            let disk = Disk::Faulty(disk);
            spans.sort_by_key(|span| span.trace_id);
            let mut all = HeadWriter::new();
            all.insert(&spans, 1);
            let (origin, plan) = (writer::Origin::sealed(1, 1, 2), plan::Plan::of(&all.view()));
            let mut writer = BlockWriter::create(&disk, origin, plan).unwrap();
            for spans in spans.chunks(if seed % 2 == 0 { spans.len() } else { 90 }) {
                let mut head = HeadWriter::new();
                head.insert(spans, 1);
                writer.add(&head.view(), &|| false).unwrap();
                if seed % 2 == 1 && random.u8(0..3) == 0 {
                    let before = writer.beside_bytes();
                    let has_made = writer.make_room();
                    rooms += usize::from(has_made);
                    assert!(has_made && writer.beside_bytes() != before);
                }
            }
            let entry = writer.finish(&|| false).unwrap();
            let block = Block::open(&disk, &entry, &Arc::default()).unwrap();
            for text in filters {
                let filter: sigyn_model::Filter = text.parse().unwrap();
                let mut sought = None;
                filter.each_sought(&mut |one| sought = Some(one));
                let Some(sought) = sought else { continue };
                let keys: Vec<TraceKey> = match block.find_value(&sought).unwrap() {
                    values::Where::Anywhere => continue,
                    values::Where::Entries(numbers) => {
                        entries += 1;
                        let key = |number: u32| block.keys().unwrap()[number as usize];
                        numbers.into_iter().map(key).collect()
                    }
                    values::Where::Pages(numbers) => {
                        pages += 1;
                        block.traces_in(&numbers, &sought, &Stop::default()).unwrap()
                    }
                };
                let is_there = |key: &TraceKey| {
                    spans.iter().any(|s| key.trace_id() == Some(s.trace_id) && sought.is_in(s))
                };
                for span in spans.iter().filter(|span| sought.is_in(*span)) {
                    assert!(keys.contains(&span.trace_id.into()), "{text}, seed {seed}");
                }
                assert!(keys.iter().all(is_there) || text.contains("get"), "{text}, seed {seed}");
            }
        }
        assert!(entries > 100 && pages > 100 && rooms > 20, "{entries} {pages} {rooms}");
    }

    #[test]
    fn any_flipped_byte_is_noticed_before_a_decoder_sees_it() {
        let mut random = fastrand::Rng::with_seed(5);
        let (disk, entry) = sealed((0..40).map(|_| testing::span(&mut random)).collect());
        let path = format!("{DIR}/{}", entry.name);
        let good = disk.read(&path).unwrap();
        // The first four bytes are Parquet's letters, which nobody reads.
        for at in 4..good.len() {
            disk.corrupt(&path, |bytes| bytes[at] ^= 0x40);
            let noticed = match open(&disk, &entry) {
                Ok(block) => {
                    read_all(&block).is_err()
                        || block.read_all(&Stop::default(), &mut |_| {}).is_err()
                        || block.value_sections().is_err()
                        || block.tags().is_err()
                        || block.names().is_err()
                        || block.words().is_err()
                        || block.of_counts(None, |_| Ok(((), 0))).is_err()
                        || block.links().is_err()
                }
                Err(_) => true,
            };
            assert!(noticed, "byte {at} of {}", good.len());
            disk.corrupt(&path, |bytes| bytes[at] ^= 0x40);
        }
    }
}

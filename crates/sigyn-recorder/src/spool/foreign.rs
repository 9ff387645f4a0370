//! The file of another process, dead or alive: what is in it, read without trust.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sigyn_model::codec::otlp;
use sigyn_model::pull::Dropped;
use sigyn_model::{Endpoint, Span, SpanId, TraceId};

use super::layout::{
    ACK, ACKS, ACKS_AT, ANSWERED_AT, Ack, Header, IDENTITY_AT, IDENTITY_MAX, Kind, ROW, ROWS_AT,
    RUN_HEAD, RunHead,
};
use super::{names, origin};
use crate::layout::Bytes;
use crate::ring::{Counts, Page, SEGMENT_BYTES_MAX, Segment};
use crate::room::Sealed;
use crate::shards::Chunk;
use crate::whole::{Origin, Own};

/// So many bytes of spans are read for one answer, and the rest of a segment.
const PAGE_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(crate) struct Foreign {
    file: File,
    pub(super) header: Header,
    /// Its process is gone, and all that it left is here.
    pub(crate) is_orphan: bool,
    found: OnceLock<Found>,
}

/// A run, by its slot.
#[derive(Clone, Copy, Debug)]
struct Run {
    slot: u32,
    head: RunHead,
}

/// What lies in the file, without its spans.
#[derive(Debug, Default)]
struct Found {
    rows: Vec<u8>,
    newest: Option<Sealed>,
    /// Runs of segments.
    sealed: BTreeMap<u64, Vec<Run>>,
    /// What the process left unsealed, as segments of which nobody was told yet.
    rest: Vec<Rest>,
    /// Records whose writer did not come to their end.
    torn: u64,
}

#[derive(Debug, Default)]
struct Rest {
    runs: Vec<Run>,
    bytes: usize,
    spans: u64,
    spans_before: u64,
    wall_offset: i64,
}

impl Foreign {
    pub(super) fn new(file: File, header: Header, is_orphan: bool) -> Self {
        Self { file, header, is_orphan, found: OnceLock::new() }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.header.epoch
    }

    /// What it takes at most.
    pub(super) fn bytes_max(&self) -> u64 {
        u64::from(self.header.stride) * u64::from(self.header.slots)
    }

    /// How often its process sealed for others.
    pub(crate) fn answered(&self) -> u64 {
        let mut bytes = [0; 8];
        let _ = self.file.read_exact_at(&mut bytes, ANSWERED_AT);
        u64::from_le_bytes(bytes)
    }

    /// Its process has ended since.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_orphan || self.file.try_lock_shared().is_ok()
    }

    /// The last segment.
    pub(crate) fn newest(&self) -> u64 {
        let found = self.found();
        found.newest.map_or(0, |row| row.seq) + found.rest.len() as u64
    }

    pub(crate) fn acknowledge(&self, name: &str, below: u64) {
        acknowledge(&self.file, name, below);
    }

    /// Where a scraper goes on; nothing if it has read all that there will ever be.
    pub(crate) fn next_for(&self, name: &str) -> Option<u64> {
        let next = acked(&self.file, name);
        (!self.is_orphan || next <= self.newest()).then_some(next)
    }

    /// Somebody has acknowledged all of it.
    pub(super) fn is_read(&self) -> bool {
        self.read_at().is_some()
    }

    /// When that was.
    pub(super) fn read_at(&self) -> Option<SystemTime> {
        let end = self.newest() + 1;
        // An epoch without spans has nothing to read.
        let nothing = (end == 1).then_some(UNIX_EPOCH);
        let whole = acks(&self.file).filter(|ack| ack.below >= end);
        let last = whole.map(|ack| UNIX_EPOCH + Duration::from_secs(ack.at_seconds)).max();
        last.or(nothing)
    }

    /// What it says of spans that are its process' own.
    pub(crate) fn own(&self) -> Own {
        let mut bytes = vec![0; IDENTITY_MAX];
        let read = self.file.read_at(&mut bytes, IDENTITY_AT).unwrap_or(0);
        let mut own = read_identity(&bytes[..read]).unwrap_or_default();
        own.names = Some(Arc::new(names::read(&self.file, self.header.names_at)));
        own
    }

    /// What there is to read from `start`: segments without a gap between them, and what is missing before and in them.
    pub(crate) fn page(&self, start: u64) -> Page {
        let found = self.found();
        let (newest, total) = (self.newest(), found.spans());
        let (mut segments, mut bytes, mut lost) = (Vec::new(), 0, 0);
        let mut seq = start;
        while seq <= newest && bytes < PAGE_BYTES {
            let (segment, missing) = self.segment(seq);
            match segment {
                Some(segment) => {
                    bytes += segment.chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>();
                    segments.push(Arc::new(segment));
                    lost += missing;
                }
                // A gap among segments ends the page.
                None if !segments.is_empty() => break,
                None => {}
            }
            if segments.is_empty() {
                let before = found.spans_before(start, newest);
                lost = found.spans_before(seq + 1, newest).saturating_sub(before);
            }
            seq += 1;
        }
        let dropped = found.newest.map_or_else(Dropped::default, |row| row.dropped);
        let dropped = Dropped { shutdown: dropped.shutdown + found.torn, ..dropped };
        Page {
            oldest: segments.first().map_or(newest + 1, |segment: &Arc<Segment>| segment.seq),
            segments,
            newest,
            lost,
            counts: Counts { finished: total + dropped.oversize + dropped.shutdown, dropped },
            is_final: self.is_orphan,
            unread_bytes: bytes,
            lasts: None,
            share: 1.0,
            wishes: Default::default(),
        }
    }

    /// A segment, and how many of its spans are not in it. None at all: not held.
    fn segment(&self, seq: u64) -> (Option<Segment>, u64) {
        let found = self.found();
        let (runs, spans, wall_offset) = match found.rest_of(seq) {
            Some(rest) => (&rest.runs, rest.spans, rest.wall_offset),
            None => match (found.sealed.get(&seq), found.row(seq, &self.header)) {
                (Some(runs), Some(row)) => (runs, row.spans, row.wall_offset),
                _ => return (None, 0),
            },
        };
        let chunks: Vec<_> = runs.iter().filter_map(|run| self.chunk(run)).collect();
        let held: u64 = chunks.iter().map(|(chunk, _)| chunk.spans).sum();
        let chunks = chunks.into_iter().map(|(chunk, _)| chunk).collect();
        let segment = (held > 0).then(|| Segment::found(seq, chunks, held, wall_offset));
        (segment, spans.saturating_sub(held))
    }

    /// The whole spans of a run, and whether there is half a one behind them. `None` if it is something else by now, or
    /// is damaged.
    fn chunk(&self, run: &Run) -> Option<(Chunk, bool)> {
        let at = self.header.slots_at + u64::from(run.slot) * u64::from(self.header.stride);
        let room = self.header.stride as usize - RUN_HEAD;
        let mut bytes = vec![0; (run.head.done as usize).min(room)];
        let mut read = 0;
        while let Ok(more) = self.file.read_at(&mut bytes[read..], at + (RUN_HEAD + read) as u64)
            && more > 0
        {
            read += more;
        }
        bytes.truncate(read);
        if !self.is_orphan {
            // Its process may have begun another run there while it was read.
            let now = self.head(run.slot)?;
            if now.number != run.head.number || now.seq != run.head.seq {
                return None;
            }
        }
        if run.head.crc.is_some_and(|crc| crc != crc32c::crc32c(&bytes)) {
            return None;
        }
        let (spans, origins, whole) = walk(&bytes);
        let is_torn = whole < run.head.done as usize || run.head.begun != run.head.done;
        bytes.truncate(whole);
        Some((Chunk::found(bytes, spans, origins), is_torn))
    }

    fn head(&self, slot: u32) -> Option<RunHead> {
        let mut bytes = [0; RUN_HEAD];
        let at = self.header.slots_at + u64::from(slot) * u64::from(self.header.stride);
        self.file.read_exact_at(&mut bytes, at).ok()?;
        RunHead::read(&bytes)
    }

    fn found(&self) -> &Found {
        self.found.get_or_init(|| self.look())
    }

    fn look(&self) -> Found {
        let mut found =
            Found { rows: vec![0; self.header.rows as usize * ROW], ..Found::default() };
        // Rows first: the runs of a segment say so before it has its row.
        let read = self.file.read_at(&mut found.rows, ROWS_AT).unwrap_or(0);
        found.rows.truncate(read);
        let rows = found.rows.as_chunks().0.iter().filter_map(Sealed::read);
        found.newest = rows.max_by_key(|row| row.seq);
        let newest = found.newest.map_or(0, |row| row.seq);
        let mut rest = Vec::new();
        for slot in 0..self.header.slots {
            let Some(head) = self.head(slot) else { continue };
            let is_sealed = (1..=newest).contains(&head.seq);
            match head.kind {
                Kind::Plain | Kind::Copy if is_sealed => {
                    found.sealed.entry(head.seq).or_default().push(Run { slot, head });
                }
                Kind::Plain | Kind::Copied if !is_sealed => rest.push(Run { slot, head }),
                _ => {}
            }
        }
        if self.is_orphan {
            // By what was begun first: whoever reads the file makes the same segments of it.
            rest.sort_by_key(|run| run.head.number);
            let sealed = found.newest.map_or(0, |row| row.spans_before + row.spans);
            self.seal(rest, &mut found, sealed);
        }
        found
    }

    /// Makes segments of what was not sealed.
    fn seal(&self, runs: Vec<Run>, found: &mut Found, mut spans_before: u64) {
        for run in runs {
            let Some((chunk, is_torn)) = self.chunk(&run) else { continue };
            found.torn += u64::from(is_torn);
            if chunk.spans == 0 {
                continue;
            }
            let bytes = chunk.bytes.len();
            let is_full = |rest: &Rest| {
                rest.bytes + bytes > SEGMENT_BYTES_MAX
                    || rest.wall_offset.abs_diff(run.head.wall_offset) > CLOCK_SET_NS
            };
            if found.rest.last().is_none_or(is_full) {
                let wall_offset = run.head.wall_offset;
                found.rest.push(Rest { spans_before, wall_offset, ..Rest::default() });
            }
            if let Some(rest) = found.rest.last_mut() {
                rest.bytes += bytes;
                rest.spans += chunk.spans;
                rest.runs.push(run);
            }
            spans_before += chunk.spans;
        }
    }
}

/// Two anchors further apart than this are not of the same wall clock.
const CLOCK_SET_NS: u64 = 1_000_000;

impl Found {
    fn row(&self, seq: u64, header: &Header) -> Option<Sealed> {
        let at = usize::try_from(seq % u64::from(header.rows)).ok()?;
        let row = self.rows.as_chunks().0.get(at).and_then(Sealed::read)?;
        (row.seq == seq).then_some(row)
    }

    fn rest_of(&self, seq: u64) -> Option<&Rest> {
        let newest = self.newest.map_or(0, |row| row.seq);
        self.rest.get(usize::try_from(seq.checked_sub(newest + 1)?).ok()?)
    }

    fn spans(&self) -> u64 {
        let sealed = self.newest.map_or(0, |row| row.spans_before + row.spans);
        self.rest.last().map_or(sealed, |rest| rest.spans_before + rest.spans)
    }

    /// Spans of all segments below. Where nobody knows any more, too many: see `Ring::spans_before`.
    fn spans_before(&self, seq: u64, newest: u64) -> u64 {
        if seq <= 1 {
            return 0;
        }
        if seq > newest {
            return self.spans();
        }
        if let Some(rest) = self.rest_of(seq) {
            return rest.spans_before;
        }
        let rows = self.rows.as_chunks().0.iter().filter_map(Sealed::read);
        let above = rows.filter(|row| row.seq >= seq).min_by_key(|row| row.seq);
        above.map_or(self.spans(), |row| row.spans_before)
    }
}

/// How many whole spans there are, who made them, and where they end.
fn walk(bytes: &[u8]) -> (u64, Vec<Origin>, usize) {
    let (mut spans, mut origins, mut at) = (0, Vec::new(), 0);
    while let Some((header, items)) = crate::view::next(&bytes[at..]) {
        if header.trace_id == 0 {
            origins.push(origin::read(items).unwrap_or_default());
        } else {
            spans += 1;
        }
        at += header.len as usize;
    }
    (spans, origins, at)
}

/// The owner of a file as it stands there.
pub(super) fn identity(own: &Own) -> Vec<u8> {
    let name = own.endpoint.as_ref().map_or("", |endpoint| endpoint.service_name.as_str());
    let mut resource = Vec::new();
    if let (Some(of), Some(id)) = (&own.resource, TraceId::new(1)) {
        let mut span = Span::new(id, SpanId::from_raw(1));
        span.resource = Some(Arc::clone(of));
        resource = otlp::encode(&[span]);
    }
    let mut out = Vec::new();
    for part in [name.as_bytes(), &resource] {
        // One that is too large for its place stays away.
        let part = if out.len() + part.len() + 8 > IDENTITY_MAX { &[] } else { part };
        out.extend(u32::try_from(part.len()).unwrap_or(0).to_le_bytes());
        out.extend(part);
    }
    out
}

fn read_identity(bytes: &[u8]) -> Option<Own> {
    let mut bytes = Bytes(bytes);
    let name = bytes.long_text()?;
    let resource = origin::read(bytes.long()?).and_then(|origin| origin.resource);
    Some(Own { endpoint: Endpoint::named(name).into_option(), resource, names: None })
}

pub(super) fn acks(file: &File) -> impl Iterator<Item = Ack> + use<> {
    let mut bytes = vec![0; ACKS * ACK];
    let read = file.read_at(&mut bytes, ACKS_AT).unwrap_or(0);
    bytes.truncate(read);
    let (rows, _) = bytes.as_chunks();
    rows.iter().filter_map(Ack::read).collect::<Vec<_>>().into_iter()
}

/// Where a scraper goes on.
pub(super) fn acked(file: &File, name: &str) -> u64 {
    let name = hash(name);
    acks(file).filter(|ack| ack.name == name).map(|ack| ack.below).max().unwrap_or(1)
}

/// Writes down how far a scraper has read, in place of what it said before; else of who said something longest ago.
pub(super) fn acknowledge(file: &File, name: &str, below: u64) {
    let name = hash(name);
    let mut bytes = vec![0; ACKS * ACK];
    let _ = file.read_at(&mut bytes, ACKS_AT);
    let rows = bytes.as_chunks().0.iter().map(Ack::read).enumerate();
    let place = rows.min_by_key(|(_, ack)| match ack {
        Some(ack) if ack.name == name => (0, 0),
        None => (1, 0),
        Some(ack) => (2, ack.at_seconds),
    });
    let Some((row, known)) = place else { return };
    let known = known.filter(|known| known.name == name);
    if known.is_some_and(|known| known.below >= below) {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ack = Ack { name, below, at_seconds: now.as_secs() };
    // Unwritten, it is delivered once more to a scraper that forgot where it was; to no other.
    let _ = file.write_all_at(&ack.to_bytes(), ACKS_AT + (row * ACK) as u64);
}

/// The same in every process: FNV-1a.
fn hash(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

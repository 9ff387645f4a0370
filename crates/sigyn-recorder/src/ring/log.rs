//! The bounded log of finished spans: sealed segments, what waits to be sealed, and books that add up.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sigyn_model::TraceId;
use sigyn_model::pull::Dropped;

use super::Ring;
use crate::pace::Pace;
use crate::peers::Peers;
use crate::room::Sealed;
use crate::scrapers::{Scraper, Scrapers};
use crate::shards::Chunk;

/// What a segment costs beside its spans.
pub(super) const SEGMENT_OVERHEAD: usize = 128;
/// Evicted segments whose position is still known exactly, for whatever cursor: 256 KiB at most.
const LEDGER_MAX: usize = 32 * 1024;
/// From here on fewer traces begin, the fewer the fuller the log is of what nobody has acknowledged.
const PRESSURE_FROM: f64 = 0.75;
const PRESSURE_SHARE_MIN: f64 = 1.0 / 64.0;

/// An immutable run of finished spans; never empty.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) seq: u64,
    pub(crate) chunks: Box<[Chunk]>,
    pub(crate) spans: u64,
    /// From the recorder's clock to Unix time, when it was sealed.
    pub(crate) wall_offset: i64,
    /// Traces that were kept here although nobody had sampled them.
    pub(crate) kept: Box<[TraceId]>,
    bytes: usize,
    /// Memory that it takes.
    takes: usize,
    /// Spans of all segments before this one, and what these weighed.
    spans_before: u64,
    bytes_before: u64,
}

#[cfg(feature = "spool")]
impl Segment {
    /// What another process left.
    pub(crate) fn found(seq: u64, chunks: Box<[Chunk]>, spans: u64, wall_offset: i64) -> Self {
        Self {
            seq,
            chunks,
            spans,
            wall_offset,
            kept: Box::default(),
            bytes: 0,
            takes: 0,
            spans_before: 0,
            bytes_before: 0,
        }
    }
}

/// Counts of one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) finished: u64,
    pub(crate) dropped: Dropped,
}

#[derive(Debug)]
pub(super) struct Log {
    /// What segments may take: the rest of the log's memory is the shards'.
    pub(super) held_bytes_max: usize,
    pub(super) segment_bytes_max: usize,
    /// Taken out of the shards, and not sealed yet.
    pub(super) pending: Vec<Chunk>,
    pub(super) pending_bytes: usize,
    pub(super) pending_takes: usize,
    pub(super) pending_spans: u64,
    pub(super) held: VecDeque<Arc<Segment>>,
    pub(super) held_bytes: usize,
    pub(super) held_takes: usize,
    /// The last segment sealed; 0 before the first.
    pub(super) newest: u64,
    /// Spans in all segments ever sealed, and what these weighed.
    pub(super) sealed: u64,
    pub(super) sealed_bytes: u64,
    /// `spans_before` of the segments evicted last, newest last.
    pub(super) ledger: VecDeque<u64>,
    pub(super) scrapers: Scrapers,
    pub(super) peers: Peers,
    /// Segments below this were acknowledged by at least one scraper, or written whole to a peer.
    pub(super) acked_below: u64,
    pub(super) delivered: u64,
    pub(super) dropped: Dropped,
    /// `dropped` when the newest segment was sealed, or later while nothing waited.
    pub(super) dropped_at_seal: Dropped,
    pub(super) pace: Pace,
    pub(super) is_final: bool,
    pub(super) drain_ended: bool,
}

pub(super) type Evicted = Vec<Arc<Segment>>;

impl Log {
    /// Empty. What shards may take is not the log's.
    pub(super) fn new(
        hot_bytes_max: usize,
        segment_bytes_max: usize,
        shards_bytes_max: usize,
        begin: Duration,
    ) -> Self {
        Self {
            held_bytes_max: hot_bytes_max.saturating_sub(shards_bytes_max),
            segment_bytes_max,
            pending: Vec::new(),
            pending_bytes: 0,
            pending_takes: 0,
            pending_spans: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            held_takes: 0,
            newest: 0,
            sealed: 0,
            sealed_bytes: 0,
            ledger: VecDeque::new(),
            scrapers: Scrapers::default(),
            peers: Peers::default(),
            acked_below: 1,
            delivered: 0,
            dropped: Dropped::default(),
            dropped_at_seal: Dropped::default(),
            pace: Pace::from(begin),
            is_final: false,
            drain_ended: false,
        }
    }

    pub(super) fn oldest(&self) -> u64 {
        self.held.front().map_or(self.newest + 1, |segment| segment.seq)
    }

    /// Takes what waits in the shards; what fills a segment is sealed.
    pub(super) fn take(
        &mut self,
        ring: &Ring,
        everything: bool,
        shut: bool,
        evicted: &mut Evicted,
    ) {
        let refused = ring.shards.take(everything, shut, |chunk| self.add(ring, chunk, evicted));
        self.dropped.oversize += refused.oversize;
        self.dropped.shutdown += refused.late;
        self.evict(evicted);
    }

    pub(super) fn add(&mut self, ring: &Ring, mut chunk: Chunk, evicted: &mut Evicted) {
        ring.rooms.close(&mut chunk, &ring.clock);
        let weight = chunk.weight();
        if self.pending_bytes + weight + SEGMENT_OVERHEAD > self.segment_bytes_max {
            self.seal(ring, evicted);
        }
        self.pending_bytes += weight;
        self.pending_takes += chunk.takes();
        self.pending_spans += chunk.spans;
        self.pending.push(chunk);
    }

    /// Makes a segment of what was taken. What was refused so far is told along with it.
    pub(super) fn seal(&mut self, ring: &Ring, evicted: &mut Evicted) {
        if self.pending.is_empty() {
            return;
        }
        self.newest += 1;
        let mut kept = ring.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = mem::take(&mut self.pending_bytes) + SEGMENT_OVERHEAD;
        self.pending_takes = 0;
        let sealed = Sealed {
            seq: self.newest,
            spans_before: self.sealed,
            spans: mem::take(&mut self.pending_spans),
            wall_offset: ring.clock.wall_offset(),
            dropped: self.dropped,
        };
        let chunks = ring.rooms.seal(mem::take(&mut self.pending), &sealed);
        let takes = chunks.iter().map(Chunk::takes).sum::<usize>() + SEGMENT_OVERHEAD;
        let segment = Segment {
            seq: sealed.seq,
            chunks: chunks.into_boxed_slice(),
            spans: sealed.spans,
            wall_offset: sealed.wall_offset,
            kept: mem::take(&mut *kept).into_boxed_slice(),
            bytes,
            takes,
            spans_before: self.sealed,
            bytes_before: self.sealed_bytes,
        };
        drop(kept);
        self.sealed += segment.spans;
        self.sealed_bytes += bytes as u64;
        self.held_bytes += bytes;
        self.held_takes += takes;
        self.held.push_back(Arc::new(segment));
        self.evict(evicted);
        self.dropped_at_seal = self.dropped;
    }

    pub(super) fn evict(&mut self, evicted: &mut Evicted) {
        while self.held_takes + self.pending_takes > self.held_bytes_max {
            let Some(segment) = self.held.pop_front() else { return };
            self.held_bytes -= segment.bytes;
            self.held_takes -= segment.takes;
            if segment.seq >= self.acked_below {
                self.dropped.evicted += segment.spans;
            }
            if self.ledger.len() >= LEDGER_MAX {
                self.ledger.pop_front();
            }
            self.ledger.push_back(segment.spans_before);
            evicted.push(segment);
        }
    }

    /// All that finished until the newest segment was sealed, and what became of the rest of it.
    pub(super) fn counts_at_seal(&self) -> Counts {
        let dropped = self.dropped_at_seal;
        Counts { finished: self.sealed + dropped.oversize + dropped.shutdown, dropped }
    }

    /// Spans in all segments below `seq`. Exact for what is held, for the segments evicted last and
    /// for the cursors that this scraper was last told. Beyond that too high a count, so that the
    /// loss comes out too small: its reader sees the rest as unexplained, and not as nothing.
    pub(super) fn spans_before(&self, seq: u64, scraper: Option<&str>) -> u64 {
        let oldest = self.oldest();
        if seq <= 1 {
            return 0;
        }
        if seq > self.newest {
            return self.sealed;
        }
        let index = |distance: u64| usize::try_from(distance).ok();
        if seq >= oldest {
            let held = index(seq - oldest).and_then(|at| self.held.get(at));
            return held.map_or(self.sealed, |segment| segment.spans_before);
        }
        let in_ledger = index(oldest - seq).and_then(|back| self.ledger.len().checked_sub(back));
        if let Some(spans) = in_ledger.and_then(|at| self.ledger.get(at)) {
            return *spans;
        }
        let mark = scraper.and_then(|name| self.scrapers.mark(name, seq));
        mark.or_else(|| self.ledger.front().copied()).unwrap_or(self.sealed)
    }

    pub(super) fn acknowledge(&mut self, below: u64) {
        if below <= self.acked_below {
            return;
        }
        let oldest = self.oldest();
        let from = usize::try_from(self.acked_below.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let to = usize::try_from(below.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let newly = self.held.iter().take(to).skip(from);
        self.delivered += newly.map(|segment| segment.spans).sum::<u64>();
        self.acked_below = below;
    }

    /// What spans at or beyond `start` weigh.
    pub(super) fn bytes_from(&self, start: u64) -> usize {
        let read = usize::try_from(start.saturating_sub(self.oldest())).unwrap_or(usize::MAX);
        let first = self.held.get(read).map_or(self.sealed_bytes, |segment| segment.bytes_before);
        let sealed = usize::try_from(self.sealed_bytes - first).unwrap_or(usize::MAX);
        sealed + self.pending_bytes
    }

    /// Which share of traces there is room for: fewer, the fuller the log is of what nobody has acknowledged, so that
    /// what it gives up are traces that did not begin and not spans of those that did. Only for somebody who follows:
    /// where nobody does, nothing is gained by it.
    pub(super) fn share_of_room(&self, now: Duration) -> f64 {
        if !self.scrapers.leased(now).any(Scraper::follows) {
            return 1.0;
        }
        let fill = self.bytes_from(self.acked_below) as f64 / self.held_bytes_max.max(1) as f64;
        ((1.0 - fill) / (1.0 - PRESSURE_FROM)).clamp(PRESSURE_SHARE_MIN, 1.0)
    }

    /// Spans that nobody acknowledged yet.
    pub(super) fn buffered(&self) -> u64 {
        let unacked = self.held.iter().rev().take_while(|segment| segment.seq >= self.acked_below);
        let sealed: u64 = unacked.map(|segment| segment.spans).sum();
        sealed + self.pending_spans
    }

    pub(super) fn is_drained(&self, now: Duration) -> bool {
        let all = self.newest + 1;
        self.buffered() == 0 && self.scrapers.leased(now).all(|scraper| scraper.acked_below == all)
    }
}

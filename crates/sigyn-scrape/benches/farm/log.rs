//! What one target has finished: a log as the protocol wants it, of segments whose spans are made when they are asked for.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sigyn_model::pull::Cursor;

/// A longer run of spans is several segments.
const SEGMENT_SPANS_MAX: u64 = 1_000;
/// Segments that are kept; the oldest goes, and is counted.
const HELD_MAX: usize = 4_096;

/// Spans of one target, by their number: all that has to be known of them to make them, always alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) seq: u64,
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) sealed_ns: u64,
}

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) epoch: u64,
    began: Instant,
    /// Nothing is finished after that.
    ended: Option<Instant>,
    /// Between two spans.
    every: Duration,
    newest: u64,
    sealed: u64,
    held: VecDeque<Segment>,
    evicted: u64,
    /// The cursor that was told last, and how many spans are before it.
    told: (u64, u64),
}

/// What is answered: whole segments, and the counts that go with them.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) segments: Vec<Segment>,
    pub(crate) newest: u64,
    pub(crate) lost: u64,
    pub(crate) finished: u64,
    pub(crate) evicted: u64,
}

impl Log {
    pub(crate) fn new(epoch: u64, every: Duration) -> Self {
        Self {
            epoch,
            began: Instant::now(),
            ended: None,
            every,
            newest: 0,
            sealed: 0,
            held: VecDeque::new(),
            evicted: 0,
            told: (1, 0),
        }
    }

    /// Spans that the target has finished until now.
    pub(crate) fn finished(&self) -> u64 {
        let passed = self.ended.unwrap_or_else(Instant::now).saturating_duration_since(self.began);
        u64::try_from(passed.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u64::MAX)
    }

    /// Spans that no segment has yet.
    pub(crate) fn waiting(&self) -> u64 {
        self.finished() - self.sealed
    }

    pub(crate) fn end(&mut self) {
        self.ended.get_or_insert_with(Instant::now);
    }

    /// Everything is finished, and was acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting() == 0 && self.held.is_empty()
    }

    /// Where a cursor begins to read; one of this log acknowledges what is before it.
    pub(crate) fn arrive(&mut self, cursor: Option<Cursor>) -> u64 {
        let valid = cursor.filter(|c| c.epoch == self.epoch && c.seq <= self.newest + 1);
        let start = valid.map_or(1, |cursor| cursor.seq.max(1));
        while self.held.front().is_some_and(|segment| segment.seq < start) {
            self.held.pop_front();
        }
        start
    }

    /// True if something sealed waits at or beyond `start`.
    pub(crate) fn has(&self, start: u64) -> bool {
        self.newest >= start
    }

    pub(crate) fn seal(&mut self) {
        let finished = self.finished();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let sealed_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        while self.sealed < finished {
            let count = (finished - self.sealed).min(SEGMENT_SPANS_MAX);
            self.newest += 1;
            self.held.push_back(Segment { seq: self.newest, first: self.sealed, count, sealed_ns });
            self.sealed += count;
            if self.held.len() > HELD_MAX {
                self.evicted += self.held.pop_front().map_or(0, |segment| segment.count);
            }
        }
    }

    pub(crate) fn read(&self, start: u64) -> Page {
        let oldest = self.held.front().map_or(self.sealed, |segment| segment.first);
        let before = match start {
            1 => 0,
            start if start == self.told.0 => self.told.1,
            _ => oldest,
        };
        Page {
            segments: self.held.iter().filter(|s| s.seq >= start).copied().collect(),
            newest: self.newest,
            lost: oldest.saturating_sub(before),
            finished: self.sealed,
            evicted: self.evicted,
        }
    }

    /// The cursor after an answer.
    pub(crate) fn tell(&mut self, last: Option<&Segment>) -> Cursor {
        self.told = match last {
            Some(last) => (last.seq + 1, last.first + last.count),
            None => (self.newest + 1, self.sealed),
        };
        Cursor { epoch: self.epoch, seq: self.told.0 }
    }
}
